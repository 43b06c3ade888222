/* SPDX-License-Identifier: ISC */
/*
 * Challenges, RFC 8555 sections 7.5.1 and 8. An empty payload reads one; any
 * object takes it up:
 *
 *	read	the authorization: whose is it, which challenge, which name?
 *	limits	responses to this challenge, failures of this name
 *	claim	one guarded statement: it is being validated, by us
 *	answer	200 with the challenge; the validation goes on (validation.c)
 *
 * Whoever comes again, or second, gets the challenge as it is; if it is
 * validated here, the next query comes at once (section 8.2). The limits come
 * after the row was read, so that nobody fills their memory with ids that do
 * not exist.
 */
#include "acme/acme_int.h"

#include "base/when.h"

static enum step on_read(void *, const struct store_result *);
static enum step on_limits(void *, const struct ratelimit_result *);
static enum step on_claimed(void *, const struct store_result *);

struct response {
	struct str type;    /* asked for */
	struct str subject; /* "ACCOUNT NAME" */
	bool claims;        /* it is to be taken up */
};

/* The type stands behind the id: the last parameter of the path. */
static struct str
asked_type(const struct areq *q)
{
	return q->object.p == q->req->params[1].p ? q->req->params[2] :
						    q->req->params[1];
}

/* ---- answers */

static enum step
reply(struct areq *q, const struct store_result *r, unsigned st)
{
	const struct response *rs = q->state;
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);
	int64_t wait = store_get_int(r, st, 0, AUTHZ_GET_WAIT);

	if (!authz_write_challenge(w, q, r, st, rs->type))
		return acme_not_found(q);
	req_add_header(q->req, "Link",
	    str_printf(q->arena, "<" STR_FMT ">;rel=\"up\"",
		STR_ARG(acme_url(q->arena, q->profile, "authz", q->object))));
	/* section 8.2: after the next query */
	if (store_get_int(r, st, 0, AUTHZ_GET_BUSY) != 0)
		req_add_header(q->req, "Retry-After",
		    str_printf(q->arena, "%lld",
			wait > 0 ? (long long)(wait / WHEN_SECOND) + 1 : 1LL));
	return acme_reply(q, 200, w);
}

static enum step
on_shown(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_not_found(q);
	return reply(q, r, 0);
}

/* As it is now, whoever made it so. */
static enum step
show(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	(void)authz_add_get(q, b);
	return store_send_batch(b, on_shown, q);
}

/* ---- the steps */

static enum step
challenge_start(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);
	struct response *rs = arena_new(q->arena, struct response);

	rs->type = asked_type(q);
	q->state = rs;
	(void)authz_add_get(q, b);
	return store_send_batch(b, on_read, q);
}

/* One challenge of an authorization at a time. */
static const struct problem *
check_busy(struct areq *q, const struct store_result *r)
{
	const struct response *rs = q->state;
	struct str chosen = store_get_str(r, 0, 0, AUTHZ_GET_CHALLENGE);

	if (store_get_int(r, 0, 0, AUTHZ_GET_BUSY) == 0 ||
	    str_eq(chosen, rs->type))
		return NULL;
	return problem_new(q->arena, PROBLEM_MALFORMED,
	    "the challenge " STR_FMT
	    " of this authorization is being validated; one at a time",
	    STR_ARG(chosen));
}

static enum step
take_limits(struct areq *q)
{
	struct response *rs = q->state;
	struct take takes[] = {
		{ .limit = LIMIT_CHALLENGE_RESPONSE,
		    .key = str_join(q->arena, q->object, STR("/"), rs->type) },
		{ .limit = LIMIT_FAILED_VALIDATION,
		    .key = rs->subject,
		    .mode = TAKE_LOOK },
	};

	return ratelimit_take(q->acme->options.limits, &q->req->task, takes,
	    rs->claims ? 2 : 1, NULL, on_limits, q);
}

static enum step
on_read(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct response *rs = q->state;
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);
	const struct problem *pr;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	q->order = str_dup(q->arena,
	    store_get_str(r, 0, 0, AUTHZ_GET_ORDER_ID));
	if (q->payload == NULL)
		return reply(q, r, 0);
	if (!authz_write_challenge(w, q, r, 0, rs->type))
		return acme_not_found(q);
	if ((pr = check_busy(q, r)) != NULL)
		return acme_fail(q, pr);
	rs->subject = str_join(q->arena, q->account, STR(" "),
	    store_get_str(r, 0, 0, AUTHZ_GET_VALUE));
	rs->claims = str_is(store_get_str(r, 0, 0, AUTHZ_GET_STATUS),
			 "pending") &&
	    store_get_int(r, 0, 0, AUTHZ_GET_BUSY) == 0;
	return take_limits(q);
}

static const struct problem *
check_room(struct areq *q, struct str name)
{
	enum validate_type type;
	enum validate_room room;
	struct problem *pr;

	if (!validate_find_type(name, &type) || q->acme->validate == NULL)
		return problem_cause(q->arena, PROBLEM_SERVER,
		    "nothing here can validate this challenge");
	room = validate_room(q->acme->validate, type, q->account);
	if (room == VALIDATE_ROOM)
		return NULL;
	pr = room == VALIDATE_SHARE_FULL ?
	    problem_new(q->arena, PROBLEM_RATE_LIMITED,
		"too many challenges of this account wait for their "
		"validation") :
	    problem_cause(q->arena, PROBLEM_UNAVAILABLE,
		"too many challenges wait for their validation");
	pr->retry_after = 10;
	return pr;
}

/* Statements of the claim. */
enum { CLAIMED, LOADED, SHOWN };

static enum step
claim(struct areq *q)
{
	const struct response *rs = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_AUTHZ_CLAIM);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_str(b, rs->type);
	store_int(b, q->setup->conf->lease);
	store_require(b);
	store_add(b, SQL_AUTHZ_LOAD);
	store_str(b, q->object);
	(void)authz_add_get(q, b);
	audit_add(b,
	    &(struct audit_entry){
		.actor = acme_actor(q->arena, q->account),
		.action = "challenge.respond",
		.object = q->object,
		.order = q->order,
		.account = q->account,
		.detail = str_printf(q->arena, "{\"type\":\"" STR_FMT "\"}",
		    STR_ARG(rs->type)),
	    });
	return store_send_batch(b, on_claimed, q);
}

static enum step
on_limits(void *arg, const struct ratelimit_result *r)
{
	struct areq *q = arg;
	const struct response *rs = q->state;
	const struct problem *pr;

	if ((pr = ratelimit_problem(q->arena, r)) != NULL)
		return acme_fail(q, pr);
	if (!rs->claims) {
		validation_hurry(q->acme, q->object);
		return show(q);
	}
	if ((pr = check_room(q, rs->type)) != NULL)
		return acme_fail(q, pr);
	return claim(q);
}

static enum step
on_claimed(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status == STORE_LOST)
		return acme_recheck(q, show);
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	validation_start(q->acme, q->object, r, LOADED);
	return reply(q, r, SHOWN);
}

const struct acme_route challenge_route = {
	.http = { .methods = REQ_POST,
	    .path = "/challenge/:id/:type",
	    .name = "challenge",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EITHER,
	.start = challenge_start,
};
