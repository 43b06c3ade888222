/* SPDX-License-Identifier: ISC */
/* Sliding windows: one suite over all backends, with a clock of ours. */
#include "fixture.h"

#include <stdlib.h>

#define SECOND WHEN_SECOND

/* ---- the window */

static void
max_pass_and_the_next_is_told_when(void **state)
{
	struct fixture *f = get(state);
	int64_t start = f->now;

	set_limit(f, LIMIT_NEW_ORDER, 3, 10 * SECOND);
	for (int i = 0; i < 3; i++) {
		set_now(f, start + i * SECOND);
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	}
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 8 * SECOND);
	set_now(f, start + 10 * SECOND - 1);
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 1);
	set_now(f, start + 10 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), SECOND);
}

static void
a_refused_attempt_is_not_recorded(void **state)
{
	struct fixture *f = get(state);
	int64_t start = f->now;

	set_limit(f, LIMIT_NEW_ORDER, 1, 5 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	for (int i = 1; i < 50; i++) {
		set_now(f, start + i * SECOND / 10);
		assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"),
		    5 * SECOND - i * SECOND / 10);
	}
	set_now(f, start + 5 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
}

static void
several_in_one_microsecond_count_one_each(void **state)
{
	struct fixture *f = get(state);

	set_limit(f, LIMIT_NEW_ORDER, 5, SECOND);
	for (int i = 0; i < 5; i++)
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), SECOND);
}

/* What should happen, by counting all that ever passed. */
enum { MODEL_KEYS = 3, MODEL_MAX = 8192 };

struct model {
	int64_t passed[MODEL_KEYS][MODEL_MAX];
	size_t n[MODEL_KEYS];
};

static int64_t
model_wait(const struct model *m, int key, const struct limit *l, int64_t now)
{
	size_t n = m->n[key];
	int64_t left;

	if (n < l->max)
		return 0;
	left = m->passed[key][n - l->max] + l->window - now;
	return left > 0 ? left : 0;
}

static int64_t
random_step(int64_t window)
{
	switch (rand() % 4) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return rand() % (window / 2);
	default:
		return rand() % (window / 20);
	}
}

static void
one_random_arrival(struct fixture *f, struct model *m, const struct limit *l,
    int64_t *wait)
{
	static const char *const keys[MODEL_KEYS] = { "a", "b", "a:b" };
	int key = rand() % MODEL_KEYS;
	struct ratelimit_result r;

	/* every fifth comes exactly when it was told to, or just before */
	if (*wait > 1 && rand() % 5 == 0)
		set_now(f, f->now + *wait - rand() % 2);
	else
		set_now(f, f->now + random_step(l->window));
	*wait = model_wait(m, key, l, f->now);
	r = take_one(f, LIMIT_NEW_ORDER, keys[key]);
	if (*wait > 0) {
		assert_refused(r, *wait);
		return;
	}
	assert_pass(r);
	m->passed[key][m->n[key]++] = f->now;
}

static void
exactly_max_pass_in_every_window_under_random_arrival(void **state)
{
	struct fixture *f = get(state);
	struct model *m = calloc(1, sizeof(*m));
	const struct limit l[] = { { 1, SECOND }, { 2, SECOND + 1 },
		{ 7, 3 * SECOND }, { 50, 60 * SECOND } };
	int64_t wait;

	srand(20261122);
	for (size_t i = 0; i < sizeof(l) / sizeof(l[0]); i++) {
		*m = (struct model){ .n = { 0 } };
		wait = 0;
		set_now(f, f->now + WHEN_DAY);
		ratelimit_set(f->rl, LIMIT_NEW_ORDER, &l[i]);
		for (int j = 0; j < 1200; j++)
			one_random_arrival(f, m, &l[i], &wait);
	}
	free(m);
}

static void
the_largest_limit_holds(void **state)
{
	struct fixture *f = get(state);
	int64_t start = f->now;

	set_limit(f, LIMIT_NEW_ORDER, LIMIT_MAX_MAX, LIMIT_WINDOW_MAX);
	for (int i = 0; i < LIMIT_MAX_MAX; i++) {
		set_now(f, start + i);
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	}
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"),
	    LIMIT_WINDOW_MAX - LIMIT_MAX_MAX + 1);
	set_now(f, start + LIMIT_WINDOW_MAX + 1);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 1);
}

static void
a_max_of_zero_is_no_limit(void **state)
{
	struct fixture *f = get(state);

	set_limit(f, LIMIT_NEW_ORDER, 0, 0);
	for (int i = 0; i < 100; i++)
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 0);
	assert_non_null(show_one(f, LIMIT_NEW_ORDER, "a").trouble);
	assert_pass(take_all(f, NULL, 0, NULL));
}

static void
a_limit_that_changes_holds_at_once(void **state)
{
	struct fixture *f = get(state);
	int64_t start = f->now;

	set_limit(f, LIMIT_NEW_ORDER, 4, 10 * SECOND);
	for (int i = 0; i < 4; i++) {
		set_now(f, start + i * SECOND);
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	}
	set_limit(f, LIMIT_NEW_ORDER, 2, 10 * SECOND);
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 9 * SECOND);
	set_limit(f, LIMIT_NEW_ORDER, 6, 10 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 7 * SECOND);
	set_limit(f, LIMIT_NEW_ORDER, 6, 4 * SECOND);
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 1 * SECOND);
	set_now(f, start + 4 * SECOND);
	set_limit(f, LIMIT_NEW_ORDER, 3, 2 * SECOND);
	/* three at start + 3 s */
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 1 * SECOND);
	set_now(f, start + 5 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
}

static void
an_override_holds_for_its_key(void **state)
{
	struct fixture *f = get(state);
	struct limit more = { 3, 10 * SECOND }, off = { 0, 0 };
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("vip") };

	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	t.override = &more;
	for (int i = 0; i < 3; i++)
		assert_pass(take_all(f, &t, 1, NULL));
	assert_refused(take_all(f, &t, 1, NULL), 10 * SECOND);
	assert_int_equal(take_all(f, &t, 1, NULL).values.max, 3);
	t.override = &off;
	assert_pass(take_all(f, &t, 1, NULL));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "other"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "other"), 10 * SECOND);
}

/* ---- several at once */

static void
all_limits_of_a_request_are_taken_or_none(void **state)
{
	struct fixture *f = get(state);
	struct take both[] = {
		{ .limit = LIMIT_NEW_ACCOUNT, .key = STR("192.0.2.1") },
		{ .limit = LIMIT_NEW_ORDER, .key = STR("a") },
	};
	struct ratelimit_result r;

	set_limit(f, LIMIT_NEW_ACCOUNT, 5, 10 * SECOND);
	set_limit(f, LIMIT_NEW_ORDER, 2, 60 * SECOND);
	assert_pass(take_all(f, both, 2, NULL));
	assert_pass(take_all(f, both, 2, NULL));
	for (int i = 0; i < 10; i++) {
		r = take_all(f, both, 2, NULL);
		assert_refused(r, 60 * SECOND);
		assert_int_equal(r.limit, LIMIT_NEW_ORDER);
		assert_int_equal(r.values.max, 2);
	}
	assert_int_equal(show_one(f, LIMIT_NEW_ACCOUNT, "192.0.2.1").used, 2);
	/* the other one alone is not exhausted */
	for (int i = 0; i < 3; i++)
		assert_pass(take_all(f, both, 1, NULL));
	/* both refuse now: the longer wait is told */
	assert_refused(take_all(f, both, 1, NULL), 10 * SECOND);
	assert_refused(take_all(f, both, 2, NULL), 60 * SECOND);
	set_now(f, f->now + 55 * SECOND);
	for (int i = 0; i < 5; i++)
		assert_pass(take_all(f, both, 1, NULL));
	r = take_all(f, both, 2, NULL);
	assert_refused(r, 10 * SECOND);
	assert_int_equal(r.limit, LIMIT_NEW_ACCOUNT);
}

static void
a_look_records_nothing(void **state)
{
	struct fixture *f = get(state);
	struct take t[] = {
		{ .limit = LIMIT_FAILED_VALIDATION,
		    .key = STR("a|example.com"),
		    .mode = TAKE_LOOK },
		{ .limit = LIMIT_NEW_ORDER, .key = STR("a") },
	};

	set_limit(f, LIMIT_FAILED_VALIDATION, 2, 10 * SECOND);
	for (int i = 0; i < 5; i++)
		assert_pass(take_all(f, t, 2, NULL));
	assert_int_equal(show_one(f, LIMIT_FAILED_VALIDATION, "a|example.com")
			     .used,
	    0);
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 5);
	t[0].mode = TAKE;
	assert_pass(take_all(f, t, 1, NULL));
	assert_pass(take_all(f, t, 1, NULL));
	t[0].mode = TAKE_LOOK;
	assert_refused(take_all(f, t, 2, NULL), 10 * SECOND);
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 5);
}

static void
a_request_may_take_many_limits(void **state)
{
	struct fixture *f = get(state);
	struct take t[LIMIT_TAKES_MAX];

	set_limit(f, LIMIT_FAILED_VALIDATION, 1, 10 * SECOND);
	for (size_t i = 0; i < LIMIT_TAKES_MAX; i++)
		t[i] = (struct take){ .limit = LIMIT_FAILED_VALIDATION,
			.key = str_printf(f->a, "account|name%zu", i) };
	assert_pass(take_all(f, t, LIMIT_TAKES_MAX - 1, NULL));
	assert_refused(take_all(f, t, LIMIT_TAKES_MAX, NULL), 10 * SECOND);
	assert_pass(take_all(f, t + LIMIT_TAKES_MAX - 1, 1, NULL));
}

static void
keys_are_told_apart_whatever_bytes_they_hold(void **state)
{
	struct fixture *f = get(state);
	struct take t[] = {
		{ .limit = LIMIT_NEW_ORDER, .key = STR("a") },
		{ .limit = LIMIT_NEW_ORDER, .key = STR("a\0b") },
		{ .limit = LIMIT_NEW_ORDER, .key = STR("a\0c") },
		{ .limit = LIMIT_NEW_ORDER, .key = STR("a\r\nDEL") },
		{ .limit = LIMIT_KEY_CHANGE, .key = STR("a") },
	};
	char longest[LIMIT_KEY_MAX];
	struct take big = { .limit = LIMIT_NEW_ORDER,
		.key = str_make(longest, sizeof(longest)) };

	memset(longest, 'x', sizeof(longest));
	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	set_limit(f, LIMIT_KEY_CHANGE, 1, 10 * SECOND);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_pass(take_all(f, &t[i], 1, NULL));
		assert_refused(take_all(f, &t[i], 1, NULL), 10 * SECOND);
	}
	assert_pass(take_all(f, &big, 1, NULL));
	longest[sizeof(longest) - 1] = 'y';
	assert_pass(take_all(f, &big, 1, NULL));
	assert_refused(take_all(f, &big, 1, NULL), 10 * SECOND);
}

/* ---- callers */

static void
a_task_that_ended_hears_nothing_but_what_it_took_is_taken(void **state)
{
	struct fixture *f = get(state);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct outcome o = { .calls = 0 };
	struct task brief;

	task_init(&brief);
	(void)ratelimit_take(f->rl, &brief, &t, 1, NULL, on_outcome, &o);
	task_end(&brief);
	turn_for(f->loop, 50);
	assert_int_equal(o.calls, 0);
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 1);
}

static void
a_limiter_may_go_with_requests_under_way(void **state)
{
	struct fixture *f = get(state);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct outcome o[2] = { { .calls = 0 }, { .calls = 0 } };
	struct ratelimit_options options = options_of(f);

	(void)ratelimit_take(f->rl, &f->task, &t, 1, NULL, on_outcome, &o[0]);
	loop_turn(f->loop, LOOP_POLL);
	(void)ratelimit_take(f->rl, &f->task, &t, 1, NULL, on_outcome, &o[1]);
	remake(f, &options);
	turn_for(f->loop, 50);
	assert_true(o[0].calls <= 1); /* memory decides at once */
	assert_int_equal(o[1].calls, 0);
	assert_false(task_is_waiting(&f->task));
}

/* ---- one key */

static void
a_key_is_shown_and_reset(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_view v;

	set_limit(f, LIMIT_NEW_ORDER, 2, 10 * SECOND);
	v = show_one(f, LIMIT_NEW_ORDER, "a");
	assert_null(v.trouble);
	assert_int_equal(v.used, 0);
	assert_int_equal(v.wait, 0);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	set_now(f, f->now + SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	v = show_one(f, LIMIT_NEW_ORDER, "a");
	assert_int_equal(v.used, 2);
	assert_int_equal(v.values.max, 2);
	assert_int_equal(v.values.window, 10 * SECOND);
	assert_int_equal(v.wait, 9 * SECOND);
	set_now(f, f->now + 9 * SECOND);
	v = show_one(f, LIMIT_NEW_ORDER, "a");
	assert_int_equal(v.used, 1);
	assert_int_equal(v.wait, 0);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	v = reset_one(f, LIMIT_NEW_ORDER, "a");
	assert_int_equal(v.used, 2);
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 0);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_non_null(show_one(f, LIMIT_OPEN_ORDERS, "a").trouble);
}

/* ---- clocks that are set */

static void
no_one_waits_longer_than_a_window_when_the_clock_is_set_back(void **state)
{
	struct fixture *f = get(state);
	int64_t start = f->now;
	struct ratelimit_result r;

	set_limit(f, LIMIT_NEW_ORDER, 2, 10 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	set_now(f, start - WHEN_DAY);
	r = take_one(f, LIMIT_NEW_ORDER, "a");
	assert_refused(r, 10 * SECOND);
	if (f->server == NULL)
		return; /* this clock never goes back; it stood still */
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 2);
	set_now(f, f->now + 10 * SECOND - 1);
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 1);
	set_now(f, f->now + 1);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 10 * SECOND);
}

/* ---- definitions and words */

static void
every_limit_is_found_by_name_and_its_default_is_allowed(void **state)
{
	struct arena *a = arena_create();
	enum limit_id id;

	(void)state;
	for (unsigned i = 0; i < LIMIT_COUNT; i++) {
		assert_true(
		    limit_find(str_from(limit_name((enum limit_id)i)), &id));
		assert_int_equal(id, i);
	}
	assert_false(limit_find(STR("new_orders"), &id));
	assert_non_null(strstr(str_cstr(a, limit_names(a)),
	    "new_account_per_address, new_order_per_account, "));
	arena_destroy(a);
}

static void
a_refusal_is_a_problem_with_retry_after_rounded_up(void **state)
{
	struct arena *a = arena_create();
	struct ratelimit_result r = { .status = RATELIMIT_REFUSED,
		.limit = LIMIT_NEW_ORDER,
		.values = { 100, WHEN_HOUR },
		.wait = 119 * SECOND + 1 };
	const struct problem *pr = ratelimit_problem(a, &r);

	(void)state;
	assert_int_equal(pr->type, PROBLEM_RATE_LIMITED);
	assert_int_equal(pr->retry_after, 120);
	assert_str(pr->detail,
	    "too many new orders of this account: at most 100 in 1 h; try "
	    "again in 120 s");
	r.wait = 1;
	assert_int_equal(ratelimit_problem(a, &r)->retry_after, 1);
	r.wait = 2 * SECOND;
	assert_int_equal(ratelimit_problem(a, &r)->retry_after, 2);
	r.status = RATELIMIT_DOWN;
	pr = ratelimit_problem(a, &r);
	assert_int_equal(pr->type, PROBLEM_UNAVAILABLE);
	assert_int_equal(pr->retry_after, 2);
	r.status = RATELIMIT_FULL;
	assert_int_equal(ratelimit_problem(a, &r)->type, PROBLEM_UNAVAILABLE);
	r.status = RATELIMIT_NONCE;
	assert_int_equal(ratelimit_problem(a, &r)->type, PROBLEM_BAD_NONCE);
	r.status = RATELIMIT_PASS;
	assert_null(ratelimit_problem(a, &r));
	arena_destroy(a);
}

int
main(int argc, char **argv)
{
#define LARGE(f)                                                               \
	{ "memory: " #f, f, make_memory, drop, NULL },                         \
	    { "redis: " #f, f, make_redis, drop, NULL },                       \
	{                                                                      \
		"sqlite: " #f, f, make_sqlite, drop, NULL                      \
	}
#define EACH(f)                                                                \
	LARGE(f),                                                              \
	{                                                                      \
		"postgresql: " #f, f, make_postgresql, drop, NULL              \
	}
	const struct CMUnitTest tests[] = {
		EACH(max_pass_and_the_next_is_told_when),
		EACH(a_refused_attempt_is_not_recorded),
		EACH(several_in_one_microsecond_count_one_each),
		EACH(exactly_max_pass_in_every_window_under_random_arrival),
		LARGE(the_largest_limit_holds),
		EACH(a_max_of_zero_is_no_limit),
		EACH(a_limit_that_changes_holds_at_once),
		EACH(an_override_holds_for_its_key),
		EACH(all_limits_of_a_request_are_taken_or_none),
		EACH(a_look_records_nothing),
		EACH(a_request_may_take_many_limits),
		EACH(keys_are_told_apart_whatever_bytes_they_hold),
		EACH(a_task_that_ended_hears_nothing_but_what_it_took_is_taken),
		EACH(a_limiter_may_go_with_requests_under_way),
		EACH(a_key_is_shown_and_reset),
		EACH(
		    no_one_waits_longer_than_a_window_when_the_clock_is_set_back),
		cmocka_unit_test(
		    every_limit_is_found_by_name_and_its_default_is_allowed),
		cmocka_unit_test(
		    a_refusal_is_a_problem_with_retry_after_rounded_up),
	};

	(void)argc;
	run_with_postgres(argv);
	return cmocka_run_group_tests_name("ratelimit", tests, NULL, NULL);
}
