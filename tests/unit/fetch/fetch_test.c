/* SPDX-License-Identifier: ISC */
/* Outbound requests against servers, good and bad, on the same loop. */
#include "../unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "../dns/stub.h"
#include "../turns.h"
#include "base/buf.h"
#include "base/when.h"
#include "fetch/fetch.h"
#include "metrics/metrics.h"
#include "peer.h"

struct world {
	struct arena *arena;
	struct loop *loop;
	struct stub *stub;
	struct dns *dns;
	struct fetch *fetch;
	struct peer *peer;
	struct task task;
};

struct told {
	struct arena *arena;
	unsigned calls;
	struct fetch_result r;
};

static void
on_result(void *arg, const struct fetch_result *r)
{
	struct told *t = arg;

	t->calls++;
	t->r = *r;
	t->r.body = str_dup(t->arena, r->body);
	t->r.redirect = str_dup(t->arena, r->redirect);
	t->r.content_type = str_dup(t->arena, r->content_type);
	if (r->why != NULL)
		t->r.why = str_dup(t->arena, str_from(r->why)).p;
	if (r->error != FETCH_OK)
		assert_non_null(r->why);
}

static int
begin_with(void **state, enum peer_kind kind)
{
	struct world *w = calloc(1, sizeof(*w));
	struct dns_server server;
	struct dns_options d = { .mode = DNS_FORWARD,
		.forwarders = &server,
		.nforwarders = 1,
		.deadline = WHEN_SECOND };
	struct fetch_options o = { .user_agent = "certloop/test",
		.running_max = 20 };
	const char *why = NULL;

	w->arena = arena_create();
	d.loop = o.loop = w->loop = loop_new();
	w->stub = stub_new(w->loop, "127.0.0.1", 0);
	(void)addr_parse(STR("127.0.0.1"), &server.addr);
	server.port = stub_port(w->stub);
	o.dns = w->dns = dns_new(&d, w->arena, &why);
	w->fetch = fetch_new(&o, &why);
	w->peer = peer_new(w->loop, "127.0.0.1", kind);
	assert_null(why);
	stub_a(w->stub, "peer.test", "127.0.0.1");
	task_init(&w->task);
	*state = w;
	return 0;
}

static int
begin(void **state)
{
	return begin_with(state, PEER_HTTP);
}

static int
begin_tls(void **state)
{
	return begin_with(state, PEER_HTTPS);
}

static int
end(void **state)
{
	struct world *w = *state;

	task_end(&w->task);
	fetch_free(w->fetch);
	dns_free(w->dns);
	stub_free(w->stub);
	peer_free(w->peer);
	loop_free(w->loop);
	arena_destroy(w->arena);
	free(w);
	return 0;
}

/* A URL of the peer, by name. */
static struct str
url(struct world *w, const char *scheme, const char *host)
{
	return str_printf(w->arena, "%s://%s:%u/path", scheme, host,
	    peer_port(w->peer));
}

static struct fetch_result
send_it(struct world *w, const struct fetch_request *rq)
{
	struct told t = { .arena = w->arena };

	(void)fetch_send(w->fetch, &w->task, rq, on_result, &t);
	assert_int_equal(t.calls, 0);
	turn_until(w->loop, &t.calls, 1);
	assert_false(task_is_waiting(&w->task));
	assert_int_equal(fetch_running(w->fetch), 0);
	return t.r;
}

static struct fetch_result
get(struct world *w, const char *host)
{
	struct fetch_request rq = { .url = url(w, "http", host) };

	return send_it(w, &rq);
}

/* Was this in the last request? */
static bool
heard(struct world *w, const char *text)
{
	struct str s = peer_heard(w->peer);

	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

/* ---- what goes out and what comes back */

static void
gets_a_page_by_name(void **state)
{
	struct world *w = *state;
	struct fetch_result r;

	peer_say(w->peer,
	    STR("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
		"Retry-After: 7\r\nContent-Length: 5\r\n\r\nhello"));
	r = get(w, "peer.test");
	assert_int_equal(r.error, FETCH_OK);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.phase, FETCH_BODY);
	assert_str(r.body, "hello");
	assert_str(r.content_type, "text/plain");
	assert_int_equal(r.retry_after, 7 * WHEN_SECOND);
	assert_int_equal(r.redirect.n, 0);
	assert_true(r.sent);
	assert_str(addr_text(w->arena, r.peer), "127.0.0.1");
	assert_true(heard(w, "GET /path HTTP/1.1\r\n"));
	assert_true(heard(w, "User-Agent: certloop/test\r\n"));
	assert_true(heard(w,
	    str_printf(w->arena, "Host: peer.test:%u\r\n", peer_port(w->peer))
		.p));
}

static void
posts_a_body_with_headers(void **state)
{
	struct world *w = *state;
	const struct fetch_header headers[] = {
		{ STR("X-Vault-Token"), STR("s.secret") },
		{ STR("Content-Type"), STR("application/json") },
		{ STR("X-Empty"), STR("") },
	};
	struct fetch_request rq = { .url = url(w, "http", "PEER.test."),
		.method = STR("POST"),
		.headers = headers,
		.nheaders = 3,
		.body = STR("{\"a\":1}") };
	struct fetch_result r;

	peer_say(w->peer,
	    STR("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked"
		"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_OK);
	assert_int_equal(r.status, 403);
	assert_str(r.body, "abc");
	assert_int_equal(r.retry_after, -1);
	assert_true(heard(w, "POST /path HTTP/1.1\r\n"));
	assert_true(heard(w, "X-Vault-Token: s.secret\r\n"));
	assert_true(heard(w, "X-Empty:\r\n"));
	assert_true(heard(w, "Content-Length: 7\r\n"));
	assert_true(heard(w, "\r\n\r\n{\"a\":1}"));
	assert_false(heard(w, "Expect"));
	assert_false(heard(w, "form-urlencoded"));
}

static void
other_methods_and_empty_bodies(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "http", "127.0.0.1") };

	rq.method = STR("LIST");
	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	assert_true(heard(w, "LIST /path HTTP/1.1\r\n"));
	rq.method = STR("POST");
	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	assert_true(heard(w, "POST /path HTTP/1.1\r\n"));
	assert_true(heard(w, "Content-Length: 0\r\n"));
	rq.method = STR("PUT");
	rq.body = STR("x");
	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	assert_true(heard(w, "PUT /path HTTP/1.1\r\n"));
	rq = (struct fetch_request){ .url = rq.url, .method = STR("HEAD") };
	peer_say(w->peer, STR("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"));
	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	assert_true(heard(w, "HEAD /path HTTP/1.1\r\n"));
}

static void
a_big_body_goes_and_comes_whole(void **state)
{
	struct world *w = *state;
	size_t n = 200000;
	char *big = arena_alloc(w->arena, n);
	struct buf b = buf_new(w->arena, 1 << 20);
	struct fetch_request rq = { .url = url(w, "http", "127.0.0.1"),
		.method = STR("POST"),
		.body = str_make(big, n),
		.body_max = 1 << 20 };
	struct fetch_result r;

	for (size_t i = 0; i < n; i++)
		big[i] = (char)('a' + i % 23);
	buf_printf(&b, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
	buf_put(&b, big, n);
	peer_say(w->peer, buf_view(&b));
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_OK);
	assert_true(str_eq(r.body, rq.body));
	assert_true(str_ends(peer_heard(w->peer), rq.body));
}

static void
redirects_are_told_not_followed(void **state)
{
	struct world *w = *state;
	struct fetch_result r;

	peer_say(w->peer,
	    STR("HTTP/1.1 302 Go\r\nLocation: ../other?x=1\r\n"
		"Content-Length: 0\r\n\r\n"));
	r = get(w, "peer.test");
	assert_int_equal(r.status, 302);
	assert_true(str_ends(r.redirect, STR("/other?x=1")));
	assert_true(str_starts(r.redirect, STR("http://peer.test:")));
	peer_say(w->peer,
	    STR("HTTP/1.1 301 Go\r\nLocation: file:///etc/passwd\r\n"
		"Content-Length: 0\r\n\r\n"));
	r = get(w, "peer.test");
	assert_int_equal(r.status, 301);
	assert_str(r.redirect, "file:///etc/passwd");
	assert_int_equal(send_it(w,
			     &(struct fetch_request){ .url = r.redirect })
			     .error,
	    FETCH_BAD_REQUEST);
	assert_int_equal(peer_requests(w->peer), 2);
}

static void
bad_requests_are_not_sent(void **state)
{
	static const char *const bad[] = { "", "peer.test/", "ftp://peer.test/",
		"file:///etc/passwd", "http://", "http:///x",
		"http://u:p@peer.test/", "http://peer.test:0/",
		"http://peer.test:65536/", "http://a b/",
		"http://[fe80::1%25lo]/", "http://[::1/", "gopher://peer.test/",
		"http://peer.test/a b\n" };
	static const struct fetch_header headers[] = {
		{ { "A B", 3 }, { "x", 1 } },
		{ { "", 0 }, { "x", 1 } },
		{ { "A", 1 }, { "x\r\nB: y", 7 } },
		{ { "A", 1 }, { "x\0y", 3 } },
	};
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "http", "127.0.0.1") };

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		rq.headers = &headers[i];
		rq.nheaders = 1;
		assert_int_equal(send_it(w, &rq).error, FETCH_BAD_REQUEST);
	}
	rq = (struct fetch_request){ .url = rq.url, .method = STR("G ET") };
	assert_int_equal(send_it(w, &rq).error, FETCH_BAD_REQUEST);
	rq = (struct fetch_request){ .url = rq.url, .body_max = SIZE_MAX };
	assert_int_equal(send_it(w, &rq).error, FETCH_BAD_REQUEST);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rq = (struct fetch_request){ .url = str_from(bad[i]) };
		if (send_it(w, &rq).error != FETCH_BAD_REQUEST)
			fail_msg("\"%s\" was taken", bad[i]);
	}
	rq.url = str_make("http://127.0.0.1/\0x", 19);
	assert_int_equal(send_it(w, &rq).error, FETCH_BAD_REQUEST);
	assert_int_equal(peer_connections(w->peer), 0);
}

/* ---- addresses */

struct rule {
	struct prefix allowed;
	unsigned asked;
	bool fickle; /* says yes the first time only */
};

static bool
judge(void *arg, struct addr addr, unsigned port)
{
	struct rule *r = arg;

	(void)port;
	if (++r->asked > 1 && r->fickle)
		return false;
	return prefix_has(&r->allowed, addr);
}

static struct fetch_result
get_by_rule(struct world *w, const char *host, struct rule *rule)
{
	struct fetch_request rq = { .url = url(w, "http", host),
		.rule = judge,
		.rule_arg = rule };

	return send_it(w, &rq);
}

static void
the_rule_is_asked_for_names_and_literals(void **state)
{
	/* every way to write 127.0.0.1 that a URL knows */
	static const char *const hosts[] = { "peer.test", "127.0.0.1", "127.1",
		"2130706433", "0x7f000001", "0177.0.0.1", "localhost",
		"[::ffff:127.0.0.1]", "[::1]" };
	struct world *w = *state;
	struct rule none = { .allowed = { .bits = 0 } }, yes = none;
	struct fetch_result r;

	assert_true(prefix_parse(STR("10.0.0.0/8"), &none.allowed));
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		r = get_by_rule(w, hosts[i], &none);
		if (r.error != FETCH_FORBIDDEN || r.sent)
			fail_msg("%s: %s", hosts[i], fetch_error_name(r.error));
	}
	assert_true(none.asked >= sizeof(hosts) / sizeof(hosts[0]));
	assert_int_equal(peer_connections(w->peer), 0);
	assert_true(prefix_parse(STR("127.0.0.0/8"), &yes.allowed));
	assert_int_equal(get_by_rule(w, "peer.test", &yes).error, FETCH_OK);
	assert_int_equal(get_by_rule(w, "2130706433", &yes).error, FETCH_OK);
	assert_true(heard(w, "Host: 127.0.0.1:"));
}

static void
the_rule_is_asked_again_at_the_socket(void **state)
{
	struct world *w = *state;
	struct rule once = { .fickle = true };
	struct fetch_result r;

	assert_true(prefix_parse(STR("127.0.0.0/8"), &once.allowed));
	r = get_by_rule(w, "peer.test", &once);
	assert_int_equal(r.error, FETCH_FORBIDDEN);
	assert_false(r.sent);
	assert_int_equal(once.asked, 2);
	assert_int_equal(peer_connections(w->peer), 0);
}

static void
a_name_that_changes_is_not_looked_up_twice(void **state)
{
	struct world *w = *state;
	struct rule rule = { .asked = 0 };

	/* the second query would say 127.0.0.1 */
	assert_true(prefix_parse(STR("127.0.0.2"), &rule.allowed));
	stub_a(w->stub, "rebind.test", "127.0.0.2");
	stub_a(w->stub, "rebind.test", "127.0.0.1");
	stub_set(w->stub, "rebind.test", STUB_TURNS);
	assert_int_equal(get_by_rule(w, "rebind.test", &rule).error,
	    FETCH_NO_CONNECTION);
	assert_int_equal(stub_asked(w->stub, "rebind.test", 1), 1);
	assert_int_equal(get_by_rule(w, "rebind.test", &rule).error,
	    FETCH_FORBIDDEN);
	assert_int_equal(peer_connections(w->peer), 0);
}

static void
forbidden_addresses_of_a_name_are_left_out(void **state)
{
	struct world *w = *state;
	struct rule rule = { .asked = 0 };
	struct fetch_result r;

	assert_true(prefix_parse(STR("127.0.0.1"), &rule.allowed));
	stub_a(w->stub, "two.test", "127.0.0.9");
	stub_a(w->stub, "two.test", "::1");
	stub_a(w->stub, "two.test", "127.0.0.1");
	r = get_by_rule(w, "two.test", &rule);
	assert_int_equal(r.error, FETCH_OK);
	assert_str(addr_text(w->arena, r.peer), "127.0.0.1");
}

static void
what_one_may_use_another_may_not(void **state)
{
	struct world *w = *state;
	struct rule none = { .asked = 0 };

	/* no rule: the connection is kept open, and the name was resolved */
	assert_int_equal(get(w, "peer.test").error, FETCH_OK);
	assert_true(prefix_parse(STR("10.0.0.0/8"), &none.allowed));
	assert_int_equal(get_by_rule(w, "peer.test", &none).error,
	    FETCH_FORBIDDEN);
	assert_int_equal(peer_requests(w->peer), 1);
	/* nor does one with a rule leave a connection to others */
	assert_true(prefix_parse(STR("127.0.0.1"), &none.allowed));
	assert_int_equal(get_by_rule(w, "peer.test", &none).error, FETCH_OK);
	assert_int_equal(get_by_rule(w, "peer.test", &none).error, FETCH_OK);
	assert_int_equal(peer_connections(w->peer), 3);
	turn_for(w->loop, 20000);
	assert_int_equal(peer_open(w->peer), 1);
}

static void
tries_the_next_address(void **state)
{
	struct world *w = *state;

	stub_a(w->stub, "both.test", "127.0.0.99");
	stub_a(w->stub, "both.test", "::1");
	stub_a(w->stub, "both.test", "127.0.0.1");
	assert_int_equal(get(w, "both.test").error, FETCH_OK);
}

static void
speaks_ipv6(void **state)
{
	struct world *w = *state;
	struct fetch_result r;

	peer_free(w->peer);
	if ((w->peer = peer_new(w->loop, "::1", PEER_HTTP)) == NULL)
		skip(); /* this machine does not */
	stub_a(w->stub, "six.test", "::1");
	r = get(w, "[::1]");
	assert_int_equal(r.error, FETCH_OK);
	assert_str(addr_text(w->arena, r.peer), "::1");
	assert_true(heard(w, "Host: [::1]:"));
	assert_int_equal(get(w, "six.test").error, FETCH_OK);
}

static void
names_that_have_no_address(void **state)
{
	struct world *w = *state;
	struct fetch_result r = get(w, "nowhere.test");

	assert_int_equal(r.error, FETCH_NO_ADDRESS);
	assert_int_equal(r.dns, DNS_NO_NAME);
	assert_int_equal(r.phase, FETCH_RESOLVE);
	stub_set(w->stub, "mute.test", STUB_SILENT);
	r = get(w, "mute.test");
	assert_int_equal(r.error, FETCH_TIMEOUT);
	assert_int_equal(r.phase, FETCH_RESOLVE);
	assert_false(r.sent);
}

static void
the_environment_has_no_proxy(void **state)
{
	struct world *w = *state;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	assert_int_equal(get(w, "peer.test").error, FETCH_OK);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

/* ---- connections */

static void
connections_are_kept_for_the_next(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "http", "peer.test"),
		.method = STR("POST"),
		.body = STR("x") };

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(get(w, "peer.test").error, FETCH_OK);
		assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	}
	assert_int_equal(peer_connections(w->peer), 1);
	assert_int_equal(peer_requests(w->peer), 6);
}

static void
a_request_with_a_body_is_never_sent_twice(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "http", "peer.test"),
		.method = STR("POST"),
		.body = STR("x") };
	struct fetch_result r;

	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	peer_set(w->peer, PEER_CLOSE_2ND);
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_BROKEN);
	assert_true(r.sent);
	turn_for(w->loop, 20000);
	assert_int_equal(peer_requests(w->peer), 2);
	/* one without is, and nobody notices */
	peer_set(w->peer, PEER_ANSWER);
	assert_int_equal(get(w, "peer.test").error, FETCH_OK);
	peer_set(w->peer, PEER_CLOSE_2ND);
	assert_int_equal(get(w, "peer.test").error, FETCH_OK);
	assert_int_equal(peer_requests(w->peer), 5);
}

static void
too_many_requests_are_refused_at_once(void **state)
{
	struct world *w = *state;
	struct told t[21];

	peer_set(w->peer, PEER_HANG);
	for (size_t i = 0; i < 21; i++) {
		struct fetch_request rq = { .url = url(w, "http",
						"peer.test") };

		t[i] = (struct told){ .arena = w->arena };
		(void)fetch_send(w->fetch, &w->task, &rq, on_result, &t[i]);
	}
	turn_until(w->loop, &t[20].calls, 1);
	assert_int_equal(t[20].r.error, FETCH_BUSY);
	assert_int_equal(t[0].calls, 0);
	assert_int_equal(fetch_running(w->fetch), 20);
}

/* ---- what can go wrong */

static void
each_phase_has_its_deadline(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "http", "127.0.0.1"),
		.answer_timeout = 100000,
		.total_timeout = 300000 };
	struct fetch_result r;

	peer_set(w->peer, PEER_HANG);
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_TIMEOUT);
	assert_int_equal(r.phase, FETCH_ANSWER);
	assert_true(r.sent);
	/* the header in time, the body not */
	peer_set(w->peer, PEER_ANSWER);
	peer_say(w->peer,
	    STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"));
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_TIMEOUT);
	assert_int_equal(r.phase, FETCH_BODY);
	/* a slow drip ends too */
	rq.answer_timeout = 0;
	peer_set(w->peer, PEER_DRIP);
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_TIMEOUT);
	assert_int_equal(r.phase, FETCH_ANSWER);
	/* connections of those that were cut are gone */
	turn_for(w->loop, 50000);
	assert_int_equal(peer_open(w->peer), 0);
}

/* A port whose queue of connections is full answers no more. */
static void
a_connection_that_does_not_come_ends(void **state)
{
	struct world *w = *state;
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fill[8];
	struct fetch_request rq = { .connect_timeout = 100000 };
	struct fetch_result r;

	assert_int_equal(bind(listener, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sin, &len),
	    0);
	for (size_t i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)&sin, len);
	}
	rq.url = str_printf(w->arena, "http://127.0.0.1:%u/",
	    ntohs(sin.sin_port));
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_TIMEOUT);
	assert_int_equal(r.phase, FETCH_CONNECT);
	assert_false(r.sent);
	for (size_t i = 0; i < 8; i++)
		close(fill[i]);
	close(listener);
}

static void
a_closed_port_is_no_connection(void **state)
{
	struct world *w = *state;
	struct str where = url(w, "http", "127.0.0.1");
	struct fetch_result r;

	peer_free(w->peer);
	w->peer = NULL;
	r = send_it(w, &(struct fetch_request){ .url = where });
	assert_int_equal(r.error, FETCH_NO_CONNECTION);
	assert_int_equal(r.phase, FETCH_CONNECT);
	assert_false(r.sent);
}

static void
answers_are_bounded(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "http", "127.0.0.1"),
		.body_max = 4 };
	struct buf b = buf_new(w->arena, 1 << 17);

	peer_say(w->peer,
	    STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
	assert_int_equal(send_it(w, &rq).error, FETCH_TOO_LARGE);
	peer_say(w->peer,
	    STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
		"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
	assert_int_equal(send_it(w, &rq).error, FETCH_TOO_LARGE);
	rq.body_max = 5;
	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	buf_str(&b, STR("HTTP/1.1 200 OK\r\n"));
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&b, "X-%u: %0100d\r\n", i, 0);
	buf_str(&b, STR("Content-Length: 0\r\n\r\n"));
	peer_say(w->peer, buf_view(&b));
	assert_int_equal(send_it(w, &rq).error, FETCH_TOO_LARGE);
}

static void
what_is_not_http_is_broken(void **state)
{
	static const char *const bad[] = { "SSH-2.0-x\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/9 200\r\n\r\n", "" };
	static const char *const cut[] = { "HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n",
		"HTTP/1.1 200 OK\r\nX: y",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n" };
	struct world *w = *state;

	peer_set(w->peer, PEER_CUT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fetch_result r;

		peer_say(w->peer, str_from(bad[i]));
		r = get(w, "127.0.0.1");
		if (r.error != FETCH_BROKEN)
			fail_msg("\"%s\" is %s", bad[i],
			    fetch_error_name(r.error));
	}
	peer_set(w->peer, PEER_CLOSE);
	assert_int_equal(get(w, "127.0.0.1").error, FETCH_BROKEN);
	/* the end of the connection is not the end of the header */
	peer_set(w->peer, PEER_FINISH);
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct fetch_result r;

		peer_say(w->peer, str_from(cut[i]));
		r = get(w, "127.0.0.1");
		if (r.error != FETCH_BROKEN || r.phase != FETCH_ANSWER)
			fail_msg("\"%s\" is %s", cut[i],
			    fetch_error_name(r.error));
	}
}

static void
a_task_that_ends_cuts_the_connection(void **state)
{
	struct world *w = *state;
	struct told told = { .arena = w->arena };
	struct task t;
	struct fetch_call *call;

	for (unsigned turns = 0; turns < 12; turns++) {
		struct fetch_request rq = { .url = url(w, "http",
						"peer.test") };

		task_init(&t);
		peer_set(w->peer, turns % 2 == 0 ? PEER_HANG : PEER_ANSWER);
		call = fetch_send(w->fetch, &t, &rq, on_result, &told);
		assert_false(fetch_is_sent(call));
		rq.url = STR("nonsense");
		(void)fetch_send(w->fetch, &t, &rq, on_result, &told);
		for (unsigned i = 0; i < turns && told.calls == 0; i++)
			loop_turn(w->loop, LOOP_POLL);
		task_end(&t);
		told.calls = 0;
		turn_for(w->loop, 5000);
		assert_int_equal(told.calls, 0);
		assert_int_equal(fetch_running(w->fetch), 0);
	}
	turn_for(w->loop, 20000);
	assert_true(peer_open(w->peer) <= 1); /* one may be kept open */
}

static void
knows_when_a_request_may_have_arrived(void **state)
{
	struct world *w = *state;
	struct told told = { .arena = w->arena };
	struct fetch_request rq = { .url = url(w, "http", "peer.test") };
	struct fetch_call *call;

	peer_set(w->peer, PEER_HANG);
	call = fetch_send(w->fetch, &w->task, &rq, on_result, &told);
	while (peer_requests(w->peer) == 0) {
		if (peer_connections(w->peer) == 0)
			assert_false(fetch_is_sent(call));
		loop_turn(w->loop, LOOP_WAIT);
	}
	assert_true(fetch_is_sent(call));
}

/* ---- TLS, with OpenSSL on this side and BoringSSL on the other */

static void
https_is_verified(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "https", "peer.test"),
		.ca_pem = peer_ca(w->peer) };
	struct fetch_result r;

	r = send_it(w, &rq);
	if (r.error != FETCH_OK)
		fail_msg("%s", r.why);
	assert_str(r.body, "ok");
	rq.url = url(w, "https", "127.0.0.1");
	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	/* another name */
	stub_a(w->stub, "other.test", "127.0.0.1");
	rq.url = url(w, "https", "other.test");
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_NO_TLS);
	assert_int_equal(r.phase, FETCH_HANDSHAKE);
	assert_false(r.sent);
	/* a CA that the system does not know */
	rq = (struct fetch_request){ .url = url(w, "https", "peer.test") };
	r = send_it(w, &rq);
	assert_int_not_equal(r.error, FETCH_OK);
	assert_false(r.sent);
	assert_int_equal(peer_requests(w->peer), 2);
}

static void
any_certificate_will_do_if_asked(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "https", "127.0.0.1"),
		.tls = FETCH_TLS_ANY };

	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	/* but its connection is not good enough for one who verifies */
	rq.tls = FETCH_TLS_VERIFY;
	assert_int_not_equal(send_it(w, &rq).error, FETCH_OK);
	assert_int_equal(peer_requests(w->peer), 1);
}

static void
a_handshake_that_hangs_ends(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "https", "127.0.0.1"),
		.tls = FETCH_TLS_ANY,
		.connect_timeout = 100000 };
	struct fetch_result r;

	peer_set(w->peer, PEER_MUTE);
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_TIMEOUT);
	assert_int_equal(r.phase, FETCH_HANDSHAKE);
	assert_false(r.sent);
}

/* Microseconds of processor time of the longest turn since the last call. */
static int64_t
longest_turn(struct world *w)
{
	struct buf b = buf_new(w->arena, METRICS_TEXT_MAX);

	metrics_write(&b);
	return metrics_get(METRIC_loop_longest_turn_microseconds);
}

/*
 * A client that shakes hands passes over "hello request": OpenSSL does so as
 * long as they come, without returning. This is a second of its work.
 */
static void
a_flood_in_the_handshake_is_cut(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .tls = FETCH_TLS_ANY };
	struct buf b = buf_new(w->arena, 2 << 20);
	struct fetch_result r;
	int64_t usual;

	rq.url = url(w, "https", "127.0.0.1");
	(void)longest_turn(w);
	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	usual = longest_turn(w);
	while (b.len < 1 << 20)
		buf_put(&b, "\x16\x03\x03\0\x04\0\0\0\0", 9);
	peer_free(w->peer);
	w->peer = peer_new(w->loop, "127.0.0.1", PEER_HTTP);
	peer_set(w->peer, PEER_RUDE);
	peer_say(w->peer, buf_view(&b));
	rq.url = url(w, "https", "127.0.0.1");
	(void)longest_turn(w);
	r = send_it(w, &rq);
	assert_int_equal(r.error, FETCH_NO_TLS);
	assert_int_equal(r.phase, FETCH_HANDSHAKE);
	assert_true(longest_turn(w) < 50 * usual);
}

static void
a_peer_without_tls_is_told_apart(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "https", "127.0.0.1"),
		.tls = FETCH_TLS_ANY };
	struct fetch_result r;

	peer_set(w->peer, PEER_CUT);
	peer_free(w->peer);
	w->peer = peer_new(w->loop, "127.0.0.1", PEER_HTTP);
	peer_say(w->peer, STR("HTTP/1.1 400 Bad\r\n\r\n"));
	rq.url = url(w, "https", "127.0.0.1");
	rq.total_timeout = WHEN_SECOND;
	r = send_it(w, &rq);
	assert_int_equal(r.phase, FETCH_HANDSHAKE);
	assert_false(r.sent);
}

static void
cas_that_are_none_are_refused(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "https", "127.0.0.1"),
		.ca_pem = STR("no certificate at all") };
	struct fetch_result r = send_it(w, &rq);

	assert_int_not_equal(r.error, FETCH_OK);
	assert_false(r.sent);
}

/*
 * libcurl brings OpenSSL into the process; what we link is BoringSSL. Neither
 * may see the other's functions, which have the same names.
 */
static void
the_two_tls_libraries_do_not_meet(void **state)
{
	void *theirs = dlsym(RTLD_DEFAULT, "SSL_CTX_new");
	void *ours = (void *)(uintptr_t)SSL_CTX_new;
	Dl_info where = { .dli_fname = NULL };

	(void)state;
	assert_non_null(theirs);
	assert_ptr_not_equal(theirs, ours);
	assert_int_not_equal(dladdr(theirs, &where), 0);
	assert_non_null(strstr(where.dli_fname, "libssl.so.3"));
	assert_int_not_equal(dladdr(ours, &where), 0);
	assert_null(strstr(where.dli_fname, "libssl"));
}

static void
no_thread_is_started(void **state)
{
	struct world *w = *state;
	struct fetch_request rq = { .url = url(w, "https", "peer.test"),
		.ca_pem = peer_ca(w->peer) };
	DIR *d;
	unsigned n = 0;

	assert_int_equal(send_it(w, &rq).error, FETCH_OK);
	d = opendir("/proc/self/task");
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
#define TEST_TLS(f) cmocka_unit_test_setup_teardown(f, begin_tls, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gets_a_page_by_name),
		TEST(posts_a_body_with_headers),
		TEST(other_methods_and_empty_bodies),
		TEST(a_big_body_goes_and_comes_whole),
		TEST(redirects_are_told_not_followed),
		TEST(bad_requests_are_not_sent),
		TEST(the_rule_is_asked_for_names_and_literals),
		TEST(the_rule_is_asked_again_at_the_socket),
		TEST(a_name_that_changes_is_not_looked_up_twice),
		TEST(forbidden_addresses_of_a_name_are_left_out),
		TEST(what_one_may_use_another_may_not),
		TEST(tries_the_next_address),
		TEST(speaks_ipv6),
		TEST(names_that_have_no_address),
		TEST(the_environment_has_no_proxy),
		TEST(connections_are_kept_for_the_next),
		TEST(a_request_with_a_body_is_never_sent_twice),
		TEST(too_many_requests_are_refused_at_once),
		TEST(each_phase_has_its_deadline),
		TEST(a_connection_that_does_not_come_ends),
		TEST(a_closed_port_is_no_connection),
		TEST(answers_are_bounded),
		TEST(what_is_not_http_is_broken),
		TEST(a_task_that_ends_cuts_the_connection),
		TEST(knows_when_a_request_may_have_arrived),
		TEST_TLS(https_is_verified),
		TEST_TLS(any_certificate_will_do_if_asked),
		TEST_TLS(a_handshake_that_hangs_ends),
		TEST_TLS(a_flood_in_the_handshake_is_cut),
		TEST_TLS(a_peer_without_tls_is_told_apart),
		TEST_TLS(cas_that_are_none_are_refused),
		TEST(the_two_tls_libraries_do_not_meet),
		TEST_TLS(no_thread_is_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
