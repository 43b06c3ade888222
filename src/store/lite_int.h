/* SPDX-License-Identifier: ISC */
/* What the files of the SQLite driver share. */
#ifndef STORE_LITE_INT_H
#define STORE_LITE_INT_H

#include <sqlite3.h>

#include "store/store_int.h"

/* Transactions of the driver's own, prepared once. */
enum lite_step {
	LITE_BEGIN_READ,
	LITE_BEGIN,
	LITE_COMMIT,
	LITE_ROLLBACK,
	LITE_SAVEPOINT,
	LITE_RELEASE,
	LITE_UNDO, /* of the savepoint */
	LITE_STEPS
};

/* An open database and the lock beside it. */
struct lite_db {
	sqlite3 *db;
	int lock;    /* fd; -1: none */
	int64_t now; /* what now_us() says in this statement */
};

struct lite {
	struct store store;
	struct lite_db db;
	sqlite3_stmt *steps[LITE_STEPS];
	sqlite3_stmt **stmts; /* by enum sql; prepared at first use */
	struct batch_list reads, writes;
	struct turn_hook hook;
	struct deferred next; /* asks for the hook in the next turn */
	struct timer again;   /* the database was busy: asks for the hook */
	bool ill;             /* the last commit failed */
	unsigned early;       /* planted-commit: turns */
	int error;            /* the newest error of SQLite, */
	char cause[256];      /* and what it said then */
};

/* ---- lite_open.c */

/*
 * Take the lock, open (make) the database, set it up. d->db is NULL and d->lock
 * -1 afterwards if it failed; *why then says why. d must stay where it is.
 */
bool lite_open(struct lite_db *d, const char *url, struct arena *,
    const char **why);
void lite_close(struct lite_db *d);

/* store_prepare. */
bool lite_prepare(struct arena *, const struct store_options *,
    enum store_migrate, const char **why);

/* ---- lite_log.c */

/*
 * The name of a layer over the one that SQLite uses by itself; it gathers what
 * is written to a write-ahead log. It does not go away.
 */
const char *lite_log_layer(void);

/* What rolled back there is forgotten. For each database opened with it. */
void lite_log_watch(sqlite3 *);

/* ---- lite_run.c */

/*
 * Run all statements of b; the caller has begun a transaction. False: b has a
 * note of what is wrong, and must be undone.
 */
bool lite_run_batch(struct lite *, struct batch *b);

/* Run one of the driver's own; an SQLite result code. */
int lite_run_step(struct lite *, enum lite_step);

/* Keep SQLite's newest error for the log; returns rc. */
int lite_keep_error(struct lite *, int rc);

/* Finalize all statements. */
void lite_forget_stmts(struct lite *);

/* Is nothing written after this error, but another time it may be? */
bool lite_is_passing(int rc);

size_t lite_nrows(const struct batch_stmt *);
uint64_t lite_affected(const struct batch_stmt *);
bool lite_is_null(const struct batch_stmt *, size_t row, unsigned col);
struct str lite_get_str(const struct batch_stmt *, size_t row, unsigned col);
int64_t lite_get_int(const struct batch_stmt *, size_t row, unsigned col);
void lite_clear(struct batch_stmt *);

#endif
