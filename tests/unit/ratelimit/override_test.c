/* SPDX-License-Identifier: ISC */
/* The limits of one account, as a text. */
#include "../unit.h"

#include "base/arena.h"
#include "base/when.h"
#include "ratelimit/override.h"

static void
values_are_set_found_and_removed(void **state)
{
	struct arena *a = arena_create();
	struct limit l;
	struct str text = STR("");

	(void)state;
	assert_false(override_find(text, LIMIT_NEW_ORDER, &l));
	text = override_set(a, text, LIMIT_OPEN_ORDERS,
	    &(struct limit){ .max = 7 });
	text = override_set(a, text, LIMIT_NEW_ORDER,
	    &(struct limit){ 500, WHEN_HOUR });
	assert_str(text,
	    "new_order_per_account=500/3600000000 "
	    "open_orders_per_account=7/0");
	assert_true(override_find(text, LIMIT_NEW_ORDER, &l));
	assert_int_equal(l.max, 500);
	assert_int_equal(l.window, WHEN_HOUR);
	assert_true(override_find(text, LIMIT_OPEN_ORDERS, &l));
	assert_int_equal(l.max, 7);
	assert_false(override_find(text, LIMIT_KEY_CHANGE, &l));
	text = override_set(a, text, LIMIT_NEW_ORDER,
	    &(struct limit){ 1, WHEN_DAY });
	assert_true(override_find(text, LIMIT_NEW_ORDER, &l));
	assert_int_equal(l.max, 1);
	text = override_set(a, text, LIMIT_NEW_ORDER, NULL);
	assert_str(text, "open_orders_per_account=7/0");
	assert_int_equal(override_set(a, text, LIMIT_OPEN_ORDERS, NULL).n, 0);
	arena_destroy(a);
}

static void
what_is_no_value_is_none(void **state)
{
	static const char *const broken[] = { "new_order_per_account",
		"new_order_per_account=", "new_order_per_account=5",
		"new_order_per_account=x/1", "new_order_per_account=5/x",
		"new_order_per_account=10001/1",
		"new_order_per_account=5/9999999999999999", "new_order=5/1",
		" = /" };
	struct limit l;

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_false(
		    override_find(str_from(broken[i]), LIMIT_NEW_ORDER, &l));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_set_found_and_removed),
		cmocka_unit_test(what_is_no_value_is_none),
	};

	return cmocka_run_group_tests_name("override", tests, NULL, NULL);
}
