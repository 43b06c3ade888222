/* SPDX-License-Identifier: ISC */
/* Cert loops for operators: list, show, renew now, pause, resume. */
#include "admin/admin_int.h"

#include "base/id.h"
#include "pki/name.h"

enum { NAMES_SHOWN = 4, NAME_MAX_BYTES = 270 };

#define STATES "new valid failing paused stopped"

/* ---- GET /loops */

struct loop_list {
	struct admin_page page;
	struct str state;
};

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned s, size_t i)
{
	struct str error = store_get_str(r, s, i, ADMIN_LOOPS_LAST_ERROR);

	json_str(w, "name", store_get_str(r, s, i, ADMIN_LOOPS_ID));
	json_str(w, "state", store_get_str(r, s, i, ADMIN_LOOPS_STATE));
	json_str(w, "source", store_get_str(r, s, i, ADMIN_LOOPS_SOURCE));
	admin_write_words(w, "names", store_get_str(r, s, i, ADMIN_LOOPS_NAMES),
	    NAMES_SHOWN);
	admin_write_time(c->arena, w, "not_after",
	    store_get_int(r, s, i, ADMIN_LOOPS_NOT_AFTER));
	admin_write_time(c->arena, w, "next_attempt",
	    store_get_int(r, s, i, ADMIN_LOOPS_NEXT_ATTEMPT));
	json_int(w, "failures", store_get_int(r, s, i, ADMIN_LOOPS_FAILURES));
	if (error.n > 0)
		json_str(w, "last_error", error);
	else
		json_null(w, "last_error");
}

static enum step
on_list(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct loop_list *l = c->state;

	return admin_reply_page(c, r, &l->page, write_row);
}

static enum step
list_start(struct admin_call *c)
{
	struct loop_list *l = arena_new(c->arena, struct loop_list);
	const struct problem *pr;
	struct batch *b;

	c->state = l;
	if ((pr = admin_parse_page(c, "loops", ADMIN_OLDEST_FIRST, &l->page)) !=
		NULL ||
	    (pr = admin_parse_word(c, "state", STATES, &l->state)) != NULL)
		return admin_fail(c, pr);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_ADMIN_LOOPS);
	admin_put_page(b, &l->page, l->state.p != NULL, PAGE_BY_ID);
	store_str(b, l->state);
	return store_send_batch(b, on_list, c);
}

const struct admin_route admin_loops_route = {
	.http = { .methods = REQ_GET,
	    .path = "/loops",
	    .name = "admin-loops",
	    .start = admin_start },
	.params = "limit cursor state",
	.start = list_start,
};

/* ---- GET /loops/:name */

enum { SHOW_LOOP, SHOW_NODES };

static void
put_text(struct json_writer *w, const char *name, struct str s)
{
	if (s.n > 0)
		json_str(w, name, s);
	else
		json_null(w, name);
}

static void
write_nodes(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	const unsigned s = SHOW_NODES;

	json_open_array(w, "nodes");
	for (size_t i = 0; i < store_nrows(r, s); i++) {
		json_open_object(w, NULL);
		json_str(w, "node",
		    store_get_str(r, s, i, LOOP_NODES_GET_NODE));
		json_str(w, "target",
		    store_get_str(r, s, i, LOOP_NODES_GET_TARGET));
		json_int(w, "delivered",
		    store_get_int(r, s, i, LOOP_NODES_GET_DELIVERED));
		admin_write_time(c->arena, w, "delivered_at",
		    store_get_int(r, s, i, LOOP_NODES_GET_DELIVERED_AT));
		json_int(w, "failures",
		    store_get_int(r, s, i, LOOP_NODES_GET_FAILURES));
		admin_write_time(c->arena, w, "next_delivery",
		    store_get_int(r, s, i, LOOP_NODES_GET_NEXT_DELIVERY));
		put_text(w, "error",
		    store_get_str(r, s, i, LOOP_NODES_GET_ERROR));
		admin_write_time(c->arena, w, "seen",
		    store_get_int(r, s, i, LOOP_NODES_GET_SEEN));
		json_close(w);
	}
	json_close(w);
}

static void
write_times(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	static const struct {
		const char *name;
		unsigned column;
	} times[] = {
		{ "next_attempt", LOOP_GET_NEXT_ATTEMPT },
		{ "lease_until", LOOP_GET_LEASE_UNTIL },
		{ "last_success", LOOP_GET_LAST_SUCCESS },
		{ "last_error_at", LOOP_GET_LAST_ERROR_AT },
		{ "not_before", LOOP_GET_NOT_BEFORE },
		{ "not_after", LOOP_GET_NOT_AFTER },
		{ "renew_at", LOOP_GET_RENEW_AT },
		{ "created", LOOP_GET_CREATED },
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		admin_write_time(c->arena, w, times[i].name,
		    store_get_int(r, SHOW_LOOP, 0, times[i].column));
}

static enum step
on_show(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	const unsigned s = SHOW_LOOP;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (store_nrows(r, s) == 0)
		return admin_fail(c, admin_none(c, "loop", c->req->params[0]));
	json_open_object(w, NULL);
	json_str(w, "name", store_get_str(r, s, 0, LOOP_GET_NAME));
	json_str(w, "state", store_get_str(r, s, 0, LOOP_GET_STATE));
	json_str(w, "source", store_get_str(r, s, 0, LOOP_GET_SOURCE));
	admin_write_words(w, "names", store_get_str(r, s, 0, LOOP_GET_NAMES),
	    PKI_NAMES_MAX);
	json_str(w, "profile", store_get_str(r, s, 0, LOOP_GET_PROFILE));
	json_str(w, "issuer", store_get_str(r, s, 0, LOOP_GET_ISSUER));
	json_str(w, "key_type", store_get_str(r, s, 0, LOOP_GET_KEY_TYPE));
	json_bool(w, "keep_key", store_get_int(r, s, 0, LOOP_GET_KEEP_KEY));
	json_int(w, "attempt", store_get_int(r, s, 0, LOOP_GET_ATTEMPT));
	json_int(w, "failures", store_get_int(r, s, 0, LOOP_GET_FAILURES));
	put_text(w, "last_error", store_get_str(r, s, 0, LOOP_GET_LAST_ERROR));
	put_text(w, "certificate",
	    store_get_str(r, s, 0, LOOP_GET_CERTIFICATE));
	put_text(w, "serial", store_get_str(r, s, 0, LOOP_GET_SERIAL));
	json_int(w, "version", store_get_int(r, s, 0, LOOP_GET_VERSION));
	write_times(c, w, r);
	write_nodes(c, w, r);
	json_close(w);
	return admin_reply(c, 200, w);
}

/* No name that a loop could have is too long or no text. */
static bool
is_name(struct str s)
{
	return s.n > 0 && s.n <= NAME_MAX_BYTES && str_is_text(s);
}

static enum step
show_start(struct admin_call *c)
{
	struct batch *b;

	if (!is_name(c->req->params[0]))
		return admin_fail(c, admin_none(c, "loop", c->req->params[0]));
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_LOOP_GET);
	store_str(b, c->req->params[0]);
	store_add(b, SQL_LOOP_NODES_GET);
	store_str(b, c->req->params[0]);
	return store_send_batch(b, on_show, c);
}

const struct admin_route admin_loop_route = {
	.http = { .methods = REQ_GET,
	    .path = "/loops/:name",
	    .name = "admin-loop",
	    .start = admin_start },
	.start = show_start,
};

/* ---- POST /loops/:name/renew */

static enum step
on_renew(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status == STORE_LOST)
		return admin_fail(c, admin_none(c, "loop", c->req->params[0]));
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count("loop.renew");
	c->admin->hooks.wake_loops(c->admin->hooks.arg);
	json_open_object(w, NULL);
	json_str(w, "name", store_get_str(r, 0, 0, LOOP_RENEW_NAME));
	json_bool(w, "due", true);
	json_close(w);
	return admin_reply(c, 202, w);
}

static enum step
renew_start(struct admin_call *c)
{
	struct batch *b;

	if (!is_name(c->req->params[0]))
		return admin_fail(c, admin_none(c, "loop", c->req->params[0]));
	b = store_new_batch(c->store, &c->req->task, c->req->params[0]);
	store_add(b, SQL_LOOP_RENEW);
	store_str(b, c->req->params[0]);
	store_str(b, id_new(c->arena));
	store_require(b);
	admin_audit(c, b,
	    &(struct admin_change){ .action = "loop.renew",
		.object = c->req->params[0] });
	return store_send_batch(b, on_renew, c);
}

const struct admin_route admin_loop_renew_route = {
	.http = { .methods = REQ_POST,
	    .path = "/loops/:name/renew",
	    .name = "admin-loop-renew",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = renew_start,
};

/* ---- POST /loops/:name/pause, .../resume */

static enum step
reply_paused(struct admin_call *c, const struct store_result *r, bool paused)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status == STORE_LOST)
		return admin_fail(c, admin_none(c, "loop", c->req->params[0]));
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count(paused ? "loop.pause" : "loop.resume");
	c->admin->hooks.wake_loops(c->admin->hooks.arg);
	json_open_object(w, NULL);
	json_str(w, "name", store_get_str(r, 0, 0, LOOP_PAUSE_NAME));
	json_bool(w, "paused", paused);
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
on_paused(void *arg, const struct store_result *r)
{
	return reply_paused(arg, r, true);
}

static enum step
on_resumed(void *arg, const struct store_result *r)
{
	return reply_paused(arg, r, false);
}

static enum step
send_pause(struct admin_call *c, bool paused)
{
	struct batch *b;

	if (!is_name(c->req->params[0]))
		return admin_fail(c, admin_none(c, "loop", c->req->params[0]));
	b = store_new_batch(c->store, &c->req->task, c->req->params[0]);
	store_add(b, SQL_LOOP_PAUSE);
	store_str(b, c->req->params[0]);
	store_int(b, paused);
	store_str(b, id_new(c->arena));
	store_require(b);
	admin_audit(c, b,
	    &(struct admin_change){ .action = paused ? "loop.pause" :
						       "loop.resume",
		.object = c->req->params[0] });
	return store_send_batch(b, paused ? on_paused : on_resumed, c);
}

static enum step
pause_start(struct admin_call *c)
{
	return send_pause(c, true);
}

static enum step
resume_start(struct admin_call *c)
{
	return send_pause(c, false);
}

const struct admin_route admin_loop_pause_route = {
	.http = { .methods = REQ_POST,
	    .path = "/loops/:name/pause",
	    .name = "admin-loop-pause",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = pause_start,
};

const struct admin_route admin_loop_resume_route = {
	.http = { .methods = REQ_POST,
	    .path = "/loops/:name/resume",
	    .name = "admin-loop-resume",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = resume_start,
};
