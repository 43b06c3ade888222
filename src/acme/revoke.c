/* SPDX-License-Identifier: ISC */
/*
 * Revocation, RFC 8555 section 7.6: by the account that the certificate was
 * issued to, by the certificate's own key, or by an account that holds valid
 * authorizations for all of its names.
 *
 *	check	pure: the certificate, the reason, the key that signed
 *	find	which certificate of this profile is it, and whose
 *	revoke	one batch: take the account, require its authorizations if it
 *		is not the owner, revoke, audit
 *	answer	200; then the issuer is told (tell.c)
 *
 * Who may not revoke a certificate hears the same as for one that was never
 * issued here.
 */
#include "acme/acme_int.h"

#include <assert.h>

#include <openssl/evp.h>

#include "base/b64url.h"
#include "base/id.h"
#include "metrics/metrics.h"

struct revocation {
	struct str der, serial;
	int64_t reason;
	struct pki_cert cert;
	struct str id, owner, order; /* once it was found */
	const char *by; /* what gives the right: label of the metric */
	unsigned guard; /* index of the statement that revokes */
};

static const struct problem *
bad_reason(struct arena *a, int64_t reason)
{
	return problem_new(a, PROBLEM_BAD_REVOCATION_REASON,
	    "the reason %lld may not be given; use one of " PKI_REASONS
	    " (RFC 5280 section 5.3.1)",
	    (long long)reason);
}

/* The same for a certificate that is not ours and for one of others. */
static enum step
revoke_refused(struct areq *q)
{
	return acme_fail(q,
	    problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		"there is no such certificate here that whoever signed the "
		"request may revoke"));
}

static const struct problem *
parse_reason(struct areq *q, struct revocation *rv)
{
	const struct json *j = json_get(q->payload, "reason");

	if (j == NULL || j->type == JSON_NULL)
		return NULL;
	if (j->type == JSON_NUMBER)
		return problem_new(q->arena, PROBLEM_BAD_REVOCATION_REASON,
		    "the reason must be one of " PKI_REASONS);
	if (j->type != JSON_INT)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"reason\" must be a number");
	rv->reason = j->num;
	return pki_reason_name(j->num) != NULL ? NULL :
						 bad_reason(q->arena, j->num);
}

static const struct problem *
revoke_check(struct areq *q)
{
	struct revocation *rv = arena_new(q->arena, struct revocation);
	struct str text = json_get_str(q->payload, "certificate");
	const struct problem *pr;
	const char *why;

	q->state = rv;
	if (text.p == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload must have a \"certificate\", a base64url "
		    "string");
	if (!b64url_decode(q->arena, text, &rv->der))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the certificate is not base64url without padding");
	if ((why = pki_parse_cert(q->arena, rv->der, &rv->cert)) != NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the certificate %s", why);
	if ((pr = parse_reason(q, rv)) != NULL)
		return pr;
	if (q->account.n == 0 &&
	    (rv->cert.key == NULL || EVP_PKEY_cmp(rv->cert.key, q->key) != 1))
		return problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		    "the key that signed the request is not the "
		    "certificate's");
	rv->serial = pki_serial_text(q->arena, rv->cert.serial);
	return NULL;
}

/* ---- revoking */

static struct str
write_detail(struct arena *a, int64_t reason, const char *by)
{
	struct json_writer *w = json_writer_new(a, 256);

	json_open_object(w, NULL);
	json_int(w, "reason", reason);
	json_str(w, "by", str_from(by));
	json_close(w);
	return json_text(w);
}

static unsigned
require_authz(struct areq *q, struct batch *b, const char *type,
    struct str name)
{
	bool wildcard = str_starts(name, STR("*."));
	unsigned st = store_add(b, SQL_AUTHZ_HELD);

	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_str(b, str_from(type));
	store_str(b, wildcard ? str_skip(name, 2) : name);
	store_int(b, wildcard);
	store_require(b);
	return st;
}

static void
require_authzs(struct areq *q, struct batch *b, const struct pki_names *names)
{
	for (size_t i = 0; i < names->ndns; i++)
		(void)require_authz(q, b, "dns", names->dns[i]);
	for (size_t i = 0; i < names->nips; i++)
		(void)require_authz(q, b, "ip",
		    addr_text(q->arena, names->ips[i]));
}

/* A certificate whose names are not all known cannot be judged by them. */
static bool
names_are_known(const struct pki_cert *c)
{
	return c->names.ndns + c->names.nips > 0 && !c->san_other;
}

/* Returns the index of the guard; what follows it in the batch is certain. */
static unsigned
add_revoke(struct batch *b, struct str id, int64_t reason)
{
	unsigned st = store_add(b, SQL_CERT_REVOKE);

	store_str(b, id);
	store_int(b, reason);
	store_require(b);
	return st;
}

static enum step
on_revoked(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct revocation *rv = q->state;

	if (r->status == STORE_LOST && r->failed < rv->guard)
		return r->failed == 0 ? acme_recheck(q, revoke_refused) :
					revoke_refused(q);
	if (r->status == STORE_LOST)
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_ALREADY_REVOKED,
			"the certificate is revoked already"));
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	metrics_count(FAMILY_revocations, rv->by);
	acme_log(q, "serial", rv->serial);
	acme_tell_issuers(q->acme);
	return req_reply(q->req, 200, NULL, STR(""));
}

static enum step
send_revoke(struct areq *q)
{
	struct revocation *rv = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account.n > 0 ? q->account : rv->id);
	struct str actor = STR("certificate key");

	if (q->account.n > 0) {
		acme_take_account(q, b);
		actor = acme_actor(q->arena, q->account);
	}
	if (str_is(str_from(rv->by), "authorizations"))
		require_authzs(q, b, &rv->cert.names);
	rv->guard = add_revoke(b, rv->id, rv->reason);
	audit_add(b,
	    &(struct audit_entry){
		.actor = actor,
		.action = "certificate.revoke",
		.object = rv->id,
		.order = rv->order,
		.account = rv->owner,
		.serial = rv->serial,
		.detail = write_detail(q->arena, rv->reason, rv->by),
	    });
	return store_send_batch(b, on_revoked, q);
}

static enum step
on_found(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct revocation *rv = q->state;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return q->account.n > 0 ? acme_recheck(q, revoke_refused) :
					  revoke_refused(q);
	rv->id = str_dup(q->arena, store_get_str(r, 0, 0, REVOKE_FIND_ID));
	rv->order = str_dup(q->arena,
	    store_get_str(r, 0, 0, REVOKE_FIND_ORDER_ID));
	rv->owner = str_dup(q->arena,
	    store_get_str(r, 0, 0, REVOKE_FIND_ACCOUNT));
	rv->by = q->account.n == 0        ? "key" :
	    str_eq(rv->owner, q->account) ? "account" :
					    "authorizations";
	if (str_is(str_from(rv->by), "authorizations") &&
	    !names_are_known(&rv->cert))
		return acme_recheck(q, revoke_refused);
	return send_revoke(q);
}

static enum step
revoke_start(struct areq *q)
{
	const struct revocation *rv = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    rv->serial);

	store_add(b, SQL_REVOKE_FIND);
	store_str(b, rv->serial);
	store_blob(b, rv->der);
	store_str(b, q->profile->name);
	return store_send_batch(b, on_found, q);
}

const struct acme_route revoke_route = {
	.http = { .methods = REQ_POST,
	    .path = "/revoke-cert",
	    .name = "revoke-cert",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_EITHER,
	.payload = PAYLOAD_OBJECT,
	.check = revoke_check,
	.start = revoke_start,
};

/* ---- for operators */

struct revoking {
	struct acme *acme;
	struct task *task;
	struct str id; /* if it is one alone */
	size_t n;
	acme_revoked_fn *fn;
	void *arg;
};

/* Why was there nothing to revoke? */
static enum step
on_explained(void *arg, const struct store_result *r)
{
	struct revoking *v = arg;
	struct arena *a = v->task->arena;

	if (r->status != STORE_OK)
		return v->fn(v->arg, r->problem);
	if (store_nrows(r, 0) == 0)
		return v->fn(v->arg,
		    problem_new(a, PROBLEM_NOT_FOUND,
			"there is no certificate " STR_FMT,
			STR_ARG(str_show(a, v->id, ID_LEN))));
	return v->fn(v->arg,
	    problem_new(a, PROBLEM_ALREADY_REVOKED,
		"the certificate is revoked already"));
}

static enum step
explain(struct revoking *v)
{
	struct batch *b = store_new_batch(v->acme->store, v->task, v->id);

	store_add(b, SQL_CERT_STATUS);
	store_str(b, v->id);
	return store_send_batch(b, on_explained, v);
}

static enum step
on_admin_revoked(void *arg, const struct store_result *r)
{
	struct revoking *v = arg;

	if (r->status == STORE_LOST && v->n == 1)
		return explain(v);
	if (r->status == STORE_LOST)
		return v->fn(v->arg,
		    problem_new(v->task->arena, PROBLEM_ALREADY_REVOKED,
			"one of the certificates is revoked already"));
	if (r->status == STORE_OK) {
		metrics_child_add(metrics_child(FAMILY_revocations, "admin"),
		    (int64_t)v->n);
		acme_tell_issuers(v->acme);
	}
	return v->fn(v->arg, r->problem);
}

enum step
acme_revoke(struct acme *acme, struct task *t, const struct str *ids, size_t n,
    int64_t reason, struct str actor, acme_revoked_fn *fn, void *arg)
{
	struct revoking *v = arena_new(t->arena, struct revoking);
	struct batch *b;

	assert(pki_reason_name(reason) != NULL && n > 0);
	v->acme = acme;
	v->task = t;
	v->id = str_dup(t->arena, ids[0]);
	v->n = n;
	v->fn = fn;
	v->arg = arg;
	b = store_new_batch(acme->store, t, n == 1 ? v->id : STR(""));
	for (size_t i = 0; i < n; i++) {
		(void)add_revoke(b, ids[i], reason);
		audit_add_of_cert(b,
		    &(struct audit_entry){
			.actor = actor,
			.action = "certificate.revoke",
			.object = ids[i],
			.detail = write_detail(t->arena, reason, "admin"),
		    });
	}
	return store_send_batch(b, on_admin_revoked, v);
}
