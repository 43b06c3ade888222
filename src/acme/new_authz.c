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

/* ---- new-authz, RFC 8555 section 7.4.1: before there is an order */

struct alone {
	struct acme_id id;
	struct str authz;
};

static const struct problem *
new_authz_check(struct areq *q)
{
	struct alone *n = arena_new(q->arena, struct alone);
	const struct json *id = json_get(q->payload, "identifier");
	const struct problem *pr;

	q->state = n;
	if (!q->profile->conf->new_authz || is_trusted(q))
		return problem_new(q->arena, PROBLEM_NOT_FOUND,
		    "this profile authorizes names by orders only");
	n->id.type = json_get_str(id, "type");
	n->id.value = json_get_str(id, "value");
	if (n->id.type.p == NULL || n->id.value.p == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the \"identifier\" must have a \"type\" and a "
		    "\"value\", both strings");
	n->id.value = str_lower(q->arena, n->id.value);
	if (is_wildcard(&n->id))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "wildcards can only be authorized by an order");
	if ((pr = policy_check_id(q->arena, q->profile, &n->id)) != NULL)
		return pr;
	n->authz = id_new(q->arena);
	redeem_limit(q, LIMIT_NEW_ORDER, q->account);
	return NULL;
}

/* Statements: the row, the audit row, and how it reads. */
enum { MADE, AUDITED, GOT };

static enum step
on_made(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct alone *n = q->state;
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);

	if (r->status == STORE_LOST)
		return acme_recheck(q, acme_not_found);
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	authz_write(w, q, r, GOT);
	req_add_header(q->req, "Location",
	    acme_url(q->arena, q->profile, "authz", n->authz));
	return acme_reply(q, 201, w);
}

static enum step
new_authz_start(struct areq *q)
{
	const struct alone *n = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b, SQL_AUTHZ_INSERT_ALONE);
	store_str(b, n->authz);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_str(b, n->id.type);
	store_str(b, n->id.value);
	store_int(b, q->profile->conf->order_lifetime);
	store_str(b, write_challenges(q, &n->id));
	store_int(b, q->key_version);
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){
		.actor = acme_actor(q->arena, q->account),
		.action = "authz.create",
		.object = n->authz,
		.account = q->account,
	    });
	q->object = n->authz;
	(void)authz_add_get(q, b);
	return store_send_batch(b, on_made, q);
}

const struct acme_route new_authz_route = {
	.http = { .methods = REQ_POST,
	    .path = "/new-authz",
	    .name = "new-authz",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_OBJECT,
	.check = new_authz_check,
	.start = new_authz_start,
};
