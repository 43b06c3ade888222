/* SPDX-License-Identifier: ISC */
/*
 * Lists: one page after the other until there are as many rows as asked for.
 * A page with a filter may be short, or empty, and yet have a next one.
 */
#include "ctl/ctl.h"

#include <stdio.h>

#include "base/buf.h"

enum {
	PAGE_MAX = 200, /* the daemon's bound */
	ROWS_DEFAULT = 50,
	ROW_MAX = 1 << 20, /* bytes of one row as JSON */
};

struct list {
	struct ctl *ctl;
	const char *path; /* with the filters */
	const struct column *columns;
	struct table table;
	uint64_t left, shown;
	bool lines;         /* JSON: a row is a document */
	bool begun;         /* a page has come */
	const char *cursor; /* NULL: the first page */
	const struct json *page;
	struct arena *arena; /* of this page and the one before */
};

/* ---- JSON: the rows as they came */

static void
copy_value(struct json_writer *w, const char *name, const struct json *j,
    struct arena *a)
{
	switch (j->type) {
	case JSON_NULL:
		json_null(w, name);
		return;
	case JSON_BOOL:
		json_bool(w, name, j->num != 0);
		return;
	case JSON_INT:
		json_int(w, name, j->num);
		return;
	case JSON_NUMBER:
		json_raw(w, name, j->str);
		return;
	case JSON_STRING:
		json_str(w, name, j->str);
		return;
	case JSON_ARRAY:
		json_open_array(w, name);
		json_each(it, j)
			copy_value(w, NULL, it, a);
		break;
	case JSON_OBJECT:
		json_open_object(w, name);
		json_each(it, j)
			copy_value(w, str_cstr(a, it->name), it, a);
		break;
	}
	json_close(w);
}

static void
print_value(const struct json *j)
{
	struct arena *a = arena_create();
	struct json_writer *w = json_writer_new(a, ROW_MAX);
	struct str text;

	copy_value(w, NULL, j, a);
	text = json_text(w);
	(void)fwrite(text.p, 1, text.n, stdout);
	arena_destroy(a);
}

void
ctl_print_line(const struct json *j)
{
	print_value(j);
	putchar('\n');
}

static void
print_json_rows(struct list *l)
{
	json_each(it, json_get(l->page, "items")) {
		if (l->lines) {
			ctl_print_line(it);
		} else {
			fputs(l->shown > 0 ? ",\n" : "\n", stdout);
			print_value(it);
		}
		l->shown++;
	}
}

/* ---- tables */

static void
print_table_rows(struct list *l)
{
	const struct json *items = json_get(l->page, "items");
	struct cell row[TABLE_COLUMNS_MAX];

	if (items == NULL || items->child == NULL)
		return;
	json_each(it, items) {
		print_cells(l->ctl, it, l->columns, row);
		table_fit(&l->table, row);
	}
	if (l->shown == 0)
		print_table_row(l->ctl, &l->table, NULL);
	json_each(it, items) {
		print_cells(l->ctl, it, l->columns, row);
		print_table_row(l->ctl, &l->table, row);
		l->shown++;
	}
}

/* ---- pages */

static enum ctl_exit
fetch_page(struct list *l)
{
	struct arena *mine = l->ctl->arena;
	char sep = strchr(l->path, '?') != NULL ? '&' : '?';
	unsigned n = l->left < PAGE_MAX ? (unsigned)l->left : PAGE_MAX;
	struct arena *a = arena_create();
	struct str path = str_printf(a, "%s%climit=%u%s%s", l->path, sep, n,
	    l->cursor != NULL ? "&cursor=" : "",
	    l->cursor != NULL ? l->cursor : "");
	enum ctl_exit code;

	l->ctl->arena = a; /* a page goes away with the next one */
	code = ctl_fetch(l->ctl, "GET", path.p, STR(""), 0, &l->page);
	if (code == CTL_OK) {
		struct str next = json_get_str(l->page, "next");

		l->cursor = next.p != NULL ? str_cstr(a, next) : NULL;
		if (l->ctl->json && !l->lines && !l->begun)
			fputs("{\"items\":[", stdout);
		l->begun = true;
		if (l->ctl->json)
			print_json_rows(l);
		else
			print_table_rows(l);
	}
	l->ctl->arena = mine;
	arena_destroy(l->arena);
	l->arena = a;
	return code;
}

static enum ctl_exit
parse_limit(struct ctl *ctl, struct list *l)
{
	const char *limit = ctl_option(ctl, "limit");

	l->left = ctl_option(ctl, "all") != NULL ? UINT64_MAX : ROWS_DEFAULT;
	if (limit == NULL)
		return CTL_OK;
	if (ctl_option(ctl, "all") == NULL &&
	    str_u64(str_from(limit), &l->left) && l->left > 0)
		return CTL_OK;
	fprintf(stderr,
	    "certloopctl: --limit %s will not do: give a number from 1 on, or "
	    "--all\n",
	    limit);
	return CTL_USAGE;
}

static void
print_end(struct list *l)
{
	if (l->ctl->json && !l->lines) {
		printf("],\n\"next\":");
		if (l->cursor != NULL)
			printf("\"%s\"}\n", l->cursor);
		else
			puts("null}");
		return;
	}
	(void)fflush(stdout);
	if (l->shown == 0 && !l->ctl->json)
		fputs("none\n", stderr);
	if (l->cursor != NULL)
		fprintf(stderr, "more: --cursor %s\n", l->cursor);
}

static enum ctl_exit
run_list(struct list *l)
{
	const char *from = ctl_option(l->ctl, "cursor");
	enum ctl_exit code;

	if ((code = parse_limit(l->ctl, l)) != CTL_OK)
		return code;
	if (from != NULL)
		l->cursor = ctl_path(l->ctl, "", from, "");
	table_init(&l->table, l->columns);
	do {
		uint64_t before = l->shown;

		if ((code = fetch_page(l)) != CTL_OK)
			break;
		l->left -= l->shown - before;
	} while (l->left > 0 && l->cursor != NULL);
	if (code == CTL_OK)
		print_end(l);
	arena_destroy(l->arena);
	return code;
}

enum ctl_exit
ctl_list(struct ctl *ctl, const char *path, const struct column *columns)
{
	struct list l = { .ctl = ctl,
		.path = ctl_query(ctl, path),
		.columns = columns };

	return run_list(&l);
}

enum ctl_exit
ctl_list_lines(struct ctl *ctl, const char *path, const struct column *columns)
{
	struct list l = { .ctl = ctl,
		.path = ctl_query(ctl, path),
		.columns = columns,
		.lines = true };

	return run_list(&l);
}
