/* SPDX-License-Identifier: ISC */
/*
 * External account binding, RFC 8555 section 7.3.4: the rules that need no
 * I/O, and the MAC once its key is at hand. Keys lie sealed in the store;
 * operators make them (admin/eab.c).
 */
#include "acme/acme_int.h"

#include "base/id.h"

static const struct seal_place place_of_keys = {
	.table = { "eab_keys", 8 },
	.column = { "sealed", 6 },
};

/* The member as it is shown again: the same three texts. */
static struct str
write_same(struct arena *a, const struct json *j)
{
	static const char *const members[] = { "protected", "payload",
		"signature" };
	struct json_writer *w = json_writer_new(a, ACME_BODY_MAX);

	json_open_object(w, NULL);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_str(w, members[i], json_get_str(j, members[i]));
	json_close(w);
	return json_text(w);
}

static const struct problem *
check_payload(struct areq *q, const struct jws *jws)
{
	struct jwk jwk;

	if (jwk_parse_text(q->arena, jws->payload, &jwk) != NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload of the external account binding must be the "
		    "account's public key as a JWK");
	if (memcmp(jwk.thumbprint, q->jwk.thumbprint, sizeof(jwk.thumbprint)) !=
	    0)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload of the external account binding is another "
		    "key than the one that signed the request");
	return NULL;
}

const struct problem *
eab_parse(struct areq *q, struct eab *out)
{
	const struct json *j = json_get(q->payload, "externalAccountBinding");
	const struct problem *pr;

	if (j == NULL || j->type == JSON_NULL)
		return NULL;
	if ((pr = jws_parse_json(q->arena, j, JWS_BINDING, &out->jws)) != NULL)
		return pr;
	if (!str_eq(out->jws.url, q->jws.url))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the url of the external account binding (\"" STR_FMT
		    "\") is not that of the request",
		    STR_ARG(str_show(q->arena, out->jws.url, 200)));
	if ((pr = check_payload(q, &out->jws)) != NULL)
		return pr;
	out->text = write_same(q->arena, j);
	if (out->text.p == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the external account binding is too large");
	out->given = true;
	return NULL;
}

/* The same whether the key is unknown, another profile's, or not the one. */
static const struct problem *
no_binding(struct areq *q, const struct eab *e)
{
	return problem_new(q->arena, PROBLEM_UNAUTHORIZED,
	    "the external account binding does not verify under a key "
	    "\"" STR_FMT "\" of this profile",
	    STR_ARG(str_show(q->arena, e->jws.kid, 64)));
}

bool
eab_load(struct areq *q, const struct eab *e, struct batch *b)
{
	if (!id_is_valid(e->jws.kid))
		return false;
	store_add(b, SQL_EAB_GET);
	store_str(b, e->jws.kid);
	store_str(b, q->profile->name);
	return true;
}

const struct problem *
eab_verify(struct areq *q, struct eab *e, const struct store_result *r,
    unsigned st)
{
	struct seal_place place = place_of_keys;
	struct str key;

	if (r == NULL || store_nrows(r, st) == 0)
		return no_binding(q, e);
	place.row = e->jws.kid;
	switch (seal_open_secret(q->arena, q->acme->options.ring, &place,
	    store_get_str(r, st, 0, EAB_GET_SEALED), &key)) {
	case SEAL_OK:
		break;
	case SEAL_BAD:
	case SEAL_NO_KEY:
	case SEAL_VERSION:
		return problem_cause(q->arena, PROBLEM_SERVER,
		    "the key of an external account binding cannot be opened: "
		    "it is sealed under another key than the one in seal_key");
	}
	if (!jws_verify_mac(&e->jws, key))
		return no_binding(q, e);
	e->allowed = str_dup(q->arena,
	    store_get_str(r, st, 0, EAB_GET_ALLOWED));
	return NULL;
}

void
eab_use(struct areq *q, const struct eab *e, struct str account,
    struct batch *b)
{
	store_add(b, SQL_EAB_USE);
	store_str(b, e->jws.kid);
	store_str(b, q->profile->name);
	store_str(b, account);
	store_require(b);
}
