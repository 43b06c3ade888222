/* SPDX-License-Identifier: ISC */
/* The counts of one process: what it may remember, and for how long. */
#include "fixture.h"

#include <stdlib.h>

#define SECOND WHEN_SECOND

enum { SMALL = 100 };

static void
make_small(struct fixture *f, size_t keys, size_t bytes)
{
	struct ratelimit_options o = options_of(f);

	o.keys_max = keys;
	o.bytes_max = bytes;
	remake(f, &o);
}

static struct ratelimit_result
take_number(struct fixture *f, int number)
{
	return take_one(f, LIMIT_NEW_ACCOUNT,
	    str_cstr(f->a, str_printf(f->a, "198.51.100.%d", number)));
}

static void
a_new_key_is_refused_when_no_more_can_be_remembered(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_result r;
	int64_t start = f->now, full = metrics_get(METRIC_limit_keys_full);

	make_small(f, SMALL, 0);
	set_limit(f, LIMIT_NEW_ACCOUNT, 2, 10 * SECOND);
	for (int i = 0; i < SMALL; i++) {
		set_now(f, start + i);
		assert_pass(take_number(f, i));
	}
	set_now(f, start + SECOND);
	r = take_number(f, SMALL);
	assert_int_equal(r.status, RATELIMIT_FULL);
	assert_int_equal(r.wait, 9 * SECOND); /* until the first one is out */
	assert_int_equal(metrics_get(METRIC_limit_keys_full) - full, 1);
	/* those that are known go on, and no count was forgotten */
	for (int i = 0; i < SMALL; i++) {
		assert_pass(take_number(f, i));
		assert_int_equal(take_number(f, i).status, RATELIMIT_REFUSED);
	}
	assert_int_equal(memory_keys(f->rl->memory), SMALL);
	set_now(f, start + 11 * SECOND);
	assert_pass(take_number(f, SMALL));
}

static void
the_wait_of_a_full_memory_is_exact(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_result r;

	make_small(f, 2, 0);
	set_limit(f, LIMIT_NEW_ACCOUNT, 2, 10 * SECOND);
	set_limit(f, LIMIT_NEW_ORDER, 2, 3 * SECOND);
	assert_pass(take_number(f, 1));
	set_now(f, f->now + SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	r = take_number(f, 2);
	assert_int_equal(r.status, RATELIMIT_FULL);
	assert_int_equal(r.wait, 3 * SECOND); /* the other limit's key */
	set_now(f, f->now + r.wait - 1);
	assert_int_equal(take_number(f, 2).status, RATELIMIT_FULL);
	set_now(f, f->now + 1);
	assert_pass(take_number(f, 2));
}

static void
a_request_with_a_new_key_too_many_takes_nothing(void **state)
{
	struct fixture *f = get(state);
	struct take t[] = {
		{ .limit = LIMIT_NEW_ACCOUNT, .key = STR("a") },
		{ .limit = LIMIT_NEW_ORDER, .key = STR("b") },
		{ .limit = LIMIT_KEY_CHANGE, .key = STR("c") },
	};

	make_small(f, 2, 0);
	assert_int_equal(take_all(f, t, 3, NULL).status, RATELIMIT_FULL);
	assert_int_equal(memory_keys(f->rl->memory), 0);
	assert_pass(take_all(f, t, 2, NULL));
	/* a look needs no room */
	t[2].mode = TAKE_LOOK;
	assert_pass(take_all(f, t, 3, NULL));
}

/* The keys of a request are out of their windows, so they might be dropped to
 * make room for another key of the same request. */
static void
a_request_does_not_make_room_at_its_own_cost(void **state)
{
	struct fixture *f = get(state);
	struct take t[] = {
		{ .limit = LIMIT_NEW_ACCOUNT, .key = STR("a") },
		{ .limit = LIMIT_NEW_ORDER, .key = STR("b") },
		{ .limit = LIMIT_KEY_CHANGE, .key = STR("c") },
	};

	make_small(f, 3, 0);
	assert_pass(take_all(f, t, 2, NULL));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "old"));
	set_now(f, f->now + WHEN_DAY);
	assert_pass(take_all(f, t, 3, NULL));
	assert_int_equal(memory_keys(f->rl->memory), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(show_one(f, t[i].limit,
				     str_cstr(f->a, t[i].key))
				     .used,
		    1);
}

static void
bytes_are_bounded_too(void **state)
{
	struct fixture *f = get(state);
	unsigned passed = 0;

	make_small(f, 1000, 16384);
	set_limit(f, LIMIT_NEW_ORDER, LIMIT_MAX_MAX, WHEN_HOUR);
	while (take_one(f, LIMIT_NEW_ORDER, "a").status == RATELIMIT_PASS)
		passed++;
	assert_int_equal(take_one(f, LIMIT_NEW_ORDER, "a").status,
	    RATELIMIT_FULL);
	assert_in_range(passed, 512, 16384 / 8);
	assert_true(memory_bytes(f->rl->memory) <= 16384);
	set_now(f, f->now + WHEN_HOUR);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_true(memory_bytes(f->rl->memory) < 1024); /* it began anew */
}

static void
a_ring_is_never_longer_than_its_limit(void **state)
{
	struct fixture *f = get(state);
	size_t one;

	set_limit(f, LIMIT_NEW_ORDER, 1, SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	one = memory_bytes(f->rl->memory);
	set_limit(f, LIMIT_KEY_CHANGE, 100, SECOND);
	for (int i = 0; i < 100; i++)
		assert_pass(take_one(f, LIMIT_KEY_CHANGE, "a"));
	assert_int_equal(memory_bytes(f->rl->memory) - one,
	    one + 99 * sizeof(int64_t));
	for (int i = 0; i < 5000; i++) {
		set_now(f, f->now + SECOND / 2);
		(void)take_one(f, LIMIT_NEW_ORDER, "a");
	}
	assert_in_range(memory_bytes(f->rl->memory), one / 2,
	    2 * one + 99 * sizeof(int64_t));
}

static void
memory_follows_the_traffic(void **state)
{
	struct fixture *f = get(state);

	set_limit(f, LIMIT_NEW_ACCOUNT, 2, 10 * SECOND);
	for (int i = 0; i < 20000; i++) {
		set_now(f, f->now + SECOND / 100);
		assert_pass(take_number(f, i));
	}
	/* a thousand keys are in the window; those before it went */
	assert_in_range(memory_keys(f->rl->memory), 1000, 1010);
}

static void
a_clock_that_goes_back_stands_still(void **state)
{
	struct fixture *f = get(state);
	int64_t start = f->now;

	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	set_now(f, start - 100 * SECOND);
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 10 * SECOND);
	set_now(f, start + 10 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
}

static void
without_a_clock_of_ours_it_is_the_loops(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_options o = options_of(f);
	struct ratelimit_result r;

	o.now = NULL;
	remake(f, &o);
	set_limit(f, LIMIT_NEW_ORDER, 1, SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	r = take_one(f, LIMIT_NEW_ORDER, "a");
	assert_int_equal(r.status, RATELIMIT_REFUSED);
	turn_for(f->loop, (int)(r.wait / 1000) + 2);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
}

static void
decisions_are_counted_by_limit(void **state)
{
	struct fixture *f = get(state);
	struct metrics_child *passed = metrics_child(FAMILY_limits,
				 "key_change_per_account", "passed"),
			     *refused = metrics_child(FAMILY_limits,
				 "key_change_per_account", "refused");
	int64_t p = metrics_child_get(passed), r = metrics_child_get(refused);

	set_limit(f, LIMIT_KEY_CHANGE, 2, SECOND);
	for (int i = 0; i < 5; i++)
		(void)take_one(f, LIMIT_KEY_CHANGE, "a");
	assert_int_equal(metrics_child_get(passed) - p, 2);
	assert_int_equal(metrics_child_get(refused) - r, 3);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_memory, drop)
	const struct CMUnitTest tests[] = {
		T(a_new_key_is_refused_when_no_more_can_be_remembered),
		T(the_wait_of_a_full_memory_is_exact),
		T(a_request_with_a_new_key_too_many_takes_nothing),
		T(a_request_does_not_make_room_at_its_own_cost),
		T(bytes_are_bounded_too),
		T(a_ring_is_never_longer_than_its_limit),
		T(memory_follows_the_traffic),
		T(a_clock_that_goes_back_stands_still),
		T(without_a_clock_of_ours_it_is_the_loops),
		T(decisions_are_counted_by_limit),
	};

	return cmocka_run_group_tests_name("ratelimit memory", tests, NULL,
	    NULL);
}
