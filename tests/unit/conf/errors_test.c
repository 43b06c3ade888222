/* SPDX-License-Identifier: ISC */
/* What a bad file is told: where, what, and what would do. */
#include <stdlib.h>

#include "conf/conf_int.h"
#include "try.h"

/* One line of text each; the message without "error: f:1: ". */
struct sample {
	const char *text, *message;
};

static void
check_samples(struct try *t, const struct sample *s, size_t n)
{
	size_t bad = 0;

	for (size_t i = 0; i < n; i++) {
		const char *text = str_printf(t->arena, "%s\n" ACME, s[i].text)
				       .p;
		const char *all =
		    str_printf(t->arena, "error: f:1: %s\n", s[i].message).p;

		if (try_load(t, text) != NULL ||
		    strcmp(try_messages(t), all) != 0) {
			print_error("%s\n%s", s[i].text, try_messages(t));
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

#define CHECK(t, samples)                                                      \
	check_samples((t), (samples), sizeof(samples) / sizeof((samples)[0]))

static void
names_the_value_and_what_would_do(void **state)
{
	static const struct sample samples[] = {
		{ "log_level = loud",
		    "log_level = \"loud\": must be error, "
		    "warn, info or debug" },
		{ "log_level = warning",
		    "log_level = \"warning\": must be "
		    "error, warn, info or debug; did you "
		    "mean warn?" },
		{ "replicas = maybe",
		    "replicas = \"maybe\": must be yes or "
		    "no" },
		{ "lease = 5",
		    "lease = \"5\": must be a number and one of "
		    "ms, s, m, h, d, for example 30s or 90d" },
		{ "lease = 1h30m",
		    "lease = \"1h30m\": must be a number and "
		    "one of ms, s, m, h, d, for example 30s or "
		    "90d" },
		{ "lease = -5s",
		    "lease = \"-5s\": must be a number and one "
		    "of ms, s, m, h, d, for example 30s or "
		    "90d" },
		{ "lease = 4999ms",
		    "lease = \"4999ms\": must be from 5s to "
		    "1h" },
		{ "lease = 9223372036854775807d",
		    "lease = \"9223372036854775807d\": must be a number and "
		    "one of ms, s, m, h, d, for example 30s or 90d" },
		{ "lease = \"5s;\"",
		    "lease = \"5s;\": must be a number and "
		    "one of ms, s, m, h, d, for example 30s "
		    "or 90d; a value does not end with "
		    "\";\"" },
		{ "account_cache = 10000001",
		    "account_cache = \"10000001\": must be from 1 to "
		    "10000000" },
		{ "account_cache = 0x10",
		    "account_cache = \"0x10\": must be a number" },
		{ "account_cache = \"\"",
		    "account_cache = \"\": must be a number" },
		{ "data_dir = \"\"", "data_dir = \"\": must not be empty" },
		{ "http { header_max = 65k }",
		    "http: header_max = \"65k\": must be from 1k to 64k" },
		{ "http { header_max = 1kb }",
		    "http: header_max = \"1kb\": must be a number of bytes, "
		    "or of k, m or g, for example 64k" },
		{ "store { url = mysql://x }",
		    "store: url = \"mysql://x\": must be sqlite:PATH or "
		    "postgresql://USER@HOST/NAME, or file:PATH of a file that "
		    "holds it" },
		{ "store { url = \"postgressql://u:secret@h/db\" }",
		    "store: url = \"********\": must be sqlite:PATH or "
		    "postgresql://USER@HOST/NAME, or file:PATH of a file that "
		    "holds it" },
		{ "store { url = \"postgressql://h/db?pass%77ord=secret\" }",
		    "store: url = \"********\": must be sqlite:PATH or "
		    "postgresql://USER@HOST/NAME, or file:PATH of a file that "
		    "holds it" },
		{ "store { url = \"sqlite:\" }",
		    "store: url = \"sqlite:\": needs a path behind sqlite:" },
		{ "limits { new_order_per_account = 100 }",
		    "limits: new_order_per_account = \"100\": must be "
		    "MAX/WINDOW, for example 100/1h, MAX from 0 to 10000 and "
		    "WINDOW from 1s to 31d; or 0 for no limit" },
		{ "limits { new_order_per_account = /1h }",
		    "limits: new_order_per_account = \"/1h\": must be "
		    "MAX/WINDOW, for example 100/1h, MAX from 0 to 10000 and "
		    "WINDOW from 1s to 31d; or 0 for no limit" },
		{ "limits { new_order_per_account = 100/ }",
		    "limits: new_order_per_account = \"100/\": must be "
		    "MAX/WINDOW, for example 100/1h, MAX from 0 to 10000 and "
		    "WINDOW from 1s to 31d; or 0 for no limit" },
		{ "limits { new_order_per_account = -1/1h }",
		    "limits: new_order_per_account = \"-1/1h\": must be "
		    "MAX/WINDOW, for example 100/1h, MAX from 0 to 10000 and "
		    "WINDOW from 1s to 31d; or 0 for no limit" },
		{ "limits { new_order_per_account = 10001/1h }",
		    "limits: new_order_per_account = \"10001/1h\": must be "
		    "MAX/WINDOW, for example 100/1h, MAX from 0 to 10000 and "
		    "WINDOW from 1s to 31d; or 0 for no limit" },
		{ "limits { new_order_per_account = 1/1 }",
		    "limits: new_order_per_account = \"1/1\": has a window "
		    "that must be a number and one of ms, s, m, h, d, for "
		    "example 30s or 90d" },
		{ "limits { new_order_per_account = 1/999ms }",
		    "limits: new_order_per_account = \"1/999ms\": has a window "
		    "that must be from 1s to 31d" },
		{ "limits { new_order_per_account = 1/32d }",
		    "limits: new_order_per_account = \"1/32d\": has a window "
		    "that must be from 1s to 31d" },
		{ "profile p { key_types = { rsa2048, ecdsa-p265 } }",
		    "profile p: key_types = \"ecdsa-p265\": must be rsa2048, "
		    "rsa3072, rsa4096, ecdsa-p256, ecdsa-p384, ecdsa-p521 or "
		    "ed25519; did you mean ecdsa-p256?" },
		{ "log_level = \"a\x1b[2Jb\"",
		    "log_level = \"a\\x1b[2Jb\": must be error, warn, info or "
		    "debug" },
	};

	CHECK(*state, samples);
}

static void
refuses_addresses_names_and_urls_that_are_none(void **state)
{
#define ADDRESS                                                                \
	"must be an IP address and a port, for example "                       \
	"127.0.0.1:443 or [::]:443, or unix:PATH"
#define BAD_ADDRESS(a, why)                                                    \
	{                                                                      \
		"listener x { address = \"" a "\" }",                          \
		    "listener x: address = \"" a "\": " why                    \
	}
	static const struct sample samples[] = {
		BAD_ADDRESS("443", ADDRESS),
		BAD_ADDRESS(":443", ADDRESS),
		BAD_ADDRESS("127.0.0.1", ADDRESS),
		BAD_ADDRESS("127.0.0.1:", ADDRESS),
		BAD_ADDRESS("127.0.0.1:65536", ADDRESS),
		BAD_ADDRESS("127.0.0.1:-1", ADDRESS),
		BAD_ADDRESS("127.0.0.1:000443", ADDRESS),
		BAD_ADDRESS("::1:443", ADDRESS),
		BAD_ADDRESS("[127.0.0.1]:443", ADDRESS),
		BAD_ADDRESS("[::1:443", ADDRESS "; names are not looked up"),
		BAD_ADDRESS("[]:443", ADDRESS),
		BAD_ADDRESS("localhost:443",
		    ADDRESS "; names are not looked up"),
		BAD_ADDRESS("*:443",
		    "write [::]:443 for every address, or "
		    "0.0.0.0:443 for every IPv4 address"),
		BAD_ADDRESS("unix:",
		    "the path of a socket has 1 to 107 "
		    "bytes"),
		{ "caa_identities = { a.example, \"b_c.example\" }",
		    "caa_identities = \"b_c.example\": must be a DNS name, "
		    "for example ca.example.com (an international name in "
		    "its xn-- form)" },
		{ "caa_identities = a..b",
		    "caa_identities = \"a..b\": must be "
		    "a DNS name, for example "
		    "ca.example.com (an international "
		    "name in its xn-- form)" },
		{ "caa_identities = 1.2.3.4",
		    "caa_identities = \"1.2.3.4\": must be a DNS name, not an "
		    "address" },
		{ "profile p { allowed_suffixes = { \"*.a.example\" } }",
		    "profile p: allowed_suffixes = \"*.a.example\": no "
		    "wildcard can stand here" },
		{ "profile p { allowed_cidrs = { 10.0.0.1/8 } }",
		    "profile p: allowed_cidrs = \"10.0.0.1/8\": must be an "
		    "address or a prefix, for example 10.0.0.0/8, without "
		    "bits set behind the prefix" },
		{ "public_url = ca.example",
		    "public_url = \"ca.example\": must begin with https:// or "
		    "http://" },
		{ "public_url = https://u:p@ca.example",
		    "public_url = \"https://u:p@ca.example\": must not hold a "
		    "user or a password" },
		{ "public_url = \"https://\"",
		    "public_url = \"https://\": needs a host name or address "
		    "behind ://, and a port from 1 to 65535 if any" },
		{ "public_url = https://a_b",
		    "public_url = \"https://a_b\": needs a host name or "
		    "address behind ://, and a port from 1 to 65535 if any" },
		{ "public_url = https://a:0",
		    "public_url = \"https://a:0\": needs a host name or "
		    "address behind ://, and a port from 1 to 65535 if any" },
		{ "public_url = https://[::1",
		    "public_url = \"https://[::1\": needs a host name or "
		    "address behind ://, and a port from 1 to 65535 if any" },
		{ "public_url = \"https://a/b c\"",
		    "public_url = \"https://a/b c\": has a character that "
		    "must be written as %XX" },
		{ "public_url = \"https://a/%4\"",
		    "public_url = \"https://a/%4\": has a character that must "
		    "be written as %XX" },
		{ "public_url = https://a/?b",
		    "public_url = \"https://a/?b\": must have neither query "
		    "nor fragment" },
		{ "listener x { kind = status address = \"127.0.0.1:2\" "
		  "mode = 888 }",
		    "listener x: mode = \"888\": must be an octal mode, for "
		    "example 0660" },
		{ "listener x { kind = status address = \"127.0.0.1:2\" "
		  "mode = 1777 }",
		    "listener x: mode = \"1777\": must be from 0000 to "
		    "0777" },
		{ "issuer i { key = /nonexistent }",
		    "issuer i: key = \"/nonexistent\": No such file or "
		    "directory" },
		{ "issuer i { key = /tmp }",
		    "issuer i: key = \"/tmp\": not a regular file" },
	};

	CHECK(*state, samples);
}

static void
suggests_the_name_that_was_meant(void **state)
{
	static const struct sample samples[] = {
		{ "data_dri = x",
		    "there is no option data_dri; did you mean "
		    "data_dir?" },
		{ "loglevel = info",
		    "there is no option loglevel; did you "
		    "mean log_level?" },
		{ "frobnicate = 1", "there is no option frobnicate" },
		{ "frobnicate = { 1, 2 }", "there is no option frobnicate" },
		{ "frobnicate = { }", "there is no option frobnicate" },
		{ "frobnicate += 1", "there is no option frobnicate" },
		{ "http { lease = 5s }",
		    "there is no option lease in a section http; it stands "
		    "outside of any section" },
		{ "lifetime = 5s",
		    "there is no option lifetime here; it "
		    "belongs into a section profile" },
		{ "profiel p { lifetime = 5s x { } }",
		    "there is no section profiel; did you mean profile?" },
		{ "frob { a = 1 b = { 2 } c { d = 3 } }",
		    "there is no section frob; the sections are store, http, "
		    "limits, redis, dns, listener, issuer, profile, loop" },
		{ "frob \"a b\" { }",
		    "there is no section frob; the sections are store, http, "
		    "limits, redis, dns, listener, issuer, profile, loop" },
		{ "store { db = x }",
		    "there is no option db in a section "
		    "store" },
		{ "\"a\x07\" = 1", "there is no option a\\x07" },
	};

	CHECK(*state, samples);
}

static void
says_what_is_wrong_with_the_grammar(void **state)
{
	static const struct sample samples[] = {
		{ "lease 5s", "option lease needs a value: lease = VALUE" },
		{ "lease = { 5s }",
		    "\"{\" cannot stand here; is the value before it "
		    "complete, or does it need quotes?" },
		{ "lease += 5s",
		    "option lease takes one value: use \"=\" "
		    "instead of \"+=\"" },
		{ "lease = 5s lease = 6s",
		    "option lease is given twice, "
		    "first in line 1" },
		{ "caa_identities = a caa_identities = b",
		    "option caa_identities is given twice, first in line 1" },
		{ "http { queue = 1", "the \"{\" here has no closing \"}\"" },
		{ "lease = 5s }", "this \"}\" closes nothing" },
		{ "/* lease = 5s",
		    "the comment that begins here has no "
		    "closing */" },
		{ "lease = ${X", "\"${\" begins ${NAME} or ${NAME:-DEFAULT}" },
		{ "lease = ${}", "\"${\" begins ${NAME} or ${NAME:-DEFAULT}" },
		{ "lease = \"${X-y}\"",
		    "\"${\" begins ${NAME} or ${NAME:-DEFAULT}" },
		{ "lease = ${CONF_TEST_NONE}",
		    "the environment has no variable CONF_TEST_NONE; set it, "
		    "or write ${CONF_TEST_NONE:-DEFAULT}" },
		{ "lease = x${CONF_TEST_NONE:-y}",
		    "a text that holds \"${...}\" needs double quotes" },
		{ "lease = *s", "a text that holds \"*\" needs quotes" },
		{ "lease = 5s s", "there is no option s" },
		{ "lease = 5s;",
		    "lease = \"5s;\": must be a number and one "
		    "of ms, s, m, h, d, for example 30s or 90d; a "
		    "value does not end with \";\"" },
		{ "lease = \"5s\";",
		    "no \";\" can stand here; an option ends "
		    "with its line" },
		{ "lease = \"\\0\"", "a text cannot hold a NUL" },
		{ "lease = \"\\x00\"", "a text cannot hold a NUL" },
		{ "lease = \"\xff\"",
		    "not UTF-8 text; is this the right "
		    "file?" },
		{ "listener { }",
		    "section listener needs a name: listener "
		    "NAME { ... }" },
		{ "listener x = 5", "section listener needs a \"{\"" },
		{ "http = 5", "section http needs a \"{\"" },
		{ "listener x { listener y { } }",
		    "section listener cannot stand inside of a section "
		    "listener; is a \"}\" missing before it?" },
		{ "listener X { address = \"127.0.0.1:2\" }",
		    "listener \"X\": a name has 1 to 32 of a-z, 0-9 and -" },
		{ "listener \"\" { address = \"127.0.0.1:2\" }",
		    "listener \"\": a name has 1 to 32 of a-z, 0-9 and -" },
		{ "store|url = x",
		    "\"store|...\" cannot stand here; write "
		    "the option inside of its section" },
		{ "\"\" = 1", "this is not understood" },
	};
	struct try *t = *state;

	unsetenv("CONF_TEST_NONE");
	CHECK(t, samples);
	try_bad(t, ACME "lease = \"5s\n\n",
	    "error: f:2: the text that begins here has no closing \"\n");
	try_bad(t, ACME "lease = '5s\n\n",
	    "error: f:2: the text that begins here has no closing '\n");
	try_bad(t, ACME ACME,
	    "error: f:2: there is a section named acme of "
	    "this kind already\n");
	try_bad(t, ACME "lease =\n\n",
	    "error: f:4: the file ends too early: a value or a \"}\" is "
	    "missing\n");
}

static void
gathers_all_errors_in_the_order_of_lines(void **state)
{
	try_bad(*state,
	    "listener web { kind = web\n"
	    "adress = x }\n"
	    "lease = 5s\n"
	    "lease = 6s\n"
	    "frob { x = 1\n"
	    "y = 2 }\n"
	    "log_lvel = info\n"
	    "http {\n"
	    "queue = 1\n"
	    "queue = 1\n"
	    "}\n",
	    "error: f:1: listener web: kind = \"web\": must be acme, "
	    "status, ca or admin\n"
	    "error: f:2: there is no option adress; did you mean address?\n"
	    "error: f:4: option lease is given twice, first in line 3\n"
	    "error: f:5: there is no section frob; the sections are store, "
	    "http, limits, redis, dns, listener, issuer, profile, loop\n"
	    "error: f:7: there is no option log_lvel; did you mean "
	    "log_level?\n"
	    "error: f:9: there is no option queue here; it belongs into a "
	    "section store\n"
	    "error: f:10: there is no option queue here; it belongs into a "
	    "section store\n");
}

static void
bounds_the_messages_and_counts_the_rest(void **state)
{
	struct try *t = *state;
	struct buf b = buf_new(t->arena, 1 << 16);

	for (int i = 0; i < 30; i++)
		buf_printf(&b, "x%d = 1\n", i);
	buf_char(&b, '\0');
	assert_null(try_load(t, b.p));
	assert_int_equal(t->errors.n, CONF_MESSAGES_MAX);
	assert_int_equal(t->errors.nerrors, 30);
	assert_int_equal(t->errors.dropped, 10);
	/* more unknown names than are looked for */
	for (int i = 0; i < 300; i++) {
		b.len--;
		buf_printf(&b, "y%d = 1\n", i);
		buf_char(&b, '\0');
	}
	assert_null(try_load(t, b.p));
	assert_true(t->errors.nerrors >= 60);
}

static void
bounds_sections_lists_and_values(void **state)
{
	struct try *t = *state;
	struct buf b = buf_new(t->arena, 1 << 20);
	static char big[5000];

	for (int i = 0; i <= CONF_SECTIONS_MAX; i++)
		buf_printf(&b, "profile p%d { }\n", i);
	buf_char(&b, '\0');
	try_bad(t, b.p, "error: f: more than 1000 sections profile\n");
	/* far more: none of them may be written anywhere */
	b = buf_new(t->arena, 1 << 20);
	for (int i = 0; i <= 8 * CONF_SECTIONS_MAX; i++)
		buf_printf(&b, "loop l%d { names = { a.example } }\n", i);
	buf_char(&b, '\0');
	try_bad(t, b.p, "error: f: more than 1000 sections loop\n");
	try_bad(t, "caa_identities = { a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,\nb }",
	    "error: f:2: caa_identities = \"b\": is one too many; at most 16 "
	    "will do\n");
	memset(big, 'x', sizeof(big) - 1);
	assert_null(
	    try_load(t, str_printf(t->arena, "admin_socket = %s", big).p));
	assert_non_null(strstr(try_messages(t),
	    "x...\": has 4999 bytes, at most 107 will do"));
	assert_null(try_load(t,
	    str_printf(t->arena, "public_url = https://a/%s", big).p));
	assert_non_null(strstr(try_messages(t),
	    "x...\": has 5009 bytes, at most 900 will do"));
	/* also where a default follows from it */
	assert_null(
	    try_load(t, str_printf(t->arena, "\ndata_dir = %s", big).p));
	assert_non_null(strstr(try_messages(t), "f:2: admin_socket = \"xxx"));
	assert_null(try_load(t, str_printf(t->arena, "%s = 1", big).p));
	assert_true(strlen(try_messages(t)) < 200);
	assert_null(conf_load_text(t->arena, "f",
	    str_make(arena_zalloc(t->arena, CONF_FILE_MAX + 1),
		CONF_FILE_MAX + 1),
	    &t->errors));
	assert_string_equal(try_messages(t),
	    "error: f: larger than 1048576 bytes\n");
	assert_null(
	    conf_load_text(t->arena, "f", STR("lease = 5s\n\0"), &t->errors));
	assert_string_equal(try_messages(t),
	    "error: f:2: not UTF-8 text; is this the right file?\n");
}

static void
recovers_after_any_error(void **state)
{
	struct try *t = *state;

	/* the scanner of libconfuse has state of its own */
	assert_null(try_load(t, "lease = \"5s"));
	(void)try_good(t, ACME);
	assert_null(try_load(t, "lease = {"));
	(void)try_good(t, ACME);
	assert_null(try_load(t, "lease = \"\\777\""));
	assert_non_null(strstr(try_messages(t), "error: f:1: "));
	(void)try_good(t, ACME);
	assert_null(try_load(t, "lease = \"\\9\" x = '"));
	(void)try_good(t, ACME);
	assert_null(try_load(t, "lease = \"\\9\""));
	(void)try_good(t, ACME);
}

static void
finds_the_nearest_name(void **state)
{
	static const char *const names[] = { "url", "queue", "deadline",
		"connections", "read_connections" };
	static const char *const pairs[][2] = {
		{ "urk", "url" },
		{ "ur", "url" },
		{ "rul", "url" },
		{ "xyz", NULL },
		{ "qeueu", "queue" },
		{ "dead", "deadline" },
		{ "deadlnies", "deadline" },
		{ "conections", "connections" },
		{ "read_connection", "read_connections" },
		{ "", NULL },
		{ "u", NULL },
		{ "a-name-that-is-much-longer-than-any-of-ours", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *got = str_suggest(str_from(pairs[i][0]), names, 5);

		if (pairs[i][1] == NULL)
			assert_null(got);
		else if (got == NULL)
			fail_msg("nothing for %s", pairs[i][0]);
		else
			assert_string_equal(got, pairs[i][1]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TRY(names_the_value_and_what_would_do),
		TRY(refuses_addresses_names_and_urls_that_are_none),
		TRY(suggests_the_name_that_was_meant),
		TRY(says_what_is_wrong_with_the_grammar),
		TRY(gathers_all_errors_in_the_order_of_lines),
		TRY(bounds_the_messages_and_counts_the_rest),
		TRY(bounds_sections_lists_and_values),
		TRY(recovers_after_any_error),
		TRY(finds_the_nearest_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
