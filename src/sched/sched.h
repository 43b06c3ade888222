/* SPDX-License-Identifier: ISC */
/*
 * Jobs on timers, shared by replicas. Each run of a job takes a lease in the
 * store first; whoever has it does the work, the others wait for their next
 * turn. A lease lasts a little less than the interval and is not given back,
 * so a job runs once an interval in the whole fleet. Replicas jitter, so that
 * they do not all ask at once. Database time decides.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "loop/task.h"
#include "store/store.h"

/* ---- leases */

enum lease_verdict {
	LEASE_TAKEN, /* it is ours until the ttl is over */
	LEASE_HELD,  /* another one has it */
	LEASE_ERROR, /* the store did not say; act as if it were held */
};

/* fence rises with each new holder: writes of a stale one can be refused. */
typedef void lease_fn(void *arg, enum lease_verdict, int64_t fence);

/*
 * Take a lease, or lengthen one of ours, for ttl microseconds. fn is called
 * later from the top of the loop, unless t ends first. holder is an id of this
 * process. Must not be called while one of the same task is under way.
 */
void lease_take(struct store *, struct task *t, const char *name,
    struct str holder, int64_t ttl, lease_fn *fn, void *arg);

/* ---- jobs */

struct sched_job;

/* Do the work; call sched_done(job) when it is over, perhaps at once. */
typedef void sched_fn(void *arg, struct sched_job *job);

struct sched_options {
	const char *name;  /* of the lease too; a constant */
	struct str holder; /* of this process; copied */
	int64_t interval;  /* usec; 0: never by itself */
	sched_fn *run;
	void *arg;
};

/* The first run comes within a tenth of the interval. */
struct sched_job *sched_start(struct loop *, struct store *,
    const struct sched_options *);

/* The work is over (lost or done): the next run may come. */
void sched_done(struct sched_job *);

/* A reload may change the interval; 0 stops the timer. */
void sched_set_interval(struct sched_job *, int64_t interval);

/*
 * Run now, whoever has the lease. False if a run is under way here.
 */
bool sched_run_now(struct sched_job *);

/* No run begins any more. The caller ends the work itself. NULL is fine. */
void sched_stop(struct sched_job *);

#endif
