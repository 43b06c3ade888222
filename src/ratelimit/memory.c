/* SPDX-License-Identifier: ISC */
/*
 * The counts of this process. For each key a ring of the moments at which one
 * was taken, no longer than max; it grows as it fills. A ring of which all
 * moments are out of the window counts for nothing: it goes when room is
 * needed, and two of them with each new key, so memory follows the traffic.
 *
 * Keys are hashed with a secret (clients choose some of them).
 */
#include "ratelimit/ratelimit_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/siphash.h>

#include "base/id.h"

enum { RING_MIN = 4, CHAINS_MIN = 64, SWEEP = 2 };

/* moments[(first + i) % cap], i < len: from old to new. */
struct ring {
	int64_t *moments;
	unsigned cap, first, len;
};

struct counted {
	LIST_ENTRY(counted) chain;
	TAILQ_ENTRY(counted) age; /* in the list of its limit */
	struct ring ring;
	int64_t expires; /* when its newest moment leaves the window */
	enum limit_id limit;
	bool in_use; /* by the request that is being decided */
	size_t key_len;
	char key[];
};

LIST_HEAD(chain, counted);
TAILQ_HEAD(ages, counted);

struct memory {
	struct chain *chains;
	size_t nchains; /* a power of two */
	size_t keys, keys_max, bytes, bytes_max;
	uint64_t secret[2];
	int64_t last; /* the clock, which never goes back here */
	struct ages ages[LIMIT_COUNT]; /* the one taken longest ago first */
};

struct memory *
memory_new(size_t keys_max, size_t bytes_max)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (m == NULL)
		abort();
	m->nchains = CHAINS_MIN;
	while (m->nchains < keys_max)
		m->nchains *= 2;
	if ((m->chains = calloc(m->nchains, sizeof(*m->chains))) == NULL)
		abort();
	m->keys_max = keys_max;
	m->bytes_max = bytes_max;
	id_random(m->secret, sizeof(m->secret));
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		TAILQ_INIT(&m->ages[i]);
	return m;
}

static void
drop(struct memory *m, struct counted *c)
{
	LIST_REMOVE(c, chain);
	TAILQ_REMOVE(&m->ages[c->limit], c, age);
	m->keys--;
	m->bytes -= sizeof(*c) + c->key_len +
	    c->ring.cap * sizeof(*c->ring.moments);
	free(c->ring.moments);
	free(c);
}

void
memory_free(struct memory *m)
{
	struct counted *c;

	if (m == NULL)
		return;
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		while ((c = TAILQ_FIRST(&m->ages[i])) != NULL)
			drop(m, c);
	free(m->chains);
	free(m);
}

size_t
memory_keys(const struct memory *m)
{
	return m->keys;
}

size_t
memory_bytes(const struct memory *m)
{
	return m->bytes;
}

/* ---- finding */

static struct chain *
find_chain(const struct memory *m, enum limit_id limit, struct str key)
{
	uint64_t h = SIPHASH_24(m->secret, (const uint8_t *)key.p, key.n);

	return &m->chains[(h + (unsigned)limit) & (m->nchains - 1)];
}

static struct counted *
find(const struct memory *m, const struct taking *t)
{
	struct counted *c;

	LIST_FOREACH(c, find_chain(m, t->limit, t->key), chain)
		if (c->limit == t->limit &&
		    str_eq(str_make(c->key, c->key_len), t->key))
			return c;
	return NULL;
}

/* ---- rings */

/* The n-th newest moment, n from 1 to len. */
static int64_t
nth_newest(const struct ring *r, unsigned n)
{
	return r->moments[(r->first + r->len - n) % r->cap];
}

/* Forget the moments that have left the window. */
static void
trim(struct ring *r, int64_t window, int64_t now)
{
	while (r->len > 0 && nth_newest(r, r->len) + window <= now) {
		r->first = (r->first + 1) % r->cap;
		r->len--;
	}
}

/* How long until one more may be taken; 0: now. */
static int64_t
wait_of(const struct ring *r, const struct limit *l, int64_t now)
{
	int64_t left;

	if (r->len < l->max)
		return 0;
	left = nth_newest(r, l->max) + l->window - now;
	return left > 0 ? left : 0;
}

static void
resize(struct memory *m, struct ring *r, unsigned cap)
{
	int64_t *moments = malloc(cap * sizeof(*moments));

	if (moments == NULL)
		abort();
	for (unsigned i = 0; i < r->len; i++)
		moments[i] = r->moments[(r->first + i) % r->cap];
	m->bytes += cap * sizeof(*moments);
	m->bytes -= r->cap * sizeof(*moments);
	free(r->moments);
	*r = (struct ring){ .moments = moments, .cap = cap, .len = r->len };
}

/* The room for one moment more: no more than max, little if it is empty. */
static unsigned
pick_cap(const struct ring *r, const struct limit *l)
{
	unsigned cap = r->len > 0 ? r->cap : RING_MIN;

	if (cap == r->len)
		cap *= 2;
	return cap < l->max ? cap : l->max;
}

/* One may be taken, and the ring was trimmed: it has fewer than max. */
static void
add_moment(struct memory *m, struct ring *r, const struct limit *l, int64_t now)
{
	unsigned cap = pick_cap(r, l);

	assert(r->len < l->max);
	if (cap != r->cap)
		resize(m, r, cap);
	r->moments[(r->first + r->len++) % r->cap] = now;
}

/* ---- the bounds */

/* The key, of all limits, that will be out of its window first. */
static struct counted *
first_to_expire(struct memory *m)
{
	struct counted *c, *first = NULL;

	for (size_t i = 0; i < LIMIT_COUNT; i++) {
		c = TAILQ_FIRST(&m->ages[i]);
		while (c != NULL && c->in_use)
			c = TAILQ_NEXT(c, age);
		if (c != NULL && (first == NULL || c->expires < first->expires))
			first = c;
	}
	return first;
}

static bool
drop_expired(struct memory *m, int64_t now)
{
	struct counted *c = first_to_expire(m);

	if (c == NULL || c->expires > now)
		return false;
	drop(m, c);
	return true;
}

/* Keys and bytes that the request will add, at most. */
static void
measure(const struct memory *m, const struct taking *v, size_t n, size_t *keys,
    size_t *bytes)
{
	const struct counted *c;
	unsigned cap;

	*keys = *bytes = 0;
	for (size_t i = 0; i < n; i++) {
		if (v[i].mode != TAKE)
			continue;
		if ((c = find(m, &v[i])) == NULL) {
			++*keys;
			*bytes += sizeof(*c) + v[i].key.n +
			    RING_MIN * sizeof(int64_t);
		} else {
			cap = pick_cap(&c->ring, &v[i].values);
			if (cap > c->ring.cap)
				*bytes += (cap - c->ring.cap) * sizeof(int64_t);
		}
	}
}

static void
set_in_use(struct memory *m, const struct taking *v, size_t n, bool in_use)
{
	struct counted *c;

	for (size_t i = 0; i < n; i++)
		if ((c = find(m, &v[i])) != NULL)
			c->in_use = in_use;
}

/* Make room for the request; false if what counts is in the way. */
static bool
make_room(struct memory *m, int64_t now, const struct taking *v, size_t n)
{
	size_t keys, bytes;
	bool fits;

	measure(m, v, n, &keys, &bytes);
	if (keys == 0 && bytes == 0)
		return true;
	set_in_use(m, v, n, true);
	for (unsigned i = 0; i < SWEEP && drop_expired(m, now); i++)
		continue;
	do {
		fits = m->keys + keys <= m->keys_max &&
		    m->bytes + bytes <= m->bytes_max;
	} while (!fits && drop_expired(m, now));
	set_in_use(m, v, n, false);
	return fits;
}

/* ---- taking */

static void
record(struct memory *m, int64_t now, const struct taking *t)
{
	struct counted *c = find(m, t);

	if (c == NULL) {
		c = calloc(1, sizeof(*c) + t->key.n);
		if (c == NULL)
			abort();
		c->limit = t->limit;
		c->key_len = t->key.n;
		memcpy(c->key, t->key.p, t->key.n);
		LIST_INSERT_HEAD(find_chain(m, t->limit, t->key), c, chain);
		m->keys++;
		m->bytes += sizeof(*c) + c->key_len;
	} else {
		TAILQ_REMOVE(&m->ages[c->limit], c, age);
	}
	TAILQ_INSERT_TAIL(&m->ages[c->limit], c, age);
	add_moment(m, &c->ring, &t->values, now);
	c->expires = now + t->values.window;
}

static int64_t
read_clock(struct memory *m, int64_t now)
{
	if (now > m->last)
		m->last = now;
	return m->last;
}

static void
refuse_full(struct memory *m, int64_t now, const struct taking *t,
    struct ratelimit_result *result)
{
	const struct counted *c = first_to_expire(m);

	metrics_add(METRIC_limit_keys_full, 1);
	result->status = RATELIMIT_FULL;
	result->limit = t->limit;
	result->values = t->values;
	result->wait = c != NULL ? c->expires - now : t->values.window;
}

void
memory_take(struct memory *m, int64_t clock, const struct taking *v, size_t n,
    struct ratelimit_result *result)
{
	int64_t now = read_clock(m, clock), wait;
	struct counted *c;

	result->status = RATELIMIT_PASS;
	for (size_t i = 0; i < n; i++) {
		if ((c = find(m, &v[i])) == NULL)
			continue;
		trim(&c->ring, v[i].values.window, now);
		wait = wait_of(&c->ring, &v[i].values, now);
		if (wait == 0 ||
		    (result->status == RATELIMIT_REFUSED &&
			wait <= result->wait))
			continue;
		result->status = RATELIMIT_REFUSED;
		result->limit = v[i].limit;
		result->values = v[i].values;
		result->wait = wait;
	}
	if (result->status == RATELIMIT_REFUSED)
		return;
	if (!make_room(m, now, v, n)) {
		refuse_full(m, now, &v[0], result);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (v[i].mode == TAKE)
			record(m, now, &v[i]);
}

/* ---- one key */

void
memory_show(struct memory *m, int64_t clock, const struct taking *t,
    struct ratelimit_view *view)
{
	int64_t now = read_clock(m, clock);
	const struct counted *c = find(m, t);

	view->used = 0;
	view->wait = 0;
	if (c == NULL)
		return;
	while (view->used < c->ring.len &&
	    nth_newest(&c->ring, view->used + 1) + t->values.window > now)
		view->used++;
	view->wait = wait_of(&c->ring, &t->values, now);
}

void
memory_reset(struct memory *m, const struct taking *t)
{
	struct counted *c = find(m, t);

	if (c != NULL)
		drop(m, c);
}
