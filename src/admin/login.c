/* SPDX-License-Identifier: ISC */
/*
 * Who asks, on a listener of kind admin: the holder of an API key.
 *
 *	login_start	the header; what cannot be a key need not be looked up
 *	on_found	is it the key of that id?
 *	on_judged	wrong keys were counted, others were told whether their
 *			address has had too many
 *	on_touched	its last use is noted, once a minute
 *
 * Nothing of a key is kept between requests, so one that was removed or has
 * run out is refused at once by every process. A wrong key and a good one both
 * ask the same limit before they are told apart, so whoever is over it learns
 * nothing about either; and the good one takes nothing from it, so nobody is
 * locked out but by wrong keys from the same address.
 */
#include "admin/admin_int.h"

#include <openssl/mem.h>

#include "admin/apikey.h"
#include "audit/refusals.h"
#include "base/addr.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "ratelimit/ratelimit.h"

struct login {
	struct admin_call *c;
	struct str id; /* that the key says it has; empty: it is no key */
	struct apikey_hash hash;
	struct str address; /* as it is counted */
	bool is_wrong;
	bool is_stale; /* its last use was noted a while ago */
	enum admin_scope scope;
	const struct problem *problem; /* of a key that is no good any more, */
	const char *outcome;           /* and the metric's label for it */
};

#define REALM "Bearer realm=\"certloop\""

static enum step judge(struct login *);
static enum step on_found(void *, const struct store_result *);
static enum step on_judged(void *, const struct ratelimit_result *);
static enum step on_touched(void *, const struct store_result *);

/* ---- scopes */

static const char *const scopes[] = {
	[ADMIN_READ] = "read",
	[ADMIN_OPERATE] = "operate",
	[ADMIN_ADMIN] = "admin",
};

const char *
admin_scope_name(enum admin_scope scope)
{
	return scopes[scope];
}

bool
admin_find_scope(struct str name, enum admin_scope *out)
{
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		if (str_is(name, scopes[i])) {
			*out = (enum admin_scope)i;
			return true;
		}
	return false;
}

/* ---- refusals */

/* RFC 6750 section 3. */
static void
challenge(struct admin_call *c, const struct problem *pr)
{
	if (pr->type == PROBLEM_FORBIDDEN_SCOPE)
		req_add_header(c->req, "WWW-Authenticate",
		    str_printf(c->arena,
			REALM ", error=\"insufficient_scope\", scope=\"%s\"",
			scopes[admin_scope_of(c)]));
	else if (pr->type == PROBLEM_UNAUTHENTICATED)
		req_add_header(c->req, "WWW-Authenticate",
		    STR(REALM ", error=\"invalid_token\""));
}

static const struct problem *
no_good(struct admin_call *c, const char *why)
{
	return problem_new(c->arena, PROBLEM_UNAUTHENTICATED, "%s", why);
}

/* Counted, and a row of the audit trail unless it was us. */
static enum step
refuse(struct login *l, const struct problem *pr, const char *outcome)
{
	struct admin_call *c = l->c;

	metrics_count(FAMILY_admin_key_requests, outcome);
	if (problem_status(pr->type) < 500)
		refusals_note(c->admin->refusals,
		    &(struct refusal){ .actor = c->actor,
			.by_actor = true,
			.object = l->id,
			.peer = addr_text(c->arena, c->req->peer),
			.route = c->req->route->name,
			.problem = pr });
	challenge(c, pr);
	return admin_fail(c, pr);
}

/* Nobody is guessing here, so there is nothing to write down. */
static enum step
ask_for_key(struct admin_call *c)
{
	metrics_count(FAMILY_admin_key_requests, "no_key");
	req_add_header(c->req, "WWW-Authenticate", STR(REALM));
	return admin_fail(c,
	    no_good(c,
		"give an API key: \"Authorization: Bearer clk_...\"; "
		"\"certloopctl apikey add\" makes one"));
}

/* ---- which key? */

static void
set_actor(struct admin_call *c, struct str actor)
{
	c->actor = actor;
	c->req->log_context = str_printf(c->arena, "actor=" STR_FMT,
	    STR_ARG(actor));
}

/* False if no key was given. What was given is gone from memory then. */
static bool
take_key(struct login *l)
{
	struct req *req = l->c->req;
	struct str given = req_header(req, "Authorization"), key, id;
	bool is_given = apikey_of_header(given, &key);

	l->is_wrong = !apikey_parse(key, &id, &l->hash);
	l->id = l->is_wrong ? STR("") : str_dup(l->c->arena, id);
	req_wipe_header(req, "Authorization");
	if (given.n > 0) /* of several headers they are one */
		OPENSSL_cleanse((void *)(uintptr_t)given.p, given.n);
	return is_given;
}

enum step
login_start(struct admin_call *c)
{
	struct login *l = arena_new(c->arena, struct login);
	struct addr net = addr_mask(c->req->peer, LIMIT_NET_BITS);
	struct batch *b;

	l->c = c;
	l->address = addr_text(c->arena, net);
	set_actor(c, str_join(c->arena, STR("address:"), l->address));
	if (!take_key(l))
		return ask_for_key(c);
	if (l->is_wrong)
		return judge(l);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_APIKEY_GET);
	store_str(b, l->id);
	return store_send_batch(b, on_found, l);
}

/* It is the key; is it still good? */
static void
take_row(struct login *l, const struct store_result *r)
{
	struct admin_call *c = l->c;
	struct str status = store_get_str(r, 0, 0, APIKEY_GET_STATUS);

	if (!str_is(status, "removed")) /* another may have its name by now */
		set_actor(c,
		    str_join(c->arena, STR("apikey:"),
			store_get_str(r, 0, 0, APIKEY_GET_NAME)));
	l->is_stale = store_get_int(r, 0, 0, APIKEY_GET_STALE) != 0;
	if (str_is(status, "removed")) {
		l->problem = no_good(c, "this API key was removed");
		l->outcome = "removed";
	} else if (str_is(status, "expired")) {
		l->problem = no_good(c, "this API key has expired");
		l->outcome = "expired";
	} else if (!admin_find_scope(store_get_str(r, 0, 0, APIKEY_GET_SCOPE),
		       &l->scope)) {
		l->problem = problem_cause(c->arena, PROBLEM_SERVER,
		    "an API key has an unknown scope");
		l->outcome = "undecided";
	}
}

static enum step
on_found(void *arg, const struct store_result *r)
{
	struct login *l = arg;

	if (r->status != STORE_OK)
		return refuse(l, r->problem, "undecided");
	l->is_wrong = store_nrows(r, 0) == 0 ||
	    !apikey_is(&l->hash, store_get_str(r, 0, 0, APIKEY_GET_HASH));
	if (!l->is_wrong)
		take_row(l, r);
	return judge(l);
}

/* ---- may this address still try? */

static enum step
judge(struct login *l)
{
	struct take take = { .limit = LIMIT_ADMIN_LOGIN_FAILURE,
		.key = l->address,
		.mode = l->is_wrong ? TAKE : TAKE_LOOK };

	return ratelimit_take(l->c->admin->limits, &l->c->req->task, &take, 1,
	    NULL, on_judged, l);
}

static const struct problem *
check_scope(struct login *l)
{
	struct admin_call *c = l->c;
	enum admin_scope needed = admin_scope_of(c);

	if (admin_is_local(c))
		return problem_new(c->arena, PROBLEM_FORBIDDEN,
		    "this can be done by the admin socket only");
	if (l->scope >= needed)
		return NULL;
	return problem_new(c->arena, PROBLEM_FORBIDDEN_SCOPE,
	    "this needs an API key of scope %s; the scope of this one is %s",
	    scopes[needed], scopes[l->scope]);
}

static enum step
on_judged(void *arg, const struct ratelimit_result *limited)
{
	struct login *l = arg;
	struct admin_call *c = l->c;
	const struct problem *pr = ratelimit_problem(c->arena, limited);
	struct batch *b;

	if (pr != NULL)
		return refuse(l, pr,
		    limited->status == RATELIMIT_REFUSED ? "locked" :
							   "undecided");
	if (l->is_wrong)
		return refuse(l, no_good(c, "this API key is not known"),
		    "wrong");
	if (l->problem != NULL)
		return refuse(l, l->problem, l->outcome);
	if ((pr = check_scope(l)) != NULL)
		return refuse(l, pr, "scope");
	metrics_count(FAMILY_admin_key_requests, "passed");
	if (!l->is_stale)
		return admin_go(c);
	b = store_new_batch(c->store, &c->req->task, l->id);
	store_add(b, SQL_APIKEY_TOUCH);
	store_str(b, l->id);
	return store_send_batch(b, on_touched, l);
}

/* Whatever became of it, the request may go on. */
static enum step
on_touched(void *arg, const struct store_result *r)
{
	struct login *l = arg;

	if (r->status != STORE_OK)
		log_sampled(LOG_WARN, 1,
		    "the last use of an API key was not noted",
		    LOG_STR("key", l->id), LOG_TEXT("cause", store_cause(r)));
	return admin_go(l->c);
}
