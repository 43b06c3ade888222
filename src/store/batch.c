/* SPDX-License-Identifier: ISC */
/*
 * Building a batch, and its end. What a batch holds is a copy: its task and
 * the task's arena may be gone before the database has seen it.
 */
#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "store/store_int.h"

#define BATCH_OF_OP(op)                                                        \
	((struct batch *)(void *)((char *)(op)-offsetof(struct batch, op)))

static void batch_detach(struct op *);
static void batch_answer(void *);
static void batch_free(struct batch *);

struct batch *
store_new_batch(struct store *st, struct task *t, struct str key)
{
	struct arena *a = arena_create();
	struct batch *b = arena_new(a, struct batch);

	b->arena = a;
	b->store = st;
	b->task = t;
	b->state = BATCH_BUILDING;
	b->read_only = true;
	b->key = str_dup(a, key);
	b->op.detach = batch_detach;
	b->room = 8;
	b->stmts = arena_array(a, struct batch_stmt, b->room);
	deferred_init(&b->done, batch_answer, b);
	return b;
}

unsigned
store_add(struct batch *b, enum sql sql)
{
	const struct sql_catalog *cat = b->store->catalog;
	struct batch_stmt *s, *old = b->stmts;

	assert(b->state == BATCH_BUILDING && (unsigned)sql < cat->nstmts);
	assert(b->nstmts == 0 ||
	    old[b->nstmts - 1].nargs == old[b->nstmts - 1].def->nargs);
	if (b->nstmts == BATCH_STMTS_MAX) {
		b->bad = "too many statements";
		b->nstmts = 0;
	}
	if (b->nstmts == b->room) {
		b->stmts = arena_array(b->arena, struct batch_stmt,
		    2 * (size_t)b->room);
		memcpy(b->stmts, old, b->room * sizeof(*old));
		b->room *= 2;
	}
	s = &b->stmts[b->nstmts];
	*s = (struct batch_stmt){ .def = &cat->stmts[sql], .sql = sql };
	s->args = arena_array(b->arena, struct batch_arg, s->def->nargs);
	if (!s->def->read_only)
		b->read_only = false;
	return b->nstmts++;
}

/* The next argument of the newest statement, of type t, i, b or 0 (null). */
static struct batch_arg *
next_arg(struct batch *b, char type)
{
	struct batch_stmt *s;

	assert(b->state == BATCH_BUILDING && b->nstmts > 0);
	s = &b->stmts[b->nstmts - 1];
	assert(s->nargs < s->def->nargs);
	assert(type == 0 || s->def->args[s->nargs] == type);
	return &s->args[s->nargs++];
}

void
store_str(struct batch *b, struct str s)
{
	struct batch_arg *arg = next_arg(b, 't');

	if (s.p == NULL) {
		arg->null = true;
		return;
	}
	if (!str_is_text(s))
		b->bad = "text that is not UTF-8 or holds NUL";
	arg->str = str_dup(b->arena, s);
}

void
store_blob(struct batch *b, struct str s)
{
	struct batch_arg *arg = next_arg(b, 'b');

	if (s.p == NULL)
		arg->null = true;
	else
		arg->str = str_dup(b->arena, s);
}

void
store_int(struct batch *b, int64_t n)
{
	next_arg(b, 'i')->num = n;
}

void
store_null(struct batch *b)
{
	next_arg(b, 0)->null = true;
}

void
store_require(struct batch *b)
{
	assert(b->state == BATCH_BUILDING && b->nstmts > 0);
	assert(b->stmts[b->nstmts - 1].def->ncols > 0);
	b->stmts[b->nstmts - 1].guard = true;
}

/* Is it not to be sent at all? */
static bool
fails_unsent(struct batch *b)
{
	const struct store *st = b->store;

	if (b->bad != NULL)
		batch_finish(b, STORE_ERROR, b->bad);
	else if (st->depth > st->queue_max || FAILS("failing-store-busy"))
		batch_finish(b, STORE_BUSY, "the store's queue is full");
	else if (FAILS("failing-store-down"))
		batch_finish(b, STORE_DOWN, "no connection in time");
	else if (FAILS("failing-store-error"))
		batch_finish(b, STORE_ERROR, "it was made to fail");
	else
		return false;
	return true;
}

enum step
store_send_batch(struct batch *b, store_fn *fn, void *arg)
{
	struct store *st = b->store;

	FAULT("a batch before it is sent");
	assert(b->state == BATCH_BUILDING && b->nstmts > 0);
	assert(b->stmts[b->nstmts - 1].nargs ==
	    b->stmts[b->nstmts - 1].def->nargs);
	b->fn = fn;
	b->arg = arg;
	b->state = BATCH_WAITING;
	b->seq = st->seq++;
	b->sent = loop_mono(st->loop);
	b->send_until = b->sent + st->deadline / 2;
	b->deadline = b->sent + st->deadline;
	task_wait(b->task, &b->op);
	st->depth++;
	if (!fails_unsent(b))
		st->driver->send(st, b);
	return STEP_WAITING;
}

void
store_drop_batch(struct batch *b)
{
	assert(b->state == BATCH_BUILDING);
	batch_free(b);
}

static void
forget_done(struct batch *b)
{
	TAILQ_REMOVE(&b->store->done, b, entry);
	loop_undefer(b->store->loop, &b->done);
	batch_free(b);
}

/* The task has ended: tell nobody. What was only to be read need not be. */
static void
batch_detach(struct op *op)
{
	struct batch *b = BATCH_OF_OP(op);

	b->task = NULL;
	if (b->state == BATCH_DONE) {
		forget_done(b);
	} else if (b->state == BATCH_WAITING && b->read_only) {
		b->store->driver->forget(b->store, b);
		batch_abandon(b);
	}
}

/* The loop's clock stands still during a turn, and SQLite works within one. */
static void
measure(const struct batch *b, enum store_status status)
{
	struct timespec ts;
	int64_t now;

	metrics_child_add(b->store->outcomes[status], 1);
	if (status == STORE_BUSY)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (int64_t)ts.tv_sec * WHEN_SECOND + ts.tv_nsec / 1000;
	metrics_observe(HIST_store_batch_seconds,
	    (double)(now - b->sent) / 1e6);
}

/* What a client may be told of a batch that was not decided by its guards. */
static const struct problem *
explain(struct batch *b, enum store_status status, const char *cause)
{
	struct problem *pr;

	if (status == STORE_OK || status == STORE_LOST ||
	    status == STORE_CONFLICT)
		return NULL;
	pr = problem_cause(b->arena,
	    status == STORE_ERROR ? PROBLEM_SERVER : PROBLEM_UNAVAILABLE,
	    "store: %s", cause != NULL ? cause : "failed");
	if (status != STORE_ERROR)
		pr->retry_after = status == STORE_DOWN ? 5 : 1;
	return pr;
}

void
batch_finish(struct batch *b, enum store_status status, const char *cause)
{
	struct store *st = b->store;

	assert(b->state == BATCH_WAITING || b->state == BATCH_SENT);
	assert(st->depth > 0);
	if (status == STORE_OK && !b->read_only &&
	    FAILS("failing-store-unheard"))
		status = STORE_UNKNOWN; /* it is written, and nobody heard */
	b->state = BATCH_DONE;
	st->depth--;
	measure(b, status);
	if (b->task == NULL) {
		if (status == STORE_ERROR)
			log_sampled(LOG_ERROR, 5, "store: nobody waits for it",
			    LOG_TEXT("cause", cause));
		batch_free(b);
		return;
	}
	b->rows = (struct store_rows){
		.driver = st->driver,
		.stmts = b->stmts,
		.n = status == STORE_OK ? b->nstmts : 0,
	};
	b->result = (struct store_result){
		.status = status,
		.problem = explain(b, status, cause),
		.failed = b->failed,
		.rows = &b->rows,
	};
	TAILQ_INSERT_TAIL(&st->done, b, entry);
	loop_defer(st->loop, &b->done);
}

void
batch_finish_noted(struct batch *b)
{
	batch_finish(b, b->verdict, b->cause);
}

void
batch_note(struct batch *b, unsigned stmt, enum store_status verdict,
    const char *cause)
{
	if (b->verdict != STORE_OK)
		return;
	b->verdict = verdict;
	b->failed = stmt;
	b->cause = str_cstr(b->arena, str_from(cause));
}

void
batch_reset(struct batch *b)
{
	for (unsigned i = 0; i < b->nstmts; i++)
		b->store->driver->clear(&b->stmts[i]);
	b->verdict = STORE_OK;
	b->again = b->skipped = b->last = false;
	b->cause = NULL;
	b->failed = 0;
}

void
batch_abandon(struct batch *b)
{
	if (b->task != NULL)
		op_done(&b->op);
	b->store->depth--;
	batch_free(b);
}

void
batch_abandon_done(struct store *st)
{
	struct batch *b;

	while ((b = TAILQ_FIRST(&st->done)) != NULL) {
		op_done(&b->op);
		forget_done(b);
	}
}

/* From the top of the loop. */
static void
batch_answer(void *arg)
{
	struct batch *b = arg;

	TAILQ_REMOVE(&b->store->done, b, entry);
	op_done(&b->op);
	FAULT("a batch after its answer");
	b->fn(b->arg, &b->result);
	batch_free(b);
}

static void
batch_free(struct batch *b)
{
	for (unsigned i = 0; i < b->nstmts; i++)
		b->store->driver->clear(&b->stmts[i]);
	arena_destroy(b->arena); /* and so b */
}
