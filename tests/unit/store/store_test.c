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

	(void)argc;
	if (getenv("CERTLOOP_TEST_PG") == NULL) {
		execv(helper, args);
		perror(helper);
		return 99;
	}
	signal(SIGPIPE, SIG_IGN);
	if (getenv("CERTLOOP_TEST_LOG") == NULL)
		log_set(&quiet);
	failed += run_both_tests();
	return failed == 0 ? 0 : 1;
}
