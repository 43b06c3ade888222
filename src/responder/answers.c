/* SPDX-License-Identifier: ISC */
/*
 * Signed answers in memory: sets of a few places each, chosen by a keyed hash
 * of the serial, so all about one certificate are in one set. The oldest of a
 * set gives way. An answer is used for KEEP, or half of its life if that is
 * less: that long it may call good what another process saw revoked, which its
 * nextUpdate allows.
 */
#include "responder/responder_int.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/siphash.h>

#include "base/id.h"
#include "base/when.h"

enum { SETS = 4096, WAYS = 4, ANSWER_MAX = 8192 };

static const int64_t KEEP = 30 * WHEN_SECOND;

struct place {
	char *text; /* serial, CertID, answer; NULL: nothing here */
	size_t nserial, nid, nder;
	int64_t added; /* loop_mono, as is the next */
	int64_t until;
	int64_t this_update, next_update;
	const char *verdict;
};

struct ocsp_cache {
	uint64_t key[2];
	uint64_t era;
	size_t size;
	struct place places[SETS][WAYS];
};

struct ocsp_cache *
ocsp_cache_new(void)
{
	struct ocsp_cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	id_random(c->key, sizeof(c->key));
	return c;
}

static void
empty(struct ocsp_cache *c, struct place *p)
{
	if (p->text == NULL)
		return;
	free(p->text);
	*p = (struct place){ .text = NULL };
	c->size--;
}

void
ocsp_cache_free(struct ocsp_cache *c)
{
	for (size_t i = 0; i < SETS; i++)
		for (size_t j = 0; j < WAYS; j++)
			empty(c, &c->places[i][j]);
	free(c);
}

static struct place *
set_of(struct ocsp_cache *c, struct str serial)
{
	return c
	    ->places[SIPHASH_24(c->key, (const uint8_t *)serial.p, serial.n) %
		SETS];
}

static bool
is_about(const struct place *p, struct str serial)
{
	return p->text != NULL && str_eq(str_make(p->text, p->nserial), serial);
}

static bool
is_of(const struct place *p, struct str serial, struct str id)
{
	return is_about(p, serial) &&
	    str_eq(str_make(p->text + p->nserial, p->nid), id);
}

bool
ocsp_cache_find(struct ocsp_cache *c, int64_t now, struct str serial,
    struct str cert_id, struct ocsp_answer *out)
{
	struct place *set = set_of(c, serial);

	for (size_t i = 0; i < WAYS; i++) {
		struct place *p = &set[i];

		if (!is_of(p, serial, cert_id))
			continue;
		if (now >= p->until) {
			empty(c, p);
			return false;
		}
		out->der = str_make(p->text + p->nserial + p->nid, p->nder);
		out->verdict = p->verdict;
		out->this_update = p->this_update;
		out->next_update = p->next_update;
		return true;
	}
	return false;
}

/* The same again, an empty place, or the oldest. */
static struct place *
choose(struct place *set, struct str serial, struct str cert_id)
{
	struct place *best = &set[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (is_of(&set[i], serial, cert_id))
			return &set[i];
		if (best->text != NULL &&
		    (set[i].text == NULL || set[i].added < best->added))
			best = &set[i];
	}
	return best;
}

void
ocsp_cache_add(struct ocsp_cache *c, int64_t now, struct str serial,
    struct str cert_id, uint64_t era, const struct ocsp_answer *an)
{
	int64_t half = (an->next_update - an->this_update) / 2;
	struct place *p;
	char *text;

	if (era != c->era || an->der.n > ANSWER_MAX)
		return;
	p = choose(set_of(c, serial), serial, cert_id);
	empty(c, p);
	text = malloc(serial.n + cert_id.n + an->der.n);
	if (text == NULL)
		abort();
	memcpy(text, serial.p, serial.n);
	memcpy(text + serial.n, cert_id.p, cert_id.n);
	memcpy(text + serial.n + cert_id.n, an->der.p, an->der.n);
	*p = (struct place){ .text = text,
		.nserial = serial.n,
		.nid = cert_id.n,
		.nder = an->der.n,
		.verdict = an->verdict,
		.added = now,
		.until = now + (half < KEEP ? half : KEEP),
		.this_update = an->this_update,
		.next_update = an->next_update };
	c->size++;
}

uint64_t
ocsp_cache_era(const struct ocsp_cache *c)
{
	return c->era;
}

void
ocsp_cache_forget(struct ocsp_cache *c, struct str serial)
{
	struct place *set = set_of(c, serial);

	c->era++;
	for (size_t i = 0; i < WAYS; i++)
		if (is_about(&set[i], serial))
			empty(c, &set[i]);
}

size_t
ocsp_cache_size(const struct ocsp_cache *c)
{
	return c->size;
}
