/* SPDX-License-Identifier: ISC */
/*
 * GET /orders/:id: an order with its authorizations, its certificate, and
 * what the audit trail knows of it.
 */
#include "admin/admin_int.h"

enum { AUTHZS_MAX = 100, TRAIL_MAX = 100 };

enum { SHOW_ORDER, SHOW_AUTHZS, SHOW_CERT, SHOW_TRAIL }; /* statements */

/* A text column; null stays null. */
static void
write_text(struct json_writer *w, const char *name,
    const struct store_result *r, unsigned stmt, size_t row, unsigned col)
{
	struct str s = store_get_str(r, stmt, row, col);

	if (s.p == NULL)
		json_null(w, name);
	else
		json_str(w, name, s);
}

/* A column that holds JSON of ours. */
static void
write_json(struct json_writer *w, const char *name,
    const struct store_result *r, unsigned stmt, size_t row, unsigned col)
{
	struct str s = store_get_str(r, stmt, row, col);

	if (s.n == 0)
		json_null(w, name);
	else
		json_raw(w, name, s);
}

static void
write_order(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	static const struct {
		const char *name;
		unsigned col;
	} texts[] = {
		{ "id", ADMIN_ORDER_ID },
		{ "status", ADMIN_ORDER_STATUS },
		{ "account", ADMIN_ORDER_ACCOUNT },
		{ "profile", ADMIN_ORDER_PROFILE },
		{ "issuer", ADMIN_ORDER_ISSUER },
		{ "serial", ADMIN_ORDER_SERIAL },
		{ "replaces", ADMIN_ORDER_REPLACES },
	}, times[] = {
		{ "created", ADMIN_ORDER_CREATED },
		{ "updated", ADMIN_ORDER_UPDATED },
		{ "expires", ADMIN_ORDER_EXPIRES },
		{ "not_before", ADMIN_ORDER_NOT_BEFORE },
		{ "not_after", ADMIN_ORDER_NOT_AFTER },
		{ "lease", ADMIN_ORDER_LEASE },
	};
	const unsigned s = SHOW_ORDER;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		write_text(w, texts[i].name, r, s, 0, texts[i].col);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		admin_write_time(c->arena, w, times[i].name,
		    store_get_int(r, s, 0, times[i].col));
	write_json(w, "identifiers", r, s, 0, ADMIN_ORDER_IDENTIFIERS);
	write_json(w, "error", r, s, 0, ADMIN_ORDER_ERROR);
	json_int(w, "attempt", store_get_int(r, s, 0, ADMIN_ORDER_ATTEMPT));
	json_bool(w, "uncertain",
	    store_get_int(r, s, 0, ADMIN_ORDER_UNCERTAIN) != 0);
}

/* Without the tokens, which only the client needs. */
static void
write_challenges(struct admin_call *c, struct json_writer *w, struct str text)
{
	const struct json *list = json_parse(c->arena, text, NULL);

	json_open_array(w, "challenges");
	json_each(it, list) {
		struct str detail = json_get_str(json_get(it, "error"),
		    "detail");

		json_open_object(w, NULL);
		json_str(w, "type", json_get_str(it, "type"));
		json_str(w, "status", json_get_str(it, "status"));
		if (detail.p != NULL)
			json_str(w, "error", detail);
		json_close(w);
	}
	json_close(w);
}

static void
write_authzs(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	const unsigned s = SHOW_AUTHZS;

	json_open_array(w, "authorizations");
	for (size_t i = 0; i < store_nrows(r, s); i++) {
		json_open_object(w, NULL);
		write_text(w, "id", r, s, i, ADMIN_ORDER_AUTHZS_ID);
		write_text(w, "type", r, s, i, ADMIN_ORDER_AUTHZS_TYPE);
		write_text(w, "value", r, s, i, ADMIN_ORDER_AUTHZS_VALUE);
		json_bool(w, "wildcard",
		    store_get_int(r, s, i, ADMIN_ORDER_AUTHZS_WILDCARD) != 0);
		write_text(w, "status", r, s, i, ADMIN_ORDER_AUTHZS_STATUS);
		admin_write_time(c->arena, w, "expires",
		    store_get_int(r, s, i, ADMIN_ORDER_AUTHZS_EXPIRES));
		admin_write_time(c->arena, w, "validated",
		    store_get_int(r, s, i, ADMIN_ORDER_AUTHZS_VALIDATED));
		write_challenges(c, w,
		    store_get_str(r, s, i, ADMIN_ORDER_AUTHZS_CHALLENGES));
		json_close(w);
	}
	json_close(w);
}

static void
write_cert(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	const unsigned s = SHOW_CERT;

	if (store_nrows(r, s) == 0) {
		json_null(w, "certificate");
		return;
	}
	json_open_object(w, "certificate");
	write_text(w, "id", r, s, 0, ADMIN_ORDER_CERT_ID);
	write_text(w, "issuer", r, s, 0, ADMIN_ORDER_CERT_ISSUER);
	write_text(w, "serial", r, s, 0, ADMIN_ORDER_CERT_SERIAL);
	write_text(w, "status", r, s, 0, ADMIN_ORDER_CERT_STATUS);
	admin_write_time(c->arena, w, "not_before",
	    store_get_int(r, s, 0, ADMIN_ORDER_CERT_NOT_BEFORE));
	admin_write_time(c->arena, w, "not_after",
	    store_get_int(r, s, 0, ADMIN_ORDER_CERT_NOT_AFTER));
	json_close(w);
}

static void
write_trail(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	const unsigned s = SHOW_TRAIL;

	json_open_array(w, "trail");
	for (size_t i = 0; i < store_nrows(r, s); i++) {
		json_open_object(w, NULL);
		admin_write_time(c->arena, w, "at",
		    store_get_int(r, s, i, ADMIN_ORDER_TRAIL_AT));
		write_text(w, "actor", r, s, i, ADMIN_ORDER_TRAIL_ACTOR);
		write_text(w, "action", r, s, i, ADMIN_ORDER_TRAIL_ACTION);
		write_text(w, "object", r, s, i, ADMIN_ORDER_TRAIL_OBJECT);
		write_json(w, "detail", r, s, i, ADMIN_ORDER_TRAIL_DETAIL);
		json_close(w);
	}
	json_close(w);
}

static enum step
answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, SHOW_ORDER) == 0)
		return admin_fail(c, admin_none(c, "order", c->req->params[0]));
	json_open_object(w, NULL);
	write_order(c, w, r);
	write_authzs(c, w, r);
	write_cert(c, w, r);
	admin_write_decisions(c, w, r, SHOW_TRAIL, SHOW_AUTHZS);
	write_trail(c, w, r);
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
start(struct admin_call *c)
{
	const struct problem *pr;
	struct batch *b;
	struct str id;

	if ((pr = admin_id(c, "order", &id)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_ADMIN_ORDER);
	store_str(b, id);
	store_add(b, SQL_ADMIN_ORDER_AUTHZS);
	store_str(b, id);
	store_int(b, AUTHZS_MAX);
	store_add(b, SQL_ADMIN_ORDER_CERT);
	store_str(b, id);
	store_add(b, SQL_ADMIN_ORDER_TRAIL);
	store_str(b, id);
	store_int(b, TRAIL_MAX);
	return store_send_batch(b, answer, c);
}

const struct admin_route admin_order_route = {
	.http = { .methods = REQ_GET,
	    .path = "/orders/:id",
	    .name = "admin-order",
	    .start = admin_start },
	.start = start,
};
