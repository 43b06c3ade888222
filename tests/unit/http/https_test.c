/* SPDX-License-Identifier: ISC */
/* HTTP through TLS: the same requests, and what only TLS can do. */
#include "../tls/made.h"
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "base/when.h"
#include "http/http_int.h"

enum { SHORT = 60000, ROOM = (4 << 20) + 65536 };

struct https {
	struct rig *rig;
	struct arena *arena;
	struct made ca, cert, cert2;
	struct tls_server *tls;
	SSL_CTX *ctx;
};

static void
start(struct https *h, struct http_listener_options o,
    const struct http_limits *limits, enum tls_client_auth auth)
{
	struct tls_pair pair = { .name = "main" };
	struct tls_server_options to = { .pairs = &pair, .npairs = 1 };
	const char *why = "";

	h->arena = arena_create();
	h->rig = rig_new(limits);
	h->ca = made_new(h->arena,
	    (struct made_spec){ .cn = "ca", .kind = PKI_P256, .ca = true });
	h->cert = made_new(h->arena,
	    (struct made_spec){ .cn = "one",
		.kind = PKI_P256,
		.issuer = &h->ca });
	h->cert2 = made_new(h->arena,
	    (struct made_spec){ .cn = "two",
		.kind = PKI_P256,
		.issuer = &h->ca });
	pair.cert_pem = h->cert.cert_pem;
	pair.key_pem = h->cert.key_pem;
	to.client_auth = auth;
	if (auth != TLS_CLIENT_NONE)
		to.client_ca_file = made_file(h->arena, "ca.pem",
		    h->ca.cert_pem, 0644);
	h->tls = tls_server_new(&to, h->arena, &why);
	if (h->tls == NULL)
		fail_msg("%s", why);
	o.tls = h->tls;
	rig_listen(h->rig, o);
	h->ctx = made_client(&h->ca);
}

static int
set_up(void **state)
{
	*state = calloc(1, sizeof(struct https));
	return 0;
}

static int
tear_down(void **state)
{
	struct https *h = *state;

	rig_free(h->rig);
	tls_server_free(h->tls);
	SSL_CTX_free(h->ctx);
	arena_destroy(h->arena);
	free(h);
	return 0;
}

static struct https *
simple(void **state)
{
	struct https *h = *state;

	start(h, (struct http_listener_options){ .mode = 0 }, NULL,
	    TLS_CLIENT_NONE);
	return h;
}

/* ---- a client */

struct client {
	struct https *h;
	int fd;
	SSL *ssl;
	char *p;
	size_t n;
	bool closed; /* close_notify came */
	bool broken;
};

static struct client
dial(struct https *h)
{
	struct client c = { .h = h, .fd = rig_dial(h->rig) };

	c.ssl = SSL_new(h->ctx);
	c.p = malloc(ROOM);
	SSL_set_fd(c.ssl, c.fd);
	SSL_set_connect_state(c.ssl);
	return c;
}

static void
drop(struct client *c)
{
	SSL_free(c->ssl);
	free(c->p);
	rig_hang_up(c->fd);
}

/* One try; true when it is over, one way or the other. */
static bool
shake_once(struct client *c)
{
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(c->ssl);
	if (ret == 1)
		return true;
	c->broken = SSL_get_error(c->ssl, ret) != SSL_ERROR_WANT_READ;
	return c->broken;
}

static struct client
connect_tls(struct https *h)
{
	struct client c = dial(h);

	rig_until(h->rig, shake_once(&c));
	assert_false(c.broken);
	return c;
}

static void
tell(struct client *c, const char *text)
{
	int n = (int)strlen(text);

	rig_until(c->h->rig,
	    (ERR_clear_error(), SSL_write(c->ssl, text, n) == n));
}

static void
take(struct client *c)
{
	int ret = 1;

	while (!c->closed && !c->broken && ret > 0) {
		ERR_clear_error();
		ret = SSL_read(c->ssl, c->p + c->n, (int)(ROOM - c->n));
		if (ret > 0)
			c->n += (size_t)ret;
		else if (SSL_get_error(c->ssl, ret) == SSL_ERROR_ZERO_RETURN)
			c->closed = true;
		else if (SSL_get_error(c->ssl, ret) != SSL_ERROR_WANT_READ)
			c->broken = true;
	}
}

static bool
take_body(struct client *c, struct str *body)
{
	char *end, *length;
	size_t head, n;

	take(c);
	assert_false(c->broken);
	end = memmem(c->p, c->n, "\r\n\r\n", 4);
	if (end == NULL)
		return false;
	length = memmem(c->p, c->n, "Content-Length: ", 16);
	n = (size_t)atol(length + 16);
	head = (size_t)(end - c->p) + 4;
	if (c->n < head + n)
		return false;
	*body = str_dup(c->h->arena, str_make(c->p + head, n));
	c->n -= head + n;
	memmove(c->p, c->p + head + n, c->n);
	return true;
}

static struct str
hear(struct client *c)
{
	struct str body = STR_NONE;

	rig_until(c->h->rig, take_body(c, &body));
	return body;
}

static void
expect_goodbye(struct client *c)
{
	rig_until(c->h->rig, (take(c), c->closed || c->broken));
	assert_true(c->closed);
	assert_int_equal(c->n, 0);
}

#define GET "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
#define WAIT "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"

/* ---- requests */

static void
requests_go_through_and_the_connection_stays(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);
	const struct http_conn *conn;

	for (int i = 0; i < 3; i++) {
		tell(&c, GET);
		assert_str(hear(&c), "/echo?||127.0.0.1|");
	}
	conn = TAILQ_FIRST(&h->rig->server->phases[PHASE_IDLE]);
	assert_null(conn->kept);
	assert_false(tls_conn_pending(conn->tls));
	drop(&c);
	rig_until(h->rig, http_server_connections(h->rig->server) == 0);
}

static void
the_reply_is_one_record(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);
	int pending;

	tell(&c, GET);
	rig_until(h->rig, SSL_peek(c.ssl, c.p, 1) == 1);
	pending = SSL_pending(c.ssl);
	assert_int_equal(SSL_read(c.ssl, c.p, ROOM), pending);
	assert_non_null(memmem(c.p, 1000, "/echo?||127.0.0.1|", 18));
	drop(&c);
}

static void
pipelined_records_are_answered_in_order(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);

	for (int i = 0; i < 50; i++) {
		char text[80];

		snprintf(text, sizeof(text),
		    "GET /echo?%d HTTP/1.1\r\nHost: x\r\n\r\n", i);
		if (i == 25)
			tell(&c, WAIT);
		tell(&c, text);
	}
	for (int i = 0; i < 50; i++) {
		char want[80];

		if (i == 25) {
			rig_until(h->rig, h->rig->waiting != NULL);
			assert_null(strstr(h->rig->ran, "wait 1 "));
			rig_finish(h->rig);
			assert_str(hear(&c), "waited");
		}
		snprintf(want, sizeof(want), "/echo?%d||127.0.0.1|", i);
		assert_str(hear(&c), want);
	}
	drop(&c);
}

static void
a_header_in_many_records_is_one_header(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);
	char one[2] = "";

	for (const char *p = GET; *p != '\0'; p++) {
		one[0] = *p;
		tell(&c, one);
	}
	assert_str(hear(&c), "/echo?||127.0.0.1|");
	drop(&c);
}

static void
a_large_reply_arrives_whole_and_is_closed_properly(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);
	struct str body;

	tell(&c, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	body = hear(&c);
	assert_int_equal(body.n, 4 << 20);
	for (size_t i = 0; i < body.n; i++)
		if (body.p[i] != (char)('a' + i % 26))
			fail_msg("byte %zu is wrong", i);
	expect_goodbye(&c);
	drop(&c);
	rig_until(h->rig, http_server_connections(h->rig->server) == 0);
}

static void
a_bad_request_is_answered_through_tls_too(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);
	struct str body;

	tell(&c, "GET /echo HTTP/1.1\r\n\r\n" GET);
	body = hear(&c);
	assert_non_null(memmem(body.p, body.n, "has no Host", 11));
	expect_goodbye(&c);
	assert_string_equal(h->rig->ran, "");
	drop(&c);
}

static void
a_goodbye_while_the_handler_works_is_no_reset(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);

	tell(&c, WAIT);
	rig_until(h->rig, h->rig->waiting != NULL);
	SSL_shutdown(c.ssl);
	shutdown(c.fd, SHUT_WR);
	rig_expect_silence(h->rig, c.fd);
	assert_int_equal(h->rig->detached, 0);
	rig_finish(h->rig);
	assert_str(hear(&c), "waited");
	expect_goodbye(&c);
	drop(&c);
}

static void
a_reset_ends_the_task(void **state)
{
	struct https *h = simple(state);
	struct client c = connect_tls(h);

	tell(&c, WAIT);
	rig_until(h->rig, h->rig->waiting != NULL);
	rig_reset(c.fd);
	rig_until(h->rig, h->rig->detached == 1);
	SSL_free(c.ssl);
	free(c.p);
}

static void
resets_anywhere_leave_nothing_behind(void **state)
{
	struct https *h = simple(state);

	for (int i = 0; i < 100; i++) {
		struct client c = dial(h);

		/* i turns into the handshake, or into a large reply */
		if (i >= 50) {
			rig_until(h->rig, shake_once(&c));
			tell(&c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
		}
		for (int j = 0; j < i % 50; j++) {
			if (i < 50)
				(void)shake_once(&c);
			loop_turn(h->rig->loop, LOOP_POLL);
		}
		rig_reset(c.fd);
		SSL_free(c.ssl);
		free(c.p);
	}
	rig_until(h->rig, http_server_connections(h->rig->server) == 0);
}

static void
a_reset_right_behind_the_bytes_is_seen(void **state)
{
	const struct http_limits limits = { .header_timeout = WHEN_MINUTE,
		.body_timeout = WHEN_MINUTE };
	struct https *h = *state;

	start(h, (struct http_listener_options){ .mode = 0 }, &limits,
	    TLS_CLIENT_NONE);
	for (int i = 0; i < 6; i++) {
		struct client c = i == 0 ? dial(h) : connect_tls(h);

		rig_until(h->rig, http_server_connections(h->rig->server) == 1);
		if (i == 0)
			(void)shake_once(&c); /* a hello */
		else if (i % 2 == 0)
			tell(&c,
			    "POST /echo HTTP/1.1\r\nHost: x\r\n"
			    "Content-Length: 5\r\n\r\nhe");
		else
			tell(&c, WAIT);
		rig_reset(c.fd);
		SSL_free(c.ssl);
		free(c.p);
		rig_until(h->rig, http_server_connections(h->rig->server) == 0);
	}
	assert_null(h->rig->waiting);
}

/* ---- handshakes */

static void
client_certificates_reach_the_handler(void **state)
{
	struct https *h = *state;
	struct client c;
	char want[16];

	start(h, (struct http_listener_options){ .mode = 0 }, NULL,
	    TLS_CLIENT_ASK);
	c = connect_tls(h);
	tell(&c, "GET /cert HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_str(hear(&c), "0");
	drop(&c);
	SSL_CTX_use_certificate(h->ctx, h->cert2.cert);
	SSL_CTX_use_PrivateKey(h->ctx, h->cert2.key);
	c = connect_tls(h);
	snprintf(want, sizeof(want), "%d", i2d_X509(h->cert2.cert, NULL));
	for (int i = 0; i < 2; i++) {
		tell(&c, "GET /cert HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_str(hear(&c), want);
	}
	drop(&c);
}

static void
a_proxy_header_comes_before_the_handshake(void **state)
{
	static const char header[] = "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n";
	struct https *h = *state;
	struct client c;

	start(h, (struct http_listener_options){ .proxy = true }, NULL,
	    TLS_CLIENT_NONE);
	for (int together = 0; together <= 1; together++) {
		c = dial(h);
		rig_say(h->rig, c.fd, str_from(header));
		if (!together) /* else the hello is right behind it */
			rig_expect_silence(h->rig, c.fd);
		rig_until(h->rig, shake_once(&c));
		assert_false(c.broken);
		tell(&c, GET);
		assert_str(hear(&c), "/echo?||1.2.3.4|");
		drop(&c);
	}
	c = dial(h); /* forgot it */
	rig_until(h->rig, shake_once(&c));
	assert_true(c.broken);
	drop(&c);
}

static void
what_is_no_handshake_is_counted_and_closed(void **state)
{
	static const struct str garbage[] = {
		{ GET, sizeof(GET) - 1 },
		{ "\026\003\001\000\005hello", 10 },
		{ "\026\003\001\000\005\001\000\000\001x", 10 },
		{ "\000\001\002\003\004\005\006\007", 8 },
	};
	struct https *h = simple(state);
	int64_t before = metrics_get(METRIC_tls_handshake_failures);

	for (size_t i = 0; i < 4; i++) {
		int fd = rig_dial(h->rig);

		rig_say(h->rig, fd, garbage[i]);
		rig_until(h->rig,
		    metrics_get(METRIC_tls_handshake_failures) ==
			before + 1 + (int64_t)i);
		rig_hang_up(fd);
	}
	rig_until(h->rig, http_server_connections(h->rig->server) == 0);
	assert_string_equal(h->rig->ran, "");
}

static void
a_handshake_that_takes_too_long_is_closed(void **state)
{
	const struct http_limits limits = { .header_timeout = SHORT };
	struct https *h = *state;
	struct client silent, half;

	start(h, (struct http_listener_options){ .mode = 0 }, &limits,
	    TLS_CLIENT_NONE);
	silent = dial(h);
	half = dial(h);
	(void)shake_once(&half); /* hello, and then nothing */
	rig_until(h->rig, http_server_connections(h->rig->server) == 2);
	rig_until(h->rig, http_server_connections(h->rig->server) == 0);
	drop(&silent);
	drop(&half);
}

static void
open_connections_live_through_a_swap(void **state)
{
	struct https *h = simple(state);
	struct client old = connect_tls(h), half = dial(h), fresh;
	const char *why;
	X509 *x;

	(void)shake_once(&half);
	loop_turn(h->rig->loop, LOOP_POLL);
	tell(&old, GET);
	assert_str(hear(&old), "/echo?||127.0.0.1|");
	tell(&old, WAIT);
	rig_until(h->rig, h->rig->waiting != NULL);
	assert_true(tls_server_set_pair(h->tls, "main", h->cert2.cert_pem,
	    h->cert2.key_pem, h->arena, &why));
	rig_finish(h->rig);
	assert_str(hear(&old), "waited");
	tell(&old, GET);
	assert_str(hear(&old), "/echo?||127.0.0.1|");
	rig_until(h->rig, shake_once(&half));
	assert_false(half.broken);
	fresh = connect_tls(h);
	x = SSL_get_peer_certificate(fresh.ssl);
	assert_int_equal(X509_cmp(x, h->cert2.cert), 0);
	X509_free(x);
	drop(&old);
	drop(&half);
	drop(&fresh);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_go_through_and_the_connection_stays),
		TEST(the_reply_is_one_record),
		TEST(pipelined_records_are_answered_in_order),
		TEST(a_header_in_many_records_is_one_header),
		TEST(a_large_reply_arrives_whole_and_is_closed_properly),
		TEST(a_bad_request_is_answered_through_tls_too),
		TEST(a_goodbye_while_the_handler_works_is_no_reset),
		TEST(a_reset_ends_the_task),
		TEST(resets_anywhere_leave_nothing_behind),
		TEST(a_reset_right_behind_the_bytes_is_seen),
		TEST(client_certificates_reach_the_handler),
		TEST(a_proxy_header_comes_before_the_handshake),
		TEST(what_is_no_handshake_is_counted_and_closed),
		TEST(a_handshake_that_takes_too_long_is_closed),
		TEST(open_connections_live_through_a_swap),
	};

	return cmocka_run_group_tests_name("http/https", tests, NULL, NULL);
}
