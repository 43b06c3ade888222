/* SPDX-License-Identifier: ISC */
/*
 * SQLite: the file of the write-ahead log. SQLite writes each page to it in two
 * pieces, head and page, one behind the other; here they are gathered, and
 * written when the log is to be synced, or read where they stand. Nobody else
 * looks for a page in the log before a commit has synced it (synchronous =
 * FULL). All other files are those of SQLite's own layer, untouched.
 *
 * What could not be written is lost, and SQLite believes it written. So each
 * later call fails until the transaction has been rolled back. A rollback also
 * forgets what was gathered: others may write there next.
 */
#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "store/lite_int.h"

/* SQLite's own layer takes the length of a write modulo 128 KiB. */
enum { GATHERED_MAX = 120 * 1024 };

struct log_file {
	sqlite3_file file; /* first: what SQLite sees */
	sqlite3_file *real;
	sqlite3_int64 at; /* in the file, of bytes[0] */
	size_t n;
	int error;          /* SQLITE_OK, or that of what was lost, */
	sqlite3_int64 lost; /* from here on */
	char *bytes;        /* GATHERED_MAX of them */
};

static struct log_file *
log_of(sqlite3_file *f)
{
	return (struct log_file *)(void *)f;
}

/* Write what was gathered. */
static int
flush(struct log_file *l)
{
	int rc;

	if (l->error != SQLITE_OK || l->n == 0)
		return l->error;
	rc = l->real->pMethods->xWrite(l->real, l->bytes, (int)l->n, l->at);
	if (rc != SQLITE_OK) {
		l->error = rc;
		l->lost = l->at;
	}
	l->n = 0;
	return rc;
}

static int
log_write(sqlite3_file *f, const void *p, int len, sqlite3_int64 at)
{
	struct log_file *l = log_of(f);
	size_t n = (size_t)len;
	int rc;

	if (l->n > 0 &&
	    (at != l->at + (sqlite3_int64)l->n || n > GATHERED_MAX - l->n) &&
	    (rc = flush(l)) != SQLITE_OK)
		return rc;
	if (l->error != SQLITE_OK)
		return l->error;
	if (n > GATHERED_MAX)
		return l->real->pMethods->xWrite(l->real, p, len, at);
	if (l->n == 0)
		l->at = at;
	memcpy(l->bytes + l->n, p, n);
	l->n += n;
	return SQLITE_OK;
}

static int
log_read(sqlite3_file *f, void *p, int len, sqlite3_int64 at)
{
	struct log_file *l = log_of(f);
	int rc = SQLITE_OK;

	if (l->n > 0 && at + len > l->at)
		rc = flush(l);
	else if (l->error != SQLITE_OK && at + len > l->lost)
		rc = l->error;
	return rc == SQLITE_OK ? l->real->pMethods->xRead(l->real, p, len, at) :
				 rc;
}

static int
log_sync(sqlite3_file *f, int flags)
{
	struct log_file *l = log_of(f);
	int rc = flush(l);

	return rc == SQLITE_OK ? l->real->pMethods->xSync(l->real, flags) : rc;
}

static int
log_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct log_file *l = log_of(f);
	int rc = flush(l);

	return rc == SQLITE_OK ? l->real->pMethods->xTruncate(l->real, size) :
				 rc;
}

static int
log_size(sqlite3_file *f, sqlite3_int64 *size)
{
	struct log_file *l = log_of(f);
	int rc = flush(l);

	return rc == SQLITE_OK ? l->real->pMethods->xFileSize(l->real, size) :
				 rc;
}

static int
log_close(sqlite3_file *f)
{
	struct log_file *l = log_of(f);
	int flushed = flush(l), rc = l->real->pMethods->xClose(l->real);

	sqlite3_free(l->bytes);
	l->bytes = NULL;
	return flushed != SQLITE_OK ? flushed : rc;
}

static void
forget(struct log_file *l)
{
	l->n = 0;
	l->error = SQLITE_OK;
}

/* ---- handed on as they are; a log is never locked */

static int
log_lock(sqlite3_file *f, int level)
{
	return log_of(f)->real->pMethods->xLock(log_of(f)->real, level);
}

static int
log_unlock(sqlite3_file *f, int level)
{
	return log_of(f)->real->pMethods->xUnlock(log_of(f)->real, level);
}

static int
log_check_lock(sqlite3_file *f, int *out)
{
	return log_of(f)->real->pMethods->xCheckReservedLock(log_of(f)->real,
	    out);
}

static int
log_control(sqlite3_file *f, int op, void *arg)
{
	return log_of(f)->real->pMethods->xFileControl(log_of(f)->real, op,
	    arg);
}

static int
log_sector(sqlite3_file *f)
{
	return log_of(f)->real->pMethods->xSectorSize(log_of(f)->real);
}

static int
log_device(sqlite3_file *f)
{
	return log_of(f)->real->pMethods->xDeviceCharacteristics(
	    log_of(f)->real);
}

static const sqlite3_io_methods log_methods = {
	.iVersion = 1,
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_check_lock,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_device,
};

/* ---- files are opened */

static sqlite3_vfs *below;

/* Where the file of the layer below stands behind ours. */
static size_t
real_offset(void)
{
	size_t to = alignof(max_align_t);

	return (sizeof(struct log_file) + to - 1) / to * to;
}

static int
log_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags,
    int *got)
{
	struct log_file *l = log_of(f);
	int rc;

	(void)vfs;
	if ((flags & SQLITE_OPEN_WAL) == 0)
		return below->xOpen(below, name, f, flags, got);
	*l = (struct log_file){
		.real = (sqlite3_file *)(void *)((char *)f + real_offset()),
		.bytes = sqlite3_malloc(GATHERED_MAX),
	};
	if (l->bytes == NULL)
		return SQLITE_NOMEM;
	l->real->pMethods = NULL;
	rc = below->xOpen(below, name, l->real, flags, got);
	if (l->real->pMethods != NULL)
		f->pMethods = &log_methods;
	else
		sqlite3_free(l->bytes);
	return rc;
}

const char *
lite_log_layer(void)
{
	static sqlite3_vfs layer;

	if (layer.zName == NULL) {
		below = sqlite3_vfs_find(NULL);
		assert(below != NULL);
		layer = *below;
		layer.pNext = NULL;
		layer.zName = "certloop";
		layer.szOsFile += (int)real_offset();
		layer.xOpen = log_open;
		if (sqlite3_vfs_register(&layer, 0) != SQLITE_OK)
			abort();
	}
	return layer.zName;
}

/* Not for ROLLBACK TO, after which the transaction goes on. */
static void
on_rollback(void *arg)
{
	sqlite3_file *f = NULL;

	if (sqlite3_file_control(arg, "main", SQLITE_FCNTL_JOURNAL_POINTER,
		&f) == SQLITE_OK &&
	    f != NULL && f->pMethods == &log_methods)
		forget(log_of(f));
}

void
lite_log_watch(sqlite3 *db)
{
	(void)sqlite3_rollback_hook(db, on_rollback, db);
}
