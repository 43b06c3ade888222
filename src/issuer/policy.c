/* SPDX-License-Identifier: ISC */
/* What a profile says of names, purposes and renewal, whoever asks. */
#include "issuer/policy.h"

#include <string.h>

#include <openssl/sha.h>

#include "base/addr.h"
#include "pki/cert.h"
#include "pki/name.h"

static bool
below(struct str name, struct str suffix)
{
	if (str_eq(name, suffix))
		return true;
	return name.n > suffix.n && str_ends(name, suffix) &&
	    name.p[name.n - suffix.n - 1] == '.';
}

static bool
below_any(struct str name, const struct conf_list *suffixes)
{
	for (size_t i = 0; i < suffixes->n; i++)
		if (below(name, suffixes->v[i]))
			return true;
	return false;
}

static bool
has_policy(const struct conf_profile *p)
{
	return p->allowed_suffixes.n > 0 || p->allowed_cidrs.n > 0;
}

static const struct problem *
reject(struct arena *a, struct str name, const char *why)
{
	return problem_new(a, PROBLEM_REJECTED_IDENTIFIER, "\"" STR_FMT "\" %s",
	    STR_ARG(name), why);
}

const struct problem *
policy_check_dns(struct arena *a, const struct conf_profile *p, struct str id)
{
	bool wildcard = str_starts(id, STR("*."));
	struct str name = wildcard ? str_skip(id, 2) : id;
	const char *why = pki_check_dns_name(id, true);

	if (why != NULL)
		return problem_new(a, PROBLEM_REJECTED_IDENTIFIER,
		    "\"" STR_FMT "\" %s", STR_ARG(id), why);
	if (wildcard && !p->wildcards)
		return reject(a, id,
		    "is a wildcard, which this profile does "
		    "not allow");
	if (below_any(name, &p->denied_suffixes))
		return reject(a, id,
		    "is among the names that this profile "
		    "denies");
	if (has_policy(p) && !below_any(name, &p->allowed_suffixes))
		return reject(a, id,
		    "is not among the names that this profile "
		    "allows");
	return NULL;
}

const struct problem *
policy_check_ip(struct arena *a, const struct conf_profile *p, struct str id)
{
	struct addr addr;

	if (!addr_parse(id, &addr) || !str_eq(addr_text(a, addr), id))
		return reject(a, id,
		    "is not an IP address in canonical form "
		    "(RFC 8738)");
	if (!has_policy(p))
		return NULL;
	for (size_t i = 0; i < p->allowed_cidrs.n; i++)
		if (prefix_has(&p->allowed_cidrs.v[i], addr))
			return NULL;
	return reject(a, id,
	    "is not among the addresses that this profile "
	    "allows");
}

unsigned
policy_purposes(const struct conf_profile *p)
{
	return (p->server_auth ? PKI_EKU_SERVER : 0U) |
	    (p->client_auth ? PKI_EKU_CLIENT : 0U);
}

/* ---- renewal */

struct policy_window
policy_renewal_window(int64_t not_before, int64_t not_after, int64_t at_percent,
    int64_t length_percent, struct str serial)
{
	int64_t life = not_after - not_before;
	int64_t length = life / 100 * length_percent;
	struct policy_window w;
	uint8_t hash[SHA256_DIGEST_LENGTH];
	uint32_t n;

	SHA256((const uint8_t *)serial.p, serial.n, hash);
	memcpy(&n, hash, sizeof(n));
	/* up to half its length later, in 65536 steps */
	w.start = not_before + life / 100 * at_percent +
	    length / 2 / 65536 * (int64_t)(n & 0xffff);
	w.end = w.start + length;
	if (w.end > not_after)
		w.end = not_after;
	return w;
}
