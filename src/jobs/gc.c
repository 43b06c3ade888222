/* SPDX-License-Identifier: ISC */
/*
 * The sweeps: what the limits in the store do not count any more and nonces
 * that nobody can bring again; expired authorizations and open orders that ran
 * out of time; and rows that are past what the configuration retains.
 *
 * They go one after the other, so one that fails does not hinder the next.
 * Each is a row of batches of one bounded statement, with a pause after each
 * batch of three times what it took: however much is due, requests have most
 * of the store's time. A sweep that found its fill goes on, up to a bound.
 */
#include "jobs/gc.h"

#include <stdlib.h>

#include "base/problem.h"
#include "base/when.h"
#include "jobs/pace.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	SWEEP_ROWS = 100,    /* of one statement */
	SMALL_ROWS = 1000,   /* small ones, and many: one a request */
	SWEEP_ROUNDS = 1000, /* of one sweep in a run */
};

/* What a sweep's statement takes, behind the number of rows. */
enum sweep_needs {
	NEEDS_NOTHING,
	NEEDS_ERROR,  /* a problem document */
	NEEDS_ORDERS, /* how long they are retained; if for ever, no sweep */
	NEEDS_CERTIFICATES,
	NEEDS_LOOPS, /* as long as certificates */
	NEEDS_AUDIT,
};

struct sweep {
	const char *name; /* label of the metric; NULL: no more of them */
	enum sql sql;
	unsigned max; /* rows of one statement */
	enum sweep_needs needs;
};

static const struct gc_def {
	const char *lease;
	struct sweep sweeps[10];
} kinds[GC_KINDS] = {
	[GC_EXPIRED] = { "gc",
	    { { "nonces", SQL_GC_NONCES, SMALL_ROWS, NEEDS_NOTHING },
		{ "authorizations", SQL_GC_AUTHORIZATIONS, SWEEP_ROWS,
		    NEEDS_NOTHING },
		{ "orders", SQL_GC_ORDERS, SWEEP_ROWS, NEEDS_ERROR },
		{ "old_authorizations", SQL_GC_OLD_AUTHORIZATIONS, SWEEP_ROWS,
		    NEEDS_ORDERS },
		{ "old_orders", SQL_GC_OLD_ORDERS, SWEEP_ROWS, NEEDS_ORDERS },
		{ "old_loops", SQL_GC_OLD_LOOPS, SWEEP_ROWS, NEEDS_LOOPS },
		{ "old_strays", SQL_GC_OLD_STRAYS, SWEEP_ROWS, NEEDS_NOTHING },
		{ "old_certificates", SQL_GC_OLD_CERTIFICATES, SWEEP_ROWS,
		    NEEDS_CERTIFICATES },
		{ "old_audit", SQL_GC_OLD_AUDIT, SMALL_ROWS, NEEDS_AUDIT } } },
	[GC_LIMITS] = { "gc limits",
	    { { "limit_stamps", SQL_GC_LIMIT_STAMPS, SMALL_ROWS,
		  NEEDS_NOTHING },
		{ "limit_heads", SQL_GC_LIMIT_HEADS, SMALL_ROWS,
		    NEEDS_NOTHING } } },
};

struct gc {
	struct loop *loop;
	struct store *store;
	struct sched_job *job;
	struct gc_retention keep;
	struct timer rest;
	struct task task;
	bool in_flight;
	const struct sweep *first, *now; /* of the kind; under way */
	unsigned rounds;                 /* of the one under way */
	uint64_t rows;
	int64_t sent; /* its last batch, loop_mono */
};

static void next_sweep(struct gc *);
static enum step on_swept(void *, const struct store_result *);

static struct str
expired_problem(struct arena *a)
{
	return problem_json(a,
	    problem_new(a, PROBLEM_ORDER_NOT_READY,
		"the order was not finalized before it expired"));
}

/* usec; 0: for ever, and for what is not retained by the clock. */
static int64_t
retention(const struct gc *gc, const struct sweep *s)
{
	switch (s->needs) {
	case NEEDS_ORDERS:
		return gc->keep.orders;
	case NEEDS_CERTIFICATES:
	case NEEDS_LOOPS:
		return gc->keep.certificates;
	case NEEDS_AUDIT:
		return gc->keep.audit;
	case NEEDS_NOTHING:
	case NEEDS_ERROR:
		break;
	}
	return 0;
}

static bool
is_off(const struct gc *gc, const struct sweep *s)
{
	return s->needs >= NEEDS_ORDERS && retention(gc, s) == 0;
}

/* ---- a sweep */

static void
send_batch(void *arg)
{
	struct gc *gc = arg;
	const struct sweep *s = gc->now;
	struct batch *b;

	task_init(&gc->task);
	b = store_new_batch(gc->store, &gc->task, str_from(s->name));
	/* before the certificate: no order is left that leads nowhere */
	if (s->needs == NEEDS_CERTIFICATES) {
		store_add(b, SQL_GC_CERTIFIED_ORDERS);
		store_int(b, s->max);
		store_int(b, retention(gc, s));
		store_add(b, SQL_GC_CERTIFICATE_NAMES);
		store_int(b, s->max);
		store_int(b, retention(gc, s));
	}
	store_add(b, s->sql);
	store_int(b, s->max);
	if (s->needs == NEEDS_ERROR)
		store_str(b, expired_problem(gc->task.arena));
	else if (s->needs != NEEDS_NOTHING)
		store_int(b, retention(gc, s));
	gc->in_flight = true;
	gc->sent = loop_mono(gc->loop);
	(void)store_send_batch(b, on_swept, gc);
}

static void
begin_sweep(struct gc *gc)
{
	while (gc->now->name != NULL && is_off(gc, gc->now))
		gc->now++;
	gc->rounds = 0;
	gc->rows = 0;
	if (gc->now->name != NULL) {
		send_batch(gc);
		return;
	}
	sched_done(gc->job);
}

static void
next_sweep(struct gc *gc)
{
	if (gc->rows > 0)
		log_info("swept", LOG_TEXT("sweep", gc->now->name),
		    LOG_INT("rows", gc->rows));
	gc->now++;
	begin_sweep(gc);
}

static void
tell_failure(const struct gc *gc, const struct store_result *r)
{
	metrics_add(METRIC_gc_failures, 1);
	log_warn("while sweeping", LOG_TEXT("sweep", gc->now->name),
	    LOG_TEXT("cause",
		r->problem != NULL ? r->problem->cause : "conflict"));
}

/* Rows of the sweep itself; those of the orders before it count apart, and
 * names not at all. */
static size_t
count_rows(struct gc *gc, const struct store_result *r)
{
	unsigned at = 0;
	size_t n;

	if (gc->now->needs == NEEDS_CERTIFICATES) {
		metrics_child_add(metrics_child(FAMILY_gc_rows, "old_orders"),
		    (int64_t)store_nrows(r, at));
		at = 2;
	}
	n = store_nrows(r, at);
	gc->rows += n;
	metrics_child_add(metrics_child(FAMILY_gc_rows, gc->now->name),
	    (int64_t)n);
	metrics_add(METRIC_gc_batches, 1);
	return n;
}

static enum step
on_swept(void *arg, const struct store_result *r)
{
	struct gc *gc = arg;
	bool more = false;

	if (r->status != STORE_OK)
		tell_failure(gc, r);
	else
		more = count_rows(gc, r) == gc->now->max &&
		    ++gc->rounds < SWEEP_ROUNDS;
	gc->in_flight = false;
	task_end(&gc->task);
	if (more)
		timer_start(&gc->rest, pace_rest(gc->loop, gc->sent));
	else
		next_sweep(gc);
	return STEP_DONE;
}

static void
run(void *arg, struct sched_job *job)
{
	struct gc *gc = arg;

	(void)job;
	metrics_add(METRIC_gc_runs, 1);
	gc->now = gc->first;
	begin_sweep(gc);
}

/* ---- life */

struct gc *
gc_start(struct loop *l, struct store *st, enum gc_kind kind, struct str holder,
    int64_t interval, const struct gc_retention *keep)
{
	struct gc *gc = calloc(1, sizeof(*gc));

	if (gc == NULL)
		abort();
	gc->loop = l;
	gc->store = st;
	gc->keep = *keep;
	gc->first = kinds[kind].sweeps;
	timer_init(&gc->rest, l, send_batch, gc);
	/* the series are there before the first run */
	for (const struct sweep *s = gc->first; s->name != NULL; s++)
		metrics_child_add(metrics_child(FAMILY_gc_rows, s->name), 0);
	gc->job = sched_start(l, st,
	    &(struct sched_options){ .name = kinds[kind].lease,
		.holder = holder,
		.interval = interval,
		.run = run,
		.arg = gc });
	return gc;
}

void
gc_set(struct gc *gc, int64_t interval, const struct gc_retention *keep)
{
	gc->keep = *keep;
	sched_set_interval(gc->job, interval);
}

bool
gc_run_now(struct gc *gc)
{
	return sched_run_now(gc->job);
}

void
gc_stop(struct gc *gc)
{
	if (gc == NULL)
		return;
	if (gc->in_flight)
		task_end(&gc->task);
	timer_stop(&gc->rest);
	sched_stop(gc->job);
	free(gc);
}
