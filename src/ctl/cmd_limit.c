/* SPDX-License-Identifier: ISC */
/* certloopctl limit show, limit reset */
#include "ctl/ctl.h"

/* ---- show: all of them, or how one key stands */

static enum ctl_exit
show_all(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "name", "LIMIT", COLUMN_TEXT },
		{ "per", "PER", COLUMN_TEXT },
		{ "on", "ON", COLUMN_TEXT },
		{ "max", "MAX", COLUMN_NUMBER },
		{ "window_seconds", "IN", COLUMN_SPAN },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	code = ctl_ask(ctl, "GET", "/api/v1/limits", STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		print_rows(ctl, NULL, json_get(j, "items"), columns);
	return code;
}

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "name", "limit", COLUMN_TEXT },
		{ "key", "key", COLUMN_TEXT },
		{ "on", "on", COLUMN_TEXT },
		{ "max", "max", COLUMN_TEXT },
		{ "window_seconds", "in", COLUMN_SPAN },
		{ "used", "used", COLUMN_TEXT },
		{ "left", "left", COLUMN_TEXT },
		{ "wait_seconds", "next one in", COLUMN_SPAN },
		{ .member = NULL },
	};
	const struct json *j;
	const char *path;
	enum ctl_exit code;

	if (argc == 0)
		return show_all(ctl);
	path = ctl_path(ctl, "/api/v1/limits/", argv[0], "");
	if (argc > 1)
		path = ctl_path(ctl, str_printf(ctl->arena, "%s?key=", path).p,
		    argv[1], "");
	code = ctl_ask(ctl, "GET", path, STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		print_fields(ctl, j, fields);
	return code;
}

const struct command limit_show_command = {
	.words = "limit show",
	.args = "[LIMIT KEY]",
	.summary = "the rate limits, or how one account or address stands",
	.max_args = 2,
	.run = run_show,
};

/* ---- reset */

static enum ctl_exit
run_reset(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j, *used;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/limits/", argv[0], "/reset"),
	    ctl_body(ctl, "key", argv[1]), 0, &j);
	if (code != CTL_OK || ctl->json)
		return code;
	used = json_get(j, "used");
	print_text(json_get_str(j, "name"));
	fputs(" of ", stdout);
	print_text(json_get_str(j, "key"));
	printf(" begins anew; %lld had been used\n",
	    used != NULL ? (long long)used->num : 0);
	return CTL_OK;
}

const struct command limit_reset_command = {
	.words = "limit reset",
	.args = "LIMIT KEY",
	.summary = "forget what an account or address has used",
	.min_args = 2,
	.max_args = 2,
	.run = run_reset,
};
