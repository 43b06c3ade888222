/* SPDX-License-Identifier: ISC */
/*
 * The one way out of a request: header fields that every reply has, the
 * app's own, one log line, the metrics, and the end of the task.
 */
#include "http/http_int.h"

#include <assert.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <http_parser.h>

#include "base/fault.h"
#include "base/when.h"
#include "log/log.h"

enum { FIXED_MAX = 256 }; /* bytes of the lines that are always there */

int64_t
request_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * WHEN_SECOND + ts.tv_nsec / 1000;
}

/* ---- the header */

static const char *
reason(unsigned status)
{
	return http_status_str((enum http_status)status);
}

/* RFC 9110 section 8.6: these have no length. */
static bool
is_bodyless(unsigned status)
{
	return status == 204 || status == 304;
}

static void
write_connection(struct buf *b, const struct request *rq)
{
	if (rq->req.conn->last)
		buf_str(b, STR("Connection: close\r\n"));
	else if (rq->head.minor == 0)
		buf_str(b, STR("Connection: keep-alive\r\n"));
}

static void
write_field(struct buf *b, struct str name, struct str value)
{
	buf_str(b, name);
	buf_str(b, STR(": "));
	buf_str(b, value);
	buf_str(b, STR("\r\n"));
}

/* Newest first in the list; as they were added on the wire. */
static void
write_added(struct buf *b, const struct header *h)
{
	const struct header *order[64];
	size_t n = 0;

	for (; h != NULL; h = h->next) {
		assert(n < sizeof(order) / sizeof(order[0]));
		order[n++] = h;
	}
	while (n-- > 0)
		write_field(b, order[n]->name, order[n]->value);
}

static size_t
room_for(const struct request *rq, struct str type)
{
	size_t n = FIXED_MAX + type.n + rq->req.id.n;

	for (const struct header *h = rq->reply; h != NULL; h = h->next)
		n += h->name.n + h->value.n + 4;
	return n;
}

static struct str
write_head(struct request *rq, unsigned status, struct str type, size_t length)
{
	size_t room = room_for(rq, type);
	struct buf b = buf_over(arena_alloc(rq->req.task.arena, room), room);

	buf_printf(&b, "HTTP/1.1 %u %s\r\n", status, reason(status));
	write_field(&b, STR("Date"), server_date(rq->req.conn->server));
	if (type.n > 0)
		write_field(&b, STR("Content-Type"), type);
	if (!is_bodyless(status))
		buf_printf(&b, "Content-Length: %zu\r\n", length);
	write_added(&b, rq->reply);
	write_field(&b, STR("X-Request-Id"), rq->req.id);
	write_connection(&b, rq);
	buf_str(&b, STR("\r\n"));
	assert(!b.full);
	return buf_view(&b);
}

/* ---- the end */

/* "key=value key=value": each its own field of the line. */
static void
log_pairs(struct log_line *l, struct request *rq)
{
	struct str rest = rq->req.log_context;

	while (rest.n > 0) {
		struct str pair = str_cut(&rest, ' ');
		struct str key = str_cut(&pair, '=');

		if (key.n > 0)
			log_str(l, str_cstr(rq->req.task.arena, key), pair);
	}
}

static void
log_request(struct request *rq, unsigned status, size_t bytes, int64_t usec,
    const char *aborted)
{
	const struct req *r = &rq->req;
	struct log_line l;

	log_begin(&l, LOG_INFO, "request");
	if (!l.on)
		return;
	log_str(&l, "id", r->id);
	log_text(&l, "method",
	    rq->head.method_name != NULL ? rq->head.method_name : "-");
	log_text(&l, "route", rq->stats->name);
	if (rq->head.target.n > 0)
		log_str(&l, "path", r->path.n > 0 ? r->path : rq->head.target);
	if (aborted == NULL)
		log_int(&l, "status", status);
	else
		log_text(&l, "aborted", aborted);
	log_ms(&l, "took_ms", usec);
	log_str(&l, "peer", addr_text(r->task.arena, r->peer));
	log_int(&l, "bytes", (int64_t)bytes);
	if (r->doing != NULL)
		log_text(&l, "while", r->doing);
	if (rq->problem != NULL)
		log_str(&l, "error", problem_name(rq->problem->type));
	if (rq->problem != NULL && rq->problem->detail.n > 0)
		log_str(&l, "detail", rq->problem->detail);
	if (rq->problem != NULL && rq->problem->cause != NULL)
		log_text(&l, "cause", rq->problem->cause);
	log_pairs(&l, rq);
	log_end(&l);
}

static void
end(struct request *rq)
{
	if (rq->has_credentials)
		req_wipe_header(&rq->req, "Authorization");
	rq->req.conn->rq = NULL;
	task_end(&rq->req.task); /* rq lived in its arena */
}

void
request_abort(struct request *rq, const char *cause)
{
	int64_t began = rq->req.started;
	int64_t took = began > 0 ? request_clock() - began : 0;

	log_request(rq, 0, 0, took, cause);
	if (began > 0)
		route_time(rq->stats, ROUTE_ABORTED, took);
	metrics_add(METRIC_requests_aborted, 1);
	end(rq);
}

enum step
req_reply(struct req *req, unsigned status, const char *type, struct str body)
{
	struct request *rq = request_of(req);
	struct http_conn *c = req->conn;
	int64_t took = req->started > 0 ? request_clock() - req->started : 0;
	struct str head;

	FAULT("a reply before it is sent");
	assert(c->rq == rq);
	assert(status >= 200 && status <= 599);
	if (req->app != NULL && req->app->before_reply != NULL)
		req->app->before_reply(req);
	if (c->server->shedding)
		c->last = true;
	head = write_head(rq, status, str_from(type), body.n);
	if (req->method == REQ_HEAD || is_bodyless(status))
		body = STR_NONE;
	conn_send(c, req->task.arena, head, body);
	route_count(rq->stats, status, took);
	log_request(rq, status, body.n, took, NULL);
	end(rq);
	conn_replied(c);
	return STEP_DONE;
}

int
req_upgrade(struct req *req, const char *protocol)
{
	struct request *rq = request_of(req);
	struct http_conn *c = req->conn;
	int fd;

	if (c->listener->path == NULL || c->tls != NULL || c->nkept > 0 ||
	    (fd = fcntl(c->sock.fd, F_DUPFD_CLOEXEC, 0)) < 0)
		return -1;
	conn_send(c, req->task.arena,
	    str_printf(req->task.arena,
		"HTTP/1.1 101 Switching Protocols\r\n"
		"Upgrade: %s\r\nConnection: Upgrade\r\n\r\n",
		protocol),
	    STR_NONE);
	if (c->broken || c->out.len > 0) {
		close(fd);
		return -1;
	}
	route_count(rq->stats, 101, 0);
	log_request(rq, 101, 0, 0, NULL);
	end(rq);
	conn_close(c);
	return fd;
}

enum step
req_fail(struct req *req, const struct problem *p)
{
	struct arena *a = req->task.arena;

	request_of(req)->problem = p;
	if (p->retry_after > 0)
		req_add_header(req, "Retry-After",
		    str_printf(a, "%u", p->retry_after));
	metrics_count(FAMILY_refusals, problem_name(p->type).p);
	return req_reply(req, problem_status(p->type),
	    "application/problem+json", problem_json(a, p));
}
