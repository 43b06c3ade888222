/* SPDX-License-Identifier: ISC */
/*
 * The object, and its poll: what is due by database time is looked at or
 * tried, what this node has not got yet is delivered.
 */
#include "certloops/certloops_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/when.h"
#include "certloops/keymaker.h"
#include "deliver/deliver.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { POLL_SECONDS = 5, COUNT_SECONDS = 15 };

/* Statements of a poll; the last two are not in each, then comes what is due. */
enum { UNDELIVERED, ASKED, COUNTED, ENDING };

/* The series of the metric; stopped loops do not count. */
static const char *const states[] = { "new", "valid", "failing", "paused" };

enum { STATES = LOOP_STATES, COUNT_PAGE = 1000 };

_Static_assert(sizeof(states) / sizeof(states[0]) == LOOP_STATES,
    "a sum for each state");

static void on_poll(void *);
static enum step on_due(void *, const struct store_result *);
static void on_again(void *);
static void make_some(void *);
static void collect(void *);
static void zero_states(void);
static void start_count(struct certloops *);
static void ask_count(struct certloops *, struct batch *);

uint32_t
certloops_draw(const struct certloops *cl)
{
	if (cl->options.draw != NULL)
		return cl->options.draw(cl->options.draw_arg);
	return id_draw();
}

struct certloops *
certloops_new(const struct certloops_options *o)
{
	struct certloops *cl = calloc(1, sizeof(*cl));

	if (cl == NULL)
		abort();
	cl->loop = o->loop;
	cl->store = o->store;
	cl->options = *o;
	cl->arena = arena_create();
	cl->options.node = str_dup(cl->arena, o->node);
	if (o->poll == 0)
		cl->options.poll = POLL_SECONDS * WHEN_SECOND;
	cl->holder = id_new(cl->arena);
	LIST_INIT(&cl->attempts);
	LIST_INIT(&cl->deliveries);
	cl->deliver = deliver_new(o->loop);
	cl->keymaker = keymaker_new(
	    &(struct keymaker_options){ .loop = o->loop });
	timer_init(&cl->poll, o->loop, on_poll, cl);
	timer_init(&cl->again, o->loop, on_again, cl);
	deferred_init(&cl->make, make_some, cl);
	reconcile_init(cl);
	metrics_on_collect(collect, cl);
	zero_states(); /* the series are there before the first count */
	return cl;
}

static void
collect(void *arg)
{
	const struct certloops *cl = arg;

	metrics_set(METRIC_loop_nearest_expiry_seconds,
	    cl->first_expiry == 0 ?
		0 :
		(cl->first_expiry - loop_wall(cl->loop)) / WHEN_SECOND);
}

void
certloops_configure(struct certloops *cl, const struct conf *conf)
{
	cl->conf = conf;
	served_configure(cl);
	asked_configure(cl);
	certloops_want(cl);
}

static void
stop_making(struct certloops *cl)
{
	loop_undefer(cl->loop, &cl->make);
	wanted_free(&cl->making.set);
}

/* As much of the set as this turn has time for; at least a slice. */
static void
make_some(void *arg)
{
	struct certloops *cl = arg;
	struct wanted_set fresh;

	while (!wanted_go_on(&cl->making, LOOP_SLICE))
		if (loop_is_late(cl->loop)) {
			loop_defer(cl->loop, &cl->make);
			return;
		}
	fresh = cl->making.set;
	cl->making.set = (struct wanted_set){ 0 };
	start_count(cl);
	cl->counting = false; /* a page under way is of the set before */
	reconcile_replace(cl, fresh);
}

void
certloops_want(struct certloops *cl)
{
	stop_making(cl);
	wanted_begin(&cl->making, cl->conf, &cl->served.hosts, &cl->asked);
	make_some(cl);
}

unsigned
certloops_running(const struct certloops *cl)
{
	return cl->nattempts + cl->ndeliveries;
}

void
certloops_stop(struct certloops *cl)
{
	cl->stopped = true;
	timer_stop(&cl->poll);
	stop_making(cl);
	reconcile_stop(cl);
}

void
certloops_free(struct certloops *cl)
{
	if (cl == NULL)
		return;
	certloops_stop(cl);
	if (cl->is_polling)
		task_end(&cl->polling);
	cl->more = false;
	attempt_stop_all(cl);
	delivery_stop_all(cl);
	deliver_free(cl->deliver);
	keymaker_free(cl->keymaker);
	ending_stop(cl);
	served_stop(cl);
	asked_stop(cl);
	metrics_off_collect(collect, cl);
	wanted_free(&cl->wanted);
	arena_destroy(cl->arena);
	free(cl);
}

static void
on_again(void *arg)
{
	reconcile_start(arg);
}

/* ---- the poll */

void
certloops_wake(struct certloops *cl)
{
	cl->wake = true;
	if (!cl->stopped && !cl->is_polling && cl->conf != NULL)
		timer_start(&cl->poll, 0);
}

/*
 * What is due of an issuer, unless it could not be asked anyway: so a slow
 * one holds up nobody else's loops, and one that rests is left alone.
 */
static void
ask_due(struct certloops *cl, struct batch *b, struct str issuer)
{
	const struct issuer *signer = cl->options.find_issuer(cl->options
								  .issuers,
	    str_cstr(cl->polling.arena, issuer));
	unsigned st;

	if (signer != NULL && issuer_is_resting(signer))
		return;
	if (attempt_count(cl, issuer) >= LOOP_ATTEMPTS_MAX) {
		cl->more = true;
		return;
	}
	st = store_add(b, SQL_LOOPS_DUE);
	store_str(b, cl->options.node);
	store_str(b, issuer);
	store_int(b, LOOP_CHUNK);
	if (cl->ndue++ == 0)
		cl->due = st;
}

/* What issuers may have made before; of all that this node knows. */
static void
ask_strays(struct certloops *cl, struct batch *b)
{
	for (size_t i = 0; i < cl->conf->nissuers; i++) {
		unsigned st = store_add(b, SQL_STRAYS_NEXT);

		store_str(b, cl->conf->issuers[i].at.name);
		if (i == 0)
			cl->strays = st;
	}
	cl->nstrays = cl->conf->nissuers;
}

static void
on_poll(void *arg)
{
	struct certloops *cl = arg;
	struct batch *b;

	if (cl->is_polling || cl->stopped)
		return;
	cl->is_polling = true;
	cl->wake = cl->more = false;
	cl->counting = cl->counted == 0 || cl->count_at > 0 ||
	    loop_mono(cl->loop) - cl->counted >= COUNT_SECONDS * WHEN_SECOND;
	task_init(&cl->polling);
	b = store_new_batch(cl->store, &cl->polling, STR(""));
	store_add(b, SQL_LOOPS_UNDELIVERED);
	store_str(b, cl->options.node);
	store_int(b, 4 * LOOP_DELIVERIES_MAX);
	store_add(b, SQL_ASKED_CHANGES);
	if (cl->counting) {
		ask_count(cl, b);
		store_add(b, SQL_LOOPS_ENDING);
		store_str(b, cl->options.node);
		store_int(b, LOOP_CHUNK);
	}
	ask_strays(cl, b);
	cl->ndue = 0;
	for (size_t i = 0; i < cl->wanted.nissuers; i++)
		ask_due(cl, b, cl->wanted.issuers[i]);
	(void)store_send_batch(b, on_due, cl);
}

/* The next poll: at once if there may be more to do. */
static void
end_poll(struct certloops *cl)
{
	int64_t wait = cl->options.poll;

	cl->is_polling = false;
	task_end(&cl->polling);
	if (cl->stopped ||
	    (cl->wanted.n == 0 && cl->conf->loop_folder.n == 0 &&
		cl->reconciled && !cl->wake && !cl->has_strays))
		return; /* until something is wanted */
	wait -= (int64_t)((uint64_t)(wait / 5) * certloops_draw(cl) >> 32);
	if (cl->asked.is_resting && wait > ASKED_REST_MAX)
		wait = ASKED_REST_MAX;
	timer_start(&cl->poll, cl->wake ? 0 : wait);
}

/* Good for longer, and nobody wants it renewed? Then look tomorrow. */
static bool
is_fresh(const struct store_result *r, unsigned st, size_t i)
{
	return store_get_int(r, st, i, LOOPS_DUE_VERSION) > 0 &&
	    store_get_int(r, st, i, LOOPS_DUE_STALE) == 0 &&
	    store_get_int(r, st, i, LOOPS_DUE_NOW) <
	    store_get_int(r, st, i, LOOPS_DUE_RENEW_AT);
}

static void
add_look(struct certloops *cl, struct batch *b, const struct store_result *r,
    unsigned st, size_t i)
{
	struct loop_schedule s = { 0 };

	schedule_next(&s, LOOP_OBTAINED,
	    store_get_int(r, st, i, LOOPS_DUE_RENEW_AT),
	    store_get_int(r, st, i, LOOPS_DUE_NOW), certloops_draw(cl));
	store_add(b, SQL_LOOP_LOOK);
	store_str(b, store_get_str(r, st, i, LOOPS_DUE_NAME));
	store_int(b, store_get_int(r, st, i, LOOPS_DUE_ATTEMPT));
	store_int(b, s.next);
}

static enum step
on_looked(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;

	/* there may be more of them */
	cl->wake = cl->wake || r->status == STORE_OK;
	end_poll(cl);
	return STEP_DONE;
}

static void
zero_states(void)
{
	for (size_t k = 0; k < STATES; k++)
		metrics_child_set(metrics_child(FAMILY_loops, states[k]), 0);
}

static void
start_count(struct certloops *cl)
{
	cl->count_at = 0;
	cl->tally_expiry = 0;
	memset(cl->tally, 0, sizeof(cl->tally));
}

/* Count another page, as many loops would take longer than a turn may. */
static void
ask_count(struct certloops *cl, struct batch *b)
{
	const struct wanted_set *w = &cl->wanted;
	bool none = cl->count_at >= w->n;

	cl->count_end = cl->count_at + COUNT_PAGE;
	if (cl->count_end > w->n)
		cl->count_end = w->n;
	store_add(b, SQL_LOOPS_COUNT);
	store_str(b, cl->options.node);
	store_str(b, none ? STR("") : w->v[cl->count_at].name);
	store_str(b, none ? STR("") : w->v[cl->count_end - 1].name);
}

static void
take_count(struct certloops *cl, const struct store_result *r)
{
	for (size_t i = 0; i < store_nrows(r, COUNTED); i++) {
		struct str state = store_get_str(r, COUNTED, i,
		    LOOPS_COUNT_STATE);
		int64_t t = store_get_int(r, COUNTED, i, LOOPS_COUNT_NOT_AFTER);

		for (size_t k = 0; k < STATES; k++)
			if (str_is(state, states[k]))
				cl->tally[k] += store_get_int(r, COUNTED, i,
				    LOOPS_COUNT_N);
		if (t > 0 && (cl->tally_expiry == 0 || t < cl->tally_expiry))
			cl->tally_expiry = t;
	}
	cl->count_at = cl->count_end;
	if (cl->count_at < cl->wanted.n)
		return; /* the next poll goes on */
	for (size_t k = 0; k < STATES; k++)
		metrics_child_set(metrics_child(FAMILY_loops, states[k]),
		    cl->tally[k]);
	cl->first_expiry = cl->tally_expiry;
	cl->counted = loop_mono(cl->loop);
	start_count(cl);
}

/* If it is not under way already, and there is room. */
static void
try_loop(struct certloops *cl, const struct store_result *r, unsigned st,
    size_t i)
{
	if (attempt_is_running(cl, store_get_str(r, st, i, LOOPS_DUE_NAME)))
		return;
	if (attempt_count(cl, store_get_str(r, st, i, LOOPS_DUE_ISSUER)) <
	    LOOP_ATTEMPTS_MAX)
		attempt_start(cl, r, st, i);
	else
		cl->more = true;
}

static void
try_delivery(struct certloops *cl, struct str name)
{
	if (delivery_is_running(cl, name) ||
	    wanted_find(&cl->wanted, name) == NULL)
		return;
	if (cl->ndeliveries < LOOP_DELIVERIES_MAX)
		delivery_start(cl, name);
	else
		cl->more = true;
}

/*
 * Try what is due by statement st, or look at it. Replicas begin anywhere, so
 * that not all of them claim the same loops. Returns the batch of the looks.
 */
static struct batch *
do_due(struct certloops *cl, struct batch *b, const struct store_result *r,
    unsigned st)
{
	size_t n = store_nrows(r, st);
	size_t first = (size_t)((uint64_t)n * certloops_draw(cl) >> 32);

	for (size_t k = 0; k < n && !cl->stopped; k++) {
		size_t i = (first + k) % n;

		if (!is_fresh(r, st, i)) {
			try_loop(cl, r, st, i);
			continue;
		}
		if (b == NULL)
			b = store_new_batch(cl->store, &cl->polling,
			    store_get_str(r, st, i, LOOPS_DUE_NAME));
		add_look(cl, b, r, st, i);
	}
	return b;
}

static void
try_strays(struct certloops *cl, const struct store_result *r)
{
	cl->has_strays = false;
	for (unsigned k = 0; k < cl->nstrays; k++) {
		unsigned st = cl->strays + k;
		struct str issuer, loop;

		if (store_nrows(r, st) == 0)
			continue;
		cl->has_strays = true;
		issuer = store_get_str(r, st, 0, STRAYS_NEXT_ISSUER);
		loop = store_get_str(r, st, 0, STRAYS_NEXT_LOOP);
		if (store_get_int(r, st, 0, STRAYS_NEXT_DUE) != 0 &&
		    !cl->stopped && !attempt_is_running(cl, loop) &&
		    attempt_count(cl, issuer) < LOOP_ATTEMPTS_MAX)
			stray_start(cl, issuer, r, st);
	}
}

static enum step
on_due(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;
	struct batch *b = NULL;

	if (r->status != STORE_OK) {
		log_sampled(LOG_WARN, 1, "while looking for due cert loops",
		    LOG_TEXT("cause", store_cause(r)));
		end_poll(cl);
		return STEP_DONE;
	}
	if (cl->conf->loop_folder.n > 0 && !cl->stopped)
		asked_look(cl,
		    store_nrows(r, ASKED) == 0 ?
			0 :
			store_get_int(r, ASKED, 0, ASKED_CHANGES_N));
	if (cl->counting) {
		take_count(cl, r);
		ending_warn(cl, r, ENDING);
	}
	for (size_t i = 0; i < store_nrows(r, UNDELIVERED) && !cl->stopped; i++)
		try_delivery(cl,
		    store_get_str(r, UNDELIVERED, i, LOOPS_UNDELIVERED_LOOP));
	try_strays(cl, r);
	for (unsigned k = 0; k < cl->ndue; k++)
		b = do_due(cl, b, r, cl->due + k);
	if (b != NULL)
		return store_send_batch(b, on_looked, cl);
	end_poll(cl);
	return STEP_DONE;
}
