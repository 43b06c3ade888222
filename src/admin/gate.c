/* SPDX-License-Identifier: ISC */
/*
 * The way into the admin API: who asks (peer credentials of the socket, or the
 * API key of login.c), with which parameters and body. Then the route's own
 * start.
 */
#include "admin/admin_int.h"

#include <unistd.h>

#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

/* A peer that keeps trying is one line in this time. */
#define TELL_EVERY (10 * WHEN_SECOND)

static const struct admin_route *
route_of(const struct req *req)
{
	return (
	    const struct admin_route *)(const void *)((const char *)req->route -
	    offsetof(struct admin_route, http));
}

enum admin_scope
admin_scope_of(const struct admin_call *c)
{
	return route_of(c->req)->scope;
}

bool
admin_is_local(const struct admin_call *c)
{
	return route_of(c->req)->by_socket_only;
}

bool
admin_is_by_socket(const struct admin_call *c)
{
	return c->req->app == &c->admin->api;
}

/* ---- who */

static void
tell_refusal(struct admin *ad, uid_t uid, pid_t pid)
{
	int64_t now = loop_mono(ad->loop);

	metrics_add(METRIC_admin_peers_refused, 1);
	if (ad->told != 0 && now - ad->told < TELL_EVERY) {
		ad->untold++;
		return;
	}
	log_warn("refused a user on the admin socket", LOG_INT("uid", uid),
	    LOG_INT("pid", pid), LOG_INT("more_since", ad->untold));
	ad->told = now;
	ad->untold = 0;
}

/* Root, the user that we run as, and members of the group. */
static const struct problem *
check_peer(struct admin_call *c)
{
	struct admin *ad = c->admin;
	uid_t uid;
	gid_t gid;
	pid_t pid;

	if (!req_peer_creds(c->req, &uid, &gid, &pid))
		return problem_cause(c->arena, PROBLEM_FORBIDDEN,
		    "the peer's credentials are not known");
	c->actor = str_printf(c->arena, "admin:uid=%lu", (unsigned long)uid);
	c->req->log_context = str_printf(c->arena, "actor=" STR_FMT,
	    STR_ARG(c->actor));
	if (uid == 0 || uid == geteuid() ||
	    (ad->group != (gid_t)-1 && req_peer_in_group(c->req, ad->group)))
		return NULL;
	tell_refusal(ad, uid, pid);
	return problem_new(c->arena, PROBLEM_FORBIDDEN,
	    "user %lu may not use the admin socket: root, the user that "
	    "certloopd runs as, and members of admin_group may",
	    (unsigned long)uid);
}

/* ---- what */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Escapes undone. p is NULL if it is no text, or too long. */
static struct str
decode(struct arena *a, struct str raw)
{
	char *p = arena_alloc(a, raw.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		int hi, lo;

		p[n] = raw.p[i];
		if (raw.p[i] == '%') {
			hi = i + 2 < raw.n ? hex_digit(raw.p[i + 1]) : -1;
			lo = i + 2 < raw.n ? hex_digit(raw.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return STR_NONE;
			p[n] = (char)(hi << 4 | lo);
			i += 2;
		}
		n++;
	}
	p[n] = '\0';
	if (n > ADMIN_PARAM_MAX || !str_is_text(str_make(p, n)))
		return STR_NONE;
	return str_make(p, n);
}

static const struct problem *
add_param(struct admin_call *c, struct str raw)
{
	struct str rest = raw, name = str_cut(&rest, '=');
	const char *known = route_of(c->req)->params;
	struct str value = decode(c->arena, rest);

	if (known == NULL || !admin_is_word(name, known))
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "there is no parameter \"" STR_FMT "\" here; %s%s",
		    STR_ARG(str_show(c->arena, name, 40)),
		    known != NULL ? "there are: " : "there are none",
		    known != NULL ? known : "");
	if (admin_param(c, str_cstr(c->arena, name)).p != NULL)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "the parameter \"" STR_FMT "\" is given twice",
		    STR_ARG(name));
	if (value.n == 0)
		return admin_bad(c, str_cstr(c->arena, name), rest,
		    "text, with % escapes where they are needed");
	if (c->nparams == ADMIN_PARAMS_MAX)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "there are more than %d parameters", ADMIN_PARAMS_MAX);
	c->params[c->nparams].name = name;
	c->params[c->nparams++].value = value;
	return NULL;
}

static const struct problem *
parse_query(struct admin_call *c)
{
	struct str rest = c->req->query;
	const struct problem *pr = NULL;

	while (pr == NULL && rest.n > 0)
		pr = add_param(c, str_cut(&rest, '&'));
	return pr;
}

static const struct problem *
parse_body(struct admin_call *c)
{
	const char *why;

	if (c->req->body.n == 0)
		return NULL;
	if ((c->body = json_parse(c->arena, c->req->body, &why)) == NULL)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "the body is no JSON: %s", why);
	if (c->body->type != JSON_OBJECT)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "the body must be a JSON object");
	return NULL;
}

enum step
admin_go(struct admin_call *c)
{
	const struct problem *pr;

	if ((pr = parse_query(c)) != NULL || (pr = parse_body(c)) != NULL)
		return admin_fail(c, pr);
	return route_of(c->req)->start(c);
}

enum step
admin_start(struct req *req)
{
	struct arena *a = req->task.arena;
	struct admin_call *c = arena_new(a, struct admin_call);
	const struct problem *pr;

	c->req = req;
	c->arena = a;
	c->admin = admin_of(req);
	c->store = c->admin->store;
	if (req->app == &c->admin->keyed)
		return login_start(c);
	if ((pr = check_peer(c)) != NULL)
		return admin_fail(c, pr);
	return admin_go(c);
}
