/* SPDX-License-Identifier: ISC */
/* The ACME server as a whole: its routes, its configuration in use. */
#include "acme/acme_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "metrics/metrics.h"

static const char *const prefixes[] = { "/acme/profile/:profile", "/acme",
	NULL };

static const struct route *const routes[] = {
	&directory_route.http,
	&new_nonce_route.http,
	&new_account_route.http,
	&account_route.http,
	&orders_route.http,
	&new_order_route.http,
	&order_route.http,
	&authz_route.http,
	&new_authz_route.http,
	&challenge_route.http,
	&finalize_route.http,
	&cert_route.http,
	&alternate_route.http,
	&chain_route.http,
	&revoke_route.http,
	&key_change_route.http,
	&renewal_info_route.http,
	NULL,
};

static void before_reply(struct req *);
static void collect(void *);

struct acme *
acme_new(const struct acme_options *o)
{
	struct acme *acme = calloc(1, sizeof(*acme));

	if (acme == NULL)
		abort();
	acme->options = *o;
	acme->loop = o->loop;
	acme->store = o->store;
	acme->app = (struct http_app){
		.name = "acme",
		.prefixes = prefixes,
		.routes = routes,
		.ctx = acme,
		.before_reply = before_reply,
	};
	LIST_INIT(&acme->issuing);
	LIST_INIT(&acme->resolvers);
	LIST_INIT(&acme->validating);
	LIST_INIT(&acme->telling);
	acme->renewals = renewals_new();
	acme->refusals = refusals_new(acme->loop, acme->store);
	metrics_on_collect(collect, acme);
	return acme;
}

static void
collect(void *arg)
{
	struct acme *acme = arg;

	if (acme->cache != NULL)
		metrics_set(METRIC_account_cache_entries,
		    (int64_t)cache_size(acme->cache));
	if (acme->admission != NULL)
		metrics_set(METRIC_admission_addresses,
		    (int64_t)admission_size(acme->admission));
}

/* ---- configurations */

static void
drop_setup(void *arg)
{
	struct acme_setup *s = arg;

	if (--s->refs > 0)
		return;
	for (size_t i = 0; i < s->nprofiles; i++)
		if (s->profiles[i].resolver != NULL)
			resolver_drop(s->profiles[i].resolver);
	arena_destroy(s->arena);
}

struct acme_setup *
acme_hold(struct acme *acme, struct arena *a)
{
	acme->setup->refs++;
	arena_defer(a, drop_setup, acme->setup);
	return acme->setup;
}

const struct acme_profile *
acme_find_profile(const struct acme_setup *s, struct str name)
{
	for (size_t i = 0; i < s->nprofiles; i++)
		if (str_eq(s->profiles[i].name, name))
			return &s->profiles[i];
	return NULL;
}

/* The series are there before the first order. */
static void
show_outcomes(const char *issuer)
{
	static const char *const outcomes[] = { "success", "failure",
		"deferred", "duplicate" };

	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		metrics_child_add(metrics_child(FAMILY_issuance, issuer,
				      outcomes[i]),
		    0);
}

static bool
needs_resolver(const struct conf_profile *p)
{
	return p->auth_mode == CONF_AUTH_CHALLENGE || p->caa != CONF_CAA_OFF;
}

bool
acme_check_conf(struct acme *acme, const struct conf *conf, struct arena *a,
    const char **why)
{
	struct validate_options o = { .loop = acme->loop,
		.user_agent = "certloop validation" };

	acme->checked = (struct pki_blocklist){ .n = 0 };
	if (conf->key_blocklist.n > 0 &&
	    (*why = pki_load_blocklist(a, conf->key_blocklist.p,
		 &acme->checked)) != NULL)
		return false;
	for (size_t i = 0; i < conf->nprofiles; i++) {
		const struct conf_profile *p = &conf->profiles[i];

		if (!needs_resolver(p))
			continue;
		if (acme->validate == NULL &&
		    (acme->validate = validate_new(&o, why)) == NULL)
			return false;
		if (resolver_find(acme, conf, p, a, why) == NULL)
			return false;
	}
	return true;
}

static void
fill_resolver(struct acme *acme, struct acme_setup *s, struct acme_profile *p)
{
	const char *why;

	if (!needs_resolver(p->conf))
		return;
	p->resolver = resolver_find(acme, s->conf, p->conf, s->arena, &why);
	assert(p->resolver != NULL); /* acme_check_conf has made it */
	resolver_hold(p->resolver);
}

static void
fill_profile(struct acme *acme, struct acme_setup *s, struct acme_profile *p,
    const struct conf_profile *conf)
{
	p->conf = conf;
	p->name = conf->at.name;
	p->issuer = acme->options.find_issuer(acme->options.issuers,
	    conf->issuer.p);
	assert(p->issuer != NULL); /* the config was checked */
	arena_defer(s->arena, issuer_let_go, issuer_hold(p->issuer));
	show_outcomes(p->issuer->name);
	p->base = str_printf(s->arena, STR_FMT "/acme/profile/" STR_FMT,
	    STR_ARG(s->public_url), STR_ARG(p->name));
	p->directory = directory_write(s->arena, s, p);
	fill_resolver(acme, s, p);
}

static void
set_admission(struct acme *acme, const struct conf_limits *l)
{
	struct admission_bounds b = {
		.share = (unsigned)l->cpu_share,
		.requests = l->unsigned_requests_per_address.max,
		.requests_window = l->unsigned_requests_per_address.window,
	};

	admission_set(acme->admission, &b);
}

void
acme_configure(struct acme *acme, struct arena *a, const struct conf *conf,
    struct str public_url)
{
	struct acme_setup *s = arena_new(a, struct acme_setup);

	s->refs = 1;
	s->arena = a;
	s->conf = conf;
	s->blocklist = acme->checked;
	s->public_url = str_dup(a, public_url);
	s->nprofiles = conf->nprofiles;
	s->profiles = arena_array(a, struct acme_profile, conf->nprofiles);
	for (size_t i = 0; i < conf->nprofiles; i++)
		fill_profile(acme, s, &s->profiles[i], &conf->profiles[i]);
	s->preset = acme_find_profile(s, conf->default_profile);
	if (acme->setup != NULL) {
		drop_setup(acme->setup);
		nonces_set_lifetime(acme->nonces, conf->nonce_lifetime);
	} else {
		acme->nonces = nonces_new(conf->nonce_lifetime);
		acme->cache = cache_new((size_t)conf->account_cache);
		acme->admission = admission_new(ADMISSION_ADDRESSES);
	}
	set_admission(acme, &conf->limits);
	acme->setup = s;
	resolver_prune(acme);
}

void
acme_forget_accounts(struct acme *acme)
{
	cache_clear(acme->cache);
}

void
acme_share_nonces(struct acme *acme, const struct nonce_key *keys, size_t n,
    size_t sealer)
{
	nonces_share(acme->nonces, keys, n, sealer);
	if (acme->store_epoch_len == 0)
		redeem_learn_epoch(acme);
}

struct str
acme_write_nonces(const struct acme *acme, struct arena *a)
{
	return nonces_write(acme->nonces, a);
}

bool
acme_read_nonces(struct acme *acme, struct str text)
{
	return nonces_read(acme->nonces, text);
}

const struct http_app *
acme_http_app(const struct acme *acme)
{
	return &acme->app;
}

struct str
acme_directory_url(const struct acme *acme)
{
	const struct acme_profile *p = acme->setup->preset;

	if (p == NULL)
		p = &acme->setup->profiles[0];
	return str_printf(acme->setup->arena, STR_FMT "/directory",
	    STR_ARG(p->base));
}

unsigned
acme_at_work(const struct acme *acme)
{
	return issue_at_work(acme) + refusals_busy(acme->refusals);
}

unsigned
acme_issuing(const struct acme *acme)
{
	return acme->nissuing;
}

void
acme_free(struct acme *acme)
{
	if (acme == NULL)
		return;
	if (acme->recovering)
		task_end(&acme->recovery);
	if (acme->learning)
		task_end(&acme->learn);
	if (acme->is_resuming)
		task_end(&acme->resuming);
	issue_stop_all(acme);
	validation_stop_all(acme);
	validate_free(acme->validate);
	tell_stop_all(acme);
	metrics_off_collect(collect, acme);
	nonces_free(acme->nonces);
	cache_free(acme->cache);
	renewals_free(acme->renewals);
	refusals_free(acme->refusals);
	admission_free(acme->admission);
	if (acme->setup != NULL)
		drop_setup(acme->setup);
	resolver_prune(acme);
	free(acme);
}

/* ---- requests */

/* The route as this module knows it. */
static const struct acme_route *
route_of(const struct req *req)
{
	return (
	    const struct acme_route *)(const void *)((const char *)req->route -
	    offsetof(struct acme_route, http));
}

/* Which profile the path names; the shorthand means the default one. */
static const struct acme_profile *
profile_of(const struct areq *q, bool *canonical)
{
	*canonical = str_starts(q->req->path, STR("/acme/profile/"));
	if (!*canonical)
		return q->setup->preset;
	return acme_find_profile(q->setup, q->req->params[0]);
}

static bool
is_signed(const struct areq *q)
{
	if (q->route->auth == AUTH_POST)
		return q->req->method == REQ_POST;
	return q->route->auth != AUTH_NONE;
}

enum step
acme_start(struct req *req)
{
	struct areq *q = arena_new(req->task.arena, struct areq);
	bool canonical;

	req->state = q;
	q->req = req;
	q->arena = req->task.arena;
	q->acme = req->app->ctx;
	q->route = route_of(req);
	q->setup = acme_hold(q->acme, q->arena);
	q->profile = profile_of(q, &canonical);
	if (q->profile == NULL)
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_NOT_FOUND,
			canonical ? "there is no profile \"" STR_FMT "\"" :
				    "there is no default profile" STR_FMT,
			STR_ARG(canonical ? req->params[0] : STR(""))));
	if (strstr(q->route->http.path, ":id") != NULL) {
		q->object = req->params[canonical ? 1 : 0];
		if (!id_is_valid(q->object))
			return acme_not_found(q);
	}
	if (q->route == &order_route || q->route == &finalize_route)
		q->order = q->object;
	return is_signed(q) ? gate_start(q) : gate_unsigned(q);
}

struct str
acme_url(struct arena *a, const struct acme_profile *p, const char *kind,
    struct str id)
{
	return str_join(a, p->base, STR("/"), str_from(kind), STR("/"), id);
}

/* Is the answer to this request to carry a nonce? */
static bool
wants_nonce(const struct req *req)
{
	return req->method == REQ_POST || req->route == &new_nonce_route.http;
}

/* Every answer, errors included: RFC 8555 sections 6.5 and 7.1. */
static void
before_reply(struct req *req)
{
	struct acme *acme = req->app->ctx;
	const struct areq *q = req->state;
	const struct acme_profile *p = q != NULL && q->profile != NULL ?
	    q->profile :
	    acme->setup->preset;
	struct arena *a = req->task.arena;

	if (wants_nonce(req))
		req_add_header(req, "Replay-Nonce", redeem_mint(acme, a));
	if (p != NULL && req->route != &directory_route.http)
		req_add_header(req, "Link",
		    str_printf(a, "<" STR_FMT "/directory>;rel=\"index\"",
			STR_ARG(p->base)));
	req_add_header(req, "Cache-Control",
	    req->route == &directory_route.http ?
		STR("public, max-age=0, no-cache") :
		STR("no-store"));
}

enum step
acme_reply(struct areq *q, unsigned status, struct json_writer *w)
{
	struct str text = json_text(w);

	if (text.p == NULL)
		return acme_fail(q,
		    problem_cause(q->arena, PROBLEM_SERVER,
			"the reply does not fit"));
	return req_reply(q->req, status, "application/json", text);
}

struct str
acme_actor(struct arena *a, struct str account)
{
	return str_join(a, STR("account:"), account);
}

void
acme_take_account(struct areq *q, struct batch *b)
{
	store_add(b, SQL_ACCOUNT_TAKE);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_require(b);
}

/* What was signed well and refused all the same; our own failures are none. */
static void
note_refusal(struct areq *q, const struct problem *pr)
{
	struct str who = q->account.n > 0 ?
	    acme_actor(q->arena, q->account) :
	    str_join(q->arena, STR("key:"), jwk_thumbprint(q->arena, &q->jwk));

	assert(q->profile != NULL); /* or nothing would be verified */
	refusals_note(q->acme->refusals,
	    &(struct refusal){ .actor = who,
		.account = q->account,
		.order = q->order,
		.object = q->object,
		.profile = q->profile->name,
		.peer = addr_text(q->arena, q->req->peer),
		.route = q->route->http.name,
		.problem = pr });
}

enum step
acme_fail(struct areq *q, const struct problem *pr)
{
	if (q->verified && problem_status(pr->type) < 500)
		note_refusal(q, pr);
	return req_fail(q->req, pr);
}

void
acme_log(struct areq *q, const char *key, struct str value)
{
	struct str had = q->req->log_context;

	q->req->log_context = str_printf(q->arena, STR_FMT "%s%s=" STR_FMT,
	    STR_ARG(had), had.n > 0 ? " " : "", key, STR_ARG(value));
}

/* Foreign objects look the same as missing ones. */
enum step
acme_not_found(struct areq *q)
{
	return acme_fail(q,
	    problem_new(q->arena, PROBLEM_NOT_FOUND,
		"there is no such resource for this account"));
}
