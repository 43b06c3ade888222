/* SPDX-License-Identifier: ISC */
/*
 * What a profile allows: identifiers and keys. With neither suffixes nor
 * prefixes every name may be certified, otherwise only what they list.
 */
#include "acme/acme_int.h"

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
reject(struct arena *a, const struct acme_id *id, const char *why)
{
	return problem_new(a, PROBLEM_REJECTED_IDENTIFIER, "\"" STR_FMT "\" %s",
	    STR_ARG(id->value), why);
}

static const struct problem *
check_dns(struct arena *a, const struct conf_profile *p,
    const struct acme_id *id)
{
	bool wildcard = str_starts(id->value, STR("*."));
	struct str name = wildcard ? str_skip(id->value, 2) : id->value;
	const char *why = pki_check_dns_name(id->value, true);

	if (why != NULL)
		return problem_new(a, PROBLEM_REJECTED_IDENTIFIER,
		    "\"" STR_FMT "\" %s", STR_ARG(id->value), why);
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

static const struct problem *
check_ip(struct arena *a, const struct conf_profile *p,
    const struct acme_id *id)
{
	struct addr addr;

	if (!addr_parse(id->value, &addr) ||
	    !str_eq(addr_text(a, addr), id->value))
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

const struct problem *
policy_check_id(struct arena *a, const struct acme_profile *p,
    const struct acme_id *id)
{
	if (str_is(id->type, "dns"))
		return check_dns(a, p->conf, id);
	if (str_is(id->type, "ip"))
		return check_ip(a, p->conf, id);
	return problem_new(a, PROBLEM_UNSUPPORTED_IDENTIFIER,
	    "the identifier type \"" STR_FMT "\" is not supported: use \"dns\" "
	    "or \"ip\"",
	    STR_ARG(id->type));
}

/* The bit of a key, 0 if no profile could allow it. */
static unsigned
key_bit(const struct pki_csr *csr)
{
	switch (csr->kind) {
	case PKI_RSA:
		return csr->bits >= 4096 ? CONF_KEY_RSA4096 :
		    csr->bits >= 3072    ? CONF_KEY_RSA3072 :
					   CONF_KEY_RSA2048;
	case PKI_P256:
		return CONF_KEY_P256;
	case PKI_P384:
		return CONF_KEY_P384;
	case PKI_P521:
		return CONF_KEY_P521;
	case PKI_ED25519:
		return CONF_KEY_ED25519;
	}
	return 0;
}

const struct problem *
policy_check_key(struct arena *a, const struct acme_profile *p,
    const struct pki_csr *csr)
{
	if ((p->conf->key_types & key_bit(csr)) != 0)
		return NULL;
	return problem_new(a, PROBLEM_BAD_CSR,
	    "this profile does not allow %s keys of %u bits",
	    pki_key_kind_name(csr->kind), csr->bits);
}
