/* SPDX-License-Identifier: ISC */
/*
 * Bytes of a connection, through TLS or not. What is read goes into a window
 * that all connections of the server share; only what is left over when a
 * connection stops (half a header, a pipelined request) is copied to memory
 * of its own. So a connection that says nothing holds nothing.
 */
#include "http/http_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/mem.h>

static void *
take(size_t n)
{
	void *p = malloc(n);

	if (p == NULL)
		abort();
	return p;
}

/* ---- in */

void
conn_forget(struct http_conn *c)
{
	if (c->nkept > 0)
		OPENSSL_cleanse(c->kept, c->nkept); /* half a header */
	free(c->kept);
	c->kept = NULL;
	c->nkept = 0;
}

struct window *
window_open(struct http_conn *c)
{
	struct window *w = &c->server->window;

	assert(w->user == NULL);
	w->user = c;
	w->start = 0;
	w->end = c->nkept;
	assert(c->nkept <= w->cap);
	if (c->nkept > 0)
		memcpy(w->p, c->kept, c->nkept);
	conn_forget(c);
	return w;
}

void
window_close(struct http_conn *c)
{
	struct window *w = &c->server->window;
	struct str left = window_view(w);

	assert(w->user == c);
	w->user = NULL;
	if (left.n == 0)
		return;
	if (c->state != CONN_LINGER && c->state != CONN_DEAD) {
		c->kept = take(left.n);
		memcpy(c->kept, left.p, left.n);
		c->nkept = left.n;
	}
	OPENSSL_cleanse(w->p + w->start, left.n); /* others read into it */
}

static enum input
fill_through_tls(struct http_conn *c, struct window *w, size_t *n)
{
	switch (tls_conn_read(c->tls, w->p + w->end, w->cap - w->end, n)) {
	case TLS_OK:
		return INPUT_DATA;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		return INPUT_NONE;
	case TLS_EOF:
		return INPUT_EOF;
	default:
		return INPUT_ERROR;
	}
}

static enum input
fill_from_socket(struct http_conn *c, struct window *w, size_t *n)
{
	switch (sock_recv(&c->sock, w->p + w->end, w->cap - w->end, n)) {
	case SOCK_OK:
		return INPUT_DATA;
	case SOCK_AGAIN:
		return INPUT_NONE;
	case SOCK_EOF:
		return INPUT_EOF;
	default:
		return INPUT_ERROR;
	}
}

enum input
conn_fill(struct http_conn *c)
{
	struct window *w = &c->server->window;
	struct str left = window_view(w);
	enum input r;
	size_t n = 0;

	if (w->start > 0) {
		memmove(w->p, left.p, left.n);
		if (left.n > 0) /* where it was */
			OPENSSL_cleanse(w->p + left.n, w->start);
		w->start = 0;
		w->end = left.n;
	}
	assert(w->cap - w->end >= READ_SIZE);
	r = c->tls != NULL ? fill_through_tls(c, w, &n) :
			     fill_from_socket(c, w, &n);
	w->end += n;
	return r;
}

bool
conn_has_input(const struct http_conn *c)
{
	return c->nkept > 0 || c->sock.readable ||
	    (c->tls != NULL && tls_conn_pending(c->tls));
}

/* ---- out */

/* Send what fits; *sent says how much. False: it is broken. */
static bool
send_some(struct http_conn *c, const struct iovec *iov, int niov, size_t *sent)
{
	if (c->tls == NULL)
		return sock_send(&c->sock, iov, niov, sent) != SOCK_ERROR;
	switch (tls_conn_write(c->tls, iov->iov_base, iov->iov_len, sent)) {
	case TLS_EOF:
	case TLS_ERROR:
		return false;
	default:
		return true;
	}
}

/* Keep what is left of the vector. */
static void
keep(struct pending *out, const struct iovec *iov, int niov)
{
	size_t n = 0;
	char *p;

	for (int i = 0; i < niov; i++)
		n += iov[i].iov_len;
	if (n == 0)
		return;
	p = take(out->len - out->at + n);
	if (out->len > out->at)
		memcpy(p, out->p + out->at, out->len - out->at);
	out->len -= out->at;
	out->at = 0;
	free(out->p);
	out->p = p;
	for (int i = 0; i < niov; i++) {
		memcpy(p + out->len, iov[i].iov_base, iov[i].iov_len);
		out->len += iov[i].iov_len;
	}
}

static int
advance(struct iovec **iov, int niov, size_t n)
{
	while (niov > 0 && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		++*iov;
		niov--;
	}
	if (niov > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
	return niov;
}

/* TLS: the header and as much of the body as one record holds, in one piece. */
static void
join(struct arena *a, struct iovec iov[2])
{
	size_t n = iov[0].iov_len, more = iov[1].iov_len;
	char *p;

	if (n >= TLS_RECORD_MAX || more == 0)
		return;
	if (more > TLS_RECORD_MAX - n)
		more = TLS_RECORD_MAX - n;
	p = arena_alloc(a, n + more);
	memcpy(p, iov[0].iov_base, n);
	memcpy(p + n, iov[1].iov_base, more);
	iov[0] = (struct iovec){ .iov_base = p, .iov_len = n + more };
	iov[1].iov_base = (char *)iov[1].iov_base + more;
	iov[1].iov_len -= more;
}

void
conn_send(struct http_conn *c, struct arena *a, struct str head,
    struct str body)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)(uintptr_t)head.p, .iov_len = head.n },
		{ .iov_base = (void *)(uintptr_t)body.p, .iov_len = body.n },
	};
	struct iovec *v = iov;
	int n = body.n > 0 ? 2 : 1;
	size_t sent;

	if (c->tls != NULL)
		join(a, iov);
	while (n > 0 && c->out.len == 0 && !c->broken) {
		if (!send_some(c, v, n, &sent))
			c->broken = true;
		if (sent == 0)
			break;
		n = advance(&v, n, sent);
	}
	if (!c->broken)
		keep(&c->out, v, n);
}

bool
conn_flush(struct http_conn *c)
{
	struct pending *out = &c->out;
	size_t sent;

	while (out->at < out->len && !c->broken) {
		struct iovec iov = { .iov_base = out->p + out->at,
			.iov_len = out->len - out->at };

		if (!send_some(c, &iov, 1, &sent))
			c->broken = true;
		if (sent == 0)
			break;
		out->at += sent;
	}
	if (out->at < out->len && !c->broken)
		return false;
	free(out->p);
	*out = (struct pending){ .p = NULL };
	return true;
}

void
conn_shut(struct http_conn *c)
{
	if (c->tls != NULL)
		tls_conn_shutdown(c->tls);
	(void)shutdown(c->sock.fd, SHUT_WR);
}
