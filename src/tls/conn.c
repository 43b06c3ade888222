/* SPDX-License-Identifier: ISC */
/*
 * One connection. BoringSSL would read the header of each record and then
 * its body from the socket, two calls; our BIO takes what the socket has in
 * one and hands it out. It holds that buffer only while there is something
 * in it.
 */
#include "tls/tls_int.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>

enum { RAW_SIZE = TLS_RECORD_MAX + 512 }; /* one record with its frame */

struct tls_conn {
	SSL *ssl;
	struct sock *sock;
	struct tls_state *state;
	uint8_t *raw; /* off the wire, not yet eaten */
	size_t raw_at, raw_len;
	bool eof;          /* the socket has ended */
	const char *error; /* constant */
};

const struct tls_state *
conn_state(const SSL *ssl)
{
	const struct tls_conn *c = SSL_get_app_data(ssl);

	return c->state;
}

/* ---- the BIO */

static void
drop_raw(struct tls_conn *c)
{
	if (c->raw_at < c->raw_len)
		return;
	free(c->raw);
	c->raw = NULL;
	c->raw_at = c->raw_len = 0;
}

static enum sock_result
fill(struct tls_conn *c)
{
	enum sock_result r;

	if (c->raw_at < c->raw_len)
		return SOCK_OK;
	if (!c->sock->readable)
		return SOCK_AGAIN;
	if (c->raw == NULL && (c->raw = malloc(RAW_SIZE)) == NULL)
		abort();
	c->raw_at = c->raw_len = 0;
	r = sock_recv(c->sock, c->raw, RAW_SIZE, &c->raw_len);
	c->eof = c->eof || r == SOCK_EOF;
	return r;
}

static int
bio_read(BIO *b, char *out, int size)
{
	struct tls_conn *c = BIO_get_data(b);
	enum sock_result r = fill(c);
	size_t n = c->raw_len - c->raw_at;

	BIO_clear_retry_flags(b);
	if (r == SOCK_AGAIN)
		BIO_set_retry_read(b);
	if (r != SOCK_OK)
		return r == SOCK_EOF ? 0 : -1;
	if (n > (size_t)size)
		n = (size_t)size;
	memcpy(out, c->raw + c->raw_at, n);
	c->raw_at += n;
	return (int)n;
}

static int
bio_write(BIO *b, const char *data, int size)
{
	struct tls_conn *c = BIO_get_data(b);
	struct iovec v = { .iov_base = (void *)(uintptr_t)data,
		.iov_len = (size_t)size };
	enum sock_result r;
	size_t n;

	BIO_clear_retry_flags(b);
	r = sock_send(c->sock, &v, 1, &n);
	if (r == SOCK_AGAIN)
		BIO_set_retry_write(b);
	return r == SOCK_OK ? (int)n : -1;
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *
conn_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(0, "socket");

	if (m == NULL || !BIO_meth_set_read(m, bio_read) ||
	    !BIO_meth_set_write(m, bio_write) ||
	    !BIO_meth_set_ctrl(m, bio_ctrl))
		abort();
	return m;
}

/* ---- life */

static void
keep_early(struct tls_conn *c, struct str early)
{
	if (early.n == 0)
		return;
	/* fill() reads into the same room, once these are eaten */
	c->raw = malloc(early.n > RAW_SIZE ? early.n : RAW_SIZE);
	if (c->raw == NULL)
		abort();
	memcpy(c->raw, early.p, early.n);
	c->raw_len = early.n;
}

struct tls_conn *
tls_conn_new(struct tls_server *s, struct sock *sock, struct str early)
{
	struct tls_conn *c = calloc(1, sizeof(*c));
	BIO *bio;

	if (c == NULL)
		abort();
	c->sock = sock;
	c->state = state_ref(s->state);
	c->ssl = SSL_new(c->state->ctx);
	bio = BIO_new(c->state->bio);
	if (c->ssl == NULL || bio == NULL)
		abort();
	keep_early(c, early);
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_app_data(c->ssl, c);
	SSL_set_accept_state(c->ssl);
	SSL_set_shed_handshake_config(c->ssl, 1);
	return c;
}

void
tls_conn_free(struct tls_conn *c)
{
	if (c == NULL)
		return;
	SSL_free(c->ssl);
	state_unref(c->state);
	free(c->raw);
	free(c);
}

/* ---- work */

/* Keep the reason for the log; the queue must be empty for the next call. */
static enum tls_result
give_up(struct tls_conn *c)
{
	uint32_t e = ERR_peek_error();
	const char *reason = ERR_reason_error_string(e);

	if (reason != NULL)
		c->error = reason;
	else if (e == 0)
		c->error = c->eof ? "the peer hung up" : "the socket broke";
	else
		c->error = "unknown";
	ERR_clear_error();
	return TLS_ERROR;
}

static enum tls_result
judge(struct tls_conn *c, int ret)
{
	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	case SSL_ERROR_SYSCALL:
		if (c->eof && ERR_peek_error() == 0)
			return TLS_EOF;
		return give_up(c);
	default:
		return give_up(c);
	}
}

/*
 * Our tickets leave before the client's Finished, so no data of ours
 * acknowledges that one, and a client with Nagle's algorithm would hold its
 * first request back until the delayed ACK, 40 ms later.
 */
static void
ack_now(const struct tls_conn *c)
{
	int one = 1;

	(void)setsockopt(c->sock->fd, IPPROTO_TCP, TCP_QUICKACK, &one,
	    sizeof(one));
}

enum tls_result
tls_conn_handshake(struct tls_conn *c)
{
	int ret;

	ERR_clear_error(); /* what others left would mislead SSL_get_error */
	ret = SSL_accept(c->ssl);
	drop_raw(c);
	if (ret != 1)
		return judge(c, ret);
	ack_now(c);
	return TLS_OK;
}

enum tls_result
tls_conn_read(struct tls_conn *c, void *out, size_t size, size_t *n)
{
	int ret;

	*n = 0;
	ERR_clear_error();
	ret = SSL_read(c->ssl, out, size < INT32_MAX ? (int)size : INT32_MAX);
	drop_raw(c);
	if (ret <= 0)
		return judge(c, ret);
	*n = (size_t)ret;
	return TLS_OK;
}

enum tls_result
tls_conn_write(struct tls_conn *c, const void *data, size_t size, size_t *n)
{
	int ret;

	*n = 0;
	if (size > TLS_RECORD_MAX)
		size = TLS_RECORD_MAX;
	ERR_clear_error();
	ret = SSL_write(c->ssl, data, (int)size);
	if (ret <= 0)
		return judge(c, ret);
	*n = (size_t)ret;
	return TLS_OK;
}

void
tls_conn_shutdown(struct tls_conn *c)
{
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
}

bool
tls_conn_pending(const struct tls_conn *c)
{
	return c->raw_at < c->raw_len || SSL_has_pending(c->ssl) != 0;
}

/* ---- what became of the handshake */

struct str
tls_conn_client_cert(const struct tls_conn *c, struct arena *a)
{
	const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(
	    c->ssl);
	const CRYPTO_BUFFER *leaf;

	if (chain == NULL || sk_CRYPTO_BUFFER_num(chain) == 0)
		return STR_NONE;
	leaf = sk_CRYPTO_BUFFER_value(chain, 0);
	return str_dup(a,
	    str_make(CRYPTO_BUFFER_data(leaf), CRYPTO_BUFFER_len(leaf)));
}

struct str
tls_conn_alpn(const struct tls_conn *c)
{
	const uint8_t *p;
	unsigned n;

	SSL_get0_alpn_selected(c->ssl, &p, &n);
	return n > 0 ? str_make(p, n) : STR_NONE;
}

const char *
tls_conn_server_name(const struct tls_conn *c)
{
	return SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
}

bool
tls_conn_resumed(const struct tls_conn *c)
{
	return SSL_session_reused(c->ssl) != 0;
}

const char *
tls_conn_version(const struct tls_conn *c)
{
	return SSL_get_version(c->ssl);
}

const char *
tls_conn_error(const struct tls_conn *c)
{
	return c->error != NULL ? c->error : "none";
}
