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
connect_socket(const char *path, enum ctl_exit *code)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = CTL_TIMEOUT };
	int fd;

	*code = CTL_UNREACHABLE;
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
	*code = errno == EACCES || errno == EPERM ? CTL_FORBIDDEN :
						    CTL_UNREACHABLE;
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

/* The length that the header promises; false if it does not. */
static bool
promised_length(struct str head, uint64_t *out)
{
	while (head.n > 0) {
		struct str line = str_cut(&head, '\n');
		struct str name = str_cut(&line, ':');

		if (str_case_eq(name, STR("content-length"))) {
			if (line.n > 0 && line.p[line.n - 1] == '\r')
				line.n--;
			return str_u64(str_trim(line), out);
		}
	}
	return false;
}

/* "HTTP/1.1 200 ...", the header, and the whole body behind the empty line. */
static bool
parse_reply(struct str text, struct reply *out)
{
	const char *end = text.n > 0 ? memmem(text.p, text.n, "\r\n\r\n", 4) :
				       NULL;
	uint64_t status, length;

	if (end == NULL || !str_starts(text, STR("HTTP/1.1 ")) || text.n < 12 ||
	    !str_u64(str_make(text.p + 9, 3), &status) ||
	    !promised_length(str_make(text.p, (size_t)(end - text.p)), &length))
		return false;
	out->status = (unsigned)status;
	out->body = str_skip(text, (size_t)(end - text.p) + 4);
	return out->body.n == length;
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
	enum ctl_exit code;
	int fd = connect_socket(ctl->socket, &code);
	bool ok;

	if (fd < 0)
		return code;
	ok = send_all(fd, request) && receive_all(fd, &answer) &&
	    parse_reply(buf_view(&answer), out);
	close(fd);
	if (ok)
		return CTL_OK;
	fprintf(stderr,
	    "certloopctl: certloopd at %s gave no answer, or only part of "
	    "one\n",
	    ctl->socket);
	return CTL_UNREACHABLE;
}

enum ctl_exit
ctl_refused(const struct reply *r, const struct json *j)
{
	struct str detail = json_get_str(j, "detail");
	struct arena *a = arena_create();

	if (detail.p == NULL)
		detail = STR("it gave no reason");
	fprintf(stderr, "certloopctl: certloopd refused (%u): " STR_FMT "\n",
	    r->status, STR_ARG(text_clean(a, detail)));
	arena_destroy(a);
	if (r->status == 404)
		return CTL_NOT_FOUND;
	return r->status == 403 ? CTL_FORBIDDEN : CTL_REFUSED;
}

/* The body is kept in *raw. */
static enum ctl_exit
ask(struct ctl *ctl, const char *method, const char *path, struct str body,
    unsigned also, const struct json **out, struct str *raw)
{
	struct reply r;
	enum ctl_exit code = ctl_request(ctl, method, path, body, &r);
	const char *why;

	if (code != CTL_OK)
		return code;
	*out = json_parse(ctl->arena, r.body, &why);
	if (r.status / 100 != 2 && r.status != also)
		return ctl_refused(&r, *out);
	*raw = r.body;
	if (*out != NULL)
		return CTL_OK;
	fprintf(stderr, "certloopctl: the answer of certloopd is no JSON: %s\n",
	    why);
	return CTL_UNREACHABLE;
}

enum ctl_exit
ctl_fetch(struct ctl *ctl, const char *method, const char *path,
    struct str body, unsigned also, const struct json **out)
{
	struct str raw;

	return ask(ctl, method, path, body, also, out, &raw);
}

enum ctl_exit
ctl_ask(struct ctl *ctl, const char *method, const char *path, struct str body,
    unsigned also, const struct json **out)
{
	struct str raw = STR_NONE;
	enum ctl_exit code = ask(ctl, method, path, body, also, out, &raw);

	if (code == CTL_OK && ctl->json)
		printf(STR_FMT "\n", STR_ARG(raw));
	return code;
}

/* ---- paths and bodies */

/* All but letters that stand for themselves in a path and in a query. */
static void
put_escaped(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') ||
		    (c != '\0' && strchr("-._~:", c) != NULL))
			buf_char(b, (char)c);
		else
			buf_printf(b, "%%%02X", c);
	}
}

const char *
ctl_path(struct ctl *ctl, const char *before, const char *argument,
    const char *after)
{
	struct buf b = buf_new(ctl->arena, CTL_PATH_MAX);

	buf_str(&b, str_from(before));
	put_escaped(&b, str_from(argument));
	buf_str(&b, str_from(after));
	return str_cstr(ctl->arena, buf_view(&b));
}

const char *
ctl_query(struct ctl *ctl, const char *path)
{
	struct buf b = buf_new(ctl->arena, CTL_PATH_MAX);
	char sep = '?';

	buf_str(&b, str_from(path));
	for (size_t i = 0; i < ctl->ngiven; i++) {
		const struct command_option *o = ctl->given[i].option;

		if (o->value == NULL || strcmp(o->name, "limit") == 0 ||
		    strcmp(o->name, "cursor") == 0)
			continue;
		buf_printf(&b, "%c%s=", sep, o->name);
		put_escaped(&b, str_from(ctl->given[i].value));
		sep = '&';
	}
	return str_cstr(ctl->arena, buf_view(&b));
}

struct str
ctl_body(struct ctl *ctl, const char *name, const char *value)
{
	struct json_writer *w = json_writer_new(ctl->arena, CTL_REPLY_MAX);

	json_open_object(w, NULL);
	json_str(w, name, str_from(value));
	json_close(w);
	return json_text(w);
}
