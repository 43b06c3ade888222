/* SPDX-License-Identifier: ISC */
/*
 * When the units of one phase of a run begin. In an open loop the k-th one is
 * due k / rate after the start, however long the others took; it is computed
 * from k alone, so that nothing adds up. In a closed loop they are due at
 * once, until there were enough of them or the time is over.
 */
#ifndef BENCH_SCHEDULE_H
#define BENCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
	int64_t start;    /* microseconds */
	int64_t duration; /* 0: there is no end but total */
	uint64_t rate;    /* thousandths of units a second; 0: closed loop */
	uint64_t total;   /* units; 0: as many as begin within duration */
};

/*
 * One of count and duration is 0. The rate is at most SCHEDULE_RATE_MAX, and
 * an open loop has at most SCHEDULE_UNITS_MAX units.
 */
enum { SCHEDULE_RATE_MAX = 1000000000, SCHEDULE_UNITS_MAX = 1000000000 };

void schedule_init(struct schedule *, uint64_t rate, uint64_t count,
    int64_t duration);

/* When the k-th unit (from 0) of an open loop is due. */
int64_t schedule_at(const struct schedule *, uint64_t k);

/*
 * Does a k-th unit belong to the phase? At this moment, in a closed loop that
 * ends with its duration.
 */
bool schedule_has(const struct schedule *, uint64_t k, int64_t now);

#endif
