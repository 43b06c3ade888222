/* SPDX-License-Identifier: ISC */
/* certloopctl apikey add, apikey list, apikey remove */
#include "ctl/ctl.h"

/* ---- add */

static enum ctl_exit
run_add(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "name", "name", COLUMN_TEXT },
		{ "id", "id", COLUMN_TEXT },
		{ "scope", "scope", COLUMN_TEXT },
		{ "expires", "expires", COLUMN_TIME },
		{ "key", "API key", COLUMN_TEXT },
		{ .member = NULL },
	};
	struct json_writer *w = json_writer_new(ctl->arena, 65536);
	const char *expires = ctl_option(ctl, "expires");
	const char *scope = ctl_option(ctl, "scope");
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	json_open_object(w, NULL);
	json_str(w, "name", str_from(argv[0]));
	json_str(w, "scope", str_from(scope != NULL ? scope : "read"));
	if (expires != NULL)
		json_str(w, "expires", ctl_moment(ctl, expires));
	json_close(w);
	code = ctl_ask(ctl, "POST", "/api/v1/api-keys", json_text(w), 0, &j);
	if (code != CTL_OK || ctl->json)
		return code;
	print_fields(ctl, j, fields);
	fputs("The API key is shown only now.\n", stderr);
	return CTL_OK;
}

static const struct command_option add_options[] = {
	{ "scope", "SCOPE", "read (unless said), operate or admin" },
	{ "expires", "WHEN", "90m, 36h, 30d, or a moment; never unless said" },
	{ .name = NULL },
};

const struct command apikey_add_command = {
	.words = "apikey add",
	.args = "NAME",
	.summary = "a key for the admin API by TLS",
	.options = add_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_add,
};

/* ---- list */

static enum ctl_exit
run_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "id", "ID", COLUMN_TEXT },
		{ "name", "NAME", COLUMN_TEXT },
		{ "scope", "SCOPE", COLUMN_TEXT },
		{ "status", "STATUS", COLUMN_STATUS },
		{ "last_used", "LAST USED", COLUMN_TIME },
		{ "expires", "EXPIRES", COLUMN_TIME },
		{ "created", "CREATED", COLUMN_TIME },
		{ "created_by", "BY", COLUMN_TEXT },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	return ctl_list(ctl, "/api/v1/api-keys", columns);
}

static const struct command_option list_options[] = {
	{ "status", "STATUS", "only valid, expired or removed ones" },
	{ "scope", "SCOPE", "only those of this scope" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command apikey_list_command = {
	.words = "apikey list",
	.args = "",
	.summary = "the keys for the admin API",
	.options = list_options,
	.run = run_list,
};

/* ---- remove */

static enum ctl_exit
run_remove(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/api-keys/", argv[0], "/remove"), STR(""), 0,
	    &j);
	if (code != CTL_OK || ctl->json)
		return code;
	fputs("API key ", stdout);
	print_text(json_get_str(j, "name"));
	fputs(" is removed: nothing is answered to it any more\n", stdout);
	return CTL_OK;
}

const struct command apikey_remove_command = {
	.words = "apikey remove",
	.args = "KEY",
	.summary = "accept a key no more",
	.min_args = 1,
	.max_args = 1,
	.run = run_remove,
};
