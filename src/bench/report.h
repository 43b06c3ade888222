/* SPDX-License-Identifier: ISC */
/* Figures that both forms of the report show. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/bench.h"

struct figures {
	double seconds, rate;
	double server_user, server_system; /* microseconds a unit */
	double own_cpu;                    /* the same, of this process */
	double server_share, own_share;    /* of a processor */
	size_t accounts;
	bool has_usage; /* of the servers, and none of them has gone */
};

/* report_json.c: on stdout. */
void report_print_json(const struct bench *, const struct figures *);

#endif
