/* SPDX-License-Identifier: ISC */
/* Rate limits: all of them, how one key stands, and forgetting what it took. */
#include "admin/admin_int.h"

#include "base/addr.h"
#include "base/id.h"
#include "base/when.h"
#include "ratelimit/ratelimit.h"

struct looking {
	enum limit_id id;
	struct str key;
};

/* What the store counts is set in the configuration only. */
static struct limit
values_of(const struct admin_call *c, enum limit_id id)
{
	struct limit l = ratelimit_get(c->admin->limits, id);

	if (id == LIMIT_OPEN_ORDERS)
		l = (struct limit){
			.max = (unsigned)c->admin->hooks
				   .conf(c->admin->hooks.arg)
				   ->limits.open_orders_per_account
		};
	return l;
}

/* What the key of a limit is: its name says so. */
static const char *
kind_of_key(enum limit_id id)
{
	const char *per = strstr(limit_name(id), "_per_");

	return per != NULL ? per + 5 : "address";
}

static void
write_limit(struct json_writer *w, enum limit_id id, const struct limit *l)
{
	json_str(w, "name", str_from(limit_name(id)));
	json_str(w, "per", str_from(kind_of_key(id)));
	json_bool(w, "on", l->max > 0);
	json_int(w, "max", l->max);
	if (l->max > 0 && l->window > 0)
		json_int(w, "window_seconds", l->window / WHEN_SECOND);
	else
		json_null(w, "window_seconds"); /* at once, not in a time */
}

/* ---- GET /limits */

static enum step
list_start(struct admin_call *c)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	json_open_object(w, NULL);
	json_open_array(w, "items");
	for (unsigned i = 0; i < LIMIT_COUNT; i++) {
		struct limit l = values_of(c, (enum limit_id)i);

		json_open_object(w, NULL);
		write_limit(w, (enum limit_id)i, &l);
		json_close(w);
	}
	json_close(w);
	json_null(w, "next");
	json_close(w);
	return admin_reply(c, 200, w);
}

const struct admin_route admin_limits_route = {
	.http = { .methods = REQ_GET,
	    .path = "/limits",
	    .name = "admin-limits",
	    .start = admin_start },
	.params = "limit", /* there are never many */
	.start = list_start,
};

/* ---- one key */

/* Addresses have many spellings and one key. */
static const struct problem *
check_key(struct admin_call *c, enum limit_id id, struct str *key)
{
	const char *kind = kind_of_key(id);
	struct addr addr;

	if (strcmp(kind, "address") == 0) {
		if (!addr_parse(*key, &addr))
			return admin_bad(c, "key", *key, "an IP address");
		addr = addr_mask(addr,
		    id == LIMIT_ADMIN_LOGIN_FAILURE ? LIMIT_NET_BITS :
						      LIMIT_SITE_BITS);
		*key = addr_text(c->arena, addr);
	} else if (strcmp(kind, "account") == 0 && !id_is_valid(*key)) {
		return admin_bad(c, "key", *key, "the id of an account");
	}
	return NULL;
}

static const struct problem *
parse(struct admin_call *c, struct str key, struct looking *l)
{
	struct str name = c->req->params[0];

	if (!limit_find(name, &l->id))
		return problem_new(c->arena, PROBLEM_NO_SUCH_OBJECT,
		    "there is no limit \"" STR_FMT "\"; there are: " STR_FMT,
		    STR_ARG(str_show(c->arena, name, 40)),
		    STR_ARG(limit_names(c->arena)));
	l->key = key;
	if (key.n == 0)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "give a \"key\": which %s?", kind_of_key(l->id));
	return check_key(c, l->id, &l->key);
}

struct standing {
	int64_t used;
	struct limit values;
	int64_t wait; /* usec */
};

static enum step
reply_standing(struct admin_call *c, const struct standing *s, bool reset)
{
	struct looking *l = c->state;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	int64_t left = (int64_t)s->values.max - s->used;

	json_open_object(w, NULL);
	write_limit(w, l->id, &s->values);
	json_str(w, "key", l->key);
	json_int(w, "used", s->used);
	if (reset) {
		json_bool(w, "reset", true);
	} else if (s->values.max > 0) {
		json_int(w, "left", left > 0 ? left : 0);
		json_int(w, "wait_seconds",
		    (s->wait + WHEN_SECOND - 1) / WHEN_SECOND);
	}
	json_close(w);
	return admin_reply(c, 200, w);
}

static const struct problem *
check_view(struct admin_call *c, const struct ratelimit_view *v)
{
	if (v->trouble == NULL || v->values.max == 0)
		return NULL;
	return problem_new(c->arena, PROBLEM_UNAVAILABLE,
	    "the limits cannot be asked: %s", v->trouble);
}

static enum step
on_shown(void *arg, const struct ratelimit_view *v)
{
	struct admin_call *c = arg;
	const struct problem *pr = check_view(c, v);

	if (pr != NULL)
		return admin_fail(c, pr);
	return reply_standing(c,
	    &(struct standing){ .used = v->used,
		.values = v->values,
		.wait = v->wait },
	    false);
}

/* Open orders: when the first of them runs out, another one may come. */
static enum step
on_counted(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct standing s = { .values = values_of(c, LIMIT_OPEN_ORDERS) };

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	s.used = store_get_int(r, 0, 0, ORDERS_OPEN_N);
	if (s.values.max > 0 && s.used >= s.values.max)
		s.wait = store_get_int(r, 0, 0, ORDERS_OPEN_FIRST) -
		    store_get_int(r, 0, 0, ORDERS_OPEN_NOW);
	return reply_standing(c, &s, false);
}

static enum step
show_start(struct admin_call *c)
{
	struct looking *l = arena_new(c->arena, struct looking);
	const struct problem *pr = parse(c, admin_param(c, "key"), l);
	struct batch *b;

	c->state = l;
	if (pr != NULL)
		return admin_fail(c, pr);
	if (l->id != LIMIT_OPEN_ORDERS)
		return ratelimit_show(c->admin->limits, &c->req->task, l->id,
		    l->key, on_shown, c);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_ORDERS_OPEN);
	store_str(b, l->key);
	return store_send_batch(b, on_counted, c);
}

const struct admin_route admin_limit_route = {
	.http = { .methods = REQ_GET,
	    .path = "/limits/:name",
	    .name = "admin-limit",
	    .start = admin_start },
	.params = "key",
	.start = show_start,
};

/* ---- POST /limits/:name/reset {"key": ...} */

static enum step
on_reset(void *arg, const struct ratelimit_view *v)
{
	struct admin_call *c = arg;
	const struct problem *pr = check_view(c, v);

	if (pr != NULL)
		return admin_fail(c, pr);
	admin_count("limit.reset");
	return reply_standing(c,
	    &(struct standing){ .used = v->used, .values = v->values }, true);
}

/* The counts are not in the store, so their row comes first. */
static enum step
on_audited(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct looking *l = c->state;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	return ratelimit_reset(c->admin->limits, &c->req->task, l->id, l->key,
	    on_reset, c);
}

static struct str
describe(struct admin_call *c, const struct looking *l)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_BODY_MAX);

	json_open_object(w, NULL);
	json_str(w, "limit", str_from(limit_name(l->id)));
	json_str(w, "key", l->key);
	json_close(w);
	return json_text(w);
}

static enum step
reset_start(struct admin_call *c)
{
	struct looking *l = arena_new(c->arena, struct looking);
	const struct problem *pr;
	struct batch *b;
	struct str key;

	c->state = l;
	if ((pr = admin_text(c, "key", LIMIT_KEY_MAX, &key)) != NULL ||
	    (pr = parse(c, key, l)) != NULL)
		return admin_fail(c, pr);
	if (l->id == LIMIT_OPEN_ORDERS)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"%s counts what is there; it falls as orders are "
			"finalized or expire",
			limit_name(l->id)));
	b = store_new_batch(c->store, &c->req->task, STR(""));
	admin_audit(c, b,
	    &(struct admin_change){ .action = "limit.reset",
		.object = l->key,
		.account = id_is_valid(l->key) ? l->key : STR(""),
		.detail = describe(c, l) });
	return store_send_batch(b, on_audited, c);
}

const struct admin_route admin_limit_reset_route = {
	.http = { .methods = REQ_POST,
	    .path = "/limits/:name/reset",
	    .name = "admin-limit-reset",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = reset_start,
};
