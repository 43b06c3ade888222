/* SPDX-License-Identifier: ISC */
/*
 * Limits and nonces in a real Redis, by several processes' worth of
 * connections, while it is killed, frozen, flushed and restarted.
 */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND WHEN_SECOND

enum { FLEET = 16 };

/* As many limiters with connections of their own as there are processes. */
struct fleet {
	struct redis *redis[FLEET];
	struct ratelimit *rl[FLEET];
};

static void
make_fleet(struct fixture *f, struct fleet *fleet, const struct limit *l)
{
	struct redis_options o = server_options(f->server, f->a);
	struct ratelimit_options ro = options_of(f);

	for (int i = 0; i < FLEET; i++) {
		fleet->redis[i] = ro.redis = redis_new(f->loop, &o);
		fleet->rl[i] = ratelimit_new(&ro);
		ratelimit_set(fleet->rl[i], LIMIT_NEW_ORDER, l);
	}
	for (int i = 0; i < FLEET; i++)
		assert_true(
		    turn_until_up(f->loop, fleet->redis[i], true, 5000));
}

static void
drop_fleet(struct fleet *fleet)
{
	for (int i = 0; i < FLEET; i++) {
		ratelimit_free(fleet->rl[i]);
		redis_free(fleet->redis[i]);
	}
}

/* A fresh nonce under the epoch of this connection, once it is sure of it. */
static struct ratelimit_nonce
mint_at(struct fixture *f, const struct redis *redis)
{
	static unsigned number;
	int64_t end = when_now() + 5 * WHEN_SECOND;

	while (redis_epoch(redis).p == NULL && when_now() < end)
		turn_for(f->loop, 1);
	return (struct ratelimit_nonce){
		.id = str_printf(f->a, "nonce%u", number++),
		.epoch = str_dup(f->a, redis_epoch(redis)),
		.ttl = WHEN_HOUR,
	};
}

static struct ratelimit_nonce
mint(struct fixture *f)
{
	return mint_at(f, f->redis);
}

static struct ratelimit_result
redeem(struct fixture *f, const struct ratelimit_nonce *nonce)
{
	return take_all(f, NULL, 0, nonce);
}

static void
make_on_error(struct fixture *f, enum ratelimit_on_error on_error,
    unsigned replicas)
{
	struct ratelimit_options o = options_of(f);

	o.on_error = on_error;
	o.expected_replicas = replicas;
	remake(f, &o);
}

/* ---- one count for all */

static void
all_limiters_count_together(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit *mine = f->rl;
	struct limit l = { 5, 10 * SECOND };
	struct fleet fleet;
	int passed = 0;

	make_fleet(f, &fleet, &l);
	for (int i = 0; i < 2 * FLEET; i++) {
		f->rl = fleet.rl[i % FLEET];
		passed += take_one(f, LIMIT_NEW_ORDER, "a").status ==
		    RATELIMIT_PASS;
	}
	f->rl = mine;
	assert_int_equal(passed, 5);
	drop_fleet(&fleet);
}

/* ---- real time, many connections, each always asking */

#define HAMMER_WINDOW (400000)
enum { HAMMER_MAX = 20, HAMMER_MS = 2100, HAMMER_PASSED = 4096 };

struct hammer {
	struct fixture *f;
	int64_t asked[HAMMER_PASSED], told[HAMMER_PASSED]; /* that passed */
	size_t n, refused;
	bool stop;
};

struct hammerer {
	struct hammer *h;
	struct ratelimit *rl;
	int64_t asked;
};

static enum step on_hammered(void *, const struct ratelimit_result *);

static void
hammer_once(struct hammerer *m)
{
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("hammered") };

	m->asked = when_now(); /* the server's clock, too */
	(void)ratelimit_take(m->rl, &m->h->f->task, &t, 1, NULL, on_hammered,
	    m);
}

static enum step
on_hammered(void *arg, const struct ratelimit_result *r)
{
	struct hammerer *m = arg;
	struct hammer *h = m->h;

	if (r->degraded)
		fail_msg("redis was not fast enough");
	if (r->status == RATELIMIT_PASS) {
		h->asked[h->n] = m->asked;
		h->told[h->n++] = when_now();
	} else {
		h->refused++;
	}
	if (!h->stop)
		hammer_once(m);
	return STEP_DONE;
}

static int
by_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
exactly_max_pass_in_real_time_over_many_connections(void **state)
{
	struct fixture *f = get(state);
	struct limit l = { HAMMER_MAX, HAMMER_WINDOW };
	struct hammer *h = calloc(1, sizeof(*h));
	struct hammerer m[FLEET];
	struct fleet fleet;

	*f->server->clock = 0; /* the real one */
	make_fleet(f, &fleet, &l);
	h->f = f;
	for (int i = 0; i < FLEET; i++) {
		m[i] = (struct hammerer){ .h = h, .rl = fleet.rl[i] };
		hammer_once(&m[i]);
	}
	turn_for(f->loop, HAMMER_MS);
	h->stop = true;
	turn_for(f->loop, 200);
	/* never more: the k-th asking was before the k-th decision and the
	 * k-th telling after it, and max decisions further on is a window */
	qsort(h->asked, h->n, sizeof(h->asked[0]), by_time);
	qsort(h->told, h->n, sizeof(h->told[0]), by_time);
	for (size_t i = HAMMER_MAX; i < h->n; i++)
		assert_true(
		    h->told[i] - h->asked[i - HAMMER_MAX] >= HAMMER_WINDOW);
	/* never fewer: somebody always asks, so each window is used up */
	assert_true(h->n >= HAMMER_MAX * (HAMMER_MS * 1000 / HAMMER_WINDOW));
	assert_true(h->refused > h->n);
	drop_fleet(&fleet);
	free(h);
}

/* ---- nonces */

static void
a_nonce_is_redeemed_once(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_nonce n = mint(f), other = mint(f);
	struct ratelimit_result r = redeem(f, &n);

	assert_pass(r);
	assert_int_equal(r.redeemed, REDEEMED);
	r = redeem(f, &n);
	assert_int_equal(r.status, RATELIMIT_NONCE);
	assert_int_equal(r.redeemed, REDEEMED_BEFORE);
	assert_int_equal(redeem(f, &other).redeemed, REDEEMED);
	set_now(f, f->now + WHEN_HOUR - 1000);
	assert_int_equal(redeem(f, &n).redeemed, REDEEMED_BEFORE);
}

static void
a_nonce_and_limits_are_one_decision(void **state)
{
	struct fixture *f = get(state);
	struct take t[] = {
		{ .limit = LIMIT_NEW_ORDER, .key = STR("a") },
		{ .limit = LIMIT_NEW_ACCOUNT, .key = STR("192.0.2.1") },
	};
	struct ratelimit_nonce n = mint(f), next = mint(f);
	struct ratelimit_result r;
	int64_t before = metrics_get(METRIC_redis_commands);

	set_limit(f, LIMIT_NEW_ORDER, 2, 10 * SECOND);
	r = take_all(f, t, 2, &n);
	assert_pass(r);
	assert_int_equal(r.redeemed, REDEEMED);
	/* a used nonce takes no limit */
	r = take_all(f, t, 2, &n);
	assert_int_equal(r.status, RATELIMIT_NONCE);
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 1);
	/* a limit that refuses uses the nonce up */
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	r = take_all(f, t, 2, &next);
	assert_refused(r, 10 * SECOND);
	assert_int_equal(r.redeemed, REDEEMED);
	assert_int_equal(redeem(f, &next).redeemed, REDEEMED_BEFORE);
	assert_int_equal(show_one(f, LIMIT_NEW_ACCOUNT, "192.0.2.1").used, 1);
	/* one command each, but for two scripts that were new */
	assert_in_range(metrics_get(METRIC_redis_commands) - before, 7, 11);
}

static void
memory_limits_go_with_nonces_in_redis(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_options o = options_of(f);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct ratelimit_nonce n = mint(f), next = mint(f);

	o.backend = RATELIMIT_MEMORY;
	remake(f, &o);
	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	assert_pass(take_all(f, &t, 1, &n));
	assert_int_equal(take_all(f, &t, 1, &n).status, RATELIMIT_NONCE);
	assert_refused(take_all(f, &t, 1, &next), 10 * SECOND);
	assert_str(server_cli(f->server, f->a, "keys '*l:*'"), "");
}

static int
race_for(struct fixture *f, struct fleet *fleet,
    const struct ratelimit_nonce *n)
{
	struct outcome o[FLEET];
	int won = 0;

	memset(o, 0, sizeof(o));
	for (int i = 0; i < FLEET; i++)
		(void)ratelimit_take(fleet->rl[i], &f->task, NULL, 0, n,
		    on_outcome, &o[i]);
	for (int i = 0; i < FLEET; i++) {
		assert_true(turn_until(f->loop, &o[i].done, 5000));
		won += o[i].result.redeemed == REDEEMED;
	}
	return won;
}

static void
a_nonce_is_redeemed_once_in_a_race_of_sixteen(void **state)
{
	struct fixture *f = get(state);
	struct limit l = { 5, 10 * SECOND };
	struct ratelimit_nonce n;
	struct fleet fleet;

	make_fleet(f, &fleet, &l);
	for (int i = 0; i < 300; i++) {
		n = mint(f);
		assert_int_equal(race_for(f, &fleet, &n), 1);
	}
	drop_fleet(&fleet);
}

/* Flushes come at any moment; each nonce is raced for twice. */
static void
no_flush_lets_a_nonce_pass_twice(void **state)
{
	struct fixture *f = get(state);
	struct limit l = { 5, 10 * SECOND };
	struct ratelimit_nonce n;
	struct fleet fleet;
	int won = 0, once;

	make_fleet(f, &fleet, &l);
	for (int i = 0; i < 200; i++) {
		n = mint_at(f, fleet.redis[i % FLEET]);
		once = race_for(f, &fleet, &n);
		if (i % 10 == 3)
			(void)server_cli(f->server, f->a, "flushall");
		once += race_for(f, &fleet, &n);
		assert_true(once <= 1);
		won += once;
	}
	assert_true(won >= 100); /* it goes on under the next epoch */
	drop_fleet(&fleet);
}

static void
a_nonce_of_another_epoch_is_not_redeemed(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_nonce used = mint(f), unused = mint(f), n;

	assert_int_equal(redeem(f, &used).redeemed, REDEEMED);
	(void)server_cli(f->server, f->a, "flushall");
	assert_int_equal(redeem(f, &used).redeemed, REDEEMED_EPOCH);
	assert_int_equal(redeem(f, &unused).redeemed, REDEEMED_EPOCH);
	turn_for(f->loop, 100); /* the epoch is asked for at once */
	n = mint(f);
	assert_false(str_eq(n.epoch, used.epoch));
	assert_int_equal(redeem(f, &n).redeemed, REDEEMED);
	n = mint(f);
	n.epoch = STR_NONE;
	assert_int_equal(redeem(f, &n).redeemed, REDEEMED_EPOCH);
}

static void
a_restart_from_an_older_dump_revives_no_nonce(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_nonce n = mint(f), fresh;

	*f->server->clock = 0;
	assert_str(server_cli(f->server, f->a, "save"), "OK");
	assert_int_equal(redeem(f, &n).redeemed, REDEEMED);
	server_signal(f->server, SIGKILL);
	server_restart(f->server);
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	assert_str(server_cli(f->server, f->a, "exists certloop:n:nonce0"),
	    "0");
	assert_int_equal(redeem(f, &n).redeemed, REDEEMED_EPOCH);
	fresh = mint(f);
	assert_int_equal(redeem(f, &fresh).redeemed, REDEEMED);
}

static void
a_nonce_that_nobody_can_redeem_now_is_not_accepted(void **state)
{
	struct fixture *f = get(state);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct ratelimit_nonce n = mint(f), late = mint(f);
	struct ratelimit_result r;

	be_impatient(f);
	make_on_error(f, RATELIMIT_ALLOW, 0);
	(void)take_one(f, LIMIT_NEW_ORDER, "b"); /* it knows the script */
	server_signal(f->server, SIGSTOP);
	r = take_all(f, &t, 1, &late);
	assert_int_equal(r.status, RATELIMIT_NONCE);
	assert_int_equal(r.redeemed, REDEEMED_UNKNOWN);
	server_signal(f->server, SIGCONT);
	turn_for(f->loop, 100);
	/* it did take effect meanwhile, and so it is used */
	assert_int_equal(redeem(f, &late).redeemed, REDEEMED_BEFORE);
	server_signal(f->server, SIGKILL);
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
	r = take_all(f, &t, 1, &n);
	assert_int_equal(r.status, RATELIMIT_NONCE);
	assert_int_equal(r.redeemed, REDEEMED_UNKNOWN);
}

/* ---- without Redis */

static void
kill_redis(struct fixture *f)
{
	server_signal(f->server, SIGKILL);
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
}

static void
with_local_each_process_counts_for_itself(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_result r;

	set_limit(f, LIMIT_NEW_ORDER, 6, 10 * SECOND);
	for (int i = 0; i < 6; i++)
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 10 * SECOND);
	kill_redis(f);
	for (int i = 0; i < 6; i++) {
		r = take_one(f, LIMIT_NEW_ORDER, "a");
		assert_pass(r);
		assert_true(r.degraded);
	}
	set_now(f, f->now + 4 * SECOND);
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 6 * SECOND);
	assert_non_null(show_one(f, LIMIT_NEW_ORDER, "a").trouble);
}

static void
with_local_each_of_the_expected_has_its_part(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_result r;

	make_on_error(f, RATELIMIT_LOCAL, 3);
	set_limit(f, LIMIT_NEW_ORDER, 7, 10 * SECOND);
	set_limit(f, LIMIT_KEY_CHANGE, 2, 10 * SECOND);
	kill_redis(f);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	r = take_one(f, LIMIT_NEW_ORDER, "a");
	assert_refused(r, 10 * SECOND);
	assert_int_equal(r.values.max, 2);
	assert_pass(take_one(f, LIMIT_KEY_CHANGE, "a")); /* at least one */
	assert_refused(take_one(f, LIMIT_KEY_CHANGE, "a"), 10 * SECOND);
}

static void
with_allow_everything_passes_and_with_deny_nothing(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_result r;
	int64_t denied = metrics_child_get(
	    metrics_child(FAMILY_limits_degraded, "deny"));

	make_on_error(f, RATELIMIT_ALLOW, 0);
	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	kill_redis(f);
	for (int i = 0; i < 20; i++)
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	make_on_error(f, RATELIMIT_DENY, 0);
	r = take_one(f, LIMIT_NEW_ORDER, "a");
	assert_int_equal(r.status, RATELIMIT_DOWN);
	assert_true(r.wait > 0);
	assert_int_equal(metrics_child_get(
			     metrics_child(FAMILY_limits_degraded, "deny")) -
		denied,
	    1);
}

static void
one_late_answer_changes_its_own_request_only(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_result r;

	be_impatient(f);
	make_on_error(f, RATELIMIT_DENY, 0);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	server_signal(f->server, SIGSTOP);
	r = take_one(f, LIMIT_NEW_ORDER, "a");
	assert_int_equal(r.status, RATELIMIT_DOWN);
	server_signal(f->server, SIGCONT);
	assert_true(redis_is_up(f->redis));
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	/* the late one counted: nobody knew, so nobody may rely on it */
	assert_int_equal(show_one(f, LIMIT_NEW_ORDER, "a").used, 3);
}

static void
no_request_waits_longer_than_its_deadline_on_a_frozen_server(void **state)
{
	struct fixture *f = get(state);
	int64_t began;

	be_impatient(f);
	make_on_error(f, RATELIMIT_ALLOW, 0);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	server_signal(f->server, SIGSTOP);
	for (int i = 0; i < 20; i++) {
		began = when_now();
		assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
		/* 100 ms, and patience with a busy machine */
		assert_true(when_now() - began < 500000);
	}
	assert_false(redis_is_up(f->redis));
	server_signal(f->server, SIGCONT);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	assert_false(take_one(f, LIMIT_NEW_ORDER, "b").degraded);
}

static void
a_server_that_comes_back_counts_again(void **state)
{
	struct fixture *f = get(state);

	*f->server->clock = 0;
	make_on_error(f, RATELIMIT_LOCAL, 0);
	set_limit(f, LIMIT_NEW_ORDER, 2, 60 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	kill_redis(f);
	assert_true(take_one(f, LIMIT_NEW_ORDER, "a").degraded);
	server_restart(f->server);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	for (int i = 0; i < 2; i++) { /* it remembers nothing */
		struct ratelimit_result r = take_one(f, LIMIT_NEW_ORDER, "a");

		assert_pass(r);
		assert_false(r.degraded);
	}
	assert_int_equal(take_one(f, LIMIT_NEW_ORDER, "a").status,
	    RATELIMIT_REFUSED);
}

static void
a_flush_forgets_the_counts_and_a_flush_of_scripts_nothing(void **state)
{
	struct fixture *f = get(state);

	set_limit(f, LIMIT_NEW_ORDER, 2, 10 * SECOND);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	(void)server_cli(f->server, f->a, "script flush");
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 10 * SECOND);
	(void)server_cli(f->server, f->a, "flushall");
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
}

static void
a_key_that_is_not_ours_follows_on_error(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_result r;

	make_on_error(f, RATELIMIT_LOCAL, 0);
	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	(void)server_cli(f->server, f->a,
	    "set certloop:l:new_order_per_account:a rubbish");
	r = take_one(f, LIMIT_NEW_ORDER, "a");
	assert_pass(r);
	assert_true(r.degraded);
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 10 * SECOND);
	assert_false(take_one(f, LIMIT_NEW_ORDER, "b").degraded);
	assert_non_null(show_one(f, LIMIT_NEW_ORDER, "a").trouble);
	assert_true(redis_is_up(f->redis));
}

/* ---- what is left in Redis */

static void
keys_go_with_their_window_and_lists_stay_short(void **state)
{
	struct fixture *f = get(state);
	struct ratelimit_nonce n = mint(f);

	set_limit(f, LIMIT_NEW_ORDER, 3, 1500001);
	n.ttl = 2000001;
	assert_int_equal(redeem(f, &n).redeemed, REDEEMED);
	for (int i = 0; i < 10; i++) {
		(void)take_one(f, LIMIT_NEW_ORDER, "a");
		set_now(f, f->now + 600000);
	}
	assert_str(server_cli(f->server, f->a,
		       "llen certloop:l:new_order_per_account:a"),
	    "3");
	assert_str(server_cli(f->server, f->a,
		       "pttl certloop:l:new_order_per_account:a"),
	    "901"); /* 1501 ms, rounded up, of which 600 went by */
	set_now(f, f->now + 902000);
	assert_str(server_cli(f->server, f->a,
		       "exists certloop:l:new_order_per_account:a"),
	    "0");
	turn_for(f->loop, 200); /* expired in the background */
	assert_str(server_cli(f->server, f->a, "dbsize"), "1");
}

static void
only_the_permissions_that_the_header_names_are_needed(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	struct ratelimit_options ro = options_of(f);
	struct take t = { .limit = LIMIT_NEW_ORDER, .key = STR("a") };
	struct ratelimit_nonce n;

	(void)server_cli(f->server, f->a,
	    "acl setuser few on '>pw' '~certloop:*' +info +eval +evalsha +get "
	    "+set +time +lindex +lrange +lpush +rpush +ltrim +del +pexpire");
	o.user = STR("few");
	o.password = STR("pw");
	redis_free(f->redis);
	ratelimit_free(f->rl);
	f->redis = ro.redis = redis_new(f->loop, &o);
	f->rl = ratelimit_new(&ro);
	assert_true(turn_until_up(f->loop, f->redis, true, 2000));
	set_limit(f, LIMIT_NEW_ORDER, 1, 10 * SECOND);
	n = mint(f);
	assert_pass(take_all(f, &t, 1, &n));
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 10 * SECOND);
	set_now(f, f->now - SECOND); /* the script's rarest way */
	assert_refused(take_one(f, LIMIT_NEW_ORDER, "a"), 10 * SECOND);
	assert_int_equal(reset_one(f, LIMIT_NEW_ORDER, "a").used, 1);
	assert_pass(take_one(f, LIMIT_NEW_ORDER, "a"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_redis, drop)
	const struct CMUnitTest tests[] = {
		T(all_limiters_count_together),
		T(exactly_max_pass_in_real_time_over_many_connections),
		T(a_nonce_is_redeemed_once),
		T(a_nonce_and_limits_are_one_decision),
		T(memory_limits_go_with_nonces_in_redis),
		T(a_nonce_is_redeemed_once_in_a_race_of_sixteen),
		T(no_flush_lets_a_nonce_pass_twice),
		T(a_nonce_of_another_epoch_is_not_redeemed),
		T(a_restart_from_an_older_dump_revives_no_nonce),
		T(a_nonce_that_nobody_can_redeem_now_is_not_accepted),
		T(with_local_each_process_counts_for_itself),
		T(with_local_each_of_the_expected_has_its_part),
		T(with_allow_everything_passes_and_with_deny_nothing),
		T(one_late_answer_changes_its_own_request_only),
		T(no_request_waits_longer_than_its_deadline_on_a_frozen_server),
		T(a_server_that_comes_back_counts_again),
		T(a_flush_forgets_the_counts_and_a_flush_of_scripts_nothing),
		T(a_key_that_is_not_ours_follows_on_error),
		T(keys_go_with_their_window_and_lists_stay_short),
		T(only_the_permissions_that_the_header_names_are_needed),
	};

	return cmocka_run_group_tests_name("ratelimit in redis", tests, NULL,
	    NULL);
}
