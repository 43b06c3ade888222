/* SPDX-License-Identifier: ISC */
/*
 * The suite of the store, on both engines. Without a PostgreSQL in the
 * environment it runs itself again beside one.
 */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log/log.h"

int
main(int argc, char **argv)
{
	struct log_options quiet = { .level = LOG_ERROR };
	char helper[] = TOP_SRCDIR "/tests/lib/with-postgres";
	char *args[] = { helper, argv[0], NULL };
	int failed = 0;

	if (getenv("CERTLOOP_TEST_PG") == NULL) {
		execv(helper, args);
		perror(helper);
		return 99;
	}
	signal(SIGPIPE, SIG_IGN);
	if (getenv("CERTLOOP_TEST_LOG") == NULL)
		log_set(&quiet);
	if (argc > 1 && strcmp(argv[1], "--standby") == 0)
		return run_standby_tests() == 0 ? 0 : 1;
	failed += run_prepare_tests();
	failed += run_lite_tests();
	failed += run_lite_log_tests();
	failed += run_both_tests();
	failed += run_pg_tests();
	failed += run_pg_break_tests();
	return failed == 0 ? 0 : 1;
}
