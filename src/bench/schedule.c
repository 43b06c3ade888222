/* SPDX-License-Identifier: ISC */
/* When units begin. */
#include "bench/schedule.h"

/* Thousandths of units, and microseconds: their product is a unit. */
enum { SCALE = 1000000000 };

/* How many are due before the duration is over: all k with k / rate < it. */
static uint64_t
count_within(uint64_t rate, int64_t duration)
{
	/* up to 1e9 a second for 1e6 seconds: whole seconds apart */
	uint64_t usec = (uint64_t)duration, second = 1000000;
	uint64_t whole = usec / second * rate, rest = usec % second * rate;
	uint64_t milli = whole + rest / second; /* thousandths of units */
	bool more = rest % second > 0;
	uint64_t n = milli / 1000;

	return milli % 1000 > 0 || more ? n + 1 : n;
}

void
schedule_init(struct schedule *s, uint64_t rate, uint64_t count,
    int64_t duration)
{
	*s = (struct schedule){ .rate = rate,
		.total = count,
		.duration = duration };
	if (rate > 0 && count == 0)
		s->total = count_within(rate, duration);
	if (s->total > SCHEDULE_UNITS_MAX)
		s->total = SCHEDULE_UNITS_MAX;
}

int64_t
schedule_at(const struct schedule *s, uint64_t k)
{
	if (s->rate == 0)
		return s->start;
	/* k is at most 1e9, so the product fits */
	return s->start + (int64_t)(k * SCALE / s->rate);
}

bool
schedule_has(const struct schedule *s, uint64_t k, int64_t now)
{
	if (s->total > 0)
		return k < s->total;
	return now < s->start + s->duration;
}
