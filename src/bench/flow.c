/* SPDX-License-Identifier: ISC */
/* Requests and replies of one connection, and the ends of units. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/flow.h"

static void replied(void *, const struct reply *);
static void broke(void *, const char *);
static void end_pause(void *);
static void take_next(void *);

static const struct conn_handler handler = {
	.replied = replied,
	.failed = broke,
};

struct flow *
flow_new(struct bench *b, size_t index)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->bench = b;
	f->index = index;
	f->arena = arena_create();
	f->conn = conn_new(b->loop, &b->origin, index, b->opt->timeout,
	    &handler, f);
	timer_init(&f->pause, b->loop, end_pause, f);
	deferred_init(&f->next, take_next, f);
	if (b->pool.accounts != NULL)
		f->account = &b->pool.accounts[index % b->opt->accounts];
	return f;
}

void
flow_free(struct flow *f)
{
	timer_stop(&f->pause);
	loop_undefer(f->bench->loop, &f->next);
	conn_free(f->conn);
	arena_destroy(f->arena);
	free(f);
}

/* ---- the next unit, and the end of one */

void
flow_work(struct flow *f)
{
	arena_destroy(f->arena);
	f->arena = arena_create();
	f->working = bench_take_unit(f->bench, f, &f->unit);
	if (!f->working)
		return;
	f->due = f->unit.due;
	if (f->unit.kind == SCENARIO_ORDER ||
	    f->unit.kind == SCENARIO_NEW_ORDER)
		flow_begin_order(f, NULL);
	else
		flow_begin_plain(f);
}

static void
take_next(void *arg)
{
	flow_work(arg);
}

void
flow_end(struct flow *f)
{
	bench_end_unit(f->bench, &f->unit, UNIT_DONE, NULL, STR_NONE);
	flow_work(f);
}

/* From the top of the loop, so that a row of failures does not nest. */
static void
flow_lose(struct flow *f, enum unit_end end, struct str why)
{
	struct bench *b = f->bench;
	const char *doing = bench_request_name(f->type);

	if (!f->working) {
		bench_give_up(b, end, doing, why);
		return;
	}
	f->working = false;
	bench_end_unit(b, &f->unit, end, doing, why);
	loop_defer(b->loop, &f->next);
}

void
flow_fail(struct flow *f, struct str why)
{
	flow_lose(f, UNIT_FAILED, why);
}

void
flow_wrong(struct flow *f, struct str why)
{
	flow_lose(f, UNIT_WRONG, why);
}

/* ---- requests */

static void
flow_send(struct flow *f, const char *method, struct str url, struct str body)
{
	struct request q = {
		.method = method,
		.path = origin_path(&f->bench->origin, url),
		.body = body,
		.content_type = body.n == 0 ? NULL :
		    f->type == REQUEST_OCSP ? "application/ocsp-request" :
					      "application/jose+json",
	};

	if (q.path.p == NULL) {
		flow_wrong(f, STR("its URL leads to another server"));
		return;
	}
	f->sent = stats_now();
	f->began = f->due != 0 ? f->due : f->sent;
	f->due = 0;
	conn_request(f->conn, &q);
}

/* Sign and send the request, now that there is a nonce. */
static void
flow_send_signed(struct flow *f)
{
	struct str body = acme_sign(f->arena, f->signer, f->url,
	    str_make(f->nonce, f->nonce_len), f->payload);

	f->nonce_len = 0;
	if (body.p == NULL)
		flow_wrong(f, STR("its URL or its nonce cannot be signed"));
	else
		flow_send(f, f->method, f->url, body);
}

/* Send for a nonce first if none is left. */
static void
flow_try(struct flow *f)
{
	f->wants_nonce = f->nonce_len == 0;
	if (f->wants_nonce)
		flow_send(f, "HEAD", f->bench->directory.new_nonce, STR_NONE);
	else
		flow_send_signed(f);
}

void
flow_post(struct flow *f, enum bench_request type, const struct account *signer,
    struct str url, struct str payload, flow_step *then)
{
	f->type = type;
	f->method = "POST";
	f->url = url;
	f->payload = payload;
	f->signer = signer;
	f->then = then;
	f->retried = false;
	flow_try(f);
}

void
flow_ask(struct flow *f, enum bench_request type, const char *method,
    struct str url, struct str body, flow_step *then)
{
	f->type = type;
	f->method = method;
	f->url = url;
	f->then = then;
	f->wants_nonce = false;
	f->retried = true; /* there is nothing to retry */
	flow_send(f, method, url, body);
}

/* ---- replies */

/* No reply. In a closed loop nothing else keeps a flow from trying for ever. */
static void
broke(void *arg, const char *why)
{
	struct flow *f = arg;
	struct bench *b = f->bench;
	bool rests = f->working && b->opt->rate == 0;

	f->wants_nonce = false;
	f->nonce_len = 0; /* who knows whether it was used */
	flow_fail(f, str_dup(f->arena, str_from(why)));
	if (rests && b->phase != PHASE_END) {
		loop_undefer(b->loop, &f->next);
		f->after_pause = flow_work;
		timer_start(&f->pause, BENCH_REST);
	}
}

/* A refusal: a badNonce is tried once more, with the nonce that came along. */
static void
flow_refused(struct flow *f, const struct reply *r)
{
	struct stats *s = &f->bench->stats;
	struct str detail, type;

	type = acme_read_problem(f->arena, r, &detail);
	if (type.p != NULL && (!f->working || f->unit.counts))
		tally_add(&s->problems, type);
	if (str_is(type, "badNonce") && !f->retried) {
		f->retried = true;
		if (f->unit.counts)
			s->retried++;
		flow_try(f);
		return;
	}
	flow_fail(f,
	    str_printf(f->arena, "status %u " STR_FMT ": " STR_FMT, r->status,
		STR_ARG(type), STR_ARG(str_show(f->arena, detail, 120))));
}

/* Count the reply, and keep its nonce. */
static void
take_reply(struct flow *f, const struct reply *r, enum bench_request type)
{
	struct stats *s = &f->bench->stats;

	if (f->working && f->unit.counts) {
		if (r->status / 100 == 2)
			latency_add(&s->requests[type], f->began, f->sent,
			    stats_now());
		if (r->status < 600)
			s->status[r->status]++;
	}
	if (r->nonce.p != NULL) {
		memcpy(f->nonce, r->nonce.p, r->nonce.n);
		f->nonce_len = r->nonce.n;
	}
}

static void
replied(void *arg, const struct reply *r)
{
	struct flow *f = arg;
	bool was_nonce = f->wants_nonce;

	take_reply(f, r, was_nonce ? REQUEST_NEW_NONCE : f->type);
	f->wants_nonce = false;
	if (r->status / 100 != 2) {
		f->retried = f->retried || was_nonce;
		flow_refused(f, r);
	} else if (!was_nonce) {
		f->then(f, r);
	} else if (r->nonce.p == NULL) {
		flow_wrong(f, STR("the reply of new-nonce has none"));
	} else {
		flow_send_signed(f);
	}
}

bool
flow_expect(struct flow *f, const struct reply *r, unsigned status)
{
	if (r->status == status)
		return true;
	flow_wrong(f,
	    str_printf(f->arena, "status %u instead of %u", r->status, status));
	return false;
}

/* ---- pauses */

static void
end_pause(void *arg)
{
	struct flow *f = arg;

	f->after_pause(f);
}

void
flow_poll(struct flow *f, const struct reply *r, void (*then)(struct flow *))
{
	const struct bench_options *o = f->bench->opt;
	int64_t wait = BENCH_POLL;

	if (o->poll > 0)
		wait = o->poll;
	else if (r->has_retry_after)
		wait = (int64_t)r->retry_after * 1000000;
	if (++f->polls > BENCH_POLLS_MAX ||
	    stats_now() + wait > f->unit.began + o->unit_timeout) {
		flow_fail(f, STR("no end of it in the time of a unit"));
		return;
	}
	if (f->unit.counts)
		f->bench->stats.polls++;
	f->after_pause = then;
	timer_start(&f->pause, wait);
}
