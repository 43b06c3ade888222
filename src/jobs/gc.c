/* SPDX-License-Identifier: ISC */
/*
 * The sweeps: expired authorizations, open orders that ran out of time, nonces
 * that the store redeemed and that nobody can bring again; and, apart from
 * these, what the limits in the store do not count any more. Each sweep is a
 * batch of one bounded statement, so one that fails does not hinder the
 * others; one that found its fill runs again at once, up to a bound.
 */
#include "jobs/gc.h"

#include <stdlib.h>

#include "base/problem.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	SWEEPS_MAX = 3,     /* of one kind */
	SWEEP_ROWS = 500,   /* of one statement */
	SMALL_ROWS = 5000,  /* small ones, and many: one a request */
	SWEEP_ROUNDS = 200, /* of one run */
};

struct sweep_def {
	const char *name; /* label of the metric; NULL: no more of them */
	enum sql sql;
	unsigned max;    /* rows of one statement */
	bool says_error; /* the statement takes a problem document */
};

static const struct gc_def {
	const char *lease;
	struct sweep_def sweeps[SWEEPS_MAX + 1];
} kinds[GC_KINDS] = {
	[GC_EXPIRED] = { "gc",
	    { { "authorizations", SQL_GC_AUTHORIZATIONS, SWEEP_ROWS, false },
		{ "orders", SQL_GC_ORDERS, SWEEP_ROWS, true },
		{ "nonces", SQL_GC_NONCES, SMALL_ROWS, false } } },
	[GC_LIMITS] = { "gc limits",
	    { { "limit_stamps", SQL_GC_LIMIT_STAMPS, SMALL_ROWS, false },
		{ "limit_heads", SQL_GC_LIMIT_HEADS, SMALL_ROWS, false } } },
};

struct sweep {
	struct gc *gc;
	struct sweep_def def;
	unsigned rounds;
	uint64_t rows;
};

struct gc {
	struct store *store;
	struct sched_job *job;
	struct task task;
	bool running;
	unsigned left; /* sweeps under way */
	unsigned nsweeps;
	struct sweep sweeps[SWEEPS_MAX];
};

static enum step on_swept(void *, const struct store_result *);

static struct str
expired_problem(struct arena *a)
{
	return problem_json(a,
	    problem_new(a, PROBLEM_ORDER_NOT_READY,
		"the order was not finalized before it expired"));
}

static void
send_sweep(struct sweep *s)
{
	struct gc *gc = s->gc;
	struct batch *b = store_new_batch(gc->store, &gc->task,
	    str_from(s->def.name));

	store_add(b, s->def.sql);
	store_int(b, s->def.max);
	if (s->def.says_error)
		store_str(b, expired_problem(gc->task.arena));
	(void)store_send_batch(b, on_swept, s);
}

static void
end_sweep(struct sweep *s)
{
	struct gc *gc = s->gc;

	if (s->rows > 0)
		log_info("swept", LOG_TEXT("sweep", s->def.name),
		    LOG_INT("rows", s->rows));
	if (--gc->left > 0)
		return;
	gc->running = false;
	task_end(&gc->task);
	sched_done(gc->job);
}

static enum step
on_swept(void *arg, const struct store_result *r)
{
	struct sweep *s = arg;
	size_t n;

	if (r->status != STORE_OK) {
		metrics_add(METRIC_gc_failures, 1);
		log_warn("while sweeping", LOG_TEXT("sweep", s->def.name),
		    LOG_TEXT("cause", store_cause(r)));
		end_sweep(s);
		return STEP_DONE;
	}
	n = store_nrows(r, 0);
	s->rows += n;
	metrics_child_add(metrics_child(FAMILY_gc_rows, s->def.name), n);
	if (n == s->def.max && ++s->rounds < SWEEP_ROUNDS)
		send_sweep(s);
	else
		end_sweep(s);
	return STEP_DONE;
}

static void
run(void *arg, struct sched_job *job)
{
	struct gc *gc = arg;

	(void)job;
	metrics_add(METRIC_gc_runs, 1);
	gc->running = true;
	task_init(&gc->task);
	gc->left = gc->nsweeps;
	for (unsigned i = 0; i < gc->nsweeps; i++) {
		gc->sweeps[i].rounds = 0;
		gc->sweeps[i].rows = 0;
		send_sweep(&gc->sweeps[i]);
	}
}

static void
add_sweep(struct gc *gc, const struct sweep_def *def)
{
	gc->sweeps[gc->nsweeps++] = (struct sweep){ .gc = gc, .def = *def };
	/* the series is there before the first run */
	metrics_child_add(metrics_child(FAMILY_gc_rows, def->name), 0);
}

struct gc *
gc_start(struct loop *l, struct store *st, enum gc_kind kind, struct str holder,
    int64_t interval)
{
	struct gc *gc = calloc(1, sizeof(*gc));
	const struct sweep_def *def;

	if (gc == NULL)
		abort();
	gc->store = st;
	for (def = kinds[kind].sweeps; def->name != NULL; def++)
		add_sweep(gc, def);
	gc->job = sched_start(l, st,
	    &(struct sched_options){ .name = kinds[kind].lease,
		.holder = holder,
		.interval = interval,
		.run = run,
		.arg = gc });
	return gc;
}

void
gc_set_interval(struct gc *gc, int64_t interval)
{
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
	if (gc->running)
		task_end(&gc->task);
	sched_stop(gc->job);
	free(gc);
}
