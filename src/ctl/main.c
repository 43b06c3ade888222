/* SPDX-License-Identifier: ISC */
/* certloopctl: find the command in the table and run it. */
#include "config.h"

#include "ctl/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

static const struct command *const commands[] = {
	&status_command,
	&config_check_command,
	&config_show_command,
	&reload_command,
};

enum { NCOMMANDS = sizeof(commands) / sizeof(commands[0]) };

#define DEFAULT_SOCKET "./certloop-data/admin.sock"

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "config", required_argument, NULL, 'c' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void
print_usage(FILE *out)
{
	fputs("usage: certloopctl [-s SOCKET | -c FILE] [--json] COMMAND "
	      "[ARGUMENT...]\n"
	      "  -s, --socket SOCKET  the daemon's admin socket; else "
	      "$CERTLOOP_SOCKET,\n"
	      "                       else " DEFAULT_SOCKET "\n"
	      "  -c, --config FILE    take the socket from this configuration\n"
	      "      --json           print the daemon's answer as JSON\n"
	      "  -h, --help           say this\n"
	      "  -V, --version        say the version\n"
	      "commands:\n",
	    out);
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-14s %-7s %s\n", commands[i]->words,
		    commands[i]->args, commands[i]->summary);
}

/* How many words of the command line are this command's name; 0: it is not. */
static int
match_command(const struct command *c, int argc, char **argv)
{
	struct str rest = str_from(c->words);
	int n = 0;

	while (rest.n > 0) {
		struct str word = str_cut(&rest, ' ');

		if (n >= argc || !str_is(word, argv[n]))
			return 0;
		n++;
	}
	return n;
}

static enum ctl_exit
run_command(struct ctl *ctl, int argc, char **argv)
{
	for (size_t i = 0; i < NCOMMANDS; i++) {
		const struct command *c = commands[i];
		int n = match_command(c, argc, argv);

		if (n == 0)
			continue;
		if (argc - n < c->min_args || argc - n > c->max_args) {
			fprintf(stderr, "usage: certloopctl %s %s\n", c->words,
			    c->args);
			return CTL_USAGE;
		}
		return c->run(ctl, argc - n, argv + n);
	}
	fprintf(stderr,
	    "certloopctl: there is no command \"%s%s%s\"; see "
	    "certloopctl --help\n",
	    argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	return CTL_USAGE;
}

static const char *
socket_of_config(struct arena *a, const char *file)
{
	struct conf_errors *e = arena_new(a, struct conf_errors);
	const struct conf *c = conf_load(a, file, e);

	for (size_t i = 0; c == NULL && i < e->n; i++)
		fprintf(stderr, "certloopctl: " STR_FMT "\n",
		    STR_ARG(e->v[i].text));
	return c != NULL ? c->admin_socket.p : NULL;
}

/* Options, then the command. */
static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "+s:c:hV", long_options, NULL)) !=
	    -1) {
		switch (c) {
		case 's':
			ctl->socket = optarg;
			break;
		case 'c':
			ctl->socket = socket_of_config(ctl->arena, optarg);
			if (ctl->socket == NULL)
				return CTL_USAGE;
			break;
		case 'j':
			ctl->json = true;
			break;
		case 'h':
			print_usage(stdout);
			return CTL_OK;
		case 'V':
			puts("certloopctl " PACKAGE_VERSION);
			return CTL_OK;
		default:
			print_usage(stderr);
			return CTL_USAGE;
		}
	}
	if (optind == argc) {
		print_usage(stderr);
		return CTL_USAGE;
	}
	return run_command(ctl, argc - optind, argv + optind);
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { .arena = arena_create() };
	enum ctl_exit code;

	ctl.socket = getenv("CERTLOOP_SOCKET");
	if (ctl.socket == NULL || ctl.socket[0] == '\0')
		ctl.socket = DEFAULT_SOCKET;
	code = run(&ctl, argc, argv);
	arena_destroy(ctl.arena);
	if (fflush(stdout) != 0) {
		perror("certloopctl: standard output");
		return CTL_UNREACHABLE;
	}
	return (int)code;
}
