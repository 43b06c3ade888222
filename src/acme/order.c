/* SPDX-License-Identifier: ISC */
/* The order object, RFC 8555 section 7.1.3. */
#include "acme/acme_int.h"

#include "base/when.h"

static void
write_dates(struct json_writer *w, struct arena *a,
    const struct store_result *r, unsigned st)
{
	static const struct {
		const char *member;
		unsigned col;
	} dates[] = {
		{ "expires", ORDER_GET_EXPIRES },
		{ "notBefore", ORDER_GET_NOT_BEFORE },
		{ "notAfter", ORDER_GET_NOT_AFTER },
	};

	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
		if (!store_is_null(r, st, 0, dates[i].col))
			json_str(w, dates[i].member,
			    when_rfc3339(a,
				store_get_int(r, st, 0, dates[i].col)));
}

static void
write_authzs(struct json_writer *w, struct areq *q, struct str list)
{
	json_open_array(w, "authorizations");
	while (list.n > 0)
		json_str(w, NULL,
		    acme_url(q->arena, q->profile, "authz",
			str_cut(&list, ' ')));
	json_close(w);
}

enum step
order_reply(struct areq *q, unsigned status, const struct store_result *r,
    unsigned st)
{
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);
	struct str id = store_get_str(r, st, 0, ORDER_GET_ID);
	struct str url = acme_url(q->arena, q->profile, "order", id);
	struct str state = store_get_str(r, st, 0, ORDER_GET_STATUS);

	acme_log(q, "order", id);
	json_open_object(w, NULL);
	json_str(w, "status", state);
	write_dates(w, q->arena, r, st);
	json_raw(w, "identifiers",
	    store_get_str(r, st, 0, ORDER_GET_IDENTIFIERS));
	write_authzs(w, q, store_get_str(r, st, 0, ORDER_GET_AUTHZS));
	json_str(w, "finalize",
	    str_printf(q->arena, STR_FMT "/finalize", STR_ARG(url)));
	if (!store_is_null(r, st, 0, ORDER_GET_ERROR))
		json_raw(w, "error", store_get_str(r, st, 0, ORDER_GET_ERROR));
	if (!store_is_null(r, st, 0, ORDER_GET_CERTIFICATE))
		json_str(w, "certificate",
		    acme_url(q->arena, q->profile, "cert",
			store_get_str(r, st, 0, ORDER_GET_CERTIFICATE)));
	if (!store_is_null(r, st, 0, ORDER_GET_REPLACES))
		json_str(w, "replaces",
		    store_get_str(r, st, 0, ORDER_GET_REPLACES));
	json_str(w, "profile", q->profile->name);
	json_close(w);
	req_add_header(q->req, "Location", url);
	if (str_is(state, "processing"))
		req_add_header(q->req, "Retry-After", STR("3"));
	return acme_reply(q, status, w);
}

static enum step
order_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	return order_reply(q, 200, r, 0);
}

static enum step
order_start(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_ORDER_GET);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	return store_send_batch(b, order_answer, q);
}

const struct acme_route order_route = {
	.http = { .methods = REQ_POST,
	    .path = "/order/:id",
	    .name = "order",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EMPTY,
	.start = order_start,
};
