/* SPDX-License-Identifier: ISC */
/*
 * The program that is told about a new pair: no shell, an environment of its
 * own, in a process group of its own, which a deadline ends.
 */
#include "deliver/deliver_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_MS = 5000, ENV_MAX = 16 };

static int64_t
mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the program's side */

static char **
make_environment(const struct pair *p)
{
	const struct deliver_job *j = p->job;
	struct arena *a = p->arena;
	char **env = arena_array(a, char *, ENV_MAX);
	const char *path = getenv("PATH"), *zone = getenv("TZ");
	size_t n = 0;
	const struct {
		const char *name;
		struct str value;
	} told[] = {
		{ "PATH",
		    path != NULL ? str_from(path) :
				   STR("/usr/sbin:/usr/bin:/sbin:/bin") },
		{ "TZ", str_from(zone) },
		{ "CERTLOOP_NAME", j->name },
		{ "CERTLOOP_NAMES", j->names },
		{ "CERTLOOP_SERIAL", j->serial },
		{ "CERTLOOP_EXPIRES", j->expires },
		{ "CERTLOOP_FOLDER", str_from(p->folder) },
	};

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (told[i].value.n > 0)
			env[n++] = str_cstr(a,
			    str_printf(a, "%s=" STR_FMT, told[i].name,
				STR_ARG(told[i].value)));
	for (size_t i = 0; i < FILES_MAX; i++)
		if (p->files[i].path != NULL)
			env[n++] = str_cstr(a,
			    str_printf(a, "%s=%s", p->files[i].variable,
				p->files[i].path));
	return env;
}

static _Noreturn void
become_program(const struct pair *p, char **env, int out)
{
	char *argv[DELIVER_WORDS_MAX + 1] = { NULL };
	int null = open("/dev/null", O_RDONLY);

	for (size_t i = 0; i < p->job->nhook && i < DELIVER_WORDS_MAX; i++)
		argv[i] = str_cstr(p->arena, p->job->hook[i]);
	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody else would end it */
	if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 &&
	    dup2(out, 2) == 2 && chdir("/") == 0) {
		if (null > 2)
			(void)close(null);
		(void)umask(022);
		(void)signal(SIGPIPE, SIG_DFL);
		execve(argv[0], argv, env);
	}
	dprintf(out, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* ---- our side */

struct running {
	pid_t pid;
	int pidfd, out;
	struct buf *output;
	bool over; /* the deadline passed */
};

static void
read_output(struct running *r)
{
	char some[4096];
	ssize_t n;

	while ((n = read(r->out, some, sizeof(some))) > 0) {
		size_t room = r->output->max - r->output->len;

		buf_put(r->output, some, (size_t)n < room ? (size_t)n : room);
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close(r->out);
		r->out = -1;
	}
}

/* Until it has ended or ms have passed. True if it has ended. */
static bool
wait_for(struct running *r, int64_t ms)
{
	int64_t end = mono_ms() + ms;

	for (;;) {
		struct pollfd v[2] = { { .fd = r->pidfd, .events = POLLIN },
			{ .fd = r->out, .events = POLLIN } };
		int64_t left = end - mono_ms();

		if (left <= 0)
			return false;
		if (poll(v, 2, (int)(left < 60000 ? left : 60000)) < 0 &&
		    errno != EINTR)
			return false;
		if (v[1].revents != 0)
			read_output(r);
		if (v[0].revents != 0)
			return true;
	}
}

static const char *
judge(const struct pair *p, const struct running *r, int status)
{
	const char *program = str_cstr(p->arena, p->job->hook[0]);

	if (r->over)
		return str_printf(p->arena,
		    "the hook %s took longer than %lld s", program,
		    (long long)(p->job->hook_timeout / 1000000))
		    .p;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return NULL;
	if (WIFEXITED(status))
		return str_printf(p->arena, "the hook %s ended with %d",
		    program, WEXITSTATUS(status))
		    .p;
	return str_printf(p->arena, "the hook %s was ended by signal %d",
	    program, WTERMSIG(status))
	    .p;
}

const char *
hook_run(const struct pair *p, struct buf *output)
{
	struct running r = { .output = output, .pidfd = -1 };
	char **env = make_environment(p);
	int ends[2], status = 0;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail_on(p->arena, "make", "a pipe");
	if ((r.pid = fork()) == 0)
		become_program(p, env, ends[1]);
	close(ends[1]);
	r.out = ends[0];
	if (r.pid < 0 || (r.pidfd = pidfd_open(r.pid, 0)) < 0) {
		close(r.out);
		return fail_on(p->arena, "start", "the hook");
	}
	(void)setpgid(r.pid, r.pid); /* whoever comes first */
	(void)fcntl(r.out, F_SETFL, O_NONBLOCK);
	if (!wait_for(&r, p->job->hook_timeout / 1000)) {
		r.over = true;
		(void)kill(-r.pid, SIGTERM);
		(void)wait_for(&r, GRACE_MS);
		(void)kill(-r.pid, SIGKILL);
	}
	while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (r.out >= 0)
		read_output(&r);
	if (r.out >= 0)
		close(r.out);
	close(r.pidfd);
	return judge(p, &r, status);
}
