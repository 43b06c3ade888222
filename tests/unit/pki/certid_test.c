/* SPDX-License-Identifier: ISC */
/* Names of certificates in renewal information, RFC 9773 section 4.1. */
#include "../arena.h"

#include "base/hex.h"
#include "pki/certid.h"

/* The example of the RFC, its serial with a zero byte before 0x87. */
static void
writes_and_reads_the_example_of_the_rfc(void **state)
{
	struct arena *a = *state;
	struct pki_cert c = { 0 };
	struct str aki, serial;

	assert_true(hex_decode(a,
	    STR("69885b6b87464041e1b37b847bd0ae2cde01c8d4"), &c.aki));
	assert_true(hex_decode(a, STR("0087654321"), &c.serial));
	assert_str(pki_cert_id(a, &c), "aYhba4dGQEHhs3uEe9CuLN4ByNQ.AIdlQyE");
	assert_true(pki_parse_cert_id(a,
	    STR("aYhba4dGQEHhs3uEe9CuLN4ByNQ.AIdlQyE"), &aki, &serial));
	assert_true(str_eq(aki, c.aki));
	assert_str(serial, "87654321");
}

static void
takes_a_serial_without_its_zero_byte_for_the_same(void **state)
{
	struct str aki, serial;

	assert_true(
	    pki_parse_cert_id(*state, STR("aYhb.h2VDIQ"), &aki, &serial));
	assert_str(serial, "87654321");
}

static void
has_no_name_for_a_certificate_without_key_identifier(void **state)
{
	struct pki_cert c = { .serial = STR("\x01") };

	assert_null(pki_cert_id(*state, &c).p);
}

static void
refuses_what_is_no_name(void **state)
{
	static const char *const bad[] = { "", ".", "aYhb", "aYhb.", ".aYhb",
		"aYhb.aYhb.aYhb", "aYhb=.aYhb", "aYhb.a", "aY b.aYhb",
		/* 65 bytes; a serial of 22 bytes */
		("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAA.AQ"),
		"aYhb.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	struct str aki, serial;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(
		    pki_parse_cert_id(*state, str_from(bad[i]), &aki, &serial));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_and_reads_the_example_of_the_rfc),
		cmocka_unit_test(
		    takes_a_serial_without_its_zero_byte_for_the_same),
		cmocka_unit_test(
		    has_no_name_for_a_certificate_without_key_identifier),
		cmocka_unit_test(refuses_what_is_no_name),
	};

	return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
