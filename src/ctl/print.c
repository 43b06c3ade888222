/* SPDX-License-Identifier: ISC */
/* Printing for people. */
#include "ctl/ctl.h"

#include <stdio.h>

#include "base/when.h"

enum { TEXT_MAX = 1 << 20, LABEL_WIDTH = 18 };

void
print_text(struct str s)
{
	struct arena *a = arena_create();
	struct str clean = text_clean(a, s);

	(void)fwrite(clean.p, 1, clean.n, stdout);
	arena_destroy(a);
}

/* ---- values */

static void
put_value(struct buf *b, const struct json *j)
{
	switch (j->type) {
	case JSON_STRING:
	case JSON_NUMBER:
		buf_str(b, text_clean(b->arena, j->str));
		break;
	case JSON_INT:
		buf_printf(b, "%lld", (long long)j->num);
		break;
	case JSON_BOOL:
		buf_str(b, j->num ? STR("yes") : STR("no"));
		break;
	case JSON_ARRAY:
		json_each(it, j) {
			put_value(b, it);
			if (it->next != NULL)
				buf_str(b, STR(", "));
		}
		break;
	case JSON_NULL:
	case JSON_OBJECT:
		break;
	}
}

/* {"type": "badCSR", "count": 3}: type=badCSR count=3. What has blanks is
 * quoted; an object inside is named by its members. */
static void
put_pairs(struct buf *b, const struct json *j, struct str prefix)
{
	json_each(it, j) {
		struct str name = prefix.n > 0 ?
		    str_join(b->arena, prefix, STR("."), it->name) :
		    it->name;
		bool quoted = it->type == JSON_STRING &&
		    (str_find(it->str, ' ') < it->str.n || it->str.n == 0);

		if (it->type == JSON_OBJECT) {
			put_pairs(b, it, name);
			continue;
		}
		if (it->type == JSON_NULL ||
		    (it->type == JSON_ARRAY && it->child != NULL &&
			it->child->type == JSON_OBJECT))
			continue;
		if (b->len > 0)
			buf_char(b, ' ');
		buf_printf(b, STR_FMT "=%s",
		    STR_ARG(text_clean(b->arena, name)), quoted ? "\"" : "");
		put_value(b, it);
		if (quoted)
			buf_char(b, '"');
	}
}

/* "names" of which "names_total" says that there are more */
static void
put_total(struct buf *b, const struct json *row, const char *member)
{
	struct str name = str_printf(b->arena, "%s_total", member);
	const struct json *total = json_get(row, name.p);

	if (total != NULL && total->type == JSON_INT)
		buf_printf(b, ", ... (%lld)", (long long)total->num);
}

static struct str
value_text(struct ctl *ctl, const struct json *row, const struct column *c)
{
	struct buf b = buf_new(ctl->arena, TEXT_MAX);
	const struct json *j = json_get(row, c->member);
	int64_t at;

	if (j == NULL)
		return STR("");
	if (c->kind == COLUMN_TIME && j->type == JSON_STRING &&
	    when_parse_rfc3339(j->str, &at))
		return text_time(ctl->arena, at, ctl->now);
	if (c->kind == COLUMN_MOMENT && j->type == JSON_STRING &&
	    when_parse_rfc3339(j->str, &at))
		return text_moment(ctl->arena, at, ctl->now);
	if (c->kind == COLUMN_PAIRS && j->type == JSON_OBJECT) {
		put_pairs(&b, j, STR(""));
		return buf_view(&b);
	}
	if (c->kind == COLUMN_SPAN && j->type == JSON_INT)
		return text_span(ctl->arena, j->num);
	put_value(&b, j);
	put_total(&b, row, c->member);
	return buf_view(&b);
}

/* ---- tables */

void
print_cells(struct ctl *ctl, const struct json *row, const struct column *c,
    struct cell *out)
{
	for (size_t i = 0; c[i].member != NULL; i++) {
		out[i].text = value_text(ctl, row, &c[i]);
		out[i].paint = ctl->colour && c[i].kind == COLUMN_STATUS ?
		    text_paint(out[i].text) :
		    NULL;
		if (out[i].text.n == 0)
			out[i].text = STR("-");
	}
}

void
print_table_row(struct ctl *ctl, struct table *t, const struct cell *row)
{
	struct buf b = buf_new(ctl->arena, TEXT_MAX);

	if (row == NULL)
		table_write_head(&b, t);
	else
		table_write_row(&b, t, row);
	(void)fwrite(b.p, 1, b.len, stdout);
}

void
print_rows(struct ctl *ctl, const char *heading, const struct json *list,
    const struct column *columns)
{
	struct cell row[TABLE_COLUMNS_MAX];
	struct table t;

	if (list == NULL || list->child == NULL)
		return;
	table_init(&t, columns);
	json_each(it, list) {
		print_cells(ctl, it, columns, row);
		table_fit(&t, row);
	}
	if (heading != NULL)
		printf("\n%s\n", heading);
	print_table_row(ctl, &t, NULL);
	json_each(it, list) {
		print_cells(ctl, it, columns, row);
		print_table_row(ctl, &t, row);
	}
}

/* ---- one object */

void
print_fields(struct ctl *ctl, const struct json *j, const struct column *c)
{
	struct cell value[2] = { { .paint = NULL } };

	for (; c->member != NULL; c++) {
		struct column one[2] = { *c, { .member = NULL } };

		if (value_text(ctl, j, c).n == 0)
			continue;
		print_cells(ctl, j, one, value);
		printf("%-*s", LABEL_WIDTH, c->title);
		if (value[0].paint != NULL)
			fputs(value[0].paint, stdout);
		(void)fwrite(value[0].text.p, 1, value[0].text.n, stdout);
		if (value[0].paint != NULL)
			fputs(PAINT_END, stdout);
		putchar('\n');
	}
}

void
print_messages(const struct json *j)
{
	json_each(m, json_get(j, "messages")) {
		print_text(json_get_str(m, "text"));
		putchar('\n');
	}
}
