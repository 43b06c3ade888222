/* SPDX-License-Identifier: ISC */
/*
 * new-account, RFC 8555 sections 7.3 and 7.3.1.
 *
 *	check	pure: contacts, terms, what is asked for
 *	start	has the key an account? Then 200
 *	bind	load the key of the external account binding, check its MAC
 *	limit	only who gets a new one takes the limit
 *	insert	one batch: insert unless another was faster, read it, use the
 *		binding's key once
 *	answer	201 new, 200 known
 */
#include "acme/acme_int.h"

#include "base/id.h"
#include "metrics/metrics.h"

struct account_request {
	struct str contacts; /* JSON array; p is NULL if not given */
	bool agreed, only_existing;
	struct str id; /* for a new one */
	struct eab eab;
};

static enum step on_found(void *, const struct store_result *);
static enum step on_bound(void *, const struct store_result *);
static enum step on_limit(void *, const struct ratelimit_result *);
static enum step on_inserted(void *, const struct store_result *);
static enum step on_used(void *, const struct store_result *);

static const struct problem *
new_account_check(struct areq *q)
{
	struct account_request *ar = arena_new(q->arena,
	    struct account_request);
	const struct problem *pr;

	q->state = ar;
	if ((pr = account_parse_flag(q, "onlyReturnExisting",
		 &ar->only_existing)) != NULL ||
	    (pr = account_parse_flag(q, "termsOfServiceAgreed", &ar->agreed)) !=
		NULL)
		return pr;
	if (ar->only_existing)
		return NULL; /* the rest does not count, section 7.3.1 */
	if ((pr = policy_check_strength(q, q->key, PROBLEM_BAD_PUBLIC_KEY)) !=
		NULL ||
	    (pr = account_parse_contacts(q, &ar->contacts)) != NULL ||
	    (pr = eab_parse(q, &ar->eab)) != NULL)
		return pr;
	ar->id = id_new(q->arena);
	return NULL;
}

/* Why no account may be made, now that we know that there is none. */
static const struct problem *
missing_problem(struct areq *q, const struct account_request *ar)
{
	const struct conf *c = q->setup->conf;

	if (ar->only_existing)
		return problem_new(q->arena, PROBLEM_ACCOUNT_DOES_NOT_EXIST,
		    "this key has no account here");
	if (c->terms_of_service.text.p != NULL && !ar->agreed)
		return problem_new(q->arena, PROBLEM_USER_ACTION_REQUIRED,
		    "the terms of service must be agreed to: " STR_FMT,
		    STR_ARG(c->terms_of_service.text));
	if (q->profile->conf->contact_required &&
	    (ar->contacts.p == NULL || ar->contacts.n <= 2))
		return problem_new(q->arena, PROBLEM_INVALID_CONTACT,
		    "this profile requires a contact");
	if (q->profile->conf->eab_required && !ar->eab.given)
		return problem_new(q->arena, PROBLEM_EXTERNAL_ACCOUNT_REQUIRED,
		    "this profile requires an external account binding: ask "
		    "its operator for a key");
	return NULL;
}

static enum step
refuse_missing(struct areq *q, const struct problem *pr)
{
	if (pr->type == PROBLEM_USER_ACTION_REQUIRED)
		req_add_header(q->req, "Link",
		    str_printf(q->arena,
			"<" STR_FMT ">;rel=\"terms-of-service\"",
			STR_ARG(q->setup->conf->terms_of_service.text)));
	return acme_fail(q, pr);
}

static void
find_account(struct areq *q, struct batch *b)
{
	store_add(b, SQL_ACCOUNT_BY_KEY);
	store_str(b, q->profile->name);
	store_str(b, jwk_thumbprint(q->arena, &q->jwk));
}

static enum step
new_account_start(struct areq *q)
{
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    jwk_thumbprint(q->arena, &q->jwk));

	find_account(q, b);
	return store_send_batch(b, on_found, q);
}

/* The row that find_account gave. */
static enum step
reply_found(struct areq *q, const struct store_result *r, unsigned st)
{
	const struct account_request *ar = q->state;
	struct account_view v = {
		.id = store_get_str(r, st, 0, ACCOUNT_BY_KEY_ID),
		.status = store_get_str(r, st, 0, ACCOUNT_BY_KEY_STATUS),
		.contacts = store_get_str(r, st, 0, ACCOUNT_BY_KEY_CONTACTS),
		.tos_agreed = store_get_int(r, st, 0,
		    ACCOUNT_BY_KEY_TOS_AGREED),
		.eab = store_get_str(r, st, 0, ACCOUNT_BY_KEY_EAB),
	};
	bool made = str_eq(v.id, ar->id);

	if (!str_is(v.status, "valid"))
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_DEACTIVATED,
			"the account of this key is " STR_FMT,
			STR_ARG(v.status)));
	acme_log(q, "account", v.id);
	if (made)
		metrics_add(METRIC_accounts_created, 1);
	return account_reply(q, made ? 201 : 200, &v);
}

static enum step
take_limit(struct areq *q)
{
	struct take t = { .limit = LIMIT_NEW_ACCOUNT,
		.override = limits_override(q, LIMIT_NEW_ACCOUNT) };

	t.key = addr_text(q->arena, addr_mask(q->req->peer, LIMIT_SITE_BITS));
	return ratelimit_take(q->acme->options.limits, &q->req->task, &t,
	    q->req->peer.len > 0 ? 1 : 0, NULL, on_limit, q);
}

static enum step
bind_account(struct areq *q)
{
	struct account_request *ar = q->state;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    ar->eab.jws.kid);

	if (eab_load(q, &ar->eab, b))
		return store_send_batch(b, on_bound, q);
	store_drop_batch(b);
	return acme_fail(q, eab_verify(q, &ar->eab, NULL, 0));
}

static enum step
on_found(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct account_request *ar = q->state;
	const struct problem *missing;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) > 0)
		return reply_found(q, r, 0);
	if ((missing = missing_problem(q, ar)) != NULL)
		return refuse_missing(q, missing);
	return ar->eab.given ? bind_account(q) : take_limit(q);
}

static enum step
on_bound(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct account_request *ar = q->state;
	const struct problem *pr = r->problem;

	if (r->status == STORE_OK)
		pr = eab_verify(q, &ar->eab, r, 0);
	return pr != NULL ? acme_fail(q, pr) : take_limit(q);
}

static void
insert_account(struct areq *q, struct batch *b,
    const struct account_request *ar)
{
	store_add(b, SQL_ACCOUNT_INSERT);
	store_str(b, ar->id);
	store_str(b, q->profile->name);
	store_str(b, jwk_thumbprint(q->arena, &q->jwk));
	store_str(b, q->jwk.json);
	store_str(b, ar->contacts.p != NULL ? ar->contacts : STR("[]"));
	if (ar->agreed)
		store_int(b, loop_wall(q->acme->loop));
	else
		store_null(b);
	store_str(b, ar->eab.given ? ar->eab.jws.kid : STR_NONE);
	store_str(b, ar->eab.given ? ar->eab.text : STR_NONE);
	store_str(b, ar->eab.allowed.n > 0 ? ar->eab.allowed : STR(""));
}

static struct str
write_detail(struct areq *q, const struct account_request *ar)
{
	struct json_writer *w = json_writer_new(q->arena, 256);

	if (!ar->eab.given)
		return STR("");
	json_open_object(w, NULL);
	json_str(w, "eab_key", ar->eab.jws.kid);
	json_close(w);
	return json_text(w);
}

static enum step
on_limit(void *arg, const struct ratelimit_result *r)
{
	struct areq *q = arg;
	const struct account_request *ar = q->state;
	const struct problem *pr = ratelimit_problem(q->arena, r);
	struct batch *b;

	if (pr != NULL)
		return acme_fail(q, pr);
	b = store_new_batch(q->acme->store, &q->req->task,
	    jwk_thumbprint(q->arena, &q->jwk));
	insert_account(q, b, ar);
	find_account(q, b);
	if (ar->eab.given)
		eab_use(q, &ar->eab, ar->id, b);
	audit_add_if_account(b,
	    &(struct audit_entry){
		.actor = acme_actor(q->arena, ar->id),
		.action = "account.create",
		.object = ar->id,
		.detail = write_detail(q, ar),
	    });
	return store_send_batch(b, on_inserted, q);
}

static enum step
on_inserted(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct batch *b;

	if (r->status == STORE_LOST) {
		/* another request made the account, or the key is used up */
		b = store_new_batch(q->acme->store, &q->req->task, STR(""));
		find_account(q, b);
		return store_send_batch(b, on_used, q);
	}
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 1) == 0)
		return acme_fail(q,
		    problem_cause(q->arena, PROBLEM_SERVER,
			"a new account is not there"));
	return reply_found(q, r, 1);
}

static enum step
on_used(void *arg, const struct store_result *r)
{
	struct areq *q = arg;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) > 0)
		return reply_found(q, r, 0);
	return acme_fail(q,
	    problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		"the key of the external account binding has expired, was "
		"revoked, or was used as often as it may be"));
}

const struct acme_route new_account_route = {
	.http = { .methods = REQ_POST,
	    .path = "/new-account",
	    .name = "new-account",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_JWK,
	.payload = PAYLOAD_OBJECT,
	.check = new_account_check,
	.start = new_account_start,
};
