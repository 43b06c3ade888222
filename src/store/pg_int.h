/* SPDX-License-Identifier: ISC */
/*
 * What the files of the PostgreSQL driver share.
 *
 *	pg.c		queues, the end of the turn, deadlines
 *	pg_conn.c	one connection: comes up, breaks, comes up again
 *	pg_send.c	batches onto the wire: alone, or in a group
 *	pg_read.c	results off the wire, outcomes, rows
 *	pg_url.c	connection parameters, and where its hosts are
 *	pg_prepare.c	store_prepare: checks and migrations, may block
 *
 * On the wire everything is a pipeline. A statement is prepared on a connection
 * the first time it is used there. What is committed together is a unit:
 *
 * alone	a batch and one Sync. PostgreSQL makes that one implicit
 *		transaction, committed when the Sync is answered.
 * plain	several batches and one Sync: one commit, one fsync, and the
 *		least work for both sides. If anything in it fails nothing of
 *		it was done, and its members are sent again in a
 * bracket	where a failing member does not take the others with it:
 *
 *	BEGIN; set lock_timeout; SAVEPOINT s;
 *	{ statements; RELEASE s; SAVEPOINT s; Sync; ROLLBACK TO s; } a member
 *	COMMIT; Sync
 *
 * Inside a transaction a Sync only ends the skipping that follows an error. If
 * a member fails, its RELEASE and SAVEPOINT are skipped and ROLLBACK TO undoes
 * it; if not, ROLLBACK TO undoes nothing, for the savepoint is new. After a
 * plain unit has failed its connection uses brackets for a while.
 *
 * No member is told anything before the commit is confirmed, not even that its
 * guard was lost: it may have lost to a member that is not committed.
 *
 * A unit keeps the locks of all its members until it commits, so two units
 * that lock the same rows in different orders get in each other's way, though
 * no two batches do. Keys keep that from happening where rows belong to one
 * key. Where it happens all the same a member waits for a short time only and
 * is then tried again alone; and if one unit meets it twice its connection
 * sends batches alone for a while.
 */
#ifndef STORE_PG_INT_H
#define STORE_PG_INT_H

#include <libpq-fe.h>

#include "loop/lookup.h"
#include "store/store_int.h"

enum {
	PG_GROUP_MAX = 32,  /* batches to one commit */
	PG_READ_MAX = 16,   /* read-only batches to one Sync */
	PG_READ_DEPTH = 4,  /* units in flight on a connection that reads */
	PG_PARAMS_MAX = 64, /* of a connection string */
	PG_NAMES_MAX = 16,  /* hosts in it that are names */
	PG_SERVER_MIN = 140000,
	PG_TROUBLE_TIME = 1000 * 1000, /* usec that it is remembered for */
	PG_PATIENCE_PART = 100, /* of the deadline a member waits for a lock */
};

/* The driver's own statements, numbered behind those of the catalog. */
enum pg_own {
	PG_BEGIN,
	PG_PATIENCE,
	PG_SAVEPOINT,
	PG_RELEASE,
	PG_UNDO,
	PG_COMMIT,
	PG_OWN
};

/* What the next result on a connection belongs to. */
enum pg_expect_kind {
	EXPECT_PREPARE,      /* n: slot of the statement; b: who wanted it */
	EXPECT_PREPARE_SYNC, /* the Sync behind it */
	EXPECT_STMT,         /* n: index in batch b */
	EXPECT_OWN,          /* n: enum pg_own */
	EXPECT_MEMBER_SYNC,  /* end of one member of a group */
	EXPECT_SYNC,         /* end of a batch alone, or of a group */
};

struct pg_expect {
	enum pg_expect_kind kind;
	unsigned n;
	struct batch *b;
};

enum pg_state {
	PG_OFF,        /* waits for its timer, then connects */
	PG_CONNECTING, /* PQconnectPoll goes on when its event fires */
	PG_UP,         /* in pipeline mode */
};

struct pg_conn {
	struct pg *pg;
	enum pg_state state;
	bool stale;   /* reconnect as soon as nothing is in flight */
	bool refused; /* the unit whose end we wait for did not commit */
	PGconn *conn;
	struct event rd, wr; /* CONNECTING: rd is the one event */
	struct timer timer;  /* OFF: try again. CONNECTING: give up. */
	unsigned failures;   /* in a row, for the backoff */
	unsigned turn;       /* the host that was asked first */

	struct batch_list waiting; /* writers only */
	struct batch_list sent;    /* in the order of their results */
	unsigned units;            /* in flight */
	int64_t alone_until;       /* no groups before this moment */
	int64_t bracket_until;     /* no plain units */
	unsigned waited; /* members of this unit that gave up a lock */

	struct pg_expect *expect; /* a ring */
	size_t first, n, room;
	bool *prepared; /* by slot */
	char why[256];  /* what the server said at the end */
};

struct pg {
	struct store store;
	struct pg_params *params;
	struct arena *arena;  /* of params */
	struct arena *places; /* of where its hosts are by now; or NULL */
	struct lookup lookup;
	struct pg_conn *conns;
	unsigned nconns, nwriters; /* writers first */
	struct batch_list reads;   /* waiting for any reader */
	struct turn_hook hook;
	struct timer tick; /* looks for what is late */
	unsigned next;     /* writer of the next batch without a key */
	unsigned turn;     /* of the hosts, the one to ask first */
	bool troubled;     /* a failure to connect was logged */
};

/* ---- pg_url.c */

/* NULL-terminated arrays for PQconnectStartParams. */
struct pg_params {
	const char *keys[PG_PARAMS_MAX + 1];
	const char *values[PG_PARAMS_MAX + 1];
	unsigned n;
	struct str hosts, ports; /* as given; empty: there are no names */
	const char *names[PG_NAMES_MAX];
	unsigned nnames;
	struct lookup_found *found; /* where they were at the start */
	size_t nfound;
};

/*
 * From a connection string or URI: names resolved (may block), our settings
 * added. deadline is the store's: the timeouts of a session lie below it; 0 for
 * a session that migrates. On failure *why.
 */
struct pg_params *pg_params_new(struct arena *, const char *url,
    int64_t deadline, const char **why);
/*
 * The names have these addresses by now. What it keeps is in the arena; false:
 * none of them has any, or there are too many, and nothing was changed.
 */
bool pg_params_move(struct pg_params *, struct arena *,
    const struct lookup_found *, size_t n);
const char *pg_get_param(const struct pg_params *, const char *key);

/*
 * The values (the first n and a NULL) with the hosts in another order: turn of
 * them, from the front, go behind the others. In the arena.
 */
void pg_params_turn(const struct pg_params *, unsigned turn, struct arena *,
    const char *values[PG_PARAMS_MAX + 1]);
void pg_set_param(struct pg_params *, const char *key, const char *value);

/* The text of an error on one line, in the arena. */
const char *pg_error(struct arena *, const char *);

/* ---- pg_prepare.c */
bool pg_prepare(struct arena *, const struct store_options *,
    enum store_migrate, const char **why);

/* ---- pg.c */

/* There is something to send, or room to send it. */
void pg_wake(struct pg *);

/* Let b (in no queue) wait again, by its age. */
void pg_requeue(struct pg *, struct batch *b);

/*
 * Let b wait again, behind all others and to be sent alone; or end it, if it
 * was sent alone twice.
 */
void pg_try_again(struct pg *, struct batch *b);

/* ---- pg_conn.c */
void pg_conn_init(struct pg_conn *, struct pg *);
void pg_conn_release(struct pg_conn *);

/* Begin to connect. */
void pg_conn_start(struct pg_conn *);

/*
 * The connection is of no use any more. What is in flight is unknown, or
 * waits again if it only reads. A new one is tried soon.
 */
void pg_conn_drop(struct pg_conn *, const char *why);

/* Send what libpq has gathered; the rest goes when the socket takes it. */
void pg_conn_flush(struct pg_conn *);

/* Numbers in c->prepared: statements, guards, our own. */
unsigned pg_nslots(const struct pg *);

/* Add to the ring of what is expected. */

void pg_expect(struct pg_conn *, enum pg_expect_kind, unsigned n,
    struct batch *);

/* ---- pg_send.c */

/* Where c->prepared has this statement. */
unsigned pg_slot(const struct pg_conn *, const struct batch *,
    const struct batch_stmt *);

unsigned pg_own_slot(const struct pg_conn *, enum pg_own);

enum pg_unit { PG_ALONE, PG_PLAIN, PG_BRACKET };

/* Queue a unit of n batches in libpq. False: drop the connection. */
bool pg_send_unit(struct pg_conn *, enum pg_unit, struct batch **, unsigned n);

/* ---- pg_read.c */

/* Take every result that is here. False: drop the connection, see *why. */
bool pg_read(struct pg_conn *, const char **why);

size_t pg_nrows(const struct batch_stmt *);
uint64_t pg_affected(const struct batch_stmt *);
bool pg_is_null(const struct batch_stmt *, size_t row, unsigned col);
struct str pg_get_str(const struct batch_stmt *, size_t row, unsigned col);
int64_t pg_get_int(const struct batch_stmt *, size_t row, unsigned col);
void pg_clear(struct batch_stmt *);

#endif
