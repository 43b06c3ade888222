/* SPDX-License-Identifier: ISC */
/*
 * A list of chunks; allocation moves a pointer. Small requests share chunks,
 * large ones get a chunk of their own. Shared chunks of arenas that are gone
 * are kept for the next ones, since each request makes an arena; not where
 * AddressSanitizer looks for use after free.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef __has_feature
#define __has_feature(x) 0 /* clang's */
#endif

enum {
	CHUNK = 8192,
	ALIGN = alignof(max_align_t),
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
	SPARE_MAX = 0,
#else
	SPARE_MAX = 64,
#endif
};

struct chunk {
	struct chunk *next;
	bool shared; /* of CHUNK bytes */
	alignas(max_align_t) char data[];
};

struct hook {
	struct hook *next;
	void (*fn)(void *);
	void *arg;
};

struct arena {
	struct chunk *chunks;
	struct hook *hooks;
	char *p, *end; /* free part of the newest shared chunk */
};

static void *
take(size_t size)
{
	void *p = malloc(size);

	if (p == NULL)
		abort();
	return p;
}

/* ---- shared chunks */

static struct chunk *spare;
static unsigned nspare;

static struct chunk *
take_shared(void)
{
	struct chunk *c = spare;

	if (c != NULL) {
		spare = c->next;
		nspare--;
	} else
		c = take(sizeof(*c) + CHUNK);
	c->shared = true;
	return c;
}

static void
drop(struct chunk *c)
{
	if (!c->shared || nspare == SPARE_MAX) {
		free(c);
		return;
	}
	c->next = spare;
	spare = c;
	nspare++;
}

/* ---- arenas */

static char *
add_chunk(struct arena *a, struct chunk *c)
{
	c->next = a->chunks;
	a->chunks = c;
	return c->data;
}

static char *
add_own(struct arena *a, size_t data)
{
	struct chunk *c = take(sizeof(*c) + data);

	c->shared = false;
	return add_chunk(a, c);
}

struct arena *
arena_create(void)
{
	size_t head = (sizeof(struct arena) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	struct chunk *c = take_shared();
	struct arena *a = (struct arena *)(void *)c->data;

	c->next = NULL;
	*a = (struct arena){
		.chunks = c,
		.p = c->data + head,
		.end = c->data + CHUNK,
	};
	return a;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	char *p;

	if (size > SIZE_MAX / 2)
		abort();
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (size > (size_t)(a->end - a->p)) {
		if (size > CHUNK / 4)
			return add_own(a, size);
		a->p = add_chunk(a, take_shared());
		a->end = a->p + CHUNK;
	}
	p = a->p;
	a->p += size;
	return p;
}

void *
arena_zalloc(struct arena *a, size_t size)
{
	return memset(arena_alloc(a, size), 0, size);
}

void *
arena_zalloc_array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		abort();
	return arena_zalloc(a, total);
}

void
arena_defer(struct arena *a, void (*fn)(void *), void *arg)
{
	struct hook *h = arena_alloc(a, sizeof(*h));

	*h = (struct hook){ .next = a->hooks, .fn = fn, .arg = arg };
	a->hooks = h;
}

void
arena_destroy(struct arena *a)
{
	struct chunk *c, *next;
	struct hook *h;

	if (a == NULL)
		return;
	while ((h = a->hooks) != NULL) {
		a->hooks = h->next;
		h->fn(h->arg);
	}
	for (c = a->chunks; c != NULL; c = next) {
		next = c->next; /* the last one holds the arena itself */
		drop(c);
	}
}
