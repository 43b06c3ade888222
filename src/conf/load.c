/* SPDX-License-Identifier: ISC */
/* From blocks of items to a struct conf, and the messages on the way. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_int.h"

enum { SHOWN_MAX = 60, MESSAGE_MAX = 1024 };

struct place {
	const char *file;
	int line;
	unsigned long long order;
};

static void add_message(struct conf_loader *, bool is_error, struct place,
    const char *fmt, va_list) __attribute__((format(printf, 4, 0)));

/* ---- messages */

/* Where a line of the whole text stands. Those without a line come last. */
static struct place
find_place(const struct conf_loader *l, int line)
{
	struct place at = { l->file, line,
		line > 0 ? (unsigned long long)line : ~0ull };

	for (size_t i = 0;
	     i < l->npieces && line >= l->pieces[i].from && line > 0; i++) {
		at.file = l->pieces[i].file;
		at.line = l->pieces[i].line + line - l->pieces[i].from;
	}
	if (line > 0)
		at.order |= (unsigned long long)l->file_number << 32;
	return at;
}

const char *
conf_line_text(const struct conf_loader *l, int line, int other)
{
	struct place at = find_place(l, line);

	if (strcmp(at.file, find_place(l, other).file) == 0)
		return str_printf(l->arena, "line %d", at.line).p;
	return str_printf(l->arena, "line %d of %s", at.line, at.file).p;
}

static void
add_message(struct conf_loader *l, bool is_error, struct place at,
    const char *fmt, va_list ap)
{
	struct conf_errors *e = l->errors;
	struct conf_message *m = &e->v[e->n];
	char text[MESSAGE_MAX];

	e->nerrors += is_error;
	if (e->n == CONF_MESSAGES_MAX) {
		e->dropped++;
		return;
	}
	vsnprintf(text, sizeof(text), fmt, ap);
	m->is_error = is_error;
	m->line = at.line;
	if (at.line > 0)
		m->text = str_printf(l->arena, "%s:%d: %s", at.file, at.line,
		    text);
	else
		m->text = str_printf(l->arena, "%s: %s", at.file, text);
	l->order[e->n++] = at.order;
}

void
conf_error(struct conf_loader *l, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_message(l, true, find_place(l, line), fmt, ap);
	va_end(ap);
}

void
conf_error_of(struct conf_loader *l, const char *file, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_message(l, true, (struct place){ file, 0, ~0ull }, fmt, ap);
	va_end(ap);
}

void
conf_warn(struct conf_loader *l, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_message(l, false, find_place(l, line), fmt, ap);
	va_end(ap);
}

struct str
conf_shown(struct arena *a, struct str s)
{
	struct buf b = buf_new(a, 4 * SHOWN_MAX + 8);

	for (size_t i = 0; i < s.n && i < SHOWN_MAX; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			buf_printf(&b, "\\x%02x", (unsigned char)s.p[i]);
		else
			buf_char(&b, s.p[i]);
	if (s.n > SHOWN_MAX)
		buf_str(&b, STR("..."));
	buf_char(&b, '\0');
	return str_make(b.p, b.len - 1);
}

static bool
is_behind(const struct conf_loader *l, size_t i, size_t k)
{
	const struct conf_message *v = l->errors->v;

	if (l->order[i] != l->order[k])
		return l->order[i] > l->order[k];
	return str_cmp(v[i].text, v[k].text) > 0;
}

/* In the order of lines; there are few. */
static void
sort_messages(struct conf_loader *l)
{
	struct conf_message *v = l->errors->v, m;
	unsigned long long order;

	for (size_t i = 1; i < l->errors->n; i++)
		for (size_t k = i; k > 0 && is_behind(l, k - 1, k); k--) {
			m = v[k];
			v[k] = v[k - 1];
			v[k - 1] = m;
			order = l->order[k];
			l->order[k] = l->order[k - 1];
			l->order[k - 1] = order;
		}
}

/* ---- one option */

/* Default, with the folder of our data in it. */
static struct str
default_text(struct conf_loader *l, const struct conf_row *row)
{
	static const char mark[] = "DATA_DIR";
	const char *at = strstr(row->def, mark);
	struct str dir = l->data_dir;

	if (at == NULL)
		return str_from(row->def);
	while (dir.n > 1 && dir.p[dir.n - 1] == '/')
		dir.n--;
	return str_printf(l->arena, "%.*s" STR_FMT "%s", (int)(at - row->def),
	    row->def, STR_ARG(dir), at + sizeof(mark) - 1);
}

static void
tell_bad(struct conf_loader *l, const struct conf_block *b,
    const struct conf_value *v, int line)
{
	struct str shown = conf_shown(l->arena, v->v[v->bad]);
	struct str given = v->v[v->bad];
	const char *hint = "";

	/* it may hold a password, and nobody knows where */
	if (v->row->type == CONF_STORE_URL &&
	    (str_find(given, '@') < given.n || str_find(given, '%') < given.n ||
		strstr(str_cstr(l->arena, given), "password") != NULL))
		shown = STR("********");
	if (shown.n > 0 && shown.p[shown.n - 1] == ';')
		hint = "; a value does not end with \";\"";
	conf_error(l, line,
	    "%s%s" STR_FMT "%s%s = \"" STR_FMT "\": " STR_FMT "%s",
	    b->kind->name, b->name.n > 0 ? " " : "",
	    STR_ARG(conf_shown(l->arena, b->name)),
	    b->kind->name[0] != '\0' ? ": " : "", v->row->name, STR_ARG(shown),
	    STR_ARG(v->why), hint);
}

/* Values of one option in a block; the last assignment of it counts. */
struct given {
	struct str *v;
	int *lines;
	size_t n;
};

static struct given
collect(struct conf_loader *l, const struct conf_block *b,
    const struct conf_row *row)
{
	struct given g = { 0 };
	size_t total = 0;
	int first = 0;

	for (const struct conf_item *i = b->items; i != NULL; i = i->next)
		total += i->row == row;
	g.v = arena_array(l->arena, struct str, total);
	g.lines = arena_array(l->arena, int, total);
	for (const struct conf_item *i = b->items; i != NULL; i = i->next) {
		if (i->row != row)
			continue;
		if (i->is_first && first != 0) {
			conf_error(l, i->line,
			    "option %s is given twice, first in %s", row->name,
			    conf_line_text(l, first, i->line));
			g.n = 0;
		}
		if (i->is_first)
			first = i->line;
		g.v[g.n] = i->value;
		g.lines[g.n++] = i->line;
	}
	return g;
}

/* Set the field of a row, from the block or from the default. */
static void
set_field(struct conf_loader *l, const struct conf_block *b, void *section,
    size_t i, int *lines)
{
	const struct conf_row *row = &b->kind->rows[i];
	const struct conf_type_ops *type = &conf_types[row->type];
	void *field = (char *)section + row->offset;
	struct given g = collect(l, b, row);
	struct str def = default_text(l, row);
	struct conf_value v = { .arena = l->arena,
		.row = row,
		.v = g.v,
		.n = g.n,
		.may_read = l->npieces > 0 };

	if (g.n > 0) {
		lines[i] = g.lines[0];
		if (type->parse(&v, field))
			return;
		tell_bad(l, b, &v, g.lines[v.bad]);
	}
	/* also in the place of a bad value, so that checks can go on */
	v = (struct conf_value){ .arena = l->arena,
		.row = row,
		.v = &def,
		.n = type->is_list && def.n == 0 ? 0 : 1 };
	if (def.n == 0 && !type->is_list)
		return; /* not given: zero */
	if (type->parse(&v, field))
		return;
	if (strcmp(v.v[0].p, row->def) != 0) {
		/* what comes of data_dir will not do */
		tell_bad(l, b, &v, l->data_dir_line);
	} else {
		fprintf(stderr, "default of option %s: " STR_FMT "\n",
		    row->name, STR_ARG(v.why));
		abort(); /* a .def file is wrong; a test would have told */
	}
}

static void
set_fields(struct conf_loader *l, const struct conf_block *b, void *section)
{
	int *lines = arena_array(l->arena, int, b->kind->nrows);
	struct conf_section *at = section;

	at->name = b->name.n > 0 ? b->name : STR("");
	at->line = b->line;
	at->lines = lines;
	for (size_t i = 0; i < b->kind->nrows; i++)
		set_field(l, b, section, i, lines);
}

/* ---- sections */

static bool
is_name(struct str s)
{
	if (s.n == 0 || s.n > CONF_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
			(s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-'))
			return false;
	return true;
}

/*
 * All sections of a kind as one array. Without any in the file there is one
 * named by def, if def is not NULL.
 */
static void *
load_named(struct conf_loader *l, enum conf_kind_id id, const char *def,
    size_t *n)
{
	const struct conf_kind *kind = &conf_kinds[id];
	struct conf_block none = { .kind = kind, .name = str_from(def) };
	char *all;

	*n = 0;
	for (const struct conf_block *b = l->blocks; b != NULL; b = b->next)
		*n += b->kind == kind;
	if (*n > CONF_SECTIONS_MAX) {
		conf_error(l, 0, "more than %d sections %s", CONF_SECTIONS_MAX,
		    kind->name);
		*n = 0;
		return arena_zalloc_array(l->arena, 1, kind->size);
	}
	all = arena_zalloc_array(l->arena, *n + 1, kind->size);
	if (*n == 0 && def != NULL) {
		set_fields(l, &none, all);
		*n = 1;
		return all;
	}
	*n = 0;
	for (const struct conf_block *b = l->blocks; b != NULL; b = b->next) {
		if (b->kind != kind)
			continue;
		if (!is_name(b->name))
			conf_error(l, b->line,
			    "%s \"" STR_FMT "\": a name has 1 to %d of a-z, "
			    "0-9 and -",
			    kind->name, STR_ARG(conf_shown(l->arena, b->name)),
			    CONF_NAME_MAX);
		set_fields(l, b, all + (*n)++ * kind->size);
	}
	return all;
}

/* A section without a name; several of them count as one. */
static void
load_single(struct conf_loader *l, enum conf_kind_id id, void *section)
{
	struct conf_block all = { .kind = &conf_kinds[id], .last = &all.items };

	for (struct conf_block *b = l->blocks; b != NULL; b = b->next) {
		if (b->kind != all.kind || b->items == NULL)
			continue;
		if (all.line == 0)
			all.line = b->line;
		*all.last = b->items;
		all.last = b->last;
	}
	set_fields(l, &all, section);
}

static void
load_all(struct conf_loader *l)
{
	struct conf *c = l->conf = arena_new(l->arena, struct conf);

	/* the one option that others refer to comes first */
	assert(conf_kinds[CONF_TOP].rows[0].offset ==
	    offsetof(struct conf, data_dir));
	l->data_dir = str_from(conf_kinds[CONF_TOP].rows[0].def);
	for (const struct conf_item *i = l->top.items; i != NULL; i = i->next)
		if (i->row == &conf_kinds[CONF_TOP].rows[0])
			l->data_dir = i->value, l->data_dir_line = i->line;
	set_fields(l, &l->top, c);
	c->path = str_dup(l->arena, str_from(l->file));
	load_single(l, CONF_STORE, &c->store);
	load_single(l, CONF_HTTP, &c->http);
	load_single(l, CONF_LIMITS, &c->limits);
	load_single(l, CONF_REDIS, &c->redis);
	load_single(l, CONF_DNS, &c->dns);
	c->listeners = load_named(l, CONF_LISTENER, NULL, &c->nlisteners);
	c->issuers = load_named(l, CONF_ISSUER, "local", &c->nissuers);
	c->profiles = load_named(l, CONF_PROFILE, "default", &c->nprofiles);
	c->loops = load_named(l, CONF_LOOP, NULL, &c->nloops);
	if (l->errors->nerrors == 0)
		conf_check(l); /* otherwise it would only guess */
}

/* ---- entry points */

static struct conf *
load(struct conf_loader *l)
{
	if (conf_scan_text(l, NULL)) {
		conf_parse_text(l);
		load_all(l);
	}
	sort_messages(l);
	return l->errors->nerrors == 0 ? l->conf : NULL;
}

const struct conf *
conf_load(struct arena *a, const char *path, struct conf_errors *errors)
{
	struct conf_loader l = { .arena = a, .file = path, .errors = errors };

	*errors = (struct conf_errors){ 0 };
	if (!conf_read_files(&l, path)) {
		sort_messages(&l);
		return NULL;
	}
	return load(&l);
}

const struct conf *
conf_load_text(struct arena *a, const char *name, struct str text,
    struct conf_errors *errors)
{
	struct conf_loader l = { .arena = a, .file = name, .errors = errors };

	*errors = (struct conf_errors){ 0 };
	if (text.n > CONF_FILE_MAX) {
		conf_error(&l, 0, "larger than %d bytes", CONF_FILE_MAX);
		return NULL;
	}
	l.text = str_cstr(a, text);
	l.len = text.n;
	return load(&l);
}

const struct conf *
conf_default(struct arena *a, struct conf_errors *errors)
{
	struct str text = STR("listener acme { address = 127.0.0.1:14000 }\n"
			      "listener status { kind = status\n"
			      " address = 127.0.0.1:14001 }\n");
	struct conf_loader l = { .arena = a,
		.file = "built-in",
		.errors = errors,
		.text = str_cstr(a, text),
		.len = text.n };
	struct conf *c;

	*errors = (struct conf_errors){ 0 };
	if ((c = load(&l)) != NULL)
		c->path = STR("");
	return c;
}

const struct conf_profile *
conf_find_profile(const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->nprofiles; i++)
		if (str_eq(c->profiles[i].at.name, name))
			return &c->profiles[i];
	return NULL;
}

const struct conf_listener *
conf_find_listener(const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->nlisteners; i++)
		if (str_eq(c->listeners[i].at.name, name))
			return &c->listeners[i];
	return NULL;
}

const struct conf_issuer *
conf_find_issuer(const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->nissuers; i++)
		if (str_eq(c->issuers[i].at.name, name))
			return &c->issuers[i];
	return NULL;
}
