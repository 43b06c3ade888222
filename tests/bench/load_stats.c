/* SPDX-License-Identifier: ISC */
/* Counting: histograms, tallies, and what /proc tells of a process. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "load_stats.h"

static const char *const request_names[LOAD_REQUESTS] = {
	[LOAD_DIRECTORY] = "directory",
	[LOAD_NEW_NONCE] = "new-nonce",
	[LOAD_NEW_ACCOUNT] = "new-account",
	[LOAD_NEW_ORDER] = "new-order",
	[LOAD_AUTHZ] = "authorization",
	[LOAD_CHALLENGE] = "challenge",
	[LOAD_FINALIZE] = "finalize",
	[LOAD_ORDER] = "order",
	[LOAD_CERTIFICATE] = "certificate",
	[LOAD_OCSP] = "ocsp",
};

const char *
load_request_name(enum load_request r)
{
	return request_names[r];
}

/*
 * Values below 2 * SUB have a step each; above, each power of two has SUB
 * steps. The last step takes all that is beyond.
 */
static size_t
step_of(uint64_t v)
{
	unsigned shift = 0;
	size_t i;

	while (v >> shift >= 2 * HISTOGRAM_SUB)
		shift++;
	i = shift * HISTOGRAM_SUB + (size_t)(v >> shift);
	return i < HISTOGRAM_STEPS ? i : HISTOGRAM_STEPS - 1;
}

/* The largest value of a step. */
static uint64_t
step_end(size_t i)
{
	size_t shift;

	if (i < 2 * HISTOGRAM_SUB)
		return i;
	shift = i / HISTOGRAM_SUB - 1;
	return ((uint64_t)(i - shift * HISTOGRAM_SUB + 1) << shift) - 1;
}

void
histogram_add(struct histogram *h, int64_t usec)
{
	uint64_t v = usec > 0 ? (uint64_t)usec : 0;

	h->n++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
	h->steps[step_of(v)]++;
}

uint64_t
histogram_at(const struct histogram *h, double share)
{
	double want = share * (double)h->n;
	uint64_t seen = 0, end;

	for (size_t i = 0; i < HISTOGRAM_STEPS; i++) {
		seen += h->steps[i];
		if (seen > 0 && (double)seen >= want) {
			if (i == HISTOGRAM_STEPS - 1)
				break; /* it has no end */
			end = step_end(i);
			return end < h->max ? end : h->max;
		}
	}
	return h->max;
}

void
tally_add(struct tally *t, struct str text)
{
	size_t i;

	if (text.n >= STATS_TEXT_MAX)
		text.n = STATS_TEXT_MAX - 1;
	for (i = 0; i < t->nkinds; i++)
		if (str_is(text, t->kinds[i].text)) {
			t->kinds[i].n++;
			return;
		}
	if (i == STATS_KINDS_MAX) {
		t->others++;
		return;
	}
	memcpy(t->kinds[i].text, text.p, text.n);
	t->kinds[i].text[text.n] = '\0';
	t->kinds[i].n = 1;
	t->nkinds++;
}

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
	fclose(f);
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
	fclose(f);
	u->rss = kib;
	return kib >= 0;
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

int64_t
stats_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
