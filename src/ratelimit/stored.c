/* SPDX-License-Identifier: ISC */
/*
 * The counts in the store, and nonces that it redeems: one batch decides a
 * whole request, by the clock of the database (store/sql/limit.sql says how).
 * What a batch did that is not answered nobody knows, so it counts as refused.
 */
#include "ratelimit/ratelimit_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64url.h"
#include "base/id.h"
#include "base/when.h"
#include "log/log.h"

static enum step on_taken(void *, const struct store_result *);
static enum step on_looked(void *, const struct store_result *);

/*
 * LIMIT:KEY, or LIMIT=KEY in base64url if the key holds what is no printable
 * ASCII: the store takes text only.
 */
static struct str
head_id(struct arena *a, const struct taking *v)
{
	bool plain = true;

	for (size_t i = 0; i < v->key.n; i++)
		plain = plain && v->key.p[i] > ' ' && v->key.p[i] < 0x7f;
	return str_printf(a, "%s%c" STR_FMT, limit_name(v->limit),
	    plain ? ':' : '=',
	    STR_ARG(plain ? v->key : b64url_encode(a, v->key)));
}

/* ---- take */

/* By name and key, in every process: two requests that take the same heads do
 * not wait for each other. */
static int
compare(const void *a, const void *b)
{
	const struct taking *x = a, *y = b;
	int by_name = strcmp(limit_name(x->limit), limit_name(y->limit));

	return by_name != 0 ? by_name : str_cmp(x->key, y->key);
}

static void
add_heads(struct batch *b, const struct taking_op *t, const struct str *ids)
{
	for (size_t i = 0; i < t->n; i++) {
		store_add(b, SQL_LIMIT_TAKE_HEAD);
		store_str(b, ids[i]);
		store_int(b, t->v[i].values.window);
	}
	for (size_t i = 0; i < t->n && t->mending; i++) {
		store_add(b, SQL_LIMIT_MEND);
		store_str(b, ids[i]);
		store_int(b, t->v[i].values.window);
	}
}

static bool
counts_here(const struct taking_op *t)
{
	return t->n > 0 && t->rl->options.backend == RATELIMIT_STORE;
}

static void
add_nonce(struct batch *b, struct taking_op *t, struct str head,
    const struct ratelimit_nonce *nonce)
{
	int64_t mark;

	assert(nonce->id.n <= LIMIT_KEY_MAX && nonce->ttl > 0);
	id_random(&mark, sizeof(mark));
	t->nonce_at = store_add(b, SQL_NONCE_REDEEM);
	store_str(b, nonce->id);
	store_int(b, nonce->ttl);
	store_str(b, nonce->epoch);
	store_int(b, mark);
	if (!counts_here(t))
		return;
	store_add(b, SQL_LIMIT_VOID_HEAD);
	store_str(b, head);
	store_str(b, nonce->id);
	store_int(b, mark);
}

static void
add_decision(struct batch *b, struct taking_op *t, const struct str *ids)
{
	for (size_t i = 0; i < t->n; i++) {
		unsigned at = store_add(b, SQL_LIMIT_JUDGE);

		store_str(b, ids[0]);
		store_str(b, ids[i]);
		store_int(b, t->v[i].values.max);
		store_int(b, t->v[i].values.window);
		if (i == 0)
			t->judged_at = at;
	}
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i].mode != TAKE)
			continue;
		store_add(b, SQL_LIMIT_STAMP);
		store_str(b, ids[0]);
		store_str(b, ids[i]);
		store_int(b, t->v[i].values.window);
	}
}

void
stored_take(struct taking_op *t, const struct ratelimit_nonce *nonce)
{
	struct arena *a = arena_create();
	struct str *ids = arena_array(a, struct str, t->n + 1);
	bool counts = counts_here(t);
	struct batch *b;

	assert(counts || nonce != NULL);
	qsort(t->v, t->n, sizeof(t->v[0]), compare);
	for (size_t i = 0; i < t->n; i++)
		ids[i] = head_id(a, &t->v[i]);
	b = store_new_batch(t->rl->options.store, &t->rl->asking,
	    counts ? ids[0] : nonce->id);
	t->has_nonce = nonce != NULL;
	if (counts)
		add_heads(b, t, ids);
	if (nonce != NULL)
		add_nonce(b, t, ids[0], nonce);
	if (counts)
		add_decision(b, t, ids);
	(void)store_send_batch(b, on_taken, t);
	arena_destroy(a);
}

static void
take_failure(struct taking_op *t, const struct store_result *r)
{
	metrics_add(METRIC_limits_store_failures, 1);
	log_sampled(LOG_WARN, 1,
	    "the store did not decide on limits or a nonce",
	    LOG_TEXT("cause", store_cause(r)));
	if (t->has_nonce)
		t->result.redeemed = REDEEMED_UNKNOWN;
	t->result.status = RATELIMIT_DOWN;
	t->result.wait = r->problem != NULL && r->problem->retry_after > 0 ?
	    r->problem->retry_after * WHEN_SECOND :
	    WHEN_SECOND;
	if (t->n > 0) {
		t->result.limit = t->v[0].limit;
		t->result.values = t->v[0].values;
	}
}

/*
 * Each judgement with a row is one of a limit that refuses longer than those
 * before it: the last of them tells. A wait that is longer than the window
 * comes of a clock that was set back.
 */
static bool
take_decision(struct taking_op *t, const struct store_result *r)
{
	t->result.status = RATELIMIT_PASS;
	for (size_t i = 0; i < t->n; i++) {
		const struct taking *v = &t->v[i];
		unsigned at = t->judged_at + (unsigned)i;

		if (store_nrows(r, at) == 0)
			continue;
		t->result.status = RATELIMIT_REFUSED;
		t->result.limit = v->limit;
		t->result.values = v->values;
		t->result.wait = store_get_int(r, at, 0, LIMIT_JUDGE_WAIT);
		if (t->result.wait > v->values.window && !t->mending)
			return false;
	}
	return true;
}

static void
decide_elsewhere(struct taking_op *t)
{
	switch (t->n > 0 ? t->rl->options.backend : RATELIMIT_MEMORY) {
	case RATELIMIT_REDIS:
		shared_take(t, NULL);
		return;
	case RATELIMIT_MEMORY:
	case RATELIMIT_STORE:
		taking_decide(t);
		taking_finish(t);
		return;
	}
}

static enum step
on_taken(void *arg, const struct store_result *r)
{
	struct taking_op *t = arg;

	if (r->status != STORE_OK) {
		take_failure(t, r);
		taking_finish(t);
		return STEP_DONE;
	}
	if (t->has_nonce) {
		t->result.redeemed = store_nrows(r, t->nonce_at) > 0 ?
		    REDEEMED :
		    REDEEMED_BEFORE;
		if (t->result.redeemed != REDEEMED) {
			t->result.status = RATELIMIT_NONCE;
			taking_finish(t);
			return STEP_DONE;
		}
	}
	if (!counts_here(t)) {
		decide_elsewhere(t);
		return STEP_DONE;
	}
	if (!take_decision(t, r)) {
		t->mending = true;
		stored_take(t, NULL); /* the nonce stays redeemed */
		return STEP_DONE;
	}
	taking_finish(t);
	return STEP_DONE;
}

/* ---- look */

void
stored_look(struct taking_op *t, enum shared_look what)
{
	struct arena *a = arena_create();
	struct str id = head_id(a, &t->v[0]);
	struct batch *b = store_new_batch(t->rl->options.store, &t->rl->asking,
	    id);

	store_add(b, SQL_LIMIT_SHOW);
	store_str(b, id);
	store_int(b, t->v[0].values.max);
	store_int(b, t->v[0].values.window);
	if (what == SHARED_RESET) {
		store_add(b, SQL_LIMIT_FORGET);
		store_str(b, id);
	}
	(void)store_send_batch(b, on_looked, t);
	arena_destroy(a);
}

static enum step
on_looked(void *arg, const struct store_result *r)
{
	struct taking_op *t = arg;
	int64_t wait;

	if (r->status == STORE_OK) {
		t->view.used = (unsigned)store_get_int(r, 0, 0,
		    LIMIT_SHOW_USED);
		wait = store_get_int(r, 0, 0, LIMIT_SHOW_WAIT);
		if (wait > t->view.values.window)
			wait = t->view.values.window;
		t->view.wait = wait > 0 ? wait : 0;
	} else {
		t->view.trouble = "the store does not answer now";
	}
	taking_finish(t);
	return STEP_DONE;
}
