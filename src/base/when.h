/* SPDX-License-Identifier: ISC */
/*
 * Moments: microseconds since 1970-01-01 UTC in an int64_t, as the store
 * holds them.
 */
#ifndef BASE_WHEN_H
#define BASE_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

#define WHEN_SECOND INT64_C(1000000)
#define WHEN_MINUTE (60 * WHEN_SECOND)
#define WHEN_HOUR (60 * WHEN_MINUTE)
#define WHEN_DAY (24 * WHEN_HOUR)

/* The wall clock. */
int64_t when_now(void);

/* RFC 3339 in UTC with whole seconds, for example 2026-01-02T03:04:05Z. */
struct str when_rfc3339(struct arena *, int64_t);

/*
 * Parse an RFC 3339 date-time: any offset, fractions of a second cut to
 * microseconds, years 1970 to 9999; a leap second counts as the next second.
 */
bool when_parse_rfc3339(struct str, int64_t *);

/*
 * Parse a span of time: digits and one of s, m, h and d, for example 90s. It
 * is in microseconds, 0 or more.
 */
bool when_parse_span(struct str, int64_t *);

/* IMF-fixdate of RFC 9110 section 5.6.7. */
struct str when_http(struct arena *, int64_t);

#endif
