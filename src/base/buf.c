/* SPDX-License-Identifier: ISC */
/* A bounded byte buffer that doubles inside its arena. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST = 256 };

struct buf
buf_new(struct arena *a, size_t max)
{
	return (struct buf){ .arena = a, .max = max };
}

struct buf
buf_over(void *storage, size_t size)
{
	return (struct buf){ .p = storage, .cap = size, .max = size };
}

char *
buf_room(struct buf *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap : FIRST;
	char *p;

	if (b->full || n > b->max - b->len) {
		b->full = true;
		return NULL;
	}
	if (n <= b->cap - b->len)
		return b->p + b->len;
	if (b->arena == NULL) {
		b->full = true;
		return NULL;
	}
	while (cap - b->len < n)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	p = arena_alloc(b->arena, cap);
	if (b->len > 0)
		memcpy(p, b->p, b->len);
	b->p = p;
	b->cap = cap;
	return p + b->len;
}

void
buf_put(struct buf *b, const void *data, size_t n)
{
	char *p;

	if (n == 0 || (p = buf_room(b, n)) == NULL)
		return;
	memcpy(p, data, n);
	b->len += n;
}

void
buf_str(struct buf *b, struct str s)
{
	buf_put(b, s.p, s.n);
}

void
buf_char(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n <= 0 || (p = buf_room(b, (size_t)n + 1)) == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}
