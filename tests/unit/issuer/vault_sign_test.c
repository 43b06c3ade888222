/* SPDX-License-Identifier: ISC */
/* Signing and revoking through a Vault that is honest, ill, or a liar. */
#include "vault_world.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIGN "/pki/sign/web"

static void
begin_signing(struct world *w)
{
	command(w, "{\"token\":{\"value\":\"s.first\",\"ttl\":100000}}");
	write_token(w, "s.first");
	make_issuer(w);
	wait_heard(w, "/auth/token/lookup-self", 1);
}

/* The member of the last body that was sent to the path. */
static struct str
sent(struct world *w, const char *path, const char *member)
{
	const struct heard *h = nth_heard(w, path, count_heard(w, path) - 1);

	return json_get_str(h->body, member);
}

/* ---- what is asked for, and what is handed on */

static void
signs_and_hands_on_what_was_ordered(void **state)
{
	struct world *w = *state;
	struct told t;
	struct pki_cert cert;
	struct str *ders;
	size_t n;

	w->options.namespace = "team/a";
	w->options.mount = "pki";
	begin_signing(w);
	t = sign_it(w);
	if (t.failed)
		fail_msg("%s", t.problem.cause);
	assert_null(pki_parse_cert(w->arena, t.r.der, &cert));
	assert_true(pki_names_equal(&cert.names, &w->names));
	assert_true(str_eq(cert.spki, w->rq.spki));
	assert_true(str_eq(t.r.serial, pki_serial_text(w->arena, cert.serial)));
	assert_int_equal(t.r.not_before, cert.not_before * WHEN_SECOND);
	assert_int_equal(t.r.not_after, cert.not_after * WHEN_SECOND);
	/* the profile's lifetime and not a second more */
	assert_true(cert.not_after - cert.not_before + 1 <= 90 * 86400);
	/* the chain is the issuing CA, without the root */
	assert_null(pki_parse_pem(w->arena, t.r.chain_pem, &ders, &n));
	assert_int_equal(n, 1);
	assert_int_equal(strlen(t.r.chain_id), 64);
	wait_heard(w, SIGN, 1);
	assert_str(nth_heard(w, SIGN, 0)->token, "s.first");
	assert_str(nth_heard(w, SIGN, 0)->namespace, "team/a");
	assert_str(sent(w, SIGN, "common_name"), "a.example");
	assert_str(sent(w, SIGN, "alt_names"), "*.a.example,a.example");
	assert_str(sent(w, SIGN, "ip_sans"), "192.0.2.7,2001:db8::7");
	assert_str(sent(w, SIGN, "ttl"), "7775969s"); /* 90 days, less 31 s */
	assert_true(str_starts(sent(w, SIGN, "csr"),
	    STR("-----BEGIN CERTIFICATE REQUEST-----")));
}

/* It is not ours to put in, and nothing is left out in silence. */
static void
extensions_about_revocation_are_refused(void **state)
{
	struct world *w = *state;

	begin_signing(w);
	w->rq.must_staple = true;
	assert_int_equal(sign_it(w).r.class, ISSUER_OTHER);
	w->rq.must_staple = false;
	w->rq.no_rev_avail = true;
	assert_int_equal(sign_it(w).r.class, ISSUER_OTHER);
	assert_int_equal(count_heard(w, SIGN), 0);
	w->rq.no_rev_avail = false;
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
}

static void
the_ttl_is_bounded_by_the_profile_and_the_option(void **state)
{
	struct world *w = *state;

	w->options.ttl = WHEN_HOUR;
	w->options.backdate = WHEN_MINUTE;
	begin_signing(w);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	wait_heard(w, SIGN, 1);
	assert_str(sent(w, SIGN, "ttl"), "3600s");
	w->rq.max_lifetime = 10 * WHEN_MINUTE;
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	wait_heard(w, SIGN, 2);
	assert_str(sent(w, SIGN, "ttl"), "539s");
	w->rq.max_lifetime = WHEN_MINUTE;
	assert_int_equal(sign_it(w).r.class, ISSUER_OTHER);
	turn_for(w->loop, 20000);
	assert_int_equal(count_heard(w, SIGN), 2);
}

static void
names_alone_of_either_kind(void **state)
{
	struct world *w = *state;
	struct told t;

	begin_signing(w);
	w->rq.cn = STR_NONE;
	w->names.nips = 0;
	t = sign_it(w);
	if (t.failed)
		fail_msg("%s", t.problem.cause);
	wait_heard(w, SIGN, 1);
	assert_null(sent(w, SIGN, "ip_sans").p);
	assert_str(sent(w, SIGN, "common_name"), "*.a.example");
	w->names.nips = 2;
	w->names.ndns = 0;
	t = sign_it(w);
	if (t.failed)
		fail_msg("%s", t.problem.cause);
	wait_heard(w, SIGN, 2);
	assert_null(sent(w, SIGN, "alt_names").p);
	assert_null(sent(w, SIGN, "common_name").p);
}

/* GAP-12: one text of a serial, whatever form others give it */
static void
serials_are_canonical(void **state)
{
	struct world *w = *state;
	struct told t;

	command(w, "{\"script\":{\"sign\":[{\"lie\":\"small_serial\"}]}}");
	begin_signing(w);
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_OK);
	assert_str(t.r.serial, "ab01");
	assert_int_equal(revoke_it(w, "ab01").r.class, ISSUER_OK);
	wait_heard(w, "/pki/revoke", 1);
	assert_str(sent(w, "/pki/revoke", "serial_number"), "ab:01");
}

static void
a_chain_may_be_the_issuing_ca_alone(void **state)
{
	struct world *w = *state;
	struct told t;
	struct str *ders;
	size_t n;

	command(w, "{\"always\":{\"sign\":{\"lie\":\"no_chain\"}}}");
	begin_signing(w);
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_OK);
	assert_null(pki_parse_pem(w->arena, t.r.chain_pem, &ders, &n));
	assert_int_equal(n, 1);
}

static void
lies_are_found_out(void **state)
{
	static const struct {
		const char *lie, *why;
	} lies[] = { { "key", "key" }, { "extra_name", "names" },
		{ "missing_name", "names" }, { "no_names", "subjectAltName" },
		{ "cn", "other.example" }, { "lifetime", "lifetime" },
		{ "expired", "expired" }, { "future", "future" },
		{ "signature", "signature" }, { "chain", "issuer" },
		{ "chain_order", "not signed by the next" },
		{ "chain_leaf", "not a CA" },
		{ "chain_broken", "not signed by the next" },
		{ "usage", "lacks a purpose" }, { "code_signing", "not TLS" },
		{ "two", "more than one" }, { "not_pem", "PEM" } };
	struct world *w = *state;

	begin_signing(w);
	for (size_t i = 0; i < COUNT(lies); i++) {
		struct told t;

		command(w,
		    str_printf(w->arena,
			"{\"script\":{\"sign\":[{\"lie\":\"%s\"}]}}",
			lies[i].lie)
			.p);
		t = sign_it(w);
		if (t.r.class != ISSUER_VALIDATION)
			fail_msg("%s: class %s", lies[i].lie,
			    issuer_class_name(t.r.class));
		if (strstr(t.problem.cause, lies[i].why) == NULL)
			fail_msg("%s: %s", lies[i].lie, t.problem.cause);
		assert_false(t.r.again);
		assert_int_equal(t.problem.type, PROBLEM_SERVER);
		/* whoever cleans up needs to know which one it is */
		if (strcmp(lies[i].lie, "not_pem") != 0)
			assert_true(t.r.serial.n > 0 && t.r.der.n > 0);
		else
			assert_int_equal(t.r.der.n, 0);
	}
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
}

static void
the_profile_for_clients_gets_what_it_needs(void **state)
{
	struct world *w = *state;

	begin_signing(w);
	w->rq.eku = PKI_EKU_CLIENT;
	command(w, "{\"script\":{\"sign\":[{\"lie\":\"usage\"}]}}");
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	w->rq.eku = PKI_EKU_CLIENT | PKI_EKU_SERVER;
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
}

/* ---- failures */

static void
each_status_has_its_class(void **state)
{
	static const struct {
		unsigned status;
		const char *extra;
		enum issuer_class class;
		bool again, uncertain;
		unsigned retry_after;
	} table[] = {
		{ 400, "", ISSUER_UPSTREAM_4XX, false, false, 0 },
		{ 401, "", ISSUER_AUTH, true, false, 0 },
		{ 403, "", ISSUER_AUTH, true, false, 0 },
		{ 404, "", ISSUER_UPSTREAM_4XX, false, false, 0 },
		{ 412, "", ISSUER_UPSTREAM_5XX, true, false, 30 },
		{ 429, "", ISSUER_RATE_LIMITED, true, false, 0 },
		{ 429, ",\"headers\":{\"Retry-After\":\"17\"}",
		    ISSUER_RATE_LIMITED, true, false, 17 },
		{ 472, "", ISSUER_UPSTREAM_5XX, true, false, 30 },
		{ 473, "", ISSUER_UPSTREAM_5XX, true, false, 30 },
		{ 500, "", ISSUER_UPSTREAM_5XX, true, true, 30 },
		{ 501, "", ISSUER_UPSTREAM_5XX, true, false, 30 },
		{ 502, "", ISSUER_UPSTREAM_5XX, true, true, 30 },
		{ 503, ",\"headers\":{\"Retry-After\":\"3\"}",
		    ISSUER_UPSTREAM_5XX, true, false, 3 },
		{ 504, "", ISSUER_UPSTREAM_5XX, true, true, 30 },
		{ 307, ",\"headers\":{\"Location\":\"http://active:8200/\"}",
		    ISSUER_UPSTREAM_5XX, true, false, 30 },
		{ 202, "", ISSUER_OTHER, false, true, 0 },
	};
	struct world *w = *state;

	begin_signing(w);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct told t;

		command(w,
		    str_printf(w->arena,
			"{\"script\":{\"sign\":[{\"status\":%u,\"errors\":"
			"[\"first\\nline\",\"second\"]%s}]}}",
			table[i].status, table[i].extra)
			.p);
		t = sign_it(w);
		if (t.r.class != table[i].class ||
		    t.r.again != table[i].again ||
		    t.r.uncertain != table[i].uncertain ||
		    t.problem.retry_after != table[i].retry_after)
			fail_msg("%u: %s again %d uncertain %d after %u",
			    table[i].status, issuer_class_name(t.r.class),
			    t.r.again, t.r.uncertain, t.problem.retry_after);
		if (table[i].status != 307)
			assert_non_null(
			    strstr(t.problem.cause, "first?line: second"));
		/* Vault's words are for the log, not for the client */
		assert_null(
		    memmem(t.problem.detail.p, t.problem.detail.n, "first", 5));
	}
	assert_int_equal(count_heard(w, SIGN), COUNT(table));
}

static void
answers_that_make_no_sense_are_uncertain(void **state)
{
	static const char *const bodies[] = { "", "[]", "{}", "nonsense",
		"{\\\"data\\\":null}", "{\\\"data\\\":{\\\"certificate\\\":1}}",
		"{\\\"data\\\":{\\\"certificate\\\":\\\"\\\"}}" };
	struct world *w = *state;

	begin_signing(w);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct told t;

		command(w,
		    str_printf(w->arena,
			"{\"script\":{\"sign\":[{\"raw\":\"%s\"}]}}", bodies[i])
			.p);
		t = sign_it(w);
		assert_int_equal(t.r.class, ISSUER_OTHER);
		assert_true(t.r.uncertain);
	}
}

static void
silence_and_death_are_told_apart(void **state)
{
	struct world *w = *state;
	struct told t;

	w->options.timeout = 200000;
	begin_signing(w);
	command(w, "{\"script\":{\"sign\":[{\"hang\":true},{\"die\":true}]}}");
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_TIMEOUT);
	assert_true(t.r.uncertain);
	assert_true(t.r.again);
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_NETWORK);
	assert_true(t.r.uncertain);
	wait_heard(w, SIGN, 2);
	turn_for(w->loop, 20000);
	assert_int_equal(count_heard(w, SIGN), 2); /* once each */
	/* nobody there: certain */
	w->options.address = STR("http://127.0.0.1:1");
	make_issuer(w);
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_NETWORK);
	assert_false(t.r.uncertain);
	assert_true(t.r.again);
	w->options.address = STR("http://no.name.invalid");
	make_issuer(w);
	t = sign_it(w);
	assert_true(t.r.class == ISSUER_NETWORK || t.r.class == ISSUER_TIMEOUT);
	assert_false(t.r.uncertain);
}

static void
too_many_at_once_are_refused(void **state)
{
	struct world *w = *state;
	struct told t[3] = { { .arena = w->arena }, { .arena = w->arena },
		{ .arena = w->arena } };

	w->options.running_max = 2;
	w->options.timeout = 300000;
	begin_signing(w);
	command(w, "{\"always\":{\"sign\":{\"hang\":true}}}");
	for (size_t i = 0; i < 3; i++)
		issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t[i]);
	while (t[2].calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(t[2].r.class, ISSUER_RATE_LIMITED);
	assert_int_equal(t[2].problem.retry_after, 1);
	assert_int_equal(t[0].calls, 0);
	while (t[0].calls + t[1].calls < 2)
		loop_turn(w->loop, LOOP_WAIT);
	command(w, "{\"always\":{\"sign\":null}}");
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
}

static void
revocations_fail_as_signatures_do(void **state)
{
	struct world *w = *state;
	struct told t;

	begin_signing(w);
	t = revoke_it(w, "ab01");
	assert_int_equal(t.r.class, ISSUER_UPSTREAM_4XX);
	assert_non_null(strstr(t.problem.cause, "ab:01 not found"));
	assert_int_equal(revoke_it(w, "xyz").r.class, ISSUER_OTHER);
	assert_int_equal(revoke_it(w, "").r.class, ISSUER_OTHER);
	command(w, "{\"script\":{\"revoke\":[{\"die\":true}]}}");
	t = revoke_it(w, "ab01");
	assert_int_equal(t.r.class, ISSUER_NETWORK);
	assert_false(t.r.uncertain);
	assert_true(t.r.again);
}

/* ---- what was made without an answer */

/* Sign, and lose the answer; then ask again for what was made since. */
static struct told
lose_one(struct world *w)
{
	struct told t;

	command(w, "{\"script\":{\"sign\":[{\"lose\":true}]}}");
	w->rq.since = 0;
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_NETWORK);
	assert_true(t.r.uncertain);
	w->rq.since = when_now();
	return sign_it(w);
}

static int64_t
searches(const char *outcome)
{
	return metrics_child_get(
	    metrics_child(FAMILY_issuer_searches, "vault", outcome));
}

static void
what_was_made_without_an_answer_is_found(void **state)
{
	struct world *w = *state;
	struct told t;
	struct pki_cert cert;

	begin_signing(w);
	for (int i = 0; i < 3; i++) /* others */
		assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	/* another key, so that these are not it */
	w->key = (EVP_PKEY_free(w->key), pki_generate_key(PKI_P256));
	w->rq.csr = pki_write_csr(w->arena, w->key, &w->names, w->rq.cn);
	w->rq.spki = pki_write_spki(w->arena, w->key);
	t = lose_one(w);
	assert_int_equal(t.r.class, ISSUER_OK);
	assert_null(pki_parse_cert(w->arena, t.r.der, &cert));
	assert_true(str_eq(cert.spki, w->rq.spki));
	assert_true(t.r.chain_pem.n > 0);
	assert_int_equal(strlen(t.r.chain_id), 64);
	assert_int_equal(count_heard(w, SIGN), 4); /* not a second time */
	assert_int_equal(count_heard(w, "/pki/certs"), 1);
	assert_int_equal(searches("found"), 1);
}

static void
what_was_seen_is_not_asked_for_again(void **state)
{
	struct world *w = *state;
	size_t before;

	begin_signing(w);
	for (int i = 0; i < 5; i++)
		assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	w->key = (EVP_PKEY_free(w->key), pki_generate_key(PKI_P256));
	w->rq.csr = pki_write_csr(w->arena, w->key, &w->names, w->rq.cn);
	w->rq.spki = pki_write_spki(w->arena, w->key);
	w->rq.since = when_now();
	w->rq.look_only = true;
	assert_int_equal(sign_it(w).r.class, ISSUER_OTHER);
	before = w->nheard;
	assert_true(before >= 5 + 1 + 5);
	assert_int_equal(sign_it(w).r.class, ISSUER_OTHER);
	turn_for(w->loop, UNIT);
	assert_int_equal(w->nheard, before + 1); /* the list alone */
	assert_true(sign_it(w).r.absent);
	assert_int_equal(searches("absent"), 3);
}

static void
if_nothing_was_made_it_is_asked_again(void **state)
{
	struct world *w = *state;

	begin_signing(w);
	w->rq.since = when_now();
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	assert_int_equal(count_heard(w, SIGN), 1);
	assert_int_equal(searches("absent"), 1);
}

static void
an_old_certificate_of_the_same_key_is_not_it(void **state)
{
	struct world *w = *state;
	struct told t;

	begin_signing(w);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	w->rq.since = when_now() + WHEN_HOUR;
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_OK);
	assert_int_equal(count_heard(w, SIGN), 2);
}

static void
a_mount_that_may_not_be_listed_is_asked_again(void **state)
{
	struct world *w = *state;

	capture_log(w);
	begin_signing(w);
	command(w, "{\"always\":{\"certs\":{\"status\":403}}}");
	assert_int_equal(lose_one(w).r.class, ISSUER_OK);
	assert_int_equal(count_heard(w, SIGN), 2);
	assert_int_equal(searches("blind"), 1);
	/* who only looks is not told that there is nothing */
	w->rq.since = when_now();
	w->rq.look_only = true;
	assert_false(sign_it(w).r.absent);
	assert_int_equal(searches("blind"), 2);
	assert_true(logged(w, "does not let us see"));
}

static void
a_search_that_fails_changes_nothing(void **state)
{
	static const char *const endpoints[] = { "certs", "cert", "ca_chain" };
	struct world *w = *state;

	begin_signing(w);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	w->rq.since = when_now();
	for (size_t i = 0; i < COUNT(endpoints); i++) {
		struct told t;

		command(w,
		    str_printf(w->arena,
			"{\"script\":{\"%s\":[{\"status\":502}]}}",
			endpoints[i])
			.p);
		t = sign_it(w);
		assert_int_equal(t.r.class, ISSUER_UPSTREAM_5XX);
		assert_true(t.r.again && !t.r.uncertain);
	}
	assert_int_equal(count_heard(w, SIGN), 1);
	assert_int_equal(searches("failed"), 3);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	assert_int_equal(searches("found"), 1);
}

static void
what_is_listed_is_not_trusted(void **state)
{
	struct world *w = *state;

	begin_signing(w);
	w->rq.since = when_now();
	command(w,
	    "{\"script\":{\"certs\":[{\"raw\":\"{\\\"data\\\":{"
	    "\\\"keys\\\":[\\\"../../sys/seal\\\",5,"
	    "\\\"ab?x\\\",\\\"\\\"]}}\"},"
	    "{\"raw\":\"<html>\"}]}}");
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	assert_int_equal(count_heard(w, "seal"), 0);
	assert_int_equal(count_heard(w, SIGN), 2);
}

static void
stop_ends_a_search(void **state)
{
	struct world *w = *state;
	struct told t = { .arena = w->arena };
	size_t n;

	begin_signing(w);
	w->rq.since = when_now();
	command(w, "{\"always\":{\"certs\":{\"hang\":true}}}");
	issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t);
	wait_heard(w, "/pki/certs", 1);
	n = w->nheard;
	issuer_stop(w->issuer);
	while (t.calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(t.r.class, ISSUER_NETWORK);
	assert_false(t.r.uncertain);
	turn_for(w->loop, 3 * UNIT);
	assert_int_equal(w->nheard, n);
}

/* ---- the token */

static void
a_changed_token_is_used_for_the_next_signature(void **state)
{
	struct world *w = *state;

	begin_signing(w);
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	command(w, "{\"forget\":\"s.first\"}");
	assert_int_equal(sign_it(w).r.class, ISSUER_AUTH);
	command(w, "{\"token\":{\"value\":\"s.second\",\"ttl\":100000}}");
	write_token(w, "s.second");
	assert_int_equal(sign_it(w).r.class, ISSUER_OK);
	wait_heard(w, SIGN, 3);
	assert_str(nth_heard(w, SIGN, 2)->token, "s.second");
}

/* ---- stop */

static void
stop_lets_what_has_left_finish_and_nothing_else_leave(void **state)
{
	struct world *w = *state;
	struct told t[2] = { { .arena = w->arena }, { .arena = w->arena } };
	size_t n;

	begin_signing(w);
	command(w, "{\"script\":{\"sign\":[{\"delay\":0.3}]}}");
	issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t[0]);
	wait_heard(w, SIGN, 1);
	issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t[1]);
	n = w->nheard;
	issuer_stop(w->issuer);
	assert_int_equal(t[1].calls, 0);
	while (t[0].calls == 0 || t[1].calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(t[0].r.class, ISSUER_OK);
	assert_int_equal(t[1].r.class, ISSUER_NETWORK);
	assert_false(t[1].r.uncertain);
	assert_true(t[1].r.again);
	assert_int_equal(sign_it(w).r.class, ISSUER_NETWORK);
	turn_for(w->loop, 100000);
	assert_int_equal(w->nheard, n);
}

static void
an_issuer_may_go_while_vault_is_signing(void **state)
{
	struct world *w = *state;
	struct told t[2] = { { .arena = w->arena }, { .arena = w->arena } };
	struct task other;

	begin_signing(w);
	command(w, "{\"always\":{\"sign\":{\"delay\":0.3}}}");
	task_init(&other);
	issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t[0]);
	issuer_sign(w->issuer, &other, &w->rq, on_result, &t[1]);
	wait_heard(w, SIGN, 2);
	issuer_free(w->issuer);
	w->issuer = NULL;
	task_end(&other);
	while (t[0].calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(t[0].r.class, ISSUER_OK);
	assert_int_equal(t[1].calls, 0);
}

static void
a_caller_that_goes_is_told_nothing(void **state)
{
	struct world *w = *state;
	struct told t = { .arena = w->arena };
	struct task task;

	capture_log(w);
	begin_signing(w);
	/* before it left, after it left, and when refused */
	for (unsigned round = 0; round < 3; round++) {
		if (round == 2)
			issuer_stop(w->issuer);
		task_init(&task);
		command(w, "{\"always\":{\"sign\":{\"delay\":0.3}}}");
		issuer_sign(w->issuer, &task, &w->rq, on_result, &t);
		if (round == 1)
			wait_heard(w, SIGN, 1);
		task_end(&task);
		turn_for(w->loop, 50000);
		assert_int_equal(t.calls, 0);
	}
	assert_int_equal(count_heard(w, SIGN), 1);
	while (fetch_running(w->fetch) > 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_true(logged(w, "a certificate that nobody waits for"));
}

/* ---- TLS and options */

static void
https_is_verified_against_the_ca_file(void **state)
{
	struct world *w = *state;
	struct told t;
	struct pki_made other;

	begin_signing(w);
	t = sign_it(w);
	if (t.failed)
		fail_msg("%s", t.problem.cause);
	assert_null(pki_make_root(w->arena, STR("Other"),
	    when_now() / WHEN_SECOND, &other));
	assert_null(pki_save_text(w->arena, w->ca_file.p,
	    pki_write_pem(w->arena, "CERTIFICATE", other.der),
	    PKI_SAVE_REPLACE));
	make_issuer(w);
	t = sign_it(w);
	assert_int_equal(t.r.class, ISSUER_NETWORK);
	assert_false(t.r.uncertain);
	assert_int_equal(count_heard(w, SIGN), 1);
}

static void
options_that_will_not_do_are_refused(void **state)
{
	struct world *w = *state;
	struct issuer_vault_options good = w->options;

	write_token(w, "s.first");
	w->options.role = "../../sys/seal";
	assert_non_null(strstr(refused(w), "role"));
	w->options = good;
	w->options.role = NULL;
	assert_non_null(strstr(refused(w), "role"));
	w->options = good;
	w->options.mount = "pki?x=";
	assert_non_null(strstr(refused(w), "mount"));
	w->options = good;
	w->options.namespace = "a\r\nb";
	assert_non_null(strstr(refused(w), "namespace"));
	w->options = good;
	w->options.address = STR("vault:8200");
	assert_non_null(strstr(refused(w), "https://"));
	w->options = good;
	w->options.token_file = NULL;
	assert_non_null(strstr(refused(w), "token file"));
	w->options = good;
	w->options.ca_file = "/nonexistent/ca.pem";
	assert_non_null(strstr(refused(w), "/nonexistent/ca.pem"));
	w->options.ca_file = w->token_file.p;
	assert_non_null(strstr(refused(w), "does not hold CA certificates"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(signs_and_hands_on_what_was_ordered),
		TEST(extensions_about_revocation_are_refused),
		TEST(the_ttl_is_bounded_by_the_profile_and_the_option),
		TEST(names_alone_of_either_kind),
		TEST(serials_are_canonical),
		TEST(a_chain_may_be_the_issuing_ca_alone),
		TEST(lies_are_found_out),
		TEST(the_profile_for_clients_gets_what_it_needs),
		TEST(each_status_has_its_class),
		TEST(answers_that_make_no_sense_are_uncertain),
		TEST(silence_and_death_are_told_apart),
		TEST(too_many_at_once_are_refused),
		TEST(revocations_fail_as_signatures_do),
		TEST(what_was_made_without_an_answer_is_found),
		TEST(what_was_seen_is_not_asked_for_again),
		TEST(if_nothing_was_made_it_is_asked_again),
		TEST(an_old_certificate_of_the_same_key_is_not_it),
		TEST(a_mount_that_may_not_be_listed_is_asked_again),
		TEST(a_search_that_fails_changes_nothing),
		TEST(what_is_listed_is_not_trusted),
		TEST(stop_ends_a_search),
		TEST(a_changed_token_is_used_for_the_next_signature),
		TEST(stop_lets_what_has_left_finish_and_nothing_else_leave),
		TEST(an_issuer_may_go_while_vault_is_signing),
		TEST(a_caller_that_goes_is_told_nothing),
		TEST_TLS(https_is_verified_against_the_ca_file),
		TEST(options_that_will_not_do_are_refused),
	};

	return run_with_peer(tests);
}
