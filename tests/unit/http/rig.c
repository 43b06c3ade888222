/* SPDX-License-Identifier: ISC */
/* A server and its clients in one thread. */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/when.h"

enum { FDS_MAX = 4096, BIG = 4 << 20, HEARD_MAX = BIG + 65536 };

/* What a client has received and the test has not looked at yet. */
static struct {
	char *p;
	size_t n;
	bool eof, broken;
} heard[FDS_MAX];

/* ---- routes */

static struct rig *
rig_of(const struct req *req)
{
	return req->app->ctx;
}

static void
note(struct req *req)
{
	struct rig *r = rig_of(req);
	size_t n = strlen(r->ran);

	snprintf(r->ran + n, sizeof(r->ran) - n, " %u " STR_FMT,
	    (unsigned)req->method, STR_ARG(req->path));
}

/* "path?query|param|peer|body" */
static enum step
echo(struct req *req)
{
	struct arena *a = req->task.arena;

	note(req);
	return req_reply(req, 200, "text/plain",
	    str_printf(a,
		STR_FMT "?" STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT,
		STR_ARG(req->path), STR_ARG(req->query),
		STR_ARG(req->params[0]), STR_ARG(addr_text(a, req->peer)),
		STR_ARG(req->body)));
}

static enum step
nothing(struct req *req)
{
	note(req);
	return req_reply(req, 204, NULL, STR_NONE);
}

static enum step
refuse(struct req *req)
{
	struct problem *p = problem_new(req->task.arena, PROBLEM_RATE_LIMITED,
	    "too many \"things\"");

	note(req);
	p->retry_after = 7;
	return req_fail(req, p);
}

static enum step
big(struct req *req)
{
	char *p = arena_alloc(req->task.arena, BIG);

	note(req);
	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)('a' + i % 26);
	return req_reply(req, 200, "application/octet-stream",
	    str_make(p, BIG));
}

struct waiting {
	struct op op;
	struct rig *rig;
};

static void
detach(struct op *op)
{
	struct waiting *w = (struct waiting *)op;

	w->rig->detached++;
	w->rig->waiting = NULL;
	free(w);
}

static enum step
wait(struct req *req)
{
	struct waiting *w = calloc(1, sizeof(*w));

	note(req);
	w->op.detach = detach;
	w->rig = rig_of(req);
	w->rig->waiting = req;
	task_wait(&req->task, &w->op);
	return STEP_WAITING;
}

void
rig_finish(struct rig *r)
{
	struct req *req = r->waiting;
	struct op *op;

	assert_non_null(req);
	op = LIST_FIRST(&req->task.ops);
	op_done(op);
	free(op);
	r->waiting = NULL;
	(void)req_reply(req, 200, "text/plain", STR("waited"));
}

static enum step
creds(struct req *req)
{
	uid_t uid;
	gid_t gid;
	pid_t pid;

	if (!req_peer_creds(req, &uid, &gid, &pid))
		return req_reply(req, 200, "text/plain", STR("nobody"));
	return req_reply(req, 200, "text/plain",
	    str_printf(req->task.arena, "%u %u %d %d %d", uid, gid, (int)pid,
		req_peer_in_group(req, gid),
		req_peer_in_group(req, (gid_t)-2)));
}

static enum step
cert(struct req *req)
{
	return req_reply(req, 200, "text/plain",
	    str_printf(req->task.arena, "%zu", req->client_cert.n));
}

static enum step
fields(struct req *req)
{
	struct str h = req_header(req, "x-thing");

	return req_reply(req, 200, "text/plain", h.p != NULL ? h : STR("-"));
}

#define ROUTE(id, m, p, max)                                                   \
	static const struct route id##_route = { .methods = (m),               \
		.path = (p),                                                   \
		.name = #id,                                                   \
		.body_max = (max),                                             \
		.start = id }
ROUTE(echo, REQ_GET | REQ_POST, "/echo", 100);
ROUTE(nothing, REQ_GET | REQ_DELETE, "/nothing", 0);
ROUTE(refuse, REQ_GET, "/refuse", 0);
ROUTE(big, REQ_GET, "/big", 0);
ROUTE(wait, REQ_GET | REQ_POST, "/wait", 100);
ROUTE(creds, REQ_GET, "/creds", 0);
ROUTE(cert, REQ_GET, "/cert", 0);
ROUTE(fields, REQ_GET, "/fields", 0);
static const struct route item_route = {
	.methods = REQ_GET, .path = "/item/:id/x", .name = "item", .start = echo
};

static const struct route *const main_routes[] = { &echo_route, &nothing_route,
	&refuse_route, &big_route, &wait_route, &creds_route, &cert_route,
	&fields_route, &item_route, NULL };
static const struct route *const other_routes[] = { &echo_route, NULL };
static const char *const other_prefixes[] = { "/other", "/o/:which", NULL };

static void
mark_main(struct req *req)
{
	struct rig *r = rig_of(req);

	r->replies++;
	if (r->on_reply != NULL)
		r->on_reply(req);
	req_add_header(req, "X-App", STR("main"));
}

static void
mark_other(struct req *req)
{
	req_add_header(req, "X-App", STR("other"));
}

static struct http_app main_app = { .name = "main",
	.routes = main_routes,
	.before_reply = mark_main };
static struct http_app other_app = { .name = "other",
	.prefixes = other_prefixes,
	.routes = other_routes,
	.before_reply = mark_other };

/* ---- the rig */

struct rig *
rig_new(const struct http_limits *limits)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->loop = loop_new();
	r->arena = arena_create();
	r->server = http_server_new(r->loop, limits);
	main_app.ctx = other_app.ctx = r;
	return r;
}

void
rig_free(struct rig *r)
{
	http_server_free(r->server);
	loop_free(r->loop);
	arena_destroy(r->arena);
	for (int i = 0; i < FDS_MAX; i++)
		if (heard[i].p != NULL)
			rig_hang_up(i);
	free(r);
}

void
rig_listen(struct rig *r, struct http_listener_options o)
{
	static const struct http_app *const apps[] = { &main_app, &other_app,
		NULL };
	static unsigned serial;
	const char *why = NULL;

	if (o.address == NULL)
		o.address = "127.0.0.1:0";
	if (strcmp(o.address, "unix") == 0) {
		snprintf(r->path, sizeof(r->path), "rig.%d.%u.sock",
		    (int)getpid(), serial++);
		o.address = str_printf(r->arena, "unix:%s", r->path).p;
	}
	o.apps = apps;
	if (!http_listen(r->server, &o, r->arena, &why))
		fail_msg("%s", why);
	r->port = http_listener_port(r->server, 0);
}

int64_t
rig_deadline(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + 10;
}

static void
wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* One turn; a timer keeps it from waiting for ever. */
void
rig_turn(struct rig *r, int64_t until, const char *what, const char *file,
    int line)
{
	struct timeval soon = { 0, 1000 };
	struct event ev;

	evtimer_assign(&ev, loop_base(r->loop), wake, NULL);
	evtimer_add(&ev, &soon);
	loop_turn(r->loop, LOOP_WAIT);
	evtimer_del(&ev);
	if (rig_deadline() - 10 > until) {
		print_error("%s:%d: waited in vain for %s\n", file, line, what);
		_fail(file, line);
	}
}

/* ---- clients */

static int
dial_unix(const struct rig *r)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(un.sun_path, r->path, strlen(r->path));
	assert_return_code(connect(fd, (struct sockaddr *)&un, sizeof(un)),
	    errno);
	return fd;
}

static int
dial_tcp(const struct rig *r)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)r->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_return_code(connect(fd, (struct sockaddr *)&in, sizeof(in)),
	    errno);
	return fd;
}

int
rig_dial(struct rig *r)
{
	int fd = r->path[0] != '\0' ? dial_unix(r) : dial_tcp(r);

	assert_true(fd < FDS_MAX);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	heard[fd].p = malloc(HEARD_MAX);
	heard[fd].n = 0;
	heard[fd].eof = heard[fd].broken = false;
	return fd;
}

void
rig_say(struct rig *r, int fd, struct str s)
{
	size_t at = 0;
	ssize_t n;

	rig_until(r,
	    ((n = send(fd, s.p + at, s.n - at, MSG_NOSIGNAL)) > 0 ?
		    (at += (size_t)n) :
		    at) == s.n ||
		(n < 0 && errno != EAGAIN));
}

/* Take what has come. */
static void
listen_to(int fd)
{
	ssize_t n = 1;

	while (heard[fd].n < HEARD_MAX &&
	    (n = recv(fd, heard[fd].p + heard[fd].n, HEARD_MAX - heard[fd].n,
		 0)) > 0)
		heard[fd].n += (size_t)n;
	heard[fd].eof = heard[fd].eof || n == 0;
	heard[fd].broken = heard[fd].broken ||
	    (n < 0 && errno != EAGAIN && errno != EINTR);
}

struct str
answer_field(const struct answer *a, const char *name)
{
	struct str rest = a->head;

	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');
		struct str key = str_cut(&line, ':');

		if (str_case_eq(key, str_from(name))) {
			line = str_trim(line);
			if (line.n > 0 && line.p[line.n - 1] == '\r')
				line.n--;
			return line;
		}
	}
	return STR_NONE;
}

static void
drop(struct str *s, size_t n)
{
	*s = str_skip(*s, n);
}

/* Is there a whole answer? Then it is taken off. */
static bool
take_answer(struct rig *r, int fd, bool has_body, struct answer *out)
{
	struct str all;
	uint64_t length = 0;
	char *end;

	listen_to(fd);
	all = str_make(heard[fd].p, heard[fd].n);
	end = memmem(all.p, all.n, "\r\n\r\n", 4);
	if (end == NULL) {
		out->status = 0;
		return heard[fd].eof || heard[fd].broken;
	}
	out->head = str_make(all.p, (size_t)(end - all.p) + 4);
	out->status = (unsigned)atoi(out->head.p + 9);
	if (has_body)
		(void)str_u64(answer_field(out, "Content-Length"), &length);
	if (all.n < out->head.n + length)
		return heard[fd].eof || heard[fd].broken;
	out->head = str_dup(r->arena, out->head);
	drop(&all, out->head.n);
	out->body = str_dup(r->arena, str_make(all.p, length));
	drop(&all, length);
	memmove(heard[fd].p, all.p, all.n);
	heard[fd].n = all.n;
	return true;
}

struct answer
rig_hear(struct rig *r, int fd)
{
	struct answer a = { .status = 0 };

	rig_until(r, take_answer(r, fd, true, &a));
	return a;
}

struct answer
rig_hear_head(struct rig *r, int fd)
{
	struct answer a = { .status = 0 };

	rig_until(r, take_answer(r, fd, false, &a));
	return a;
}

void
rig_expect_end(struct rig *r, int fd)
{
	rig_until(r,
	    (listen_to(fd),
		heard[fd].eof || heard[fd].broken || heard[fd].n > 0));
	if (heard[fd].n > 0)
		fail_msg("more than expected: %.*s", (int)heard[fd].n,
		    heard[fd].p);
	assert_false(heard[fd].broken);
}

void
rig_expect_closed(struct rig *r, int fd)
{
	rig_until(r, (listen_to(fd), heard[fd].eof || heard[fd].broken));
	assert_int_equal(heard[fd].n, 0);
}

void
rig_expect_silence(struct rig *r, int fd)
{
	for (int i = 0; i < 20; i++)
		rig_turn(r, INT64_MAX, "", "", 0);
	listen_to(fd);
	assert_int_equal(heard[fd].n, 0);
	assert_false(heard[fd].eof);
	assert_false(heard[fd].broken);
}

void
rig_hang_up(int fd)
{
	close(fd);
	free(heard[fd].p);
	heard[fd].p = NULL;
}

void
rig_reset(int fd)
{
	struct linger l = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	rig_hang_up(fd);
}
