/* SPDX-License-Identifier: ISC */
/*
 * Start: issuers, the objects in their order, then, with the loop running,
 * what needs the store, and at last the listeners.
 */
#include "config.h"

#include "daemon/daemon.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "base/when.h"
#include "log/log.h"

static void agree_on_issuers(struct daemon *);
static enum step on_agreed(void *, const struct store_result *);
static void share(struct daemon *);
static void make_certificates(struct daemon *);
static void make_responders(struct daemon *);
static void go(struct daemon *);

/* ---- the public URL */

/* What the configuration says, or where the first acme listener can be
 * reached from this machine. */
static struct str
derive_public_url(struct arena *a, const struct conf *c)
{
	const struct conf_listener *l = &c->listeners[0];
	struct str host;
	unsigned usual;

	if (c->public_url.text.p != NULL)
		return c->public_url.text;
	for (size_t i = 0; i < c->nlisteners; i++)
		if (c->listeners[i].kind == CONF_LISTENER_ACME) {
			l = &c->listeners[i];
			break;
		}
	usual = l->tls ? 443 : 80;
	if (l->names.n > 0)
		host = l->names.v[0];
	else if (l->address.addr.len == 0 || addr_is_loopback(l->address.addr))
		host = STR("localhost");
	else if (l->address.addr.len == 16)
		host = str_printf(a, "[" STR_FMT "]",
		    STR_ARG(addr_text(a, l->address.addr)));
	else
		host = addr_text(a, l->address.addr);
	if (l->address.port == usual || l->address.addr.len == 0)
		return str_printf(a, "%s://" STR_FMT, l->tls ? "https" : "http",
		    STR_ARG(host));
	return str_printf(a, "%s://" STR_FMT ":%u", l->tls ? "https" : "http",
	    STR_ARG(host), l->address.port);
}

/* ---- what the admin API asks for */

static const struct conf *
hook_conf(void *arg)
{
	return ((struct daemon *)arg)->conf;
}

static const char *
hook_not_ready(void *arg)
{
	const struct daemon *d = arg;

	if (d->stopping)
		return "stopping";
	if (!d->ready)
		return "starting";
	if (d->draining)
		return "draining";
	return store_is_ready(d->store) ? NULL : "the store is not reachable";
}

static void
hook_write_status(void *arg, struct json_writer *w)
{
	const struct daemon *d = arg;

	json_str(w, "version", STR(PACKAGE_VERSION));
	json_str(w, "directory", acme_directory_url(d->acme));
	json_int(w, "connections", http_server_connections(d->http));
	json_int(w, "issuing", acme_issuing(d->acme));
	json_open_array(w, "profiles");
	for (size_t i = 0; i < d->conf->nprofiles; i++)
		json_str(w, NULL, d->conf->profiles[i].at.name);
	json_close(w);
}

static enum step
hook_revoke(void *arg, struct task *t, const struct str *ids, size_t n,
    int64_t reason, struct str actor, admin_done_fn *fn, void *fn_arg)
{
	struct daemon *d = arg;

	return acme_revoke(d->acme, t, ids, n, reason, actor, fn, fn_arg);
}

static bool
hook_run_gc(void *arg)
{
	const struct daemon *d = arg;

	return d->jobs != NULL && jobs_run_gc(d->jobs);
}

static void
hook_wake_loops(void *arg)
{
	const struct daemon *d = arg;

	if (d->loops != NULL)
		certloops_wake(d->loops);
}

/* ---- start */

static void
make_http(struct daemon *d)
{
	const struct conf_http *h = &d->conf->http;
	struct http_limits limits = {
		.connections = (unsigned)h->connections,
		.header_max = (size_t)h->header_max,
		.header_timeout = h->header_timeout,
		.body_timeout = h->body_timeout,
		.idle_timeout = h->idle_timeout,
		.write_timeout = h->write_timeout,
		.request_timeout = h->request_timeout,
		.drain_idle = h->drain_idle,
	};

	d->http = http_server_new(d->loop, &limits);
}

static struct store_options
store_options(const struct conf *c)
{
	const struct conf_store *s = &c->store;

	return (struct store_options){
		.url = s->url.p,
		.connections = (unsigned)s->connections,
		.read_connections = (unsigned)s->read_connections,
		.queue_max = (unsigned)s->queue,
		.deadline = s->deadline,
	};
}

bool
daemon_prepare_store(struct arena *a, const struct conf *c,
    enum store_migrate how, const char **why)
{
	struct store_options o = store_options(c);

	return store_prepare(a, &o, how, why);
}

static bool
make_store(struct daemon *d, const char **why)
{
	struct store_options o = store_options(d->conf);

	if (d->takeover != NULL &&
	    (!takeover_get_store(d, why) ||
		!daemon_prepare_store(d->arena, d->conf,
		    d->conf->auto_migrate ? STORE_MIGRATE : STORE_CHECK_ONLY,
		    why)))
		return false;
	d->store = store_new(d->loop, &o, d->arena, why);
	return d->store != NULL;
}

static bool
make_admin(struct daemon *d, const char **why)
{
	struct admin_options o = { .loop = d->loop,
		.store = d->store,
		.limits = d->limits,
		.ring = d->ring,
		.more_routes = daemon_routes,
		.hooks = { .arg = d,
		    .conf = hook_conf,
		    .not_ready = hook_not_ready,
		    .write_status = hook_write_status,
		    .reload = daemon_reload,
		    .find_issuer = daemon_find_issuer,
		    .revoke = hook_revoke,
		    .run_gc = hook_run_gc,
		    .wake_loops = hook_wake_loops } };

	if (!daemon_find_admin_group(d, why))
		return false;
	o.group = d->admin_group;
	d->admin = admin_new(&o);
	return true;
}

bool
daemon_start(struct daemon *d, struct arena *conf_arena, const char **why)
{
	struct acme_options acme;

	/* the store last: the process before us may still need it */
	d->exit = EXIT_CONFIG;
	if (!outbound_make(d, why) || !issuers_make(d, why) ||
	    !daemon_make_listeners(d, why))
		return false;
	d->exit = EXIT_STORE;
	if (!make_store(d, why))
		return false;
	d->exit = EXIT_CONFIG;
	if (!fleet_make(d, why))
		return false;
	acme = (struct acme_options){ .loop = d->loop,
		.store = d->store,
		.find_issuer = daemon_find_issuer,
		.issuers = d,
		.limits = d->limits,
		.redis = d->redis,
		.ring = d->ring,
		.replicas = d->conf->replicas };
	d->public_url = str_dup(d->arena, derive_public_url(d->arena, d->conf));
	d->acme = acme_new(&acme);
	if (!acme_check_conf(d->acme, d->conf, d->arena, why))
		return false;
	acme_configure(d->acme, conf_arena, d->conf, d->public_url);
	takeover_read_nonces(d);
	publish_make(d);
	if (!make_admin(d, why))
		return false;
	make_http(d);
	stop_init(d);
	d->exit = EXIT_OK;
	agree_on_issuers(d);
	return true;
}

/* A failure that the loop meets before we are ready ends the process. */
void
daemon_fail(struct daemon *d, enum daemon_exit code, const char *what,
    const char *why)
{
	log_error(what, LOG_TEXT("cause", why));
	log_flush();
	d->exit = code;
	d->stopping = true;
	loop_stop(d->loop);
}

static void
agree_on_issuers(struct daemon *d)
{
	struct batch *b;

	task_init(&d->starting);
	if (issuers_local(d) == NULL) {
		single_start(d, share);
		return;
	}
	b = store_new_batch(d->store, &d->starting, STR("daemon"));
	issuers_put_keys(d, b);
	(void)store_send_batch(b, on_agreed, d);
}

static enum step
on_agreed(void *arg, const struct store_result *r)
{
	struct daemon *d = arg;
	const char *why;

	if (r->status != STORE_OK) {
		daemon_fail(d, EXIT_STORE, "cannot use the store",
		    store_cause(r));
		return STEP_DONE;
	}
	if ((why = issuers_check_keys(d, r)) != NULL) {
		daemon_fail(d, EXIT_CONFIG, "cannot start", why);
		return STEP_DONE;
	}
	single_start(d, share);
	return STEP_DONE;
}

static void
share(struct daemon *d)
{
	fleet_share(d, make_certificates);
}

static void
make_certificates(struct daemon *d)
{
	selfcert_start(d, make_responders);
}

static void
make_responders(struct daemon *d)
{
	if (!d->stopping)
		publish_begin(d, go);
}

static void
print_banner(const struct daemon *d)
{
	struct str url = acme_directory_url(d->acme);
	struct ca_paths own = ca_paths_of(d->arena, d->conf);

	log_info("ready", LOG_STR("directory", url),
	    LOG_TEXT("store", store_engine(d->store)),
	    LOG_INT("pid", getpid()));
	if (d->options.config != NULL)
		return;
	printf("certloopd " PACKAGE_VERSION " is ready.\n\n"
	       "  directory  " STR_FMT "\n"
	       "  root CA    %s\n\n"
	       "Point a client at it, for example:\n\n"
	       "  LEGO_CA_CERTIFICATES=%s lego --accept-tos \\\n"
	       "      --email you@example.com --server " STR_FMT " \\\n"
	       "      --http --http.port :8080 --domains name.example run\n\n"
	       "Whoever reaches it may have any name: it listens on loopback "
	       "only.\nSee certloopd(8) and certloop.conf(5).\n",
	    STR_ARG(url), own.root, own.root, STR_ARG(url));
	(void)fflush(stdout);
}

static void
go(struct daemon *d)
{
	const char *why;

	if (d->stopping)
		return;
	task_end(&d->starting);
	if (!daemon_listen(d, &why)) {
		daemon_fail(d, EXIT_LISTEN, "cannot listen", why);
		return;
	}
	issuers_start(d);
	d->jobs = jobs_start(d->loop, d->store, d->acme,
	    &(struct jobs_intervals){ .recovery = d->conf->recovery_interval,
		.gc = d->conf->gc_interval,
		.limits = d->conf->limits.sweep_interval,
		.keep = { .orders = d->conf->order_retention,
		    .certificates = d->conf->certificate_retention,
		    .audit = d->conf->audit_retention } });
	publish_start(d);
	d->ready = true;
	loops_start(d);
	print_banner(d);
	notify_ready(d);
	takeover_done(d);
}
