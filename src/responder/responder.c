/* SPDX-License-Identifier: ISC */
/* The routes, the CA's certificate, and what all answers have in common. */
#include "responder/responder_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/sha.h>

#include "base/hex.h"
#include "base/when.h"
#include "metrics/metrics.h"

static const char *const prefixes[] = { "/ca/:issuer", NULL };

static enum step
certificate_start(struct req *req)
{
	struct issuer *issuer = responder_issuer(req, "certificate");
	const struct pki_cert *c;
	struct freshness f = { .max_age = WHEN_DAY };
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct arena *a = req->task.arena;

	if (issuer == NULL)
		return STEP_DONE;
	c = &issuer_local_ca(issuer)->cert;
	SHA256((const uint8_t *)c->der.p, c->der.n, hash);
	f.etag = str_printf(a, "\"" STR_FMT "\"",
	    STR_ARG(hex_encode(a, str_make(hash, 16))));
	f.modified = c->not_before * WHEN_SECOND;
	f.expires = c->not_after * WHEN_SECOND;
	f.now = when_now();
	return responder_reply(req, &f, "application/pkix-cert", c->der);
}

static const struct route certificate_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/certificate",
	.name = "ca-certificate",
	.start = certificate_start,
};

static const struct route *const routes[] = { &crl_route, &crl_shard_route,
	&ocsp_post_route, &ocsp_get_route, &certificate_route, NULL };

/* ---- answers */

/* NULL: it may be answered. */
static const struct problem *
check_peer(const struct responder *rs, struct req *req)
{
	struct problem *pr;
	int64_t wait = 0;

	if (rs->options.guard != NULL)
		wait = rs->options.guard(rs->options.arg, req->peer);
	if (wait == 0)
		return NULL;
	pr = problem_new(req->task.arena, PROBLEM_RATE_LIMITED,
	    "too many requests");
	pr->retry_after = (unsigned)((wait + WHEN_SECOND - 1) / WHEN_SECOND);
	return pr;
}

struct issuer *
responder_issuer(struct req *req, const char *what)
{
	const struct responder *rs = req->app->ctx;
	const struct problem *pr = check_peer(rs, req);
	struct str name = req->params[0];
	struct issuer *issuer = NULL;

	if (pr != NULL) {
		(void)req_fail(req, pr);
		return NULL;
	}
	if (name.n > 0 && name.n <= RESPONDER_ISSUER_MAX)
		issuer = rs->options.find_issuer(rs->options.arg,
		    str_cstr(req->task.arena, name));
	if (issuer != NULL && issuer->ops->plans)
		return issuer;
	(void)req_fail(req,
	    problem_new(req->task.arena, PROBLEM_NOT_FOUND,
		issuer == NULL ?
		    "there is no issuer of this name, hence no %s" :
		    "the issuer publishes its %s itself",
		what));
	return NULL;
}

/* What is not said to be kept is not kept. */
static void
before_reply(struct req *req)
{
	if (req->state == NULL)
		req_add_header(req, "Cache-Control", STR("no-store"));
}

/* One of the tags of If-None-Match, weak or not. */
static bool
has_tag(struct str list, struct str etag)
{
	struct str tag;

	while (list.n > 0) {
		tag = str_trim(str_cut(&list, ','));
		if (str_starts(tag, STR("W/")))
			tag = str_skip(tag, 2);
		if (str_is(tag, "*") || str_eq(tag, etag))
			return true;
	}
	return false;
}

static bool
is_not_modified_since(struct arena *a, struct str text, int64_t modified)
{
	struct tm tm = { 0 };
	const char *end = strptime(str_cstr(a, text),
	    "%a, %d %b %Y %H:%M:%S GMT", &tm);

	return end != NULL && *end == '\0' &&
	    modified / WHEN_SECOND <= (int64_t)timegm(&tm);
}

static bool
has_it(struct req *req, const struct freshness *f)
{
	struct str tags = req_header(req, "If-None-Match");
	struct str since = req_header(req, "If-Modified-Since");

	if (tags.p != NULL)
		return has_tag(tags, f->etag);
	return since.p != NULL &&
	    is_not_modified_since(req->task.arena, since, f->modified);
}

enum step
responder_reply(struct req *req, const struct freshness *f, const char *type,
    struct str body)
{
	struct arena *a = req->task.arena;
	int64_t age = f->expires - f->now;

	if (age > f->max_age)
		age = f->max_age;
	req->state = req; /* before_reply leaves it alone */
	req_add_header(req, "ETag", f->etag);
	req_add_header(req, "Last-Modified", when_http(a, f->modified));
	req_add_header(req, "Expires",
	    when_http(a, f->now + (age > 0 ? age : 0)));
	req_add_header(req, "Cache-Control",
	    str_printf(a, "max-age=%lld, public, no-transform, must-revalidate",
		(long long)(age > 0 ? age / WHEN_SECOND : 0)));
	if (has_it(req, f))
		return req_reply(req, 304, NULL, STR(""));
	return req_reply(req, 200, type, body);
}

/* ---- life */

static void
collect(void *arg)
{
	const struct responder *rs = arg;

	metrics_set(METRIC_ocsp_cache_entries,
	    (int64_t)ocsp_cache_size(rs->answers));
}

struct responder *
responder_new(const struct responder_options *o)
{
	struct responder *rs = calloc(1, sizeof(*rs));

	if (rs == NULL)
		abort();
	rs->options = *o;
	rs->app = (struct http_app){
		.name = "ca",
		.prefixes = prefixes,
		.routes = routes,
		.ctx = rs,
		.before_reply = before_reply,
	};
	rs->crls = crl_cache_new();
	rs->answers = ocsp_cache_new();
	LIST_INIT(&rs->delegates);
	metrics_on_collect(collect, rs);
	return rs;
}

const struct http_app *
responder_http_app(const struct responder *rs)
{
	return &rs->app;
}

void
responder_forget(struct responder *rs, struct str serial)
{
	ocsp_cache_forget(rs->answers, serial);
}

void
responder_free(struct responder *rs)
{
	if (rs == NULL)
		return;
	metrics_off_collect(collect, rs);
	delegates_free(rs);
	crl_cache_free(rs->crls);
	ocsp_cache_free(rs->answers);
	free(rs);
}
