/* SPDX-License-Identifier: ISC */
/* Stream sockets under an edge-triggered watch. */
#include "loop/sock.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static void
on_edge(evutil_socket_t fd, short what, void *arg)
{
	struct sock *s = arg;

	(void)fd;
	s->drained = false;
	if (what & (EV_READ | EV_CLOSED))
		s->readable = true;
	if (what & EV_WRITE)
		s->writable = true;
	if (what & EV_CLOSED)
		s->hup = true;
	/*
	 * libevent says an error (a reset) as both at once, and nothing more;
	 * but so come most bytes.
	 */
	if ((what & EV_READ) && (what & EV_WRITE))
		s->doubt = true;
	s->ready(s->arg);
}

bool
sock_start(struct sock *s, struct loop *l, int fd, void (*ready)(void *),
    void *arg)
{
	*s = (struct sock){ .fd = -1, .writable = true };
	s->ready = ready;
	s->arg = arg;
	event_assign(&s->ev, loop_base(l), fd,
	    EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_edge, s);
	if (event_add(&s->ev, NULL) != 0)
		return false;
	s->fd = fd;
	return true;
}

static bool
is_transient(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

enum sock_result
sock_recv(struct sock *s, void *p, size_t size, size_t *n)
{
	ssize_t got;

	*n = 0;
	if (!s->readable)
		return SOCK_AGAIN;
	do
		got = recv(s->fd, p, size, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		/* less than asked for: it is empty, unless the end waits */
		s->drained = (size_t)got < size && !s->hup;
		if (s->drained && !s->doubt)
			s->readable = false;
		*n = (size_t)got;
		return SOCK_OK;
	}
	if (got == 0)
		return SOCK_EOF;
	if (!is_transient(errno))
		return SOCK_ERROR;
	s->readable = s->doubt = false;
	return SOCK_AGAIN;
}

enum sock_result
sock_send(struct sock *s, const struct iovec *iov, int niov, size_t *n)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = (size_t)niov };
	ssize_t sent;

	*n = 0;
	if (!s->writable)
		return SOCK_AGAIN;
	do
		sent = sendmsg(s->fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0) {
		if (s->drained) /* it lives, so no error waited behind them */
			s->readable = s->doubt = false;
		*n = (size_t)sent;
		return SOCK_OK;
	}
	if (!is_transient(errno))
		return SOCK_ERROR;
	s->writable = false;
	return SOCK_AGAIN;
}

bool
sock_is_dead(const struct sock *s)
{
	struct pollfd p = { .fd = s->fd };

	return poll(&p, 1, 0) > 0 &&
	    (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

void
sock_close(struct sock *s)
{
	if (s->fd < 0)
		return;
	event_del(&s->ev);
	close(s->fd);
	s->fd = -1;
}
