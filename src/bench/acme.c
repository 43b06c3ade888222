/* SPDX-License-Identifier: ISC */
/* The objects of RFC 8555 as a client reads them, and what it signs. */
#include <stdlib.h>

#include "base/json.h"
#include "base/when.h"
#include "bench/bench.h"

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
	d->renewal_info = json_get_str(j, "renewalInfo");
	if (d->new_nonce.p == NULL || d->new_account.p == NULL ||
	    d->new_order.p == NULL)
		return "the directory lacks newNonce, newAccount or newOrder";
	return NULL;
}

const char *
acme_read_order(struct arena *a, struct str text, struct acme_order *o)
{
	const char *why = NULL;
	const struct json *j = json_parse(a, text, &why);

	if (j == NULL)
		return why;
	*o = (struct acme_order){
		.status = json_get_str(j, "status"),
		.finalize = json_get_str(j, "finalize"),
		.certificate = json_get_str(j, "certificate"),
	};
	if (o->status.p == NULL || o->finalize.p == NULL)
		return "the order lacks status or finalize";
	json_each(url, json_get(j, "authorizations")) {
		if (url->type != JSON_STRING ||
		    o->nauthorizations == BENCH_NAMES_MAX)
			return "the order's authorizations cannot be read";
		o->authorizations[o->nauthorizations++] = url->str;
	}
	return NULL;
}

const char *
acme_read_authz(struct arena *a, struct str text, struct acme_authz *z)
{
	const char *why = NULL;
	const struct json *j = json_parse(a, text, &why);

	if (j == NULL)
		return why;
	*z = (struct acme_authz){ .status = json_get_str(j, "status") };
	if (z->status.p == NULL)
		return "the authorization lacks status";
	json_each(c, json_get(j, "challenges")) {
		if (str_is(json_get_str(c, "type"), "http-01") ||
		    z->challenge.p == NULL) {
			z->challenge = json_get_str(c, "url");
			z->token = json_get_str(c, "token");
		}
	}
	return NULL;
}

/* RFC 9773 section 4.2 */
const char *
acme_check_renewal(struct arena *a, struct str text)
{
	const char *why = NULL;
	const struct json *j = json_parse(a, text, &why), *window;
	int64_t start, end;

	if (j == NULL)
		return why;
	window = json_get(j, "suggestedWindow");
	if (!when_parse_rfc3339(json_get_str(window, "start"), &start) ||
	    !when_parse_rfc3339(json_get_str(window, "end"), &end))
		return "the renewal information lacks a window";
	return start < end ? NULL : "the window ends before it begins";
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

static struct str
write_binding(struct arena *a, const struct account *account, struct str url,
    const struct binding *b)
{
	struct json_writer *w = json_writer_new(a, JWS_PROTECTED_MAX);
	struct str header;

	json_open_object(w, NULL);
	json_str(w, "alg", str_from(jws_alg_name(JWS_HS256)));
	json_str(w, "kid", b->kid);
	json_str(w, "url", url);
	json_close(w);
	header = json_text(w);
	if (header.p == NULL)
		return STR_NONE;
	return jws_sign_mac(a, header, account->jwk, b->key, JWS_HS256);
}

struct str
acme_write_account(struct arena *a, const struct account *account,
    struct str url, const struct binding *b)
{
	struct json_writer *w = json_writer_new(a, 2 * JWS_PROTECTED_MAX);

	json_open_object(w, NULL);
	json_bool(w, "termsOfServiceAgreed", true);
	if (b->kid.p != NULL)
		json_raw(w, "externalAccountBinding",
		    write_binding(a, account, url, b));
	json_close(w);
	return json_text(w);
}
