/* SPDX-License-Identifier: ISC */
/* DNS names and sets of names. */
#include "../arena.h"

#include "pki/name.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define L10 "abcdefghij"
#define L63 L10 L10 L10 L10 L10 L10 "abc"

static void
names_of_letters_digits_and_hyphens_are_good(void **state)
{
	static const char *const good[] = { "a", "localhost", "db01",
		"a.example", "a-b.example", "1.example", "1a.2b.3c", "x--y.z",
		"a--b.example", "3com.example", "example.1a", "example.a1",
		"0x.example", "xn--bcher-kva.example", "xn--p1ai", "xn--fiqs8s",
		"xn--80ak6aa92e.com", "xn--ls8h.la", /* emoji */
		"xn--maana-pta.com", "xn--ihqwcrb4cv8a8dqg056pqjye",
		L63 ".example",
		L63 "." L63 "." L63 "." L10 L10 L10 L10 L10 L10 "a" };

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		const char *why = pki_check_dns_name(str_from(good[i]), false);

		if (why != NULL)
			fail_msg("%s %s", good[i], why);
	}
}

static void
anything_else_is_refused_with_its_reason(void **state)
{
	static const struct {
		const char *name, *why;
	} bad[] = {
		{ "", "is empty" },
		{ ".", "ends with a dot" },
		{ "a.", "ends with a dot" },
		{ ".a", "empty label" },
		{ "a..b", "empty label" },
		{ "A.example", "upper-case" },
		{ "a_b.example", "characters other than" },
		{ "a b", "characters other than" },
		{ "a\xc3\xa4.example", "characters other than" },
		{ "a/b", "characters other than" },
		{ "a:80", "characters other than" },
		{ "::1", "characters other than" },
		{ "a@b", "characters other than" },
		{ "-a.example", "hyphen" },
		{ "a-.example", "hyphen" },
		{ "a.-", "hyphen" },
		{ "ab--c.example", "third and fourth" },
		{ "1.2.3.4", "ends with a number" },
		{ "example.1", "ends with a number" },
		{ "123", "ends with a number" },
		{ "a.0x7f", "ends with a number" },
		{ "a.0x", "ends with a number" },
		{ "*.1", "is a wildcard" },
		{ "*.example", "is a wildcard" },
		{ "*", "not its whole first label" },
		{ "a.*.example", "not its whole first label" },
		{ "a*.example", "not its whole first label" },
		{ "xn--a.example", "Punycode" },
		{ "xn--abc-.example", "hyphen" },
		{ "xn--.example", "hyphen" },
		{ "xn--9999999999.example", "Punycode" },
		{ "xn--bcher-kv.example", "Punycode" },
		{ "xn--abc--", "hyphen" },
		{ "xn---abc.example", "Punycode" },
		{ L63 "a.example", "63 characters" },
		{ L63 "." L63 "." L63 "." L10 L10 L10 L10 L10 L10 "ab",
		    "253 characters" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *why = pki_check_dns_name(str_from(bad[i].name),
		    false);

		if (why == NULL || strstr(why, bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].name,
			    why != NULL ? why : "accepted");
	}
	assert_non_null(pki_check_dns_name(STR("a\0b"), false));
}

static void
a_wildcard_stands_for_one_whole_label(void **state)
{
	static const char *const bad[] = { "*", "*.", "**.example",
		"*.*.example", "a.*", "*a.example", "*..example", "*.1.2.3.4" };

	(void)state;
	assert_null(pki_check_dns_name(STR("*.example"), true));
	assert_null(pki_check_dns_name(STR("*.a.example"), true));
	assert_null(pki_check_dns_name(STR("a.example"), true));
	for (size_t i = 0; i < COUNT(bad); i++)
		if (pki_check_dns_name(str_from(bad[i]), true) == NULL)
			fail_msg("accepted: %s", bad[i]);
}

static struct addr
ip(const char *text)
{
	struct addr out;

	assert_true(addr_parse(str_from(text), &out));
	return out;
}

static void
sets_are_sorted_without_doubles(void **state)
{
	struct str dns[] = { STR("b"), STR("a"), STR("b"), STR("ab"),
		STR("a") };
	struct addr ips[] = { ip("::1"), ip("10.0.0.2"), ip("10.0.0.1"),
		ip("::1"), ip("10.0.0.2") };
	struct pki_names names = { .dns = dns,
		.ndns = COUNT(dns),
		.ips = ips,
		.nips = COUNT(ips) };

	pki_names_sort(&names);
	assert_int_equal(names.ndns, 3);
	assert_str(names.dns[0], "a");
	assert_str(names.dns[1], "ab");
	assert_str(names.dns[2], "b");
	assert_int_equal(names.nips, 3);
	assert_str(addr_text(*state, names.ips[0]), "10.0.0.1");
	assert_str(addr_text(*state, names.ips[2]), "::1");
	assert_true(pki_names_has_dns(&names, STR("ab")));
	assert_false(pki_names_has_dns(&names, STR("abc")));
	assert_true(pki_names_has_ip(&names, ip("::1")));
	assert_false(pki_names_has_ip(&names, ip("::2")));
}

static void
sets_are_equal_only_if_every_name_is(void **state)
{
	struct str one[] = { STR("a"), STR("b") },
		   two[] = { STR("a"), STR("c") };
	struct addr ips[] = { ip("10.0.0.1") }, other[] = { ip("10.0.0.2") };
	struct pki_names a = { one, 2, ips, 1 }, b = { one, 2, ips, 1 };
	struct pki_names none = { NULL, 0, NULL, 0 };

	(void)state;
	assert_true(pki_names_equal(&a, &b));
	assert_true(pki_names_equal(&none, &none));
	assert_false(pki_names_equal(&a, &none));
	assert_false(pki_names_has_dns(&none, STR("a")));
	assert_false(pki_names_has_ip(&none, ips[0]));
	b.dns = two;
	assert_false(pki_names_equal(&a, &b));
	b = (struct pki_names){ one, 2, other, 1 };
	assert_false(pki_names_equal(&a, &b));
	b = (struct pki_names){ one, 1, ips, 1 };
	assert_false(pki_names_equal(&a, &b));
	b = (struct pki_names){ one, 2, ips, 0 };
	assert_false(pki_names_equal(&a, &b));
}

static void
a_set_has_one_text_and_a_copy_is_its_own(void **state)
{
	char bytes[] = "ab";
	struct str dns[] = { str_from(bytes), STR("*.c") };
	struct addr ips[] = { ip("10.0.0.1"), ip("::1") };
	struct pki_names names = { dns, 2, ips, 2 }, copy;
	struct pki_names none = { NULL, 0, NULL, 0 };

	copy = pki_names_copy(*state, &names);
	memset(bytes, 'x', 2);
	dns[1] = STR("d");
	ips[0] = ip("10.0.0.2");
	assert_str(pki_names_text(*state, &copy), "ab *.c 10.0.0.1 ::1");
	assert_str(pki_names_text(*state, &names), "xx d 10.0.0.2 ::1");
	copy = pki_names_copy(*state, &none);
	assert_true(pki_names_equal(&copy, &none));
	assert_str(pki_names_text(*state, &copy), "");
}

static void
a_key_puts_names_behind_what_they_are_below(void **state)
{
	static const char *const keys[][2] = {
		{ "www.example.org", "org.example.www." },
		{ "*.example.org", "org.example.*." },
		{ "org", "org." },
		{ "192.0.2.7", "@192.0.2.7" },
		{ "2001:db8::1", "@2001:db8::1" },
		{ ".org", "org.." }, /* no name, and no harm */
		{ "", "." },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_str(pki_name_key(*state, str_from(keys[i][0])),
		    keys[i][1]);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
	const struct CMUnitTest tests[] = {
		T(names_of_letters_digits_and_hyphens_are_good),
		T(anything_else_is_refused_with_its_reason),
		T(a_wildcard_stands_for_one_whole_label),
		T(sets_are_sorted_without_doubles),
		T(sets_are_equal_only_if_every_name_is),
		T(a_set_has_one_text_and_a_copy_is_its_own),
		T(a_key_puts_names_behind_what_they_are_below),
	};

	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
