/* SPDX-License-Identifier: ISC */
/*
 * Whose query comes next. Each type has slots, for queries on the wire, and
 * places, for validations that are begun. Owners take turns, and none has more
 * than its share of slots and places: targets of one that hang do not keep
 * the others waiting.
 */
#include "validate/validate_int.h"

#include <stdlib.h>
#include <string.h>

/* Who has validations of one type, in the order of their turns. */
struct owner {
	TAILQ_ENTRY(owner) entry;
	struct check_queue queue;
	unsigned count, running; /* its places, its slots */
	size_t n;
	char name[];
};

static struct validate_kind *
kind_of(const struct check *c)
{
	return &c->validate->kinds[c->rq.type];
}

/* What one owner may have of so many. */
static unsigned
share_of(const struct validate *v, unsigned all)
{
	return all > v->share ? all / v->share : 1;
}

static struct owner *
find_owner(const struct validate_kind *k, struct str name)
{
	struct owner *o;

	TAILQ_FOREACH(o, &k->owners, entry)
		if (str_eq(str_make(o->name, o->n), name))
			return o;
	return NULL;
}

static struct owner *
add_owner(struct validate_kind *k, struct str name)
{
	struct owner *o = calloc(1, sizeof(*o) + name.n + 1);

	if (o == NULL)
		abort();
	TAILQ_INIT(&o->queue);
	if (name.n > 0)
		memcpy(o->name, name.p, name.n);
	o->n = name.n;
	TAILQ_INSERT_TAIL(&k->owners, o, entry);
	return o;
}

/* ---- places */

enum validate_room
turns_room(const struct validate *v, enum validate_type type, struct str owner)
{
	const struct validate_kind *k = &v->kinds[type];
	unsigned all = v->running_max + v->waiting_max;
	const struct owner *o = find_owner(k, owner);

	if (k->count >= all)
		return VALIDATE_FULL;
	return o != NULL && o->count >= share_of(v, all) ? VALIDATE_SHARE_FULL :
							   VALIDATE_ROOM;
}

void
turns_join(struct check *c)
{
	struct validate_kind *k = kind_of(c);

	c->owner = find_owner(k, c->rq.owner);
	if (c->owner == NULL)
		c->owner = add_owner(k, c->rq.owner);
	c->owner->count++;
	k->count++;
}

void
turns_leave(struct check *c)
{
	struct validate_kind *k = kind_of(c);

	k->count--;
	if (--c->owner->count > 0)
		return;
	TAILQ_REMOVE(&k->owners, c->owner, entry);
	free(c->owner);
}

/* ---- slots */

void
turns_enqueue(struct check *c)
{
	TAILQ_INSERT_TAIL(&c->owner->queue, c, queued);
}

void
turns_dequeue(struct check *c)
{
	TAILQ_REMOVE(&c->owner->queue, c, queued);
}

struct check *
turns_take(struct validate *v, enum validate_type type)
{
	struct validate_kind *k = &v->kinds[type];
	unsigned most = share_of(v, v->running_max);
	struct owner *o;
	struct check *c;

	if (k->running >= v->running_max)
		return NULL;
	TAILQ_FOREACH(o, &k->owners, entry)
		if (o->running < most && !TAILQ_EMPTY(&o->queue))
			break;
	if (o == NULL)
		return NULL;
	TAILQ_REMOVE(&k->owners, o, entry);
	TAILQ_INSERT_TAIL(&k->owners, o, entry);
	c = TAILQ_FIRST(&o->queue);
	turns_dequeue(c);
	o->running++;
	k->running++;
	return c;
}

void
turns_give(struct check *c)
{
	c->owner->running--;
	kind_of(c)->running--;
}
