/* SPDX-License-Identifier: ISC */
/*
 * Stop: say so at /readyz, go on taking connections until the balancers have
 * seen it (drain_delay), then drain and end. `certloopctl drain` is the same
 * without the end: whoever still comes is served, with one reply for each
 * connection, and it can be undone.
 */
#include "daemon/daemon.h"

#include "base/when.h"
#include "log/log.h"

/* ---- to the end */

static void
on_alone_no_more(struct daemon *d)
{
	loop_stop(d->loop);
}

/*
 * Requests are done, but an issuer may still be at work for one of them, and
 * its answer is worth waiting for.
 */
static void
on_let_go(void *arg)
{
	struct daemon *d = arg;

	if ((acme_at_work(d->acme) > 0 || admin_at_work(d->admin) ||
		(d->loops != NULL && certloops_running(d->loops) > 0)) &&
	    loop_mono(d->loop) < d->stop_by)
		timer_start(&d->drain, WHEN_SECOND / 50);
	else
		single_end(d, on_alone_no_more);
}

/* No request begins a validation any more. */
static void
on_drained(void *arg)
{
	struct daemon *d = arg;

	admin_flush(d->admin);
	acme_drain(d->acme, on_let_go, d);
}

static void
drain(struct daemon *d)
{
	timer_stop(&d->drain_delay);
	publish_stop(d);
	jobs_stop(d->jobs);
	d->jobs = NULL;
	if (d->loops != NULL)
		certloops_stop(d->loops);
	d->stop_by = loop_mono(d->loop) + d->conf->shutdown_timeout;
	http_server_drain(d->http, d->conf->shutdown_timeout, on_drained, d);
}

void
daemon_stop(struct daemon *d)
{
	bool waits = timer_is_running(&d->drain_delay);

	if (d->stopping) {
		if (waits) {
			log_info("stopping without delay");
			drain(d);
		}
		return;
	}
	d->stopping = true;
	log_info("stopping");
	notify_stopping();
	/* who drained for as long is known not to be ready */
	if (!d->ready || (d->draining && !waits) || d->conf->drain_delay == 0)
		drain(d);
	else
		timer_start(&d->drain_delay, d->conf->drain_delay);
}

void
daemon_give_way(struct daemon *d)
{
	d->stopping = true;
	http_server_give(d->http);
	drain(d);
}

static void
on_delay(void *arg)
{
	struct daemon *d = arg;

	if (d->stopping)
		drain(d);
	else
		http_server_shed(d->http);
}

void
stop_init(struct daemon *d)
{
	timer_init(&d->drain_delay, d->loop, on_delay, d);
	timer_init(&d->drain, d->loop, on_let_go, d);
}

/* ---- POST /drain, /drain/undo */

/* It is done, whatever becomes of its row. */
static enum step
on_audited(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	const struct daemon *d = admin_arg(c);
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status != STORE_OK)
		log_warn("a drain has no row in the audit trail",
		    LOG_STR("actor", c->actor));
	json_open_object(w, NULL);
	json_bool(w, "draining", d->draining);
	json_int(w, "connections", http_server_connections(d->http));
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
audit(struct admin_call *c, const char *action)
{
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));

	admin_count(action);
	admin_audit(c, b, &(struct admin_change){ .action = action });
	return store_send_batch(b, on_audited, c);
}

static const struct problem *
check_running(struct admin_call *c)
{
	const struct daemon *d = admin_arg(c);

	if (!d->stopping)
		return NULL;
	return problem_new(c->arena, PROBLEM_WRONG_STATE,
	    "the daemon is stopping");
}

static enum step
drain_start(struct admin_call *c)
{
	struct daemon *d = admin_arg(c);
	const struct problem *pr;

	if ((pr = check_running(c)) != NULL)
		return admin_fail(c, pr);
	if (!d->draining) {
		log_info("draining", LOG_STR("actor", c->actor));
		d->draining = true;
		timer_start(&d->drain_delay, d->conf->drain_delay);
	}
	return audit(c, "drain");
}

static enum step
undo_start(struct admin_call *c)
{
	struct daemon *d = admin_arg(c);
	const struct problem *pr;

	if ((pr = check_running(c)) != NULL)
		return admin_fail(c, pr);
	if (d->draining) {
		log_info("draining no more", LOG_STR("actor", c->actor));
		d->draining = false;
		timer_stop(&d->drain_delay);
		http_server_keep(d->http);
	}
	return audit(c, "drain.undo");
}

static const struct admin_route drain_route = {
	.http = { .methods = REQ_POST,
	    .path = "/drain",
	    .name = "admin-drain",
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = drain_start,
};

static const struct admin_route undo_route = {
	.http = { .methods = REQ_POST,
	    .path = "/drain/undo",
	    .name = "admin-drain-undo",
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = undo_start,
};

const struct admin_route *const daemon_routes[] = { &drain_route, &undo_route,
	&take_over_route, NULL };
