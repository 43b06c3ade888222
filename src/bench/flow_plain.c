/* SPDX-License-Identifier: ISC */
/*
 * Units of one request, and what comes before the clock starts: the directory,
 * a connection and an account for each flow, and certificates to ask about.
 */
#include "bench/flow.h"
#include "pki/certid.h"

/* ---- units */

static void
got_nonce(struct flow *f, const struct reply *r)
{
	if (r->nonce.p == NULL)
		flow_wrong(f, STR("the reply has no Replay-Nonce"));
	else
		flow_end(f);
}

static void
got_same_directory(struct flow *f, const struct reply *r)
{
	if (!str_eq(r->body, f->bench->directory_body))
		flow_wrong(f, STR("it is not the same as before"));
	else
		flow_end(f);
}

static void
got_new_account(struct flow *f, const struct reply *r)
{
	if (!flow_expect(f, r, 201))
		return;
	if (r->location.p == NULL)
		flow_wrong(f, STR("the reply has no Location"));
	else
		flow_end(f);
}

static void
got_renewal(struct flow *f, const struct reply *r)
{
	const char *why;

	if (!flow_expect(f, r, 200))
		return;
	if ((why = acme_check_renewal(f->arena, r->body)) != NULL)
		flow_wrong(f, str_from(why));
	else
		flow_end(f);
}

static void
register_account(struct flow *f, const struct account *account, flow_step *then)
{
	struct bench *b = f->bench;
	struct str url = b->directory.new_account;
	struct str payload = acme_write_account(f->arena, account, url,
	    &b->binding);

	flow_post(f, REQUEST_NEW_ACCOUNT, account, url, payload, then);
}

/* ---- OCSP */

/* Ask, and have what comes judged. */
static void
ask_ocsp(struct flow *f, uint64_t i, flow_step *then)
{
	const struct pool *pool = &f->bench->pool;
	const struct ask *ask = &pool->asks[i % pool->nasks];
	bool get = f->bench->opt->scenario == SCENARIO_OCSP_GET;

	f->ask = ask;
	flow_ask(f, REQUEST_OCSP, get ? "GET" : "POST",
	    get ? ask->url : str_from(f->bench->opt->url),
	    get ? STR_NONE : ask->der, then);
}

/* Ends the unit if the reply is none to what was asked. */
static bool
judge(struct flow *f, const struct reply *r)
{
	const char *why = asks_judge(f->ask, r);

	if (why != NULL)
		flow_wrong(f, str_from(why));
	return why == NULL;
}

static void
got_answer(struct flow *f, const struct reply *r)
{
	if (judge(f, r))
		flow_end(f);
}

static void
got_first_answer(struct flow *f, const struct reply *r)
{
	if (judge(f, r))
		bench_has_directory(f->bench);
}

static void
answered(struct flow *f, const struct reply *r)
{
	if (judge(f, r))
		bench_is_ready(f->bench);
}

void
flow_begin_plain(struct flow *f)
{
	struct bench *b = f->bench;

	switch (f->unit.kind) {
	case SCENARIO_DIRECTORY:
		flow_ask(f, REQUEST_DIRECTORY, "GET", str_from(b->opt->url),
		    STR_NONE, got_same_directory);
		break;
	case SCENARIO_NEW_NONCE:
		flow_ask(f, REQUEST_NEW_NONCE, "HEAD", b->directory.new_nonce,
		    STR_NONE, got_nonce);
		break;
	case SCENARIO_NEW_ACCOUNT:
		f->fresh = pool_take_account(&b->pool, f->arena);
		register_account(f, f->fresh, got_new_account);
		break;
	case SCENARIO_RENEWAL_INFO:
		flow_ask(f, REQUEST_RENEWAL_INFO, "GET",
		    b->renewals[f->unit.i % b->nrenewals], STR_NONE,
		    got_renewal);
		break;
	default:
		ask_ocsp(f, f->unit.i, got_answer);
		break;
	}
}

/* ---- before the clock starts */

static void
got_directory(struct flow *f, const struct reply *r)
{
	struct bench *b = f->bench;
	const char *why;

	b->directory_body = str_dup(b->arena, r->body);
	why = acme_read_directory(b->arena, b->directory_body, &b->directory);
	if (why == NULL && b->opt->weights[SCENARIO_RENEWAL_INFO] > 0 &&
	    b->directory.renewal_info.p == NULL)
		why = "the server has no renewal information";
	if (why != NULL)
		flow_fail(f, str_from(why));
	else
		bench_has_directory(b);
}

void
flow_fetch_directory(struct flow *f)
{
	if (options_are_ocsp(f->bench->opt)) {
		ask_ocsp(f, 0, got_first_answer);
		return;
	}
	flow_ask(f, REQUEST_DIRECTORY, "GET", str_from(f->bench->opt->url),
	    STR_NONE, got_directory);
}

/* The leaf of a chain in PEM; p is NULL if it has no key identifier. */
static struct str
read_cert_id(struct arena *a, struct str pem)
{
	struct pki_cert cert;
	struct str *ders;
	size_t n;

	if (pki_parse_pem(a, pem, &ders, &n) != NULL ||
	    pki_parse_cert(a, ders[0], &cert) != NULL)
		return STR_NONE;
	return pki_cert_id(a, &cert);
}

/* A certificate to ask about. */
static void
got_first_certificate(struct flow *f, const struct reply *r)
{
	struct bench *b = f->bench;
	struct str id = read_cert_id(f->arena, r->body);

	if (id.p == NULL) {
		flow_wrong(f, STR("it has no authority key identifier"));
		return;
	}
	b->renewals[b->nrenewals++] = str_join(b->arena,
	    b->directory.renewal_info, STR("/"), id);
	bench_is_ready(b);
}

static void
got_account(struct flow *f, const struct reply *r)
{
	struct bench *b = f->bench;

	if (r->location.p == NULL) {
		flow_wrong(f, STR("the reply has no Location"));
		return;
	}
	f->account->kid = str_dup(b->arena, r->location);
	if (b->opt->weights[SCENARIO_RENEWAL_INFO] > 0 &&
	    f->index < BENCH_RENEWALS_MAX)
		flow_begin_order(f, got_first_certificate);
	else
		bench_is_ready(b);
}

static void
opened(struct flow *f, const struct reply *r)
{
	if (r->nonce.p == NULL)
		flow_wrong(f, STR("the reply has no Replay-Nonce"));
	else if (f->account == NULL || f->index >= f->bench->opt->accounts)
		bench_is_ready(f->bench);
	else
		register_account(f, f->account, got_account);
}

void
flow_prepare(struct flow *f)
{
	f->unit = (struct unit){ .began = stats_now() };
	if (options_are_ocsp(f->bench->opt)) {
		ask_ocsp(f, f->index, answered);
		return;
	}
	flow_ask(f, REQUEST_NEW_NONCE, "HEAD", f->bench->directory.new_nonce,
	    STR_NONE, opened);
}
