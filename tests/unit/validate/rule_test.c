/* SPDX-License-Identifier: ISC */
/* Where validations may connect to. */
#include "../unit.h"

#include "validate/validate.h"

static bool
allows(const struct validate_rule *r, const char *text)
{
	struct addr a;

	assert_true(addr_parse(str_from(text), &a));
	return validate_allows(r, a);
}

static void
allows_public_and_private_addresses(void **state)
{
	static const char *const fine[] = { "192.0.2.1", "8.8.8.8", "10.0.0.1",
		"172.16.0.1", "192.168.1.1", "100.64.0.1", "2001:db8::1",
		"fd12:3456::1", "64:ff9b::808:808", "2002:808:808::1" };
	struct validate_rule r = { .nallow = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		assert_true(allows(&r, fine[i]));
}

static void
never_allows_special_addresses(void **state)
{
	static const char *const never[] = { "127.0.0.1", "127.255.255.255",
		"0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"100.100.100.200", "192.0.0.192", "::", "::1", "fe80::1",
		"febf::1", "fec0::1", "ff02::1", "fd00:ec2::254", "100::1",
		"2001::1", "168.63.129.16", "fd00:ec2::23", "fd20:ce::254",
		"fd00:42::42", "64:ff9b:1::808:808" };
	struct validate_rule r = { .nallow = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_false(allows(&r, never[i]));
	assert_false(validate_allows(&r, (struct addr){ .len = 0 }));
}

static void
looks_into_addresses_that_carry_others(void **state)
{
	static const char *const never[] = { "::ffff:127.0.0.1",
		"::ffff:169.254.169.254", "64:ff9b::7f00:1",
		"64:ff9b::a9fe:a9fe", "2002:7f00:1::1",
		"2002:a9fe:a9fe::", "::127.0.0.1", "::ffff:0:127.0.0.1" };
	struct validate_rule r = { .nallow = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_false(allows(&r, never[i]));
}

static void
makes_exceptions_but_denial_wins(void **state)
{
	struct prefix allow[2], deny[1];
	struct validate_rule r = { .allow = allow,
		.nallow = 2,
		.deny = deny,
		.ndeny = 1 };

	(void)state;
	assert_true(prefix_parse(STR("127.0.0.0/8"), &allow[0]));
	assert_true(prefix_parse(STR("::1"), &allow[1]));
	assert_true(prefix_parse(STR("127.1.0.0/16"), &deny[0]));
	assert_true(allows(&r, "127.0.0.1"));
	assert_true(allows(&r, "::1"));
	assert_true(allows(&r, "10.0.0.1"));
	assert_false(allows(&r, "127.1.2.3"));
	assert_false(allows(&r, "169.254.169.254"));
}

static void
denies_what_other_addresses_carry(void **state)
{
	struct prefix allow, deny;
	struct validate_rule r = { .deny = &deny, .ndeny = 1 };

	(void)state;
	assert_true(prefix_parse(STR("10.0.0.0/8"), &deny));
	assert_false(allows(&r, "64:ff9b::10.1.2.3"));
	assert_false(allows(&r, "2002:a01:203::1"));
	assert_false(allows(&r, "::ffff:0:10.1.2.3"));
	assert_true(allows(&r, "64:ff9b::11.1.2.3"));
	/* and what may be gone to directly need not be gone to so */
	assert_true(prefix_parse(STR("127.0.0.0/8"), &allow));
	r.allow = &allow;
	r.nallow = 1;
	assert_false(allows(&r, "64:ff9b::127.0.0.1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allows_public_and_private_addresses),
		cmocka_unit_test(never_allows_special_addresses),
		cmocka_unit_test(looks_into_addresses_that_carry_others),
		cmocka_unit_test(makes_exceptions_but_denial_wins),
		cmocka_unit_test(denies_what_other_addresses_carry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
