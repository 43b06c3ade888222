/* SPDX-License-Identifier: ISC */
/*
 * Finalize, RFC 8555 section 7.4.
 *
 *	check	pure: the CSR, its signature and key, the profile's key types
 *	caa	if the profile asks for it (caa.c)
 *	claim	the claim: one guarded statement checks owner, state, time and
 *		names, and makes CSR, issuer and lease, and of an issuer that
 *		plans serial and validity, durable before anything is signed
 *	issue	sign and store (issue.c)
 *	answer	200 with the order, which is processing if the issuer is slow
 *
 * A claim that found no row is explained by reading the order; the same CSR
 * again gets the order as it is, so a client may repeat a lost request.
 */
#include "acme/acme_int.h"

#include <openssl/evp.h>

#include "base/b64url.h"
#include "base/hex.h"
#include "base/when.h"

struct finalize {
	struct str der; /* the CSR */
	struct pki_csr csr;
	struct str names; /* digest of its names */
	struct str serial;
};

/* A CSR is verified at the cost of its key, which its sender chose. One that
 * does not parse may have cost the most. */
static const struct problem *
parse_csr(struct areq *q, struct finalize *f)
{
	static const enum jws_alg costs[] = {
		[PKI_RSA] = JWS_RS256,
		[PKI_P256] = JWS_ES256,
		[PKI_P384] = JWS_ES384,
		[PKI_P521] = JWS_ES512,
		[PKI_ED25519] = JWS_EDDSA,
	};
	const struct problem *pr = pki_parse_csr(q->arena, f->der, &f->csr);

	gate_charge(q, pr == NULL ? costs[f->csr.kind] : JWS_ES512);
	return pr;
}

static const struct problem *
finalize_check(struct areq *q)
{
	struct finalize *f = arena_new(q->arena, struct finalize);
	struct str text = json_get_str(q->payload, "csr");
	const struct problem *pr;

	q->state = f;
	if (text.p == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload must have a \"csr\", a base64url string");
	if (!b64url_decode(q->arena, text, &f->der))
		return problem_new(q->arena, PROBLEM_BAD_CSR,
		    "the csr is not base64url without padding");
	if ((pr = parse_csr(q, f)) != NULL)
		return pr;
	if (EVP_PKEY_cmp(f->csr.key, q->key) == 1)
		return problem_new(q->arena, PROBLEM_BAD_CSR,
		    "the key of the CSR is the key of the account");
	if ((pr = policy_check_csr(q->arena, q->profile, &f->csr)) != NULL ||
	    (pr = policy_check_strength(q, f->csr.key, PROBLEM_BAD_CSR)) !=
		NULL)
		return pr;
	f->names = names_digest(q->arena, &f->csr.names);
	return NULL;
}

/* ---- why there was nothing to claim */

/* Dates that could be kept when they were ordered, and cannot be now. */
static const struct problem *
explain_dates(struct areq *q, const struct store_result *r)
{
	bool begins = !store_is_null(r, 0, 0, ORDER_EXPLAIN_NOT_BEFORE);
	bool ends = !store_is_null(r, 0, 0, ORDER_EXPLAIN_NOT_AFTER);

	if (ends &&
	    store_get_int(r, 0, 0, ORDER_EXPLAIN_NOT_AFTER) <=
		store_get_int(r, 0, 0, ORDER_EXPLAIN_NOW))
		return problem_new(q->arena, PROBLEM_ORDER_NOT_READY,
		    "the notAfter of the order has passed");
	if ((begins || ends) && !q->profile->issuer->ops->plans)
		return problem_new(q->arena, PROBLEM_ORDER_NOT_READY,
		    "the issuer of this profile sets the dates itself now: "
		    "make a new order without notBefore and notAfter");
	return NULL;
}

static const struct problem *
explain(struct areq *q, const struct store_result *r)
{
	const struct finalize *f = q->state;
	struct str status = store_get_str(r, 0, 0, ORDER_EXPLAIN_STATUS);
	const struct problem *pr;

	if (!str_is(status, "ready"))
		return problem_new(q->arena, PROBLEM_ORDER_NOT_READY,
		    "the order is " STR_FMT ", not ready", STR_ARG(status));
	if (store_get_int(r, 0, 0, ORDER_EXPLAIN_EXPIRES) <=
	    store_get_int(r, 0, 0, ORDER_EXPLAIN_NOW))
		return problem_new(q->arena, PROBLEM_ORDER_NOT_READY,
		    "the order has expired");
	if ((pr = explain_dates(q, r)) != NULL)
		return pr;
	if (!str_eq(store_get_str(r, 0, 0, ORDER_EXPLAIN_NAMES), f->names))
		return problem_new(q->arena, PROBLEM_BAD_CSR,
		    "the names of the CSR (" STR_FMT
		    ") are not those of the order",
		    STR_ARG(pki_names_text(q->arena, &f->csr.names)));
	return problem_cause(q->arena, PROBLEM_UNAVAILABLE,
	    "a claim was lost although the order is ready");
}

static enum step
on_explained(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct finalize *f = q->state;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_not_found(q);
	if (str_eq(store_get_str(r, 0, 0, ORDER_EXPLAIN_CSR), f->der))
		return order_reply(q, 200, r, 0);
	return acme_fail(q, explain(q, r));
}

static enum step
finalize_why(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_ORDER_EXPLAIN);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	return store_send_batch(b, on_explained, q);
}

/* ---- the claim */

static enum step
on_issued(void *arg, const struct issued *how)
{
	struct areq *q = arg;

	if (how->order != NULL)
		return order_reply(q, 200, how->order, how->stmt);
	if (how->failed != NULL)
		return acme_fail(q, how->failed);
	return finalize_why(q); /* read it: processing, or done by another */
}

static enum step
on_claimed(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct finalize *f = q->state;

	if (r->status == STORE_LOST)
		return acme_recheck(q, finalize_why);
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	issue_start(q->acme,
	    &(struct claim){ .order = q->object,
		.account = q->account,
		.profile = q->profile->name,
		.issuer = str_from(q->profile->issuer->name),
		.csr = f->der,
		.serial = f->serial,
		.attempt = store_get_int(r, 0, 0, ORDER_CLAIM_ATTEMPT),
		.not_before = store_get_int(r, 0, 0,
		    ORDER_CLAIM_CERT_NOT_BEFORE),
		.not_after = store_get_int(r, 0, 0, ORDER_CLAIM_CERT_NOT_AFTER),
		.uncertain = store_get_int(r, 0, 0, ORDER_CLAIM_UNCERTAIN),
		.created = store_get_int(r, 0, 0, ORDER_CLAIM_CREATED),
		.caa = q->caa },
	    &q->req->task, q->setup->conf->finalize_wait, on_issued, q);
	return STEP_WAITING;
}

/* Serial and validity, if the issuer plans them. */
static void
put_plan(struct batch *b, struct str serial, int64_t begin, int64_t end)
{
	store_str(b, serial); /* null if there is none */
	if (serial.n > 0) {
		store_int(b, begin);
		store_int(b, end);
	} else {
		store_null(b);
		store_null(b);
	}
}

static const struct problem *
too_busy(struct areq *q)
{
	struct problem *pr = problem_cause(q->arena, PROBLEM_UNAVAILABLE,
	    "%d orders are being issued", ACME_ISSUING_MAX);

	pr->retry_after = 5;
	return pr;
}

enum step
finalize_claim(struct areq *q)
{
	struct finalize *f = q->state;
	const struct issuer *issuer = q->profile->issuer;
	const struct problem *resting;
	struct batch *b;
	uint8_t serial[PKI_SERIAL_LEN];
	int64_t begin = 0, end = 0;

	f->serial = STR_NONE;
	if (!issuer->ops->plans && q->acme->nissuing >= ACME_ISSUING_MAX)
		return acme_fail(q, too_busy(q));
	/* the order stays ready, and nothing need be written */
	if ((resting = issuer_check_rest(issuer, q->arena)) != NULL)
		return acme_fail(q, resting);
	if (issuer->ops->plans) {
		if (!issuer_plan_validity(issuer, loop_wall(q->acme->loop),
			q->profile->conf->lifetime, &begin, &end))
			return acme_fail(q,
			    problem_cause(q->arena, PROBLEM_SERVER,
				"the issuer %s has expired", issuer->name));
		pki_random_serial(serial);
		f->serial = hex_encode(q->arena,
		    str_make(serial, sizeof(serial)));
	}
	b = store_new_batch(q->acme->store, &q->req->task, q->account);
	store_add(b, SQL_ORDER_CLAIM);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_blob(b, f->der);
	store_str(b, str_from(issuer->name));
	store_int(b, q->setup->conf->lease);
	put_plan(b, f->serial, begin, end);
	store_str(b, f->names);
	store_require(b);
	return store_send_batch(b, on_claimed, q);
}

const struct acme_route finalize_route = {
	.http = { .methods = REQ_POST,
	    .path = "/order/:id/finalize",
	    .name = "finalize",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_OBJECT,
	.check = finalize_check,
	.start = caa_recheck,
};
