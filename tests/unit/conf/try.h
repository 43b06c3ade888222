/* SPDX-License-Identifier: ISC */
/* Load a text and look at what came of it. */
#ifndef TESTS_UNIT_CONF_TRY_H
#define TESTS_UNIT_CONF_TRY_H

#include "../unit.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "conf/conf.h"

/* What a file needs at least. */
#define ACME "listener acme { address = \"127.0.0.1:1\" }\n"

struct
try {
	struct arena *arena;
	struct conf_errors errors;
};

static inline int
try_begin(void **state)
{
	static struct try t;

	t = (struct try){ .arena = arena_create() };
	*state = &t;
	return 0;
}

static inline int
try_end(void **state)
{
	struct try *t = *state;

	arena_destroy(t->arena);
	return 0;
}

/* All messages, one a line: "error: ..." or "warning: ...". */
static inline const char *
try_messages(struct try *t)
{
	struct buf b = buf_new(t->arena, 1 << 16);

	for (size_t i = 0; i < t->errors.n; i++)
		buf_printf(&b, "%s: " STR_FMT "\n",
		    t->errors.v[i].is_error ? "error" : "warning",
		    STR_ARG(t->errors.v[i].text));
	buf_char(&b, '\0');
	return b.p;
}

static inline const struct conf *
try_load(struct try *t, const char *text)
{
	return conf_load_text(t->arena, "f", str_from(text), &t->errors);
}

/* It loads, without a word. */
static inline const struct conf *
try_good(struct try *t, const char *text)
{
	const struct conf *c = try_load(t, text);

	if (c == NULL || t->errors.n > 0)
		fail_msg("%s\n%s", text, try_messages(t));
	return c;
}

/* It does not load, and the messages are these. */
static inline void
try_bad(struct try *t, const char *text, const char *messages)
{
	assert_null(try_load(t, text));
	assert_string_equal(try_messages(t), messages);
	assert_true(t->errors.nerrors > 0);
}

#define TRY(name) cmocka_unit_test_setup_teardown(name, try_begin, try_end)

#endif
