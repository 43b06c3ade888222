/* SPDX-License-Identifier: ISC */
/* The event loop: turns over libevent. */
#include "loop/loop.h"

#include <stdlib.h>
#include <time.h>

#include "base/when.h"
#include "metrics/metrics.h"

#define LATE (2 * 1000000) /* ns: a fifth of what a turn may take */

TAILQ_HEAD(deferred_list, deferred);
TAILQ_HEAD(hook_list, turn_hook);

struct loop {
	struct event_base *base;
	struct deferred_list deferred; /* for the next pass */
	struct deferred_list running;  /* of this pass, not yet called */
	struct hook_list hooks;
	int64_t mono, wall; /* 0: not read in this turn */
	int64_t used;       /* processor time until the end of the last turn */
	int64_t longest;    /* turn since the last collection */
	bool stop;
};

/* ---- how long a turn took */

/* Nanoseconds of processor time. Waiting for events costs none. */
static int64_t
cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/*
 * By processor time: what the system gave to others meanwhile is not the
 * doing of this loop. What would block it is not seen by this, but nothing
 * may.
 */
static void
note_turn(struct loop *l)
{
	int64_t now = cpu_now(), took = now - l->used;

	l->used = now;
	if (took > l->longest)
		l->longest = took;
	metrics_observe(HIST_loop_turn_cpu_seconds, (double)took / 1e9);
}

bool
loop_is_late(const struct loop *l)
{
	return cpu_now() - l->used >= LATE;
}

static void
collect(void *arg)
{
	struct loop *l = arg;

	metrics_set(METRIC_loop_longest_turn_microseconds, l->longest / 1000);
	l->longest = 0;
}

/* ---- turns */

/* An event that could not be added for lack of memory is never heard of. */
static void *
take_memory(size_t n)
{
	void *p = malloc(n);

	if (p == NULL)
		abort();
	return p;
}

static void *
grow_memory(void *old, size_t n)
{
	void *p = realloc(old, n);

	if (p == NULL && n > 0)
		abort();
	return p;
}

static struct event_config *
new_config(void)
{
	event_set_mem_functions(take_memory, grow_memory, free);
	return event_config_new();
}

struct loop *
loop_new(void)
{
	struct event_config *cfg = new_config();
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL || cfg == NULL)
		abort();
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (l->base == NULL) {
		free(l);
		return NULL;
	}
	TAILQ_INIT(&l->deferred);
	TAILQ_INIT(&l->running);
	TAILQ_INIT(&l->hooks);
	l->used = cpu_now();
	metrics_on_collect(collect, l);
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	metrics_off_collect(collect, l);
	event_base_free(l->base);
	free(l);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

static bool
has_work(const struct loop *l)
{
	return !TAILQ_EMPTY(&l->deferred) || !TAILQ_EMPTY(&l->hooks);
}

/* Those queued now; what they defer waits for the next turn. */
static void
run_deferred(struct loop *l)
{
	struct deferred *d;

	TAILQ_CONCAT(&l->running, &l->deferred, entry);
	TAILQ_FOREACH(d, &l->running, entry)
		d->state = DEFERRED_RUNNING;
	while ((d = TAILQ_FIRST(&l->running)) != NULL) {
		TAILQ_REMOVE(&l->running, d, entry);
		d->state = DEFERRED_NONE;
		d->fn(d->arg);
	}
}

static void
run_hooks(struct loop *l)
{
	struct turn_hook *h;

	while ((h = TAILQ_FIRST(&l->hooks)) != NULL) {
		TAILQ_REMOVE(&l->hooks, h, entry);
		h->queued = false;
		h->fn(h->arg);
	}
}

void
loop_turn(struct loop *l, enum loop_wait wait)
{
	int flags = EVLOOP_ONCE;

	if (wait == LOOP_POLL || has_work(l))
		flags |= EVLOOP_NONBLOCK;
	l->mono = l->wall = 0;
	(void)event_base_loop(l->base, flags);
	run_deferred(l);
	run_hooks(l);
	note_turn(l);
}

void
loop_run(struct loop *l)
{
	l->stop = false;
	l->used = cpu_now(); /* what was before is no turn */
	while (!l->stop)
		loop_turn(l, LOOP_WAIT);
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

int64_t
loop_mono(struct loop *l)
{
	struct timespec ts;

	if (l->mono == 0) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		l->mono = (int64_t)ts.tv_sec * WHEN_SECOND + ts.tv_nsec / 1000;
	}
	return l->mono;
}

int64_t
loop_wall(struct loop *l)
{
	if (l->wall == 0)
		l->wall = when_now();
	return l->wall;
}

void
loop_defer(struct loop *l, struct deferred *d)
{
	if (d->state != DEFERRED_NONE)
		return;
	d->state = DEFERRED_QUEUED;
	TAILQ_INSERT_TAIL(&l->deferred, d, entry);
}

void
loop_undefer(struct loop *l, struct deferred *d)
{
	if (d->state == DEFERRED_QUEUED)
		TAILQ_REMOVE(&l->deferred, d, entry);
	else if (d->state == DEFERRED_RUNNING)
		TAILQ_REMOVE(&l->running, d, entry);
	d->state = DEFERRED_NONE;
}

void
loop_at_turn_end(struct loop *l, struct turn_hook *h)
{
	if (h->queued)
		return;
	h->queued = true;
	TAILQ_INSERT_TAIL(&l->hooks, h, entry);
}

void
loop_forget_hook(struct loop *l, struct turn_hook *h)
{
	if (!h->queued)
		return;
	h->queued = false;
	TAILQ_REMOVE(&l->hooks, h, entry);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

void
timer_init(struct timer *t, struct loop *l, void (*fn)(void *), void *arg)
{
	t->fn = fn;
	t->arg = arg;
	evtimer_assign(&t->ev, l->base, on_timer, t);
}

void
timer_start(struct timer *t, int64_t usec)
{
	struct timeval tv = { 0, 0 };

	if (usec > 0) {
		tv.tv_sec = (time_t)(usec / WHEN_SECOND);
		tv.tv_usec = (suseconds_t)(usec % WHEN_SECOND);
	}
	evtimer_add(&t->ev, &tv);
}

void
timer_stop(struct timer *t)
{
	evtimer_del(&t->ev);
}

bool
timer_is_running(const struct timer *t)
{
	return evtimer_pending(&t->ev, NULL) != 0;
}

struct loop_signal {
	struct event *ev;
	void (*fn)(void *);
	void *arg;
};

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)fd;
	(void)what;
	s->fn(s->arg);
}

struct loop_signal *
loop_signal_new(struct loop *l, int signo, void (*fn)(void *), void *arg)
{
	struct loop_signal *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	s->fn = fn;
	s->arg = arg;
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	if (s->ev == NULL)
		abort();
	evsignal_add(s->ev, NULL);
	return s;
}

void
loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	event_free(s->ev);
	free(s);
}
