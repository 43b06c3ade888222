/* SPDX-License-Identifier: ISC */
/*
 * Cert loops that operators ask for: list, add, set, remove. The store holds
 * the set; every node with a loop_folder takes those that are for it.
 */
#include "admin/admin_int.h"

#include "base/buf.h"
#include "issuer/policy.h"
#include "pki/name.h"

enum {
	NAME_BYTES = 64,
	NAMES_MAX = 100, /* as in certloop.conf */
	NODES_MAX = 32,
	NODE_BYTES = 64,
	ASKED_MAX = 100000, /* loops */
};

/* What the body says; what it does not is STR_NONE. */
struct asking {
	struct str name; /* without "ctl:" */
	struct str names, profile, key_type, nodes;
	const struct json *keep_key;
};

/* ---- what was asked */

static bool
is_word(struct str s, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
			(s.p[i] >= 'A' && s.p[i] <= 'Z') ||
			(s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' ||
			(i > 0 && s.p[i] == '.') || s.p[i] == '_'))
			return false;
	return s.n > 0 && s.n <= max;
}

/* It becomes the name of a folder too. */
static const struct problem *
parse_name(struct admin_call *c, struct str given, struct str *out)
{
	*out = str_starts(given, STR("ctl:")) ? str_skip(given, 4) : given;
	if (is_word(*out, NAME_BYTES))
		return NULL;
	return admin_bad(c, "name", given,
	    "1 to 64 letters, digits, \"-\", \"_\" or \".\", which cannot "
	    "come first");
}

static const struct problem *
parse_profile(struct admin_call *c, struct asking *k)
{
	const struct conf *conf = c->admin->hooks.conf(c->admin->hooks.arg);

	if (json_get(c->body, "profile") == NULL)
		return NULL;
	k->profile = json_get_str(c->body, "profile");
	if (conf_find_profile(conf, k->profile) != NULL)
		return NULL;
	return admin_bad(c, "profile", k->profile,
	    "the name of a profile of this server");
}

static const struct problem *
take_identifier(struct admin_call *c, const struct conf_profile *p,
    struct str given, struct pki_names *names)
{
	struct str word = str_lower(c->arena, given);
	struct addr ip;
	const char *why;

	if (addr_parse(word, &ip)) {
		names->ips[names->nips++] = ip;
		return p == NULL ?
		    NULL :
		    policy_check_ip(c->arena, p, addr_text(c->arena, ip));
	}
	names->dns[names->ndns++] = word;
	if ((why = pki_check_dns_name(word, true)) != NULL)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"" STR_FMT "\" %s", STR_ARG(str_show(c->arena, word, 80)),
		    why);
	return p == NULL ? NULL : policy_check_dns(c->arena, p, word);
}

static const struct problem *
parse_names(struct admin_call *c, struct asking *k)
{
	const struct json *list = json_get(c->body, "names");
	const struct conf *conf = c->admin->hooks.conf(c->admin->hooks.arg);
	const struct conf_profile *p = conf_find_profile(conf, k->profile);
	struct pki_names names = { 0 };
	const struct problem *pr;

	if (list == NULL)
		return NULL;
	if (list->type != JSON_ARRAY || list->n == 0 || list->n > NAMES_MAX)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"names\" must be an array of 1 to %d texts", NAMES_MAX);
	names.dns = arena_array(c->arena, struct str, list->n);
	names.ips = arena_array(c->arena, struct addr, list->n);
	json_each(it, list) {
		struct str word = it->type == JSON_STRING ? it->str : STR("");

		if ((pr = take_identifier(c, p, word, &names)) != NULL)
			return pr;
	}
	pki_names_sort(&names);
	k->names = pki_names_text(c->arena, &names);
	return NULL;
}

static const struct problem *
parse_key(struct admin_call *c, struct asking *k)
{
	const struct conf *conf = c->admin->hooks.conf(c->admin->hooks.arg);
	const struct conf_profile *p = conf_find_profile(conf, k->profile);
	enum conf_loop_key key;

	if (json_get(c->body, "keep_key") != NULL)
		k->keep_key = json_get(c->body, "keep_key");
	if (k->keep_key != NULL && k->keep_key->type != JSON_BOOL)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"keep_key\" must be true or false");
	if (json_get(c->body, "key_type") != NULL)
		k->key_type = json_get_str(c->body, "key_type");
	if (k->key_type.p == NULL)
		return NULL;
	if (!conf_find_loop_key(k->key_type, &key))
		return admin_bad(c, "key_type", k->key_type,
		    "ecdsa-p256, ecdsa-p384, rsa3072 or ed25519");
	if (p != NULL && !conf_allows_loop_key(p, key))
		return admin_bad(c, "key_type", k->key_type,
		    "a type of key that the profile allows");
	return NULL;
}

static const struct problem *
parse_nodes(struct admin_call *c, struct asking *k)
{
	const struct json *list = json_get(c->body, "nodes");
	struct buf b = buf_new(c->arena, NODES_MAX * (NODE_BYTES + 1));

	if (list == NULL)
		return NULL;
	if (list->type != JSON_ARRAY || list->n > NODES_MAX)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"nodes\" must be an array of at most %d texts",
		    NODES_MAX);
	json_each(it, list) {
		struct str word = it->type == JSON_STRING ? it->str : STR("");

		if (!is_word(word, NODE_BYTES))
			return admin_bad(c, "nodes", word,
			    "names of nodes, as DATA_DIR/node holds them");
		buf_printf(&b, "%s" STR_FMT, b.len > 0 ? " " : "",
		    STR_ARG(word));
	}
	k->nodes = b.len > 0 ? buf_view(&b) : STR("");
	return NULL;
}

static const struct problem *
parse_body(struct admin_call *c, struct asking *k)
{
	const struct problem *pr;

	json_each(it, c->body)
		if (!admin_is_word(it->name,
			"name names profile key_type keep_key nodes"))
			return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
			    "a cert loop has no \"" STR_FMT "\"",
			    STR_ARG(str_show(c->arena, it->name, 40)));
	if ((pr = parse_profile(c, k)) != NULL ||
	    (pr = parse_names(c, k)) != NULL || (pr = parse_key(c, k)) != NULL)
		return pr;
	return parse_nodes(c, k);
}

static void
put_asking(struct batch *b, const struct asking *k)
{
	store_str(b, k->name);
	store_str(b, k->names);
	store_str(b, k->profile);
	store_str(b, k->key_type);
	if (k->keep_key != NULL)
		store_int(b, k->keep_key->num != 0);
	else
		store_null(b);
	store_str(b, k->nodes);
}

/* ---- the answers */

/* The columns from `first` on: those of asked_add, in its order. */
static void
write_asked(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, size_t i, unsigned first)
{
	struct str name = store_get_str(r, 0, i, first + ASKED_ADD_NAME);

	json_str(w, "loop", str_join(c->arena, STR("ctl:"), name));
	admin_write_words(w, "names",
	    store_get_str(r, 0, i, first + ASKED_ADD_NAMES), PKI_NAMES_MAX);
	json_str(w, "profile",
	    store_get_str(r, 0, i, first + ASKED_ADD_PROFILE));
	json_str(w, "key_type",
	    store_get_str(r, 0, i, first + ASKED_ADD_KEY_TYPE));
	json_bool(w, "keep_key",
	    store_get_int(r, 0, i, first + ASKED_ADD_KEEP_KEY) != 0);
	admin_write_words(w, "nodes",
	    store_get_str(r, 0, i, first + ASKED_ADD_NODES), NODES_MAX);
}

static struct str
describe(struct admin_call *c, const struct asking *k)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_BODY_MAX);

	json_open_object(w, NULL);
	if (k->names.p != NULL)
		json_str(w, "names", k->names);
	if (k->profile.p != NULL)
		json_str(w, "profile", k->profile);
	if (k->key_type.p != NULL)
		json_str(w, "key_type", k->key_type);
	if (k->keep_key != NULL)
		json_bool(w, "keep_key", k->keep_key->num != 0);
	if (k->nodes.p != NULL)
		json_str(w, "nodes", k->nodes);
	json_close(w);
	return json_text(w);
}

/* The statement in the batch is a guard; nodes are to see the change. */
static enum step
send_change(struct admin_call *c, struct batch *b, const char *action,
    const struct asking *k, store_fn *fn)
{
	store_require(b);
	store_add(b, SQL_ASKED_CHANGE);
	admin_audit(c, b,
	    &(struct admin_change){ .action = action,
		.object = str_join(c->arena, STR("ctl:"), k->name),
		.detail = describe(c, k) });
	return store_send_batch(b, fn, c);
}

static enum step
reply_changed(struct admin_call *c, const struct store_result *r,
    const char *action, unsigned status)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	admin_count(action);
	json_open_object(w, NULL);
	write_asked(c, w, r, 0, 0);
	json_close(w);
	c->admin->hooks.wake_loops(c->admin->hooks.arg);
	return admin_reply(c, status, w);
}

/* ---- GET /asked-loops */

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned s, size_t i)
{
	(void)s;
	write_asked(c, w, r, i, ADMIN_ASKED_ID);
}

static enum step
on_list(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;

	return admin_reply_page(c, r, c->state, write_row);
}

static enum step
list_start(struct admin_call *c)
{
	struct admin_page *page = arena_new(c->arena, struct admin_page);
	const struct problem *pr;
	struct batch *b;

	c->state = page;
	pr = admin_parse_page(c, "asked-loops", ADMIN_OLDEST_FIRST, page);
	if (pr != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_ADMIN_ASKED);
	admin_put_page(b, page, false, PAGE_BY_ID);
	return store_send_batch(b, on_list, c);
}

const struct admin_route admin_asked_list_route = {
	.http = { .methods = REQ_GET,
	    .path = "/asked-loops",
	    .name = "admin-asked-loops",
	    .start = admin_start },
	.params = "limit cursor",
	.start = list_start,
};

/* ---- POST /asked-loops */

static enum step
on_added(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	const struct asking *k = c->state;

	if (r->status == STORE_CONFLICT)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"there is a cert loop " STR_FMT
			" already; \"loop set\" changes it",
			STR_ARG(k->name)));
	if (r->status == STORE_LOST)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"%d cert loops are asked for; no more will do",
			ASKED_MAX));
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	return reply_changed(c, r, "loop.add", 201);
}

static const struct problem *
parse_add(struct admin_call *c, struct asking *k)
{
	const struct conf *conf = c->admin->hooks.conf(c->admin->hooks.arg);
	const struct problem *pr;
	static const struct json no = { .type = JSON_BOOL };
	struct str name;

	k->profile = conf->default_profile;
	k->key_type = STR("ecdsa-p256");
	k->nodes = STR("");
	k->keep_key = &no;
	if ((pr = admin_text(c, "name", NAME_BYTES + 4, &name)) != NULL ||
	    (pr = parse_name(c, name, &k->name)) != NULL ||
	    (pr = parse_body(c, k)) != NULL)
		return pr;
	if (k->names.p == NULL)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "the body must have the array \"names\"");
	if (conf->loop_folder.n == 0)
		return problem_new(c->arena, PROBLEM_WRONG_STATE,
		    "this certloopd takes no cert loops but those of its "
		    "configuration: loop_folder is not set");
	return NULL;
}

static enum step
add_start(struct admin_call *c)
{
	struct asking *k = arena_new(c->arena, struct asking);
	const struct problem *pr;
	struct batch *b;

	c->state = k;
	if ((pr = parse_add(c, k)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, k->name);
	store_add(b, SQL_ASKED_ADD);
	put_asking(b, k);
	store_int(b, ASKED_MAX);
	return send_change(c, b, "loop.add", k, on_added);
}

const struct admin_route admin_asked_add_route = {
	.http = { .methods = REQ_POST,
	    .path = "/asked-loops",
	    .name = "admin-asked-add",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = add_start,
};

/* ---- POST /asked-loops/:name/set, .../remove */

static enum step
reply_change(struct admin_call *c, const struct store_result *r,
    const char *action)
{
	if (r->status == STORE_LOST)
		return admin_fail(c,
		    admin_none(c, "cert loop that was asked for",
			c->req->params[0]));
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	return reply_changed(c, r, action, 200);
}

static enum step
on_set(void *arg, const struct store_result *r)
{
	return reply_change(arg, r, "loop.set");
}

static enum step
set_start(struct admin_call *c)
{
	struct asking *k = arena_new(c->arena, struct asking);
	const struct problem *pr;
	struct batch *b;

	if ((pr = parse_name(c, c->req->params[0], &k->name)) != NULL ||
	    (pr = parse_body(c, k)) != NULL)
		return admin_fail(c, pr);
	if (c->body == NULL || c->body->n == 0)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_BAD_PARAMETER,
			"the body says nothing to change"));
	b = store_new_batch(c->store, &c->req->task, k->name);
	store_add(b, SQL_ASKED_SET);
	put_asking(b, k);
	return send_change(c, b, "loop.set", k, on_set);
}

const struct admin_route admin_asked_set_route = {
	.http = { .methods = REQ_POST,
	    .path = "/asked-loops/:name/set",
	    .name = "admin-asked-set",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = set_start,
};

static enum step
on_removed(void *arg, const struct store_result *r)
{
	return reply_change(arg, r, "loop.remove");
}

static enum step
remove_start(struct admin_call *c)
{
	struct asking *k = arena_new(c->arena, struct asking);
	const struct problem *pr;
	struct batch *b;

	if ((pr = parse_name(c, c->req->params[0], &k->name)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, k->name);
	store_add(b, SQL_ASKED_REMOVE);
	store_str(b, k->name);
	return send_change(c, b, "loop.remove", k, on_removed);
}

const struct admin_route admin_asked_remove_route = {
	.http = { .methods = REQ_POST,
	    .path = "/asked-loops/:name/remove",
	    .name = "admin-asked-remove",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = remove_start,
};
