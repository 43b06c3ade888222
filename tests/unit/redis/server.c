/* SPDX-License-Identifier: ISC */
/* Redis servers for tests. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/when.h"

static void
die(const char *what)
{
	fprintf(stderr, "server.c: %s: %s\n", what, strerror(errno));
	abort();
}

/* ---- the server's clock */

static void
make_clock(struct server *s)
{
	int64_t zero = 0;
	int fd;
	void *p;

	strcpy(s->clock_path, "/tmp/certloop-clock.XXXXXX");
	if ((fd = mkostemp(s->clock_path, O_CLOEXEC)) == -1 ||
	    write(fd, &zero, sizeof(zero)) != sizeof(zero))
		die("clock");
	p = mmap(NULL, sizeof(zero), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	close(fd);
	s->clock = p;
}

static void
set_shim(const struct server *s)
{
	char path[4096];

	if (realpath("tests/unit/redis/clock_shim.so", path) == NULL)
		die("tests/unit/redis/clock_shim.so");
	setenv("WITH_REDIS_PRELOAD", path, 1);
	setenv("CERTLOOP_TEST_CLOCK", s->clock_path, 1);
}

/* ---- start and end */

static void
run_script(const struct server *s, const char *conf, int in, int out)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/tests/lib/with-redis",
	    srcdir != NULL ? srcdir : ".");
	setenv("WITH_REDIS_CONF", conf, 1);
	unsetenv("WITH_REDIS_PRELOAD");
	if (s->clock != NULL)
		set_shim(s);
	dup2(in, 0);
	dup2(out, 1);
	execl(path, path, "sh", "-c",
	    "echo \"$CERTLOOP_TEST_REDIS $CERTLOOP_TEST_REDIS_TCP "
	    "$CERTLOOP_TEST_REDIS_DIR\"; exec >/dev/null; exec cat",
	    (char *)NULL);
	die(path);
}

static bool
read_line(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && read(fd, line + n, 1) == 1)
		if (line[n++] == '\n')
			break;
	line[n] = '\0';
	return n > 0 && line[n - 1] == '\n';
}

struct server *
server_start(enum server_kind kind, const char *conf)
{
	struct server *s = calloc(1, sizeof(*s));
	int in[2], out[2];
	char line[512];
	bool told;

	if (s == NULL || pipe2(in, O_CLOEXEC) == -1 ||
	    pipe2(out, O_CLOEXEC) == -1)
		die("pipe");
	signal(SIGPIPE, SIG_DFL);
	if (kind == SERVER_CLOCK)
		make_clock(s);
	if ((s->with = fork()) == -1)
		die("fork");
	if (s->with == 0)
		run_script(s, conf, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	s->hold = in[1];
	told = read_line(out[0], line, sizeof(line)) &&
	    sscanf(line, "%159s %63s %127s", s->address, s->tcp, s->dir) == 3;
	close(out[0]);
	if (told)
		return s;
	server_end(s);
	return NULL;
}

void
server_end(struct server *s)
{
	int status;

	if (s == NULL)
		return;
	close(s->hold);
	while (waitpid(s->with, &status, 0) == -1 && errno == EINTR)
		continue;
	if (s->clock != NULL) {
		munmap((void *)(uintptr_t)s->clock, sizeof(*s->clock));
		unlink(s->clock_path);
	}
	free(s);
}

/* ---- violence */

pid_t
server_pid(const struct server *s)
{
	char path[192];
	FILE *f;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/pid", s->dir);
	if ((f = fopen(path, "re")) == NULL || fscanf(f, "%d", &pid) != 1)
		die(path);
	fclose(f);
	return pid;
}

/*
 * Gone, or a zombie whose parent does not look; and no other thread of it is
 * left, which would still hold its sockets.
 */
static bool
is_dead(pid_t pid)
{
	char path[64], state = 'Z';
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (stat(path, &st) == -1)
		return true;
	if (st.st_nlink > 3) /* ".", "..", and each thread */
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((f = fopen(path, "re")) == NULL)
		return true;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'Z';
	fclose(f);
	return state == 'Z' || state == 'X';
}

void
server_signal(const struct server *s, int signo)
{
	pid_t pid = server_pid(s);

	if (kill(pid, signo) == -1)
		die("kill");
	while (signo == SIGKILL && !is_dead(pid))
		usleep(1000);
}

void
server_restart(const struct server *s)
{
	char command[192];

	snprintf(command, sizeof(command), "%s/start", s->dir);
	if (system(command) != 0)
		die(command);
}

struct str
server_cli(const struct server *s, struct arena *a, const char *words)
{
	char out[4096];
	size_t n;
	FILE *f = popen(str_printf(a, "redis-cli -s '%s' %s 2>&1",
			    s->address + strlen("unix:"), words)
			    .p,
	    "re");

	if (f == NULL)
		die("popen");
	n = fread(out, 1, sizeof(out), f);
	pclose(f);
	while (n > 0 && out[n - 1] == '\n')
		n--;
	return str_dup(a, str_make(out, n));
}

struct redis_options
server_options(const struct server *s, struct arena *a)
{
	struct redis_options o = { .late = 2 * WHEN_SECOND,
		.dead = 10 * WHEN_SECOND };
	struct redis_endpoint *v;
	const char *why;

	if (!redis_parse_endpoints(a, str_from(s->address), &v, &o.nendpoints,
		&why))
		die(why);
	o.endpoints = v;
	return o;
}

/* ---- turning the loop */

static int64_t
mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * WHEN_SECOND + ts.tv_nsec / 1000;
}

static void
nothing(void *arg)
{
	(void)arg;
}

static void
turn_once(struct loop *l, int64_t end)
{
	struct timer t;
	int64_t left = end - mono();

	timer_init(&t, l, nothing, NULL);
	timer_start(&t, left < 5000 ? left : 5000);
	loop_turn(l, LOOP_WAIT);
	timer_stop(&t);
}

bool
turn_until(struct loop *l, const volatile bool *what, int ms)
{
	int64_t end = mono() + ms * INT64_C(1000);

	while (!*what && mono() < end)
		turn_once(l, end);
	return *what;
}

bool
turn_until_up(struct loop *l, const struct redis *r, bool up, int ms)
{
	int64_t end = mono() + ms * INT64_C(1000);

	while (redis_is_up(r) != up && mono() < end)
		turn_once(l, end);
	return redis_is_up(r) == up;
}

void
turn_for(struct loop *l, int ms)
{
	int64_t end = mono() + ms * INT64_C(1000);

	while (mono() < end)
		turn_once(l, end);
}
