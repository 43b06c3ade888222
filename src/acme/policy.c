/* SPDX-License-Identifier: ISC */
/* What a profile allows: identifiers and keys. */
#include "acme/acme_int.h"

#include "issuer/allowance.h"
#include "issuer/policy.h"

/* Is there a challenge by which control over it could be shown? */
static const struct problem *
check_challenges(struct arena *a, const struct acme_profile *p,
    const struct acme_id *id)
{
	if (p->conf->auth_mode == CONF_AUTH_TRUST ||
	    authz_challenges(p, id) != 0)
		return NULL;
	return problem_new(a, PROBLEM_REJECTED_IDENTIFIER,
	    "\"" STR_FMT "\" can only be validated by %s, which this profile "
	    "does not offer",
	    STR_ARG(id->value),
	    str_is(id->type, "ip") ? "http-01 or tls-alpn-01" : "dns-01");
}

const struct problem *
policy_check_id(struct arena *a, const struct acme_profile *p,
    const struct acme_id *id)
{
	const struct problem *pr;

	if (str_is(id->type, "dns"))
		pr = policy_check_dns(a, p->conf, id->value);
	else if (str_is(id->type, "ip"))
		pr = policy_check_ip(a, p->conf, id->value);
	else
		return problem_new(a, PROBLEM_UNSUPPORTED_IDENTIFIER,
		    "the identifier type \"" STR_FMT
		    "\" is not supported: use \"dns\" or \"ip\"",
		    STR_ARG(id->type));
	return pr != NULL ? pr : check_challenges(a, p, id);
}

const struct problem *
policy_check_asked(const struct areq *q, const struct acme_id *id)
{
	const struct problem *pr = policy_check_id(q->arena, q->profile, id);

	return pr != NULL ? pr :
			    allowance_check(q->arena, q->allowed, id->value);
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
policy_check_csr(struct arena *a, const struct acme_profile *p,
    const struct pki_csr *csr)
{
	if ((p->conf->key_types & key_bit(csr)) == 0)
		return problem_new(a, PROBLEM_BAD_CSR,
		    "this profile does not allow %s keys of %u bits",
		    pki_key_kind_name(csr->kind), csr->bits);
	if (csr->must_staple && !p->conf->tls_feature)
		return problem_new(a, PROBLEM_BAD_CSR,
		    "the CSR asks for the TLS feature status_request "
		    "(must-staple, RFC 7633), which this profile does not "
		    "allow");
	return NULL;
}

const struct problem *
policy_check_strength(const struct areq *q, const EVP_PKEY *key,
    enum problem_type type)
{
	const char *why = pki_key_weakness(key);
	uint8_t hash[32];

	if (why != NULL)
		return problem_new(q->arena, type, "the key is %s", why);
	if (q->setup->blocklist.n == 0)
		return NULL;
	pki_spki_hash(pki_write_spki(q->arena, key), hash);
	if (!pki_is_blocked(&q->setup->blocklist, hash))
		return NULL;
	return problem_new(q->arena, type,
	    "the key is known to others, or refused here: make another one");
}
