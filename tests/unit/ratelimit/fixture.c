/* SPDX-License-Identifier: ISC */
#include "fixture.h"

#include <stdlib.h>

#define START (INT64_C(1800000000) * WHEN_SECOND + 123456)

static int64_t
read_now(void *arg)
{
	return ((struct fixture *)arg)->now;
}

struct ratelimit_options
options_of(struct fixture *f)
{
	return (struct ratelimit_options){ .loop = f->loop,
		.backend = f->server != NULL ? RATELIMIT_REDIS :
					       RATELIMIT_MEMORY,
		.redis = f->redis,
		.now = read_now,
		.now_arg = f };
}

void
remake(struct fixture *f, const struct ratelimit_options *o)
{
	ratelimit_free(f->rl);
	f->rl = ratelimit_new(o);
}

static struct fixture *
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->a = arena_create();
	f->loop = loop_new();
	task_init(&f->task);
	f->now = START;
	*state = f;
	return f;
}

int
make_memory(void **state)
{
	struct fixture *f = make(state);
	struct ratelimit_options o = options_of(f);

	remake(f, &o);
	return 0;
}

int
make_redis(void **state)
{
	struct fixture *f = make(state);
	struct redis_options o;
	struct ratelimit_options ro;

	f->server = server_start(SERVER_CLOCK, "");
	if (f->server == NULL)
		return 0; /* get() skips */
	set_now(f, START);
	o = server_options(f->server, f->a);
	f->redis = redis_new(f->loop, &o);
	if (!turn_until_up(f->loop, f->redis, true, 5000))
		return -1;
	ro = options_of(f);
	remake(f, &ro);
	return 0;
}

void
be_impatient(struct fixture *f)
{
	struct redis_options o = server_options(f->server, f->a);

	ratelimit_free(f->rl);
	f->rl = NULL;
	redis_free(f->redis);
	o.late = IMPATIENT;
	o.dead = 0;
	f->redis = redis_new(f->loop, &o);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
}

int
drop(void **state)
{
	struct fixture *f = *state;

	task_end(&f->task);
	ratelimit_free(f->rl);
	redis_free(f->redis);
	server_end(f->server);
	loop_free(f->loop);
	arena_destroy(f->a);
	free(f);
	return 0;
}

struct fixture *
get(void **state)
{
	struct fixture *f = *state;

	if (f->rl == NULL)
		skip();
	return f;
}

void
set_now(struct fixture *f, int64_t now)
{
	f->now = now;
	if (f->server != NULL)
		*f->server->clock = now;
}

void
set_limit(struct fixture *f, enum limit_id id, unsigned max, int64_t window)
{
	ratelimit_set(f->rl, id,
	    &(struct limit){ .max = max, .window = window });
}

enum step
on_outcome(void *arg, const struct ratelimit_result *result)
{
	struct outcome *o = arg;

	o->calls++;
	o->result = *result;
	o->done = true;
	return STEP_DONE;
}

struct ratelimit_result
take_all(struct fixture *f, const struct take *takes, size_t n,
    const struct ratelimit_nonce *nonce)
{
	struct outcome o = { .calls = 0 };

	assert_int_equal(ratelimit_take(f->rl, &f->task, takes, n, nonce,
			     on_outcome, &o),
	    STEP_WAITING);
	assert_int_equal(o.calls, 0); /* never inside the call */
	assert_true(task_is_waiting(&f->task));
	if (!turn_until(f->loop, &o.done, 5000))
		fail_msg("no answer");
	assert_int_equal(o.calls, 1);
	assert_false(task_is_waiting(&f->task));
	return o.result;
}

struct ratelimit_result
take_one(struct fixture *f, enum limit_id id, const char *key)
{
	struct take t = { .limit = id, .key = str_from(key) };

	return take_all(f, &t, 1, NULL);
}

struct looked {
	volatile bool done;
	struct ratelimit_view view;
};

static enum step
on_view(void *arg, const struct ratelimit_view *view)
{
	struct looked *l = arg;

	l->view = *view;
	l->done = true;
	return STEP_DONE;
}

struct ratelimit_view
show_one(struct fixture *f, enum limit_id id, const char *key)
{
	struct looked l = { .done = false };

	(void)ratelimit_show(f->rl, &f->task, id, str_from(key), on_view, &l);
	if (!turn_until(f->loop, &l.done, 5000))
		fail_msg("no answer");
	return l.view;
}

struct ratelimit_view
reset_one(struct fixture *f, enum limit_id id, const char *key)
{
	struct looked l = { .done = false };

	(void)ratelimit_reset(f->rl, &f->task, id, str_from(key), on_view, &l);
	if (!turn_until(f->loop, &l.done, 5000))
		fail_msg("no answer");
	return l.view;
}
