/* SPDX-License-Identifier: ISC */
/* Cursors and what a query may say. */
#include "../unit.h"

#include <stdlib.h>

#include "admin/admin_int.h"
#include "base/b64url.h"

struct fx {
	struct arena *arena;
	struct admin_call call;
};

static int
setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	fx->arena = arena_create();
	fx->call.arena = fx->arena;
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *fx = *state;

	arena_destroy(fx->arena);
	free(fx);
	return 0;
}

static void
give(struct fx *fx, const char *name, const char *value)
{
	fx->call.params[fx->call.nparams].name = str_from(name);
	fx->call.params[fx->call.nparams++].value = str_from(value);
}

/* ---- cursors */

static void
a_cursor_is_read_as_it_was_written(void **state)
{
	struct fx *fx = *state;
	static const int64_t keys[] = { 0, 1, INT64_MAX };
	struct str text, id;
	int64_t key;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		text = admin_write_cursor(fx->arena, "orders", keys[i],
		    STR("a:b"));
		assert_true(
		    admin_read_cursor(fx->arena, text, "orders", &key, &id));
		assert_true(key == keys[i]);
		assert_str(id, "a:b");
	}
}

static void
a_cursor_of_another_list_is_none(void **state)
{
	struct fx *fx = *state;
	struct str text = admin_write_cursor(fx->arena, "orders", 1, STR("x"));
	struct str id;
	int64_t key;

	assert_false(
	    admin_read_cursor(fx->arena, text, "orders-of", &key, &id));
	assert_false(admin_read_cursor(fx->arena, text, "order", &key, &id));
	assert_false(admin_read_cursor(fx->arena, text, "", &key, &id));
}

static void
what_is_no_cursor_is_refused(void **state)
{
	struct fx *fx = *state;
	char *big = arena_zalloc(fx->arena, 400);
	static const char *const raw[] = { "", "l", "l:", "l:1", "l:1:", "l::x",
		"l:-1:x", "l:1x:y", "l:9223372036854775808:x",
		"l:18446744073709551616:x", "l: 1:x", "l:1:\xff" };
	struct str id, text;
	int64_t key;

	for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
		text = b64url_encode(fx->arena, str_from(raw[i]));
		assert_false(
		    admin_read_cursor(fx->arena, text, "l", &key, &id));
	}
	assert_false(admin_read_cursor(fx->arena, STR("!"), "l", &key, &id));
	assert_false(
	    admin_read_cursor(fx->arena, STR("bDoxOng="), "l", &key, &id));
	memset(big, 'x', 301);
	text = admin_write_cursor(fx->arena, "l", 1, str_from(big));
	assert_false(admin_read_cursor(fx->arena, text, "l", &key, &id));
	text = b64url_encode(fx->arena, str_make("l:1:\0x", 6));
	assert_false(admin_read_cursor(fx->arena, text, "l", &key, &id));
}

/* ---- pages */

static void
a_first_page_begins_at_either_end(void **state)
{
	struct fx *fx = *state;
	struct admin_page p;

	assert_null(admin_parse_page(&fx->call, "l", ADMIN_NEWEST_FIRST, &p));
	assert_true(p.key == INT64_MAX);
	assert_str(p.id, "~");
	assert_int_equal(p.limit, ADMIN_PAGE_DEFAULT);
	assert_null(admin_parse_page(&fx->call, "l", ADMIN_OLDEST_FIRST, &p));
	assert_true(p.key == 0);
	assert_str(p.id, "");
}

static void
a_limit_is_a_number_within_the_bounds(void **state)
{
	static const char *const bad[] = { "", "0", "201", "-1", "1.5", " 1",
		"x", "99999999999999999999" };
	struct fx *fx = *state;
	const struct problem *pr;
	struct admin_page p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fx->call.nparams = 0;
		give(fx, "limit", bad[i]);
		pr = admin_parse_page(&fx->call, "l", ADMIN_NEWEST_FIRST, &p);
		assert_non_null(pr);
		assert_int_equal(pr->type, PROBLEM_BAD_PARAMETER);
		assert_non_null(strstr(pr->detail.p, "from 1 to 200"));
	}
	fx->call.nparams = 0;
	give(fx, "limit", "200");
	assert_null(admin_parse_page(&fx->call, "l", ADMIN_NEWEST_FIRST, &p));
	assert_int_equal(p.limit, 200);
}

/* ---- filters */

static void
names_become_patterns(void **state)
{
	struct fx *fx = *state;
	struct str itself, below;

	assert_null(admin_parse_name(&fx->call, " ", " ", &itself, &below));
	assert_null(itself.p);
	assert_null(below.p);
	give(fx, "name", ".A_b.Example");
	assert_null(admin_parse_name(&fx->call, " ", " ", &itself, &below));
	assert_str(itself, "% a!_b.example %");
	assert_str(below, "%.a!_b.example %");
}

static void
what_like_would_act_on_is_no_name(void **state)
{
	static const char *const bad[] = { "%", "a%", "a!b", "a b", "a\"", "",
		"a\\", "\xc3\xa9" };
	struct fx *fx = *state;
	struct str itself, below;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fx->call.nparams = 0;
		give(fx, "name", bad[i]);
		assert_non_null(
		    admin_parse_name(&fx->call, " ", " ", &itself, &below));
		assert_null(itself.p);
	}
}

static void
words_are_compared_whole(void **state)
{
	struct fx *fx = *state;
	struct str out;

	assert_true(admin_is_word(STR("valid"), "valid revoked"));
	assert_true(admin_is_word(STR("revoked"), "valid revoked"));
	assert_false(admin_is_word(STR("val"), "valid revoked"));
	assert_false(admin_is_word(STR("valid revoked"), "valid revoked"));
	assert_false(admin_is_word(STR(""), "valid revoked"));
	give(fx, "status", "gone");
	assert_non_null(
	    admin_parse_word(&fx->call, "status", "valid revoked", &out));
}

static void
lists_of_words_are_cut_and_counted(void **state)
{
	struct fx *fx = *state;
	struct json_writer *w = json_writer_new(fx->arena, 4096);

	json_open_object(w, NULL);
	admin_write_words(w, "none", STR(""), 2);
	admin_write_words(w, "two", STR("a b"), 2);
	admin_write_words(w, "three", STR("a b c"), 2);
	json_close(w);
	assert_str(json_text(w),
	    "{\"none\":[],\"two\":[\"a\",\"b\"],"
	    "\"three\":[\"a\",\"b\"],\"three_total\":3}");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_cursor_is_read_as_it_was_written),
		T(a_cursor_of_another_list_is_none),
		T(what_is_no_cursor_is_refused),
		T(a_first_page_begins_at_either_end),
		T(a_limit_is_a_number_within_the_bounds),
		T(names_become_patterns),
		T(what_like_would_act_on_is_no_name),
		T(words_are_compared_whole),
		T(lists_of_words_are_cut_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
