/* SPDX-License-Identifier: ISC */
/*
 * Orders that replace a certificate, RFC 9773 section 5. The certificate is
 * one of the same account and shares a name with the order; that it is not
 * replaced already is for a unique index of the store to say.
 */
#include "acme/acme_int.h"

#include "base/b64url.h"
#include "base/hex.h"

/* The one spelling of the identifier: the contents of a DER INTEGER. */
static struct str
spell(struct arena *a, struct str aki, struct str serial)
{
	struct str raw;

	if (!hex_decode(a, serial, &raw))
		return STR_NONE;
	if (raw.n > 0 && ((uint8_t)raw.p[0] & 0x80) != 0)
		raw = str_join(a, str_make("\0", 1), raw);
	return str_join(a, b64url_encode(a, aki), STR("."),
	    b64url_encode(a, raw));
}

const struct problem *
replaces_parse(struct areq *q, struct replaces *out)
{
	const struct json *j = json_get(q->payload, "replaces");

	if (j == NULL || j->type == JSON_NULL)
		return NULL;
	if (j->type != JSON_STRING ||
	    !pki_parse_cert_id(q->arena, j->str, &out->aki, &out->serial))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"replaces\" must be the identifier of a certificate "
		    "(RFC 9773 section 4.1)");
	out->id = spell(q->arena, out->aki, out->serial);
	out->given = true;
	return NULL;
}

void
replaces_load(struct areq *q, const struct replaces *rp, struct batch *b)
{
	store_add(b, SQL_REPLACES_FIND);
	store_str(b, rp->serial);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_add(b, SQL_REPLACES_RELEASE);
	store_str(b, rp->id);
}

static bool
has_name(const struct pki_cert *c, const struct acme_id *id)
{
	struct addr addr;

	for (size_t i = 0; i < c->names.ndns; i++)
		if (str_is(id->type, "dns") &&
		    str_eq(c->names.dns[i], id->value))
			return true;
	if (!str_is(id->type, "ip") || !addr_parse(id->value, &addr))
		return false;
	for (size_t i = 0; i < c->names.nips; i++)
		if (addr_eq(c->names.ips[i], addr))
			return true;
	return false;
}

/* Of the rows with this serial, the one that this key has signed. */
static bool
find_cert(struct areq *q, const struct replaces *rp,
    const struct store_result *r, struct pki_cert *cert)
{
	for (size_t i = 0; i < store_nrows(r, 0); i++)
		if (pki_parse_cert(q->arena,
			str_dup(q->arena,
			    store_get_str(r, 0, i, REPLACES_FIND_DER)),
			cert) == NULL &&
		    str_eq(cert->aki, rp->aki))
			return true;
	return false;
}

const struct problem *
replaces_check(struct areq *q, const struct replaces *rp,
    const struct store_result *r, const struct acme_id *ids, size_t nids)
{
	struct pki_cert cert;

	if (!find_cert(q, rp, r, &cert))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"replaces\": this account has no such certificate");
	for (size_t i = 0; i < nids; i++)
		if (has_name(&cert, &ids[i]))
			return NULL;
	return problem_new(q->arena, PROBLEM_MALFORMED,
	    "\"replaces\": the order has no name of that certificate");
}

const struct problem *
replaces_conflict(struct areq *q)
{
	return problem_new(q->arena, PROBLEM_ALREADY_REPLACED,
	    "another order replaces that certificate already");
}
