/* SPDX-License-Identifier: ISC */
/*
 * The counts in Redis, and the nonces. One script decides a whole request;
 * what it did when its answer does not come in time, nobody knows: a nonce
 * then counts as not accepted, the limits follow on_error.
 */
#include "ratelimit/ratelimit_int.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"
#include "log/log.h"
#include "ratelimit/scripts_gen.h"

enum {
	NUMBER_MAX = 24, /* bytes of a number in text */
	KEYS_FIRST = 2,  /* epoch, nonce */
	ARGS_FIRST = 2,
	ARGS_EACH = 3,
	KEYS_MAX = KEYS_FIRST + LIMIT_TAKES_MAX,
	ARGS_MAX = ARGS_FIRST + ARGS_EACH * LIMIT_TAKES_MAX,
};

/* The arguments of one call, on the stack until redis has copied them. */
struct call {
	struct str keys[KEYS_MAX], args[ARGS_MAX];
	size_t nkeys, nargs;
	struct arena *arena;
};

static enum step on_taken(void *, const struct redis_answer *);
static enum step on_looked(void *, const struct redis_answer *);

static void
add_key(struct call *c, struct str key)
{
	c->keys[c->nkeys++] = key;
}

static void
add_arg(struct call *c, struct str arg)
{
	c->args[c->nargs++] = arg;
}

static void
add_number(struct call *c, int64_t n)
{
	add_arg(c, str_printf(c->arena, "%" PRId64, n));
}

/* Keys may hold any byte. */
static struct str
join(struct arena *a, struct str x, struct str y, struct str z)
{
	struct buf b = buf_new(a, x.n + y.n + z.n + 1);

	buf_str(&b, x);
	buf_str(&b, y);
	buf_str(&b, z);
	return buf_view(&b);
}

/* PREFIXl:NAME:KEY */
static struct str
limit_key(struct call *c, const struct redis *redis, const struct taking *v)
{
	return join(c->arena, redis_prefix(redis),
	    str_printf(c->arena, "l:%s:", limit_name(v->limit)), v->key);
}

static void
add_nonce(struct call *c, const struct redis *redis,
    const struct ratelimit_nonce *nonce)
{
	add_key(c, redis_epoch_key(redis));
	if (nonce == NULL) {
		add_key(c, redis_epoch_key(redis)); /* not looked at */
		add_arg(c, STR(""));
		add_arg(c, STR(""));
		return;
	}
	assert(nonce->id.n <= LIMIT_KEY_MAX && nonce->ttl > 0);
	add_key(c,
	    join(c->arena, redis_prefix(redis), STR("n:"),
		PLANTED("planted-nonce") ? id_new(c->arena) : nonce->id));
	/* no epoch is never the right one */
	add_arg(c, nonce->epoch.n > 0 ? nonce->epoch : STR("-"));
	add_number(c, (nonce->ttl + 999) / 1000);
}

static void
add_limit(struct call *c, const struct redis *redis, const struct taking *v)
{
	add_key(c, limit_key(c, redis, v));
	add_number(c, (int64_t)v->values.max - 1);
	add_number(c, v->values.window);
	if (v->mode == TAKE)
		add_number(c, (v->values.window + 999) / 1000);
	else
		add_arg(c, STR(""));
}

static void
send_call(struct taking_op *t, const struct call *c,
    const struct redis_script *script, redis_fn *fn)
{
	(void)redis_eval(t->rl->options.redis,
	    &(struct redis_call){ .script = script,
		.keys = c->keys,
		.nkeys = c->nkeys,
		.args = c->args,
		.nargs = c->nargs },
	    &t->rl->asking, fn, t);
}

/* ---- take */

void
shared_take(struct taking_op *t, const struct ratelimit_nonce *nonce)
{
	const struct ratelimit_options *o = &t->rl->options;
	struct call c = { .arena = arena_create() };

	assert(o->redis != NULL);
	t->has_nonce = nonce != NULL;
	add_nonce(&c, o->redis, nonce);
	for (size_t i = 0; i < t->n && o->backend == RATELIMIT_REDIS; i++)
		add_limit(&c, o->redis, &t->v[i]);
	send_call(t, &c, &ratelimit_script_take, on_taken);
	arena_destroy(c.arena);
}

/* The script answers three integers, the second within bounds. */
static bool
is_sound(const struct taking_op *t, const struct redis_answer *answer)
{
	int64_t redeemed, refusing;

	if (answer->status != REDIS_ANSWERED || redis_count(answer) != 3)
		return false;
	redeemed = redis_get_int(answer, 0);
	refusing = redis_get_int(answer, 1);
	return redeemed >= (t->has_nonce ? 1 : 0) &&
	    redeemed <= (t->has_nonce ? 3 : 0) && refusing >= 0 &&
	    (uint64_t)refusing <= t->n && redis_get_int(answer, 2) >= 0;
}

static void
take_refusal(struct taking_op *t, const struct redis_answer *answer)
{
	const struct taking *v = &t->v[redis_get_int(answer, 1) - 1];

	t->result.status = RATELIMIT_REFUSED;
	t->result.limit = v->limit;
	t->result.values = v->values;
	t->result.wait = redis_get_int(answer, 2);
}

/* False: the store is asked, and answers later. */
static bool
take_answer(struct taking_op *t, const struct redis_answer *answer)
{
	static const enum redeemed map[] = { REDEEMED_NONE, REDEEMED,
		REDEEMED_BEFORE, REDEEMED_EPOCH };

	if (t->has_nonce)
		t->result.redeemed = map[redis_get_int(answer, 0)];
	if (t->result.redeemed == REDEEMED_EPOCH)
		redis_renew_epoch(t->rl->options.redis);
	if (t->has_nonce && t->result.redeemed != REDEEMED) {
		t->result.status = RATELIMIT_NONCE;
	} else if (t->n == 0 || t->rl->options.backend == RATELIMIT_MEMORY) {
		taking_decide(t);
	} else if (t->rl->options.backend == RATELIMIT_STORE) {
		stored_take(t, NULL);
		return false;
	} else if (redis_get_int(answer, 1) > 0) {
		take_refusal(t, answer);
	} else {
		t->result.status = RATELIMIT_PASS;
	}
	return true;
}

static void
tell_error(const struct redis_answer *answer)
{
	log_sampled(LOG_WARN, 1, "redis did not decide on limits or a nonce",
	    LOG_TEXT("status", redis_status_name(answer->status)),
	    LOG_STR("error", answer->error));
}

static enum step
on_taken(void *arg, const struct redis_answer *answer)
{
	struct taking_op *t = arg;

	if (is_sound(t, answer)) {
		if (!take_answer(t, answer))
			return STEP_DONE;
	} else {
		if (answer->status == REDIS_REFUSED ||
		    answer->status == REDIS_ANSWERED)
			tell_error(answer);
		if (t->has_nonce) {
			t->result.redeemed = REDEEMED_UNKNOWN;
			t->result.status = RATELIMIT_NONCE;
		} else {
			taking_degrade(t);
		}
	}
	taking_finish(t);
	return STEP_DONE;
}

/* ---- look */

void
shared_look(struct taking_op *t, enum shared_look what)
{
	const struct redis *redis = t->rl->options.redis;
	struct call c = { .arena = arena_create() };

	add_key(&c, limit_key(&c, redis, &t->v[0]));
	add_number(&c, (int64_t)t->v[0].values.max - 1);
	add_number(&c, t->v[0].values.window);
	add_arg(&c, what == SHARED_RESET ? STR("1") : STR("0"));
	send_call(t, &c, &ratelimit_script_look, on_looked);
	arena_destroy(c.arena);
}

static enum step
on_looked(void *arg, const struct redis_answer *answer)
{
	struct taking_op *t = arg;

	if (answer->status == REDIS_ANSWERED && redis_count(answer) == 2) {
		t->view.used = (unsigned)redis_get_int(answer, 0);
		t->view.wait = redis_get_int(answer, 1);
	} else {
		t->view.trouble = answer->status == REDIS_REFUSED ?
		    "Redis refuses to look at this key" :
		    "Redis does not answer now";
	}
	taking_finish(t);
	return STEP_DONE;
}
