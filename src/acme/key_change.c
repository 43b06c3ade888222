/* SPDX-License-Identifier: ISC */
/*
 * Key change, RFC 8555 section 7.3.5.
 *
 *	check	pure: the inner JWS, signed by the new key, names this
 *		account, this URL and the old key
 *	start	one guarded statement replaces the key and raises its version,
 *		so of two at once one wins
 *	owner	whose is the new key, if it has an account already
 *	answer	200 with the account, or 409 with that account's URL
 *
 * The raised version makes every signed statement of the old key find no row,
 * on all replicas, whatever their caches say.
 */
#include "acme/acme_int.h"

#include <openssl/evp.h>

#include "metrics/metrics.h"

struct key_change {
	struct jwk new, old;
};

/* ---- judging */

static const struct problem *
read_inner(struct areq *q, struct jws *inner, struct jwk *new)
{
	const struct problem *pr;

	if ((pr = jws_parse_json(q->arena, q->payload, JWS_KEY_CHANGE,
		 inner)) != NULL ||
	    (pr = jwk_parse(q->arena, inner->jwk, new)) != NULL)
		return pr;
	if (!jws_alg_fits(inner->alg, new->kind))
		return problem_new(q->arena, PROBLEM_BAD_SIGNATURE_ALGORITHM,
		    "the algorithm %s of the inner JWS does not belong to its "
		    "kind of key (%s)",
		    jws_alg_name(inner->alg), jwk_kind_name(new->kind));
	gate_charge(q, inner->alg);
	if (!jws_verify(inner, new->key, new->kind))
		return problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		    "the signature of the inner JWS does not verify under "
		    "the new key");
	if (!str_eq(inner->url, q->jws.url))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the url of the inner JWS (\"" STR_FMT
		    "\") is not that of the outer one",
		    STR_ARG(str_show(q->arena, inner->url, 200)));
	return NULL;
}

static const struct problem *
check_old_key(struct areq *q, const struct json *payload, struct jwk *old)
{
	const struct json *j = json_get(payload, "oldKey");
	const struct problem *pr;

	if (j == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload of the inner JWS lacks \"oldKey\"");
	if ((pr = jwk_parse(q->arena, j, old)) != NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"oldKey\": " STR_FMT, STR_ARG(pr->detail));
	if (EVP_PKEY_cmp(old->key, q->key) != 1)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"oldKey\" is not the key of the account");
	return NULL;
}

static const struct problem *
check_payload(struct areq *q, const struct jws *inner, struct jwk *old)
{
	const struct json *j;
	struct str account;
	const char *why = "it is not an object";

	j = json_parse(q->arena, inner->payload, &why);
	if (j == NULL || j->type != JSON_OBJECT)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload of the inner JWS is no JSON object: %s", why);
	account = json_get_str(j, "account");
	if (account.p == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload of the inner JWS lacks \"account\"");
	if (!str_eq(account, q->jws.kid))
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"account\" in the inner JWS is \"" STR_FMT
		    "\", but the account that signed is \"" STR_FMT "\"",
		    STR_ARG(str_show(q->arena, account, 200)),
		    STR_ARG(q->jws.kid));
	return check_old_key(q, j, old);
}

static const struct problem *
key_change_check(struct areq *q)
{
	struct key_change *kc = arena_new(q->arena, struct key_change);
	struct jws inner;
	const struct problem *pr;

	q->state = kc;
	if ((pr = read_inner(q, &inner, &kc->new)) != NULL ||
	    (pr = check_payload(q, &inner, &kc->old)) != NULL ||
	    (pr = policy_check_strength(q, kc->new.key,
		 PROBLEM_BAD_PUBLIC_KEY)) != NULL)
		return pr;
	redeem_limit(q, LIMIT_KEY_CHANGE, q->account);
	return NULL;
}

/* ---- the new key has an account */

static enum step
fail_conflict(struct areq *q, struct str account)
{
	req_add_header(q->req, "Location",
	    acme_url(q->arena, q->profile, "account", account));
	return acme_fail(q,
	    problem_new(q->arena, PROBLEM_CONFLICT,
		"the new key is the key of an account already"));
}

static enum step
on_owner(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return acme_fail(q,
		    problem_cause(q->arena, PROBLEM_UNAVAILABLE,
			"the account that had the new key has changed its"));
	return fail_conflict(q, store_get_str(r, 0, 0, ACCOUNT_BY_KEY_ID));
}

static enum step
find_owner(struct areq *q)
{
	const struct key_change *kc = q->state;
	struct str thumbprint = jwk_thumbprint(q->arena, &kc->new);
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    thumbprint);

	store_add(b, SQL_ACCOUNT_BY_KEY);
	store_str(b, q->profile->name);
	store_str(b, thumbprint);
	return store_send_batch(b, on_owner, q);
}

/* ---- replacing the key */

static enum step
on_changed(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct account_view v = { .id = q->account };

	if (r->status == STORE_LOST)
		return acme_recheck(q, acme_not_found);
	if (r->status == STORE_CONFLICT)
		return find_owner(q);
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	cache_drop(q->acme->cache, q->profile->name, q->account);
	metrics_add(METRIC_key_changes, 1);
	v.status = store_get_str(r, 0, 0, ACCOUNT_REKEY_STATUS);
	v.contacts = store_get_str(r, 0, 0, ACCOUNT_REKEY_CONTACTS);
	v.tos_agreed = store_get_int(r, 0, 0, ACCOUNT_REKEY_TOS_AGREED);
	v.eab = store_get_str(r, 0, 0, ACCOUNT_REKEY_EAB);
	return account_reply(q, 200, &v);
}

static struct str
write_detail(struct areq *q, const struct key_change *kc)
{
	struct json_writer *w = json_writer_new(q->arena, 1024);

	json_open_object(w, NULL);
	json_str(w, "old", jwk_thumbprint(q->arena, &kc->old));
	json_str(w, "new", jwk_thumbprint(q->arena, &kc->new));
	json_close(w);
	return json_text(w);
}

static enum step
key_change_start(struct areq *q)
{
	const struct key_change *kc = q->state;
	struct batch *b;

	if (EVP_PKEY_cmp(kc->new.key, q->key) == 1)
		return fail_conflict(q, q->account);
	b = store_new_batch(q->acme->store, &q->req->task, q->account);
	store_add(b, SQL_ACCOUNT_REKEY);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	store_str(b, jwk_thumbprint(q->arena, &kc->new));
	store_str(b, kc->new.json);
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){
		.actor = acme_actor(q->arena, q->account),
		.action = "account.key_change",
		.object = q->account,
		.account = q->account,
		.detail = write_detail(q, kc),
	    });
	return store_send_batch(b, on_changed, q);
}

const struct acme_route key_change_route = {
	.http = { .methods = REQ_POST,
	    .path = "/key-change",
	    .name = "key-change",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_OBJECT,
	.check = key_change_check,
	.start = key_change_start,
};
