/* SPDX-License-Identifier: ISC */
/* Shared inside the module. */
#ifndef JOSE_INT_H
#define JOSE_INT_H

#include "base/arena.h"
#include "base/str.h"
#include "jose/jwk.h"

enum {
	JWK_FORMS = JWK_ED25519 + 1,
	JWK_ED25519_LEN = 32,
	JWK_POINT_MAX = 1 + 2 * 66, /* uncompressed, on P-521 */
	JWK_EXPONENT_MAX = 4,       /* bytes */
};

/* What each kind of key looks like. */
extern const struct jwk_form {
	const char *name;
	const char *kty, *crv; /* crv is NULL for RSA */
	int nid;               /* of the curve; 0 if it is none of these */
	unsigned bits;
	size_t len; /* bytes of a coordinate */
} jwk_forms[JWK_FORMS];

/* For arena_defer. */
void jwk_free_key(void *);

/* What is wrong with RSA numbers (big-endian, not empty), or NULL. */
const char *jwk_check_modulus(struct str n, unsigned *bits);
const char *jwk_check_exponent(struct str e);

/*
 * Set the json and the thumbprint of a key of the kind that is set: from n
 * and e, x and y, or x alone, in base64url.
 */
void jwk_write_json(struct arena *, struct jwk *, struct str first,
    struct str second);

/* What is signed: both parts as they are transferred, RFC 7515 section 5. */
struct str jose_signing_input(struct arena *, struct str protected_raw,
    struct str payload_raw);

#endif
