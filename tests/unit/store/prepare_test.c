/* SPDX-License-Identifier: ISC */
/* store_prepare: schemas old and new, and databases that will not do. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- versions of a program, by the migrations it knows */

#define SAME(text)                                                             \
	{                                                                      \
		[DIALECT_PG] = (text), [DIALECT_LITE] = (text)                 \
	}

static const struct sql_migration migrations[] = {
	{ 1, 1, "first", SAME("CREATE TABLE one (n BIGINT NOT NULL)") },
	{ 2, 1, "expand", SAME("CREATE TABLE two (n BIGINT NOT NULL)") },
	{ 3, 3, "contract", SAME("DROP TABLE one") },
};

static const struct sql_migration broken[] = {
	{ 1, 1, "first", SAME("CREATE TABLE one (n BIGINT NOT NULL)") },
	{ 2, 1, "expand",
	    SAME("CREATE TABLE two (n BIGINT NOT NULL); DROP TABLE nothing") },
};

/* The tests' statements are not used: the tables are not theirs. */
static struct sql_catalog
version(const struct sql_migration *m, unsigned n)
{
	return (struct sql_catalog){ .stmts = tsql_catalog.stmts,
		.migrations = m,
		.nmigrations = n };
}

static const char *
prepare(struct fx *fx, const struct sql_catalog *cat, enum store_migrate mode)
{
	struct store_options o = fx->o;
	const char *why = "?";

	o.catalog = cat;
	return store_prepare(fx->arena, &o, mode, &why) ? NULL : why;
}

static void
assert_says(const char *why, const char *what)
{
	assert_non_null(why);
	if (strstr(why, what) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, what);
	assert_null(strchr(why, '\n'));
}

static void
a_fresh_database_is_migrated_once(void **state)
{
	struct sql_catalog v2 = version(migrations, 2);
	struct fx *fx = *state;

	assert_says(prepare(fx, &v2, STORE_CHECK_ONLY),
	    "too old: it has version 0, this program needs 2; "
	    "run certloopd --migrate");
	assert_null(prepare(fx, &v2, STORE_MIGRATE));
	assert_null(prepare(fx, &v2, STORE_CHECK_ONLY));
	assert_null(prepare(fx, &v2, STORE_MIGRATE));
}

static void
a_newer_program_goes_on_where_the_older_was(void **state)
{
	struct sql_catalog v1 = version(migrations, 1);
	struct sql_catalog v2 = version(migrations, 2);
	struct fx *fx = *state;

	assert_null(prepare(fx, &v1, STORE_MIGRATE));
	assert_says(prepare(fx, &v2, STORE_CHECK_ONLY),
	    "has version 1, this program needs 2");
	assert_null(prepare(fx, &v2, STORE_MIGRATE));
	assert_null(prepare(fx, &v2, STORE_CHECK_ONLY));
	/* the older one can live with what was only added */
	assert_null(prepare(fx, &v1, STORE_CHECK_ONLY));
	assert_null(prepare(fx, &v1, STORE_MIGRATE));
}

static void
an_older_program_refuses_what_it_cannot_live_with(void **state)
{
	struct sql_catalog v2 = version(migrations, 2);
	struct sql_catalog v3 = version(migrations, 3);
	struct fx *fx = *state;

	assert_null(prepare(fx, &v3, STORE_MIGRATE));
	assert_says(prepare(fx, &v2, STORE_MIGRATE),
	    "too new: it has version 3, which needs a program that knows "
	    "version 3, and this one knows 2");
	assert_says(prepare(fx, &v2, STORE_CHECK_ONLY), "too new");
}

static void
a_migration_that_fails_leaves_nothing_behind(void **state)
{
	struct sql_catalog bad = version(broken, 2);
	struct sql_catalog v1 = version(migrations, 1);
	struct sql_catalog v2 = version(migrations, 2);
	struct fx *fx = *state;

	assert_says(prepare(fx, &bad, STORE_MIGRATE),
	    "migration 2 (expand) failed: ");
	assert_null(prepare(fx, &v1, STORE_CHECK_ONLY)); /* the first stands */
	assert_says(prepare(fx, &v2, STORE_CHECK_ONLY), "has version 1");
	assert_null(prepare(fx, &v2, STORE_MIGRATE));
}

static int
migrate_in_child(struct fx *fx, const struct sql_catalog *cat)
{
	const char *why = prepare(fx, cat, STORE_MIGRATE);

	if (why == NULL)
		return 0;
	(void)fprintf(stderr, "%s\n", why);
	return 1;
}

static void
replicas_that_start_together_do_it_once(void **state)
{
	enum { N = 4 };
	struct sql_catalog v3 = version(migrations, 3);
	struct fx *fx = *state;
	pid_t pids[N];
	int status;

	for (int i = 0; i < N; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			_exit(migrate_in_child(fx, &v3));
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	assert_null(prepare(fx, &v3, STORE_CHECK_ONLY));
	assert_string_equal(raw_ask(fx, 0,
				"SELECT count(*) FROM schema_versions"),
	    "3");
}

/* ---- databases that will not do */

static const char *
refusal(struct fx *fx, const char *url)
{
	fx->o.url = url;
	return prepare(fx, &tsql_catalog, STORE_MIGRATE);
}

static void
a_server_that_is_not_there_is_named(void **state)
{
	struct fx *fx = *state;

	assert_says(refusal(fx, "postgresql://certloop@127.0.0.1:1/certloop"),
	    "cannot reach the database: connection to server at \"127.0.0.1\", "
	    "port 1 failed: Connection refused");
	assert_says(refusal(fx, "host=/no/such/directory dbname=x"),
	    "/no/such/directory");
	assert_says(refusal(fx, "postgresql://no-such-host.invalid/x"),
	    "cannot resolve the host no-such-host.invalid");
}

static void
a_bad_url_is_refused_and_secrets_are_not_quoted(void **state)
{
	static const char *const bad[] = { "postgres:/u:hunter2@h/d",
		"postgresql://u:hunter2@[::1/d", "password=hunter2 nonsense",
		"postgresql://u:hunter2@h/d?nosuch=1" };
	struct fx *fx = *state;

	assert_says(refusal(fx, "mysql"), "neither sqlite:PATH nor");
	assert_says(refusal(fx, "service=x dbname=y"), "service");
	for (size_t i = 0; i < 4; i++) {
		const char *why = refusal(fx, bad[i]);

		assert_non_null(why);
		assert_null(strstr(why, "hunter2"));
	}
}

static void
a_database_that_is_not_there_is_named(void **state)
{
	struct fx *fx = *state;

	assert_says(refusal(fx,
			str_printf(fx->arena, "%s dbname=no_such_db",
			    getenv("CERTLOOP_TEST_PG"))
			    .p),
	    "database \"no_such_db\" does not exist");
}

static void
another_encoding_is_refused(void **state)
{
	struct fx *fx = *state;

	raw_do(fx, 0,
	    "CREATE DATABASE latin_%s ENCODING 'LATIN1' LC_COLLATE 'C' "
	    "LC_CTYPE 'C' TEMPLATE template0",
	    fx->name);
	assert_says(refusal(fx,
			str_printf(fx->arena, "%s dbname=latin_%s",
			    getenv("CERTLOOP_TEST_PG"), fx->name)
			    .p),
	    "has the encoding LATIN1");
	raw_do(fx, 0, "DROP DATABASE latin_%s", fx->name);
}

static void
a_role_that_may_not_create_is_told(void **state)
{
	struct fx *fx = *state;

	raw_do(fx, 0, "CREATE ROLE weak_%s LOGIN", fx->name);
	raw_do(fx, 0, "GRANT USAGE ON SCHEMA %s TO weak_%s", fx->name,
	    fx->name);
	assert_says(refusal(fx,
			str_printf(fx->arena, "%s user=weak_%s", fx->o.url,
			    fx->name)
			    .p),
	    "permission denied for schema");
	raw_do(fx, 0, "DROP OWNED BY weak_%s; DROP ROLE weak_%s", fx->name,
	    fx->name);
}

static void
a_database_that_only_reads_is_refused(void **state)
{
	struct fx *fx = *state;

	raw_do(fx, 0, "CREATE ROLE reader_%s LOGIN", fx->name);
	raw_do(fx, 0,
	    "ALTER ROLE reader_%s SET default_transaction_read_only = on",
	    fx->name);
	assert_says(refusal(fx,
			str_printf(fx->arena, "%s user=reader_%s", fx->o.url,
			    fx->name)
			    .p),
	    "the database is read-only");
	raw_do(fx, 0, "DROP ROLE reader_%s", fx->name);
}

/* In a server of its own: this program, started with --standby beside it. */
static void
a_standby_is_refused(void **state)
{
	char helper[] = TOP_SRCDIR "/tests/lib/with-postgres";
	char self[] = "/proc/self/exe", flag[] = "--standby";
	char path[4096];
	ssize_t n = readlink(self, path, sizeof(path) - 1);
	char *args[] = { helper, path, flag, NULL };
	int status;
	pid_t pid;

	(void)state;
	assert_true(n > 0);
	path[n] = '\0';
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("WITH_POSTGRES_STANDBY", "yes", 1);
		execv(helper, args);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
the_standby_says_so(void **state)
{
	struct arena *a = arena_create();
	struct store_options o = { .url = getenv("CERTLOOP_TEST_PG") };
	const char *why = "";

	(void)state;
	assert_false(store_prepare(a, &o, STORE_MIGRATE, &why));
	assert_says(why, "the database is a standby; name the primary");
	arena_destroy(a);
}

int
run_standby_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_standby_says_so),
	};

	return cmocka_run_group_tests_name("standby", tests, NULL, NULL);
}

#define CLOSED(test)                                                           \
	{ "sqlite: " #test, test, fx_lite_closed, fx_free, NULL },             \
	{                                                                      \
		"postgresql: " #test, test, fx_pg_closed, fx_free, NULL        \
	}
#define PG_CLOSED(test)                                                        \
	cmocka_unit_test_setup_teardown(test, fx_pg_closed, fx_free)

int
run_prepare_tests(void)
{
	const struct CMUnitTest tests[] = {
		CLOSED(a_fresh_database_is_migrated_once),
		CLOSED(a_newer_program_goes_on_where_the_older_was),
		CLOSED(an_older_program_refuses_what_it_cannot_live_with),
		CLOSED(a_migration_that_fails_leaves_nothing_behind),
		PG_CLOSED(replicas_that_start_together_do_it_once),
		PG_CLOSED(a_server_that_is_not_there_is_named),
		PG_CLOSED(a_bad_url_is_refused_and_secrets_are_not_quoted),
		PG_CLOSED(a_database_that_is_not_there_is_named),
		PG_CLOSED(another_encoding_is_refused),
		PG_CLOSED(a_role_that_may_not_create_is_told),
		PG_CLOSED(a_database_that_only_reads_is_refused),
		cmocka_unit_test(a_standby_is_refused),
	};

	return cmocka_run_group_tests_name("prepare", tests, NULL, NULL);
}
