/* SPDX-License-Identifier: ISC */
/* certloopctl loop add, set, remove, asked; pause and resume */
#include "ctl/ctl.h"

/* ---- loop asked */

static enum ctl_exit
run_asked(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "loop", "LOOP", COLUMN_TEXT },
		{ "names", "NAMES", COLUMN_TEXT },
		{ "profile", "PROFILE", COLUMN_TEXT },
		{ "key_type", "KEY", COLUMN_TEXT },
		{ "nodes", "NODES", COLUMN_TEXT },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	return ctl_list(ctl, "/api/v1/asked-loops", columns);
}

static const struct command_option asked_options[] = {
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command loop_asked_command = {
	.words = "loop asked",
	.args = "",
	.summary = "the cert loops that operators asked for",
	.options = asked_options,
	.run = run_asked,
};

/* ---- loop add, loop set */

static void
write_words(struct json_writer *w, const char *name, struct str list)
{
	json_open_array(w, name);
	while (list.n > 0)
		json_str(w, NULL, str_trim(str_cut(&list, ',')));
	json_close(w);
}

/* False if --keep-key is neither true nor false; the daemon judges all else. */
static bool
write_options(struct ctl *ctl, struct json_writer *w)
{
	const char *names = ctl_option(ctl, "names");
	const char *profile = ctl_option(ctl, "profile");
	const char *key_type = ctl_option(ctl, "key-type");
	struct str keep_key = str_from(ctl_option(ctl, "keep-key"));
	const char *nodes = ctl_option(ctl, "nodes");

	if (names != NULL)
		write_words(w, "names", str_from(names));
	if (profile != NULL)
		json_str(w, "profile", str_from(profile));
	if (key_type != NULL)
		json_str(w, "key_type", str_from(key_type));
	if (nodes != NULL)
		write_words(w, "nodes",
		    str_is(str_from(nodes), "all") ? STR("") : str_from(nodes));
	if (keep_key.p == NULL)
		return true;
	json_bool(w, "keep_key", str_is(keep_key, "true"));
	return str_is(keep_key, "true") || str_is(keep_key, "false");
}

static enum ctl_exit
send(struct ctl *ctl, const char *path, const char *name, const char *done)
{
	struct json_writer *w = json_writer_new(ctl->arena, 65536);
	const struct json *j;
	enum ctl_exit code;

	json_open_object(w, NULL);
	if (name != NULL)
		json_str(w, "name", str_from(name));
	if (!write_options(ctl, w)) {
		fputs("certloopctl: --keep-key must be true or false\n",
		    stderr);
		return CTL_USAGE;
	}
	json_close(w);
	code = ctl_ask(ctl, "POST", path, json_text(w), 0, &j);
	if (code == CTL_OK && !ctl->json) {
		fputs("loop ", stdout);
		print_text(json_get_str(j, "loop"));
		printf(" %s\n", done);
	}
	return code;
}

static enum ctl_exit
run_add(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return send(ctl, "/api/v1/asked-loops", argv[0],
	    "is asked for; nodes take it within seconds");
}

static enum ctl_exit
run_set(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return send(ctl, ctl_path(ctl, "/api/v1/asked-loops/", argv[0], "/set"),
	    NULL, "is changed");
}

static enum ctl_exit
run_remove(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return send(ctl,
	    ctl_path(ctl, "/api/v1/asked-loops/", argv[0], "/remove"), NULL,
	    "is not asked for any more; its files stay");
}

static const struct command_option options[] = {
	{ "names", "NAMES", "of the certificate, parted by commas" },
	{ "profile", "PROFILE", "whose certificate; the default one" },
	{ "key-type", "TYPE", "ecdsa-p256, ecdsa-p384, rsa3072 or ed25519" },
	{ "keep-key", "BOOL", "keep the key at renewal: true or false" },
	{ "nodes", "NODES", "who takes it, parted by commas; all unless said" },
	{ .name = NULL },
};

const struct command loop_add_command = {
	.words = "loop add",
	.args = "NAME",
	.summary = "ask for a cert loop",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run_add,
};

const struct command loop_set_command = {
	.words = "loop set",
	.args = "NAME",
	.summary = "change a cert loop that was asked for",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run_set,
};

const struct command loop_remove_command = {
	.words = "loop remove",
	.args = "NAME",
	.summary = "ask for a cert loop no more",
	.min_args = 1,
	.max_args = 1,
	.run = run_remove,
};

/* ---- loop pause, loop resume */

static enum ctl_exit
pause_or_resume(struct ctl *ctl, const char *loop, const char *how,
    const char *done)
{
	const struct json *j;
	enum ctl_exit code;

	code = ctl_ask(ctl, "POST", ctl_path(ctl, "/api/v1/loops/", loop, how),
	    STR(""), 0, &j);
	if (code == CTL_OK && !ctl->json) {
		fputs("loop ", stdout);
		print_text(json_get_str(j, "name"));
		printf(" %s\n", done);
	}
	return code;
}

static enum ctl_exit
run_pause(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return pause_or_resume(ctl, argv[0], "/pause",
	    "pauses: it is not renewed until you resume it");
}

static enum ctl_exit
run_resume(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return pause_or_resume(ctl, argv[0], "/resume", "goes on");
}

const struct command loop_pause_command = {
	.words = "loop pause",
	.args = "LOOP",
	.summary = "obtain no new certificate for now",
	.min_args = 1,
	.max_args = 1,
	.run = run_pause,
};

const struct command loop_resume_command = {
	.words = "loop resume",
	.args = "LOOP",
	.summary = "go on with a paused cert loop",
	.min_args = 1,
	.max_args = 1,
	.run = run_resume,
};
