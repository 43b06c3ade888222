/* SPDX-License-Identifier: ISC */
/*
 * Requests that two servers could read in two ways, and others that we do
 * not take. Each gets its status as a problem document and a closed
 * connection, and what follows it is never executed.
 */
#include "rig.h"

#include <stdio.h>

#include "base/id.h"
#include "base/json.h"

#define FOLLOW "GET /echo?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

struct bad {
	const char *name;
	unsigned status;
	struct str bytes; /* FOLLOW comes behind */
};

/* clang-format off */
#define BAD(what, code, text) { .name = (what), .status = (code), \
	.bytes = { .p = "" text, .n = sizeof(text) - 1 } }
#define POST "POST /echo HTTP/1.1\r\nHost: x\r\n"
#define GET "GET /echo HTTP/1.1\r\nHost: x\r\n"

static const struct bad bads[] = {
	/* lengths */
	BAD("two equal lengths", 400,
	    POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
	BAD("two different lengths", 400,
	    POST "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc"),
	BAD("a list of equal lengths", 400,
	    POST "Content-Length: 3, 3\r\n\r\nabc"),
	BAD("a list of lengths", 400, POST "Content-Length: 3,5\r\n\r\nabc"),
	BAD("a plus sign", 400, POST "Content-Length: +3\r\n\r\nabc"),
	BAD("a minus sign", 400, POST "Content-Length: -3\r\n\r\nabc"),
	BAD("a hexadecimal length", 400, POST "Content-Length: 0x3\r\n\r\nabc"),
	BAD("a length with a space in it", 400,
	    POST "Content-Length: 3 0\r\n\r\nabc"),
	BAD("an empty length", 400, POST "Content-Length:\r\n\r\nabc"),
	BAD("a length with a letter", 400, POST "Content-Length: 3a\r\n\r\nabc"),
	BAD("a quoted length", 400, POST "Content-Length: \"3\"\r\n\r\nabc"),
	BAD("a length past 64 bits", 400,
	    POST "Content-Length: 18446744073709551619\r\n\r\nabc"),
	BAD("a length past 63 bits", 413,
	    POST "Content-Length: 9223372036854775811\r\n\r\nabc"),
	BAD("a length that is too large", 413,
	    POST "Content-Length: 101\r\n\r\nabc"),
	BAD("a body where none belongs", 413,
	    "GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),

	/* length and coding, codings */
	BAD("length, then chunked", 400, POST
	    "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked, then length", 400, POST
	    "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
	BAD("gzip, chunked", 501,
	    POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked, gzip", 501,
	    POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
	BAD("chunked twice in a list", 501,
	    POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
	BAD("chunked twice", 501, POST "Transfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD("identity and chunked", 501, POST "Transfer-Encoding: identity\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	BAD("identity", 501, POST "Transfer-Encoding: identity\r\n\r\n"),
	BAD("xchunked", 501,
	    POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
	BAD("quoted chunked", 501,
	    POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
	BAD("chunked with a parameter", 501,
	    POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
	BAD("chunked behind a vertical tab", 400,
	    POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"),
	BAD("an empty coding", 501,
	    POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
	BAD("chunked in HTTP/1.0", 400, "POST /echo HTTP/1.0\r\nHost: x\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),

	/* lines */
	BAD("a bare LF after the request line", 400,
	    "GET /echo HTTP/1.1\nHost: x\r\n\r\n"),
	BAD("a bare LF after a header", 400,
	    "GET /echo HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"),
	BAD("a bare LF as the empty line", 400,
	    "GET /echo HTTP/1.1\r\nHost: x\r\n\n"),
	BAD("bare LFs only", 400, "GET /echo HTTP/1.1\nHost: x\n\n"),
	BAD("a bare CR in a value", 400, GET "X: a\rb\r\n\r\n"),
	BAD("a bare CR before the CR LF", 400, GET "X: a\r\r\n\r\n"),
	BAD("a bare CR in the target", 400,
	    "GET /echo\r HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a space before the colon", 400,
	    POST "Content-Length : 3\r\n\r\nabc"),
	BAD("a tab before the colon", 400,
	    POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
	BAD("a folded header", 400, GET "X: a\r\n b\r\n\r\n"),
	BAD("a header folded with a tab", 400, GET "X: a\r\n\tb\r\n\r\n"),
	BAD("white space before the first header", 400,
	    "GET /echo HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n"),
	BAD("a header without a colon", 400, GET "X\r\n\r\n"),
	BAD("a header without a name", 400, GET ": y\r\n\r\n"),
	BAD("a name that is no token", 400, GET "X(y): z\r\n\r\n"),
	BAD("a NUL in a value", 400, GET "X: a\0b\r\n\r\n"),
	BAD("a NUL in a name", 400, GET "X\0Y: b\r\n\r\n"),
	BAD("a NUL in the target", 400,
	    "GET /ec\0ho HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a control byte in a value", 400, GET "X: a\001b\r\n\r\n"),
	BAD("a DEL in a value", 400, GET "X: a\177b\r\n\r\n"),
	BAD("two empty lines first", 400,
	    "\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n"),

	/* Host */
	BAD("no Host", 400, "GET /echo HTTP/1.1\r\n\r\n"),
	BAD("two Hosts", 400, GET "Host: y\r\n\r\n"),
	BAD("two equal Hosts", 400, GET "Host: x\r\n\r\n"),
	BAD("an empty Host", 400, "GET /echo HTTP/1.1\r\nHost:\r\n\r\n"),
	BAD("two Hosts in one", 400,
	    "GET /echo HTTP/1.1\r\nHost: x y\r\n\r\n"),
	BAD("a path in the Host", 400,
	    "GET /echo HTTP/1.1\r\nHost: x/y\r\n\r\n"),
	BAD("user info in the Host", 400,
	    "GET /echo HTTP/1.1\r\nHost: a@x\r\n\r\n"),
	BAD("two Hosts in HTTP/1.0", 400,
	    "GET /echo HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"),

	/* targets */
	BAD("an escape of a slash", 400,
	    "GET /item/a%2fb/x HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("an escape of a NUL", 400,
	    "GET /item/a%00b/x HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("half an escape", 400, "GET /echo%4 HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("dot segments", 400,
	    "GET /item/../echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("escaped dot segments", 400,
	    "GET /item/%2e%2E/echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a byte above 127 in the target", 400,
	    "GET /ech\303\266 HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a fragment", 400, "GET /echo#x HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a backslash", 400, "GET \\echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a relative target", 400, "GET echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("another scheme", 400,
	    "GET ftp://x/echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("user info in the target", 400,
	    "GET http://a@x/echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a target without an authority", 400,
	    "GET http:///echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("an asterisk for GET", 400, "GET * HTTP/1.1\r\nHost: x\r\n\r\n"),

	/* request lines, versions, methods */
	BAD("two spaces", 400, "GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a space at the end", 400, "GET /echo HTTP/1.1 \r\nHost: x\r\n\r\n"),
	BAD("a space in the target", 400,
	    "GET /echo x HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a tab for a space", 400, "GET\t/echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("HTTP/0.9", 505, "GET /echo\r\n"),
	BAD("HTTP/2.0", 505, "GET /echo HTTP/2.0\r\nHost: x\r\n\r\n"),
	BAD("the preface of HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	BAD("HTTP/1.2", 505, "GET /echo HTTP/1.2\r\nHost: x\r\n\r\n"),
	BAD("HTTP/1.10", 400, "GET /echo HTTP/1.10\r\nHost: x\r\n\r\n"),
	BAD("HTTP/01.1", 400, "GET /echo HTTP/01.1\r\nHost: x\r\n\r\n"),
	BAD("http/1.1", 400, "GET /echo http/1.1\r\nHost: x\r\n\r\n"),
	BAD("another protocol", 400, "GET /echo ICE/1.1\r\nHost: x\r\n\r\n"),
	BAD("an unknown method", 501, "BREW /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a method in lower case", 501,
	    "get /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a method of WebDAV", 501,
	    "PROPFIND /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("CONNECT", 501, "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a method that is no token", 400,
	    "G(T /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("no method", 400, " /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
	BAD("a TLS handshake", 400, "\026\003\001\002\000\001\000\001\374\003"),
	BAD("a PROXY header that nobody asked for", 400,
	    "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),

	/* expectations */
	BAD("another expectation", 417,
	    POST "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc"),
	BAD("two expectations", 417,
	    POST "Expect: 100-continue, x\r\nContent-Length: 3\r\n\r\nabc"),

	/* chunks */
	BAD("a chunk without a size", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"),
	BAD("a signed chunk size", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n"),
	BAD("a chunk size with 0x", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
	BAD("a chunk size with a space", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n"),
	BAD("a chunk size line that ends in LF", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"),
	BAD("a LF in a chunk extension", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n"),
	BAD("a CR in a chunk extension", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n"),
	BAD("a chunk that ends in LF", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n"),
	BAD("a chunk that is longer than its size", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
	BAD("a last line that ends in LF", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\n"),
	BAD("a trailer without a colon", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n0\r\nab\r\n\r\n"),
	BAD("a folded trailer", 400,
	    POST "Transfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n c\r\n\r\n"),
	BAD("a chunk size of 17 digits", 400, POST
	    "Transfer-Encoding: chunked\r\n\r\n00000000000000003\r\nabc\r\n"),
	BAD("a chunk size that overflows", 413, POST
	    "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n"),
	BAD("a chunk that is too large", 413,
	    POST "Transfer-Encoding: chunked\r\n\r\n65\r\nabc\r\n"),
	BAD("chunks where no body belongs", 413,
	    "GET /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
	    "\r\n\r\n1\r\na\r\n0\r\n\r\n"),
};
/* clang-format on */

static void
expect_problem(struct rig *r, int fd, const char *name, unsigned status)
{
	struct answer a = rig_hear(r, fd);
	const struct json *j;

	if (a.status != status)
		fail_msg("%s: got %u instead of %u: " STR_FMT, name, a.status,
		    status, STR_ARG(a.body));
	if (!str_is(answer_field(&a, "Connection"), "close"))
		fail_msg("%s: the connection lives", name);
	assert_str(answer_field(&a, "Content-Type"),
	    "application/problem+json");
	assert_str(answer_field(&a, "X-App"), "main");
	assert_true(id_is_valid(answer_field(&a, "X-Request-Id")));
	j = json_parse(r->arena, a.body, NULL);
	assert_non_null(j);
	assert_int_equal(json_get(j, "status")->num, status);
	assert_true(json_get_str(j, "detail").n > 10);
	assert_true(str_starts(json_get_str(j, "type"),
	    STR("urn:ietf:params:acme:error:")));
	rig_expect_end(r, fd);
}

static void
refuse(struct rig *r, const struct bad *bad)
{
	int fd = rig_dial(r);

	rig_say(r, fd, bad->bytes);
	rig_say(r, fd, STR(FOLLOW FOLLOW));
	expect_problem(r, fd, bad->name, bad->status);
	if (strstr(r->ran, "echo") != NULL)
		fail_msg("%s: something ran:%s", bad->name, r->ran);
	rig_hang_up(fd);
}

static struct rig *
start(void **state)
{
	struct rig *r = *state = rig_new(NULL);

	rig_listen(r, (struct http_listener_options){ .mode = 0 });
	return r;
}

static int
stop(void **state)
{
	rig_free(*state);
	return 0;
}

static void
each_is_refused_and_what_follows_is_not_run(void **state)
{
	struct rig *r = start(state);

	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
		refuse(r, &bads[i]);
	rig_until(r, http_server_connections(r->server) == 0);
}

/* The verdict must not depend on how the bytes are cut. */
static void
each_is_refused_byte_by_byte_too(void **state)
{
	struct rig *r = start(state);

	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		int fd = rig_dial(r);

		for (size_t at = 0; at < bads[i].bytes.n; at++) {
			rig_say(r, fd, str_make(bads[i].bytes.p + at, 1));
			loop_turn(r->loop, LOOP_POLL);
		}
		expect_problem(r, fd, bads[i].name, bads[i].status);
		assert_null(strstr(r->ran, "echo"));
		rig_hang_up(fd);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    each_is_refused_and_what_follows_is_not_run, stop),
		cmocka_unit_test_teardown(each_is_refused_byte_by_byte_too,
		    stop),
	};

	return cmocka_run_group_tests_name("http/smuggling", tests, NULL, NULL);
}
