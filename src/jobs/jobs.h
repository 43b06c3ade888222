/* SPDX-License-Identifier: ISC */
/* Work that the daemon does by itself, on timers. One file for each job. */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "acme/acme.h"
#include "loop/loop.h"

struct jobs;

/*
 * Start all jobs. The recovery job runs at once and then each `interval`
 * microseconds (jittered by a tenth, so that replicas spread).
 */
struct jobs *jobs_start(struct loop *, struct acme *, int64_t interval);

/* A reload may change the interval; it holds from the next run on. */
void jobs_set_interval(struct jobs *, int64_t interval);

/* No timer fires any more. NULL is fine. */
void jobs_stop(struct jobs *);

#endif
