/* SPDX-License-Identifier: ISC */
/* Counting down to a death or a failure; bugs that were asked for. */
#include "base/fault.h"

#ifdef ENABLE_FAULTS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAY_MAX = 48 };

/* What is asked for: at the how-manieth from now; 0: at none. */
struct order {
	char way[WAY_MAX + 1]; /* "" for a death */
	unsigned left;
};

static struct order death, failure;

static void
read_order(struct order *o, const char *variable)
{
	const char *path = getenv(variable);
	FILE *f = path != NULL ? fopen(path, "re") : NULL;
	bool ok;

	if (f == NULL)
		return;
	*o = (struct order){ .left = 0 };
	ok = o == &death || fscanf(f, "%48s", o->way) == 1;
	if (!ok || fscanf(f, "%u", &o->left) != 1)
		o->left = 0;
	fclose(f);
	(void)unlink(path);
}

void
fault_here(const char *point)
{
	read_order(&death, "CERTLOOP_FAULT");
	if (death.left == 0 || --death.left > 0)
		return;
	fprintf(stderr, "fault: killed at %s\n", point);
	(void)kill(getpid(), SIGKILL);
}

bool
fault_fails(const char *way)
{
	read_order(&failure, "CERTLOOP_FAIL");
	if (failure.left == 0 || strcmp(failure.way, way) != 0 ||
	    --failure.left > 0)
		return false;
	fprintf(stderr, "fault: %s\n", way);
	return true;
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
