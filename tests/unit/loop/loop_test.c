/* SPDX-License-Identifier: ISC */
/* Turns, deferred calls, timers, tasks. */
#include "../unit.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "metrics/metrics.h"

static int
make_loop(void **state)
{
	return (*state = loop_new()) == NULL;
}

static int
drop_loop(void **state)
{
	loop_free(*state);
	return 0;
}

struct again {
	struct loop *loop;
	struct deferred d;
	int calls;
};

static void
defer_again(void *arg)
{
	struct again *g = arg;

	g->calls++;
	loop_defer(g->loop, &g->d);
}

static void
a_deferred_call_runs_once_a_turn(void **state)
{
	struct again g = { .loop = *state };

	deferred_init(&g.d, defer_again, &g);
	loop_defer(g.loop, &g.d);
	loop_defer(g.loop, &g.d);
	assert_int_equal(g.calls, 0);
	loop_turn(g.loop, LOOP_WAIT);
	assert_int_equal(g.calls, 1);
	loop_turn(g.loop, LOOP_WAIT);
	assert_int_equal(g.calls, 2);
	loop_undefer(g.loop, &g.d);
	loop_turn(g.loop, LOOP_POLL);
	assert_int_equal(g.calls, 2);
}

struct pair {
	struct loop *loop;
	struct deferred first, second;
	int calls;
};

static void
undefer_other(void *arg)
{
	struct pair *p = arg;

	p->calls++;
	loop_undefer(p->loop, &p->second);
	memset(&p->second, 0xff, sizeof(p->second)); /* as if freed */
}

static void
count_pair(void *arg)
{
	((struct pair *)arg)->calls++;
}

static void
a_deferred_call_may_take_back_the_next(void **state)
{
	struct pair p = { .loop = *state };

	deferred_init(&p.first, undefer_other, &p);
	deferred_init(&p.second, count_pair, &p);
	loop_defer(p.loop, &p.first);
	loop_defer(p.loop, &p.second);
	loop_turn(p.loop, LOOP_WAIT);
	loop_turn(p.loop, LOOP_POLL);
	assert_int_equal(p.calls, 1);
}

static void
count_call(void *arg)
{
	++*(int *)arg;
}

static void
a_hook_runs_after_the_deferred_calls_of_its_turn(void **state)
{
	struct again g = { .loop = *state };
	int hooks = 0;
	struct turn_hook h = { .fn = count_call, .arg = &hooks };

	deferred_init(&g.d, defer_again, &g);
	loop_defer(g.loop, &g.d);
	loop_at_turn_end(g.loop, &h);
	loop_at_turn_end(g.loop, &h);
	loop_turn(g.loop, LOOP_WAIT);
	assert_int_equal(g.calls, 1);
	assert_int_equal(hooks, 1);
	loop_turn(g.loop, LOOP_WAIT);
	assert_int_equal(hooks, 1);
}

static void
a_timer_fires_once_and_can_be_stopped(void **state)
{
	struct timer t, never;
	int fired = 0;

	timer_init(&t, *state, count_call, &fired);
	timer_init(&never, *state, count_call, &fired);
	timer_start(&t, 1000);
	timer_start(&never, 1000);
	timer_stop(&never);
	assert_true(timer_is_running(&t));
	assert_false(timer_is_running(&never));
	while (fired == 0)
		loop_turn(*state, LOOP_WAIT);
	loop_turn(*state, LOOP_POLL);
	assert_int_equal(fired, 1);
}

static void
stop_loop(void *arg)
{
	loop_stop(arg);
}

static void
a_signal_arrives_on_the_loop(void **state)
{
	struct loop_signal *s = loop_signal_new(*state, SIGUSR1, stop_loop,
	    *state);

	raise(SIGUSR1);
	loop_run(*state);
	loop_signal_free(s);
}

struct record {
	struct op op;
	int detached;
};

static void
detach_record(struct op *op)
{
	((struct record *)(void *)op)->detached++;
}

static void
ending_a_task_detaches_what_is_under_way(void **state)
{
	struct record a = { .op.detach = detach_record };
	struct record b = { .op.detach = detach_record };
	struct task t;
	int freed = 0;

	(void)state;
	task_init(&t);
	arena_defer(t.arena, count_call, &freed);
	assert_false(task_is_waiting(&t));
	task_wait(&t, &a.op);
	task_wait(&t, &b.op);
	op_done(&a.op);
	assert_true(task_is_waiting(&t));
	task_end(&t);
	assert_int_equal(a.detached, 0);
	assert_int_equal(b.detached, 1);
	assert_int_equal(freed, 1);
}

static void
a_task_may_live_in_its_own_arena(void **state)
{
	struct task t, *inside;

	(void)state;
	task_init(&t);
	inside = arena_new(t.arena, struct task);
	inside->arena = t.arena;
	LIST_INIT(&inside->ops);
	task_end(inside);
}

/* Use so much processor time, however long that takes. */
static void
burn(void *arg)
{
	const long *msec = arg;
	struct timespec begin, now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000 +
		(now.tv_nsec - begin.tv_nsec) / 1000000 <=
	    *msec);
}

static int64_t
longest_turn(void)
{
	struct arena *a = arena_create();
	struct buf b = buf_new(a, METRICS_TEXT_MAX);

	metrics_write(&b); /* collects */
	arena_destroy(a);
	return metrics_get(METRIC_loop_longest_turn_microseconds);
}

static void
the_longest_turn_is_told_once(void **state)
{
	struct loop *l = *state;
	struct deferred d;
	long msec = 500; /* far more than a look at the metrics */

	deferred_init(&d, burn, &msec);
	loop_defer(l, &d);
	loop_turn(l, LOOP_POLL);
	loop_turn(l, LOOP_POLL);
	assert_true(longest_turn() >= 500000);
	loop_turn(l, LOOP_POLL);
	assert_true(longest_turn() < 500000);
}

struct late {
	struct loop *loop;
	bool before, after;
};

static void
be_late(void *arg)
{
	struct late *late = arg;
	long msec = 3;

	late->before = loop_is_late(late->loop);
	burn(&msec);
	late->after = loop_is_late(late->loop);
}

static void
a_turn_knows_when_it_has_taken_long(void **state)
{
	struct late late = { .loop = *state };
	struct deferred d;

	deferred_init(&d, be_late, &late);
	for (int i = 0; i < 2; i++) {
		loop_turn(late.loop, LOOP_POLL); /* it ends, another begins */
		loop_defer(late.loop, &d);
		loop_turn(late.loop, LOOP_POLL);
		assert_false(late.before);
		assert_true(late.after);
	}
}

static void
sleep_a_while(void *arg)
{
	const struct timespec ts = { .tv_nsec = 50000000 };

	(void)arg;
	nanosleep(&ts, NULL);
}

/* Nor is what other processes do in the meantime. */
static void
time_without_the_processor_is_not_counted(void **state)
{
	struct loop *l = *state;
	struct deferred d;

	(void)longest_turn();
	deferred_init(&d, sleep_a_while, NULL);
	loop_defer(l, &d);
	loop_turn(l, LOOP_POLL);
	assert_true(longest_turn() < 50000);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_loop, drop_loop)
	const struct CMUnitTest tests[] = {
		T(a_deferred_call_runs_once_a_turn),
		T(a_deferred_call_may_take_back_the_next),
		T(a_hook_runs_after_the_deferred_calls_of_its_turn),
		T(a_timer_fires_once_and_can_be_stopped),
		T(a_signal_arrives_on_the_loop),
		T(ending_a_task_detaches_what_is_under_way),
		T(a_task_may_live_in_its_own_arena),
		T(the_longest_turn_is_told_once),
		T(a_turn_knows_when_it_has_taken_long),
		T(time_without_the_processor_is_not_counted),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
