/* SPDX-License-Identifier: ISC */
/* The child process of a delivery, and what is made of how it ended. */
#include "deliver/deliver_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "loop/child.h"

enum {
	LOCK_SECONDS = 20,
	SLACK_SECONDS = 60, /* for the files, beside the program's time */
	ANSWER_MAX = DELIVER_OUTPUT_MAX + 4096,
};

/* A delivery under way. */
struct work {
	LIST_ENTRY(work) entry; /* deliver->works */
	struct op op;           /* on the waiting task */
	struct deliver *deliver;
	bool wanted;
	struct child child;
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

	if (why != NULL)
		buf_str(&b, put_back ? STR("b") : STR("f"));
	else
		buf_str(&b, p->changed ? STR("d") : STR("u"));
	buf_str(&b,
	    why != NULL ? str_show(p->arena, str_from(why), 2000) : STR(""));
	buf_char(&b, '\n');
	buf_str(&b, buf_view(output));
	text = buf_view(&b);
	child_say(text.p, text.n);
}

static void
be_child(const void *job)
{
	const struct deliver_job *j = job;
	struct arena *a = arena_create();
	struct pair p = { .arena = a };
	struct buf output = buf_new(a, DELIVER_OUTPUT_MAX);
	bool put_back = false;
	const char *why = work_on(&p, j, &output, &put_back);

	answer(&p, why, put_back, &output);
}

/* ---- our side */

static void
free_work(struct work *w)
{
	LIST_REMOVE(w, entry);
	loop_undefer(w->deliver->loop, &w->failed);
	child_forget(&w->child);
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
	char *text = arena_alloc(a, ANSWER_MAX);

	return str_make(text, child_read(&w->child, text, ANSWER_MAX));
}

static void
on_ended(void *arg)
{
	struct work *w = arg;
	struct arena *a = arena_create();
	struct deliver_result r = { .outcome = DELIVER_FAILED };
	struct str text = read_answer(w, a);

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
	deferred_init(&w->failed, on_failed, w);
	LIST_INSERT_HEAD(&d->works, w, entry);
	task_wait(t, &w->op);
	if (!child_start(&w->child, d->loop, be_child, j,
		j->hook_timeout + SLACK_SECONDS * INT64_C(1000000), on_ended,
		w)) {
		w->why = "cannot start a process";
		loop_defer(d->loop, &w->failed);
	}
}
