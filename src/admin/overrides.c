/* SPDX-License-Identifier: ISC */
/*
 * Limits of one account by itself: which it has, set one, remove one. The row
 * is read and then changed if it still is what was read.
 */
#include "admin/admin_int.h"

#include "base/id.h"
#include "base/when.h"
#include "ratelimit/override.h"

struct changing {
	struct str account;
	enum limit_id id;
	struct limit values;
	bool removes;
	struct str after;
};

static enum step on_read(void *, const struct store_result *);
static enum step on_changed(void *, const struct store_result *);

static void
write_override(struct json_writer *w, enum limit_id id, const struct limit *l)
{
	json_open_object(w, NULL);
	json_str(w, "name", str_from(limit_name(id)));
	json_bool(w, "on", l->max > 0);
	json_int(w, "max", l->max);
	if (l->max > 0 && l->window > 0)
		json_int(w, "window_seconds", l->window / WHEN_SECOND);
	else
		json_null(w, "window_seconds");
	json_close(w);
}

static enum step
reply_overrides(struct admin_call *c, struct str account, struct str text)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	struct limit l;

	json_open_object(w, NULL);
	json_str(w, "account", account);
	json_open_array(w, "items");
	for (unsigned i = 0; i < LIMIT_COUNT; i++)
		if (override_find(text, (enum limit_id)i, &l))
			write_override(w, (enum limit_id)i, &l);
	json_close(w);
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
read_limits(struct admin_call *c, struct str account, store_fn *fn)
{
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));

	store_add(b, SQL_ADMIN_LIMITS_GET);
	store_str(b, account);
	return store_send_batch(b, fn, c);
}

/* ---- GET /accounts/:id/limits */

static enum step
on_listed(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, 0) == 0)
		return admin_fail(c,
		    admin_none(c, "account", c->req->params[0]));
	return reply_overrides(c, c->req->params[0],
	    store_get_str(r, 0, 0, ADMIN_LIMITS_GET_LIMITS));
}

static enum step
list_start(struct admin_call *c)
{
	const struct problem *pr;
	struct str id;

	if ((pr = admin_id(c, "account", &id)) != NULL)
		return admin_fail(c, pr);
	return read_limits(c, id, on_listed);
}

const struct admin_route admin_overrides_route = {
	.http = { .methods = REQ_GET,
	    .path = "/accounts/:id/limits",
	    .name = "admin-overrides",
	    .start = admin_start },
	.start = list_start,
};

/* ---- POST /accounts/:id/limits/set {"limit": ..., "value": ...}, .../remove */

static bool
parse_window(struct str text, int64_t *usec)
{
	return when_parse_span(text, usec) && *usec > 0 &&
	    *usec <= LIMIT_WINDOW_MAX;
}

static const struct problem *
parse_value(struct admin_call *c, struct changing *g)
{
	const char *what = g->id == LIMIT_OPEN_ORDERS ?
	    "a number from 0 to 10000; 0 is no limit" :
	    "MAX/WINDOW, for example 500/1h, MAX from 0 to 10000 and WINDOW "
	    "from 1s to 31d; or 0 for no limit";
	const struct problem *pr;
	struct str value, window, max;
	uint64_t n;

	if ((pr = admin_text(c, "value", 32, &value)) != NULL)
		return pr;
	window = value;
	max = str_cut(&window, '/');
	if (!str_u64(max, &n) || n > LIMIT_MAX_MAX)
		return admin_bad(c, "value", value, what);
	g->values.max = (unsigned)n;
	if (g->id == LIMIT_OPEN_ORDERS || n == 0) {
		if (max.n != value.n)
			return admin_bad(c, "value", value, what);
		/* a limit that is off has a window all the same */
		g->values.window = g->id == LIMIT_OPEN_ORDERS ? 0 : WHEN_HOUR;
		return NULL;
	}
	if (!parse_window(window, &g->values.window))
		return admin_bad(c, "value", value, what);
	return NULL;
}

static const struct problem *
parse(struct admin_call *c, struct changing *g)
{
	const struct problem *pr;
	struct str name;

	if ((pr = admin_id(c, "account", &g->account)) != NULL ||
	    (pr = admin_text(c, "limit", 64, &name)) != NULL)
		return pr;
	if (!limit_find(name, &g->id) || !override_may(g->id))
		return admin_bad(c, "limit", name,
		    str_cstr(c->arena,
			str_printf(c->arena, "one of " STR_FMT,
			    STR_ARG(override_names(c->arena)))));
	return g->removes ? NULL : parse_value(c, g);
}

static enum step
change(struct admin_call *c, bool removes)
{
	struct changing *g = arena_new(c->arena, struct changing);
	const struct problem *pr;

	c->state = g;
	g->removes = removes;
	if ((pr = parse(c, g)) != NULL)
		return admin_fail(c, pr);
	return read_limits(c, g->account, on_read);
}

static struct str
describe(struct admin_call *c, const struct changing *g)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_BODY_MAX);

	json_open_object(w, NULL);
	json_str(w, "limits", g->after);
	json_close(w);
	return json_text(w);
}

static enum step
on_read(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct changing *g = c->state;
	struct str before;
	struct limit had;
	struct batch *b;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, 0) == 0)
		return admin_fail(c, admin_none(c, "account", g->account));
	before = store_get_str(r, 0, 0, ADMIN_LIMITS_GET_LIMITS);
	if (g->removes && !override_find(before, g->id, &had))
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"the account has no %s of its own", limit_name(g->id)));
	g->after = override_set(c->arena, before, g->id,
	    g->removes ? NULL : &g->values);
	b = store_new_batch(c->store, &c->req->task, g->account);
	store_add(b, SQL_ADMIN_LIMITS_SET);
	store_str(b, g->account);
	store_str(b, before);
	store_str(b, g->after);
	store_require(b);
	store_add(b, SQL_META_PUT);
	store_str(b, STR(OVERRIDE_WORD));
	store_str(b, id_new(c->arena));
	admin_audit(c, b,
	    &(struct admin_change){ .action = g->removes ?
		    "limit.override.remove" :
		    "limit.override.set",
		.object = g->account,
		.account = g->account,
		.detail = describe(c, g) });
	return store_send_batch(b, on_changed, c);
}

static enum step
on_changed(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct changing *g = c->state;

	if (r->status == STORE_LOST)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"the limits of the account were changed meanwhile; "
			"look at them and try again"));
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count(
	    g->removes ? "limit.override.remove" : "limit.override.set");
	return reply_overrides(c, g->account, g->after);
}

static enum step
set_start(struct admin_call *c)
{
	return change(c, false);
}

static enum step
remove_start(struct admin_call *c)
{
	return change(c, true);
}

const struct admin_route admin_override_set_route = {
	.http = { .methods = REQ_POST,
	    .path = "/accounts/:id/limits/set",
	    .name = "admin-override-set",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = set_start,
};

const struct admin_route admin_override_remove_route = {
	.http = { .methods = REQ_POST,
	    .path = "/accounts/:id/limits/remove",
	    .name = "admin-override-remove",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = remove_start,
};
