/* SPDX-License-Identifier: ISC */
/* Connections to the admin socket, and bytes over those of either kind. */
#include "ctl/link.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/buf.h"

static int
connect_socket(const char *path, enum ctl_exit *code)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = CTL_TIMEOUT };
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		fprintf(stderr,
		    "certloopctl: the socket's path is too long: "
		    "%s\n",
		    path);
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == 0 &&
	    connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		*code = CTL_FORBIDDEN;
	fprintf(stderr, "certloopctl: cannot reach certloopd at %s: %s\n", path,
	    strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

bool
link_open(struct ctl *ctl, struct link *l, enum ctl_exit *code)
{
	*code = CTL_UNREACHABLE;
	l->ssl = NULL;
	if (ctl->server == NULL) {
		l->fd = connect_socket(ctl->socket, code);
		return l->fd >= 0;
	}
	if ((l->fd = tls_connect(ctl)) < 0)
		return false;
	if ((l->ssl = tls_open(ctl, l->fd)) != NULL)
		return true;
	close(l->fd);
	return false;
}

void
link_close(struct link *l)
{
	SSL_free(l->ssl);
	close(l->fd);
}

/* As send(2) and recv(2) say. */
static ssize_t
write_some(struct link *l, struct str s)
{
	int n;

	if (l->ssl == NULL)
		return send(l->fd, s.p, s.n, MSG_NOSIGNAL);
	n = SSL_write(l->ssl, s.p, (int)s.n);
	return n > 0 ? n : -1;
}

static ssize_t
read_some(struct link *l, char *room, size_t n)
{
	int got;

	if (l->ssl == NULL)
		return recv(l->fd, room, n, 0);
	errno = 0;
	got = SSL_read(l->ssl, room, (int)n);
	if (got > 0)
		return got;
	/* without a word of goodbye too: the length tells if all is there */
	return SSL_get_error(l->ssl, got) == SSL_ERROR_ZERO_RETURN ||
		errno == 0 ?
	    0 :
	    -1;
}

bool
link_send(struct link *l, struct str s)
{
	/* BoringSSL's sockets know no MSG_NOSIGNAL */
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);

	while (s.n > 0) {
		ssize_t n = write_some(l, s);

		if (n < 0 && l->ssl == NULL && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		s = str_skip(s, (size_t)n);
	}
	(void)signal(SIGPIPE, before);
	return s.n == 0;
}

bool
link_receive(struct link *l, struct buf *b)
{
	enum { STEP = 16384 };

	for (;;) {
		char *room = buf_room(b, STEP);
		ssize_t n = room != NULL ? read_some(l, room, STEP) : -1;

		if (n == 0)
			return true;
		if (n < 0 && room != NULL && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		b->len += (size_t)n;
	}
}
