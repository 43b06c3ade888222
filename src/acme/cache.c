/* SPDX-License-Identifier: ISC */
/* Accounts by id: a hash table with chains, and a list from new to old. */
#include "acme/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/evp.h>

#include "base/when.h"
#include "metrics/metrics.h"

struct entry {
	struct cached_account account;
	int64_t loaded; /* loop_mono */
	LIST_ENTRY(entry) chain;
	TAILQ_ENTRY(entry) age;
	char text[]; /* id, profile, allowed and limits */
};

LIST_HEAD(chain, entry);

struct cache {
	struct chain *chains;
	size_t nchains; /* a power of two */
	size_t size, max;
	TAILQ_HEAD(ages_head, entry) ages; /* newest first */
};

struct cache *
cache_new(size_t max)
{
	struct cache *c = calloc(1, sizeof(*c));
	size_t n = 16;

	while (n < max)
		n *= 2;
	if (c == NULL || (c->chains = calloc(n, sizeof(*c->chains))) == NULL)
		abort();
	c->nchains = n;
	c->max = max > 0 ? max : 1;
	TAILQ_INIT(&c->ages);
	return c;
}

static void
drop_entry(struct cache *c, struct entry *e)
{
	LIST_REMOVE(e, chain);
	TAILQ_REMOVE(&c->ages, e, age);
	c->size--;
	EVP_PKEY_free(e->account.key);
	free(e);
}

void
cache_clear(struct cache *c)
{
	while (!TAILQ_EMPTY(&c->ages))
		drop_entry(c, TAILQ_FIRST(&c->ages));
}

void
cache_free(struct cache *c)
{
	if (c == NULL)
		return;
	cache_clear(c);
	free(c->chains);
	free(c);
}

/* Only ids that the store knows get in, and those we drew at random. */
static struct chain *
find_chain(struct cache *c, struct str id)
{
	uint64_t h = 0;

	/* their end is random, their beginning is a time */
	if (id.n >= sizeof(h))
		memcpy(&h, id.p + id.n - sizeof(h), sizeof(h));
	else
		memcpy(&h, id.p, id.n);
	return &c->chains[(h * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
	    (c->nchains - 1)];
}

static struct entry *
find_entry(struct cache *c, struct str profile, struct str id)
{
	struct entry *e;

	LIST_FOREACH(e, find_chain(c, id), chain)
		if (str_eq(e->account.id, id) &&
		    str_eq(e->account.profile, profile))
			return e;
	return NULL;
}

const struct cached_account *
cache_get(struct cache *c, struct str profile, struct str id, int64_t mono)
{
	struct entry *e = find_entry(c, profile, id);

	if (e == NULL || mono - e->loaded > CACHE_MAX_AGE * WHEN_SECOND) {
		metrics_add(METRIC_account_cache_misses, 1);
		return NULL;
	}
	metrics_add(METRIC_account_cache_hits, 1);
	return &e->account;
}

void
cache_put(struct cache *c, const struct cached_account *a, int64_t mono)
{
	struct entry *e;

	cache_drop(c, a->profile, a->id);
	if (c->size == c->max)
		drop_entry(c, TAILQ_LAST(&c->ages, ages_head));
	e = calloc(1,
	    sizeof(*e) + a->id.n + a->profile.n + a->allowed.n + a->limits.n);
	if (e == NULL)
		abort();
	e->account = *a;
	memcpy(e->text, a->id.p, a->id.n);
	memcpy(e->text + a->id.n, a->profile.p, a->profile.n);
	if (a->allowed.n > 0)
		memcpy(e->text + a->id.n + a->profile.n, a->allowed.p,
		    a->allowed.n);
	if (a->limits.n > 0)
		memcpy(e->text + a->id.n + a->profile.n + a->allowed.n,
		    a->limits.p, a->limits.n);
	e->account.id = str_make(e->text, a->id.n);
	e->account.limits = str_make(e->text + a->id.n + a->profile.n +
		a->allowed.n,
	    a->limits.n);
	e->account.profile = str_make(e->text + a->id.n, a->profile.n);
	e->account.allowed = str_make(e->text + a->id.n + a->profile.n,
	    a->allowed.n);
	EVP_PKEY_up_ref(a->key);
	e->loaded = mono;
	LIST_INSERT_HEAD(find_chain(c, a->id), e, chain);
	TAILQ_INSERT_HEAD(&c->ages, e, age);
	c->size++;
}

void
cache_drop(struct cache *c, struct str profile, struct str id)
{
	struct entry *e = find_entry(c, profile, id);

	if (e != NULL)
		drop_entry(c, e);
}

size_t
cache_size(const struct cache *c)
{
	return c->size;
}
