/* SPDX-License-Identifier: ISC */
/*
 * Secrets at rest. A blob is
 *
 *	version (1)  key id (8)  nonce (12)  ciphertext  tag (16)
 *
 * under AES-256-GCM; the additional data are version, key id and the place:
 * table, row and column, each with its length before it, so that no two
 * places read alike. A random nonce is good for 2^32 secrets a key.
 */
#include "seal/seal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/aead.h>
#include <openssl/digest.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/buf.h"

enum {
	VERSION = 1,
	ID_LEN = 8,
	NONCE_LEN = 12,
	TAG_LEN = 16,
	NONCE_AT = 1 + ID_LEN,
	HEAD_LEN = NONCE_AT + NONCE_LEN,
	AAD_MAX = 4096, /* names of tables, keys of rows */
};

_Static_assert(HEAD_LEN + TAG_LEN == SEAL_SECRET_EXTRA, "layout of secrets");

struct ring_key {
	uint8_t id[ID_LEN];
	EVP_AEAD_CTX aead;
};

struct seal_ring {
	struct ring_key keys[SEAL_RING_MAX];
	size_t n;
};

struct seal_ring *
seal_ring_new(void)
{
	struct seal_ring *r = OPENSSL_malloc(sizeof(*r));

	if (r == NULL)
		abort();
	memset(r, 0, sizeof(*r));
	return r;
}

void
seal_ring_free(struct seal_ring *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		EVP_AEAD_CTX_cleanup(&r->keys[i].aead);
	OPENSSL_free(r); /* which wipes */
}

static const struct ring_key *
find_key(const struct seal_ring *r, const uint8_t id[static ID_LEN])
{
	for (size_t i = 0; i < r->n; i++)
		if (memcmp(r->keys[i].id, id, ID_LEN) == 0)
			return &r->keys[i];
	return NULL;
}

/* The same for every file that holds the same key. */
static void
derive_id(uint8_t id[static ID_LEN], const struct seal_key *key)
{
	static const char label[] = "certloop: id of a key for secrets";
	uint8_t mac[SHA256_DIGEST_LENGTH];
	unsigned n;

	if (HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes),
		(const uint8_t *)label, sizeof(label) - 1, mac, &n) == NULL)
		abort();
	memcpy(id, mac, ID_LEN);
}

bool
seal_ring_add(struct seal_ring *r, const struct seal_key *key)
{
	struct ring_key *k = &r->keys[r->n];
	uint8_t id[ID_LEN];

	derive_id(id, key);
	if (r->n == SEAL_RING_MAX || find_key(r, id) != NULL)
		return false;
	memcpy(k->id, id, ID_LEN);
	if (!EVP_AEAD_CTX_init(&k->aead, EVP_aead_aes_256_gcm(), key->bytes,
		sizeof(key->bytes), TAG_LEN, NULL))
		abort(); /* out of memory */
	r->n++;
	return true;
}

static void
put_part(struct buf *b, struct str s)
{
	uint8_t n[4] = { (uint8_t)(s.n >> 24), (uint8_t)(s.n >> 16),
		(uint8_t)(s.n >> 8), (uint8_t)s.n };

	buf_put(b, n, sizeof(n));
	buf_str(b, s);
}

/* The additional data for a blob with this head in this place. */
static struct str
place_text(struct arena *a, const uint8_t head[static NONCE_AT],
    const struct seal_place *at)
{
	struct buf b = buf_new(a, AAD_MAX);

	buf_put(&b, head, NONCE_AT);
	put_part(&b, at->table);
	put_part(&b, at->row);
	put_part(&b, at->column);
	return b.full ? STR_NONE : buf_view(&b);
}

struct str
seal_secret(struct arena *a, const struct seal_ring *r,
    const struct seal_place *at, struct str plain)
{
	uint8_t *out;
	struct str aad;
	size_t n;

	if (r->n == 0 || plain.n > SEAL_SECRET_MAX)
		return STR_NONE;
	out = arena_alloc(a, plain.n + SEAL_SECRET_EXTRA);
	out[0] = VERSION;
	memcpy(out + 1, r->keys[0].id, ID_LEN);
	RAND_bytes(out + NONCE_AT, NONCE_LEN);
	if ((aad = place_text(a, out, at)).p == NULL ||
	    !EVP_AEAD_CTX_seal(&r->keys[0].aead, out + HEAD_LEN, &n,
		plain.n + TAG_LEN, out + NONCE_AT, NONCE_LEN,
		(const uint8_t *)plain.p, plain.n, (const uint8_t *)aad.p,
		aad.n))
		return STR_NONE;
	return str_make(out, HEAD_LEN + n);
}

struct wipe {
	void *p;
	size_t n;
};

static void
wipe_memory(void *arg)
{
	struct wipe *w = arg;

	OPENSSL_cleanse(w->p, w->n);
}

enum seal_verdict
seal_open_secret(struct arena *a, const struct seal_ring *r,
    const struct seal_place *at, struct str blob, struct str *plain)
{
	const uint8_t *in = (const uint8_t *)blob.p;
	const struct ring_key *k;
	struct wipe *w;
	struct str aad;
	size_t n;

	*plain = STR_NONE;
	if (blob.n > 0 && in[0] > VERSION)
		return SEAL_VERSION;
	if (blob.n < SEAL_SECRET_EXTRA || in[0] != VERSION ||
	    blob.n > SEAL_SECRET_EXTRA + SEAL_SECRET_MAX)
		return SEAL_BAD;
	if ((k = find_key(r, in + 1)) == NULL)
		return SEAL_NO_KEY;
	if ((aad = place_text(a, in, at)).p == NULL)
		return SEAL_BAD;
	w = arena_new(a, struct wipe);
	w->n = blob.n - SEAL_SECRET_EXTRA;
	w->p = arena_alloc(a, w->n + 1);
	arena_defer(a, wipe_memory, w);
	if (!EVP_AEAD_CTX_open(&k->aead, w->p, &n, w->n, in + NONCE_AT,
		NONCE_LEN, in + HEAD_LEN, blob.n - HEAD_LEN,
		(const uint8_t *)aad.p, aad.n))
		return SEAL_BAD;
	*plain = str_make(w->p, n);
	return SEAL_OK;
}
