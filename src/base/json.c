/* SPDX-License-Identifier: ISC */
/* JSON over yajl: a strict tree reader and a sticky writer. */
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

#include "base/buf.h"

/* ---- memory: yajl allocates from the arena and never frees */

/* realloc must know the old size, so each piece carries it in front. */
struct piece {
	size_t size;
	size_t pad; /* keeps data aligned */
};

static void *
piece_alloc(void *arena, size_t size)
{
	struct piece *p = arena_alloc(arena, sizeof(*p) + size);

	p->size = size;
	return p + 1;
}

static void *
piece_realloc(void *arena, void *old, size_t size)
{
	void *p = piece_alloc(arena, size);
	size_t had = old != NULL ? ((struct piece *)old - 1)->size : 0;

	if (old != NULL)
		memcpy(p, old, had < size ? had : size);
	return p;
}

static void
piece_free(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

static yajl_alloc_funcs
arena_funcs(struct arena *a)
{
	return (yajl_alloc_funcs){ .malloc = piece_alloc,
		.realloc = piece_realloc,
		.free = piece_free,
		.ctx = a };
}

/* ---- reading */

struct reader {
	struct arena *arena;
	struct json_bounds bounds;
	struct json *open[JSON_DEPTH_MAX];  /* containers not yet closed */
	struct json **tail[JSON_DEPTH_MAX]; /* where the next child goes */
	size_t depth, nodes;
	struct str name; /* of the member that follows */
	struct json *root;
	const char *why;
};

static int
reject(struct reader *r, const char *why)
{
	r->why = why;
	return 0;
}

static struct json *
add_node(struct reader *r, enum json_type type)
{
	struct json *j;

	if (++r->nodes > r->bounds.nodes) {
		reject(r, "too many JSON values");
		return NULL;
	}
	j = arena_new(r->arena, struct json);
	j->type = type;
	if (r->depth == 0) {
		r->root = j;
		return j;
	}
	j->name = r->name;
	r->name = STR_NONE;
	r->open[r->depth - 1]->n++;
	*r->tail[r->depth - 1] = j;
	r->tail[r->depth - 1] = &j->next;
	return j;
}

static int
open_container(struct reader *r, enum json_type type)
{
	struct json *j;

	if (r->depth == JSON_DEPTH_MAX)
		return reject(r, "JSON nested too deeply");
	if ((j = add_node(r, type)) == NULL)
		return 0;
	r->open[r->depth] = j;
	r->tail[r->depth++] = &j->child;
	return 1;
}

static int
on_null(void *arg)
{
	return add_node(arg, JSON_NULL) != NULL;
}

static int
on_bool(void *arg, int v)
{
	struct json *j = add_node(arg, JSON_BOOL);

	if (j != NULL)
		j->num = v;
	return j != NULL;
}

static int
on_number(void *arg, const char *p, size_t n)
{
	struct reader *r = arg;
	struct json *j = add_node(r, JSON_NUMBER);
	char text[24];

	if (j == NULL)
		return 0;
	j->str = str_dup(r->arena, str_make(p, n));
	if (n >= sizeof(text) || strpbrk(j->str.p, ".eE") != NULL)
		return 1;
	memcpy(text, p, n);
	text[n] = '\0';
	errno = 0;
	j->num = strtoll(text, NULL, 10);
	if (errno == 0)
		j->type = JSON_INT;
	return 1;
}

static int
on_string(void *arg, const unsigned char *p, size_t n)
{
	struct reader *r = arg;
	struct json *j = add_node(r, JSON_STRING);

	if (j == NULL)
		return 0;
	j->str = str_dup(r->arena, str_make(p, n));
	return str_is_text(j->str) ?
	    1 :
	    reject(r, "a JSON string holds NUL or bad UTF-8");
}

static int
on_key(void *arg, const unsigned char *p, size_t n)
{
	struct reader *r = arg;
	struct str name = str_dup(r->arena, str_make(p, n));

	if (!str_is_text(name))
		return reject(r, "a member name holds NUL or bad UTF-8");
	if (r->open[r->depth - 1]->n >= r->bounds.members)
		return reject(r, "too many members in a JSON object");
	json_each(it, r->open[r->depth - 1])
		if (str_eq(it->name, name))
			return reject(r, "a member name occurs twice");
	r->name = name;
	return 1;
}

static int
on_open_object(void *arg)
{
	return open_container(arg, JSON_OBJECT);
}

static int
on_open_array(void *arg)
{
	return open_container(arg, JSON_ARRAY);
}

static int
on_close(void *arg)
{
	struct reader *r = arg;

	r->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_open_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_close,
	.yajl_start_array = on_open_array,
	.yajl_end_array = on_close,
};

/* The four digits behind "\\u" at s, or -1. */
static int
read_escape(struct str s)
{
	int v = 0;

	if (s.n < 6 || s.p[0] != '\\' || s.p[1] != 'u')
		return -1;
	for (size_t i = 2; i < 6; i++) {
		char c = s.p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' :
		    (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ?
						   (c | 0x20) - 'a' + 10 :
						   -1;

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

/* yajl turns half of a surrogate pair into a question mark; we refuse it. */
static bool
has_lone_surrogate(struct str s)
{
	int v;

	for (; s.n > 1; s = str_skip(s, 1)) {
		size_t at = str_find(s, '\\');

		s = str_skip(s, at);
		if ((v = read_escape(s)) < 0) {
			s = str_skip(s, 1); /* and the letter behind it */
			continue;
		}
		if (v >= 0xdc00 && v <= 0xdfff)
			return true;
		s = str_skip(s, 5);
		if (v < 0xd800 || v > 0xdbff)
			continue;
		v = read_escape(str_skip(s, 1));
		if (v < 0xdc00 || v > 0xdfff)
			return true;
		s = str_skip(s, 6);
	}
	return false;
}

const struct json *
json_parse(struct arena *a, struct str s, const char **why)
{
	static const struct json_bounds bounds = { .nodes = JSON_NODES_MAX,
		.members = JSON_MEMBERS_MAX };

	return json_parse_within(a, s, &bounds, why);
}

const struct json *
json_parse_within(struct arena *a, struct str s,
    const struct json_bounds *bounds, const char **why)
{
	struct reader *r = arena_new(a, struct reader);
	yajl_alloc_funcs funcs = arena_funcs(a);
	yajl_handle h;
	bool ok;

	r->arena = a;
	r->bounds = *bounds;
	r->why = "not valid JSON";
	h = yajl_alloc(&callbacks, &funcs, r);
	ok = s.n > 0 &&
	    yajl_parse(h, (const unsigned char *)s.p, s.n) == yajl_status_ok &&
	    yajl_complete_parse(h) == yajl_status_ok && r->root != NULL;
	if (!ok && why != NULL)
		*why = r->why;
	yajl_free(h);
	if (ok && has_lone_surrogate(s)) {
		if (why != NULL)
			*why = "a JSON string holds half of a character";
		return NULL;
	}
	return ok ? r->root : NULL;
}

const struct json *
json_get(const struct json *j, const char *name)
{
	if (j == NULL || j->type != JSON_OBJECT)
		return NULL;
	json_each(it, j)
		if (str_is(it->name, name))
			return it;
	return NULL;
}

struct str
json_get_str(const struct json *j, const char *name)
{
	const struct json *m = json_get(j, name);

	return m != NULL && m->type == JSON_STRING ? m->str : STR_NONE;
}

/* ---- writing */

struct json_writer {
	struct buf out;
	yajl_gen gen;
	bool bad;
	char kinds[JSON_DEPTH_MAX]; /* '{' or '[' */
	size_t depth;
};

static void
emit(void *arg, const char *p, size_t n)
{
	struct json_writer *w = arg;

	buf_put(&w->out, p, n);
}

struct json_writer *
json_writer_new(struct arena *a, size_t max)
{
	struct json_writer *w = arena_new(a, struct json_writer);
	yajl_alloc_funcs funcs = arena_funcs(a);

	w->out = buf_new(a, max);
	w->gen = yajl_gen_alloc(&funcs);
	yajl_gen_config(w->gen, yajl_gen_print_callback, emit, w);
	return w;
}

static void
check(struct json_writer *w, yajl_gen_status st)
{
	if (st != yajl_gen_status_ok)
		w->bad = true;
}

static void
put_text(struct json_writer *w, struct str s)
{
	check(w,
	    yajl_gen_string(w->gen,
		(const unsigned char *)(s.p != NULL ? s.p : ""), s.n));
}

static void
put_name(struct json_writer *w, const char *name)
{
	if (name != NULL)
		put_text(w, str_from(name));
}

static void
open_kind(struct json_writer *w, char kind)
{
	if (w->depth == JSON_DEPTH_MAX) {
		w->bad = true;
		return;
	}
	w->kinds[w->depth++] = kind;
	check(w,
	    kind == '{' ? yajl_gen_map_open(w->gen) :
			  yajl_gen_array_open(w->gen));
}

void
json_open_object(struct json_writer *w, const char *name)
{
	put_name(w, name);
	open_kind(w, '{');
}

void
json_open_array(struct json_writer *w, const char *name)
{
	put_name(w, name);
	open_kind(w, '[');
}

void
json_close(struct json_writer *w)
{
	if (w->depth == 0) {
		w->bad = true;
		return;
	}
	check(w,
	    w->kinds[--w->depth] == '{' ? yajl_gen_map_close(w->gen) :
					  yajl_gen_array_close(w->gen));
}

void
json_str(struct json_writer *w, const char *name, struct str s)
{
	put_name(w, name);
	put_text(w, s);
}

void
json_int(struct json_writer *w, const char *name, int64_t v)
{
	put_name(w, name);
	check(w, yajl_gen_integer(w->gen, v));
}

void
json_bool(struct json_writer *w, const char *name, bool v)
{
	put_name(w, name);
	check(w, yajl_gen_bool(w->gen, v));
}

void
json_null(struct json_writer *w, const char *name)
{
	put_name(w, name);
	check(w, yajl_gen_null(w->gen));
}

void
json_raw(struct json_writer *w, const char *name, struct str s)
{
	put_name(w, name);
	/* yajl puts the text of a "number" in unquoted */
	check(w, yajl_gen_number(w->gen, s.p, s.n));
}

struct str
json_text(const struct json_writer *w)
{
	if (w->bad || w->out.full || w->depth != 0)
		return STR_NONE;
	return buf_view(&w->out);
}
