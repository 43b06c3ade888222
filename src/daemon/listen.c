/* SPDX-License-Identifier: ISC */
/* The listeners of the configuration, their TLS, and the admin socket. */
#include "daemon/daemon.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

static enum tls_client_auth
client_auth_of(const struct conf_listener *c)
{
	switch (c->client_auth) {
	case CONF_CLIENT_ASK:
		return TLS_CLIENT_ASK;
	case CONF_CLIENT_REQUIRE:
		return TLS_CLIENT_REQUIRE;
	case CONF_CLIENT_NONE:
		break;
	}
	return TLS_CLIENT_NONE;
}

static struct tls_server_options
tls_options(struct arena *a, const struct conf_listener *c)
{
	size_t n = c->certificate.n > 0 ? c->certificate.n : 1;
	struct tls_pair *pairs = arena_array(a, struct tls_pair, n);

	if (c->certificate.n == 0)
		pairs[0].name = "self"; /* a place, filled by selfcert.c */
	for (size_t i = 0; i < c->certificate.n; i++) {
		pairs[i].cert_file = c->certificate.v[i].p;
		pairs[i].key_file = c->key.v[i].p;
	}
	return (struct tls_server_options){
		.pairs = pairs,
		.npairs = n,
		.client_auth = client_auth_of(c),
		.client_ca_file = c->client_ca.n > 0 ? c->client_ca.p : NULL,
	};
}

bool
daemon_make_listeners(struct daemon *d, const char **why)
{
	const struct conf *c = d->conf;
	struct tls_server_options o;
	struct daemon_listener *l;

	d->nlisteners = c->nlisteners;
	d->listeners = arena_array(d->arena, struct daemon_listener,
	    c->nlisteners);
	for (size_t i = 0; i < c->nlisteners; i++) {
		l = &d->listeners[i];
		l->conf = &c->listeners[i];
		if (!l->conf->tls)
			continue;
		l->self = l->conf->certificate.n == 0;
		o = tls_options(d->arena, l->conf);
		if ((l->tls = tls_server_new(&o, d->arena, why)) == NULL)
			return false;
	}
	return true;
}

/* ---- the admin socket */

bool
daemon_find_admin_group(struct daemon *d, const char **why)
{
	const char *name = d->conf->admin_group.p;
	const struct group *g;

	d->admin_group = (gid_t)-1;
	if (d->conf->admin_group.n == 0)
		return true;
	errno = 0;
	if ((g = getgrnam(name)) == NULL) {
		*why = str_printf(d->arena, "admin_group: %s \"%s\"%s%s",
		    errno == 0 ? "there is no group" : "cannot look up", name,
		    errno == 0 ? "" : ": ", errno == 0 ? "" : strerror(errno))
			   .p;
		return false;
	}
	d->admin_group = g->gr_gid;
	return true;
}

/*
 * Between bind and here the socket has our own group, whose members the
 * credentials check refuses.
 */
static bool
give_to_group(struct daemon *d, const char **why)
{
	const char *path = d->conf->admin_socket.p;

	if (d->admin_group == (gid_t)-1 ||
	    chown(path, (uid_t)-1, d->admin_group) == 0)
		return true;
	*why = str_printf(d->arena,
	    "cannot give %s to the group %s: %s (is the user that certloopd "
	    "runs as a member?)",
	    path, d->conf->admin_group.p, strerror(errno))
		   .p;
	return false;
}

static bool
listen_admin(struct daemon *d, const char **why)
{
	const struct http_app **apps = arena_array(d->arena,
	    const struct http_app *, 2);
	struct http_listener_options o = {
		.address =
		    str_printf(d->arena, "unix:%s", d->conf->admin_socket.p).p,
		.apps = apps,
		.mode = d->admin_group == (gid_t)-1 ? 0600 : 0660,
	};

	apps[0] = admin_api_app(d->admin);
	o.fd = sockets_take(d, o.address, STR("admin"), &o.shared);
	return http_listen(d->http, &o, d->arena, why) && give_to_group(d, why);
}

static bool
listen_one(struct daemon *d, const struct daemon_listener *l, const char **why)
{
	const struct http_app **apps = arena_array(d->arena,
	    const struct http_app *, 4);
	struct http_listener_options o = {
		.address = l->conf->address.text.p,
		.tls = l->tls,
		.proxy = l->conf->proxy,
		.forwarded = l->conf->forwarded,
		.trusted = l->conf->trusted_proxies.v,
		.ntrusted = l->conf->trusted_proxies.n,
		.apps = apps,
		.reuse_port = l->conf->reuse_port,
		.mode = l->conf->mode,
	};

	if (l->conf->kind == CONF_LISTENER_STATUS) {
		apps[0] = admin_status_app(d->admin);
	} else if (l->conf->kind == CONF_LISTENER_ADMIN) {
		apps[0] = admin_keyed_app(d->admin);
		apps[1] = admin_health_app(d->admin);
	} else if (l->conf->kind == CONF_LISTENER_CA) {
		apps[0] = responder_http_app(d->responder);
		apps[1] = admin_health_app(d->admin);
	} else {
		apps[0] = acme_http_app(d->acme);
		apps[1] = responder_http_app(d->responder);
		apps[2] = admin_health_app(d->admin);
	}
	o.fd = sockets_take(d, o.address, l->conf->at.name, &o.shared);
	return http_listen(d->http, &o, d->arena, why);
}

bool
daemon_listen(struct daemon *d, const char **why)
{
	for (size_t i = 0; i < d->nlisteners; i++)
		if (!listen_one(d, &d->listeners[i], why))
			return false;
	if (!listen_admin(d, why))
		return false;
	sockets_close_rest(d);
	return true;
}

/* The i-th listener in another configuration that has the same ones. */
static const struct conf_listener *
listener_in(const struct daemon *d, size_t i, const struct conf *c)
{
	return conf_find_listener(c, d->listeners[i].conf->at.name);
}

/* What each listener would have; false: one cannot use its files. */
static bool
stage_tls(struct daemon *d, const struct conf *c, struct tls_state **staged,
    struct arena *a, const char **why)
{
	struct tls_server_options o;

	for (size_t i = 0; i < d->nlisteners; i++) {
		staged[i] = NULL;
		if (d->listeners[i].tls == NULL)
			continue;
		o = tls_options(a, listener_in(d, i, c));
		staged[i] = tls_server_stage(d->listeners[i].tls, &o, a, why);
		if (staged[i] == NULL) {
			while (i-- > 0)
				tls_server_discard(staged[i]);
			return false;
		}
	}
	return true;
}

/* Same listeners (others need a restart), new files: all or none. */
bool
daemon_reload_tls(struct daemon *d, const struct conf *c, struct arena *a,
    const char **why)
{
	struct tls_state **staged = arena_array(a, struct tls_state *,
	    d->nlisteners);

	if (!stage_tls(d, c, staged, a, why))
		return false;
	for (size_t i = 0; i < d->nlisteners; i++)
		if (staged[i] != NULL)
			tls_server_swap(d->listeners[i].tls, staged[i]);
	for (size_t i = 0; i < d->nlisteners; i++)
		d->listeners[i].self = d->listeners[i].tls != NULL &&
		    listener_in(d, i, c)->certificate.n == 0;
	for (size_t i = 0; i < d->nlisteners; i++)
		if (d->listeners[i].self &&
		    tls_server_expires(d->listeners[i].tls, "self") ==
			INT64_MAX) {
			d->listeners[i].self_next = 0; /* it has none yet */
			timer_start(&d->renew, 0);
		}
	return true;
}

void
daemon_free_listeners(struct daemon *d)
{
	for (size_t i = 0; i < d->nlisteners; i++)
		tls_server_free(d->listeners[i].tls);
}
