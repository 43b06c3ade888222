/* SPDX-License-Identifier: ISC */
/* Leases by database time, and jobs that run once an interval. */
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/when.h"
#include "sched/sched.h"

struct fixture {
	struct arena *a;
	struct loop *loop;
	struct store *store;
	char dir[64];
	struct task task;
	enum lease_verdict verdict;
	int64_t fence;
	bool answered;
	int runs;
};

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_options o = { .deadline = 5 * WHEN_SECOND };
	const char *why = NULL;

	f->a = arena_create();
	snprintf(f->dir, sizeof(f->dir), "/tmp/certloop-sched-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	o.url = str_printf(f->a, "sqlite:%s/test.db", f->dir).p;
	if (!store_prepare(f->a, &o, STORE_MIGRATE, &why))
		fail_msg("%s", why);
	f->loop = loop_new();
	f->store = store_new(f->loop, &o, f->a, &why);
	assert_non_null(f->store);
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;
	char command[128];

	store_free(f->store);
	loop_free(f->loop);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	arena_destroy(f->a);
	free(f);
	return 0;
}

static void
on_lease(void *arg, enum lease_verdict verdict, int64_t fence)
{
	struct fixture *f = arg;

	f->verdict = verdict;
	f->fence = fence;
	f->answered = true;
}

static enum lease_verdict
take(struct fixture *f, const char *holder, int64_t ttl)
{
	f->answered = false;
	task_init(&f->task);
	lease_take(f->store, &f->task, "job", str_from(holder), ttl, on_lease,
	    f);
	while (!f->answered)
		loop_turn(f->loop, LOOP_WAIT);
	task_end(&f->task);
	return f->verdict;
}

static void
a_lease_has_one_holder_until_it_runs_out(void **state)
{
	struct fixture *f = *state;
	int64_t first;

	assert_int_equal(take(f, "a", WHEN_HOUR), LEASE_TAKEN);
	first = f->fence;
	assert_int_equal(take(f, "b", WHEN_HOUR), LEASE_HELD);
	/* its holder lengthens it under the same fence; here to nothing */
	assert_int_equal(take(f, "a", 0), LEASE_TAKEN);
	assert_int_equal(f->fence, first);
	assert_int_equal(take(f, "b", WHEN_HOUR), LEASE_TAKEN);
	assert_int_equal(f->fence, first + 1);
	assert_int_equal(take(f, "a", WHEN_HOUR), LEASE_HELD);
}

static void
run_once(void *arg, struct sched_job *job)
{
	struct fixture *f = arg;

	f->runs++;
	sched_done(job);
}

static void
two_replicas_share_the_runs_of_a_job(void **state)
{
	struct fixture *f = *state;
	struct sched_options o = { .name = "shared",
		.holder = STR("one"),
		.interval = WHEN_HOUR,
		.run = run_once,
		.arg = f };
	struct sched_job *one, *two;

	/* the first run comes within a tenth of the interval */
	o.interval = 200 * 1000;
	one = sched_start(f->loop, f->store, &o);
	while (f->runs == 0)
		loop_turn(f->loop, LOOP_WAIT);
	sched_set_interval(one, 0); /* holds the lease, asks no more */
	o.holder = STR("two");
	o.interval = 40 * 1000;
	two = sched_start(f->loop, f->store, &o);
	while (f->runs == 1)
		loop_turn(f->loop, LOOP_WAIT); /* once the lease ran out */
	assert_int_equal(f->runs, 2);
	sched_stop(one);
	sched_stop(two);
}

static void
a_run_that_is_asked_for_needs_no_lease(void **state)
{
	struct fixture *f = *state;
	struct sched_options o = { .name = "job",
		.holder = STR("me"),
		.interval = 0,
		.run = run_once,
		.arg = f };
	struct sched_job *job = sched_start(f->loop, f->store, &o);

	assert_int_equal(take(f, "other", WHEN_HOUR), LEASE_TAKEN);
	assert_true(sched_run_now(job));
	assert_int_equal(f->runs, 1);
	sched_stop(job);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, drop)
	const struct CMUnitTest tests[] = {
		T(a_lease_has_one_holder_until_it_runs_out),
		T(two_replicas_share_the_runs_of_a_job),
		T(a_run_that_is_asked_for_needs_no_lease),
	};

	return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
