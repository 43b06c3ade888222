/* SPDX-License-Identifier: ISC */
/*
 * A task: an arena, and the operations it is waiting for. Cancellation is in
 * one place. Reply sent, client gone, deadline hit, shutdown: all of them
 * call only task_end, after which no callback of the task runs.
 *
 * Rules (each driver keeps them):
 *  1. A callback never runs inside the call that started it, runs at most
 *     once, and always from the top of the loop (loop_defer).
 *  2. The record of an operation belongs to its driver, not to the arena, and
 *     owns copies of all bytes in flight. `detach` clears the way back; the
 *     driver drains on.
 *  3. Losing the client never undoes work that was sent.
 *  4. Every task has a deadline; whoever made the task keeps it.
 */
#ifndef LOOP_TASK_H
#define LOOP_TASK_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/arena.h"

/* What a step of a task did: answered, or started something it waits for. */
enum step { STEP_DONE, STEP_WAITING };

/* An operation under way. Embedded in the driver's record. */
struct op {
	LIST_ENTRY(op) entry;        /* on task->ops */
	void (*detach)(struct op *); /* forget the task; drain on */
};

struct task {
	struct arena *arena;
	LIST_HEAD(task_ops, op) ops;
};

/* A task with an arena of its own and no operations. */
void task_init(struct task *);

/*
 * The same with this arena, in which the struct around the task lies: what
 * works by itself and ends with its task.
 */
void task_init_in(struct task *, struct arena *);

/* Driver: t now waits for op; op->detach is set. */
void task_wait(struct task *t, struct op *op);

/*
 * Driver: the operation is over and its callback is about to run (or will
 * never run). Must be called before the callback.
 */
void op_done(struct op *);

/* Is anything under way? The dispatcher asserts it after STEP_WAITING. */
bool task_is_waiting(const struct task *);

/* Detach every operation: no callback runs afterwards. The arena stays. */
void task_detach(struct task *);

/*
 * Detach every operation, destroy the arena, in which the task itself may
 * live.
 */
void task_end(struct task *);

#endif
