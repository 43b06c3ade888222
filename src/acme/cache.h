/* SPDX-License-Identifier: ISC */
/*
 * The account cache: bounded, 60 s old at most, only a hint for whom to check
 * a signature against. It may name a key that was changed, or an account that
 * was deactivated, less than a minute ago. No harm is done: the SQL of every
 * signed route carries the account's status and key version, so a stale entry
 * finds no row, and the gate loads the account again; so it does before it
 * says that a signature is wrong.
 */
#ifndef ACME_CACHE_H
#define ACME_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/base.h>

#include "base/str.h"
#include "jose/jwk.h"

struct cache;

struct cached_account {
	struct str id, profile;
	EVP_PKEY *key; /* a reference of the cache's own */
	enum jwk_kind kind;
	int64_t key_version;
	struct str allowed; /* never changes */
	struct str limits;  /* a change of them may be seconds late */
};

enum { CACHE_MAX_AGE = 60 }; /* seconds */

struct cache *cache_new(size_t max);
void cache_free(struct cache *);

/* The account if it is known and young; valid until the next cache call. */
const struct cached_account *cache_get(struct cache *, struct str profile,
    struct str id, int64_t mono);

/* Remember a copy (the key gains a reference); the oldest goes if full. */
void cache_put(struct cache *, const struct cached_account *, int64_t mono);

/* Forget one account, if it is there. */
void cache_drop(struct cache *, struct str profile, struct str id);

/* Forget all. */
void cache_clear(struct cache *);

/* Accounts held now. */
size_t cache_size(const struct cache *);

#endif
