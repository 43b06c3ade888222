/* SPDX-License-Identifier: ISC */
/* The objects of RFC 8555 as a client reads them, and what it signs. */
#include <stdlib.h>

#include "base/json.h"
#include "load.h"

const char *
acme_read_directory(struct arena *a, struct str text, struct directory *d)
{
	const char *why = NULL;
	const struct json *j = json_parse(a, text, &why);

	if (j == NULL)
		return why;
	d->new_nonce = json_get_str(j, "newNonce");
	d->new_account = json_get_str(j, "newAccount");
	d->new_order = json_get_str(j, "newOrder");
	if (d->new_nonce.p == NULL || d->new_account.p == NULL ||
	    d->new_order.p == NULL)
		return "the directory lacks newNonce, newAccount or newOrder";
	return NULL;
}

const char *
acme_read_order(struct arena *a, struct str text, struct load_order *o)
{
	const char *why = NULL;
	const struct json *j = json_parse(a, text, &why);

	if (j == NULL)
		return why;
	*o = (struct load_order){
		.status = json_get_str(j, "status"),
		.finalize = json_get_str(j, "finalize"),
		.certificate = json_get_str(j, "certificate"),
	};
	if (o->status.p == NULL || o->finalize.p == NULL)
		return "the order lacks status or finalize";
	json_each(url, json_get(j, "authorizations")) {
		if (url->type != JSON_STRING ||
		    o->nauthorizations == LOAD_NAMES_MAX)
			return "the order's authorizations cannot be read";
		o->authorizations[o->nauthorizations++] = url->str;
	}
	return NULL;
}

const char *
acme_read_authz(struct arena *a, struct str text, struct load_authz *z)
{
	const char *why = NULL;
	const struct json *j = json_parse(a, text, &why);

	if (j == NULL)
		return why;
	*z = (struct load_authz){ .status = json_get_str(j, "status") };
	if (z->status.p == NULL)
		return "the authorization lacks status";
	json_each(c, json_get(j, "challenges")) {
		if (str_is(json_get_str(c, "type"), "http-01") ||
		    z->challenge.p == NULL)
			z->challenge = json_get_str(c, "url");
	}
	return NULL;
}

struct str
acme_read_problem(struct arena *a, const struct reply *r, struct str *detail)
{
	const struct str urn = STR("urn:ietf:params:acme:error:");
	const struct json *j = NULL;
	struct str type;

	if (r->content_type.p != NULL &&
	    str_starts(r->content_type, STR("application/problem+json")))
		j = json_parse(a, r->body, NULL);
	type = json_get_str(j, "type");
	*detail = json_get_str(j, "detail");
	if (type.p == NULL)
		return STR_NONE;
	return str_starts(type, urn) ? str_skip(type, urn.n) : type;
}

struct str
acme_sign(struct arena *a, const struct account *account, struct str url,
    struct str nonce, struct str payload)
{
	struct json_writer *w = json_writer_new(a, JWS_PROTECTED_MAX);
	struct str header;

	json_open_object(w, NULL);
	json_str(w, "alg", str_from(jws_alg_name(account->alg)));
	if (account->kid.p != NULL)
		json_str(w, "kid", account->kid);
	else
		json_raw(w, "jwk", account->jwk);
	json_str(w, "nonce", nonce);
	json_str(w, "url", url);
	json_close(w);
	header = json_text(w);
	if (header.p == NULL)
		return STR_NONE;
	return jws_sign(a, header, payload, account->key, account->alg);
}
