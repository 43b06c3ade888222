/* SPDX-License-Identifier: ISC */
/* certloopctl gc run */
#include "ctl/ctl.h"

static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_ask(ctl, "POST", "/api/v1/gc", STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json)
		puts("the sweeps have begun; certloop_gc_rows_total counts "
		     "what they find");
	return code;
}

const struct command gc_run_command = {
	.words = "gc run",
	.args = "",
	.summary = "sweep what has expired, now",
	.run = run,
};
