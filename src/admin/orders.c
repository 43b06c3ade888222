/* SPDX-License-Identifier: ISC */
/* GET /orders: the list, of all or of one account. */
#include "admin/admin_int.h"

enum { NAMES_SHOWN = 4 }; /* of each row */

#define STATUSES "pending ready processing valid invalid"

struct order_list {
	struct admin_page page;
	struct str status, account, profile, itself, below;
};

/* Both statements return the same columns in the same order. */
_Static_assert((int)ADMIN_ORDERS_CERTIFICATE ==
	(int)ADMIN_ORDERS_OF_CERTIFICATE,
    "the columns of a list");

/* The values of [{"type":..., "value":...}, ...]. */
static void
write_names(struct admin_call *c, struct json_writer *w, struct str text)
{
	const struct json *list = json_parse(c->arena, text, NULL);
	size_t n = 0;

	json_open_array(w, "names");
	json_each(it, list)
		if (n++ < NAMES_SHOWN)
			json_str(w, NULL, json_get_str(it, "value"));
	json_close(w);
	if (n > NAMES_SHOWN)
		json_int(w, "names_total", (int64_t)n);
}

static void
write_text(struct json_writer *w, const char *name, struct str s)
{
	if (s.p == NULL)
		json_null(w, name);
	else
		json_str(w, name, s);
}

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned stmt, size_t row)
{
	json_str(w, "id", store_get_str(r, stmt, row, ADMIN_ORDERS_ID));
	json_str(w, "status", store_get_str(r, stmt, row, ADMIN_ORDERS_STATUS));
	write_names(c, w,
	    store_get_str(r, stmt, row, ADMIN_ORDERS_IDENTIFIERS));
	json_str(w, "account",
	    store_get_str(r, stmt, row, ADMIN_ORDERS_ACCOUNT));
	json_str(w, "profile",
	    store_get_str(r, stmt, row, ADMIN_ORDERS_PROFILE));
	write_text(w, "issuer",
	    store_get_str(r, stmt, row, ADMIN_ORDERS_ISSUER));
	write_text(w, "certificate",
	    store_get_str(r, stmt, row, ADMIN_ORDERS_CERTIFICATE));
	admin_write_time(c->arena, w, "created",
	    store_get_int(r, stmt, row, ADMIN_ORDERS_CREATED));
	admin_write_time(c->arena, w, "updated",
	    store_get_int(r, stmt, row, ADMIN_ORDERS_UPDATED));
	admin_write_time(c->arena, w, "expires",
	    store_get_int(r, stmt, row, ADMIN_ORDERS_EXPIRES));
}

static enum step
answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct order_list *l = c->state;

	return admin_reply_page(c, r, &l->page, write_row);
}

static const struct problem *
parse(struct admin_call *c, struct order_list *l)
{
	const struct problem *pr;

	if ((pr = admin_parse_id(c, "account", &l->account)) != NULL ||
	    (pr = admin_parse_word(c, "status", STATUSES, &l->status)) !=
		NULL ||
	    (pr = admin_parse_name(c, "\"", "\"", &l->itself, &l->below)) !=
		NULL)
		return pr;
	l->profile = admin_param(c, "profile");
	return admin_parse_page(c,
	    l->account.p != NULL ? "orders-of" : "orders", ADMIN_NEWEST_FIRST,
	    &l->page);
}

static enum step
start(struct admin_call *c)
{
	struct order_list *l = arena_new(c->arena, struct order_list);
	bool of = admin_param(c, "account").p != NULL, filtered;
	const struct problem *pr;
	struct batch *b;

	c->state = l;
	if ((pr = parse(c, l)) != NULL)
		return admin_fail(c, pr);
	filtered = l->status.p != NULL || l->profile.p != NULL ||
	    l->itself.p != NULL;
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, of ? SQL_ADMIN_ORDERS_OF : SQL_ADMIN_ORDERS);
	admin_put_page(b, &l->page, filtered, of ? PAGE_BY_KEY : PAGE_BY_ID);
	store_str(b, l->status);
	store_str(b, l->profile);
	store_str(b, l->itself);
	store_str(b, l->below);
	if (of)
		store_str(b, l->account);
	return store_send_batch(b, answer, c);
}

const struct admin_route admin_orders_route = {
	.http = { .methods = REQ_GET,
	    .path = "/orders",
	    .name = "admin-orders",
	    .start = admin_start },
	.params = "limit cursor status account profile name",
	.start = start,
};
