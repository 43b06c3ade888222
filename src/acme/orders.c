/* SPDX-License-Identifier: ISC */
/*
 * The list of an account's orders, RFC 8555 section 7.1.2.1: pages of
 * ACME_ORDERS_PAGE, the next one behind Link: rel="next". A cursor is the
 * place of the last order that was seen: "CREATED-ID".
 */
#include "acme/acme_int.h"

#include "base/id.h"

struct cursor {
	int64_t created;
	struct str id;
};

static const struct problem *
orders_check(struct areq *q)
{
	struct cursor *c = arena_new(q->arena, struct cursor);
	struct str rest = q->req->query;
	uint64_t created;

	q->state = c;
	c->id = STR("");
	if (!str_eq(q->object, q->account))
		return problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		    "the request is for another account than the one that "
		    "signed it");
	if (rest.n == 0)
		return NULL;
	if (!str_is(str_cut(&rest, '='), "cursor") ||
	    !str_u64(str_cut(&rest, '-'), &created) || created > INT64_MAX ||
	    !id_is_valid(rest))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the cursor is not one of this server");
	c->created = (int64_t)created;
	c->id = rest;
	return NULL;
}

static enum step
orders_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);
	size_t n, last = ACME_ORDERS_PAGE - 1;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	n = store_nrows(r, 1);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	if (n > ACME_ORDERS_PAGE) {
		n = ACME_ORDERS_PAGE;
		req_add_header(q->req, "Link",
		    str_printf(q->arena,
			"<" STR_FMT "/orders?cursor=%lld-" STR_FMT
			">;rel=\"next\"",
			STR_ARG(acme_url(q->arena, q->profile, "account",
			    q->account)),
			(long long)store_get_int(r, 1, last,
			    ORDERS_OF_ACCOUNT_CREATED),
			STR_ARG(
			    store_get_str(r, 1, last, ORDERS_OF_ACCOUNT_ID))));
	}
	json_open_object(w, NULL);
	json_open_array(w, "orders");
	for (size_t i = 0; i < n; i++)
		json_str(w, NULL,
		    acme_url(q->arena, q->profile, "order",
			store_get_str(r, 1, i, ORDERS_OF_ACCOUNT_ID)));
	json_close(w);
	json_close(w);
	return acme_reply(q, 200, w);
}

static enum step
orders_start(struct areq *q)
{
	const struct cursor *c = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_ACCOUNT_VIEW); /* an empty list, or no account? */
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_add(b, SQL_ORDERS_OF_ACCOUNT);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_int(b, c->created);
	store_str(b, c->id);
	store_int(b, ACME_ORDERS_PAGE + 1);
	return store_send_batch(b, orders_answer, q);
}

const struct acme_route orders_route = {
	.http = { .methods = REQ_POST,
	    .path = "/account/:id/orders",
	    .name = "orders",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EMPTY,
	.check = orders_check,
	.start = orders_start,
};
