/* SPDX-License-Identifier: ISC */
/* Files that include others: what is read, in which order, and where what is
 * wrong is said to stand. */
#include "try.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/include_testXXXXXX";

static int
begin(void **state)
{
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	assert_non_null(mkdtemp(dir));
	return try_begin(state);
}

static int
end(void **state)
{
	const char *command;
	struct try *t = *state;

	command = str_printf(t->arena, "rm -rf %s", dir).p;
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
	return try_end(state);
}

static const char *
path_of(struct try *t, const char *name)
{
	return str_printf(t->arena, "%s/%s", dir, name).p;
}

static void
put(struct try *t, const char *name, const char *text)
{
	FILE *f = fopen(path_of(t, name), "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

static void
put_folder(struct try *t, const char *name)
{
	assert_int_equal(mkdir(path_of(t, name), 0700), 0);
}

static const struct conf *
load(struct try *t)
{
	return conf_load(t->arena, path_of(t, "conf"), &t->errors);
}

static const struct conf *
load_good(struct try *t)
{
	const struct conf *c = load(t);

	if (c == NULL || t->errors.n > 0)
		fail_msg("%s", try_messages(t));
	return c;
}

/* The messages are these; "@" stands for the folder. */
static void
load_bad(struct try *t, const char *messages)
{
	struct buf b = buf_new(t->arena, 1 << 16);

	assert_null(load(t));
	for (; *messages != '\0'; messages++)
		if (*messages == '@')
			buf_str(&b, str_from(dir));
		else
			buf_char(&b, *messages);
	buf_char(&b, '\0');
	assert_string_equal(try_messages(t), b.p);
}

/* ---- what is read */

static void
reads_what_a_file_includes(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	put(t, "conf",
	    "include = \"tls.conf\"\n"
	    "data_dir = \"/tmp/x\" include = 'more/profiles' log_level = warn\n"
	    "# include = \"comment\"\n"
	    "/* include = \"comment\" */");
	put_folder(t, "more");
	put(t, "tls.conf", ACME);
	put(t, "more/profiles", "profile one { }\ninclude = \"two\"");
	put(t, "more/two", "default_profile = one profile two { }");
	c = load_good(t);
	assert_int_equal(c->nprofiles, 2);
	assert_str(c->data_dir, "/tmp/x");
	assert_str(c->default_profile, "one");
	assert_int_equal(c->nlisteners, 1);
}

static void
reads_all_that_fit_in_the_order_of_their_names(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	put(t, "conf", ACME "default_profile = b include = \"conf.d/*.conf\"");
	put_folder(t, "conf.d");
	put(t, "conf.d/20.conf", "profile b { }");
	put(t, "conf.d/10.conf", "profile c { }");
	put(t, "conf.d/30.conf", "profile a { }");
	put(t, "conf.d/40.conf~", "profile not { }");
	put(t, "conf.d/.50.conf", "profile not { }");
	c = load_good(t);
	assert_int_equal(c->nprofiles, 3);
	assert_str(c->profiles[0].at.name, "c");
	assert_str(c->profiles[1].at.name, "b");
	assert_str(c->profiles[2].at.name, "a");
}

static void
needs_nothing_that_fits_a_pattern(void **state)
{
	struct try *t = *state;

	put(t, "conf", ACME "include = \"conf.d/*.conf\"");
	load_good(t);
	put_folder(t, "conf.d");
	load_good(t);
}

static void
fills_in_variables(void **state)
{
	struct try *t = *state;

	put(t, "conf",
	    "include = \"${INCLUDE_TEST}/${INCLUDE_NOT:-a}.conf\"\n"
	    "include = \"a\\*b\"\n");
	put(t, "a.conf", ACME);
	put(t, "a*b", "profile ${INCLUDE_NAME} { }");
	setenv("INCLUDE_TEST", dir, 1);
	setenv("INCLUDE_NAME", "z", 1);
	assert_str(load_good(t)->profiles[0].at.name, "z");
	unsetenv("INCLUDE_TEST");
	unsetenv("INCLUDE_NAME");
	load_bad(t,
	    "error: @/conf:1: the environment has no variable INCLUDE_TEST; "
	    "set it, or write ${INCLUDE_TEST:-DEFAULT}\n"
	    "error: @/a*b:1: the environment has no variable INCLUDE_NAME; "
	    "set it, or write ${INCLUDE_NAME:-DEFAULT}\n");
}

static void
adds_to_lists_of_other_files(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	put(t, "conf", ACME "include = \"a\"\ninclude = \"b\"\n");
	put(t, "a", "limits { on_error = deny }\n");
	put(t, "b", "limits { new_order_per_account = \"7/1h\" }\n");
	c = load_good(t);
	assert_int_equal(c->limits.new_order_per_account.max, 7);
	assert_int_equal(c->limits.on_error, CONF_ON_ERROR_DENY);
}

/* ---- where it stands */

static void
names_the_file_and_the_line(void **state)
{
	struct try *t = *state;

	put(t, "conf",
	    "# 1\ninclude = \"a\"\nhuh = 1\n"
	    "include = \"b\" log_level = loud\nport = 7");
	put(t, "a", "\n\nlog_levle = info\n" ACME);
	put(t, "b", "profile p {\n  issuer = nobody\n  nonsense = 3\n}\n\n");
	load_bad(t,
	    "error: @/a:3: there is no option log_levle; did you mean "
	    "log_level?\n"
	    "error: @/conf:3: there is no option huh\n"
	    "error: @/b:3: there is no option nonsense in a section profile\n"
	    "error: @/conf:4: log_level = \"loud\": must be error, warn, info "
	    "or debug\n"
	    "error: @/conf:5: there is no option port\n");
}

static void
names_both_files_of_what_is_given_twice(void **state)
{
	struct try *t = *state;

	put(t, "conf", ACME "\nlog_level = info\ninclude = \"a\"\n");
	put(t, "a", "\nlog_level = warn\n");
	load_bad(t,
	    "error: @/a:2: option log_level is given twice, first in line 3 of "
	    "@/conf\n");
}

static void
checks_name_the_file_and_the_line(void **state)
{
	struct try *t = *state;

	put(t, "conf", ACME "include = \"a\"\n");
	put(t, "a", "\nprofile p {\n  issuer = nobody\n}\n");
	assert_null(load(t));
	assert_non_null(strstr(try_messages(t), "/a:3: "));
}

/* ---- what will not do */

static void
refuses_what_is_not_there(void **state)
{
	struct try *t = *state;

	put(t, "conf",
	    ACME "include = \"none\"\ninclude = \"\"\n"
		 "include = \"/dev/null\"\ninclude = \".\"\n"
		 "include = \"none/*/x\"\n");
	load_bad(t,
	    "error: @/conf:2: include of @/none: No such file or directory\n"
	    "error: @/conf:3: include needs the name of a file\n"
	    "error: @/conf:4: include of /dev/null: not a regular file\n"
	    "error: @/conf:5: include of @/.: Is a directory\n");
}

static void
a_fifo_does_not_hold_it(void **state)
{
	struct try *t = *state;

	put(t, "conf", ACME "include = \"fifo\"\n");
	assert_int_equal(mkfifo(path_of(t, "fifo"), 0600), 0);
	load_bad(t, "error: @/conf:2: include of @/fifo: not a regular file\n");
}

static void
refuses_files_that_include_themselves(void **state)
{
	struct try *t = *state;

	put(t, "conf", ACME "include = \"a\"\n");
	put(t, "a", "\ninclude = \"b\"\n");
	put(t, "b", "include = \"./conf\"\n");
	load_bad(t,
	    "error: @/b:1: include of @/./conf: it is being read already, and "
	    "would include itself without end\n");
	/* twice beside each other is no circle */
	put(t, "conf", ACME "include = \"a\"\ninclude = \"a\"\n");
	put(t, "a", "# nothing\n");
	load_good(t);
}

static void
goes_so_deep_and_no_deeper(void **state)
{
	struct try *t = *state;
	char name[] = "0", text[] = "include = \"0\"\n";

	put(t, "conf", ACME "include = \"1\"\n");
	for (char c = '1'; c < '8'; c++) {
		name[0] = c;
		text[11] = (char)(c + 1);
		put(t, name, text);
	}
	put(t, "8", "log_level = warn\n");
	load_good(t);
	put(t, "8", "include = \"9\"\n");
	put(t, "9", "");
	load_bad(t,
	    "error: @/8:1: include of @/9: files cannot include others more "
	    "than 8 deep\n");
}

static void
takes_so_many_and_no_more(void **state)
{
	struct buf b;
	struct try *t = *state;

	b = buf_new(t->arena, 1 << 16);
	buf_str(&b, STR(ACME));
	for (int i = 0; i < 500; i++)
		buf_str(&b, STR("include = \"a\"\n"));
	buf_char(&b, '\0');
	put(t, "a", "");
	put(t, "conf", b.p);
	load_good(t);
	b.len--;
	buf_str(&b, STR("include = \"a\"\n"));
	buf_char(&b, '\0');
	put(t, "conf", b.p);
	load_bad(t,
	    "error: @/conf:502: include of @/a: more than 500 files are "
	    "included\n");
}

static void
all_together_are_bounded(void **state)
{
	struct try *t = *state;
	char *some = arena_alloc(t->arena, 600001);

	memset(some, '\n', 600000);
	some[600000] = '\0';
	put(t, "a", some);
	put(t, "conf", ACME "include = \"a\"\n");
	load_good(t);
	put(t, "conf", ACME "include = \"a\"\ninclude = \"a\"\n");
	load_bad(t,
	    "error: @/conf: larger than 1048576 bytes with all that it "
	    "includes\n");
}

static void
a_file_is_whole(void **state)
{
	struct try *t = *state;

	put(t, "conf", ACME "include = \"a\"\nprofile p { }\n");
	put(t, "a", "\nprofile q {\n");
	load_bad(t, "error: @/a:2: the \"{\" here has no closing \"}\"\n");
	put(t, "a", "log_level = info\n}\n");
	load_bad(t, "error: @/a:2: this \"}\" closes nothing\n");
	put(t, "a", "/* ends */ log_level = \"info\n");
	load_bad(t,
	    "error: @/a:1: the text that begins here has no closing \"\n");
}

static void
says_how_it_is_written(void **state)
{
	static const char how[] =
	    "include is written with \"=\" and quotes: include = "
	    "\"conf.d/*.conf\"\n";
	struct try *t = *state;

	put(t, "conf",
	    ACME "include \"a\"\ninclude = a\ninclude += \"a\"\n"
		 "include(\"a\")\nprofile p {\n  include = \"a\"\n}\n");
	load_bad(t,
	    str_printf(t->arena,
		"error: @/conf:2: %serror: @/conf:3: %serror: @/conf:4: "
		"%serror: @/conf:5: %serror: @/conf:7: include cannot stand "
		"inside of a section\n",
		how, how, how, how)
		.p);
	/* as a name or a value it is like any other */
	put(t, "conf", ACME "profile include { }\ndefault_profile = include\n");
	assert_str(load_good(t)->default_profile, "include");
}

static void
a_text_includes_nothing(void **state)
{
	struct try *t = *state;

	try_bad(t, ACME "include = \"/etc/passwd\"\n",
	    "error: f:2: this text cannot include files\n");
}

int
main(void)
{
#define IN(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		IN(reads_what_a_file_includes),
		IN(reads_all_that_fit_in_the_order_of_their_names),
		IN(needs_nothing_that_fits_a_pattern),
		IN(fills_in_variables),
		IN(adds_to_lists_of_other_files),
		IN(names_the_file_and_the_line),
		IN(names_both_files_of_what_is_given_twice),
		IN(checks_name_the_file_and_the_line),
		IN(refuses_what_is_not_there),
		IN(a_fifo_does_not_hold_it),
		IN(refuses_files_that_include_themselves),
		IN(goes_so_deep_and_no_deeper),
		IN(takes_so_many_and_no_more),
		IN(all_together_are_bounded),
		IN(a_file_is_whole),
		IN(says_how_it_is_written),
		TRY(a_text_includes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
