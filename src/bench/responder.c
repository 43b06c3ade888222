/* SPDX-License-Identifier: ISC */
/*
 * The other side of http-01 (RFC 8555 section 8.3): a listener that knows the
 * tokens which the flows were given. A flow answers one challenge at a time,
 * so it has one token.
 */
#include <stdlib.h>

#include "bench/flow.h"
#include "http/http.h"

struct responder {
	struct http_server *server;
	struct http_app app;
};

static enum step
answer(struct req *req)
{
	const struct bench *b = req->app->ctx;
	struct str token = req->params[0];

	for (size_t i = 0; i < b->opt->connections; i++) {
		const struct flow *f = b->flows[i];

		if (f->token.p != NULL && str_eq(f->token, token))
			return req_reply(req, 200, "application/octet-stream",
			    str_join(req->task.arena, token, STR("."),
				f->account->thumbprint));
	}
	return req_fail(req,
	    problem_new(req->task.arena, PROBLEM_NOT_FOUND,
		"there is no such token"));
}

static const struct route token_route = {
	.methods = REQ_GET,
	.path = "/.well-known/acme-challenge/:token",
	.name = "http-01",
	.start = answer,
};
static const struct route *const routes[] = { &token_route, NULL };

struct responder *
responder_new(struct bench *b, const char *address, struct arena *a,
    const char **why)
{
	struct responder *r = calloc(1, sizeof(*r));
	const struct http_app *apps[] = { NULL, NULL };
	struct http_listener_options o = { .address = address, .apps = apps };

	if (r == NULL)
		abort();
	r->app = (struct http_app){ .name = "http-01",
		.routes = routes,
		.ctx = b };
	apps[0] = &r->app;
	r->server = http_server_new(b->loop, NULL);
	if (http_listen(r->server, &o, a, why))
		return r;
	responder_free(r);
	return NULL;
}

void
responder_free(struct responder *r)
{
	if (r == NULL)
		return;
	http_server_free(r->server);
	free(r);
}
