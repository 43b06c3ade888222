/* SPDX-License-Identifier: ISC */
/*
 * What depends on several options: defaults that follow from others, options
 * that need or exclude each other, and the refusal to certify anything for
 * anyone by accident.
 */
#include <string.h>

#include "base/when.h"
#include "conf/conf_int.h"

/* What browsers call a short-lived certificate. */
#define SHORT_LIVED (7 * 24 * WHEN_HOUR)

int
conf_line_of(const struct conf_section *at, int option)
{
	return at->lines[option] != 0 ? at->lines[option] : at->line;
}

bool
conf_is_given(const struct conf_section *at, int option)
{
	return at->lines[option] != 0;
}

/* ---- listeners */

static void
settle_listener(struct conf_listener *s)
{
	if (!conf_is_given(&s->at, CONF_AT_LISTENER_tls))
		s->tls = (s->kind == CONF_LISTENER_ACME ||
			     s->kind == CONF_LISTENER_ADMIN) &&
		    s->address.path.p == NULL;
}

/* Keys are worth as much as what they allow: never in the clear. */
static void
check_admin(struct conf_loader *l, const struct conf_listener *s)
{
	if (s->kind != CONF_LISTENER_ADMIN)
		return;
	if (s->address.path.p != NULL)
		conf_error(l, conf_line_of(&s->at, CONF_AT_LISTENER_address),
		    "listener %s: kind = admin is for ports; the admin socket "
		    "is admin_socket",
		    s->at.name.p);
	else if (!s->tls)
		conf_error(l, conf_line_of(&s->at, CONF_AT_LISTENER_tls),
		    "listener %s: kind = admin needs tls = yes, or API keys "
		    "would cross the network in the clear",
		    s->at.name.p);
}

static void
check_tls(struct conf_loader *l, const struct conf_listener *s)
{
	const char *name = s->at.name.p;

	if (s->certificate.n != s->key.n)
		conf_error(l,
		    conf_line_of(&s->at,
			s->certificate.n > 0 ? CONF_AT_LISTENER_certificate :
					       CONF_AT_LISTENER_key),
		    "listener %s: %zu files in certificate but %zu in key; "
		    "each certificate needs its key",
		    name, s->certificate.n, s->key.n);
	if (s->names.n > 0 && s->certificate.n > 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_LISTENER_names),
		    "listener %s: names is for the certificate that the "
		    "daemon makes, but certificate is given",
		    name);
	if (!s->tls &&
	    (s->certificate.n > 0 || s->names.n > 0 || s->client_ca.n > 0))
		conf_error(l, conf_line_of(&s->at, CONF_AT_LISTENER_tls),
		    "listener %s: certificate, names and client_ca need "
		    "tls = yes",
		    name);
	if (s->client_auth != CONF_CLIENT_NONE && s->client_ca.n == 0)
		conf_error(l,
		    conf_line_of(&s->at, CONF_AT_LISTENER_client_auth),
		    "listener %s: client_auth needs client_ca", name);
	if (s->client_auth == CONF_CLIENT_NONE && s->client_ca.n > 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_LISTENER_client_ca),
		    "listener %s: client_ca does nothing without client_auth "
		    "= ask or require",
		    name);
}

static void
check_peers(struct conf_loader *l, const struct conf_listener *s)
{
	bool is_unix = s->address.path.p != NULL;
	bool wants = s->proxy || s->forwarded;
	const char *name = s->at.name.p;

	if (wants && !is_unix && s->trusted_proxies.n == 0)
		conf_error(l,
		    conf_line_of(&s->at,
			s->proxy ? CONF_AT_LISTENER_proxy :
				   CONF_AT_LISTENER_forwarded),
		    "listener %s: %s needs trusted_proxies, or anyone could "
		    "claim any address",
		    name, s->proxy ? "proxy" : "forwarded");
	if (!wants && s->trusted_proxies.n > 0)
		conf_error(l,
		    conf_line_of(&s->at, CONF_AT_LISTENER_trusted_proxies),
		    "listener %s: trusted_proxies does nothing without proxy "
		    "or forwarded",
		    name);
	if (is_unix && s->reuse_port)
		conf_error(l, conf_line_of(&s->at, CONF_AT_LISTENER_reuse_port),
		    "listener %s: reuse_port is for ports, not for unix "
		    "sockets",
		    name);
	if (!is_unix && conf_is_given(&s->at, CONF_AT_LISTENER_mode))
		conf_error(l, conf_line_of(&s->at, CONF_AT_LISTENER_mode),
		    "listener %s: mode is for unix sockets only", name);
}

static void
check_address(struct conf_loader *l, const struct conf_listener *s)
{
	const struct conf *c = l->conf;

	if (s->address.text.p == NULL) {
		if (!conf_is_given(&s->at, CONF_AT_LISTENER_address))
			conf_error(l, s->at.line,
			    "listener %s needs an address, for example "
			    "address = \"127.0.0.1:443\"",
			    s->at.name.p);
		return;
	}
	if (s->address.path.p == NULL && s->address.port == 0)
		return; /* any port: they differ */
	for (const struct conf_listener *o = c->listeners; o < s; o++)
		if (str_eq(o->address.text, s->address.text) &&
		    !(o->reuse_port && s->reuse_port))
			conf_error(l,
			    conf_line_of(&s->at, CONF_AT_LISTENER_address),
			    "listener %s: listener %s has this address "
			    "already",
			    s->at.name.p, o->at.name.p);
}

static void
check_listeners(struct conf_loader *l)
{
	const struct conf *c = l->conf;
	size_t acme = 0;

	for (size_t i = 0; i < c->nlisteners; i++) {
		settle_listener((struct conf_listener *)&c->listeners[i]);
		check_address(l, &c->listeners[i]);
		check_tls(l, &c->listeners[i]);
		check_peers(l, &c->listeners[i]);
		check_admin(l, &c->listeners[i]);
		acme += c->listeners[i].kind == CONF_LISTENER_ACME;
	}
	if (acme == 0)
		conf_error(l, 0,
		    "no listener of kind acme; for example: listener acme { "
		    "address = \"127.0.0.1:14000\" }");
}

/* ---- profiles */

/* Names of all issuers or profiles, for those who guess. */
const char *
conf_list_names(struct conf_loader *l, const struct conf_section *first,
    size_t n, size_t size)
{
	struct buf b = buf_new(l->arena, 400);

	for (size_t i = 0; i < n; i++) {
		const struct conf_section *s = (const void *)((const char *)
								  first +
		    i * size);

		if (b.len > 300) {
			buf_str(&b, STR(", ..."));
			break;
		}
		buf_printf(&b, "%s" STR_FMT, i > 0 ? ", " : "",
		    STR_ARG(s->name));
	}
	buf_char(&b, '\0');
	return b.p;
}

static void
settle_profile(struct conf_loader *l, struct conf_profile *s)
{
	const struct conf *c = l->conf;

	if (s->issuer.n == 0 && c->nissuers == 1)
		s->issuer = c->issuers[0].at.name;
	if (s->order_lifetime == 0)
		s->order_lifetime = s->auth_mode == CONF_AUTH_TRUST ?
		    WHEN_HOUR :
		    8 * WHEN_HOUR;
}

/* What belongs to auth_mode = challenge. */
static void
check_validation(struct conf_loader *l, const struct conf_profile *s)
{
	const char *name = s->at.name.p;

	if (s->authz_lifetime < s->order_lifetime)
		conf_error(l,
		    conf_line_of(&s->at, CONF_AT_PROFILE_authz_lifetime),
		    "profile %s: authz_lifetime is shorter than "
		    "order_lifetime: "
		    "authorizations would expire before their order",
		    name);
	if (s->new_authz && s->authz_reuse == 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_PROFILE_new_authz),
		    "profile %s: new_authz needs authz_reuse, or no order "
		    "would use what was authorized before",
		    name);
	if (s->recurse && s->resolvers.n > 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_PROFILE_resolvers),
		    "profile %s: recurse asks no resolvers; name one or the "
		    "other",
		    name);
	if (s->root_hints.n > 0 && !s->recurse)
		conf_error(l, conf_line_of(&s->at, CONF_AT_PROFILE_root_hints),
		    "profile %s: root_hints does nothing without recurse",
		    name);
	if (s->insecure_zones.n > 0 && s->trust_anchors.n == 0)
		conf_error(l,
		    conf_line_of(&s->at, CONF_AT_PROFILE_insecure_zones),
		    "profile %s: insecure_zones does nothing without "
		    "trust_anchors",
		    name);
}

/* What certificates say about revocation, and who could put it in. */
static void
check_revocation(struct conf_loader *l, const struct conf_profile *s)
{
	const struct conf *c = l->conf;
	const struct conf_issuer *i = conf_find_issuer(c, s->issuer);
	const char *name = s->at.name.p;
	int feature = conf_line_of(&s->at, CONF_AT_PROFILE_tls_feature);
	int none = conf_line_of(&s->at, CONF_AT_PROFILE_no_rev_avail);

	if (i == NULL || (!s->tls_feature && !s->no_rev_avail))
		return;
	if (s->tls_feature && s->no_rev_avail)
		conf_error(l, none,
		    "profile %s: tls_feature wants an answer of OCSP stapled, "
		    "no_rev_avail says that there is none; only one of them "
		    "can be",
		    name);
	else if (i->type != CONF_ISSUER_LOCAL)
		conf_error(l, s->tls_feature ? feature : none,
		    "profile %s: %s needs an issuer of type local: Vault's "
		    "role decides what its certificates say about revocation",
		    name, s->tls_feature ? "tls_feature" : "no_rev_avail");
	else if (s->tls_feature && i->ocsp_url.text.p == NULL &&
	    (c->ca_url.text.p == NULL || !i->ocsp))
		conf_error(l, feature,
		    "profile %s: tls_feature needs an answer of OCSP to "
		    "staple: set ca_url, or ocsp_url of issuer %s",
		    name, i->at.name.p);
	if (s->no_rev_avail && s->lifetime > SHORT_LIVED)
		conf_warn(l, none,
		    "profile %s: with no_rev_avail a key that was stolen is "
		    "good for the whole lifetime; at most 7d would be short",
		    name);
}

static void
check_profile(struct conf_loader *l, const struct conf_profile *s)
{
	const struct conf *c = l->conf;
	const char *issuers = conf_list_names(l, &c->issuers[0].at, c->nissuers,
	    sizeof(*c->issuers));

	if (s->issuer.n == 0)
		conf_error(l, s->at.line,
		    "profile %s needs an issuer, one of %s", s->at.name.p,
		    issuers);
	else if (conf_find_issuer(c, s->issuer) == NULL)
		conf_error(l, conf_line_of(&s->at, CONF_AT_PROFILE_issuer),
		    "profile %s: there is no issuer %s; there is %s",
		    s->at.name.p, conf_shown(l->arena, s->issuer).p, issuers);
	if (!s->server_auth && !s->client_auth)
		conf_error(l, conf_line_of(&s->at, CONF_AT_PROFILE_server_auth),
		    "profile %s: a certificate is for servers (server_auth), "
		    "clients (client_auth) or both",
		    s->at.name.p);
	if (s->renewal_at + s->renewal_window * 3 / 2 > 100)
		conf_error(l, conf_line_of(&s->at, CONF_AT_PROFILE_renewal_at),
		    "profile %s: the window for renewal could lie beyond the "
		    "end: renewal_at and one and a half times renewal_window "
		    "must be at most 100",
		    s->at.name.p);
	if (s->auth_mode == CONF_AUTH_CHALLENGE)
		check_validation(l, s);
	check_revocation(l, s);
	if (s->caa == CONF_CAA_ENFORCE && c->caa_identities.n == 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_PROFILE_caa),
		    "profile %s: caa = enforce needs caa_identities, the "
		    "names by which records can allow this CA",
		    s->at.name.p);
}

static void
check_default_profile(struct conf_loader *l)
{
	struct conf *c = l->conf;

	if (conf_find_profile(c, c->default_profile) != NULL)
		return;
	if (c->nprofiles == 1 &&
	    !conf_is_given(&c->at, CONF_AT_TOP_default_profile))
		c->default_profile = c->profiles[0].at.name;
	else if (c->nprofiles > 0)
		conf_error(l, conf_line_of(&c->at, CONF_AT_TOP_default_profile),
		    "default_profile: there is no profile %s; there is %s",
		    conf_shown(l->arena, c->default_profile).p,
		    conf_list_names(l, &c->profiles[0].at, c->nprofiles,
			sizeof(*c->profiles)));
}

/* ---- who can reach us */

static bool
is_loopback_host(struct str host)
{
	struct addr a;

	return str_is(host, "localhost") || str_ends(host, STR(".localhost")) ||
	    (addr_parse(host, &a) && addr_is_loopback(a));
}

/* Can only this machine reach us, as far as the configuration tells? */
static bool
is_local_only(const struct conf *c)
{
	if (c->public_url.text.p != NULL &&
	    !is_loopback_host(c->public_url.host))
		return false;
	for (size_t i = 0; i < c->nlisteners; i++) {
		const struct conf_listener *s = &c->listeners[i];

		if (s->address.path.p != NULL || s->proxy || s->forwarded)
			return false;
		if (s->address.text.p != NULL &&
		    !addr_is_loopback(s->address.addr))
			return false;
	}
	return true;
}

/*
 * A profile that trusts every account and bounds no identifier hands any name
 * to anyone. Only on loopback, or when the file says so.
 */
static void
check_open(struct conf_loader *l, const struct conf_profile *s)
{
	bool bounded = s->allowed_suffixes.n > 0 || s->allowed_cidrs.n > 0;

	if (s->auth_mode != CONF_AUTH_TRUST || s->eab_required || bounded) {
		if (s->open)
			conf_warn(l, conf_line_of(&s->at, CONF_AT_PROFILE_open),
			    "profile %s: open does nothing: the profile is "
			    "not open",
			    s->at.name.p);
		return;
	}
	if (s->open)
		conf_warn(l, conf_line_of(&s->at, CONF_AT_PROFILE_open),
		    "profile %s is open: whoever reaches this server gets a "
		    "certificate for any name",
		    s->at.name.p);
	else if (!is_local_only(l->conf))
		conf_error(l, s->at.line,
		    "profile %s would give whoever reaches this server a "
		    "certificate for any name: set allowed_suffixes, "
		    "allowed_cidrs or eab_required, or listen on loopback only "
		    "(public_url "
		    "too, no proxy, no unix socket), or say open = yes",
		    s->at.name.p);
}

static void
check_public_url(struct conf_loader *l)
{
	const struct conf *c = l->conf;

	if (c->public_url.text.p == NULL ||
	    is_loopback_host(c->public_url.host))
		return;
	for (size_t i = 0; i < c->nlisteners; i++)
		if (c->listeners[i].proxy || c->listeners[i].forwarded)
			return;
	conf_warn(l, conf_line_of(&c->at, CONF_AT_TOP_public_url),
	    "public_url: no listener has trusted_proxies; if a balancer "
	    "stands before this server, all clients share its address");
}

static void
check_replicas(struct conf_loader *l)
{
	const struct conf *c = l->conf;

	if (c->replicas && str_starts(c->store.url, STR("sqlite:")))
		conf_error(l, conf_line_of(&c->at, CONF_AT_TOP_replicas),
		    "replicas: SQLite has room for one process; several need "
		    "a store with url = \"postgresql://...\"");
}

/* A key opens as long as any nonce that it sealed is in date. */
static void
check_nonce_keys(struct conf_loader *l)
{
	const struct conf *c = l->conf;

	if (c->nonce_key_lifetime < 2 * c->nonce_lifetime)
		conf_error(l,
		    conf_line_of(&c->at, CONF_AT_TOP_nonce_key_lifetime),
		    "nonce_key_lifetime: at least twice nonce_lifetime will "
		    "do");
}

static void
check_redis(struct conf_loader *l)
{
	const struct conf_redis *s = &l->conf->redis;

	if ((s->sentinels.n > 0) != (s->sentinel_master.n > 0))
		conf_error(l,
		    conf_line_of(&s->at,
			s->sentinels.n > 0 ? CONF_AT_REDIS_sentinels :
					     CONF_AT_REDIS_sentinel_master),
		    "redis: sentinels and sentinel_master need each other");
	if (s->sentinels.n > 0 && s->address.n > 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_REDIS_address),
		    "redis: either address says where the server is, or "
		    "sentinels do");
}

static void
check_dns(struct conf_loader *l)
{
	const struct conf_dns *s = &l->conf->dns;

	if (s->recurse && s->servers.n > 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_DNS_recurse),
		    "dns: recurse asks the authoritative servers, servers "
		    "asks others; only one of them can be");
}

/* A client must have its answer before its request is given up. */
static void
settle_finalize_wait(struct conf_loader *l)
{
	struct conf *c = l->conf;
	int64_t most = c->http.request_timeout / 2;

	if (c->finalize_wait <= most)
		return;
	if (conf_is_given(&c->at, CONF_AT_TOP_finalize_wait))
		conf_error(l, conf_line_of(&c->at, CONF_AT_TOP_finalize_wait),
		    "finalize_wait: at most half of http request_timeout will "
		    "do");
	c->finalize_wait = most;
}

void
conf_check(struct conf_loader *l)
{
	struct conf *c = l->conf;

	check_replicas(l);
	check_listeners(l);
	conf_check_issuers(l);
	check_redis(l);
	check_dns(l);
	check_nonce_keys(l);
	settle_finalize_wait(l);
	for (size_t i = 0; i < c->nprofiles; i++) {
		settle_profile(l, (struct conf_profile *)&c->profiles[i]);
		check_profile(l, &c->profiles[i]);
		check_open(l, &c->profiles[i]);
	}
	check_default_profile(l);
	conf_check_loops(l);
	check_public_url(l);
}
