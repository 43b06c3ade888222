/* SPDX-License-Identifier: ISC */
/*
 * The step between the checks of the gate and the handler: the nonce is
 * redeemed by whomever it names, the limits are taken. One round trip where
 * Redis has both; none where this process has both. A request that was
 * refused comes through here too, so that its nonce is used up; it takes no
 * limit.
 */
#include "acme/acme_int.h"

#include <assert.h>

#include "base/hex.h"
#include "base/id.h"
#include "log/log.h"
#include "metrics/metrics.h"

/* Clocks of processes may differ by this much. */
enum { CLOCKS = 60 * 1000000 };

static enum step on_taken(void *, const struct ratelimit_result *);
static enum step on_epoch(void *, const struct store_result *);
static enum step on_learned(void *, const struct store_result *);
static void add_epoch(struct batch *, struct arena *);
static void take_epoch(struct acme *, const struct store_result *);

/* ---- minting */

/* Whom a nonce that is minted now shall name. */
static enum nonce_redeemer
choose_redeemer(const struct acme *acme, struct str *epoch)
{
	*epoch = STR("");
	if (!acme->options.replicas)
		return NONCE_PROCESS;
	if (acme->options.redis != NULL) {
		*epoch = redis_epoch(acme->options.redis);
		if (epoch->n == NONCE_EPOCH_LEN)
			return NONCE_REDIS;
	}
	*epoch = str_make(acme->store_epoch, acme->store_epoch_len);
	return epoch->n == NONCE_EPOCH_LEN ? NONCE_STORE : NONCE_PROCESS;
}

struct str
redeem_mint(struct acme *acme, struct arena *a)
{
	struct str epoch;
	enum nonce_redeemer r = choose_redeemer(acme, &epoch);

	return nonce_mint(acme->nonces, a, loop_wall(acme->loop), r, epoch);
}

/* ---- redeeming */

static enum step
bad_nonce(struct areq *q)
{
	metrics_add(METRIC_nonces_refused, 1);
	return acme_fail(q,
	    q->refusal != NULL ?
		q->refusal :
		problem_new(q->arena, PROBLEM_BAD_NONCE,
		    "the nonce was used before, or its redeemer is gone"));
}

/* The nonce is used up, the limits are taken: what now? */
static enum step
go_on(struct areq *q)
{
	if (q->refusal != NULL)
		return acme_fail(q, q->refusal);
	return q->route->start(q);
}

static enum step
take(struct areq *q, const struct ratelimit_nonce *n)
{
	size_t takes = q->refusal == NULL ? q->ntakes : 0;

	if (takes == 0 && n == NULL)
		return go_on(q);
	return ratelimit_take(q->acme->options.limits, &q->req->task, q->takes,
	    takes, n, on_taken, q);
}

enum step
redeem_start(struct areq *q)
{
	struct ratelimit_nonce n = {
		.id = str_make(q->nonce.id, sizeof(q->nonce.id)),
		.epoch = str_make(q->nonce.epoch, sizeof(q->nonce.epoch)),
		.ttl = nonces_lifetime(q->acme->nonces) + CLOCKS,
	};

	switch (q->nonce.redeemer) {
	case NONCE_PROCESS:
		if (!nonce_redeem(q->acme->nonces, &q->nonce))
			return bad_nonce(q);
		return take(q, NULL);
	case NONCE_REDIS:
		if (q->acme->options.redis == NULL)
			return bad_nonce(q);
		return take(q, &n);
	case NONCE_STORE:
		n.redeemer = REDEEMER_STORE;
		return take(q, &n);
	}
	return bad_nonce(q); /* of a version that knows more of them */
}

/* Perhaps the store forgot: the fresh nonce that we answer must be good. */
static enum step
learn_and_refuse(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    STR("nonce epoch"));

	add_epoch(b, q->arena);
	return store_send_batch(b, on_learned, q);
}

static enum step
on_learned(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	take_epoch(q->acme, r);
	return bad_nonce(q);
}

static enum step
on_taken(void *arg, const struct ratelimit_result *r)
{
	struct areq *q = arg;
	const struct problem *pr;

	if (r->redeemed == REDEEMED)
		metrics_add(METRIC_nonces_redeemed, 1);
	if (r->status == RATELIMIT_NONCE)
		return q->nonce.redeemer == NONCE_STORE ? learn_and_refuse(q) :
							  bad_nonce(q);
	if (q->refusal == NULL && (pr = ratelimit_problem(q->arena, r)) != NULL)
		return acme_fail(q, pr);
	return go_on(q);
}

void
redeem_limit(struct areq *q, enum limit_id limit, struct str key)
{
	assert(q->ntakes < sizeof(q->takes) / sizeof(q->takes[0]));
	q->takes[q->ntakes++] = (struct take){ .limit = limit,
		.key = key,
		.override = limits_override(q, limit) };
}

/* ---- the store's epoch */

/* Ask for it, and make one if there is none. */
static void
add_epoch(struct batch *b, struct arena *a)
{
	uint8_t raw[NONCE_EPOCH_LEN / 2];

	id_random(raw, sizeof(raw));
	store_add(b, SQL_NONCE_EPOCH_INSERT);
	store_str(b, hex_encode(a, str_make(raw, sizeof(raw))));
	store_add(b, SQL_NONCE_EPOCH_GET);
}

static void
take_epoch(struct acme *acme, const struct store_result *r)
{
	struct str epoch;

	if (r->status != STORE_OK || store_nrows(r, 1) == 0)
		return;
	epoch = store_get_str(r, 1, 0, NONCE_EPOCH_GET_EPOCH);
	if (epoch.n != sizeof(acme->store_epoch))
		return;
	memcpy(acme->store_epoch, epoch.p, epoch.n);
	acme->store_epoch_len = epoch.n;
}

void
redeem_learn_epoch(struct acme *acme)
{
	struct batch *b;

	if (acme->learning)
		return;
	acme->learning = true;
	task_init(&acme->learn);
	b = store_new_batch(acme->store, &acme->learn, STR("nonce epoch"));
	add_epoch(b, acme->learn.arena);
	(void)store_send_batch(b, on_epoch, acme);
}

static enum step
on_epoch(void *arg, const struct store_result *r)
{
	struct acme *acme = arg;

	take_epoch(acme, r);
	acme->learning = false;
	task_end(&acme->learn);
	return STEP_DONE;
}
