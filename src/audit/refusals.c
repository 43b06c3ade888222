/* SPDX-License-Identifier: ISC */
/* Refusals, counted and written. */
#include "audit/refusals.h"

#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "base/id.h"
#include "base/json.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	FOLDS = REFUSALS_MAX + PROBLEM_COUNT, /* the last: one for each type */
	ACTOR_MAX = 64,
	NAME_MAX_LEN = 64,
	ROWS_MAX = 100, /* of one batch */
	ROW_MAX = 4096, /* bytes of its detail */
};

#define TICK (5 * WHEN_SECOND)
#define WINDOW_MIN WHEN_MINUTE
#define WINDOW_MAX WHEN_HOUR

/* A short text that lies in its struct. */
struct text {
	size_t n;
	char p[ACTOR_MAX];
};

/* One account, order and problem type. */
struct fold {
	bool used, due; /* due: its row is to be written now */
	enum problem_type type;
	const char *route;
	struct text whose; /* by whom they are told apart */
	struct text account, order, object, actor, profile, peer;
	size_t ndetail;
	char detail[REFUSALS_DETAIL_MAX + 3];
	uint64_t count;        /* since its last row */
	int64_t first, last;   /* of these, usec since 1970 */
	int64_t until, window; /* loop_mono; how long it is counted */
};

struct refusals {
	struct loop *loop;
	struct store *store;
	struct fold *folds;
	unsigned nused;
	struct deferred write;
	struct timer tick;
	struct task task; /* of the batch under way */
	bool writing;
	uint64_t rows, told; /* of this batch: rows, and refusals in them */
};

static void write_due(void *);
static void on_tick(void *);
static enum step on_written(void *, const struct store_result *);

static void
keep(struct text *t, struct str s)
{
	t->n = s.n < sizeof(t->p) ? s.n : 0;
	memcpy(t->p, s.n > 0 ? s.p : "", t->n);
}

static struct str
text(const struct text *t)
{
	return str_make(t->p, t->n);
}

struct refusals *
refusals_new(struct loop *l, struct store *st)
{
	struct refusals *f = calloc(1, sizeof(*f));

	if (f == NULL || (f->folds = calloc(FOLDS, sizeof(*f->folds))) == NULL)
		abort();
	f->loop = l;
	f->store = st;
	deferred_init(&f->write, write_due, f);
	timer_init(&f->tick, l, on_tick, f);
	return f;
}

void
refusals_free(struct refusals *f)
{
	if (f == NULL)
		return;
	if (f->writing)
		task_end(&f->task);
	loop_undefer(f->loop, &f->write);
	timer_stop(&f->tick);
	free(f->folds);
	free(f);
}

bool
refusals_busy(const struct refusals *f)
{
	return f->writing || f->write.state != DEFERRED_NONE;
}

/* ---- counting */

static struct str
whose(const struct refusal *r)
{
	return r->by_actor ? r->actor : r->account;
}

static bool
is_of(const struct fold *d, const struct refusal *r, struct str order)
{
	return d->type == r->problem->type && str_eq(text(&d->order), order) &&
	    str_eq(text(&d->whose), whose(r));
}

/* The one that counts this, or a free place for it, or NULL. */
static struct fold *
find(struct refusals *f, const struct refusal *r, struct str order,
    unsigned most)
{
	struct fold *room = NULL;
	unsigned seen = 0, share = 0;

	for (size_t i = 0; i < REFUSALS_MAX; i++) {
		struct fold *d = &f->folds[i];

		if (!d->used) {
			room = room == NULL ? d : room;
			if (seen == f->nused)
				break;
			continue;
		}
		seen++;
		if (!str_eq(text(&d->whose), whose(r)))
			continue;
		if (is_of(d, r, order))
			return d;
		share++;
	}
	if (share >= most || room == NULL)
		return NULL;
	keep(&room->order, order);
	return room;
}

/* Told apart as well as there is room for. */
static struct fold *
choose(struct refusals *f, const struct refusal *r)
{
	struct fold *d = NULL;

	if (whose(r).n > 0)
		d = find(f, r, r->order, REFUSALS_SHARE);
	if (d == NULL && whose(r).n > 0 && r->order.n > 0)
		d = find(f, r, STR(""), 2 * REFUSALS_SHARE);
	return d != NULL ? d : &f->folds[REFUSALS_MAX + r->problem->type];
}

static void
describe(struct fold *d, const struct refusal *r)
{
	struct arena *a = arena_create();
	struct str detail = str_show(a, problem_reason(r->problem),
	    REFUSALS_DETAIL_MAX);

	if (r->problem->detail.n > 0)
		detail = str_show(a, r->problem->detail, REFUSALS_DETAIL_MAX);
	d->ndetail = detail.n < sizeof(d->detail) ? detail.n : 0;
	memcpy(d->detail, detail.p, d->ndetail);
	d->route = r->route;
	keep(&d->profile, r->profile);
	keep(&d->peer, r->peer);
	keep(&d->actor, r->actor);
	/* not that of one order among several */
	keep(&d->object,
	    d->order.n == r->order.n &&
		    (d->count == 0 || str_eq(text(&d->object), r->object)) ?
		r->object :
		STR(""));
	arena_destroy(a);
}

static void
begin(struct refusals *f, struct fold *d, const struct refusal *r)
{
	d->used = d->due = true;
	d->type = r->problem->type;
	if (d < &f->folds[REFUSALS_MAX]) {
		keep(&d->whose, whose(r));
		keep(&d->account, r->account);
		f->nused++;
	}
	d->window = WINDOW_MIN;
	d->until = loop_mono(f->loop) + d->window;
	if (!f->writing)
		loop_defer(f->loop, &f->write);
	if (!timer_is_running(&f->tick))
		timer_start(&f->tick, TICK);
}

void
refusals_note(struct refusals *f, const struct refusal *r)
{
	struct fold *d = choose(f, r);
	int64_t now = loop_wall(f->loop);

	metrics_add(METRIC_refusals_noted, 1);
	if (!d->used)
		begin(f, d, r);
	describe(d, r);
	if (d->count++ == 0)
		d->first = now;
	d->last = now;
}

/* ---- writing */

static struct str
write_detail(struct arena *a, const struct fold *d)
{
	struct json_writer *w = json_writer_new(a, ROW_MAX);

	json_open_object(w, NULL);
	json_str(w, "type", problem_name(d->type));
	json_str(w, "detail", str_make(d->detail, d->ndetail));
	json_str(w, "route", str_from(d->route));
	json_str(w, "profile", text(&d->profile));
	json_str(w, "peer", text(&d->peer));
	json_int(w, "count", (int64_t)d->count);
	if (d->count > 1) {
		json_str(w, "since", when_rfc3339(a, d->first));
		json_str(w, "until", when_rfc3339(a, d->last));
	}
	json_close(w);
	return json_text(w);
}

static void
add_row(struct refusals *f, struct batch *b, struct fold *d)
{
	audit_add(b,
	    &(struct audit_entry){
		.actor = text(&d->actor),
		.action = "request.refuse",
		.object = d->object.n > 0 ? text(&d->object) : STR_NONE,
		.order = text(&d->order),
		.account = text(&d->account),
		.detail = write_detail(f->task.arena, d),
	    });
	f->rows++;
	f->told += d->count;
	d->count = 0;
	d->due = false;
}

static void
write_due(void *arg)
{
	struct refusals *f = arg;
	struct batch *b;

	if (f->writing)
		return;
	task_init(&f->task);
	b = store_new_batch(f->store, &f->task, STR(""));
	f->rows = f->told = 0;
	for (size_t i = 0; i < FOLDS && f->rows < ROWS_MAX; i++)
		if (f->folds[i].used && f->folds[i].due)
			add_row(f, b, &f->folds[i]);
	if (f->rows == 0) {
		store_drop_batch(b);
		task_end(&f->task);
		return;
	}
	f->writing = true;
	(void)store_send_batch(b, on_written, f);
}

static enum step
on_written(void *arg, const struct store_result *r)
{
	struct refusals *f = arg;

	if (r->status == STORE_OK) {
		metrics_add(METRIC_refusal_rows, (int64_t)f->rows);
	} else {
		metrics_add(METRIC_refusals_lost, (int64_t)f->told);
		log_sampled(LOG_WARN, 1,
		    "refusals have no row in the audit "
		    "trail",
		    LOG_INT("refusals", (int64_t)f->told),
		    LOG_TEXT("cause", store_cause(r)));
	}
	f->writing = false;
	task_end(&f->task);
	loop_defer(f->loop, &f->write); /* perhaps there are more by now */
	return STEP_DONE;
}

/* Its window is over: a row for what came, or an end to it. */
static void
close_window(struct refusals *f, struct fold *d, int64_t now)
{
	if (d->count > 0) {
		d->due = true;
		if (d->window < WINDOW_MAX)
			d->window *= 2;
		if (d->window > WINDOW_MAX)
			d->window = WINDOW_MAX;
		d->until = now + d->window;
		return;
	}
	if (d < &f->folds[REFUSALS_MAX])
		f->nused--;
	memset(d, 0, sizeof(*d));
}

static void
on_tick(void *arg)
{
	struct refusals *f = arg;
	int64_t now = loop_mono(f->loop);
	bool any = false;

	for (size_t i = 0; i < FOLDS; i++) {
		struct fold *d = &f->folds[i];

		if (d->used && !d->due && d->until <= now)
			close_window(f, d, now);
		any = any || d->used;
	}
	loop_defer(f->loop, &f->write);
	if (any)
		timer_start(&f->tick, TICK);
}

void
refusals_flush(struct refusals *f)
{
	for (size_t i = 0; i < FOLDS; i++)
		if (f->folds[i].used && f->folds[i].count > 0)
			f->folds[i].due = true;
	loop_defer(f->loop, &f->write);
}
