/* SPDX-License-Identifier: ISC */
/*
 * Requests: the parser by itself, and a connection that gets the bytes. How
 * they are cut must not change the verdict, every request is answered once
 * and in order, and nothing is left behind.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http_int.h"
#include "log/log.h"

/* ---- the parser */

struct verdict {
	enum scan scan;
	size_t len;
	enum problem_type type;
};

/* Show the scanner `step` more bytes each time. */
static struct verdict
scan(const char *p, size_t n, size_t step)
{
	struct head_scan s = { .at = 0 };
	struct verdict v = { .scan = SCAN_MORE };
	const char *why;

	for (size_t seen = 0; v.scan == SCAN_MORE && seen < n;) {
		seen += step < n - seen ? step : n - seen;
		v.scan = scan_head(&s, p, seen, &v.len, &v.type, &why);
		PROMISE(v.scan != SCAN_BAD || why != NULL);
	}
	return v;
}

static void
check_path(struct str path)
{
	PROMISE(path.n > 0 && (path.p[0] == '/' || str_is(path, "*")));
	for (size_t i = 0; i < path.n; i++)
		PROMISE(path.p[i] > ' ' && path.p[i] < 0x7f &&
		    path.p[i] != '%' && path.p[i] != '?' && path.p[i] != '\\' &&
		    path.p[i] != '#');
	while (path.n > 0) {
		struct str segment = str_cut(&path, '/');

		PROMISE(!str_is(segment, ".") && !str_is(segment, ".."));
	}
}

static void
check_fields(const struct head *h)
{
	for (size_t i = 0; i < h->nfields; i++) {
		PROMISE(is_token(h->fields[i].name));
		for (size_t j = 0; j < h->fields[i].value.n; j++)
			PROMISE(is_field_char(h->fields[i].value.p[j]));
	}
}

/* The data of a chunked body, read `step` bytes at a time. */
static enum chunk
unchunk(struct str in, size_t step, struct buf *out, size_t *eaten)
{
	struct chunked k = { .left = 0 };
	enum chunk r = CHUNK_MORE;
	const char *why;

	*eaten = 0;
	while (r == CHUNK_MORE && *eaten < in.n) {
		struct str part = str_make(in.p + *eaten,
		    step < in.n - *eaten ? step : in.n - *eaten);
		size_t had = part.n;

		do {
			struct str data = STR_NONE;

			r = chunked_read(&k, &part, &data, &why);
			buf_str(out, data);
		} while (r == CHUNK_DATA);
		PROMISE(r != CHUNK_MORE || part.n == 0);
		*eaten += had - part.n;
	}
	PROMISE(!out->full && out->len <= in.n);
	return r;
}

static void
check_chunks(struct arena *a, struct str in)
{
	struct buf whole = buf_new(a, in.n), cut = buf_new(a, in.n);
	size_t eaten, eaten_cut;
	enum chunk r = unchunk(in, in.n, &whole, &eaten);

	PROMISE(unchunk(in, 1, &cut, &eaten_cut) == r);
	PROMISE(str_eq(buf_view(&whole), buf_view(&cut)));
	PROMISE(r == CHUNK_BAD || eaten == eaten_cut);
}

static void
parse(struct arena *a, const char *p, size_t n)
{
	struct verdict v = scan(p, n, n), cut = scan(p, n, 1);
	const struct problem *problem;
	struct head h;

	PROMISE(v.scan == cut.scan && v.len == cut.len);
	PROMISE(v.scan != SCAN_BAD || v.type == cut.type);
	if (v.scan != SCAN_DONE)
		return;
	problem = parse_head(a, str_make(p, v.len), &h);
	if (problem != NULL) {
		PROMISE(problem_status(problem->type) >= 400);
		return;
	}
	PROMISE(h.minor <= 1 && h.nfields <= HEAD_FIELDS_MAX);
	PROMISE(!h.chunked || (h.length == 0 && h.minor == 1));
	check_path(h.path);
	check_fields(&h);
	if (h.chunked)
		check_chunks(a, str_make(p + v.len, n - v.len));
}

/* ---- a connection */

static unsigned requests, replies;

static enum step
answer(struct req *req)
{
	requests++;
	check_path(req->path);
	PROMISE(req->body.n <= req->route->body_max);
	return req_reply(req, 200, "text/plain", req->body);
}

static void
count(struct req *req)
{
	(void)req;
	replies++;
}

static const struct route any_route = { .methods = REQ_GET | REQ_POST,
	.path = "/x",
	.name = "x",
	.body_max = 1000,
	.start = answer };
static const struct route param_route = {
	.methods = REQ_PUT, .path = "/:a/:b", .name = "params", .start = answer
};
static const struct route *const routes[] = { &any_route, &param_route, NULL };
static const struct http_app app = { .name = "app",
	.routes = routes,
	.before_reply = count };
static const struct http_app *const apps[] = { &app, NULL };

static size_t
drain(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (
	    n < size && (got = recv(fd, out + n, size - n, MSG_DONTWAIT)) > 0)
		n += (size_t)got;
	return n;
}

static void
feed(struct http_server *s, const struct listener *l, const uint8_t *data,
    size_t size, size_t step)
{
	static char out[1 << 20];
	size_t n = 0;
	int fds[2];

	requests = replies = 0;
	PROMISE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	conn_open(s, l, fds[0], addr_from_bytes(NULL, 0));
	for (size_t at = 0; at < size; at += step) {
		size_t part = step < size - at ? step : size - at;

		(void)!send(fds[1], data + at, part, MSG_NOSIGNAL);
		loop_turn(s->loop, LOOP_POLL);
		n += drain(fds[1], out + n, sizeof(out) - n);
	}
	shutdown(fds[1], SHUT_WR);
	for (int i = 0; i < 1000 && s->open > 0; i++) {
		loop_turn(s->loop, LOOP_POLL);
		n += drain(fds[1], out + n, sizeof(out) - n);
	}
	PROMISE(s->open == 0);
	PROMISE(replies >= requests);
	PROMISE(n == 0 || memcmp(out, "HTTP/1.1 ", 9) == 0);
	PROMISE(replies == 0 || n > 0);
	close(fds[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_server *server;
	static struct listener listener;
	static char name[] = "fuzz";
	struct arena *a = arena_create();
	unsigned whole;

	if (server == NULL) {
		log_set(&(struct log_options){ .level = LOG_ERROR });
		server = http_server_new(loop_new(),
		    &(struct http_limits){ .header_max = 4096 });
		listener = (struct listener){ .fd = -1,
			.address = name,
			.router = router_new(apps) };
	}
	parse(a, (const char *)data, size);
	if (size <= 16384) { /* a socket takes it in one piece */
		feed(server, &listener, data, size, size > 0 ? size : 1);
		whole = requests;
		if (size <= 512) {
			feed(server, &listener, data, size, 1);
			PROMISE(requests == whole);
		}
	}
	arena_destroy(a);
	return 0;
}
