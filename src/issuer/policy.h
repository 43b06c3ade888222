/* SPDX-License-Identifier: ISC */
/*
 * What a profile lets be certified. With neither suffixes nor prefixes every
 * name may be, otherwise only what they list. ACME orders and cert loops ask
 * the same.
 */
#ifndef ISSUER_POLICY_H
#define ISSUER_POLICY_H

#include "base/problem.h"
#include "base/str.h"
#include "conf/conf.h"

/*
 * A DNS name in lower case, perhaps a wildcard; an address in its canonical
 * text. NULL, or a problem that says what is wrong with it.
 */
const struct problem *policy_check_dns(struct arena *,
    const struct conf_profile *, struct str);
const struct problem *policy_check_ip(struct arena *,
    const struct conf_profile *, struct str);

/* What the certificates of a profile are for: PKI_EKU_ bits. */
unsigned policy_purposes(const struct conf_profile *);

/*
 * When to renew (RFC 9773). Where that window lies in a life, all in
 * microseconds: so many percent from its beginning, up to half a window later
 * by the serial, never beyond the end. The same for ever, so what clients are
 * told and what cert loops do is one window.
 */
struct policy_window {
	int64_t start, end;
};
struct policy_window policy_renewal_window(int64_t not_before,
    int64_t not_after, int64_t at_percent, int64_t length_percent,
    struct str serial);

#endif
