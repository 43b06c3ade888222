/* SPDX-License-Identifier: ISC */
/* certloopctl eab add, eab list, eab show, eab revoke */
#include "ctl/ctl.h"

/* ---- add */

/* False if --uses is no number; the daemon judges all else. */
static bool
write_body(struct ctl *ctl, const char *name, struct json_writer *w)
{
	const char *uses = ctl_option(ctl, "uses");
	const char *expires = ctl_option(ctl, "expires");
	const char *profile = ctl_option(ctl, "profile");
	struct str allow = str_from(ctl_option(ctl, "allow"));
	uint64_t n;

	json_open_object(w, NULL);
	json_str(w, "name", str_from(name));
	if (profile != NULL)
		json_str(w, "profile", str_from(profile));
	if (uses != NULL) {
		if (!str_u64(str_from(uses), &n) || n > INT64_MAX)
			return false;
		json_int(w, "max_uses", (int64_t)n);
	}
	if (expires != NULL)
		json_str(w, "expires", ctl_moment(ctl, expires));
	json_open_array(w, "identifiers");
	while (allow.n > 0)
		json_str(w, NULL, str_trim(str_cut(&allow, ',')));
	json_close(w);
	json_close(w);
	return true;
}

static const struct column fields[] = {
	{ "id", "key id", COLUMN_TEXT },
	{ "key", "HMAC key", COLUMN_TEXT },
	{ "name", "name", COLUMN_TEXT },
	{ "profile", "profile", COLUMN_TEXT },
	{ "status", "status", COLUMN_STATUS },
	{ "max_uses", "uses allowed", COLUMN_TEXT },
	{ "used", "used", COLUMN_TEXT },
	{ "expires", "expires", COLUMN_TIME },
	{ "identifiers", "names allowed", COLUMN_TEXT },
	{ "created", "created", COLUMN_TIME },
	{ "last_used", "last used", COLUMN_TIME },
	{ "revoked", "revoked", COLUMN_TIME },
	{ "accounts", "accounts", COLUMN_TEXT },
	{ .member = NULL },
};

static enum ctl_exit
run_add(struct ctl *ctl, int argc, char **argv)
{
	struct json_writer *w = json_writer_new(ctl->arena, 65536);
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	if (!write_body(ctl, argv[0], w)) {
		fputs("certloopctl: --uses must be a number; 0: any number\n",
		    stderr);
		return CTL_USAGE;
	}
	code = ctl_ask(ctl, "POST", "/api/v1/eab-keys", json_text(w), 0, &j);
	if (code != CTL_OK || ctl->json)
		return code;
	print_fields(ctl, j, fields);
	fputs("The HMAC key is shown only now.\n", stderr);
	return CTL_OK;
}

static const struct command_option add_options[] = {
	{ "profile", "PROFILE", "whose accounts it binds; the default one" },
	{ "uses", "N", "how many accounts, 1 unless said; 0: any number" },
	{ "expires", "WHEN", "90m, 36h, 30d, or a moment" },
	{ "allow", "NAMES", "names and prefixes, parted by commas" },
	{ .name = NULL },
};

const struct command eab_add_command = {
	.words = "eab add",
	.args = "NAME",
	.summary = "a key for external account binding",
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
		{ "profile", "PROFILE", COLUMN_TEXT },
		{ "status", "STATUS", COLUMN_STATUS },
		{ "used", "USED", COLUMN_NUMBER },
		{ "max_uses", "OF", COLUMN_NUMBER },
		{ "expires", "EXPIRES", COLUMN_TIME },
		{ "identifiers", "NAMES", COLUMN_TEXT },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	return ctl_list(ctl, "/api/v1/eab-keys", columns);
}

static const struct command_option list_options[] = {
	{ "status", "STATUS", "only valid, used, expired or revoked ones" },
	{ "profile", "PROFILE", "only those of this profile" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command eab_list_command = {
	.words = "eab list",
	.args = "",
	.summary = "the keys for external account binding",
	.options = list_options,
	.run = run_list,
};

/* ---- show */

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "GET",
	    ctl_path(ctl, "/api/v1/eab-keys/", argv[0], ""), STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		print_fields(ctl, j, fields);
	return code;
}

const struct command eab_show_command = {
	.words = "eab show",
	.args = "KEY",
	.summary = "one key, and the accounts that it has bound",
	.min_args = 1,
	.max_args = 1,
	.run = run_show,
};

/* ---- revoke */

static enum ctl_exit
run_revoke(struct ctl *ctl, int argc, char **argv)
{
	bool accounts = ctl_option(ctl, "accounts") != NULL;
	const struct json *j, *n;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/eab-keys/", argv[0], "/revoke"),
	    accounts ? STR("{\"accounts\":true}") : STR(""), 0, &j);
	if (code != CTL_OK || ctl->json)
		return code;
	fputs("key ", stdout);
	print_text(json_get_str(j, "id"));
	fputs(" is revoked: it binds no more accounts\n", stdout);
	if (accounts && (n = json_get(j, "accounts_revoked")) != NULL)
		printf("accounts revoked: %lld\n", (long long)n->num);
	return CTL_OK;
}

static const struct command_option revoke_options[] = {
	{ "accounts", NULL, "revoke the accounts that it has bound too" },
	{ .name = NULL },
};

const struct command eab_revoke_command = {
	.words = "eab revoke",
	.args = "KEY",
	.summary = "bind no more accounts by this key",
	.options = revoke_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_revoke,
};
