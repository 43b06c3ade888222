/* SPDX-License-Identifier: ISC */
/* SQLite: files, locks, other processes, full disks. */
#include "fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lite_int.h"

static struct batch *
put(struct fx *fx, const char *key)
{
	struct batch *b = fx_batch(fx, key);

	fx_put(b, key, "v");
	return b;
}

static sqlite3 *
open_beside(struct fx *fx)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
	return db;
}

static void
do_beside(sqlite3 *db, const char *text)
{
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
}

/* ---- files */

static void
the_files_are_for_us_alone(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	struct fx *fx = *state;
	struct stat sb;

	assert_int_equal(fx_run(fx, put(fx, "k")).status, STORE_OK);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(stat(str_printf(fx->arena, "%s%s", fx->path,
					  ends[i])
					  .p,
				     &sb),
		    0);
		assert_int_equal(sb.st_mode & 07777, 0600);
	}
}

static void
a_commit_is_synced(void **state)
{
	struct fx *fx = *state;
	struct lite *l = (struct lite *)fx->st;
	sqlite3_stmt *s;

	assert_int_equal(sqlite3_prepare_v2(l->db.db, "PRAGMA synchronous", -1,
			     &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(s, 0), 2);
	sqlite3_finalize(s);
	assert_int_equal(sqlite3_prepare_v2(l->db.db, "PRAGMA journal_mode", -1,
			     &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(s, 0), "wal");
	sqlite3_finalize(s);
}

static void
refuse(struct fx *fx, const char *because)
{
	const char *why = "";

	assert_false(store_prepare(fx->arena, &fx->o, STORE_MIGRATE, &why));
	if (strstr(why, because) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, because);
	why = "";
	assert_null(store_new(fx->loop, &fx->o, fx->arena, &why));
	if (strstr(why, because) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, because);
}

static void
a_second_process_is_refused(void **state)
{
	struct fx *fx = *state;

	refuse(fx, "in use by another process");
	assert_int_equal(fx_run(fx, put(fx, "k")).status, STORE_OK);
	fx_close(fx);
	fx_open(fx); /* the lock went with the store */
	assert_str(fx_get(fx, "k"), "v");
}

static void
a_file_that_others_may_read_is_refused(void **state)
{
	struct fx *fx = *state;

	fx_open(fx);
	fx_close(fx);
	assert_int_equal(chmod(fx->path, 0640), 0);
	refuse(fx, "chmod 600");
}

static void
places_that_cannot_be_are_refused(void **state)
{
	struct fx *fx = *state;

	fx->o.url = "sqlite:";
	refuse(fx, "sqlite:PATH");
	fx->o.url = "sqlite::memory:";
	refuse(fx, "sqlite:PATH");
	fx->o.url = "sqlite:file:db?psow=0";
	refuse(fx, "sqlite:PATH");
	fx->o.url = "sqlite:/no/such/directory/db";
	refuse(fx, "No such file or directory");
	assert_int_equal(mkdir(fx->path, 0700), 0);
	fx->o.url = str_printf(fx->arena, "sqlite:%s", fx->path).p;
	refuse(fx, fx->path);
	assert_int_equal(rmdir(fx->path), 0);
}

static void
a_file_that_is_no_database_is_refused(void **state)
{
	struct fx *fx = *state;
	FILE *f = fopen(fx->path, "w");

	for (int i = 0; i < 1000; i++)
		(void)fputs("this is not a database\n", f);
	(void)fclose(f);
	assert_int_equal(chmod(fx->path, 0600), 0);
	refuse(fx, "not a database");
}

/* ---- another process at the file, sqlite3(1) perhaps */

static void
a_write_lock_elsewhere_is_waited_for(void **state)
{
	struct fx *fx = *state;
	sqlite3 *db = open_beside(fx);
	struct got g[3] = { 0 };

	do_beside(db, "BEGIN IMMEDIATE");
	for (int i = 0; i < 3; i++)
		fx_send(fx, put(fx, i == 0 ? "a" : i == 1 ? "b" : "c"), &g[i]);
	fx_turn_for(fx, 50000);
	assert_false(g[0].done);
	assert_null(fx_get(fx, "a").p); /* who only reads need not wait */
	do_beside(db, "COMMIT");
	for (int i = 0; i < 3; i++) {
		fx_wait(fx, &g[i]);
		assert_int_equal(g[i].status, STORE_OK);
	}
	sqlite3_close(db);
}

static void
a_write_lock_that_stays_ends_down(void **state)
{
	struct fx *fx = *state;
	sqlite3 *db;
	struct got g;

	fx_close(fx);
	fx->o.deadline = WHEN_SECOND / 2;
	fx_open(fx);
	db = open_beside(fx);
	do_beside(db, "BEGIN IMMEDIATE");
	g = fx_run(fx, put(fx, "k"));
	assert_int_equal(g.status, STORE_DOWN);
	assert_int_equal(g.problem->type, PROBLEM_UNAVAILABLE);
	do_beside(db, "ROLLBACK");
	sqlite3_close(db);
	assert_int_equal(fx_run(fx, put(fx, "k")).status, STORE_OK);
}

/* ---- a disk that is full */

static void
set_max_pages(struct fx *fx, int n)
{
	do_beside(((struct lite *)fx->st)->db.db,
	    str_printf(fx->arena, "PRAGMA max_page_count = %d", n).p);
}

static struct batch *
put_large(struct fx *fx, const char *key)
{
	struct batch *b = fx_batch(fx, key);
	char *p = arena_alloc(fx->arena, 40000);

	memset(p, 'x', 40000);
	fx_put(b, str_printf(fx->arena, "%s-small", key).p, "v");
	fx_add(b, TSQL_PUT);
	store_str(b, str_from(key));
	store_str(b, str_make(p, 40000));
	return b;
}

static void
a_full_database_is_survived(void **state)
{
	enum { N = 12 };
	struct fx *fx = *state;
	struct got g[N] = { 0 };
	int64_t ok = 0, down = 0;

	set_max_pages(fx, 1);
	for (int i = 0; i < N; i++)
		fx_send(fx, put_large(fx, str_printf(fx->arena, "k%02d", i).p),
		    &g[i]);
	for (int i = 0; i < N; i++) {
		fx_wait(fx, &g[i]);
		ok += g[i].status == STORE_OK;
		down += g[i].status == STORE_DOWN;
	}
	assert_true(down > 0);
	assert_int_equal(ok + down, N);
	assert_int_equal(fx_count(fx, "k", "l"), 2 * ok);
	set_max_pages(fx, 100000);
	assert_int_equal(fx_run(fx, put_large(fx, "later")).status, STORE_OK);
	assert_true(store_is_ready(fx->st));
}

/*
 * The log cannot be written on: at the commit, or while it is written to. What
 * is said to be not written is not there, neither now nor later.
 */
static void
an_input_output_error_is_survived(void **state)
{
	enum { N = 30 };
	struct fx *fx = *state;
	struct rlimit old, low = { .rlim_cur = 300000 };
	struct got g[N] = { 0 };
	int bad = 0;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low.rlim_max = old.rlim_max;
	assert_int_equal(signal(SIGXFSZ, SIG_IGN) != SIG_ERR, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	for (int i = 0; i < N; i++) {
		g[i] = fx_run(fx,
		    put_large(fx, str_printf(fx->arena, "k%02d", i).p));
		bad += g[i].status != STORE_OK;
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(bad > 0 && bad < N);
	assert_false(store_is_ready(fx->st));
	assert_int_equal(fx_run(fx, put_large(fx, "later")).status, STORE_OK);
	assert_true(store_is_ready(fx->st));
	fx_close(fx);
	fx_open(fx);
	for (int i = 0; i < N; i++) {
		const char *key = str_printf(fx->arena, "k%02d", i).p;

		if (g[i].status == STORE_OK)
			assert_non_null(fx_get(fx, key).p);
		else if (g[i].status != STORE_UNKNOWN)
			assert_null(fx_get(fx, key).p);
	}
}

int
run_lite_tests(void)
{
	const struct CMUnitTest tests[] = {
		ON_LITE(the_files_are_for_us_alone),
		ON_LITE(a_commit_is_synced),
		ON_LITE(a_second_process_is_refused),
		cmocka_unit_test_setup_teardown(
		    a_file_that_others_may_read_is_refused, fx_lite_closed,
		    fx_free),
		cmocka_unit_test_setup_teardown(
		    places_that_cannot_be_are_refused, fx_lite_closed, fx_free),
		cmocka_unit_test_setup_teardown(
		    a_file_that_is_no_database_is_refused, fx_lite_closed,
		    fx_free),
		ON_LITE(a_write_lock_elsewhere_is_waited_for),
		ON_LITE(a_write_lock_that_stays_ends_down),
		ON_LITE(a_full_database_is_survived),
		ON_LITE(an_input_output_error_is_survived),
	};

	return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
