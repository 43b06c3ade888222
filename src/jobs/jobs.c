/* SPDX-License-Identifier: ISC */
/* The timers behind the jobs. */
#include "jobs/jobs.h"

#include <stdlib.h>

#include "base/id.h"

struct jobs {
	struct acme *acme;
	struct timer recovery;
	int64_t interval;
};

/* interval, a tenth more or less */
static int64_t
jitter(int64_t interval)
{
	uint32_t r;

	id_random(&r, sizeof(r));
	return interval - interval / 10 +
	    (int64_t)(r % 1000) * (interval / 5) / 1000;
}

static void
run_recovery(void *arg)
{
	struct jobs *j = arg;

	timer_start(&j->recovery, jitter(j->interval));
	acme_recover(j->acme);
}

struct jobs *
jobs_start(struct loop *l, struct acme *acme, int64_t interval)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (j == NULL)
		abort();
	j->acme = acme;
	j->interval = interval;
	timer_init(&j->recovery, l, run_recovery, j);
	timer_start(&j->recovery, 0);
	return j;
}

void
jobs_set_interval(struct jobs *j, int64_t interval)
{
	j->interval = interval;
}

void
jobs_stop(struct jobs *j)
{
	if (j == NULL)
		return;
	timer_stop(&j->recovery);
	free(j);
}
