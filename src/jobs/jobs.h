/* SPDX-License-Identifier: ISC */
/* Work that the daemon does by itself, on timers. One file for each job. */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "acme/acme.h"
#include "jobs/gc.h"
#include "loop/loop.h"
#include "store/store.h"

struct jobs;

struct jobs_intervals { /* microseconds */
	int64_t recovery;
	int64_t gc, limits; /* the sweeps; 0: only when asked to */
	struct gc_retention keep;
};

/*
 * Start all jobs. The recovery jobs (orders of dead processes, revocations that
 * issuers have not heard of) run at once and then each interval, jittered by a
 * tenth, so that replicas spread; the sweeps are leased.
 */
struct jobs *jobs_start(struct loop *, struct store *, struct acme *,
    const struct jobs_intervals *);

/* A reload may change the intervals; they hold from the next run on. */
void jobs_set_intervals(struct jobs *, const struct jobs_intervals *);

/* Begin a run of the sweeps now; false if one is under way here. */
bool jobs_run_gc(struct jobs *);

/* No timer fires any more. NULL is fine. */
void jobs_stop(struct jobs *);

#endif
