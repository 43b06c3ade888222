/* SPDX-License-Identifier: ISC */
/* What a profile allows, and sets of names as text. */
#include "../arena.h"

#include "acme/acme_int.h"

struct row {
	const char *type, *value;
	int problem; /* -1: none */
};

static void
check_rows(struct arena *a, const struct conf_profile *c,
    const struct row *rows, size_t n)
{
	struct acme_profile p = { .conf = c };

	for (size_t i = 0; i < n; i++) {
		struct acme_id id = { .type = str_from(rows[i].type),
			.value = str_from(rows[i].value) };
		const struct problem *pr = policy_check_id(a, &p, &id);
		int got = pr != NULL ? (int)pr->type : -1;

		if (got != rows[i].problem)
			fail_msg("%s %s: %d", rows[i].type, rows[i].value, got);
	}
}

#define REJ PROBLEM_REJECTED_IDENTIFIER

static void
without_a_policy_every_well_formed_name_passes(void **state)
{
	static const struct row rows[] = {
		{ "dns", "a.example", -1 },
		{ "dns", "*.a.example", -1 },
		{ "dns", "localhost", -1 },
		{ "dns", "a_b.example", REJ },
		{ "dns", "*.*.a.example", REJ },
		{ "dns", "a.*.example", REJ },
		{ "dns", "*", REJ },
		{ "dns", "", REJ },
		{ "dns", "10.0.0.1", REJ },
		{ "ip", "10.0.0.1", -1 },
		{ "ip", "2001:db8::1", -1 },
		{ "ip", "2001:db8:0:0::1", REJ },
		{ "ip", "a.example", REJ },
		{ "email", "a@b.example", PROBLEM_UNSUPPORTED_IDENTIFIER },
	};
	struct conf_profile c = { .wildcards = true };

	check_rows(*state, &c, rows, sizeof(rows) / sizeof(rows[0]));
}

static void
suffixes_and_prefixes_bound_what_passes(void **state)
{
	static const struct str allowed[] = { { "corp.example", 12 } };
	static const struct str denied[] = { { "secret.corp.example", 19 } };
	static const struct row rows[] = {
		{ "dns", "corp.example", -1 },
		{ "dns", "a.b.corp.example", -1 },
		{ "dns", "evilcorp.example", REJ },
		{ "dns", "corp.example.evil.example", REJ },
		{ "dns", "secret.corp.example", REJ },
		{ "dns", "x.secret.corp.example", REJ },
		{ "dns", "topsecret.corp.example", -1 },
		{ "dns", "*.corp.example", REJ },
		{ "ip", "10.1.2.3", -1 },
		{ "ip", "11.1.2.3", REJ },
	};
	struct prefix ten;
	struct conf_profile c = {
		.allowed_suffixes = { allowed, 1 },
		.denied_suffixes = { denied, 1 },
		.allowed_cidrs = { &ten, 1 },
	};

	assert_true(prefix_parse(STR("10.0.0.0/8"), &ten));
	check_rows(*state, &c, rows, sizeof(rows) / sizeof(rows[0]));
}

static void
keys_pass_by_kind_and_size(void **state)
{
	struct conf_profile c = { .key_types = CONF_KEY_P256 |
		    CONF_KEY_RSA3072 };
	struct acme_profile p = { .conf = &c };
	static const struct {
		struct pki_csr csr;
		bool ok;
	} rows[] = {
		{ { .kind = PKI_P256, .bits = 256 }, true },
		{ { .kind = PKI_P384, .bits = 384 }, false },
		{ { .kind = PKI_RSA, .bits = 2048 }, false },
		{ { .kind = PKI_RSA, .bits = 3072 }, true },
		{ { .kind = PKI_RSA, .bits = 4096 }, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(policy_check_csr(*state, &p, &rows[i].csr) ==
			NULL,
		    rows[i].ok);
}

static void
must_staple_is_allowed_or_refused(void **state)
{
	struct conf_profile c = { .key_types = CONF_KEY_P256 };
	struct acme_profile p = { .conf = &c };
	struct pki_csr csr = { .kind = PKI_P256, .must_staple = true };
	const struct problem *pr = policy_check_csr(*state, &p, &csr);

	assert_non_null(pr);
	assert_int_equal(pr->type, PROBLEM_BAD_CSR);
	c.tls_feature = true;
	assert_null(policy_check_csr(*state, &p, &csr));
}

static void
equal_sets_have_equal_digests(void **state)
{
	struct str one[] = { STR("b.example"), STR("a.example") };
	struct str two[] = { STR("a.example"), STR("b.example"),
		STR("a.example") };
	struct str three[] = { STR("a.example") };
	struct addr ip;
	struct pki_names a = { .dns = one, .ndns = 2 };
	struct pki_names b = { .dns = two, .ndns = 3 };
	struct pki_names c = { .dns = three, .ndns = 1, .ips = &ip, .nips = 1 };

	assert_true(addr_parse(STR("10.0.0.1"), &ip));
	pki_names_sort(&a);
	pki_names_sort(&b);
	assert_str(pki_names_text(*state, &b), "a.example b.example");
	assert_str(pki_names_text(*state, &c), "a.example 10.0.0.1");
	assert_true(str_eq(names_digest(*state, &a), names_digest(*state, &b)));
	assert_false(
	    str_eq(names_digest(*state, &a), names_digest(*state, &c)));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
	const struct CMUnitTest tests[] = {
		T(without_a_policy_every_well_formed_name_passes),
		T(suffixes_and_prefixes_bound_what_passes),
		T(keys_pass_by_kind_and_size),
		T(must_staple_is_allowed_or_refused),
		T(equal_sets_have_equal_digests),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
