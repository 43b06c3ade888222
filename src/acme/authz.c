/* SPDX-License-Identifier: ISC */
/*
 * Authorizations and their challenges, RFC 8555 sections 7.1.4, 7.5 and 8.
 * A challenge is a member of its authorization's row; its URL names the
 * authorization and the type.
 */
#include "acme/acme_int.h"

#include "base/when.h"

/* One challenge as the client sees it. */
static void
write_challenge(struct json_writer *w, struct areq *q, struct str authz,
    const struct json *c)
{
	struct str type = json_get_str(c, "type");

	json_open_object(w, NULL);
	json_str(w, "type", type);
	json_str(w, "url",
	    str_printf(q->arena, STR_FMT "/" STR_FMT,
		STR_ARG(acme_url(q->arena, q->profile, "challenge", authz)),
		STR_ARG(type)));
	json_each(m, c)
		if (m->type == JSON_STRING && !str_is(m->name, "type"))
			json_str(w, str_cstr(q->arena, m->name), m->str);
	json_close(w);
}

static enum step
send_get(struct areq *q, store_fn *answer)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_AUTHZ_GET);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	return store_send_batch(b, answer, q);
}

static enum step
authz_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);
	const struct json *list;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	list = json_parse(q->arena,
	    store_get_str(r, 0, 0, AUTHZ_GET_CHALLENGES), NULL);
	json_open_object(w, NULL);
	json_open_object(w, "identifier");
	json_str(w, "type", store_get_str(r, 0, 0, AUTHZ_GET_TYPE));
	json_str(w, "value", store_get_str(r, 0, 0, AUTHZ_GET_VALUE));
	json_close(w);
	json_str(w, "status", store_get_str(r, 0, 0, AUTHZ_GET_STATUS));
	json_str(w, "expires",
	    when_rfc3339(q->arena, store_get_int(r, 0, 0, AUTHZ_GET_EXPIRES)));
	if (store_get_int(r, 0, 0, AUTHZ_GET_WILDCARD) != 0)
		json_bool(w, "wildcard", true);
	json_open_array(w, "challenges");
	json_each(c, list)
		write_challenge(w, q, q->object, c);
	json_close(w);
	json_close(w);
	return acme_reply(q, 200, w);
}

static enum step
authz_start(struct areq *q)
{
	return send_get(q, authz_answer);
}

/* The type stands behind the id: the last parameter of the path. */
static struct str
asked_type(const struct areq *q)
{
	return q->object.p == q->req->params[1].p ? q->req->params[2] :
						    q->req->params[1];
}

static enum step
challenge_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);
	const struct json *list;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	list = json_parse(q->arena,
	    store_get_str(r, 0, 0, AUTHZ_GET_CHALLENGES), NULL);
	json_each(c, list) {
		if (!str_eq(json_get_str(c, "type"), asked_type(q)))
			continue;
		req_add_header(q->req, "Link",
		    str_printf(q->arena, "<" STR_FMT ">;rel=\"up\"",
			STR_ARG(acme_url(q->arena, q->profile, "authz",
			    q->object))));
		write_challenge(w, q, q->object, c);
		return acme_reply(q, 200, w);
	}
	return acme_not_found(q);
}

/* A challenge of a valid authorization stays as it is: section 7.5.1. */
static enum step
challenge_start(struct areq *q)
{
	return send_get(q, challenge_answer);
}

const struct acme_route authz_route = {
	.http = { .methods = REQ_POST,
	    .path = "/authz/:id",
	    .name = "authz",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EMPTY,
	.start = authz_start,
};

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
