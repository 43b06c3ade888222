/* SPDX-License-Identifier: ISC */
/* The admin API: status, the configuration, reload. */
#include "admin/admin_int.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/when.h"

static enum step
status_start(struct req *req)
{
	struct admin *ad = admin_of(req);
	struct arena *a = req->task.arena;
	struct json_writer *w = json_writer_new(a, ADMIN_REPLY_MAX);
	const struct conf *c = ad->hooks.conf(ad->hooks.arg);
	const char *why = ad->hooks.not_ready(ad->hooks.arg);

	json_open_object(w, NULL);
	json_bool(w, "ready", why == NULL);
	if (why != NULL)
		json_str(w, "reason", str_from(why));
	json_int(w, "pid", getpid());
	json_str(w, "started", when_rfc3339(a, ad->started));
	json_int(w, "uptime_seconds",
	    (loop_wall(ad->loop) - ad->started) / WHEN_SECOND);
	json_str(w, "config", c->path);
	json_str(w, "store", str_from(store_engine(ad->store)));
	json_bool(w, "store_ready", store_is_ready(ad->store));
	json_int(w, "store_depth", store_depth(ad->store));
	ad->hooks.write_status(ad->hooks.arg, w);
	json_close(w);
	return admin_reply(req, 200, w);
}

static void
write_messages(struct json_writer *w, const struct conf_errors *e)
{
	json_open_array(w, "messages");
	for (size_t i = 0; i < e->n; i++) {
		json_open_object(w, NULL);
		json_str(w, "level",
		    e->v[i].is_error ? STR("error") : STR("warning"));
		json_int(w, "line", e->v[i].line);
		json_str(w, "text", e->v[i].text);
		json_close(w);
	}
	json_close(w);
	json_int(w, "dropped", (int64_t)e->dropped);
}

static enum step
config_start(struct req *req)
{
	struct admin *ad = admin_of(req);
	struct buf b = buf_new(req->task.arena, ADMIN_REPLY_MAX);

	conf_write(&b, ad->hooks.conf(ad->hooks.arg));
	if (b.full)
		return req_fail(req,
		    problem_cause(req->task.arena, PROBLEM_SERVER,
			"the configuration does not fit"));
	return req_reply(req, 200, "text/plain; charset=utf-8", buf_view(&b));
}

/* The file named in the body, or the daemon's own. */
static enum step
config_check_start(struct req *req)
{
	struct admin *ad = admin_of(req);
	struct arena *a = req->task.arena;
	struct json_writer *w = json_writer_new(a, ADMIN_REPLY_MAX);
	struct conf_errors *errors = arena_new(a, struct conf_errors);
	struct str file = ad->hooks.conf(ad->hooks.arg)->path;
	const struct json *body;
	const char *why;
	bool ok;

	if (req->body.n > 0) {
		if ((body = json_parse(a, req->body, &why)) == NULL)
			return req_fail(req,
			    problem_new(a, PROBLEM_MALFORMED,
				"the body is no JSON: %s", why));
		file = json_get_str(body, "file");
	}
	if (file.n == 0)
		return req_fail(req,
		    problem_new(a, PROBLEM_MALFORMED,
			"name a \"file\": the daemon runs without one"));
	ok = conf_load(a, str_cstr(a, file), errors) != NULL;
	json_open_object(w, NULL);
	json_str(w, "file", file);
	json_bool(w, "ok", ok);
	write_messages(w, errors);
	json_close(w);
	return admin_reply(req, 200, w);
}

static enum step
reload_start(struct req *req)
{
	struct admin *ad = admin_of(req);
	struct arena *a = req->task.arena;
	struct json_writer *w = json_writer_new(a, ADMIN_REPLY_MAX);
	struct conf_errors *errors = arena_new(a, struct conf_errors);
	struct buf changes = buf_new(a, ADMIN_REPLY_MAX / 4);
	struct str rest;
	bool ok = ad->hooks.reload(ad->hooks.arg, a, errors, &changes);

	rest = buf_view(&changes);
	json_open_object(w, NULL);
	json_bool(w, "ok", ok);
	write_messages(w, errors);
	json_open_array(w, "changes");
	while (rest.n > 0)
		json_str(w, NULL, str_cut(&rest, '\n'));
	json_close(w);
	json_close(w);
	return admin_reply(req, ok ? 200 : 409, w);
}

static const struct route status_route = {
	.methods = REQ_GET,
	.path = "/status",
	.name = "admin-status",
	.start = status_start,
};

static const struct route config_route = {
	.methods = REQ_GET,
	.path = "/config",
	.name = "admin-config",
	.start = config_start,
};

static const struct route config_check_route = {
	.methods = REQ_POST,
	.path = "/config/check",
	.name = "admin-config-check",
	.body_max = ADMIN_BODY_MAX,
	.start = config_check_start,
};

static const struct route reload_route = {
	.methods = REQ_POST,
	.path = "/reload",
	.name = "admin-reload",
	.body_max = ADMIN_BODY_MAX,
	.start = reload_start,
};

const struct route *const api_routes[] = { &status_route, &config_route,
	&config_check_route, &reload_route, NULL };
