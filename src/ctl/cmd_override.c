/* SPDX-License-Identifier: ISC */
/* certloopctl limit override list, set, remove */
#include "ctl/ctl.h"

static enum ctl_exit
print_overrides(struct ctl *ctl, enum ctl_exit code, const struct json *j)
{
	static const struct column columns[] = {
		{ "name", "LIMIT", COLUMN_TEXT },
		{ "on", "ON", COLUMN_TEXT },
		{ "max", "MAX", COLUMN_NUMBER },
		{ "window_seconds", "IN", COLUMN_SPAN },
		{ .member = NULL },
	};

	if (code == CTL_OK && !ctl->json)
		print_rows(ctl, NULL, json_get(j, "items"), columns);
	return code;
}

static enum ctl_exit
change(struct ctl *ctl, char **argv, const char *how)
{
	struct json_writer *w = json_writer_new(ctl->arena, 65536);
	const struct json *j = NULL;
	enum ctl_exit code;

	json_open_object(w, NULL);
	json_str(w, "limit", str_from(argv[1]));
	if (argv[2] != NULL)
		json_str(w, "value", str_from(argv[2]));
	json_close(w);
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/accounts/", argv[0], how), json_text(w), 0,
	    &j);
	return print_overrides(ctl, code, j);
}

static enum ctl_exit
run_list(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j = NULL;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "GET",
	    ctl_path(ctl, "/api/v1/accounts/", argv[0], "/limits"), STR(""), 0,
	    &j);
	return print_overrides(ctl, code, j);
}

static enum ctl_exit
run_set(struct ctl *ctl, int argc, char **argv)
{
	char *three[] = { argv[0], argv[1], argv[2] };

	(void)argc;
	return change(ctl, three, "/limits/set");
}

static enum ctl_exit
run_remove(struct ctl *ctl, int argc, char **argv)
{
	char *three[] = { argv[0], argv[1], NULL };

	(void)argc;
	return change(ctl, three, "/limits/remove");
}

const struct command limit_override_list_command = {
	.words = "limit override list",
	.args = "ACCOUNT",
	.summary = "the limits that an account has by itself",
	.min_args = 1,
	.max_args = 1,
	.run = run_list,
};

const struct command limit_override_set_command = {
	.words = "limit override set",
	.args = "ACCOUNT LIMIT VALUE",
	.summary = "give an account a limit of its own",
	.min_args = 3,
	.max_args = 3,
	.run = run_set,
};

const struct command limit_override_remove_command = {
	.words = "limit override remove",
	.args = "ACCOUNT LIMIT",
	.summary = "let the profile's limit hold again",
	.min_args = 2,
	.max_args = 2,
	.run = run_remove,
};
