/* SPDX-License-Identifier: ISC */
/* certloopctl cert mark, cert unmark */
#include "ctl/ctl.h"

#include "base/when.h"

/* ---- in which time they are to be renewed */

/* Seconds of --over; false after a complaint. */
static bool
read_over(const struct ctl *ctl, int64_t *seconds)
{
	const char *text = ctl_option(ctl, "over");
	int64_t span = 0;

	if (text != NULL &&
	    (!when_parse_span(str_from(text), &span) || span == 0)) {
		fprintf(stderr,
		    "certloopctl: --over %s will not do: give a time such as "
		    "90m or 12h\n",
		    text);
		return false;
	}
	*seconds = span / WHEN_SECOND;
	return true;
}

static void
write_over(struct ctl *ctl, struct json_writer *w)
{
	int64_t seconds;

	if (read_over(ctl, &seconds))
		json_int(w, "over_seconds", seconds);
}

/* ---- mark */

static enum ctl_exit
run_mark(struct ctl *ctl, int argc, char **argv)
{
	static const struct bulk_kind kind = {
		.name = "mark",
		.done = "marked",
		.write_more = write_over,
	};
	int64_t seconds;

	return read_over(ctl, &seconds) ?
	    ctl_bulk_command(ctl, &kind, argc, argv) :
	    CTL_USAGE;
}

static const struct command_option mark_options[] = {
	COMMAND_WHICH_OPTIONS,
	{ "over", "TIME", "within 90m or 12h from now, instead of at once" },
	{ .name = NULL },
};

const struct command cert_mark_command = {
	.words = "cert mark",
	.args = "[CERTIFICATE...]",
	.summary = "have certificates renewed now: their ARI windows move",
	.options = mark_options,
	.max_args = CTL_NAMED_MAX,
	.run = run_mark,
};

/* ---- unmark */

static enum ctl_exit
run_unmark(struct ctl *ctl, int argc, char **argv)
{
	static const struct bulk_kind kind = {
		.name = "unmark",
		.done = "unmarked",
	};

	return ctl_bulk_command(ctl, &kind, argc, argv);
}

static const struct command_option unmark_options[] = {
	COMMAND_WHICH_OPTIONS,
	{ .name = NULL },
};

const struct command cert_unmark_command = {
	.words = "cert unmark",
	.args = "[CERTIFICATE...]",
	.summary = "take marks back: the profile's windows hold again",
	.options = unmark_options,
	.max_args = CTL_NAMED_MAX,
	.run = run_unmark,
};
