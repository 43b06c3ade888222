/* SPDX-License-Identifier: ISC */
/* The three sets of routes for operators. */
#include "admin/admin_int.h"

#include <stdlib.h>

static const char *const at_root[] = { "", NULL };
static const char *const at_api[] = { "/api/v1", NULL };

static void
no_store(struct req *req)
{
	req_add_header(req, "Cache-Control", STR("no-store"));
}

struct admin *
admin_new(struct loop *l, struct store *st, const struct admin_hooks *hooks)
{
	struct admin *ad = calloc(1, sizeof(*ad));

	if (ad == NULL)
		abort();
	ad->loop = l;
	ad->store = st;
	ad->hooks = *hooks;
	ad->started = loop_wall(l);
	ad->health = (struct http_app){ .name = "health",
		.prefixes = at_root,
		.routes = health_routes,
		.ctx = ad,
		.before_reply = no_store };
	ad->status = (struct http_app){ .name = "status",
		.prefixes = at_root,
		.routes = status_routes,
		.ctx = ad,
		.before_reply = no_store };
	ad->api = (struct http_app){ .name = "admin",
		.prefixes = at_api,
		.routes = api_routes,
		.ctx = ad,
		.before_reply = no_store };
	return ad;
}

void
admin_free(struct admin *ad)
{
	free(ad);
}

const struct http_app *
admin_health_app(const struct admin *ad)
{
	return &ad->health;
}

const struct http_app *
admin_status_app(const struct admin *ad)
{
	return &ad->status;
}

const struct http_app *
admin_api_app(const struct admin *ad)
{
	return &ad->api;
}

enum step
admin_reply(struct req *req, unsigned status, struct json_writer *w)
{
	struct str text = json_text(w);

	if (text.p == NULL)
		return req_fail(req,
		    problem_cause(req->task.arena, PROBLEM_SERVER,
			"the reply does not fit"));
	return req_reply(req, status, "application/json", text);
}
