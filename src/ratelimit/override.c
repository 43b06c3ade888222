/* SPDX-License-Identifier: ISC */
#include "ratelimit/override.h"

#include <inttypes.h>

#include "base/buf.h"

enum { TEXT_MAX = 1024 };

bool
override_may(enum limit_id id)
{
	return id == LIMIT_NEW_ORDER || id == LIMIT_OPEN_ORDERS ||
	    id == LIMIT_KEY_CHANGE;
}

struct str
override_names(struct arena *a)
{
	struct buf b = buf_new(a, TEXT_MAX);

	for (unsigned i = 0; i < LIMIT_COUNT; i++)
		if (override_may((enum limit_id)i))
			buf_printf(&b, "%s%s", b.len > 0 ? ", " : "",
			    limit_name((enum limit_id)i));
	return buf_view(&b);
}

bool
override_find(struct str text, enum limit_id id, struct limit *out)
{
	while (text.n > 0) {
		struct str values = str_cut(&text, ' ');
		struct str window, max, name = str_cut(&values, '=');
		uint64_t n, usec;

		if (!str_is(name, limit_name(id)))
			continue;
		window = values;
		max = str_cut(&window, '/');
		if (!str_u64(max, &n) || n > LIMIT_MAX_MAX ||
		    !str_u64(window, &usec) || usec > LIMIT_WINDOW_MAX)
			return false;
		*out = (struct limit){ .max = (unsigned)n,
			.window = (int64_t)usec };
		return true;
	}
	return false;
}

struct str
override_set(struct arena *a, struct str text, enum limit_id id,
    const struct limit *l)
{
	struct buf b = buf_new(a, TEXT_MAX);
	struct limit had;

	for (unsigned i = 0; i < LIMIT_COUNT; i++) {
		const struct limit *v = (enum limit_id)i == id ? l : &had;

		if (v == &had && !override_find(text, (enum limit_id)i, &had))
			continue;
		if (v != NULL)
			buf_printf(&b, "%s%s=%u/%" PRId64, b.len > 0 ? " " : "",
			    limit_name((enum limit_id)i), v->max, v->window);
	}
	return b.len > 0 ? buf_view(&b) : STR("");
}
