/* SPDX-License-Identifier: ISC */
/*
 * The store: batches of named, prepared statements. A batch is the unit of
 * work: all its statements go out in one flight and commit or fail as one.
 * Two drivers stand behind this header, PostgreSQL (libpq pipelines) and
 * SQLite; one SQL text (store/sql) serves both, and so does one test suite.
 *
 * A batch under way outlives its task: if the task ends, the batch is still
 * committed or not as a whole, and nobody is told.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "store/sql_gen.h" /* enum sql, and the column enums */

struct store;
struct batch;
struct sql_catalog;

enum store_status {
	STORE_OK,
	STORE_LOST,     /* a guard found no row: nothing was written */
	STORE_CONFLICT, /* a unique key exists: nothing was written */
	STORE_BUSY,     /* the queue is full: refused at once, not written */
	STORE_DOWN,     /* no connection, lock or room: nothing was written */
	STORE_UNKNOWN,  /* the connection died in flight: written or not */
	STORE_ERROR,    /* any other error: nothing was written */
	STORE_STATUS_COUNT,
};

/* What became of a batch. Lives until the callback returns. */
struct store_result {
	enum store_status status;
	/* NULL for OK, LOST and CONFLICT; else what a client may be told:
	 * UNAVAILABLE with Retry-After (BUSY, DOWN, UNKNOWN) or SERVER */
	const struct problem *problem;
	unsigned failed; /* index of the statement that lost or failed */
	const struct store_rows *rows; /* private to the driver */
};

typedef enum step store_fn(void *arg, const struct store_result *);

struct store_options {
	/* "sqlite:PATH", or a libpq connection string or URI */
	const char *url;
	unsigned connections;      /* pg: writers, default 4 */
	unsigned read_connections; /* pg: read-only batches, default 2 */
	unsigned queue_max;        /* batches waiting or in flight, 4096 */
	/*
	 * usec after which a batch is answered, default 5 s. What has waited
	 * for half of it is not sent any more and ends STORE_DOWN.
	 */
	int64_t deadline;
	const struct sql_catalog *catalog; /* NULL: ours; tests have others */
};

/* ---- before the loop runs: these may block */

/*
 * Bring the schema up to date (migrate), or only check that this binary can
 * live with it. On failure *why (in the arena) says what is wrong: cannot
 * reach it, no permission, schema too new, schema too old and auto_migrate
 * off, database is a standby.
 */
enum store_migrate { STORE_CHECK_ONLY, STORE_MIGRATE };
bool store_prepare(struct arena *, const struct store_options *,
    enum store_migrate, const char **why);

/* A store on the loop. Connections come up by themselves. NULL: see *why. */
struct store *store_new(struct loop *, const struct store_options *,
    struct arena *, const char **why);

/*
 * Close the connections. Batches that are under way end without a callback;
 * whoever wants them done waits until store_depth is 0. NULL is fine.
 */
void store_free(struct store *);

/* "sqlite" or "postgresql". */
const char *store_engine(const struct store *);

/* The newest schema version that this program knows. */
unsigned store_schema_version(const struct store *);

/* Can a batch be expected to succeed now? For readiness. */
bool store_is_ready(const struct store *);

/* Batches sent by the caller and not yet decided. */
unsigned store_depth(const struct store *);

/* ---- batches */

/*
 * A new, empty batch of t; to be sent or dropped before the step returns.
 * `key` is the id of the row that the batch locks first (usually the account):
 * groups are sorted by it, and one key always goes to one connection. Empty:
 * no such row. All memory of the batch is its own; the key is copied.
 */
struct batch *store_new_batch(struct store *, struct task *t, struct str key);

/* Add a statement; returns its index in the batch. Arguments follow in order. */
unsigned store_add(struct batch *, enum sql);

/*
 * The next argument of the newest statement. The type must be the declared one
 * (asserted). Bytes are copied. A str whose p is NULL (STR_NONE) is null. Text
 * that is not UTF-8 or holds NUL is not sent: the batch ends STORE_ERROR.
 */
void store_str(struct batch *, struct str);
void store_blob(struct batch *, struct str);
void store_int(struct batch *, int64_t); /* also "time": microseconds */
void store_null(struct batch *);

/*
 * The newest statement is a guard: if it returns no row, the whole batch is
 * undone and ends STORE_LOST. So a guard that writes has a RETURNING clause
 * (asserted), and returns the rows that it touched.
 */
void store_require(struct batch *);

/*
 * Send it. Always returns STEP_WAITING; fn(arg, result) is called later from
 * the top of the loop, unless the task ends first. fn's return value is its
 * task's step (ignored by the store). It goes out at the end of this turn,
 * with what else the turn sent.
 *
 * A batch without any writing statement is read-only: it may use a connection
 * of its own, sees what was confirmed before it was sent (but nothing of what
 * is sent beside it), and is sent again if the connection dies. Statements see
 * each what is committed when they begin (READ COMMITTED).
 */
enum step store_send_batch(struct batch *, store_fn *fn, void *arg);

/* A batch that is not going to be sent. */
void store_drop_batch(struct batch *);

/* Why it was not STORE_OK, in words for the log. Lives as long as the result. */
const char *store_cause(const struct store_result *);

/*
 * ---- results: by index of the statement, row, and column enum
 *
 * Only while the status is STORE_OK; row and column must exist, and the type
 * of the column must fit (asserted). What is returned lives as long as the
 * result.
 */
size_t store_nrows(const struct store_result *, unsigned stmt);
/* Rows that the statement inserted, updated, deleted, or returned if it is a
 * SELECT. */
uint64_t store_affected(const struct store_result *, unsigned stmt);
bool store_is_null(const struct store_result *, unsigned stmt, size_t row,
    unsigned col);
/* Text or blob; STR_NONE if null. */
struct str store_get_str(const struct store_result *, unsigned stmt, size_t row,
    unsigned col);
/* 0 if null. */
int64_t store_get_int(const struct store_result *, unsigned stmt, size_t row,
    unsigned col);

#endif
