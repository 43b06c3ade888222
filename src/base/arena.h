/* SPDX-License-Identifier: ISC */
/*
 * Memory with one lifetime. Everything that one task needs comes from its
 * arena and goes away with it. Running out of memory aborts: all inputs are
 * bounded, so it means a bug.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena;

/* A new, empty arena. The caller owns it. Never NULL. */
struct arena *arena_create(void);

/* size bytes, aligned for any type; zeroed. Never NULL. */
void *arena_zalloc(struct arena *, size_t size);

/* size bytes, aligned for any type; contents undefined. Never NULL. */
void *arena_alloc(struct arena *, size_t size);

/* Call fn(arg) when the arena is destroyed, newest first. */
void arena_defer(struct arena *, void (*fn)(void *), void *arg);

/* Run the deferred calls, then free everything. NULL is fine. */
void arena_destroy(struct arena *);

#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, n)                                                \
	((type *)arena_zalloc_array((a), (n), sizeof(type)))

/* n zeroed objects of size bytes; an overflow of n * size aborts. */
void *arena_zalloc_array(struct arena *, size_t n, size_t size);

#endif
