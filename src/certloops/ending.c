/* SPDX-License-Identifier: ISC */
/*
 * Pairs that come to their end unrenewed: a line in the log, an audit row and
 * a count when 30, 14, 7 and 1 days are left, and when it is over. Each is
 * told once in the fleet: a guarded step of the loop's row.
 */
#include "certloops/certloops_int.h"

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

/* The statements of one warning. */
enum { WARN, AUDIT, STATEMENTS };

static enum step
on_warned(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;
	struct ending *e = &cl->ending;

	if (r->status != STORE_OK) /* the next count tries again */
		log_sampled(LOG_WARN, 1, "while warning of cert loops",
		    LOG_TEXT("cause", store_cause(r)));
	for (size_t i = 0; r->status == STORE_OK && i < e->n; i++) {
		const struct ending_loop *l = &e->v[i];

		if (store_affected(r, i * STATEMENTS + WARN) == 0)
			continue; /* another has, or it was renewed */
		metrics_count(FAMILY_loop_warnings, l->days);
		log_warn(l->left > 0 ?
			"a cert loop's certificate ends soon, unrenewed" :
			"a cert loop's certificate has ended, unrenewed",
		    LOG_STR("loop", l->name), LOG_STR("serial", l->serial),
		    LOG_STR("expires",
			when_rfc3339(e->task.arena, l->not_after)),
		    LOG_INT("days", l->left));
	}
	ending_stop(cl);
	return STEP_DONE;
}

static void
take_row(struct ending *e, struct ending_loop *l, const struct store_result *r,
    unsigned s, size_t i)
{
	struct arena *a = e->task.arena;

	l->name = str_dup(a, store_get_str(r, s, i, LOOPS_ENDING_NAME));
	l->serial = str_dup(a, store_get_str(r, s, i, LOOPS_ENDING_SERIAL));
	l->not_after = store_get_int(r, s, i, LOOPS_ENDING_NOT_AFTER);
	l->left = store_get_int(r, s, i, LOOPS_ENDING_LEFT_DAYS);
	l->days = str_printf(a, "%d", (int)l->left).p;
}

static void
add_warning(struct ending *e, struct batch *b, const struct ending_loop *l,
    int64_t warned)
{
	struct arena *a = e->task.arena;
	struct str round = id_new(a);

	store_add(b, SQL_LOOP_WARN);
	store_str(b, l->name);
	store_int(b, warned);
	store_str(b, l->serial);
	store_int(b, l->left);
	store_str(b, round);
	store_add(b, SQL_LOOP_AUDIT);
	store_str(b, id_new(a));
	store_str(b, STR("certloopd"));
	store_str(b, l->left > 0 ? STR("loop.ending") : STR("loop.ended"));
	store_str(b, l->name);
	store_str(b, round);
	store_str(b,
	    str_printf(a, "{\"days\":%s,\"serial\":\"" STR_FMT "\"}", l->days,
		STR_ARG(l->serial)));
}

void
ending_warn(struct certloops *cl, const struct store_result *r, unsigned s)
{
	struct ending *e = &cl->ending;
	struct batch *b;

	if (e->is_telling || cl->stopped || store_nrows(r, s) == 0)
		return;
	e->is_telling = true;
	task_init(&e->task);
	e->n = store_nrows(r, s);
	e->v = arena_array(e->task.arena, struct ending_loop, e->n);
	b = store_new_batch(cl->store, &e->task,
	    store_get_str(r, s, 0, LOOPS_ENDING_NAME));
	for (size_t i = 0; i < e->n; i++) {
		take_row(e, &e->v[i], r, s, i);
		add_warning(e, b, &e->v[i],
		    store_get_int(r, s, i, LOOPS_ENDING_WARNED));
	}
	(void)store_send_batch(b, on_warned, cl);
}

void
ending_stop(struct certloops *cl)
{
	if (cl->ending.is_telling)
		task_end(&cl->ending.task);
	cl->ending = (struct ending){ 0 };
}
