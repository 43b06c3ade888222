/* SPDX-License-Identifier: ISC */
/* The sweeps of rows that are out of date, once an interval in the fleet. */
#ifndef JOBS_GC_H
#define JOBS_GC_H

#include "sched/sched.h"

struct gc;

/* Sweeps that run together, each kind under a lease of its own. */
enum gc_kind {
	GC_EXPIRED, /* what has expired, by the state of its row */
	GC_LIMITS,  /* what is out of the windows of the limits */
	GC_KINDS
};

/* How long rows are retained, usec; 0: for ever. */
struct gc_retention {
	int64_t orders;       /* and authorizations, after their end */
	int64_t certificates; /* and their orders, after they expired */
	int64_t audit;
};

/* interval in microseconds, 0: only gc_run_now. holder: id of this process. */
struct gc *gc_start(struct loop *, struct store *, enum gc_kind,
    struct str holder, int64_t interval, const struct gc_retention *);
/* A reload may change these; a sweep under way goes by the new ones. */
void gc_set(struct gc *, int64_t interval, const struct gc_retention *);

/* Begin a run now, whoever has the lease; false if one is under way here. */
bool gc_run_now(struct gc *);

/* Nothing of it runs any more. NULL is fine. */
void gc_stop(struct gc *);

#endif
