/* SPDX-License-Identifier: ISC */
/* certloopctl status */
#include "ctl/ctl.h"

static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "version", "version", COLUMN_TEXT },
		{ "ready", "ready", COLUMN_STATUS },
		{ "reason", "reason", COLUMN_TEXT },
		{ "pid", "process", COLUMN_TEXT },
		{ "started", "started", COLUMN_TIME },
		{ "uptime_seconds", "up for", COLUMN_SPAN },
		{ "config", "configuration", COLUMN_TEXT },
		{ "directory", "directory", COLUMN_TEXT },
		{ "profiles", "profiles", COLUMN_TEXT },
		{ "store", "store", COLUMN_TEXT },
		{ "store_ready", "store ready", COLUMN_STATUS },
		{ "store_depth", "store queue", COLUMN_TEXT },
		{ "connections", "connections", COLUMN_TEXT },
		{ "issuing", "issuing", COLUMN_TEXT },
		{ .member = NULL },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_ask(ctl, "GET", "/api/v1/status", STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		print_fields(ctl, j, fields);
	return code;
}

const struct command status_command = {
	.words = "status",
	.args = "",
	.summary = "how the daemon is",
	.run = run,
};
