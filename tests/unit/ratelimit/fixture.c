/* SPDX-License-Identifier: ISC */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/lite_int.h"

#define START (INT64_C(1800000000) * WHEN_SECOND + 123456)

static int64_t
read_now(void *arg)
{
	return ((struct fixture *)arg)->now;
}

struct ratelimit_options
options_of(struct fixture *f)
{
	return (struct ratelimit_options){ .loop = f->loop,
		.backend = f->server != NULL ? RATELIMIT_REDIS :
		    f->store != NULL         ? RATELIMIT_STORE :
					       RATELIMIT_MEMORY,
		.redis = f->redis,
		.store = f->store,
		.now = read_now,
		.now_arg = f };
}

void
remake(struct fixture *f, const struct ratelimit_options *o)
{
	ratelimit_free(f->rl);
	f->rl = ratelimit_new(o);
}

static struct fixture *
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->a = arena_create();
	f->loop = loop_new();
	task_init(&f->task);
	f->now = START;
	*state = f;
	return f;
}

int
make_memory(void **state)
{
	struct fixture *f = make(state);
	struct ratelimit_options o = options_of(f);

	remake(f, &o);
	return 0;
}

int
make_redis(void **state)
{
	struct fixture *f = make(state);
	struct redis_options o;
	struct ratelimit_options ro;

	f->server = server_start(SERVER_CLOCK, "");
	if (f->server == NULL)
		return 0; /* get() skips */
	set_now(f, START);
	o = server_options(f->server, f->a);
	f->redis = redis_new(f->loop, &o);
	if (!turn_until_up(f->loop, f->redis, true, 5000))
		return -1;
	ro = options_of(f);
	remake(f, &ro);
	return 0;
}

/* ---- the store */

void
run_with_postgres(char **argv)
{
	char helper[] = TOP_SRCDIR "/tests/lib/with-postgres";
	char *args[] = { helper, argv[0], NULL };

	signal(SIGPIPE, SIG_IGN);
	if (getenv("CERTLOOP_TEST_PG") != NULL)
		return;
	execv(helper, args);
	perror(helper);
	exit(99);
}

static void
open_store(struct fixture *f, const char *url)
{
	struct store_options o = { .url = url, .deadline = 30 * WHEN_SECOND };
	struct ratelimit_options ro;
	const char *why = "";

	f->url = url;
	if (!store_prepare(f->a, &o, STORE_MIGRATE, &why))
		fail_msg("%s", why);
	f->store = store_new(f->loop, &o, f->a, &why);
	if (f->store == NULL)
		fail_msg("%s", why);
	ro = options_of(f);
	remake(f, &ro);
}

static void
read_fixture_now(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct fixture *f = sqlite3_user_data(ctx);

	(void)n;
	(void)args;
	sqlite3_result_int64(ctx, f->now);
}

int
make_sqlite(void **state)
{
	struct fixture *f = make(state);
	struct lite *lite;

	snprintf(f->dir, sizeof(f->dir), "/tmp/certloop-limits-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	open_store(f, str_printf(f->a, "sqlite:%s/db", f->dir).p);
	lite = (struct lite *)(void *)f->store; /* its first member */
	assert_int_equal(sqlite3_create_function_v2(lite->db.db, "now_us", 0,
			     SQLITE_UTF8 | SQLITE_INNOCUOUS, f,
			     read_fixture_now, NULL, NULL, NULL),
	    SQLITE_OK);
	return 0;
}

static void
raw_do(struct fixture *f, struct str sql)
{
	PGresult *res = PQexec(f->raw, sql.p);
	ExecStatusType st = PQresultStatus(res);

	if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql.p, PQerrorMessage(f->raw));
	PQclear(res);
}

int64_t
ask_postgres(struct fixture *f, const char *sql)
{
	PGresult *res = PQexec(f->raw, sql);
	int64_t n;

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(f->raw));
	n = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return n;
}

int
make_postgresql(void **state)
{
	static int schemas;
	struct fixture *f = make(state);
	const char *server = getenv("CERTLOOP_TEST_PG");

	f->schema = str_printf(f->a, "l%d_%d", (int)getpid(), schemas++).p;
	f->raw = PQconnectdb(server);
	raw_do(f, str_printf(f->a, "SET synchronous_commit = off"));
	raw_do(f, str_printf(f->a, "SET client_min_messages = warning"));
	raw_do(f, str_printf(f->a, "CREATE SCHEMA %s", f->schema));
	raw_do(f, str_printf(f->a, "SET search_path = %s", f->schema));
	open_store(f,
	    str_printf(f->a,
		"%s options='-c search_path=%s -c synchronous_commit=off'",
		server, f->schema)
		.p);
	raw_do(f,
	    str_printf(f->a,
		"CREATE TABLE clock AS SELECT CAST(0 AS BIGINT) AS now; "
		"CREATE OR REPLACE FUNCTION now_us() RETURNS BIGINT "
		"LANGUAGE sql STABLE AS 'SELECT now FROM clock'"));
	set_now(f, START);
	return 0;
}

static void
drop_store(struct fixture *f)
{
	char command[128];

	store_free(f->store);
	if (f->raw != NULL) {
		raw_do(f,
		    str_printf(f->a, "DROP SCHEMA %s CASCADE", f->schema));
		PQfinish(f->raw);
	}
	if (f->dir[0] == '\0')
		return;
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
}

void
be_impatient(struct fixture *f)
{
	struct redis_options o = server_options(f->server, f->a);

	ratelimit_free(f->rl);
	f->rl = NULL;
	redis_free(f->redis);
	o.late = IMPATIENT;
	o.dead = 0;
	f->redis = redis_new(f->loop, &o);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
}

int
drop(void **state)
{
	struct fixture *f = *state;

	task_end(&f->task);
	ratelimit_free(f->rl);
	redis_free(f->redis);
	server_end(f->server);
	drop_store(f);
	loop_free(f->loop);
	arena_destroy(f->a);
	free(f);
	return 0;
}

struct fixture *
get(void **state)
{
	struct fixture *f = *state;

	if (f->rl == NULL)
		skip();
	return f;
}

void
set_now(struct fixture *f, int64_t now)
{
	f->now = now;
	if (f->server != NULL)
		*f->server->clock = now;
	if (f->raw != NULL)
		raw_do(f,
		    str_printf(f->a, "UPDATE clock SET now = %lld",
			(long long)now));
}

void
set_limit(struct fixture *f, enum limit_id id, unsigned max, int64_t window)
{
	ratelimit_set(f->rl, id,
	    &(struct limit){ .max = max, .window = window });
}

enum step
on_outcome(void *arg, const struct ratelimit_result *result)
{
	struct outcome *o = arg;

	o->calls++;
	o->result = *result;
	o->done = true;
	return STEP_DONE;
}

struct ratelimit_result
take_all(struct fixture *f, const struct take *takes, size_t n,
    const struct ratelimit_nonce *nonce)
{
	struct outcome o = { .calls = 0 };

	assert_int_equal(ratelimit_take(f->rl, &f->task, takes, n, nonce,
			     on_outcome, &o),
	    STEP_WAITING);
	assert_int_equal(o.calls, 0); /* never inside the call */
	assert_true(task_is_waiting(&f->task));
	if (!turn_until(f->loop, &o.done, 30000))
		fail_msg("no answer");
	assert_int_equal(o.calls, 1);
	assert_false(task_is_waiting(&f->task));
	return o.result;
}

struct ratelimit_result
take_one(struct fixture *f, enum limit_id id, const char *key)
{
	struct take t = { .limit = id, .key = str_from(key) };

	return take_all(f, &t, 1, NULL);
}

struct looked {
	volatile bool done;
	struct ratelimit_view view;
};

static enum step
on_view(void *arg, const struct ratelimit_view *view)
{
	struct looked *l = arg;

	l->view = *view;
	l->done = true;
	return STEP_DONE;
}

struct ratelimit_view
show_one(struct fixture *f, enum limit_id id, const char *key)
{
	struct looked l = { .done = false };

	(void)ratelimit_show(f->rl, &f->task, id, str_from(key), on_view, &l);
	if (!turn_until(f->loop, &l.done, 5000))
		fail_msg("no answer");
	return l.view;
}

struct ratelimit_view
reset_one(struct fixture *f, enum limit_id id, const char *key)
{
	struct looked l = { .done = false };

	(void)ratelimit_reset(f->rl, &f->task, id, str_from(key), on_view, &l);
	if (!turn_until(f->loop, &l.done, 5000))
		fail_msg("no answer");
	return l.view;
}
