/* SPDX-License-Identifier: ISC */
/* Accounts for operators: list, show, deactivate. */
#include "admin/admin_int.h"

enum { CONTACTS_SHOWN = 4 }; /* of each row of a list */

#define STATUSES "valid deactivated revoked"

/* ---- GET /accounts */

struct account_list {
	struct admin_page page;
	struct str status, profile;
};

static enum step accounts_answer(void *, const struct store_result *);

static enum step
accounts_start(struct admin_call *c)
{
	struct account_list *l = arena_new(c->arena, struct account_list);
	const struct problem *pr;
	struct batch *b;

	c->state = l;
	if ((pr = admin_parse_page(c, "accounts", ADMIN_NEWEST_FIRST,
		 &l->page)) != NULL ||
	    (pr = admin_parse_word(c, "status", STATUSES, &l->status)) != NULL)
		return admin_fail(c, pr);
	l->profile = admin_param(c, "profile");
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_ADMIN_ACCOUNTS);
	admin_put_page(b, &l->page, l->status.p != NULL || l->profile.p != NULL,
	    PAGE_BY_ID);
	store_str(b, l->status);
	store_str(b, l->profile);
	return store_send_batch(b, accounts_answer, c);
}

/* The contacts of a row: JSON that we wrote. */
static void
write_contacts(struct admin_call *c, struct json_writer *w, struct str text)
{
	const struct json *list = json_parse(c->arena, text, NULL);
	size_t n = 0;

	json_open_array(w, "contacts");
	json_each(it, list)
		if (it->type == JSON_STRING && n++ < CONTACTS_SHOWN)
			json_str(w, NULL, it->str);
	json_close(w);
	if (n > CONTACTS_SHOWN)
		json_int(w, "contacts_total", (int64_t)n);
}

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned stmt, size_t row)
{
	json_str(w, "id", store_get_str(r, stmt, row, ADMIN_ACCOUNTS_ID));
	json_str(w, "profile",
	    store_get_str(r, stmt, row, ADMIN_ACCOUNTS_PROFILE));
	json_str(w, "status",
	    store_get_str(r, stmt, row, ADMIN_ACCOUNTS_STATUS));
	write_contacts(c, w,
	    store_get_str(r, stmt, row, ADMIN_ACCOUNTS_CONTACTS));
	admin_write_time(c->arena, w, "created",
	    store_get_int(r, stmt, row, ADMIN_ACCOUNTS_CREATED));
}

static enum step
accounts_answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct account_list *l = c->state;

	return admin_reply_page(c, r, &l->page, write_row);
}

const struct admin_route admin_accounts_route = {
	.http = { .methods = REQ_GET,
	    .path = "/accounts",
	    .name = "admin-accounts",
	    .start = admin_start },
	.params = "limit cursor status profile",
	.start = accounts_start,
};

/* ---- GET /accounts/:id */

enum { SHOW_ACCOUNT, SHOW_OPEN };

static enum step
account_answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	const unsigned s = SHOW_ACCOUNT;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, s) == 0)
		return admin_fail(c,
		    admin_none(c, "account", c->req->params[0]));
	json_open_object(w, NULL);
	json_str(w, "id", store_get_str(r, s, 0, ADMIN_ACCOUNT_ID));
	json_str(w, "profile", store_get_str(r, s, 0, ADMIN_ACCOUNT_PROFILE));
	json_str(w, "status", store_get_str(r, s, 0, ADMIN_ACCOUNT_STATUS));
	json_raw(w, "contacts", store_get_str(r, s, 0, ADMIN_ACCOUNT_CONTACTS));
	admin_write_time(c->arena, w, "created",
	    store_get_int(r, s, 0, ADMIN_ACCOUNT_CREATED));
	admin_write_time(c->arena, w, "terms_agreed",
	    store_get_int(r, s, 0, ADMIN_ACCOUNT_TOS_AGREED));
	json_str(w, "key_thumbprint",
	    store_get_str(r, s, 0, ADMIN_ACCOUNT_THUMBPRINT));
	json_raw(w, "key", store_get_str(r, s, 0, ADMIN_ACCOUNT_JWK));
	json_int(w, "key_version",
	    store_get_int(r, s, 0, ADMIN_ACCOUNT_KEY_VERSION));
	json_int(w, "open_orders",
	    store_get_int(r, SHOW_OPEN, 0, ORDERS_OPEN_N));
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
account_start(struct admin_call *c)
{
	const struct problem *pr;
	struct batch *b;
	struct str id;

	if ((pr = admin_id(c, "account", &id)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_ADMIN_ACCOUNT);
	store_str(b, id);
	store_add(b, SQL_ORDERS_OPEN);
	store_str(b, id);
	return store_send_batch(b, account_answer, c);
}

const struct admin_route admin_account_route = {
	.http = { .methods = REQ_GET,
	    .path = "/accounts/:id",
	    .name = "admin-account",
	    .start = admin_start },
	.start = account_start,
};

/* ---- POST /accounts/:id/deactivate */

static enum step on_explained(void *, const struct store_result *);

static enum step
deactivate_answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w;
	struct batch *b;

	if (r->status == STORE_LOST) { /* why? */
		b = store_new_batch(c->store, &c->req->task, STR(""));
		store_add(b, SQL_ADMIN_ACCOUNT);
		store_str(b, c->req->params[0]);
		return store_send_batch(b, on_explained, c);
	}
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count("account.deactivate");
	w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	json_open_object(w, NULL);
	json_str(w, "id", c->req->params[0]);
	json_str(w, "profile",
	    store_get_str(r, 0, 0, ADMIN_ACCOUNT_REVOKE_PROFILE));
	json_str(w, "status", STR("revoked"));
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
on_explained(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, 0) == 0)
		return admin_fail(c,
		    admin_none(c, "account", c->req->params[0]));
	return admin_fail(c,
	    problem_new(c->arena, PROBLEM_WRONG_STATE,
		"the account \"" STR_FMT "\" is " STR_FMT " already",
		STR_ARG(c->req->params[0]),
		STR_ARG(store_get_str(r, 0, 0, ADMIN_ACCOUNT_STATUS))));
}

static enum step
deactivate_start(struct admin_call *c)
{
	const struct problem *pr;
	struct batch *b;
	struct str id;

	if ((pr = admin_id(c, "account", &id)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, id);
	store_add(b, SQL_ADMIN_ACCOUNT_REVOKE);
	store_str(b, id);
	store_require(b);
	admin_audit(c, b,
	    &(struct admin_change){ .action = "account.deactivate",
		.object = id,
		.account = id });
	return store_send_batch(b, deactivate_answer, c);
}

const struct admin_route admin_account_deactivate_route = {
	.http = { .methods = REQ_POST,
	    .path = "/accounts/:id/deactivate",
	    .name = "admin-account-deactivate",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = deactivate_start,
};
