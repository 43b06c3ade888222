/* SPDX-License-Identifier: ISC */
/*
 * The order of a mix: each unit gives every scenario credit by its weight,
 * and the one with the most pays for all. So any run of units as long as the
 * sum of the weights holds each scenario as often as its weight says.
 */
#include "bench/bench.h"

enum bench_scenario
mix_next(struct mix *m)
{
	size_t best = 0;
	int64_t all = 0;

	for (size_t i = 0; i < SCENARIO_UNITS; i++) {
		m->credit[i] += m->weights[i];
		all += m->weights[i];
		if (m->weights[i] > 0 &&
		    (m->weights[best] == 0 || m->credit[i] > m->credit[best]))
			best = i;
	}
	m->credit[best] -= all;
	return (enum bench_scenario)best;
}
