/* SPDX-License-Identifier: ISC */
/*
 * OCSP, RFC 6960 and its lightweight profile, RFC 5019: requests are read,
 * answers written and signed by the CA that issued the certificates, or by a
 * responder that it made a certificate for. Moments are whole seconds since
 * 1970. Functions that return const char * give NULL for success, otherwise a
 * sentence in the arena.
 */
#ifndef PKI_OCSP_H
#define PKI_OCSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "pki/ca.h"

enum {
	PKI_OCSP_REQUEST_MAX = 4096, /* bytes */
	PKI_OCSP_SINGLES_MAX = 16,   /* certificates of one request */
	PKI_OCSP_NONCE_MAX = 128,    /* bytes, RFC 9654 */
};

/* OCSPResponseStatus, section 4.2.1. */
enum pki_ocsp_status {
	PKI_OCSP_SUCCESSFUL = 0,
	PKI_OCSP_MALFORMED = 1,
	PKI_OCSP_INTERNAL = 2,
	PKI_OCSP_TRY_LATER = 3,
	PKI_OCSP_UNAUTHORIZED = 6,
};

/* A certificate that is asked about: views of the request. */
struct pki_ocsp_single {
	struct str cert_id; /* CertID, with tag and length: it is echoed */
	struct str hash;    /* contents of the digest's OID */
	struct str name_hash, key_hash;
	struct str serial; /* contents of the INTEGER */
};

struct pki_ocsp_request {
	struct pki_ocsp_single singles[PKI_OCSP_SINGLES_MAX];
	size_t n;         /* at least 1 */
	struct str nonce; /* 1 to 128 bytes; p is NULL if there is none */
};

/*
 * Read a request. A signature on it is passed over: we answer anybody. False
 * if it is malformed, has more singles than allowed, a nonce out of bounds,
 * or a critical extension that we do not know.
 */
bool pki_ocsp_read(struct str der, struct pki_ocsp_request *out);

/*
 * Is the certificate of this CA, by the digests of name and key? SHA-1 and
 * the SHA-2 family are known; any other digest never fits.
 */
bool pki_ocsp_is_issued_by(const struct pki_ocsp_single *,
    const struct pki_ca *);

/* What is known of a certificate. */
enum pki_ocsp_verdict { PKI_OCSP_GOOD, PKI_OCSP_REVOKED, PKI_OCSP_UNKNOWN };

struct pki_ocsp_reply {
	enum pki_ocsp_verdict verdict;
	int64_t revoked_at, reason; /* if revoked */
};

/* Whoever signs answers; it is told from others by its key. */
struct pki_ocsp_signer {
	EVP_PKEY *key;
	struct str spki;
	struct str cert; /* DER, sent along; p is NULL: the CA signs itself */
};

/*
 * The signed answer, in the arena: replies[i] is about request's singles[i].
 * STR_NONE if it cannot be made.
 */
struct str pki_ocsp_answer(struct arena *, const struct pki_ocsp_signer *,
    const struct pki_ocsp_request *, const struct pki_ocsp_reply *replies,
    int64_t this_update, int64_t next_update);

/* ---- delegation, RFC 6960 section 4.2.2.2 */

struct pki_responder_spec {
	struct str cn;   /* 1 to 64 bytes */
	struct str spki; /* of the responder's key */
	uint8_t serial[PKI_SERIAL_LEN];
	int64_t not_before, not_after; /* both within; within the CA's too */
};

/*
 * A certificate for a responder, built, linted and signed: *der is in the
 * arena. It lets its key sign answers about the CA's certificates and do
 * nothing else.
 */
const char *pki_make_responder(struct arena *, const struct pki_ca *,
    const struct pki_responder_spec *, struct str *der);

/* An answer that is only a status, and unsigned; a constant. */
struct str pki_ocsp_refusal(enum pki_ocsp_status);

#endif
