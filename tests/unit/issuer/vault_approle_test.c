/* SPDX-License-Identifier: ISC */
/*
 * AppRole against the scripted peer: logins, their renewal, and what becomes
 * of signatures while a token is dead.
 */
#include "vault_world.h"

#include <unistd.h>

#define LOGIN "/auth/approle/login"
#define LOOKUP "/auth/token/lookup-self"
#define RENEW "/auth/token/renew-self"
#define SIGN "/pki/sign/web"

/* An issuer that logs in as r with the secret that the file has. */
static void
begin_role(struct world *w, const char *approle)
{
	command(w, approle);
	w->options.token_file = NULL;
	w->options.role_id = "r";
	w->options.secret_id_file = w->token_file.p;
	write_token(w, "secret");
	make_issuer(w);
}

static int64_t
logins(const char *result)
{
	return metrics_child_get(metrics_child(FAMILY_vault_logins, result));
}

#define ROLE(ttl)                                                              \
	"{\"approle\":{\"role_id\":\"r\",\"secret_id\":\"secret\","            \
	"\"ttl\":" ttl "}}"

static void
logs_in_and_signs_with_what_it_got(void **state)
{
	struct world *w = *state;

	w->options.namespace = "team";
	begin_role(w, ROLE("1000"));
	/* the first request waits for the login */
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	wait_heard(w, SIGN, 1);
	assert_int_equal(count_heard(w, LOGIN), 1);
	assert_str(json_get_str(nth_heard(w, LOGIN, 0)->body, "role_id"), "r");
	assert_str(json_get_str(nth_heard(w, LOGIN, 0)->body, "secret_id"),
	    "secret");
	assert_null(nth_heard(w, LOGIN, 0)->token.p);
	assert_str(nth_heard(w, LOGIN, 0)->namespace, "team");
	assert_str(nth_heard(w, SIGN, 0)->token, "s.login1");
	assert_int_equal(logins("success"), 1);
	assert_null(issuer_trouble(w->issuer, w->arena));
}

static void
renews_what_it_got_at_half_its_life(void **state)
{
	struct world *w = *state;

	begin_role(w, ROLE("10"));
	wait_heard(w, RENEW, 3);
	assert_str(nth_heard(w, RENEW, 2)->token, "s.login1");
	assert_int_equal(count_heard(w, LOGIN), 1);
	assert_true(nth_heard(w, RENEW, 0)->at - nth_heard(w, LOGIN, 0)->at >=
	    3 * UNIT);
}

static void
logs_in_again_if_a_renewal_is_refused(void **state)
{
	struct world *w = *state;

	begin_role(w, ROLE("10"));
	wait_heard(w, RENEW, 1);
	command(w, "{\"forget\":\"s.login1\"}");
	wait_heard(w, LOGIN, 2);
	wait_heard(w, RENEW, count_heard(w, RENEW) + 1);
	assert_str(nth_heard(w, RENEW, count_heard(w, RENEW) - 1)->token,
	    "s.login2");
	assert_int_equal(logins("success"), 2);
}

static void
logs_in_again_if_the_token_cannot_be_renewed(void **state)
{
	struct world *w = *state;

	begin_role(w,
	    "{\"approle\":{\"role_id\":\"r\",\"secret_id\":\"secret\","
	    "\"ttl\":10,\"renewable\":false}}");
	wait_heard(w, LOGIN, 3);
	assert_int_equal(count_heard(w, RENEW), 0);
	assert_true(nth_heard(w, LOGIN, 2)->at - nth_heard(w, LOGIN, 0)->at >=
	    8 * UNIT);
	assert_int_equal(renewals("not_renewable"), 0);
}

static void
a_signature_refused_for_a_dead_token_waits_for_the_login(void **state)
{
	struct world *w = *state;
	struct told t[3] = { { .arena = w->arena }, { .arena = w->arena },
		{ .arena = w->arena } };

	begin_role(w, ROLE("100000"));
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	command(w, "{\"forget\":\"s.login1\"}");
	for (size_t i = 0; i < 3; i++)
		issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t[i]);
	while (t[0].calls + t[1].calls + t[2].calls < 3)
		loop_turn(w->loop, LOOP_WAIT);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(t[i].r.class, ISSUER_OK);
		assert_int_equal(t[i].calls, 1);
	}
	/* one question and one login for all of them */
	assert_int_equal(count_heard(w, LOGIN), 2);
	assert_int_equal(count_heard(w, LOOKUP), 1);
	assert_str(nth_heard(w, SIGN, count_heard(w, SIGN) - 1)->token,
	    "s.login2");
}

static void
what_is_refused_with_a_good_token_is_refused(void **state)
{
	struct world *w = *state;

	begin_role(w, ROLE("100000"));
	command(w, "{\"always\":{\"sign\":{\"status\":403}}}");
	for (int i = 0; i < 3; i++) {
		struct told t = sign_it(w);

		assert_int_equal(t.r.class, ISSUER_AUTH);
		assert_true(t.r.again && !t.r.uncertain);
	}
	/* a policy that forbids it is not a reason to log in for each */
	assert_int_equal(count_heard(w, LOGIN), 1);
	assert_true(count_heard(w, LOOKUP) <= 2);
}

static void
while_the_login_fails_signatures_are_refused(void **state)
{
	struct world *w = *state;
	struct told t;

	capture_log(w);
	command(w,
	    "{\"always\":{\"login\":{\"status\":503,"
	    "\"errors\":[\"Vault is sealed\"]}}}");
	begin_role(w, ROLE("100000"));
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_AUTH);
	assert_true(t.r.again && !t.r.uncertain);
	assert_non_null(
	    strstr(issuer_trouble(w->issuer, w->arena), "Vault is sealed"));
	assert_int_equal(logins("failure"), 1);
	wait_heard(w, LOGIN, 2); /* tried again by itself */
	command(w, "{\"always\":{\"login\":null}}");
	wait_heard(w, LOGIN, 3);
	while (logins("success") == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	assert_null(issuer_trouble(w->issuer, w->arena));
	assert_true(logged(w, "vault login failed"));
	assert_false(logged(w, "secret_id"));
	assert_false(logged(w, "s.login"));
}

static void
a_changed_secret_id_is_used_at_once(void **state)
{
	struct world *w = *state;

	begin_role(w, ROLE("100000"));
	wait_heard(w, LOGIN, 1);
	command(w,
	    "{\"approle\":{\"role_id\":\"r\",\"secret_id\":\"next\","
	    "\"ttl\":100000}}");
	write_token(w, "next");
	wait_heard(w, LOGIN, 2);
	assert_str(json_get_str(nth_heard(w, LOGIN, 1)->body, "secret_id"),
	    "next");
	while (logins("success") < 2)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	wait_heard(w, SIGN, 1);
	assert_str(nth_heard(w, SIGN, 0)->token, "s.login2");
}

static void
a_secret_id_that_is_not_there_yet_is_waited_for(void **state)
{
	struct world *w = *state;

	begin_role(w, ROLE("100000"));
	wait_heard(w, LOGIN, 1);
	unlink(w->token_file.p);
	make_issuer(w);
	assert_int_equal(sign_it(w).r.class, ISSUER_AUTH);
	assert_int_equal(count_heard(w, LOGIN), 1);
	write_token(w, "secret");
	wait_heard(w, LOGIN, 2);
	while (issuer_trouble(w->issuer, w->arena) != NULL)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
}

static void
nonsense_instead_of_a_token_is_a_failure(void **state)
{
	static const char *const raws[] = { "{}", "<html>", "{\\\"auth\\\":{}}",
		"{\\\"auth\\\":{\\\"client_token\\\":\\\"a b\\\","
		"\\\"lease_duration\\\":10,\\\"renewable\\\":true}}",
		"{\\\"auth\\\":{\\\"client_token\\\":\\\"s.x\\\","
		"\\\"lease_duration\\\":-1,\\\"renewable\\\":true}}" };
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(raws); i++)
		command(w,
		    str_printf(w->arena,
			"{\"script\":{\"login\":[{\"raw\":\"%s\"}]}}", raws[i])
			.p);
	begin_role(w, ROLE("100000"));
	while (logins("failure") < (int64_t)COUNT(raws)) {
		make_issuer(w); /* rather than wait for the next try */
		wait_heard(w, LOGIN, count_heard(w, LOGIN) + 1);
		turn_for(w->loop, 50000);
	}
	assert_int_equal(logins("success"), 0);
}

static void
after_stop_nothing_leaves_and_who_waits_hears(void **state)
{
	struct world *w = *state;
	struct told t = { .arena = w->arena };
	size_t n;

	command(w, "{\"always\":{\"login\":{\"hang\":true}}}");
	begin_role(w, ROLE("100000"));
	wait_heard(w, LOGIN, 1);
	issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t);
	turn_for(w->loop, 2 * UNIT);
	assert_int_equal(t.calls, 0);
	n = w->nheard;
	issuer_stop(w->issuer);
	while (t.calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(t.r.class, ISSUER_NETWORK);
	assert_false(t.r.uncertain);
	turn_for(w->loop, 20 * UNIT);
	assert_int_equal(w->nheard, n);
}

static void
a_caller_that_waits_for_a_login_may_go(void **state)
{
	struct world *w = *state;
	struct told t = { .arena = w->arena };
	struct task task;

	command(w, "{\"script\":{\"login\":[{\"delay\":0.2}]}}");
	begin_role(w, ROLE("100000"));
	task_init(&task);
	issuer_sign(w->issuer, &task, &w->rq, on_result, &t);
	task_end(&task);
	while (logins("success") == 0)
		loop_turn(w->loop, LOOP_WAIT);
	turn_for(w->loop, 3 * UNIT);
	assert_int_equal(t.calls, 0);
	assert_int_equal(count_heard(w, SIGN), 0);
}

static void
options_that_will_not_do_are_told(void **state)
{
	struct world *w = *state;

	w->options.token_file = NULL;
	w->options.role_id = "r";
	assert_non_null(strstr(refused(w), "secret id file"));
	w->options.secret_id_file = w->token_file.p;
	write_token(w, "two words");
	assert_non_null(strstr(refused(w), "one line"));
	write_token(w, "secret");
	w->options.auth_mount = "a?b";
	assert_non_null(strstr(refused(w), "mount"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(logs_in_and_signs_with_what_it_got),
		TEST(renews_what_it_got_at_half_its_life),
		TEST(logs_in_again_if_a_renewal_is_refused),
		TEST(logs_in_again_if_the_token_cannot_be_renewed),
		TEST(a_signature_refused_for_a_dead_token_waits_for_the_login),
		TEST(what_is_refused_with_a_good_token_is_refused),
		TEST(while_the_login_fails_signatures_are_refused),
		TEST(a_changed_secret_id_is_used_at_once),
		TEST(a_secret_id_that_is_not_there_yet_is_waited_for),
		TEST(nonsense_instead_of_a_token_is_a_failure),
		TEST(after_stop_nothing_leaves_and_who_waits_hears),
		TEST(a_caller_that_waits_for_a_login_may_go),
		TEST(options_that_will_not_do_are_told),
	};

	return run_with_peer(tests);
}
