/* SPDX-License-Identifier: ISC */
/*
 * The socket: what a turn queued leaves in one write at its end; answers are
 * read by hiredis's reader, which is kept from building anything too large.
 */
#include "redis/redis_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/when.h"

enum {
	READ_SIZE = 1 << 14,
	READS_MAX = 16, /* in one turn; then others have theirs */
	ITEMS_MAX = 1 << 14,
	FIRST_OUT = 1 << 14,
};

static void on_readable(evutil_socket_t, short, void *);
static void on_writable(evutil_socket_t, short, void *);
static void flush(void *);

/* ---- connect */

static socklen_t
make_sockaddr(const struct redis_endpoint *e, struct sockaddr_storage *ss)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (e->path.p != NULL) {
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, e->path.p, e->path.n);
		return sizeof(*un);
	}
	if (e->addr.len == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)e->port);
		memcpy(&in->sin_addr, e->addr.bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)e->port);
	memcpy(&in6->sin6_addr, e->addr.bytes, 16);
	return sizeof(*in6);
}

/* Our answers are lists at most: no nesting, nothing huge. */
static void *
make_bounded_array(const redisReadTask *task, int elements)
{
	struct redis *r = task->privdata;

	if (task->parent != NULL || elements > ITEMS_MAX)
		return NULL;
	return r->make_array(task, elements);
}

/* hiredis shows its functions only in a reader: put ours in front there. */
static redisReader *
new_reader(struct redis *r)
{
	redisReader *reader = redisReaderCreate();

	if (reader == NULL)
		abort();
	r->objects = *reader->fn;
	r->make_array = r->objects.createArray;
	r->objects.createArray = make_bounded_array;
	reader->fn = &r->objects;
	reader->privdata = r;
	return reader;
}

static bool
fail_dial(struct redis *r)
{
	redis_drop(r, FAULT_PASSING, "cannot connect: %s", strerror(errno));
	return false;
}

bool
wire_dial(struct redis *r)
{
	const struct redis_endpoint *e = redis_whom(r);
	struct sockaddr_storage ss;
	socklen_t len = make_sockaddr(e, &ss);
	int one = 1;

	endpoint_text(e, r->address, sizeof(r->address));
	if (e->path.p == NULL && e->addr.len == 0) {
		redis_drop(r, FAULT_PASSING, "the name %s has no address",
		    e->name);
		return false;
	}
	r->state = CONN_DIALING;
	r->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (r->fd == -1)
		return fail_dial(r);
	if (e->path.p == NULL) {
		(void)setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one,
		    sizeof(one));
		(void)setsockopt(r->fd, SOL_SOCKET, SO_KEEPALIVE, &one,
		    sizeof(one));
	}
	if (connect(r->fd, (struct sockaddr *)&ss, len) == -1 &&
	    errno != EINPROGRESS)
		return fail_dial(r);
	r->reader = new_reader(r);
	event_assign(&r->readable, loop_base(r->loop), r->fd,
	    EV_READ | EV_PERSIST, on_readable, r);
	event_assign(&r->writable, loop_base(r->loop), r->fd, EV_WRITE,
	    on_writable, r);
	event_add(&r->writable, NULL);
	r->flush = (struct turn_hook){ .fn = flush, .arg = r };
	return true;
}

void
wire_close(struct redis *r)
{
	loop_forget_hook(r->loop, &r->flush);
	if (r->reader != NULL) {
		event_del(&r->readable);
		event_del(&r->writable);
		redisReaderFree(r->reader);
		r->reader = NULL;
	}
	if (r->fd != -1)
		close(r->fd);
	r->fd = -1;
	if (r->out != NULL)
		explicit_bzero(r->out, r->out_cap); /* AUTH */
	r->out_sent = r->out_len = 0;
}

/* ---- write */

bool
wire_has_room(const struct redis *r)
{
	return r->out_len - r->out_sent < REDIS_OUTPUT_MAX;
}

static void
make_room(struct redis *r, size_t n)
{
	size_t waiting = r->out_len - r->out_sent, cap = r->out_cap;
	char *more;

	if (r->out_sent > 0 && r->out_len + n > cap) {
		memmove(r->out, r->out + r->out_sent, waiting);
		r->out_sent = 0;
		r->out_len = waiting;
	}
	if (r->out_len + n <= cap)
		return;
	if (cap == 0)
		cap = FIRST_OUT;
	while (cap < r->out_len + n)
		cap *= 2;
	/* not realloc: what is left behind may hold the password */
	if ((more = malloc(cap)) == NULL)
		abort();
	if (r->out != NULL) {
		memcpy(more, r->out, r->out_len);
		explicit_bzero(r->out, r->out_cap);
		free(r->out);
	}
	r->out = more;
	r->out_cap = cap;
}

bool
wire_put(struct redis *r, const char *bytes, size_t n)
{
	if (!wire_has_room(r))
		return false;
	make_room(r, n);
	memcpy(r->out + r->out_len, bytes, n);
	r->out_len += n;
	if (r->state != CONN_DIALING)
		loop_at_turn_end(r->loop, &r->flush);
	return true;
}

static void
flush(void *arg)
{
	struct redis *r = arg;
	ssize_t n;

	if (FAILS("failing-redis-cut")) {
		redis_drop(r, FAULT_PASSING, "cannot write: it was cut");
		return;
	}
	while (r->out_sent < r->out_len) {
		n = send(r->fd, r->out + r->out_sent, r->out_len - r->out_sent,
		    MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			event_add(&r->writable, NULL);
			return;
		}
		if (n == -1) {
			redis_drop(r, FAULT_PASSING, "cannot write: %s",
			    strerror(errno));
			return;
		}
		r->out_sent += (size_t)n;
	}
	if (r->state == CONN_GREETING)
		explicit_bzero(r->out, r->out_len); /* AUTH */
	r->out_sent = r->out_len = 0;
}

static void
on_connected(struct redis *r)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0) {
		redis_drop(r, FAULT_PASSING, "cannot connect: %s",
		    strerror(error));
		return;
	}
	r->state = CONN_GREETING;
	event_add(&r->readable, NULL);
	if (r->options.sentinel.n > 0 && !r->found)
		redis_ask_sentinel(r);
	else
		redis_greet(r);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct redis *r = arg;

	(void)fd;
	(void)what;
	if (r->state == CONN_DIALING)
		on_connected(r);
	else
		flush(r);
}

/* ---- read */

/* Made to fail: an error instead of this answer. */
static void *
refuse(struct redis *r, void *reply)
{
	static char text[] = "OOM command not allowed: it was made to fail";
	const redisReadTask task = { .type = REDIS_REPLY_ERROR };

	freeReplyObject(reply);
	return r->reader->fn->createString(&task, text, sizeof(text) - 1);
}

/* All answers that are complete. False if the connection is gone. */
static bool
take_answers(struct redis *r)
{
	void *reply;

	for (;;) {
		if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
			redis_drop(r, FAULT_PASSING,
			    "this is not how Redis talks: %s",
			    r->reader->errstr);
			return false;
		}
		if (reply == NULL)
			break;
		if (FAILS("failing-redis-error"))
			reply = refuse(r, reply);
		command_answer(r, reply);
		if (r->fd == -1)
			return false;
	}
	if (r->reader->len - r->reader->pos > REDIS_REPLY_MAX) {
		redis_drop(r, FAULT_PASSING, "an answer is too long");
		return false;
	}
	return true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct redis *r = arg;
	char bytes[READ_SIZE];
	ssize_t n;

	(void)what;
	if (FAILS("failing-redis-unheard")) {
		redis_drop(r, FAULT_PASSING, "the connection ended");
		return;
	}
	for (int i = 0; i < READS_MAX; i++) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			redis_drop(r, FAULT_PASSING, "the connection ended%s%s",
			    n == 0 ? "" : ": ", n == 0 ? "" : strerror(errno));
			return;
		}
		if (redisReaderFeed(r->reader, bytes, (size_t)n) != REDIS_OK)
			abort(); /* no memory */
		if (!take_answers(r))
			return;
		if ((size_t)n < sizeof(bytes))
			return;
	}
}
