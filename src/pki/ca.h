/* SPDX-License-Identifier: ISC */
/*
 * A certification authority: its key and chain, and the making of
 * certificates. Moments are whole seconds since 1970. Functions that return
 * const char * give NULL for success, otherwise a sentence in the arena.
 */
#ifndef PKI_CA_H
#define PKI_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "pki/cert.h"
#include "pki/key.h"
#include "pki/name.h"

/* All of it lives in the arena that it was loaded into. */
struct pki_ca {
	EVP_PKEY *key;        /* freed with the arena */
	struct pki_cert cert; /* subject, ski, dates, kind, path_len */
	uint8_t spki_hash[32];
	struct str *chain; /* DER: the issuing certificate first */
	size_t nchain;
	/*
	 * What follows a certificate for the client: without the root, unless
	 * the root itself issues. And the same with the root, if it is known.
	 */
	struct str chain_pem, full_pem;
};

/*
 * Load a CA. The file `cert` may hold the chain behind the certificate,
 * `chain` (NULL for none) holds more of it. The key may be encrypted: then
 * `passphrase` is needed, see pki_load_locked_key. Key and certificate must
 * belong together, the certificate be a CA's that may sign certificates, in
 * date at now, with a key id, and each link of the chain signed by the next.
 */
struct pki_ca_files {
	const char *cert, *key, *chain, *passphrase;
};
const char *pki_load_ca_files(struct arena *, const struct pki_ca_files *,
    int64_t now, struct pki_ca *out);

/* The same from a key (one reference is taken) and the chain in DER. */
const char *pki_make_ca(struct arena *, EVP_PKEY *, const struct str *chain,
    size_t nchain, int64_t now, struct pki_ca *out);

/*
 * Can it sign now: is the CA in date, and does what its key signs verify
 * under its certificate? What is signed are random bytes that no reader takes
 * for a certificate, CRL or anything else.
 */
const char *pki_try_ca(struct arena *, const struct pki_ca *, int64_t now);

/* What an end-entity certificate is to hold. */
struct pki_cert_spec {
	const struct pki_names *names; /* sorted, not empty */
	struct str cn; /* one of names; STR_NONE: an empty subject */
	struct str spki;
	uint8_t serial[PKI_SERIAL_LEN];
	int64_t not_before, not_after; /* both within, RFC 5280 4.1.2.5 */
	unsigned key_usage;            /* PKI_KU_... */
	unsigned eku;                  /* PKI_EKU_... */
	struct str ocsp_url, ca_issuers_url, crl_url; /* STR_NONE: left out */
	bool must_staple, no_rev_avail;
};

/*
 * The to-be-signed part, always the same bytes for the same spec. STR_NONE
 * if the spec is out of bounds (a date, a URL, a name that is too long).
 */
struct str pki_build_tbs(struct arena *, const struct pki_ca *,
    const struct pki_cert_spec *);

/* Sign what pki_build_tbs gave: the certificate in DER. */
struct str pki_sign_tbs(struct arena *, const struct pki_ca *, struct str tbs);

/* The key usages that a TLS server or client needs with this kind of key. */
unsigned pki_key_usage_for(enum pki_key_kind);

/*
 * A fresh serial: 6 bytes of the milliseconds since 1970, so that those of one
 * time stand together in every index, then 80 random bits (at least 64 must
 * be, as the CA/Browser Forum has it). The first byte is from 0x01 to 0x7f, so
 * that the number is positive and has one spelling of 32 digits.
 */
void pki_random_serial(uint8_t out[static PKI_SERIAL_LEN]);

/* A key and its certificate, just made. */
struct pki_made {
	EVP_PKEY *key;  /* freed with the arena */
	struct str der; /* the certificate */
};

/*
 * A self-signed root (P-384, 20 years) and under it an issuing CA (P-256, 5
 * years, path length 0), valid from a day before now. common_name is 1 to 64
 * characters of UTF-8.
 */
const char *pki_make_root(struct arena *, struct str common_name, int64_t now,
    struct pki_made *out);
const char *pki_make_issuing(struct arena *, const struct pki_ca *root,
    struct str common_name, int64_t now, struct pki_made *out);

#endif
