/* SPDX-License-Identifier: ISC */
/* Connections: one request after the other, and all the ways they end. */
#include "rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/id.h"
#include "base/json.h"
#include "base/when.h"
#include "http/http_int.h"

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

/* A request on a connection of its own. */
static struct answer
ask(struct rig *r, const char *bytes)
{
	int fd = rig_dial(r);
	struct answer a;

	rig_say(r, fd, str_from(bytes));
	a = rig_hear(r, fd);
	rig_hang_up(fd);
	return a;
}

/* ---- replies */

static void
answers_a_get_and_keeps_the_connection(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	struct answer a;

	for (int i = 0; i < 3; i++) {
		say(r, fd, "GET /echo?q=1 HTTP/1.1\r\nHost: x\r\n\r\n");
		a = rig_hear(r, fd);
		assert_int_equal(a.status, 200);
		assert_str(a.body, "/echo?q=1||127.0.0.1|");
		assert_str(answer_field(&a, "Content-Type"), "text/plain");
		assert_str(answer_field(&a, "X-App"), "main");
		assert_true(id_is_valid(answer_field(&a, "X-Request-Id")));
		assert_int_equal(answer_field(&a, "Date").n, 29);
		assert_null(answer_field(&a, "Connection").p);
		assert_null(answer_field(&a, "Server").p);
	}
	assert_int_equal(http_server_connections(r->server), 1);
	rig_hang_up(fd);
	rig_until(r, http_server_connections(r->server) == 0);
}

static void
closes_when_the_client_wants_it(void **state)
{
	static const struct {
		const char *bytes;
		const char *connection; /* NULL: the field is not there */
		bool closes;
	} cases[] = {
		{ "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		    "close", true },
		{ "GET /echo HTTP/1.1\r\nHost: x\r\n"
		  "Connection: x, Close\r\n\r\n",
		    "close", true },
		{ "GET /echo HTTP/1.1\r\nHost: x\r\n"
		  "Connection: keep-alive\r\n\r\n",
		    NULL, false },
		{ "GET /echo HTTP/1.0\r\n\r\n", "close", true },
		{ "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		    "keep-alive", false },
	};
	struct rig *r = start(state);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = rig_dial(r);
		struct answer a;

		rig_say(r, fd, str_from(cases[i].bytes));
		a = rig_hear(r, fd);
		assert_int_equal(a.status, 200);
		if (cases[i].connection != NULL)
			assert_str(answer_field(&a, "Connection"),
			    cases[i].connection);
		else
			assert_null(answer_field(&a, "Connection").p);
		if (cases[i].closes)
			rig_expect_end(r, fd);
		else
			rig_expect_silence(r, fd);
		rig_hang_up(fd);
	}
}

static void
a_head_answer_has_the_length_but_no_body(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	struct answer a;

	say(r, fd, "HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	a = rig_hear_head(r, fd);
	assert_int_equal(a.status, 200);
	assert_str(answer_field(&a, "Content-Length"), "18");
	say(r, fd, "HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
	a = rig_hear_head(r, fd);
	assert_int_equal(a.status, 404);
	assert_true(answer_field(&a, "Content-Length").n >= 2);
	say(r, fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	a = rig_hear(r, fd);
	assert_str(a.body, "/echo?||127.0.0.1|");
	rig_hang_up(fd);
}

static void
a_204_has_neither_length_nor_body(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	struct answer a;

	say(r, fd, "DELETE /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
	a = rig_hear(r, fd);
	assert_int_equal(a.status, 204);
	assert_null(answer_field(&a, "Content-Length").p);
	assert_null(answer_field(&a, "Content-Type").p);
	rig_expect_silence(r, fd);
	rig_hang_up(fd);
}

static void
a_problem_of_a_handler_keeps_the_connection(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	struct answer a;

	for (int i = 0; i < 2; i++) {
		say(r, fd, "GET /refuse HTTP/1.1\r\nHost: x\r\n\r\n");
		a = rig_hear(r, fd);
		assert_int_equal(a.status, 429);
		assert_str(answer_field(&a, "Retry-After"), "7");
		assert_str(answer_field(&a, "Content-Type"),
		    "application/problem+json");
		assert_str(json_get_str(json_parse(r->arena, a.body, NULL),
			       "detail"),
		    "too many \"things\"");
	}
	assert_int_equal(r->replies, 2);
	rig_hang_up(fd);
}

/* ---- routes */

static void
paths_find_their_route_and_app(void **state)
{
	static const struct {
		const char *target;
		unsigned status;
		const char *app, *body;
	} cases[] = {
		{ "/item/abc/x", 200, "main", "/item/abc/x?|abc|127.0.0.1|" },
		{ "/item//x", 404, "main", NULL },
		{ "/item/abc/x/", 404, "main", NULL },
		{ "/item/abc", 404, "main", NULL },
		{ "/", 404, "main", NULL },
		{ "/other/echo", 200, "other", "/other/echo?||127.0.0.1|" },
		{ "/o/why/echo", 200, "other", "/o/why/echo?|why|127.0.0.1|" },
		{ "/other/nowhere", 404, "other", NULL },
		{ "/other", 404, "other", NULL },
		{ "/o/why/nowhere/at/all", 404, "other", NULL },
		{ "/o", 404, "main", NULL },
		{ "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r", 404, "main", NULL },
		{ "/o/w/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r", 404, "other", NULL },
		{ "/%65cho?%20", 200, "main", "/echo?%20||127.0.0.1|" },
		{ "/item/%7E%2d/x", 200, "main", "/item/~-/x?|~-|127.0.0.1|" },
		{ "http://any.host:80/echo?a", 200, "main",
		    "/echo?a||127.0.0.1|" },
		{ "HTTPS://any.host/echo", 200, "main", "/echo?||127.0.0.1|" },
		{ "http://any.host", 404, "main", NULL },
	};
	struct rig *r = start(state);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct answer a;

		snprintf(text, sizeof(text),
		    "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].target);
		a = ask(r, text);
		if (a.status != cases[i].status)
			fail_msg("%s: %u", cases[i].target, a.status);
		assert_str(answer_field(&a, "X-App"), cases[i].app);
		if (cases[i].body != NULL)
			assert_str(a.body, cases[i].body);
	}
}

static void
another_method_gets_405_and_the_list(void **state)
{
	static const struct {
		const char *line, *allow;
	} cases[] = {
		{ "DELETE /echo", "GET, HEAD, POST" },
		{ "OPTIONS /echo", "GET, HEAD, POST" },
		{ "TRACE /echo", "GET, HEAD, POST" },
		{ "POST /nothing", "GET, HEAD, DELETE" },
		{ "PATCH /item/1/x", "GET, HEAD" },
	};
	struct rig *r = start(state);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct answer a;
		int fd = rig_dial(r);

		snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: x\r\n\r\n",
		    cases[i].line);
		rig_say(r, fd, str_from(text));
		a = rig_hear(r, fd);
		assert_int_equal(a.status, 405);
		assert_str(answer_field(&a, "Allow"), cases[i].allow);
		rig_expect_silence(r, fd); /* it was a good request */
		rig_hang_up(fd);
	}
	assert_string_equal(r->ran, "");
}

static void
a_body_that_nobody_reads_closes_the_connection(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	struct answer a;

	say(r, fd,
	    "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\n"
	    "GET /echo HTTP/1.1\r\nHost: x\r\nX: 123456\r\n\r\n");
	a = rig_hear(r, fd);
	assert_int_equal(a.status, 404);
	assert_str(answer_field(&a, "Connection"), "close");
	rig_expect_end(r, fd);
	assert_string_equal(r->ran, "");
	rig_hang_up(fd);
}

static void
asterisk_is_for_options_and_found_nowhere(void **state)
{
	struct rig *r = start(state);

	assert_int_equal(ask(r, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").status,
	    404);
}

static void
fields_of_one_name_are_joined(void **state)
{
	struct rig *r = start(state);

	assert_str(ask(r,
		       "GET /fields HTTP/1.1\r\nHost: x\r\nX-Thing: a\r\n"
		       "Y: n\r\nX-THING: \t b \r\nx-thing:\r\n\r\n")
		       .body,
	    "a, b, ");
	assert_str(ask(r, "GET /fields HTTP/1.1\r\nHost: x\r\n\r\n").body, "-");
	assert_str(ask(r,
		       "GET /fields HTTP/1.1\r\nHost: x\r\n"
		       "X-Thing: \303\251\r\n\r\n")
		       .body,
	    "\303\251");
}

static void
an_upgrade_is_ignored(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	for (int i = 0; i < 2; i++) {
		say(r, fd,
		    "GET /echo HTTP/1.1\r\nHost: x\r\n"
		    "Connection: Upgrade, HTTP2-Settings\r\n"
		    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
		assert_int_equal(rig_hear(r, fd).status, 200);
		say(r, fd,
		    "POST /echo HTTP/1.1\r\nHost: x\r\n"
		    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
		    "Content-Length: 3\r\n\r\nabc");
		assert_str(rig_hear(r, fd).body, "/echo?||127.0.0.1|abc");
	}
	rig_hang_up(fd);
}

/* ---- bodies */

#define POST "POST /echo HTTP/1.1\r\nHost: x\r\n"

static void
bodies_come_by_length_and_by_chunk(void **state)
{
	static const struct {
		const char *bytes, *body;
	} cases[] = {
		{ POST "Content-Length: 5\r\n\r\nhello", "hello" },
		{ POST "Content-Length: 0\r\n\r\n", "" },
		{ POST "Content-Length:  005 \r\n\r\nhello", "hello" },
		{ POST "\r\n", "" },
		{ POST "Transfer-Encoding: chunked\r\n\r\n"
		       "5\r\nhello\r\n0\r\n\r\n",
		    "hello" },
		{ POST "Transfer-Encoding:  CHUNKED \r\n\r\n"
		       "2\r\nhe\r\n003\r\nllo\r\n000\r\n\r\n",
		    "hello" },
		{ POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "" },
		{ POST "Transfer-Encoding: chunked\r\n\r\n"
		       "5;a=b;c=\"d\"\r\nhello\r\n0 ;x\r\n\r\n",
		    "hello" },
		{ POST "Transfer-Encoding: chunked\r\n\r\n"
		       "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
		    "01234567890123456789" },
		{ POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
		       "Trailer: one\r\nContent-Length: 3\r\n\r\n",
		    "hello" },
		{ "\r\n" POST "Content-Length: 2\r\n\r\nhi", "hi" },
	};
	struct rig *r = start(state);
	int whole = rig_dial(r), cut = rig_dial(r);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str bytes = str_from(cases[i].bytes);
		struct answer a;
		char want[128];

		snprintf(want, sizeof(want), "/echo?||127.0.0.1|%s",
		    cases[i].body);
		rig_say(r, whole, bytes);
		a = rig_hear(r, whole);
		assert_int_equal(a.status, 200);
		assert_str(a.body, want);
		for (size_t at = 0; at < bytes.n; at++) {
			rig_say(r, cut, str_make(bytes.p + at, 1));
			loop_turn(r->loop, LOOP_POLL);
		}
		a = rig_hear(r, cut);
		assert_str(a.body, want);
	}
	rig_hang_up(whole);
	rig_hang_up(cut);
}

static void
a_body_may_have_its_full_size(void **state)
{
	struct rig *r = start(state);
	char text[512];
	struct answer a;

	snprintf(text, sizeof(text), POST "Content-Length: 100\r\n\r\n%0100d",
	    7);
	a = ask(r, text);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body.n, 18 + 100);
	snprintf(text, sizeof(text),
	    POST "Transfer-Encoding: chunked\r\n\r\n32\r\n%050d\r\n"
		 "32\r\n%050d\r\n0\r\n\r\n",
	    7, 8);
	a = ask(r, text);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body.n, 18 + 100);
	snprintf(text, sizeof(text),
	    POST "Transfer-Encoding: chunked\r\n\r\n32\r\n%050d\r\n"
		 "33\r\n%051d\r\n0\r\n\r\n",
	    7, 8);
	assert_int_equal(ask(r, text).status, 413);
}

static void
endless_chunk_extensions_and_trailers_are_cut_off(void **state)
{
	struct rig *r = start(state);
	char text[9000];
	int fd = rig_dial(r);

	memset(text, 'a', sizeof(text));
	say(r, fd, POST "Transfer-Encoding: chunked\r\n\r\n5;");
	rig_say(r, fd, str_make(text, sizeof(text)));
	assert_int_equal(rig_hear(r, fd).status, 400);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	fd = rig_dial(r);
	say(r, fd, POST "Transfer-Encoding: chunked\r\n\r\n0\r\na:");
	rig_say(r, fd, str_make(text, sizeof(text)));
	assert_int_equal(rig_hear(r, fd).status, 400);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

/* ---- Expect: 100-continue */

#define CONTINUE "Expect: 100-continue\r\n"

static void
says_continue_only_when_the_body_is_welcome(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	struct answer a;

	say(r, fd, POST CONTINUE "Content-Length: 3\r\n\r\n");
	a = rig_hear_head(r, fd);
	assert_int_equal(a.status, 100);
	assert_int_equal(a.head.n, 25);
	rig_expect_silence(r, fd);
	say(r, fd, "abc");
	assert_str(rig_hear(r, fd).body, "/echo?||127.0.0.1|abc");
	/* the body came along: no need to ask for it */
	say(r, fd, POST "expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc");
	assert_int_equal(rig_hear(r, fd).status, 200);
	/* no body: nothing to continue */
	say(r, fd, POST CONTINUE "\r\n");
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_hang_up(fd);
}

static void
does_not_say_continue_before_a_refusal(void **state)
{
	static const struct {
		unsigned status;
		const char *bytes;
	} cases[] = {
		{ 413, POST CONTINUE "Content-Length: 101\r\n\r\n" },
		{ 404,
		    "POST /nowhere HTTP/1.1\r\nHost: x\r\n" CONTINUE
		    "Content-Length: 3\r\n\r\n" },
		{ 405,
		    "POST /nothing HTTP/1.1\r\nHost: x\r\n" CONTINUE
		    "Content-Length: 3\r\n\r\n" },
		{ 417,
		    POST
		    "Expect: 100-continue;x\r\nContent-Length: 3\r\n\r\n" },
		{ 501, POST CONTINUE "Transfer-Encoding: gzip\r\n\r\n" },
	};
	struct rig *r = start(state);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = rig_dial(r);

		rig_say(r, fd, str_from(cases[i].bytes));
		assert_int_equal(rig_hear(r, fd).status, cases[i].status);
		rig_expect_end(r, fd);
		rig_hang_up(fd);
	}
}

static void
http_1_0_knows_no_continue(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd,
	    "POST /echo HTTP/1.0\r\n" CONTINUE "Content-Length: 3\r\n\r\n");
	rig_expect_silence(r, fd);
	say(r, fd, "abc");
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_hang_up(fd);
}

/* ---- pipelining */

static void
pipelined_requests_are_answered_in_order(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	char text[20000], want[64];
	size_t n = 0;

	for (int i = 0; i < 200; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    i % 3 == 0 ? POST "Content-Length: 4\r\n\r\n%04d" :
				 "GET /echo?%d HTTP/1.1\r\nHost: x\r\n\r\n",
		    i);
	rig_say(r, fd, str_make(text, n));
	for (int i = 0; i < 200; i++) {
		struct answer a = rig_hear(r, fd);

		assert_int_equal(a.status, 200);
		snprintf(want, sizeof(want),
		    i % 3 == 0 ? "/echo?||127.0.0.1|%04d" :
				 "/echo?%d||127.0.0.1|",
		    i);
		assert_str(a.body, want);
	}
	rig_hang_up(fd);
}

static void
what_is_pipelined_waits_for_the_reply(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd,
	    "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
	    "GET /echo?2 HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_until(r, r->waiting != NULL);
	say(r, fd, "GET /echo?3 HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_expect_silence(r, fd);
	assert_string_equal(r->ran, " 1 /wait");
	rig_finish(r);
	assert_str(rig_hear(r, fd).body, "waited");
	assert_str(rig_hear(r, fd).body, "/echo?2||127.0.0.1|");
	assert_str(rig_hear(r, fd).body, "/echo?3||127.0.0.1|");
	rig_hang_up(fd);
}

static void
nothing_is_run_behind_a_close(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd,
	    "GET /echo?1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	    "GET /item/2/x HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_expect_end(r, fd);
	assert_string_equal(r->ran, " 1 /echo");
	rig_hang_up(fd);
}

/* ---- ends */

static void
a_half_close_still_gets_its_replies(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd,
	    "GET /echo?1 HTTP/1.1\r\nHost: x\r\n\r\n"
	    "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
	    "GET /echo?3 HTTP/1.1\r\nHost: x\r\n\r\n");
	shutdown(fd, SHUT_WR);
	rig_until(r, r->waiting != NULL);
	assert_str(rig_hear(r, fd).body, "/echo?1||127.0.0.1|");
	rig_expect_silence(r, fd);
	assert_int_equal(r->detached, 0);
	rig_finish(r);
	assert_str(rig_hear(r, fd).body, "waited");
	assert_str(rig_hear(r, fd).body, "/echo?3||127.0.0.1|");
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	rig_until(r, http_server_connections(r->server) == 0);
}

static void
a_half_close_while_the_handler_works_is_no_reset(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_until(r, r->waiting != NULL);
	shutdown(fd, SHUT_WR);
	rig_expect_silence(r, fd);
	assert_int_equal(r->detached, 0);
	rig_finish(r);
	assert_str(rig_hear(r, fd).body, "waited");
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

static void
a_reset_ends_the_task(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_until(r, r->waiting != NULL);
	rig_reset(fd);
	rig_until(r, r->detached == 1);
	rig_until(r, http_server_connections(r->server) == 0);
	assert_null(r->waiting);
}

static void
pipelined_bytes_do_not_hide_a_reset(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_until(r, r->waiting != NULL);
	say(r, fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_expect_silence(r, fd);
	rig_reset(fd);
	rig_until(r, r->detached == 1);
	rig_until(r, http_server_connections(r->server) == 0);
	assert_string_equal(r->ran, " 1 /wait");
}

static void
a_reset_elsewhere_is_just_the_end(void **state)
{
	static const char *const sent[] = { "", "GET /ech", POST,
		POST "Content-Length: 5\r\n\r\nhe" };
	struct rig *r = start(state);

	for (size_t i = 0; i < 4; i++) {
		int fd = rig_dial(r);

		rig_say(r, fd, str_from(sent[i]));
		rig_until(r, http_server_connections(r->server) == 1);
		rig_expect_silence(r, fd);
		rig_reset(fd);
		rig_until(r, http_server_connections(r->server) == 0);
	}
	assert_string_equal(r->ran, "");
}

/* Bytes and reset make one edge: the reset must be seen all the same. */
static void
a_reset_right_behind_the_bytes_is_seen(void **state)
{
	static const char *const sent[] = { "G", "GET /ech", POST,
		POST "Content-Length: 5\r\n\r\nhe",
		POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
		"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" };
	const struct http_limits limits = { .header_timeout = WHEN_MINUTE,
		.body_timeout = WHEN_MINUTE };
	struct rig *r = *state = rig_new(&limits);

	rig_listen(r, (struct http_listener_options){ .mode = 0 });
	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		int fd = rig_dial(r);

		rig_until(r, http_server_connections(r->server) == 1);
		rig_say(r, fd, str_from(sent[i]));
		rig_reset(fd); /* no turn in between */
		rig_until(r, http_server_connections(r->server) == 0);
	}
	assert_null(r->waiting);
}

static void
an_end_within_a_request_is_an_error(void **state)
{
	static const char *const sent[] = { "GET /ech",
		"GET /echo HTTP/1.1\r\nHost: x\r\n",
		POST "Content-Length: 5\r\n\r\nhell",
		POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" };
	struct rig *r = start(state);

	for (size_t i = 0; i < 4; i++) {
		int fd = rig_dial(r);

		rig_say(r, fd, str_from(sent[i]));
		shutdown(fd, SHUT_WR);
		assert_int_equal(rig_hear(r, fd).status, 400);
		rig_expect_end(r, fd);
		rig_hang_up(fd);
	}
	assert_string_equal(r->ran, "");
}

static void
an_end_between_requests_is_a_silent_one(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	shutdown(fd, SHUT_WR);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	fd = rig_dial(r);
	say(r, fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	shutdown(fd, SHUT_WR);
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

static void
the_refusal_of_a_long_upload_arrives(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	static char junk[100000];

	say(r, fd, POST "Content-Length: 10000000\r\n\r\n");
	rig_say(r, fd, str_make(junk, sizeof(junk)));
	rig_say(r, fd, str_make(junk, sizeof(junk)));
	assert_int_equal(rig_hear(r, fd).status, 413);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	rig_until(r, http_server_connections(r->server) == 0);
}

static void
a_large_reply_arrives_whole_and_then_the_end(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	struct answer a;

	say(r, fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	say(r, fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	say(r, fd, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	for (int i = 0; i < 3; i++) {
		a = rig_hear(r, fd);
		assert_int_equal(a.status, 200);
		if (i == 1)
			continue;
		assert_int_equal(a.body.n, 4 << 20);
		for (size_t at = 0; at < a.body.n; at++)
			if (a.body.p[at] != (char)('a' + at % 26))
				fail_msg("byte %zu is wrong", at);
	}
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

static void
freeing_the_server_ends_what_is_in_flight(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);

	say(r, fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_until(r, r->waiting != NULL);
	http_server_free(r->server);
	r->server = NULL;
	assert_int_equal(r->detached, 1);
	rig_hang_up(fd);
}

/* ---- header bounds */

static void
too_many_or_too_long_headers_get_431(void **state)
{
	struct rig *r = start(state);
	static char text[40000];
	size_t n;
	int fd;

	for (int lines = 62; lines <= 64; lines++) {
		n = (size_t)snprintf(text, sizeof(text),
		    "GET /echo HTTP/1.1\r\nHost: x\r\n");
		for (int i = 0; i < lines; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "X-%d: y\r\n", i);
		snprintf(text + n, sizeof(text) - n, "\r\n");
		assert_int_equal(ask(r, text).status, lines < 64 ? 200 : 431);
	}
	/* 16384 is the bound: a head of that size, and one byte more */
	for (int more = 0; more <= 1; more++) {
		static const char begin[] = "GET /echo HTTP/1.1\r\nHost: x\r\n"
					    "X: ";
		size_t fill = 16384 + (size_t)more - (sizeof(begin) - 1) - 4;

		memcpy(text, begin, sizeof(begin) - 1);
		memset(text + sizeof(begin) - 1, 'y', fill);
		memcpy(text + sizeof(begin) - 1 + fill, "\r\n\r\n", 5);
		assert_int_equal(ask(r, text).status, more ? 431 : 200);
	}
	/* no line end at all */
	memset(text, 'a', sizeof(text));
	fd = rig_dial(r);
	rig_say(r, fd, str_make(text, 20000));
	assert_int_equal(rig_hear(r, fd).status, 431);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_a_get_and_keeps_the_connection),
		TEST(closes_when_the_client_wants_it),
		TEST(a_head_answer_has_the_length_but_no_body),
		TEST(a_204_has_neither_length_nor_body),
		TEST(a_problem_of_a_handler_keeps_the_connection),
		TEST(paths_find_their_route_and_app),
		TEST(another_method_gets_405_and_the_list),
		TEST(a_body_that_nobody_reads_closes_the_connection),
		TEST(asterisk_is_for_options_and_found_nowhere),
		TEST(fields_of_one_name_are_joined),
		TEST(an_upgrade_is_ignored),
		TEST(bodies_come_by_length_and_by_chunk),
		TEST(a_body_may_have_its_full_size),
		TEST(endless_chunk_extensions_and_trailers_are_cut_off),
		TEST(says_continue_only_when_the_body_is_welcome),
		TEST(does_not_say_continue_before_a_refusal),
		TEST(http_1_0_knows_no_continue),
		TEST(pipelined_requests_are_answered_in_order),
		TEST(what_is_pipelined_waits_for_the_reply),
		TEST(nothing_is_run_behind_a_close),
		TEST(a_half_close_still_gets_its_replies),
		TEST(a_half_close_while_the_handler_works_is_no_reset),
		TEST(a_reset_ends_the_task),
		TEST(pipelined_bytes_do_not_hide_a_reset),
		TEST(a_reset_elsewhere_is_just_the_end),
		TEST(a_reset_right_behind_the_bytes_is_seen),
		TEST(an_end_within_a_request_is_an_error),
		TEST(an_end_between_requests_is_a_silent_one),
		TEST(the_refusal_of_a_long_upload_arrives),
		TEST(a_large_reply_arrives_whole_and_then_the_end),
		TEST(freeing_the_server_ends_what_is_in_flight),
		TEST(too_many_or_too_long_headers_get_431),
	};

	return cmocka_run_group_tests_name("http/conn", tests, NULL, NULL);
}
