/* SPDX-License-Identifier: ISC */
/*
 * dns-01, RFC 8555 section 8.4: one of the TXT records at _acme-challenge is
 * the digest of the key authorization. What DNSSEC calls bogus is a failure,
 * not an absence.
 */
#include "validate/validate_int.h"

#include <openssl/sha.h>

#include "base/b64url.h"

static struct str
records_of(const struct check *c)
{
	return str_printf(c->query.arena,
	    "the TXT records of _acme-challenge." STR_FMT, STR_ARG(c->rq.name));
}

const struct problem *
dns01_late(struct check *c)
{
	return problem_new(c->query.arena, PROBLEM_DNS,
	    "while looking up " STR_FMT ": " QUERY_LATE,
	    STR_ARG(records_of(c)));
}

/* The text that the record must have. */
static struct str
digest_text(struct arena *a, struct str key_authorization)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)key_authorization.p, key_authorization.n, hash);
	return b64url_encode(a, str_make(hash, sizeof(hash)));
}

static bool
has_text(struct arena *a, const struct dns_answer *r, struct str want)
{
	struct str text;

	for (size_t i = 0; i < r->n; i++)
		if (dns_read_txt(a, r->data[i], &text) && str_eq(text, want))
			return true;
	return false;
}

static const struct problem *
judge(struct check *c, const struct dns_answer *r)
{
	struct arena *a = c->query.arena;
	struct str what = records_of(c);

	if (r->status == DNS_NO_DATA)
		return problem_new(a, PROBLEM_INCORRECT_RESPONSE,
		    "while looking up " STR_FMT ": there are none",
		    STR_ARG(what));
	if (r->status != DNS_OK)
		return query_dns_problem(a, what, r->status);
	if (r->ncnames > VALIDATE_CNAMES_MAX)
		return problem_new(a, PROBLEM_DNS,
		    "while looking up " STR_FMT
		    ": there are more than %d CNAMEs on the way",
		    STR_ARG(what), VALIDATE_CNAMES_MAX);
	if (has_text(a, r, digest_text(a, c->rq.key_authorization)))
		return NULL;
	return problem_new(a, PROBLEM_INCORRECT_RESPONSE,
	    "while comparing " STR_FMT
	    ": none is the digest of the key authorization",
	    STR_ARG(what));
}

static void
on_answer(void *arg, const struct dns_answer *r)
{
	struct check *c = arg;

	query_end(c, judge(c, r));
}

void
dns01_query(struct check *c)
{
	dns_resolve(c->rq.dns, &c->query,
	    str_join(c->query.arena, STR("_acme-challenge."), c->rq.name),
	    DNS_TXT, on_answer, c);
}
