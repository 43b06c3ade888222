/* SPDX-License-Identifier: ISC */
/*
 * The directory (RFC 8555 section 7.1.1) and new-nonce (section 7.2), by GET
 * and by POST-as-GET (section 6.3). Anybody may have either, so a POST is
 * judged by the gate alone: an account that another replica has deactivated
 * in the last minute may still read them.
 */
#include "acme/acme_int.h"

static void
write_meta(struct json_writer *w, const struct acme_setup *s,
    const struct acme_profile *p)
{
	const struct conf *c = s->conf;

	json_open_object(w, "meta");
	if (c->terms_of_service.text.p != NULL)
		json_str(w, "termsOfService", c->terms_of_service.text);
	if (c->website.text.p != NULL)
		json_str(w, "website", c->website.text);
	if (c->caa_identities.n > 0) {
		json_open_array(w, "caaIdentities");
		for (size_t i = 0; i < c->caa_identities.n; i++)
			json_str(w, NULL, c->caa_identities.v[i]);
		json_close(w);
	}
	json_bool(w, "externalAccountRequired", p->conf->eab_required);
	/* draft-ietf-acme-profiles: the one behind this directory */
	json_open_object(w, "profiles");
	json_str(w, p->name.p,
	    p->conf->description.n > 0 ? p->conf->description : p->name);
	json_close(w);
	json_close(w);
}

struct str
directory_write(struct arena *a, const struct acme_setup *s,
    const struct acme_profile *p)
{
	static const struct {
		const char *member, *path;
	} resources[] = {
		{ "newNonce", "/new-nonce" },
		{ "newAccount", "/new-account" },
		{ "newOrder", "/new-order" },
		{ "revokeCert", "/revoke-cert" },
		{ "keyChange", "/key-change" },
		{ "renewalInfo", "/renewal-info" },
	};
	struct json_writer *w = json_writer_new(a, ACME_REPLY_MAX);

	json_open_object(w, NULL);
	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
		json_str(w, resources[i].member,
		    str_printf(a, STR_FMT "%s", STR_ARG(p->base),
			resources[i].path));
	if (p->conf->new_authz && p->conf->auth_mode == CONF_AUTH_CHALLENGE)
		json_str(w, "newAuthz",
		    str_join(a, p->base, STR("/new-authz")));
	write_meta(w, s, p);
	json_close(w);
	return json_text(w);
}

static enum step
directory_start(struct areq *q)
{
	return req_reply(q->req, 200, "application/json",
	    q->profile->directory);
}

/* HEAD 200, the others 204. */
static enum step
new_nonce_start(struct areq *q)
{
	return req_reply(q->req, q->req->method == REQ_HEAD ? 200 : 204, NULL,
	    STR(""));
}

const struct acme_route directory_route = {
	.http = { .methods = REQ_GET | REQ_HEAD | REQ_POST,
	    .path = "/directory",
	    .name = "directory",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_POST,
	.payload = PAYLOAD_EMPTY,
	.start = directory_start,
};

const struct acme_route new_nonce_route = {
	.http = { .methods = REQ_GET | REQ_HEAD | REQ_POST,
	    .path = "/new-nonce",
	    .name = "new-nonce",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_POST,
	.payload = PAYLOAD_EMPTY,
	.start = new_nonce_start,
};
