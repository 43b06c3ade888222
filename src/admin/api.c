/* SPDX-License-Identifier: ISC */
/* The admin API: status, the configuration, reload. */
#include "admin/admin_int.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/when.h"
#include "log/log.h"

static enum step
status_start(struct admin_call *c)
{
	struct admin *ad = c->admin;
	struct arena *a = c->arena;
	struct json_writer *w = json_writer_new(a, ADMIN_REPLY_MAX);
	const struct conf *conf = ad->hooks.conf(ad->hooks.arg);
	const char *why = ad->hooks.not_ready(ad->hooks.arg);

	json_open_object(w, NULL);
	json_bool(w, "ready", why == NULL);
	if (why != NULL)
		json_str(w, "reason", str_from(why));
	json_int(w, "pid", getpid());
	json_str(w, "started", when_rfc3339(a, ad->started));
	json_int(w, "uptime_seconds",
	    (loop_wall(ad->loop) - ad->started) / WHEN_SECOND);
	json_str(w, "config", conf->path);
	json_str(w, "store", str_from(store_engine(ad->store)));
	json_bool(w, "store_ready", store_is_ready(ad->store));
	json_int(w, "store_depth", store_depth(ad->store));
	ad->hooks.write_status(ad->hooks.arg, w);
	json_close(w);
	return admin_reply(c, 200, w);
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
config_start(struct admin_call *c)
{
	struct admin *ad = c->admin;
	struct buf b = buf_new(c->arena, ADMIN_REPLY_MAX);

	conf_write(&b, ad->hooks.conf(ad->hooks.arg));
	if (b.full)
		return admin_fail(c,
		    problem_cause(c->arena, PROBLEM_SERVER,
			"the configuration does not fit"));
	return req_reply(c->req, 200, "text/plain; charset=utf-8",
	    buf_view(&b));
}

/* The file named in the body, or the daemon's own. */
static enum step
config_check_start(struct admin_call *c)
{
	struct admin *ad = c->admin;
	struct arena *a = c->arena;
	struct json_writer *w = json_writer_new(a, ADMIN_REPLY_MAX);
	struct conf_errors *errors = arena_new(a, struct conf_errors);
	struct str file = ad->hooks.conf(ad->hooks.arg)->path;
	bool ok;

	struct stat st;

	/* what is wrong with it would tell what is in it */
	if (c->body != NULL && !admin_is_by_socket(c))
		return admin_fail(c,
		    problem_new(a, PROBLEM_FORBIDDEN,
			"a file can be named by the admin socket only"));
	if (c->body != NULL)
		file = json_get_str(c->body, "file");
	if (file.n == 0)
		return admin_fail(c,
		    problem_new(a, PROBLEM_BAD_PARAMETER,
			"name a \"file\": the daemon runs without one"));
	if (stat(str_cstr(a, file), &st) == 0 && !S_ISREG(st.st_mode))
		return admin_fail(c, /* it might never end */
		    problem_new(a, PROBLEM_BAD_PARAMETER,
			"the file is not a regular one"));
	ok = conf_load(a, str_cstr(a, file), errors) != NULL;
	json_open_object(w, NULL);
	json_str(w, "file", file);
	json_bool(w, "ok", ok);
	write_messages(w, errors);
	json_close(w);
	return admin_reply(c, 200, w);
}

/* ---- POST /reload */

struct reloading {
	unsigned status;
	struct json_writer *answer;
};

/* The reload is done, whatever becomes of its row. */
static enum step
on_audited(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct reloading *rl = c->state;

	if (r->status != STORE_OK)
		log_warn("a reload has no row in the audit trail",
		    LOG_STR("actor", c->actor),
		    LOG_TEXT("cause", store_cause(r)));
	return admin_reply(c, rl->status, rl->answer);
}

static void
write_changes(struct json_writer *w, struct str lines)
{
	json_open_array(w, "changes");
	while (lines.n > 0)
		json_str(w, NULL, str_cut(&lines, '\n'));
	json_close(w);
}

/* What changed, for the audit trail. */
static struct str
changes_detail(struct arena *a, struct str lines)
{
	struct json_writer *w = json_writer_new(a, ADMIN_REPLY_MAX);

	json_open_object(w, NULL);
	write_changes(w, lines);
	json_close(w);
	return json_text(w);
}

static enum step
reload_start(struct admin_call *c)
{
	struct admin *ad = c->admin;
	struct arena *a = c->arena;
	struct reloading *rl = arena_new(a, struct reloading);
	struct json_writer *w = json_writer_new(a, ADMIN_REPLY_MAX);
	struct conf_errors *errors = arena_new(a, struct conf_errors);
	struct buf changes = buf_new(a, ADMIN_REPLY_MAX / 4);
	bool ok = ad->hooks.reload(ad->hooks.arg, a, errors, &changes);
	struct batch *b;

	*rl = (struct reloading){ .status = ok ? 200 : 409, .answer = w };
	json_open_object(w, NULL);
	json_bool(w, "ok", ok);
	write_messages(w, errors);
	write_changes(w, buf_view(&changes));
	json_close(w);
	if (!ok)
		return admin_reply(c, rl->status, w);
	admin_count("config.reload");
	c->state = rl;
	b = store_new_batch(c->store, &c->req->task, STR(""));
	admin_audit(c, b,
	    &(struct admin_change){ .action = "config.reload",
		.object = ad->hooks.conf(ad->hooks.arg)->path,
		.detail = changes_detail(a, buf_view(&changes)) });
	return store_send_batch(b, on_audited, c);
}

/* ---- the routes */

const struct admin_route admin_status_route = {
	.http = { .methods = REQ_GET,
	    .path = "/status",
	    .name = "admin-status",
	    .start = admin_start },
	.start = status_start,
};

const struct admin_route admin_config_route = {
	.http = { .methods = REQ_GET,
	    .path = "/config",
	    .name = "admin-config",
	    .start = admin_start },
	.start = config_start,
};

const struct admin_route admin_config_check_route = {
	.http = { .methods = REQ_POST,
	    .path = "/config/check",
	    .name = "admin-config-check",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE, /* it opens files that the caller names */
	.start = config_check_start,
};

const struct admin_route admin_reload_route = {
	.http = { .methods = REQ_POST,
	    .path = "/reload",
	    .name = "admin-reload",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = reload_start,
};
