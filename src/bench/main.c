/* SPDX-License-Identifier: ISC */
/*
 * certloop-bench: load any ACME server (RFC 8555) with signed flows, verify
 * what it hands out, and tell how long that took. See bench.h for how.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <http_parser.h>

#include "bench/bench.h"
#include "log/log.h"

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

static enum bench_exit
run(const struct bench_options *options)
{
	static struct bench bench;
	struct arena *a = arena_create();
	enum bench_exit code;

	(void)signal(SIGPIPE, SIG_IGN);
	raise_files();
	/* The kernel's timers count milliseconds otherwise: event.h. */
	setenv("EVENT_PRECISE_TIMER", "1", 1);
	log_set(&(struct log_options){ .level = LOG_ERROR,
	    .name = "certloop-bench" });
	http_parser_set_max_header_size(REPLY_HEADER_MAX);
	bench_run(a, &bench, options);
	report_print(&bench);
	if (bench.fatal[0] != '\0')
		fprintf(stderr, "certloop-bench: %s\n", bench.fatal);
	code = bench_judge(&bench);
	arena_destroy(a);
	return code;
}

int
main(int argc, char **argv)
{
	char why[OPTIONS_WHY_MAX];
	struct bench_options options;
	enum bench_exit code = BENCH_OK;

	if (!options_parse(argc, argv, &options, why)) {
		fprintf(stderr, "certloop-bench: %s\n", why);
		return BENCH_USAGE;
	}
	if (options.help)
		options_print_help();
	else if (options.version)
		puts("certloop-bench " PACKAGE_VERSION);
	else
		code = run(&options);
	/* what an earlier flush lost is lost, whatever this one says */
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		perror("certloop-bench: standard output");
		return BENCH_FAILED;
	}
	return (int)code;
}
