/* SPDX-License-Identifier: ISC */
/* JSON: what was read can be written, and reads the same again. */
#include "fuzz.h"

#include "base/json.h"

enum { TEXT_MAX = 1 << 20 };

static void
write_value(struct json_writer *w, const char *name, const struct json *j)
{
	switch (j->type) {
	case JSON_NULL:
		json_null(w, name);
		break;
	case JSON_BOOL:
		json_bool(w, name, j->num != 0);
		break;
	case JSON_INT:
		json_int(w, name, j->num);
		break;
	case JSON_NUMBER:
		json_raw(w, name, j->str);
		break;
	case JSON_STRING:
		json_str(w, name, j->str);
		break;
	case JSON_ARRAY:
		json_open_array(w, name);
		json_each(it, j)
			write_value(w, NULL, it);
		json_close(w);
		break;
	case JSON_OBJECT:
		json_open_object(w, name);
		json_each(it, j)
			write_value(w, it->name.p, it);
		json_close(w);
		break;
	}
}

/* Within the bounds that json.h promises; the same on both sides. */
static void
compare(const struct json *a, const struct json *b, int depth)
{
	const struct json *y = b->child;
	size_t n = 0;

	PROMISE(depth <= JSON_DEPTH_MAX);
	PROMISE(a->type == b->type && a->n == b->n && a->num == b->num);
	PROMISE(str_eq(a->name, b->name));
	/* an integer has more than one text: -0 */
	PROMISE(a->type == JSON_INT || str_eq(a->str, b->str));
	PROMISE(str_is_text(a->name) && str_is_text(a->str));
	PROMISE(a->type != JSON_OBJECT || a->n <= JSON_MEMBERS_MAX);
	json_each(x, a) {
		PROMISE(y != NULL);
		if (a->type == JSON_OBJECT)
			PROMISE(json_get(a, x->name.p) == x);
		compare(x, y, depth + 1);
		y = y->next;
		n++;
	}
	PROMISE(y == NULL && n == a->n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	const struct json *j, *again;
	struct json_writer *w;
	const char *why = NULL;

	j = json_parse(a, str_make(data, size), &why);
	if (j == NULL) {
		PROMISE(why != NULL);
	} else {
		w = json_writer_new(a, TEXT_MAX);
		write_value(w, NULL, j);
		again = json_parse(a, json_text(w), &why);
		PROMISE(again != NULL);
		compare(j, again, 0);
	}
	arena_destroy(a);
	return 0;
}
