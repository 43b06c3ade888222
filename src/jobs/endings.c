/* SPDX-License-Identifier: ISC */
/*
 * A count goes from now to the end of the last window in the order in which
 * certificates end. What it has found is published when it is over: a count
 * that the store broke off changes nothing, and the next one begins anew.
 */
#include "jobs/endings.h"

#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "jobs/pace.h"
#include "metrics/metrics.h"

enum { PAGE = 500 }; /* rows that one statement looks at */

static const int64_t EVERY = 5 * WHEN_MINUTE;

/* The same days as those of the events of cert loops. */
static const struct window {
	const char *label;
	int64_t usec;
} windows[] = {
	{ "1d", 1 * WHEN_DAY },
	{ "7d", 7 * WHEN_DAY },
	{ "14d", 14 * WHEN_DAY },
	{ "30d", 30 * WHEN_DAY },
};

enum { WINDOWS = sizeof(windows) / sizeof(windows[0]) };

struct endings {
	struct loop *loop;
	struct store *store;
	struct timer next, rest; /* count; page */
	struct task task;
	bool asking;
	int64_t sent;            /* loop_mono */
	int64_t begin, at;       /* of this count; the last row seen */
	char id[64];             /* and its id */
	uint64_t found[WINDOWS]; /* so far, cumulative */
};

static enum step on_page(void *, const struct store_result *);

static void
ask(void *arg)
{
	struct endings *e = arg;
	struct batch *b;

	task_init(&e->task);
	b = store_new_batch(e->store, &e->task, STR(""));
	store_add(b, SQL_CERTS_ENDING_COUNT);
	store_int(b, e->at);
	store_str(b, str_from(e->id));
	store_int(b, e->begin + windows[WINDOWS - 1].usec);
	store_int(b, PAGE);
	for (size_t i = 0; i + 1 < WINDOWS; i++)
		store_int(b, e->begin + windows[i].usec);
	e->asking = true;
	e->sent = loop_mono(e->loop);
	(void)store_send_batch(b, on_page, e);
}

static void
begin(void *arg)
{
	struct endings *e = arg;

	e->begin = e->at = loop_wall(e->loop);
	e->id[0] = '\0';
	memset(e->found, 0, sizeof(e->found));
	ask(e);
}

static void
publish(struct endings *e)
{
	for (size_t i = 0; i < WINDOWS; i++)
		metrics_child_set(metrics_child(FAMILY_certificates_ending,
				      windows[i].label),
		    (int64_t)e->found[i]);
}

/* Rows of the page that end in each window; true if there may be more. */
static bool
take_page(struct endings *e, const struct store_result *r)
{
	static const unsigned columns[WINDOWS] = { CERTS_ENDING_COUNT_FIRST,
		CERTS_ENDING_COUNT_SECOND, CERTS_ENDING_COUNT_THIRD,
		CERTS_ENDING_COUNT_LAST };
	struct str id;

	if (store_nrows(r, 0) == 0)
		return false;
	for (size_t i = 0; i < WINDOWS; i++)
		e->found[i] += (uint64_t)store_get_int(r, 0, 0, columns[i]);
	id = store_get_str(r, 0, 0, CERTS_ENDING_COUNT_STOP_ID);
	if (id.n >= sizeof(e->id)) /* none of ours */
		return false;
	memcpy(e->id, id.p, id.n);
	e->id[id.n] = '\0';
	e->at = store_get_int(r, 0, 0, CERTS_ENDING_COUNT_STOP_KEY);
	return store_get_int(r, 0, 0, CERTS_ENDING_COUNT_STOP_N) == PAGE;
}

static enum step
on_page(void *arg, const struct store_result *r)
{
	struct endings *e = arg;
	bool good = r->status == STORE_OK;
	bool more = good && take_page(e, r);

	e->asking = false;
	task_end(&e->task);
	if (more) {
		timer_start(&e->rest, pace_rest(e->loop, e->sent));
		return STEP_DONE;
	}
	if (good)
		publish(e);
	timer_start(&e->next, pace_spread(EVERY));
	return STEP_DONE;
}

struct endings *
endings_start(struct loop *l, struct store *st)
{
	struct endings *e = calloc(1, sizeof(*e));

	if (e == NULL)
		abort();
	e->loop = l;
	e->store = st;
	timer_init(&e->next, l, begin, e);
	timer_init(&e->rest, l, ask, e);
	timer_start(&e->next, 0);
	return e;
}

void
endings_stop(struct endings *e)
{
	if (e == NULL)
		return;
	timer_stop(&e->next);
	timer_stop(&e->rest);
	if (e->asking)
		task_end(&e->task);
	free(e);
}
