/* SPDX-License-Identifier: ISC */
/*
 * When a loop is tried next. Pure: moments in, moments out (microseconds), so
 * that any clock can drive it. `jitter` is 32 random bits; 0 is none.
 */
#ifndef CERTLOOPS_SCHEDULE_H
#define CERTLOOPS_SCHEDULE_H

#include <stdint.h>

enum loop_outcome {
	LOOP_OBTAINED, /* or looked at and still good until renew_at */
	LOOP_FAILED,
	LOOP_TOLD_TO_WAIT, /* the issuer said for how long: no failure */
};

struct loop_schedule {
	int64_t next;
	unsigned failures; /* in a row */
};

/*
 * After the n-th failure in a row: a minute, doubled each time, a day at
 * most; up to a tenth less by jitter.
 */
int64_t schedule_backoff(unsigned failures, uint32_t jitter);

/*
 * When to renew a certificate: as a third of its life is left, up to a
 * thirtieth of its life earlier by jitter.
 */
int64_t schedule_renewal(int64_t not_before, int64_t not_after,
    uint32_t jitter);

/* At some moment of a window. */
int64_t schedule_within(int64_t start, int64_t end, uint32_t jitter);

/*
 * Move the schedule on. `value` is the moment to renew at (LOOP_OBTAINED) or
 * how long to wait (LOOP_TOLD_TO_WAIT); it is not used for LOOP_FAILED.
 */
void schedule_next(struct loop_schedule *, enum loop_outcome, int64_t value,
    int64_t now, uint32_t jitter);

#endif
