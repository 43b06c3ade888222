/* SPDX-License-Identifier: ISC */
/*
 * One HTTP request over the admin socket, with a deadline. The connection is
 * not kept, so the answer ends where the connection does.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"

static int
connect_socket(const char *path)
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
	fprintf(stderr, "certloopctl: cannot reach certloopd at %s: %s\n", path,
	    strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
send_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = str_skip(s, (size_t)n);
	}
	return true;
}

static bool
receive_all(int fd, struct buf *b)
{
	enum { STEP = 16384 };

	for (;;) {
		char *room = buf_room(b, STEP);
		ssize_t n = room != NULL ? recv(fd, room, STEP, 0) : -1;

		if (n == 0)
			return true;
		if (n < 0 && room != NULL && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		b->len += (size_t)n;
	}
}

/* "HTTP/1.1 200 ..." and the body behind the empty line. */
static bool
parse_reply(struct str text, struct reply *out)
{
	const char *end = text.n > 0 ? memmem(text.p, text.n, "\r\n\r\n", 4) :
				       NULL;
	uint64_t status;

	if (end == NULL || !str_starts(text, STR("HTTP/1.1 ")) || text.n < 12 ||
	    !str_u64(str_make(text.p + 9, 3), &status))
		return false;
	out->status = (unsigned)status;
	out->body = str_skip(text, (size_t)(end - text.p) + 4);
	return true;
}

enum ctl_exit
ctl_request(struct ctl *ctl, const char *method, const char *path,
    struct str body, struct reply *out)
{
	struct buf answer = buf_new(ctl->arena, CTL_REPLY_MAX);
	struct str request = str_printf(ctl->arena,
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	    "Content-Type: application/json\r\nContent-Length: "
	    "%zu\r\n\r\n" STR_FMT,
	    method, path, body.n, STR_ARG(body));
	int fd = connect_socket(ctl->socket);
	bool ok;

	if (fd < 0)
		return CTL_UNREACHABLE;
	ok = send_all(fd, request) && receive_all(fd, &answer) &&
	    parse_reply(buf_view(&answer), out);
	close(fd);
	if (ok)
		return CTL_OK;
	fprintf(stderr, "certloopctl: certloopd at %s gave no answer\n",
	    ctl->socket);
	return CTL_UNREACHABLE;
}

static enum ctl_exit
refused(const struct reply *r, const struct json *j)
{
	struct str detail = json_get_str(j, "detail");

	fprintf(stderr, "certloopctl: certloopd refused (%u): ", r->status);
	if (detail.p != NULL)
		fprintf(stderr, STR_FMT "\n", STR_ARG(detail));
	else
		fputs("it gave no reason\n", stderr);
	return CTL_REFUSED;
}

enum ctl_exit
ctl_ask(struct ctl *ctl, const char *method, const char *path, struct str body,
    unsigned also, const struct json **out)
{
	struct reply r;
	enum ctl_exit code = ctl_request(ctl, method, path, body, &r);
	const char *why;

	if (code != CTL_OK)
		return code;
	*out = json_parse(ctl->arena, r.body, &why);
	if (r.status / 100 != 2 && r.status != also)
		return refused(&r, *out);
	if (*out == NULL) {
		fprintf(stderr,
		    "certloopctl: the answer of certloopd is no "
		    "JSON: %s\n",
		    why);
		return CTL_UNREACHABLE;
	}
	if (ctl->json)
		printf(STR_FMT "\n", STR_ARG(r.body));
	return CTL_OK;
}
