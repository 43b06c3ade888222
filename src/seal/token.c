/* SPDX-License-Identifier: ISC */
/*
 * Tokens: AES-256-GCM-SIV (RFC 8452) with a random nonce, under a context
 * that is prepared once.
 */
#include "seal/seal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/aead.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

enum { NONCE_LEN = 12, TAG_LEN = 16, HEAD_LEN = 1 + NONCE_LEN };

_Static_assert(HEAD_LEN + TAG_LEN == SEAL_TOKEN_EXTRA, "layout of tokens");

struct seal_box {
	uint8_t id;
	EVP_AEAD_CTX aead;
};

struct seal_box *
seal_box_new(const struct seal_key *key, uint8_t id)
{
	struct seal_box *b = OPENSSL_malloc(sizeof(*b));

	if (b == NULL)
		abort();
	memset(b, 0, sizeof(*b));
	b->id = id;
	if (!EVP_AEAD_CTX_init(&b->aead, EVP_aead_aes_256_gcm_siv(), key->bytes,
		sizeof(key->bytes), TAG_LEN, NULL))
		abort(); /* out of memory */
	return b;
}

void
seal_box_free(struct seal_box *b)
{
	if (b == NULL)
		return;
	EVP_AEAD_CTX_cleanup(&b->aead);
	OPENSSL_free(b); /* which wipes */
}

uint8_t
seal_box_id(const struct seal_box *b)
{
	return b->id;
}

struct str
seal_token(struct arena *a, const struct seal_box *b, struct str plain,
    struct str aad)
{
	uint8_t *out;
	size_t n;

	if (plain.n > SEAL_TOKEN_MAX)
		return STR_NONE;
	out = arena_alloc(a, plain.n + SEAL_TOKEN_EXTRA);
	out[0] = b->id;
	RAND_bytes(out + 1, NONCE_LEN);
	if (!EVP_AEAD_CTX_seal(&b->aead, out + HEAD_LEN, &n, plain.n + TAG_LEN,
		out + 1, NONCE_LEN, (const uint8_t *)plain.p, plain.n,
		(const uint8_t *)aad.p, aad.n))
		return STR_NONE;
	return str_make(out, HEAD_LEN + n);
}

bool
seal_token_id(struct str token, uint8_t *id)
{
	if (token.n < SEAL_TOKEN_EXTRA ||
	    token.n > SEAL_TOKEN_EXTRA + SEAL_TOKEN_MAX)
		return false;
	*id = (uint8_t)token.p[0];
	return true;
}

bool
seal_open_token(struct arena *a, const struct seal_box *b, struct str token,
    struct str aad, struct str *plain)
{
	const uint8_t *in = (const uint8_t *)token.p;
	uint8_t id, *out;
	size_t n;

	*plain = STR_NONE;
	if (!seal_token_id(token, &id) || id != b->id)
		return false;
	out = arena_alloc(a, token.n - SEAL_TOKEN_EXTRA + 1);
	if (!EVP_AEAD_CTX_open(&b->aead, out, &n, token.n - SEAL_TOKEN_EXTRA,
		in + 1, NONCE_LEN, in + HEAD_LEN, token.n - HEAD_LEN,
		(const uint8_t *)aad.p, aad.n))
		return false;
	*plain = str_make(out, n);
	return true;
}
