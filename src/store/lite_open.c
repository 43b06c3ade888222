/* SPDX-License-Identifier: ISC */
/*
 * SQLite: the database file, its lock, its settings, its migrations.
 *
 * A file PATH.lock beside the database is held with flock(2) as long as the
 * database is open, as two daemons on one file would each believe that they
 * are alone (memory limits, nonces). It is never removed: whoever holds the
 * lock of a removed file holds nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/when.h"
#include "store/lite_int.h"

/* now_us(): the moment at which the statement began. */
static void
sql_now(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct lite_db *d = sqlite3_user_data(ctx);

	(void)n;
	(void)args;
	sqlite3_result_int64(ctx, d->now);
}

static bool
take_lock(struct lite_db *d, const char *path, struct arena *a,
    const char **why)
{
	const char *name = str_printf(a, "%s.lock", path).p;

	d->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock == -1) {
		*why = str_printf(a, "cannot open %s: %s", name,
		    strerror(errno))
			   .p;
		return false;
	}
	if (flock(d->lock, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK)
		*why = str_printf(a,
		    "the database %s is in use by another process, which "
		    "holds %s",
		    path, name)
			   .p;
	else
		*why = str_printf(a, "cannot lock %s: %s", name,
		    strerror(errno))
			   .p;
	return false;
}

/* Made by us, so that it is 0600 from its first moment; its log inherits it. */
static bool
make_file(const char *path, struct arena *a, const char **why)
{
	struct stat sb;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1 || fstat(fd, &sb) == -1) {
		*why = str_printf(a, "cannot open the database %s: %s", path,
		    strerror(errno))
			   .p;
		if (fd != -1)
			close(fd);
		return false;
	}
	close(fd);
	if (!S_ISREG(sb.st_mode)) {
		*why = str_printf(a, "%s is not a regular file", path).p;
		return false;
	}
	if ((sb.st_mode & 077) != 0) {
		*why = str_printf(a,
		    "others may open the database %s (mode %04o); run "
		    "chmod 600 %s",
		    path, (unsigned)sb.st_mode & 07777, path)
			   .p;
		return false;
	}
	return true;
}

static bool
exec(struct lite_db *d, const char *text, struct arena *a, const char **why)
{
	if (sqlite3_exec(d->db, text, NULL, NULL, NULL) == SQLITE_OK)
		return true;
	*why = str_printf(a, "%s (SQLite %d)", sqlite3_errmsg(d->db),
	    sqlite3_extended_errcode(d->db))
		   .p;
	return false;
}

/* The first column of the first row as an integer, or -1. */
static int64_t
query_int(struct lite_db *d, const char *text)
{
	sqlite3_stmt *s = NULL;
	int64_t n = -1;

	if (sqlite3_prepare_v2(d->db, text, -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		n = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return n;
}

static bool
is_wal(struct lite_db *d)
{
	sqlite3_stmt *s = NULL;
	bool wal = false;

	if (sqlite3_prepare_v2(d->db, "PRAGMA journal_mode = WAL", -1, &s,
		NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		wal = strcmp((const char *)sqlite3_column_text(s, 0), "wal") ==
		    0;
	sqlite3_finalize(s);
	return wal;
}

static bool
set_up(struct lite_db *d, const char *path, struct arena *a, const char **why)
{
	sqlite3_extended_result_codes(d->db, 1);
	sqlite3_busy_timeout(d->db, 0);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (sqlite3_create_function_v2(d->db, "now_us", 0,
		SQLITE_UTF8 | SQLITE_INNOCUOUS, d, sql_now, NULL, NULL,
		NULL) != SQLITE_OK)
		return exec(d, "", a, why);
	/* reads the file: not a database? no permission? */
	if (query_int(d, "SELECT count(*) FROM sqlite_master") < 0) {
		*why = str_printf(a, "cannot read the database %s: %s", path,
		    sqlite3_errmsg(d->db))
			   .p;
		return false;
	}
	if (!is_wal(d)) {
		*why = str_printf(a,
		    "the database %s cannot use a write-ahead log: %s", path,
		    sqlite3_errcode(d->db) == SQLITE_OK ?
			"is it on a network file system?" :
			sqlite3_errmsg(d->db))
			   .p;
		return false;
	}
	return exec(d,
	    "PRAGMA synchronous = FULL;"
	    "PRAGMA temp_store = MEMORY;"
	    "PRAGMA wal_autocheckpoint = 4000;"
	    "PRAGMA journal_size_limit = 67108864;",
	    a, why);
}

bool
lite_open(struct lite_db *d, const char *url, struct arena *a, const char **why)
{
	const char *path = url + strlen("sqlite:");
	int rc;

	*d = (struct lite_db){ .lock = -1 };
	/* file: would be a URI, with options */
	if (*path == '\0' || *path == ':' || strncmp(path, "file:", 5) == 0) {
		*why = "the url of an SQLite store is sqlite:PATH, the path of "
		       "a file";
		return false;
	}
	if (!take_lock(d, path, a, why) || !make_file(path, a, why)) {
		lite_close(d);
		return false;
	}
	/* one thread, and nobody asks how much memory: before the first open */
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	rc = sqlite3_open_v2(path, &d->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, lite_log_layer());
	if (rc != SQLITE_OK) {
		*why = str_printf(a, "cannot open the database %s: %s", path,
		    d->db != NULL ? sqlite3_errmsg(d->db) : sqlite3_errstr(rc))
			   .p;
		lite_close(d);
		return false;
	}
	lite_log_watch(d->db);
	if (!set_up(d, path, a, why)) {
		lite_close(d);
		return false;
	}
	return true;
}

void
lite_close(struct lite_db *d)
{
	sqlite3_close(d->db);
	if (d->lock != -1)
		close(d->lock);
	*d = (struct lite_db){ .lock = -1 };
}

enum { VERSIONS_MAX = 1024 };

/* The rows of schema_versions; none if there is no such table. */
static bool
load_versions(struct lite_db *d, struct schema_version *v, size_t *n,
    struct arena *a, const char **why)
{
	sqlite3_stmt *s = NULL;
	int rc;

	*n = 0;
	if (query_int(d,
		"SELECT count(*) FROM sqlite_master WHERE type = 'table' "
		"AND name = 'schema_versions'") == 0)
		return true;
	rc = sqlite3_prepare_v2(d->db,
	    "SELECT version, oldest FROM schema_versions", -1, &s, NULL);
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW && *n < VERSIONS_MAX)
			v[(*n)++] = (struct schema_version){
				.version = (unsigned)sqlite3_column_int(s, 0),
				.oldest = (unsigned)sqlite3_column_int(s, 1),
			};
	}
	if (rc != SQLITE_DONE)
		*why = str_printf(a, "cannot read schema_versions: %s",
		    sqlite3_errmsg(d->db))
			   .p;
	sqlite3_finalize(s);
	return rc == SQLITE_DONE;
}

static bool
apply(struct lite_db *d, const struct sql_migration *m, struct arena *a,
    const char **why)
{
	const char *text = str_printf(a, "BEGIN IMMEDIATE; %s; %s; %s; COMMIT",
	    migrate_table, m->text[DIALECT_LITE], migrate_record(a, m))
			       .p;

	d->now = when_now();
	if (exec(d, text, a, why))
		return true;
	*why = str_printf(a, "migration %u (%s) failed: %s", m->version,
	    m->name, *why)
		   .p;
	if (sqlite3_get_autocommit(d->db) == 0)
		(void)sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool
lite_prepare(struct arena *a, const struct store_options *o,
    enum store_migrate mode, const char **why)
{
	const struct sql_catalog *cat = o->catalog;
	struct schema_version *v = arena_array(a, struct schema_version,
	    VERSIONS_MAX);
	struct lite_db d;
	unsigned first = 0;
	size_t n;
	bool ok;

	if (!lite_open(&d, o->url, a, why))
		return false;
	ok = load_versions(&d, v, &n, a, why) &&
	    migrate_judge(a, cat, v, n, mode, &first, why);
	for (unsigned i = first; ok && i <= cat->nmigrations; i++)
		ok = apply(&d, &cat->migrations[i - 1], a, why);
	lite_close(&d);
	return ok;
}
