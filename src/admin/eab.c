/* SPDX-License-Identifier: ISC */
/*
 * Keys of external account bindings (RFC 8555 section 7.3.4) for operators:
 * make, list, show, revoke. The MAC key leaves the daemon once, in the answer
 * that makes it; the store has it sealed.
 */
#include "admin/admin_int.h"

#include <openssl/mem.h>

#include "base/b64url.h"
#include "base/id.h"
#include "base/when.h"
#include "issuer/allowance.h"

enum {
	EAB_KEY_LEN = 64, /* as RFC 7518 section 3.2 asks for HS512 */
	EAB_NAME_MAX = 200,
	EAB_USES_MAX = 1000000000,
	EAB_ALLOWED_MAX = 200,    /* words */
	EAB_ACCOUNTS_SHOWN = 100, /* of one key */
};

#define STATUSES "valid used expired revoked"

/* ---- POST /eab-keys */

struct eab_new {
	struct str id, name, profile, allowed;
	struct str key; /* base64url, for the answer */
	int64_t max_uses, expires;
};

static const struct problem *
parse_profile(struct admin_call *c, struct eab_new *e)
{
	const struct conf *conf = c->admin->hooks.conf(c->admin->hooks.arg);

	e->profile = conf->default_profile;
	if (json_get(c->body, "profile") != NULL)
		e->profile = json_get_str(c->body, "profile");
	if (conf_find_profile(conf, e->profile) != NULL)
		return NULL;
	return admin_bad(c, "profile", e->profile,
	    "the name of a profile of this server");
}

static const struct problem *
parse_limits(struct admin_call *c, struct eab_new *e)
{
	const struct json *uses = json_get(c->body, "max_uses");
	const struct json *expires = json_get(c->body, "expires");

	e->max_uses = 1;
	if (uses != NULL)
		e->max_uses = uses->type == JSON_INT ? uses->num : -1;
	if (e->max_uses < 0 || e->max_uses > EAB_USES_MAX)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"max_uses\" must be a number from 0 (any number) to %d",
		    EAB_USES_MAX);
	if (expires == NULL || expires->type == JSON_NULL)
		return NULL;
	if (expires->type != JSON_STRING ||
	    !when_parse_rfc3339(expires->str, &e->expires) ||
	    e->expires <= loop_wall(c->admin->loop))
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"expires\" must be a moment to come, as RFC 3339 has it");
	return NULL;
}

static const struct problem *
parse_allowed(struct admin_call *c, struct eab_new *e)
{
	const struct json *list = json_get(c->body, "identifiers");
	struct buf b = buf_new(c->arena, ALLOWANCE_MAX);

	if (list != NULL &&
	    (list->type != JSON_ARRAY || list->n > EAB_ALLOWED_MAX))
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"identifiers\" must be an array of at most %d texts",
		    EAB_ALLOWED_MAX);
	json_each(it, list) {
		struct str word = it->type == JSON_STRING ?
		    str_lower(c->arena, it->str) :
		    STR("");

		if (!allowance_is_word(word))
			return admin_bad(c, "identifiers", word,
			    "a DNS name, which stands for all names below it "
			    "too, or an address or prefix");
		buf_printf(&b, "%s" STR_FMT, b.len > 0 ? " " : "",
		    STR_ARG(word));
	}
	if (b.full)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"identifiers\" takes more than %d bytes", ALLOWANCE_MAX);
	e->allowed = b.len > 0 ? buf_view(&b) : STR("");
	return NULL;
}

static const struct problem *
parse_new(struct admin_call *c, struct eab_new *e)
{
	const struct problem *pr;

	json_each(it, c->body)
		if (!admin_is_word(it->name,
			"name profile max_uses expires identifiers"))
			return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
			    "a key has no \"" STR_FMT "\"",
			    STR_ARG(str_show(c->arena, it->name, 40)));
	if ((pr = admin_text(c, "name", EAB_NAME_MAX, &e->name)) != NULL ||
	    (pr = parse_profile(c, e)) != NULL ||
	    (pr = parse_limits(c, e)) != NULL)
		return pr;
	return parse_allowed(c, e);
}

static enum step
new_answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct eab_new *e = c->state;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count("eab.create");
	json_open_object(w, NULL);
	json_str(w, "id", e->id);
	json_str(w, "key", e->key);
	json_str(w, "name", e->name);
	json_str(w, "profile", e->profile);
	json_int(w, "max_uses", e->max_uses);
	admin_write_time(c->arena, w, "expires", e->expires);
	admin_write_words(w, "identifiers", e->allowed, EAB_ALLOWED_MAX);
	json_close(w);
	return admin_reply(c, 201, w);
}

/* The key itself, sealed for its row. */
static struct str
make_key(struct admin_call *c, struct eab_new *e)
{
	struct seal_place place = { .table = STR("eab_keys"),
		.row = e->id,
		.column = STR("sealed") };
	uint8_t key[EAB_KEY_LEN];
	struct str sealed;

	id_random(key, sizeof(key));
	e->key = b64url_encode(c->arena, str_make(key, sizeof(key)));
	sealed = seal_secret(c->arena, c->admin->ring, &place,
	    str_make(key, sizeof(key)));
	OPENSSL_cleanse(key, sizeof(key));
	return sealed;
}

static enum step
new_start(struct admin_call *c)
{
	struct eab_new *e = arena_new(c->arena, struct eab_new);
	const struct problem *pr;
	struct batch *b;

	c->state = e;
	if ((pr = parse_new(c, e)) != NULL)
		return admin_fail(c, pr);
	e->id = id_new(c->arena);
	b = store_new_batch(c->store, &c->req->task, e->id);
	store_add(b, SQL_EAB_INSERT);
	store_str(b, e->id);
	store_str(b, e->name);
	store_str(b, e->profile);
	store_blob(b, make_key(c, e));
	store_int(b, e->max_uses);
	if (e->expires != 0)
		store_int(b, e->expires);
	else
		store_null(b);
	store_str(b, e->allowed);
	admin_audit(c, b,
	    &(struct admin_change){ .action = "eab.create", .object = e->id });
	return store_send_batch(b, new_answer, c);
}

const struct admin_route admin_eab_new_route = {
	.http = { .methods = REQ_POST,
	    .path = "/eab-keys",
	    .name = "admin-eab-new",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = new_start,
};

/* ---- GET /eab-keys */

struct eab_list {
	struct admin_page page;
	struct str status, profile;
};

/* The columns that a row of the list and of one key have in common. */
static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned st, size_t row)
{
	json_str(w, "id", store_get_str(r, st, row, EAB_LIST_ID));
	json_str(w, "name", store_get_str(r, st, row, EAB_LIST_NAME));
	json_str(w, "profile", store_get_str(r, st, row, EAB_LIST_PROFILE));
	json_str(w, "status", store_get_str(r, st, row, EAB_LIST_STATUS));
	json_int(w, "max_uses", store_get_int(r, st, row, EAB_LIST_MAX_USES));
	json_int(w, "used", store_get_int(r, st, row, EAB_LIST_USED));
	admin_write_time(c->arena, w, "expires",
	    store_get_int(r, st, row, EAB_LIST_EXPIRES));
	admin_write_words(w, "identifiers",
	    store_get_str(r, st, row, EAB_LIST_ALLOWED), EAB_ALLOWED_MAX);
	admin_write_time(c->arena, w, "created",
	    store_get_int(r, st, row, EAB_LIST_CREATED));
	admin_write_time(c->arena, w, "last_used",
	    store_get_int(r, st, row, EAB_LIST_LAST_USED));
	admin_write_time(c->arena, w, "revoked",
	    store_get_int(r, st, row, EAB_LIST_REVOKED_AT));
}

static enum step
list_answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct eab_list *l = c->state;

	return admin_reply_page(c, r, &l->page, write_row);
}

static enum step
list_start(struct admin_call *c)
{
	struct eab_list *l = arena_new(c->arena, struct eab_list);
	const struct problem *pr;
	struct batch *b;

	c->state = l;
	if ((pr = admin_parse_page(c, "eab-keys", ADMIN_NEWEST_FIRST,
		 &l->page)) != NULL ||
	    (pr = admin_parse_word(c, "status", STATUSES, &l->status)) != NULL)
		return admin_fail(c, pr);
	l->profile = admin_param(c, "profile");
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_EAB_LIST);
	admin_put_page(b, &l->page, l->status.p != NULL || l->profile.p != NULL,
	    PAGE_BY_ID);
	store_str(b, l->status);
	store_str(b, l->profile);
	return store_send_batch(b, list_answer, c);
}

const struct admin_route admin_eab_list_route = {
	.http = { .methods = REQ_GET,
	    .path = "/eab-keys",
	    .name = "admin-eab-list",
	    .start = admin_start },
	.params = "limit cursor status profile",
	.start = list_start,
};

/* ---- GET /eab-keys/:id */

enum { SHOW_KEY, SHOW_ACCOUNTS };

static enum step
show_answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	size_t n;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, SHOW_KEY) == 0)
		return admin_fail(c,
		    admin_none(c, "EAB key", c->req->params[0]));
	json_open_object(w, NULL);
	write_row(c, w, r, SHOW_KEY, 0);
	json_open_array(w, "accounts");
	n = store_nrows(r, SHOW_ACCOUNTS);
	for (size_t i = 0; i < n && i < EAB_ACCOUNTS_SHOWN; i++)
		json_str(w, NULL,
		    store_get_str(r, SHOW_ACCOUNTS, i, EAB_ACCOUNTS_ID));
	json_close(w);
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
show_start(struct admin_call *c)
{
	const struct problem *pr;
	struct batch *b;
	struct str id;

	if ((pr = admin_id(c, "EAB key", &id)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_EAB_SHOW);
	store_str(b, id);
	store_add(b, SQL_EAB_ACCOUNTS);
	store_str(b, id);
	store_int(b, EAB_ACCOUNTS_SHOWN);
	return store_send_batch(b, show_answer, c);
}

const struct admin_route admin_eab_show_route = {
	.http = { .methods = REQ_GET,
	    .path = "/eab-keys/:id",
	    .name = "admin-eab-show",
	    .start = admin_start },
	.start = show_start,
};

/* ---- POST /eab-keys/:id/revoke */

struct eab_revoke {
	bool accounts; /* those that it has bound too */
};

static enum step
on_explained(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, 0) == 0)
		return admin_fail(c,
		    admin_none(c, "EAB key", c->req->params[0]));
	return admin_fail(c,
	    problem_new(c->arena, PROBLEM_WRONG_STATE,
		"the EAB key \"" STR_FMT "\" is revoked already",
		STR_ARG(c->req->params[0])));
}

static enum step
revoke_answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	const struct eab_revoke *e = c->state;
	struct json_writer *w = json_writer_new(c->arena, 1024);
	struct batch *b;

	if (r->status == STORE_LOST) { /* why? */
		b = store_new_batch(c->store, &c->req->task, STR(""));
		store_add(b, SQL_EAB_SHOW);
		store_str(b, c->req->params[0]);
		return store_send_batch(b, on_explained, c);
	}
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count("eab.revoke");
	json_open_object(w, NULL);
	json_str(w, "id", c->req->params[0]);
	json_str(w, "status", STR("revoked"));
	json_int(w, "accounts_revoked",
	    e->accounts ? (int64_t)store_affected(r, 1) : 0);
	json_close(w);
	return admin_reply(c, 200, w);
}

static const struct problem *
parse_revoke(struct admin_call *c, struct eab_revoke *e)
{
	const struct json *j = json_get(c->body, "accounts");

	if (j != NULL && j->type != JSON_BOOL)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"accounts\" must be true or false");
	e->accounts = j != NULL && j->num != 0;
	return NULL;
}

static enum step
revoke_start(struct admin_call *c)
{
	struct eab_revoke *e = arena_new(c->arena, struct eab_revoke);
	const struct problem *pr;
	struct batch *b;
	struct str id;

	c->state = e;
	if ((pr = admin_id(c, "EAB key", &id)) != NULL ||
	    (pr = parse_revoke(c, e)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, id);
	store_add(b, SQL_EAB_REVOKE);
	store_str(b, id);
	store_require(b);
	if (e->accounts) {
		store_add(b, SQL_EAB_REVOKE_ACCOUNTS);
		store_str(b, id);
	}
	admin_audit(c, b,
	    &(struct admin_change){ .action = "eab.revoke",
		.object = id,
		.detail = e->accounts ? STR("{\"accounts\":true}") : STR("") });
	return store_send_batch(b, revoke_answer, c);
}

const struct admin_route admin_eab_revoke_route = {
	.http = { .methods = REQ_POST,
	    .path = "/eab-keys/:id/revoke",
	    .name = "admin-eab-revoke",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = revoke_start,
};
