/* SPDX-License-Identifier: ISC */
/*
 * GET /certificates: the newest first; of one account, what lives longest
 * first; those that end within a time, the next to end first; those with a
 * name or names below it, by name.
 */
#include "admin/admin_int.h"

enum { NAMES_SHOWN = 4 }; /* of each row */

struct cert_list {
	struct admin_page page;
	struct cert_filter filter;
};

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned stmt, size_t row)
{
	static const struct {
		const char *name;
		unsigned column;
	} texts[] = {
		{ "id", CERTS_ALL_ID },
		{ "serial", CERTS_ALL_SERIAL },
		{ "status", CERTS_ALL_STATUS },
		{ "account", CERTS_ALL_ACCOUNT },
		{ "loop", CERTS_ALL_LOOP },
		{ "profile", CERTS_ALL_PROFILE },
		{ "issuer", CERTS_ALL_ISSUER },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (store_is_null(r, stmt, row, texts[i].column))
			json_null(w, texts[i].name);
		else
			json_str(w, texts[i].name,
			    store_get_str(r, stmt, row, texts[i].column));
	admin_write_words(w, "names",
	    store_get_str(r, stmt, row, CERTS_ALL_NAMES), NAMES_SHOWN);
	json_bool(w, "marked",
	    store_get_int(r, stmt, row, CERTS_ALL_MARKED) != 0);
	admin_write_time(c->arena, w, "not_before",
	    store_get_int(r, stmt, row, CERTS_ALL_NOT_BEFORE));
	admin_write_time(c->arena, w, "not_after",
	    store_get_int(r, stmt, row, CERTS_ALL_NOT_AFTER));
}

static enum step
answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct cert_list *l = c->state;

	return admin_reply_page(c, r, &l->page, write_row);
}

static enum step
start(struct admin_call *c)
{
	struct cert_list *l = arena_new(c->arena, struct cert_list);
	const struct problem *pr;
	struct batch *b;

	c->state = l;
	if ((pr = cert_filter_parse(c, &l->filter)) != NULL ||
	    (pr = cert_page_parse(c, &l->filter, &l->page)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	cert_page_add(b, &l->filter, &l->page);
	return store_send_batch(b, answer, c);
}

const struct admin_route admin_certs_route = {
	.http = { .methods = REQ_GET,
	    .path = "/certificates",
	    .name = "admin-certs",
	    .start = admin_start },
	.params = "limit cursor " CERT_FILTERS,
	.start = start,
};
