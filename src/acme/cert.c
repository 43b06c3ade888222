/* SPDX-License-Identifier: ISC */
/*
 * Certificate download, RFC 8555 section 7.4.2, by the chain that was stored
 * with it or by the other one that its issuer has; and the chain of its issuer,
 * to which Link: rel="up" points (section 7.1).
 */
#include "acme/acme_int.h"

#include "base/hex.h"

#define CHAIN_TYPE "application/pem-certificate-chain"

/* The issuer's other chain, if it has one for this chain. */
static struct str
find_alternate(struct areq *q, const struct store_result *r)
{
	const struct acme_options *o = &q->acme->options;
	const struct issuer *issuer = o->find_issuer(o->issuers,
	    str_cstr(q->arena, store_get_str(r, 0, 0, CERT_GET_ISSUER)));

	if (issuer == NULL)
		return STR_NONE;
	return issuer_local_alternate(issuer,
	    store_get_str(r, 0, 0, CERT_GET_CHAIN));
}

/* Each chain links to the other. */
static void
link_alternate(struct areq *q, const char *path)
{
	req_add_header(q->req, "Link",
	    str_printf(q->arena, "<" STR_FMT ">;rel=\"alternate\"",
		STR_ARG(acme_url(q->arena, q->profile, path, q->object))));
}

static enum step
alternate_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct str alternate;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	alternate = find_alternate(q, r);
	if (alternate.n == 0)
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_NOT_FOUND,
			"there is no other chain for this certificate"));
	link_alternate(q, "cert");
	return req_reply(q->req, 200, CHAIN_TYPE,
	    str_join(q->arena,
		pki_write_pem(q->arena, "CERTIFICATE",
		    store_get_str(r, 0, 0, CERT_GET_DER)),
		alternate));
}

static enum step
cert_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct str leaf, chain;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_recheck(q, acme_not_found);
	leaf = pki_write_pem(q->arena, "CERTIFICATE",
	    store_get_str(r, 0, 0, CERT_GET_DER));
	chain = store_get_str(r, 0, 0, CERT_GET_PEM);
	req_add_header(q->req, "Link",
	    str_printf(q->arena, "<" STR_FMT ">;rel=\"up\"",
		STR_ARG(acme_url(q->arena, q->profile, "chain",
		    store_get_str(r, 0, 0, CERT_GET_CHAIN)))));
	if (find_alternate(q, r).n > 0)
		link_alternate(q, "alternate");
	return req_reply(q->req, 200, CHAIN_TYPE,
	    str_join(q->arena, leaf, chain));
}

static enum step
send_get(struct areq *q, store_fn *fn)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_CERT_GET);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	return store_send_batch(b, fn, q);
}

static enum step
cert_start(struct areq *q)
{
	return send_get(q, cert_answer);
}

static enum step
alternate_start(struct areq *q)
{
	return send_get(q, alternate_answer);
}

const struct acme_route cert_route = {
	.http = { .methods = REQ_POST,
	    .path = "/cert/:id",
	    .name = "cert",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EMPTY,
	.start = cert_start,
};

const struct acme_route alternate_route = {
	.http = { .methods = REQ_POST,
	    .path = "/alternate/:id",
	    .name = "alternate",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EMPTY,
	.start = alternate_start,
};

static enum step
chain_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_NOT_FOUND,
			"there is no such chain"));
	return req_reply(q->req, 200, CHAIN_TYPE,
	    store_get_str(r, 0, 0, CHAIN_GET_PEM));
}

/*
 * Chains are public: whoever meets a certificate may ask who signed it. An
 * ACME client that follows the link asks by POST-as-GET (section 6.3).
 */
static enum step
chain_start(struct areq *q)
{
	struct str id = q->req->params[q->req->params[1].n > 0 ? 1 : 0], raw;
	struct batch *b;

	if (id.n != 64 || !hex_decode(q->arena, id, &raw))
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_NOT_FOUND,
			"there is no such chain"));
	b = store_new_batch(q->acme->store, &q->req->task, id);
	store_add(b, SQL_CHAIN_GET);
	store_str(b, id);
	return store_send_batch(b, chain_answer, q);
}

const struct acme_route chain_route = {
	.http = { .methods = REQ_GET | REQ_HEAD | REQ_POST,
	    .path = "/chain/:chain",
	    .name = "chain",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_POST,
	.payload = PAYLOAD_EMPTY,
	.start = chain_start,
};
