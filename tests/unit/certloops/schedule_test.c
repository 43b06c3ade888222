/* SPDX-License-Identifier: ISC */
/* The times of a loop, driven by tables of outcomes and a clock of ours. */
#include "../unit.h"

#include "base/when.h"
#include "certloops/schedule.h"

#define NONE 0
#define MOST UINT32_MAX

struct event {
	enum loop_outcome outcome;
	int64_t value; /* as schedule_next takes it; relative for OBTAINED */
	int64_t wait;  /* until the next attempt */
	unsigned failures;
};

/* Each event happens exactly when the one before it said. */
static void
drive(const struct event *v, size_t n)
{
	struct loop_schedule s = { .next = 1700000000 * WHEN_SECOND };

	for (size_t i = 0; i < n; i++) {
		int64_t now = s.next;

		schedule_next(&s, v[i].outcome,
		    v[i].outcome == LOOP_OBTAINED ? now + v[i].value :
						    v[i].value,
		    now, NONE);
		if (s.next - now != v[i].wait || s.failures != v[i].failures)
			fail_msg("event %zu: next in %lld s, %u failures", i,
			    (long long)((s.next - now) / WHEN_SECOND),
			    s.failures);
	}
}

static void
follows_a_table_of_outcomes(void **state)
{
	static const struct event table[] = {
		{ LOOP_FAILED, 0, 1 * WHEN_MINUTE, 1 },
		{ LOOP_FAILED, 0, 2 * WHEN_MINUTE, 2 },
		{ LOOP_FAILED, 0, 4 * WHEN_MINUTE, 3 },
		/* the issuer's wish: exact, and no failure */
		{ LOOP_TOLD_TO_WAIT, 3600 * WHEN_SECOND, WHEN_HOUR, 3 },
		{ LOOP_TOLD_TO_WAIT, 1 * WHEN_SECOND, WHEN_SECOND, 3 },
		{ LOOP_FAILED, 0, 8 * WHEN_MINUTE, 4 },
		/* success resets; then a look each day until it is time */
		{ LOOP_OBTAINED, 60 * WHEN_DAY, WHEN_DAY, 0 },
		{ LOOP_OBTAINED, 59 * WHEN_DAY, WHEN_DAY, 0 },
		{ LOOP_OBTAINED, 5 * WHEN_HOUR, 5 * WHEN_HOUR, 0 },
		{ LOOP_FAILED, 0, 1 * WHEN_MINUTE, 1 },
		{ LOOP_TOLD_TO_WAIT, 2 * WHEN_DAY, 2 * WHEN_DAY, 1 },
		{ LOOP_FAILED, 0, 2 * WHEN_MINUTE, 2 },
		{ LOOP_OBTAINED, 40 * WHEN_MINUTE, 40 * WHEN_MINUTE, 0 },
	};

	(void)state;
	drive(table, sizeof(table) / sizeof(table[0]));
}

static void
a_hundred_failures_in_a_row_never_hurry_nor_stop(void **state)
{
	struct event table[101];
	int64_t wait = WHEN_MINUTE;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		table[i] = (struct event){ LOOP_FAILED, 0, wait, i + 1 };
		wait = 2 * wait < WHEN_DAY ? 2 * wait : WHEN_DAY;
	}
	/* 1, 2, 4 ... 1024 minutes are eleven, the twelfth is capped */
	assert_int_equal(table[10].wait, 1024 * WHEN_MINUTE);
	assert_int_equal(table[11].wait, WHEN_DAY);
	table[100] = (struct event){ LOOP_OBTAINED, 60 * WHEN_DAY, WHEN_DAY,
		0 };
	drive(table, 101);
}

static void
backs_off_for_any_number_of_failures(void **state)
{
	(void)state;
	assert_int_equal(schedule_backoff(0, NONE), WHEN_MINUTE);
	assert_int_equal(schedule_backoff(1, NONE), WHEN_MINUTE);
	for (unsigned n = 12; n < 5000; n++)
		assert_int_equal(schedule_backoff(n, NONE), WHEN_DAY);
	assert_int_equal(schedule_backoff(UINT32_MAX, NONE), WHEN_DAY);
}

static void
the_count_of_failures_saturates(void **state)
{
	struct loop_schedule s = { .failures = UINT32_MAX };

	(void)state;
	schedule_next(&s, LOOP_FAILED, 0, 0, NONE);
	assert_int_equal(s.failures, UINT32_MAX);
	assert_int_equal(s.next, WHEN_DAY);
}

static void
jitter_takes_a_tenth_at_most_and_never_adds(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 20; n++) {
		int64_t full = schedule_backoff(n, NONE);
		int64_t half = schedule_backoff(n, UINT32_MAX / 2);
		int64_t least = schedule_backoff(n, MOST);

		assert_true(least < half && half < full);
		assert_true(least >= full - full / 10);
		assert_true(full <= WHEN_DAY);
	}
}

static void
renews_as_a_third_of_the_life_is_left(void **state)
{
	int64_t begin = 1700000000 * WHEN_SECOND;
	int64_t end = begin + 90 * WHEN_DAY;
	int64_t jittered = schedule_renewal(begin, end, MOST);

	(void)state;
	assert_int_equal(schedule_renewal(begin, end, NONE),
	    begin + 60 * WHEN_DAY);
	assert_true(jittered < begin + 60 * WHEN_DAY);
	assert_true(jittered >= begin + 57 * WHEN_DAY);
	assert_int_equal(schedule_renewal(begin, begin + 3 * WHEN_HOUR, NONE),
	    begin + 2 * WHEN_HOUR);
	/* nonsense from an issuer is due at once, not in the year 300000 */
	assert_int_equal(schedule_renewal(end, begin, NONE), begin);
}

static void
a_certificate_that_is_due_at_once_does_not_make_a_hot_loop(void **state)
{
	static const struct event table[] = {
		{ LOOP_OBTAINED, 0, WHEN_MINUTE, 0 },
		{ LOOP_OBTAINED, -5 * WHEN_DAY, WHEN_MINUTE, 0 },
		{ LOOP_OBTAINED, 59 * WHEN_SECOND, WHEN_MINUTE, 0 },
		{ LOOP_OBTAINED, 61 * WHEN_SECOND, 61 * WHEN_SECOND, 0 },
	};

	(void)state;
	drive(table, sizeof(table) / sizeof(table[0]));
}

static void
renews_at_some_moment_of_a_window(void **state)
{
	(void)state;
	assert_int_equal(schedule_within(1000, 2000, NONE), 1000);
	assert_int_equal(schedule_within(1000, 2000, MOST), 1999);
	assert_int_equal(schedule_within(1000, 2000, MOST / 2), 1499);
	assert_int_equal(schedule_within(1000, 900, MOST), 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_a_table_of_outcomes),
		cmocka_unit_test(
		    a_hundred_failures_in_a_row_never_hurry_nor_stop),
		cmocka_unit_test(backs_off_for_any_number_of_failures),
		cmocka_unit_test(the_count_of_failures_saturates),
		cmocka_unit_test(jitter_takes_a_tenth_at_most_and_never_adds),
		cmocka_unit_test(renews_as_a_third_of_the_life_is_left),
		cmocka_unit_test(renews_at_some_moment_of_a_window),
		cmocka_unit_test(
		    a_certificate_that_is_due_at_once_does_not_make_a_hot_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
