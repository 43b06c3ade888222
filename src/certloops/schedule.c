/* SPDX-License-Identifier: ISC */
/* The times of a loop. */
#include "certloops/schedule.h"

#include <limits.h>

#include "base/when.h"

/* A certificate so short that it is due at once must not make us spin. */
enum { FLOOR_SECONDS = 60 };

/* Up to all of span, by 32 random bits. */
static int64_t
part(int64_t span, uint32_t jitter)
{
	return (int64_t)((unsigned __int128)span * jitter >> 32);
}

int64_t
schedule_backoff(unsigned failures, uint32_t jitter)
{
	int64_t wait = WHEN_MINUTE;

	for (unsigned i = 1; i < failures && wait < WHEN_DAY; i++)
		wait *= 2;
	if (wait > WHEN_DAY)
		wait = WHEN_DAY;
	return wait - part(wait / 10, jitter);
}

int64_t
schedule_renewal(int64_t not_before, int64_t not_after, uint32_t jitter)
{
	int64_t life = not_after > not_before ? not_after - not_before : 0;

	return not_after - life / 3 - part(life / 30, jitter);
}

int64_t
schedule_within(int64_t start, int64_t end, uint32_t jitter)
{
	return start + part(end > start ? end - start : 0, jitter);
}

void
schedule_next(struct loop_schedule *s, enum loop_outcome outcome, int64_t value,
    int64_t now, uint32_t jitter)
{
	int64_t look;

	switch (outcome) {
	case LOOP_OBTAINED:
		s->failures = 0;
		look = now + WHEN_DAY - part(WHEN_HOUR, jitter);
		s->next = value < look ? value : look;
		if (s->next < now + FLOOR_SECONDS * WHEN_SECOND)
			s->next = now + FLOOR_SECONDS * WHEN_SECOND;
		break;
	case LOOP_FAILED:
		if (s->failures < UINT_MAX)
			s->failures++;
		s->next = now + schedule_backoff(s->failures, jitter);
		break;
	case LOOP_TOLD_TO_WAIT:
		s->next = now + value;
		break;
	}
}
