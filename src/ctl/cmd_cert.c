/* SPDX-License-Identifier: ISC */
/* certloopctl cert list, cert show, cert revoke */
#include "ctl/ctl.h"

/* ---- list */

static enum ctl_exit
run_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "id", "ID", COLUMN_TEXT },
		{ "status", "STATUS", COLUMN_STATUS },
		{ "not_after", "ENDS", COLUMN_TIME },
		{ "profile", "PROFILE", COLUMN_TEXT },
		{ "issuer", "ISSUER", COLUMN_TEXT },
		{ "names", "NAMES", COLUMN_TEXT },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	return ctl_list(ctl, "/api/v1/certificates", columns);
}

static const struct command_option list_options[] = {
	{ "status", "STATUS", "only valid, expired or revoked ones" },
	{ "account", "ACCOUNT", "of this account, the last to end first" },
	{ "profile", "PROFILE", "only those of this profile" },
	{ "issuer", "ISSUER", "only those of this issuer" },
	{ "name", "NAME", "with this name, or a name below it" },
	{ "ends-within", "TIME",
	    "that end within 12h or 30d, the next to end first" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command cert_list_command = {
	.words = "cert list",
	.args = "",
	.summary = "the certificates, the newest first",
	.options = list_options,
	.run = run_list,
};

/* ---- show */

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "id", "certificate", COLUMN_TEXT },
		{ "serial", "serial", COLUMN_TEXT },
		{ "status", "status", COLUMN_STATUS },
		{ "names", "names", COLUMN_TEXT },
		{ "not_before", "begins", COLUMN_TIME },
		{ "not_after", "ends", COLUMN_TIME },
		{ "revoked", "revoked", COLUMN_TIME },
		{ "reason", "reason", COLUMN_TEXT },
		{ "issuer_told", "issuer told", COLUMN_TIME },
		{ "renew_from", "renew from", COLUMN_TIME },
		{ "renew_until", "renew until", COLUMN_TIME },
		{ "issuer", "issuer", COLUMN_TEXT },
		{ "profile", "profile", COLUMN_TEXT },
		{ "account", "account", COLUMN_TEXT },
		{ "order", "order", COLUMN_TEXT },
		{ "loop", "loop", COLUMN_TEXT },
		{ "key_sha256", "key SHA-256", COLUMN_TEXT },
		{ "sha256", "SHA-256", COLUMN_TEXT },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	code = ctl_ask(ctl, "GET",
	    ctl_path(ctl, "/api/v1/certificates/", argv[0], ""), STR(""), 0,
	    &j);
	if (code == CTL_OK && !ctl->json)
		print_fields(ctl, j, fields);
	return code;
}

const struct command cert_show_command = {
	.words = "cert show",
	.args = "CERTIFICATE",
	.summary = "one certificate, by its id or serial",
	.min_args = 1,
	.max_args = 1,
	.run = run_show,
};

/* ---- revoke */

static void
write_reason(struct ctl *ctl, struct json_writer *w)
{
	const char *reason = ctl_option(ctl, "reason");

	if (reason != NULL)
		json_str(w, "reason", str_from(reason));
}

static enum ctl_exit
run_revoke(struct ctl *ctl, int argc, char **argv)
{
	static const struct bulk_kind kind = {
		.name = "revoke",
		.done = "revoked",
		.write_more = write_reason,
	};
	const char *reason = ctl_option(ctl, "reason");
	const struct json *j;
	enum ctl_exit code;

	if (argc != 1 || ctl->ngiven > (reason != NULL))
		return ctl_bulk_command(ctl, &kind, argc, argv);
	code = ctl_ask(ctl, "POST",
	    ctl_path(ctl, "/api/v1/certificates/", argv[0], "/revoke"),
	    reason != NULL ? ctl_body(ctl, "reason", reason) : STR(""), 0, &j);
	if (code != CTL_OK || ctl->json)
		return code;
	fputs("certificate ", stdout);
	print_text(json_get_str(j, "id"));
	fputs(" is revoked: ", stdout);
	print_text(json_get_str(j, "reason"));
	putchar('\n');
	return CTL_OK;
}

static const struct command_option revoke_options[] = {
	COMMAND_WHICH_OPTIONS,
	{ "reason", "REASON",
	    "keyCompromise, superseded, ... (unspecified unless said)" },
	{ .name = NULL },
};

const struct command cert_revoke_command = {
	.words = "cert revoke",
	.args = "[CERTIFICATE...]",
	.summary = "revoke certificates",
	.options = revoke_options,
	.max_args = CTL_NAMED_MAX,
	.run = run_revoke,
};
