/* SPDX-License-Identifier: ISC */
/* The TLS server against BoringSSL clients, over a socket pair. */
#include "made.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/when.h"
#include "loop/loop.h"
#include "tls/tls_int.h"

struct rig {
	struct arena *arena;
	struct loop *loop;
	struct made ca, one, two, wild;
	struct tls_pair pairs[3];
};

static const char *const one_names[] = { "one.test", "ONE.example", NULL };
static const char *const two_names[] = { "two.test", NULL };
static const char *const wild_names[] = { "*.wild.test", "one.test", NULL };

static int
set_up(void **state)
{
	struct arena *a = arena_create();
	struct rig *r = arena_new(a, struct rig);

	*state = r;
	r->arena = a;
	r->loop = loop_new();
	r->ca = made_new(a,
	    (struct made_spec){ .cn = "ca", .kind = PKI_P256, .ca = true });
	r->one = made_new(a,
	    (struct made_spec){ .cn = "one",
		.kind = PKI_P256,
		.issuer = &r->ca,
		.dns = one_names });
	r->two = made_new(a,
	    (struct made_spec){ .cn = "two",
		.kind = PKI_P384,
		.issuer = &r->ca,
		.dns = two_names });
	r->wild = made_new(a,
	    (struct made_spec){ .cn = "wild",
		.kind = PKI_ED25519,
		.issuer = &r->ca,
		.dns = wild_names });
	r->pairs[0] = (struct tls_pair){ .name = "one",
		.cert_pem = r->one.cert_pem,
		.key_pem = r->one.key_pem };
	r->pairs[1] = (struct tls_pair){ .name = "two",
		.cert_pem = r->two.cert_pem,
		.key_pem = r->two.key_pem };
	r->pairs[2] = (struct tls_pair){ .name = "wild",
		.cert_pem = r->wild.cert_pem,
		.key_pem = r->wild.key_pem };
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	loop_free(r->loop);
	arena_destroy(r->arena);
	return 0;
}

static struct tls_server *
serve(struct rig *r, struct tls_server_options o)
{
	const char *why = NULL;
	struct tls_server *s;

	if (o.pairs == NULL) {
		o.pairs = r->pairs;
		o.npairs = 3;
	}
	s = tls_server_new(&o, r->arena, &why);
	if (s == NULL)
		fail_msg("%s", why);
	return s;
}

/* ---- two ends */

struct ends {
	struct rig *rig;
	struct sock sock;
	struct tls_conn *server;
	SSL *client;
	int fd;
	enum tls_result result; /* of the server's handshake */
	int ret;                /* of the client's */
	uint32_t alert;         /* reason of the client's failure */
};

static void
ready(void *arg)
{
	(void)arg;
}

static void
open_ends(struct ends *e, struct rig *r, struct tls_server *s, SSL_CTX *ctx,
    const char *name)
{
	int fds[2];

	*e = (struct ends){ .rig = r };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
			     fds),
	    0);
	e->fd = fds[1];
	e->client = SSL_new(ctx);
	SSL_set_fd(e->client, fds[1]);
	if (name != NULL)
		SSL_set_tlsext_host_name(e->client, name);
	SSL_set_connect_state(e->client);
	assert_true(sock_start(&e->sock, r->loop, fds[0], ready, NULL));
	e->server = tls_conn_new(s, &e->sock, STR_NONE);
}

static void
close_ends(struct ends *e)
{
	tls_conn_free(e->server);
	sock_close(&e->sock);
	SSL_free(e->client);
	if (e->fd >= 0)
		close(e->fd);
}

static bool
is_waiting(enum tls_result r)
{
	return r == TLS_WANT_READ || r == TLS_WANT_WRITE;
}

/* Both sides to the end, good or bad. */
static bool
shake(struct ends *e)
{
	bool client_waits = true;

	e->result = TLS_WANT_READ;
	for (int i = 0; i < 1000; i++) {
		loop_turn(e->rig->loop, LOOP_POLL);
		if (is_waiting(e->result))
			e->result = tls_conn_handshake(e->server);
		if (client_waits) {
			ERR_clear_error();
			e->ret = SSL_do_handshake(e->client);
			client_waits = e->ret != 1 &&
			    SSL_get_error(e->client, e->ret) ==
				SSL_ERROR_WANT_READ;
			if (!client_waits && e->ret != 1)
				e->alert = ERR_GET_REASON(ERR_peek_error());
		}
		if (!is_waiting(e->result) && !client_waits)
			break;
	}
	return e->result == TLS_OK && e->ret == 1;
}

static enum tls_result
read_server(struct ends *e, char *out, size_t size, size_t *n)
{
	enum tls_result res = TLS_WANT_READ;

	for (int i = 0; i < 1000 && is_waiting(res); i++) {
		loop_turn(e->rig->loop, LOOP_POLL);
		res = tls_conn_read(e->server, out, size, n);
	}
	return res;
}

/* One byte each way; the client so gets its ticket. */
static void
talk(struct ends *e)
{
	char c = 0;
	size_t n;

	assert_int_equal(SSL_write(e->client, "x", 1), 1);
	assert_int_equal(read_server(e, &c, 1, &n), TLS_OK);
	assert_int_equal(c, 'x');
	assert_int_equal(tls_conn_write(e->server, "y", 1, &n), TLS_OK);
	assert_int_equal(SSL_read(e->client, &c, 1), 1);
	assert_int_equal(c, 'y');
}

/* Common name of the certificate that a client with this name gets. */
static void
expect_cert(struct rig *r, struct tls_server *s, const char *name,
    const char *cn)
{
	SSL_CTX *ctx = made_client(&r->ca);
	struct ends e;
	char text[64] = "";
	X509 *x;

	open_ends(&e, r, s, ctx, name);
	assert_true(shake(&e));
	x = SSL_get_peer_certificate(e.client);
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName,
	    text, sizeof(text));
	assert_string_equal(text, cn);
	X509_free(x);
	talk(&e);
	close_ends(&e);
	SSL_CTX_free(ctx);
}

/* ---- which certificate, which protocol */

static void
the_name_asked_for_chooses_the_certificate(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });

	expect_cert(r, s, "one.test", "one"); /* the first that has it */
	expect_cert(r, s, "One.Test", "one");
	expect_cert(r, s, "one.example", "one");
	expect_cert(r, s, "two.test", "two");
	expect_cert(r, s, "a.wild.test", "wild");
	expect_cert(r, s, "A.WILD.test", "wild");
	expect_cert(r, s, "a.b.wild.test", "one"); /* one label only */
	expect_cert(r, s, "wild.test", "one");
	expect_cert(r, s, "unknown.test", "one");
	expect_cert(r, s, NULL, "one");
	tls_server_free(s);
}

static void
an_offer_without_our_protocol_is_refused(void **state)
{
	static const struct {
		const char *wire;
		const char *chosen; /* NULL: no handshake */
	} offers[] = {
		{ "\010http/1.1", "http/1.1" },
		{ "\002h2\010http/1.1", "http/1.1" },
		{ "\002h2", NULL },
		{ "\010http/1.0\012acme-tls/1", NULL },
	};
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(NULL);
	struct ends e;

	for (size_t i = 0; i < 4; i++) {
		open_ends(&e, r, s, ctx, NULL);
		SSL_set_alpn_protos(e.client, (const uint8_t *)offers[i].wire,
		    (unsigned)strlen(offers[i].wire));
		assert_int_equal(shake(&e), offers[i].chosen != NULL);
		if (offers[i].chosen != NULL)
			assert_str(tls_conn_alpn(e.server), offers[i].chosen);
		else
			assert_int_equal(e.alert,
			    SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
		close_ends(&e);
	}
	open_ends(&e, r, s, ctx, NULL); /* says nothing of it */
	assert_true(shake(&e));
	assert_null(tls_conn_alpn(e.server).p);
	close_ends(&e);
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
our_order_of_protocols_decides(void **state)
{
	static const char *const ours[] = { "b", "http/1.1", "a", NULL };
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .alpn = ours });
	SSL_CTX *ctx = made_client(NULL);
	struct ends e;

	open_ends(&e, r, s, ctx, NULL);
	SSL_set_alpn_protos(e.client, (const uint8_t *)"\001a\001b\001c", 6);
	assert_true(shake(&e));
	assert_str(tls_conn_alpn(e.server), "b");
	close_ends(&e);
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

/* ---- versions */

static void
tls_1_2_and_1_3_are_spoken_and_1_1_is_not(void **state)
{
	static const struct {
		uint16_t version;
		const char *name;
	} versions[] = {
		{ TLS1_1_VERSION, NULL },
		{ TLS1_2_VERSION, "TLSv1.2" },
		{ TLS1_3_VERSION, "TLSv1.3" },
	};
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	struct ends e;

	for (size_t i = 0; i < 3; i++) {
		SSL_CTX *ctx = made_client(NULL);

		SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(ctx, versions[i].version);
		open_ends(&e, r, s, ctx, "one.test");
		assert_int_equal(shake(&e), versions[i].name != NULL);
		if (versions[i].name != NULL) {
			assert_string_equal(tls_conn_version(e.server),
			    versions[i].name);
			assert_string_equal(tls_conn_server_name(e.server),
			    "one.test");
			talk(&e);
		} else {
			assert_int_equal(e.alert,
			    SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
			assert_string_equal(tls_conn_error(e.server),
			    "UNSUPPORTED_PROTOCOL");
		}
		close_ends(&e);
		SSL_CTX_free(ctx);
	}
	tls_server_free(s);
}

static void
a_cipher_without_forward_secrecy_is_refused(void **state)
{
	struct rig *r = *state;
	struct made rsa = made_new(r->arena,
	    (struct made_spec){ .cn = "rsa",
		.kind = PKI_RSA,
		.issuer = &r->ca });
	const struct tls_pair pair = { .name = "rsa",
		.cert_pem = rsa.cert_pem,
		.key_pem = rsa.key_pem };
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = &pair, .npairs = 1 });
	static const char *const lists[] = { "AES128-GCM-SHA256",
		"ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256" };
	struct ends e;

	for (size_t i = 0; i < 3; i++) {
		SSL_CTX *ctx = made_client(&r->ca);

		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
		assert_true(SSL_CTX_set_strict_cipher_list(ctx, lists[i]));
		open_ends(&e, r, s, ctx, NULL);
		assert_int_equal(shake(&e), i == 2);
		close_ends(&e);
		SSL_CTX_free(ctx);
	}
	tls_server_free(s);
}

/* ---- client certificates */

static struct tls_server *
serve_clients(struct rig *r, enum tls_client_auth auth, struct str ca_pem)
{
	return serve(r,
	    (struct tls_server_options){ .client_auth = auth,
		.client_ca_file = made_file(r->arena, "clients.pem", ca_pem,
		    0644) });
}

static bool
try_client(struct rig *r, struct tls_server *s, const struct made *client,
    uint16_t version, size_t *cert_len, uint32_t *alert)
{
	SSL_CTX *ctx = made_client(&r->ca);
	struct ends e;
	char c;
	bool ok;

	SSL_CTX_set_max_proto_version(ctx, version);
	if (client != NULL) {
		SSL_CTX_use_certificate(ctx, client->cert);
		SSL_CTX_use_PrivateKey(ctx, client->key);
	}
	open_ends(&e, r, s, ctx, NULL);
	ok = shake(&e);
	*cert_len = ok ? tls_conn_client_cert(e.server, r->arena).n : SIZE_MAX;
	*alert = e.alert;
	if (!ok && e.ret == 1) { /* TLS 1.3 tells the client later */
		assert_true(SSL_read(e.client, &c, 1) <= 0);
		*alert = ERR_GET_REASON(ERR_peek_error());
	}
	close_ends(&e);
	SSL_CTX_free(ctx);
	return ok;
}

static void
client_certificates_are_asked_for_or_required(void **state)
{
	struct rig *r = *state;
	struct made other_ca = made_new(r->arena,
	    (struct made_spec){ .cn = "other", .kind = PKI_P256, .ca = true });
	struct made good = made_new(r->arena,
	    (struct made_spec){ .cn = "good",
		.kind = PKI_P256,
		.issuer = &r->ca });
	struct made bad = made_new(r->arena,
	    (struct made_spec){ .cn = "bad",
		.kind = PKI_P256,
		.issuer = &other_ca });
	struct made old = made_new(r->arena,
	    (struct made_spec){ .cn = "old",
		.kind = PKI_P256,
		.issuer = &r->ca,
		.days = -1 });
	struct tls_server *ask = serve_clients(r, TLS_CLIENT_ASK,
	    r->ca.cert_pem);
	struct tls_server *require = serve_clients(r, TLS_CLIENT_REQUIRE,
	    r->ca.cert_pem);
	struct tls_server *none = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	size_t n;
	uint32_t alert;

	for (uint16_t v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		assert_true(try_client(r, none, &bad, v, &n, &alert));
		assert_int_equal(n, 0);
		assert_true(try_client(r, ask, NULL, v, &n, &alert));
		assert_int_equal(n, 0);
		assert_true(try_client(r, ask, &good, v, &n, &alert));
		assert_int_equal(n, i2d_X509(good.cert, NULL));
		assert_false(try_client(r, ask, &bad, v, &n, &alert));
		assert_int_equal(alert, SSL_R_TLSV1_ALERT_UNKNOWN_CA);
		assert_false(try_client(r, ask, &old, v, &n, &alert));
		assert_int_equal(alert, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED);
		assert_false(try_client(r, require, NULL, v, &n, &alert));
		assert_true(alert == SSL_R_TLSV1_ALERT_CERTIFICATE_REQUIRED ||
		    alert == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
		assert_true(try_client(r, require, &good, v, &n, &alert));
		assert_false(try_client(r, require, &bad, v, &n, &alert));
	}
	tls_server_free(ask);
	tls_server_free(require);
	tls_server_free(none);
}

/* ---- tickets */

static SSL_SESSION *last_session;

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(last_session);
	last_session = session;
	return 1;
}

/* Was the session resumed? Leaves a new ticket in last_session. */
static bool
resume(struct rig *r, struct tls_server *s, SSL_CTX *ctx)
{
	SSL_SESSION *session = last_session;
	struct ends e;
	bool resumed;

	last_session = NULL;
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	open_ends(&e, r, s, ctx, "one.test");
	if (session != NULL)
		SSL_set_session(e.client, session);
	assert_true(shake(&e));
	talk(&e);
	resumed = tls_conn_resumed(e.server);
	assert_int_equal(resumed, SSL_session_reused(e.client));
	close_ends(&e);
	if (last_session == NULL) /* TLS 1.2 may keep the old ticket */
		last_session = session;
	else
		SSL_SESSION_free(session);
	assert_non_null(last_session);
	return resumed;
}

static void
forget_session(void)
{
	SSL_SESSION_free(last_session);
	last_session = NULL;
}

static void
sessions_resume_until_their_key_is_gone(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });

	for (uint16_t v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_CTX *ctx = made_client(&r->ca);

		SSL_CTX_set_max_proto_version(ctx, v);
		assert_false(resume(r, s, ctx));
		assert_true(resume(r, s, ctx));
		tickets_age(s->state->tickets, TICKET_ROTATE + 1);
		assert_true(resume(r, s, ctx)); /* the key before */
		if (v == TLS1_2_VERSION)
			forget_session(); /* that ticket is the old one */
		(void)resume(r, s, ctx);
		tickets_age(s->state->tickets, 2 * TICKET_ROTATE + 1);
		assert_false(resume(r, s, ctx));
		forget_session();
		SSL_CTX_free(ctx);
	}
	tls_server_free(s);
}

static void
a_forged_ticket_means_a_full_handshake(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	struct tls_server *twin = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(&r->ca);

	assert_false(resume(r, s, ctx));
	assert_false(resume(r, twin, ctx)); /* sealed under another key */
	forget_session();
	SSL_CTX_free(ctx);
	tls_server_free(s);
	tls_server_free(twin);
}

/* ---- reload */

static void
reload(struct rig *r, struct tls_server *s, const struct tls_server_options *o)
{
	const char *why;
	struct tls_state *staged = tls_server_stage(s, o, r->arena, &why);

	assert_non_null(staged);
	tls_server_swap(s, staged);
}

static void
a_reload_swaps_certificates_and_keeps_tickets(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = r->pairs, .npairs = 1 });
	struct tls_server_options next = { .pairs = r->pairs + 1, .npairs = 1 };
	SSL_CTX *ctx = made_client(&r->ca);
	struct ends open, half;

	open_ends(&open, r, s, ctx, NULL);
	assert_true(shake(&open));
	open_ends(&half, r, s, ctx, NULL); /* began before, ends after */
	assert_int_equal(tls_conn_handshake(half.server), TLS_WANT_READ);
	assert_false(resume(r, s, ctx));

	reload(r, s, &next);
	expect_cert(r, s, "one.test", "two");
	assert_true(resume(r, s, ctx));
	talk(&open);
	assert_true(shake(&half));
	talk(&half);
	close_ends(&open);
	close_ends(&half);
	forget_session();
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
a_failed_reload_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = r->pairs, .npairs = 1 });
	struct tls_pair bad[2] = { r->pairs[1], r->pairs[2] };
	struct tls_server_options next = { .pairs = bad, .npairs = 2 };
	const char *why = NULL;

	bad[1].key_pem = r->one.key_pem;
	assert_null(tls_server_stage(s, &next, r->arena, &why));
	assert_string_equal(why,
	    "certificate \"wild\": its first certificate does not belong to "
	    "the key");
	expect_cert(r, s, NULL, "one");
	tls_server_free(s);
}

static void
a_session_does_not_outlive_the_rules_for_clients(void **state)
{
	struct rig *r = *state;
	struct made ca2 = made_new(r->arena,
	    (struct made_spec){ .cn = "ca2", .kind = PKI_P256, .ca = true });
	struct made client = made_new(r->arena,
	    (struct made_spec){ .cn = "c",
		.kind = PKI_P256,
		.issuer = &r->ca });
	struct tls_server *s = serve_clients(r, TLS_CLIENT_ASK, r->ca.cert_pem);
	struct tls_server_options o = { .pairs = r->pairs,
		.npairs = 3,
		.client_auth = TLS_CLIENT_ASK,
		.client_ca_file = made_file(r->arena, "ca2.pem", ca2.cert_pem,
		    0644) };
	SSL_CTX *ctx = made_client(&r->ca);
	struct ends e;

	SSL_CTX_use_certificate(ctx, client.cert);
	SSL_CTX_use_PrivateKey(ctx, client.key);
	assert_false(resume(r, s, ctx));
	assert_true(resume(r, s, ctx));
	reload(r, s, &o);
	open_ends(&e, r, s, ctx, NULL);
	SSL_set_session(e.client, last_session);
	assert_false(shake(&e)); /* ca is nobody any more */
	close_ends(&e);
	forget_session();
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
several_servers_change_all_or_none(void **state)
{
	struct rig *r = *state;
	struct tls_server_options one = { .pairs = r->pairs, .npairs = 1 };
	struct tls_server_options two = { .pairs = r->pairs + 1, .npairs = 1 };
	struct tls_server *a = serve(r, one), *b = serve(r, one);
	struct tls_state *sa, *sb;
	const char *why;

	sa = tls_server_stage(a, &two, r->arena, &why);
	expect_cert(r, a, NULL, "one"); /* not yet */
	tls_server_discard(sa);
	expect_cert(r, a, NULL, "one");
	sa = tls_server_stage(a, &two, r->arena, &why);
	sb = tls_server_stage(b, &two, r->arena, &why);
	tls_server_swap(a, sa);
	tls_server_swap(b, sb);
	expect_cert(r, a, NULL, "two");
	expect_cert(r, b, NULL, "two");
	tls_server_free(a);
	tls_server_free(b);
}

/* ---- pairs set while running */

static void
a_place_is_filled_and_survives_a_reload(void **state)
{
	static const struct tls_pair places[] = { { .name = "loop" },
		{ .name = "self" } };
	struct rig *r = *state;
	struct tls_server_options o = { .pairs = places, .npairs = 2 };
	struct tls_server *s = serve(r, o);
	SSL_CTX *ctx = made_client(NULL);
	const char *why = NULL;
	struct ends e;

	open_ends(&e, r, s, ctx, NULL); /* there is no certificate at all */
	assert_false(shake(&e));
	close_ends(&e);
	assert_int_equal(tls_server_expires(s, "self"), INT64_MAX);

	assert_true(tls_server_set_pair(s, "self", r->two.cert_pem,
	    r->two.key_pem, r->arena, &why));
	expect_cert(r, s, NULL, "two");
	assert_true(tls_server_set_pair(s, "loop", r->one.cert_pem,
	    r->one.key_pem, r->arena, &why));
	expect_cert(r, s, NULL, "one"); /* the first place */
	expect_cert(r, s, "two.test", "two");
	reload(r, s, &o);
	expect_cert(r, s, NULL, "one");
	expect_cert(r, s, "two.test", "two");
	assert_true(tls_server_set_pair(s, "new", r->wild.cert_pem,
	    r->wild.key_pem, r->arena, &why));
	expect_cert(r, s, "a.wild.test", "wild");

	assert_false(tls_server_set_pair(s, "self", r->two.cert_pem,
	    r->one.key_pem, r->arena, &why));
	assert_false(tls_server_set_pair(s, "self", STR("rubbish"),
	    r->one.key_pem, r->arena, &why));
	assert_false(tls_server_set_pair(s, "self", r->two.cert_pem, STR_NONE,
	    r->arena, &why));
	assert_false(tls_server_set_pair(s, "self", STR_NONE, r->one.key_pem,
	    r->arena, &why));
	expect_cert(r, s, "two.test", "two");
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
the_end_of_validity_is_known(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	int64_t end = tls_server_expires(s, "one");

	assert_true(llabs(end - when_now() - 30 * WHEN_DAY) < WHEN_MINUTE);
	assert_int_equal(tls_server_expires(s, "nobody"), INT64_MAX);
	tls_server_free(s);
}

/* ---- files */

static void
expect_refusal(struct rig *r, struct tls_server_options o, const char *part)
{
	const char *why = NULL;

	assert_null(tls_server_new(&o, r->arena, &why));
	assert_non_null(why);
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void
files_are_read_and_bad_ones_are_named(void **state)
{
	struct rig *r = *state;
	struct arena *a = r->arena;
	const char *cert = made_file(a, "cert.pem", r->one.cert_pem, 0644);
	const char *key = made_file(a, "key.pem", r->one.key_pem, 0600);
	const char *open_key = made_file(a, "open.pem", r->one.key_pem, 0640);
	const char *junk = made_file(a, "junk.pem", STR("junk\n"), 0600);
	struct tls_pair good = { .cert_file = cert, .key_file = key };
	struct tls_pair pair;
	struct tls_server_options o = { .pairs = &pair, .npairs = 1 };
	struct tls_server *s;

	pair = good;
	s = serve(r, o);
	expect_cert(r, s, NULL, "one");
	assert_true(tls_server_expires(s, cert) < INT64_MAX);
	tls_server_free(s);

	pair.key_file = open_key;
	expect_refusal(r, o, open_key);
	expect_refusal(r, o, "640");
	pair.key_file = junk;
	expect_refusal(r, o, junk);
	pair.key_file = "nowhere/key.pem";
	expect_refusal(r, o, "nowhere/key.pem");
	pair.key_file = NULL;
	expect_refusal(r, o, "key");
	pair = good;
	pair.cert_file = junk;
	expect_refusal(r, o, junk);
	pair.cert_file = "nowhere/cert.pem";
	expect_refusal(r, o, "nowhere/cert.pem");
	pair = (struct tls_pair){ .key_file = key };
	expect_refusal(r, o, "certificate");
	pair = good;
	o.client_auth = TLS_CLIENT_ASK;
	expect_refusal(r, o, "CA certificates");
	o.client_ca_file = junk;
	expect_refusal(r, o, junk);
	o.client_ca_file = "nowhere/ca.pem";
	expect_refusal(r, o, "nowhere/ca.pem");
}

/* ---- bytes */

static void
garbage_is_an_error_and_no_more(void **state)
{
	static const struct str garbage[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\026\003\001\000\005hello", 10 },
		{ "\026\003\001\377\377", 5 },
		{ "\025\003\001\000\002\002\050", 7 },
		{ "\000\000\000\000\000\000\000\000", 8 },
	};
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(NULL);

	for (size_t i = 0; i < 5; i++) {
		enum tls_result res = TLS_WANT_READ;
		struct ends e;

		open_ends(&e, r, s, ctx, NULL);
		assert_int_equal(write(e.fd, garbage[i].p, garbage[i].n),
		    garbage[i].n);
		shutdown(e.fd, SHUT_WR);
		for (int j = 0; j < 100 && is_waiting(res); j++) {
			loop_turn(r->loop, LOOP_POLL);
			res = tls_conn_handshake(e.server);
		}
		assert_true(res == TLS_ERROR || res == TLS_EOF);
		assert_non_null(tls_conn_error(e.server));
		close_ends(&e);
	}
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

/* The hello is taken off the socket until at, and told as early bytes. */
static void
expect_early(struct rig *r, struct tls_server *s, SSL_CTX *ctx, size_t at)
{
	char hello[4096];
	struct ends e;
	ssize_t n;

	open_ends(&e, r, s, ctx, NULL);
	assert_true(SSL_do_handshake(e.client) < 0);
	n = recv(e.sock.fd, hello, at, 0);
	assert_true(n > 0);
	tls_conn_free(e.server);
	loop_turn(r->loop, LOOP_POLL); /* the rest, if any, can be read */
	e.server = tls_conn_new(s, &e.sock, str_make(hello, (size_t)n));
	assert_true(tls_conn_pending(e.server));
	assert_true(shake(&e));
	talk(&e);
	assert_false(tls_conn_pending(e.server));
	close_ends(&e);
}

static void
early_bytes_are_read_before_the_socket(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(&r->ca);

	expect_early(r, s, ctx, 4096);
	for (size_t at = 1; at < 100; at += 14)
		expect_early(r, s, ctx, at);
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
records_that_came_together_are_pending(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(&r->ca);
	struct ends e;
	char c[8];
	size_t n;

	open_ends(&e, r, s, ctx, NULL);
	assert_true(shake(&e));
	assert_int_equal(SSL_write(e.client, "ab", 2), 2);
	assert_int_equal(SSL_write(e.client, "cd", 2), 2);
	assert_int_equal(read_server(&e, c, 1, &n), TLS_OK);
	assert_true(tls_conn_pending(e.server));
	assert_int_equal(tls_conn_read(e.server, c, 8, &n), TLS_OK);
	assert_int_equal(n, 1);
	assert_true(tls_conn_pending(e.server));
	assert_int_equal(tls_conn_read(e.server, c, 8, &n), TLS_OK);
	assert_int_equal(n, 2);
	assert_false(tls_conn_pending(e.server));
	assert_int_equal(tls_conn_read(e.server, c, 8, &n), TLS_WANT_READ);
	close_ends(&e);
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
both_say_goodbye(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(&r->ca);
	struct ends e;
	char c;
	size_t n;

	open_ends(&e, r, s, ctx, NULL);
	assert_true(shake(&e));
	SSL_shutdown(e.client);
	assert_int_equal(read_server(&e, &c, 1, &n), TLS_EOF);
	tls_conn_shutdown(e.server);
	assert_int_equal(SSL_shutdown(e.client), 1);
	close_ends(&e);

	open_ends(&e, r, s, ctx, NULL); /* without a word */
	assert_true(shake(&e));
	SSL_set_quiet_shutdown(e.client, 1);
	close(e.fd);
	e.fd = -1;
	assert_int_equal(read_server(&e, &c, 1, &n), TLS_EOF);
	close_ends(&e);
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
a_full_socket_is_waited_for(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(&r->ca);
	char *big = arena_alloc(r->arena, 1 << 20), *back;
	size_t at = 0, got = 0, n;
	struct ends e;

	for (size_t i = 0; i < 1 << 20; i++)
		big[i] = (char)(i * 31 >> 3);
	back = arena_alloc(r->arena, 1 << 20);
	open_ends(&e, r, s, ctx, NULL);
	assert_true(shake(&e));
	for (int i = 0; i < 100000 && got < 1 << 20; i++) {
		enum tls_result res;
		int ret;

		loop_turn(r->loop, LOOP_POLL);
		while (at < 1 << 20) {
			res = tls_conn_write(e.server, big + at, (1 << 20) - at,
			    &n);
			at += n;
			if (res != TLS_OK)
				break;
		}
		assert_true(at == 1 << 20 || res == TLS_WANT_WRITE);
		ret = SSL_read(e.client, back + got, 10000);
		got += ret > 0 ? (size_t)ret : 0;
	}
	assert_int_equal(got, 1 << 20);
	assert_memory_equal(big, back, 1 << 20);
	close_ends(&e);
	SSL_CTX_free(ctx);
	tls_server_free(s);
}

static void
a_connection_outlives_its_server(void **state)
{
	struct rig *r = *state;
	struct tls_server *s = serve(r,
	    (struct tls_server_options){ .pairs = NULL });
	SSL_CTX *ctx = made_client(&r->ca);
	struct ends e, early;

	open_ends(&early, r, s, ctx, "two.test");
	open_ends(&e, r, s, ctx, NULL);
	assert_true(shake(&e));
	tls_server_free(s);
	talk(&e);
	assert_true(shake(&early));
	talk(&early);
	close_ends(&e);
	close_ends(&early);
	SSL_CTX_free(ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_name_asked_for_chooses_the_certificate),
		TEST(an_offer_without_our_protocol_is_refused),
		TEST(our_order_of_protocols_decides),
		TEST(tls_1_2_and_1_3_are_spoken_and_1_1_is_not),
		TEST(a_cipher_without_forward_secrecy_is_refused),
		TEST(client_certificates_are_asked_for_or_required),
		TEST(sessions_resume_until_their_key_is_gone),
		TEST(a_forged_ticket_means_a_full_handshake),
		TEST(a_reload_swaps_certificates_and_keeps_tickets),
		TEST(a_failed_reload_changes_nothing),
		TEST(a_session_does_not_outlive_the_rules_for_clients),
		TEST(several_servers_change_all_or_none),
		TEST(a_place_is_filled_and_survives_a_reload),
		TEST(the_end_of_validity_is_known),
		TEST(files_are_read_and_bad_ones_are_named),
		TEST(garbage_is_an_error_and_no_more),
		TEST(early_bytes_are_read_before_the_socket),
		TEST(records_that_came_together_are_pending),
		TEST(both_say_goodbye),
		TEST(a_full_socket_is_waited_for),
		TEST(a_connection_outlives_its_server),
	};

	return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
