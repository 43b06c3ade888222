/* SPDX-License-Identifier: ISC */
/*
 * Without `replicas` this process must be the only one on its store: its
 * nonces, and limits in memory, are known to nobody else. A lease says so. Its
 * holder is "MACHINE/PID/START", so that a process that was killed here can be
 * followed at once; one that died elsewhere is waited for. SQLite needs none
 * of this: its driver locks the file.
 */
#include "daemon/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "sched/sched.h"

/* Seconds. A holder on this machine that lives is given time to stop; one that
 * we know nothing of, until its lease is over. */
enum { TTL = 15, RENEW = 5, RETRY = 1, PATIENCE_HERE = 3, PATIENCE = 20 };

struct single {
	struct daemon *d;
	struct task task; /* of the batch under way */
	struct timer timer;
	void (*done)(struct daemon *); /* NULL once we are the one */
	struct str holder;
	int64_t began; /* loop_mono */
};

static void ask(void *);
static void on_lease(void *, enum lease_verdict, int64_t);
static enum step on_holder(void *, const struct store_result *);
static enum step on_released(void *, const struct store_result *);

/* ---- who we are, who they are */

/* The first line of a file, or of where a link points; "" if unreadable. */
static struct str
read_line(struct arena *a, const char *path)
{
	char text[512];
	ssize_t n = readlink(path, text, sizeof(text));
	FILE *f;

	if (n > 0)
		return str_dup(a, str_make(text, (size_t)n));
	if ((f = fopen(path, "re")) == NULL)
		return STR("");
	if (fgets(text, sizeof(text), f) == NULL)
		text[0] = '\0';
	(void)fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return str_dup(a, str_from(text));
}

/* Boot of the machine and namespace of the numbers of its processes. */
static struct str
name_machine(struct arena *a)
{
	struct str boot = read_line(a, "/proc/sys/kernel/random/boot_id");

	/* a unit may hide it, and all machines have one first namespace */
	if (boot.n == 0)
		boot = id_new(a); /* then nobody is known to be here */
	return str_printf(a, STR_FMT "+" STR_FMT, STR_ARG(boot),
	    STR_ARG(read_line(a, "/proc/self/ns/pid")));
}

/* Field 22 of its stat file: when the process began; "" if it is dead. */
static struct str
begin_of_process(struct arena *a, struct str pid)
{
	struct str rest = read_line(a,
	    str_printf(a, "/proc/" STR_FMT "/stat", STR_ARG(pid)).p);
	const char *end = rest.n > 0 ? memrchr(rest.p, ')', rest.n) : NULL;

	if (end == NULL)
		return STR("");
	rest = str_skip(rest, (size_t)(end - rest.p) + 2);
	for (int i = 3; i < 22; i++)
		(void)str_cut(&rest, ' ');
	return str_cut(&rest, ' ');
}

static struct str
name_ourselves(struct arena *a)
{
	struct str pid = str_printf(a, "%ld", (long)getpid());

	return str_printf(a, STR_FMT "/" STR_FMT "/" STR_FMT,
	    STR_ARG(name_machine(a)), STR_ARG(pid),
	    STR_ARG(begin_of_process(a, pid)));
}

/* Is this holder a process of our own machine? */
static bool
is_here(struct arena *a, struct str holder)
{
	return str_eq(str_cut(&holder, '/'), name_machine(a));
}

/* Do we know that this holder is dead? */
static bool
is_dead(struct arena *a, struct str holder)
{
	struct str rest = holder, pid;
	uint64_t n;

	(void)str_cut(&rest, '/');
	pid = str_cut(&rest, '/');
	return is_here(a, holder) && str_u64(pid, &n) &&
	    !str_eq(begin_of_process(a, pid), rest);
}

/* ---- taking the lease */

static void
again(struct single *s, int64_t seconds)
{
	task_end(&s->task);
	timer_start(&s->timer, seconds * WHEN_SECOND);
}

static void
ask(void *arg)
{
	struct single *s = arg;

	task_init(&s->task);
	lease_take(s->d->store, &s->task, "process", s->holder,
	    TTL * WHEN_SECOND, on_lease, s);
}

static void
on_lease(void *arg, enum lease_verdict verdict, int64_t fence)
{
	struct single *s = arg;
	void (*done)(struct daemon *) = s->done;
	struct batch *b;

	(void)fence;
	if (verdict == LEASE_TAKEN) {
		s->done = NULL;
		again(s, RENEW);
		if (done != NULL)
			done(s->d);
		return;
	}
	if (done == NULL) {
		if (verdict == LEASE_HELD)
			log_error("another certloopd has taken this store: "
				  "stop one of the two, or set replicas");
		again(s, RENEW);
		return;
	}
	b = store_new_batch(s->d->store, &s->task, STR("process"));
	store_add(b, SQL_LEASE_GET);
	store_str(b, STR("process"));
	(void)store_send_batch(b, on_holder, s);
}

static enum step
on_holder(void *arg, const struct store_result *r)
{
	struct single *s = arg;
	struct arena *a = s->task.arena;
	int64_t patience = PATIENCE;
	struct str holder;
	struct batch *b;

	if (r->status == STORE_OK && store_nrows(r, 0) > 0) {
		if (is_here(a, store_get_str(r, 0, 0, LEASE_GET_HOLDER)))
			patience = PATIENCE_HERE;
		holder = str_dup(a, store_get_str(r, 0, 0, LEASE_GET_HOLDER));
		if (is_dead(a, holder)) {
			b = store_new_batch(s->d->store, &s->task,
			    STR("process"));
			store_add(b, SQL_LEASE_RELEASE);
			store_str(b, STR("process"));
			store_str(b, holder);
			return store_send_batch(b, on_released, s);
		}
	}
	if (loop_mono(s->d->loop) - s->began > patience * WHEN_SECOND) {
		daemon_fail(s->d, EXIT_STORE, "cannot start",
		    r->status == STORE_OK ?
			"another certloopd works on this store: stop it, or "
			"set replicas = true in both" :
			"the store does not answer");
		return STEP_DONE;
	}
	again(s, RETRY);
	return STEP_DONE;
}

static enum step
on_released(void *arg, const struct store_result *r)
{
	struct single *s = arg;

	again(s, r->status == STORE_OK ? 0 : RETRY);
	return STEP_DONE;
}

void
single_stop(struct daemon *d)
{
	if (d->single == NULL)
		return;
	timer_stop(&d->single->timer);
	if (d->single->task.arena != NULL)
		task_end(&d->single->task);
	d->single->task.arena = NULL;
}

static enum step
on_given_back(void *arg, const struct store_result *r)
{
	struct single *s = arg;

	(void)r; /* if it was not, it runs out by itself */
	s->done(s->d);
	return STEP_DONE;
}

void
single_end(struct daemon *d, void (*done)(struct daemon *))
{
	struct single *s = d->single;
	struct batch *b;

	if (s == NULL || s->done != NULL) {
		done(d);
		return;
	}
	single_stop(d);
	s->done = done;
	task_init(&s->task);
	b = store_new_batch(d->store, &s->task, STR("process"));
	store_add(b, SQL_LEASE_RELEASE);
	store_str(b, STR("process"));
	store_str(b, s->holder);
	(void)store_send_batch(b, on_given_back, s);
}

void
single_start(struct daemon *d, void (*done)(struct daemon *))
{
	struct single *s;

	if (d->conf->replicas ||
	    strcmp(store_engine(d->store), "sqlite") == 0) {
		done(d);
		return;
	}
	s = arena_new(d->arena, struct single);
	s->d = d;
	s->done = done;
	s->holder = name_ourselves(d->arena);
	s->began = loop_mono(d->loop);
	timer_init(&s->timer, d->loop, ask, s);
	d->single = s;
	ask(s);
}
