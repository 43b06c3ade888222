/* SPDX-License-Identifier: ISC */
/*
 * The child process of a delivery, and how the loop hears of its end: a pidfd
 * becomes readable, and what the child had to say waits in a pipe.
 */
#include "deliver/deliver_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LOCK_SECONDS = 20,
	SLACK_SECONDS = 60, /* for the files, beside the program's time */
	ANSWER_MAX = DELIVER_OUTPUT_MAX + 4096, /* a pipe holds 64 KiB */
	ANSWER_FD = 3,
};

/* A delivery under way. */
struct work {
	LIST_ENTRY(work) entry; /* deliver->works */
	struct op op;           /* on the waiting task */
	struct deliver *deliver;
	bool wanted;
	pid_t pid;
	int pidfd, answer;
	struct event ended;
	struct timer limit;
	struct deferred failed; /* it could not be begun */
	const char *why;
	deliver_fn *fn;
	void *arg;
};

struct deliver {
	struct loop *loop;
	LIST_HEAD(, work) works;
};

/* ---- the child's side */

static const char *
take_lock(struct arena *a, struct str path)
{
	const struct timespec nap = { .tv_nsec = 50 * 1000000 };
	const char *name = str_cstr(a, path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return fail_on(a, "open", name);
	for (int i = 0; i < LOCK_SECONDS * 20; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return NULL; /* until we end */
		nanosleep(&nap, NULL);
	}
	return str_printf(a, "another process is at it and holds %s", name).p;
}

static const char *
work_on(struct pair *p, const struct deliver_job *j, struct buf *output,
    bool *put_back)
{
	const char *why = take_lock(p->arena, j->lock_file);

	if (why != NULL || (why = pair_init(p->arena, j, p)) != NULL ||
	    (why = pair_write(p)) != NULL)
		return why;
	if (j->nhook > 0 && (p->changed || p->has_old || j->always_hook) &&
	    (why = hook_run(p, output)) != NULL) {
		*put_back = pair_put_back(p);
		return why;
	}
	pair_keep(p);
	return NULL;
}

/* outcome, '\n', sentence, '\n', output */
static void
answer(const struct pair *p, const char *why, bool put_back,
    const struct buf *output)
{
	struct buf b = buf_new(p->arena, ANSWER_MAX);
	struct str text;

	buf_char(&b,
	    why != NULL    ? (put_back ? 'b' : 'f') :
		p->changed ? 'd' :
			     'u');
	buf_str(&b,
	    why != NULL ? str_show(p->arena, str_from(why), 2000) : STR(""));
	buf_char(&b, '\n');
	buf_str(&b, buf_view(output));
	text = buf_view(&b);
	while (text.n > 0) {
		ssize_t n = write(ANSWER_FD, text.p, text.n);

		if (n < 0 && errno != EINTR)
			break;
		text = str_skip(text, n > 0 ? (size_t)n : 0);
	}
}

/*
 * Our copy of the daemon keeps nothing that is the daemon's: signals have
 * their usual meaning, and no socket stays open here.
 */
static void
leave_daemon(int pipe)
{
	struct sigaction usual = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &usual, NULL);
	(void)signal(SIGPIPE, SIG_IGN); /* as long as this is not the hook */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	if (pipe != ANSWER_FD)
		(void)dup2(pipe, ANSWER_FD);
	(void)fcntl(ANSWER_FD, F_SETFD, FD_CLOEXEC);
	(void)close_range(ANSWER_FD + 1, ~0U, 0);
}

static _Noreturn void
be_child(const struct deliver_job *j, int pipe)
{
	struct arena *a = arena_create();
	struct pair p = { .arena = a };
	struct buf output = buf_new(a, DELIVER_OUTPUT_MAX);
	bool put_back = false;
	const char *why;

	leave_daemon(pipe);
	why = work_on(&p, j, &output, &put_back);
	answer(&p, why, put_back, &output);
	_exit(0);
}

/* ---- our side */

static void
free_work(struct work *w)
{
	LIST_REMOVE(w, entry);
	timer_stop(&w->limit);
	loop_undefer(w->deliver->loop, &w->failed);
	if (w->pidfd >= 0) {
		event_del(&w->ended);
		close(w->pidfd);
	}
	if (w->answer >= 0)
		close(w->answer);
	free(w);
}

static void
finish(struct work *w, const struct deliver_result *r)
{
	if (w->wanted) {
		w->wanted = false;
		op_done(&w->op);
		w->fn(w->arg, r);
	}
	free_work(w);
}

static void
detach(struct op *op)
{
	struct work *w = (struct work *)(void *)((char *)op -
	    offsetof(struct work, op));

	w->wanted = false;
}

static struct str
read_answer(struct work *w, struct arena *a)
{
	struct buf b = buf_new(a, ANSWER_MAX);
	char *room;
	ssize_t n;

	while ((room = buf_room(&b, 1024)) != NULL &&
	    (n = read(w->answer, room, 1024)) > 0)
		b.len += (size_t)n;
	return buf_view(&b);
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct work *w = arg;
	struct arena *a = arena_create();
	struct deliver_result r = { .outcome = DELIVER_FAILED };
	struct str text = read_answer(w, a);
	int status;

	(void)fd;
	(void)what;
	(void)waitpid(w->pid, &status, WNOHANG);
	if (text.n == 0) {
		r.why = "the process that delivered was ended";
	} else {
		char code = text.p[0];

		r.output = str_skip(text, 1);
		r.why = str_cstr(a, str_cut(&r.output, '\n'));
		r.put_back = code == 'b';
		if (code == 'd' || code == 'u')
			r.outcome = code == 'd' ? DELIVER_DONE :
						  DELIVER_UNCHANGED;
	}
	finish(w, &r);
	arena_destroy(a);
}

static void
on_limit(void *arg)
{
	struct work *w = arg;

	(void)kill(-w->pid, SIGKILL); /* its end is heard of as any other */
}

static void
on_failed(void *arg)
{
	struct work *w = arg;

	finish(w,
	    &(struct deliver_result){ .outcome = DELIVER_FAILED,
		.why = w->why });
}

struct deliver *
deliver_new(struct loop *l)
{
	struct deliver *d = calloc(1, sizeof(*d));

	if (d == NULL)
		abort();
	d->loop = l;
	LIST_INIT(&d->works);
	return d;
}

void
deliver_free(struct deliver *d)
{
	if (d == NULL)
		return;
	while (!LIST_EMPTY(&d->works)) {
		struct work *w = LIST_FIRST(&d->works);

		if (w->wanted)
			op_done(&w->op);
		free_work(w);
	}
	free(d);
}

static bool
begin(struct work *w, const struct deliver_job *j)
{
	int ends[2];

	w->pidfd = w->answer = -1;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	if ((w->pid = fork()) == 0)
		be_child(j, ends[1]);
	close(ends[1]);
	w->answer = ends[0];
	if (w->pid < 0)
		return false;
	(void)fcntl(w->answer, F_SETFL, O_NONBLOCK);
	(void)setpgid(w->pid, w->pid);
	if ((w->pidfd = pidfd_open(w->pid, 0)) < 0)
		return false;
	event_assign(&w->ended, loop_base(w->deliver->loop), w->pidfd, EV_READ,
	    on_ended, w);
	event_add(&w->ended, NULL);
	timer_start(&w->limit,
	    j->hook_timeout + SLACK_SECONDS * INT64_C(1000000));
	return true;
}

void
deliver_start(struct deliver *d, struct task *t, const struct deliver_job *j,
    deliver_fn *fn, void *arg)
{
	struct work *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->deliver = d;
	w->op.detach = detach;
	w->wanted = true;
	w->fn = fn;
	w->arg = arg;
	timer_init(&w->limit, d->loop, on_limit, w);
	deferred_init(&w->failed, on_failed, w);
	LIST_INSERT_HEAD(&d->works, w, entry);
	task_wait(t, &w->op);
	if (!begin(w, j)) {
		w->why = "cannot start a process";
		loop_defer(d->loop, &w->failed);
	}
}
