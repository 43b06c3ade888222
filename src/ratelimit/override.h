/* SPDX-License-Identifier: ISC */
/*
 * Other values of some limits for one account, as a text that the account's
 * row keeps: words "NAME=MAX/WINDOW", the window in microseconds.
 */
#ifndef RATELIMIT_OVERRIDE_H
#define RATELIMIT_OVERRIDE_H

#include "ratelimit/ratelimit.h"

/*
 * Each change of them gives the row of this key in table meta another value,
 * so that every process hears of it (jobs/overrides.h).
 */
#define OVERRIDE_WORD "limits"

/* Can an account have values of its own for this limit? */
bool override_may(enum limit_id);

/* Their names: "a, b". In the arena. */
struct str override_names(struct arena *);

/* The values in the text; false if it has none of this limit. */
bool override_find(struct str text, enum limit_id, struct limit *);

/* The text with other values; NULL: with none. In the arena. */
struct str override_set(struct arena *, struct str text, enum limit_id,
    const struct limit *);

#endif
