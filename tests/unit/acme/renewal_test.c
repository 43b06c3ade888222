/* SPDX-License-Identifier: ISC */
/* Where the window for renewal lies. */
#include "../unit.h"

#include <stdio.h>

#include "base/when.h"
#include "issuer/policy.h"

#define BEGIN (INT64_C(1800000000) * WHEN_SECOND)
#define LIFE (90 * WHEN_DAY)

static struct policy_window
window(int64_t life, int64_t at, int64_t length, const char *serial)
{
	return policy_renewal_window(BEGIN, BEGIN + life, at, length,
	    str_from(serial));
}

static void
the_window_lies_where_the_profile_says(void **state)
{
	struct policy_window w;
	char serial[8];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(serial, sizeof(serial), "%06x", i);
		w = window(LIFE, 60, 10, serial);
		assert_true(w.start >= BEGIN + LIFE / 100 * 60);
		assert_true(w.start <= BEGIN + LIFE / 100 * 65);
		assert_int_equal(w.end - w.start, LIFE / 100 * 10);
	}
}

static void
a_certificate_has_the_same_window_for_ever(void **state)
{
	struct policy_window one = window(LIFE, 66, 8, "0123");
	struct policy_window two = window(LIFE, 66, 8, "0123");

	(void)state;
	assert_int_equal(one.start, two.start);
	assert_int_equal(one.end, two.end);
}

/* In each tenth of the room to move there are some of a thousand. */
static void
windows_are_spread(void **state)
{
	int counts[10] = { 0 };
	int64_t from = BEGIN + LIFE / 100 * 60, room = LIFE / 100 * 10 / 2;
	char serial[8];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct policy_window w;

		snprintf(serial, sizeof(serial), "%06x", i);
		w = window(LIFE, 60, 10, serial);
		counts[(w.start - from) * 10 / (room + 1)]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(counts[i], 50, 150);
}

static void
a_window_never_lies_beyond_the_end(void **state)
{
	static const int64_t lives[] = { 5 * WHEN_MINUTE, WHEN_HOUR, WHEN_DAY,
		LIFE, 3650 * WHEN_DAY };
	char serial[8];

	(void)state;
	for (size_t l = 0; l < sizeof(lives) / sizeof(lives[0]); l++)
		for (int i = 0; i < 200; i++) {
			struct policy_window w;

			snprintf(serial, sizeof(serial), "%06x", i);
			w = window(lives[l], 70, 20, serial);
			assert_true(w.start < w.end);
			assert_true(w.end <= BEGIN + lives[l]);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_lies_where_the_profile_says),
		cmocka_unit_test(a_certificate_has_the_same_window_for_ever),
		cmocka_unit_test(windows_are_spread),
		cmocka_unit_test(a_window_never_lies_beyond_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
