/* SPDX-License-Identifier: ISC */
/* certloopctl: find the command in the table and run it. */
#include "config.h"

#include "ctl/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "conf/conf.h"

#define DEFAULT_SOCKET "./certloop-data/admin.sock"

static const char usage[] =
    "usage: certloopctl [-s SOCKET | -c FILE | --server URL] [--json] "
    "COMMAND\n"
    "                   [ARGUMENT...]\n"
    "  -s, --socket SOCKET  the daemon's admin socket; else "
    "$CERTLOOP_SOCKET,\n"
    "                       else " DEFAULT_SOCKET "\n"
    "  -c, --config FILE    take the socket from this configuration\n"
    "      --server URL     a daemon elsewhere, by TLS; else "
    "$CERTLOOP_SERVER\n"
    "      --key-file FILE  the API key for it; else $CERTLOOP_KEY_FILE, "
    "else the\n"
    "                       key itself in $CERTLOOP_KEY\n"
    "      --ca-file FILE   whom its certificate must come from; else\n"
    "                       $CERTLOOP_CA_FILE, else the system's roots\n"
    "      --json           print the daemon's answer as JSON\n"
    "  -h, --help           say this, or more about a command\n"
    "  -V, --version        say the version\n";

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "config", required_argument, NULL, 'c' },
	{ "server", required_argument, NULL, 'S' },
	{ "key-file", required_argument, NULL, 'k' },
	{ "ca-file", required_argument, NULL, 'a' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* ---- options and arguments of the command, in any order */

const char *
ctl_option(const struct ctl *ctl, const char *name)
{
	for (size_t i = 0; i < ctl->ngiven; i++)
		if (strcmp(ctl->given[i].option->name, name) == 0)
			return ctl->given[i].value;
	return NULL;
}

static const struct command_option *
find_option(const struct command *c, struct str name)
{
	for (const struct command_option *o = c->options;
	     o != NULL && o->name != NULL; o++)
		if (str_is(name, o->name))
			return o;
	return NULL;
}

static bool
complain(const struct command *c, const char *option, const char *what)
{
	fprintf(stderr, "certloopctl: %s: --%s %s\n", c->words, option, what);
	return false;
}

/* An option, and its value unless it is a switch. False: said why. */
static bool
take_option(struct ctl *ctl, const struct command *c, int *i, int argc,
    char **argv)
{
	struct str rest = str_from(argv[*i] + 2);
	bool joined = str_find(rest, '=') < rest.n;
	struct str name = str_cut(&rest, '=');
	const struct command_option *o = find_option(c, name);
	const char *value = "";

	if (o == NULL) {
		help_suggest_option(c, name);
		return false;
	}
	if (ctl_option(ctl, o->name) != NULL)
		return complain(c, o->name, "is given twice");
	if (o->value == NULL && joined)
		return complain(c, o->name, "takes no value");
	if (o->value != NULL && !joined && *i + 1 == argc)
		return complain(c, o->name, "needs a value");
	if (o->value != NULL)
		value = joined ? rest.p : argv[++*i];
	if (o->value != NULL && value[0] == '\0')
		return complain(c, o->name, "needs a value");
	ctl->given[ctl->ngiven].option = o;
	ctl->given[ctl->ngiven++].value = value;
	return true;
}

enum parsed { PARSED, PARSED_HELP, PARSED_WRONG };

/* What is no option stays in argv, closed up. */
static enum parsed
parse_arguments(struct ctl *ctl, const struct command *c, int *argc,
    char **argv)
{
	int kept = 0;
	bool options = true;

	for (int i = 0; i < *argc; i++) {
		const char *word = argv[i];

		if (!options || word[0] != '-' || word[1] == '\0') {
			argv[kept++] = argv[i];
			continue;
		}
		if (strcmp(word, "--") == 0)
			options = false;
		else if (strcmp(word, "--json") == 0)
			ctl->json = true;
		else if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
			return PARSED_HELP;
		else if (word[1] != '-') {
			fprintf(stderr,
			    "certloopctl: %s has no option \"%s\"; see its "
			    "--help\n",
			    c->words, word);
			return PARSED_WRONG;
		} else if (!take_option(ctl, c, &i, *argc, argv))
			return PARSED_WRONG;
	}
	*argc = kept;
	return PARSED;
}

/* ---- commands */

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
run_one(struct ctl *ctl, const struct command *c, int argc, char **argv)
{
	switch (parse_arguments(ctl, c, &argc, argv)) {
	case PARSED_HELP:
		help_print_command(stdout, c);
		return CTL_OK;
	case PARSED_WRONG:
		return CTL_USAGE;
	case PARSED:
		break;
	}
	if (argc >= c->min_args && argc <= c->max_args)
		return c->run(ctl, argc, argv);
	fprintf(stderr, "certloopctl: %s takes %s\n", c->words,
	    argc < c->min_args  ? "more arguments" :
		c->max_args > 0 ? "fewer arguments" :
				  "no arguments");
	help_print_command(stderr, c);
	return CTL_USAGE;
}

static bool
is_help(const char *word)
{
	return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

static enum ctl_exit
run_command(struct ctl *ctl, int argc, char **argv)
{
	for (size_t i = 0; ctl_commands[i] != NULL; i++) {
		int n = match_command(ctl_commands[i], argc, argv);

		if (n > 0)
			return run_one(ctl, ctl_commands[i], argc - n,
			    argv + n);
	}
	if (argc == 2 && is_help(argv[1]) && help_print_group(stdout, argv[0]))
		return CTL_OK;
	help_suggest_command(ctl, argc, argv);
	return CTL_USAGE;
}

/* ---- our own options */

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

/* A variable that is set and not empty, or NULL. */
static const char *
variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* What the options say about where the daemon is. */
struct target {
	const char *socket, *server, *key_file;
};

/* A server needs a key. False after a complaint. */
static bool
use_server(struct ctl *ctl, const struct target *t)
{
	const char *file = t->key_file != NULL ? t->key_file :
						 variable("CERTLOOP_KEY_FILE");
	const char *key = variable("CERTLOOP_KEY");

	if (ctl->ca_file == NULL)
		ctl->ca_file = variable("CERTLOOP_CA_FILE");
	if (!ctl_use_server(ctl, t->server))
		return false;
	if (file != NULL)
		return ctl_read_key(ctl, file);
	if (key != NULL)
		return ctl_take_key(ctl, key);
	fputs("certloopctl: --server needs an API key: give --key-file\n",
	    stderr);
	return false;
}

/* An option goes before any variable, a server before a socket. */
static bool
choose_target(struct ctl *ctl, struct target *t)
{
	if (t->socket != NULL && t->server != NULL) {
		fputs("certloopctl: --server is one daemon, --socket and "
		      "--config are another; give one of them\n",
		    stderr);
		return false;
	}
	if (t->socket == NULL && t->server == NULL)
		t->server = variable("CERTLOOP_SERVER");
	if (t->socket == NULL)
		t->socket = variable("CERTLOOP_SOCKET");
	if (t->server == NULL &&
	    (t->key_file != NULL || ctl->ca_file != NULL)) {
		fputs("certloopctl: --key-file and --ca-file are for --server, "
		      "which is not given\n",
		    stderr);
		return false;
	}
	ctl->socket = t->socket != NULL ? t->socket : DEFAULT_SOCKET;
	return t->server == NULL || use_server(ctl, t);
}

enum parsed_options { OPTIONS_DONE, OPTIONS_STOP, OPTIONS_WRONG };

static enum parsed_options
parse_options(struct ctl *ctl, struct target *t, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "+s:c:hV", long_options, NULL)) !=
	    -1) {
		switch (c) {
		case 's':
			t->socket = optarg;
			break;
		case 'c':
			t->socket = socket_of_config(ctl->arena, optarg);
			if (t->socket == NULL)
				return OPTIONS_WRONG;
			break;
		case 'S':
			t->server = optarg;
			break;
		case 'k':
			t->key_file = optarg;
			break;
		case 'a':
			ctl->ca_file = optarg;
			break;
		case 'j':
			ctl->json = true;
			break;
		case 'h':
			help_print(stdout, usage);
			return OPTIONS_STOP;
		case 'V':
			puts("certloopctl " PACKAGE_VERSION);
			return OPTIONS_STOP;
		default:
			help_print(stderr, usage);
			return OPTIONS_WRONG;
		}
	}
	return OPTIONS_DONE;
}

/* Options, then the command. */
static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	struct target target = { .socket = NULL };

	switch (parse_options(ctl, &target, argc, argv)) {
	case OPTIONS_STOP:
		return CTL_OK;
	case OPTIONS_WRONG:
		return CTL_USAGE;
	case OPTIONS_DONE:
		break;
	}
	if (optind == argc) {
		help_print(stderr, usage);
		return CTL_USAGE;
	}
	if (!choose_target(ctl, &target))
		return CTL_USAGE;
	return run_command(ctl, argc - optind, argv + optind);
}

/* A terminal, unless it or its user wants none (no-color.org). */
static bool
has_colours(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') &&
	    term != NULL && strcmp(term, "dumb") != 0;
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { .arena = arena_create(),
		.colour = has_colours(),
		.now = when_now() };
	enum ctl_exit code;

	code = run(&ctl, argc, argv);
	ctl_free_tls(&ctl);
	arena_destroy(ctl.arena);
	/* what an earlier flush lost is lost, whatever this one says */
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		perror("certloopctl: standard output");
		return CTL_UNREACHABLE;
	}
	return (int)code;
}
