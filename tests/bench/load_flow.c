/* SPDX-License-Identifier: ISC */
/*
 * One connection at its work: the client side of RFC 8555 section 7, a
 * request after the other. Each function sends one and names the function
 * that takes the reply; whatever fails ends the unit of work, and the next
 * one begins.
 */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

struct flow {
	struct load *load;
	size_t index;
	struct conn *conn;
	struct account *account;
	struct arena *arena; /* of this unit of work */

	/* The request under way. */
	enum load_request type;
	const char *method;
	struct str url, payload;
	void (*then)(struct flow *, const struct reply *);
	bool wants_nonce; /* it waits for a nonce, which was sent for */
	bool retried;     /* after a badNonce */
	int64_t sent;
	char nonce[REPLY_FIELD_MAX]; /* of the last reply; used once */
	size_t nonce_len;

	/* The order under way. */
	size_t job;
	struct str order_url;
	struct load_order order;
	size_t authz;  /* the one that is looked at */
	bool answered; /* its challenge */
	unsigned polls;
	struct timer pause;
	void (*after_pause)(struct flow *);
};

static void replied(void *, const struct reply *);
static void broke(void *, const char *);
static void end_pause(void *);
static void flow_advance(struct flow *);

static const struct conn_handler handler = {
	.replied = replied,
	.failed = broke,
};

struct flow *
flow_new(struct load *l, size_t index)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->load = l;
	f->index = index;
	f->arena = arena_create();
	f->conn = conn_new(l->loop, &l->origin, l->opt->timeout, &handler, f);
	timer_init(&f->pause, l->loop, end_pause, f);
	if (l->pool.accounts != NULL)
		f->account = &l->pool.accounts[index % l->opt->accounts];
	return f;
}

void
flow_free(struct flow *f)
{
	timer_stop(&f->pause);
	conn_free(f->conn);
	arena_destroy(f->arena);
	free(f);
}

unsigned
flow_opened(const struct flow *f)
{
	return conn_opened(f->conn);
}

/* ---- requests and replies */

static void
flow_fail(struct flow *f, struct str why)
{
	struct load *l = f->load;

	if (l->phase != PHASE_RUN) {
		load_give_up(l, load_request_name(f->type), why);
		return;
	}
	load_unit_failed(l, load_request_name(f->type), why);
	flow_work(f);
}

static void
flow_send(struct flow *f, const char *method, struct str url, struct str body)
{
	struct request q = {
		.method = method,
		.path = origin_path(&f->load->origin, url),
		.body = body,
		.content_type = body.n == 0 ? NULL :
		    f->type == LOAD_OCSP    ? "application/ocsp-request" :
					      "application/jose+json",
	};

	if (q.path.p == NULL) {
		flow_fail(f, STR("its URL leads to another server"));
		return;
	}
	f->sent = stats_now();
	conn_request(f->conn, &q);
}

/* Sign and send the request, now that there is a nonce. */
static void
flow_send_signed(struct flow *f)
{
	struct str body = acme_sign(f->arena, f->account, f->url,
	    str_make(f->nonce, f->nonce_len), f->payload);

	f->nonce_len = 0;
	if (body.p == NULL)
		flow_fail(f, STR("it cannot be signed"));
	else
		flow_send(f, f->method, f->url, body);
}

/* Send for a nonce first if none is left. */
static void
flow_try(struct flow *f)
{
	f->wants_nonce = f->nonce_len == 0;
	if (f->wants_nonce)
		flow_send(f, "HEAD", f->load->directory.new_nonce, STR_NONE);
	else
		flow_send_signed(f);
}

static void
flow_post(struct flow *f, enum load_request type, struct str url,
    struct str payload, void (*then)(struct flow *, const struct reply *))
{
	f->type = type;
	f->method = "POST";
	f->url = url;
	f->payload = payload;
	f->then = then;
	f->retried = false;
	flow_try(f);
}

/* POST-as-GET */
static void
flow_fetch(struct flow *f, enum load_request type, struct str url,
    void (*then)(struct flow *, const struct reply *))
{
	flow_post(f, type, url, STR(""), then);
}

static void
flow_ask(struct flow *f, enum load_request type, const char *method,
    struct str url, void (*then)(struct flow *, const struct reply *))
{
	f->type = type;
	f->method = method;
	f->url = url;
	f->then = then;
	f->wants_nonce = false;
	f->retried = true; /* there is nothing to retry */
	flow_send(f, method, url, STR_NONE);
}

static void
broke(void *arg, const char *why)
{
	struct flow *f = arg;

	f->wants_nonce = false;
	flow_fail(f, str_dup(f->arena, str_from(why)));
}

/* A refusal: a badNonce is tried once more, with the nonce that came along. */
static void
flow_refused(struct flow *f, const struct reply *r)
{
	struct stats *s = &f->load->stats;
	struct str detail, type;

	type = acme_read_problem(f->arena, r, &detail);
	if (type.p != NULL)
		tally_add(&s->problems, type);
	if (str_is(type, "badNonce") && !f->retried) {
		f->retried = true;
		s->retried++;
		flow_try(f);
		return;
	}
	flow_fail(f,
	    str_printf(f->arena, "status %u " STR_FMT ": " STR_FMT, r->status,
		STR_ARG(type), STR_ARG(str_show(f->arena, detail, 120))));
}

static void
replied(void *arg, const struct reply *r)
{
	struct flow *f = arg;
	struct load *l = f->load;
	enum load_request type = f->wants_nonce ? LOAD_NEW_NONCE : f->type;

	if (l->phase == PHASE_RUN) {
		histogram_add(&l->stats.latency[type], stats_now() - f->sent);
		if (r->status < 600)
			l->stats.status[r->status]++;
	}
	if (r->nonce.p != NULL) {
		memcpy(f->nonce, r->nonce.p, r->nonce.n);
		f->nonce_len = r->nonce.n;
	}
	if (r->status / 100 != 2) {
		f->retried = f->retried || f->wants_nonce;
		f->wants_nonce = false;
		flow_refused(f, r);
	} else if (!f->wants_nonce) {
		f->then(f, r);
	} else {
		f->wants_nonce = false;
		if (r->nonce.p == NULL)
			flow_fail(f, STR("the reply of new-nonce has none"));
		else
			flow_send_signed(f);
	}
}

/* Is it the status that this reply must have? Fails the unit if not. */
static bool
flow_expect(struct flow *f, const struct reply *r, unsigned status)
{
	if (r->status == status)
		return true;
	flow_fail(f,
	    str_printf(f->arena, "status %u instead of %u", r->status, status));
	return false;
}

/* ---- OCSP */

/* Ask, and have what comes judged. */
static void
flow_ask_ocsp(struct flow *f, size_t job,
    void (*then)(struct flow *, const struct reply *))
{
	const struct pool *pool = &f->load->pool;
	const struct ask *ask = &pool->asks[job % pool->nasks];
	bool get = f->load->opt->scenario == SCENARIO_OCSP_GET;

	f->job = job;
	f->type = LOAD_OCSP;
	f->then = then;
	f->wants_nonce = false;
	f->retried = true; /* there is nothing to retry */
	flow_send(f, get ? "GET" : "POST",
	    get ? ask->url : str_from(f->load->opt->url),
	    get ? STR_NONE : ask->der);
}

/* Fails the unit if the reply is none to what was asked. */
static bool
flow_judge(struct flow *f, const struct reply *r)
{
	const struct pool *pool = &f->load->pool;
	const char *why = asks_judge(&pool->asks[f->job % pool->nasks], r);

	if (why != NULL)
		flow_fail(f, str_from(why));
	return why == NULL;
}

static void
got_answer(struct flow *f, const struct reply *r)
{
	if (!flow_judge(f, r))
		return;
	load_unit_done(f->load);
	flow_work(f);
}

static void
got_first_answer(struct flow *f, const struct reply *r)
{
	if (flow_judge(f, r))
		load_has_directory(f->load);
}

static void
answered(struct flow *f, const struct reply *r)
{
	if (flow_judge(f, r))
		load_is_ready(f->load);
}

/* ---- before the clock starts */

static void
got_directory(struct flow *f, const struct reply *r)
{
	struct load *l = f->load;
	const char *why;

	l->directory_body = str_dup(l->arena, r->body);
	why = acme_read_directory(l->arena, l->directory_body, &l->directory);
	if (why != NULL)
		flow_fail(f, str_from(why));
	else
		load_has_directory(l);
}

void
flow_fetch_directory(struct flow *f)
{
	if (load_is_ocsp(f->load->opt->scenario)) {
		flow_ask_ocsp(f, 0, got_first_answer);
		return;
	}
	flow_ask(f, LOAD_DIRECTORY, "GET", str_from(f->load->opt->url),
	    got_directory);
}

static void
got_account(struct flow *f, const struct reply *r)
{
	if (r->location.p == NULL) {
		flow_fail(f, STR("the reply has no Location"));
		return;
	}
	f->account->kid = str_dup(f->load->arena, r->location);
	load_is_ready(f->load);
}

static void
opened(struct flow *f, const struct reply *r)
{
	if (r->nonce.p == NULL)
		flow_fail(f, STR("the reply has no Replay-Nonce"));
	else if (f->account == NULL || f->index >= f->load->opt->accounts)
		load_is_ready(f->load);
	else
		flow_post(f, LOAD_NEW_ACCOUNT, f->load->directory.new_account,
		    STR("{\"termsOfServiceAgreed\":true}"), got_account);
}

void
flow_prepare(struct flow *f)
{
	if (load_is_ocsp(f->load->opt->scenario)) {
		flow_ask_ocsp(f, f->index, answered);
		return;
	}
	flow_ask(f, LOAD_NEW_NONCE, "HEAD", f->load->directory.new_nonce,
	    opened);
}

/* ---- units of work that sign nothing */

static void
got_nonce(struct flow *f, const struct reply *r)
{
	if (r->nonce.p == NULL) {
		flow_fail(f, STR("the reply has no Replay-Nonce"));
		return;
	}
	load_unit_done(f->load);
	flow_work(f);
}

static void
got_same_directory(struct flow *f, const struct reply *r)
{
	if (!str_eq(r->body, f->load->directory_body)) {
		flow_fail(f, STR("it is not the same as before"));
		return;
	}
	load_unit_done(f->load);
	flow_work(f);
}

/* ---- orders */

static void
end_pause(void *arg)
{
	struct flow *f = arg;

	f->after_pause(f);
}

/* Wait as long as the server wants us to, but not for ever. */
static void
flow_poll(struct flow *f, const struct reply *r, void (*then)(struct flow *))
{
	const struct load_options *o = f->load->opt;
	int64_t wait = 100000;

	if (++f->polls > LOAD_POLLS_MAX) {
		flow_fail(f, STR("it was polled too often"));
		return;
	}
	f->load->stats.polls++;
	if (o->poll > 0)
		wait = o->poll;
	else if (r->has_retry_after)
		wait = (int64_t)r->retry_after * 1000000;
	f->after_pause = then;
	timer_start(&f->pause, wait);
}

static void
got_certificate(struct flow *f, const struct reply *r)
{
	const struct job *job = &f->load->pool.jobs[f->job];
	const char *why;

	if (!flow_expect(f, r, 200))
		return;
	if ((why = verifier_take(f->load->verifier, job, r->body)) != NULL) {
		flow_fail(f, str_from(why));
		return;
	}
	load_unit_done(f->load);
	flow_work(f);
}

static void flow_finalize(struct flow *f);

/* The order as it is now. */
static bool
take_order(struct flow *f, const struct reply *r)
{
	struct str body = str_dup(f->arena, r->body);
	const char *why = acme_read_order(f->arena, body, &f->order);

	if (why == NULL)
		return true;
	flow_fail(f, str_from(why));
	return false;
}

static void poll_order(struct flow *f);

static void
got_order_again(struct flow *f, const struct reply *r)
{
	if (!flow_expect(f, r, 200) || !take_order(f, r))
		return;
	if (str_is(f->order.status, "processing") ||
	    str_is(f->order.status, "pending"))
		flow_poll(f, r, poll_order);
	else
		flow_advance(f);
}

static void
poll_order(struct flow *f)
{
	flow_fetch(f, LOAD_ORDER, f->order_url, got_order_again);
}

static void
got_finalized(struct flow *f, const struct reply *r)
{
	if (!flow_expect(f, r, 200) || !take_order(f, r))
		return;
	if (str_is(f->order.status, "processing"))
		flow_poll(f, r, poll_order);
	else if (str_is(f->order.status, "valid"))
		flow_advance(f);
	else
		flow_fail(f, STR("the order is neither valid nor processing"));
}

static void
flow_finalize(struct flow *f)
{
	flow_post(f, LOAD_FINALIZE, f->order.finalize,
	    f->load->pool.jobs[f->job].finalize, got_finalized);
}

static void look_at_authz(struct flow *);

static void
got_challenge(struct flow *f, const struct reply *r)
{
	if (!flow_expect(f, r, 200))
		return;
	f->answered = true;
	flow_poll(f, r, look_at_authz);
}

static void
got_authz(struct flow *f, const struct reply *r)
{
	struct load_authz z;
	const char *why;

	if (!flow_expect(f, r, 200))
		return;
	why = acme_read_authz(f->arena, str_dup(f->arena, r->body), &z);
	if (why != NULL) {
		flow_fail(f, str_from(why));
	} else if (str_is(z.status, "valid")) {
		f->authz++;
		f->answered = false;
		look_at_authz(f);
	} else if (!str_is(z.status, "pending")) {
		flow_fail(f, STR("the authorization is not valid"));
	} else if (f->answered) {
		flow_poll(f, r, look_at_authz);
	} else if (z.challenge.p == NULL) {
		flow_fail(f, STR("the authorization has no challenge"));
	} else {
		flow_post(f, LOAD_CHALLENGE, z.challenge, STR("{}"),
		    got_challenge);
	}
}

/* The authorizations one by one, then the order again. */
static void
look_at_authz(struct flow *f)
{
	if (f->authz < f->order.nauthorizations)
		flow_fetch(f, LOAD_AUTHZ, f->order.authorizations[f->authz],
		    got_authz);
	else
		poll_order(f);
}

/* What the status of the order asks for. */
static void
flow_advance(struct flow *f)
{
	struct str status = f->order.status;

	if (str_is(status, "ready"))
		flow_finalize(f);
	else if (str_is(status, "pending"))
		look_at_authz(f);
	else if (!str_is(status, "valid"))
		flow_fail(f,
		    str_printf(f->arena, "the order is \"" STR_FMT "\"",
			STR_ARG(str_show(f->arena, status, 32))));
	else if (f->order.certificate.p == NULL)
		flow_fail(f, STR("the valid order has no certificate"));
	else
		flow_fetch(f, LOAD_CERTIFICATE, f->order.certificate,
		    got_certificate);
}

static void
got_order(struct flow *f, const struct reply *r)
{
	if (!flow_expect(f, r, 201) || !take_order(f, r))
		return;
	if (r->location.p == NULL) {
		flow_fail(f, STR("the reply has no Location"));
		return;
	}
	f->order_url = str_dup(f->arena, r->location);
	if (f->load->opt->scenario == SCENARIO_NEW_ORDER) {
		load_unit_done(f->load);
		flow_work(f);
		return;
	}
	flow_advance(f);
}

/* ---- the next unit */

void
flow_work(struct flow *f)
{
	struct load *l = f->load;

	arena_destroy(f->arena);
	f->arena = arena_create();
	f->authz = f->polls = 0;
	f->answered = false;
	if (!load_take_job(l, &f->job))
		return;
	switch (l->opt->scenario) {
	case SCENARIO_DIRECTORY:
		flow_ask(f, LOAD_DIRECTORY, "GET", str_from(l->opt->url),
		    got_same_directory);
		break;
	case SCENARIO_NEW_NONCE:
		flow_ask(f, LOAD_NEW_NONCE, "HEAD", l->directory.new_nonce,
		    got_nonce);
		break;
	case SCENARIO_OCSP_GET:
	case SCENARIO_OCSP_POST:
		flow_ask_ocsp(f, f->job, got_answer);
		break;
	case SCENARIO_NEW_ORDER:
	case SCENARIO_FULL:
		flow_post(f, LOAD_NEW_ORDER, l->directory.new_order,
		    l->pool.jobs[f->job].order, got_order);
		break;
	}
}
