/* SPDX-License-Identifier: ISC */
/* certloopctl order list, order show */
#include "ctl/ctl.h"

/* ---- list */

static enum ctl_exit
run_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "id", "ID", COLUMN_TEXT },
		{ "status", "STATUS", COLUMN_STATUS },
		{ "created", "CREATED", COLUMN_TIME },
		{ "profile", "PROFILE", COLUMN_TEXT },
		{ "account", "ACCOUNT", COLUMN_TEXT },
		{ "names", "NAMES", COLUMN_TEXT },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	return ctl_list(ctl, "/api/v1/orders", columns);
}

static const struct command_option list_options[] = {
	{ "status", "STATUS",
	    "pending, ready, processing, valid or invalid ones" },
	{ "account", "ACCOUNT", "only those of this account" },
	{ "profile", "PROFILE", "only those of this profile" },
	{ "name", "NAME", "with this name, or a name below it" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command order_list_command = {
	.words = "order list",
	.args = "",
	.summary = "the orders, the newest first",
	.options = list_options,
	.run = run_list,
};

/* ---- show */

static void
print_order(struct ctl *ctl, const struct json *j)
{
	static const struct column fields[] = {
		{ "id", "order", COLUMN_TEXT },
		{ "status", "status", COLUMN_STATUS },
		{ "profile", "profile", COLUMN_TEXT },
		{ "account", "account", COLUMN_TEXT },
		{ "created", "created", COLUMN_TIME },
		{ "updated", "updated", COLUMN_TIME },
		{ "expires", "expires", COLUMN_TIME },
		{ "not_before", "asked to begin", COLUMN_TIME },
		{ "not_after", "asked to end", COLUMN_TIME },
		{ "issuer", "issuer", COLUMN_TEXT },
		{ "attempt", "attempts", COLUMN_TEXT },
		{ "lease", "claimed until", COLUMN_TIME },
		{ "replaces", "replaces", COLUMN_TEXT },
		{ .member = NULL },
	};
	static const struct column error[] = {
		{ "type", "problem", COLUMN_TEXT },
		{ "detail", "detail", COLUMN_TEXT },
		{ .member = NULL },
	};
	static const struct column certificate[] = {
		{ "id", "certificate", COLUMN_TEXT },
		{ "serial", "serial", COLUMN_TEXT },
		{ "status", "its status", COLUMN_STATUS },
		{ "not_after", "ends", COLUMN_TIME },
		{ .member = NULL },
	};

	print_fields(ctl, j, fields);
	print_fields(ctl, json_get(j, "error"), error);
	print_fields(ctl, json_get(j, "certificate"), certificate);
}

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct column names[] = {
		{ "type", "TYPE", COLUMN_TEXT },
		{ "value", "NAME", COLUMN_TEXT },
		{ .member = NULL },
	};
	static const struct column authorizations[] = {
		{ "id", "ID", COLUMN_TEXT },
		{ "status", "STATUS", COLUMN_STATUS },
		{ "value", "NAME", COLUMN_TEXT },
		{ "wildcard", "WILDCARD", COLUMN_TEXT },
		{ "validated", "VALIDATED", COLUMN_TIME },
		{ "expires", "EXPIRES", COLUMN_TIME },
		{ .member = NULL },
	};
	static const struct column decisions[] = {
		{ "at", "AT", COLUMN_MOMENT },
		{ "step", "STEP", COLUMN_TEXT },
		{ "outcome", "OUTCOME", COLUMN_STATUS },
		{ "what", "WHAT", COLUMN_TEXT },
		{ .member = NULL },
	};
	static const struct column trail[] = {
		{ "at", "AT", COLUMN_TIME },
		{ "actor", "WHO", COLUMN_TEXT },
		{ "action", "WHAT", COLUMN_TEXT },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "GET",
	    ctl_path(ctl, "/api/v1/orders/", argv[0], ""), STR(""), 0, &j);
	if (code != CTL_OK || ctl->json)
		return code;
	print_order(ctl, j);
	print_rows(ctl, "names", json_get(j, "identifiers"), names);
	print_rows(ctl, "authorizations", json_get(j, "authorizations"),
	    authorizations);
	print_rows(ctl, "decisions", json_get(j, "decisions"), decisions);
	print_rows(ctl, "trail", json_get(j, "trail"), trail);
	return CTL_OK;
}

const struct command order_show_command = {
	.words = "order show",
	.args = "ORDER",
	.summary = "one order, and what became of it",
	.min_args = 1,
	.max_args = 1,
	.run = run_show,
};
