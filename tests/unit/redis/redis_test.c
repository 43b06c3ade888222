/* SPDX-License-Identifier: ISC */
/* The connection to a real Redis, and what becomes of it. */
#include "../unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/hex.h"
#include "base/when.h"
#include "metrics/metrics.h"
#include "server.h"

struct fixture {
	struct arena *a;
	struct loop *loop;
	struct server *server;
	struct redis *redis;
	struct task task;
};

/* What became of one script. */
struct got {
	volatile bool done;
	int calls;
	enum redis_status status;
	int64_t number;
	size_t count;
	char text[512];
};

/* ---- scripts */

static struct redis_script
make_script(struct arena *a, const char *text)
{
	struct redis_script s = { .name = "test", .text = str_from(text) };
	uint8_t digest[SHA_DIGEST_LENGTH];

	SHA1((const uint8_t *)text, s.text.n, digest);
	s.sha1 = hex_encode(a, str_make(digest, sizeof(digest)));
	return s;
}

static enum step
on_answer(void *arg, const struct redis_answer *answer)
{
	struct got *g = arg;

	g->calls++;
	g->status = answer->status;
	g->number = redis_get_int(answer, 0);
	g->count = redis_count(answer);
	snprintf(g->text, sizeof(g->text), "%.*s",
	    STR_ARG(answer->status == REDIS_REFUSED ?
		    answer->error :
		    redis_get_str(answer, 0)));
	g->done = true;
	return STEP_DONE;
}

static void
eval_on(struct redis *r, struct task *task, const struct redis_script *script,
    struct got *g)
{
	struct str key = STR("certloop:k"), arg = STR("v");

	*g = (struct got){ .done = false };
	(void)redis_eval(r,
	    &(struct redis_call){ .script = script,
		.keys = &key,
		.nkeys = 1,
		.args = &arg,
		.nargs = 1 },
	    task, on_answer, g);
	assert_int_equal(g->calls, 0);
}

/* Run a text and wait for what becomes of it. */
static struct got
run(struct fixture *f, const char *text)
{
	struct redis_script s = make_script(f->a, text);
	struct got g;

	eval_on(f->redis, &f->task, &s, &g);
	assert_true(turn_until(f->loop, &g.done, 5000));
	return g;
}

/* ---- fixtures */

static void
open_redis(struct fixture *f, const struct redis_options *o)
{
	f->redis = redis_new(f->loop, o);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
}

static int
make_with(void **state, const char *conf)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->a = arena_create();
	f->loop = loop_new();
	task_init(&f->task);
	f->server = server_start(SERVER_PLAIN, conf);
	*state = f;
	return 0;
}

static int
make(void **state)
{
	return make_with(state, "");
}

static int
make_up(void **state)
{
	struct fixture *f;
	struct redis_options o;

	make_with(state, "");
	f = *state;
	if (f->server == NULL)
		return 0;
	o = server_options(f->server, f->a);
	open_redis(f, &o);
	return 0;
}

static int
make_acl(void **state)
{
	return make_with(state,
	    "user default on >opensesame ~* &* +@all\n"
	    "user limiter on >s3cret ~certloop:* +info +eval +evalsha +get "
	    "+set +select +client|setname\n"
	    "user blind on >s3cret ~certloop:* +eval +evalsha +get +set "
	    "+config|get\n"
	    "user idle on >s3cret ~* +ping\n");
}

static int
make_cluster(void **state)
{
	return make_with(state, "cluster-enabled yes\n");
}

static int
make_replica(void **state)
{
	return make_with(state, "replicaof 127.0.0.1 1\n");
}

static int
make_evicting(void **state)
{
	return make_with(state, "maxmemory-policy allkeys-lru\n");
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	task_end(&f->task);
	redis_free(f->redis);
	server_end(f->server);
	loop_free(f->loop);
	arena_destroy(f->a);
	free(f);
	return 0;
}

/* The fixture, or skip where no Redis is installed. */
static struct fixture *
get(void **state)
{
	struct fixture *f = *state;

	if (f->server == NULL)
		skip();
	return f;
}

/* ---- connecting */

static void
scripts_run_over_a_unix_socket_and_over_tcp(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	struct redis_endpoint *v;
	const char *why;
	struct got g;

	open_redis(f, &o);
	assert_str(redis_address(f->redis), f->server->address);
	g = run(f, "return {7,KEYS[1],ARGV[1]}");
	assert_int_equal(g.status, REDIS_ANSWERED);
	assert_int_equal(g.number, 7);
	assert_int_equal(g.count, 3);
	redis_free(f->redis);

	assert_true(redis_parse_endpoints(f->a, str_from(f->server->tcp), &v,
	    &o.nendpoints, &why));
	o.endpoints = v;
	open_redis(f, &o);
	assert_str(redis_address(f->redis), f->server->tcp);
	g = run(f, "return KEYS[1]");
	assert_string_equal(g.text, "certloop:k");
	assert_string_equal(redis_trouble(f->redis), "");
}

static void
a_name_is_resolved_before_the_loop_runs(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = { .database = 0 };
	struct redis_endpoint *v;
	const char *why;
	struct str name = str_printf(f->a, "localhost%s",
	    strchr(f->server->tcp, ':'));

	assert_true(redis_parse_endpoints(f->a, name, &v, &o.nendpoints, &why));
	o.endpoints = v; /* perhaps ::1 too, where nobody listens */
	open_redis(f, &o);
}

static void
the_database_number_is_heeded(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);

	o.database = 3;
	open_redis(f, &o);
	(void)run(f, "return redis.call('SET', KEYS[1], ARGV[1])");
	assert_str(server_cli(f->server, f->a, "-n 3 get certloop:k"), "v");
	assert_str(server_cli(f->server, f->a, "-n 0 dbsize"), "0");
}

static void
an_unknown_database_is_refused_with_the_reason(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	const char *why = NULL;

	o.database = 1000;
	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_BAD);
	assert_non_null(strstr(why, "refuses database 1000"));
}

static void
a_password_or_an_acl_user_logs_in(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);

	o.password = STR("opensesame");
	open_redis(f, &o);
	redis_free(f->redis);
	o.user = STR("limiter");
	o.password = STR("s3cret");
	o.database = 2;
	open_redis(f, &o);
	assert_int_equal(redis_epoch(f->redis).n, REDIS_EPOCH_LEN);
	assert_int_equal(run(f, "return 1").number, 1);
}

static void
a_wrong_password_is_found_before_the_loop_runs(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	const char *why = NULL;

	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_BAD);
	assert_non_null(strstr(why, "wants a password"));
	o.password = STR("wrong");
	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_BAD);
	assert_non_null(strstr(why, "refuses user or password: WRONGPASS"));
	assert_null(strstr(why, "opensesame"));
	o.password = STR("s3cret");
	o.user = STR("idle"); /* may not run scripts */
	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_BAD);
	assert_non_null(strstr(why, "NOPERM"));
	o.user = STR("limiter");
	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_UP);
}

static void
without_info_limits_work_and_nothing_is_entrusted(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);

	o.user = STR("blind");
	o.password = STR("s3cret");
	open_redis(f, &o);
	assert_int_equal(run(f, "return 1").number, 1);
	turn_for(f->loop, 20);
	assert_false(redis_may_evict(f->redis)); /* CONFIG GET told */
	assert_null(redis_epoch(f->redis).p);    /* but not who it is */
}

static void
a_cluster_is_refused(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	const char *why = NULL;

	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_BAD);
	assert_non_null(strstr(why, "Redis Cluster"));
}

static void
a_replica_is_passed_over(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	struct redis_endpoint both[2] = { o.endpoints[0] };
	struct server *master = server_start(SERVER_PLAIN, "");
	const char *why = NULL;

	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_DOWN);
	assert_non_null(strstr(why, "replica"));
	both[1] = server_options(master, f->a).endpoints[0];
	o.endpoints = both;
	o.nendpoints = 2;
	open_redis(f, &o);
	assert_str(redis_address(f->redis), master->address);
	server_end(master);
}

static void
nothing_is_entrusted_to_a_server_that_may_evict(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);

	open_redis(f, &o);
	assert_true(redis_may_evict(f->redis));
	assert_null(redis_epoch(f->redis).p);
	assert_int_equal(run(f, "return 1").number, 1);
}

static void
nobody_there_is_down_not_bad(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	const char *why = NULL;

	server_signal(f->server, SIGKILL);
	assert_int_equal(redis_look(f->a, &o, WHEN_SECOND, &why),
	    REDIS_FOUND_DOWN);
	assert_non_null(strstr(why, "cannot connect"));
}

/* ---- scripts */

static void
a_script_is_sent_by_name_and_once_by_text_if_it_is_unknown(void **state)
{
	struct fixture *f = get(state);
	int64_t before = metrics_get(METRIC_redis_commands);

	assert_int_equal(run(f, "return 11").number, 11);
	assert_int_equal(metrics_get(METRIC_redis_commands) - before, 2);
	assert_int_equal(run(f, "return 11").number, 11);
	assert_int_equal(metrics_get(METRIC_redis_commands) - before, 3);
	(void)server_cli(f->server, f->a, "script flush");
	assert_int_equal(run(f, "return 11").number, 11);
	assert_int_equal(metrics_get(METRIC_redis_commands) - before, 5);
}

static void
many_scripts_of_one_turn_all_survive_a_flush_of_scripts(void **state)
{
	struct fixture *f = get(state);
	struct redis_script s = make_script(f->a,
	    "return redis.call('INCR', KEYS[1])");
	enum { MANY = 500 };
	struct got *g = calloc(MANY, sizeof(*g));

	(void)server_cli(f->server, f->a, "script flush");
	for (int i = 0; i < MANY; i++)
		eval_on(f->redis, &f->task, &s, &g[i]);
	for (int i = 0; i < MANY; i++) {
		assert_true(turn_until(f->loop, &g[i].done, 5000));
		assert_int_equal(g[i].status, REDIS_ANSWERED);
		assert_int_equal(g[i].number, i + 1);
	}
	free(g);
}

static void
an_error_of_a_script_is_its_callers_alone(void **state)
{
	struct fixture *f = get(state);
	struct got g = run(f, "return redis.error_reply('MINE not today')");

	assert_int_equal(g.status, REDIS_REFUSED);
	assert_string_equal(g.text, "MINE not today");
	assert_int_equal(g.count, 0);
	g = run(f, "return redis.call('LPUSH', 'certloop:epoch', 1)");
	assert_int_equal(g.status, REDIS_REFUSED);
	turn_for(f->loop, 50);
	assert_true(redis_is_up(f->redis));
	assert_int_equal(run(f, "return 5").number, 5);
}

static void
keys_and_arguments_may_hold_any_byte(void **state)
{
	struct fixture *f = get(state);
	struct redis_script s = make_script(f->a,
	    "return {#KEYS[1], #ARGV[1], string.byte(KEYS[1], 3)}");
	struct str key = str_make("a\r\n\0$b", 6), arg = STR("");
	struct got g = { .done = false };

	(void)redis_eval(f->redis, &(struct redis_call){ &s, &key, &arg, 1, 1 },
	    &f->task, on_answer, &g);
	assert_true(turn_until(f->loop, &g.done, 1000));
	assert_int_equal(g.number, 6);
}

static void
a_task_that_ends_in_flight_hears_nothing(void **state)
{
	struct fixture *f = get(state);
	struct redis_script s = make_script(f->a,
	    "return redis.call('INCR', KEYS[1])");
	struct task brief;
	struct got lost, kept;

	task_init(&brief);
	eval_on(f->redis, &brief, &s, &lost);
	eval_on(f->redis, &f->task, &s, &kept);
	assert_true(task_is_waiting(&brief));
	task_end(&brief);
	assert_true(turn_until(f->loop, &kept.done, 1000));
	assert_int_equal(lost.calls, 0);
	assert_int_equal(kept.number, 2); /* the other one ran as well */
	assert_false(task_is_waiting(&f->task));
}

static void
the_object_may_go_with_scripts_in_flight(void **state)
{
	struct fixture *f = get(state);
	struct redis_script s = make_script(f->a, "return 1");
	struct got g[3];

	eval_on(f->redis, &f->task, &s, &g[0]);
	eval_on(f->redis, NULL, &s, &g[1]);
	loop_turn(f->loop, LOOP_POLL);
	eval_on(f->redis, &f->task, &s, &g[2]);
	redis_free(f->redis);
	f->redis = NULL;
	turn_for(f->loop, 20);
	assert_int_equal(g[0].calls + g[1].calls + g[2].calls, 0);
	assert_false(task_is_waiting(&f->task));
}

/* ---- violence */

/* A connection as the daemon has it, or nearly. */
static void
reopen_impatient(struct fixture *f, int64_t dead)
{
	struct redis_options o = server_options(f->server, f->a);

	redis_free(f->redis);
	o.late = IMPATIENT;
	o.dead = dead;
	open_redis(f, &o);
}

static void
a_killed_server_loses_what_was_in_flight_and_comes_back(void **state)
{
	struct fixture *f = get(state);
	struct redis_script s = make_script(f->a, "return 1");
	struct got g, after;

	server_signal(f->server, SIGSTOP);
	eval_on(f->redis, &f->task, &s, &g);
	loop_turn(f->loop, LOOP_POLL); /* it leaves */
	server_signal(f->server, SIGKILL);
	assert_true(turn_until(f->loop, &g.done, 1000));
	assert_true(g.status == REDIS_LOST || g.status == REDIS_LATE);
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
	eval_on(f->redis, &f->task, &s, &after);
	assert_true(turn_until(f->loop, &after.done, 1000));
	assert_int_equal(after.status, REDIS_GONE);
	assert_non_null(strstr(redis_trouble(f->redis), "connect"));
	turn_for(f->loop, 500);
	server_restart(f->server);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	assert_int_equal(run(f, "return 2").number, 2);
}

static void
a_frozen_server_is_late_three_times_and_then_gone(void **state)
{
	struct fixture *f = get(state);
	struct redis_script s = make_script(f->a, "return 1");
	int64_t losses = metrics_get(METRIC_redis_losses);
	struct got g[4];

	reopen_impatient(f, 2 * WHEN_SECOND);
	assert_int_equal(run(f, "return 1").number, 1);
	server_signal(f->server, SIGSTOP);
	for (int i = 0; i < 3; i++) {
		assert_true(redis_is_up(f->redis));
		eval_on(f->redis, &f->task, &s, &g[i]);
		assert_true(turn_until(f->loop, &g[i].done, 1000));
		assert_int_equal(g[i].status, REDIS_LATE);
	}
	assert_false(redis_is_up(f->redis));
	assert_int_equal(metrics_get(METRIC_redis_losses) - losses, 1);
	eval_on(f->redis, &f->task, &s, &g[3]);
	loop_turn(f->loop, LOOP_POLL); /* at once, not after a deadline */
	assert_true(g[3].done);
	assert_int_equal(g[3].status, REDIS_GONE);
	server_signal(f->server, SIGCONT);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	assert_int_equal(run(f, "return 3").number, 3);
	for (int i = 0; i < 4; i++)
		assert_int_equal(g[i].calls, 1); /* late answers: nobody's */
}

static void
a_server_frozen_for_long_is_reconnected_to(void **state)
{
	struct fixture *f = get(state);
	int64_t connects = metrics_get(METRIC_redis_connects);

	reopen_impatient(f, 400000);
	server_signal(f->server, SIGSTOP);
	assert_true(turn_until_up(f->loop, f->redis, false, 5000));
	turn_for(f->loop, 1500);
	assert_non_null(strstr(redis_trouble(f->redis), "no answer for 400"));
	server_signal(f->server, SIGCONT);
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	assert_true(metrics_get(METRIC_redis_connects) - connects >= 2);
}

static void
a_pause_shorter_than_three_answers_leaves_it_up(void **state)
{
	struct fixture *f = get(state);
	struct redis_script s = make_script(f->a, "return 1");
	struct got g;

	reopen_impatient(f, 2 * WHEN_SECOND);
	server_signal(f->server, SIGSTOP);
	eval_on(f->redis, &f->task, &s, &g);
	assert_true(turn_until(f->loop, &g.done, 1000));
	assert_int_equal(g.status, REDIS_LATE);
	server_signal(f->server, SIGCONT);
	assert_true(redis_is_up(f->redis));
	assert_int_equal(run(f, "return 1").status, REDIS_ANSWERED);
	assert_true(redis_is_up(f->redis));
}

static void
a_server_that_takes_no_writes_is_gone_until_it_does(void **state)
{
	struct fixture *f = get(state);
	struct got g;

	(void)server_cli(f->server, f->a, "config set maxmemory 1");
	g = run(f, "return redis.call('SET', KEYS[1], ARGV[1])");
	assert_int_equal(g.status, REDIS_REFUSED);
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
	assert_non_null(strstr(redis_trouble(f->redis), "OOM"));
	assert_null(redis_epoch(f->redis).p);
	(void)server_cli(f->server, f->a, "config set maxmemory 0");
	assert_true(turn_until_up(f->loop, f->redis, true, 2000));
}

/* ---- the epoch */

static char *
epoch_of(struct fixture *f)
{
	struct str epoch = redis_epoch(f->redis);

	assert_int_equal(epoch.n, REDIS_EPOCH_LEN);
	return str_cstr(f->a, epoch);
}

static void
wait_for_another_epoch(struct fixture *f, const char *before)
{
	for (int i = 0; i < 500; i++) {
		struct str now = redis_epoch(f->redis);

		if (now.n > 0 && !str_is(now, before))
			return;
		turn_for(f->loop, 10);
	}
	fail_msg("the epoch is still %s", before);
}

static void
all_connections_see_one_epoch(void **state)
{
	struct fixture *f = get(state);
	struct redis_options o = server_options(f->server, f->a);
	struct redis *other = redis_new(f->loop, &o);
	const char *mine = epoch_of(f);

	assert_true(turn_until_up(f->loop, other, true, 2000));
	assert_str(redis_epoch(other), mine);
	assert_true(
	    str_starts(server_cli(f->server, f->a, "get certloop:epoch"),
		str_from(mine)));
	redis_free(other);
	turn_for(f->loop, 1200); /* a look each second changes nothing */
	assert_str(redis_epoch(f->redis), mine);
}

static void
a_flush_begins_another_epoch(void **state)
{
	struct fixture *f = get(state);
	const char *before = epoch_of(f);

	(void)server_cli(f->server, f->a, "flushall");
	wait_for_another_epoch(f, before);
	before = epoch_of(f);
	(void)server_cli(f->server, f->a, "flushall");
	redis_renew_epoch(f->redis); /* sooner than the look each second */
	turn_for(f->loop, 200);
	assert_false(str_is(redis_epoch(f->redis), before));
}

static void
a_restart_begins_another_epoch_whatever_it_loads(void **state)
{
	struct fixture *f = get(state);
	const char *before = epoch_of(f);
	struct str value = server_cli(f->server, f->a, "get certloop:epoch");

	server_signal(f->server, SIGKILL);
	server_restart(f->server);
	/* as if it came back from a dump of before */
	(void)server_cli(f->server, f->a,
	    str_printf(f->a, "set certloop:epoch '" STR_FMT "'", STR_ARG(value))
		.p);
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	assert_string_not_equal(epoch_of(f), before);
}

static void
a_demotion_and_promotion_begins_another_epoch(void **state)
{
	struct fixture *f = get(state);
	const char *before = epoch_of(f);

	(void)server_cli(f->server, f->a, "replicaof 127.0.0.1 1");
	assert_true(turn_until_up(f->loop, f->redis, false, 3000));
	assert_null(redis_epoch(f->redis).p);
	(void)server_cli(f->server, f->a, "replicaof no one");
	assert_true(turn_until_up(f->loop, f->redis, true, 5000));
	assert_string_not_equal(epoch_of(f), before);
}

static void
a_policy_that_changes_is_noticed_on_the_next_connect(void **state)
{
	struct fixture *f = get(state);

	(void)epoch_of(f);
	(void)server_cli(f->server, f->a,
	    "config set maxmemory-policy volatile-ttl");
	(void)server_cli(f->server, f->a, "client kill type normal");
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
	assert_true(turn_until_up(f->loop, f->redis, true, 3000));
	assert_null(redis_epoch(f->redis).p);
	(void)server_cli(f->server, f->a,
	    "config set maxmemory-policy noeviction");
	(void)server_cli(f->server, f->a, "client kill type normal");
	assert_true(turn_until_up(f->loop, f->redis, false, 1000));
	assert_true(turn_until_up(f->loop, f->redis, true, 3000));
	(void)epoch_of(f);
}

int
main(void)
{
#define T(f, m) cmocka_unit_test_setup_teardown(f, m, drop)
	const struct CMUnitTest tests[] = {
		T(scripts_run_over_a_unix_socket_and_over_tcp, make),
		T(a_name_is_resolved_before_the_loop_runs, make),
		T(the_database_number_is_heeded, make),
		T(an_unknown_database_is_refused_with_the_reason, make),
		T(a_password_or_an_acl_user_logs_in, make_acl),
		T(a_wrong_password_is_found_before_the_loop_runs, make_acl),
		T(without_info_limits_work_and_nothing_is_entrusted, make_acl),
		T(a_cluster_is_refused, make_cluster),
		T(a_replica_is_passed_over, make_replica),
		T(nothing_is_entrusted_to_a_server_that_may_evict,
		    make_evicting),
		T(nobody_there_is_down_not_bad, make),
		T(a_script_is_sent_by_name_and_once_by_text_if_it_is_unknown,
		    make_up),
		T(many_scripts_of_one_turn_all_survive_a_flush_of_scripts,
		    make_up),
		T(an_error_of_a_script_is_its_callers_alone, make_up),
		T(keys_and_arguments_may_hold_any_byte, make_up),
		T(a_task_that_ends_in_flight_hears_nothing, make_up),
		T(the_object_may_go_with_scripts_in_flight, make_up),
		T(a_killed_server_loses_what_was_in_flight_and_comes_back,
		    make_up),
		T(a_frozen_server_is_late_three_times_and_then_gone, make_up),
		T(a_server_frozen_for_long_is_reconnected_to, make_up),
		T(a_pause_shorter_than_three_answers_leaves_it_up, make_up),
		T(a_server_that_takes_no_writes_is_gone_until_it_does, make_up),
		T(all_connections_see_one_epoch, make_up),
		T(a_flush_begins_another_epoch, make_up),
		T(a_restart_begins_another_epoch_whatever_it_loads, make_up),
		T(a_demotion_and_promotion_begins_another_epoch, make_up),
		T(a_policy_that_changes_is_noticed_on_the_next_connect,
		    make_up),
	};

	return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}
