/* SPDX-License-Identifier: ISC */
/*
 * http-01, RFC 8555 section 8.3. Redirects are followed here, one request
 * after the other; each is judged anew, its port and the addresses of its
 * host. The certificate of a target that is redirected to does not matter.
 */
#include "validate/validate_int.h"

#include "base/when.h"

#define CONNECT_TIMEOUT (5 * WHEN_SECOND)
#define ANSWER_TIMEOUT (5 * WHEN_SECOND)
#define HOP_TIMEOUT (10 * WHEN_SECOND)

enum refused { REFUSED_NOTHING, REFUSED_PORT, REFUSED_ADDRESS };

struct http01 {
	struct check *check;
	struct arena *arena; /* the query's */
	struct str url;
	struct fetch_call *call;
	unsigned redirects;
	enum refused refused;
};

static void on_answer(void *, const struct fetch_result *);

static bool
rule(void *arg, struct addr addr, unsigned port)
{
	struct http01 *h = arg;
	const struct validate_request *rq = &h->check->rq;

	if (port != rq->http_port && port != rq->https_port) {
		h->refused = REFUSED_PORT;
		return false;
	}
	if (validate_allows(&rq->rule, addr)) {
		if (rq->tried != NULL)
			*rq->tried = addr;
		return true;
	}
	h->refused = REFUSED_ADDRESS;
	return false;
}

static void
send_request(struct http01 *h)
{
	struct fetch_request rq = {
		.url = h->url,
		.dns = h->check->rq.dns,
		.rule = rule,
		.rule_arg = h,
		.tls = FETCH_TLS_ANY,
		.body_max = VALIDATE_BODY_MAX,
		.connect_timeout = CONNECT_TIMEOUT,
		.answer_timeout = ANSWER_TIMEOUT,
		.total_timeout = HOP_TIMEOUT,
	};

	h->refused = REFUSED_NOTHING;
	h->call = fetch_send(h->check->validate->fetch, &h->check->query, &rq,
	    on_answer, h);
}

void
http01_query(struct check *c)
{
	const struct validate_request *rq = &c->rq;
	struct arena *a = c->query.arena;
	struct http01 *h = arena_new(a, struct http01);
	struct str host = check_subject(c, a);

	c->asking = h;
	h->check = c;
	h->arena = a;
	h->url = str_printf(a,
	    rq->addr.len == 16 ? "http://[" STR_FMT "]" : "http://" STR_FMT,
	    STR_ARG(host));
	if (rq->http_port != 80)
		h->url = str_printf(a, STR_FMT ":%u", STR_ARG(h->url),
		    rq->http_port);
	h->url = str_join(a, h->url, STR("/.well-known/acme-challenge/"),
	    rq->token);
	send_request(h);
}

/* ---- what went wrong */

/* "while connecting to a.example", "... to redirect 2 of a.example" */
static const struct problem *
fail(struct http01 *h, enum problem_type type, const char *doing,
    const char *why)
{
	struct str who = check_subject(h->check, h->arena);
	struct str where = h->redirects == 0 ?
	    who :
	    str_printf(h->arena, "redirect %u of " STR_FMT, h->redirects,
		STR_ARG(who));

	return problem_new(h->arena, type, "while %s " STR_FMT ": %s", doing,
	    STR_ARG(where), why);
}

static const struct problem *
fail_in_phase(struct http01 *h, enum fetch_phase phase, const char *why)
{
	switch (phase) {
	case FETCH_RESOLVE:
		return fail(h, PROBLEM_DNS, "looking up the address of", why);
	case FETCH_CONNECT:
		return fail(h, PROBLEM_CONNECTION, "connecting to", why);
	case FETCH_HANDSHAKE:
		return fail(h, PROBLEM_TLS, "shaking hands with", why);
	case FETCH_ANSWER:
		return fail(h, PROBLEM_CONNECTION, "waiting for the answer of",
		    why);
	case FETCH_BODY:
		break;
	}
	return fail(h, PROBLEM_CONNECTION, "reading the body from", why);
}

const struct problem *
http01_late(struct check *c)
{
	struct http01 *h = c->asking;

	return fail_in_phase(h, fetch_get_phase(h->call), QUERY_LATE);
}

static const struct problem *
fail_dns(struct http01 *h, const struct fetch_result *r)
{
	struct str who = check_subject(h->check, h->arena);

	return query_dns_problem(h->arena,
	    h->redirects == 0 ?
		str_printf(h->arena, "the address of " STR_FMT, STR_ARG(who)) :
		str_printf(h->arena, "the address of redirect %u of " STR_FMT,
		    h->redirects, STR_ARG(who)),
	    r->dns);
}

static const struct problem *
fail_forbidden(const struct http01 *h)
{
	return fail((struct http01 *)(uintptr_t)h, PROBLEM_UNAUTHORIZED,
	    "connecting to",
	    h->refused == REFUSED_PORT ?
		"this server does not connect to that port" :
		"this server does not connect to an address like that");
}

static const struct problem *
explain(struct http01 *h, const struct fetch_result *r)
{
	switch (r->error) {
	case FETCH_OK:
		break;
	case FETCH_BAD_REQUEST:
		return fail(h, PROBLEM_INCORRECT_RESPONSE, "going to",
		    "the URL is neither http nor https, or malformed");
	case FETCH_BUSY:
		return fail(h, PROBLEM_CONNECTION, "connecting to",
		    "too many requests are under way");
	case FETCH_NO_ADDRESS:
		return fail_dns(h, r);
	case FETCH_FORBIDDEN:
		return fail_forbidden(h);
	case FETCH_NO_CONNECTION:
		return fail(h, PROBLEM_CONNECTION, "connecting to",
		    "there is no connection to be had");
	case FETCH_NO_TLS:
		return fail(h, PROBLEM_TLS, "shaking hands with",
		    "the TLS handshake failed");
	case FETCH_BROKEN:
		return fail_in_phase(h, r->phase,
		    "the connection ended early, or it is not HTTP");
	case FETCH_TOO_LARGE:
		return fail(h, PROBLEM_INCORRECT_RESPONSE,
		    r->phase == FETCH_BODY ? "reading the body from" :
					     "reading the header from",
		    "it is too large");
	case FETCH_TIMEOUT:
		return fail_in_phase(h, r->phase, "it took too long");
	}
	return fail(h, PROBLEM_SERVER, "asking", "it makes no sense");
}

/* ---- what came back */

static struct str
trim_end(struct str s)
{
	while (s.n > 0 &&
	    (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' ||
		s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
		s.n--;
	return s;
}

static bool
is_redirect(const struct fetch_result *r)
{
	return (r->status == 301 || r->status == 302 || r->status == 303 ||
		   r->status == 307 || r->status == 308) &&
	    r->redirect.n > 0;
}

static const struct problem *
judge(struct http01 *h, const struct fetch_result *r)
{
	if (r->status != 200)
		return fail(h, PROBLEM_INCORRECT_RESPONSE,
		    "waiting for the answer of",
		    str_printf(h->arena, "its status is %u, not 200", r->status)
			.p);
	if (!str_eq(trim_end(r->body), h->check->rq.key_authorization))
		return fail(h, PROBLEM_INCORRECT_RESPONSE,
		    "reading the body from",
		    "it is not the key authorization of this challenge");
	return NULL;
}

static void
on_answer(void *arg, const struct fetch_result *r)
{
	struct http01 *h = arg;

	if (r->error == FETCH_FORBIDDEN) {
		query_refuse(h->check, fail_forbidden(h));
	} else if (r->error != FETCH_OK) {
		query_end(h->check, explain(h, r));
	} else if (!is_redirect(r)) {
		query_end(h->check, judge(h, r));
	} else if (h->redirects == VALIDATE_REDIRECTS_MAX) {
		query_end(h->check,
		    fail(h, PROBLEM_CONNECTION, "following",
			"there are too many redirects"));
	} else {
		h->redirects++;
		h->url = str_dup(h->arena, r->redirect);
		send_request(h);
	}
}
