/* SPDX-License-Identifier: ISC */
/*
 * A child process for work that blocks or takes long, so that the loop does
 * neither: a copy of this process that does one thing, says how it went
 * through a pipe and ends. The loop hears of its end, however it came.
 */
#ifndef LOOP_CHILD_H
#define LOOP_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop/loop.h"

enum {
	CHILD_OUT = 3,         /* the pipe, in the child */
	CHILD_SAYS_MAX = 65536 /* what fits into it; more would wait for ever */
};

struct child {
	struct loop *loop;
	pid_t pid;
	int pidfd, out; /* -1: none */
	struct event ended;
	struct timer limit;
	void (*fn)(void *);
	void *arg;
};

/*
 * Runs in the child: signals have their usual meaning there but for SIGPIPE,
 * which is ignored, no descriptor above CHILD_OUT is open, and it leads a
 * process group of its own. The process ends when it returns.
 */
typedef void child_work(const void *job);

/*
 * Run work(job) in a child, and fn(arg) here when that has ended, by itself
 * or killed with its whole group after `limit` microseconds. False: there is
 * no child and fn is not called.
 */
bool child_start(struct child *, struct loop *, child_work *, const void *job,
    int64_t limit, void (*fn)(void *), void *arg);

/* For fn: up to n bytes of what it said. Returns how many. */
size_t child_read(struct child *, char *out, size_t n);

/* End it at once; fn is called as after any other end. */
void child_kill(struct child *);

/* Hear of it no more, whether it ended or goes on by itself. */
void child_forget(struct child *);

/* For the child: write all of it to CHILD_OUT. */
void child_say(const char *, size_t n);

#endif
