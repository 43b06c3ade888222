/* SPDX-License-Identifier: ISC */
/* What one address may cost while others ask too. */
#include "../unit.h"

#include "acme/admission.h"
#include "base/arena.h"
#include "base/when.h"

#define START (INT64_C(5000) * WHEN_SECOND)

static const struct admission_bounds quarter = { .share = 25 };

static struct addr
addr(const char *text)
{
	struct addr a;

	assert_true(addr_parse(str_from(text), &a));
	return a;
}

static struct admission *
make(const struct admission_bounds *b)
{
	struct admission *ad = admission_new(4);

	admission_set(ad, b);
	return ad;
}

static void
an_address_alone_may_take_all_the_time_there_is(void **state)
{
	struct admission *ad = make(&quarter);
	struct addr a = addr("192.0.2.1");

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(admission_sign(ad, a, 1650, START + i), 0);
	admission_free(ad);
}

/* Asks all the time for 10 s while another asks now and then. */
static int64_t
take_greedily(struct admission *ad, struct addr greedy, struct addr modest,
    int64_t cost)
{
	int64_t taken = 0, wait;

	for (int64_t t = START; t < START + 10 * WHEN_SECOND; t += 500) {
		if (t % (WHEN_SECOND / 10) == 0)
			assert_int_equal(admission_sign(ad, modest, 75, t), 0);
		wait = admission_sign(ad, greedy, cost, t);
		assert_true(wait >= 0);
		if (wait == 0)
			taken += cost;
	}
	return taken;
}

static void
while_others_ask_an_address_has_its_share_and_no_more(void **state)
{
	struct admission *ad = make(&quarter);
	int64_t taken = take_greedily(ad, addr("192.0.2.1"), addr("192.0.2.2"),
	    1650);

	(void)state;
	/* a quarter of 10 s, and what it had saved up */
	assert_true(taken <= 11 * WHEN_SECOND / 4 + 1650);
	assert_true(taken >= 10 * WHEN_SECOND / 4);
	admission_free(ad);
}

static void
cheap_keys_get_more_requests_into_the_same_share(void **state)
{
	struct admission *ad = make(&quarter);

	(void)state;
	assert_true(take_greedily(ad, addr("192.0.2.1"), addr("192.0.2.2"),
			admission_cost(JWS_ES256)) /
		admission_cost(JWS_ES256) >=
	    19999); /* each of them */
	assert_true(
	    admission_cost(JWS_ES512) >= 20 * admission_cost(JWS_ES256));
	assert_true(admission_cost(JWS_ES384) >= 8 * admission_cost(JWS_ES256));
	admission_free(ad);
}

static void
the_wait_is_exact(void **state)
{
	struct admission *ad = make(&quarter);
	struct addr a = addr("192.0.2.1"), b = addr("192.0.2.2");
	int64_t wait;

	(void)state;
	assert_int_equal(admission_sign(ad, a, WHEN_SECOND / 4, START), 0);
	assert_int_equal(admission_sign(ad, b, 75, START), 0);
	wait = admission_sign(ad, a, 1000, START + 10);
	assert_int_equal(wait, 4 * 1000 - 10);
	assert_int_equal(admission_sign(ad, a, 1000, START + 10 + wait - 1), 1);
	assert_int_equal(admission_sign(ad, a, 1000, START + 10 + wait), 0);
	admission_free(ad);
}

static void
who_was_the_only_one_to_ask_for_a_second_is_alone(void **state)
{
	struct admission *ad = make(&quarter);
	struct addr a = addr("192.0.2.1"), b = addr("192.0.2.2");

	(void)state;
	assert_int_equal(admission_sign(ad, b, 75, START), 0);
	assert_int_equal(admission_sign(ad, a, WHEN_SECOND / 4, START), 0);
	assert_true(admission_sign(ad, a, 200000, START + 1) > 0);
	assert_true(admission_sign(ad, a, 250000, START + WHEN_SECOND - 1) > 0);
	assert_int_equal(admission_sign(ad, a, 250000, START + WHEN_SECOND), 0);
	assert_int_equal(admission_sign(ad, a, 250000, START + WHEN_SECOND), 0);
	admission_free(ad);
}

static void
what_is_charged_afterwards_is_owed(void **state)
{
	struct admission *ad = make(&quarter);
	struct addr a = addr("192.0.2.1"), b = addr("192.0.2.2");

	(void)state;
	assert_int_equal(admission_sign(ad, b, 75, START), 0);
	assert_int_equal(admission_sign(ad, a, WHEN_SECOND / 4, START), 0);
	admission_charge(ad, a, 1500, START);
	assert_int_equal(admission_sign(ad, a, 75, START), 4 * 1575);
	/* but no more than one such debt, however often */
	for (int i = 0; i < 100; i++)
		admission_charge(ad, a, 1500, START);
	assert_int_equal(admission_sign(ad, a, 75, START), 4 * 1575);
	admission_free(ad);
}

static void
a_network_of_ipv6_is_one_address(void **state)
{
	struct admission *ad = make(&quarter);

	(void)state;
	assert_int_equal(admission_sign(ad, addr("2001:db8:0:2::9"), 75, START),
	    0);
	assert_int_equal(admission_sign(ad, addr("2001:db8:0:1::1"), 250000,
			     START),
	    0);
	assert_true(
	    admission_sign(ad, addr("2001:db8:0:1:8000::2"), 75, START) > 0);
	assert_int_equal(admission_size(ad), 2);
	admission_free(ad);
}

static void
no_more_addresses_are_remembered_than_fit(void **state)
{
	struct admission *ad = make(&quarter);
	struct arena *a = arena_create();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct str text = str_printf(a, "10.0.%d.%d", i / 250, i % 250);

		assert_int_equal(admission_sign(ad, addr(text.p), 250000,
				     START + i),
		    0);
		assert_true(admission_size(ad) <= 4);
	}
	/* who has just been seen is not forgotten */
	assert_true(admission_sign(ad, addr("10.0.3.249"), 75, START) > 0);
	arena_destroy(a);
	admission_free(ad);
}

static void
without_a_share_or_an_address_nothing_is_refused(void **state)
{
	static const unsigned shares[] = { 0, 100 };
	struct addr none = { .len = 0 };

	(void)state;
	for (int s = 0; s < 2; s++) {
		struct admission *ad = make(
		    &(struct admission_bounds){ .share = shares[s] });

		for (int i = 0; i < 1000; i++) {
			assert_int_equal(admission_sign(ad,
					     addr(i % 2 ? "::1" : "10.0.0.1"),
					     WHEN_SECOND, START),
			    0);
			assert_int_equal(admission_request(ad, addr("::1"),
					     START),
			    0);
		}
		admission_set(ad, &(struct admission_bounds){ 1, 1, 1000000 });
		for (int i = 0; i < 10; i++) {
			assert_int_equal(admission_sign(ad, none, WHEN_SECOND,
					     START),
			    0);
			assert_int_equal(admission_request(ad, none, START), 0);
		}
		admission_free(ad);
	}
}

static void
unsigned_requests_come_at_their_rate(void **state)
{
	struct admission *ad = make(&(struct admission_bounds){ .requests = 10,
	    .requests_window = WHEN_SECOND });
	struct addr a = addr("192.0.2.1");
	int passed = 0;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(admission_request(ad, a, START), 0);
	assert_int_equal(admission_request(ad, a, START), WHEN_SECOND / 10);
	assert_int_equal(admission_request(ad, addr("192.0.2.2"), START), 0);
	for (int64_t t = START; t < START + 5 * WHEN_SECOND; t += 1000)
		passed += admission_request(ad, a, t) == 0;
	assert_in_range(passed, 49, 50);
	admission_free(ad);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    an_address_alone_may_take_all_the_time_there_is),
		cmocka_unit_test(
		    while_others_ask_an_address_has_its_share_and_no_more),
		cmocka_unit_test(
		    cheap_keys_get_more_requests_into_the_same_share),
		cmocka_unit_test(the_wait_is_exact),
		cmocka_unit_test(
		    who_was_the_only_one_to_ask_for_a_second_is_alone),
		cmocka_unit_test(what_is_charged_afterwards_is_owed),
		cmocka_unit_test(a_network_of_ipv6_is_one_address),
		cmocka_unit_test(no_more_addresses_are_remembered_than_fit),
		cmocka_unit_test(
		    without_a_share_or_an_address_nothing_is_refused),
		cmocka_unit_test(unsigned_requests_come_at_their_rate),
	};

	return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
