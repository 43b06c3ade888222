/* SPDX-License-Identifier: ISC */
/* How jobs keep out of the way: of each other, and of requests. */
#ifndef JOBS_PACE_H
#define JOBS_PACE_H

#include <stdint.h>

#include "loop/loop.h"

/* An interval, up to a tenth more or less, so that replicas spread. */
int64_t pace_spread(int64_t usec);

/*
 * How long to rest behind a batch that was sent at `sent` (loop_mono): three
 * times what it took, at most 2 seconds. So requests have most of the store's
 * time, however much there is to do.
 */
int64_t pace_rest(struct loop *, int64_t sent);

#endif
