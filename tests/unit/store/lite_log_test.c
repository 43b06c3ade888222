/* SPDX-License-Identifier: ISC */
/*
 * The write-ahead log of SQLite, whose writes are gathered: how many there are,
 * and what comes of each that fails. The system call below is ours here.
 */
#include "fixture.h"

#include <errno.h>
#include <sqlite3.h>
#include <unistd.h>

#include "store/lite_int.h"

typedef ssize_t pwrite_fn(int, const void *, size_t, off_t);

static struct {
	const char *name; /* of the call, as SQLite knows it */
	pwrite_fn *real;
	unsigned to_log, biggest; /* writes; bytes of one */
	unsigned fail;            /* the n-th fails from now; 0: none */
	bool cut;                 /* it takes half, the next one fails */
	bool failed;
} sys;

static bool
is_log(int fd)
{
	char link[64], path[1024];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n > 4 && memcmp(path + n - 4, "-wal", 4) == 0;
}

static ssize_t
our_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (!is_log(fd))
		return sys.real(fd, p, n, at);
	sys.to_log++;
	if (n > sys.biggest)
		sys.biggest = (unsigned)n;
	if (sys.fail > 0 && --sys.fail == 0) {
		sys.failed = true;
		if (sys.cut && n > 1) {
			sys.cut = false;
			sys.fail = 1;
			return sys.real(fd, p, n / 2, at);
		}
		errno = ENOSPC;
		return -1;
	}
	return sys.real(fd, p, n, at);
}

static void
set_call(const char *name, pwrite_fn *fn)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	assert_int_equal(vfs->xSetSystemCall(vfs, name,
			     (sqlite3_syscall_ptr)(void (*)(void))fn),
	    SQLITE_OK);
}

static int
watch(void **state)
{
	static const char *const names[] = { "pwrite64", "pwrite" };
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	memset(&sys, 0, sizeof(sys));
	for (size_t i = 0; i < 2 && sys.real == NULL; i++) {
		sys.name = names[i];
		sys.real = (pwrite_fn *)(void (*)(void))vfs->xGetSystemCall(vfs,
		    sys.name);
	}
	assert_non_null(sys.real);
	set_call(sys.name, our_pwrite);
	return fx_lite(state);
}

static int
unwatch(void **state)
{
	sys.fail = 0;
	set_call(sys.name, NULL); /* as it was */
	return fx_free(state);
}

/* A batch that puts n values of 3,000 bytes, so about as many pages. */
static struct batch *
put_many(struct fx *fx, const char *key, int n)
{
	struct batch *b = fx_batch(fx, key);
	char *value = arena_zalloc(fx->arena, 3001);

	memset(value, 'v', 3000);
	for (int i = 0; i < n; i++)
		fx_put(b, str_printf(fx->arena, "%s%03d", key, i).p, value);
	return b;
}

static int64_t
count_there(struct fx *fx, const char *key)
{
	return fx_count(fx, str_printf(fx->arena, "%s000", key).p,
	    str_printf(fx->arena, "%s999", key).p);
}

static void
must_be_sound(struct fx *fx)
{
	sqlite3_stmt *s;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1,
			     &s, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(s, 0), "ok");
	sqlite3_finalize(s);
	sqlite3_close(db);
}

static void
a_commit_of_many_pages_is_few_writes(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(fx_run(fx, put_many(fx, "a", 1)).status, STORE_OK);
	sys.to_log = 0;
	assert_int_equal(fx_run(fx, put_many(fx, "b", 20)).status, STORE_OK);
	assert_int_equal(sys.to_log, 1);
	assert_true(sys.biggest > 20 * 3000);
	/* more than is gathered */
	sys.to_log = 0;
	assert_int_equal(fx_run(fx, put_many(fx, "c", 100)).status, STORE_OK);
	assert_in_range(sys.to_log, 3, 8);
	assert_true(sys.biggest < 0x20000);
	assert_int_equal(count_there(fx, "c"), 100);
	must_be_sound(fx);
}

static void
others_see_what_is_committed_at_once(void **state)
{
	struct fx *fx = *state;
	sqlite3_stmt *s;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
			     "SELECT count(*) FROM meta WHERE key LIKE 'k%'",
			     -1, &s, NULL),
	    SQLITE_OK);
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(fx_run(fx,
				     put_many(fx,
					 str_printf(fx->arena, "k%d", i).p, 7))
				     .status,
		    STORE_OK);
		assert_int_equal(sqlite3_step(s), SQLITE_ROW);
		assert_int_equal(sqlite3_column_int(s, 0), 7 * i);
		assert_int_equal(sqlite3_reset(s), SQLITE_OK);
	}
	sqlite3_finalize(s);
	sqlite3_close(db);
}

/*
 * Pages that leave the cache before the commit stand in the log, and are read
 * from there.
 */
static void
pages_that_left_the_cache_are_read_back(void **state)
{
	struct fx *fx = *state;
	struct lite *l = (struct lite *)fx->st;

	assert_int_equal(sqlite3_exec(l->db.db, "PRAGMA cache_size = 10", NULL,
			     NULL, NULL),
	    SQLITE_OK);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(fx_run(fx,
				     put_many(fx,
					 str_printf(fx->arena, "r%d", round).p,
					 100))
				     .status,
		    STORE_OK);
		assert_int_equal(count_there(fx,
				     str_printf(fx->arena, "r%d", round).p),
		    100);
	}
	must_be_sound(fx);
}

/*
 * Each write to the log fails in turn, until a run needs none that fails.
 * What is said to be not written is not there; what is said to be, is.
 */
static void
walk_failures(struct fx *fx, bool cut)
{
	struct lite *l = (struct lite *)fx->st;
	unsigned n = 0, bad = 0;
	struct got g;

	assert_int_equal(sqlite3_exec(l->db.db, "PRAGMA cache_size = 10", NULL,
			     NULL, NULL),
	    SQLITE_OK);
	do {
		const char *key = str_printf(fx->arena, "n%u-%d", ++n, cut).p;

		sys.fail = n;
		sys.cut = cut;
		sys.failed = false;
		g = fx_run(fx, put_many(fx, key, 100));
		sys.fail = 0;
		bad += g.status != STORE_OK;
		assert_int_equal(sys.failed, g.status != STORE_OK);
		assert_int_equal(count_there(fx, key),
		    g.status == STORE_OK ? 100 : 0);
		key = str_printf(fx->arena, "after%s", key).p;
		assert_int_equal(fx_run(fx, put_many(fx, key, 3)).status,
		    STORE_OK);
		must_be_sound(fx);
	} while (sys.failed);
	assert_true(bad >= 3);
	fx_close(fx);
	fx_open(fx);
	for (unsigned i = 1; i <= n; i++)
		assert_int_equal(count_there(fx,
				     str_printf(fx->arena, "n%u-%d", i, cut).p),
		    i == n ? 100 : 0);
	must_be_sound(fx);
}

static void
a_write_that_fails_loses_its_transaction_only(void **state)
{
	walk_failures(*state, false);
}

static void
a_write_that_stops_midway_loses_its_transaction_only(void **state)
{
	walk_failures(*state, true);
}

/* ---- the database itself, as no batch of ours uses it */

static sqlite3 *
db_of(struct fx *fx)
{
	return ((struct lite *)fx->st)->db.db;
}

static int
try(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL);
}

static void
must(sqlite3 *db, const char *text)
{
	if (try(db, text) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
}

static int
count_in(sqlite3 *db, const char *from)
{
	sqlite3_stmt *s;
	int n;

	assert_int_equal(sqlite3_prepare_v2(db, from, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	n = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return n;
}

/* A table of rows of a page each, so few pages are kept that they leave. */
static void
make_rows(sqlite3 *db)
{
	must(db,
	    "PRAGMA cache_size = 10;"
	    "CREATE TABLE t (n INTEGER PRIMARY KEY, v TEXT, w INTEGER);"
	    "CREATE INDEX t_w ON t (w);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
	    "    WHERE n < 120)"
	    "INSERT INTO t SELECT n, hex(zeroblob(1500)), n FROM c");
}

/*
 * A rollback leaves nothing behind that is written over what another process
 * commits next.
 */
static void
what_was_rolled_back_is_not_written_later(void **state)
{
	struct fx *fx = *state;
	sqlite3 *db = db_of(fx), *other;

	make_rows(db);
	must(db, "BEGIN IMMEDIATE; UPDATE t SET w = -1 WHERE n <= 25");
	must(db, "ROLLBACK");
	assert_int_equal(sqlite3_open(fx->path, &other), SQLITE_OK);
	must(other, "UPDATE t SET w = 1000 + n WHERE n <= 40");
	assert_int_equal(count_in(db, "SELECT count(*) FROM t WHERE w > 1000"),
	    40);
	must(db, "UPDATE t SET w = 2000 + n WHERE n = 120");
	assert_int_equal(count_in(other,
			     "SELECT count(*) FROM t WHERE w > 1000"),
	    41);
	sqlite3_close(other);
	must_be_sound(fx);
}

static void
after_a_failure_others_may_write_and_so_may_we(void **state)
{
	struct fx *fx = *state;
	sqlite3 *db = db_of(fx), *other;

	make_rows(db);
	sys.fail = 1;
	assert_int_equal(try(db, "UPDATE t SET w = -1"), SQLITE_FULL);
	assert_true(sys.failed);
	assert_int_equal(sqlite3_open(fx->path, &other), SQLITE_OK);
	must(other, "UPDATE t SET w = 1000 + n");
	assert_int_equal(count_in(db, "SELECT count(*) FROM t WHERE w > 1000"),
	    120);
	must(db, "UPDATE t SET w = 2000 + n");
	assert_int_equal(count_in(other,
			     "SELECT count(*) FROM t WHERE w > 2000"),
	    120);
	sqlite3_close(other);
	must_be_sound(fx);
}

/* A cheap sequence of numbers that look random. */
static unsigned
next_of(unsigned *seed)
{
	return (*seed = *seed * 1103515245 + 12345) >> 16;
}

/* Some changes inside of a savepoint; it may be undone, as a member's is. */
static void
do_member(sqlite3 *db, unsigned *seed)
{
	char text[128];
	int rc;

	if (try(db, "SAVEPOINT member") != SQLITE_OK)
		return;
	(void)snprintf(text, sizeof(text),
	    next_of(seed) % 3 == 0 ?
		"SELECT sum(w) FROM t WHERE v <> '' AND n > %u" :
		"UPDATE t SET w = w + 10000 WHERE n %% 7 = %u",
	    next_of(seed) % 7);
	rc = try(db, text);
	if (rc != SQLITE_OK || next_of(seed) % 4 == 0)
		(void)try(db, "ROLLBACK TO member");
	(void)try(db, "RELEASE member");
}

/*
 * A failure inside of a group, which is gone on with: either the group is
 * refused, or all of it is there and sound.
 */
static void
a_loss_takes_its_whole_transaction(void **state)
{
	struct fx *fx = *state;
	sqlite3 *db = db_of(fx);
	unsigned lost = 0;

	make_rows(db);
	for (unsigned seed = 1; seed <= 150; seed++) {
		unsigned s = seed;
		bool good;

		sys.failed = false;
		must(db, "BEGIN IMMEDIATE");
		sys.fail = 1 + next_of(&s) % 6;
		for (int i = 0; i < 8; i++)
			do_member(db, &s);
		good = try(db, "COMMIT") == SQLITE_OK;
		sys.fail = 0;
		assert_false(good && sys.failed);
		lost += !good;
		if (sqlite3_get_autocommit(db) == 0)
			must(db, "ROLLBACK");
		if (seed % 10 == 0)
			must_be_sound(fx);
	}
	assert_in_range(lost, 10, 149);
}

#define WATCHED(test) cmocka_unit_test_setup_teardown(test, watch, unwatch)

int
run_lite_log_tests(void)
{
	const struct CMUnitTest tests[] = {
		WATCHED(a_commit_of_many_pages_is_few_writes),
		WATCHED(others_see_what_is_committed_at_once),
		WATCHED(pages_that_left_the_cache_are_read_back),
		WATCHED(a_write_that_fails_loses_its_transaction_only),
		WATCHED(a_write_that_stops_midway_loses_its_transaction_only),
		WATCHED(what_was_rolled_back_is_not_written_later),
		WATCHED(after_a_failure_others_may_write_and_so_may_we),
		WATCHED(a_loss_takes_its_whole_transaction),
	};

	return cmocka_run_group_tests_name("sqlite's log", tests, NULL, NULL);
}
