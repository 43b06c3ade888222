/* SPDX-License-Identifier: ISC */
/*
 * The SQLite driver. One connection, WAL, synchronous=FULL. At the end of a
 * turn all batches that the turn has sent are run: those that only read in one
 * read transaction, those that write between one BEGIN IMMEDIATE and COMMIT
 * with a savepoint each, so that one fsync makes all of them durable. Answers
 * leave from the top of the next turn, after the commit.
 *
 * The commit blocks the loop while the disk syncs: the one exception that the
 * embedded engine is worth (a turn runs TURN_MAX batches at most). Nothing
 * else waits here: when another process holds the write lock (a backup by
 * sqlite3(1), say; a second daemon is kept out by the lock file) the batches
 * stay in the queue and are tried again in a few milliseconds.
 */
#include <stdlib.h>

#include "base/fault.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "store/lite_int.h"

enum { TURN_MAX = 256, BUSY_WAIT = 5000 /* usec */ };

static void run_turn(void *);
static void run_reads(struct lite *);
static void run_writes(struct lite *);
static void ask_for_turn(void *);

static void
lite_free(struct store *st)
{
	struct lite *l = (struct lite *)st;
	struct batch *b;

	while ((b = TAILQ_FIRST(&l->reads)) != NULL) {
		TAILQ_REMOVE(&l->reads, b, entry);
		batch_abandon(b);
	}
	while ((b = TAILQ_FIRST(&l->writes)) != NULL) {
		TAILQ_REMOVE(&l->writes, b, entry);
		batch_abandon(b);
	}
	loop_forget_hook(st->loop, &l->hook);
	loop_undefer(st->loop, &l->next);
	timer_stop(&l->again);
	lite_forget_stmts(l);
	lite_close(&l->db);
	free(l->stmts);
	free(l);
}

static struct store *
lite_new(struct loop *loop, const struct store_options *o, struct arena *a,
    const char **why)
{
	struct lite *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	if (!lite_open(&l->db, o->url, a, why)) {
		free(l);
		return NULL;
	}
	store_init(&l->store, &store_lite, loop, o);
	l->stmts = calloc((size_t)o->catalog->nstmts + 1, sizeof(*l->stmts));
	if (l->stmts == NULL)
		abort();
	TAILQ_INIT(&l->reads);
	TAILQ_INIT(&l->writes);
	l->hook = (struct turn_hook){ .fn = run_turn, .arg = l };
	deferred_init(&l->next, ask_for_turn, l);
	timer_init(&l->again, loop, ask_for_turn, l);
	return &l->store;
}

static bool
lite_is_ready(const struct store *st)
{
	return !((const struct lite *)st)->ill;
}

static void
lite_send(struct store *st, struct batch *b)
{
	struct lite *l = (struct lite *)st;

	TAILQ_INSERT_TAIL(b->read_only ? &l->reads : &l->writes, b, entry);
	if (!timer_is_running(&l->again))
		loop_at_turn_end(st->loop, &l->hook);
}

static void
lite_forget(struct store *st, struct batch *b)
{
	struct lite *l = (struct lite *)st;

	TAILQ_REMOVE(b->read_only ? &l->reads : &l->writes, b, entry);
}

/* From the top of a turn, so that the hook runs at its end. */
static void
ask_for_turn(void *arg)
{
	struct lite *l = arg;

	loop_at_turn_end(l->store.loop, &l->hook);
}

static void
run_turn(void *arg)
{
	struct lite *l = arg;

	run_reads(l);
	run_writes(l);
	if (timer_is_running(&l->again))
		return;
	if (!TAILQ_EMPTY(&l->reads) || !TAILQ_EMPTY(&l->writes))
		loop_defer(l->store.loop, &l->next);
}

/* The next batch of a queue, now in our hands. */
static struct batch *
take(struct batch_list *queue)
{
	struct batch *b = TAILQ_FIRST(queue);

	if (b != NULL) {
		TAILQ_REMOVE(queue, b, entry);
		b->state = BATCH_SENT;
	}
	return b;
}

static void
run_reads(struct lite *l)
{
	bool open = !TAILQ_EMPTY(&l->reads) &&
	    lite_run_step(l, LITE_BEGIN_READ) == SQLITE_OK;
	struct batch *b;

	for (unsigned n = 0; n < TURN_MAX; n++) {
		if ((b = take(&l->reads)) == NULL)
			break;
		(void)lite_run_batch(l, b);
		batch_finish_noted(b);
	}
	if (open && sqlite3_get_autocommit(l->db.db) == 0)
		(void)lite_run_step(l, LITE_COMMIT);
}

/* Another process writes: look again soon, and give up those that are late. */
static void
wait_for_lock(struct lite *l)
{
	int64_t now = loop_mono(l->store.loop);
	struct batch *b;

	while ((b = TAILQ_FIRST(&l->writes)) != NULL && now >= b->send_until)
		batch_finish(take(&l->writes), STORE_DOWN,
		    "the database is locked by another process");
	if (!TAILQ_EMPTY(&l->writes))
		timer_start(&l->again, BUSY_WAIT);
}

/* Nothing of these was written, or (UNKNOWN) perhaps all of it. */
static void
fail_all(struct lite *l, struct batch_list *list, enum store_status st)
{
	struct batch *b;

	if (!l->ill)
		log_error("while writing to the database",
		    LOG_TEXT("cause", l->cause));
	l->ill = true;
	while ((b = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, b, entry);
		batch_finish(b, st, l->cause);
	}
}

static void
answer_all(struct batch_list *list)
{
	struct batch *b;

	while ((b = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, b, entry);
		batch_finish_noted(b);
	}
}

/*
 * One member of the open transaction. False: the transaction is gone and
 * everything in it, as SQLite does after some errors (disk full).
 */
static bool
run_member(struct lite *l, struct batch *b)
{
	int rc = lite_run_step(l, LITE_SAVEPOINT);

	if (rc == SQLITE_OK && lite_run_batch(l, b)) {
		rc = lite_run_step(l, LITE_RELEASE);
	} else if (rc == SQLITE_OK && sqlite3_get_autocommit(l->db.db) == 0) {
		if ((rc = lite_run_step(l, LITE_UNDO)) == SQLITE_OK)
			rc = lite_run_step(l, LITE_RELEASE);
	}
	return rc == SQLITE_OK && sqlite3_get_autocommit(l->db.db) == 0;
}

/* Planted: the commit comes some turns after the answers. */
static bool
answers_early(struct lite *l)
{
	return PLANTED("planted-commit") && ++l->early % 8 != 0;
}

/*
 * A commit that failed for lack of room wrote no commit record. After an I/O
 * error (of the sync, most likely) the record may stand in the log and count
 * after a crash: nobody knows.
 */
static void
end_writes(struct lite *l, struct batch_list *ran, bool intact)
{
	enum store_status st = intact ? STORE_UNKNOWN : STORE_ERROR;

	if (intact &&
	    (answers_early(l) || lite_run_step(l, LITE_COMMIT) == SQLITE_OK)) {
		if (l->ill)
			log_info("the database takes writes again");
		l->ill = false;
		metrics_add(METRIC_store_commits, 1);
		answer_all(ran);
		return;
	}
	if (lite_is_passing(l->error))
		st = STORE_DOWN;
	fail_all(l, ran, st);
	if (sqlite3_get_autocommit(l->db.db) == 0)
		(void)lite_run_step(l, LITE_ROLLBACK);
}

static void
run_writes(struct lite *l)
{
	struct batch_list ran = TAILQ_HEAD_INITIALIZER(ran);
	bool intact = true;
	struct batch *b;
	int rc;

	if (TAILQ_EMPTY(&l->writes))
		return;
	rc = PLANTED("planted-commit") && !sqlite3_get_autocommit(l->db.db) ?
	    SQLITE_OK :
	    lite_run_step(l, LITE_BEGIN);
	if ((rc & 0xff) == SQLITE_BUSY) {
		wait_for_lock(l);
		return;
	}
	if (rc != SQLITE_OK)
		intact = false;
	for (unsigned n = 0; n < TURN_MAX && (n == 0 || intact); n++) {
		if ((b = take(&l->writes)) == NULL)
			break;
		TAILQ_INSERT_TAIL(&ran, b, entry);
		if (intact)
			intact = run_member(l, b);
	}
	end_writes(l, &ran, intact);
}

const struct store_driver store_lite = {
	.name = "sqlite",
	.dialect = DIALECT_LITE,
	.prepare = lite_prepare,
	.open = lite_new,
	.close = lite_free,
	.is_ready = lite_is_ready,
	.send = lite_send,
	.forget = lite_forget,
	.nrows = lite_nrows,
	.affected = lite_affected,
	.is_null = lite_is_null,
	.get_str = lite_get_str,
	.get_int = lite_get_int,
	.clear = lite_clear,
};
