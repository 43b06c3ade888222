/* SPDX-License-Identifier: ISC */
/* Moments and spans of time for people. */
#include "ctl/table.h"

#include <inttypes.h>

#include "base/when.h"

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR, YEAR = 365 * DAY };

/* One unit, rounded down: two of them are more than anybody reads. */
struct str
text_span(struct arena *a, int64_t s)
{
	if (s < 2 * MINUTE)
		return str_printf(a, "%" PRId64 " s", s);
	if (s < 2 * HOUR)
		return str_printf(a, "%" PRId64 " min", s / MINUTE);
	if (s < 2 * DAY)
		return str_printf(a, "%" PRId64 " h", s / HOUR);
	if (s < 2 * (int64_t)YEAR)
		return str_printf(a, "%" PRId64 " d", s / DAY);
	return str_printf(a, "%" PRId64 " y", s / YEAR);
}

struct str
text_age(struct arena *a, int64_t at, int64_t now)
{
	int64_t ago = now / WHEN_SECOND - at / WHEN_SECOND;

	if (ago == 0)
		return STR("now");
	if (ago < 0)
		return str_printf(a, "in " STR_FMT,
		    STR_ARG(text_span(a, -ago)));
	return str_printf(a, STR_FMT " ago", STR_ARG(text_span(a, ago)));
}

/* The time of day in that many letters. */
static struct str
write_moment(struct arena *a, int64_t at, int64_t now, size_t letters)
{
	struct str iso = when_rfc3339(a, at); /* 2026-11-22T13:10:00Z */

	return str_printf(a, STR_FMT " " STR_FMT " (" STR_FMT ")",
	    STR_ARG(str_make(iso.p, 10)),
	    STR_ARG(str_make(iso.p + 11, letters)),
	    STR_ARG(text_age(a, at, now)));
}

struct str
text_time(struct arena *a, int64_t at, int64_t now)
{
	return write_moment(a, at, now, strlen("13:10"));
}

struct str
text_moment(struct arena *a, int64_t at, int64_t now)
{
	return write_moment(a, at, now, strlen("13:10:00"));
}
