/* SPDX-License-Identifier: ISC */
/* The names of kinds of failure, as metrics have them. */
#include "issuer/issuer.h"

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
