/* SPDX-License-Identifier: ISC */
/*
 * The layout of tables and of moments for people. Pure: text in, text out.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* ---- tables */

enum { TABLE_COLUMNS_MAX = 16 };

enum column_kind {
	COLUMN_TEXT,
	COLUMN_NUMBER, /* to the right */
	COLUMN_TIME,   /* RFC 3339, shown with its age */
	COLUMN_MOMENT, /* the same, with seconds */
	COLUMN_SPAN,   /* seconds */
	COLUMN_PAIRS,  /* an object, as name=value, one behind the other */
	COLUMN_STATUS, /* painted by its word */
};

/* A member of an object and its heading. A list ends with member NULL. */
struct column {
	const char *member, *title;
	enum column_kind kind;
};

struct cell {
	struct str text;
	const char *paint; /* an escape sequence, or NULL */
};

struct table {
	const struct column *columns;
	size_t n;
	size_t widths[TABLE_COLUMNS_MAX];
};

/* Columns as wide as their headings. */
void table_init(struct table *, const struct column *);

/* Make each column wide enough for this row too. They never shrink. */
void table_fit(struct table *, const struct cell *row);

/* The line of headings, and of a row; no blanks at the end. */
void table_write_head(struct buf *, const struct table *);
void table_write_row(struct buf *, const struct table *,
    const struct cell *row);

/* ---- text */

/* How many columns of a terminal this UTF-8 takes. */
size_t text_width(struct str);

/*
 * A copy in which "?" stands for what a terminal would act on: control
 * characters, marks that turn the direction of writing, bytes that are not
 * UTF-8.
 */
struct str text_clean(struct arena *, struct str);

/* How to paint a status, or NULL. */
const char *text_paint(struct str status);
#define PAINT_END "\033[0m"

/* ---- moments, in microseconds since 1970 */

/* "now", "3 min ago", "in 89 d" */
struct str text_age(struct arena *, int64_t at, int64_t now);

/* "2026-11-22 13:10 (3 min ago)", in UTC */
struct str text_time(struct arena *, int64_t at, int64_t now);

/* "2026-11-22 13:10:05 (3 min ago)" */
struct str text_moment(struct arena *, int64_t at, int64_t now);

/* "90 s", "15 min", "36 h", "12 d" of seconds */
struct str text_span(struct arena *, int64_t seconds);

#endif
