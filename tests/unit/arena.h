/* SPDX-License-Identifier: ISC */
/* Tests whose state is an arena, and which leave no error behind. */
#ifndef TESTS_UNIT_ARENA_H
#define TESTS_UNIT_ARENA_H

#include "unit.h"

#include <openssl/err.h>

#include "base/arena.h"

static inline int
make_arena(void **state)
{
	*state = arena_create();
	return 0;
}

static inline int
drop_arena(void **state)
{
	arena_destroy(*state);
	assert_int_equal(ERR_peek_error(), 0);
	return 0;
}

#endif
