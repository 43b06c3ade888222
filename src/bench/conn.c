/* SPDX-License-Identifier: ISC */
/*
 * One client connection on the loop: connect, handshake, then a request and
 * its reply, again and again.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/conn.h"

enum conn_state {
	CONN_CLOSED,     /* no socket */
	CONN_CONNECTING, /* TCP is on its way */
	CONN_HANDSHAKE,  /* TLS */
	CONN_OPEN,       /* busy with a request, or waiting for one */
};

struct conn {
	struct loop *loop;
	const struct origin *origin;
	const struct conn_handler *handler;
	void *arg;
	size_t index;
	int64_t timeout;
	enum conn_state state;
	bool busy; /* a request is under way */
	int fd;
	struct wire *wire;
	struct event readable, writable;
	struct timer deadline;
	struct deferred failure;
	char why[256];
	char *out; /* the request */
	size_t out_len, out_at;
	bool got_bytes; /* of the reply */
	bool used;      /* it has had a reply before */
	bool again;     /* the request is sent a second time */
	unsigned opened;
	struct reader reader;
};

static void conn_open(struct conn *);
static void conn_close(struct conn *);
static void conn_fail(struct conn *, const char *doing, const char *why);
static void conn_lose(struct conn *, const char *doing, const char *why);
static void conn_ready(evutil_socket_t, short, void *);
static void conn_late(void *);
static void tell_failure(void *);

struct conn *
conn_new(struct loop *l, const struct origin *o, size_t index, int64_t timeout,
    const struct conn_handler *handler, void *arg)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->out = malloc(REQUEST_MAX)) == NULL)
		abort();
	c->loop = l;
	c->origin = o;
	c->index = index;
	c->timeout = timeout;
	c->handler = handler;
	c->arg = arg;
	c->fd = -1;
	timer_init(&c->deadline, l, conn_late, c);
	deferred_init(&c->failure, tell_failure, c);
	return c;
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	conn_close(c);
	loop_undefer(c->loop, &c->failure);
	reader_release(&c->reader);
	free(c->out);
	free(c);
}

unsigned
conn_opened(const struct conn *c)
{
	return c->opened;
}

/* Put the request into c->out; false if it is too large. */
static bool
write_request(struct conn *c, const struct request *q)
{
	size_t max = REQUEST_MAX;
	int n;

	n = snprintf(c->out, max,
	    "%s " STR_FMT " HTTP/1.1\r\nHost: " STR_FMT
	    "\r\nUser-Agent: certloop-bench\r\n",
	    q->method, STR_ARG(q->path), STR_ARG(c->origin->authority));
	if (n < 0 || (size_t)n >= max)
		return false;
	c->out_len = (size_t)n;
	if (q->content_type != NULL)
		n = snprintf(c->out + c->out_len, max - c->out_len,
		    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
		    q->content_type, q->body.n);
	else
		n = snprintf(c->out + c->out_len, max - c->out_len, "\r\n");
	if (n < 0 || (size_t)n + q->body.n >= max - c->out_len)
		return false;
	c->out_len += (size_t)n;
	if (q->body.n > 0)
		memcpy(c->out + c->out_len, q->body.p, q->body.n);
	c->out_len += q->body.n;
	return true;
}

/* Send what there is to send. */
static void
conn_write(struct conn *c)
{
	size_t n;

	while (c->out_at < c->out_len) {
		switch (wire_write(c->wire, c->out + c->out_at,
		    c->out_len - c->out_at, &n)) {
		case WIRE_OK:
			c->out_at += n;
			break;
		case WIRE_WRITE:
			event_add(&c->writable, NULL);
			return;
		case WIRE_READ:
			return;
		default:
			conn_lose(c, "sending", wire_error(c->wire));
			return;
		}
	}
}

void
conn_request(struct conn *c, const struct request *q)
{
	c->busy = true;
	c->out_at = c->out_len = 0;
	c->got_bytes = c->again = false;
	reader_start(&c->reader, strcmp(q->method, "HEAD") == 0);
	timer_start(&c->deadline, c->timeout);
	if (!write_request(c, q))
		conn_fail(c, "writing the request", "it is too large");
	else if (c->state == CONN_CLOSED)
		conn_open(c);
	else
		conn_write(c);
}

static bool
come_from(const struct conn *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	uint32_t i = (uint32_t)(c->index % c->origin->sources);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + i);
	return bind(c->fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;
}

static void
conn_open(struct conn *c)
{
	const size_t to = c->index % c->origin->nto;
	const struct sockaddr *sa = (const struct sockaddr *)&c->origin->to[to]
					.addr;
	struct event_base *base = loop_base(c->loop);
	int one = 1;

	c->fd = socket(sa->sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		conn_fail(c, "making a socket", strerror(errno));
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (c->origin->sources > 0 && !come_from(c)) {
		const char *why = strerror(errno);

		close(c->fd);
		c->fd = -1;
		conn_fail(c, "choosing an address", why);
		return;
	}
	event_assign(&c->readable, base, c->fd, EV_READ | EV_PERSIST,
	    conn_ready, c);
	event_assign(&c->writable, base, c->fd, EV_WRITE, conn_ready, c);
	c->wire = wire_new(c->origin, c->fd);
	c->state = CONN_CONNECTING;
	c->used = false;
	c->opened++;
	if (connect(c->fd, sa, c->origin->to[to].len) != 0 &&
	    errno != EINPROGRESS) {
		conn_fail(c, "connecting", strerror(errno));
		return;
	}
	event_add(&c->writable, NULL);
}

static void
conn_close(struct conn *c)
{
	timer_stop(&c->deadline);
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	event_del(&c->readable);
	event_del(&c->writable);
	wire_free(c->wire);
	c->wire = NULL;
	close(c->fd);
	c->fd = -1;
}

/* Close it and tell the owner, from the top of the loop. */
static void
conn_fail(struct conn *c, const char *doing, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s: %s", doing, why);
	conn_close(c);
	loop_defer(c->loop, &c->failure);
}

/*
 * A server may close a connection at rest just when the next request is sent.
 * RFC 9112 section 9.3.1: who had no byte of an answer on a connection that
 * was used before may send it again, on a new one; once.
 */
static void
conn_lose(struct conn *c, const char *doing, const char *why)
{
	if (!c->used || c->got_bytes || c->again) {
		conn_fail(c, doing, why);
		return;
	}
	conn_close(c);
	c->again = true;
	c->out_at = 0;
	timer_start(&c->deadline, c->timeout);
	conn_open(c);
}

static void
tell_failure(void *arg)
{
	struct conn *c = arg;

	c->busy = false;
	c->handler->failed(c->arg, c->why);
}

static void
conn_late(void *arg)
{
	conn_fail(arg, "waiting for the reply", "no end of it in time");
}

static void
finish_reply(struct conn *c)
{
	timer_stop(&c->deadline);
	c->used = true;
	if (!c->reader.reply.keep_alive)
		conn_close(c);
	c->busy = false;
	c->handler->replied(c->arg, &c->reader.reply);
}

/* A close between two requests is the server's right. */
static void
peer_closed(struct conn *c)
{
	if (!c->busy)
		conn_close(c);
	else if (c->got_bytes && reader_end(&c->reader) == READER_DONE)
		finish_reply(c);
	else
		conn_lose(c, "waiting for the reply",
		    "the server closed the connection");
}

static void
conn_read(struct conn *c)
{
	static char p[SOCKET_READ];
	enum wire_result r;
	size_t n;

	while ((r = wire_read(c->wire, p, sizeof(p), &n)) == WIRE_OK) {
		if (!c->busy) {
			conn_close(c); /* nobody asked: go on with a new one */
			return;
		}
		c->got_bytes = true;
		switch (reader_feed(&c->reader, p, n)) {
		case READER_MORE:
			break;
		case READER_DONE:
			finish_reply(c);
			return;
		case READER_BAD:
			conn_fail(c, "reading the reply",
			    c->reader.too_large ? "it is too large" :
						  "it is not HTTP/1.1");
			return;
		}
	}
	if (r == WIRE_EOF)
		peer_closed(c);
	else if (r == WIRE_ERROR && c->busy)
		conn_lose(c, "reading the reply", wire_error(c->wire));
	else if (r == WIRE_ERROR)
		conn_close(c);
	else if (r == WIRE_WRITE)
		event_add(&c->writable, NULL);
}

/* TCP is through, or not. */
static bool
check_connected(struct conn *c)
{
	socklen_t len = sizeof(int);
	int e = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len);
	if (e != 0) {
		conn_fail(c, "connecting", strerror(e));
		return false;
	}
	c->state = CONN_HANDSHAKE;
	event_add(&c->readable, NULL);
	return true;
}

static void
conn_ready(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if (c->state == CONN_CONNECTING && !check_connected(c))
		return;
	if (c->state == CONN_HANDSHAKE) {
		switch (wire_handshake(c->wire)) {
		case WIRE_OK:
			c->state = CONN_OPEN;
			conn_write(c);
			break;
		case WIRE_WRITE:
			event_add(&c->writable, NULL);
			return;
		case WIRE_READ:
			return;
		default:
			conn_fail(c, "handshake", wire_error(c->wire));
		}
		return;
	}
	if (c->state == CONN_OPEN && (what & EV_WRITE) != 0)
		conn_write(c);
	if (c->state == CONN_OPEN && (what & EV_READ) != 0)
		conn_read(c);
}
