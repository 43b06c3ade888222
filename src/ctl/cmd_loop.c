/* SPDX-License-Identifier: ISC */
/* certloopctl loop list, loop show, loop renew */
#include "ctl/ctl.h"

/* ---- list */

static enum ctl_exit
run_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "name", "NAME", COLUMN_TEXT },
		{ "state", "STATE", COLUMN_STATUS },
		{ "names", "NAMES", COLUMN_TEXT },
		{ "not_after", "EXPIRES", COLUMN_TIME },
		{ "next_attempt", "NEXT", COLUMN_TIME },
		{ "failures", "FAILURES", COLUMN_NUMBER },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	return ctl_list(ctl, "/api/v1/loops", columns);
}

static const struct command_option list_options[] = {
	{ "state", "STATE", "only new, valid, failing, paused or stopped" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command loop_list_command = {
	.words = "loop list",
	.args = "",
	.summary = "the cert loops, by name",
	.options = list_options,
	.run = run_list,
};

/* ---- show */

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "name", "loop", COLUMN_TEXT },
		{ "state", "state", COLUMN_STATUS },
		{ "source", "source", COLUMN_TEXT },
		{ "names", "names", COLUMN_TEXT },
		{ "profile", "profile", COLUMN_TEXT },
		{ "issuer", "issuer", COLUMN_TEXT },
		{ "key_type", "key type", COLUMN_TEXT },
		{ "certificate", "certificate", COLUMN_TEXT },
		{ "serial", "serial", COLUMN_TEXT },
		{ "not_before", "begins", COLUMN_TIME },
		{ "not_after", "expires", COLUMN_TIME },
		{ "renew_at", "renewal", COLUMN_TIME },
		{ "next_attempt", "next attempt", COLUMN_TIME },
		{ "lease_until", "attempt until", COLUMN_TIME },
		{ "failures", "failures", COLUMN_TEXT },
		{ "last_success", "last success", COLUMN_TIME },
		{ "last_error_at", "last error", COLUMN_TIME },
		{ "last_error", "error", COLUMN_TEXT },
		{ "version", "version", COLUMN_TEXT },
		{ .member = NULL },
	};
	static const struct column nodes[] = {
		{ "node", "NODE", COLUMN_TEXT },
		{ "delivered", "VERSION", COLUMN_NUMBER },
		{ "delivered_at", "DELIVERED", COLUMN_TIME },
		{ "failures", "FAILURES", COLUMN_NUMBER },
		{ "target", "TARGET", COLUMN_TEXT },
		{ "error", "ERROR", COLUMN_TEXT },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "GET", ctl_path(ctl, "/api/v1/loops/", argv[0], ""),
	    STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json) {
		print_fields(ctl, j, fields);
		print_rows(ctl, "nodes", json_get(j, "nodes"), nodes);
	}
	return code;
}

const struct command loop_show_command = {
	.words = "loop show",
	.args = "LOOP",
	.summary = "one cert loop, and what lies on which node",
	.min_args = 1,
	.max_args = 1,
	.run = run_show,
};

/* ---- renew */

static enum ctl_exit
run_renew(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/loops/", argv[0], "/renew"), STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json) {
		fputs("loop ", stdout);
		print_text(json_get_str(j, "name"));
		fputs(" is due: it gets a new certificate now\n", stdout);
	}
	return code;
}

const struct command loop_renew_command = {
	.words = "loop renew",
	.args = "LOOP",
	.summary = "obtain a new certificate now",
	.min_args = 1,
	.max_args = 1,
	.run = run_renew,
};
