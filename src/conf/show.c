/* SPDX-License-Identifier: ISC */
/* A configuration as it is in effect, and what two of them differ in. */
#include <string.h>

#include "conf/conf_int.h"

enum { VALUE_MAX = 1 << 20 };

/* ---- entries */

/* An entry with what it must not show, for comparing. */
struct full_entry {
	struct conf_entry e;
	const struct conf_kind *kind;
	struct str secret; /* the value with passwords */
};

struct walk {
	struct arena *arena;
	struct full_entry *all;
	size_t n;
};

static void
count_section(void *arg, const struct conf_kind *kind, const void *section)
{
	struct walk *w = arg;

	(void)section;
	w->n += kind->nrows;
}

static struct str
print_value(struct arena *a, const struct conf_row *row, const void *section)
{
	struct buf b = buf_new(a, VALUE_MAX);

	conf_types[row->type].print(&b, (const char *)section + row->offset);
	return b.len > 0 ? buf_view(&b) : STR("");
}

static void
add_section(void *arg, const struct conf_kind *kind, const void *section)
{
	const struct conf_section *at = section;
	struct walk *w = arg;

	for (size_t i = 0; i < kind->nrows; i++) {
		const struct conf_row *row = &kind->rows[i];
		const void *field = (const char *)section + row->offset;
		struct full_entry *e = &w->all[w->n++];

		e->kind = kind;
		e->e = (struct conf_entry){
			.section = kind->name,
			.name = at->name,
			.option = row->name,
			.value = print_value(w->arena, row, section),
			.help = row->help,
			.given = at->lines[i] != 0,
			.live = row->live,
		};
		e->secret = row->type == CONF_STORE_URL ?
		    *(const struct str *)field :
		    e->e.value;
	}
}

static struct walk
walk(struct arena *a, const struct conf *c)
{
	struct walk w = { .arena = a };

	conf_each_section(c, count_section, &w);
	w.all = arena_array(a, struct full_entry, w.n);
	w.n = 0;
	conf_each_section(c, add_section, &w);
	return w;
}

const struct conf_entry *
conf_entries(struct arena *a, const struct conf *c, size_t *n)
{
	struct walk w = walk(a, c);
	struct conf_entry *all = arena_array(a, struct conf_entry, w.n);

	for (size_t i = 0; i < w.n; i++)
		all[i] = w.all[i].e;
	*n = w.n;
	return all;
}

/* ---- as a file */

static void
write_section(void *arg, const struct conf_kind *kind, const void *section)
{
	const struct conf_section *at = section;
	const char *indent = kind->name[0] != '\0' ? "\t" : "";
	struct arena *a = arena_create();
	struct buf *out = arg;

	if (kind->name[0] != '\0')
		buf_printf(out, "\n%s%s" STR_FMT " {\n", kind->name,
		    at->name.n > 0 ? " " : "", STR_ARG(at->name));
	for (size_t i = 0; i < kind->nrows; i++) {
		struct str value = print_value(a, &kind->rows[i], section);

		if (value.n > 0)
			buf_printf(out, "%s%s%s = " STR_FMT "\n", indent,
			    at->lines[i] != 0 ? "" : "#", kind->rows[i].name,
			    STR_ARG(value));
	}
	if (kind->name[0] != '\0')
		buf_str(out, STR("}\n"));
	arena_destroy(a);
}

void
conf_write(struct buf *out, const struct conf *c)
{
	conf_each_section(c, write_section, out);
}

/* ---- differences */

static bool
is_same_section(const struct full_entry *a, const struct full_entry *b)
{
	return a->kind == b->kind && str_eq(a->e.name, b->e.name);
}

/* Where the section of e begins in w; NULL if it has none like it. */
static const struct full_entry *
find_section(const struct walk *w, const struct full_entry *e)
{
	for (size_t i = 0; i < w->n; i += w->all[i].kind->nrows)
		if (is_same_section(&w->all[i], e))
			return &w->all[i];
	return NULL;
}

struct diff {
	struct conf_change *all;
	size_t n;
};

static void
add_change(struct diff *d, const struct full_entry *e, const char *option,
    struct str before, struct str after, bool live)
{
	d->all[d->n++] = (struct conf_change){
		.section = e->e.section,
		.name = e->e.name,
		.option = option,
		.before = before,
		.after = after,
		.live = live,
	};
}

const struct conf_change *
conf_diff(struct arena *a, const struct conf *before, const struct conf *after,
    size_t *n)
{
	struct walk old = walk(a, before), new = walk(a, after);
	struct diff d = { .all = arena_array(a, struct conf_change,
			      old.n + new.n + 1) };

	for (size_t i = 0; i < old.n; i += old.all[i].kind->nrows) {
		const struct full_entry *was = &old.all[i];
		const struct full_entry *is = find_section(&new, was);

		if (is == NULL) {
			add_change(&d, was, NULL, STR(""), STR_NONE,
			    was->kind->live);
			continue;
		}
		for (size_t k = 0; k < was->kind->nrows; k++)
			if (!str_eq(was[k].secret, is[k].secret))
				add_change(&d, was, was[k].e.option,
				    was[k].e.value, is[k].e.value,
				    was[k].e.live);
	}
	for (size_t i = 0; i < new.n; i += new.all[i].kind->nrows)
		if (find_section(&old, &new.all[i]) == NULL)
			add_change(&d, &new.all[i], NULL, STR_NONE, STR(""),
			    new.all[i].kind->live);
	*n = d.n;
	return d.all;
}
