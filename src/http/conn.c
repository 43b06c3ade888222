/* SPDX-License-Identifier: ISC */
/*
 * A connection: one state machine from accept to close.
 *
 *	PROXY -> TLS -> HEAD -> BODY -> BUSY -> REPLY -> HEAD ...
 *	                  any of them -> LINGER -> DEAD
 *
 * conn_run goes on while there is input and the state wants some. A handler
 * may answer at once, within conn_run, or any time later; conn_replied is
 * where both ways meet. While it works nothing is read, so what a client
 * pipelines waits in the socket; only a reset is noticed.
 *
 * Nobody frees a connection under its own feet: conn_close leaves a shell
 * that the server frees when the turn ends.
 */
#include "http/http_int.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/mem.h>

#include "base/when.h"
#include "log/log.h"

enum go { GO_ON, GO_WAIT };

static void conn_run(struct http_conn *);
static void on_ready(void *);
static void on_again(void *);

/* ---- life */

static void
begin(struct http_conn *c)
{
	if (c->listener->proxy) {
		c->state = CONN_PROXY;
	} else if (c->listener->tls != NULL) {
		c->state = CONN_TLS;
		c->tls = tls_conn_new(c->listener->tls, &c->sock, STR_NONE);
	} else {
		c->state = CONN_HEAD;
	}
}

void
conn_open(struct http_server *s, const struct listener *l, int fd,
    struct addr peer)
{
	struct http_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->server = s;
	c->listener = l;
	c->peer = peer;
	deferred_init(&c->again, on_again, c);
	if (!sock_start(&c->sock, s->loop, fd, on_ready, c)) {
		close(fd);
		free(c);
		return;
	}
	server_add(c, PHASE_HEAD);
	begin(c);
}

void
conn_close(struct http_conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	if (c->rq != NULL)
		request_abort(c->rq, "closed");
	c->state = CONN_DEAD;
	tls_conn_free(c->tls);
	sock_close(&c->sock);
	conn_forget(c);
	free(c->out.p);
	loop_undefer(c->server->loop, &c->again);
	server_remove(c);
}

/* The client is gone, and its request with it. */
static void
abandon(struct http_conn *c)
{
	request_abort(c->rq, "reset");
	conn_close(c);
}

/* Everything is said: let the client read it before the socket goes. */
static void
linger(struct http_conn *c)
{
	if (c->broken) {
		conn_close(c);
		return;
	}
	conn_shut(c);
	c->state = CONN_LINGER;
	server_enter(c, PHASE_LINGER);
	if (c->sock.readable && !c->running)
		loop_defer(c->server->loop, &c->again);
}

/* Bytes to throw away go where all input goes. */
static enum go
run_linger(struct http_conn *c)
{
	struct window *w = &c->server->window;
	enum sock_result r;
	size_t n;

	while ((r = sock_recv(&c->sock, w->p, w->cap, &n)) == SOCK_OK) {
		OPENSSL_cleanse(w->p, n);
		c->dropped += n;
		if (c->dropped > LINGER_BYTES)
			break;
	}
	if (r != SOCK_AGAIN)
		conn_close(c);
	return GO_WAIT;
}

/* ---- replies */

/* The reply is out: the next request, or the end. */
static void
next(struct http_conn *c)
{
	if (c->broken || c->last) {
		linger(c);
		return;
	}
	c->state = CONN_HEAD;
	c->scan = (struct head_scan){ .at = 0 };
	server_enter(c, PHASE_IDLE);
	if (!c->running && conn_has_input(c))
		loop_defer(c->server->loop, &c->again);
}

void
conn_replied(struct http_conn *c)
{
	if (c->out.len == 0 || c->broken) {
		next(c);
		return;
	}
	c->state = CONN_REPLY;
	server_enter(c, PHASE_REPLY);
}

/* The request that is being received, made up if it has not got that far. */
static struct request *
request(struct http_conn *c)
{
	struct match m;

	if (c->rq == NULL)
		c->rq = request_new(c);
	if (c->rq->stats == NULL) {
		router_find(c->listener->router, 0, c->rq->req.path, &m);
		c->rq->req.app = m.app;
		c->rq->stats = m.stats;
	}
	return c->rq;
}

void
conn_fail(struct http_conn *c, const struct problem *p)
{
	c->last = true; /* where the next request would begin is not known */
	(void)req_fail(&request(c)->req, p);
}

/* Of a head that nobody read to its end: HEAD, which gets no body, or 0. */
static unsigned
begun_method(struct str head)
{
	return str_starts(head, STR("HEAD ")) ? REQ_HEAD : 0;
}

static enum go
fail(struct http_conn *c, enum problem_type type, const char *text)
{
	struct request *rq = request(c);

	if (c->phase == PHASE_HEAD)
		rq->req.method = begun_method(c->running ?
			window_view(&c->server->window) :
			str_make(c->kept, c->nkept));
	conn_fail(c, problem_new(rq->req.task.arena, type, "%s", text));
	return GO_ON;
}

/* ---- PROXY and TLS */

static void
refuse(struct http_conn *c, const char *reason)
{
	struct arena *a = arena_create();

	metrics_count(FAMILY_connections_refused, reason);
	log_sampled(LOG_WARN, 5, "connection refused",
	    LOG_TEXT("reason", reason), LOG_STR("peer", addr_text(a, c->peer)),
	    LOG_TEXT("listener", c->listener->address));
	arena_destroy(a);
	conn_close(c);
}

static enum go
wait_or_close(struct http_conn *c, enum input in)
{
	if (in == INPUT_DATA)
		return GO_ON;
	if (in == INPUT_EOF && c->tls != NULL)
		tls_conn_shutdown(c->tls); /* a goodbye for a goodbye */
	if (in != INPUT_NONE)
		conn_close(c);
	return GO_WAIT;
}

static enum go
run_proxy(struct http_conn *c)
{
	struct window *w = &c->server->window;
	struct proxy header;

	switch (proxy_parse(window_view(w), &header)) {
	case PROXY_MORE:
		return wait_or_close(c, conn_fill(c));
	case PROXY_BAD:
		refuse(c, "proxy");
		return GO_WAIT;
	default:
		break;
	}
	if (header.has_peer)
		c->peer = header.peer;
	w->start += header.len;
	c->state = CONN_HEAD;
	if (c->listener->tls != NULL) {
		c->state = CONN_TLS;
		c->tls = tls_conn_new(c->listener->tls, &c->sock,
		    window_view(w));
		w->start = w->end = 0;
	}
	return GO_ON;
}

static void
handshake_failed(struct http_conn *c)
{
	struct arena *a = arena_create();

	metrics_add(METRIC_tls_handshake_failures, 1);
	log_sampled(LOG_INFO, 5, "TLS handshake failed",
	    LOG_TEXT("error", tls_conn_error(c->tls)),
	    LOG_STR("peer", addr_text(a, c->peer)),
	    LOG_TEXT("listener", c->listener->address));
	arena_destroy(a);
	linger(c); /* for the alert to arrive */
}

static enum go
run_tls(struct http_conn *c)
{
	switch (tls_conn_handshake(c->tls)) {
	case TLS_OK:
		metrics_add(METRIC_tls_handshakes, 1);
		c->state = CONN_HEAD;
		return GO_ON;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		return GO_WAIT;
	default:
		handshake_failed(c);
		return GO_ON;
	}
}

/* ---- requests */

static enum go
dispatch(struct http_conn *c)
{
	struct req *req = &c->rq->req;
	const struct route *route = req->route;
	enum step step;

	req->body = buf_view(&c->rq->body);
	req->started = request_clock();
	c->state = CONN_BUSY;
	step = route->start(req);
	if (step == STEP_DONE)
		return GO_ON; /* answered, req is gone */
	assert(task_is_waiting(&req->task));
	server_enter(c, PHASE_BUSY);
	if (c->sock.readable && sock_is_dead(&c->sock))
		abandon(c); /* the reset came with the request */
	return GO_WAIT;
}

static void
add_allow(struct req *req, unsigned allow)
{
	static const struct {
		unsigned bit;
		const char *name;
	} methods[] = {
		{ REQ_GET, "GET" },
		{ REQ_HEAD, "HEAD" },
		{ REQ_POST, "POST" },
		{ REQ_PUT, "PUT" },
		{ REQ_PATCH, "PATCH" },
		{ REQ_DELETE, "DELETE" },
	};
	struct buf b = buf_new(req->task.arena, 128);

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (allow & methods[i].bit)
			buf_printf(&b, "%s%s", b.len > 0 ? ", " : "",
			    methods[i].name);
	req_add_header(req, "Allow", buf_view(&b));
}

/* No such path, or not with this method. */
static const struct problem *
no_route(struct req *req, const struct match *m)
{
	const struct request *rq = request_of(req);

	if (m->allow == 0)
		return problem_new(req->task.arena, PROBLEM_NOT_FOUND,
		    "there is no \"" STR_FMT "\"",
		    (int)(req->path.n < 200 ? req->path.n : 200), req->path.p);
	add_allow(req, m->allow);
	return problem_new(req->task.arena, PROBLEM_METHOD,
	    "the method %s is not allowed here", rq->head.method_name);
}

/* May the body come? */
static const struct problem *
check_body(struct request *rq)
{
	size_t max = rq->req.route->body_max;

	rq->body = buf_new(rq->req.task.arena, max);
	if (rq->head.length <= max)
		return NULL;
	if (max == 0)
		return problem_new(rq->req.task.arena, PROBLEM_TOO_LARGE,
		    "a body has no place here");
	return problem_new(rq->req.task.arena, PROBLEM_TOO_LARGE,
	    "the body has more than %zu bytes", max);
}

static void
fill_req(struct http_conn *c, struct request *rq)
{
	struct req *req = &rq->req;

	req->method = (enum req_method)rq->head.method;
	req->path = rq->head.path;
	req->query = rq->head.query;
	req->peer = forwarded_client(c->listener, req, c->peer);
	if (c->tls != NULL)
		req->client_cert = tls_conn_client_cert(c->tls,
		    req->task.arena);
}

static enum go
start_body(struct http_conn *c)
{
	struct window *w = &c->server->window;
	const struct head *h = &c->rq->head;

	c->state = CONN_BODY;
	c->chunked = (struct chunked){ .left = 0 };
	server_enter(c, PHASE_BODY);
	if (h->expect_continue && w->start == w->end)
		conn_send(c, c->rq->req.task.arena,
		    STR("HTTP/1.1 100 Continue\r\n\r\n"), STR_NONE);
	return GO_ON;
}

static void
wipe(struct str s)
{
	OPENSSL_cleanse((void *)(uintptr_t)s.p, s.n);
}

/* What all connections read into keeps no credentials. */
static void
wipe_credentials(struct request *rq, struct str copy, struct str received)
{
	const struct head *h = &rq->head;

	for (size_t i = 0; i < h->nfields; i++) {
		struct str v = h->fields[i].value;

		if (v.n == 0 ||
		    !str_case_eq(h->fields[i].name, STR("Authorization")))
			continue;
		wipe(str_make(received.p + (v.p - copy.p), v.n));
		rq->has_credentials = true;
	}
}

/*
 * Of a head that is refused, the parser may not have come to its credentials:
 * nothing stays behind the target, which the log names.
 */
static void
wipe_refused(const struct request *rq, struct str copy, struct str received)
{
	struct str target = rq->head.target;
	size_t at = target.n > 0 ? (size_t)(target.p - copy.p) + target.n : 0;

	wipe(str_skip(copy, at));
	wipe(received);
}

/* A head is complete: where does it go, and may it? */
static enum go
take_head(struct http_conn *c, struct str text)
{
	struct request *rq = c->rq = request_new(c);
	struct arena *a = rq->req.task.arena;
	struct str copy = str_dup(a, text);
	const struct problem *p;
	struct match m;
	bool body;

	p = parse_head(a, copy, &rq->head);
	if (p != NULL) {
		rq->req.method = rq->head.method != 0 ? rq->head.method :
							begun_method(copy);
		wipe_refused(rq, copy, text);
		rq->req.path = rq->head.path;
		conn_fail(c, p);
		return GO_ON;
	}
	wipe_credentials(rq, copy, text);
	fill_req(c, rq);
	router_find(c->listener->router, rq->head.method, rq->head.path, &m);
	rq->req.app = m.app;
	rq->req.route = m.route;
	rq->stats = m.stats;
	memcpy(rq->req.params, m.params, sizeof(m.params));
	body = rq->head.chunked || rq->head.length > 0;
	c->last = !rq->head.keep_alive;
	if (m.route == NULL) {
		c->last = c->last || body;
		(void)req_fail(&rq->req, no_route(&rq->req, &m));
		return GO_ON;
	}
	if ((p = check_body(rq)) != NULL) {
		conn_fail(c, p);
		return GO_ON;
	}
	return body ? start_body(c) : dispatch(c);
}

static enum go
more_head(struct http_conn *c)
{
	struct window *w = &c->server->window;
	enum input in;

	if (w->end - w->start > c->server->limits.header_max)
		return fail(c, PROBLEM_HEADER_TOO_LARGE,
		    "the header is too large");
	in = conn_fill(c);
	if (in == INPUT_EOF && w->end > w->start)
		return fail(c, PROBLEM_MALFORMED,
		    "the connection ended within the header");
	return wait_or_close(c, in);
}

static enum go
run_head(struct http_conn *c)
{
	struct window *w = &c->server->window;
	struct str view = window_view(w);
	enum problem_type type;
	const char *why;
	size_t len;

	if (view.n == 0)
		return more_head(c);
	if (c->phase == PHASE_IDLE)
		server_enter(c, PHASE_HEAD);
	switch (scan_head(&c->scan, view.p, view.n, &len, &type, &why)) {
	case SCAN_MORE:
		return more_head(c);
	case SCAN_BAD:
		return fail(c, type, why);
	default:
		break;
	}
	if (len > c->server->limits.header_max)
		return fail(c, PROBLEM_HEADER_TOO_LARGE,
		    "the header is too large");
	view.n = len;
	w->start += len;
	return take_head(c, view);
}

/* ---- bodies */

static enum go
more_body(struct http_conn *c)
{
	enum input in = conn_fill(c);

	if (in == INPUT_EOF)
		return fail(c, PROBLEM_MALFORMED,
		    "the connection ended within the body");
	return wait_or_close(c, in);
}

static enum go
run_sized(struct http_conn *c)
{
	struct window *w = &c->server->window;
	struct buf *body = &c->rq->body;
	struct str view = window_view(w);
	size_t left = (size_t)c->rq->head.length - body->len;

	if (view.n > left)
		view.n = left;
	buf_str(body, view);
	w->start += view.n;
	return view.n == left ? dispatch(c) : more_body(c);
}

static enum go
run_chunked(struct http_conn *c)
{
	struct window *w = &c->server->window;
	struct buf *body = &c->rq->body;
	const char *why;

	for (;;) {
		struct str view = window_view(w), data = STR_NONE;
		enum chunk r = chunked_read(&c->chunked, &view, &data, &why);

		w->start = w->end - view.n;
		if (r == CHUNK_BAD)
			return fail(c, PROBLEM_MALFORMED, why);
		buf_str(body, data);
		if (body->full || c->chunked.left > body->max - body->len)
			return fail(c, PROBLEM_TOO_LARGE,
			    "the body is too large");
		if (r == CHUNK_END)
			return dispatch(c);
		if (r == CHUNK_MORE)
			return more_body(c);
	}
}

static enum go
run_body(struct http_conn *c)
{
	return c->rq->head.chunked ? run_chunked(c) : run_sized(c);
}

/* ---- running */

static enum go
run_state(struct http_conn *c)
{
	switch (c->state) {
	case CONN_PROXY:
		return run_proxy(c);
	case CONN_TLS:
		return run_tls(c);
	case CONN_HEAD:
		return run_head(c);
	case CONN_BODY:
		return run_body(c);
	case CONN_LINGER:
		return run_linger(c);
	case CONN_BUSY:
	case CONN_REPLY:
	case CONN_DEAD:
		break;
	}
	return GO_WAIT;
}

/* At most PIPELINE_TURN requests: others want their turn too. */
static void
conn_run(struct http_conn *c)
{
	unsigned requests = 0;

	assert(!c->running);
	c->running = true;
	(void)window_open(c);
	while (run_state(c) == GO_ON)
		if (c->state == CONN_HEAD && c->phase == PHASE_IDLE &&
		    ++requests == PIPELINE_TURN)
			break;
	window_close(c);
	c->running = false;
	if (requests == PIPELINE_TURN)
		loop_defer(c->server->loop, &c->again);
}

static bool
wants_input(const struct http_conn *c)
{
	return c->state != CONN_BUSY && c->state != CONN_REPLY &&
	    c->state != CONN_DEAD;
}

static void
on_again(void *arg)
{
	struct http_conn *c = arg;

	if (wants_input(c))
		conn_run(c);
}

static void
on_ready(void *arg)
{
	struct http_conn *c = arg;

	if (c->state == CONN_BUSY && c->sock.readable &&
	    sock_is_dead(&c->sock)) {
		abandon(c);
		return;
	}
	if (c->out.len > 0 && c->sock.writable && conn_flush(c) &&
	    c->state == CONN_REPLY)
		next(c);
	if (wants_input(c))
		conn_run(c);
}

/* ---- deadlines */

static void
time_out_request(struct http_conn *c)
{
	struct req *req = &c->rq->req;
	struct problem *p;

	task_detach(&req->task); /* nobody else answers any more */
	p = problem_new(req->task.arena, PROBLEM_UNAVAILABLE,
	    "this took too long; try again later");
	p->cause = "request timeout";
	p->retry_after = 5;
	conn_fail(c, p);
}

/* It was silent for too long, unless a request comes just now. */
static void
end_idle(struct http_conn *c)
{
	char byte;

	if (c->nkept > 0 ||
	    recv(c->sock.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		server_enter(c, PHASE_HEAD);
		loop_defer(c->server->loop, &c->again);
		return;
	}
	conn_shut(c); /* nothing is owed, so nothing is waited for */
	conn_close(c);
}

void
conn_expire(struct http_conn *c)
{
	static const char *const names[PHASE_COUNT] = { "head", "idle", "body",
		"request", "reply", "linger" };

	if (c->phase != PHASE_IDLE && c->phase != PHASE_LINGER)
		metrics_count(FAMILY_http_timeouts, names[c->phase]);
	if (c->phase == PHASE_BUSY)
		time_out_request(c);
	else if (c->phase == PHASE_IDLE)
		end_idle(c);
	else if (c->phase == PHASE_BODY ||
	    (c->phase == PHASE_HEAD && c->nkept > 0 && c->state == CONN_HEAD))
		(void)fail(c, PROBLEM_TIMEOUT, "the request came too slowly");
	else
		conn_close(c);
}
