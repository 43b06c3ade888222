/* SPDX-License-Identifier: ISC */
/* What the kernel knows about this process, under the customary names. */
#include "metrics/metrics_int.h"

#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void
metrics_write_number(struct buf *out, double v)
{
	char text[40];

	snprintf(text, sizeof(text), "%.15g", v);
	buf_str(out, str_from(text));
	if (strspn(text, "-0123456789") == strlen(text))
		buf_str(out, STR(".0"));
}

static void
write_one(struct buf *out, const char *name, const char *type, const char *help,
    double v)
{
	bool counts = strcmp(type, "counter") == 0;

	buf_printf(out, "# TYPE %s %s\n# HELP %s %s.\n%s%s ", name, type, name,
	    help, name, counts ? "_total" : "");
	metrics_write_number(out, v);
	buf_char(out, '\n');
}

static bool
read_file(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return false;
	n = fread(text, 1, size - 1, f);
	(void)fclose(f);
	text[n] = '\0';
	return n > 0;
}

static double
cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Without the one that reads the directory. */
static double
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	int n = 0;

	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n - 1;
}

/* Field n of /proc/self/stat, which counts from 1; the 2nd may hold spaces. */
static double
stat_field(const char *stat, int n)
{
	const char *p = strrchr(stat, ')');

	for (int i = 2; p != NULL && i < n; i++)
		p = strchr(p + 1, ' ');
	return p != NULL ? strtod(p + 1, NULL) : 0;
}

static double
start_seconds(const char *stat)
{
	struct timespec boot, now;
	double up = stat_field(stat, 22) / (double)sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)(now.tv_sec - boot.tv_sec) + up;
}

static double
resident_bytes(void)
{
	char text[256];
	unsigned long size, resident;

	if (!read_file("/proc/self/statm", text, sizeof(text)) ||
	    sscanf(text, "%lu %lu", &size, &resident) != 2)
		return 0;
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

void
metrics_write_process(struct buf *out)
{
	char stat[1024] = "";
	struct rlimit files = { 0 };

	(void)read_file("/proc/self/stat", stat, sizeof(stat));
	getrlimit(RLIMIT_NOFILE, &files);
	buf_str(out,
	    STR("# TYPE certloop_build info\n"
		"# HELP certloop_build The version that runs.\n"
		"certloop_build_info{version=\"" PACKAGE_VERSION "\"} 1\n"));
	write_one(out, "process_cpu_seconds", "counter", "User and system time",
	    cpu_seconds());
	write_one(out, "process_open_fds", "gauge", "Open file descriptors",
	    open_fds());
	write_one(out, "process_max_fds", "gauge",
	    "Limit of open file descriptors", (double)files.rlim_cur);
	write_one(out, "process_resident_memory_bytes", "gauge",
	    "Memory that is resident", resident_bytes());
	write_one(out, "process_threads", "gauge", "Threads",
	    stat_field(stat, 20));
	write_one(out, "process_start_time_seconds", "gauge",
	    "When the process was started, since 1970", start_seconds(stat));
}
