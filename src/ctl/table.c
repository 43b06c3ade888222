/* SPDX-License-Identifier: ISC */
/* Tables that line up, also with letters that take two columns or none. */
#include "ctl/table.h"

#include <assert.h>

enum { GAP = 2 }; /* blanks between columns */

/* ---- letters */

/* One code point from the front of *s; false if it is no UTF-8. */
static bool
take_char(struct str *s, uint32_t *out)
{
	unsigned char c = (unsigned char)s->p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	uint32_t v = n == 1 ? c : c & (0x7fU >> n);

	if (s->n < n || !str_is_text(str_make(s->p, n)))
		return false;
	for (size_t i = 1; i < n; i++)
		v = v << 6 | ((unsigned char)s->p[i] & 0x3f);
	*s = str_skip(*s, n);
	*out = v;
	return true;
}

struct range {
	uint32_t first, last;
};

static bool
is_in(uint32_t c, const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* Marks that stand on the letter before them. */
static const struct range narrow[] = { { 0x0300, 0x036f }, { 0x0483, 0x0489 },
	{ 0x0591, 0x05bd }, { 0x064b, 0x065f }, { 0x093c, 0x093c },
	{ 0x0e34, 0x0e3a }, { 0x0e47, 0x0e4e }, { 0x1ab0, 0x1aff },
	{ 0x1dc0, 0x1dff }, { 0x200b, 0x200d }, { 0x20d0, 0x20ff },
	{ 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f } };

/* East Asian and pictures. */
static const struct range wide[] = { { 0x1100, 0x115f }, { 0x2e80, 0x303e },
	{ 0x3041, 0xa4cf }, { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff },
	{ 0xfe30, 0xfe6f }, { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 },
	{ 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff },
	{ 0x20000, 0x3fffd } };

/* What acts on a terminal, or turns the direction of what follows. */
static const struct range unsafe[] = { { 0x00, 0x1f }, { 0x7f, 0x9f },
	{ 0x061c, 0x061c }, { 0x200e, 0x200f }, { 0x2028, 0x202e },
	{ 0x2066, 0x2069 }, { 0xfeff, 0xfeff } };

#define IS_IN(c, ranges) is_in((c), ranges, sizeof(ranges) / sizeof(ranges[0]))

size_t
text_width(struct str s)
{
	size_t width = 0;
	uint32_t c;

	while (s.n > 0) {
		if (!take_char(&s, &c)) {
			s = str_skip(s, 1);
			width++;
		} else if (!IS_IN(c, narrow)) {
			width += IS_IN(c, wide) ? 2 : 1;
		}
	}
	return width;
}

struct str
text_clean(struct arena *a, struct str s)
{
	char *out = arena_alloc(a, s.n + 1);
	size_t n = 0;
	uint32_t c;

	while (s.n > 0) {
		struct str before = s;

		if (!take_char(&s, &c)) {
			s = str_skip(s, 1);
			out[n++] = '?';
		} else if (IS_IN(c, unsafe)) {
			out[n++] = '?';
		} else {
			memcpy(out + n, before.p, before.n - s.n);
			n += before.n - s.n;
		}
	}
	out[n] = '\0';
	return str_make(out, n);
}

const char *
text_paint(struct str status)
{
	static const struct {
		const char *word, *paint;
	} paints[] = {
		{ "valid", "\033[32m" },
		{ "ready", "\033[32m" },
		{ "ok", "\033[32m" },
		{ "yes", "\033[32m" },
		{ "pending", "\033[33m" },
		{ "processing", "\033[33m" },
		{ "expired", "\033[33m" },
		{ "deactivated", "\033[33m" },
		{ "invalid", "\033[31m" },
		{ "revoked", "\033[31m" },
		{ "failed", "\033[31m" },
		{ "no", "\033[31m" },
	};

	for (size_t i = 0; i < sizeof(paints) / sizeof(paints[0]); i++)
		if (str_is(status, paints[i].word))
			return paints[i].paint;
	return NULL;
}

/* ---- layout */

void
table_init(struct table *t, const struct column *columns)
{
	t->columns = columns;
	for (t->n = 0; columns[t->n].member != NULL; t->n++) {
		assert(t->n < TABLE_COLUMNS_MAX);
		t->widths[t->n] = text_width(str_from(columns[t->n].title));
	}
}

void
table_fit(struct table *t, const struct cell *row)
{
	for (size_t i = 0; i < t->n; i++) {
		size_t width = text_width(row[i].text);

		if (width > t->widths[i])
			t->widths[i] = width;
	}
}

static void
write_blanks(struct buf *b, size_t n)
{
	while (n-- > 0)
		buf_char(b, ' ');
}

/* Blanks come before the next text only, so none end the line. */
static void
write_line(struct buf *b, const struct table *t, const struct cell *row)
{
	size_t blanks = 0;

	for (size_t i = 0; i < t->n; i++) {
		size_t room = t->widths[i] - text_width(row[i].text);
		bool right = t->columns[i].kind == COLUMN_NUMBER;

		if (right)
			blanks += room;
		if (row[i].text.n > 0) {
			write_blanks(b, blanks);
			blanks = 0;
			if (row[i].paint != NULL)
				buf_str(b, str_from(row[i].paint));
			buf_str(b, row[i].text);
			if (row[i].paint != NULL)
				buf_str(b, STR(PAINT_END));
		}
		blanks += GAP + (right ? 0 : room);
	}
	buf_char(b, '\n');
}

void
table_write_head(struct buf *b, const struct table *t)
{
	struct cell row[TABLE_COLUMNS_MAX];

	for (size_t i = 0; i < t->n; i++)
		row[i] = (struct cell){ .text = str_from(t->columns[i].title) };
	write_line(b, t, row);
}

void
table_write_row(struct buf *b, const struct table *t, const struct cell *row)
{
	write_line(b, t, row);
}
