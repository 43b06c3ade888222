/* SPDX-License-Identifier: ISC */
/*
 * CAA records, RFC 8659, with the parameters of RFC 8657. The first name that
 * has any, going up from the one that is asked for, decides; what cannot be
 * looked up permits nothing.
 */
#include "validate/validate.h"

#include "base/arena.h"

struct caa {
	struct validate_caa_request rq; /* its texts belong to the task */
	struct task *task;
	struct str at; /* the name that is asked about now */
	validate_caa_fn *fn;
	void *arg;
};

static void on_answer(void *, const struct dns_answer *);

/* ---- values: "issuer.example; name=value; ..." */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* The next parameter. False at the end; *bad if it is malformed. */
static bool
next_parameter(struct str *rest, struct str *name, struct str *value, bool *bad)
{
	struct str one;

	do {
		if (rest->n == 0)
			return false;
		one = str_trim(str_cut(rest, ';'));
	} while (one.n == 0);
	*value = one;
	*name = str_trim(str_cut(value, '='));
	*bad = name->n == one.n || name->n == 0;
	*value = str_trim(*value);
	for (size_t i = 0; i < value->n; i++)
		*bad |= is_space(value->p[i]);
	return true;
}

/* RFC 8657 section 4: "http-01,dns-01" */
static bool
has_method(struct str list, const char *method)
{
	while (list.n > 0)
		if (str_is(str_trim(str_cut(&list, ',')), method))
			return true;
	return false;
}

static bool
allows_parameters(const struct validate_caa_request *rq, struct str rest)
{
	bool bad, uri = false, methods = false;
	struct str name, value;

	while (next_parameter(&rest, &name, &value, &bad)) {
		if (bad)
			return false;
		if (str_case_eq(name, STR("accounturi"))) {
			if (uri || !str_eq(value, rq->account))
				return false;
			uri = true;
		}
		if (str_case_eq(name, STR("validationmethods"))) {
			if (methods || !has_method(value, rq->method))
				return false;
			methods = true;
		}
	}
	return true;
}

static bool
allows(const struct validate_caa_request *rq, struct str value)
{
	struct str issuer = str_trim(str_cut(&value, ';'));

	if (issuer.n > 0 && issuer.p[issuer.n - 1] == '.')
		issuer.n--;
	for (size_t i = 0; i < rq->nidentities; i++)
		if (str_case_eq(issuer, rq->identities[i]))
			return allows_parameters(rq, value);
	return false;
}

/* ---- a set of records */

static bool
is_known(struct str tag)
{
	return str_case_eq(tag, STR("issue")) ||
	    str_case_eq(tag, STR("issuewild")) ||
	    str_case_eq(tag, STR("iodef"));
}

static bool
has_tag(const struct dns_answer *r, struct str tag)
{
	struct dns_caa c;

	for (size_t i = 0; i < r->n; i++)
		if (dns_read_caa(r->data[i], &c) && str_case_eq(c.tag, tag))
			return true;
	return false;
}

/* Why this set forbids it, or NULL. */
static const char *
judge(const struct validate_caa_request *rq, const struct dns_answer *r)
{
	struct str tag = rq->wildcard && has_tag(r, STR("issuewild")) ?
	    STR("issuewild") :
	    STR("issue");
	bool bound = false;
	struct dns_caa c;

	for (size_t i = 0; i < r->n; i++) {
		if (!dns_read_caa(r->data[i], &c))
			return "one of them is malformed";
		if (c.critical && !is_known(c.tag))
			return "one of them is critical and not understood";
		bound |= str_case_eq(c.tag, tag);
	}
	if (!bound)
		return NULL;
	for (size_t i = 0; i < r->n; i++)
		if (dns_read_caa(r->data[i], &c) && str_case_eq(c.tag, tag) &&
		    allows(rq, c.value))
			return NULL;
	return "none of them allows this CA, account and challenge";
}

/* ---- climbing */

static void
ask(struct caa *c)
{
	dns_resolve(c->rq.dns, c->task, c->at, DNS_CAA, on_answer, c);
}

static void
end(struct caa *c, const struct problem *pr)
{
	c->fn(c->arg, pr);
}

static const struct problem *
fail_lookup(struct caa *c, const struct dns_answer *r)
{
	return problem_new(c->task->arena, PROBLEM_DNS,
	    "while looking up the CAA records of " STR_FMT " for " STR_FMT
	    ": %s",
	    STR_ARG(c->at), STR_ARG(c->rq.name),
	    r->status == DNS_BOGUS ? "DNSSEC says that the answer is bogus" :
				     "there is no usable answer");
}

static void
on_answer(void *arg, const struct dns_answer *r)
{
	struct caa *c = arg;
	const char *why;

	if (r->status == DNS_NO_DATA || r->status == DNS_NO_NAME) {
		(void)str_cut(&c->at, '.');
		if (c->at.n > 0)
			ask(c);
		else
			end(c, NULL);
		return;
	}
	if (r->status != DNS_OK) {
		end(c, fail_lookup(c, r));
		return;
	}
	if ((why = judge(&c->rq, r)) == NULL)
		end(c, NULL);
	else
		end(c,
		    problem_new(c->task->arena, PROBLEM_CAA,
			"the CAA records of " STR_FMT " forbid a certificate "
			"for %s" STR_FMT ": %s",
			STR_ARG(c->at), c->rq.wildcard ? "*." : "",
			STR_ARG(c->rq.name), why));
}

void
validate_caa(struct task *t, const struct validate_caa_request *rq,
    validate_caa_fn *fn, void *arg)
{
	struct caa *c = arena_new(t->arena, struct caa);

	c->rq = *rq;
	c->rq.name = str_dup(t->arena, rq->name);
	c->rq.account = str_dup(t->arena, rq->account);
	c->at = c->rq.name;
	c->task = t;
	c->fn = fn;
	c->arg = arg;
	ask(c);
}
