/* SPDX-License-Identifier: ISC */
/* certloopctl reload */
#include "ctl/ctl.h"

#include <stdio.h>

static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	const struct json *j, *ok;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_ask(ctl, "POST", "/api/v1/reload", STR(""), 409, &j);
	if (code != CTL_OK)
		return code;
	ok = json_get(j, "ok");
	if (!ctl->json) {
		print_messages(j);
		json_each(c, json_get(j, "changes")) {
			fputs("changed: ", stdout);
			print_text(c->str);
			putchar('\n');
		}
		puts(ok != NULL && ok->num ? "reloaded" :
					     "refused: nothing has changed");
	}
	return ok != NULL && ok->num ? CTL_OK : CTL_REFUSED;
}

const struct command reload_command = {
	.words = "reload",
	.args = "",
	.summary = "take over the changed configuration and certificates",
	.run = run,
};
