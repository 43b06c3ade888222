/* SPDX-License-Identifier: ISC */
/*
 * Session tickets (RFC 5077, RFC 8446 section 4.6.1), sealed with
 * AES-256-GCM under a key that lives in this process only and is replaced
 * every TICKET_ROTATE seconds; the one before it still opens. A ticket that
 * does not open costs its client a full handshake, nothing else, so replicas
 * need not share keys.
 *
 *	ticket = key id (8) | nonce (12) | sealed session
 */
#include "tls/tls_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/aead.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

enum {
	ID_LEN = 8,
	NONCE_LEN = 12,
	HEAD_LEN = ID_LEN + NONCE_LEN,
	TAG_LEN = 16
};

struct key {
	uint8_t id[ID_LEN];
	EVP_AEAD_CTX *aead; /* NULL: no key yet */
};

struct tls_tickets {
	unsigned refs;
	int64_t made, shift; /* of now; moves the clock for tests */
	struct key now, before;
};

static int64_t
clock_now(const struct tls_tickets *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec + t->shift;
}

static void
make_key(struct key *k)
{
	uint8_t secret[32];

	RAND_bytes(k->id, sizeof(k->id));
	RAND_bytes(secret, sizeof(secret));
	k->aead = EVP_AEAD_CTX_new(EVP_aead_aes_256_gcm(), secret,
	    sizeof(secret), TAG_LEN);
	if (k->aead == NULL)
		abort();
	OPENSSL_cleanse(secret, sizeof(secret));
}

struct tls_tickets *
tickets_new(void)
{
	struct tls_tickets *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	t->refs = 1;
	t->made = clock_now(t);
	make_key(&t->now);
	return t;
}

struct tls_tickets *
tickets_ref(struct tls_tickets *t)
{
	t->refs++;
	return t;
}

void
tickets_unref(struct tls_tickets *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	EVP_AEAD_CTX_free(t->now.aead);
	EVP_AEAD_CTX_free(t->before.aead);
	free(t);
}

void
tickets_age(struct tls_tickets *t, int64_t seconds)
{
	t->shift += seconds;
}

static void
rotate(struct tls_tickets *t)
{
	int64_t now = clock_now(t), age = now - t->made;

	if (age < TICKET_ROTATE)
		return;
	EVP_AEAD_CTX_free(t->before.aead);
	t->before = t->now;
	if (age >= 2 * TICKET_ROTATE) { /* it was not used for that long */
		EVP_AEAD_CTX_free(t->before.aead);
		t->before.aead = NULL;
	}
	make_key(&t->now);
	t->made = now;
}

static size_t
max_overhead(SSL *ssl)
{
	(void)ssl;
	return HEAD_LEN + TAG_LEN;
}

static int
seal(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, const uint8_t *in,
    size_t in_len)
{
	struct tls_tickets *t = conn_state(ssl)->tickets;

	rotate(t);
	if (max_out < HEAD_LEN)
		return 0;
	memmove(out + HEAD_LEN, in, in_len); /* they may be the same buffer */
	memcpy(out, t->now.id, ID_LEN);
	RAND_bytes(out + ID_LEN, NONCE_LEN);
	if (!EVP_AEAD_CTX_seal(t->now.aead, out + HEAD_LEN, out_len,
		max_out - HEAD_LEN, out + ID_LEN, NONCE_LEN, out + HEAD_LEN,
		in_len, out, ID_LEN))
		return 0;
	*out_len += HEAD_LEN;
	return 1;
}

static const struct key *
find_key(const struct tls_tickets *t, const uint8_t *id)
{
	if (memcmp(t->now.id, id, ID_LEN) == 0)
		return &t->now;
	if (t->before.aead != NULL && memcmp(t->before.id, id, ID_LEN) == 0)
		return &t->before;
	return NULL;
}

static enum ssl_ticket_aead_result_t
open_ticket(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out,
    const uint8_t *in, size_t in_len)
{
	struct tls_tickets *t = conn_state(ssl)->tickets;
	const struct key *k;

	rotate(t);
	if (in_len < HEAD_LEN || (k = find_key(t, in)) == NULL)
		return ssl_ticket_aead_ignore_ticket;
	if (!EVP_AEAD_CTX_open(k->aead, out, out_len, max_out, in + ID_LEN,
		NONCE_LEN, in + HEAD_LEN, in_len - HEAD_LEN, in, ID_LEN))
		return ssl_ticket_aead_ignore_ticket;
	return ssl_ticket_aead_success;
}

const SSL_TICKET_AEAD_METHOD tickets_method = {
	.max_overhead = max_overhead,
	.seal = seal,
	.open = open_ticket,
};
