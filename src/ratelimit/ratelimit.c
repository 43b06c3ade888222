/* SPDX-License-Identifier: ISC */
/* A request's way through the limiter: record, decision, callback. */
#include "ratelimit/ratelimit_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/when.h"
#include "log/log.h"

enum { KEYS_DEFAULT = 100000, BYTES_DEFAULT = 64 << 20 };

#define RETRY_DOWN (5 * WHEN_SECOND)

struct ratelimit *
ratelimit_new(const struct ratelimit_options *o)
{
	struct ratelimit *rl = calloc(1, sizeof(*rl));

	if (rl == NULL)
		abort();
	assert(o->backend != RATELIMIT_REDIS || o->redis != NULL);
	assert(o->backend != RATELIMIT_STORE || o->store != NULL);
	rl->options = *o;
	rl->memory = memory_new(o->keys_max > 0 ? o->keys_max : KEYS_DEFAULT,
	    o->bytes_max > 0 ? o->bytes_max : BYTES_DEFAULT);
	task_init(&rl->asking);
	LIST_INIT(&rl->ops);
	for (unsigned i = 0; i < LIMIT_COUNT; i++) {
		enum limit_id id = (enum limit_id)i;

		rl->limits[i] = limit_default(id);
		rl->passed[i] = metrics_child(FAMILY_limits, limit_name(id),
		    "passed");
		rl->refused[i] = metrics_child(FAMILY_limits, limit_name(id),
		    "refused");
	}
	return rl;
}

void
ratelimit_free(struct ratelimit *rl)
{
	struct taking_op *t;

	if (rl == NULL)
		return;
	task_end(&rl->asking);
	while ((t = LIST_FIRST(&rl->ops)) != NULL) {
		LIST_REMOVE(t, entry);
		if (t->on_task)
			op_done(&t->op);
		loop_undefer(rl->options.loop, &t->finish);
		free(t);
	}
	memory_free(rl->memory);
	free(rl);
}

void
ratelimit_set(struct ratelimit *rl, enum limit_id id, const struct limit *l)
{
	rl->limits[id] = *l;
}

struct limit
ratelimit_get(const struct ratelimit *rl, enum limit_id id)
{
	return rl->limits[id];
}

/* ---- records */

static void
detach(struct op *op)
{
	struct taking_op *t = (struct taking_op *)(void *)((char *)op -
	    offsetof(struct taking_op, op));

	t->on_task = false;
	t->fn = NULL;
	t->view_fn = NULL;
}

static struct taking_op *
new_op(struct ratelimit *rl, struct task *task, void *arg, size_t n,
    size_t bytes)
{
	struct taking_op *t = calloc(1,
	    sizeof(*t) + n * sizeof(t->v[0]) + bytes);

	if (t == NULL)
		abort();
	t->rl = rl;
	t->arg = arg;
	t->op.detach = detach;
	t->on_task = true;
	task_wait(task, &t->op);
	deferred_init(&t->finish, taking_finish, t);
	LIST_INSERT_HEAD(&rl->ops, t, entry);
	return t;
}

static struct limit
values_of(const struct ratelimit *rl, enum limit_id id,
    const struct limit *override)
{
	return override != NULL ? *override : rl->limits[id];
}

/* The key goes to `to`, behind the record. */
static char *
add_taking(struct taking_op *t, char *to, const struct take *take)
{
	struct taking *v = &t->v[t->n];

	assert(take->key.n > 0 && take->key.n <= LIMIT_KEY_MAX);
	for (size_t i = 0; i < t->n; i++)
		assert(t->v[i].limit != take->limit ||
		    !str_eq(t->v[i].key, take->key));
	*v = (struct taking){ .limit = take->limit,
		.mode = take->mode,
		.values = values_of(t->rl, take->limit, take->override),
		.key = str_make(to, take->key.n) };
	if (v->values.max > 0 && PLANTED("planted-limit"))
		v->values.max++;
	assert(v->values.max == 0 ||
	    (v->values.window > 0 && v->values.max <= LIMIT_MAX_MAX));
	memcpy(to, take->key.p, take->key.n);
	if (v->values.max > 0) /* 0: no limit */
		t->n++;
	return to + take->key.n;
}

/* ---- deciding */

static int64_t
read_now(const struct ratelimit *rl)
{
	if (rl->options.now != NULL)
		return rl->options.now(rl->options.now_arg);
	return loop_mono(rl->options.loop);
}

void
taking_decide(struct taking_op *t)
{
	struct memory *m = t->rl->memory;

	memory_take(m, read_now(t->rl), t->v, t->n, &t->result);
	metrics_set(METRIC_limit_keys, (int64_t)memory_keys(m));
	metrics_set(METRIC_limit_bytes, (int64_t)memory_bytes(m));
}

/* Its part of max, when several processes count on their own. */
static void
take_part(struct taking_op *t)
{
	unsigned replicas = t->rl->options.expected_replicas;

	for (size_t i = 0; i < t->n && replicas > 1; i++) {
		t->v[i].values.max /= replicas;
		if (t->v[i].values.max == 0)
			t->v[i].values.max = 1;
	}
}

void
taking_degrade(struct taking_op *t)
{
	t->result.degraded = true;
	switch (t->rl->options.on_error) {
	case RATELIMIT_LOCAL:
		metrics_count(FAMILY_limits_degraded, "local");
		take_part(t);
		taking_decide(t);
		return;
	case RATELIMIT_ALLOW:
		metrics_count(FAMILY_limits_degraded, "allow");
		t->result.status = RATELIMIT_PASS;
		return;
	case RATELIMIT_DENY:
		break;
	}
	metrics_count(FAMILY_limits_degraded, "deny");
	t->result.status = RATELIMIT_DOWN;
	t->result.limit = t->v[0].limit;
	t->result.values = t->v[0].values;
	t->result.wait = RETRY_DOWN;
}

static void
count(const struct taking_op *t)
{
	const struct ratelimit *rl = t->rl;

	if (t->is_look)
		return;
	if (t->result.status == RATELIMIT_REFUSED)
		metrics_child_add(rl->refused[t->result.limit], 1);
	if (t->result.status != RATELIMIT_PASS)
		return;
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].mode == TAKE)
			metrics_child_add(rl->passed[t->v[i].limit], 1);
}

void
taking_finish(void *arg)
{
	struct taking_op *t = arg;
	ratelimit_fn *fn = t->fn;
	ratelimit_view_fn *view_fn = t->view_fn;

	count(t);
	LIST_REMOVE(t, entry);
	if (t->on_task)
		op_done(&t->op);
	if (fn != NULL)
		(void)fn(t->arg, &t->result);
	if (view_fn != NULL)
		(void)view_fn(t->arg, &t->view);
	free(t);
}

/* Whom to ask first: the nonce is redeemed before any limit is taken. */
static enum ratelimit_backend
who_decides(const struct taking_op *t, const struct ratelimit_nonce *nonce)
{
	if (nonce != NULL)
		return nonce->redeemer == REDEEMER_STORE ? RATELIMIT_STORE :
							   RATELIMIT_REDIS;
	return t->n > 0 ? t->rl->options.backend : RATELIMIT_MEMORY;
}

enum step
ratelimit_take(struct ratelimit *rl, struct task *task,
    const struct take *takes, size_t n, const struct ratelimit_nonce *nonce,
    ratelimit_fn *fn, void *arg)
{
	struct taking_op *t;
	size_t bytes = 0;
	char *to;

	assert(n <= LIMIT_TAKES_MAX);
	for (size_t i = 0; i < n; i++)
		bytes += takes[i].key.n;
	t = new_op(rl, task, arg, n, bytes);
	t->fn = fn;
	to = (char *)&t->v[n];
	for (size_t i = 0; i < n; i++)
		to = add_taking(t, to, &takes[i]);
	switch (who_decides(t, nonce)) {
	case RATELIMIT_REDIS:
		shared_take(t, nonce);
		break;
	case RATELIMIT_STORE:
		stored_take(t, nonce);
		break;
	case RATELIMIT_MEMORY:
		taking_decide(t);
		loop_defer(rl->options.loop, &t->finish);
		break;
	}
	return STEP_WAITING;
}

/* ---- one key */

static struct taking_op *
new_look(struct ratelimit *rl, struct task *task, enum limit_id id,
    struct str key, ratelimit_view_fn *fn, void *arg)
{
	struct taking_op *t = new_op(rl, task, arg, 1, key.n);

	assert(key.n > 0 && key.n <= LIMIT_KEY_MAX);
	t->is_look = true;
	t->view_fn = fn;
	t->n = 1;
	t->v[0] = (struct taking){ .limit = id,
		.values = rl->limits[id],
		.key = str_make(&t->v[1], key.n) };
	memcpy(&t->v[1], key.p, key.n);
	t->view.values = t->v[0].values;
	return t;
}

static enum step
look(struct taking_op *t, enum shared_look what)
{
	struct ratelimit *rl = t->rl;

	if (t->v[0].values.max == 0)
		t->view.trouble = "this limit is off";
	else if (t->v[0].values.window == 0)
		t->view.trouble = "only the store counts this";
	else if (rl->options.backend == RATELIMIT_MEMORY)
		memory_show(rl->memory, read_now(rl), &t->v[0], &t->view);
	if (what ==
	    SHARED_RESET) /* also what was counted while Redis was gone */
		memory_reset(rl->memory, &t->v[0]);
	if (t->view.trouble == NULL && rl->options.backend == RATELIMIT_REDIS) {
		shared_look(t, what);
		return STEP_WAITING;
	}
	if (t->view.trouble == NULL && rl->options.backend == RATELIMIT_STORE) {
		stored_look(t, what);
		return STEP_WAITING;
	}
	loop_defer(rl->options.loop, &t->finish);
	return STEP_WAITING;
}

enum step
ratelimit_show(struct ratelimit *rl, struct task *task, enum limit_id id,
    struct str key, ratelimit_view_fn *fn, void *arg)
{
	return look(new_look(rl, task, id, key, fn, arg), SHARED_SHOW);
}

enum step
ratelimit_reset(struct ratelimit *rl, struct task *task, enum limit_id id,
    struct str key, ratelimit_view_fn *fn, void *arg)
{
	return look(new_look(rl, task, id, key, fn, arg), SHARED_RESET);
}
