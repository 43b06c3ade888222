/* SPDX-License-Identifier: ISC */
/* What all issuers share: their life, and the names of kinds of failure. */
#include "issuer/front.h"

const char *issuer_class_name(enum issuer_class class)
{
	static const char *const names[ISSUER_CLASSES] = {
		[ISSUER_OK] = "ok",
		[ISSUER_TIMEOUT] = "timeout",
		[ISSUER_AUTH] = "auth",
		[ISSUER_RATE_LIMITED] = "rate_limited",
		[ISSUER_VALIDATION] = "validation",
		[ISSUER_UPSTREAM_4XX] = "upstream_4xx",
		[ISSUER_UPSTREAM_5XX] = "upstream_5xx",
		[ISSUER_NETWORK] = "network",
		[ISSUER_OTHER] = "other",
	};

	return names[class];
}

struct issuer_made
issuer_keep_made(struct arena *a, const struct issuer_result *r)
{
	bool lies = r->not_after < r->not_before;

	return (struct issuer_made){
		.der = str_dup(a, r->der),
		.serial = str_dup(a, r->serial),
		.chain_pem = str_dup(a, r->chain_pem),
		.chain_id = str_dup(a, str_from(r->chain_id)),
		.not_before = r->not_before,
		.not_after = lies ? r->not_before : r->not_after,
	};
}

struct issuer *
issuer_hold(struct issuer *issuer)
{
	issuer->refs++;
	return issuer;
}

void
issuer_let_go(void *arg)
{
	struct issuer *issuer = arg;

	if (--issuer->refs > 0)
		return;
	issuer_release(issuer);
	issuer->ops->free(issuer);
}

void
issuer_free(struct issuer *issuer)
{
	if (issuer == NULL)
		return;
	issuer_stop(issuer);
	issuer_let_go(issuer);
}
