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
