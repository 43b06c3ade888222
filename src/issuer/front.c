/* SPDX-License-Identifier: ISC */
/*
 * What stands before every issuer, so that one which is slow or away harms
 * nobody but who needs it: so many requests at once and no more, so many that
 * wait, and a breaker.
 *
 *	CLOSED		requests pass
 *	OPEN		too many failures in a row: refused at once, for a while
 *	HALF_OPEN	the while is over: a test is under way, which signs
 *			nothing; it decides which of the others is next
 *
 * After a test that went well one more failure opens it again: Vault may say
 * who we are and yet not sign. The while doubles each time, until a request
 * has succeeded. Only what tells of an issuer that is not there counts: no
 * answer, no connection, an error of its own.
 */
#include "issuer/front.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum breaker { CLOSED, HALF_OPEN, OPEN }; /* as the gauge says */

enum { WHY_MAX = 300 };
#define REST_MAX WHEN_MINUTE

enum kind { SIGN, REVOKE, TEST };

TAILQ_HEAD(turn_queue, turn);

struct issuer_front {
	struct issuer *issuer;
	struct loop *loop;
	struct issuer_bounds bounds;
	bool stopped;
	unsigned running, queued;
	struct turn_queue queue;
	enum breaker breaker;
	unsigned failures; /* in a row */
	int64_t rest;      /* usec: the next while */
	int64_t until;     /* by loop_mono: the end of this one */
	enum issuer_class class;
	char why[WHY_MAX]; /* of the last failure */
	struct timer timer;
	struct task probe;
	struct metrics_child *breaker_gauge, *running_gauge, *queued_gauge;
};

/* A request from its caller to the driver and back. */
struct turn {
	struct op op;     /* on the caller's task */
	struct task task; /* that the driver serves; its arena holds this */
	TAILQ_ENTRY(turn) entry;
	struct issuer *issuer; /* held */
	enum kind kind;
	enum { WAITS, RUNS, REFUSED } state;
	struct issuer_request rq; /* copied, if it waits */
	struct str serial;
	struct timer timer; /* as long as it may wait */
	struct deferred tell;
	struct issuer_result result; /* if we refuse it */
	int64_t began;
	issuer_fn *fn;
	void *arg;
};

static void on_answer(void *, const struct issuer_result *);

/* ---- the breaker */

static void
set_breaker(struct issuer_front *f, enum breaker state)
{
	f->breaker = state;
	metrics_child_set(f->breaker_gauge, state);
}

static void refuse_waiting(struct issuer_front *);

static void
open_breaker(struct issuer_front *f, unsigned retry_after)
{
	int64_t rest = f->rest;

	if (retry_after * WHEN_SECOND > rest && retry_after <= 600)
		rest = retry_after * WHEN_SECOND;
	f->rest = f->rest * 2 < REST_MAX ? f->rest * 2 : REST_MAX;
	if (f->rest < f->bounds.rest)
		f->rest = f->bounds.rest;
	f->until = loop_mono(f->loop) + rest;
	timer_start(&f->timer, rest);
	set_breaker(f, OPEN);
	metrics_count(FAMILY_issuer_breaker_opened, f->issuer->name);
	log_warn("an issuer is not asked for a while",
	    LOG_TEXT("issuer", f->issuer->name),
	    LOG_INT("failures", f->failures),
	    LOG_TEXT("class", issuer_class_name(f->class)),
	    LOG_TEXT("cause", f->why), LOG_INT("rest_ms", rest / 1000));
	refuse_waiting(f);
}

static void
close_breaker(struct issuer_front *f)
{
	if (f->breaker == CLOSED)
		return;
	timer_stop(&f->timer);
	task_detach(&f->probe);
	set_breaker(f, CLOSED);
	log_info("an issuer is asked again",
	    LOG_TEXT("issuer", f->issuer->name));
}

static bool
is_absence(const struct issuer_result *r)
{
	return r->class == ISSUER_TIMEOUT || r->class == ISSUER_NETWORK ||
	    r->class == ISSUER_UPSTREAM_5XX;
}

static void
keep_why(struct issuer_front *f, const struct issuer_result *r)
{
	struct arena *a = arena_create();
	struct str why = str_show(a, problem_reason(r->problem), WHY_MAX - 1);

	f->class = r->class;
	snprintf(f->why, sizeof(f->why), STR_FMT, STR_ARG(why));
	arena_destroy(a);
}

/* What an answer of the issuer says about the issuer. */
static void
judge(struct issuer_front *f, const struct issuer_result *r)
{
	if (r->unasked || f->bounds.failures_max == 0 || f->stopped)
		return;
	if (!is_absence(r)) {
		f->failures = 0;
		f->rest = f->bounds.rest;
		close_breaker(f);
		return;
	}
	keep_why(f, r);
	f->failures++;
	if (f->breaker == CLOSED && f->failures >= f->bounds.failures_max)
		open_breaker(f, r->retry_after);
}

static void
on_probed(void *arg, const struct issuer_result *r)
{
	struct issuer_front *f = arg;

	if (!r->unasked && is_absence(r)) {
		keep_why(f, r);
		f->failures++;
		open_breaker(f, r->retry_after);
		return;
	}
	f->failures = f->bounds.failures_max - 1;
	close_breaker(f);
}

static void
on_rested(void *arg)
{
	struct issuer_front *f = arg;

	set_breaker(f, HALF_OPEN);
	if (f->issuer->ops->test != NULL) {
		f->issuer->ops->test(f->issuer, &f->probe, on_probed, f);
	} else {
		f->failures = f->bounds.failures_max - 1;
		close_breaker(f);
	}
}

/* Seconds until it is worth while to come again. */
static unsigned
seconds_to_rest(const struct issuer_front *f)
{
	int64_t left = f->until - loop_mono(f->loop);

	return left > 0 ? (unsigned)((left + WHEN_SECOND - 1) / WHEN_SECOND) :
			  1;
}

static struct problem *
resting_problem(struct issuer_front *f, struct arena *a)
{
	struct problem *pr = problem_cause(a, PROBLEM_UNAVAILABLE,
	    "issuer %s: it is not asked now, since %u requests in a row "
	    "failed; the last: %s",
	    f->issuer->name, f->failures, f->why);

	pr->retry_after = seconds_to_rest(f);
	metrics_count(FAMILY_issuer_refusals, f->issuer->name, "breaker");
	return pr;
}

const struct problem *
issuer_check_rest(const struct issuer *issuer, struct arena *a)
{
	struct issuer_front *f = issuer->front;

	return f->breaker != CLOSED ? resting_problem(f, a) : NULL;
}

bool
issuer_is_resting(const struct issuer *issuer)
{
	return issuer->front->breaker != CLOSED;
}

const char *
issuer_trouble(const struct issuer *issuer, struct arena *a)
{
	const struct issuer_front *f = issuer->front;

	if (f->breaker != CLOSED)
		return str_printf(a, "it is not asked now (%s): %s",
		    issuer_class_name(f->class), f->why)
		    .p;
	return issuer->ops->trouble != NULL ? issuer->ops->trouble(issuer, a) :
					      NULL;
}

/* ---- turns */

static void
free_turn(struct turn *t)
{
	struct issuer *issuer = t->issuer;

	timer_stop(&t->timer);
	loop_undefer(issuer->front->loop, &t->tell);
	task_end(&t->task);
	issuer_let_go(issuer);
}

static void
leave_queue(struct issuer_front *f, struct turn *t)
{
	TAILQ_REMOVE(&f->queue, t, entry);
	timer_stop(&t->timer);
	f->queued--;
	metrics_child_add(f->queued_gauge, -1);
}

/* It is not the driver's any more. */
static void
leave_driver(struct issuer_front *f)
{
	f->running--;
	metrics_child_add(f->running_gauge, -1);
}

static void
ask(struct issuer_front *f, struct turn *t, const struct issuer_request *rq)
{
	struct issuer *issuer = f->issuer;

	t->state = RUNS;
	t->began = loop_mono(f->loop);
	f->running++;
	metrics_child_add(f->running_gauge, 1);
	switch (t->kind) {
	case SIGN:
		issuer->ops->sign(issuer, &t->task, rq, on_answer, t);
		break;
	case REVOKE:
		issuer->ops->revoke(issuer, &t->task, t->serial, on_answer, t);
		break;
	case TEST:
		issuer->ops->test(issuer, &t->task, on_answer, t);
		break;
	}
}

static bool
has_room(const struct issuer_front *f)
{
	return f->bounds.running_max == 0 || f->running < f->bounds.running_max;
}

static void
ask_next(struct issuer_front *f)
{
	struct turn *t;

	while (has_room(f) && (t = TAILQ_FIRST(&f->queue)) != NULL) {
		leave_queue(f, t);
		ask(f, t, &t->rq);
	}
}

static void
detach(struct op *op)
{
	struct turn *t = (struct turn *)(void *)op;
	struct issuer_front *f = t->issuer->front;

	if (t->state == WAITS) {
		leave_queue(f, t);
	} else if (t->state == RUNS) {
		leave_driver(f);
		task_detach(&t->task);
		ask_next(f);
	}
	free_turn(t);
}

static void
count(const struct turn *t, const struct issuer_result *r)
{
	const struct issuer_front *f = t->issuer->front;
	const char *name = t->issuer->name;

	if (t->kind != SIGN)
		return;
	if (!r->unasked)
		metrics_hist_observe(metrics_hist(HIST_issuance_seconds, name),
		    (double)(loop_mono(f->loop) - t->began) / WHEN_SECOND);
	if (r->problem != NULL && !r->absent)
		metrics_count(FAMILY_issuance_failures, name,
		    issuer_class_name(r->class));
}

static void
on_answer(void *arg, const struct issuer_result *r)
{
	struct turn *t = arg;
	struct issuer_front *f = t->issuer->front;

	leave_driver(f);
	count(t, r);
	judge(f, r);
	ask_next(f);
	op_done(&t->op);
	t->fn(t->arg, r);
	free_turn(t);
}

/* ---- refusals */

static void
tell(void *arg)
{
	struct turn *t = arg;

	op_done(&t->op);
	t->fn(t->arg, &t->result);
	free_turn(t);
}

static void
refuse(struct turn *t, enum issuer_class class, struct problem *pr)
{
	t->state = REFUSED;
	t->result = (struct issuer_result){ .problem = pr,
		.class = class,
		.again = true,
		.unasked = true,
		.retry_after = pr->retry_after };
	loop_defer(t->issuer->front->loop, &t->tell);
}

static void
refuse_resting(struct turn *t)
{
	struct issuer_front *f = t->issuer->front;

	refuse(t, f->class, resting_problem(f, t->task.arena));
	t->result.resting = true;
}

static void
refuse_waiting(struct issuer_front *f)
{
	struct turn *t;

	while ((t = TAILQ_FIRST(&f->queue)) != NULL) {
		leave_queue(f, t);
		refuse_resting(t);
	}
}

static void
refuse_stopped(struct turn *t)
{
	refuse(t, ISSUER_NETWORK,
	    problem_cause(t->task.arena, PROBLEM_UNAVAILABLE,
		"issuer %s: it has been stopped", t->issuer->name));
}

static void
refuse_full(struct turn *t, const char *reason, const char *text)
{
	struct problem *pr = problem_cause(t->task.arena, PROBLEM_UNAVAILABLE,
	    "issuer %s: %s", t->issuer->name, text);

	pr->retry_after = 1;
	refuse(t, ISSUER_RATE_LIMITED, pr);
	count(t, &t->result);
	metrics_count(FAMILY_issuer_refusals, t->issuer->name, reason);
}

static void
on_waited(void *arg)
{
	struct turn *t = arg;

	leave_queue(t->issuer->front, t);
	refuse_full(t, "queue_wait",
	    "no request under way has ended in the time that one may take");
}

/* ---- the callers' side */

static void
copy_request(struct arena *a, struct issuer_request *to,
    const struct issuer_request *from)
{
	struct pki_names *names = arena_new(a, struct pki_names);

	*to = *from;
	to->csr = str_dup(a, from->csr);
	to->spki = str_dup(a, from->spki);
	to->cn = from->cn.p != NULL ? str_dup(a, from->cn) : STR_NONE;
	*names = pki_names_copy(a, from->names);
	to->names = names;
}

static struct turn *
new_turn(struct issuer *issuer, struct task *caller, enum kind kind,
    issuer_fn *fn, void *arg)
{
	struct loop *loop = issuer->front->loop;
	struct arena *a = arena_create();
	struct turn *t = arena_new(a, struct turn);

	task_init_in(&t->task, a);
	t->op.detach = detach;
	t->issuer = issuer_hold(issuer);
	t->kind = kind;
	t->fn = fn;
	t->arg = arg;
	timer_init(&t->timer, loop, on_waited, t);
	deferred_init(&t->tell, tell, t);
	task_wait(caller, &t->op);
	return t;
}

static void
take_turn(struct turn *t, const struct issuer_request *rq)
{
	struct issuer_front *f = t->issuer->front;

	if (f->breaker != CLOSED) {
		refuse_resting(t);
	} else if (has_room(f)) {
		ask(f, t, rq);
	} else if (f->stopped) {
		refuse_stopped(t);
	} else if (f->queued >= f->bounds.queue_max) {
		refuse_full(t, "queue_full", "too many requests under way");
	} else {
		if (rq != NULL)
			copy_request(t->task.arena, &t->rq, rq);
		t->state = WAITS;
		TAILQ_INSERT_TAIL(&f->queue, t, entry);
		f->queued++;
		metrics_child_add(f->queued_gauge, 1);
		timer_start(&t->timer, f->bounds.queue_wait);
	}
}

void
issuer_sign(struct issuer *issuer, struct task *task,
    const struct issuer_request *rq, issuer_fn *fn, void *arg)
{
	take_turn(new_turn(issuer, task, SIGN, fn, arg), rq);
}

void
issuer_revoke(struct issuer *issuer, struct task *task, struct str serial,
    issuer_fn *fn, void *arg)
{
	struct turn *t = new_turn(issuer, task, REVOKE, fn, arg);

	t->serial = str_dup(t->task.arena, serial);
	take_turn(t, NULL);
}

/* Asked in any case: who tests wants to know how it is now. */
void
issuer_test(struct issuer *issuer, struct task *task, issuer_fn *fn, void *arg)
{
	ask(issuer->front, new_turn(issuer, task, TEST, fn, arg), NULL);
}

/* ---- life */

void
issuer_init(struct issuer *issuer, const struct issuer_ops *ops,
    const char *name, struct loop *loop, const struct issuer_bounds *bounds)
{
	struct issuer_front *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	snprintf(issuer->name, sizeof(issuer->name), "%s", name);
	issuer->ops = ops;
	issuer->refs = 1;
	issuer->front = f;
	f->issuer = issuer;
	f->loop = loop;
	f->bounds = *bounds;
	f->rest = bounds->rest;
	TAILQ_INIT(&f->queue);
	timer_init(&f->timer, loop, on_rested, f);
	task_init(&f->probe);
	f->breaker_gauge = metrics_child(FAMILY_issuer_breaker, issuer->name);
	f->running_gauge = metrics_child(FAMILY_issuer_running, issuer->name);
	f->queued_gauge = metrics_child(FAMILY_issuer_queued, issuer->name);
}

void
issuer_start(struct issuer *issuer)
{
	struct issuer_front *f = issuer->front;

	f->stopped = false;
	set_breaker(f, CLOSED);
	if (issuer->ops->start != NULL)
		issuer->ops->start(issuer);
}

void
issuer_stop(struct issuer *issuer)
{
	struct issuer_front *f = issuer->front;
	struct turn *t;

	f->stopped = true;
	timer_stop(&f->timer);
	task_detach(&f->probe);
	f->breaker = CLOSED; /* the gauge is the next one's */
	while ((t = TAILQ_FIRST(&f->queue)) != NULL) {
		leave_queue(f, t);
		refuse_stopped(t);
	}
	if (issuer->ops->stop != NULL)
		issuer->ops->stop(issuer);
}

void
issuer_release(struct issuer *issuer)
{
	struct issuer_front *f = issuer->front;

	timer_stop(&f->timer);
	task_end(&f->probe);
	free(f);
}
