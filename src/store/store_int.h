/* SPDX-License-Identifier: ISC */
/*
 * What the files of the store share: the catalog that scripts/sqlgen makes,
 * the batch, and the face of a driver.
 *
 * Life of a batch: BUILDING while the caller adds to it; WAITING in a queue of
 * the driver; SENT when its outcome is in the hands of the database; DONE when
 * it is decided and its callback is deferred. The driver moves it from WAITING
 * to SENT (and back, to try again) and ends it with batch_finish, once. It may
 * lose its task at any moment (batch->task is NULL then); only batch.c cares.
 */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/arena.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "store/store.h"

enum sql_dialect { DIALECT_PG, DIALECT_LITE, DIALECT_COUNT };

enum { SQL_ARGS_MAX = 40, BATCH_STMTS_MAX = 4096 };

struct sql_stmt {
	const char *name; /* of the prepared statement */
	/* one letter an argument: t(ext), i(nt, time), b(lob) */
	const char *args;
	const char *cols; /* names, comma between */
	unsigned nargs, ncols;
	bool read_only;
	const char *text[DIALECT_COUNT];
};

struct sql_migration {
	unsigned version; /* 1, 2, ... */
	unsigned oldest;  /* schema version a binary must know at least */
	const char *name;
	const char *text[DIALECT_COUNT];
};

/* The daemon has one, sql_catalog; tests have others. */
struct sql_catalog {
	const struct sql_stmt *stmts; /* by enum sql */
	unsigned nstmts;
	const struct sql_migration *migrations; /* by version - 1 */
	unsigned nmigrations;
};

extern const struct sql_catalog sql_catalog;

/* The text to prepare: that of the statement (planted.c). */
const char *store_text(const struct sql_stmt *, enum sql_dialect);

/* ---- batches */
struct batch_arg {
	bool null;
	struct str str; /* text, blob */
	int64_t num;    /* int, time */
};

struct batch_stmt {
	const struct sql_stmt *def;
	unsigned sql; /* index in the catalog */
	bool guard;
	unsigned nargs; /* given so far */
	struct batch_arg *args;
	void *rows; /* the driver's: PGresult, struct lite_rows */
};

enum batch_state { BATCH_BUILDING, BATCH_WAITING, BATCH_SENT, BATCH_DONE };

/* What store_result.rows points to. */
struct store_rows {
	const struct store_driver *driver;
	const struct batch_stmt *stmts;
	unsigned n;
};

struct batch {
	TAILQ_ENTRY(batch) entry; /* in a queue of the driver */
	struct op op;
	struct store *store;
	struct task *task; /* NULL: ended, tell nobody */
	struct arena *arena;
	enum batch_state state;
	bool read_only;
	const char *bad; /* must not be sent: why */
	struct str key;
	struct batch_stmt *stmts;
	unsigned nstmts, room;
	store_fn *fn;
	void *arg;

	int64_t sent;       /* moment of store_send_batch, of loop_mono */
	int64_t send_until; /* not sent after this */
	int64_t deadline;   /* in flight until this */
	uint64_t seq;       /* of store_send_batch */

	/* the driver's */
	struct pg_conn *home; /* where it waits, if it writes */
	unsigned tries;       /* times that it was sent alone in vain */
	bool alone;           /* not in a group */
	bool bracket;         /* not in a plain group */
	bool plain;           /* is in one */
	bool last;            /* closes its group */
	bool skipped; /* a statement was not run as another one failed */
	enum store_status verdict; /* STORE_OK: no complaint so far */
	bool again;                /* worth another try */
	const char *cause;
	unsigned failed;

	struct deferred done;
	struct store_result result;
	struct store_rows rows;
};

TAILQ_HEAD(batch_list, batch);

/*
 * Decided: the callback runs from the top of the loop, or the batch is freed
 * if nobody waits for it. cause is copied; NULL for OK, LOST and CONFLICT. The
 * batch must be in no queue any more.
 */
void batch_finish(struct batch *, enum store_status, const char *cause);

/* Finish, with what the driver noted in verdict and cause. */
void batch_finish_noted(struct batch *);

/*
 * Note the first complaint about a batch: statement, verdict and reason (is
 * copied). Later ones follow from it and are dropped.
 */
void batch_note(struct batch *, unsigned stmt, enum store_status,
    const char *cause);

/* Forget results and complaints: to be tried again. */
void batch_reset(struct batch *);

/* End a batch that is WAITING or SENT without a callback. */
void batch_abandon(struct batch *);

/* The same for all that are DONE. */
void batch_abandon_done(struct store *);

/* ---- drivers */
struct store {
	const struct store_driver *driver;
	const struct sql_catalog *catalog;
	struct loop *loop;
	unsigned queue_max;
	unsigned depth;         /* batches WAITING or SENT */
	struct batch_list done; /* DONE, callback deferred */
	int64_t deadline;
	uint64_t seq;
	struct metrics_child *outcomes[STORE_STATUS_COUNT];
};

struct store_driver {
	const char *name;
	enum sql_dialect dialect;

	bool (*prepare)(struct arena *, const struct store_options *,
	    enum store_migrate, const char **why);
	struct store *(*open)(struct loop *, const struct store_options *,
	    struct arena *, const char **why);
	void (*close)(struct store *);
	bool (*is_ready)(const struct store *);

	/* Take b (WAITING) into a queue. */
	void (*send)(struct store *, struct batch *b);
	/* b is WAITING and nobody is interested: out of the queue. */
	void (*forget)(struct store *, struct batch *b);

	size_t (*nrows)(const struct batch_stmt *);
	uint64_t (*affected)(const struct batch_stmt *);
	bool (*is_null)(const struct batch_stmt *, size_t row, unsigned col);
	struct str (
	    *get_str)(const struct batch_stmt *, size_t row, unsigned col);
	int64_t (*get_int)(const struct batch_stmt *, size_t row, unsigned col);
	/* Free the rows. */
	void (*clear)(struct batch_stmt *);
};

extern const struct store_driver store_pg, store_lite;

/* The options with defaults filled in. */
struct store_options store_defaults(const struct store_options *);

/* What a driver of this store begins as. */
void store_init(struct store *, const struct store_driver *, struct loop *,
    const struct store_options *);

/* ---- migrations */

/* One row of the table schema_versions. */
struct schema_version {
	unsigned version, oldest;
};

/*
 * How the catalog and the database get on: how many of the catalog's
 * migrations are still to be run. On failure *why says why this program
 * cannot live with this database.
 */
bool migrate_judge(struct arena *, const struct sql_catalog *,
    const struct schema_version *, size_t n, enum store_migrate,
    unsigned *first, const char **why);

/* Makes the table schema_versions, if it is not there. */
extern const char migrate_table[];

/* Where a row of schema_versions is inserted: its text, in the arena. */
const char *migrate_record(struct arena *, const struct sql_migration *);

#endif
