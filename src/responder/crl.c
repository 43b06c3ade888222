/* SPDX-License-Identifier: ISC */
/*
 * GET of a CRL, complete or a shard. The newest is kept in memory and looked
 * after in the store when it is older than KEEP: a replica serves a list at most
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
	char list[16];       /* "": complete; "N/I": shard I of N */
	struct arena *arena; /* holds the texts; NULL: nothing yet */
	struct str der, etag;
	int64_t number, made, next_update;
	int64_t seen; /* loop_mono */
};

struct crl_cache {
	LIST_HEAD(, kept) kept; /* of each list that was asked for */
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

static void
drop(struct kept *k)
{
	LIST_REMOVE(k, entry);
	arena_destroy(k->arena);
	free(k);
}

void
crl_cache_free(struct crl_cache *c)
{
	struct kept *k;

	while ((k = LIST_FIRST(&c->kept)) != NULL)
		drop(k);
	free(c);
}

static struct kept *
find(struct crl_cache *c, const char *issuer, const char *list)
{
	struct kept *k;

	LIST_FOREACH(k, &c->kept, entry)
		if (strcmp(k->issuer, issuer) == 0 &&
		    strcmp(k->list, list) == 0)
			return k;
	return NULL;
}

static struct kept *
add(struct crl_cache *c, const char *issuer, const char *list)
{
	struct kept *k;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		abort();
	(void)snprintf(k->issuer, sizeof(k->issuer), "%s", issuer);
	(void)snprintf(k->list, sizeof(k->list), "%s", list);
	LIST_INSERT_HEAD(&c->kept, k, entry);
	return k;
}

/* ---- the route */

struct asking {
	struct req *req;
	const char *issuer;
	char list[16];
	bool expected; /* there is one, or there will be */
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
fail_unknown(struct req *req)
{
	return req_fail(req,
	    problem_new(req->task.arena, PROBLEM_NOT_FOUND,
		"this issuer has no such CRL"));
}

static enum step
on_row(void *arg, const struct store_result *r)
{
	struct asking *as = arg;
	struct req *req = as->req;
	struct responder *rs = req->app->ctx;
	struct kept *k = find(rs->crls, as->issuer, as->list);

	if (r->status == STORE_OK && store_nrows(r, 0) > 0) {
		if (k == NULL)
			k = add(rs->crls, as->issuer, as->list);
		take_row(k, r);
		k->seen = loop_mono(rs->options.loop);
	} else if (r->status == STORE_OK && k != NULL) {
		drop(k); /* a shard that nobody needs any more */
		k = NULL;
	}
	if (k != NULL && k->arena != NULL)
		return serve(req, k);
	if (r->status != STORE_OK)
		return req_fail(req, r->problem);
	return as->expected ? fail_early(req) : fail_unknown(req);
}

static enum step
get(struct asking *as)
{
	struct req *req = as->req;
	struct responder *rs = req->app->ctx;
	struct kept *k = find(rs->crls, as->issuer, as->list);
	struct batch *b;

	if (k != NULL && loop_mono(rs->options.loop) - k->seen < KEEP)
		return serve(req, k);
	b = store_new_batch(rs->options.store, &req->task,
	    str_from(as->issuer));
	store_add(b, SQL_CRL_GET);
	store_str(b, str_from(as->issuer));
	store_int(b, k != NULL ? k->number : 0);
	store_str(b, str_from(as->list));
	return store_send_batch(b, on_row, as);
}

/* NULL: answered, and nothing of req may be used. */
static struct asking *
begin(struct req *req, struct issuer_publishing *p)
{
	struct issuer *issuer = responder_issuer(req, "CRL");
	struct asking *as;

	if (issuer == NULL)
		return NULL;
	*p = issuer_local_publishing(issuer);
	if (p->crl_interval == 0) {
		(void)req_fail(req,
		    problem_new(req->task.arena, PROBLEM_NOT_FOUND,
			"this issuer publishes no CRL"));
		return NULL;
	}
	as = arena_new(req->task.arena, struct asking);
	*as = (struct asking){ .req = req, .expected = true };
	as->issuer = str_cstr(req->task.arena, str_from(issuer->name));
	return as;
}

static enum step
crl_start_get(struct req *req)
{
	struct issuer_publishing p;
	struct asking *as = begin(req, &p);

	return as != NULL ? get(as) : STEP_DONE;
}

/* One spelling of each number. */
static bool
parse_part(struct str text, uint64_t *out)
{
	return text.n > 0 && text.n <= 3 && (text.p[0] != '0' || text.n == 1) &&
	    str_u64(text, out);
}

static enum step
shard_start_get(struct req *req)
{
	struct str shards = req->params[1], shard = req->params[2];
	struct issuer_publishing p;
	struct asking *as = begin(req, &p);
	uint64_t n, i;

	if (as == NULL)
		return STEP_DONE;
	if (!parse_part(shards, &n) || !parse_part(shard, &i) || n < 2 ||
	    i >= n)
		return fail_unknown(req);
	(void)snprintf(as->list, sizeof(as->list), "%u/%u", (unsigned)n,
	    (unsigned)i);
	as->expected = n == p.crl_shards;
	return get(as);
}

const struct route crl_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/crl",
	.name = "crl",
	.start = crl_start_get,
};

const struct route crl_shard_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/crl/:shards/:shard",
	.name = "crl",
	.start = shard_start_get,
};
