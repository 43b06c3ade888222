/* SPDX-License-Identifier: ISC */
/* Why a certificate is revoked: CRLReason, RFC 5280 section 5.3.1. */
#ifndef PKI_REASON_H
#define PKI_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* The reasons that may be given for an end-entity certificate, for messages. */
#define PKI_REASONS "0 to 6 or 9"

/* "keyCompromise"; NULL for a number that may not be given. */
const char *pki_reason_name(int64_t);

/* By name (any case) or number. False if there is none such. */
bool pki_reason_find(struct str, int64_t *reason);

#endif
