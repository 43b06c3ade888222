/* SPDX-License-Identifier: ISC */
/* Buckets by address: a hash table with chains, and a list by last use. */
#include "acme/admission.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <openssl/siphash.h>

#include "base/id.h"
#include "base/when.h"

/*
 * usec of a bucket that is full: what an address may use at once, in terms of
 * its share. Another address counts as asking for as long after its last try.
 */
#define BURST WHEN_SECOND
#define ASKING WHEN_SECOND

/* Tokens that trickle in with time. */
struct bucket {
	int64_t level;
	int64_t at; /* when it had this level */
};

struct source {
	struct addr addr;
	struct bucket time;     /* in hundredths of usec, to hold percents */
	struct bucket requests; /* in usec of the window that they are worth */
	LIST_ENTRY(source) chain;
	TAILQ_ENTRY(source) age;
};

LIST_HEAD(sources, source);

struct admission {
	struct admission_bounds bounds;
	struct sources *chains;
	size_t nchains; /* a power of two */
	size_t size, max;
	uint64_t secret[2];
	TAILQ_HEAD(source_ages, source) ages; /* seen last first */
	/* the two addresses that tried to sign last */
	struct addr last[2];
	int64_t last_at[2];
};

struct admission *
admission_new(size_t addresses)
{
	struct admission *ad = calloc(1, sizeof(*ad));

	if (ad == NULL)
		abort();
	assert(addresses > 0);
	for (ad->nchains = 16; ad->nchains < addresses;)
		ad->nchains *= 2;
	if ((ad->chains = calloc(ad->nchains, sizeof(*ad->chains))) == NULL)
		abort();
	ad->max = addresses;
	id_random(ad->secret, sizeof(ad->secret));
	TAILQ_INIT(&ad->ages);
	return ad;
}

static void
drop_source(struct admission *ad, struct source *s)
{
	LIST_REMOVE(s, chain);
	TAILQ_REMOVE(&ad->ages, s, age);
	ad->size--;
	free(s);
}

void
admission_free(struct admission *ad)
{
	if (ad == NULL)
		return;
	while (!TAILQ_EMPTY(&ad->ages))
		drop_source(ad, TAILQ_FIRST(&ad->ages));
	free(ad->chains);
	free(ad);
}

void
admission_set(struct admission *ad, const struct admission_bounds *b)
{
	ad->bounds = *b;
}

size_t
admission_size(const struct admission *ad)
{
	return ad->size;
}

/*
 * Measured by tests/bench/bench_crypto (tests/bench/RESULTS): parsing and
 * verifying a request of this algorithm. RSA is that of 4096 bits, the
 * largest that is accepted and about three times that of 2048.
 */
int64_t
admission_cost(enum jws_alg alg)
{
	switch (alg) {
	case JWS_ES256:
		return 75;
	case JWS_ES384:
		return 665;
	case JWS_ES512:
		return 1650;
	case JWS_EDDSA:
		return 80;
	case JWS_RS256:
		return 150;
	case JWS_HS256: /* never sign requests */
	case JWS_HS384:
	case JWS_HS512:
		break;
	}
	return 1;
}

/* ---- sources */

static struct sources *
find_chain(const struct admission *ad, const struct addr *a)
{
	uint64_t h = SIPHASH_24(ad->secret, a->bytes, a->len);

	return &ad->chains[h & (ad->nchains - 1)];
}

static struct source *
add_source(struct admission *ad, struct addr a, int64_t mono)
{
	struct source *s;

	if (ad->size == ad->max)
		drop_source(ad, TAILQ_LAST(&ad->ages, source_ages));
	if ((s = calloc(1, sizeof(*s))) == NULL)
		abort();
	s->addr = a;
	s->time = (struct bucket){ INT64_MAX / 2, mono };
	s->requests = (struct bucket){ INT64_MAX / 2, mono };
	LIST_INSERT_HEAD(find_chain(ad, &a), s, chain);
	ad->size++;
	return s;
}

/* The source of an address (masked), now the one that was seen last. */
static struct source *
get_source(struct admission *ad, struct addr a, int64_t mono)
{
	struct source *s;

	LIST_FOREACH(s, find_chain(ad, &a), chain)
		if (addr_eq(s->addr, a))
			break;
	if (s != NULL)
		TAILQ_REMOVE(&ad->ages, s, age);
	else
		s = add_source(ad, a, mono);
	TAILQ_INSERT_HEAD(&ad->ages, s, age);
	return s;
}

/* ---- buckets */

/*
 * Let in what has come since at `rate` a microsecond, to the brim at most. A
 * bucket that was full for long does not overflow the sum.
 */
static void
fill(struct bucket *b, int64_t rate, int64_t brim, int64_t mono)
{
	int64_t since = mono - b->at;

	b->at = mono;
	if (since > brim / rate)
		b->level = brim;
	else
		b->level += since * rate;
	if (b->level > brim)
		b->level = brim;
}

/* 0 if there is enough, else how long until there is. */
static int64_t
wait_of(const struct bucket *b, int64_t rate, int64_t want)
{
	return b->level >= want ? 0 : (want - b->level + rate - 1) / rate;
}

/* ---- signatures */

static bool
is_bounded(const struct admission *ad)
{
	return ad->bounds.share > 0 && ad->bounds.share < 100;
}

/* Has another one tried lately? Then `a` is the one that tried last. */
static bool
are_others_asking(struct admission *ad, struct addr a, int64_t mono)
{
	if (!addr_eq(ad->last[0], a)) {
		ad->last[1] = ad->last[0];
		ad->last_at[1] = ad->last_at[0];
		ad->last[0] = a;
	}
	ad->last_at[0] = mono;
	return ad->last[1].len > 0 && mono - ad->last_at[1] < ASKING;
}

static void
pay(struct bucket *b, int64_t price)
{
	b->level = b->level > price ? b->level - price : 0;
}

int64_t
admission_sign(struct admission *ad, struct addr peer, int64_t cost,
    int64_t mono)
{
	struct addr a = addr_mask(peer, ADMISSION_NET_BITS);
	int64_t rate = ad->bounds.share, wait;
	struct source *s;
	bool others;

	if (a.len == 0 || !is_bounded(ad))
		return 0;
	s = get_source(ad, a, mono);
	others = are_others_asking(ad, a, mono);
	fill(&s->time, rate, rate * BURST, mono);
	wait = wait_of(&s->time, rate, cost * 100);
	if (wait > 0 && others)
		return wait;
	pay(&s->time, cost * 100);
	return 0;
}

void
admission_charge(struct admission *ad, struct addr peer, int64_t cost,
    int64_t mono)
{
	struct addr a = addr_mask(peer, ADMISSION_NET_BITS);
	struct source *s;

	if (a.len == 0 || !is_bounded(ad))
		return;
	s = get_source(ad, a, mono);
	fill(&s->time, ad->bounds.share, ad->bounds.share * BURST, mono);
	s->time.level -= cost * 100;
	if (s->time.level < -cost * 100)
		s->time.level = -cost * 100;
}

/* ---- unsigned requests: each is worth a part of the window */

int64_t
admission_request(struct admission *ad, struct addr peer, int64_t mono)
{
	struct addr a = addr_mask(peer, ADMISSION_NET_BITS);
	const struct admission_bounds *b = &ad->bounds;
	int64_t worth, wait;
	struct source *s;

	if (a.len == 0 || b->requests == 0)
		return 0;
	worth = b->requests_window / b->requests;
	s = get_source(ad, a, mono);
	fill(&s->requests, 1, worth * b->requests, mono);
	if ((wait = wait_of(&s->requests, 1, worth)) > 0)
		return wait;
	pay(&s->requests, worth);
	return 0;
}
