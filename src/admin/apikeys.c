/* SPDX-License-Identifier: ISC */
/*
 * API keys for operators: make, list, remove. A key leaves the daemon once, in
 * the answer that makes it; the store has its hash (apikey.h).
 */
#include "admin/admin_int.h"

#include "admin/apikey.h"
#include "base/id.h"
#include "base/when.h"

#define STATUSES "valid expired removed"
#define SCOPES "read operate admin"

/* ---- POST /api-keys */

struct apikey_made {
	struct str id, name, key;
	struct apikey_hash hash;
	enum admin_scope scope;
	int64_t expires; /* 0: never */
};

static const struct problem *
parse_name(struct admin_call *c, struct str *name)
{
	const struct problem *pr = admin_text(c, "name", APIKEY_NAME_MAX, name);

	if (pr != NULL || apikey_is_name(*name))
		return pr;
	return admin_bad(c, "name", *name,
	    "letters, digits, \".\", \"-\" and \"_\"");
}

/* No scope is given by default: who makes a key says what it is for. */
static const struct problem *
parse_scope(struct admin_call *c, enum admin_scope *scope)
{
	struct str name;
	const struct problem *pr = admin_text(c, "scope", ADMIN_PARAM_MAX,
	    &name);

	if (pr != NULL || admin_find_scope(name, scope))
		return pr;
	return admin_bad(c, "scope", name, "one of: " SCOPES);
}

static const struct problem *
parse_expires(struct admin_call *c, int64_t *out)
{
	const struct json *expires = json_get(c->body, "expires");

	if (expires == NULL || expires->type == JSON_NULL)
		return NULL;
	if (expires->type == JSON_STRING &&
	    when_parse_rfc3339(expires->str, out) &&
	    *out > loop_wall(c->admin->loop))
		return NULL;
	return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
	    "\"expires\" must be a moment to come, as RFC 3339 has it");
}

static const struct problem *
parse_new(struct admin_call *c, struct apikey_made *m)
{
	const struct problem *pr;

	json_each(it, c->body)
		if (!admin_is_word(it->name, "name scope expires"))
			return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
			    "an API key has no \"" STR_FMT "\"",
			    STR_ARG(str_show(c->arena, it->name, 40)));
	if ((pr = parse_name(c, &m->name)) != NULL ||
	    (pr = parse_scope(c, &m->scope)) != NULL)
		return pr;
	return parse_expires(c, &m->expires);
}

static enum step
on_made(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct apikey_made *m = c->state;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status == STORE_CONFLICT)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"there is an API key " STR_FMT
			" already; remove it first, or take another name",
			STR_ARG(m->name)));
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count("apikey.create");
	json_open_object(w, NULL);
	json_str(w, "id", m->id);
	json_str(w, "key", m->key);
	json_str(w, "name", m->name);
	json_str(w, "scope", str_from(admin_scope_name(m->scope)));
	admin_write_time(c->arena, w, "expires", m->expires);
	json_close(w);
	return admin_reply(c, 201, w);
}

static struct str
describe(struct admin_call *c, const struct apikey_made *m)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_BODY_MAX);

	json_open_object(w, NULL);
	json_str(w, "name", m->name);
	json_str(w, "scope", str_from(admin_scope_name(m->scope)));
	admin_write_time(c->arena, w, "expires", m->expires);
	json_close(w);
	return json_text(w);
}

static enum step
new_start(struct admin_call *c)
{
	struct apikey_made *m = arena_new(c->arena, struct apikey_made);
	const struct problem *pr;
	struct batch *b;

	c->state = m;
	if ((pr = parse_new(c, m)) != NULL)
		return admin_fail(c, pr);
	m->id = id_new(c->arena);
	m->key = apikey_new(c->arena, m->id, &m->hash);
	b = store_new_batch(c->store, &c->req->task, m->id);
	store_add(b, SQL_APIKEY_INSERT);
	store_str(b, m->id);
	store_str(b, m->name);
	store_blob(b, str_make(m->hash.bytes, sizeof(m->hash.bytes)));
	store_str(b, str_from(admin_scope_name(m->scope)));
	if (m->expires != 0)
		store_int(b, m->expires);
	else
		store_null(b);
	store_str(b, c->actor);
	admin_audit(c, b,
	    &(struct admin_change){ .action = "apikey.create",
		.object = m->id,
		.detail = describe(c, m) });
	return store_send_batch(b, on_made, c);
}

const struct admin_route admin_apikey_new_route = {
	.http = { .methods = REQ_POST,
	    .path = "/api-keys",
	    .name = "admin-apikey-new",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = new_start,
};

/* ---- GET /api-keys */

struct apikey_list {
	struct admin_page page;
	struct str status, scope;
};

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned st, size_t row)
{
	json_str(w, "id", store_get_str(r, st, row, APIKEY_LIST_ID));
	json_str(w, "name", store_get_str(r, st, row, APIKEY_LIST_NAME));
	json_str(w, "scope", store_get_str(r, st, row, APIKEY_LIST_SCOPE));
	json_str(w, "status", store_get_str(r, st, row, APIKEY_LIST_STATUS));
	admin_write_time(c->arena, w, "expires",
	    store_get_int(r, st, row, APIKEY_LIST_EXPIRES));
	admin_write_time(c->arena, w, "created",
	    store_get_int(r, st, row, APIKEY_LIST_CREATED));
	json_str(w, "created_by",
	    store_get_str(r, st, row, APIKEY_LIST_CREATED_BY));
	admin_write_time(c->arena, w, "last_used",
	    store_get_int(r, st, row, APIKEY_LIST_LAST_USED));
	admin_write_time(c->arena, w, "removed",
	    store_get_int(r, st, row, APIKEY_LIST_REMOVED_AT));
}

static enum step
on_listed(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct apikey_list *l = c->state;

	return admin_reply_page(c, r, &l->page, write_row);
}

static enum step
list_start(struct admin_call *c)
{
	struct apikey_list *l = arena_new(c->arena, struct apikey_list);
	const struct problem *pr;
	struct batch *b;

	c->state = l;
	if ((pr = admin_parse_page(c, "api-keys", ADMIN_NEWEST_FIRST,
		 &l->page)) != NULL ||
	    (pr = admin_parse_word(c, "status", STATUSES, &l->status)) !=
		NULL ||
	    (pr = admin_parse_word(c, "scope", SCOPES, &l->scope)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_APIKEY_LIST);
	admin_put_page(b, &l->page, l->status.p != NULL || l->scope.p != NULL,
	    PAGE_BY_ID);
	store_str(b, l->status);
	store_str(b, l->scope);
	return store_send_batch(b, on_listed, c);
}

const struct admin_route admin_apikey_list_route = {
	.http = { .methods = REQ_GET,
	    .path = "/api-keys",
	    .name = "admin-apikey-list",
	    .start = admin_start },
	.params = "limit cursor status scope",
	.start = list_start,
};

/* ---- POST /api-keys/:key/remove */

static enum step
refuse_removed(struct admin_call *c)
{
	return admin_fail(c,
	    problem_new(c->arena, PROBLEM_WRONG_STATE,
		"the API key \"" STR_FMT "\" is removed already",
		STR_ARG(c->req->params[0])));
}

static enum step
on_removed(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, 1024);

	if (r->status == STORE_LOST) /* somebody was faster */
		return refuse_removed(c);
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count("apikey.remove");
	json_open_object(w, NULL);
	json_str(w, "id", store_get_str(r, 0, 0, APIKEY_REMOVE_ID));
	json_str(w, "name", store_get_str(r, 0, 0, APIKEY_REMOVE_NAME));
	json_str(w, "status", STR("removed"));
	json_close(w);
	return admin_reply(c, 200, w);
}

/* Statements of a search. */
enum { IN_USE, EVER };

/* By its id, which is what the trail names: another may get the name. */
static enum step
on_found(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct batch *b;
	struct str id;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, IN_USE) == 0 && store_nrows(r, EVER) > 0)
		return refuse_removed(c);
	if (store_nrows(r, IN_USE) == 0)
		return admin_fail(c,
		    admin_none(c, "API key", c->req->params[0]));
	id = str_dup(c->arena, store_get_str(r, IN_USE, 0, APIKEY_IN_USE_ID));
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_APIKEY_REMOVE);
	store_str(b, id);
	store_require(b);
	admin_audit(c, b,
	    &(struct admin_change){ .action = "apikey.remove", .object = id });
	return store_send_batch(b, on_removed, c);
}

static enum step
remove_start(struct admin_call *c)
{
	struct str key = c->req->params[0];
	struct batch *b;

	if (!id_is_valid(key) && !apikey_is_name(key))
		return admin_fail(c, admin_none(c, "API key", key));
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_APIKEY_IN_USE);
	store_str(b, key);
	store_add(b, SQL_APIKEY_FIND);
	store_str(b, key);
	return store_send_batch(b, on_found, c);
}

const struct admin_route admin_apikey_remove_route = {
	.http = { .methods = REQ_POST,
	    .path = "/api-keys/:key/remove",
	    .name = "admin-apikey-remove",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = remove_start,
};
