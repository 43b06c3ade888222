/* SPDX-License-Identifier: ISC */
/* certloopctl issuer list, issuer show, issuer test */
#include "ctl/ctl.h"

/* ---- list: there are never so many that it needs pages */

static enum ctl_exit
run_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "name", "NAME", COLUMN_TEXT },
		{ "type", "TYPE", COLUMN_TEXT },
		{ "state", "STATE", COLUMN_TEXT },
		{ "not_after", "ENDS", COLUMN_TIME },
		{ "address", "ADDRESS", COLUMN_TEXT },
		{ "profiles", "PROFILES", COLUMN_TEXT },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_ask(ctl, "GET", "/api/v1/issuers", STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		print_rows(ctl, NULL, json_get(j, "items"), columns);
	return code;
}

const struct command issuer_list_command = {
	.words = "issuer list",
	.args = "",
	.summary = "the issuers of the configuration",
	.run = run_list,
};

/* ---- show */

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "name", "issuer", COLUMN_TEXT },
		{ "type", "type", COLUMN_TEXT },
		{ "profiles", "profiles", COLUMN_TEXT },
		{ "state", "state", COLUMN_TEXT },
		{ "trouble", "trouble", COLUMN_TEXT },
		{ "subject", "subject", COLUMN_TEXT },
		{ "not_after", "ends", COLUMN_TIME },
		{ "key", "key", COLUMN_TEXT },
		{ "key_sha256", "key SHA-256", COLUMN_TEXT },
		{ "address", "address", COLUMN_TEXT },
		{ "mount", "mount", COLUMN_TEXT },
		{ "role", "role", COLUMN_TEXT },
		{ "namespace", "namespace", COLUMN_TEXT },
		{ .member = NULL },
	};
	static const struct column chain[] = {
		{ "subject", "SUBJECT", COLUMN_TEXT },
		{ "not_before", "BEGINS", COLUMN_TIME },
		{ "not_after", "ENDS", COLUMN_TIME },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "GET",
	    ctl_path(ctl, "/api/v1/issuers/", argv[0], ""), STR(""), 0, &j);
	if (code != CTL_OK || ctl->json)
		return code;
	print_fields(ctl, j, fields);
	print_rows(ctl, "chain", json_get(j, "chain"), chain);
	return CTL_OK;
}

const struct command issuer_show_command = {
	.words = "issuer show",
	.args = "ISSUER",
	.summary = "one issuer and its chain",
	.min_args = 1,
	.max_args = 1,
	.run = run_show,
};

/* ---- test */

static enum ctl_exit
run_test(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "issuer", "issuer", COLUMN_TEXT },
		{ "ok", "works", COLUMN_STATUS },
		{ "class", "failure", COLUMN_TEXT },
		{ "found", "found", COLUMN_TEXT },
		{ "took_ms", "took (ms)", COLUMN_TEXT },
		{ .member = NULL },
	};
	const struct json *j, *ok;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/issuers/", argv[0], "/test"), STR(""), 0,
	    &j);
	if (code != CTL_OK)
		return code;
	if (!ctl->json)
		print_fields(ctl, j, fields);
	ok = json_get(j, "ok");
	return ok != NULL && ok->num ? CTL_OK : CTL_REFUSED;
}

const struct command issuer_test_command = {
	.words = "issuer test",
	.args = "ISSUER",
	.summary = "could it sign now? (nothing is issued)",
	.min_args = 1,
	.max_args = 1,
	.run = run_test,
};
