/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL: connections that break, freeze, refuse, and come back. A server
 * that answers what it should not is played by the test itself.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct batch *
update_row(struct fx *fx)
{
	struct batch *b = fx_batch(fx, "row");

	fx_add(b, TSQL_SET);
	store_str(b, STR("row"));
	store_str(b, STR("ours"));
	return b;
}

static struct batch *
put(struct fx *fx, const char *key)
{
	struct batch *b = fx_batch(fx, key);

	fx_put(b, key, "v");
	return b;
}

static void
terminate_all(struct fx *fx)
{
	(void)raw_ask(fx, 1,
	    "SELECT count(pg_terminate_backend(pid, 5000)) "
	    "FROM pg_stat_activity "
	    "WHERE application_name = '%s'",
	    fx->name);
}

/* ---- a connection that is lost */

static void
a_write_in_flight_is_unknown(void **state)
{
	struct fx *fx = *state;
	struct got g = { 0 }, later = { 0 };

	raw_do(fx, 0, "INSERT INTO meta VALUES ('row', '')");
	raw_do(fx, 0, "BEGIN; UPDATE meta SET value = '' WHERE key = 'row'");
	fx_send(fx, update_row(fx), &g);
	wait_for_locked(fx, 1);
	terminate_all(fx);
	/* what comes after waits for the next connection */
	fx_send(fx, put(fx, "later"), &later);
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_UNKNOWN);
	assert_int_equal(g.problem->type, PROBLEM_UNAVAILABLE);
	raw_do(fx, 0, "ROLLBACK");
	fx_wait(fx, &later);
	assert_true(later.status == STORE_OK || later.status == STORE_UNKNOWN);
	assert_str(fx_get(fx, "row"), "");
}

static void
a_group_in_flight_is_unknown(void **state)
{
	enum { N = 6 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	struct batch *b;

	fx_settle(fx);
	for (int i = 0; i < N; i++) {
		b = fx_batch(fx, "same");
		fx_put(b, str_printf(fx->arena, "k%d", i).p, "v");
		if (i == 3)
			fx_add(b, X_TERMINATE);
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status, STORE_UNKNOWN);
	}
	assert_int_equal(fx_count(fx, "k", "l"), 0);
}

static void
a_read_in_flight_is_sent_again(void **state)
{
	struct fx *fx = *state;
	struct got g = { .look = look_str };
	struct batch *b;

	raw_do(fx, 0, "INSERT INTO meta VALUES ('row', 'value')");
	raw_do(fx, 0, "BEGIN; LOCK TABLE meta IN ACCESS EXCLUSIVE MODE");
	b = fx_batch(fx, "");
	fx_add(b, TSQL_GET);
	store_str(b, STR("row"));
	fx_send(fx, b, &g);
	wait_for_locked(fx, 1);
	terminate_all(fx);
	wait_for_locked(fx, 1); /* it is back */
	assert_false(g.done);
	raw_do(fx, 0, "COMMIT");
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	assert_str(g.str, "value");
}

static void
idle_connections_come_back_by_themselves(void **state)
{
	struct fx *fx = *state;

	fx_settle(fx);
	for (int i = 0; i < 3; i++) {
		terminate_all(fx);
		fx_settle(fx);
		assert_true(store_is_ready(fx->st));
		assert_int_equal(fx_run(fx,
				     put(fx,
					 i == 0     ? "a" :
					     i == 1 ? "b" :
						      "c"))
				     .status,
		    STORE_OK);
	}
}

static void
copy_ends_the_connection_and_nothing_else(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "k");
	struct got g;

	fx_add(b, X_COPY);
	g = fx_run(fx, b);
	assert_int_equal(g.status, STORE_UNKNOWN);
	assert_int_equal(fx_run(fx, put(fx, "k")).status, STORE_OK);
}

static void
random_disconnects_lose_nothing(void **state)
{
	enum { N = 1500, AT_ONCE = 60 };
	struct fx *fx = *state;
	struct got *g = arena_array(fx->arena, struct got, N);
	int sent = 0, done = 0, sure = 0, unknown = 0;
	int64_t rows;

	fx_settle(fx);
	while (done < N) {
		while (sent < N && sent - done < AT_ONCE) {
			const char *key = str_printf(fx->arena, "k%d", sent).p;

			fx_send(fx, put(fx, key), &g[sent++]);
		}
		loop_turn(fx->loop, LOOP_WAIT);
		if (sent % 200 < 2)
			terminate_all(fx);
		for (; done < sent && g[done].done; done++) {
			sure += g[done].status == STORE_OK;
			unknown += g[done].status == STORE_UNKNOWN;
		}
	}
	assert_int_equal(sure + unknown, N);
	assert_true(sure > 0);
	rows = atoi(raw_ask(fx, 0, "SELECT count(*) FROM meta"));
	assert_in_range(rows, sure, sure + unknown);
	for (int i = 0; i < N; i++)
		if (g[i].status == STORE_OK)
			assert_string_equal(raw_ask(fx, 0,
						"SELECT count(*) FROM meta "
						"WHERE key = 'k%d'",
						i),
			    "1");
}

/* ---- a server that does not answer */

static int
open_with_deadline(void **state, int64_t usec)
{
	struct fx *fx;

	(void)fx_pg_closed(state);
	fx = *state;
	fx->o.deadline = usec;
	fx_open(fx);
	return 0;
}

static int
three_seconds(void **state)
{
	return open_with_deadline(state, 3 * WHEN_SECOND);
}

/* Stop or continue the sessions of this store; how many. */
static int
signal_sessions(struct fx *fx, int signo)
{
	PGresult *res = PQexec(raw(fx, 1),
	    str_printf(fx->arena,
		"SELECT pid FROM pg_stat_activity "
		"WHERE application_name = '%s'",
		fx->name)
		.p);
	int n = PQntuples(res);

	for (int i = 0; i < n; i++)
		assert_int_equal(kill((pid_t)atoi(PQgetvalue(res, i, 0)),
				     signo),
		    0);
	PQclear(res);
	return n;
}

static void
a_frozen_server_is_given_up_at_the_deadline(void **state)
{
	struct fx *fx = *state;
	struct got w = { .look = NULL }, r = { 0 };
	struct batch *b;
	int64_t start;

	fx_settle(fx);
	assert_int_equal(signal_sessions(fx, SIGSTOP), 6);
	start = when_now();
	fx_send(fx, put(fx, "k"), &w);
	b = fx_batch(fx, "");
	fx_add(b, TSQL_NOW);
	fx_send(fx, b, &r);
	fx_wait(fx, &w);
	fx_wait(fx, &r);
	assert_in_range(when_now() - start, WHEN_SECOND * 27 / 10,
	    WHEN_SECOND * 15);
	assert_int_equal(w.status, STORE_UNKNOWN);
	assert_int_equal(r.status, STORE_DOWN); /* it only read */
	/* those in flight were given up for new ones; the others wake up */
	assert_true(signal_sessions(fx, SIGCONT) >= 6);
	for (int i = 0; i < 12; i++)
		assert_int_equal(fx_run(fx,
				     put(fx, str_printf(fx->arena, "o%d", i).p))
				     .status,
		    STORE_OK);
}

static void
a_statement_that_takes_too_long_ends_down(void **state)
{
	struct fx *fx = *state;
	struct batch *b = fx_batch(fx, "");
	struct got g;

	fx_add(b, X_SLEEP);
	store_int(b, 20);
	g = fx_run(fx, b);
	assert_int_equal(g.status, STORE_DOWN); /* statement_timeout */
	assert_true(store_is_ready(fx->st));    /* the session lives on */
}

static void
what_waits_for_a_connection_ends_down(void **state)
{
	struct fx *fx = *state;
	struct got w = { 0 }, r = { 0 };
	struct batch *b;
	int64_t start;

	fx_settle(fx);
	raw_do(fx, 1, "CREATE ROLE nobody_%s LOGIN CONNECTION LIMIT 0",
	    fx->name);
	fx_close(fx);
	fx->o.url =
	    str_printf(fx->arena, "%s user=nobody_%s", fx->o.url, fx->name).p;
	fx_start(fx);
	start = when_now();
	fx_send(fx, put(fx, "k"), &w);
	b = fx_batch(fx, "");
	fx_add(b, TSQL_NOW);
	fx_send(fx, b, &r);
	fx_turn_for(fx, 200000);
	assert_false(w.done || r.done);
	assert_false(store_is_ready(fx->st));
	fx_wait(fx, &w);
	fx_wait(fx, &r);
	assert_int_equal(w.status, STORE_DOWN);
	assert_int_equal(r.status, STORE_DOWN);
	assert_in_range(when_now() - start, WHEN_SECOND * 13 / 10,
	    WHEN_SECOND * 15);
	/* it comes back by itself */
	raw_do(fx, 1, "ALTER ROLE nobody_%s CONNECTION LIMIT -1", fx->name);
	raw_do(fx, 1, "GRANT ALL ON SCHEMA %s TO nobody_%s", fx->name,
	    fx->name);
	raw_do(fx, 1, "GRANT ALL ON ALL TABLES IN SCHEMA %s TO nobody_%s",
	    fx->name, fx->name);
	for (int i = 0; i < 400 && !store_is_ready(fx->st); i++)
		fx_turn_for(fx, 20000);
	assert_int_equal(fx_run(fx, put(fx, "k")).status, STORE_OK);
	fx_close(fx);
	raw_do(fx, 1, "DROP OWNED BY nobody_%s; DROP ROLE nobody_%s", fx->name,
	    fx->name);
}

/* The server has room for some of our connections only. */
static void
a_few_connections_do_the_work_of_all(void **state)
{
	enum { N = 60 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	struct batch *b;

	raw_do(fx, 1, "CREATE ROLE few_%s LOGIN CONNECTION LIMIT 2", fx->name);
	raw_do(fx, 1, "GRANT ALL ON SCHEMA %s TO few_%s", fx->name, fx->name);
	raw_do(fx, 1, "GRANT ALL ON ALL TABLES IN SCHEMA %s TO few_%s",
	    fx->name, fx->name);
	fx_close(fx);
	fx->o.url = str_printf(fx->arena, "%s user=few_%s", fx->o.url, fx->name)
			.p;
	fx_start(fx);
	for (int i = 0; i < N; i++) {
		b = fx_batch(fx, str_printf(fx->arena, "%d", i).p);
		if (i % 3 == 0)
			fx_add(b, TSQL_NOW);
		else
			fx_put(b, str_printf(fx->arena, "k%d", i).p, "v");
		fx_send(fx, b, &g[i]);
	}
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status, STORE_OK);
	}
	assert_true(store_is_ready(fx->st));
	fx_close(fx);
	raw_do(fx, 1, "DROP OWNED BY few_%s; DROP ROLE few_%s", fx->name,
	    fx->name);
}

/* ---- a server that crashes */

static void
the_server_crashes_and_recovers(void **state)
{
	struct fx *fx = *state;
	struct got g[4] = { 0 };
	pid_t pid;

	fx_settle(fx);
	assert_int_equal(fx_run(fx, put(fx, "safe")).status, STORE_OK);
	pid = (pid_t)atoi(raw_ask(fx, 1,
	    "SELECT pid FROM pg_stat_activity WHERE application_name = '%s' "
	    "LIMIT 1",
	    fx->name));
	/* one backend dies hard: PostgreSQL ends all, and recovers */
	assert_int_equal(kill(pid, SIGKILL), 0);
	for (int i = 0; i < 4; i++)
		fx_send(fx, put(fx, str_printf(fx->arena, "k%d", i).p), &g[i]);
	for (int i = 0; i < 4; i++) {
		fx_wait(fx, &g[i]);
		assert_true(
		    g[i].status == STORE_OK || g[i].status == STORE_UNKNOWN);
	}
	for (int i = 0; i < 2; i++) /* they go down with it */
		while (PQstatus(fx->raw[i]) == CONNECTION_OK) {
			PQclear(PQexec(fx->raw[i], "SELECT"));
			fx_turn_for(fx, 10000);
		}
	fx_settle(fx);
	assert_str(fx_get(fx, "safe"), "v");
	for (int i = 0; i < 4; i++)
		if (g[i].status == STORE_OK)
			assert_str(fx_get(fx,
				       str_printf(fx->arena, "k%d", i).p),
			    "v");
}

/* ---- names and other servers */

static void
host_names_are_resolved_before_the_loop_runs(void **state)
{
	struct fx *fx = *state;
	const char *why = "";

	fx->o.url = str_printf(fx->arena,
	    "host=localhost port=%s user=postgres dbname=certloop "
	    "options='-c search_path=%s' application_name=%s",
	    raw_ask(fx, 0, "SHOW port"), fx->name, fx->name)
			.p;
	fx_open(fx);
	fx_settle(fx);
	assert_int_equal(fx_run(fx, put(fx, "k")).status, STORE_OK);
	fx_close(fx);
	fx->o.url = "host=no-such-host.invalid dbname=x";
	fx->st = store_new(fx->loop, &fx->o, fx->arena, &why);
	assert_null(fx->st);
	assert_non_null(strstr(why, "no-such-host.invalid"));
}

/*
 * A server that says what no PostgreSQL would: the connection ends, the
 * process does not.
 */
static void
a_server_that_talks_nonsense_is_survived(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} says[] = { { "E\0\0\0\5x", 6 }, { "R\0\0\0\x08\0\0\0\0", 9 },
		{ "HTTP/1.1 400 Bad Request\r\n\r\n", 28 }, { "N", 1 },
		{ "", 0 } };
	struct fx *fx = *state;
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	char in[512];
	int ls, fd, said = 0;

	ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(ls, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(ls, 64), 0);
	assert_int_equal(getsockname(ls, (struct sockaddr *)&sin, &len), 0);
	fx->o.url = str_printf(fx->arena,
	    "host=127.0.0.1 port=%d user=u dbname=d sslmode=disable",
	    ntohs(sin.sin_port))
			.p;
	fx->o.deadline = 400000;
	fx_start(fx);
	while (said < 20) {
		loop_turn(fx->loop, LOOP_WAIT);
		if ((fd = accept(ls, NULL, NULL)) < 0)
			continue;
		(void)recv(fd, in, sizeof(in), MSG_DONTWAIT);
		(void)send(fd, says[said % 5].p, says[said % 5].n,
		    MSG_NOSIGNAL);
		said++;
		close(fd);
	}
	assert_int_equal(fx_run(fx, put(fx, "k")).status, STORE_DOWN);
	close(ls);
}

#define THREE_SECONDS(test)                                                    \
	cmocka_unit_test_setup_teardown(test, three_seconds, fx_free)

int
run_pg_break_tests(void)
{
	const struct CMUnitTest tests[] = {
		ON_PG(a_write_in_flight_is_unknown),
		ON_PG(a_group_in_flight_is_unknown),
		ON_PG(a_read_in_flight_is_sent_again),
		ON_PG(idle_connections_come_back_by_themselves),
		ON_PG(copy_ends_the_connection_and_nothing_else),
		ON_PG(random_disconnects_lose_nothing),
		THREE_SECONDS(a_frozen_server_is_given_up_at_the_deadline),
		THREE_SECONDS(a_statement_that_takes_too_long_ends_down),
		THREE_SECONDS(what_waits_for_a_connection_ends_down),
		ON_PG(a_few_connections_do_the_work_of_all),
		cmocka_unit_test_setup_teardown(
		    host_names_are_resolved_before_the_loop_runs, fx_pg_closed,
		    fx_free),
		cmocka_unit_test_setup_teardown(
		    a_server_that_talks_nonsense_is_survived, fx_pg_closed,
		    fx_free),
		ON_PG(the_server_crashes_and_recovers),
	};

	return cmocka_run_group_tests_name("postgresql breaks", tests, NULL,
	    NULL);
}
