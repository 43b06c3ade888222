/* SPDX-License-Identifier: ISC */
/* certloopctl account list, account show, account deactivate */
#include "ctl/ctl.h"

/* ---- list */

static enum ctl_exit
run_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "id", "ID", COLUMN_TEXT },
		{ "profile", "PROFILE", COLUMN_TEXT },
		{ "status", "STATUS", COLUMN_STATUS },
		{ "created", "CREATED", COLUMN_TIME },
		{ "contacts", "CONTACTS", COLUMN_TEXT },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	return ctl_list(ctl, "/api/v1/accounts", columns);
}

static const struct command_option list_options[] = {
	{ "status", "STATUS", "only valid, deactivated or revoked ones" },
	{ "profile", "PROFILE", "only those of this profile" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command account_list_command = {
	.words = "account list",
	.args = "",
	.summary = "the accounts, the newest first",
	.options = list_options,
	.run = run_list,
};

/* ---- show */

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "id", "account", COLUMN_TEXT },
		{ "profile", "profile", COLUMN_TEXT },
		{ "status", "status", COLUMN_STATUS },
		{ "created", "created", COLUMN_TIME },
		{ "contacts", "contacts", COLUMN_TEXT },
		{ "terms_agreed", "terms agreed", COLUMN_TIME },
		{ "key_thumbprint", "key thumbprint", COLUMN_TEXT },
		{ "key_version", "key version", COLUMN_TEXT },
		{ "open_orders", "open orders", COLUMN_TEXT },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "GET",
	    ctl_path(ctl, "/api/v1/accounts/", argv[0], ""), STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		print_fields(ctl, j, fields);
	return code;
}

const struct command account_show_command = {
	.words = "account show",
	.args = "ACCOUNT",
	.summary = "one account",
	.min_args = 1,
	.max_args = 1,
	.run = run_show,
};

/* ---- deactivate */

static enum ctl_exit
run_deactivate(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/accounts/", argv[0], "/deactivate"), STR(""),
	    0, &j);
	if (code == CTL_OK && !ctl->json) {
		fputs("account ", stdout);
		print_text(json_get_str(j, "id"));
		fputs(" is revoked: nothing that its key signs is accepted any "
		      "more\n",
		    stdout);
	}
	return code;
}

const struct command account_deactivate_command = {
	.words = "account deactivate",
	.args = "ACCOUNT",
	.summary = "accept nothing more from this account",
	.min_args = 1,
	.max_args = 1,
	.run = run_deactivate,
};
