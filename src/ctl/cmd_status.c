/* SPDX-License-Identifier: ISC */
/* certloopctl status */
#include "ctl/ctl.h"

static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	static const struct {
		const char *member, *label;
	} rows[] = {
		{ "version", "version" },
		{ "ready", "ready" },
		{ "reason", "reason" },
		{ "pid", "process" },
		{ "started", "started" },
		{ "uptime_seconds", "uptime (s)" },
		{ "config", "configuration" },
		{ "directory", "directory" },
		{ "profiles", "profiles" },
		{ "store", "store" },
		{ "store_ready", "store ready" },
		{ "store_depth", "store queue" },
		{ "connections", "connections" },
		{ "issuing", "issuing" },
	};
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_ask(ctl, "GET", "/api/v1/status", STR(""), 0, &j);
	if (code != CTL_OK)
		return code;
	for (size_t i = 0; !ctl->json && i < sizeof(rows) / sizeof(rows[0]);
	     i++)
		print_member(j, rows[i].member, rows[i].label);
	return CTL_OK;
}

const struct command status_command = {
	.words = "status",
	.args = "",
	.summary = "how the daemon is",
	.run = run,
};
