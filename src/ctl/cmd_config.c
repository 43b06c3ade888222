/* SPDX-License-Identifier: ISC */
/* certloopctl config check, config show */
#include "ctl/ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The daemon may stand in another folder, so it is told the full path. */
static enum ctl_exit
check_body(struct ctl *ctl, const char *file, struct str *body)
{
	struct json_writer *w = json_writer_new(ctl->arena, 2 * PATH_MAX);
	char *full = realpath(file, NULL);

	if (full == NULL) {
		fprintf(stderr, "certloopctl: %s: %s\n", file, strerror(errno));
		return CTL_REFUSED;
	}
	json_open_object(w, NULL);
	json_str(w, "file", str_from(full));
	json_close(w);
	free(full);
	*body = json_text(w);
	return CTL_OK;
}

static enum ctl_exit
run_check(struct ctl *ctl, int argc, char **argv)
{
	struct str body = STR("");
	const struct json *j, *ok;
	enum ctl_exit code = CTL_OK;

	if (argc > 0)
		code = check_body(ctl, argv[0], &body);
	if (code == CTL_OK)
		code = ctl_ask(ctl, "POST", "/api/v1/config/check", body, 0,
		    &j);
	if (code != CTL_OK)
		return code;
	ok = json_get(j, "ok");
	if (!ctl->json) {
		print_messages(j);
		print_text(json_get_str(j, "file"));
		puts(ok != NULL && ok->num ? ": fine" : ": not usable");
	}
	return ok != NULL && ok->num ? CTL_OK : CTL_REFUSED;
}

static enum ctl_exit
run_show(struct ctl *ctl, int argc, char **argv)
{
	struct reply r;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_request(ctl, "GET", "/api/v1/config", STR(""), &r);
	if (code != CTL_OK)
		return code;
	if (r.status != 200)
		return ctl_refused(&r, json_parse(ctl->arena, r.body, NULL));
	if (ctl->json)
		r.body = ctl_body(ctl, "config", str_cstr(ctl->arena, r.body));
	(void)fwrite(r.body.p, 1, r.body.n, stdout);
	if (ctl->json)
		putchar('\n');
	return CTL_OK;
}

const struct command config_check_command = {
	.words = "config check",
	.args = "[FILE]",
	.summary = "would the daemon take this file (default: its own)?",
	.max_args = 1,
	.run = run_check,
};

const struct command config_show_command = {
	.words = "config show",
	.args = "",
	.summary = "every option in effect, as a file that loads again",
	.run = run_show,
};
