/* SPDX-License-Identifier: ISC */
/*
 * The keys that seal the nonces of all replicas. The store keeps them, sealed;
 * each replica looks there once a minute, and whoever finds the newest one too
 * old adds the next. A new key only opens at first, until every replica has
 * had time to see it; the one before it opens on.
 */
#ifndef JOBS_NONCE_KEYS_H
#define JOBS_NONCE_KEYS_H

#include "acme/acme.h"
#include "loop/loop.h"
#include "seal/seal.h"
#include "store/store.h"

struct nonce_keys;

enum nonce_keys_verdict {
	NONCE_KEYS_OK,
	NONCE_KEYS_STORE,  /* the store does not say */
	NONCE_KEYS_SEALED, /* what it has is sealed under another key */
};

/* The first look is over; why is a constant, NULL for NONCE_KEYS_OK. */
typedef void nonce_keys_fn(void *arg, enum nonce_keys_verdict, const char *why);

/*
 * Make sure that there is a key, give it to acme, tell fn, and look on. All
 * but fn's arg outlive the result. lifetime: usec after which a key gets a
 * successor.
 */
struct nonce_keys *nonce_keys_start(struct loop *, struct store *,
    const struct seal_ring *, struct acme *, int64_t lifetime,
    nonce_keys_fn *fn, void *arg);

/* A reload may change the lifetime; looks at once. */
void nonce_keys_set_lifetime(struct nonce_keys *, int64_t lifetime);

/* No timer fires any more. NULL is fine. */
void nonce_keys_stop(struct nonce_keys *);

#endif
