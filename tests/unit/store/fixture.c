/* SPDX-License-Identifier: ISC */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Seconds until a test that hangs fails. Machines that test are busy. */
enum { PATIENCE = 120 };

static struct sql_stmt stmts[X_COUNT];
static struct sql_catalog catalog;

/* What sqlgen made, and what it would refuse to. */
static const struct sql_catalog *
make_catalog(void)
{
	memcpy(stmts, tsql_catalog.stmts, TSQL_COUNT * sizeof(stmts[0]));
	stmts[X_NO_TABLE] = (struct sql_stmt){
		.name = "no_table",
		.args = "",
		.text = { "DELETE FROM no_such_table",
		    "DELETE FROM no_such_table" },
	};
	stmts[X_DEALLOCATE] = (struct sql_stmt){
		.name = "deallocate",
		.args = "",
		.text = { "DEALLOCATE ALL", NULL },
	};
	stmts[X_COPY] = (struct sql_stmt){
		.name = "copy",
		.args = "",
		.text = { "COPY meta TO STDOUT", NULL },
	};
	stmts[X_SLEEP] = (struct sql_stmt){
		.name = "sleep",
		.args = "i",
		.nargs = 1,
		.cols = "pg_sleep",
		.ncols = 1,
		.read_only = true,
		.text = { "SELECT pg_sleep($1)", NULL },
	};
	stmts[X_TERMINATE] = (struct sql_stmt){
		.name = "terminate",
		.args = "",
		.cols = "pg_terminate_backend",
		.ncols = 1,
		.text = { "SELECT pg_terminate_backend(pg_backend_pid())",
		    NULL },
	};
	catalog = tsql_catalog;
	catalog.stmts = stmts;
	catalog.nstmts = X_COUNT;
	return &catalog;
}

static void
on_alarm(void *arg)
{
	struct fx *fx = arg;

	timer_start(&fx->alarm, 20000);
}

static struct fx *
fx_new(void **state)
{
	struct arena *a = arena_create();
	struct fx *fx = arena_new(a, struct fx);

	fx->arena = a;
	fx->loop = loop_new();
	task_init(&fx->task);
	timer_init(&fx->alarm, fx->loop, on_alarm, fx);
	on_alarm(fx);
	fx->o.catalog = make_catalog();
	fx->o.deadline = 30 * WHEN_SECOND;
	*state = fx;
	return fx;
}

int
fx_lite_closed(void **state)
{
	struct fx *fx = fx_new(state);
	const char *dir = str_printf(fx->arena, "/tmp/certloop-store.XXXXXX").p;

	assert_non_null(mkdtemp((char *)(uintptr_t)dir));
	fx->name = dir;
	fx->path = str_printf(fx->arena, "%s/db", dir).p;
	fx->o.url = str_printf(fx->arena, "sqlite:%s", fx->path).p;
	return 0;
}

int
fx_pg_closed(void **state)
{
	static int schemas;
	struct fx *fx = fx_new(state);

	fx->pg = true;
	fx->name = str_printf(fx->arena, "t%d_%d", (int)getpid(), schemas++).p;
	fx->o.url = str_printf(fx->arena,
	    "%s options='-c search_path=%s' application_name=%s",
	    getenv("CERTLOOP_TEST_PG"), fx->name, fx->name)
			.p;
	raw_do(fx, 0, "CREATE SCHEMA %s", fx->name);
	return 0;
}

void
fx_open(struct fx *fx)
{
	const char *why = "";

	if (!store_prepare(fx->arena, &fx->o, STORE_MIGRATE, &why))
		fail_msg("store_prepare: %s", why);
	fx_start(fx);
}

void
fx_start(struct fx *fx)
{
	const char *why = "";

	fx->st = store_new(fx->loop, &fx->o, fx->arena, &why);
	if (fx->st == NULL)
		fail_msg("store_new: %s", why);
}

void
fx_close(struct fx *fx)
{
	store_free(fx->st);
	fx->st = NULL;
}

int
fx_lite(void **state)
{
	(void)fx_lite_closed(state);
	fx_open(*state);
	return 0;
}

int
fx_pg(void **state)
{
	(void)fx_pg_closed(state);
	fx_open(*state);
	return 0;
}

int
fx_free(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	struct fx *fx = *state;

	fx_close(fx);
	task_end(&fx->task);
	if (fx->pg) {
		PQfinish(fx->raw[1]);
		PQfinish(fx->raw[0]);
		fx->raw[0] = fx->raw[1] = NULL;
		raw_do(fx, 0, "DROP SCHEMA IF EXISTS %s CASCADE", fx->name);
		PQfinish(fx->raw[0]);
	} else {
		for (size_t i = 0; i < 4; i++)
			(void)unlink(
			    str_printf(fx->arena, "%s%s", fx->path, ends[i]).p);
		(void)rmdir(fx->name);
	}
	timer_stop(&fx->alarm);
	loop_free(fx->loop);
	arena_destroy(fx->arena);
	return 0;
}

struct batch *
fx_batch(struct fx *fx, const char *key)
{
	return store_new_batch(fx->st, &fx->task, str_from(key));
}

void
fx_add(struct batch *b, unsigned sql)
{
	store_add(b, (enum sql)sql);
}

void
fx_put(struct batch *b, const char *key, const char *value)
{
	fx_add(b, TSQL_PUT);
	store_str(b, str_from(key));
	store_str(b, str_from(value));
}

static enum step
keep(void *arg, const struct store_result *r)
{
	struct got *g = arg;

	assert_false(g->done);
	g->done = true;
	g->status = r->status;
	g->failed = r->failed;
	if (r->problem != NULL) {
		struct problem *p = arena_new(g->fx->arena, struct problem);

		p->type = r->problem->type;
		p->retry_after = r->problem->retry_after;
		g->cause = str_dup(g->fx->arena, str_from(r->problem->cause));
		g->problem = p;
	}
	for (unsigned i = 0; r->status == STORE_OK && i < r->rows->n && i < 8;
	     i++) {
		g->nrows[i] = store_nrows(r, i);
		g->affected[i] = store_affected(r, i);
	}
	if (g->look != NULL && r->status == STORE_OK)
		g->look(g, r);
	return STEP_DONE;
}

void
fx_send(struct fx *fx, struct batch *b, struct got *g)
{
	g->fx = fx;
	g->done = false;
	assert_int_equal(store_send_batch(b, keep, g), STEP_WAITING);
	assert_false(g->done);
}

void
fx_wait(struct fx *fx, struct got *g)
{
	time_t start = time(NULL);

	while (!g->done) {
		loop_turn(fx->loop, LOOP_WAIT);
		if (time(NULL) > start + PATIENCE)
			fail_msg("a batch was never answered");
	}
}

struct got
fx_run(struct fx *fx, struct batch *b)
{
	struct got g = { 0 };

	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	return g;
}

void
fx_turn_for(struct fx *fx, int64_t usec)
{
	int64_t end = when_now() + usec;

	while (when_now() < end)
		loop_turn(fx->loop, LOOP_WAIT);
}

void
fx_settle(struct fx *fx)
{
	int64_t end = when_now() + PATIENCE * WHEN_SECOND;

	while (fx->pg &&
	    atoi(raw_ask(fx, 0,
		"SELECT count(*) FROM pg_stat_activity "
		"WHERE application_name = '%s' AND state = 'idle'",
		fx->name)) < 6) {
		loop_turn(fx->loop, LOOP_WAIT);
		if (when_now() > end)
			fail_msg("the connections do not come up");
	}
	fx_turn_for(fx, 20000);
}

void
look_num(struct got *g, const struct store_result *r)
{
	if (store_nrows(r, 0) > 0)
		g->num = store_get_int(r, 0, 0, 0);
}

void
look_str(struct got *g, const struct store_result *r)
{
	if (store_nrows(r, 0) > 0)
		g->str = str_dup(g->fx->arena, store_get_str(r, 0, 0, 0));
}

struct str
fx_get(struct fx *fx, const char *key)
{
	struct batch *b = fx_batch(fx, "");
	struct got g = { .look = look_str };

	fx_add(b, TSQL_GET);
	store_str(b, str_from(key));
	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	return g.str;
}

int64_t
fx_count(struct fx *fx, const char *from, const char *to)
{
	struct batch *b = fx_batch(fx, "");
	struct got g = { .look = look_num };

	fx_add(b, TSQL_TALLY);
	store_str(b, str_from(from));
	store_str(b, str_from(to));
	fx_send(fx, b, &g);
	fx_wait(fx, &g);
	assert_int_equal(g.status, STORE_OK);
	return g.num;
}

PGconn *
raw(struct fx *fx, int i)
{
	PGresult *res;

	time_t start = time(NULL);

	if (fx->raw[i] != NULL && PQstatus(fx->raw[i]) != CONNECTION_OK) {
		PQfinish(fx->raw[i]);
		fx->raw[i] = NULL;
	}
	if (fx->raw[i] == NULL) {
		fx->raw[i] = PQconnectdb(getenv("CERTLOOP_TEST_PG"));
		/* it recovers from a crash that a test was about */
		while (PQstatus(fx->raw[i]) != CONNECTION_OK &&
		    time(NULL) < start + PATIENCE) {
			(void)usleep(50000);
			PQreset(fx->raw[i]);
		}
		if (PQstatus(fx->raw[i]) != CONNECTION_OK)
			fail_msg("raw session: %s", PQerrorMessage(fx->raw[i]));
		res = PQexec(fx->raw[i],
		    str_printf(fx->arena,
			"SET search_path = %s; "
			"SET client_min_messages = warning",
			fx->name)
			.p);
		PQclear(res);
	}
	return fx->raw[i];
}

static PGresult *__attribute__((format(printf, 3, 0)))
raw_exec(struct fx *fx, int i, const char *fmt, va_list ap)
{
	char text[4096];
	PGresult *res;
	ExecStatusType st;

	assert_true(vsnprintf(text, sizeof(text), fmt, ap) < (int)sizeof(text));
	res = PQexec(raw(fx, i), text);
	st = PQresultStatus(res);
	if (st != PGRES_TUPLES_OK && st != PGRES_COMMAND_OK)
		fail_msg("%s: %s", text, PQerrorMessage(fx->raw[i]));
	return res;
}

void
raw_do(struct fx *fx, int i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	PQclear(raw_exec(fx, i, fmt, ap));
	va_end(ap);
}

const char *
raw_ask(struct fx *fx, int i, const char *fmt, ...)
{
	const char *cell;
	PGresult *res;
	va_list ap;

	va_start(ap, fmt);
	res = raw_exec(fx, i, fmt, ap);
	va_end(ap);
	assert_true(PQntuples(res) > 0);
	cell = str_cstr(fx->arena, str_from(PQgetvalue(res, 0, 0)));
	PQclear(res);
	return cell;
}

void
wait_for_locked(struct fx *fx, int n)
{
	int64_t end = when_now() + PATIENCE * WHEN_SECOND;

	while (atoi(raw_ask(fx, 1,
		   "SELECT count(*) FROM pg_stat_activity "
		   "WHERE application_name = '%s' "
		   "AND wait_event_type = 'Lock'",
		   fx->name)) < n) {
		loop_turn(fx->loop, LOOP_WAIT);
		if (when_now() > end)
			fail_msg("nobody waits for a lock");
	}
}
