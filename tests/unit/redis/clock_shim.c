/* SPDX-License-Identifier: ISC */
/*
 * Preloaded into a redis-server: its wall clock shows what a test wrote into
 * the file $CERTLOOP_TEST_CLOCK, microseconds since 1970 in an int64_t. Where
 * that is 0 the clock is the real one. The monotonic clock goes on.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict tv, void *restrict tz);
int clock_gettime(clockid_t, struct timespec *);

static volatile int64_t *shown;

__attribute__((constructor)) static void
map_file(void)
{
	const char *path = getenv("CERTLOOP_TEST_CLOCK");
	int fd;
	void *p;

	if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return;
	p = mmap(NULL, sizeof(*shown), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		shown = p;
}

__attribute__((visibility("default"))) int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t us = shown != NULL ? *shown : 0;

	if (us == 0 || id != CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(us / 1000000);
	ts->tv_nsec = (long)(us % 1000000 * 1000);
	return 0;
}

__attribute__((visibility("default"))) int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	(void)tz;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
