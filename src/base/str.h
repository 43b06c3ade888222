/* SPDX-License-Identifier: ISC */
/*
 * A borrowed run of bytes: not owned, not NUL-terminated. Functions that keep
 * one past their return copy it (str_dup).
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){ .p = "" lit, .n = sizeof(lit) - 1 })
#define STR_NONE ((struct str){ .p = NULL, .n = 0 })
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, (s).n > 0 ? (s).p : ""

/* A view of a C string; of nothing if s is NULL. */
static inline struct str
str_from(const char *s)
{
	return (struct str){ .p = s, .n = s != NULL ? strlen(s) : 0 };
}

static inline struct str
str_make(const void *p, size_t n)
{
	return (struct str){ .p = (const char *)p, .n = n };
}

/* A capital ASCII letter as a small one. */
static inline char
str_fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	return c;
}

static inline bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Is s the C string lit? */
static inline bool
str_is(struct str s, const char *lit)
{
	return str_eq(s, str_from(lit));
}

/* Equal when ASCII letters are folded. */
bool str_case_eq(struct str, struct str);

bool str_starts(struct str, struct str prefix);
bool str_ends(struct str, struct str suffix);

/* memcmp order, shorter first. */
int str_cmp(struct str, struct str);

/* Index of c in s, or s.n. */
size_t str_find(struct str s, char c);

/* s without its first n bytes (all of them, if it is shorter). */
struct str str_skip(struct str s, size_t n);

/*
 * Cut *rest at the first sep: returns what stands before it and moves *rest
 * behind it. Without a sep the whole of *rest is returned and *rest is empty.
 */
struct str str_cut(struct str *rest, char sep);

/* s without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);

/* A copy in the arena, NUL-terminated behind its last byte. */
struct str str_dup(struct arena *, struct str);

/* The same as a C string. A NUL inside the text ends it early. */
char *str_cstr(struct arena *, struct str);

/* ASCII lower case copy. */
struct str str_lower(struct arena *, struct str);

/* The parts one behind the other, NUL-terminated: str_join(a, x, y, z). */
struct str str_concat(struct arena *, const struct str *parts, size_t n);
#define str_join(a, ...)                                                       \
	str_concat((a), (const struct str[]){ __VA_ARGS__ },                   \
	    sizeof((const struct str[]){ __VA_ARGS__ }) / sizeof(struct str))

/* printf into the arena. */
struct str str_printf(struct arena *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * For messages: at most max bytes of it, with "..." if it was cut and "?" for
 * all that is not printable ASCII.
 */
struct str str_show(struct arena *, struct str, size_t max);

/*
 * "Did you mean": the one of n names that s may have been meant for, or NULL
 * (suggest.c).
 */
const char *str_suggest(struct str s, const char *const *names, size_t n);

/* All of it to a file; false with errno set if that failed in its midst. */
bool str_write(struct str, int fd);

/* Decimal digits only, no sign, no overflow; false otherwise. */
bool str_u64(struct str, uint64_t *);

/* Well-formed UTF-8 (RFC 3629) without NUL. */
bool str_is_text(struct str);

#endif
