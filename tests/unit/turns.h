/* SPDX-License-Identifier: ISC */
/* Turning a loop until something has come about. */
#ifndef TESTS_UNIT_TURNS_H
#define TESTS_UNIT_TURNS_H

#include "loop/loop.h"

/* Until *calls is n; a test that hangs is ended by make check. */
static inline void
turn_until(struct loop *loop, const unsigned *calls, unsigned n)
{
	while (*calls < n)
		loop_turn(loop, LOOP_WAIT);
}

static inline void
turns_over(void *arg)
{
	*(unsigned *)arg = 1;
}

/* For so long, in microseconds. */
static inline void
turn_for(struct loop *loop, int64_t usec)
{
	unsigned over = 0;
	struct timer t;

	timer_init(&t, loop, turns_over, &over);
	timer_start(&t, usec);
	turn_until(loop, &over, 1);
}

#endif
