/* SPDX-License-Identifier: ISC */
/*
 * The life of a Vault token against the scripted peer, in compressed time.
 * Moments are only ever compared from below: a slow machine is late, but
 * nothing may come early.
 */
#include "vault_world.h"

#include <sys/stat.h>
#include <unistd.h>

#define LOOKUP "/auth/token/lookup-self"
#define RENEW "/auth/token/renew-self"

/* The peer counts from when it heard, timers may be a tick early. */
enum { SLACK = 2 };

/* A token for the peer and the file, and an issuer with it. */
static void
begin_life(struct world *w, const char *token)
{
	command(w, token);
	write_token(w, "s.first");
	make_issuer(w);
}

static int64_t
units_between(const struct world *w, const char *path, size_t n)
{
	return (nth_heard(w, path, n + 1)->at - nth_heard(w, path, n)->at) /
	    UNIT;
}

static void
renewals_come_at_half_the_ttl_but_not_below_5_s(void **state)
{
	static const struct {
		int64_t ttl, after;
	} table[] = { { 1, 5 }, { 5, 5 }, { 9, 5 }, { 10, 5 }, { 11, 5 },
		{ 12, 6 }, { 20, 10 }, { 60, 30 }, { 3600, 1800 },
		{ 86400, 43200 }, { 2764800, 1382400 } };

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(vault_renew_after(table[i].ttl),
		    table[i].after);
}

static void
retries_come_sooner_as_expiry_nears(void **state)
{
	static const struct {
		int64_t left, after;
	} table[] = { { 0, 1 }, { 1, 1 }, { 4, 1 }, { 7, 1 }, { 8, 2 },
		{ 20, 5 }, { 3600, 900 }, { 14400, 3600 }, { 1382400, 3600 } };
	int64_t left = 1382400, last = INT64_MAX, tries = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(vault_retry_after(table[i].left),
		    table[i].after);
	for (; left > 0; left -= last, tries++) {
		assert_true(vault_retry_after(left) <= last);
		last = vault_retry_after(left);
	}
	assert_true(tries > 10);
}

static void
three_ticks_are_three_renewals(void **state)
{
	struct world *w = *state;

	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":16}}");
	wait_heard(w, RENEW, 4); /* by then the third has been answered */
	assert_int_equal(count_heard(w, LOOKUP), 1);
	for (size_t i = 0; i < 3; i++)
		assert_true(units_between(w, RENEW, i) >= 8 - SLACK);
	assert_true(nth_heard(w, RENEW, 0)->at - nth_heard(w, LOOKUP, 0)->at >=
	    (8 - SLACK) * UNIT);
	assert_str(nth_heard(w, RENEW, 0)->token, "s.first");
	assert_str(nth_heard(w, RENEW, 0)->method, "POST");
	assert_str(nth_heard(w, LOOKUP, 0)->method, "GET");
	assert_true(renewals("success") >= 3);
	assert_int_equal(renewals("failure"), 0);
	assert_int_equal(renewals("not_renewable"), 0);
}

static void
the_metric_has_its_three_series_from_the_start(void **state)
{
	struct world *w = *state;
	struct buf b = buf_new(w->arena, METRICS_TEXT_MAX);
	static const char *const lines[] = {
#define SERIES(r) "certloop_vault_token_renewals_total{result=\"" r "\"} 0\n"
		SERIES("success"),
		SERIES("failure"),
		SERIES("not_renewable"),
#undef SERIES
	};

	make_issuer(w);
	metrics_write(&b);
	buf_char(&b, '\0');
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_non_null(strstr(b.p, lines[i]));
}

static void
a_short_ttl_is_renewed_at_the_floor(void **state)
{
	struct world *w = *state;

	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":8}}");
	wait_heard(w, RENEW, 3);
	for (size_t i = 0; i < 2; i++)
		assert_true(units_between(w, RENEW, i) >= 5 - SLACK);
}

static void
a_token_that_cannot_be_renewed_ends_the_loop(void **state)
{
	struct world *w = *state;

	capture_log(w);
	begin_life(w,
	    "{\"token\":{\"value\":\"s.first\",\"ttl\":8,"
	    "\"renewable\":false}}");
	wait_heard(w, LOOKUP, 1);
	turn_for(w->loop, 12 * UNIT);
	assert_int_equal(count_heard(w, RENEW), 0);
	assert_int_equal(count_heard(w, LOOKUP), 1);
	assert_int_equal(renewals("not_renewable"), 1);
	assert_int_equal(renewals("failure"), 0);
	assert_true(logged(w, "level=warn"));
	assert_true(logged(w, "the vault token cannot be renewed"));
}

static void
renewable_may_end_later(void **state)
{
	struct world *w = *state;

	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":12}}");
	wait_heard(w, RENEW, 1);
	command(w, "{\"script\":{\"renew-self\":[{\"renewable\":false}]}}");
	wait_heard(w, RENEW, 2);
	turn_for(w->loop, 12 * UNIT);
	assert_int_equal(count_heard(w, RENEW), 2);
	assert_int_equal(renewals("success"), 1);
	assert_int_equal(renewals("not_renewable"), 1);
	assert_int_equal(renewals("failure"), 0);
}

static void
a_root_token_needs_no_loop(void **state)
{
	struct world *w = *state;

	begin_life(w,
	    "{\"token\":{\"value\":\"s.first\",\"ttl\":0,"
	    "\"renewable\":false}}");
	wait_heard(w, LOOKUP, 1);
	turn_for(w->loop, 10 * UNIT);
	assert_int_equal(w->nheard, 1);
	assert_int_equal(renewals("not_renewable"), 0);
}

static void
a_failure_is_told_and_the_loop_goes_on(void **state)
{
	struct world *w = *state;

	capture_log(w);
	command(w,
	    "{\"script\":{\"renew-self\":[{\"status\":403,"
	    "\"errors\":[\"permission denied\"]}]}}");
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":40}}");
	wait_heard(w, RENEW, 3);
	assert_int_equal(renewals("failure"), 1);
	assert_true(renewals("success") >= 1);
	/* 20 are left: a quarter of them, then half of the TTL */
	assert_true(units_between(w, RENEW, 0) >= 5 - SLACK);
	assert_true(units_between(w, RENEW, 1) >= 20 - SLACK);
	assert_true(logged(w, "level=error"));
	assert_true(logged(w,
	    "vault token renewal failed; rotate the token before TTL "
	    "expires"));
	assert_true(logged(w, "permission denied"));
	assert_false(logged(w, "s.first"));
}

static void
each_kind_of_failure_keeps_the_loop_going(void **state)
{
	static const char *const kinds[] = {
#define LEASE(n)                                                               \
	"{\"raw\":\"{\\\"auth\\\":{\\\"lease_duration\\\":" n                  \
	",\\\"renewable\\\":true}}\"}"
		"{\"status\":503,\"errors\":[\"Vault is sealed\"]}",
		"{\"die\":true}",
		"{\"raw\":\"{}\"}",
		"{\"raw\":\"not JSON\"}",
		LEASE("\\\"9\\\""),
		LEASE("-1"),
		"{\"status\":429,\"headers\":{\"Retry-After\":\"1\"}}",
#undef LEASE
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(kinds); i++)
		command(w,
		    str_printf(w->arena,
			"{\"script\":{\"renew-self\":[%s,{}]}}", kinds[i])
			.p);
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":16}}");
	while (renewals("success") < (int64_t)COUNT(kinds))
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(renewals("failure"), COUNT(kinds));
}

static void
a_vault_that_hangs_leaves_time_to_try_again(void **state)
{
	struct world *w = *state;

	w->options.timeout = 300000;
	command(w, "{\"script\":{\"renew-self\":[{\"hang\":true}]}}");
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":100}}");
	wait_heard(w, RENEW, 2);
	while (renewals("success") == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_true(renewals("failure") >= 1);
	assert_int_equal(count_heard(w, LOOKUP), 1); /* it has not expired */
}

static void
a_changed_ttl_changes_the_cadence(void **state)
{
	struct world *w = *state;

	command(w,
	    "{\"script\":{\"renew-self\":[{},{\"ttl\":40},{\"ttl\":12}]}}");
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":12}}");
	wait_heard(w, RENEW, 4);
	assert_true(units_between(w, RENEW, 0) >= 6 - SLACK);
	assert_true(units_between(w, RENEW, 1) >= 20 - SLACK);
	assert_true(units_between(w, RENEW, 2) >= 6 - SLACK);
	assert_int_equal(renewals("failure"), 0);
}

static void
a_token_near_its_maximum_is_warned_of(void **state)
{
	struct world *w = *state;

	capture_log(w);
	command(w, "{\"always\":{\"renew-self\":{\"ttl\":3}}}");
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":60}}");
	wait_heard(w, RENEW, 2);
	assert_true(logged(w, "could not be extended"));
}

static void
a_dead_token_waits_for_the_operator(void **state)
{
	struct world *w = *state;
	int64_t before;

	capture_log(w);
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":12}}");
	wait_heard(w, RENEW, 1); /* the lookup has been answered */
	command(w, "{\"forget\":\"s.first\"}");
	/* after its end it is only looked up, in case we are wrong */
	wait_heard(w, LOOKUP, 2);
	assert_true(logged(w, "the vault token has expired"));
	command(w, "{\"token\":{\"value\":\"s.second\",\"ttl\":12}}");
	before = renewals("success");
	write_token(w, "s.second");
	while (renewals("success") == before)
		loop_turn(w->loop, LOOP_WAIT);
	assert_true(logged(w, "took over a new vault token"));
	assert_false(logged(w, "s.second"));
}

static void
a_lookup_that_fails_is_tried_again(void **state)
{
	struct world *w = *state;

	command(w,
	    "{\"script\":{\"lookup-self\":[{\"status\":500},{\"status\":502}]}"
	    "}");
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":12}}");
	wait_heard(w, LOOKUP, 3);
	assert_true(units_between(w, LOOKUP, 0) >= 5 - SLACK);
	assert_true(units_between(w, LOOKUP, 1) >= 10 - SLACK);
	wait_heard(w, RENEW, 1);
	assert_int_equal(renewals("failure"), 2);
}

static void
a_new_token_in_the_file_is_taken_at_once(void **state)
{
	struct world *w = *state;

	command(w, "{\"token\":{\"value\":\"s.second\",\"ttl\":12}}");
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":2000}}");
	wait_heard(w, LOOKUP, 1);
	write_token(w, "s.second");
	wait_heard(w, LOOKUP, 2);
	assert_str(nth_heard(w, LOOKUP, 1)->token, "s.second");
	wait_heard(w, RENEW, 1);
	assert_str(nth_heard(w, RENEW, 0)->token, "s.second");
	/* the same token in a new file changes nothing */
	write_token(w, "s.second");
	turn_for(w->loop, 10 * UNIT);
	assert_int_equal(count_heard(w, LOOKUP), 2);
}

static void
a_bad_file_leaves_the_old_token(void **state)
{
	struct world *w = *state;

	capture_log(w);
	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":12}}");
	wait_heard(w, LOOKUP, 1);
	write_token(w, "two words");
	wait_heard(w, RENEW, 1);
	assert_true(logged(w, "does not hold a token"));
	write_token(w, "s.second");
	assert_int_equal(chmod(w->token_file.p, 0644), 0);
	wait_heard(w, RENEW, 2);
	assert_true(logged(w, "has mode 0644"));
	assert_int_equal(unlink(w->token_file.p), 0);
	wait_heard(w, RENEW, 4);
	for (size_t i = 0; i < 4; i++)
		assert_str(nth_heard(w, RENEW, i)->token, "s.first");
	assert_true(logged(w, "old_one_stays=true"));
}

static void
a_file_that_is_not_there_yet_is_waited_for(void **state)
{
	struct world *w = *state;

	capture_log(w);
	command(w, "{\"token\":{\"value\":\"s.late\",\"ttl\":12}}");
	make_issuer(w);
	assert_true(logged(w, "waiting for a vault token"));
	assert_int_equal(sign_it(w).r.class, ISSUER_AUTH);
	assert_int_equal(w->nheard, 0);
	write_token(w, "s.late");
	wait_heard(w, RENEW, 1);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
}

static void
bad_token_files_stop_the_start(void **state)
{
	struct world *w = *state;

	write_token(w, "s.first");
	assert_int_equal(chmod(w->token_file.p, 0640), 0);
	assert_non_null(strstr(refused(w), "chmod 600"));
	write_token(w, "");
	assert_non_null(strstr(refused(w), "does not hold a token"));
	write_token(w, "a\r\nX-Vault-Namespace: other");
	assert_non_null(strstr(refused(w), "does not hold a token"));
	unlink(w->token_file.p);
	assert_int_equal(mkdir(w->token_file.p, 0700), 0);
	assert_non_null(strstr(refused(w), "not a regular file"));
	rmdir(w->token_file.p);
	assert_int_equal(mkfifo(w->token_file.p, 0600), 0);
	assert_non_null(strstr(refused(w), "not a regular file"));
}

/* ---- stop */

static void
stop_ends_what_is_under_way(void **state)
{
	struct world *w = *state;
	size_t n;

	/* asleep before a renewal; a renewal, then a lookup under way */
	for (unsigned round = 0; round < 3; round++) {
		command(w,
		    "{\"always\":{\"renew-self\":null,"
		    "\"lookup-self\":null}}");
		if (round == 1)
			command(w,
			    "{\"always\":{\"renew-self\":{\"hang\":true}}}");
		if (round == 2)
			command(w,
			    "{\"always\":{\"lookup-self\":{\"hang\":true}}}");
		begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":12}}");
		if (round == 1)
			wait_heard(w, RENEW, count_heard(w, RENEW) + 1);
		else
			wait_heard(w, LOOKUP, count_heard(w, LOOKUP) + 1);
		n = w->nheard;
		int64_t began = when_now();
		issuer_stop(w->issuer);
		issuer_stop(w->issuer);
		assert_true(when_now() - began < 200000);
		assert_int_equal(fetch_running(w->fetch), 0);
		write_token(w, round == 0 ? "s.other" : "s.first");
		turn_for(w->loop, 20 * UNIT);
		assert_int_equal(w->nheard, n);
	}
}

static void
a_new_issuer_takes_over_from_a_stopped_one(void **state)
{
	struct world *w = *state;

	begin_life(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":12}}");
	wait_heard(w, RENEW, 1);
	issuer_stop(w->issuer);
	issuer_start(w->issuer); /* the same one, too */
	wait_heard(w, LOOKUP, 2);
	make_issuer(w);
	wait_heard(w, LOOKUP, 3);
	wait_heard(w, RENEW, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    renewals_come_at_half_the_ttl_but_not_below_5_s),
		cmocka_unit_test(retries_come_sooner_as_expiry_nears),
		TEST(three_ticks_are_three_renewals),
		TEST(the_metric_has_its_three_series_from_the_start),
		TEST(a_short_ttl_is_renewed_at_the_floor),
		TEST(a_token_that_cannot_be_renewed_ends_the_loop),
		TEST(renewable_may_end_later),
		TEST(a_root_token_needs_no_loop),
		TEST(a_failure_is_told_and_the_loop_goes_on),
		TEST(each_kind_of_failure_keeps_the_loop_going),
		TEST(a_vault_that_hangs_leaves_time_to_try_again),
		TEST(a_changed_ttl_changes_the_cadence),
		TEST(a_token_near_its_maximum_is_warned_of),
		TEST(a_dead_token_waits_for_the_operator),
		TEST(a_lookup_that_fails_is_tried_again),
		TEST(a_new_token_in_the_file_is_taken_at_once),
		TEST(a_bad_file_leaves_the_old_token),
		TEST(a_file_that_is_not_there_yet_is_waited_for),
		TEST(bad_token_files_stop_the_start),
		TEST(stop_ends_what_is_under_way),
		TEST(a_new_issuer_takes_over_from_a_stopped_one),
	};

	return run_with_peer(tests);
}
