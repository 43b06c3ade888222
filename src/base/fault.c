/* SPDX-License-Identifier: ISC */
/* Counting down to a death by SIGKILL; bugs that were asked for. */
#include "base/fault.h"

#ifdef ENABLE_FAULTS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned left; /* points until the end; 0: none is set */

static void
read_order(void)
{
	const char *path = getenv("CERTLOOP_FAULT");
	FILE *f = path != NULL ? fopen(path, "re") : NULL;

	if (f == NULL)
		return;
	if (fscanf(f, "%u", &left) != 1)
		left = 0;
	fclose(f);
	(void)unlink(path);
}

void
fault_here(const char *point)
{
	read_order();
	if (left == 0 || --left > 0)
		return;
	fprintf(stderr, "fault: killed at %s\n", point);
	(void)kill(getpid(), SIGKILL);
}

bool
fault_is_planted(const char *bug)
{
	const char *asked = getenv("CERTLOOP_PLANT");

	return asked != NULL && strcmp(asked, bug) == 0;
}
#else
typedef int fault_is_not_in_this_build; /* C wants something in a file */
#endif
