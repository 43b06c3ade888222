/* SPDX-License-Identifier: ISC */
/*
 * CAA before a certificate (RFC 8659 section 3, RFC 8657). A validation asks
 * when it has succeeded; finalize asks again if that was more than 8 hours
 * ago, or was not done at all, since accounts are trusted:
 *
 *	order	which authorizations?
 *	rows	which of them are due?
 *	ask	a few names at a time
 *	claim	as if nothing had been (finalize.c)
 *
 * A profile that only reports goes on whatever the records say.
 */
#include "acme/acme_int.h"

#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { CAA_AT_ONCE = 8 };
#define CAA_AGE (8 * WHEN_HOUR)

struct recheck {
	struct areq *q;
	struct caa_name {
		struct recheck *recheck;
		struct str value;
		bool wildcard;
		const char *method;
	} * names;
	size_t n, begun, running;
	const struct problem *pr; /* the first that forbids */
};

static enum step on_order(void *, const struct store_result *);
static enum step on_rows(void *, const struct store_result *);
static void on_checked(void *, const struct problem *);

const struct problem *
caa_judge(const struct acme_profile *p, struct str name,
    const struct problem *pr)
{
	bool enforce = p->conf->caa == CONF_CAA_ENFORCE;

	metrics_count(FAMILY_caa_checks,
	    pr == NULL                  ? "allowed" :
		pr->type == PROBLEM_CAA ? "forbidden" :
					  "failed");
	if (pr == NULL)
		return NULL;
	log_sampled(LOG_WARN, 10, "CAA", LOG_STR("profile", p->name),
	    LOG_STR("identifier", name), LOG_STR("problem", pr->detail),
	    LOG_BOOL("enforced", enforce));
	return enforce ? pr : NULL;
}

void
caa_ask(const struct acme_setup *s, const struct acme_profile *p,
    struct task *t, const struct caa_question *about, validate_caa_fn *fn,
    void *arg)
{
	validate_caa(t,
	    &(struct validate_caa_request){ .name = about->name,
		.wildcard = about->wildcard,
		.identities = s->conf->caa_identities.v,
		.nidentities = s->conf->caa_identities.n,
		.account = acme_url(t->arena, p, "account", about->account),
		.method = about->method,
		.dns = resolver_dns(p->resolver) },
	    fn, arg);
}

/* ---- at finalize */

enum step
caa_recheck(struct areq *q)
{
	struct recheck *c;
	struct batch *b;

	q->caa = "off";
	if (q->profile->conf->caa == CONF_CAA_OFF)
		return finalize_claim(q);
	q->caa = "known"; /* from the validation, of hours ago at most */
	c = arena_new(q->arena, struct recheck);
	c->q = q;
	b = store_new_batch(q->acme->store, &q->req->task, q->account);
	store_add(b, SQL_ORDER_AUTHZS);
	store_str(b, q->object);
	store_str(b, q->account);
	store_str(b, q->profile->name);
	return store_send_batch(b, on_order, c);
}

static enum step
on_order(void *arg, const struct store_result *r)
{
	struct recheck *c = arg;
	struct areq *q = c->q;
	struct batch *b;
	struct str list;
	size_t n = 0;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	if (store_nrows(r, 0) == 0)
		return finalize_claim(q); /* which says what is wrong */
	list = store_get_str(r, 0, 0, ORDER_AUTHZS_AUTHZS);
	b = store_new_batch(q->acme->store, &q->req->task, q->account);
	for (; list.n > 0; n++) {
		store_add(b, SQL_AUTHZ_CAA);
		store_str(b, str_cut(&list, ' '));
		store_int(b, CAA_AGE);
	}
	c->names = arena_array(q->arena, struct caa_name, n);
	c->n = n;
	return store_send_batch(b, on_rows, c);
}

static const char *
method_of(const struct areq *q, struct str challenge)
{
	enum validate_type type;

	if (q->profile->conf->auth_mode == CONF_AUTH_TRUST ||
	    !validate_find_type(challenge, &type))
		return "";
	return validate_type_name(type);
}

/* The next names, or the end of it. */
static enum step
go_on(struct recheck *c)
{
	struct areq *q = c->q;

	while (c->pr == NULL && c->running < CAA_AT_ONCE && c->begun < c->n) {
		struct caa_name *name = &c->names[c->begun++];

		c->running++;
		caa_ask(q->setup, q->profile, &q->req->task,
		    &(struct caa_question){ .name = name->value,
			.wildcard = name->wildcard,
			.account = q->account,
			.method = name->method },
		    on_checked, name);
	}
	if (c->running > 0)
		return STEP_WAITING;
	if (c->pr != NULL)
		return acme_fail(q, c->pr);
	return finalize_claim(q);
}

static enum step
on_rows(void *arg, const struct store_result *r)
{
	struct recheck *c = arg;
	struct areq *q = c->q;
	size_t due = 0;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	for (unsigned st = 0; st < c->n; st++) {
		if (store_nrows(r, st) == 0)
			continue;
		c->names[due++] = (struct caa_name){
			.recheck = c,
			.value = str_dup(q->arena,
			    store_get_str(r, st, 0, AUTHZ_CAA_VALUE)),
			.wildcard = store_get_int(r, st, 0,
					AUTHZ_CAA_WILDCARD) != 0,
			.method = method_of(q,
			    store_get_str(r, st, 0, AUTHZ_CAA_CHALLENGE)),
		};
	}
	c->n = due;
	return go_on(c);
}

static void
on_checked(void *arg, const struct problem *pr)
{
	struct caa_name *name = arg;
	struct recheck *c = name->recheck;

	c->running--;
	if (pr == NULL && str_is(str_from(c->q->caa), "known"))
		c->q->caa = "allowed";
	else if (pr != NULL)
		c->q->caa = "reported"; /* or there is no certificate */
	pr = caa_judge(c->q->profile, name->value, pr);
	if (c->pr == NULL)
		c->pr = pr;
	(void)go_on(c);
}
