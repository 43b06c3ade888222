/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL: other sessions between our statements, locks, deadlocks, commits
 * that fail. Other sessions are raw ones, held at the step that matters.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

static struct batch *
swap_and_put(struct fx *fx, const char *from, const char *to)
{
	struct batch *b = fx_batch(fx, "state");

	fx_put(b, "before", "v");
	fx_add(b, TSQL_SWAP);
	store_str(b, STR("state"));
	store_str(b, str_from(from));
	store_str(b, str_from(to));
	store_require(b);
	fx_put(b, "after", "v");
	return b;
}

/*
 * The guard waits for a row that another session has changed, and is judged
 * anew by what that session made of it (EvalPlanQual). The wrapping CTE must
 * see the outcome of that, not of its own snapshot.
 */
static struct got
race(struct fx *fx, const char *change, const char *end)
{
	struct got g = { .look = look_str };
	struct batch *b;

	raw_do(fx, 0, "INSERT INTO meta VALUES ('state', 'ready')");
	raw_do(fx, 0, "BEGIN; %s", change);
	b = swap_and_put(fx, "ready", "valid");
	fx_send(fx, b, &g);
	wait_for_locked(fx, 1);
	assert_false(g.done);
	raw_do(fx, 0, "%s", end);
	fx_wait(fx, &g);
	return g;
}

static void
a_guard_sees_what_another_session_committed_meanwhile(void **state)
{
	struct fx *fx = *state;
	struct got g = race(fx,
	    "UPDATE meta SET value = 'invalid' WHERE key = 'state'", "COMMIT");

	assert_int_equal(g.status, STORE_LOST);
	assert_int_equal(g.failed, 1);
	assert_int_equal(fx_count(fx, "a", "c"), 0);
	assert_str(fx_get(fx, "state"), "invalid");
}

static void
a_guard_sees_what_another_session_deleted_meanwhile(void **state)
{
	struct fx *fx = *state;
	struct got g = race(fx, "DELETE FROM meta WHERE key = 'state'",
	    "COMMIT");

	assert_int_equal(g.status, STORE_LOST);
	assert_int_equal(fx_count(fx, "a", "c"), 0);
}

static void
a_guard_holds_if_the_other_session_gave_up(void **state)
{
	struct fx *fx = *state;
	struct got g = race(fx,
	    "UPDATE meta SET value = 'invalid' WHERE key = 'state'",
	    "ROLLBACK");

	assert_int_equal(g.status, STORE_OK);
	assert_int_equal(g.nrows[1], 1);
	assert_int_equal(fx_count(fx, "a", "c"), 2);
	assert_str(fx_get(fx, "state"), "valid");
}

static void
a_guard_holds_if_the_other_session_changed_nothing_that_matters(void **state)
{
	struct fx *fx = *state;
	struct got g = race(fx,
	    "UPDATE meta SET value = value WHERE key = 'state'", "COMMIT");

	assert_int_equal(g.status, STORE_OK);
	assert_str(fx_get(fx, "state"), "valid");
}

static void
an_insert_guard_waits_for_the_key_of_another_session(void **state)
{
	static const char *const ends[] = { "COMMIT", "ROLLBACK" };
	struct fx *fx = *state;

	for (int i = 0; i < 2; i++) {
		struct got g = { 0 };
		struct batch *b = fx_batch(fx, "k");
		const char *key = i == 0 ? "committed" : "rolled-back";

		raw_do(fx, 0, "BEGIN; INSERT INTO meta VALUES ('%s', '')", key);
		fx_add(b, TSQL_PUT_NEW);
		store_str(b, str_from(key));
		store_str(b, STR("mine"));
		store_require(b);
		fx_send(fx, b, &g);
		wait_for_locked(fx, 1);
		raw_do(fx, 0, "%s", ends[i]);
		fx_wait(fx, &g);
		assert_int_equal(g.status, i == 0 ? STORE_LOST : STORE_OK);
	}
}

/* The text of a statement, as another replica would run it. */
static void
raw_order(struct fx *fx, int session, const char *id, int max)
{
	const char *text = tsql_catalog.stmts[TSQL_OPEN_ORDER].text[DIALECT_PG];
	char limit[12];
	const char *values[] = { id, "acc", limit };
	PGresult *res;

	(void)snprintf(limit, sizeof(limit), "%d", max);
	res = PQexecParams(raw(fx, session), text, 3, NULL, values, NULL, NULL,
	    0);
	assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
	PQclear(res);
}

/*
 * Why the parent row is taken first, by an UPDATE of its own: a count inside
 * the INSERT alone sees only what is committed, and two sessions both fit.
 */
static void
without_the_parent_row_a_count_lets_too_many_in(void **state)
{
	struct fx *fx = *state;

	raw_do(fx, 0,
	    "INSERT INTO accounts (id, profile, thumbprint, jwk, status, "
	    "contacts, created) VALUES ('acc', '', '', '', 'valid', '', 0)");
	raw_do(fx, 0, "BEGIN");
	raw_order(fx, 0, "o1", 1);
	raw_do(fx, 1, "BEGIN");
	raw_order(fx, 1, "o2", 1);
	raw_do(fx, 0, "COMMIT");
	raw_do(fx, 1, "COMMIT");
	assert_string_equal(raw_ask(fx, 0, "SELECT count(*) FROM orders"), "2");
}

static void
with_the_parent_row_taken_first_a_count_is_exact(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "acc");
	struct got g = { 0 };

	fx_add(b, TSQL_ACCOUNT);
	store_str(b, STR("acc"));
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
	/* another replica has taken the row and is about to insert */
	raw_do(fx, 0,
	    "BEGIN; UPDATE accounts SET touched = touched + 1 "
	    "WHERE id = 'acc' AND status = 'valid'");
	b = fx_batch(fx, "acc");
	fx_add(b, TSQL_TAKE_ACCOUNT);
	store_str(b, STR("acc"));
	store_require(b);
	fx_add(b, TSQL_OPEN_ORDER);
	store_str(b, STR("o2"));
	store_str(b, STR("acc"));
	store_int(b, 1);
	store_require(b);
	fx_send(fx, b, &g);
	wait_for_locked(fx, 1);
	raw_order(fx, 0, "o1", 1);
	raw_do(fx, 0, "COMMIT");
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_LOST);
	assert_int_equal(g.failed, 1);
	assert_string_equal(raw_ask(fx, 0, "SELECT count(*) FROM orders"), "1");
}

/* ---- locks */

static int
short_deadline(void **state)
{
	struct fx *fx;

	(void)fx_pg_closed(state);
	fx = *state;
	fx->o.deadline = 10 * WHEN_SECOND; /* waits 1 s for a lock */
	fx_open(fx);
	return 0;
}

static struct batch *
set(struct fx *fx, const char *key, const char *first, const char *second)
{
	struct batch *b = fx_batch(fx, key);

	fx_add(b, TSQL_SET);
	store_str(b, str_from(first));
	store_str(b, STR("ours"));
	if (second != NULL) {
		fx_add(b, TSQL_SET);
		store_str(b, str_from(second));
		store_str(b, STR("ours"));
	}
	return b;
}

static void
a_lock_that_is_freed_soon_is_waited_for(void **state)
{
	struct fx *fx = *state;
	struct got g = { 0 };

	raw_do(fx, 0, "INSERT INTO meta VALUES ('row', '')");
	raw_do(fx, 0, "BEGIN; UPDATE meta SET value = '' WHERE key = 'row'");
	fx_send(fx, set(fx, "row", "row", NULL), &g);
	wait_for_locked(fx, 1);
	fx_turn_for(fx, 1200000); /* the first try is over */
	raw_do(fx, 0, "COMMIT");
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	assert_str(fx_get(fx, "row"), "ours");
}

static void
a_lock_that_is_not_freed_ends_down(void **state)
{
	struct fx *fx = *state;
	struct got g = { 0 };

	raw_do(fx, 0, "INSERT INTO meta VALUES ('row', '')");
	raw_do(fx, 0, "BEGIN; UPDATE meta SET value = '' WHERE key = 'row'");
	g = fx_run(fx, set(fx, "row", "row", NULL));
	assert_int_equal(g.status, STORE_DOWN);
	assert_int_equal(g.problem->type, PROBLEM_UNAVAILABLE);
	assert_true(g.problem->retry_after > 0);
	raw_do(fx, 0, "ROLLBACK");
	assert_str(fx_get(fx, "row"), "");
}

/* The others of its group go on, though it holds them up for a moment. */
static void
a_member_that_waits_for_a_lock_does_not_harm_the_others(void **state)
{
	enum { N = 10 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	struct batch *b;

	fx_settle(fx);
	raw_do(fx, 0, "INSERT INTO meta VALUES ('row', '')");
	raw_do(fx, 0, "BEGIN; UPDATE meta SET value = '' WHERE key = 'row'");
	for (int i = 0; i < N; i++) {
		if (i == 4) {
			b = set(fx, "same", "row", NULL);
		} else {
			b = fx_batch(fx, "same");
			fx_put(b, str_printf(fx->arena, "k%d", i).p, "v");
		}
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < N; i++)
		if (i != 4) {
			fx_wait(fx, &g[i]);
			assert_int_equal(g[i].status, STORE_OK);
		}
	assert_false(g[4].done); /* it is tried again, alone */
	raw_do(fx, 0, "COMMIT");
	fx_wait(fx, &g[4]);
	assert_int_equal(g[4].status, STORE_OK);
}

static const char deadlocks[] = "SELECT deadlocks FROM pg_stat_database "
				"WHERE datname = current_database()";

static void
a_deadlock_is_tried_again(void **state)
{
	struct fx *fx = *state;
	struct got g = { 0 };
	int64_t end;
	int before;
	PGresult *res;

	raw_do(fx, 0, "INSERT INTO meta VALUES ('one', ''), ('two', '')");
	/* who waits looks once, after a second: our session, that is */
	raw_do(fx, 0, "SET deadlock_timeout = '100s'");
	before = atoi(raw_ask(fx, 1, "%s", deadlocks));
	raw_do(fx, 0, "BEGIN; UPDATE meta SET value = '' WHERE key = 'two'");
	fx_send(fx, set(fx, "one", "one", "two"), &g);
	wait_for_locked(fx, 1);
	assert_int_equal(PQsendQuery(raw(fx, 0),
			     "UPDATE meta SET value = '' WHERE key = 'one'"),
	    1);
	end = when_now() + 60 * WHEN_SECOND;
	while (PQconsumeInput(raw(fx, 0)) && PQisBusy(raw(fx, 0))) {
		loop_turn(fx->loop, LOOP_WAIT);
		assert_true(when_now() < end);
	}
	while ((res = PQgetResult(raw(fx, 0))) != NULL) {
		assert_int_equal(PQresultStatus(res), PGRES_COMMAND_OK);
		PQclear(res);
	}
	assert_false(g.done);
	raw_do(fx, 0, "COMMIT");
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	assert_str(fx_get(fx, "one"), "ours");
	assert_str(fx_get(fx, "two"), "ours");
	while (atoi(raw_ask(fx, 1, "%s", deadlocks)) == before) {
		fx_turn_for(fx, 50000); /* statistics come late */
		assert_true(when_now() < end);
	}
}

/* ---- commits that fail */

static const char deferred_check[] =
    "CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF NEW.value = 'boom' THEN RAISE EXCEPTION 'boom'; END IF; "
    "RETURN NULL; END $$; "
    "CREATE CONSTRAINT TRIGGER boom AFTER INSERT ON meta "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION boom()";

static void
a_commit_that_fails_alone_wrote_nothing(void **state)
{
	struct fx *fx = *state;
	struct batch *b;

	raw_do(fx, 0, "%s", deferred_check);
	b = fx_batch(fx, "k");
	fx_put(b, "k", "boom");
	assert_int_equal(fx_run(fx, b).status, STORE_DOWN);
	assert_int_equal(fx_count(fx, "a", "z"), 0);
	/* and the connection is still in step */
	b = fx_batch(fx, "k");
	fx_put(b, "k", "v");
	assert_int_equal(fx_run(fx, b).status, STORE_OK);
}

static void
a_commit_that_fails_in_a_group_is_undone_member_by_member(void **state)
{
	enum { N = 12 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	struct batch *b;

	raw_do(fx, 0, "%s", deferred_check);
	fx_settle(fx);
	for (int i = 0; i < N; i++) {
		b = fx_batch(fx, "same");
		fx_put(b, i == 9 ? "k3" : str_printf(fx->arena, "k%d", i).p,
		    i == 6 ? "boom" : "v");
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status,
		    i == 6     ? STORE_DOWN :
			i == 9 ? STORE_CONFLICT :
				 STORE_OK);
	}
	assert_int_equal(fx_count(fx, "a", "z"), N - 2);
}

/* ---- a session that is not what we think it is */

static void
statements_that_were_forgotten_are_prepared_again(void **state)
{
	struct fx *fx = *state;
	struct got g[6] = { 0 };
	struct batch *b;

	fx_settle(fx);
	for (int i = 0; i < 6; i++) {
		b = fx_batch(fx, "same");
		if (i == 2)
			fx_add(b, X_DEALLOCATE);
		else
			fx_put(b, str_printf(fx->arena, "k%d", i).p, "v");
		fx_send(fx, b, &g[i]);
		if (i < 3)
			fx_wait(fx, &g[i]);
	}
	for (int i = 0; i < 6; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status, STORE_OK);
	}
	assert_int_equal(fx_count(fx, "k", "l"), 5);
}

static void
a_result_type_that_changed_needs_a_new_session(void **state)
{
	struct fx *fx = *state;

	raw_do(fx, 0, "INSERT INTO meta VALUES ('k', 'v')");
	assert_str(fx_get(fx, "k"), "v");
	assert_str(fx_get(fx, "k"), "v");
	/* no migration of ours does this */
	raw_do(fx, 0, "ALTER TABLE meta ALTER value TYPE varchar");
	raw_do(fx, 0,
	    "ALTER TABLE meta ALTER value TYPE bytea "
	    "USING value::bytea");
	fx_settle(fx);
	assert_str(fx_get(fx, "k"), "v");
	assert_str(fx_get(fx, "k"), "v");
}

int
run_pg_tests(void)
{
	const struct CMUnitTest tests[] = {
		ON_PG(a_guard_sees_what_another_session_committed_meanwhile),
		ON_PG(a_guard_sees_what_another_session_deleted_meanwhile),
		ON_PG(a_guard_holds_if_the_other_session_gave_up),
		ON_PG(
		    a_guard_holds_if_the_other_session_changed_nothing_that_matters),
		ON_PG(an_insert_guard_waits_for_the_key_of_another_session),
		ON_PG(without_the_parent_row_a_count_lets_too_many_in),
		ON_PG(with_the_parent_row_taken_first_a_count_is_exact),
		cmocka_unit_test_setup_teardown(
		    a_lock_that_is_freed_soon_is_waited_for, short_deadline,
		    fx_free),
		cmocka_unit_test_setup_teardown(
		    a_lock_that_is_not_freed_ends_down, short_deadline,
		    fx_free),
		ON_PG(a_member_that_waits_for_a_lock_does_not_harm_the_others),
		ON_PG(a_deadlock_is_tried_again),
		ON_PG(a_commit_that_fails_alone_wrote_nothing),
		ON_PG(
		    a_commit_that_fails_in_a_group_is_undone_member_by_member),
		ON_PG(statements_that_were_forgotten_are_prepared_again),
		ON_PG(a_result_type_that_changed_needs_a_new_session),
	};

	return cmocka_run_group_tests_name("postgresql", tests, NULL, NULL);
}
