/* SPDX-License-Identifier: ISC */
/* The local issuer: what it plans, and what its certificates hold. */
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/when.h"
#include "issuer/issuer.h"
#include "loop/loop.h"

struct world {
	struct arena *arena;
	struct loop *loop;
	struct issuer *issuer;
	struct issuer_local_options options;
	char dir[32];
	int64_t now;
};

static const char *
put(struct world *w, const char *name, struct str text)
{
	const char *path = str_printf(w->arena, "%s/%s", w->dir, name).p;
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pki_made root;
	const char *why;

	w->arena = arena_create();
	w->loop = loop_new();
	w->now = when_now();
	strcpy(w->dir, "local_test.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_null(
	    pki_make_root(w->arena, STR("Test"), w->now / WHEN_SECOND, &root));
	w->options = (struct issuer_local_options){ .name = "local",
		.loop = w->loop,
		.cert_file = put(w, "cert",
		    pki_write_pem(w->arena, "CERTIFICATE", root.der)),
		.key_file = put(w, "key", pki_write_key(w->arena, root.key)),
		.backdate = WHEN_HOUR };
	assert_int_equal(chmod(w->options.key_file, 0600), 0);
	w->issuer = issuer_local_new(&w->options, w->arena, &why);
	if (w->issuer == NULL)
		fail_msg("%s", why);
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	issuer_free(w->issuer);
	unlink(w->options.cert_file);
	unlink(w->options.key_file);
	rmdir(w->dir);
	loop_free(w->loop);
	arena_destroy(w->arena);
	free(w);
	return 0;
}

/* ---- what is planned */

static void
a_life_begins_before_now_and_lasts_as_long_as_it_may(void **state)
{
	struct world *w = *state;
	int64_t first, last, lifetime = 24 * WHEN_HOUR;

	assert_true(
	    issuer_plan_validity(w->issuer, w->now, lifetime, &first, &last));
	assert_in_range(w->now - first, WHEN_HOUR, WHEN_HOUR + WHEN_SECOND);
	assert_int_equal(last - first + WHEN_SECOND, lifetime);
	assert_int_equal(first % WHEN_SECOND, 0);
}

/* What is over before it begins is of no use to anybody. */
static void
a_short_life_is_backdated_by_a_tenth(void **state)
{
	struct world *w = *state;
	int64_t first, last, lifetime = 5 * WHEN_MINUTE;

	assert_true(
	    issuer_plan_validity(w->issuer, w->now, lifetime, &first, &last));
	assert_in_range(w->now - first, 30 * WHEN_SECOND, 31 * WHEN_SECOND);
	assert_int_equal(last - first + WHEN_SECOND, lifetime);
}

static void
no_life_outlasts_the_issuers(void **state)
{
	struct world *w = *state;
	int64_t first, last, end = issuer_local_ca(w->issuer)->cert.not_after;

	assert_true(issuer_plan_validity(w->issuer, w->now,
	    40 * 365 * 24 * WHEN_HOUR, &first, &last));
	assert_int_equal(last, end * WHEN_SECOND);
	assert_false(issuer_plan_validity(w->issuer, (end + 1) * WHEN_SECOND,
	    WHEN_HOUR, &first, &last));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_life_begins_before_now_and_lasts_as_long_as_it_may),
		TEST(a_short_life_is_backdated_by_a_tenth),
		TEST(no_life_outlasts_the_issuers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
