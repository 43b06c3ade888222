/* SPDX-License-Identifier: ISC */
/* Loops on a store, with an issuer that does as the test says. */
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/when.h"
#include "certloops/certloops_int.h"
#include "certloops/schedule.h"
#include "issuer/front.h"
#include "log/log.h"
#include "pki/pki.h"

enum how { SIGN, FAIL, WAIT_AN_HOUR, SILENCE };

struct fx {
	struct issuer issuer; /* first: what the loops ask */
	struct arena *a;
	char dir[64];
	struct loop *loop;
	struct store *store;
	struct issuer *local;
	struct issuer slow; /* the other one that loops may name */
	unsigned asked_slow;
	struct seal_ring *ring;
	struct certloops *cl;
	enum how how;
	const char *name; /* of the row that is looked at */
	unsigned asked;
	struct task task;
	bool done;
	/* the row */
	struct str state, error;
	int64_t failures, next, success, failed_at, version, attempt;
	int64_t seen;
};

/* ---- an issuer */

struct refusal {
	struct op op;
	struct deferred answer;
	struct fx *fx;
	struct task *t;
	issuer_fn *fn;
	void *arg;
};

static void
detach_refusal(struct op *op)
{
	struct refusal *r = (struct refusal *)(void *)op;

	loop_undefer(r->fx->loop, &r->answer);
}

static void
refuse(void *arg)
{
	struct refusal *r = arg;
	struct issuer_result result = {
		.problem = problem_cause(r->t->arena, PROBLEM_UNAVAILABLE,
		    "it has its moods"),
		.class = ISSUER_RATE_LIMITED,
		.retry_after = r->fx->how == WAIT_AN_HOUR ? 3600 : 0,
	};

	op_done(&r->op);
	r->fn(r->arg, &result);
}

static void
scripted_sign(struct issuer *issuer, struct task *t,
    const struct issuer_request *rq, issuer_fn *fn, void *arg)
{
	struct fx *fx = (struct fx *)(void *)issuer;
	struct issuer_request planned = *rq;
	struct refusal *r;

	fx->asked++;
	if (fx->how == SIGN) {
		pki_random_serial(planned.serial);
		assert_true(issuer_plan_validity(fx->local, loop_wall(fx->loop),
		    rq->max_lifetime, &planned.not_before, &planned.not_after));
		issuer_sign(fx->local, t, &planned, fn, arg);
		return;
	}
	r = arena_new(t->arena, struct refusal);
	r->op.detach = detach_refusal;
	r->fx = fx;
	r->t = t;
	r->fn = fn;
	r->arg = arg;
	deferred_init(&r->answer, refuse, r);
	task_wait(t, &r->op);
	if (fx->how != SILENCE)
		loop_defer(fx->loop, &r->answer);
}

/* As a remote one: it does not plan. */
static const struct issuer_ops scripted = { .type = "scripted",
	.sign = scripted_sign };

/* ---- another one, which does not answer, or as one that is absent */

static void
say_absent(void *arg)
{
	struct refusal *r = arg;

	op_done(&r->op);
	r->fn(r->arg,
	    &(struct issuer_result){ .problem = problem_cause(r->t->arena,
					 PROBLEM_UNAVAILABLE,
					 "nobody is there"),
		.class = ISSUER_NETWORK });
}

static void
slow_sign(struct issuer *issuer, struct task *t,
    const struct issuer_request *rq, issuer_fn *fn, void *arg)
{
	struct fx *fx = (struct fx *)(void *)((char *)issuer -
	    offsetof(struct fx, slow));
	struct refusal *r = arena_new(t->arena, struct refusal);

	(void)rq;
	fx->asked_slow++;
	r->op.detach = detach_refusal;
	r->fx = fx;
	r->t = t;
	r->fn = fn;
	r->arg = arg;
	deferred_init(&r->answer, say_absent, r);
	task_wait(t, &r->op);
	if (fx->how == FAIL)
		loop_defer(fx->loop, &r->answer);
}

static const struct issuer_ops slow_ops = { .type = "slow", .sign = slow_sign };

static struct issuer *
find_issuer(void *arg, const char *name)
{
	struct fx *fx = arg;

	return strcmp(name, "slow") == 0 ? &fx->slow : &fx->issuer;
}

/* ---- the fixture */

static const char *
in(struct fx *fx, const char *name)
{
	return str_printf(fx->a, "%s/%s", fx->dir, name).p;
}

static void
make_local(struct fx *fx)
{
	struct issuer_local_options o = { .name = "local",
		.loop = fx->loop,
		.cert_file = in(fx, "ca.pem"),
		.key_file = in(fx, "ca.key") };
	struct pki_made root;
	const char *why;

	assert_null(
	    pki_make_root(fx->a, STR("test"), when_now() / WHEN_SECOND, &root));
	assert_null(pki_save_key(fx->a, o.key_file, root.key, PKI_SAVE_NEW));
	assert_null(pki_save_text(fx->a, o.cert_file,
	    pki_write_pem(fx->a, "CERTIFICATE", root.der), PKI_SAVE_NEW));
	fx->local = issuer_local_new(&o, fx->a, &why);
	if (fx->local == NULL)
		fail_msg("%s", why);
}

static uint32_t
no_jitter(void *arg)
{
	(void)arg;
	return 0;
}

static int
setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	struct store_options o = { .deadline = 5 * WHEN_SECOND };
	struct seal_key key;
	const char *why;

	log_set(&(struct log_options){ .level = LOG_ERROR });
	fx->a = arena_create();
	fx->name = "web";
	strcpy(fx->dir, "/tmp/certloops-test-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	o.url = str_printf(fx->a, "sqlite:%s/test.db", fx->dir).p;
	if (!store_prepare(fx->a, &o, STORE_MIGRATE, &why))
		fail_msg("%s", why);
	fx->loop = loop_new();
	fx->store = store_new(fx->loop, &o, fx->a, &why);
	make_local(fx);
	issuer_init(&fx->issuer, &scripted, "local", fx->loop,
	    &(struct issuer_bounds){ 0 });
	issuer_init(&fx->slow, &slow_ops, "slow", fx->loop,
	    &(struct issuer_bounds){ .failures_max = 3, .rest = WHEN_HOUR });
	fx->ring = seal_ring_new();
	seal_key_init(&key);
	(void)seal_ring_add(fx->ring, &key);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *fx = *state;
	char command[128];

	certloops_free(fx->cl);
	store_free(fx->store);
	issuer_release(&fx->slow);
	issuer_free(fx->local);
	issuer_release(&fx->issuer);
	seal_ring_free(fx->ring);
	loop_free(fx->loop);
	snprintf(command, sizeof(command), "rm -rf %s", fx->dir);
	assert_int_equal(system(command), 0);
	arena_destroy(fx->a);
	free(fx);
	return 0;
}

static const struct conf *
config(struct fx *fx, const char *loops)
{
	struct conf_errors *e = arena_new(fx->a, struct conf_errors);
	struct str text = str_printf(fx->a,
	    "data_dir = \"%s\"\n"
	    "listener acme { address = \"127.0.0.1:1\" }\n%s",
	    fx->dir, loops);
	const struct conf *c = conf_load_text(fx->a, "f", text, e);

	if (c == NULL)
		fail_msg(STR_FMT, STR_ARG(e->v[0].text));
	return c;
}

static void
begin(struct fx *fx, const struct conf *c)
{
	struct certloops_options o = { .loop = fx->loop,
		.store = fx->store,
		.ring = fx->ring,
		.find_issuer = find_issuer,
		.issuers = fx,
		.node = STR("here"),
		.poll = WHEN_SECOND / 100,
		.draw = no_jitter };

	fx->cl = certloops_new(&o);
	certloops_configure(fx->cl, c);
}

#define WEB "loop web { names = { www.example.org } folder = \"%s\" %s }"

static const struct conf *
web(struct fx *fx, const char *more)
{
	return config(fx, str_printf(fx->a, WEB, in(fx, "web"), more).p);
}

static enum step
on_row(void *arg, const struct store_result *r)
{
	struct fx *fx = arg;

	assert_int_equal(r->status, STORE_OK);
	fx->done = true;
	fx->version = -1;
	if (store_nrows(r, 0) == 0)
		return STEP_DONE;
	fx->state = str_dup(fx->a, store_get_str(r, 0, 0, LOOP_GET_STATE));
	fx->error = str_dup(fx->a, store_get_str(r, 0, 0, LOOP_GET_LAST_ERROR));
	fx->failures = store_get_int(r, 0, 0, LOOP_GET_FAILURES);
	fx->next = store_get_int(r, 0, 0, LOOP_GET_NEXT_ATTEMPT);
	fx->success = store_get_int(r, 0, 0, LOOP_GET_LAST_SUCCESS);
	fx->failed_at = store_get_int(r, 0, 0, LOOP_GET_LAST_ERROR_AT);
	fx->version = store_get_int(r, 0, 0, LOOP_GET_VERSION);
	fx->attempt = store_get_int(r, 0, 0, LOOP_GET_ATTEMPT);
	return STEP_DONE;
}

static void
look(struct fx *fx)
{
	struct batch *b;

	fx->done = false;
	task_init(&fx->task);
	b = store_new_batch(fx->store, &fx->task, STR(""));
	store_add(b, SQL_LOOP_GET);
	store_str(b, str_from(fx->name));
	(void)store_send_batch(b, on_row, fx);
	while (!fx->done)
		loop_turn(fx->loop, LOOP_WAIT);
	task_end(&fx->task);
}

static enum step
on_due(void *arg, const struct store_result *r)
{
	struct fx *fx = arg;

	assert_int_equal(r->status, STORE_OK);
	fx->done = true;
	return STEP_DONE;
}

/* The next attempt is due now, as if the time had come. */
static void
make_due(struct fx *fx)
{
	struct batch *b;

	fx->done = false;
	task_init(&fx->task);
	b = store_new_batch(fx->store, &fx->task, STR("web"));
	store_add(b, SQL_LOOP_RENEW);
	store_str(b, STR("web"));
	store_str(b, STR("test"));
	store_require(b);
	(void)store_send_batch(b, on_due, fx);
	while (!fx->done)
		loop_turn(fx->loop, LOOP_WAIT);
	task_end(&fx->task);
}

/* Until the issuer was asked n times and the row says so. */
static void
wait_asked(struct fx *fx, unsigned n)
{
	while (fx->asked < n || certloops_running(fx->cl) > 0)
		loop_turn(fx->loop, LOOP_WAIT);
	look(fx);
}

/* Nothing happens for a while, though it polls all the time. */
static void
assert_quiet(struct fx *fx)
{
	unsigned asked = fx->asked;
	int64_t end = loop_mono(fx->loop) + WHEN_SECOND / 5;

	while (loop_mono(fx->loop) < end)
		loop_turn(fx->loop, LOOP_WAIT);
	assert_int_equal(fx->asked, asked);
}

static void
assert_about(int64_t span, int64_t want)
{
	if (span < want - 5 * WHEN_SECOND || span > want + WHEN_SECOND)
		fail_msg("%lld s, not %lld s", (long long)(span / WHEN_SECOND),
		    (long long)(want / WHEN_SECOND));
}

/* ---- the tests */

static void
outcomes_set_the_next_attempt_in_the_store(void **state)
{
	static const struct {
		enum how how;
		int64_t wait;
		unsigned failures;
		const char *state;
	} table[] = {
		{ FAIL, WHEN_MINUTE, 1, "failing" },
		{ FAIL, 2 * WHEN_MINUTE, 2, "failing" },
		{ WAIT_AN_HOUR, WHEN_HOUR, 2, "failing" },
		{ FAIL, 4 * WHEN_MINUTE, 3, "failing" },
		{ SIGN, WHEN_DAY, 0, "valid" },
		{ WAIT_AN_HOUR, WHEN_HOUR, 0, "valid" },
		{ FAIL, WHEN_MINUTE, 1, "failing" },
		{ SIGN, WHEN_DAY, 0, "valid" },
	};
	struct fx *fx = *state;

	fx->how = table[0].how;
	begin(fx, web(fx, ""));
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		fx->how = table[i].how;
		if (i > 0)
			make_due(fx);
		wait_asked(fx, i + 1);
		assert_str(fx->state, table[i].state);
		assert_int_equal(fx->failures, table[i].failures);
		assert_about(fx->next -
			(fx->how == SIGN ? fx->success : fx->failed_at),
		    table[i].wait);
		assert_quiet(fx);
	}
	assert_int_equal(fx->version, 2);
}

static void
an_issuer_without_an_answer_holds_the_lease_and_nothing_else(void **state)
{
	struct fx *fx = *state;

	fx->how = SILENCE;
	begin(fx, web(fx, ""));
	while (fx->asked == 0)
		loop_turn(fx->loop, LOOP_WAIT);
	assert_quiet(fx);
	assert_int_equal(certloops_running(fx->cl), 1);
	look(fx);
	assert_int_equal(fx->attempt, 1);
	assert_int_equal(fx->version, 0);
}

static void
a_change_of_the_names_takes_the_fence_from_an_attempt(void **state)
{
	struct fx *fx = *state;

	fx->how = SILENCE;
	begin(fx, web(fx, ""));
	while (fx->asked == 0)
		loop_turn(fx->loop, LOOP_WAIT);
	certloops_configure(fx->cl,
	    config(fx,
		str_printf(fx->a,
		    "loop web { names = { other.example.org } "
		    "folder = \"%s\" }",
		    in(fx, "web"))
		    .p));
	do
		look(fx);
	while (fx->attempt != 2);
	assert_int_equal(fx->version, 0);
}

static void
another_process_goes_on_where_the_first_one_was(void **state)
{
	struct fx *fx = *state;
	struct str second;

	fx->how = FAIL;
	begin(fx, web(fx, ""));
	wait_asked(fx, 1);
	certloops_free(fx->cl);
	begin(fx, web(fx, ""));
	assert_quiet(fx); /* the back-off is not forgotten */
	look(fx);
	assert_int_equal(fx->failures, 1);
	fx->how = SIGN;
	make_due(fx);
	wait_asked(fx, 2);
	assert_int_equal(fx->version, 1);
	certloops_free(fx->cl);
	begin(fx, web(fx, ""));
	assert_quiet(fx); /* nor is anything renewed */
	second = fx->state;
	assert_str(second, "valid");
}

static void
what_is_not_wanted_any_more_stops_and_keeps_its_row(void **state)
{
	struct fx *fx = *state;

	fx->how = FAIL;
	begin(fx, web(fx, ""));
	wait_asked(fx, 1);
	certloops_configure(fx->cl, config(fx, ""));
	do
		look(fx);
	while (!str_is(fx->state, "stopped"));
	fx->how = SIGN;
	certloops_configure(fx->cl, web(fx, ""));
	do
		look(fx);
	while (!str_is(fx->state, "failing"));
	assert_int_equal(fx->failures, 1);
	assert_quiet(fx); /* the back-off holds */
}

/* Many loops of the slow issuer, all due before that of the other one. */
static const struct conf *
many_slow(struct fx *fx, unsigned n)
{
	struct buf b = buf_new(fx->a, 1 << 16);

	buf_printf(&b,
	    "profile default { issuer = local open = yes }\n"
	    "issuer local { type = local }\n"
	    "issuer slow { type = vault address = \"http://127.0.0.1:1\" "
	    "token_file = \"/dev/null\" role = x }\n");
	for (unsigned i = 0; i < n; i++)
		buf_printf(&b,
		    "loop a%03u { names = { a%u.example.org } "
		    "issuer = slow folder = \"%s/a%u\" }\n",
		    i, i, fx->dir, i);
	buf_printf(&b, WEB "\n", in(fx, "web"), "issuer = local");
	return config(fx, str_cstr(fx->a, buf_view(&b)));
}

static void
a_slow_issuer_holds_up_nobody_elses_loops(void **state)
{
	struct fx *fx = *state;

	fx->how = SIGN;
	begin(fx, many_slow(fx, 120));
	do
		look(fx);
	while (fx->version < 1);
	while (fx->asked_slow < 8)
		loop_turn(fx->loop, LOOP_WAIT);
	assert_quiet(fx);
	assert_int_equal(fx->asked_slow, 8); /* and no more at a time */
}

static void
an_issuer_that_rests_is_left_alone(void **state)
{
	struct fx *fx = *state;
	unsigned asked;

	fx->how = FAIL;
	begin(fx, many_slow(fx, 60));
	while (!issuer_is_resting(&fx->slow))
		loop_turn(fx->loop, LOOP_WAIT);
	assert_quiet(fx);
	asked = fx->asked_slow;
	assert_in_range(asked, 3, 16);
	assert_quiet(fx);
	assert_int_equal(fx->asked_slow, asked);
	fx->name = "a059"; /* it was not tried, so it did not fail */
	look(fx);
	assert_int_equal(fx->attempt, 0);
	assert_int_equal(fx->failures, 0);
}

/* ---- rounds */

static enum step
on_seen(void *arg, const struct store_result *r)
{
	struct fx *fx = arg;

	assert_int_equal(r->status, STORE_OK);
	fx->done = true;
	fx->seen = store_nrows(r, 0) == 0 ?
	    0 :
	    store_get_int(r, 0, 0, LOOP_NODES_GET_SEEN);
	return STEP_DONE;
}

/* When "web" was last said to be wanted here; 0: never. */
static int64_t
seen(struct fx *fx)
{
	struct batch *b;

	fx->done = false;
	task_init(&fx->task);
	b = store_new_batch(fx->store, &fx->task, STR(""));
	store_add(b, SQL_LOOP_NODES_GET);
	store_str(b, STR("web"));
	(void)store_send_batch(b, on_seen, fx);
	while (!fx->done)
		loop_turn(fx->loop, LOOP_WAIT);
	task_end(&fx->task);
	return fx->seen;
}

static void
configure(struct fx *fx, const char *second)
{
	certloops_configure(fx->cl,
	    config(fx,
		str_printf(fx->a,
		    WEB "\nloop b { names = { %s } folder = \"%s\" }",
		    in(fx, "web"), "", second, in(fx, "b"))
		    .p));
	while (fx->cl->reconciling)
		loop_turn(fx->loop, LOOP_WAIT);
}

/* However many rounds of changes come before the hour is over. */
static void
all_rows_are_told_of_an_hour_behind_the_last_time(void **state)
{
	struct fx *fx = *state;
	int64_t first;

	fx->how = SILENCE;
	begin(fx, web(fx, ""));
	while (!fx->cl->settled)
		loop_turn(fx->loop, LOOP_WAIT);
	first = seen(fx);
	assert_true(first > 0);
	configure(fx, "b.example.org");
	assert_int_equal(seen(fx), first); /* what changed is not this one */
	fx->cl->seen_at -= WHEN_HOUR;
	configure(fx, "c.example.org");
	while (seen(fx) == first)
		loop_turn(fx->loop, LOOP_WAIT);
	assert_true(loop_mono(fx->loop) - fx->cl->seen_at < WHEN_MINUTE);
	first = seen(fx);
	configure(fx, "d.example.org");
	assert_quiet(fx);
	assert_int_equal(seen(fx), first);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(outcomes_set_the_next_attempt_in_the_store),
		TEST(
		    an_issuer_without_an_answer_holds_the_lease_and_nothing_else),
		TEST(a_change_of_the_names_takes_the_fence_from_an_attempt),
		TEST(another_process_goes_on_where_the_first_one_was),
		TEST(what_is_not_wanted_any_more_stops_and_keeps_its_row),
		TEST(a_slow_issuer_holds_up_nobody_elses_loops),
		TEST(an_issuer_that_rests_is_left_alone),
		TEST(all_rows_are_told_of_an_hour_behind_the_last_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
