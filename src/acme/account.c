/* SPDX-License-Identifier: ISC */
/*
 * Accounts, RFC 8555 sections 7.1.2, 7.3.2 and 7.3.6: reading, updating,
 * deactivating; and what new-account shares with them.
 */
#include "acme/acme_int.h"

struct account_request {
	struct str contacts; /* JSON array; p is NULL if not given */
	bool agreed, deactivate;
};

/* ---- judging */

/* mailto with one plain address, RFC 8555 section 7.3. */
static const struct problem *
check_contact(struct arena *a, struct str contact)
{
	struct str addr = str_skip(contact, 7), domain;

	if (!str_case_eq(str_make(contact.p, contact.n < 7 ? contact.n : 7),
		STR("mailto:")))
		return problem_new(a, PROBLEM_UNSUPPORTED_CONTACT,
		    "the contact \"" STR_FMT "\" is no mailto: URL",
		    STR_ARG(contact));
	domain = addr;
	(void)str_cut(&domain, '@');
	for (size_t i = 0; i < addr.n; i++)
		if (addr.p[i] <= ' ' || addr.p[i] == 0x7f ||
		    strchr(",?%<>\"()[]\\;:", addr.p[i]) != NULL)
			domain.n = 0;
	if (addr.n > 0 && addr.p[0] == '@')
		domain.n = 0;
	if (domain.n == 0 ||
	    pki_check_dns_name(str_lower(a, domain), false) != NULL)
		return problem_new(a, PROBLEM_INVALID_CONTACT,
		    "the contact \"" STR_FMT
		    "\" must be mailto: and exactly one address",
		    STR_ARG(contact));
	return NULL;
}

const struct problem *
account_parse_contacts(struct areq *q, struct str *out)
{
	const struct json *list = json_get(q->payload, "contact");
	struct json_writer *w = json_writer_new(q->arena, 1 << 14);
	const struct problem *pr;

	if (list == NULL || list->type == JSON_NULL)
		return NULL;
	if (list->type != JSON_ARRAY)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"contact\" must be an array of URLs");
	if (list->n > ACME_CONTACTS_MAX)
		return problem_new(q->arena, PROBLEM_INVALID_CONTACT,
		    "at most %d contacts may be given", ACME_CONTACTS_MAX);
	json_open_array(w, NULL);
	json_each(c, list) {
		if (c->type != JSON_STRING || c->str.n > ACME_CONTACT_MAX)
			return problem_new(q->arena, PROBLEM_INVALID_CONTACT,
			    "a contact must be a string of at most %d bytes",
			    ACME_CONTACT_MAX);
		if ((pr = check_contact(q->arena, c->str)) != NULL)
			return pr;
		json_str(w, NULL, c->str);
	}
	json_close(w);
	*out = json_text(w);
	return NULL;
}

const struct problem *
account_parse_flag(struct areq *q, const char *name, bool *out)
{
	const struct json *j = json_get(q->payload, name);

	if (j != NULL && j->type != JSON_BOOL)
		return problem_new(q->arena, PROBLEM_MALFORMED,
		    "\"%s\" must be true or false", name);
	*out = j != NULL && j->num != 0;
	return NULL;
}

/* ---- answering */

enum step
account_reply(struct areq *q, unsigned status, const struct account_view *v)
{
	struct json_writer *w = json_writer_new(q->arena, ACME_REPLY_MAX);

	json_open_object(w, NULL);
	json_str(w, "status", v->status);
	json_raw(w, "contact", v->contacts);
	if (v->tos_agreed != 0)
		json_bool(w, "termsOfServiceAgreed", true);
	if (v->eab.n > 0)
		json_raw(w, "externalAccountBinding", v->eab);
	json_str(w, "orders",
	    str_printf(q->arena, STR_FMT "/orders",
		STR_ARG(acme_url(q->arena, q->profile, "account", v->id))));
	json_close(w);
	req_add_header(q->req, "Location",
	    acme_url(q->arena, q->profile, "account", v->id));
	return acme_reply(q, status, w);
}

/* ---- account: read, update, deactivate */

static const struct problem *
account_check(struct areq *q)
{
	struct account_request *ar = arena_new(q->arena,
	    struct account_request);
	const struct json *status = json_get(q->payload, "status");
	const struct problem *pr;

	q->state = ar;
	if (!str_eq(q->object, q->account))
		return problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		    "the request is for another account than the one that "
		    "signed it");
	if (q->payload == NULL)
		return NULL;
	if (status != NULL) {
		ar->deactivate = status->type == JSON_STRING &&
		    str_is(status->str, "deactivated");
		if (!ar->deactivate &&
		    !(status->type == JSON_STRING &&
			str_is(status->str, "valid")))
			return problem_new(q->arena, PROBLEM_MALFORMED,
			    "the status can only be set to \"deactivated\"");
	}
	if ((pr = account_parse_flag(q, "termsOfServiceAgreed", &ar->agreed)) !=
	    NULL)
		return pr;
	if ((pr = account_parse_contacts(q, &ar->contacts)) != NULL)
		return pr;
	if (q->profile->conf->contact_required && ar->contacts.p != NULL &&
	    ar->contacts.n <= 2)
		return problem_new(q->arena, PROBLEM_INVALID_CONTACT,
		    "this profile requires a contact");
	return NULL;
}

/* The three statements return the same columns in the same order. */
static enum step
account_answer(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	const struct account_request *ar = q->state;
	struct account_view v = { .id = q->account };

	if (r->status == STORE_LOST)
		return acme_recheck(q, acme_not_found);
	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	v.status = store_get_str(r, 0, 0, ACCOUNT_UPDATE_STATUS);
	v.contacts = store_get_str(r, 0, 0, ACCOUNT_UPDATE_CONTACTS);
	v.tos_agreed = store_get_int(r, 0, 0, ACCOUNT_UPDATE_TOS_AGREED);
	v.eab = store_get_str(r, 0, 0, ACCOUNT_UPDATE_EAB);
	if (ar->deactivate)
		cache_drop(q->acme->cache, q->profile->name, q->account);
	return account_reply(q, 200, &v);
}

/* RFC 8555 section 7.3.6: what it had under way comes to nothing. */
static void
end_orders(struct areq *q, struct batch *b)
{
	store_add(b, SQL_ORDERS_OF_DEACTIVATED);
	store_str(b, q->account);
	store_str(b,
	    problem_json(q->arena,
		problem_new(q->arena, PROBLEM_UNAUTHORIZED,
		    "the account of the order was deactivated")));
}

static enum step
account_start(struct areq *q)
{
	const struct account_request *ar = q->state;
	bool writes = ar->contacts.p != NULL || ar->agreed;
	struct batch *b = store_new_batch(q->acme->store, &q->req->task,
	    q->account);

	store_add(b,
	    ar->deactivate ? SQL_ACCOUNT_DEACTIVATE :
		writes     ? SQL_ACCOUNT_UPDATE :
			     SQL_ACCOUNT_VIEW);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	store_int(b, q->key_version);
	if (!ar->deactivate && writes) {
		if (ar->contacts.p != NULL)
			store_str(b, ar->contacts);
		else
			store_null(b);
		if (ar->agreed)
			store_int(b, loop_wall(q->acme->loop));
		else
			store_null(b);
	}
	store_require(b);
	if (ar->deactivate)
		end_orders(q, b);
	if (ar->deactivate || writes)
		audit_add(b,
		    &(struct audit_entry){
			.actor = acme_actor(q->arena, q->account),
			.action = ar->deactivate ? "account.deactivate" :
						   "account.update",
			.object = q->account,
			.account = q->account,
		    });
	return store_send_batch(b, account_answer, q);
}

const struct acme_route account_route = {
	.http = { .methods = REQ_POST,
	    .path = "/account/:id",
	    .name = "account",
	    .body_max = ACME_BODY_MAX,
	    .start = acme_start },
	.auth = AUTH_ACCOUNT,
	.payload = PAYLOAD_EITHER,
	.check = account_check,
	.start = account_start,
};
