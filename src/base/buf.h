/* SPDX-License-Identifier: ISC */
/*
 * A bounded byte buffer. Writing past the bound sets `full` and drops the
 * rest: write freely, test `full` once at the end. Lives in an arena, grows
 * up to its bound.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

struct buf {
	char *p;
	size_t len, cap, max;
	struct arena *arena; /* NULL: fixed storage, cannot grow */
	bool full;
};

/* An empty buffer that grows in the arena up to max bytes. */
struct buf buf_new(struct arena *, size_t max);

/* An empty buffer over the caller's fixed storage. */
struct buf buf_over(void *storage, size_t size);

/* Append; all or nothing. */
void buf_put(struct buf *, const void *, size_t);
void buf_str(struct buf *, struct str);
void buf_char(struct buf *, char);
void buf_printf(struct buf *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Make room for n more bytes and return where they go, or NULL (and full).
 * The caller writes them and then adds to len what it wrote.
 */
char *buf_room(struct buf *, size_t n);

static inline struct str
buf_view(const struct buf *b)
{
	return str_make(b->p, b->len);
}

#endif
