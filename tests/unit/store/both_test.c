/* SPDX-License-Identifier: ISC */
/* What both engines promise. */
#include "fixture.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "metrics/metrics.h"

/* ---- values */

static void
look_echo(struct got *g, const struct store_result *r)
{
	struct str blob = store_get_str(r, 0, 0, ECHO_B);

	assert_str(store_get_str(r, 0, 0, ECHO_T), "gr\xc3\xbc\xc3\x9f dich");
	assert_int_equal(store_get_int(r, 0, 0, ECHO_I), INT64_MIN);
	assert_int_equal(store_get_int(r, 0, 0, ECHO_W), INT64_MAX);
	assert_int_equal(blob.n, 5);
	assert_memory_equal(blob.p, "\0\1\xff\0\x80", 5);
	assert_true(store_get_str(r, 1, 0, ECHO_T).p == NULL);
	assert_true(store_is_null(r, 1, 0, ECHO_T));
	assert_true(store_is_null(r, 1, 0, ECHO_I));
	assert_int_equal(store_get_int(r, 1, 0, ECHO_I), 0);
	assert_int_equal(store_get_int(r, 1, 0, ECHO_W), -1);
	assert_true(store_is_null(r, 1, 0, ECHO_B));
	/* empty is not null */
	assert_false(store_is_null(r, 2, 0, ECHO_T));
	assert_non_null(store_get_str(r, 2, 0, ECHO_T).p);
	assert_int_equal(store_get_str(r, 2, 0, ECHO_T).n, 0);
	assert_false(store_is_null(r, 2, 0, ECHO_B));
	assert_int_equal(store_get_str(r, 2, 0, ECHO_B).n, 0);
	g->num = 1;
}

static void
values_come_back_as_they_were_given(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g = { .look = look_echo };

	fx_add(b, TSQL_ECHO);
	store_str(b, STR("gr\xc3\xbc\xc3\x9f dich"));
	store_int(b, INT64_MIN);
	store_int(b, INT64_MAX);
	store_blob(b, str_make("\0\1\xff\0\x80", 5));
	fx_add(b, TSQL_ECHO);
	store_str(b, STR_NONE);
	store_null(b);
	store_int(b, -1);
	store_null(b);
	fx_add(b, TSQL_ECHO);
	store_str(b, STR(""));
	store_int(b, 0);
	store_int(b, 0);
	store_blob(b, STR(""));
	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	assert_int_equal(g.num, 1);
}

static void
bytes_are_copied_when_they_are_given(void **state)
{
	struct fx *fx = *state;
	char key[] = "key", value[] = "value";
	struct batch *b = fx_batch(fx, key);
	struct got g = { 0 };

	fx_put(b, key, value);
	memset(key, 'x', 3);
	memset(value, 'x', 5);
	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	assert_str(fx_get(fx, "key"), "value");
}

static void
text_that_is_no_text_is_not_sent(void **state)
{
	static const char *const bad[] = { "\xff", "a\xc0\x80",
		"\xed\xa0\x80" };
	struct fx *fx = *state;
	struct batch *b;
	struct got g;

	for (size_t i = 0; i < 4; i++) {
		b = fx_batch(fx, "k");
		fx_add(b, TSQL_PUT);
		store_str(b, STR("bad"));
		store_str(b, i < 3 ? str_from(bad[i]) : str_make("a\0b", 3));
		g = fx_run(fx, b);
		assert_int_equal(g.status, STORE_ERROR);
		assert_int_equal(g.problem->type, PROBLEM_SERVER);
	}
	assert_null(fx_get(fx, "bad").p);
}

static void
ids_compare_as_bytes(void **state)
{
	static const char *const keys[] = { "-", "A", "Z", "_", "a", "b" };
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g;

	for (size_t i = 6; i-- > 0;)
		fx_put(b, keys[i], "");
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	b = fx_batch(fx, "k");
	fx_add(b, TSQL_KEYS);
	store_str(b, STR("A"));
	store_str(b, STR("a"));
	g = fx_run(fx, b);
	assert_int_equal(g.nrows[0], 3); /* A, Z, _ */
}

static void
look_now(struct got *g, const struct store_result *r)
{
	g->num = store_get_int(r, 0, 0, NOW_A);
	assert_int_equal(g->num, store_get_int(r, 0, 0, NOW_B));
}

static void
database_time_is_microseconds(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "");
	struct got g = { .look = look_now };
	int64_t before = when_now();

	fx_add(b, TSQL_NOW);
	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	assert_in_range(g.num, before, when_now());
}

/* ---- rows */

static void
rows_are_counted(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g;

	fx_put(b, "a", "1");
	fx_put(b, "b", "1");
	fx_add(b, TSQL_PUT_NEW);
	store_str(b, STR("a"));
	store_str(b, STR("2"));
	fx_add(b, TSQL_SET);
	store_str(b, STR("b"));
	store_str(b, STR("2"));
	fx_add(b, TSQL_DEL);
	store_str(b, STR("a"));
	fx_add(b, TSQL_DEL);
	store_str(b, STR("a"));
	fx_add(b, TSQL_KEYS);
	store_str(b, STR("a"));
	store_str(b, STR("z"));
	g = fx_run(fx, b);
	assert_int_equal(g.status, STORE_OK);
	assert_null(g.problem);
	assert_int_equal(g.affected[0], 1);
	assert_int_equal(g.nrows[0], 0);
	assert_int_equal(g.affected[2], 0);
	assert_int_equal(g.nrows[2], 0);
	assert_int_equal(g.affected[3], 1);
	assert_int_equal(g.nrows[3], 1);
	assert_int_equal(g.affected[4], 1);
	assert_int_equal(g.affected[5], 0);
	assert_int_equal(g.affected[6], 1);
	assert_int_equal(g.nrows[6], 1);
}

static void
look_keys(struct got *g, const struct store_result *r)
{
	char want[32];

	for (size_t i = 0; i < store_nrows(r, 0); i++) {
		(void)snprintf(want, sizeof(want), "k%04zu", i);
		assert_str(store_get_str(r, 0, i, KEYS_KEY), want);
		g->num++;
	}
}

static void
thousands_of_rows_come_back(void **state)
{
	enum { N = 3000 };
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g = { .look = look_keys };
	char key[16];

	for (int i = 0; i < N; i++) {
		(void)snprintf(key, sizeof(key), "k%04d", i);
		fx_put(b, key, "v");
	}
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	b = fx_batch(fx, "");
	fx_add(b, TSQL_KEYS);
	store_str(b, STR("k"));
	store_str(b, STR("l"));
	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	assert_int_equal(g.num, N);
}

static void
a_batch_has_a_bound(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");

	for (int i = 0; i <= BATCH_STMTS_MAX; i++)
		fx_put(b, "same", "v");
	assert_int_equal(fx_run(fx, b).status, STORE_ERROR);
	assert_int_equal(fx_count(fx, "a", "z"), 0);
}

static void
a_large_value_fits(void **state)
{
	enum { N = 3 << 20 };
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	char *p = arena_alloc(fx->arena, N);
	struct str s;

	memset(p, 'x', N);
	fx_add(b, TSQL_PUT);
	store_str(b, STR("large"));
	store_str(b, str_make(p, N));
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	s = fx_get(fx, "large");
	assert_int_equal(s.n, N);
	assert_memory_equal(s.p, p, N);
}

/* ---- all or nothing */

static void
add_swap(struct batch *b, const char *key, const char *from, const char *to)
{
	fx_add(b, TSQL_SWAP);
	store_str(b, str_from(key));
	store_str(b, str_from(from));
	store_str(b, str_from(to));
	store_require(b);
}

static void
a_lost_guard_undoes_the_batch(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g;

	fx_put(b, "state", "ready");
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	b = fx_batch(fx, "k");
	fx_put(b, "before", "v");
	add_swap(b, "state", "pending", "valid");
	fx_put(b, "after", "v");
	g = fx_run(fx, b);
	assert_int_equal(g.status, STORE_LOST);
	assert_int_equal(g.failed, 1);
	assert_null(g.problem);
	assert_int_equal(fx_count(fx, "a", "c"), 0);
	assert_str(fx_get(fx, "state"), "ready");
}

static void
a_guard_that_holds_gives_its_row(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g = { .look = look_str };

	fx_put(b, "state", "ready");
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	b = fx_batch(fx, "k");
	add_swap(b, "state", "ready", "valid");
	fx_put(b, "after", "v");
	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	assert_int_equal(g.nrows[0], 1);
	assert_int_equal(g.affected[0], 1);
	assert_str(g.str, "valid");
	assert_str(fx_get(fx, "after"), "v");
}

static void
a_select_can_be_a_guard(void **state)
{
	struct fx *fx = *state;
	struct batch *b;
	struct got g;

	for (int writes = 0; writes < 2; writes++) {
		b = fx_batch(fx, "k");
		fx_add(b, TSQL_NOW);
		fx_add(b, TSQL_GET);
		store_str(b, STR("nobody"));
		store_require(b);
		if (writes)
			fx_put(b, "written", "v");
		g = fx_run(fx, b);
		assert_int_equal(g.status, STORE_LOST);
		assert_int_equal(g.failed, 1);
	}
	assert_int_equal(fx_count(fx, "a", "z"), 0);
}

static void
an_insert_can_be_a_guard(void **state)
{
	struct fx *fx = *state;
	struct batch *b;

	for (int i = 0; i < 2; i++) {
		b = fx_batch(fx, "k");
		fx_add(b, TSQL_PUT_NEW);
		store_str(b, STR("once"));
		store_str(b, STR("v"));
		store_require(b);
		fx_add(b, TSQL_SET);
		store_str(b, STR("once"));
		store_str(b, i == 0 ? STR("first") : STR("second"));
		assert_int_equal(fx_run(fx, b).status,
		    i == 0 ? STORE_OK : STORE_LOST);
	}
	assert_str(fx_get(fx, "once"), "first");
}

static void
a_key_that_exists_is_a_conflict(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g;

	fx_put(b, "key", "old");
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	b = fx_batch(fx, "k");
	fx_put(b, "before", "v");
	fx_put(b, "key", "new");
	fx_put(b, "after", "v");
	g = fx_run(fx, b);
	assert_int_equal(g.status, STORE_CONFLICT);
	assert_int_equal(g.failed, 1);
	assert_null(g.problem);
	assert_int_equal(fx_count(fx, "a", "c"), 0);
	assert_str(fx_get(fx, "key"), "old");
	/* an index of a UNIQUE clause, not of the primary key */
	b = fx_batch(fx, "k");
	fx_add(b, TSQL_ACCOUNT);
	store_str(b, STR("id"));
	fx_add(b, TSQL_ACCOUNT);
	store_str(b, STR("id"));
	assert_int_equal(fx_run(fx, b).status, STORE_CONFLICT);
}

static void
another_constraint_is_an_error(void **state)
{
	static const unsigned bad[] = { TSQL_NOT_NULL, TSQL_BAD_FENCE };
	struct fx *fx = *state;
	struct batch *b;
	struct got g;

	for (size_t i = 0; i < 2; i++) {
		b = fx_batch(fx, "k");
		fx_put(b, "before", "v");
		fx_add(b, bad[i]);
		store_str(b, STR("x"));
		fx_put(b, "after", "v");
		g = fx_run(fx, b);
		assert_int_equal(g.status, STORE_ERROR);
		assert_int_equal(g.failed, 1);
		assert_int_equal(g.problem->type, PROBLEM_SERVER);
		assert_true(g.cause.n > 0);
	}
	assert_int_equal(fx_count(fx, "a", "z"), 0);
}

static void
a_statement_that_cannot_be_prepared_is_an_error(void **state)
{
	struct fx *fx = *state;
	struct got g[4] = { 0 };
	struct batch *b;

	fx_settle(fx);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 4; i++) {
			b = fx_batch(fx, "same");
			fx_put(b, i == 0 ? "a" : i == 1 ? "b" : "c", "v");
			if (i >= 2)
				fx_add(b, X_NO_TABLE);
			fx_send(fx, b, &g[i]);
		}
		for (int i = 0; i < 4; i++) {
			fx_wait(fx, &g[i]);
			assert_int_equal(g[i].status,
			    i >= 2         ? STORE_ERROR :
				round == 0 ? STORE_OK :
					     STORE_CONFLICT);
		}
		assert_true(str_find(g[3].cause, 'n') < g[3].cause.n);
	}
	assert_int_equal(fx_count(fx, "a", "z"), 2);
}

/* ---- many at once */

static void
one_bad_member_does_not_harm_the_others(void **state)
{
	enum { N = 32 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	struct batch *b;
	char key[16];

	fx_settle(fx);
	for (int i = 0; i < N; i++) {
		b = fx_batch(fx, "same"); /* one connection, one commit */
		(void)snprintf(key, sizeof(key), "m%02d", i);
		fx_put(b, key, "v");
		if (i == 5)
			fx_put(b, "m03", "conflict");
		if (i == 17)
			add_swap(b, "m16", "nobody", "x");
		if (i == 31) {
			fx_add(b, TSQL_NOT_NULL);
			store_str(b, STR("n"));
		}
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status,
		    i == 5      ? STORE_CONFLICT :
			i == 17 ? STORE_LOST :
			i == 31 ? STORE_ERROR :
				  STORE_OK);
	}
	assert_int_equal(fx_count(fx, "m", "n"), N - 3);
	assert_str(fx_get(fx, "m03"), "v");
}

static void
batches_of_a_turn_share_a_commit(void **state)
{
	enum { N = 32 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	struct batch *b;
	int64_t commits;

	fx_settle(fx);
	commits = metrics_get(METRIC_store_commits);
	for (int i = 0; i < N; i++) {
		b = fx_batch(fx, "same");
		fx_put(b, str_printf(fx->arena, "k%d", i).p, "v");
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status, STORE_OK);
	}
	assert_int_equal(metrics_get(METRIC_store_commits), commits + 1);
}

static void
members_of_a_commit_see_those_before_them(void **state)
{
	struct fx *fx = *state;
	struct got g[3] = { 0 };
	struct batch *b;

	for (int i = 0; i < 3; i++) {
		b = fx_batch(fx, "same");
		fx_add(b, TSQL_PUT_NEW);
		store_str(b, STR("winner"));
		store_str(b, STR("v"));
		store_require(b);
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < 3; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status, i == 0 ? STORE_OK : STORE_LOST);
	}
}

static void
thousands_of_batches_in_one_turn(void **state)
{
	enum { N = 4000 };
	struct fx *fx = *state;
	struct got *g = arena_array(fx->arena, struct got, N);
	struct batch *b;
	char key[16];

	for (int i = 0; i < N; i++) {
		(void)snprintf(key, sizeof(key), "k%04d", i);
		b = fx_batch(fx, key);
		if (i % 4 == 3) {
			fx_add(b, TSQL_NOW);
		} else {
			fx_put(b, key, "v");
		}
		fx_send(fx, b, &g[i]);
	}
	assert_int_equal(store_depth(fx->st), N);
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status, STORE_OK);
	}
	assert_int_equal(store_depth(fx->st), 0);
	assert_int_equal(fx_count(fx, "k", "l"), N - N / 4);
}

static void
a_full_queue_refuses_at_once(void **state)
{
	enum { N = 20, MAX = 12 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	struct batch *b;
	char key[16];
	int ok = 0;

	fx_close(fx);
	fx->o.queue_max = MAX;
	fx_open(fx);
	for (int i = 0; i < N; i++) {
		(void)snprintf(key, sizeof(key), "k%02d", i);
		b = fx_batch(fx, key);
		fx_put(b, key, "v");
		fx_send(fx, b, &g[i]);
	}
	loop_turn(fx->loop, LOOP_POLL);
	for (int i = MAX; i < N; i++) {
		assert_true(g[i].done); /* without waiting for the others */
		assert_int_equal(g[i].status, STORE_BUSY);
		assert_int_equal(g[i].problem->type, PROBLEM_UNAVAILABLE);
		assert_true(g[i].problem->retry_after > 0);
	}
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		ok += g[i].status == STORE_OK;
	}
	assert_int_equal(ok, MAX);
	assert_int_equal(fx_count(fx, "k", "l"), MAX);
}

/* ---- tasks */

static void
a_batch_under_way_outlives_its_task(void **state)
{
	struct fx *fx = *state;
	struct got g[5] = { 0 };
	struct task tasks[5];
	struct batch *b;

	fx_settle(fx);
	for (int i = 0; i < 5; i++) {
		task_init(&tasks[i]);
		b = store_new_batch(fx->st, &tasks[i], STR("same"));
		if (i == 4) {
			fx_add(b, TSQL_NOW);
		} else {
			fx_add(b, TSQL_PUT);
			store_str(b, str_printf(tasks[i].arena, "k%d", i));
			store_str(b, STR("v"));
		}
		fx_send(fx, b, &g[i]);
		if (i % 2 == 0)
			task_end(&tasks[i]);
	}
	assert_int_equal(store_depth(fx->st), 4); /* the read is forgotten */
	loop_turn(fx->loop, LOOP_POLL);
	task_end(&tasks[1]); /* in flight, or decided and not yet told */
	fx_wait(fx, &g[3]);
	task_end(&tasks[3]);
	while (store_depth(fx->st) > 0)
		loop_turn(fx->loop, LOOP_WAIT);
	assert_false(g[0].done || g[1].done || g[2].done || g[4].done);
	assert_int_equal(fx_count(fx, "k", "l"), 4);
}

static enum step
end_task(void *arg, const struct store_result *r)
{
	assert_int_equal(r->status, STORE_OK);
	task_end(arg);
	return STEP_DONE;
}

static void
a_callback_may_end_its_task(void **state)
{
	struct fx *fx = *state;
	struct got other = { 0 };
	struct task t;
	struct batch *b;

	task_init(&t);
	for (int i = 0; i < 2; i++) {
		b = store_new_batch(fx->st, &t, STR("k"));
		fx_put(b, i == 0 ? "k0" : "k1", "v");
		if (i == 0)
			(void)store_send_batch(b, end_task, &t);
		else
			fx_send(fx, b, &other);
	}
	while (store_depth(fx->st) > 0)
		loop_turn(fx->loop, LOOP_WAIT);
	fx_turn_for(fx, 10000);
	assert_false(other.done); /* after task_end no callback runs */
	assert_int_equal(fx_count(fx, "k", "l"), 2);
}

static void
a_batch_can_be_dropped(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");

	fx_put(b, "k", "v");
	store_drop_batch(b);
	assert_int_equal(store_depth(fx->st), 0);
	assert_int_equal(fx_count(fx, "a", "z"), 0);
}

static void
a_store_can_be_freed_with_batches_under_way(void **state)
{
	struct fx *fx = *state;
	struct got g[8] = { 0 };
	struct batch *b;

	fx_settle(fx);
	for (int i = 0; i < 8; i++) {
		b = fx_batch(fx, "k");
		if (i % 2 == 0)
			fx_put(b, str_printf(fx->arena, "k%d", i).p, "v");
		else
			fx_add(b, TSQL_NOW);
		fx_send(fx, b, &g[i]);
		if (i == 3)
			loop_turn(fx->loop, LOOP_POLL);
	}
	fx_close(fx);
	assert_false(task_is_waiting(&fx->task));
}

/* ---- counting under a limit */

/*
 * The parent row is taken by an UPDATE of its own, the count comes in a later
 * statement: exact, however many ask at once.
 */
static void
open_orders_are_counted_exactly(void **state)
{
	enum { N = 60, MAX = 5 };
	struct fx *fx = *state;
	struct store *other = NULL;
	struct got g[N] = { 0 };
	const char *why;
	struct batch *b;
	int ok = 0;

	if (fx->pg) /* another replica */
		other = store_new(fx->loop, &fx->o, fx->arena, &why);
	fx_settle(fx);
	b = fx_batch(fx, "acc");
	fx_add(b, TSQL_ACCOUNT);
	store_str(b, STR("acc"));
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	for (int i = 0; i < N; i++) {
		/* keys differ, so they go over all connections */
		b = store_new_batch(i % 2 && other ? other : fx->st, &fx->task,
		    str_printf(fx->arena, "%d", i));
		fx_add(b, TSQL_TAKE_ACCOUNT);
		store_str(b, STR("acc"));
		store_require(b);
		fx_add(b, TSQL_OPEN_ORDER);
		store_str(b, str_printf(fx->arena, "o%d", i));
		store_str(b, STR("acc"));
		store_int(b, MAX);
		store_require(b);
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		if (g[i].status != STORE_OK && g[i].status != STORE_LOST)
			fail_msg("status %d: %.*s", g[i].status,
			    STR_ARG(g[i].cause));
		if (g[i].status == STORE_LOST)
			assert_int_equal(g[i].failed, 1);
		ok += g[i].status == STORE_OK;
	}
	assert_int_equal(ok, MAX);
	store_free(other);
}

/* ---- random batches against a model */

enum { BATCHES = 10000, AT_ONCE = 300, COUNTERS = 7 };

struct trial {
	struct got got;
	enum store_status want;
	unsigned failed;
	int rows;    /* keys it writes, if it succeeds */
	int counter; /* -1: none */
};

static unsigned
dice(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

/* The first statement that goes wrong decides. */
static void
go_wrong(struct trial *t, enum store_status st, unsigned stmt)
{
	if (t->want == STORE_OK) {
		t->want = st;
		t->failed = stmt;
	}
}

static struct batch *
make_trial(struct fx *fx, struct trial *t, int id, unsigned *seed)
{
	char key[32];
	unsigned n = 1 + dice(seed, 5), at;
	struct batch *b;

	(void)snprintf(key, sizeof(key), "acc%u", dice(seed, 40));
	b = fx_batch(fx, key);
	t->want = STORE_OK;
	t->counter = -1;
	t->rows = 0;
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "r%05d.%u", id, i);
		at = b->nstmts;
		switch (dice(seed, 24)) {
		case 0:
			fx_put(b, "fixed", "again");
			go_wrong(t, STORE_CONFLICT, at);
			break;
		case 1:
			add_swap(b, "fixed", "nobody", "x");
			go_wrong(t, STORE_LOST, at);
			break;
		case 2:
			fx_add(b, TSQL_NOT_NULL);
			store_str(b, str_from(key));
			go_wrong(t, STORE_ERROR, at);
			break;
		case 3:
			fx_add(b, TSQL_GET);
			store_str(b, STR("fixed"));
			break;
		case 4:
		case 5:
		case 6:
			if (t->counter == -1) {
				t->counter = (int)dice(seed, COUNTERS);
				(void)snprintf(key, sizeof(key), "c%d",
				    t->counter);
				fx_add(b, TSQL_BUMP);
				store_str(b, str_from(key));
				store_require(b);
				break;
			}
			/* FALLTHROUGH */
		default:
			fx_put(b, key, "v");
			t->rows++;
		}
	}
	return b;
}

static void
prepare_trials(struct fx *fx)
{
	struct batch *b = fx_batch(fx, "");

	fx_put(b, "fixed", "v");
	for (int i = 0; i < COUNTERS; i++) {
		fx_add(b, TSQL_LEASE);
		store_str(b, str_printf(fx->arena, "c%d", i));
	}
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
}

static void
check_trial(const struct trial *t, int64_t *rows, int64_t *counters)
{
	if (t->got.status != t->want)
		fail_msg("status %d, not %d: %.*s", t->got.status, t->want,
		    STR_ARG(t->got.cause));
	if (t->want != STORE_OK) {
		assert_int_equal(t->got.failed, t->failed);
		return;
	}
	*rows += t->rows;
	if (t->counter >= 0)
		counters[t->counter]++;
}

static void
ten_thousand_random_batches(void **state)
{
	struct fx *fx = *state;
	struct trial *trials = arena_array(fx->arena, struct trial, BATCHES);
	int64_t rows = 0, counters[COUNTERS] = { 0 };
	unsigned seed = 20240229;
	int sent = 0, done = 0;

	prepare_trials(fx);
	while (done < BATCHES) {
		unsigned burst = dice(&seed, 90);

		while (sent < BATCHES && sent - done < AT_ONCE && burst-- > 0) {
			struct trial *t = &trials[sent];

			fx_send(fx, make_trial(fx, t, sent, &seed), &t->got);
			sent++;
		}
		loop_turn(fx->loop, LOOP_WAIT);
		while (done < sent && trials[done].got.done)
			check_trial(&trials[done++], &rows, counters);
	}
	assert_int_equal(fx_count(fx, "r", "s"), rows);
	for (int i = 0; i < COUNTERS; i++) {
		struct batch *b = fx_batch(fx, "");
		struct got g = { .look = look_num };

		fx_add(b, TSQL_FENCE);
		store_str(b, str_printf(fx->arena, "c%d", i));
		fx_send(fx, b, &g);
		fx_wait(fx, &g);
		assert_int_equal(g.num, 1 + counters[i]);
	}
}

/* ---- every statement of the daemon */

/*
 * A plan that reads a whole table is a slip: tables grow with what clients do.
 * Planned for empty tables with sequential scans forbidden, so a scan that is
 * left says that no index would do.
 */
static void
check_plan_on_pg(struct fx *fx, const struct sql_stmt *s)
{
	enum { INT8_OID = 20, BYTEA_OID = 17, TEXT_OID = 25 };
	struct buf args = buf_new(fx->arena, 1000);
	Oid *types = arena_array(fx->arena, Oid, s->nargs + 1);
	PGresult *res;

	for (unsigned i = 0; i < s->nargs; i++)
		types[i] = s->args[i] == 'i' ? INT8_OID :
		    s->args[i] == 'b'        ? BYTEA_OID :
					       TEXT_OID;
	for (unsigned i = 0; i < s->nargs; i++)
		buf_printf(&args, "%s%s", i == 0 ? "" : ", ",
		    s->args[i] == 'i'     ? "1" :
			s->args[i] == 'b' ? "'x'::bytea" :
					    "'x'::text");
	buf_char(&args, '\0');
	res = PQprepare(raw(fx, 0), "planned", s->text[DIALECT_PG],
	    (int)s->nargs, types);
	assert_int_equal(PQresultStatus(res), PGRES_COMMAND_OK);
	PQclear(res);
	res = PQexec(raw(fx, 0),
	    str_printf(fx->arena, "EXPLAIN EXECUTE planned%s%s%s",
		s->nargs > 0 ? "(" : "", args.p, s->nargs > 0 ? ")" : "")
		.p);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", s->name, PQresultErrorMessage(res));
	for (int i = 0; i < PQntuples(res); i++)
		if (strstr(PQgetvalue(res, i, 0), "Seq Scan on") != NULL)
			fail_msg("%s:%s", s->name, PQgetvalue(res, i, 0));
	PQclear(res);
	raw_do(fx, 0, "DEALLOCATE planned");
}

static void
every_statement_finds_its_rows_by_an_index(void **state)
{
	struct fx *fx = *state;

	raw_do(fx, 0, "SET enable_seqscan = off");
	raw_do(fx, 0, "SET plan_cache_mode = force_generic_plan");
	for (unsigned i = 0; i < sql_catalog.nstmts; i++)
		check_plan_on_pg(fx, &sql_catalog.stmts[i]);
}

static void
check_columns(const struct sql_stmt *s, unsigned n,
    const char *(*name)(void *, int), void *arg)
{
	struct str cols = str_from(s->cols);

	if (n != s->ncols)
		fail_msg("%s has %u columns, not %u", s->name, n, s->ncols);
	for (unsigned i = 0; i < n; i++) {
		struct str want = str_cut(&cols, ',');

		if (!str_is(want, name(arg, (int)i)))
			fail_msg("%s: column %u is %s, not %.*s", s->name, i,
			    name(arg, (int)i), STR_ARG(want));
	}
}

static const char *
lite_name(void *arg, int i)
{
	return sqlite3_column_name(arg, i);
}

static void
check_on_sqlite(struct fx *fx, const struct sql_stmt *s)
{
	sqlite3_stmt *p = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_create_function(db, "now_us", 0, SQLITE_UTF8,
			     NULL,
			     (void (*)(sqlite3_context *, int,
				 sqlite3_value **))abort,
			     NULL, NULL),
	    SQLITE_OK);
	if (sqlite3_prepare_v2(db, s->text[DIALECT_LITE], -1, &p, NULL) !=
	    SQLITE_OK)
		fail_msg("%s: %s", s->name, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_bind_parameter_count(p), s->nargs);
	assert_int_equal(sqlite3_stmt_readonly(p) != 0, s->read_only);
	check_columns(s, (unsigned)sqlite3_column_count(p), lite_name, p);
	sqlite3_finalize(p);
	sqlite3_close(db);
}

static const char *
pg_name(void *arg, int i)
{
	return PQfname(arg, i);
}

static void
check_on_pg(struct fx *fx, const struct sql_stmt *s, bool guard)
{
	Oid types[SQL_ARGS_MAX], t;
	const char *text = s->text[DIALECT_PG];
	PGresult *res;

	assert_true(s->nargs <= SQL_ARGS_MAX);
	for (unsigned i = 0; i < s->nargs; i++)
		types[i] = s->args[i] == 'i' ? 20 : s->args[i] == 'b' ? 17 : 25;
	if (guard)
		text = str_printf(fx->arena,
		    "WITH g AS (%s), m AS (INSERT INTO must (ok) SELECT 0 "
		    "WHERE NOT EXISTS (SELECT 1 FROM g) RETURNING 1) "
		    "SELECT * FROM g",
		    text)
			   .p;
	res = PQprepare(raw(fx, 0), "", text, (int)s->nargs, types);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", s->name, PQresultErrorMessage(res));
	PQclear(res);
	res = PQdescribePrepared(raw(fx, 0), "");
	assert_int_equal(PQresultStatus(res), PGRES_COMMAND_OK);
	check_columns(s, (unsigned)PQnfields(res), pg_name, res);
	for (int i = 0; i < PQnfields(res); i++) {
		t = PQftype(res, i);
		if (t != 16 && t != 17 && t != 20 && t != 23 && t != 25)
			fail_msg("%s: column %d has a type we do not read (%u)",
			    s->name, i, t);
	}
	PQclear(res);
}

static void
every_statement_can_be_prepared(void **state)
{
	struct fx *fx = *state;

	for (unsigned i = 0; i < sql_catalog.nstmts; i++) {
		const struct sql_stmt *s = &sql_catalog.stmts[i];

		if (!fx->pg) {
			check_on_sqlite(fx, s);
			continue;
		}
		check_on_pg(fx, s, false);
		if (s->ncols > 0)
			check_on_pg(fx, s, true);
	}
}

static void
add_any(struct batch *b, char type)
{
	if (type == 'i')
		store_int(b, 1);
	else if (type == 'b')
		store_blob(b, STR("x"));
	else
		store_str(b, STR("x"));
}

/* With any values: at most a constraint says no. */
static void
every_statement_can_be_run(void **state)
{
	struct fx *fx = *state;
	struct batch *b;
	struct got g;

	fx_close(fx);
	fx->o.catalog = &sql_catalog;
	fx_open(fx);
	for (unsigned i = 0; i < 2 * sql_catalog.nstmts; i++) {
		const struct sql_stmt *s = &sql_catalog.stmts[i / 2];

		if (i % 2 == 1 && s->ncols == 0)
			continue;
		b = fx_batch(fx, "k");
		fx_add(b, i / 2);
		for (unsigned k = 0; k < s->nargs; k++)
			add_any(b, s->args[k]);
		if (i % 2 == 1)
			store_require(b);
		g = fx_run(fx, b);
		if (g.status == STORE_ERROR &&
		    strstr(str_cstr(fx->arena, g.cause), "constraint") != NULL)
			continue;
		if (g.status != STORE_OK && g.status != STORE_LOST &&
		    g.status != STORE_CONFLICT)
			fail_msg("%s: status %d: %.*s", s->name, g.status,
			    STR_ARG(g.cause));
	}
}

int
run_both_tests(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(values_come_back_as_they_were_given),
		BOTH(bytes_are_copied_when_they_are_given),
		BOTH(text_that_is_no_text_is_not_sent),
		BOTH(ids_compare_as_bytes),
		BOTH(database_time_is_microseconds),
		BOTH(rows_are_counted),
		BOTH(thousands_of_rows_come_back),
		BOTH(a_batch_has_a_bound),
		BOTH(a_large_value_fits),
		BOTH(a_lost_guard_undoes_the_batch),
		BOTH(a_guard_that_holds_gives_its_row),
		BOTH(a_select_can_be_a_guard),
		BOTH(an_insert_can_be_a_guard),
		BOTH(a_key_that_exists_is_a_conflict),
		BOTH(another_constraint_is_an_error),
		BOTH(a_statement_that_cannot_be_prepared_is_an_error),
		BOTH(one_bad_member_does_not_harm_the_others),
		BOTH(batches_of_a_turn_share_a_commit),
		BOTH(members_of_a_commit_see_those_before_them),
		BOTH(thousands_of_batches_in_one_turn),
		BOTH(a_full_queue_refuses_at_once),
		BOTH(a_batch_under_way_outlives_its_task),
		BOTH(a_callback_may_end_its_task),
		BOTH(a_batch_can_be_dropped),
		BOTH(a_store_can_be_freed_with_batches_under_way),
		BOTH(open_orders_are_counted_exactly),
		BOTH(ten_thousand_random_batches),
		BOTH(every_statement_can_be_prepared),
		BOTH(every_statement_can_be_run),
		ON_PG(every_statement_finds_its_rows_by_an_index),
	};

	return cmocka_run_group_tests_name("both engines", tests, NULL, NULL);
}
