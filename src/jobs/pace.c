/* SPDX-License-Identifier: ISC */
/* Intervals and rests of jobs. */
#include "jobs/pace.h"

#include "base/id.h"
#include "base/when.h"

enum { REST = 3 }; /* times what a batch took */

static const int64_t REST_MAX = 2 * WHEN_SECOND;

int64_t
pace_spread(int64_t usec)
{
	return usec - usec / 10 +
	    (int64_t)(id_draw() % 1000) * (usec / 5) / 1000;
}

int64_t
pace_rest(struct loop *loop, int64_t sent)
{
	int64_t rest = (loop_mono(loop) - sent) * REST;

	return rest < REST_MAX ? rest : REST_MAX;
}
