/* SPDX-License-Identifier: ISC */
/*
 * Certificates (RFC 5280): read any, judge ours. Moments of this module are
 * whole seconds since 1970, as certificates hold them. Functions that return
 * const char * give NULL for success, otherwise a sentence in the arena.
 */
#ifndef PKI_CERT_H
#define PKI_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "pki/key.h"
#include "pki/name.h"

enum {
	PKI_CERT_MAX = 65536,
	PKI_CHAIN_MAX = 8, /* certificates in one file */
	PKI_PEM_FILE_MAX = 262144,
	PKI_URL_MAX = 1024,
	PKI_SERIAL_LEN = 16,     /* of ours */
	PKI_SERIAL_TIME = 6,     /* bytes of it that are time */
	PKI_EXTENSIONS_MAX = 32, /* of one certificate */
};

/* Bits of keyUsage, RFC 5280 section 4.2.1.3: bit n is 1 << n. */
enum {
	PKI_KU_DIGITAL_SIGNATURE = 1 << 0,
	PKI_KU_NON_REPUDIATION = 1 << 1,
	PKI_KU_KEY_ENCIPHERMENT = 1 << 2,
	PKI_KU_DATA_ENCIPHERMENT = 1 << 3,
	PKI_KU_KEY_AGREEMENT = 1 << 4,
	PKI_KU_CERT_SIGN = 1 << 5,
	PKI_KU_CRL_SIGN = 1 << 6,
};

/* Purposes of extKeyUsage, section 4.2.1.12. */
enum {
	PKI_EKU_SERVER = 1 << 0,
	PKI_EKU_CLIENT = 1 << 1,
	PKI_EKU_OCSP = 1 << 2,
	PKI_EKU_OTHER = 1 << 3, /* any that is not above */
};

/* The parts of a certificate: views into its DER, and what they say. */
struct pki_cert {
	struct str der, tbs;        /* whole; the part that is signed */
	struct str serial;          /* contents of the INTEGER */
	struct str issuer, subject; /* Names, with tag and length */
	struct str cn;              /* of the subject; p is NULL if none */
	int64_t not_before, not_after;
	struct str spki;
	EVP_PKEY *key; /* freed with the arena; NULL if of no kind of ours */
	enum pki_key_kind kind;
	unsigned bits;
	struct pki_names names;                /* of subjectAltName, sorted */
	bool has_san, san_critical, san_other; /* other: types not in names */
	bool san_repeats; /* a name stands there more than once */
	bool has_basic, ca;
	int path_len; /* -1 if there is no bound */
	bool has_key_usage;
	unsigned key_usage;
	bool has_eku;
	unsigned eku;
	struct str aki, ski; /* key identifiers; p is NULL if none */
	struct str ocsp_url, ca_issuers_url, crl_url; /* the first of each */
	bool must_staple, no_rev_avail;
	bool unknown_critical; /* a critical extension that we do not read */
	/* RFC 8737's acmeIdentifier, its digest; p is NULL if there is none.
	 * It counts as unknown: only validation knows what to do with it. */
	struct str acme_identifier;
	bool acme_critical;
	struct str sig_alg; /* AlgorithmIdentifier, with tag and length */
	struct str signature;
};

/* Read one certificate in DER, with nothing behind it. */
const char *pki_parse_cert(struct arena *, struct str der,
    struct pki_cert *out);

/* Did issuer sign cert, and do their names agree? */
bool pki_cert_is_signed_by(const struct pki_cert *,
    const struct pki_cert *issuer);

/*
 * The one text of a serial: lower-case hexadecimal, two digits a byte, no
 * leading zero bytes. 32 digits for our own.
 */
struct str pki_serial_text(struct arena *, struct str serial);

/* What a certificate that we are about to hand out must be. */
struct pki_lint_profile {
	const struct pki_cert *issuer;
	const struct pki_names *names; /* the ordered ones, sorted */
	struct str spki;               /* of the CSR */
	struct str serial;    /* contents of the INTEGER; p is NULL: any */
	int64_t max_lifetime; /* seconds, counted as RFC 5280 does */
	unsigned key_usage;   /* exactly these; 0: any that fits the key */
	unsigned eku;         /* exactly these; 0: PKI_EKU_SERVER at least */
	bool must_staple, no_rev_avail;
	/*
	 * A delegated responder of OCSP (RFC 6960 section 4.2.2.2): this is
	 * its common name, names is not looked at, and it says that nobody
	 * need ask whether it is revoked itself. p is NULL: it is none.
	 */
	struct str responder;
	/*
	 * Made elsewhere: key usages that do not fit the key, a subject with
	 * more than a CN, and a missing authority key id are let pass.
	 */
	bool remote;
};

/*
 * Judge bytes that are about to be signed against the profile and RFC 5280,
 * by a reading of their own. NULL if they are fine.
 */
const char *pki_lint_tbs(struct arena *, struct str tbs,
    const struct pki_lint_profile *);

/* The same for a certificate, its signature too. */
const char *pki_lint_cert(struct arena *, struct str der,
    const struct pki_lint_profile *);

/* One PEM block (RFC 7468), 64 columns; label is for example "CERTIFICATE". */
struct str pki_write_pem(struct arena *, const char *label, struct str der);

/*
 * The certificates of a PEM text, 1 to PKI_CHAIN_MAX, in their order. Text
 * around the blocks is passed over, any other block is refused.
 */
const char *pki_parse_pem(struct arena *, struct str text, struct str **ders,
    size_t *n);

#endif
