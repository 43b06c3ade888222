/* SPDX-License-Identifier: ISC */
/* What stands before every issuer: bounds, the queue, the breaker, figures. */
#include "../unit.h"

#include <stdlib.h>

#include "base/when.h"
#include "issuer/front.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { CALLS_MAX = 16 };

/* A request that has reached the driver. */
struct call {
	struct op op;
	struct deferred answer;
	struct fx *fx;
	struct issuer_result result;
	issuer_fn *fn;
	void *arg;
	bool test, over;
	size_t ndns;
	struct str first; /* name that it is about */
};

struct fx {
	struct issuer issuer; /* first */
	struct arena *a;
	struct loop *loop;
	struct task task;
	struct call calls[CALLS_MAX];
	size_t ncalls, tests;
	enum issuer_class tests_say;
	unsigned stops;
	struct issuer_request rq;
	struct pki_names names;
	struct str dns;
};

/* What a caller heard. */
struct told {
	unsigned calls;
	struct issuer_result r;
	enum problem_type type;
	char cause[200];
};

static void
say(void *arg)
{
	struct call *c = arg;

	c->over = true;
	op_done(&c->op);
	c->fn(c->arg, &c->result);
}

static void
cut(struct op *op)
{
	struct call *c = (struct call *)(void *)op;

	loop_undefer(c->fx->loop, &c->answer);
	c->over = true;
}

static struct call *
take(struct issuer *issuer, struct task *t, issuer_fn *fn, void *arg)
{
	struct fx *fx = (struct fx *)(void *)issuer;
	struct call *c = &fx->calls[fx->ncalls++];

	assert_true(fx->ncalls <= CALLS_MAX);
	*c = (struct call){ .fx = fx, .fn = fn, .arg = arg };
	c->op.detach = cut;
	deferred_init(&c->answer, say, c);
	task_wait(t, &c->op);
	return c;
}

static const struct problem gone = { .type = PROBLEM_UNAVAILABLE,
	.cause = "nobody there" };

static void
answer(struct fx *fx, size_t i, enum issuer_class class)
{
	struct call *c = &fx->calls[i];

	c->result = (struct issuer_result){ .class = class,
		.problem = class != ISSUER_OK ? &gone : NULL };
	loop_defer(fx->loop, &c->answer);
}

static void
toy_sign(struct issuer *issuer, struct task *t, const struct issuer_request *rq,
    issuer_fn *fn, void *arg)
{
	struct call *c = take(issuer, t, fn, arg);

	c->ndns = rq->names->ndns;
	c->first = str_dup(c->fx->a, rq->names->dns[0]);
}

static void
toy_revoke(struct issuer *issuer, struct task *t, struct str serial,
    issuer_fn *fn, void *arg)
{
	take(issuer, t, fn, arg)->first = str_dup(((struct fx *)issuer)->a,
	    serial);
}

static void
toy_test(struct issuer *issuer, struct task *t, issuer_fn *fn, void *arg)
{
	struct fx *fx = (struct fx *)(void *)issuer;

	take(issuer, t, fn, arg)->test = true;
	fx->tests++;
	answer(fx, fx->ncalls - 1, fx->tests_say);
}

static void
toy_stop(struct issuer *issuer)
{
	((struct fx *)(void *)issuer)->stops++;
}

static const struct issuer_ops toy_ops = { .type = "toy",
	.stop = toy_stop,
	.sign = toy_sign,
	.revoke = toy_revoke,
	.test = toy_test };

static int
begin_with(void **state, const struct issuer_bounds *bounds)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	log_set(&(struct log_options){ .level = LOG_ERROR });
	metrics_reset();
	fx->a = arena_create();
	fx->loop = loop_new();
	task_init(&fx->task);
	fx->dns = STR("a.example");
	fx->names = (struct pki_names){ .dns = &fx->dns, .ndns = 1 };
	fx->rq = (struct issuer_request){ .csr = STR("csr"),
		.spki = STR("spki"),
		.names = &fx->names };
	issuer_init(&fx->issuer, &toy_ops, "toy", fx->loop, bounds);
	issuer_start(&fx->issuer);
	*state = fx;
	return 0;
}

static int
begin(void **state)
{
	return begin_with(state,
	    &(struct issuer_bounds){ .running_max = 2,
		.queue_max = 2,
		.queue_wait = 50000,
		.failures_max = 3,
		.rest = 30000 });
}

static int
end(void **state)
{
	struct fx *fx = *state;

	issuer_stop(&fx->issuer);
	task_end(&fx->task);
	assert_int_equal(fx->issuer.refs, 1); /* nobody holds it any more */
	issuer_release(&fx->issuer);
	loop_free(fx->loop);
	arena_destroy(fx->a);
	free(fx);
	return 0;
}

static void
on_result(void *arg, const struct issuer_result *r)
{
	struct told *t = arg;

	t->calls++;
	t->r = *r;
	if (r->problem == NULL)
		return;
	t->type = r->problem->type;
	snprintf(t->cause, sizeof(t->cause), "%s", r->problem->cause);
}

static void
sign(struct fx *fx, struct told *t)
{
	issuer_sign(&fx->issuer, &fx->task, &fx->rq, on_result, t);
}

static void
turn(struct fx *fx)
{
	for (int i = 0; i < 4; i++)
		loop_turn(fx->loop, LOOP_POLL);
}

static void
set_true(void *arg)
{
	*(bool *)arg = true;
}

static void
wait(struct fx *fx, int64_t usec)
{
	bool over = false;
	struct timer t;

	timer_init(&t, fx->loop, set_true, &over);
	timer_start(&t, usec);
	while (!over)
		loop_turn(fx->loop, LOOP_WAIT);
}

static void
wait_tests(struct fx *fx, size_t n)
{
	while (fx->tests < n)
		loop_turn(fx->loop, LOOP_WAIT);
}

static int64_t
failures(const char *class)
{
	return metrics_child_get(
	    metrics_child(FAMILY_issuance_failures, "toy", class));
}

static int64_t
refusals(const char *why)
{
	return metrics_child_get(
	    metrics_child(FAMILY_issuer_refusals, "toy", why));
}

static int64_t
gauge(enum family f)
{
	return metrics_child_get(metrics_child(f, "toy"));
}

/* Fail until the breaker is open. */
static void
break_it(struct fx *fx)
{
	struct told t = { 0 };

	for (int i = 0; i < 3; i++) {
		sign(fx, &t);
		answer(fx, fx->ncalls - 1, ISSUER_NETWORK);
		turn(fx);
	}
	assert_int_equal(t.calls, 3);
	assert_int_equal(gauge(FAMILY_issuer_breaker), 2);
}

/* ---- bounds */

static void
what_is_beyond_the_bound_waits_in_turn(void **state)
{
	struct fx *fx = *state;
	struct told t[4] = { 0 };

	for (int i = 0; i < 4; i++) {
		fx->dns = str_printf(fx->a, "n%d.example", i);
		sign(fx, &t[i]);
	}
	fx->dns = STR("overwritten.example"); /* the queue has copies */
	assert_int_equal(fx->ncalls, 2);
	assert_int_equal(gauge(FAMILY_issuer_running), 2);
	assert_int_equal(gauge(FAMILY_issuer_queued), 2);
	answer(fx, 1, ISSUER_OK);
	turn(fx);
	assert_int_equal(t[1].calls, 1);
	assert_int_equal(fx->ncalls, 3);
	assert_str(fx->calls[2].first, "n2.example");
	answer(fx, 0, ISSUER_OK);
	answer(fx, 2, ISSUER_VALIDATION);
	turn(fx);
	assert_str(fx->calls[3].first, "n3.example");
	answer(fx, 3, ISSUER_OK);
	turn(fx);
	for (int i = 0; i < 4; i++)
		assert_int_equal(t[i].calls, 1);
	assert_int_equal(gauge(FAMILY_issuer_running), 0);
	assert_int_equal(gauge(FAMILY_issuer_queued), 0);
	assert_int_equal(failures("validation"), 1);
}

static void
a_full_queue_refuses_at_once(void **state)
{
	struct fx *fx = *state;
	struct told t[5] = { 0 };

	for (int i = 0; i < 5; i++)
		sign(fx, &t[i]);
	assert_int_equal(t[4].calls, 0); /* never within the call */
	turn(fx);
	assert_int_equal(t[4].calls, 1);
	assert_int_equal(t[4].type, PROBLEM_UNAVAILABLE);
	assert_int_equal(t[4].r.class, ISSUER_RATE_LIMITED);
	assert_true(t[4].r.again && t[4].r.unasked && !t[4].r.uncertain);
	assert_true(t[4].r.retry_after > 0);
	assert_int_equal(refusals("queue_full"), 1);
	assert_int_equal(failures("rate_limited"), 1);
	assert_int_equal(t[0].calls + t[1].calls + t[2].calls + t[3].calls, 0);
}

static void
nobody_waits_longer_than_a_request_may_take(void **state)
{
	struct fx *fx = *state;
	struct told t[3] = { 0 };

	for (int i = 0; i < 3; i++)
		sign(fx, &t[i]);
	while (t[2].calls == 0)
		loop_turn(fx->loop, LOOP_WAIT);
	assert_int_equal(t[2].calls, 1);
	assert_int_equal(t[2].r.class, ISSUER_RATE_LIMITED);
	assert_true(t[2].r.again && !t[2].r.uncertain);
	assert_int_equal(refusals("queue_wait"), 1);
	assert_int_equal(fx->ncalls, 2);
	assert_int_equal(t[0].calls, 0);
}

static void
who_goes_away_makes_room(void **state)
{
	struct fx *fx = *state;
	struct task other, third;
	struct told t[4] = { 0 };

	task_init(&other);
	task_init(&third);
	issuer_sign(&fx->issuer, &other, &fx->rq, on_result, &t[0]);
	sign(fx, &t[1]);
	issuer_sign(&fx->issuer, &third, &fx->rq, on_result, &t[2]);
	issuer_revoke(&fx->issuer, &fx->task, STR("ab01"), on_result, &t[3]);
	task_end(&third); /* it waited */
	task_end(&other); /* it was under way */
	assert_int_equal(fx->ncalls, 3);
	assert_str(fx->calls[2].first, "ab01");
	answer(fx, 2, ISSUER_OK);
	turn(fx);
	assert_int_equal(t[3].calls, 1);
	assert_int_equal(t[0].calls + t[2].calls, 0);
	assert_true(fx->calls[0].over);
}

/* ---- the breaker */

static void
it_opens_after_failures_in_a_row_and_refuses_at_once(void **state)
{
	struct fx *fx = *state;
	struct told t = { 0 };

	break_it(fx);
	assert_non_null(
	    strstr(issuer_trouble(&fx->issuer, fx->a), "nobody there"));
	assert_int_equal(issuer_check_rest(&fx->issuer, fx->a)->retry_after, 1);
	sign(fx, &t);
	turn(fx);
	assert_int_equal(fx->ncalls, 3);
	assert_int_equal(t.calls, 1);
	assert_true(t.r.resting && t.r.unasked && t.r.again && !t.r.uncertain);
	assert_int_equal(t.r.retry_after, 1);
	assert_int_equal(t.type, PROBLEM_UNAVAILABLE);
	assert_non_null(strstr(t.cause, "nobody there"));
	assert_int_equal(refusals("breaker"), 2);
	assert_int_equal(failures("network"), 3); /* what was asked */
	assert_int_equal(gauge(FAMILY_issuer_breaker_opened), 1);
}

static void
what_waits_hears_of_it(void **state)
{
	struct fx *fx = *state;
	struct told t[4] = { 0 };

	break_it(fx);
	wait_tests(fx, 1);
	turn(fx);
	assert_int_equal(gauge(FAMILY_issuer_breaker), 0);
	for (int i = 0; i < 4; i++)
		sign(fx, &t[i]);
	answer(fx, fx->ncalls - 1, ISSUER_TIMEOUT); /* one is enough now */
	turn(fx);
	assert_int_equal(gauge(FAMILY_issuer_breaker), 2);
	assert_int_equal(t[1].calls + t[2].calls + t[3].calls, 3);
	assert_true(t[3].r.resting);
	assert_int_equal(t[0].calls, 0);
}

static void
a_test_decides_what_comes_after_the_rest(void **state)
{
	struct fx *fx = *state;
	struct told t = { 0 };
	int64_t began;

	break_it(fx);
	began = loop_mono(fx->loop);
	fx->tests_say = ISSUER_UPSTREAM_5XX;
	wait_tests(fx, 1);
	assert_true(loop_mono(fx->loop) - began >= 29000);
	turn(fx);
	assert_int_equal(gauge(FAMILY_issuer_breaker), 2);
	began = loop_mono(fx->loop);
	fx->tests_say = ISSUER_OK;
	wait_tests(fx, 2);
	/* the second rest is twice as long */
	assert_true(loop_mono(fx->loop) - began >= 55000);
	turn(fx);
	assert_int_equal(gauge(FAMILY_issuer_breaker), 0);
	sign(fx, &t);
	answer(fx, fx->ncalls - 1, ISSUER_OK);
	turn(fx);
	assert_int_equal(t.calls, 1);
	assert_null(issuer_trouble(&fx->issuer, fx->a));
	break_it(fx); /* three again: a success counts anew */
}

static void
refused_credentials_are_a_sign_of_life(void **state)
{
	struct fx *fx = *state;

	break_it(fx);
	fx->tests_say = ISSUER_AUTH;
	wait_tests(fx, 1);
	turn(fx);
	assert_int_equal(gauge(FAMILY_issuer_breaker), 0);
}

static void
what_does_not_tell_of_absence_does_not_count(void **state)
{
	static const enum issuer_class alive[] = { ISSUER_OK, ISSUER_AUTH,
		ISSUER_RATE_LIMITED, ISSUER_VALIDATION, ISSUER_UPSTREAM_4XX,
		ISSUER_OTHER };
	struct fx *fx = *state;
	struct told t = { 0 };

	for (size_t i = 0; i < sizeof(alive) / sizeof(alive[0]); i++) {
		for (int j = 0; j < 2; j++) {
			sign(fx, &t);
			answer(fx, fx->ncalls - 1, ISSUER_TIMEOUT);
			turn(fx);
		}
		sign(fx, &t);
		answer(fx, fx->ncalls - 1, alive[i]);
		turn(fx);
		assert_int_equal(gauge(FAMILY_issuer_breaker), 0);
		fx->ncalls = 0;
	}
	assert_int_equal(failures("timeout"), 12);
	assert_int_equal(failures("auth"), 1);
	assert_int_equal(failures("upstream_4xx"), 1);
	assert_int_equal(failures("other"), 1);
}

static void
a_test_by_hand_passes_and_a_good_one_closes_it(void **state)
{
	struct fx *fx = *state;
	struct told t = { 0 };

	break_it(fx);
	issuer_test(&fx->issuer, &fx->task, on_result, &t);
	turn(fx);
	assert_int_equal(t.calls, 1);
	assert_null(t.r.problem);
	assert_int_equal(gauge(FAMILY_issuer_breaker), 0);
}

/* ---- stop */

static void
after_stop_nothing_leaves(void **state)
{
	struct fx *fx = *state;
	struct told t[4] = { 0 };

	for (int i = 0; i < 4; i++)
		sign(fx, &t[i]);
	issuer_stop(&fx->issuer);
	assert_int_equal(fx->stops, 1);
	turn(fx);
	assert_int_equal(t[2].calls + t[3].calls, 2);
	assert_int_equal(t[2].r.class, ISSUER_NETWORK);
	assert_true(t[2].r.again && !t[2].r.uncertain);
	answer(fx, 0, ISSUER_OK); /* what has left is answered */
	turn(fx);
	assert_int_equal(t[0].calls, 1);
	assert_int_equal(fx->ncalls, 2);
}

static void
after_stop_nothing_is_tested(void **state)
{
	struct fx *fx = *state;

	break_it(fx);
	issuer_stop(&fx->issuer);
	wait(fx, 60000);
	assert_int_equal(fx->tests, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_beyond_the_bound_waits_in_turn),
		TEST(a_full_queue_refuses_at_once),
		TEST(nobody_waits_longer_than_a_request_may_take),
		TEST(who_goes_away_makes_room),
		TEST(it_opens_after_failures_in_a_row_and_refuses_at_once),
		TEST(what_waits_hears_of_it),
		TEST(a_test_decides_what_comes_after_the_rest),
		TEST(refused_credentials_are_a_sign_of_life),
		TEST(what_does_not_tell_of_absence_does_not_count),
		TEST(a_test_by_hand_passes_and_a_good_one_closes_it),
		TEST(after_stop_nothing_leaves),
		TEST(after_stop_nothing_is_tested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
