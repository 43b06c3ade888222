/* SPDX-License-Identifier: ISC */
/*
 * A client's socket, plain or under TLS. BoringSSL reads through a BIO of our
 * own that takes a whole record from the socket at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/addr.h"
#include "bench/conn.h"

struct wire {
	int fd;
	SSL *ssl; /* NULL: plain */
	const char *error;
	size_t at, len; /* what of raw TLS has not taken yet */
	uint8_t raw[SOCKET_READ];
};

static BIO_METHOD *methods;

static int
bio_read(BIO *bio, char *p, int n)
{
	struct wire *w = BIO_get_data(bio);
	size_t have;
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (w->at == w->len) {
		got = recv(w->fd, w->raw, sizeof(w->raw), 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			BIO_set_retry_read(bio);
		if (got <= 0)
			return (int)got;
		w->at = 0;
		w->len = (size_t)got;
	}
	have = w->len - w->at;
	if (have > (size_t)n)
		have = (size_t)n;
	memcpy(p, w->raw + w->at, have);
	w->at += have;
	return (int)have;
}

static int
bio_write(BIO *bio, const char *p, int n)
{
	const struct wire *w = BIO_get_data(bio);
	ssize_t sent = send(w->fd, p, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)sent;
}

static long
bio_ctrl(BIO *bio, int cmd, long n, void *p)
{
	(void)bio;
	(void)n;
	(void)p;
	return cmd == BIO_CTRL_FLUSH;
}

SSL_CTX *
wire_context(enum wire_trust trust, const char *ca_file, const char **why)
{
	static const uint8_t alpn[] = "\x08http/1.1";
	SSL_CTX *ctx;

	if (ca_file == NULL)
		ca_file = "/etc/ssl/certs/ca-certificates.crt";
	if (methods == NULL) {
		methods = BIO_meth_new(0, "wire");
		BIO_meth_set_read(methods, bio_read);
		BIO_meth_set_write(methods, bio_write);
		BIO_meth_set_ctrl(methods, bio_ctrl);
	}
	ERR_clear_error();
	if ((ctx = SSL_CTX_new(TLS_method())) == NULL)
		abort();
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(ctx,
	    trust == WIRE_TRUST_ANY ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0)
		abort();
	if (trust == WIRE_TRUST_FILE &&
	    SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1) {
		*why = "cannot be read as certificates in PEM";
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* The name that the server's certificate must be for. */
static bool
expect_host(SSL *ssl, struct str host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct addr addr;

	if (addr_parse(host, &addr))
		return X509_VERIFY_PARAM_set1_ip(param, addr.bytes, addr.len) ==
		    1;
	return SSL_set_tlsext_host_name(ssl, host.p) == 1 &&
	    X509_VERIFY_PARAM_set1_host(param, host.p, host.n) == 1;
}

struct wire *
wire_new(const struct origin *o, int fd)
{
	struct wire *w = calloc(1, sizeof(*w));
	BIO *bio;

	if (w == NULL)
		abort();
	w->fd = fd;
	w->error = "unknown";
	if (!o->tls)
		return w;
	w->ssl = SSL_new(o->ctx);
	bio = BIO_new(methods);
	if (w->ssl == NULL || bio == NULL || !expect_host(w->ssl, o->host))
		abort();
	BIO_set_data(bio, w);
	BIO_set_init(bio, 1);
	SSL_set_bio(w->ssl, bio, bio);
	SSL_set_connect_state(w->ssl);
	return w;
}

void
wire_free(struct wire *w)
{
	if (w == NULL)
		return;
	SSL_free(w->ssl);
	free(w);
}

/* What r, returned by SSL, means. */
static enum wire_result
judge(struct wire *w, int r)
{
	long verdict;

	switch (SSL_get_error(w->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return WIRE_READ;
	case SSL_ERROR_WANT_WRITE:
		return WIRE_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return WIRE_EOF;
	case SSL_ERROR_SYSCALL:
		w->error = "the connection was cut";
		return WIRE_ERROR;
	default:
		verdict = SSL_get_verify_result(w->ssl);
		if (verdict != X509_V_OK)
			w->error = X509_verify_cert_error_string(verdict);
		else
			w->error = ERR_reason_error_string(ERR_peek_error());
		if (w->error == NULL)
			w->error = "TLS failed";
		return WIRE_ERROR;
	}
}

enum wire_result
wire_handshake(struct wire *w)
{
	int r;

	if (w->ssl == NULL)
		return WIRE_OK;
	ERR_clear_error();
	r = SSL_do_handshake(w->ssl);
	return r == 1 ? WIRE_OK : judge(w, r);
}

/* The result of a system call on a plain socket. */
static enum wire_result
judge_plain(struct wire *w, ssize_t got, enum wire_result again)
{
	if (got == 0)
		return WIRE_EOF;
	if (errno == EAGAIN || errno == EINTR)
		return again;
	w->error = strerror(errno);
	return WIRE_ERROR;
}

enum wire_result
wire_read(struct wire *w, void *p, size_t size, size_t *n)
{
	ssize_t got;
	int r;

	if (w->ssl == NULL) {
		if ((got = recv(w->fd, p, size, 0)) <= 0)
			return judge_plain(w, got, WIRE_READ);
		*n = (size_t)got;
		return WIRE_OK;
	}
	ERR_clear_error();
	if ((r = SSL_read(w->ssl, p, (int)size)) <= 0)
		return judge(w, r);
	*n = (size_t)r;
	return WIRE_OK;
}

enum wire_result
wire_write(struct wire *w, const void *p, size_t size, size_t *n)
{
	ssize_t sent;
	int r;

	if (w->ssl == NULL) {
		if ((sent = send(w->fd, p, size, MSG_NOSIGNAL)) < 0)
			return judge_plain(w, sent, WIRE_WRITE);
		*n = (size_t)sent;
		return WIRE_OK;
	}
	ERR_clear_error();
	if ((r = SSL_write(w->ssl, p, (int)size)) <= 0)
		return judge(w, r);
	*n = (size_t)r;
	return WIRE_OK;
}

const char *
wire_error(const struct wire *w)
{
	return w->error;
}
