/* SPDX-License-Identifier: ISC */
/* An HTTP server for tests. Wrong use of it is a bug of the test: assert. */
#include "peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "pki/pki.h"

enum { IN_MAX = 1 << 18 };

struct peer_conn {
	LIST_ENTRY(peer_conn) entry;
	struct peer *peer;
	int fd;
	SSL *ssl;
	struct event readable, writable;
	struct timer drip;
	char *in;
	size_t n, out_at;
	unsigned requests;
	bool answering;
};

struct peer {
	struct loop *loop;
	struct arena *arena;
	int fd;
	unsigned port;
	struct event ev;
	SSL_CTX *ctx;
	struct str ca, answer;
	enum peer_mode mode;
	LIST_HEAD(, peer_conn) conns;
	unsigned nrequests, nconns, nopen;
	char *heard;
	size_t nheard;
};

static void
drop(struct peer_conn *c)
{
	LIST_REMOVE(c, entry);
	c->peer->nopen--;
	event_del(&c->readable);
	event_del(&c->writable);
	timer_stop(&c->drip);
	SSL_free(c->ssl);
	close(c->fd);
	free(c->in);
	free(c);
}

static void
reset(struct peer_conn *c)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	drop(c);
}

/* Bytes, 0 for later, -1 for never. */
static ssize_t
get(struct peer_conn *c, void *p, size_t n)
{
	ssize_t got;

	if (c->ssl != NULL) {
		got = SSL_read(c->ssl, p, (int)n);
		if (got > 0)
			return got;
		return SSL_get_error(c->ssl, (int)got) == SSL_ERROR_WANT_READ ?
		    0 :
		    -1;
	}
	got = recv(c->fd, p, n, MSG_DONTWAIT);
	if (got > 0)
		return got;
	return got == -1 && errno == EAGAIN ? 0 : -1;
}

static ssize_t
send_some(struct peer_conn *c, const void *p, size_t n)
{
	ssize_t put;

	if (c->ssl != NULL) {
		put = SSL_write(c->ssl, p, (int)n);
		if (put > 0)
			return put;
		return SSL_get_error(c->ssl, (int)put) == SSL_ERROR_WANT_WRITE ?
		    0 :
		    -1;
	}
	put = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put >= 0)
		return put;
	return errno == EAGAIN ? 0 : -1;
}

static void
go_on(struct peer_conn *c)
{
	struct str all = c->peer->answer;
	size_t left = all.n - c->out_at, max = left;
	ssize_t n;

	if (c->peer->mode == PEER_DRIP && max > 1)
		max = 1;
	if ((n = send_some(c, all.p + c->out_at, max)) == -1) {
		drop(c);
		return;
	}
	c->out_at += (size_t)n;
	if (c->out_at == all.n) {
		c->answering = false;
		if (c->peer->mode == PEER_CUT)
			reset(c);
		else if (c->peer->mode == PEER_FINISH)
			drop(c);
	} else if (c->peer->mode == PEER_DRIP) {
		timer_start(&c->drip, 20000);
	} else {
		event_add(&c->writable, NULL);
	}
}

static void
on_drip(void *arg)
{
	go_on(arg);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	go_on(arg);
}

/* Is the whole request here? Then how long is it. */
static size_t
request_len(const struct peer_conn *c)
{
	const char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
	const char *len;
	size_t body = 0;

	if (end == NULL)
		return 0;
	len = memmem(c->in, (size_t)(end - c->in), "Content-Length: ", 16);
	if (len != NULL)
		body = strtoul(len + 16, NULL, 10);
	body += (size_t)(end + 4 - c->in);
	return body <= c->n ? body : 0;
}

static void
take_request(struct peer_conn *c, size_t n)
{
	struct peer *p = c->peer;

	free(p->heard);
	p->heard = malloc(n);
	memcpy(p->heard, c->in, n);
	p->nheard = n;
	p->nrequests++;
	c->requests++;
	c->n -= n;
	memmove(c->in, c->in + n, c->n);
	if (p->mode == PEER_HANG)
		return;
	if (p->mode == PEER_CLOSE ||
	    (p->mode == PEER_CLOSE_2ND && c->requests == 2)) {
		drop(c);
		return;
	}
	c->out_at = 0;
	c->answering = true;
	go_on(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer_conn *c = arg;
	ssize_t got;
	size_t n;

	(void)fd;
	(void)what;
	if (c->peer->mode == PEER_MUTE) {
		event_del(&c->readable);
		return;
	}
	while ((got = get(c, c->in + c->n, IN_MAX - c->n)) > 0)
		c->n += (size_t)got;
	if (got == -1) {
		drop(c);
		return;
	}
	n = c->peer->mode == PEER_RUDE ? c->n : request_len(c);
	if (!c->answering && n > 0)
		take_request(c, n);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	struct peer_conn *c;
	int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (s == -1)
		return;
	c = calloc(1, sizeof(*c));
	c->in = malloc(IN_MAX);
	c->peer = p;
	c->fd = s;
	p->nconns++;
	p->nopen++;
	LIST_INSERT_HEAD(&p->conns, c, entry);
	if (p->ctx != NULL) {
		c->ssl = SSL_new(p->ctx);
		SSL_set_fd(c->ssl, s);
		SSL_set_accept_state(c->ssl);
	}
	timer_init(&c->drip, p->loop, on_drip, c);
	event_assign(&c->readable, loop_base(p->loop), s, EV_READ | EV_PERSIST,
	    on_readable, c);
	event_assign(&c->writable, loop_base(p->loop), s, EV_WRITE, on_writable,
	    c);
	event_add(&c->readable, NULL);
}

/* ---- the certificate */

static void
make_tls(struct peer *p)
{
	struct arena *a = p->arena;
	int64_t now = time(NULL);
	EVP_PKEY *key = pki_generate_key(PKI_P256);
	struct pki_made root;
	struct pki_ca ca;
	struct str dns = STR("peer.test");
	struct addr ip;
	struct pki_names names = { &dns, 1, &ip, 1 };
	struct pki_cert_spec spec = { .names = &names,
		.spki = pki_write_spki(a, key),
		.not_before = now - 3600,
		.not_after = now + 86400,
		.key_usage = PKI_KU_DIGITAL_SIGNATURE,
		.eku = PKI_EKU_SERVER };
	struct str der;

	(void)addr_parse(STR("127.0.0.1"), &ip);
	pki_random_serial(spec.serial);
	if (pki_make_root(a, STR("Peer root"), now, &root) != NULL ||
	    pki_make_ca(a, root.key, &root.der, 1, now, &ca) != NULL)
		abort();
	der = pki_sign_tbs(a, &ca, pki_build_tbs(a, &ca, &spec));
	p->ca = pki_write_pem(a, "CERTIFICATE", root.der);
	p->ctx = SSL_CTX_new(TLS_method());
	if (SSL_CTX_use_certificate_ASN1(p->ctx, der.n,
		(const uint8_t *)der.p) != 1 ||
	    SSL_CTX_use_PrivateKey(p->ctx, key) != 1)
		abort();
	SSL_CTX_set_mode(p->ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	EVP_PKEY_free(key);
}

struct peer *
peer_new(struct loop *loop, const char *ip, enum peer_kind kind)
{
	bool v6 = strchr(ip, ':') != NULL;
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr *sa = v6 ? (struct sockaddr *)&sin6 :
				   (struct sockaddr *)&sin;
	socklen_t len = v6 ? sizeof(sin6) : sizeof(sin);
	struct peer *p;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(sa->sa_family, ip,
	    v6 ? (void *)&sin6.sin6_addr : (void *)&sin.sin_addr);
	if (fd == -1 || bind(fd, sa, len) == -1 || listen(fd, 64) == -1 ||
	    getsockname(fd, sa, &len) == -1) {
		if (fd != -1)
			close(fd);
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	p->loop = loop;
	p->arena = arena_create();
	p->fd = fd;
	p->port = ntohs(v6 ? sin6.sin6_port : sin.sin_port);
	p->answer = STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	LIST_INIT(&p->conns);
	if (kind == PEER_HTTPS)
		make_tls(p);
	event_assign(&p->ev, loop_base(loop), fd, EV_READ | EV_PERSIST,
	    on_accept, p);
	event_add(&p->ev, NULL);
	return p;
}

void
peer_free(struct peer *p)
{
	struct peer_conn *c;

	if (p == NULL)
		return;
	while ((c = LIST_FIRST(&p->conns)) != NULL)
		drop(c);
	event_del(&p->ev);
	close(p->fd);
	SSL_CTX_free(p->ctx);
	arena_destroy(p->arena);
	free(p->heard);
	free(p);
}

unsigned
peer_port(const struct peer *p)
{
	return p->port;
}

struct str
peer_ca(const struct peer *p)
{
	return p->ca;
}

void
peer_say(struct peer *p, struct str answer)
{
	p->answer = str_dup(p->arena, answer);
}

void
peer_set(struct peer *p, enum peer_mode mode)
{
	p->mode = mode;
}

unsigned
peer_requests(const struct peer *p)
{
	return p->nrequests;
}

unsigned
peer_connections(const struct peer *p)
{
	return p->nconns;
}

unsigned
peer_open(const struct peer *p)
{
	return p->nopen;
}

struct str
peer_heard(const struct peer *p)
{
	return str_make(p->heard, p->nheard);
}
