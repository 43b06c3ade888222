/* SPDX-License-Identifier: ISC */
/* Listening sockets: TCP and unix. */
#include "http/http_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage any;
};

/* ---- addresses as text */

/* "1.2.3.4:80", "[::1]:80" */
static bool
parse_inet(struct str s, union address *out, socklen_t *len)
{
	struct str host = s, port;
	uint64_t number;
	struct addr a;
	size_t colon;

	for (colon = s.n; colon > 0 && s.p[colon - 1] != ':'; colon--)
		;
	if (colon == 0)
		return false;
	port = str_skip(s, colon);
	host.n = colon - 1;
	if (!str_u64(port, &number) || number > UINT16_MAX)
		return false;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_make(host.p + 1, host.n - 2);
	else if (str_find(host, ':') < host.n)
		return false;
	if (!addr_parse(host, &a))
		return false;
	memset(out, 0, sizeof(*out));
	if (a.len == 4) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons((uint16_t)number);
		memcpy(&out->in.sin_addr, a.bytes, 4);
		*len = sizeof(out->in);
	} else {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons((uint16_t)number);
		memcpy(&out->in6.sin6_addr, a.bytes, 16);
		*len = sizeof(out->in6);
	}
	return true;
}

static struct addr
peer_of(const union address *u)
{
	if (u->sa.sa_family == AF_INET)
		return addr_from_bytes(&u->in.sin_addr, 4);
	if (u->sa.sa_family == AF_INET6)
		return addr_from_bytes(&u->in6.sin6_addr, 16);
	return addr_from_bytes(NULL, 0);
}

/* ---- sockets */

static bool
set_option(int fd, int level, int option)
{
	int one = 1;

	return setsockopt(fd, level, option, &one, sizeof(one)) == 0;
}

static bool
bind_inet(struct listener *l, bool reuse_port)
{
	socklen_t len;
	union address u;

	if (!parse_inet(str_from(l->address), &u, &len)) {
		errno = EINVAL;
		return false;
	}
	l->fd = socket(u.sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || !set_option(l->fd, SOL_SOCKET, SO_REUSEADDR) ||
	    (u.sa.sa_family == AF_INET6 &&
		!set_option(l->fd, IPPROTO_IPV6, IPV6_V6ONLY)) ||
	    (reuse_port && !set_option(l->fd, SOL_SOCKET, SO_REUSEPORT)) ||
	    /* what it accepts inherits this one */
	    !set_option(l->fd, IPPROTO_TCP, TCP_NODELAY) ||
	    bind(l->fd, &u.sa, len) != 0 || listen(l->fd, BACKLOG) != 0)
		return false;
	len = sizeof(u);
	if (getsockname(l->fd, &u.sa, &len) != 0)
		return false;
	l->port = ntohs(
	    u.sa.sa_family == AF_INET ? u.in.sin_port : u.in6.sin6_port);
	return true;
}

/* A socket file whose owner is gone refuses connections. */
static bool
is_stale(const struct sockaddr_un *un)
{
	struct stat st;
	int fd, error;

	if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	error = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ?
	    0 :
	    errno;
	close(fd);
	return error == ECONNREFUSED;
}

static bool
bind_file(int fd, const struct sockaddr_un *un, mode_t mode)
{
	mode_t mask = umask(0777 & ~mode);
	int r = bind(fd, (const struct sockaddr *)un, sizeof(*un));
	int error = errno;

	(void)umask(mask);
	errno = error;
	return r == 0;
}

static bool
bind_unix(struct listener *l, mode_t mode)
{
	union address u = { .un = { .sun_family = AF_UNIX } };
	struct stat st;

	if (strlen(l->path) >= sizeof(u.un.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(u.un.sun_path, l->path, strlen(l->path));
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return false;
	if (!bind_file(l->fd, &u.un, mode) &&
	    (errno != EADDRINUSE || !is_stale(&u.un) || unlink(l->path) != 0 ||
		!bind_file(l->fd, &u.un, mode))) {
		free(l->path); /* not ours to remove */
		l->path = NULL;
		return false;
	}
	if (lstat(l->path, &st) != 0)
		return false;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return listen(l->fd, BACKLOG) == 0;
}

/* ---- sockets that were given to us */

static bool
listens(int fd)
{
	socklen_t len = sizeof(int);
	int yes = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 &&
	    yes != 0;
}

static bool
adopt(struct listener *l, int fd)
{
	union address u = { .un = { .sun_family = AF_UNSPEC } };
	socklen_t len = sizeof(u);
	struct stat st;

	l->fd = fd;
	if (!listens(fd)) {
		errno = ENOTSOCK;
		return false;
	}
	/* whoever made it may have made it otherwise */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    getsockname(fd, &u.sa, &len) != 0 || listen(fd, BACKLOG) != 0)
		return false;
	if (l->path == NULL) {
		l->port = ntohs(u.sa.sa_family == AF_INET ? u.in.sin_port :
							    u.in6.sin6_port);
		return set_option(fd, IPPROTO_TCP, TCP_NODELAY);
	}
	if (lstat(l->path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	return true;
}

static bool
is_same_inet(const union address *a, const union address *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_port == b->in.sin_port &&
		    a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return a->in6.sin6_port == b->in6.sin6_port &&
	    memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
}

bool
http_is_socket_at(int fd, const char *address)
{
	union address at = { .un = { .sun_family = AF_UNSPEC } }, want;
	socklen_t len = sizeof(at);

	if (!listens(fd) || getsockname(fd, &at.sa, &len) != 0)
		return false;
	if (str_starts(str_from(address), STR("unix:")))
		return at.sa.sa_family == AF_UNIX &&
		    len > offsetof(struct sockaddr_un, sun_path) &&
		    strncmp(at.un.sun_path, address + 5,
			sizeof(at.un.sun_path)) == 0;
	return parse_inet(str_from(address), &want, &len) &&
	    is_same_inet(&at, &want);
}

/* ---- listeners */

static void *
copy(const void *p, size_t n)
{
	void *to = malloc(n > 0 ? n : 1);

	if (to == NULL)
		abort();
	if (n > 0)
		memcpy(to, p, n);
	return to;
}

static const char *
explain(struct arena *a, const char *address, int error)
{
	if (error == EINVAL)
		return str_printf(a,
		    "\"%s\" is not an address to listen on: \"1.2.3.4:443\", "
		    "\"[::1]:443\" and \"unix:/path\" are",
		    address)
		    .p;
	if (error == EADDRINUSE)
		return str_printf(a,
		    "cannot listen on %s: %s (something else listens there)",
		    address, strerror(error))
		    .p;
	return str_printf(a, "cannot listen on %s: %s", address,
	    strerror(error))
	    .p;
}

struct listener *
listener_new(const struct http_listener_options *o, struct arena *a,
    const char **why)
{
	struct listener *l = copy(&(struct listener){ .fd = -1 }, sizeof(*l));
	bool ok;

	l->address = copy(o->address, strlen(o->address) + 1);
	l->tls = o->tls;
	l->proxy = o->proxy;
	l->forwarded = o->forwarded;
	l->given = o->shared;
	l->trusted = copy(o->trusted, o->ntrusted * sizeof(*o->trusted));
	l->ntrusted = o->ntrusted;
	l->router = router_new(o->apps);
	if (str_starts(str_from(o->address), STR("unix:"))) {
		l->path = copy(o->address + 5, strlen(o->address + 5) + 1);
		ok = o->fd > 0 ? adopt(l, o->fd) :
				 bind_unix(l, o->mode != 0 ? o->mode : 0600);
	} else {
		ok = o->fd > 0 ? adopt(l, o->fd) : bind_inet(l, o->reuse_port);
	}
	if (ok)
		return l;
	*why = explain(a, o->address, errno);
	listener_free(l);
	return NULL;
}

void
listener_close(struct listener *l)
{
	struct stat st;

	if (l->fd < 0)
		return;
	if (l->server != NULL)
		event_del(&l->accept);
	close(l->fd);
	l->fd = -1;
	if (l->path != NULL && !l->given && lstat(l->path, &st) == 0 &&
	    st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
}

void
listener_free(struct listener *l)
{
	listener_close(l);
	router_free(l->router);
	free(l->address);
	free(l->path);
	free(l->trusted);
	free(l);
}

int
listener_accept(const struct listener *l, struct addr *peer)
{
	union address u = { .un = { .sun_family = AF_UNSPEC } };
	socklen_t len = sizeof(u);
	int fd = accept4(l->fd, &u.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		*peer = peer_of(&u);
	return fd;
}

bool
listener_trusts(const struct listener *l, struct addr peer)
{
	if (peer.len == 0)
		return true; /* the mode of the socket file let it in */
	for (size_t i = 0; i < l->ntrusted; i++)
		if (prefix_has(&l->trusted[i], peer))
			return true;
	return false;
}
