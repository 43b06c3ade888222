/* SPDX-License-Identifier: ISC */
/*
 * Taking over a changed configuration: all of it or nothing. A file that does
 * not load, or that changes what only a restart can change, changes nothing.
 */
#include "daemon/daemon.h"

#include "base/buf.h"
#include "log/log.h"
#include "metrics/metrics.h"

static void
add_error(struct arena *a, struct conf_errors *e, struct str text)
{
	if (e->n == CONF_MESSAGES_MAX) {
		e->dropped++;
		return;
	}
	e->v[e->n++] = (struct conf_message){ .is_error = true,
		.text = str_dup(a, text) };
	e->nerrors++;
}

/* "profile tls lifetime", "profile tls removed" or "public_url". */
static struct str
name_change(struct arena *a, const struct conf_change *c)
{
	const char *what = c->option != NULL ? c->option :
	    c->before.p != NULL              ? "removed" :
					       "added";

	return str_printf(a, "%s%s" STR_FMT "%s%s", c->section,
	    c->name.n > 0 ? " " : "", STR_ARG(c->name),
	    c->section[0] != '\0' ? " " : "", what);
}

static void
say_change(struct arena *a, struct buf *out, const struct conf_change *c)
{
	buf_str(out, name_change(a, c));
	if (c->option != NULL)
		buf_printf(out, ": " STR_FMT " -> " STR_FMT, STR_ARG(c->before),
		    STR_ARG(c->after));
	buf_char(out, '\n');
}

/* Can all that changed be taken over while running? */
static bool
check_changes(struct daemon *d, struct arena *a, const struct conf *next,
    struct conf_errors *e, struct buf *changes)
{
	const struct conf_change *c;
	bool live = true;
	size_t n;

	c = conf_diff(a, d->conf, next, &n);
	for (size_t i = 0; i < n; i++) {
		say_change(a, changes, &c[i]);
		if (c[i].live)
			continue;
		live = false;
		add_error(a, e,
		    str_printf(a, STR_FMT ": only a restart can change this",
			STR_ARG(name_change(a, &c[i]))));
	}
	return live;
}

static void
apply(struct daemon *d, struct arena *holder, const struct conf *next,
    struct issuer **fresh)
{
	for (size_t i = 0; i < d->nlisteners; i++)
		d->listeners[i].conf = conf_find_listener(next,
		    d->listeners[i].conf->at.name);
	issuers_replace(d, next, holder, fresh);
	publish_look(d);
	(void)dns_reload_hosts(
	    d->dns); /* if it is gone, what was known stays */
	d->conf = next;
	if (d->loops != NULL)
		certloops_configure(d->loops, next);
	/* last: it may let go of the configuration before */
	acme_configure(d->acme, holder, next, d->public_url);
	fleet_set_limits(d, next);
	if (d->nonce_keys != NULL)
		nonce_keys_set_lifetime(d->nonce_keys,
		    next->nonce_key_lifetime);
	if (d->jobs != NULL)
		jobs_set_intervals(d->jobs,
		    &(struct jobs_intervals){
			.recovery = next->recovery_interval,
			.gc = next->gc_interval,
			.limits = next->limits.sweep_interval,
			.keep = { .orders = next->order_retention,
			    .certificates = next->certificate_retention,
			    .audit = next->audit_retention } });
	log_set(&(struct log_options){ .level = (enum log_level)next->log_level,
	    .format = (enum log_format)next->log_format,
	    .sink = (enum log_sink)next->log_sink,
	    .name = "certloopd" });
}

static bool
reload(struct daemon *d, struct arena *a, struct arena *holder,
    struct conf_errors *e, struct buf *changes)
{
	const struct conf *next;
	struct issuer **fresh;
	const char *why;

	if (d->options.config == NULL) {
		add_error(a, e,
		    STR("the daemon runs without a configuration "
			"file: there is nothing to reload"));
		return false;
	}
	if ((next = conf_load(holder, d->options.config, e)) == NULL)
		return false;
	if (!check_changes(d, a, next, e, changes))
		return false;
	if (!acme_check_conf(d->acme, next, holder, &why)) {
		add_error(a, e, str_from(why));
		return false;
	}
	if (!issuers_prepare(d, next, holder, &fresh, &why)) {
		add_error(a, e, str_from(why));
		return false;
	}
	if (!daemon_reload_tls(d, next, holder, &why)) {
		add_error(a, e, str_from(why));
		issuers_drop(d, fresh);
		return false;
	}
	apply(d, holder, next, fresh);
	return true;
}

/* What is now otherwise, a line each; passwords are masked in them. */
static void
log_changes(struct str lines)
{
	if (lines.n == 0)
		log_info("no option has changed");
	while (lines.n > 0)
		log_info("changed", LOG_STR("option", str_cut(&lines, '\n')));
}

/* Messages must not live in the arena that goes away with a failure. */
bool
daemon_reload(void *arg, struct arena *a, struct conf_errors *e,
    struct buf *changes)
{
	struct daemon *d = arg;
	struct arena *holder = arena_create();
	const bool serves = d->ready && !d->stopping;
	bool ok;

	if (serves)
		notify_reloading();
	ok = reload(d, a, holder, e, changes);
	if (serves)
		notify_ready(d);

	for (size_t i = 0; i < e->n; i++)
		e->v[i].text = str_dup(a, e->v[i].text);
	for (size_t i = 0; i < e->n; i++)
		log_at(e->v[i].is_error ? LOG_ERROR : LOG_WARN,
		    "while reloading", LOG_STR("message", e->v[i].text));
	metrics_add(ok ? METRIC_config_reloads : METRIC_config_reload_failures,
	    1);
	if (ok) {
		log_changes(buf_view(changes));
		log_info("reloaded", LOG_STR("config", d->conf->path));
	} else {
		log_error("reload refused: nothing has changed");
		arena_destroy(holder);
	}
	return ok;
}

void
daemon_on_hangup(void *arg)
{
	struct arena *a = arena_create();
	struct conf_errors *e = arena_new(a, struct conf_errors);
	struct buf changes = buf_new(a, 1 << 16);

	daemon_reload(arg, a, e, &changes);
	arena_destroy(a);
}
