/* SPDX-License-Identifier: ISC */
/* What every cmocka file needs, in the order cmocka needs it. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

/* Compare a view with a C string. */
#define assert_str(s, lit)                                                     \
	do {                                                                   \
		struct str s_ = (s);                                           \
		assert_int_equal(s_.n, strlen(lit));                           \
		assert_memory_equal(s_.p, lit, s_.n);                          \
	} while (0)

#endif
