/* SPDX-License-Identifier: ISC */
/* Who the client is: PROXY headers, X-Forwarded-For, Forwarded. */
#include "rig.h"

#include <stdio.h>
#include <sys/socket.h>

#include "http/http_int.h"

static int
stop(void **state)
{
	rig_free(*state);
	return 0;
}

/* ---- the parser alone */

struct sample {
	const char *name;
	enum proxy_result result;
	struct str bytes;
	const char *peer; /* NULL: none */
	unsigned port;
};

/* clang-format off */
#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\001\002\003\004" "\005\006\007\010" "\000\120" "\001\273"
#define V6A "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define V6B "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01"
#define H(what, res, text, who, num) { .name = (what), \
	.result = PROXY_##res, .peer = (who), .port = (num), \
	.bytes = { .p = "" text, .n = sizeof(text) - 1 } }

static const struct sample samples[] = {
	H("v1, IPv4", OK, "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "1.2.3.4", 80),
	H("v1, IPv6", OK, "PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", "2001:db8::1", 65535),
	H("v1, mapped", OK, "PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n", "10.0.0.1", 1),
	H("v1, unknown", OK, "PROXY UNKNOWN\r\n", NULL, 0),
	H("v1, unknown with more", OK, "PROXY UNKNOWN ffff::1 x 1 y\r\n", NULL, 0),
	H("v1, longest", OK, "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", NULL, 0),
	H("v1, too long", BAD, "PROXY UNKNOWN xffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", NULL, 0),
	H("v1, families differ", BAD, "PROXY TCP4 1.2.3.4 ::1 80 443\r\n", NULL, 0),
	H("v1, IPv6 in TCP4", BAD, "PROXY TCP4 ::1 ::1 80 443\r\n", NULL, 0),
	H("v1, IPv4 in TCP6", BAD, "PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n", NULL, 0),
	H("v1, another protocol", BAD, "PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n", NULL, 0),
	H("v1, lower case", BAD, "proxy TCP4 1.2.3.4 5.6.7.8 80 443\r\n", NULL, 0),
	H("v1, no ports", BAD, "PROXY TCP4 1.2.3.4 5.6.7.8\r\n", NULL, 0),
	H("v1, a port too many", BAD, "PROXY TCP4 1.2.3.4 5.6.7.8 80 443 1\r\n", NULL, 0),
	H("v1, a port too large", BAD, "PROXY TCP4 1.2.3.4 5.6.7.8 65536 443\r\n", NULL, 0),
	H("v1, a port with a zero", BAD, "PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n", NULL, 0),
	H("v1, a signed port", BAD, "PROXY TCP4 1.2.3.4 5.6.7.8 +80 443\r\n", NULL, 0),
	H("v1, two spaces", BAD, "PROXY TCP4  1.2.3.4 5.6.7.8 80 443\r\n", NULL, 0),
	H("v1, a zero in the address", BAD, "PROXY TCP4 01.2.3.4 5.6.7.8 80 443\r\n", NULL, 0),
	H("v1, bare LF", BAD, "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n", NULL, 0),
	H("v1, NUL", BAD, "PROXY TCP4 1.2.3.4\0 5.6.7.8 80 443\r\n", NULL, 0),
	H("v1, no address", BAD, "PROXY TCP4\r\n", NULL, 0),
	H("no header", BAD, "GET / HTTP/1.1\r\n", NULL, 0),
	H("TLS instead", BAD, "\026\003\001\000", NULL, 0),

	H("v2, IPv4", OK, SIG "\x21\x11\0\x0c" V4, "1.2.3.4", 80),
	H("v2, IPv4 over UDP", OK, SIG "\x21\x12\0\x0c" V4, "1.2.3.4", 80),
	H("v2, IPv6", OK, SIG "\x21\x21\0\x24" V6A V6B "\0\120\1\273", "2001:db8::1", 80),
	H("v2, mapped", OK, SIG "\x21\x21\0\x24" MAPPED V6B "\0\120\1\273", "10.0.0.1", 80),
	H("v2, with more behind", OK, SIG "\x21\x11\0\x11" V4 "\x04\0\x02hi", "1.2.3.4", 80),
	H("v2, LOCAL", OK, SIG "\x20\0\0\0", NULL, 0),
	H("v2, LOCAL with an address", OK, SIG "\x20\x11\0\x0c" V4, NULL, 0),
	H("v2, UNSPEC", OK, SIG "\x21\0\0\0", NULL, 0),
	H("v2, unix", OK, SIG "\x21\x31\0\x03" "abc", NULL, 0),
	H("v2, IPv4 cut short", BAD, SIG "\x21\x11\0\x0b" V4, NULL, 0),
	H("v2, IPv6 cut short", BAD, SIG "\x21\x21\0\x0c" V4, NULL, 0),
	H("v2, another version", BAD, SIG "\x11\x11\0\x0c" V4, NULL, 0),
	H("v2, another command", BAD, SIG "\x22\x11\0\x0c" V4, NULL, 0),
	H("v2, another family", BAD, SIG "\x21\x41\0\x0c" V4, NULL, 0),
	H("v2, another transport", BAD, SIG "\x21\x13\0\x0c" V4, NULL, 0),
	H("v2, too long", BAD, SIG "\x21\x11\x10\0", NULL, 0),
	H("v2, a broken signature", BAD, "\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" V4, NULL, 0),
};
/* clang-format on */

static void
each_header_is_read_or_refused(void **state)
{
	struct arena *a = arena_create();
	struct proxy out;

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *h = &samples[i];
		char more[512];

		memcpy(more, h->bytes.p, h->bytes.n);
		memcpy(more + h->bytes.n, "rest", 4);
		if (proxy_parse(str_make(more, h->bytes.n + 4), &out) !=
		    h->result)
			fail_msg("%s: not as expected", h->name);
		if (h->result == PROXY_BAD)
			continue;
		assert_int_equal(out.len, h->bytes.n);
		assert_int_equal(out.has_peer, h->peer != NULL);
		if (h->peer != NULL)
			assert_str(addr_text(a, out.peer), h->peer);
		assert_int_equal(out.port, h->port);
	}
	arena_destroy(a);
}

/* A bad one may be known early; a good one needs all of its bytes. */
static void
parts_of_a_header_ask_for_more(void **state)
{
	struct proxy out;

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *h = &samples[i];

		for (size_t n = 0; n < h->bytes.n; n++) {
			enum proxy_result r = proxy_parse(str_make(h->bytes.p,
							      n),
			    &out);

			if (r != PROXY_MORE &&
			    (h->result != PROXY_BAD || r != PROXY_BAD))
				fail_msg("%s: %zu bytes are enough", h->name,
				    n);
		}
	}
}

/* ---- over the wire */

#define GET "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"

static void
the_header_names_the_peer(void **state)
{
	struct rig *r = *state = rig_new(NULL);
	char want[80];

	rig_listen(r, (struct http_listener_options){ .proxy = true });
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *h = &samples[i];
		int fd = rig_dial(r);

		rig_say(r, fd, h->bytes);
		if (h->result == PROXY_BAD) {
			rig_expect_closed(r, fd);
			rig_hang_up(fd);
			continue;
		}
		say(r, fd, GET GET);
		snprintf(want, sizeof(want), "/echo?||%s|",
		    h->peer != NULL ? h->peer : "127.0.0.1");
		assert_str(rig_hear(r, fd).body, want);
		assert_str(rig_hear(r, fd).body, want);
		rig_hang_up(fd);
	}
}

static void
the_header_may_come_byte_by_byte(void **state)
{
	static const char text[] = "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n" GET;
	struct rig *r = *state = rig_new(NULL);
	int fd;

	rig_listen(r, (struct http_listener_options){ .proxy = true });
	fd = rig_dial(r);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		rig_say(r, fd, str_make(text + i, 1));
		loop_turn(r->loop, LOOP_POLL);
	}
	assert_str(rig_hear(r, fd).body, "/echo?||1.2.3.4|");
	rig_hang_up(fd);
}

static void
only_trusted_peers_may_speak_for_others(void **state)
{
	static const struct prefix here = { .addr = { .bytes = { 127 },
						.len = 4 },
		.bits = 8 };
	static const struct prefix there = { .addr = { .bytes = { 10 },
						 .len = 4 },
		.bits = 8 };

	for (int trusted = 0; trusted <= 1; trusted++) {
		struct rig *r = rig_new(NULL);
		int fd;

		rig_listen(r,
		    (struct http_listener_options){ .proxy = true,
			.trusted = trusted ? &here : &there,
			.ntrusted = 1 });
		fd = rig_dial(r);
		if (trusted) {
			say(r, fd, "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" GET);
			assert_str(rig_hear(r, fd).body, "/echo?||1.2.3.4|");
		} else {
			rig_expect_closed(r, fd);
		}
		rig_hang_up(fd);
		rig_free(r);
	}
	*state = rig_new(NULL);
}

/* ---- Forwarded and X-Forwarded-For */

static void
nodes_are_addresses_with_or_without_ports(void **state)
{
	static const struct {
		const char *text, *addr; /* NULL: none */
	} cases[] = {
		{ "1.2.3.4", "1.2.3.4" },
		{ "1.2.3.4:80", "1.2.3.4" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "[2001:db8::1]", "2001:db8::1" },
		{ "[2001:db8::1]:8080", "2001:db8::1" },
		{ "::ffff:1.2.3.4", "1.2.3.4" },
		{ "", NULL },
		{ "unknown", NULL },
		{ "_hidden", NULL },
		{ "1.2.3.4:", NULL },
		{ "1.2.3.4:x", NULL },
		{ "1.2.3.4:123456", NULL },
		{ "[1.2.3.4]", NULL },
		{ "[::1", NULL },
		{ "[::1]x", NULL },
		{ "[::1]:", NULL },
		{ "[::1]:x", NULL },
		{ "[]", NULL },
		{ "[", NULL },
		{ ":80", NULL },
		{ "1.2.3.4 ", NULL },
		{ "1.2.3", NULL },
	};
	struct arena *a = arena_create();
	struct addr out;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool ok = forwarded_node(str_from(cases[i].text), &out);

		if (ok != (cases[i].addr != NULL))
			fail_msg("\"%s\"", cases[i].text);
		if (ok)
			assert_str(addr_text(a, out), cases[i].addr);
	}
	arena_destroy(a);
}

struct chain {
	const char *fields, *peer;
};

/* 127.0.0.0/8 and 10.0.0.0/8 are trusted. */
static const struct chain chains[] = {
	{ "", "127.0.0.1" },
	{ "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4" },
	{ "X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n", "1.2.3.4" },
	{ "X-Forwarded-For: 1.2.3.4, 10.0.0.1\r\n", "1.2.3.4" },
	{ "X-Forwarded-For: 1.2.3.4, 10.0.0.1,10.0.0.2\r\n", "1.2.3.4" },
	{ "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n",
	    "1.2.3.4" },
	{ "X-Forwarded-For: 10.0.0.7\r\n", "10.0.0.7" },
	{ "X-Forwarded-For: 10.0.0.8, 10.0.0.7\r\n", "10.0.0.8" },
	{ "X-Forwarded-For: 1.2.3.4, unknown\r\n", "127.0.0.1" },
	{ "X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.1\r\n", "10.0.0.1" },
	{ "X-Forwarded-For: 1.2.3.4,\r\n", "127.0.0.1" },
	{ "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1" },
	{ "X-Forwarded-For: 1.2.3.4:5678\r\n", "1.2.3.4" },
	{ "Forwarded: for=1.2.3.4\r\n", "1.2.3.4" },
	{ "Forwarded: for=9.9.9.9, For=\"1.2.3.4:80\";proto=https\r\n",
	    "1.2.3.4" },
	{ "Forwarded: proto=https; for=\"[2001:db8::1]:80\" ;by=x\r\n",
	    "2001:db8::1" },
	{ "Forwarded: for=1.2.3.4, for=10.0.0.1\r\n", "1.2.3.4" },
	{ "Forwarded: for=1.2.3.4, proto=https\r\n", "127.0.0.1" },
	{ "Forwarded: for=1.2.3.4, for=\"a,b\"\r\n", "127.0.0.1" },
	{ "Forwarded: for=1.2.3.4, for=\"\\\",for=9.9.9.9\"\r\n", "127.0.0.1" },
	{ "Forwarded: for=_secret\r\n", "127.0.0.1" },
	{ "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4" },
	{ "Forwarded: for=9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n",
	    "127.0.0.1" },
};

static void
the_right_most_address_that_is_not_trusted_is_the_client(void **state)
{
	static const struct prefix trusted[] = {
		{ .addr = { .bytes = { 127 }, .len = 4 }, .bits = 8 },
		{ .addr = { .bytes = { 10 }, .len = 4 }, .bits = 8 },
	};
	struct rig *r = *state = rig_new(NULL);
	char text[512], want[80];
	int fd;

	rig_listen(r,
	    (struct http_listener_options){ .forwarded = true,
		.trusted = trusted,
		.ntrusted = 2 });
	fd = rig_dial(r);
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		struct answer a;

		snprintf(text, sizeof(text),
		    "GET /echo HTTP/1.1\r\nHost: x\r\n%s\r\n",
		    chains[i].fields);
		rig_say(r, fd, str_from(text));
		a = rig_hear(r, fd);
		snprintf(want, sizeof(want), "/echo?||%s|", chains[i].peer);
		if (!str_is(a.body, want))
			fail_msg("%s: " STR_FMT, chains[i].fields,
			    STR_ARG(a.body));
	}
	rig_hang_up(fd);
}

static void
nobody_else_is_believed(void **state)
{
	static const struct prefix there = { .addr = { .bytes = { 10 },
						 .len = 4 },
		.bits = 8 };
	static const struct prefix here = { .addr = { .bytes = { 127 },
						.len = 4 },
		.bits = 8 };
	const struct http_listener_options cases[] = {
		{ .forwarded = true },
		{ .forwarded = true, .trusted = &there, .ntrusted = 1 },
		{ .forwarded = false, .trusted = &here, .ntrusted = 1 },
	};

	for (size_t i = 0; i < 3; i++) {
		struct rig *r = rig_new(NULL);
		int fd;

		rig_listen(r, cases[i]);
		fd = rig_dial(r);
		say(r, fd,
		    "GET /echo HTTP/1.1\r\nHost: x\r\n"
		    "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"
		    "\r\n");
		assert_str(rig_hear(r, fd).body, "/echo?||127.0.0.1|");
		rig_hang_up(fd);
		rig_free(r);
	}
	*state = rig_new(NULL);
}

static void
a_proxy_on_a_unix_socket_is_believed(void **state)
{
	struct rig *r = *state = rig_new(NULL);
	int fd;

	rig_listen(r,
	    (struct http_listener_options){ .address = "unix",
		.forwarded = true });
	fd = rig_dial(r);
	say(r, fd,
	    "GET /echo HTTP/1.1\r\nHost: x\r\n"
	    "X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n\r\n");
	assert_str(rig_hear(r, fd).body, "/echo?||1.2.3.4|");
	rig_hang_up(fd);
}

static void
a_proxy_behind_a_balancer_is_believed_by_its_own_address(void **state)
{
	static const struct prefix ten = { .addr = { .bytes = { 10 },
					       .len = 4 },
		.bits = 8 };
	struct rig *r = *state = rig_new(NULL);
	int fd;

	rig_listen(r,
	    (struct http_listener_options){ .address = "unix",
		.proxy = true,
		.forwarded = true,
		.trusted = &ten,
		.ntrusted = 1 });
	fd = rig_dial(r);
	say(r, fd,
	    "PROXY TCP4 10.0.0.1 5.6.7.8 1 2\r\n"
	    "GET /echo HTTP/1.1\r\nHost: x\r\n"
	    "X-Forwarded-For: 1.2.3.4\r\n\r\n");
	assert_str(rig_hear(r, fd).body, "/echo?||1.2.3.4|");
	rig_hang_up(fd);
	fd = rig_dial(r);
	say(r, fd,
	    "PROXY TCP4 6.6.6.6 5.6.7.8 1 2\r\n"
	    "GET /echo HTTP/1.1\r\nHost: x\r\n"
	    "X-Forwarded-For: 1.2.3.4\r\n\r\n");
	assert_str(rig_hear(r, fd).body, "/echo?||6.6.6.6|");
	rig_hang_up(fd);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_header_is_read_or_refused),
		cmocka_unit_test(parts_of_a_header_ask_for_more),
		TEST(the_header_names_the_peer),
		TEST(the_header_may_come_byte_by_byte),
		TEST(only_trusted_peers_may_speak_for_others),
		cmocka_unit_test(nodes_are_addresses_with_or_without_ports),
		TEST(the_right_most_address_that_is_not_trusted_is_the_client),
		TEST(nobody_else_is_believed),
		TEST(a_proxy_on_a_unix_socket_is_believed),
		TEST(a_proxy_behind_a_balancer_is_believed_by_its_own_address),
	};

	return cmocka_run_group_tests_name("http/proxy", tests, NULL, NULL);
}
