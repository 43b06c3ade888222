/* SPDX-License-Identifier: ISC */
/*
 * Limits and nonces in the store: one batch a request, exact among processes,
 * swept when nothing counts any more.
 */
#include "fixture.h"

#include <stdlib.h>

#define SECOND WHEN_SECOND

enum { RACERS = 40, RACE_MAX = 7 };

#define EPOCH STR("0123456789abcdef")

struct ran {
	volatile bool done;
	enum store_status status;
	size_t rows;
};

static enum step
on_ran(void *arg, const struct store_result *r)
{
	struct ran *ran = arg;

	ran->status = r->status;
	if (r->status == STORE_OK)
		ran->rows = store_nrows(r, 0);
	ran->done = true;
	return STEP_DONE;
}

static size_t
run(struct fixture *f, struct batch *b)
{
	struct ran ran = { .done = false };

	(void)store_send_batch(b, on_ran, &ran);
	if (!turn_until(f->loop, &ran.done, 30000))
		fail_msg("no answer");
	assert_int_equal(ran.status, STORE_OK);
	return ran.rows;
}

static struct batch *
new_batch(struct fixture *f, enum sql sql)
{
	struct batch *b = store_new_batch(f->store, &f->task, STR("test"));

	store_add(b, sql);
	return b;
}

/* How many rows a sweep drops. */
static size_t
sweep(struct fixture *f, enum sql sql, unsigned most)
{
	struct batch *b = new_batch(f, sql);

	store_int(b, most);
	return run(f, b);
}

static struct ratelimit_nonce
mint(struct fixture *f)
{
	static unsigned number;
	struct batch *b = new_batch(f, SQL_NONCE_EPOCH_INSERT);

	store_str(b, EPOCH);
	(void)run(f, b);
	return (struct ratelimit_nonce){ .redeemer = REDEEMER_STORE,
		.id = str_printf(f->a, "nonce%u", number++),
		.epoch = EPOCH,
		.ttl = WHEN_HOUR };
}

static unsigned
used(struct fixture *f, enum limit_id id, const char *key)
{
	struct ratelimit_view v = show_one(f, id, key);

	assert_null(v.trouble);
	return v.used;
}

/* ---- nonces */

static void
a_nonce_and_limits_are_one_decision(void **state)
{
	struct fixture *f = get(state);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct ratelimit_nonce n = mint(f), other = mint(f), last = mint(f);
	struct ratelimit_result r;

	set_limit(f, LIMIT_NEW_ORDER, 2, 10 * SECOND);
	r = take_all(f, &t, 1, &n);
	assert_pass(r);
	assert_int_equal(r.redeemed, REDEEMED);
	/* a nonce that was used takes no limit */
	r = take_all(f, &t, 1, &n);
	assert_int_equal(r.status, RATELIMIT_NONCE);
	assert_int_equal(r.redeemed, REDEEMED_BEFORE);
	assert_int_equal(used(f, LIMIT_NEW_ORDER, "a"), 1);
	assert_pass(take_all(f, &t, 1, &other));
	/* and one that a limit refuses is used up */
	assert_refused(take_all(f, &t, 1, &last), 10 * SECOND);
	assert_int_equal(take_all(f, &t, 1, &last).status, RATELIMIT_NONCE);
	assert_int_equal(take_all(f, NULL, 0, &last).status, RATELIMIT_NONCE);
}

static void
a_nonce_of_another_epoch_is_not_redeemed(void **state)
{
	struct fixture *f = get(state);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct ratelimit_nonce n = mint(f);

	n.epoch = STR("fedcba9876543210");
	assert_int_equal(take_all(f, &t, 1, &n).status, RATELIMIT_NONCE);
	assert_int_equal(used(f, LIMIT_NEW_ORDER, "a"), 0);
	n.epoch = EPOCH;
	assert_pass(take_all(f, &t, 1, &n));
}

static void
memory_limits_go_with_nonces_in_the_store(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_options o = options_of(f);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct ratelimit_nonce n, next;
	struct ratelimit_result r;

	o.backend = RATELIMIT_MEMORY;
	remake(f, &o);
	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	n = mint(f);
	next = mint(f);
	r = take_all(f, &t, 1, &n);
	assert_pass(r);
	assert_int_equal(r.redeemed, REDEEMED);
	r = take_all(f, &t, 1, &next);
	assert_refused(r, 10 * SECOND);
	assert_int_equal(r.redeemed, REDEEMED);
	assert_int_equal(take_all(f, &t, 1, &n).status, RATELIMIT_NONCE);
}

/* ---- races, between processes with connections of their own */

struct race {
	struct outcome o[RACERS];
	struct store *stores[2];
	struct ratelimit *rl[2];
};

static void
make_race(struct fixture *f, struct race *race)
{
	struct ratelimit_options o = options_of(f);
	struct store_options so = { .url = f->url, .deadline = 30 * SECOND };
	struct limit l = { RACE_MAX, WHEN_HOUR };
	const char *why = "";

	*race = (struct race){ .stores = { f->store } };
	if (f->raw != NULL)
		race->stores[1] = store_new(f->loop, &so, f->a, &why);
	for (int i = 0; i < 2; i++) {
		if (race->stores[i] != NULL)
			o.store = race->stores[i];
		race->rl[i] = ratelimit_new(&o);
		ratelimit_set(race->rl[i], LIMIT_NEW_ORDER, &l);
		ratelimit_set(race->rl[i], LIMIT_KEY_CHANGE, &l);
	}
}

static void
end_race(struct race *race)
{
	for (int i = 0; i < 2; i++)
		ratelimit_free(race->rl[i]);
	store_free(race->stores[1]);
}

/* Wait for all; how many had this status? */
static int
count_race(struct fixture *f, struct race *race, enum ratelimit_status status)
{
	int n = 0;

	for (int i = 0; i < RACERS; i++) {
		if (!turn_until(f->loop, &race->o[i].done, 60000))
			fail_msg("racer %d has no answer", i);
		n += race->o[i].result.status == status;
	}
	return n;
}

static void
exactly_max_pass_in_a_race(void **state)
{
	struct fixture *f = get(state);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("raced") };
	struct race race;

	make_race(f, &race);
	for (int i = 0; i < RACERS; i++)
		(void)ratelimit_take(race.rl[i % 2], &f->task, &t, 1, NULL,
		    on_outcome, &race.o[i]);
	assert_int_equal(count_race(f, &race, RATELIMIT_PASS), RACE_MAX);
	assert_int_equal(count_race(f, &race, RATELIMIT_REFUSED),
	    RACERS - RACE_MAX);
	end_race(&race);
}

static void
requests_that_take_the_same_limits_the_other_way_round_are_exact(void **state)
{
	struct fixture *f = get(state);
	struct take one = { .limit = LIMIT_NEW_ORDER, .key = STR("x") };
	struct take two = { .limit = LIMIT_KEY_CHANGE, .key = STR("x") };
	struct take ways[2][2] = { { one, two }, { two, one } };
	struct race race;

	make_race(f, &race);
	for (int i = 0; i < RACERS; i++)
		(void)ratelimit_take(race.rl[i % 2], &f->task, ways[i / 2 % 2],
		    2, NULL, on_outcome, &race.o[i]);
	assert_int_equal(count_race(f, &race, RATELIMIT_PASS), RACE_MAX);
	assert_int_equal(count_race(f, &race, RATELIMIT_REFUSED),
	    RACERS - RACE_MAX);
	end_race(&race);
}

static void
a_nonce_is_redeemed_once_in_a_race(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_nonce n = mint(f);
	struct race race;
	struct take t = { .limit = LIMIT_NEW_ORDER };

	make_race(f, &race);
	for (int i = 0; i < RACERS; i++) {
		t.key = str_printf(f->a, "key%d", i);
		(void)ratelimit_take(race.rl[i % 2], &f->task, &t, 1, &n,
		    on_outcome, &race.o[i]);
	}
	assert_int_equal(count_race(f, &race, RATELIMIT_PASS), 1);
	assert_int_equal(count_race(f, &race, RATELIMIT_NONCE), RACERS - 1);
	end_race(&race);
	if (f->raw != NULL) /* who lost has taken no limit */
		assert_int_equal(ask_postgres(f,
				     "SELECT count(*) FROM limit_stamps"),
		    1);
}

/* ---- sweeps */

static void
what_is_out_of_its_window_is_swept_and_nothing_else(void **state)
{
	struct fixture *f = get(state);
	int64_t start = f->now;

	set_limit(f, LIMIT_NEW_ORDER, 10, WHEN_HOUR);
	for (int i = 0; i < 10; i++) {
		set_now(f, start + i * WHEN_MINUTE);
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	}
	set_now(f, start + WHEN_HOUR - 1);
	assert_int_equal(sweep(f, SQL_GC_LIMIT_STAMPS, 100), 0);
	set_now(f, start + WHEN_HOUR + 4 * WHEN_MINUTE);
	/* bounded, and the oldest first */
	assert_int_equal(sweep(f, SQL_GC_LIMIT_STAMPS, 3), 3);
	assert_int_equal(sweep(f, SQL_GC_LIMIT_STAMPS, 3), 2);
	assert_int_equal(sweep(f, SQL_GC_LIMIT_HEADS, 3), 0);
	/* the numbers go on behind those that stayed */
	assert_int_equal(used(f, LIMIT_NEW_ORDER, "a"), 5);
	for (int i = 0; i < 5; i++)
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), WHEN_MINUTE);
	set_now(f, start + 4 * WHEN_HOUR);
	assert_int_equal(sweep(f, SQL_GC_LIMIT_STAMPS, 100), 10);
	assert_int_equal(sweep(f, SQL_GC_LIMIT_HEADS, 100), 1);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_int_equal(used(f, LIMIT_NEW_ORDER, "a"), 1);
}

static void
a_sweep_between_two_attempts_changes_no_decision(void **state)
{
	struct fixture *f = get(state);
	int passed = 0;

	set_limit(f, LIMIT_NEW_ORDER, 3, 10 * SECOND);
	for (int i = 0; i < 60; i++) {
		passed += take_one(f, LIMIT_NEW_ORDER, "a").status ==
		    RATELIMIT_PASS;
		(void)sweep(f, SQL_GC_LIMIT_STAMPS, 100);
		set_now(f, f->now + SECOND);
	}
	assert_int_equal(passed, 18);
}

/* ---- a store that is away */

static void
a_store_that_is_away_refuses_and_says_when_to_come_again(void **state)
{
	struct fixture *f = get(state);
	struct store_options so = { .url = "postgresql://nobody@/none?host="
					   "/nonexistent/certloop",
		.deadline = SECOND / 2 };
	struct ratelimit_options o = options_of(f);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct ratelimit *before = f->rl;
	struct ratelimit_result r;
	const struct problem *pr;
	const char *why = "";

	o.store = store_new(f->loop, &so, f->a, &why);
	assert_non_null(o.store);
	f->rl = ratelimit_new(&o);
	r = take_all(f, &t, 1, NULL);
	assert_int_equal(r.status, RATELIMIT_DOWN);
	pr = ratelimit_problem(f->a, &r);
	assert_int_equal(pr->type, PROBLEM_UNAVAILABLE);
	assert_true(pr->retry_after > 0);
	assert_non_null(show_one(f, LIMIT_NEW_ORDER, "a").trouble);
	ratelimit_free(f->rl);
	store_free(o.store);
	f->rl = before;
}

int
main(int argc, char **argv)
{
#define EACH(f)                                                                \
	{ "sqlite: " #f, f, make_sqlite, drop, NULL },                         \
	{                                                                      \
		"postgresql: " #f, f, make_postgresql, drop, NULL              \
	}
	const struct CMUnitTest tests[] = {
		EACH(a_nonce_and_limits_are_one_decision),
		EACH(a_nonce_of_another_epoch_is_not_redeemed),
		EACH(memory_limits_go_with_nonces_in_the_store),
		EACH(exactly_max_pass_in_a_race),
		EACH(
		    requests_that_take_the_same_limits_the_other_way_round_are_exact),
		EACH(a_nonce_is_redeemed_once_in_a_race),
		EACH(what_is_out_of_its_window_is_swept_and_nothing_else),
		EACH(a_sweep_between_two_attempts_changes_no_decision),
		EACH(a_store_that_is_away_refuses_and_says_when_to_come_again),
	};

	(void)argc;
	run_with_postgres(argv);
	return cmocka_run_group_tests_name("ratelimit in the store", tests,
	    NULL, NULL);
}
