/* SPDX-License-Identifier: ISC */
/*
 * Calls: one request each.
 *
 *	send		judge the request, ask dns for the addresses
 *	on_addrs	let the rule judge them, start the transfer
 *	finish		the answer, or what went wrong: told from the top of
 *			the loop
 *
 * The end of the caller's task cuts the connection.
 */
#include "fetch/fetch_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/when.h"
#include "metrics/metrics.h"

enum {
	RUNNING_MAX = 256,
	IDLE_MAX = 16,
	ANSWER_MAX = 65536,
	WHY_MAX = 300,
	METHOD_MAX = 16,
};
#define CONNECT_TIMEOUT (10 * WHEN_SECOND)
#define TOTAL_TIMEOUT (30 * WHEN_SECOND)

LIST_HEAD(call_list, fetch_call);

struct fetch {
	struct loop *loop;
	struct dns *dns;
	const char *user_agent;
	struct multi *multi;
	struct call_list calls;
	unsigned running, running_max;
};

static const char *const error_names[] = {
	[FETCH_OK] = "ok",
	[FETCH_BAD_REQUEST] = "bad_request",
	[FETCH_BUSY] = "busy",
	[FETCH_NO_ADDRESS] = "no_address",
	[FETCH_FORBIDDEN] = "forbidden",
	[FETCH_NO_CONNECTION] = "no_connection",
	[FETCH_NO_TLS] = "no_tls",
	[FETCH_BROKEN] = "broken",
	[FETCH_TOO_LARGE] = "too_large",
	[FETCH_TIMEOUT] = "timeout",
};

static const char *const phase_names[] = {
	[FETCH_RESOLVE] = "resolve",
	[FETCH_CONNECT] = "connect",
	[FETCH_HANDSHAKE] = "handshake",
	[FETCH_ANSWER] = "answer",
	[FETCH_BODY] = "body",
};

const char *
fetch_error_name(enum fetch_error e)
{
	return error_names[e];
}

const char *
fetch_phase_name(enum fetch_phase p)
{
	return phase_names[p];
}

/* ---- the end of a call */

static void
free_call(struct fetch_call *call)
{
	struct fetch *f = call->fetch;

	timer_stop(&call->phase_timer);
	timer_stop(&call->total_timer);
	loop_undefer(f->loop, &call->tell);
	transfer_drop(call, multi_handle(f->multi));
	LIST_REMOVE(call, entry);
	f->running--;
	task_end(&call->task);
}

static void
detach(struct op *op)
{
	free_call((struct fetch_call *)(void *)op);
}

static void
tell(void *arg)
{
	struct fetch_call *call = arg;

	metrics_count(FAMILY_outbound_requests,
	    error_names[call->result.error]);
	op_done(&call->op);
	call->fn(call->arg, &call->result);
	free_call(call);
}

void
call_finish(struct fetch_call *call, enum fetch_error e, const char *why)
{
	if (call->state == CALL_DONE)
		return;
	call->state = CALL_DONE;
	call->result.error = e;
	if (why != NULL)
		call->result
		    .why = str_show(call->task.arena, str_from(why), WHY_MAX).p;
	timer_stop(&call->phase_timer);
	timer_stop(&call->total_timer);
	loop_defer(call->fetch->loop, &call->tell);
}

/* Too late: cut it now, not when the answer is told. */
static void
on_timeout(void *arg)
{
	static const char *const whys[] = {
		[FETCH_RESOLVE] = "the name was not resolved in time",
		[FETCH_CONNECT] = "no connection in time",
		[FETCH_HANDSHAKE] = "the TLS handshake took too long",
		[FETCH_ANSWER] = "no answer in time",
		[FETCH_BODY] = "the body of the answer did not end in time",
	};
	struct fetch_call *call = arg;

	task_detach(&call->task); /* the lookup */
	transfer_drop(call, multi_handle(call->fetch->multi));
	call_finish(call, FETCH_TIMEOUT, whys[call->result.phase]);
}

/* ---- phases */

void
call_set_phase(struct fetch_call *call, enum fetch_phase phase)
{
	call->result.phase = phase;
	switch (phase) {
	case FETCH_CONNECT:
		timer_start(&call->phase_timer, call->connect_timeout);
		break;
	case FETCH_ANSWER:
		timer_stop(&call->phase_timer);
		if (call->answer_timeout > 0)
			timer_start(&call->phase_timer, call->answer_timeout);
		break;
	case FETCH_BODY:
		timer_stop(&call->phase_timer);
		break;
	case FETCH_RESOLVE:
	case FETCH_HANDSHAKE: /* the time to connect runs on */
		break;
	}
}

static void
refuse_addresses(struct fetch_call *call, const struct dns_addrs *r)
{
	struct arena *a = call->task.arena;

	call_finish(call, FETCH_FORBIDDEN,
	    str_printf(a, "the address %s%s is not allowed",
		addr_text(a, r->v[0]).p, r->n > 1 ? " (and each other)" : "")
		.p);
}

static void
on_addrs(void *arg, const struct dns_addrs *r)
{
	struct fetch_call *call = arg;

	call->result.dns = r->status;
	if (r->status != DNS_OK) {
		call_finish(call,
		    r->status == DNS_TIMEOUT ? FETCH_TIMEOUT : FETCH_NO_ADDRESS,
		    r->why);
		return;
	}
	if (target_set_addrs(call, r->v, r->n) == 0) {
		refuse_addresses(call, r);
		return;
	}
	call->state = CALL_RUNNING;
	call_set_phase(call, FETCH_CONNECT);
	(void)transfer_start(call, multi_handle(call->fetch->multi));
}

/* ---- the request */

/* RFC 9110 section 5.6.2 */
static bool
is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 127 ||
		    strchr("\"(),/:;<=>?@[\\]{}", s.p[i]) != NULL)
			return false;
	return s.n > 0;
}

static bool
is_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] < ' ' || s.p[i] == 127)
			return false;
	return true;
}

static bool
is_method(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 'A' || s.p[i] > 'Z')
			return false;
	return s.n <= METHOD_MAX;
}

static bool
add_line(struct fetch_call *call, const char *line)
{
	struct curl_slist *l = curl_slist_append(call->headers, line);

	if (l != NULL)
		call->headers = l;
	return l != NULL;
}

/* A header as the library wants it: empty ones end in a semicolon. */
static bool
add_header(struct fetch_call *call, const struct fetch_header *h)
{
	size_t size = h->name.n + h->value.n + sizeof(": ");
	char *line;
	bool ok;

	if (!is_token(h->name) || !is_value(h->value))
		return false;
	/* not asprintf: what libc allocates a static ASan cannot free */
	if ((line = malloc(size)) == NULL)
		abort();
	snprintf(line, size, STR_FMT "%s" STR_FMT, STR_ARG(h->name),
	    h->value.n > 0 ? ": " : ";", STR_ARG(h->value));
	ok = add_line(call, line);
	explicit_bzero(line, size);
	free(line);
	return ok;
}

static bool
add_headers(struct fetch_call *call, const struct fetch_request *rq)
{
	bool typed = false;
	struct fetch_header agent = { STR("User-Agent"),
		str_from(call->fetch->user_agent) };

	for (size_t i = 0; i < rq->nheaders; i++) {
		if (!add_header(call, &rq->headers[i]))
			return false;
		typed |= str_case_eq(rq->headers[i].name, STR("Content-Type"));
	}
	if (agent.value.n > 0 && !add_header(call, &agent))
		return false;
	/* what the library would add by itself */
	return add_line(call, "Expect:") &&
	    (typed || add_line(call, "Content-Type:"));
}

static const char *
take_request(struct fetch_call *call, const struct fetch_request *rq)
{
	struct arena *a = call->task.arena;

	call->method = str_dup(a, rq->method);
	call->url_text = str_dup(a, rq->url);
	call->body = str_dup(a, rq->body);
	call->ca_pem = str_dup(a, rq->ca_pem);
	call->dns = rq->dns != NULL ? rq->dns : call->fetch->dns;
	call->rule = rq->rule;
	call->rule_arg = rq->rule_arg;
	call->tls = rq->tls;
	call->body_max = rq->body_max > 0 ? rq->body_max : ANSWER_MAX;
	call->connect_timeout = rq->connect_timeout > 0 ? rq->connect_timeout :
							  CONNECT_TIMEOUT;
	call->answer_timeout = rq->answer_timeout;
	call->in = buf_new(a, call->body_max);
	if (rq->body.n > FETCH_BODY_MAX || rq->body_max > FETCH_BODY_MAX)
		return "a body is out of bounds";
	if (!is_method(call->method))
		return "the method is malformed";
	if (rq->nheaders > FETCH_HEADERS_MAX || !add_headers(call, rq))
		return "a header is malformed, or there are too many";
	return target_parse(call);
}

static struct fetch_call *
new_call(struct fetch *f, fetch_fn *fn, void *arg)
{
	struct arena *a = arena_create();
	struct fetch_call *call = arena_new(a, struct fetch_call);

	task_init_in(&call->task, a);
	call->op.detach = detach;
	call->fetch = f;
	call->fn = fn;
	call->arg = arg;
	call->result.retry_after = -1;
	timer_init(&call->phase_timer, f->loop, on_timeout, call);
	timer_init(&call->total_timer, f->loop, on_timeout, call);
	deferred_init(&call->tell, tell, call);
	LIST_INSERT_HEAD(&f->calls, call, entry);
	f->running++;
	return call;
}

struct fetch_call *
fetch_send(struct fetch *f, struct task *t, const struct fetch_request *rq,
    fetch_fn *fn, void *arg)
{
	bool full = f->running >= f->running_max;
	struct fetch_call *call = new_call(f, fn, arg);
	const char *why;

	task_wait(t, &call->op);
	if (full) {
		call_finish(call, FETCH_BUSY,
		    "too many outbound requests under way");
		return call;
	}
	if ((why = take_request(call, rq)) != NULL) {
		call_finish(call, FETCH_BAD_REQUEST, why);
		return call;
	}
	timer_start(&call->total_timer,
	    rq->total_timeout > 0 ? rq->total_timeout : TOTAL_TIMEOUT);
	dns_lookup_addrs(call->dns, &call->task, call->host, on_addrs, call);
	return call;
}

bool
fetch_is_sent(const struct fetch_call *call)
{
	return call->result.sent;
}

enum fetch_phase
fetch_get_phase(const struct fetch_call *call)
{
	return call->result.phase;
}

unsigned
fetch_running(const struct fetch *f)
{
	return f->running;
}

/* ---- the whole */

struct fetch *
fetch_new(const struct fetch_options *o, const char **why)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->loop = o->loop;
	f->dns = o->dns;
	f->user_agent = o->user_agent;
	f->running_max = o->running_max > 0 ? o->running_max : RUNNING_MAX;
	LIST_INIT(&f->calls);
	f->multi = multi_new(o->loop, o->idle_max > 0 ? o->idle_max : IDLE_MAX);
	if (f->multi == NULL) {
		*why = "libcurl cannot be set up";
		free(f);
		return NULL;
	}
	return f;
}

void
fetch_free(struct fetch *f)
{
	struct fetch_call *call;

	if (f == NULL)
		return;
	while ((call = LIST_FIRST(&f->calls)) != NULL) {
		op_done(&call->op);
		free_call(call);
	}
	multi_free(f->multi);
	free(f);
}
