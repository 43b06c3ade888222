/* SPDX-License-Identifier: ISC */
/* Names and their addresses, by the system's resolver in a child. */
#include "../unit.h"

#include "loop/lookup.h"

struct heard {
	unsigned calls;
	struct lookup_found v[LOOKUP_FOUND_MAX];
	size_t n;
};

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

static void
hear(void *arg, const struct lookup_found *found, size_t n)
{
	struct heard *h = arg;

	h->calls++;
	h->n = n;
	memcpy(h->v, found, n * sizeof(*found));
}

static void
run_until(struct loop *loop, const struct heard *h, unsigned calls)
{
	for (int i = 0; i < 10000 && h->calls < calls; i++)
		loop_turn(loop, LOOP_WAIT);
	assert_int_equal(h->calls, calls);
}

static void
names_are_looked_up_by_a_child(void **state)
{
	static const char *const names[] = { "no-such-name.invalid",
		"127.0.0.7", "::1", "localhost" };
	struct heard h = { .calls = 0 };
	struct lookup l;

	lookup_init(&l, *state, names, sizeof(names) / sizeof(names[0]), hear,
	    &h);
	assert_true(lookup_start(&l));
	assert_false(lookup_start(&l)); /* one at a time */
	run_until(*state, &h, 1);
	assert_in_range(h.n, 3, LOOKUP_FOUND_MAX);
	assert_int_equal(h.v[0].name, 1);
	assert_int_equal(h.v[1].name, 2);
	assert_int_equal(h.v[1].addr.len, 16);
	for (size_t i = 2; i < h.n; i++) {
		assert_int_equal(h.v[i].name, 3);
		assert_true(addr_is_loopback(h.v[i].addr));
	}
	assert_true(lookup_start(&l));
	run_until(*state, &h, 2);
}

static void
after_a_failure_they_are_looked_up_now_and_then(void **state)
{
	static const char *const names[] = { "127.0.0.7" };
	struct heard h = { .calls = 0 };
	struct lookup l, none;

	lookup_init(&l, *state, names, 1, hear, &h);
	lookup_again(&l);
	run_until(*state, &h, 1);
	lookup_again(&l);
	assert_false(l.running); /* not within ten seconds */
	lookup_init(&none, *state, names, 0, hear, &h);
	lookup_again(&none);
	assert_false(none.running);
}

/* A name of 300 letters: the resolver cannot say that there is none. */
static void
what_is_known_stays_unless_the_name_is_gone(void **state)
{
	static char endless[301];
	const char *names[] = { endless, "127.0.0.7" };
	struct heard h = { .calls = 0 };
	struct addr here = addr_from_bytes("\x7f\0\0\x09", 4), v[1];
	const char *why;
	struct lookup l;
	bool gone;

	memset(endless, 'x', sizeof(endless) - 1);
	assert_int_equal(lookup_now(endless, v, 1, &why, &gone), 0);
	lookup_init(&l, *state, names, 2, hear, &h);
	lookup_know(&l, 0, here);
	lookup_know(&l, 1, here);
	assert_true(lookup_start(&l));
	run_until(*state, &h, 1);
	assert_int_equal(h.n, gone ? 1 : 2);
	assert_int_equal(h.v[h.n - 1].name, 1); /* found anew */
	assert_int_equal(h.v[h.n - 1].addr.bytes[3], 7);
	if (!gone)
		assert_true(addr_eq(h.v[0].addr, here));
}

static void
one_that_was_stopped_is_not_heard_of(void **state)
{
	static const char *const names[] = { "127.0.0.7" };
	struct heard h = { .calls = 0 };
	struct lookup l, other;

	lookup_init(&l, *state, names, 1, hear, &h);
	assert_true(lookup_start(&l));
	lookup_stop(&l);
	lookup_stop(&l);
	h.calls = 0;
	lookup_init(&other, *state, names, 1, hear, &h);
	assert_true(lookup_start(&other));
	run_until(*state, &h, 1);
}

static void
a_name_without_an_address_has_its_reason(void **state)
{
	struct addr v[2];
	const char *why = NULL;
	bool gone;

	(void)state;
	assert_int_equal(lookup_now("no-such-name.invalid", v, 2, &why, &gone),
	    0);
	assert_non_null(why);
	assert_int_equal(lookup_now("127.0.0.7", v, 2, &why, &gone), 1);
	assert_int_equal(v[0].bytes[3], 7);
	assert_int_equal(lookup_now("127.0.0.7", v, 0, &why, &gone), 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_loop, drop_loop)
	const struct CMUnitTest tests[] = {
		T(names_are_looked_up_by_a_child),
		T(after_a_failure_they_are_looked_up_now_and_then),
		T(what_is_known_stays_unless_the_name_is_gone),
		T(one_that_was_stopped_is_not_heard_of),
		T(a_name_without_an_address_has_its_reason),
	};

	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
