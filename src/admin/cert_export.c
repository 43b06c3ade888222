/* SPDX-License-Identifier: ISC */
/*
 * GET /certificates/:id/export: one certificate with its chain, in PEM.
 *
 *	limit	so many an hour for each operator
 *	find	by id or serial
 *	write	the chain, and the audit row
 */
#include "admin/admin_int.h"

#include "pki/cert.h"
#include "ratelimit/ratelimit.h"

struct export
{
	struct str id, serial, pem;
};

static enum step on_found(void *, const struct store_result *);
static enum step on_written(void *, const struct store_result *);

static enum step
on_taken(void *arg, const struct ratelimit_result *r)
{
	struct admin_call *c = arg;
	const struct problem *pr = ratelimit_problem(c->arena, r);

	return pr != NULL ? admin_fail(c, pr) : cert_find(c, on_found);
}

static enum step
start(struct admin_call *c)
{
	struct take t = { .limit = LIMIT_EXPORT, .key = c->actor };
	const struct problem *pr;

	c->state = arena_new(c->arena, struct export);
	if ((pr = cert_check_key(c)) != NULL)
		return admin_fail(c, pr);
	return ratelimit_take(c->admin->limits, &c->req->task, &t, 1, NULL,
	    on_taken, c);
}

static enum step
on_found(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct export *e = c->state;
	const struct problem *pr;
	struct batch *b;

	if ((pr = cert_check_found(c, r)) != NULL)
		return admin_fail(c, pr);
	e->id = str_dup(c->arena, store_get_str(r, 0, 0, ADMIN_CERT_ID));
	e->serial = str_dup(c->arena,
	    store_get_str(r, 0, 0, ADMIN_CERT_SERIAL));
	e->pem = pki_write_pem(c->arena, "CERTIFICATE",
	    store_get_str(r, 0, 0, ADMIN_CERT_DER));
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, SQL_CHAIN_GET);
	store_str(b, store_get_str(r, 0, 0, ADMIN_CERT_CHAIN));
	admin_audit(c, b,
	    &(struct admin_change){ .action = "certificate.export",
		.object = e->id,
		.order = store_get_str(r, 0, 0, ADMIN_CERT_ORDER_ID),
		.account = store_get_str(r, 0, 0, ADMIN_CERT_ACCOUNT),
		.serial = e->serial });
	return store_send_batch(b, on_written, c);
}

/* An orphan may have no chain. */
static enum step
on_written(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	const struct export *e = c->state;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	admin_count("certificate.export");
	json_open_object(w, NULL);
	json_str(w, "id", e->id);
	json_str(w, "serial", e->serial);
	json_str(w, "certificate", e->pem);
	json_str(w, "chain",
	    store_nrows(r, 0) > 0 ? store_get_str(r, 0, 0, CHAIN_GET_PEM) :
				    STR(""));
	json_close(w);
	return admin_reply(c, 200, w);
}

const struct admin_route admin_cert_export_route = {
	.http = { .methods = REQ_GET,
	    .path = "/certificates/:id/export",
	    .name = "admin-cert-export",
	    .start = admin_start },
	.start = start,
};
