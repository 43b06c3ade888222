/* SPDX-License-Identifier: ISC */
/*
 * certloop.conf. Whatever the bytes are, the loader answers with a
 * configuration or with at least one error; and what it took in it writes
 * down so that it reads the same again.
 */
#include "fuzz.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "conf/conf.h"

static void
check_dump(struct arena *a, const struct conf *c)
{
	struct buf dump = buf_new(a, CONF_FILE_MAX);
	struct conf_errors errors;
	const struct conf *again;
	size_t n;

	conf_write(&dump, c);
	if (dump.full || memmem(dump.p, dump.len, "********", 8) != NULL)
		return; /* a password is masked, or a list is huge */
	again = conf_load_text(a, "dump", buf_view(&dump), &errors);
	PROMISE(again != NULL);
	conf_diff(a, c, again, &n);
	PROMISE(n == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct conf_errors errors;
	const struct conf *c;

	c = conf_load_text(a, "fuzz", str_make(data, size), &errors);
	PROMISE((c == NULL) == (errors.nerrors > 0));
	PROMISE(errors.n <= CONF_MESSAGES_MAX);
	PROMISE(errors.n + errors.dropped >= errors.nerrors);
	for (size_t i = 0; i < errors.n; i++)
		for (size_t k = 0; k < errors.v[i].text.n; k++)
			/* a message is one line */
			PROMISE((unsigned char)errors.v[i].text.p[k] >= ' ');
	if (c != NULL)
		check_dump(a, c);
	arena_destroy(a);
	return 0;
}
