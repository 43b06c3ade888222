/* SPDX-License-Identifier: ISC */
/*
 * OCSP, RFC 6960 and RFC 5019.
 *
 *	limit	one of the address's requests
 *	read	the request, out of the body or the path
 *	find	the answer that was signed before; else the certificates, one
 *		batch
 *	answer	sign (delegate.c); keep what is about one known certificate
 *
 * An answer with a nonce, or about several certificates or an unknown one, is
 * made anew each time and kept by nobody.
 */
#include <openssl/base64.h>
#include <openssl/sha.h>

#include "base/hex.h"
#include "base/when.h"
#include "metrics/metrics.h"
#include "responder/responder_int.h"

#define TYPE_REQUEST "application/ocsp-request"
#define TYPE_RESPONSE "application/ocsp-response"

static const int64_t MAX_AGE = 30 * WHEN_SECOND; /* as of a CRL */

struct asked {
	struct req *req;
	struct responder *responder;
	struct issuer *issuer;
	struct pki_ocsp_request request;
	struct str serials[PKI_OCSP_SINGLES_MAX]; /* canonical text */
	uint64_t era;
};

/* A request that its address's limit decides upon. */
struct limited {
	struct req *req;
	struct issuer *issuer; /* held */
	struct str der;
};

static enum step on_found(void *, const struct store_result *);
static enum step on_limit(void *, const struct ratelimit_result *);

/* ---- answering */

static enum step
refuse(struct req *req, enum pki_ocsp_status status)
{
	static const char *const names[] = {
		[PKI_OCSP_MALFORMED] = "malformed",
		[PKI_OCSP_INTERNAL] = "internal_error",
		[PKI_OCSP_TRY_LATER] = "try_later",
		[PKI_OCSP_UNAUTHORIZED] = "unauthorized",
	};

	metrics_count(FAMILY_ocsp_responses, names[status]);
	return req_reply(req, 200, TYPE_RESPONSE, pki_ocsp_refusal(status));
}

/* RFC 5019 section 6.2: a GET may be kept by whoever stands between. */
static enum step
reply(struct req *req, const struct ocsp_answer *an)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct arena *a = req->task.arena;
	struct freshness f = {
		.modified = an->this_update,
		.expires = an->next_update,
		.now = when_now(),
		.max_age = MAX_AGE,
	};

	if (req->method == REQ_POST)
		return req_reply(req, 200, TYPE_RESPONSE, an->der);
	SHA256((const uint8_t *)an->der.p, an->der.n, hash);
	f.etag = str_printf(a, "\"" STR_FMT "\"",
	    STR_ARG(hex_encode(a, str_make(hash, 16))));
	return responder_reply(req, &f, TYPE_RESPONSE, an->der);
}

/* ---- the request */

static bool
is_all_issued_by(const struct asked *as)
{
	const struct pki_ca *ca = issuer_local_ca(as->issuer);

	for (size_t i = 0; i < as->request.n; i++)
		if (!pki_ocsp_is_issued_by(&as->request.singles[i], ca))
			return false;
	return true;
}

static bool
may_keep(const struct asked *as)
{
	return as->request.n == 1 && as->request.nonce.p == NULL;
}

static enum step
ask_store(struct asked *as)
{
	struct responder *rs = as->responder;
	struct batch *b = store_new_batch(rs->options.store, &as->req->task,
	    STR(""));

	as->era = ocsp_cache_era(rs->answers);
	for (size_t i = 0; i < as->request.n; i++) {
		store_add(b, SQL_OCSP_FIND);
		store_str(b, str_from(as->issuer->name));
		store_str(b, as->serials[i]);
	}
	return store_send_batch(b, on_found, as);
}

static enum step
answer(struct req *req, struct issuer *issuer, struct str der)
{
	struct responder *rs = req->app->ctx;
	struct arena *a = req->task.arena;
	struct asked *as = arena_new(a, struct asked);
	struct ocsp_answer an;

	as->req = req;
	as->responder = rs;
	as->issuer = issuer; /* limit() holds it */
	if (!pki_ocsp_read(der, &as->request))
		return refuse(req, PKI_OCSP_MALFORMED);
	if (!is_all_issued_by(as))
		return refuse(req, PKI_OCSP_UNAUTHORIZED);
	for (size_t i = 0; i < as->request.n; i++)
		as->serials[i] = pki_serial_text(a,
		    as->request.singles[i].serial);
	if (may_keep(as) &&
	    ocsp_cache_find(rs->answers, loop_mono(rs->options.loop),
		as->serials[0], as->request.singles[0].cert_id, &an)) {
		metrics_add(METRIC_ocsp_cache_hits, 1);
		metrics_count(FAMILY_ocsp_responses, an.verdict);
		return reply(req, &an);
	}
	return ask_store(as);
}

/* ---- the limit */

/* An IPv6 address stands for its network, as everywhere. */
static enum step
limit(struct req *req, struct issuer *issuer, struct str der)
{
	struct responder *rs = req->app->ctx;
	struct arena *a = req->task.arena;
	struct limited *l = arena_new(a, struct limited);
	struct take t = { .limit = LIMIT_OCSP };

	*l = (struct limited){ .req = req,
		.issuer = issuer_hold(issuer),
		.der = der };
	arena_defer(a, issuer_let_go, issuer);
	if (req->peer.len == 0 ||
	    ratelimit_get(rs->options.limits, LIMIT_OCSP).max == 0)
		return answer(req, issuer, der);
	t.key = addr_text(a, addr_mask(req->peer, LIMIT_SITE_BITS));
	return ratelimit_take(rs->options.limits, &req->task, &t, 1, NULL,
	    on_limit, l);
}

/* What cannot be counted is answered: it is out of the cache, or not at all. */
static enum step
on_limit(void *arg, const struct ratelimit_result *r)
{
	struct limited *l = arg;

	if (r->status != RATELIMIT_PASS && r->status != RATELIMIT_DOWN)
		return req_fail(l->req,
		    ratelimit_problem(l->req->task.arena, r));
	return answer(l->req, l->issuer, l->der);
}

/* ---- the answer */

static const char *
read_row(const struct store_result *r, unsigned i, struct pki_ocsp_reply *out)
{
	struct str status = store_get_str(r, i, 0, OCSP_FIND_STATUS);

	if (str_is(status, "valid")) {
		out->verdict = PKI_OCSP_GOOD;
		return "good";
	}
	if (!str_is(status, "revoked")) {
		out->verdict = PKI_OCSP_UNKNOWN;
		return "unknown";
	}
	out->verdict = PKI_OCSP_REVOKED;
	out->revoked_at = store_get_int(r, i, 0, OCSP_FIND_REVOKED_AT) /
	    WHEN_SECOND;
	out->reason = store_get_int(r, i, 0, OCSP_FIND_REASON);
	return "revoked";
}

static enum step
on_found(void *arg, const struct store_result *r)
{
	struct asked *as = arg;
	struct responder *rs = as->responder;
	struct pki_ocsp_reply replies[PKI_OCSP_SINGLES_MAX] = { 0 };
	struct issuer_publishing p = issuer_local_publishing(as->issuer);
	struct pki_ocsp_signer signer;
	struct ocsp_answer an;
	int64_t end;

	if (r->status != STORE_OK ||
	    !delegate_get(rs, as->issuer, &signer, &end))
		return refuse(as->req, PKI_OCSP_TRY_LATER);
	for (unsigned i = 0; i < as->request.n; i++) {
		an.verdict = read_row(r, i, &replies[i]);
		metrics_count(FAMILY_ocsp_responses, an.verdict);
	}
	an.this_update = store_get_int(r, 0, 0, OCSP_FIND_NOW);
	an.next_update = an.this_update + p.ocsp_lifetime;
	if (an.next_update > end)
		an.next_update = end;
	an.der = pki_ocsp_answer(as->req->task.arena, &signer, &as->request,
	    replies, an.this_update / WHEN_SECOND,
	    an.next_update / WHEN_SECOND);
	if (an.der.p == NULL)
		return refuse(as->req, PKI_OCSP_INTERNAL);
	if (!may_keep(as) || replies[0].verdict == PKI_OCSP_UNKNOWN)
		return req_reply(as->req, 200, TYPE_RESPONSE, an.der);
	ocsp_cache_add(rs->answers, loop_mono(rs->options.loop), as->serials[0],
	    as->request.singles[0].cert_id, as->era, &an);
	return reply(as->req, &an);
}

/* ---- the routes */

/* NULL: answered. */
static struct issuer *
find_issuer(struct req *req)
{
	struct issuer *issuer = responder_issuer(req, "OCSP");

	if (issuer == NULL || issuer_local_publishing(issuer).ocsp_lifetime > 0)
		return issuer;
	(void)req_fail(req,
	    problem_new(req->task.arena, PROBLEM_NOT_FOUND,
		"this issuer answers no OCSP requests"));
	return NULL;
}

static enum step
post_start(struct req *req)
{
	struct issuer *issuer = find_issuer(req);
	struct str type;

	if (issuer == NULL)
		return STEP_DONE;
	type = req_header(req, "Content-Type");
	if (!str_case_eq(str_trim(str_cut(&type, ';')), STR(TYPE_REQUEST)))
		return req_fail(req,
		    problem_new(req->task.arena, PROBLEM_MEDIA_TYPE,
			"the content type must be " TYPE_REQUEST));
	return limit(req, issuer, req->body);
}

/* RFC 6960 appendix A.1: base64 with its padding. */
static enum step
get_start(struct req *req)
{
	struct str text = req->params[1];
	struct issuer *issuer = find_issuer(req);
	size_t n = 0, room = text.n / 4 * 3;
	uint8_t *der;

	if (issuer == NULL)
		return STEP_DONE; /* answered: nothing of req may be used */
	der = arena_alloc(req->task.arena, room + 1);
	if (!EVP_DecodeBase64(der, &n, room, (const uint8_t *)text.p, text.n))
		return refuse(req, PKI_OCSP_MALFORMED);
	return limit(req, issuer, str_make(der, n));
}

const struct route ocsp_post_route = {
	.methods = REQ_POST,
	.path = "/ocsp",
	.name = "ocsp",
	.body_max = PKI_OCSP_REQUEST_MAX,
	.start = post_start,
};

const struct route ocsp_get_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/ocsp/*request",
	.name = "ocsp",
	.start = get_start,
};
