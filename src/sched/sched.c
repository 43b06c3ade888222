/* SPDX-License-Identifier: ISC */
/* Leases and the timers of leased jobs. */
#include "sched/sched.h"

#include <assert.h>
#include <stdlib.h>

#include "base/id.h"

/* ---- leases */

struct taking {
	lease_fn *fn;
	void *arg;
};

static enum step
on_taken(void *arg, const struct store_result *r)
{
	const struct taking *k = arg;

	if (r->status != STORE_OK)
		k->fn(k->arg, LEASE_ERROR, 0);
	else if (store_nrows(r, 0) == 0)
		k->fn(k->arg, LEASE_HELD, 0);
	else
		k->fn(k->arg, LEASE_TAKEN,
		    store_get_int(r, 0, 0, LEASE_TAKE_FENCE));
	return STEP_DONE;
}

void
lease_take(struct store *st, struct task *t, const char *name,
    struct str holder, int64_t ttl, lease_fn *fn, void *arg)
{
	struct batch *b = store_new_batch(st, t, str_from(name));
	struct taking *k = arena_new(t->arena, struct taking);

	k->fn = fn;
	k->arg = arg;
	store_add(b, SQL_LEASE_TAKE);
	store_str(b, str_from(name));
	store_str(b, holder);
	store_int(b, ttl);
	(void)store_send_batch(b, on_taken, k);
}

/* ---- jobs */

struct sched_job {
	struct loop *loop;
	struct store *store;
	struct sched_options options;
	struct arena *arena; /* as long as the job */
	struct task task;    /* of a lease being taken */
	struct timer timer;
	bool asking;  /* for the lease */
	bool running; /* until sched_done */
};

/* The interval, up to a twentieth more or less. */
static void
start_timer(struct sched_job *j)
{
	int64_t i = j->options.interval;

	if (i > 0)
		timer_start(&j->timer,
		    i - i / 20 + (int64_t)(id_draw() % 1000) * (i / 10) / 1000);
}

static void
on_lease(void *arg, enum lease_verdict verdict, int64_t fence)
{
	struct sched_job *j = arg;

	(void)fence;
	j->asking = false;
	task_end(&j->task);
	if (verdict != LEASE_TAKEN || j->running)
		return;
	j->running = true;
	j->options.run(j->options.arg, j);
}

static void
on_due(void *arg)
{
	struct sched_job *j = arg;

	start_timer(j);
	if (j->asking || j->running)
		return;
	j->asking = true;
	task_init(&j->task);
	lease_take(j->store, &j->task, j->options.name, j->options.holder,
	    j->options.interval * 9 / 10, on_lease, j);
}

struct sched_job *
sched_start(struct loop *l, struct store *st, const struct sched_options *o)
{
	struct sched_job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		abort();
	j->loop = l;
	j->store = st;
	j->options = *o;
	j->arena = arena_create();
	j->options.holder = str_dup(j->arena, o->holder);
	timer_init(&j->timer, l, on_due, j);
	if (o->interval > 0)
		timer_start(&j->timer,
		    (int64_t)(id_draw() % 1000) * (o->interval / 10) / 1000);
	return j;
}

void
sched_done(struct sched_job *j)
{
	assert(j->running);
	j->running = false;
}

void
sched_set_interval(struct sched_job *j, int64_t interval)
{
	if (j->options.interval == interval)
		return;
	j->options.interval = interval;
	timer_stop(&j->timer);
	start_timer(j);
}

bool
sched_run_now(struct sched_job *j)
{
	if (j->running)
		return false;
	j->running = true;
	j->options.run(j->options.arg, j);
	return true;
}

void
sched_stop(struct sched_job *j)
{
	if (j == NULL)
		return;
	timer_stop(&j->timer);
	if (j->asking)
		task_end(&j->task);
	arena_destroy(j->arena);
	free(j);
}
