/* SPDX-License-Identifier: ISC */
/*
 * Reconcile: what this node wants becomes what the store knows.
 *
 *	put	each wanted loop and our interest in it, a chunk a batch
 *	drop	what we wanted before this round, the same way; a loop that
 *		nobody wants any more stops
 *
 * Each round has an id, which the rows carry: what carries another one is
 * old. A round that the store refuses is begun again later; one is done every
 * hour in any case, which also says that this node is alive.
 */
#include "certloops/certloops_int.h"

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { AGAIN_SECONDS = 5, HOURLY_SECONDS = 3600 };

static void put_some(struct certloops *);
static enum step on_put(void *, const struct store_result *);
static void drop_some(struct certloops *);
static enum step on_unwanted(void *, const struct store_result *);
static enum step on_dropped(void *, const struct store_result *);

static void
end_round(struct certloops *cl, const struct store_result *failed)
{
	cl->reconciling = false;
	if (failed != NULL)
		log_warn("while reconciling cert loops",
		    LOG_TEXT("cause", store_cause(failed)));
	else
		cl->reconciled = cl->looked_after = true;
	task_end(&cl->reconcile);
	timer_start(&cl->again,
	    (failed != NULL ? AGAIN_SECONDS : HOURLY_SECONDS) * WHEN_SECOND);
	if (failed == NULL) {
		served_load(cl);
		certloops_wake(cl);
	}
}

void
reconcile_start(struct certloops *cl)
{
	if (cl->stopped || cl->conf == NULL)
		return;
	if (cl->reconciling)
		task_end(&cl->reconcile); /* a newer set is to be put */
	timer_stop(&cl->again);
	task_init(&cl->reconcile);
	cl->reconciling = true;
	cl->round = id_new(cl->reconcile.arena);
	cl->at = 0;
	put_some(cl);
}

void
reconcile_stop(struct certloops *cl)
{
	timer_stop(&cl->again);
	if (cl->reconciling)
		task_end(&cl->reconcile);
	cl->reconciling = false;
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
	store_str(b, cl->round);
	store_str(b, detail);
}

static void
put_loop(struct certloops *cl, struct batch *b, const struct wanted *w)
{
	store_add(b, SQL_LOOP_PUT);
	store_str(b, w->name);
	store_str(b, str_from(w->source));
	store_str(b, w->names);
	store_str(b, w->profile);
	store_str(b, w->issuer);
	store_str(b, str_from(wanted_key_name(w->key_type)));
	store_int(b, w->keep_key);
	store_str(b, cl->round);
	add_audit(cl, b, "loop.want", w->name, STR_NONE);
	store_add(b, SQL_LOOP_WANT);
	store_str(b, w->name);
	store_str(b, cl->options.node);
	store_str(b, cl->round);
	store_str(b, w->target);
	store_int(b, !cl->looked_after);
}

static void
put_some(struct certloops *cl)
{
	size_t end = cl->at + LOOP_CHUNK;
	struct batch *b;

	if (cl->at == cl->wanted.n) {
		drop_some(cl);
		return;
	}
	if (end > cl->wanted.n)
		end = cl->wanted.n;
	/* sorted by name, so that two nodes take the rows in one order */
	b = store_new_batch(cl->store, &cl->reconcile,
	    cl->wanted.v[cl->at].name);
	for (; cl->at < end; cl->at++)
		put_loop(cl, b, &cl->wanted.v[cl->at]);
	(void)store_send_batch(b, on_put, cl);
}

static enum step
on_put(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;

	if (r->status != STORE_OK) {
		end_round(cl, r);
		return STEP_DONE;
	}
	put_some(cl);
	return STEP_WAITING;
}

/* ---- drop */

static void
drop_some(struct certloops *cl)
{
	struct batch *b = store_new_batch(cl->store, &cl->reconcile, STR(""));

	store_add(b, SQL_LOOPS_UNWANTED);
	store_str(b, cl->options.node);
	store_str(b, cl->round);
	/* names of before stay until the serve config has been good once */
	store_str(b,
	    cl->served.path != NULL && !cl->served.known ? STR("serve") :
							   STR(""));
	store_int(b, LOOP_CHUNK);
	store_add(b, SQL_LOOPS_FORSAKEN);
	store_int(b, LOOP_CHUNK);
	(void)store_send_batch(b, on_unwanted, cl);
}

/* Both statements return the same columns in the same order. */
static void
drop_row(struct certloops *cl, struct batch *b, const struct store_result *r,
    unsigned stmt, size_t i)
{
	struct str name = store_get_str(r, stmt, i, LOOPS_UNWANTED_LOOP);

	store_add(b, SQL_LOOP_TAKE);
	store_str(b, name);
	store_add(b, SQL_LOOP_UNWANT);
	store_str(b, name);
	store_str(b, store_get_str(r, stmt, i, LOOPS_UNWANTED_NODE));
	store_str(b, store_get_str(r, stmt, i, LOOPS_UNWANTED_ROUND));
	store_add(b, SQL_LOOP_STOP);
	store_str(b, name);
	store_str(b, cl->round);
	add_audit(cl, b, "loop.stop", name, STR_NONE);
}

static enum step
on_unwanted(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;
	struct batch *b;
	size_t n = 0;

	if (r->status != STORE_OK) {
		end_round(cl, r);
		return STEP_DONE;
	}
	b = store_new_batch(cl->store, &cl->reconcile, STR(""));
	for (unsigned stmt = 0; stmt < 2; stmt++)
		for (size_t i = 0; i < store_nrows(r, stmt); i++, n++)
			drop_row(cl, b, r, stmt, i);
	if (n > 0)
		return store_send_batch(b, on_dropped, cl);
	store_drop_batch(b);
	end_round(cl, NULL);
	return STEP_DONE;
}

static enum step
on_dropped(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;

	if (r->status != STORE_OK) {
		end_round(cl, r);
		return STEP_DONE;
	}
	drop_some(cl);
	return STEP_WAITING;
}
