/* SPDX-License-Identifier: ISC */
/*
 * Requests to Vault's HTTP API, and what its answers mean. Vault tells
 * failures by status, with {"errors": [...]}; in front of it may stand
 * balancers that know nothing of that.
 */
#include "issuer/vault_int.h"

#include <openssl/mem.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/when.h"

static struct fetch_call *
call(const struct vault_client *c, struct task *t, struct str token,
    struct str path, struct str body, size_t max, int64_t timeout, fetch_fn *fn,
    void *arg)
{
	struct arena *a = arena_create();
	struct fetch_header headers[4] = {
		{ STR("X-Vault-Request"), STR("true") },
	};
	struct fetch_request rq = {
		.method = body.p != NULL ? STR("POST") : STR("GET"),
		.url = str_printf(a, STR_FMT STR_FMT, STR_ARG(c->base),
		    STR_ARG(path)),
		.headers = headers,
		.nheaders = 1,
		.body = body,
		.ca_pem = c->ca_pem,
		.body_max = max,
		.total_timeout = timeout,
	};
	struct fetch_call *sent;

	if (token.n > 0)
		headers[rq.nheaders++] = (struct fetch_header){
			STR("X-Vault-Token"), token
		};
	if (c->namespace.n > 0)
		headers[rq.nheaders++] = (struct fetch_header){
			STR("X-Vault-Namespace"), c->namespace
		};
	if (body.p != NULL)
		headers[rq.nheaders++] = (struct fetch_header){
			STR("Content-Type"), STR("application/json")
		};
	sent = fetch_send(c->fetch, t, &rq, fn, arg);
	arena_destroy(a);
	return sent;
}

struct fetch_call *
vault_call(const struct vault_client *c, struct task *t, struct str token,
    struct str path, struct str body, int64_t timeout, fetch_fn *fn, void *arg)
{
	return call(c, t, token, path, body, VAULT_ANSWER_MAX, timeout, fn,
	    arg);
}

struct fetch_call *
vault_call_long(const struct vault_client *c, struct task *t, struct str token,
    struct str path, size_t max, int64_t timeout, fetch_fn *fn, void *arg)
{
	return call(c, t, token, path, STR_NONE, max, timeout, fn, arg);
}

struct fetch_call *
vault_login(const struct vault_client *c, struct task *t,
    const struct vault_approle *role, struct str secret_id, int64_t timeout,
    fetch_fn *fn, void *arg)
{
	struct arena *a = arena_create();
	struct json_writer *w = json_writer_new(a, 2 * VAULT_TOKEN_MAX);
	struct fetch_call *sent;
	struct str body;

	json_open_object(w, NULL);
	json_str(w, "role_id", role->role_id);
	json_str(w, "secret_id", secret_id);
	json_close(w);
	body = json_text(w);
	sent = vault_call(c, t, STR_NONE, role->login, body, timeout, fn, arg);
	if (body.n > 0)
		OPENSSL_cleanse((void *)(uintptr_t)body.p, body.n);
	arena_destroy(a);
	return sent;
}

bool
vault_is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 127)
			return false;
	return s.n > 0 && s.n < VAULT_TOKEN_MAX;
}

/* ---- answers */

/* What Vault says is wrong, in one line. */
static const char *
read_errors(struct arena *a, const struct fetch_result *r)
{
	const struct json *doc = json_parse(a, r->body, NULL);
	struct buf b = buf_new(a, 4096);

	buf_printf(&b, "Vault answered %u", r->status);
	json_each(it, json_get(doc, "errors"))
		if (it->type == JSON_STRING)
			buf_printf(&b, ": " STR_FMT,
			    STR_ARG(str_show(a, it->str, VAULT_TEXT_MAX)));
	return str_show(a, buf_view(&b), VAULT_TEXT_MAX).p;
}

static struct vault_failure
judge_transport(struct arena *a, const struct fetch_result *r)
{
	struct vault_failure f = { .class = ISSUER_NETWORK,
		.again = true,
		.uncertain = r->sent };

	f.text = str_printf(a, "%s (%s)", r->why, fetch_phase_name(r->phase)).p;
	switch (r->error) {
	case FETCH_TIMEOUT:
		f.class = ISSUER_TIMEOUT;
		break;
	case FETCH_BUSY:
		f.class = ISSUER_RATE_LIMITED;
		f.unasked = true;
		f.retry_after = 1;
		break;
	case FETCH_BAD_REQUEST:
	case FETCH_TOO_LARGE:
		f.class = ISSUER_OTHER;
		f.again = false;
		break;
	default:
		break;
	}
	return f;
}

/* How a status other than 200 and 204 is to be taken. */
static void
judge_status(unsigned status, struct vault_failure *f)
{
	if (status == 401 || status == 403) {
		f->class = ISSUER_AUTH;
		f->again = true; /* the token may be replaced */
	} else if (status == 429) {
		f->class = ISSUER_RATE_LIMITED;
		f->again = true;
	} else if (status >= 500 || status == 472 || status == 473 ||
	    status == 412 || status / 100 == 3) {
		/* sealed, on standby, not yet consistent, or broken */
		f->class = ISSUER_UPSTREAM_5XX;
		f->again = true;
		/* a balancer's word about a Vault that may have signed */
		f->uncertain = status >= 500 && status != 501 && status != 503;
	} else {
		f->class = status / 100 == 4 ? ISSUER_UPSTREAM_4XX :
					       ISSUER_OTHER;
		f->uncertain = status / 100 == 2;
	}
}

struct vault_failure
vault_judge(struct arena *a, const struct fetch_result *r)
{
	struct vault_failure f = { .class = ISSUER_OK };

	if (r->error != FETCH_OK)
		return judge_transport(a, r);
	if (r->status == 200 || r->status == 204)
		return f;
	judge_status(r->status, &f);
	f.text = read_errors(a, r);
	if (r->status / 100 == 3)
		f.text = str_printf(a,
		    "Vault answered %u: it is on standby and sends us to the "
		    "active node (" STR_FMT
		    "); give that address, or a balancer's",
		    r->status,
		    STR_ARG(str_show(a, r->redirect, VAULT_TEXT_MAX)))
			     .p;
	if (r->retry_after > 0)
		f.retry_after = (unsigned)(r->retry_after / WHEN_SECOND);
	return f;
}
