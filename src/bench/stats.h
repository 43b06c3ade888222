/* SPDX-License-Identifier: ISC */
/*
 * What a run measures: latencies by type of request, statuses, problem types,
 * errors, and the processor time and memory of the servers.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

/* What units of work are. */
enum bench_scenario {
	SCENARIO_DIRECTORY,    /* GET, unsigned */
	SCENARIO_NEW_NONCE,    /* HEAD, unsigned */
	SCENARIO_NEW_ACCOUNT,  /* each with a key of its own */
	SCENARIO_NEW_ORDER,    /* only that */
	SCENARIO_ORDER,        /* from new-order to the certificate */
	SCENARIO_RENEWAL_INFO, /* GET, unsigned */
	SCENARIO_OCSP_GET,     /* the URL is that of the responder */
	SCENARIO_OCSP_POST,
	SCENARIO_MIXED, /* of all above, but OCSP, by weights */
	SCENARIO_UNITS = SCENARIO_MIXED,
	SCENARIOS,
};

/* "new-nonce", ... */
const char *bench_scenario_name(enum bench_scenario);

/* Types of request, in the order of a full flow. */
enum bench_request {
	REQUEST_DIRECTORY,
	REQUEST_NEW_NONCE,
	REQUEST_NEW_ACCOUNT,
	REQUEST_NEW_ORDER,
	REQUEST_AUTHZ,
	REQUEST_CHALLENGE,
	REQUEST_FINALIZE,
	REQUEST_ORDER,
	REQUEST_CERTIFICATE,
	REQUEST_RENEWAL_INFO,
	REQUEST_OCSP,
	REQUESTS,
};

/* "new-order", ... */
const char *bench_request_name(enum bench_request);

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

/*
 * Of what succeeded. Response: from the moment when it was to begin, service:
 * from the moment when it did. Both are the same in a closed loop.
 */
struct latency {
	struct histogram response, service;
};

void latency_add(struct latency *, int64_t due, int64_t began, int64_t end);

struct stats {
	struct latency requests[REQUESTS], units[SCENARIO_UNITS];
	uint64_t status[600];
	struct tally problems, errors;
	uint64_t done, failed;   /* units of work */
	uint64_t wrong;          /* among those that failed */
	uint64_t retried, polls; /* badNonce retries */
	uint64_t unstarted;      /* due, but no flow was free in time */
	uint64_t abandoned;      /* under way when the run was ended */
	int64_t start, end;      /* microseconds, monotonic */
};

/* ---- processes */

/* What the kernel says of one; false if there is none such. */
struct usage {
	int64_t user, system; /* microseconds of processor time */
	int64_t rss;          /* KiB resident */
};

bool usage_of(pid_t pid, struct usage *);

/* The sum of several. One that is gone counts as nothing. */
void usage_sum(const pid_t *, size_t n, struct usage *);

/* The same of this process, to the microsecond; without its memory. */
void usage_own(struct usage *);

/* Microseconds of a clock that never jumps, read now. */
int64_t stats_now(void);

#endif
