/* SPDX-License-Identifier: ISC */
/*
 * The gate: what every signed POST passes, cheap checks first (RFC 8555
 * sections 6.2 to 6.5). It owns every JWS rule.
 *
 *	parse		content type, JWS, url, algorithm
 *	nonce opens	ours and in date, at no cost
 *	admission	has the address used its share of processor time?
 *	account		by kid, from the cache or the store; or the key itself
 *	signature
 *	payload, check	pure
 *	nonce redeemed	also if one of the last five failed
 *	start		the handler
 */
#include "acme/acme_int.h"

#include <openssl/evp.h>

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

static enum step gate_key(struct areq *);
static enum step gate_account(struct areq *);
static enum step on_account(void *, const struct store_result *);
static enum step on_account_anew(void *, const struct store_result *);
static enum step gate_verified(struct areq *);
static enum step gate_judge(struct areq *);

/* Every problem past the opened nonce uses the nonce up. */
static enum step
refuse(struct areq *q, const struct problem *pr)
{
	q->refusal = pr;
	return redeem_start(q);
}

static const struct problem *
check_content_type(struct areq *q)
{
	struct str type = req_header(q->req, "content-type");

	type = str_trim(str_cut(&type, ';'));
	if (str_case_eq(type, STR("application/jose+json")))
		return NULL;
	return problem_new(q->arena, PROBLEM_MEDIA_TYPE,
	    "the content type must be application/jose+json, not \"" STR_FMT
	    "\"",
	    STR_ARG(type));
}

/* RFC 8555 section 6.4: the url as the client was to ask for it. */
static const struct problem *
check_url(struct areq *q)
{
	struct str want = str_printf(q->arena, STR_FMT STR_FMT "%s" STR_FMT,
	    STR_ARG(q->setup->public_url), STR_ARG(q->req->path),
	    q->req->query.n > 0 ? "?" : "", STR_ARG(q->req->query));

	if (str_eq(want, q->jws.url))
		return NULL;
	return problem_new(q->arena, PROBLEM_UNAUTHORIZED,
	    "the url in the protected header is \"" STR_FMT
	    "\", but the request came for \"" STR_FMT "\"",
	    STR_ARG(q->jws.url), STR_ARG(want));
}

static const struct problem *
check_key_member(struct areq *q)
{
	if (q->route->auth == AUTH_JWK && q->jws.jwk == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "this request must be signed with a \"jwk\", not a "
		    "\"kid\"");
	if ((q->route->auth == AUTH_ACCOUNT || q->route->auth == AUTH_POST) &&
	    q->jws.kid.p == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "this request must be signed with a \"kid\", not a "
		    "\"jwk\"");
	return NULL;
}

static const struct problem *
check_nonce(struct areq *q)
{
	if (nonce_open(q->acme->nonces, q->arena, q->jws.nonce,
		loop_wall(q->acme->loop), &q->nonce))
		return NULL;
	metrics_add(METRIC_nonces_refused, 1);
	return problem_new(q->arena, PROBLEM_BAD_NONCE,
	    "the nonce is not one of this server, or too old");
}

static const struct problem *
too_much(struct areq *q, int64_t wait, const char *what)
{
	unsigned seconds = (unsigned)((wait + WHEN_SECOND - 1) / WHEN_SECOND);
	struct problem *pr = problem_new(q->arena, PROBLEM_RATE_LIMITED,
	    "%s; try again in %u s", what, seconds);

	pr->retry_after = seconds;
	return pr;
}

static const struct problem *
check_admission(struct areq *q)
{
	int64_t wait = admission_sign(q->acme->admission, q->req->peer,
	    admission_cost(q->jws.alg), loop_mono(q->acme->loop));

	if (wait == 0)
		return NULL;
	metrics_add(METRIC_admission_refused, 1);
	return too_much(q, wait,
	    "this address has used its share of the time for signatures, and "
	    "others ask too");
}

void
gate_charge(struct areq *q, enum jws_alg alg)
{
	admission_charge(q->acme->admission, q->req->peer, admission_cost(alg),
	    loop_mono(q->acme->loop));
}

int64_t
acme_guard(struct acme *acme, struct addr peer)
{
	int64_t wait = admission_request(acme->admission, peer,
	    loop_mono(acme->loop));

	if (wait > 0)
		metrics_add(METRIC_unsigned_refused, 1);
	return wait;
}

enum step
gate_unsigned(struct areq *q)
{
	int64_t wait = acme_guard(q->acme, q->req->peer);

	if (wait == 0)
		return q->route->start(q);
	return acme_fail(q, too_much(q, wait, "too many requests"));
}

enum step
gate_start(struct areq *q)
{
	const struct problem *pr;

	if ((pr = check_content_type(q)) != NULL ||
	    (pr = jws_parse(q->arena, q->req->body, JWS_REQUEST, &q->jws)) !=
		NULL ||
	    (pr = check_url(q)) != NULL || (pr = check_key_member(q)) != NULL ||
	    (pr = check_nonce(q)) != NULL)
		return acme_fail(q, pr);
	if ((pr = check_admission(q)) != NULL)
		return refuse(q, pr);
	return q->jws.jwk != NULL ? gate_key(q) : gate_account(q);
}

static const struct problem *
bad_signature(struct areq *q)
{
	return problem_new(q->arena, PROBLEM_UNAUTHORIZED,
	    "the signature does not verify");
}

static const struct problem *
bad_fit(struct areq *q, enum jwk_kind kind)
{
	static const struct str names[] = {
		[JWK_RSA] = { "RS256", 5 },
		[JWK_P256] = { "ES256", 5 },
		[JWK_P384] = { "ES384", 5 },
		[JWK_P521] = { "ES512", 5 },
		[JWK_ED25519] = { "EdDSA", 5 },
	};
	struct problem *pr = problem_new(q->arena,
	    PROBLEM_BAD_SIGNATURE_ALGORITHM,
	    "the algorithm %s does not belong to this kind of key (%s)",
	    jws_alg_name(q->jws.alg), jwk_kind_name(kind));

	pr->algorithms = &names[kind];
	pr->nalgorithms = 1;
	return pr;
}

/* Signed by the key in the request itself. */
static enum step
gate_key(struct areq *q)
{
	const struct problem *pr;

	if ((pr = jwk_parse(q->arena, q->jws.jwk, &q->jwk)) != NULL)
		return refuse(q, pr);
	q->key = q->jwk.key;
	q->kind = q->jwk.kind;
	return gate_verified(q);
}

/* kid is exactly BASE/account/ID of this profile, canonical form only. */
static bool
parse_kid(struct areq *q)
{
	struct str prefix = acme_url(q->arena, q->profile, "account", STR(""));

	if (!str_starts(q->jws.kid, prefix))
		return false;
	q->account = str_skip(q->jws.kid, prefix.n);
	return id_is_valid(q->account);
}

static enum step
load_account(struct areq *q, store_fn *fn)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	q->cached = false;
	store_add(b, SQL_ACCOUNT_GET);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	return store_send_batch(b, fn, q);
}

static void
drop_key(void *key)
{
	EVP_PKEY_free(key);
}

static enum step
gate_account(struct areq *q)
{
	const struct cached_account *known;

	if (!parse_kid(q))
		return refuse(q,
		    problem_new(q->arena, PROBLEM_ACCOUNT_DOES_NOT_EXIST,
			"\"" STR_FMT "\" is not the URL of an account here",
			STR_ARG(q->jws.kid)));
	known = cache_get(q->acme->cache, q->profile->name, q->account,
	    loop_mono(q->acme->loop));
	if (known == NULL)
		return load_account(q, on_account);
	q->cached = true;
	q->key = known->key;
	q->kind = known->kind;
	q->key_version = known->key_version;
	q->allowed = str_dup(q->arena, known->allowed);
	q->limits = str_dup(q->arena, known->limits);
	EVP_PKEY_up_ref(q->key); /* the cache may drop it meanwhile */
	arena_defer(q->arena, drop_key, q->key);
	return gate_verified(q);
}

/* What the row says; NULL if the account may act. */
static const struct problem *
read_account(struct areq *q, const struct store_result *r)
{
	struct jwk jwk;

	if (r->status != STORE_OK) /* its nonce is used up first */
		return problem_keep(q->arena, r->problem);
	if (store_nrows(r, 0) == 0)
		return problem_new(q->arena, PROBLEM_ACCOUNT_DOES_NOT_EXIST,
		    "there is no account " STR_FMT, STR_ARG(q->jws.kid));
	if (!str_is(store_get_str(r, 0, 0, ACCOUNT_GET_STATUS), "valid"))
		return problem_new(q->arena, PROBLEM_DEACTIVATED,
		    "the account is " STR_FMT,
		    STR_ARG(store_get_str(r, 0, 0, ACCOUNT_GET_STATUS)));
	if (jwk_parse_text(q->arena, store_get_str(r, 0, 0, ACCOUNT_GET_JWK),
		&jwk) != NULL)
		return problem_cause(q->arena, PROBLEM_SERVER,
		    "the stored key of an account is broken");
	q->key = jwk.key;
	q->kind = jwk.kind;
	q->key_version = store_get_int(r, 0, 0, ACCOUNT_GET_KEY_VERSION);
	q->allowed = str_dup(q->arena,
	    store_get_str(r, 0, 0, ACCOUNT_GET_ALLOWED));
	q->limits = str_dup(q->arena,
	    store_get_str(r, 0, 0, ACCOUNT_GET_LIMITS));
	cache_put(q->acme->cache,
	    &(struct cached_account){ .id = q->account,
		.profile = q->profile->name,
		.key = q->key,
		.kind = q->kind,
		.key_version = q->key_version,
		.allowed = q->allowed,
		.limits = q->limits },
	    loop_mono(q->acme->loop));
	return NULL;
}

static enum step
on_account(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct problem *pr = read_account(q, r);

	if (pr != NULL)
		return refuse(q, pr);
	return gate_verified(q);
}

static const struct problem *
check_signature(struct areq *q)
{
	if (!jws_alg_fits(q->jws.alg, q->kind))
		return bad_fit(q, q->kind);
	metrics_child_add(metrics_child(FAMILY_signatures,
			      jws_alg_name(q->jws.alg)),
	    1);
	q->verified = jws_verify(&q->jws, q->key, q->kind);
	return q->verified ? NULL : bad_signature(q);
}

/*
 * Not by the key that the cache has. The account may have another one since,
 * by way of another process: only the store can say so. Whoever has no key at
 * all costs no more by this than by an account that does not exist.
 */
static enum step
on_account_anew(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	int64_t before = q->key_version;
	const struct problem *pr = read_account(q, r);

	if (pr == NULL && q->key_version != before)
		pr = check_signature(q);
	else if (pr == NULL)
		pr = jws_alg_fits(q->jws.alg, q->kind) ? bad_signature(q) :
							 bad_fit(q, q->kind);
	return pr != NULL ? refuse(q, pr) : gate_judge(q);
}

/* RFC 8555 section 6.3: an empty payload is POST-as-GET. */
static const struct problem *
parse_payload(struct areq *q)
{
	const char *why;

	if (q->jws.payload.n == 0) {
		if (q->route->payload == PAYLOAD_OBJECT)
			return problem_new(q->arena, PROBLEM_MALFORMED,
			    "the payload must be a JSON object");
		return NULL;
	}
	if (q->route->payload == PAYLOAD_EMPTY)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload must be empty (POST-as-GET)");
	if ((q->payload = json_parse(q->arena, q->jws.payload, &why)) == NULL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload is no JSON object: %s", why);
	if (q->payload->type != JSON_OBJECT)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "the payload must be a JSON object");
	return NULL;
}

/* The signature is good: judge, redeem, go. */
static enum step
gate_judge(struct areq *q)
{
	const struct problem *pr;

	if ((pr = parse_payload(q)) != NULL ||
	    (q->route->check != NULL && (pr = q->route->check(q)) != NULL))
		return refuse(q, pr);
	return redeem_start(q);
}

/* The key is at hand. */
static enum step
gate_verified(struct areq *q)
{
	const struct problem *pr;

	if (q->account.n > 0)
		acme_log(q, "account", q->account);
	if ((pr = check_signature(q)) == NULL)
		return gate_judge(q);
	if (!q->cached)
		return refuse(q, pr);
	cache_drop(q->acme->cache, q->profile->name, q->account);
	return load_account(q, on_account_anew);
}

/* ---- once more, with the account as it is now */

static enum step
on_account_again(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	int64_t before = q->key_version;
	const struct problem *pr = read_account(q, r);

	if (pr == NULL && q->key_version != before)
		pr = check_signature(q);
	if (pr != NULL)
		return acme_fail(q, pr);
	if (q->key_version == before)
		return q->why(q);
	return q->route->start(q);
}

enum step
acme_recheck(struct areq *q, enum step (*why)(struct areq *))
{
	struct batch *b;

	if (q->again)
		return why(q);
	q->again = true;
	q->why = why;
	cache_drop(q->acme->cache, q->profile->name, q->account);
	b = store_new_batch(q->acme->store, &q->req->task, q->account);
	store_add(b, SQL_ACCOUNT_GET);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	return store_send_batch(b, on_account_again, q);
}
