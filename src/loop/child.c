/* SPDX-License-Identifier: ISC */
/*
 * Fork, a pidfd that becomes readable at the child's end, and a pipe in which
 * what it had to say waits until then.
 */
#include "loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the child's side */

/* Our copy of the daemon keeps nothing that is the daemon's. */
static void
leave_daemon(int pipe)
{
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &usual, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	if (pipe != CHILD_OUT)
		(void)dup2(pipe, CHILD_OUT);
	(void)fcntl(CHILD_OUT, F_SETFD, FD_CLOEXEC);
	(void)close_range(CHILD_OUT + 1, ~0U, 0);
}

static _Noreturn void
be_child(child_work *work, const void *job, int pipe)
{
	leave_daemon(pipe);
	work(job);
	_exit(0);
}

void
child_say(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(CHILD_OUT, p, n);

		if (done < 0 && errno != EINTR)
			break;
		p += done > 0 ? done : 0;
		n -= done > 0 ? (size_t)done : 0;
	}
}

/* ---- our side */

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	int status;

	(void)fd;
	(void)what;
	timer_stop(&c->limit);
	(void)waitpid(c->pid, &status, WNOHANG);
	c->fn(c->arg);
}

static void
on_limit(void *arg)
{
	child_kill(arg);
}

void
child_kill(struct child *c)
{
	if (c->pidfd >= 0)
		(void)kill(-c->pid, SIGKILL);
}

bool
child_start(struct child *c, struct loop *l, child_work *work, const void *job,
    int64_t limit, void (*fn)(void *), void *arg)
{
	int ends[2];

	*c = (struct child){ .loop = l,
		.pidfd = -1,
		.out = -1,
		.fn = fn,
		.arg = arg };
	timer_init(&c->limit, l, on_limit, c);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	if ((c->pid = fork()) == 0)
		be_child(work, job, ends[1]);
	close(ends[1]);
	c->out = ends[0];
	if (c->pid > 0) {
		(void)fcntl(c->out, F_SETFL, O_NONBLOCK);
		(void)setpgid(c->pid, c->pid); /* whoever comes first */
		c->pidfd = pidfd_open(c->pid, 0);
	}
	if (c->pidfd < 0) {
		if (c->pid > 0) {
			(void)kill(-c->pid, SIGKILL);
			(void)waitpid(c->pid, NULL, 0);
		}
		child_forget(c);
		return false;
	}
	event_assign(&c->ended, loop_base(l), c->pidfd, EV_READ, on_ended, c);
	event_add(&c->ended, NULL);
	timer_start(&c->limit, limit);
	return true;
}

size_t
child_read(struct child *c, char *out, size_t n)
{
	size_t len = 0;
	ssize_t some;

	while (len < n && (some = read(c->out, out + len, n - len)) > 0)
		len += (size_t)some;
	return len;
}

void
child_forget(struct child *c)
{
	timer_stop(&c->limit);
	if (c->pidfd >= 0) {
		event_del(&c->ended);
		close(c->pidfd);
	}
	if (c->out >= 0)
		close(c->out);
	c->pidfd = c->out = -1;
}
