/* SPDX-License-Identifier: ISC */
/*
 * Reconcile: what this node wants becomes what the store knows.
 *
 *	put	each wanted loop and our interest in it, a chunk a batch
 *	drop	what we wanted before this round, the same way; a loop that
 *		nobody wants any more stops
 *
 * Rounds have an id, which our rows carry: what carries another one is old.
 * The first round puts everything. When the set changes after that, only what
 * differs is put and dropped, under the same id; and once an hour the rows are
 * counted, which also says that this node is alive. A round that the store
 * refuses, or a count that is not ours, is followed by one that puts
 * everything again.
 */
#include "certloops/certloops_int.h"

#include <string.h>

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	AGAIN_SECONDS = 5,
	HOURLY_SECONDS = 3600,
	COUNT_CHUNK = 500,     /* rows counted in one batch */
	AT_ONCE = 100,         /* pairs looked after at a start */
	LOOK_USEC = 50 * 1000, /* between two that come after those */
};

/* No name comes after it. */
#define NAME_LAST "\xf4\x8f\xbf\xbf"

static void put_some(struct certloops *);
static enum step on_put(void *, const struct store_result *);
static void count_some(struct certloops *);
static enum step on_counted(void *, const struct store_result *);
static void drop_some(struct certloops *);
static void drop_changed(struct certloops *);
static enum step on_unwanted(void *, const struct store_result *);
static enum step on_dropped(void *, const struct store_result *);

static struct str
round_of(const struct certloops *cl)
{
	return str_make(cl->round, sizeof(cl->round));
}

/* Has the serve config not been good yet? */
static bool
serve_is_silent(const struct certloops *cl)
{
	return cl->served.path != NULL && !cl->served.known;
}

/*
 * An hour behind the last round that told the store of all rows, however many
 * rounds of changes come between: what nobody tells of is forsaken in the end.
 */
static int64_t
next_round(struct certloops *cl, bool failed)
{
	int64_t now = loop_mono(cl->loop), wait;

	if (failed)
		return AGAIN_SECONDS * WHEN_SECOND;
	if (cl->way != RECONCILE_CHANGES)
		cl->seen_at = now;
	wait = cl->seen_at + HOURLY_SECONDS * WHEN_SECOND - now;
	return wait > 0 ? wait : 0;
}

static enum step
end_round(struct certloops *cl, const struct store_result *failed)
{
	cl->reconciling = false;
	wanted_free(&cl->before);
	cl->settled = failed == NULL && cl->whole;
	if (failed != NULL)
		log_warn("while reconciling cert loops",
		    LOG_TEXT("cause", store_cause(failed)));
	else
		cl->reconciled = true;
	/* not before each source was heard: theirs are looked after too */
	cl->looked_after = cl->looked_after || cl->settled;
	task_end(&cl->reconcile);
	timer_start(&cl->again, next_round(cl, failed != NULL));
	if (failed == NULL) {
		served_load(cl);
		certloops_wake(cl);
	}
	return STEP_DONE;
}

/* The part of the round that a turn had no time for. */
static void
go_on(void *arg)
{
	struct certloops *cl = arg;

	if (cl->at < cl->wanted.n)
		put_some(cl);
	else
		drop_changed(cl);
}

void
reconcile_init(struct certloops *cl)
{
	deferred_init(&cl->go_on, go_on, cl);
}

void
reconcile_start(struct certloops *cl)
{
	if (cl->stopped || cl->conf == NULL)
		return;
	if (cl->reconciling)
		task_end(&cl->reconcile); /* a newer set is to be put */
	timer_stop(&cl->again);
	loop_undefer(cl->loop, &cl->go_on);
	task_init(&cl->reconcile);
	cl->reconciling = true;
	cl->change = id_new(cl->reconcile.arena);
	cl->at = cl->at_before = cl->at_old = cl->at_new = 0;
	cl->way = !cl->settled       ? RECONCILE_ALL :
	    cl->before.arena != NULL ? RECONCILE_CHANGES :
				       RECONCILE_COUNT;
	cl->settled = false;
	cl->whole = !serve_is_silent(cl) && !asked_is_silent(cl);
	if (cl->way == RECONCILE_ALL)
		memcpy(cl->round, cl->change.p, sizeof(cl->round));
	if (cl->way == RECONCILE_COUNT)
		count_some(cl);
	else
		put_some(cl);
}

/* Another set is wanted: this one is what the store knows, or never was. */
void
reconcile_replace(struct certloops *cl, struct wanted_set fresh)
{
	wanted_free(&cl->before);
	if (cl->settled)
		cl->before = cl->wanted;
	else
		wanted_free(&cl->wanted);
	cl->wanted = fresh;
	reconcile_start(cl);
}

void
reconcile_stop(struct certloops *cl)
{
	timer_stop(&cl->again);
	loop_undefer(cl->loop, &cl->go_on);
	if (cl->reconciling)
		task_end(&cl->reconcile);
	cl->reconciling = cl->settled = false;
	wanted_free(&cl->before);
}

/* ---- put */

static void
add_audit(struct certloops *cl, struct batch *b, const char *action,
    struct str loop, struct str detail)
{
	store_add(b, SQL_LOOP_AUDIT);
	store_str(b, id_new(cl->reconcile.arena));
	store_str(b, STR("certloopd"));
	store_str(b, str_from(action));
	store_str(b, loop);
	store_str(b, cl->change);
	store_str(b, detail);
}

/*
 * After a start each pair is looked after once: the first ones now, as files
 * may be missing, and many more one after another.
 */
static int64_t
look_after(const struct certloops *cl, size_t i)
{
	if (cl->looked_after)
		return -1;
	return i < AT_ONCE ? 0 : (int64_t)(i - AT_ONCE) * LOOK_USEC;
}

static void
put_loop(struct certloops *cl, struct batch *b, size_t i)
{
	const struct wanted *w = &cl->wanted.v[i];

	store_add(b, SQL_LOOP_PUT);
	store_str(b, w->name);
	store_str(b, str_from(w->source));
	store_str(b, w->names);
	store_str(b, w->profile);
	store_str(b, w->issuer);
	store_str(b, str_from(conf_loop_key_name(w->key_type)));
	store_int(b, w->keep_key);
	store_str(b, cl->change);
	add_audit(cl, b, "loop.want", w->name, STR_NONE);
	store_add(b, SQL_LOOP_WANT);
	store_str(b, w->name);
	store_str(b, cl->options.node);
	store_str(b, round_of(cl));
	store_str(b, w->target);
	store_int(b, look_after(cl, i));
}

/*
 * The one of this name in a sorted set, for who asks for name after name: *at
 * moves on to where it is, or would be.
 */
static const struct wanted *
find_next(const struct wanted_set *s, size_t *at, struct str name)
{
	int order = 1;

	while (*at < s->n && (order = str_cmp(s->v[*at].name, name)) < 0)
		(*at)++;
	return *at < s->n && order == 0 ? &s->v[*at] : NULL;
}

/* Is all of it in the store already? */
static bool
is_put(struct certloops *cl, const struct wanted *w)
{
	const struct wanted *b = find_next(&cl->before, &cl->at_old, w->name);

	return b != NULL && strcmp(b->source, w->source) == 0 &&
	    str_eq(b->names, w->names) && str_eq(b->profile, w->profile) &&
	    str_eq(b->issuer, w->issuer) && b->key_type == w->key_type &&
	    b->keep_key == w->keep_key && str_eq(b->target, w->target);
}

/* Has this turn had enough of comparing? */
static bool
is_enough(struct certloops *cl, size_t at)
{
	return at % LOOP_SLICE == LOOP_SLICE - 1 && loop_is_late(cl->loop);
}

static void
put_some(struct certloops *cl)
{
	struct batch *b = NULL;
	bool late = false;

	/* sorted by name, so that two nodes take the rows in one order */
	for (unsigned n = 0; cl->at < cl->wanted.n && n < LOOP_CHUNK && !late;
	     cl->at++) {
		const struct wanted *w = &cl->wanted.v[cl->at];

		late = is_enough(cl, cl->at);
		if (cl->way == RECONCILE_CHANGES && is_put(cl, w))
			continue;
		if (b == NULL)
			b = store_new_batch(cl->store, &cl->reconcile, w->name);
		put_loop(cl, b, cl->at);
		n++;
	}
	if (b != NULL)
		(void)store_send_batch(b, on_put, cl);
	else if (late)
		loop_defer(cl->loop, &cl->go_on);
	else if (cl->way == RECONCILE_CHANGES)
		drop_changed(cl);
	else
		drop_some(cl);
}

static enum step
on_put(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;

	if (r->status != STORE_OK)
		return end_round(cl, r);
	put_some(cl);
	return STEP_WAITING;
}

/* ---- count: are all rows there, and ours? */

static void
count_some(struct certloops *cl)
{
	size_t end = cl->at + COUNT_CHUNK;
	struct batch *b;

	if (cl->at == cl->wanted.n) {
		drop_some(cl);
		return;
	}
	if (end > cl->wanted.n)
		end = cl->wanted.n;
	b = store_new_batch(cl->store, &cl->reconcile,
	    cl->wanted.v[cl->at].name);
	store_add(b, SQL_LOOPS_SEEN);
	store_str(b, cl->options.node);
	store_str(b, round_of(cl));
	store_str(b, cl->wanted.v[cl->at].name);
	store_str(b, cl->wanted.v[end - 1].name);
	cl->counted_rows = end - cl->at;
	cl->at = end;
	(void)store_send_batch(b, on_counted, cl);
}

static enum step
on_counted(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;

	if (r->status != STORE_OK)
		return end_round(cl, r);
	if (store_affected(r, 0) == cl->counted_rows) {
		count_some(cl);
		return STEP_WAITING;
	}
	log_warn("the store lost rows of cert loops; they are put again",
	    LOG_INT("rows", cl->counted_rows),
	    LOG_INT("found", store_affected(r, 0)));
	cl->reconciling = false;
	task_end(&cl->reconcile);
	timer_start(&cl->again, 0);
	return STEP_DONE;
}

/* ---- drop */

static void
add_drop(struct certloops *cl, struct batch *b, struct str name,
    struct str node, struct str round)
{
	store_add(b, SQL_LOOP_TAKE);
	store_str(b, name);
	store_add(b, SQL_LOOP_UNWANT);
	store_str(b, name);
	store_str(b, node);
	store_str(b, round);
	store_add(b, SQL_LOOP_STOP);
	store_str(b, name);
	store_str(b, cl->change);
	store_add(b, SQL_LOOP_STRAY_STOPPED);
	store_str(b, id_new(cl->reconcile.arena));
	store_str(b, name);
	store_add(b, SQL_LOOP_LET_GO_STOPPED);
	store_str(b, name);
	add_audit(cl, b, "loop.stop", name, STR_NONE);
}

/* What the set before had and this one has not. */
static void
drop_changed(struct certloops *cl)
{
	struct batch *b = NULL;
	bool late = false;

	for (unsigned n = 0;
	     cl->at_before < cl->before.n && n < LOOP_CHUNK && !late;
	     cl->at_before++) {
		struct str name = cl->before.v[cl->at_before].name;

		late = is_enough(cl, cl->at_before);
		if (find_next(&cl->wanted, &cl->at_new, name) != NULL)
			continue;
		if (b == NULL)
			b = store_new_batch(cl->store, &cl->reconcile, name);
		add_drop(cl, b, name, cl->options.node, round_of(cl));
		n++;
	}
	if (b != NULL)
		(void)store_send_batch(b, on_dropped, cl);
	else if (late)
		loop_defer(cl->loop, &cl->go_on);
	else
		drop_some(cl);
}

/*
 * What the store has of this node, and the round did not put: those between
 * some loops of the set at a time, as all rows would be looked at. Not while a
 * source is silent, as its loops were not put.
 */
static void
add_unwanted(struct certloops *cl, struct batch *b)
{
	const struct wanted_set *w = &cl->wanted;
	size_t end = cl->at_before + COUNT_CHUNK;

	store_add(b, SQL_LOOPS_UNWANTED);
	store_str(b, cl->options.node);
	store_str(b, round_of(cl));
	store_str(b,
	    cl->at_before == 0 ? STR("") : w->v[cl->at_before - 1].name);
	store_str(b, end < w->n ? w->v[end - 1].name : STR(NAME_LAST));
	store_int(b, LOOP_CHUNK);
}

static bool
looks_for_unwanted(const struct certloops *cl)
{
	return cl->way == RECONCILE_ALL && cl->whole &&
	    cl->at_before <= cl->wanted.n;
}

static void
drop_some(struct certloops *cl)
{
	struct batch *b = store_new_batch(cl->store, &cl->reconcile, STR(""));

	store_add(b, SQL_LOOPS_FORSAKEN);
	store_int(b, LOOP_CHUNK);
	if (looks_for_unwanted(cl))
		add_unwanted(cl, b);
	(void)store_send_batch(b, on_unwanted, cl);
}

/* Both statements return the same columns in the same order. */
static enum step
on_unwanted(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;
	unsigned stmts = looks_for_unwanted(cl) ? 2 : 1;
	struct batch *b;
	size_t n = 0;

	if (r->status != STORE_OK)
		return end_round(cl, r);
	b = store_new_batch(cl->store, &cl->reconcile, STR(""));
	for (unsigned stmt = 0; stmt < stmts; stmt++)
		for (size_t i = 0; i < store_nrows(r, stmt); i++, n++)
			add_drop(cl, b,
			    store_get_str(r, stmt, i, LOOPS_UNWANTED_LOOP),
			    store_get_str(r, stmt, i, LOOPS_UNWANTED_NODE),
			    store_get_str(r, stmt, i, LOOPS_UNWANTED_ROUND));
	if (n > 0)
		return store_send_batch(b, on_dropped, cl);
	store_drop_batch(b);
	if (stmts == 2) {
		cl->at_before += COUNT_CHUNK;
		if (looks_for_unwanted(cl)) {
			drop_some(cl);
			return STEP_WAITING;
		}
	}
	return end_round(cl, NULL);
}

static enum step
on_dropped(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;

	if (r->status != STORE_OK)
		return end_round(cl, r);
	if (cl->way == RECONCILE_CHANGES)
		drop_changed(cl);
	else
		drop_some(cl);
	return STEP_WAITING;
}
