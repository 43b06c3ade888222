/* SPDX-License-Identifier: ISC */
/* What there is, and what may have been meant. */
#include "ctl/ctl.h"

#include <string.h>

enum { NAMES_MAX = 64, WIDTH = 34 };

static struct str
first_word(const struct command *c)
{
	struct str rest = str_from(c->words);

	return str_cut(&rest, ' ');
}

static void
print_line(FILE *out, const struct command *c)
{
	int n = fprintf(out, "  %s %s", c->words, c->args);

	fprintf(out, "%*s%s\n", n < WIDTH ? WIDTH - n : 1, "", c->summary);
}

void
help_print(FILE *out, const char *usage)
{
	fputs(usage, out);
	fputs("commands:\n", out);
	for (size_t i = 0; ctl_commands[i] != NULL; i++)
		print_line(out, ctl_commands[i]);
	fputs("\n\"certloopctl COMMAND --help\" tells more about one.\n", out);
}

bool
help_print_group(FILE *out, const char *word)
{
	bool found = false;

	for (size_t i = 0; ctl_commands[i] != NULL; i++) {
		if (!str_is(first_word(ctl_commands[i]), word))
			continue;
		if (!found)
			fprintf(out, "usage: certloopctl %s COMMAND\n", word);
		found = true;
		print_line(out, ctl_commands[i]);
	}
	return found;
}

void
help_print_command(FILE *out, const struct command *c)
{
	const struct command_option *o = c->options;

	fprintf(out,
	    "usage: certloopctl [-s SOCKET | -c FILE | --server URL] "
	    "%s%s%s%s\n",
	    c->words, o != NULL ? " [OPTION...]" : "",
	    c->args[0] != '\0' ? " " : "", c->args);
	fprintf(out, "%s\n", c->summary);
	for (; o != NULL && o->name != NULL; o++) {
		int n = fprintf(out, "  --%s%s%s", o->name,
		    o->value != NULL ? " " : "",
		    o->value != NULL ? o->value : "");

		fprintf(out, "%*s%s\n", n < WIDTH ? WIDTH - n : 1, "", o->help);
	}
	fprintf(out, "  %-*s%s\n", WIDTH - 2, "--json",
	    "print the daemon's answer as JSON");
}

/* The names of commands, or second words of those that begin with `first`. */
static size_t
gather_names(struct ctl *ctl, const char *first, const char **names)
{
	size_t n = 0;

	for (size_t i = 0; ctl_commands[i] != NULL && n < NAMES_MAX; i++) {
		struct str rest = str_from(ctl_commands[i]->words);
		struct str word = str_cut(&rest, ' ');

		if (first == NULL)
			names[n++] = str_cstr(ctl->arena, word);
		else if (str_is(word, first) && rest.n > 0)
			names[n++] = str_cstr(ctl->arena, rest);
	}
	return n;
}

void
help_suggest_command(struct ctl *ctl, int argc, char **argv)
{
	const char *names[NAMES_MAX], *near;
	const char *first = argv[0];
	size_t n = gather_names(ctl, first, names);
	bool known = n > 0; /* the first word is fine */

	if (known && argc == 1) {
		(void)help_print_group(stderr, first);
		return;
	}
	if (!known) {
		n = gather_names(ctl, NULL, names);
		near = str_suggest(str_from(first), names, n);
	} else {
		near = str_suggest(str_from(argv[1]), names, n);
	}
	fprintf(stderr, "certloopctl: there is no command \"%s%s%s\"; ", first,
	    argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	if (near == NULL)
		fputs("see certloopctl --help\n", stderr);
	else
		fprintf(stderr, "did you mean \"%s%s%s\"?\n",
		    known ? first : near, known ? " " : "", known ? near : "");
}

void
help_suggest_option(const struct command *c, struct str given)
{
	const char *names[NAMES_MAX] = { "json", "help" }, *near;
	size_t n = 2;

	for (const struct command_option *o = c->options;
	     o != NULL && o->name != NULL && n < NAMES_MAX; o++)
		names[n++] = o->name;
	near = str_suggest(given, names, n);
	fprintf(stderr,
	    "certloopctl: %s has no option \"--" STR_FMT "\"; %s%s%s\n",
	    c->words, STR_ARG(given),
	    near != NULL ? "did you mean \"--" : "see its ",
	    near != NULL ? near : "--help", near != NULL ? "\"?" : "");
}
