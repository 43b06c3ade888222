/* SPDX-License-Identifier: ISC */
/* The timers behind the jobs. */
#include "jobs/jobs.h"

#include <stdlib.h>

#include "base/id.h"
#include "jobs/endings.h"
#include "jobs/gc.h"
#include "jobs/overrides.h"
#include "jobs/pace.h"

struct jobs {
	struct acme *acme;
	struct gc *gc, *limits;
	struct overrides *overrides;
	struct endings *endings;
	struct timer recovery;
	int64_t interval;
};

static void
run_recovery(void *arg)
{
	struct jobs *j = arg;

	timer_start(&j->recovery, pace_spread(j->interval));
	acme_recover(j->acme);
	acme_resume(j->acme);
	acme_tell_issuers(j->acme);
}

struct jobs *
jobs_start(struct loop *l, struct store *st, struct acme *acme,
    const struct jobs_intervals *every)
{
	struct jobs *j = calloc(1, sizeof(*j));
	struct arena *a = arena_create();

	if (j == NULL)
		abort();
	j->acme = acme;
	j->interval = every->recovery;
	j->gc = gc_start(l, st, GC_EXPIRED, id_new(a), every->gc, &every->keep);
	j->limits = gc_start(l, st, GC_LIMITS, id_new(a), every->limits,
	    &every->keep);
	j->overrides = overrides_start(l, st, acme);
	j->endings = endings_start(l, st);
	arena_destroy(a);
	timer_init(&j->recovery, l, run_recovery, j);
	timer_start(&j->recovery, 0);
	return j;
}

void
jobs_set_intervals(struct jobs *j, const struct jobs_intervals *every)
{
	j->interval = every->recovery;
	gc_set(j->gc, every->gc, &every->keep);
	gc_set(j->limits, every->limits, &every->keep);
}

bool
jobs_run_gc(struct jobs *j)
{
	bool limits = gc_run_now(j->limits);

	return gc_run_now(j->gc) || limits;
}

void
jobs_stop(struct jobs *j)
{
	if (j == NULL)
		return;
	timer_stop(&j->recovery);
	overrides_stop(j->overrides);
	endings_stop(j->endings);
	gc_stop(j->gc);
	gc_stop(j->limits);
	free(j);
}
