/* SPDX-License-Identifier: ISC */
/*
 * What a run measures: latencies by type of request, statuses, problem types,
 * errors, and the processor time and memory of the server.
 */
#ifndef LOAD_STATS_H
#define LOAD_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

/* Types of request, in the order of a full flow. */
enum load_request {
	LOAD_DIRECTORY,
	LOAD_NEW_NONCE,
	LOAD_NEW_ACCOUNT,
	LOAD_NEW_ORDER,
	LOAD_AUTHZ,
	LOAD_CHALLENGE,
	LOAD_FINALIZE,
	LOAD_ORDER,
	LOAD_CERTIFICATE,
	LOAD_OCSP,
	LOAD_REQUESTS,
};

/* "new-order", ... */
const char *load_request_name(enum load_request);

/* ---- histograms: microseconds, 1.6 % wide steps, exact below 128 */

enum {
	HISTOGRAM_SUB = 64, /* steps to a power of two */
	HISTOGRAM_STEPS = HISTOGRAM_SUB * 28,
};

struct histogram {
	uint64_t n, sum, max;
	uint64_t steps[HISTOGRAM_STEPS];
};

void histogram_add(struct histogram *, int64_t usec);

/*
 * The least value that at least this share (0 to 1) of all are not above, as
 * precise as the steps are. 0 if there is none.
 */
uint64_t histogram_at(const struct histogram *, double share);

/* ---- all that is counted */

enum { STATS_KINDS_MAX = 32, STATS_TEXT_MAX = 256 };

/* Occurrences of a text: the first STATS_KINDS_MAX texts have their own. */
struct tally {
	struct {
		char text[STATS_TEXT_MAX];
		uint64_t n;
	} kinds[STATS_KINDS_MAX];
	size_t nkinds;
	uint64_t others;
};

void tally_add(struct tally *, struct str text);

struct stats {
	struct histogram latency[LOAD_REQUESTS];
	uint64_t status[600];
	struct tally problems, errors;
	uint64_t done, failed, retried; /* units of work; badNonce retries */
	uint64_t polls;
	int64_t start, end; /* microseconds, monotonic */
};

/* ---- processes */

/* What the kernel says of one; false if there is none such. */
struct usage {
	int64_t user, system; /* microseconds of processor time */
	int64_t rss;          /* KiB resident */
};

bool usage_of(pid_t pid, struct usage *);

/* The same of this process, to the microsecond; without its memory. */
void usage_own(struct usage *);

/* Microseconds of a clock that never jumps, read now. */
int64_t stats_now(void);

#endif
