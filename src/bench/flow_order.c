/* SPDX-License-Identifier: ISC */
/* An order, from new-order to the certificate: RFC 8555 section 7.4. */
#include "bench/flow.h"

static void flow_advance(struct flow *);
static void look_at_authz(struct flow *);
static void poll_order(struct flow *);

static void
fetch(struct flow *f, enum bench_request type, struct str url, flow_step *then)
{
	flow_post(f, type, f->account, url, STR(""), then);
}

static void
got_certificate(struct flow *f, const struct reply *r)
{
	const char *why;

	if (!flow_expect(f, r, 200))
		return;
	why = verifier_take(f->arena, f->bench->verifier, f->job, r->body);
	if (why != NULL)
		flow_wrong(f, str_from(why));
	else if (f->has_certificate != NULL)
		f->has_certificate(f, r);
	else
		flow_end(f);
}

/* The order as it is now. */
static bool
take_order(struct flow *f, const struct reply *r)
{
	struct str body = str_dup(f->arena, r->body);
	const char *why = acme_read_order(f->arena, body, &f->order);

	if (why == NULL)
		return true;
	flow_wrong(f, str_from(why));
	return false;
}

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
	fetch(f, REQUEST_ORDER, f->order_url, got_order_again);
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
		flow_wrong(f, STR("the order is neither valid nor processing"));
}

static void
got_challenge(struct flow *f, const struct reply *r)
{
	if (!flow_expect(f, r, 200))
		return;
	f->answered = true;
	flow_poll(f, r, look_at_authz);
}

/* From now on the responder knows the token. */
static void
answer_challenge(struct flow *f, const struct acme_authz *z)
{
	if (z->token.n > 0 && z->token.n <= sizeof(f->token_text)) {
		memcpy(f->token_text, z->token.p, z->token.n);
		f->token = str_make(f->token_text, z->token.n);
	}
	flow_post(f, REQUEST_CHALLENGE, f->account, z->challenge, STR("{}"),
	    got_challenge);
}

static void
got_authz(struct flow *f, const struct reply *r)
{
	struct acme_authz z;
	const char *why;

	if (!flow_expect(f, r, 200))
		return;
	why = acme_read_authz(f->arena, str_dup(f->arena, r->body), &z);
	if (why != NULL) {
		flow_wrong(f, str_from(why));
	} else if (str_is(z.status, "valid")) {
		f->authz++;
		f->answered = false;
		look_at_authz(f);
	} else if (!str_is(z.status, "pending")) {
		flow_fail(f, STR("the authorization is not valid"));
	} else if (f->answered) {
		flow_poll(f, r, look_at_authz);
	} else if (z.challenge.p == NULL) {
		flow_wrong(f, STR("the authorization has no challenge"));
	} else {
		answer_challenge(f, &z);
	}
}

/* The authorizations one by one, then the order again. */
static void
look_at_authz(struct flow *f)
{
	if (f->authz < f->order.nauthorizations)
		fetch(f, REQUEST_AUTHZ, f->order.authorizations[f->authz],
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
		flow_post(f, REQUEST_FINALIZE, f->account, f->order.finalize,
		    f->job->finalize, got_finalized);
	else if (str_is(status, "pending"))
		look_at_authz(f);
	else if (!str_is(status, "valid"))
		flow_fail(f,
		    str_printf(f->arena, "the order is \"" STR_FMT "\"",
			STR_ARG(str_show(f->arena, status, 32))));
	else if (f->order.certificate.p == NULL)
		flow_wrong(f, STR("the valid order has no certificate"));
	else
		fetch(f, REQUEST_CERTIFICATE, f->order.certificate,
		    got_certificate);
}

static void
got_order(struct flow *f, const struct reply *r)
{
	if (!flow_expect(f, r, 201) || !take_order(f, r))
		return;
	if (r->location.p == NULL) {
		flow_wrong(f, STR("the reply has no Location"));
		return;
	}
	f->order_url = str_dup(f->arena, r->location);
	if (f->working && f->unit.kind == SCENARIO_NEW_ORDER)
		flow_end(f);
	else
		flow_advance(f);
}

void
flow_begin_order(struct flow *f, flow_step *has_certificate)
{
	struct bench *b = f->bench;

	f->authz = f->polls = 0;
	f->answered = false;
	f->has_certificate = has_certificate;
	f->job = pool_take_job(&b->pool, f->arena);
	flow_post(f, REQUEST_NEW_ORDER, f->account, b->directory.new_order,
	    f->job->order, got_order);
}
