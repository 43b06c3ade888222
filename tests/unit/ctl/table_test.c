/* SPDX-License-Identifier: ISC */
/* Tables that line up, and moments for people. */
#include "../unit.h"

#include <stdlib.h>

#include "base/when.h"
#include "ctl/table.h"

#define E_ACUTE "\xc3\xa9"              /* one column */
#define COMBINING "e\xcc\x81"           /* two code points, one column */
#define WIDE "\xe8\xaf\x81\xe4\xb9\xa6" /* two letters, four columns */
#define PICTURE "\xf0\x9f\x94\x92"      /* two columns */
#define JOINER "\xe2\x80\x8d"           /* none */
#define RIGHT_TO_LEFT "\xe2\x80\xae"    /* turns what follows */
#define C1_CSI "\xc2\x9b"               /* like ESC [ */

static int
setup(void **state)
{
	*state = arena_create();
	return 0;
}

static int
teardown(void **state)
{
	arena_destroy(*state);
	return 0;
}

/* ---- letters */

static void
width_counts_columns_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(text_width(STR("")), 0);
	assert_int_equal(text_width(STR("abc")), 3);
	assert_int_equal(text_width(STR(E_ACUTE)), 1);
	assert_int_equal(text_width(STR(COMBINING)), 1);
	assert_int_equal(text_width(STR(WIDE)), 4);
	assert_int_equal(text_width(STR(PICTURE)), 2);
	assert_int_equal(text_width(STR("a" JOINER "b")), 2);
}

static void
bytes_that_are_no_utf8_take_a_column_each(void **state)
{
	(void)state;
	assert_int_equal(text_width(STR("\xff\xfe")), 2);
	assert_int_equal(text_width(STR("\xc3")), 1);
	assert_int_equal(text_width(STR("\xe8\xaf")), 2);
	assert_int_equal(text_width(STR("\xf0\x9f\x94")), 3);
	assert_int_equal(text_width(STR("\x80")), 1);
}

static void
what_a_terminal_would_act_on_is_taken_out(void **state)
{
	struct arena *a = *state;

	assert_str(text_clean(a, STR("")), "");
	assert_str(text_clean(a, STR("plain, " E_ACUTE " " WIDE)),
	    "plain, " E_ACUTE " " WIDE);
	assert_str(text_clean(a, STR("\033[31m\r\n\t\x7f")), "?[31m????");
	assert_str(text_clean(a, STR(C1_CSI "2J")), "?2J");
	assert_str(text_clean(a, STR("a" RIGHT_TO_LEFT "b")), "a?b");
	assert_str(text_clean(a, STR("\xff" E_ACUTE "\xc3")), "?" E_ACUTE "?");
	assert_str(text_clean(a, str_make("a\0b", 3)), "a?b");
}

static void
known_states_are_painted_and_others_are_not(void **state)
{
	(void)state;
	assert_non_null(text_paint(STR("valid")));
	assert_non_null(text_paint(STR("revoked")));
	assert_string_not_equal(text_paint(STR("valid")),
	    text_paint(STR("revoked")));
	assert_null(text_paint(STR("valida")));
	assert_null(text_paint(STR("")));
}

/* ---- layout */

static const struct column columns[] = {
	{ "name", "NAME", COLUMN_TEXT },
	{ "n", "N", COLUMN_NUMBER },
	{ "status", "STATUS", COLUMN_STATUS },
	{ .member = NULL },
};

#define ROW(a, b, c)                                                           \
	{                                                                      \
		{ .text = { a, sizeof(a) - 1 } },                              \
		    { .text = { b, sizeof(b) - 1 } },                          \
		{                                                              \
			.text = { c, sizeof(c) - 1 }                           \
		}                                                              \
	}

static struct str
render(struct arena *a, struct cell rows[][3], size_t n)
{
	struct buf b = buf_new(a, 4096);
	struct table t;

	table_init(&t, columns);
	for (size_t i = 0; i < n; i++)
		table_fit(&t, rows[i]);
	table_write_head(&b, &t);
	for (size_t i = 0; i < n; i++)
		table_write_row(&b, &t, rows[i]);
	assert_false(b.full);
	return buf_view(&b);
}

static void
columns_are_as_wide_as_their_widest_cell(void **state)
{
	struct cell rows[][3] = { ROW("a", "1", "valid"),
		ROW("longer", "12345", "ok") };

	assert_str(render(*state, rows, 2),
	    "NAME        N  STATUS\n"
	    "a           1  valid\n"
	    "longer  12345  ok\n");
}

static void
wide_and_combining_letters_line_up(void **state)
{
	struct cell rows[][3] = { ROW(WIDE, "1", "x"), ROW("abcd", "2", "x"),
		ROW(COMBINING "bcd", "3", "x"), ROW(PICTURE, "4", "x") };

	assert_str(render(*state, rows, 4),
	    "NAME  N  STATUS\n" WIDE "  1  x\n"
	    "abcd  2  x\n" COMBINING "bcd  3  x\n" PICTURE "    4  x\n");
}

static void
lines_do_not_end_in_blanks(void **state)
{
	struct cell rows[][3] = { ROW("a", "1", ""), ROW("", "", "valid"),
		ROW("", "", "") };

	assert_str(render(*state, rows, 3),
	    "NAME  N  STATUS\n"
	    "a     1\n"
	    "         valid\n"
	    "\n");
}

static void
paint_takes_no_room(void **state)
{
	struct cell rows[][3] = { ROW("a", "1", "valid"),
		ROW("b", "2", "valid") };

	rows[0][0].paint = "\033[32m";
	assert_str(render(*state, rows, 2),
	    "NAME  N  STATUS\n"
	    "\033[32ma\033[0m     1  valid\n"
	    "b     2  valid\n");
}

static void
a_later_page_keeps_the_widths_of_the_one_before(void **state)
{
	struct cell first[] = ROW("longer", "1", "x");
	struct cell second[] = ROW("a", "1", "x");
	struct buf b = buf_new(*state, 256);
	struct table t;

	table_init(&t, columns);
	table_fit(&t, first);
	table_fit(&t, second);
	table_write_row(&b, &t, second);
	assert_str(buf_view(&b), "a       1  x\n");
}

static void
a_table_without_rows_is_its_headings(void **state)
{
	assert_str(render(*state, NULL, 0), "NAME  N  STATUS\n");
}

/* ---- moments */

static void
ages_have_one_unit(void **state)
{
	static const struct {
		int64_t seconds; /* before now */
		const char *text;
	} ages[] = {
		{ 0, "now" },
		{ 1, "1 s ago" },
		{ 119, "119 s ago" },
		{ 120, "2 min ago" },
		{ 7199, "119 min ago" },
		{ 7200, "2 h ago" },
		{ 172799, "47 h ago" },
		{ 172800, "2 d ago" },
		{ 63071999, "729 d ago" },
		{ 63072000, "2 y ago" },
		{ -1, "in 1 s" },
		{ -3600, "in 60 min" },
		{ -90 * 86400, "in 90 d" },
	};
	const int64_t now = INT64_C(1795356000) * WHEN_SECOND;

	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++)
		assert_str(text_age(*state, now - ages[i].seconds * WHEN_SECOND,
			       now),
		    ages[i].text);
}

static void
parts_of_a_second_do_not_show(void **state)
{
	assert_str(text_age(*state, 10 * WHEN_SECOND,
		       10 * WHEN_SECOND + 999999),
	    "now");
	assert_str(text_age(*state, 9 * WHEN_SECOND + 999999, 10 * WHEN_SECOND),
	    "1 s ago");
}

static void
a_moment_comes_with_its_age(void **state)
{
	int64_t at = 0;

	assert_true(when_parse_rfc3339(STR("2026-11-22T13:10:59Z"), &at));
	assert_str(text_time(*state, at, at + 3 * WHEN_MINUTE),
	    "2026-11-22 13:10 (3 min ago)");
	assert_str(text_time(*state, at, at - 3 * WHEN_DAY),
	    "2026-11-22 13:10 (in 3 d)");
}

static void
spans_have_one_unit(void **state)
{
	assert_str(text_span(*state, 0), "0 s");
	assert_str(text_span(*state, 90), "90 s");
	assert_str(text_span(*state, 3600), "60 min");
	assert_str(text_span(*state, 10800), "3 h");
	assert_str(text_span(*state, 31 * 86400), "31 d");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(width_counts_columns_not_bytes),
		T(bytes_that_are_no_utf8_take_a_column_each),
		T(what_a_terminal_would_act_on_is_taken_out),
		T(known_states_are_painted_and_others_are_not),
		T(columns_are_as_wide_as_their_widest_cell),
		T(wide_and_combining_letters_line_up),
		T(lines_do_not_end_in_blanks),
		T(paint_takes_no_room),
		T(a_later_page_keeps_the_widths_of_the_one_before),
		T(a_table_without_rows_is_its_headings),
		T(ages_have_one_unit),
		T(parts_of_a_second_do_not_show),
		T(a_moment_comes_with_its_age),
		T(spans_have_one_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
