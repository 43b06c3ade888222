/* SPDX-License-Identifier: ISC */
/*
 * What this process remembers of accounts goes when an operator has given one
 * of them other limits, by whichever replica: the store keeps a word that each
 * such change replaces, and each replica looks at it every two seconds.
 */
#ifndef JOBS_OVERRIDES_H
#define JOBS_OVERRIDES_H

#include "acme/acme.h"
#include "loop/loop.h"
#include "store/store.h"

struct overrides;

/* Both outlive the result. */
struct overrides *overrides_start(struct loop *, struct store *, struct acme *);

/* No timer fires any more. NULL is fine. */
void overrides_stop(struct overrides *);

#endif
