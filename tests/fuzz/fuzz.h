/* SPDX-License-Identifier: ISC */
/*
 * What fuzz targets share. A target is one function that takes any bytes and
 * comes back; it aborts where a promise is broken.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise, checked whatever the build. */
#define PROMISE(what)                                                          \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,     \
			    #what);                                            \
			abort();                                               \
		}                                                              \
	} while (0)

#endif
