/* SPDX-License-Identifier: ISC */
/*
 * What one account may have certified, beside what its profile says: words
 * parted by spaces, each a DNS name (with all names below it) or an address
 * prefix. No word at all: anything.
 */
#ifndef ISSUER_ALLOWANCE_H
#define ISSUER_ALLOWANCE_H

#include "base/problem.h"
#include "base/str.h"

enum { ALLOWANCE_MAX = 4096 /* bytes */ };

/* Is that a word: a name in lower case without "*." or a leading dot, or an
 * address or prefix? */
bool allowance_is_word(struct str);

/*
 * A DNS name in lower case, perhaps a wildcard, or the canonical text of an
 * address. NULL, or rejectedIdentifier.
 */
const struct problem *allowance_check(struct arena *, struct str words,
    struct str name);

#endif
