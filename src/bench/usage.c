/* SPDX-License-Identifier: ISC */
/* What the kernel tells of processes: /proc, and of ourselves. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/stats.h"

/* utime and stime are the 14th and 15th field of stat, proc(5). */
static bool
read_times(pid_t pid, struct usage *u)
{
	char path[64], line[1024], *p;
	unsigned long user, system;
	int64_t tick = 1000000 / sysconf(_SC_CLK_TCK);
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	p = fgets(line, sizeof(line), f);
	(void)fclose(f);
	/* The name, in parentheses, may hold anything. */
	if (p == NULL || (p = strrchr(line, ')')) == NULL)
		return false;
	ok = sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		 &user, &system) == 2;
	u->user = ok ? (int64_t)user * tick : 0;
	u->system = ok ? (int64_t)system * tick : 0;
	return ok;
}

bool
usage_of(pid_t pid, struct usage *u)
{
	char path[64], line[256];
	long kib = -1;
	FILE *f;

	if (!read_times(pid, u))
		return false;
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %ld kB", &kib) == 1)
			break;
	(void)fclose(f);
	u->rss = kib;
	return kib >= 0;
}

void
usage_sum(const pid_t *pids, size_t n, struct usage *sum)
{
	struct usage u;

	*sum = (struct usage){ .rss = 0 };
	for (size_t i = 0; i < n; i++) {
		if (!usage_of(pids[i], &u))
			continue;
		sum->user += u.user;
		sum->system += u.system;
		sum->rss += u.rss;
	}
}

void
usage_own(struct usage *u)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	*u = (struct usage){
		.user = (int64_t)r.ru_utime.tv_sec * 1000000 +
		    r.ru_utime.tv_usec,
		.system = (int64_t)r.ru_stime.tv_sec * 1000000 +
		    r.ru_stime.tv_usec,
	};
}
