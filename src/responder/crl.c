/* SPDX-License-Identifier: ISC */
/*
 * GET of a CRL. The newest of each issuer is kept in memory and looked after
 * in the store when it is older than KEEP: a replica serves a list at most
 * that long after its successor was stored, which its nextUpdate allows.
 */
#include "responder/responder_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/when.h"

static const int64_t KEEP = 2 * WHEN_SECOND;
/* Revocation is to be seen within a minute; to ask again costs a 304. */
static const int64_t MAX_AGE = 30 * WHEN_SECOND;

struct kept {
	LIST_ENTRY(kept) entry;
	char issuer[64];
	struct arena *arena; /* holds the texts; NULL: nothing yet */
	struct str der, etag;
	int64_t number, made, next_update;
	int64_t seen; /* loop_mono */
};

struct crl_cache {
	LIST_HEAD(, kept) kept; /* one for each issuer that was asked for */
};

struct crl_cache *
crl_cache_new(void)
{
	struct crl_cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	LIST_INIT(&c->kept);
	return c;
}

void
crl_cache_free(struct crl_cache *c)
{
	struct kept *k;

	while ((k = LIST_FIRST(&c->kept)) != NULL) {
		LIST_REMOVE(k, entry);
		arena_destroy(k->arena);
		free(k);
	}
	free(c);
}

static struct kept *
find(struct crl_cache *c, const char *issuer)
{
	struct kept *k;

	LIST_FOREACH(k, &c->kept, entry)
		if (strcmp(k->issuer, issuer) == 0)
			return k;
	if ((k = calloc(1, sizeof(*k))) == NULL)
		abort();
	(void)snprintf(k->issuer, sizeof(k->issuer), "%s", issuer);
	LIST_INSERT_HEAD(&c->kept, k, entry);
	return k;
}

/* ---- the route */

struct asking {
	struct req *req;
	struct kept *kept;
};

static enum step
serve(struct req *req, const struct kept *k)
{
	struct freshness f = {
		.etag = k->etag,
		.modified = k->made,
		.expires = k->next_update,
		.now = when_now(),
		.max_age = MAX_AGE,
	};

	return responder_reply(req, &f, "application/pkix-crl", k->der);
}

/* A row with the number that we have has no list in it. */
static void
take_row(struct kept *k, const struct store_result *r)
{
	struct str der = store_get_str(r, 0, 0, CRL_GET_DER), digest;
	int64_t number = store_get_int(r, 0, 0, CRL_GET_NUMBER);

	if (der.p == NULL)
		return;
	arena_destroy(k->arena);
	k->arena = arena_create();
	k->der = str_dup(k->arena, der);
	digest = store_get_str(r, 0, 0, CRL_GET_DIGEST);
	k->etag = str_printf(k->arena, "\"%lld-" STR_FMT "\"",
	    (long long)number, (int)(digest.n < 16 ? digest.n : 16), digest.p);
	k->number = number;
	k->made = store_get_int(r, 0, 0, CRL_GET_MADE);
	k->next_update = store_get_int(r, 0, 0, CRL_GET_NEXT_UPDATE);
}

static enum step
fail_early(struct req *req)
{
	struct problem *pr = problem_new(req->task.arena, PROBLEM_UNAVAILABLE,
	    "the first CRL of this issuer is being made");

	pr->retry_after = 2;
	return req_fail(req, pr);
}

static enum step
on_row(void *arg, const struct store_result *r)
{
	struct asking *as = arg;
	struct req *req = as->req;
	struct responder *rs = req->app->ctx;

	if (r->status != STORE_OK && as->kept->arena == NULL)
		return req_fail(req, r->problem);
	if (r->status == STORE_OK && store_nrows(r, 0) > 0) {
		take_row(as->kept, r);
		as->kept->seen = loop_mono(rs->options.loop);
	}
	if (as->kept->arena == NULL)
		return fail_early(req);
	return serve(req, as->kept);
}

static enum step
crl_start_get(struct req *req)
{
	struct responder *rs = req->app->ctx;
	struct issuer *issuer = responder_issuer(req, "CRL");
	struct asking *as;
	struct batch *b;
	struct kept *k;

	if (issuer == NULL)
		return STEP_DONE;
	if (issuer_local_publishing(issuer).crl_interval == 0)
		return req_fail(req,
		    problem_new(req->task.arena, PROBLEM_NOT_FOUND,
			"this issuer publishes no CRL"));
	k = find(rs->crls, issuer->name);
	if (k->arena != NULL && loop_mono(rs->options.loop) - k->seen < KEEP)
		return serve(req, k);
	as = arena_new(req->task.arena, struct asking);
	*as = (struct asking){ .req = req, .kept = k };
	b = store_new_batch(rs->options.store, &req->task,
	    str_from(issuer->name));
	store_add(b, SQL_CRL_GET);
	store_str(b, str_from(issuer->name));
	store_int(b, k->number);
	return store_send_batch(b, on_row, as);
}

const struct route crl_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/crl",
	.name = "crl",
	.start = crl_start_get,
};
