/* SPDX-License-Identifier: ISC */
/* Shared inside the module: DER, names, algorithms, extensions, files. */
#ifndef PKI_INT_H
#define PKI_INT_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/base.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>

#include "base/arena.h"
#include "base/str.h"
#include "pki/cert.h"
#include "pki/key.h"
#include "pki/name.h"

/* ---- object identifiers: contents, for STR() */

#define OID_COMMON_NAME "\x55\x04\x03"
#define OID_SKI "\x55\x1d\x0e"
#define OID_KEY_USAGE "\x55\x1d\x0f"
#define OID_SAN "\x55\x1d\x11"
#define OID_BASIC "\x55\x1d\x13"
#define OID_CRL_NUMBER "\x55\x1d\x14"
#define OID_REASON "\x55\x1d\x15"
#define OID_CRL_ISSUING_POINT "\x55\x1d\x1c"
#define OID_CRL_POINTS "\x55\x1d\x1f"
#define OID_AKI "\x55\x1d\x23"
#define OID_EKU "\x55\x1d\x25"
#define OID_NO_REV_AVAIL "\x55\x1d\x38"     /* RFC 9608 */
#define OID_PKIX "\x2b\x06\x01\x05\x05\x07" /* 1.3.6.1.5.5.7 */
#define OID_AIA OID_PKIX "\x01\x01"
#define OID_TLS_FEATURE OID_PKIX "\x01\x18"     /* RFC 7633 */
#define OID_ACME_IDENTIFIER OID_PKIX "\x01\x1f" /* RFC 8737 */
#define OID_EKU_SERVER OID_PKIX "\x03\x01"
#define OID_EKU_CLIENT OID_PKIX "\x03\x02"
#define OID_EKU_OCSP OID_PKIX "\x03\x09"
#define OID_AIA_OCSP OID_PKIX "\x30\x01"
#define OID_AIA_ISSUERS OID_PKIX "\x30\x02"
#define OID_OCSP_BASIC OID_PKIX "\x30\x01\x01"
#define OID_OCSP_NONCE OID_PKIX "\x30\x01\x02"
#define OID_OCSP_NOCHECK OID_PKIX "\x30\x01\x05"
#define OID_EXTENSION_REQUEST "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"

/* ---- der.c */

static inline CBS
der_cbs(struct str s)
{
	CBS out;

	CBS_init(&out, (const uint8_t *)s.p, s.n);
	return out;
}

static inline struct str
der_str(const CBS *cbs)
{
	return str_make(CBS_data(cbs), CBS_len(cbs));
}

/* Finish: the bytes in the arena, or STR_NONE. The CBB is spent either way. */
struct str der_take(struct arena *, CBB *);

/* One element with these contents. */
bool der_add(CBB *, unsigned tag, struct str contents);

/* A whole element, tag and length too, as a view. */
bool der_get_element(CBS *, unsigned tag, struct str *out);

/* A BIT STRING of whole bytes. */
bool der_get_bits(CBS *, struct str *out);

/* BOOLEAN DEFAULT FALSE; a FALSE that is written out is taken too. */
bool der_get_flag(CBS *, bool *out);

/* Time, RFC 5280 section 4.1.2.5, in one of its two forms and in UTC. */
bool der_get_time(CBS *, int64_t *out);

/* ---- dn.c: distinguished names */

struct dn {
	size_t natts;    /* attributes of all kinds */
	size_t ncn;      /* of these, commonName */
	struct str cn;   /* the last one */
	bool cn_is_text; /* in a string type that is read here */
};

/* Read the contents of a Name. False if it is malformed. */
bool dn_read(CBS name, struct dn *out);

/* ---- alg.c: signature algorithms */

struct sig_alg {
	struct str der; /* AlgorithmIdentifier, with tag and length */
	int pkey;       /* EVP_PKEY_... */
	const EVP_MD *(*md)(void); /* NULL for Ed25519 */
};

/* NULL if it is none of ours. */
const struct sig_alg *alg_find(struct str der);

/* The one that a key signs with. NULL if it is of no kind of ours. */
const struct sig_alg *alg_of_key(const EVP_PKEY *);

bool alg_verify(const struct sig_alg *, EVP_PKEY *, struct str text,
    struct str sig);

/* SEQUENCE { text, the key's AlgorithmIdentifier, signature }, or STR_NONE. */
struct str alg_wrap(struct arena *, EVP_PKEY *, struct str text);

/* ---- ext.c: reading extensions, RFC 5280 section 4.2 */

struct ext {
	struct str oid;
	bool critical;
	CBS value;
};

/* The next of a list. False if it is malformed. */
bool ext_next(CBS *list, struct ext *out);

/*
 * subjectAltName. Names of other types are passed over; *other then says what
 * the first one is. The sets are neither sorted nor judged.
 */
bool ext_read_san(struct arena *, CBS, struct pki_names *out,
    const char **other);

bool ext_read_basic(CBS, bool *ca, int *path_len);
bool ext_read_key_usage(CBS, unsigned *out);
bool ext_read_eku(CBS, unsigned *out);
bool ext_read_ski(CBS, struct str *out);
bool ext_read_aki(CBS, struct str *out);
bool ext_read_aia(CBS, struct str *ocsp, struct str *issuers);
bool ext_read_crl_points(CBS, struct str *url);
/* other: features besides status_request are in it */
bool ext_read_tls_feature(CBS, bool *must_staple, bool *other);
bool ext_read_no_rev_avail(CBS);
bool ext_read_acme_identifier(CBS, struct str *digest);

/* ---- key.c */

/* For arena_defer. */
void pki_free_key(void *);

/*
 * The key of a SubjectPublicKeyInfo, with nothing behind it. NULL if it
 * cannot be read. The caller frees it.
 */
EVP_PKEY *pki_read_spki(struct str spki);

/*
 * Are these the bytes that we would write for the key, which was read from
 * them and is of this kind? The reader takes only DER; what it leaves open is
 * how a curve is named and whether its point is compressed.
 */
bool pki_is_canonical_spki(enum pki_key_kind, struct str spki);

/* ---- file.c */

/*
 * A whole file, at most max bytes, in memory that OPENSSL_free frees (and
 * wipes). secret: nobody but the owner may have access.
 */
const char *file_read(struct arena *, const char *path, size_t max, bool secret,
    struct str *out);
void file_free(struct str);

/* ---- pem.c */

struct pem {
	struct str label, body;
};

/*
 * The next block of *text, which moves behind it. False at the end or, with
 * *why set, if there is something that looks like a block and is none.
 */
bool pem_next(struct str *text, struct pem *out, const char **why);

/* Decode a body. *out is for OPENSSL_free. */
bool pem_decode(struct str body, uint8_t **out, size_t *len);

/* Bytes that pem_write writes at most. */
size_t pem_size(const char *label, size_t len);
size_t pem_write(char *out, const char *label, struct str der);

#endif
