/* SPDX-License-Identifier: ISC */
/* The named limits, and words from the configuration. */
#include "ratelimit/ratelimit.h"

#include "base/buf.h"
#include "base/when.h"

static const struct {
	const char *name;
	unsigned max;
	int64_t seconds;
	const char *what;
} limits[LIMIT_COUNT] = {
#define LIMIT(id, name, max, window, what)                                     \
	[LIMIT_##id] = { name, max, window, what },
#include "ratelimit/limits.def"
#undef LIMIT
};

const char *
limit_name(enum limit_id id)
{
	return limits[id].name;
}

struct limit
limit_default(enum limit_id id)
{
	return (struct limit){ .max = limits[id].max,
		.window = limits[id].seconds * WHEN_SECOND };
}

bool
limit_find(struct str name, enum limit_id *id)
{
	for (unsigned i = 0; i < LIMIT_COUNT; i++)
		if (str_is(name, limits[i].name)) {
			*id = (enum limit_id)i;
			return true;
		}
	return false;
}

struct str
limit_names(struct arena *a)
{
	struct buf b = buf_new(a, 4096);

	for (unsigned i = 0; i < LIMIT_COUNT; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", limits[i].name);
	return buf_view(&b);
}

/* ---- what a client is told */

/* "3 h", "90 s": in the largest unit that leaves no rest. */
static struct str
span_text(struct arena *a, int64_t usec)
{
	static const struct {
		int64_t usec;
		const char *name;
	} units[] = {
		{ WHEN_DAY, "d" },
		{ WHEN_HOUR, "h" },
		{ WHEN_MINUTE, "min" },
		{ WHEN_SECOND, "s" },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (usec % units[i].usec == 0)
			return str_printf(a, "%lld %s",
			    (long long)(usec / units[i].usec), units[i].name);
	return str_printf(a, "%.3f s", (double)usec / (double)WHEN_SECOND);
}

static unsigned
round_up(int64_t usec)
{
	return usec > 0 ? (unsigned)((usec + WHEN_SECOND - 1) / WHEN_SECOND) :
			  1;
}

static const struct problem *
limited(struct arena *a, const struct ratelimit_result *r)
{
	unsigned seconds = round_up(r->wait);
	struct problem *pr = problem_new(a, PROBLEM_RATE_LIMITED,
	    "too many %s: at most %u in %.*s; try again in %u s",
	    limits[r->limit].what, r->values.max,
	    STR_ARG(span_text(a, r->values.window)), seconds);

	pr->retry_after = seconds;
	return pr;
}

const struct problem *
ratelimit_problem(struct arena *a, const struct ratelimit_result *r)
{
	struct problem *pr;

	switch (r->status) {
	case RATELIMIT_PASS:
		return NULL;
	case RATELIMIT_REFUSED:
		return limited(a, r);
	case RATELIMIT_NONCE:
		return problem_new(a, PROBLEM_BAD_NONCE, "%s",
		    r->redeemed == REDEEMED_BEFORE ?
			"the nonce was used before" :
			"the nonce can no longer be checked; use the fresh "
			"one of this answer");
	case RATELIMIT_FULL:
	case RATELIMIT_DOWN:
		break;
	}
	pr = problem_cause(a, PROBLEM_UNAVAILABLE,
	    r->status == RATELIMIT_FULL ?
		"no room to count one more key of limit %s" :
		"nobody decided in time on limit %s",
	    limits[r->limit].name);
	pr->retry_after = round_up(r->wait);
	return pr;
}
