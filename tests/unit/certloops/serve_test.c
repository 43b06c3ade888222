/* SPDX-License-Identifier: ISC */
/* Serve configs: which names count, and that bad files count for nothing. */
#include "../unit.h"

#include <stdio.h>

#include "base/buf.h"
#include "certloops/serve.h"

static struct arena *a;

static int
setup(void **state)
{
	(void)state;
	a = arena_create();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_destroy(a);
	return 0;
}

/* The hosts, parted by blanks. */
static struct str
read_good(struct str text)
{
	struct serve_hosts h = { 0 };
	struct buf b = buf_new(a, 1 << 16);
	const char *why = serve_parse(a, text, &h);

	if (why != NULL)
		fail_msg("%s", why);
	for (size_t i = 0; i < h.n; i++)
		buf_printf(&b, "%s" STR_FMT, i > 0 ? " " : "", STR_ARG(h.v[i]));
	return b.len > 0 ? buf_view(&b) : STR("");
}

static void
assert_bad(const char *text, const char *what)
{
	static struct str mark = { "untouched", 9 };
	struct serve_hosts h = { .v = &mark, .n = 1 };
	const char *why = serve_parse(a, str_from(text), &h);

	assert_non_null(why);
	if (strstr(why, what) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, what);
	assert_ptr_equal(h.v, &mark);
	assert_int_equal(h.n, 1);
}

#define WEB(s) "{\"Services\":{\"svc:a\":{\"Web\":{" s "}}}}"

static void
only_port_443_of_services_counts(void **state)
{
	(void)state;
	assert_str(read_good(
		       STR("{\"TCP\":{\"443\":{\"HTTPS\":true}},"
			   "\"Web\":{\"node.example:443\":{}},"
			   "\"Services\":{"
			   "\"svc:b\":{\"TCP\":{\"443\":{\"HTTPS\":true}},"
			   "\"Web\":{\"b.example:443\":{\"Handlers\":{\"/\":"
			   "{\"Proxy\":\"http://127.0.0.1:80\"}}},"
			   "\"b.example:8443\":{}}},"
			   "\"svc:a\":{\"Web\":{\"A.Example:443\":{}}},"
			   "\"svc:c\":{\"Tun\":true}},"
			   "\"AllowFunnel\":{\"x.example:443\":true}}")),
	    "a.example b.example");
}

static void
a_name_of_two_services_is_one(void **state)
{
	(void)state;
	assert_str(read_good(STR("{\"Services\":{"
				 "\"svc:a\":{\"Web\":{\"a.example:443\":{}}},"
				 "\"svc:b\":{\"Web\":{\"a.example:443\":{},"
				 "\"A.EXAMPLE:443\":null}}}}")),
	    "a.example");
}

static void
no_services_are_no_names(void **state)
{
	(void)state;
	assert_str(read_good(STR("{}")), "");
	assert_str(read_good(STR("{\"Services\":null}")), "");
	assert_str(read_good(STR("{\"Services\":{}}")), "");
	assert_str(read_good(STR("{\"Services\":{\"s\":null}}")), "");
	assert_str(read_good(STR("{\"Services\":{\"s\":{\"Web\":null}}}")), "");
	assert_str(read_good(STR(WEB(""))), "");
	/* the host of another port is not judged */
	assert_str(read_good(STR(WEB("\"[::1]:80\":{}"))), "");
}

static void
what_is_no_serve_config_is_refused_whole(void **state)
{
	(void)state;
	assert_bad("", "not valid JSON");
	assert_bad("{", "not valid JSON");
	assert_bad("[]", "no JSON object");
	assert_bad("{\"Services\":[]}", "Services that is no object");
	assert_bad("{\"Services\":{\"s\":1}}", "\"s\" under Services");
	assert_bad("{\"Services\":{\"s\":{\"Web\":[]}}}", "Web that is no");
	assert_bad(WEB("\"a.example\":{}"), "HOST:PORT");
	assert_bad(WEB("\"a.example:\":{}"), "HOST:PORT");
	assert_bad(WEB("\"a.example:0\":{}"), "HOST:PORT");
	assert_bad(WEB("\"a.example:65536\":{}"), "HOST:PORT");
	assert_bad(WEB("\"a.example:+443\":{}"), "HOST:PORT");
	assert_bad(WEB("\":443\":{}"), "\"\"");
	assert_bad(WEB("\"a_b.example:443\":{}"), "a_b.example");
	assert_bad(WEB("\"*.example:443\":{}"), "*.example");
	assert_bad(WEB("\"../x:443\":{}"), "../x");
	assert_bad(WEB("\"${TS_CERT_DOMAIN}:443\":{}"), "ts_cert_domain");
	assert_bad(WEB("\"127.0.0.1:443\":{}"), "127.0.0.1");
	/* one bad name spoils the good one beside it */
	assert_bad(WEB("\"a.example:443\":{},\"b\":{}"), "\"b\"");
}

static struct str
many(unsigned n)
{
	struct buf b = buf_new(a, SERVE_FILE_MAX);

	buf_str(&b, STR("{\"Services\":{\"s\":{\"Web\":{"));
	for (unsigned i = 0; i < n; i++)
		buf_printf(&b, "%s\"n%u.example:443\":{}", i > 0 ? "," : "", i);
	buf_str(&b, STR("}}}}"));
	return buf_view(&b);
}

static void
as_many_names_as_the_bound_fit_and_not_one_more(void **state)
{
	struct serve_hosts h;

	(void)state;
	assert_null(serve_parse(a, many(SERVE_HOSTS_MAX), &h));
	assert_int_equal(h.n, SERVE_HOSTS_MAX);
	assert_non_null(serve_parse(a, many(SERVE_HOSTS_MAX + 1), &h));
	assert_non_null(serve_parse(a, many(3 * SERVE_HOSTS_MAX), &h));
}

static void
a_file_that_is_too_large_or_deep_is_refused(void **state)
{
	struct serve_hosts h;
	char *text = arena_alloc(a, SERVE_FILE_MAX + 2);

	(void)state;
	memset(text, ' ', SERVE_FILE_MAX + 2);
	text[0] = '{';
	text[1] = '}';
	assert_null(serve_parse(a, str_make(text, SERVE_FILE_MAX), &h));
	assert_non_null(serve_parse(a, str_make(text, SERVE_FILE_MAX + 1), &h));
	memset(text, '[', 1000);
	assert_non_null(serve_parse(a, str_make(text, 1000), &h));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_port_443_of_services_counts),
		TEST(a_name_of_two_services_is_one),
		TEST(no_services_are_no_names),
		TEST(what_is_no_serve_config_is_refused_whole),
		TEST(as_many_names_as_the_bound_fit_and_not_one_more),
		TEST(a_file_that_is_too_large_or_deep_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
