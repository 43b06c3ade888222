/* SPDX-License-Identifier: ISC */
/* Answer packets, TXT and CAA data, names, the hosts file: from bytes. */
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns/dns_int.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BYTES(lit) str_make((lit), sizeof(lit) - 1)

static struct arena *arena;

static int
begin(void **state)
{
	(void)state;
	arena = arena_create();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_destroy(arena);
	return 0;
}

/* header: id, flags (rcode), one question, n answers */
#define HEAD(rcode, n) "\x12\x34\x81" rcode "\0\1\0" n "\0\0\0\0"
#define ASK_TXT "\3www\2ex\0\0\x10\0\1"
#define FIXED(type, len) type "\0\1\0\0\0\x3c\0" len

static struct dns_answer
read_txt_packet(struct str packet)
{
	struct dns_answer r;

	dns_read_packet(arena, packet, STR("www.ex"), DNS_TXT, &r);
	return r;
}

static void
reads_records_through_compressed_names(void **state)
{
	struct dns_answer r = read_txt_packet(
	    BYTES(HEAD("\x80", "\2") ASK_TXT "\xc0\x0c" FIXED("\0\x10",
		"\3") "\2hi"
		      "\3wWw\xc0\x10" FIXED("\0\x10", "\1") "\0"));

	(void)state;
	assert_int_equal(r.status, DNS_OK);
	assert_int_equal(r.n, 2);
	assert_str(r.data[0], "\2hi");
	assert_int_equal(r.data[1].n, 1);
	assert_int_equal(r.ttl, 60);
	assert_int_equal(r.ncnames, 0);
}

static void
follows_cnames_in_the_packet(void **state)
{
	struct dns_answer r = read_txt_packet(
	    BYTES(HEAD("\x80", "\3") ASK_TXT "\xc0\x0c" FIXED("\0\5",
		"\4") "\1B\xc0\x10"
		      "\1b\2ex\0" FIXED("\0\5", "\3") "\1c\0"
						      "\1c\0" FIXED("\0\x10",
							  "\2") "\1x"));

	(void)state;
	assert_int_equal(r.status, DNS_OK);
	assert_int_equal(r.ncnames, 2);
	assert_str(r.cnames[0], "b.ex");
	assert_str(r.cnames[1], "c");
	assert_int_equal(r.n, 1);
}

static void
passes_over_records_of_other_names_types_and_classes(void **state)
{
	struct dns_answer r = read_txt_packet(
	    BYTES(HEAD("\x80", "\3") ASK_TXT "\1z\2ex\0" FIXED("\0\x10",
		"\2") "\1x"
		      "\xc0\x0c" FIXED("\0\x2e",
			  "\2") "\1x"
				"\xc0\x0c\0\x10\0\3\0\0\0\x3c\0\2\1x"));

	(void)state;
	assert_int_equal(r.status, DNS_NO_DATA);
	assert_int_equal(r.n, 0);
	assert_non_null(r.why);
}

static void
tells_kinds_of_absence_apart(void **state)
{
	struct dns_answer r;

	(void)state;
	r = read_txt_packet(BYTES(HEAD("\x83", "\0") ASK_TXT));
	assert_int_equal(r.status, DNS_NO_NAME);
	assert_int_equal(r.rcode, 3);
	r = read_txt_packet(BYTES(HEAD("\x80", "\0") ASK_TXT));
	assert_int_equal(r.status, DNS_NO_DATA);
	r = read_txt_packet(BYTES(HEAD("\x85", "\0") ASK_TXT));
	assert_int_equal(r.status, DNS_FAILED);
	assert_non_null(strstr(r.why, "REFUSED"));
	/* a record does not make a name that does not exist exist */
	r = read_txt_packet(BYTES(HEAD("\x83", "\1") ASK_TXT
	    "\xc0\x0c" FIXED("\0\x10", "\3") "\2hi"));
	assert_int_equal(r.status, DNS_NO_NAME);
	assert_int_equal(r.n, 0);
}

static void
refuses_what_is_malformed(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
#define BAD(lit) { lit, sizeof(lit) - 1 }
		BAD(""),
		BAD("\x12\x34\x81\x80\0\1\0\0\0\0\0"),
		BAD(HEAD("\x80", "\0")), /* no question */
		BAD(HEAD("\x80", "\0") "\3www\2ex\0\0\x10\0"),
		BAD(HEAD("\x80", "\0") "\3wwx\2ex\0\0\x10\0\1"),
		BAD(HEAD("\x80", "\0") "\3www\2ex\0\0\1\0\1"), /* type A */
		BAD("\x12\x34\x81\x80\0\2\0\0\0\0\0\0" ASK_TXT ASK_TXT),
		BAD(HEAD("\x80", "\1") ASK_TXT), /* no record */
		BAD(HEAD("\x80", "\1") ASK_TXT "\xc0"),
		BAD(HEAD("\x80", "\1") ASK_TXT "\xc0\x18"), /* itself */
		BAD(HEAD("\x80", "\1") ASK_TXT "\xff\xff\0\x10\0\1\0\0\0\1"
					       "\0\0"),
		BAD(HEAD("\x80", "\1") ASK_TXT "\x41wwww"),
		BAD(HEAD("\x80", "\1") ASK_TXT "\xc0\x0c\0\x10\0\1\0\0\0"),
		BAD(HEAD("\x80", "\1") ASK_TXT
		    "\xc0\x0c" FIXED("\0\x10", "\3") "\2h"),
		/* the CNAME has a byte too much */
		BAD(HEAD("\x80", "\1") ASK_TXT
		    "\xc0\x0c" FIXED("\0\5", "\4") "\1c\0x"),
#undef BAD
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		/* a copy of its own, so that reading beyond it is seen */
		char *p = malloc(bad[i].n + 1);
		struct dns_answer r;

		memcpy(p, bad[i].p, bad[i].n);
		p = realloc(p, bad[i].n > 0 ? bad[i].n : 1);
		r = read_txt_packet(str_make(p, bad[i].n));
		if (r.status != DNS_FAILED || r.why == NULL)
			fail_msg("packet %zu was read", i);
		free(p);
	}
}

static void
a_cname_loop_ends(void **state)
{
	/* www.ex -> b, b -> www.ex, and again: each only once on the way */
	struct dns_answer r = read_txt_packet(
	    BYTES(HEAD("\x80", "\3") ASK_TXT "\xc0\x0c" FIXED("\0\5",
		"\3") "\1b\0"
		      "\1b\0" FIXED("\0\5", "\2") "\xc0\x0c"
						  "\xc0\x0c" FIXED("\0\5",
						      "\3") "\1b\0"));

	(void)state;
	assert_int_equal(r.status, DNS_NO_DATA);
	assert_int_equal(r.ncnames, 3);
}

static void
refuses_too_many_records(void **state)
{
	static const char rr[] = "\xc0\x0c" FIXED("\0\x10", "\2") "\1x";
	char p[4096];
	size_t n = sizeof(HEAD("\x80", "\0") ASK_TXT) - 1;
	struct dns_answer r;

	(void)state;
	memcpy(p, HEAD("\x80", "\0") ASK_TXT, n);
	for (unsigned i = 0; i <= DNS_RECORDS_MAX; i++) {
		p[7] = (char)i;
		r = read_txt_packet(str_make(p, n));
		assert_int_equal(r.status, i == 0 ? DNS_NO_DATA : DNS_OK);
		assert_int_equal(r.n, i);
		memcpy(p + n, rr, sizeof(rr) - 1);
		n += sizeof(rr) - 1;
	}
	p[7] = DNS_RECORDS_MAX + 1;
	r = read_txt_packet(str_make(p, n));
	assert_int_equal(r.status, DNS_FAILED);
	assert_int_equal(r.n, 0);
}

static void
odd_bytes_in_names_are_escaped(void **state)
{
	struct dns_answer r = read_txt_packet(BYTES(HEAD("\x80", "\1") ASK_TXT
	    "\xc0\x0c" FIXED("\0\5", "\7") "\5a.\\\n\xff\0"));

	(void)state;
	assert_str(r.cnames[0], "a\\046\\092\\010\\255");
}

static void
joins_the_strings_of_a_txt_record(void **state)
{
	struct str out;

	(void)state;
	assert_true(dns_read_txt(arena, BYTES("\2ab\0\1c"), &out));
	assert_str(out, "abc");
	assert_true(dns_read_txt(arena, BYTES("\0"), &out));
	assert_int_equal(out.n, 0);
	assert_false(dns_read_txt(arena, STR(""), &out));
	assert_false(dns_read_txt(arena, BYTES("\3ab"), &out));
	assert_false(dns_read_txt(arena, BYTES("\2ab\1"), &out));
}

static void
reads_caa_records(void **state)
{
	struct dns_caa c;

	(void)state;
	assert_true(dns_read_caa(BYTES("\0\5issueca.example; a=b"), &c));
	assert_false(c.critical);
	assert_str(c.tag, "issue");
	assert_str(c.value, "ca.example; a=b");
	assert_true(dns_read_caa(BYTES("\x80\3tbs"), &c));
	assert_true(c.critical);
	assert_int_equal(c.value.n, 0);
	assert_false(dns_read_caa(STR(""), &c));
	assert_false(dns_read_caa(BYTES("\0"), &c));
	assert_false(dns_read_caa(BYTES("\0\0x"), &c)); /* no tag */
	assert_false(dns_read_caa(BYTES("\0\6issue"), &c));
	assert_false(dns_read_caa(BYTES("\0\5iss-ex"), &c));
}

static void
host_names_are_cleaned(void **state)
{
	static const char *const bad[] = { "", ".", "a..b", ".a", "a..", "a b",
		"a/b", "a@b", "a\\.b", "caf\xc3\xa9", "a\n", "*.a" };
	char big[DNS_NAME_MAX + 2];

	(void)state;
	assert_str(dns_clean_name(arena, STR("A.b-C._d")), "a.b-c._d");
	assert_str(dns_clean_name(arena, STR("a.")), "a");
	for (size_t i = 0; i < COUNT(bad); i++)
		if (dns_clean_name(arena, str_from(bad[i])).p != NULL)
			fail_msg("\"%s\" is a name", bad[i]);
	assert_null(dns_clean_name(arena, str_make("a\0b", 3)).p);
	memset(big, 'a', sizeof(big));
	assert_null(dns_clean_name(arena, str_make(big, 64)).p);
	assert_non_null(dns_clean_name(arena, str_make(big, 63)).p);
	for (size_t i = 1; i < sizeof(big); i += 2)
		big[i] = '.';
	assert_non_null(dns_clean_name(arena, str_make(big, 253)).p);
	assert_null(dns_clean_name(arena, str_make(big, 255)).p);
}

/* ---- hosts */

static struct hosts *
load(const char *text)
{
	char path[] = "/tmp/certloop-hosts-XXXXXX";
	int fd = mkstemp(path);
	struct hosts *h;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	h = hosts_load(path);
	unlink(path);
	return h;
}

static void
reads_a_hosts_file(void **state)
{
	struct hosts *h = load("# a comment\n"
			       "127.0.0.1\tlocalhost loop # more\n"
			       "\n"
			       "192.0.2.1 Db db.example.\r\n"
			       "2001:db8::1 db\n"
			       "fe80::1%eth0 scoped\n"
			       "not-an-address db\n"
			       "192.0.2.2 bad/name good\n"
			       "192.0.2.3 last");
	struct addr v[4];

	(void)state;
	assert_non_null(h);
	assert_int_equal(hosts_find(h, STR("db"), v, 4), 2);
	assert_str(addr_text(arena, v[0]), "192.0.2.1");
	assert_str(addr_text(arena, v[1]), "2001:db8::1");
	assert_int_equal(hosts_find(h, STR("db"), v, 1), 1);
	assert_int_equal(hosts_find(h, STR("db.example"), v, 4), 1);
	assert_int_equal(hosts_find(h, STR("loop"), v, 4), 1);
	assert_int_equal(hosts_find(h, STR("good"), v, 4), 1);
	assert_int_equal(hosts_find(h, STR("last"), v, 4), 1);
	assert_int_equal(hosts_find(h, STR("more"), v, 4), 0);
	assert_int_equal(hosts_find(h, STR("scoped"), v, 4), 0);
	assert_int_equal(hosts_find(h, STR("bad/name"), v, 4), 0);
	assert_int_equal(hosts_find(h, STR(""), v, 4), 0);
	hosts_free(h);
}

static void
a_hosts_file_may_be_empty_but_not_missing(void **state)
{
	struct hosts *h = load("");
	struct addr v;

	(void)state;
	assert_non_null(h);
	assert_int_equal(hosts_find(h, STR("x"), &v, 1), 0);
	hosts_free(h);
	assert_null(hosts_load("/nonexistent/hosts"));
	assert_null(hosts_load("/dev/zero"));
	assert_int_equal(hosts_find(NULL, STR("x"), &v, 1), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_records_through_compressed_names),
		cmocka_unit_test(follows_cnames_in_the_packet),
		cmocka_unit_test(
		    passes_over_records_of_other_names_types_and_classes),
		cmocka_unit_test(tells_kinds_of_absence_apart),
		cmocka_unit_test(refuses_what_is_malformed),
		cmocka_unit_test(a_cname_loop_ends),
		cmocka_unit_test(refuses_too_many_records),
		cmocka_unit_test(odd_bytes_in_names_are_escaped),
		cmocka_unit_test(joins_the_strings_of_a_txt_record),
		cmocka_unit_test(reads_caa_records),
		cmocka_unit_test(host_names_are_cleaned),
		cmocka_unit_test(reads_a_hosts_file),
		cmocka_unit_test(a_hosts_file_may_be_empty_but_not_missing),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
