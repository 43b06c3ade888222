/* SPDX-License-Identifier: ISC */
/*
 * Making authorizations, RFC 8555 sections 7.1.4 and 8. Where accounts are
 * trusted one is valid from birth, by a challenge that nobody has to meet;
 * elsewhere it is pending, with a token for each challenge that would do.
 */
#include "acme/acme_int.h"

#include "base/b64url.h"
#include "base/id.h"

enum { TOKEN = 24 /* bytes; RFC 8555 8.1 asks for 16 */ };

static bool
is_wildcard(const struct acme_id *id)
{
	return str_starts(id->value, STR("*."));
}

/* RFC 8555 8.4: wildcards only by DNS; RFC 8738 7: addresses not by DNS. */
unsigned
authz_challenges(const struct acme_profile *p, const struct acme_id *id)
{
	unsigned all = p->conf->challenges;

	if (str_is(id->type, "ip"))
		return all & ~(unsigned)CONF_DNS_01;
	return is_wildcard(id) ? all & CONF_DNS_01 : all;
}

static bool
is_trusted(const struct areq *q)
{
	return q->profile->conf->auth_mode == CONF_AUTH_TRUST;
}

static void
write_one(struct json_writer *w, struct arena *a, struct str type)
{
	uint8_t token[TOKEN];

	id_random(token, sizeof(token));
	json_open_object(w, NULL);
	json_str(w, "type", type);
	json_str(w, "token", b64url_encode(a, str_make(token, sizeof(token))));
	json_close(w);
}

static struct str
trusted_type(const struct acme_id *id)
{
	return is_wildcard(id) ? STR("dns-01") : STR("http-01");
}

static struct str
write_challenges(struct areq *q, const struct acme_id *id)
{
	static const struct {
		unsigned bit;
		enum validate_type type;
	} kinds[] = {
		{ CONF_HTTP_01, VALIDATE_HTTP_01 },
		{ CONF_DNS_01, VALIDATE_DNS_01 },
		{ CONF_TLS_ALPN_01, VALIDATE_TLS_ALPN_01 },
	};
	struct json_writer *w = json_writer_new(q->arena, 1024);
	unsigned bits = authz_challenges(q->profile, id);

	json_open_array(w, NULL);
	if (is_trusted(q))
		write_one(w, q->arena, trusted_type(id));
	else
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if ((bits & kinds[i].bit) != 0)
				write_one(w, q->arena,
				    str_from(
					validate_type_name(kinds[i].type)));
	json_close(w);
	return json_text(w);
}

void
authz_insert(struct areq *q, struct batch *b, struct str order,
    const struct acme_id *id, struct str authz)
{
	const struct conf_profile *conf = q->profile->conf;
	bool trusted = is_trusted(q);

	store_add(b, SQL_AUTHZ_INSERT);
	store_str(b, authz);
	store_str(b, order);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_str(b, id->type);
	store_str(b, is_wildcard(id) ? str_skip(id->value, 2) : id->value);
	store_int(b, is_wildcard(id));
	store_str(b, trusted ? STR("valid") : STR("pending"));
	store_int(b, trusted ? conf->authz_lifetime : conf->order_lifetime);
	store_str(b, write_challenges(q, id));
	store_str(b, trusted ? trusted_type(id) : STR_NONE);
}
