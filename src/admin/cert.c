/* SPDX-License-Identifier: ISC */
/* One certificate, by its id or serial: show, revoke. */
#include "admin/admin_int.h"

#include <openssl/sha.h>

#include "base/hex.h"
#include "pki/cert.h"
#include "pki/reason.h"

enum {
	SAME_MAX = 4, /* certificates of one serial that are looked at */
	KEY_MAX = 128,
};

enum step
cert_find(struct admin_call *c, store_fn *fn)
{
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));

	store_add(b, SQL_ADMIN_CERT);
	store_str(b, c->req->params[0]);
	store_str(b, cert_plain_serial(c->arena, c->req->params[0]));
	store_int(b, SAME_MAX);
	return store_send_batch(b, fn, c);
}

const struct problem *
cert_check_found(struct admin_call *c, const struct store_result *r)
{
	if (r->status != STORE_OK)
		return r->problem;
	if (store_nrows(r, 0) == 0)
		return admin_none(c, "certificate", c->req->params[0]);
	if (store_nrows(r, 0) > 1)
		return problem_new(c->arena, PROBLEM_WRONG_STATE,
		    "more than one issuer has made the serial \"" STR_FMT
		    "\": name the certificate by its id",
		    STR_ARG(c->req->params[0]));
	return NULL;
}

/* ---- GET /certificates/:id */

static void
write_revocation(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	int64_t at = store_get_int(r, 0, 0, ADMIN_CERT_REVOKED_AT);

	admin_write_time(c->arena, w, "revoked", at);
	if (store_is_null(r, 0, 0, ADMIN_CERT_REASON))
		json_null(w, "reason");
	else
		json_str(w, "reason",
		    str_from(pki_reason_name(
			store_get_int(r, 0, 0, ADMIN_CERT_REASON))));
	admin_write_time(c->arena, w, "issuer_told",
	    store_get_int(r, 0, 0, ADMIN_CERT_ISSUER_TOLD));
}

static void
write_der(struct admin_call *c, struct json_writer *w, struct str der)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)der.p, der.n, hash);
	json_str(w, "sha256",
	    hex_encode(c->arena, str_make(hash, sizeof(hash))));
	json_str(w, "pem", pki_write_pem(c->arena, "CERTIFICATE", der));
}

static enum step
show_answer(void *arg, const struct store_result *r)
{
	static const struct {
		const char *name;
		unsigned col;
	} texts[] = {
		{ "id", ADMIN_CERT_ID },
		{ "serial", ADMIN_CERT_SERIAL },
		{ "status", ADMIN_CERT_STATUS },
		{ "account", ADMIN_CERT_ACCOUNT },
		{ "order", ADMIN_CERT_ORDER_ID },
		{ "loop", ADMIN_CERT_LOOP },
		{ "profile", ADMIN_CERT_PROFILE },
		{ "issuer", ADMIN_CERT_ISSUER },
		{ "key_sha256", ADMIN_CERT_SPKI_HASH },
	}, times[] = {
		{ "not_before", ADMIN_CERT_NOT_BEFORE },
		{ "not_after", ADMIN_CERT_NOT_AFTER },
		{ "created", ADMIN_CERT_CREATED },
		{ "renew_from", ADMIN_CERT_RENEW_START },
		{ "renew_until", ADMIN_CERT_RENEW_END },
	};
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	const struct problem *pr;

	if ((pr = cert_check_found(c, r)) != NULL)
		return admin_fail(c, pr);
	json_open_object(w, NULL);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (store_is_null(r, 0, 0, texts[i].col))
			json_null(w, texts[i].name);
		else
			json_str(w, texts[i].name,
			    store_get_str(r, 0, 0, texts[i].col));
	admin_write_words(w, "names", store_get_str(r, 0, 0, ADMIN_CERT_NAMES),
	    PKI_NAMES_MAX);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		admin_write_time(c->arena, w, times[i].name,
		    store_get_int(r, 0, 0, times[i].col));
	write_revocation(c, w, r);
	write_der(c, w, store_get_str(r, 0, 0, ADMIN_CERT_DER));
	json_close(w);
	return admin_reply(c, 200, w);
}

const struct problem *
cert_check_key(struct admin_call *c)
{
	struct str key = c->req->params[0];

	return key.n <= KEY_MAX && str_is_text(key) ?
	    NULL :
	    admin_none(c, "certificate", key);
}

static enum step
show_start(struct admin_call *c)
{
	const struct problem *pr = cert_check_key(c);

	return pr != NULL ? admin_fail(c, pr) : cert_find(c, show_answer);
}

const struct admin_route admin_cert_route = {
	.http = { .methods = REQ_GET,
	    .path = "/certificates/:id",
	    .name = "admin-cert",
	    .start = admin_start },
	.start = show_start,
};

/* ---- POST /certificates/:id/revoke {"reason": ...} */

struct revocation {
	int64_t reason;
	struct str id, serial;
};

static enum step
revoked(void *arg, const struct problem *pr)
{
	struct admin_call *c = arg;
	struct revocation *rv = c->state;
	struct json_writer *w;

	if (pr != NULL && pr->type == PROBLEM_ALREADY_REVOKED)
		pr = problem_new(c->arena, PROBLEM_WRONG_STATE,
		    "the certificate \"" STR_FMT "\" is revoked already",
		    STR_ARG(rv->id));
	if (pr != NULL && pr->type == PROBLEM_NOT_FOUND)
		pr = admin_none(c, "certificate", rv->id);
	if (pr != NULL)
		return admin_fail(c, pr);
	admin_count("certificate.revoke");
	w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	json_open_object(w, NULL);
	json_str(w, "id", rv->id);
	json_str(w, "serial", rv->serial);
	json_str(w, "status", STR("revoked"));
	json_str(w, "reason", str_from(pki_reason_name(rv->reason)));
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
revoke_found(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct admin *ad = c->admin;
	struct revocation *rv = c->state;
	const struct problem *pr;

	if ((pr = cert_check_found(c, r)) != NULL)
		return admin_fail(c, pr);
	rv->id = str_dup(c->arena, store_get_str(r, 0, 0, ADMIN_CERT_ID));
	rv->serial = str_dup(c->arena,
	    store_get_str(r, 0, 0, ADMIN_CERT_SERIAL));
	return ad->hooks.revoke(ad->hooks.arg, &c->req->task, &rv->id, 1,
	    rv->reason, c->actor, revoked, c);
}

static enum step
revoke_start(struct admin_call *c)
{
	struct revocation *rv = arena_new(c->arena, struct revocation);
	const struct problem *pr;

	c->state = rv;
	if ((pr = cert_check_key(c)) != NULL ||
	    (pr = cert_parse_reason(c, &rv->reason)) != NULL)
		return admin_fail(c, pr);
	return cert_find(c, revoke_found);
}

const struct admin_route admin_cert_revoke_route = {
	.http = { .methods = REQ_POST,
	    .path = "/certificates/:id/revoke",
	    .name = "admin-cert-revoke",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.start = revoke_start,
};
