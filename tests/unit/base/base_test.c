/* SPDX-License-Identifier: ISC */
/* The values everything is made of. */
#include "../arena.h"

#include "base/addr.h"
#include "base/b64url.h"
#include "base/buf.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/json.h"
#include "base/problem.h"
#include "base/when.h"

#include <sys/wait.h>
#include <unistd.h>

static int order[3], norder;

static void
note_one(void *arg)
{
	order[norder++] = *(int *)arg;
}

static void
arena_runs_hooks_newest_first(void **state)
{
	static int one = 1, two = 2;
	struct arena *a = arena_create();

	(void)state;
	norder = 0;
	arena_defer(a, note_one, &one);
	arena_defer(a, note_one, &two);
	arena_destroy(a);
	assert_int_equal(norder, 2);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
}

static void
arena_serves_small_and_large_aligned(void **state)
{
	char *big = arena_zalloc(*state, 100000);

	for (size_t i = 1; i < 3000; i += 7) {
		char *p = arena_alloc(*state, i);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		memset(p, 0xff, i);
	}
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(big[i], 0);
}

static void
str_cuts_trims_and_compares(void **state)
{
	struct str rest = STR("a,b,,c");

	(void)state;
	assert_str(str_cut(&rest, ','), "a");
	assert_str(str_cut(&rest, ','), "b");
	assert_str(str_cut(&rest, ','), "");
	assert_str(str_cut(&rest, ','), "c");
	assert_int_equal(rest.n, 0);
	assert_str(str_trim(STR(" \tx y ")), "x y");
	assert_true(str_case_eq(STR("Host"), STR("hOST")));
	assert_false(str_case_eq(STR("Host"), STR("Hos")));
	assert_true(str_ends(STR("a.example"), STR(".example")));
	assert_false(str_ends(STR("e"), STR(".e")));
}

static void
str_show_makes_anything_printable(void **state)
{
	assert_str(str_show(*state, STR("a\x01\xc3\xa4~ "), 9), "a???~ ");
	assert_str(str_show(*state, STR("abcdef"), 6), "abcdef");
	assert_str(str_show(*state, STR("abcdef"), 5), "abcde...");
	assert_str(str_show(*state, STR_NONE, 5), "");
}

static void
str_u64_takes_digits_only(void **state)
{
	static const char *const bad[] = { "", "+1", "-1", " 1", "1 ", "0x1",
		"18446744073709551616", "1e3" };
	uint64_t v;

	(void)state;
	assert_true(str_u64(STR("18446744073709551615"), &v));
	assert_true(v == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(str_u64(str_from(bad[i]), &v));
}

static void
str_is_text_refuses_nul_and_bad_utf8(void **state)
{
	static const char *const bad[] = { "\xc0\x80", "\xed\xa0\x80", "\xff",
		"\xe2\x82", "\xf4\x90\x80\x80", "\x80", "\xc1\xbf" };

	(void)state;
	assert_true(str_is_text(STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac "
				    "\xf0\x9f\x94\x91")));
	assert_false(str_is_text(str_make("a\0b", 3)));
	/* a bad byte is seen wherever it stands in a word of eight */
	for (size_t i = 0; i < 20; i++) {
		char text[20];

		memset(text, 'x', sizeof(text));
		assert_true(str_is_text(str_make(text, sizeof(text))));
		text[i] = '\0';
		assert_false(str_is_text(str_make(text, sizeof(text))));
		text[i] = '\x80';
		assert_false(str_is_text(str_make(text, sizeof(text))));
		text[i] = '\x01';
		assert_true(str_is_text(str_make(text, sizeof(text))));
	}
	assert_str(str_join(*state, STR("a"), STR(""), STR("bc")), "abc");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(str_is_text(str_from(bad[i])));
}

static void
buf_stops_at_its_bound(void **state)
{
	struct buf b = buf_new(*state, 300);
	char fixed[4];
	struct buf f = buf_over(fixed, sizeof(fixed));

	for (int i = 0; i < 30; i++)
		buf_printf(&b, "%09d", i);
	assert_false(b.full);
	assert_int_equal(b.len, 270);
	buf_put(&b, "0123456789012345678901234567890123456789", 40);
	assert_true(b.full);
	assert_int_equal(b.len, 270);
	buf_str(&f, STR("abcd"));
	assert_false(f.full);
	buf_char(&f, 'e');
	assert_true(f.full);
	assert_str(buf_view(&f), "abcd");
}

static void
b64url_is_strict_and_reversible(void **state)
{
	static const char *const bad[] = { "A", "AB=", "AB==", "A B", "AB+",
		"AB/", "AAAAA", "AB", "AAB" };
	unsigned char raw[64];
	struct str out;

	for (size_t n = 0; n <= sizeof(raw); n++) {
		id_random(raw, n);
		assert_true(b64url_decode(*state,
		    b64url_encode(*state, str_make(raw, n)), &out));
		assert_true(str_eq(out, str_make(raw, n)));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(b64url_decode(*state, str_from(bad[i]), &out));
	assert_true(b64url_decode_exact(STR("AAA"), raw, 2));
	assert_false(b64url_decode_exact(STR("AAA"), raw, 3));
}

static void
hex_is_reversible(void **state)
{
	struct str out;

	assert_str(hex_encode(*state, STR("\x01\xfe")), "01fe");
	assert_true(hex_decode(*state, STR("01FE"), &out));
	assert_str(out, "\x01\xfe");
	assert_false(hex_decode(*state, STR("1"), &out));
	assert_false(hex_decode(*state, STR("0g"), &out));
}

/* Bytes are asked for in advance; a child must not have the same ones. */
static void
a_child_draws_other_random_bytes_than_its_parent(void **state)
{
	uint8_t ours[16], theirs[16];
	int fds[2], status;
	pid_t pid;

	(void)state;
	(void)id_draw(); /* now some are there in advance */
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		id_random(theirs, sizeof(theirs));
		_exit(write(fds[1], theirs, sizeof(theirs)) !=
		    (ssize_t)sizeof(theirs));
	}
	id_random(ours, sizeof(ours));
	assert_int_equal(read(fds[0], theirs, sizeof(theirs)), sizeof(theirs));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_memory_not_equal(ours, theirs, sizeof(ours));
	close(fds[0]);
	close(fds[1]);
}

static void
random_bytes_of_any_length_are_all_set(void **state)
{
	uint8_t all[300], none[300], drawn[300];

	(void)state;
	for (size_t n = 1; n <= sizeof(drawn); n += 13) {
		memset(all, 0xff, n);
		memset(none, 0, n);
		for (int i = 0; i < 60; i++) {
			id_random(drawn, n);
			for (size_t k = 0; k < n; k++) {
				all[k] &= drawn[k];
				none[k] |= drawn[k];
			}
		}
		for (size_t k = 0; k < n; k++) {
			assert_int_equal(all[k], 0);
			assert_int_equal(none[k], 0xff);
		}
	}
}

static void
ids_are_valid_and_differ(void **state)
{
	struct str a = id_new(*state), b = id_new(*state);

	assert_true(id_is_valid(a));
	assert_false(str_eq(a, b));
	assert_false(id_is_valid(STR("short")));
	assert_false(id_is_valid(STR("00000000AAAAAAAAAAAAAAAAAAAAA'")));
	assert_false(id_is_valid(STR("0000000wAAAAAAAAAAAAAAAAAAAAAA")));
	assert_true(id_is_valid(STR("0000000vAAAAAAAAAAAAAAAAAAAAAA")));
	/* later ones sort behind earlier ones, by their bytes */
	assert_true(str_cmp(str_make(a.p, ID_TIME_LEN),
			str_make(b.p, ID_TIME_LEN)) <= 0);
}

static void
json_reads_a_document(void **state)
{
	const struct json *j = json_parse(*state,
	    STR("{\"a\":[1,-2,true,null,1.5,\"x\\u00e9\"],\"b\":{\"c\":\"d\"}"
		"}"),
	    NULL);
	const struct json *a = json_get(j, "a");

	assert_non_null(j);
	assert_int_equal(a->n, 6);
	assert_int_equal(a->child->num, 1);
	assert_int_equal(a->child->next->num, -2);
	assert_str(json_get_str(json_get(j, "b"), "c"), "d");
	assert_null(json_get(j, "z"));
	j = json_parse(*state, STR("\"\\ud83d\\udd11 \\\\ud800\""), NULL);
	assert_non_null(j);
	assert_str(j->str, "\xf0\x9f\x94\x91 \\ud800");
	assert_null(json_get_str(j, "a").p);
}

static void
json_refuses_what_is_not_one_strict_value(void **state)
{
	static const char *const bad[] = { "", "{", "{}{}", "{\"a\":1,\"a\":2}",
		"[1,]", "{\"a\":}", "nul", "\"\xff\"", "\"a\\u0000b\"",
		"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
		"{\"\\u0061\":1,\"a\":2}", "/**/{}", "01", "'a'", "\"\\ud800\"",
		"\"\\udc00\"", "\"\\ud800x\"", "\"\\\\\\udbff\"",
		"\"\\ud83d\\ud83d\"" };
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		if (json_parse(*state, str_from(bad[i]), &why) != NULL)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(why);
	}
}

static void
json_bounds_members_and_values(void **state)
{
	struct buf b = buf_new(*state, 1 << 20);

	buf_char(&b, '{');
	for (int i = 0; i <= JSON_MEMBERS_MAX; i++)
		buf_printf(&b, "%s\"k%d\":0", i > 0 ? "," : "", i);
	buf_char(&b, '}');
	assert_null(json_parse(*state, buf_view(&b), NULL));
	b.len = 0;
	buf_char(&b, '[');
	for (int i = 0; i <= JSON_NODES_MAX; i++)
		buf_printf(&b, "%s0", i > 0 ? "," : "");
	buf_char(&b, ']');
	assert_null(json_parse(*state, buf_view(&b), NULL));
}

static void
json_writer_sticks(void **state)
{
	struct json_writer *w = json_writer_new(*state, 1000);

	json_open_object(w, NULL);
	json_str(w, "a", STR("x\"\n"));
	json_open_array(w, "l");
	json_int(w, NULL, INT64_MIN);
	json_bool(w, NULL, true);
	json_raw(w, NULL, STR("{\"r\":1}"));
	json_close(w);
	assert_null(json_text(w).p); /* still open */
	json_close(w);
	assert_str(json_text(w),
	    "{\"a\":\"x\\\"\\n\",\"l\":"
	    "[-9223372036854775808,true,{\"r\":1}]}");
	json_close(w);
	assert_null(json_text(w).p);
	w = json_writer_new(*state, 8);
	json_str(w, NULL, STR("too long for it"));
	assert_null(json_text(w).p);
}

static void
when_parses_and_prints(void **state)
{
	static const char *const bad[] = { "2026-02-29T00:00:00Z",
		"2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T24:00:00Z",
		"2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00+0100", "1969-12-31T00:00:00Z",
		"2100-02-29T00:00:00Z", "2026-01-01T00:00:00Zx" };
	int64_t at, other;

	assert_true(when_parse_rfc3339(STR("2026-01-02T03:04:05Z"), &at));
	assert_str(when_rfc3339(*state, at), "2026-01-02T03:04:05Z");
	assert_str(when_http(*state, at), "Fri, 02 Jan 2026 03:04:05 GMT");
	assert_true(
	    when_parse_rfc3339(STR("2026-01-02t04:04:05.25+01:00"), &other));
	assert_int_equal(other - at, 250000);
	assert_true(when_parse_rfc3339(STR("2024-02-29T00:00:00Z"), &at));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (when_parse_rfc3339(str_from(bad[i]), &at))
			fail_msg("accepted: %s", bad[i]);
}

static void
a_span_is_digits_and_a_unit(void **state)
{
	static const char *const bad[] = { "", "s", "5", "5x", "-5s", "5 s",
		"5ms", "1h30m", "106751992d", "18446744073709551616s" };
	static const struct {
		const char *text;
		int64_t usec;
	} good[] = {
		{ "0s", 0 },
		{ "90s", 90 * WHEN_SECOND },
		{ "15m", 15 * WHEN_MINUTE },
		{ "12h", 12 * WHEN_HOUR },
		{ "106751991d", 106751991 * WHEN_DAY },
	};
	int64_t span;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(when_parse_span(str_from(good[i].text), &span));
		assert_int_equal(span, good[i].usec);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (when_parse_span(str_from(bad[i]), &span))
			fail_msg("accepted: %s", bad[i]);
}

static void
addresses_have_one_form(void **state)
{
	static const char *const bad[] = { "", "1.2.3", "01.2.3.4", "1.2.3.4.5",
		"::g", "fe80::1%eth0", "1.2.3.4/8", "256.1.1.1" };
	struct addr a, b;

	assert_true(addr_parse(STR("::ffff:10.0.0.1"), &a));
	assert_true(addr_parse(STR("10.0.0.1"), &b));
	assert_true(addr_eq(a, b));
	assert_true(addr_parse(STR("2001:DB8:0:0:0:0:0:1"), &a));
	assert_str(addr_text(*state, a), "2001:db8::1");
	assert_true(addr_parse(STR("2001:db8:1fff:2:3:4:5:6"), &a));
	assert_str(addr_text(*state, addr_mask(a, 64)), "2001:db8:1fff:2::");
	assert_str(addr_text(*state, addr_mask(a, 48)), "2001:db8:1fff::");
	assert_str(addr_text(*state, addr_mask(a, 36)), "2001:db8:1000::");
	assert_str(addr_text(*state, addr_mask(a, 0)), "::");
	assert_str(addr_text(*state, addr_mask(a, 128)),
	    "2001:db8:1fff:2:3:4:5:6");
	assert_true(addr_eq(addr_mask(b, 0), b)); /* IPv4 stays */
	assert_true(addr_parse(STR("127.9.9.9"), &a) && addr_is_loopback(a));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (addr_parse(str_from(bad[i]), &a))
			fail_msg("accepted: %s", bad[i]);
}

static void
prefixes_hold_addresses(void **state)
{
	struct prefix p;
	struct addr a;

	(void)state;
	assert_true(prefix_parse(STR("10.32.0.0/11"), &p));
	assert_true(addr_parse(STR("10.63.255.255"), &a) && prefix_has(&p, a));
	assert_true(addr_parse(STR("10.64.0.0"), &a) && !prefix_has(&p, a));
	assert_true(addr_parse(STR("::1"), &a) && !prefix_has(&p, a));
	assert_true(prefix_parse(STR("::/0"), &p) && prefix_has(&p, a));
	assert_false(prefix_parse(STR("10.0.0.1/8"), &p));
	assert_false(prefix_parse(STR("10.0.0.0/33"), &p));
	assert_false(prefix_parse(STR("10.0.0.0/"), &p));
}

/* What a client sent is told again, and not half a character of it. */
static void
details_are_cut_between_characters(void **state)
{
	char text[700];

	for (size_t lead = 0; lead < 4; lead++) {
		struct problem *p;

		memset(text, 'x', sizeof(text));
		for (size_t i = lead; i + 4 < sizeof(text); i += 4)
			memcpy(text + i, "\xf0\x9f\x94\x92", 4);
		text[sizeof(text) - 1] = '\0';
		p = problem_new(*state, PROBLEM_MALFORMED, "%s", text);
		assert_int_equal(p->detail.n, lead == 3 ? 511 : 508 + lead);
		assert_true(str_is_text(p->detail));
		assert_int_not_equal(problem_json(*state, p).n, 0);
	}
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(problem_new(*state, PROBLEM_MALFORMED, "%s", text)
			     ->detail.n,
	    511);
}

static void
problems_become_documents(void **state)
{
	struct problem *p = problem_new(*state, PROBLEM_COMPOUND, "two of %d",
	    3);
	struct subproblem sub = { .type = PROBLEM_REJECTED_IDENTIFIER,
		.detail = STR("no"),
		.id_type = STR("dns"),
		.id_value = STR("a.example") };

	p->subs = &sub;
	p->nsubs = 1;
	assert_str(problem_json(*state, p),
	    "{\"type\":\"urn:ietf:params:acme:error:compound\",\"detail\":"
	    "\"two of 3\",\"status\":400,\"subproblems\":[{\"type\":\"urn:ietf:"
	    "params:acme:error:rejectedIdentifier\",\"detail\":\"no\","
	    "\"identifier\":{\"type\":\"dns\",\"value\":\"a.example\"}}]}");
	p = problem_cause(*state, PROBLEM_SERVER, "secret %d", 1);
	assert_str(p->detail, "internal error");
	assert_string_equal(p->cause, "secret 1");
}

static void
a_kept_problem_outlives_its_arena(void **state)
{
	struct arena *a = arena_create();
	struct problem *p = problem_cause(a, PROBLEM_UNAVAILABLE, "gone: %d",
	    7);
	const struct problem *kept;

	p->retry_after = 5;
	kept = problem_keep(*state, p);
	arena_destroy(a); /* what kept still pointed to, sanitizers would say */
	assert_int_equal(kept->type, PROBLEM_UNAVAILABLE);
	assert_int_equal(kept->retry_after, 5);
	assert_string_equal(kept->cause, "gone: 7");
	assert_true(kept->detail.n > 0);
	assert_true(problem_json(*state, kept).n > 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
	const struct CMUnitTest tests[] = {
		T(arena_runs_hooks_newest_first),
		T(arena_serves_small_and_large_aligned),
		T(str_cuts_trims_and_compares),
		T(str_show_makes_anything_printable),
		T(str_u64_takes_digits_only),
		T(str_is_text_refuses_nul_and_bad_utf8),
		T(buf_stops_at_its_bound),
		T(b64url_is_strict_and_reversible),
		T(hex_is_reversible),
		T(a_child_draws_other_random_bytes_than_its_parent),
		T(random_bytes_of_any_length_are_all_set),
		T(ids_are_valid_and_differ),
		T(json_reads_a_document),
		T(json_refuses_what_is_not_one_strict_value),
		T(json_bounds_members_and_values),
		T(json_writer_sticks),
		T(when_parses_and_prints),
		T(a_span_is_digits_and_a_unit),
		T(addresses_have_one_form),
		T(prefixes_hold_addresses),
		T(details_are_cut_between_characters),
		T(problems_become_documents),
		T(a_kept_problem_outlives_its_arena),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
