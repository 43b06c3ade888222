/* SPDX-License-Identifier: ISC */
/*
 * acme_load: load any ACME server (RFC 8555) with signed flows, verify what
 * it hands out, and tell how long that took. See load.h for how it works.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include <http_parser.h>

#include "load.h"

/* Connections are files: as many as we may have. */
static void
raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	static struct load load;
	struct load_options options;
	struct arena *a = arena_create();
	bool good;

	load_parse_options(argc, argv, &options);
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	http_parser_set_max_header_size(REPLY_HEADER_MAX);
	load_run(a, &load, &options);
	load_report(&load);
	if (load.fatal[0] != '\0')
		fprintf(stderr, "acme_load: %s\n", load.fatal);
	good = load.fatal[0] == '\0' && load.stats.failed == 0 &&
	    load.stats.done == options.orders;
	arena_destroy(a);
	return good ? 0 : 1;
}
