/* SPDX-License-Identifier: ISC */
/*
 * JSON Web Signatures as ACME uses them: the flattened JSON serialization
 * with a protected header only (RFC 7515 section 7.2.2, RFC 8555 section 6.2).
 */
#ifndef JOSE_JWS_H
#define JOSE_JWS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/problem.h"
#include "base/str.h"
#include "jose/jwk.h"

enum {
	JWS_BODY_MAX = 65536,     /* the whole serialization */
	JWS_PROTECTED_MAX = 8192, /* the protected header, encoded */
	JWS_SIGNATURE_MAX = 512,  /* RSA of 4096 bits, decoded */
	JWS_NONCE_MAX = 256,
	JWS_KID_MAX = 1024,
	JWS_URL_MAX = 2048,
};

enum jws_alg {
	JWS_RS256,
	JWS_ES256,
	JWS_ES384,
	JWS_ES512,
	JWS_EDDSA,
	JWS_HS256,
	JWS_HS384,
	JWS_HS512,
};

/* What a JWS is for decides what its protected header must hold. */
enum jws_use {
	JWS_REQUEST,    /* RFC 8555 6.2: a signature, nonce, jwk or kid */
	JWS_KEY_CHANGE, /* the inner one of 7.3.5: a signature, jwk, no nonce */
	JWS_BINDING,    /* 7.3.4: a MAC, kid, no nonce */
};

/* A JWS whose signature is not yet checked. */
struct jws {
	enum jws_alg alg;
	const struct json *header; /* the protected header */
	const struct json *jwk;    /* NULL if there is a kid */
	struct str kid;            /* p is NULL if there is a jwk */
	struct str nonce;          /* base64url text; p is NULL if none */
	struct str url;     /* there, but perhaps empty: the gate compares it */
	struct str payload; /* decoded; empty for POST-as-GET */
	struct str payload_raw, protected_raw; /* as they stood there */
	struct str signing_input;
	struct str signature; /* decoded */
};

/*
 * Take a JWS apart. badSignatureAlgorithm, with the list of those that will
 * do, if alg is not for this use; malformed for everything else.
 */
const struct problem *jws_parse(struct arena *, struct str body, enum jws_use,
    struct jws *out);

/* The same for a JWS that is a part of a document. */
const struct problem *jws_parse_json(struct arena *, const struct json *,
    enum jws_use, struct jws *out);

/* "ES256", ... */
const char *jws_alg_name(enum jws_alg);

/* Does the algorithm belong to this kind of key? False for the MACs. */
bool jws_alg_fits(enum jws_alg, enum jwk_kind);

/* The one algorithm of a kind of key. */
enum jws_alg jws_alg_of(enum jwk_kind);

/* Is the signature right? False too if alg does not fit the key. */
bool jws_verify(const struct jws *, EVP_PKEY *, enum jwk_kind);

/* Is the MAC right? Takes the same time wherever the first difference is. */
bool jws_verify_mac(const struct jws *, struct str key);

/*
 * Make the flattened serialization: header is the JSON text of the protected
 * header and must name alg itself. STR_NONE if the key cannot sign so.
 */
struct str jws_sign(struct arena *, struct str header, struct str payload,
    EVP_PKEY *, enum jws_alg);
struct str jws_sign_mac(struct arena *, struct str header, struct str payload,
    struct str key, enum jws_alg);

#endif
