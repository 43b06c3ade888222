/* SPDX-License-Identifier: ISC */
/* certloopctl drain */
#include "ctl/ctl.h"

#include <stdio.h>

static const struct command_option options[] = {
	{ "undo", NULL, "serve as before" },
	{ NULL, NULL, NULL },
};

static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	bool undo = ctl_option(ctl, "undo") != NULL;
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_ask(ctl, "POST",
	    undo ? "/api/v1/drain/undo" : "/api/v1/drain", STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		puts(undo ? "serving again" : "draining");
	return code;
}

const struct command drain_command = {
	.words = "drain",
	.args = "",
	.summary = "say not ready and let go of connections, but do not stop",
	.options = options,
	.run = run,
};
