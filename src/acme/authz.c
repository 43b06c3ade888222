/* SPDX-License-Identifier: ISC */
/*
 * Authorizations as clients see them, RFC 8555 sections 7.1.4 and 7.5, and
 * their deactivation, section 7.5.2. A challenge is a member of its
 * authorization's row; its URL names the authorization and the type.
 */
#include "acme/acme_int.h"

#include "base/when.h"

/* ---- writing */

enum authz_state {
	STATE_PENDING, /* every challenge is offered */
	STATE_FINAL,   /* the one that was taken up is left, if any */
};

static enum authz_state
state_of(struct str status)
{
	return str_is(status, "pending") ? STATE_PENDING : STATE_FINAL;
}

static struct str
get(const struct store_result *r, unsigned st, unsigned col)
{
	return store_get_str(r, st, 0, col);
}

/* Section 7.1.6: a challenge goes from pending over processing to its end. */
static struct str
challenge_status(const struct store_result *r, unsigned st, bool chosen)
{
	struct str status = get(r, st, AUTHZ_GET_STATUS);

	if (!chosen)
		return STR("pending");
	if (str_is(status, "pending"))
		return store_get_int(r, st, 0, AUTHZ_GET_BUSY) != 0 ?
		    STR("processing") :
		    STR("pending");
	/* of one that was deactivated later, too */
	if (!store_is_null(r, st, 0, AUTHZ_GET_VALIDATED))
		return STR("valid");
	return STR("invalid");
}

static void
write_challenge(struct json_writer *w, struct areq *q,
    const struct store_result *r, unsigned st, const struct json *c)
{
	struct str type = json_get_str(c, "type");
	bool chosen = str_eq(get(r, st, AUTHZ_GET_CHALLENGE), type);
	struct str url = acme_url(q->arena, q->profile, "challenge",
	    get(r, st, AUTHZ_GET_ID));

	json_open_object(w, NULL);
	json_str(w, "type", type);
	json_str(w, "url", str_join(q->arena, url, STR("/"), type));
	json_str(w, "status", challenge_status(r, st, chosen));
	json_str(w, "token", json_get_str(c, "token"));
	if (chosen && !store_is_null(r, st, 0, AUTHZ_GET_VALIDATED))
		json_str(w, "validated",
		    when_rfc3339(q->arena,
			store_get_int(r, st, 0, AUTHZ_GET_VALIDATED)));
	if (chosen && !store_is_null(r, st, 0, AUTHZ_GET_ERROR))
		json_raw(w, "error", get(r, st, AUTHZ_GET_ERROR));
	json_close(w);
}

static bool
is_shown(const struct store_result *r, unsigned st, const struct json *c)
{
	struct str chosen = get(r, st, AUTHZ_GET_CHALLENGE);

	return chosen.p == NULL ||
	    state_of(get(r, st, AUTHZ_GET_STATUS)) == STATE_PENDING ||
	    str_eq(chosen, json_get_str(c, "type"));
}

bool
authz_write_challenge(struct json_writer *w, struct areq *q,
    const struct store_result *r, unsigned st, struct str type)
{
	const struct json *list = json_parse(q->arena,
	    get(r, st, AUTHZ_GET_CHALLENGES), NULL);

	json_each(c, list) {
		if (!str_eq(json_get_str(c, "type"), type) ||
		    !is_shown(r, st, c))
			continue;
		write_challenge(w, q, r, st, c);
		return true;
	}
	return false;
}

void
authz_write(struct json_writer *w, struct areq *q, const struct store_result *r,
    unsigned st)
{
	const struct json *list = json_parse(q->arena,
	    get(r, st, AUTHZ_GET_CHALLENGES), NULL);

	json_open_object(w, NULL);
	json_open_object(w, "identifier");
	json_str(w, "type", get(r, st, AUTHZ_GET_TYPE));
	json_str(w, "value", get(r, st, AUTHZ_GET_VALUE));
	json_close(w);
	json_str(w, "status", get(r, st, AUTHZ_GET_STATUS));
	json_str(w, "expires",
	    when_rfc3339(q->arena, store_get_int(r, st, 0, AUTHZ_GET_EXPIRES)));
	if (store_get_int(r, st, 0, AUTHZ_GET_WILDCARD) != 0)
		json_bool(w, "wildcard", true);
	json_open_array(w, "challenges");
	json_each(c, list)
		if (is_shown(r, st, c))
			write_challenge(w, q, r, st, c);
	json_close(w);
	json_close(w);
}

/* ---- reading */

unsigned
authz_add_get(struct areq *q, struct batch *b)
{
	unsigned st = store_add(b, SQL_AUTHZ_GET);

	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	return st;
}

static enum step
reply(struct areq *q, const struct store_result *r, unsigned st)
{
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);

	authz_write(w, q, r, st);
	if (store_get_int(r, st, 0, AUTHZ_GET_BUSY) != 0)
		req_add_header(q->req, "Retry-After", STR("1"));
	return acme_reply(q, 200, w);
}

static enum step
on_read(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	return reply(q, r, 0);
}

static enum step
read_it(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	(void)authz_add_get(q, b);
	return store_send_batch(b, on_read, q);
}

/* ---- deactivating */

static const struct problem *
authz_check(struct areq *q)
{
	if (q->payload == NULL ||
	    str_is(json_get_str(q->payload, "status"), "deactivated"))
		return NULL;
	return problem_new(q->arena, PROBLEM_MALFORMED,
	    "an authorization can only be given \"status\": \"deactivated\"");
}

static enum step
authz_final(struct areq *q)
{
	return read_it(q); /* it was not to be deactivated: show how it is */
}

/* Statements 0 to 3 as below, then the row as it is now. */
enum { GOT = 4 };

static enum step
on_deactivated(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status == STORE_LOST)
		return acme_recheck(q, authz_final);
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	return reply(q, r, GOT);
}

/* Open orders that rest on it can come to nothing: section 7.1.6. */
static enum step
deactivate(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	acme_take_account(q, b);
	store_add(b, SQL_ORDERS_WITHOUT_AUTHZ);
	store_str(b, q->account);
	store_str(b, q->object);
	store_str(b,
	    problem_json(q->arena,
		problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		    "an authorization of the order was deactivated")));
	store_add(b, SQL_AUTHZ_DEACTIVATE);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){
		.actor = acme_actor(q->arena, q->account),
		.action = "authz.deactivate",
		.object = q->object,
		.account = q->account,
	    });
	(void)authz_add_get(q, b);
	return store_send_batch(b, on_deactivated, q);
}

static enum step
authz_start(struct areq *q)
{
	return q->payload == NULL ? read_it(q) : deactivate(q);
}

const struct acme_route authz_route = {
	.http = { .methods = REQ_POST,
	    .path = "/authz/:id",
	    .name = "authz",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EITHER,
	.check = authz_check,
	.start = authz_start,
};
