/* SPDX-License-Identifier: ISC */
/*
 * Public keys as JSON (RFC 7517, 7518 section 6, 8037) and their thumbprints
 * (RFC 7638).
 */
#ifndef JOSE_JWK_H
#define JOSE_JWK_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/base.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/problem.h"
#include "base/str.h"

#ifndef OPENSSL_IS_BORINGSSL
#error "openssl/base.h is not BoringSSL's"
#endif

enum jwk_kind { JWK_RSA, JWK_P256, JWK_P384, JWK_P521, JWK_ED25519 };

enum {
	JWK_RSA_BITS_MIN = 2048,
	JWK_RSA_BITS_MAX = 4096,
	JWK_TEXT_MAX = 1024, /* canonical text of the largest key */
};

/* A public key. All of it lives in the arena that it was parsed into. */
struct jwk {
	EVP_PKEY *key; /* freed with the arena: EVP_PKEY_up_ref to keep it */
	enum jwk_kind kind;
	unsigned bits;
	struct str json; /* canonical: RFC 7638's members, nothing else */
	uint8_t thumbprint[32]; /* SHA-256 of json */
};

/*
 * Read a public key. badPublicKey if it is not one that we take: RSA of 2048
 * to 4096 bits with an odd exponent from 65537 to 2^32 - 1, a point on P-256,
 * P-384 or P-521, Ed25519; private members; a "use" or "key_ops" other than
 * for signatures. malformed if it is no JWK at all.
 */
const struct problem *jwk_parse(struct arena *, const struct json *,
    struct jwk *out);

/* The same from text, for example the json of a stored key. */
const struct problem *jwk_parse_text(struct arena *, struct str,
    struct jwk *out);

/*
 * The JWK of a key at hand (its public half), which gets one reference more.
 * False if it is of no kind or size that jwk_parse would take.
 */
bool jwk_from_key(struct arena *, EVP_PKEY *, struct jwk *out);

/* The thumbprint in base64url, RFC 7638 section 3. */
struct str jwk_thumbprint(struct arena *, const struct jwk *);

/* "RSA", "P-256", ... for logs and listings. */
const char *jwk_kind_name(enum jwk_kind);

#endif
