/* SPDX-License-Identifier: ISC */
/* Reasons of revocation. */
#include "pki/reason.h"

static const char *const names[] = {
	[0] = "unspecified",
	[1] = "keyCompromise",
	[2] = "cACompromise",
	[3] = "affiliationChanged",
	[4] = "superseded",
	[5] = "cessationOfOperation",
	[6] = "certificateHold",
	/* 7 is not used, 8 (removeFromCRL) is for delta CRLs */
	[9] = "privilegeWithdrawn",
	/* 10 is for attribute certificates */
};

enum { NNAMES = sizeof(names) / sizeof(names[0]) };

const char *
pki_reason_name(int64_t reason)
{
	return reason >= 0 && reason < NNAMES ? names[reason] : NULL;
}

bool
pki_reason_find(struct str text, int64_t *reason)
{
	uint64_t number;

	if (str_u64(text, &number)) {
		*reason = number < NNAMES ? (int64_t)number : -1;
		return pki_reason_name(*reason) != NULL;
	}
	for (*reason = 0; *reason < NNAMES; ++*reason)
		if (names[*reason] != NULL &&
		    str_case_eq(text, str_from(names[*reason])))
			return true;
	return false;
}
