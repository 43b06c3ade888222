/* SPDX-License-Identifier: ISC */
/*
 * new-order, RFC 8555 section 7.4.
 *
 *	check	pure: identifiers against the profile, dates, replaces
 *	find	the certificate that it replaces, if it does
 *	start	one batch: take the account, insert unless an identical live
 *		order is there
 *	read	the live one, if it is
 *	answer	201 with the order
 */
#include "acme/acme_int.h"

#include "base/id.h"
#include "base/when.h"
#include "metrics/metrics.h"

enum { TRIES_MAX = 3 };

struct order_request {
	struct acme_id *ids; /* as asked for, folded, nothing twice */
	size_t nids;
	struct str names;              /* digest of the set */
	int64_t not_before, not_after; /* 0: not asked for */
	struct str id;                 /* for a new one */
	struct str *authzs;            /* one for each identifier */
	bool *reused;                  /* is it there already? */
	size_t nreused;
	struct replaces replaces;
	unsigned tries; /* that found neither room nor a reason */
};

/* ---- judging */

static void
add_sub(struct problem *all, const struct problem *pr, const struct acme_id *id)
{
	struct subproblem *s = &all->subs[all->nsubs++];

	s->type = pr->type;
	s->detail = pr->detail;
	s->id_type = id->type;
	s->id_value = id->value;
	if (all->nsubs == 1)
		all->type = pr->type;
	else if (all->type != pr->type)
		all->type = PROBLEM_COMPOUND;
}

/* All identifiers are judged, so that a client learns all that is wrong. */
static const struct problem *
check_policy(struct areq *q, const struct order_request *o)
{
	struct problem *all = problem_new(q->arena, PROBLEM_COMPOUND,
	    "see the subproblems");
	const struct problem *pr;

	all->subs = arena_array(q->arena, struct subproblem, o->nids);
	for (size_t i = 0; i < o->nids; i++)
		if ((pr = policy_check_asked(q, &o->ids[i])) != NULL)
			add_sub(all, pr, &o->ids[i]);
	if (all->nsubs == 0)
		return NULL;
	if (all->nsubs == 1)
		all->detail = all->subs[0].detail;
	else
		all->detail = str_printf(q->arena,
		    "%zu identifiers are not acceptable; see the subproblems",
		    all->nsubs);
	return all;
}

static bool
has_id(const struct order_request *o, const struct acme_id *id)
{
	for (size_t i = 0; i < o->nids; i++)
		if (str_eq(o->ids[i].type, id->type) &&
		    str_eq(o->ids[i].value, id->value))
			return true;
	return false;
}

static const struct problem *
parse_ids(struct areq *q, struct order_request *o)
{
	const struct json *list = json_get(q->payload, "identifiers");
	size_t most = (size_t)q->profile->conf->max_identifiers;

	if (list == NULL || list->type != JSON_ARRAY || list->n == 0)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"identifiers\" must be an array with at least one "
		    "identifier");
	if (list->n > most)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "an order may have at most %zu identifiers here", most);
	o->ids = arena_array(q->arena, struct acme_id, list->n);
	json_each(j, list) {
		struct acme_id id = { .type = json_get_str(j, "type"),
			.value = json_get_str(j, "value") };

		if (id.type.p == NULL || id.value.p == NULL)
			return problem_new(q->arena, PROBLEM_MALFORMED,
			    "each identifier must have a \"type\" and a "
			    "\"value\", both strings");
		id.value = str_lower(q->arena, id.value);
		if (!has_id(o, &id))
			o->ids[o->nids++] = id;
	}
	return check_policy(q, o);
}

static const struct problem *
parse_date(struct areq *q, const char *name, int64_t *out)
{
	const struct json *j = json_get(q->payload, name);

	*out = 0;
	if (j == NULL || j->type == JSON_NULL)
		return NULL;
	if (j->type != JSON_STRING || !when_parse_rfc3339(j->str, out))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"%s\" must be a date and time as RFC 3339 has it", name);
	*out -= *out % WHEN_SECOND;
	if (*out == 0)
		*out = 1; /* 1970 is refused as others are, and not unsaid */
	return NULL;
}

/* Asked-for dates are honoured within the profile, or refused. */
static const struct problem *
check_dates(struct areq *q, struct order_request *o)
{
	int64_t now = loop_wall(q->acme->loop), first, last, begin, end;
	const struct problem *pr;

	if ((pr = parse_date(q, "notBefore", &o->not_before)) != NULL ||
	    (pr = parse_date(q, "notAfter", &o->not_after)) != NULL)
		return pr;
	if (o->not_before == 0 && o->not_after == 0)
		return NULL;
	if (!q->profile->issuer->ops->plans)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the issuer of this profile sets the dates itself: leave "
		    "out notBefore and notAfter");
	if (!issuer_plan_validity(q->profile->issuer, now,
		q->profile->conf->lifetime, &first, &last))
		return problem_cause(q->arena, PROBLEM_SERVER,
		    "the issuer %s has expired", q->profile->issuer->name);
	begin = o->not_before != 0 ? o->not_before : first;
	end = o->not_after != 0 ? o->not_after : last;
	if (begin < first || end > last || begin >= end || end <= now)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "this profile allows dates from " STR_FMT " to " STR_FMT
		    " only, notBefore before notAfter",
		    STR_ARG(when_rfc3339(q->arena, first)),
		    STR_ARG(when_rfc3339(q->arena, last)));
	return NULL;
}

static struct str
digest_ids(struct arena *a, const struct order_request *o)
{
	struct pki_names names = { 0 };

	names.dns = arena_array(a, struct str, o->nids);
	names.ips = arena_array(a, struct addr, o->nids);
	for (size_t i = 0; i < o->nids; i++) {
		if (str_is(o->ids[i].type, "dns"))
			names.dns[names.ndns++] = o->ids[i].value;
		else
			(void)addr_parse(o->ids[i].value,
			    &names.ips[names.nips++]); /* was checked */
	}
	pki_names_sort(&names);
	return names_digest(a, &names);
}

/* draft-ietf-acme-profiles: a directory offers the one that it belongs to. */
static const struct problem *
check_profile(struct areq *q)
{
	const struct json *j = json_get(q->payload, "profile");

	if (j == NULL || j->type == JSON_NULL)
		return NULL;
	if (j->type != JSON_STRING)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"profile\" must be a string");
	if (str_eq(j->str, q->profile->name))
		return NULL;
	return problem_new(q->arena, PROBLEM_INVALID_PROFILE,
	    "this directory offers the profile \"" STR_FMT
	    "\" only, not \"" STR_FMT
	    "\"; each profile has a directory of its own",
	    STR_ARG(q->profile->name), STR_ARG(str_show(q->arena, j->str, 64)));
}

static const struct problem *
new_order_check(struct areq *q)
{
	struct order_request *o = arena_new(q->arena, struct order_request);
	const struct problem *pr;

	q->state = o;
	if ((pr = check_profile(q)) != NULL || (pr = parse_ids(q, o)) != NULL ||
	    (pr = check_dates(q, o)) != NULL ||
	    (pr = replaces_parse(q, &o->replaces)) != NULL)
		return pr;
	o->names = digest_ids(q->arena, o);
	o->id = id_new(q->arena);
	/* one that replaces nothing after all is refused, so costs nothing */
	if (!o->replaces.given || !q->profile->conf->renewal_unlimited)
		redeem_limit(q, LIMIT_NEW_ORDER, q->account);
	return NULL;
}

/* ---- storing */

static struct str
write_ids(struct arena *a, const struct order_request *o)
{
	struct json_writer *w = json_writer_new(a, ACME_REPLY_MAX);

	json_open_array(w, NULL);
	for (size_t i = 0; i < o->nids; i++) {
		json_open_object(w, NULL);
		json_str(w, "type", o->ids[i].type);
		json_str(w, "value", o->ids[i].value);
		json_close(w);
	}
	json_close(w);
	return json_text(w);
}

static int64_t
order_lifetime(const struct conf_profile *p)
{
	if (p->order_lifetime != 0)
		return p->order_lifetime;
	return p->auth_mode == CONF_AUTH_TRUST ? WHEN_HOUR : 8 * WHEN_HOUR;
}

static void
put_date(struct batch *b, int64_t at)
{
	if (at != 0)
		store_int(b, at);
	else
		store_null(b);
}

/* Is nothing left to be validated? */
static bool
is_authorized(const struct areq *q, const struct order_request *o)
{
	return q->profile->conf->auth_mode == CONF_AUTH_TRUST ||
	    o->nreused == o->nids;
}

static void
insert_order(struct areq *q, struct batch *b, const struct order_request *o,
    struct str authzs)
{
	store_add(b, SQL_ORDER_INSERT);
	store_str(b, o->id);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_str(b, is_authorized(q, o) ? STR("ready") : STR("pending"));
	store_str(b, write_ids(q->arena, o));
	store_str(b, o->names);
	store_str(b, authzs);
	put_date(b, o->not_before);
	put_date(b, o->not_after);
	store_int(b, order_lifetime(q->profile->conf));
	store_int(b, limits_open_orders(q));
	store_str(b, o->replaces.given ? o->replaces.id : STR_NONE);
}

static enum step new_order_start(struct areq *);
static enum step new_order_answer(void *, const struct store_result *);

/* The first statements of the batch. */
enum { TAKEN, INSERTED };

/* Ids of authorizations that are made; those that are reused have theirs. */
static struct str
name_authzs(struct areq *q, struct order_request *o)
{
	struct buf list = buf_new(q->arena, ACME_REPLY_MAX);

	for (size_t i = 0; i < o->nids; i++) {
		if (!o->reused[i])
			o->authzs[i] = id_new(q->arena);
		buf_printf(&list, "%s" STR_FMT, i > 0 ? " " : "",
		    STR_ARG(o->authzs[i]));
	}
	return buf_view(&list);
}

/* What is reused must still be valid, now that the account row is ours. */
static void
put_authzs(struct areq *q, struct batch *b, const struct order_request *o)
{
	for (size_t i = 0; i < o->nids; i++) {
		if (!o->reused[i]) {
			authz_insert(q, b, o->id, &o->ids[i], o->authzs[i]);
			continue;
		}
		store_add(b, SQL_AUTHZ_STILL);
		store_str(b, o->authzs[i]);
		store_str(b, q->account);
		store_int(b, order_lifetime(q->profile->conf));
		store_require(b);
	}
}

/* 0: this limit is off. */
static unsigned
limit_of(const struct areq *q, const struct take *t)
{
	return t->override != NULL ?
	    t->override->max :
	    ratelimit_get(q->acme->options.limits, t->limit).max;
}

/* What let it pass: see admin/decisions.c. All of it are words of ours. */
static struct str
write_detail(struct areq *q, const struct order_request *o)
{
	bool trusts = q->profile->conf->auth_mode == CONF_AUTH_TRUST;
	struct buf limits = buf_new(q->arena, 256);

	for (size_t i = 0; i < q->ntakes; i++)
		if (limit_of(q, &q->takes[i]) > 0)
			buf_printf(&limits, "%s%s", limits.len > 0 ? " " : "",
			    limit_name(q->takes[i].limit));
	if (limits_open_orders(q) > 0)
		buf_printf(&limits, "%sopen_orders_per_account",
		    limits.len > 0 ? " " : "");
	return str_printf(q->arena,
	    "{\"auth\":\"%s\",\"names\":%zu,\"reused\":%zu,"
	    "\"limits\":\"" STR_FMT "\"}",
	    trusts ? "trust_authenticated" : "challenge", o->nids, o->nreused,
	    STR_ARG(buf_view(&limits)));
}

static enum step
store_order(struct areq *q)
{
	struct order_request *o = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	acme_take_account(q, b);
	insert_order(q, b, o, name_authzs(q, o));
	store_require(b);
	put_authzs(q, b, o);
	audit_add(b,
	    &(struct audit_entry){
		.actor = acme_actor(q->arena, q->account),
		.action = "order.create",
		.object = o->id,
		.order = o->id,
		.account = q->account,
		.detail = write_detail(q, o),
	    });
	return store_send_batch(b, new_order_answer, q);
}

static enum step
on_reusable(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct order_request *o = q->state;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	for (size_t i = 0; i < o->nids; i++) {
		if (store_nrows(r, (unsigned)i) == 0)
			continue;
		o->reused[i] = true;
		o->nreused++;
		o->authzs[i] = str_dup(q->arena,
		    store_get_str(r, (unsigned)i, 0, AUTHZ_REUSABLE_ID));
	}
	return store_order(q);
}

static enum step
look_for_reusable(struct areq *q)
{
	const struct order_request *o = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	for (size_t i = 0; i < o->nids; i++) {
		struct str value = o->ids[i].value;
		bool wildcard = str_starts(value, STR("*."));

		store_add(b, SQL_AUTHZ_REUSABLE);
		store_str(b, q->account);
		store_str(b, q->profile->name);
		store_str(b, o->ids[i].type);
		store_str(b, wildcard ? str_skip(value, 2) : value);
		store_int(b, wildcard);
		store_int(b, q->profile->conf->authz_reuse);
		store_int(b, order_lifetime(q->profile->conf));
	}
	return store_send_batch(b, on_reusable, q);
}

static enum step
begin_order(struct areq *q)
{
	struct order_request *o = q->state;
	const struct conf_profile *c = q->profile->conf;

	o->authzs = arena_array(q->arena, struct str, o->nids);
	o->reused = arena_array(q->arena, bool, o->nids);
	o->nreused = 0;
	if (c->auth_mode == CONF_AUTH_CHALLENGE && c->authz_reuse > 0)
		return look_for_reusable(q);
	return store_order(q);
}

static enum step
on_replaced(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct order_request *o = q->state;
	const struct problem *pr = r->problem;

	if (r->status == STORE_OK && store_nrows(r, 0) == 0 && !q->again)
		return acme_recheck(q, new_order_start);
	if (r->status == STORE_OK)
		pr = replaces_check(q, &o->replaces, r, o->ids, o->nids);
	return pr != NULL ? acme_fail(q, pr) : begin_order(q);
}

static enum step
new_order_start(struct areq *q)
{
	const struct order_request *o = q->state;
	struct batch *b;

	if (!o->replaces.given)
		return begin_order(q);
	b = store_new_batch(q->acme->store, &q->req->task, q->account);
	replaces_load(q, &o->replaces, b);
	return store_send_batch(b, on_replaced, q);
}

/* One that was to be reused is no more: do without. */
static enum step
store_afresh(struct areq *q)
{
	struct order_request *o = q->state;

	memset(o->reused, 0, o->nids * sizeof(o->reused[0]));
	o->nreused = 0;
	return store_order(q);
}

/* ---- none was made */

static const struct problem *
too_many(struct areq *q, const struct store_result *r, unsigned st)
{
	int64_t wait = store_get_int(r, st, 0, ORDERS_OPEN_FIRST) -
	    store_get_int(r, st, 0, ORDERS_OPEN_NOW);
	struct problem *pr = problem_new(q->arena, PROBLEM_RATE_LIMITED,
	    "the account has %lld open orders, and at most %lld are allowed: "
	    "finalize one, or wait until one expires",
	    (long long)store_get_int(r, st, 0, ORDERS_OPEN_N),
	    (long long)limits_open_orders(q));

	pr->retry_after = wait > 0 ?
	    (unsigned)((wait + WHEN_SECOND - 1) / WHEN_SECOND) :
	    1;
	return pr;
}

enum { LIVE, OPEN };

/* The live order may have been finalized since, or one that was open ended. */
static enum step
on_refusal(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct order_request *o = q->state;
	int64_t most = limits_open_orders(q);

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, LIVE) > 0)
		return order_reply(q, 201, r, LIVE);
	if (most > 0 && store_get_int(r, OPEN, 0, ORDERS_OPEN_N) >= most)
		return acme_fail(q, too_many(q, r, OPEN));
	if (o->tries++ < TRIES_MAX)
		return store_order(q);
	return acme_fail(q,
	    problem_cause(q->arena, PROBLEM_UNAVAILABLE,
		"the same order is made and finalized again and again"));
}

static enum step
look_at_refusal(struct areq *q)
{
	const struct order_request *o = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_ORDER_LIVE);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_str(b, o->names);
	put_date(b, o->not_before);
	put_date(b, o->not_after);
	store_str(b, o->replaces.given ? o->replaces.id : STR_NONE);
	store_add(b, SQL_ORDERS_OPEN);
	store_str(b, q->account);
	return store_send_batch(b, on_refusal, q);
}

static enum step
on_lost(struct areq *q, unsigned failed)
{
	if (failed == TAKEN)
		return acme_recheck(q, acme_not_found);
	return failed == INSERTED ? look_at_refusal(q) : store_afresh(q);
}

static enum step
new_order_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct order_request *o = q->state;

	if (r->status == STORE_LOST)
		return on_lost(q, r->failed);
	if (r->status == STORE_CONFLICT && o->replaces.given)
		return acme_fail(q, replaces_conflict(q));
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	metrics_add(METRIC_orders_created, 1);
	return order_reply(q, 201, r, INSERTED);
}

const struct acme_route new_order_route = {
	.http = { .methods = REQ_POST,
	    .path = "/new-order",
	    .name = "new-order",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_OBJECT,
	.check = new_order_check,
	.start = new_order_start,
};
