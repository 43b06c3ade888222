/* SPDX-License-Identifier: ISC */
/* Tasks and their operations. */
#include "loop/task.h"

void
task_init(struct task *t)
{
	task_init_in(t, arena_create());
}

void
task_init_in(struct task *t, struct arena *a)
{
	t->arena = a;
	LIST_INIT(&t->ops);
}

void
task_wait(struct task *t, struct op *op)
{
	LIST_INSERT_HEAD(&t->ops, op, entry);
}

void
op_done(struct op *op)
{
	LIST_REMOVE(op, entry);
}

bool
task_is_waiting(const struct task *t)
{
	return !LIST_EMPTY(&t->ops);
}

void
task_detach(struct task *t)
{
	struct op *op;

	while ((op = LIST_FIRST(&t->ops)) != NULL) {
		LIST_REMOVE(op, entry);
		op->detach(op);
	}
}

void
task_end(struct task *t)
{
	struct arena *arena;

	task_detach(t);
	arena = t->arena;
	t->arena = NULL; /* t itself may live in there */
	arena_destroy(arena);
}
