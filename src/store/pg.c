/* SPDX-License-Identifier: ISC */
/*
 * The PostgreSQL driver: which batch goes where, and when.
 *
 * Writing batches wait at the connection that their key belongs to, so that two
 * batches of one account never wait for each other's locks (or at another one,
 * while that one is down); reading ones wait in one queue for any of the
 * connections kept for them. At the end of a turn
 * each writer with room takes up to PG_GROUP_MAX of its batches to one commit.
 * With little to do a batch goes alone and at once; with much to do batches
 * gather while the commit before them is made, so groups grow with the load.
 *
 * A tick looks for what is late: a batch that has waited too long is answered
 * DOWN, a connection that owes an answer past a batch's deadline is dropped.
 */
#include <stdlib.h>

#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "store/pg_int.h"

static void run_turn(void *);
static void run_tick(void *);

/* Connections that are made from now on go there. */
static void
on_lookup(void *arg, const struct lookup_found *found, size_t n)
{
	struct pg *pg = arg;
	struct arena *a = arena_create(), *old = pg->places;
	struct str before = str_dup(a,
	    str_from(pg_get_param(pg->params, "hostaddr")));

	if (!pg_params_move(pg->params, a, found, n)) {
		arena_destroy(a);
		return;
	}
	if (!str_is(before, pg_get_param(pg->params, "hostaddr")))
		log_info("the hosts of the database have other addresses now",
		    LOG_TEXT("addresses",
			pg_get_param(pg->params, "hostaddr")));
	pg->places = a;
	if (old != NULL)
		arena_destroy(old);
}

static struct store *
pg_new(struct loop *loop, const struct store_options *o, struct arena *a,
    const char **why)
{
	struct arena *own = arena_create();
	struct pg_params *params = pg_params_new(own, o->url, o->deadline, why);
	struct pg *pg;

	if (params == NULL) {
		*why = str_cstr(a, str_from(*why));
		arena_destroy(own);
		return NULL;
	}
	pg = arena_new(own, struct pg);
	store_init(&pg->store, &store_pg, loop, o);
	pg->arena = own;
	pg->params = params;
	pg->nwriters = o->connections;
	pg->nconns = o->connections + o->read_connections;
	pg->conns = arena_array(own, struct pg_conn, pg->nconns);
	TAILQ_INIT(&pg->reads);
	pg->hook = (struct turn_hook){ .fn = run_turn, .arg = pg };
	timer_init(&pg->tick, loop, run_tick, pg);
	lookup_init(&pg->lookup, loop, params->names, params->nnames, on_lookup,
	    pg);
	for (size_t i = 0; i < params->nfound; i++)
		lookup_know(&pg->lookup, params->found[i].name,
		    params->found[i].addr);
	for (unsigned i = 0; i < pg->nconns; i++) {
		pg_conn_init(&pg->conns[i], pg);
		pg_conn_start(&pg->conns[i]);
	}
	return &pg->store;
}

static void
pg_free(struct store *st)
{
	struct pg *pg = (struct pg *)st;
	struct batch *b;

	for (unsigned i = 0; i < pg->nconns; i++)
		pg_conn_release(&pg->conns[i]);
	while ((b = TAILQ_FIRST(&pg->reads)) != NULL) {
		TAILQ_REMOVE(&pg->reads, b, entry);
		batch_abandon(b);
	}
	loop_forget_hook(st->loop, &pg->hook);
	timer_stop(&pg->tick);
	lookup_stop(&pg->lookup);
	if (pg->places != NULL)
		arena_destroy(pg->places);
	arena_destroy(pg->arena); /* and so pg */
}

static bool
is_up(const struct pg_conn *c)
{
	return c->state == PG_UP && !c->stale;
}

static bool
any_is_up(const struct pg *pg, unsigned from, unsigned to)
{
	while (from < to && !is_up(&pg->conns[from]))
		from++;
	return from < to;
}

/* Writers do the work of readers, if none is up. */
static bool
pg_is_ready(const struct store *st)
{
	const struct pg *pg = (const struct pg *)st;

	return any_is_up(pg, 0, pg->nwriters);
}

void
pg_wake(struct pg *pg)
{
	loop_at_turn_end(pg->store.loop, &pg->hook);
}

/* FNV-1a */
static uint32_t
hash(struct str key)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (uint8_t)key.p[i]) * 16777619u;
	return h;
}

/* The writer that a key belongs to; the next one, if that one is not up. */
static struct pg_conn *
pick_writer(struct pg *pg, struct str key)
{
	uint32_t first = key.n == 0 ? pg->next++ : hash(key);

	for (unsigned i = 0; i < pg->nwriters; i++)
		if (is_up(&pg->conns[(first + i) % pg->nwriters]))
			return &pg->conns[(first + i) % pg->nwriters];
	return &pg->conns[first % pg->nwriters];
}

/* Often enough to be late by little only. */
static int64_t
tick_length(const struct pg *pg)
{
	int64_t usec = pg->store.deadline / 40;

	return usec > WHEN_SECOND / 10 ? WHEN_SECOND / 10 : usec;
}

static void
pg_send(struct store *st, struct batch *b)
{
	struct pg *pg = (struct pg *)st;

	if (b->read_only) {
		TAILQ_INSERT_TAIL(&pg->reads, b, entry);
	} else {
		b->home = pick_writer(pg, b->key);
		TAILQ_INSERT_TAIL(&b->home->waiting, b, entry);
	}
	if (!timer_is_running(&pg->tick))
		timer_start(&pg->tick, tick_length(pg));
	pg_wake(pg);
}

static struct batch_list *
queue_of(struct pg *pg, struct batch *b)
{
	return b->read_only ? &pg->reads : &b->home->waiting;
}

static void
pg_forget(struct store *st, struct batch *b)
{
	TAILQ_REMOVE(queue_of((struct pg *)st, b), b, entry);
}

/* Back among those that wait, by age. */
void
pg_requeue(struct pg *pg, struct batch *b)
{
	struct batch_list *queue = queue_of(pg, b);
	struct batch *it;

	batch_reset(b);
	b->state = BATCH_WAITING;
	TAILQ_FOREACH(it, queue, entry)
		if (it->seq > b->seq)
			break;
	if (it != NULL)
		TAILQ_INSERT_BEFORE(it, b, entry);
	else
		TAILQ_INSERT_TAIL(queue, b, entry);
}

void
pg_try_again(struct pg *pg, struct batch *b)
{
	bool in_vain = b->alone && b->tries++ > 0;

	if (in_vain || loop_mono(pg->store.loop) >= b->send_until) {
		batch_note(b, 0, STORE_DOWN, "it was not run");
		batch_finish_noted(b);
		return;
	}
	metrics_add(METRIC_store_retries, 1);
	b->alone = true;
	batch_reset(b);
	b->state = BATCH_WAITING;
	TAILQ_INSERT_TAIL(queue_of(pg, b), b, entry);
}

/* Those at the head that are too old to be sent. */
static void
expire(struct pg *pg, struct batch_list *queue)
{
	int64_t now = loop_mono(pg->store.loop);
	struct batch *b;

	while ((b = TAILQ_FIRST(queue)) != NULL && now >= b->send_until) {
		TAILQ_REMOVE(queue, b, entry);
		batch_finish(b, STORE_DOWN, "no connection in time");
	}
}

static int
compare_keys(const void *a, const void *b)
{
	const struct batch *x = *(struct batch *const *)a;
	const struct batch *y = *(struct batch *const *)b;
	int order = str_cmp(x->key, y->key);

	if (order != 0)
		return order;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static bool
is_before(const struct pg_conn *c, int64_t moment)
{
	return loop_mono(c->pg->store.loop) < moment;
}

/* Take up to max of those that wait; how they may be sent. */
static enum pg_unit
take_unit(struct pg_conn *c, struct batch_list *queue, unsigned max,
    struct batch **unit, unsigned *n)
{
	bool reads = queue == &c->pg->reads;
	enum pg_unit kind = is_before(c, c->bracket_until) && !reads ?
	    PG_BRACKET :
	    PG_PLAIN;
	struct batch *b;

	if (is_before(c, c->alone_until))
		max = 1;
	for (*n = 0; *n < max && (b = TAILQ_FIRST(queue)) != NULL;) {
		if (b->alone && *n > 0)
			break;
		TAILQ_REMOVE(queue, b, entry);
		unit[(*n)++] = b;
		if (b->bracket)
			kind = PG_BRACKET;
		if (b->alone)
			break;
	}
	return *n == 1 ? PG_ALONE : kind;
}

/*
 * One unit at a time, so that batches gather into few large commits; but when
 * a whole unit waits, it is sent on its way while the one before is worked on.
 */
static bool
has_room(const struct pg_conn *c)
{
	const struct batch *b = TAILQ_FIRST(&c->waiting);

	if (b == NULL || c->units > 1)
		return false;
	for (unsigned n = 1; c->units == 1 && n < PG_GROUP_MAX; n++)
		if ((b = TAILQ_NEXT(b, entry)) == NULL)
			return false;
	return true;
}

static void
send_writes(struct pg_conn *c)
{
	struct batch *unit[PG_GROUP_MAX];
	enum pg_unit kind;
	unsigned n;
	bool ok = true;

	while (ok && has_room(c)) {
		kind = take_unit(c, &c->waiting, PG_GROUP_MAX, unit, &n);
		/* in the order in which they may take locks */
		qsort(unit, n, sizeof(unit[0]), compare_keys);
		ok = pg_send_unit(c, kind, unit, n);
	}
	if (ok)
		pg_conn_flush(c);
	else
		pg_conn_drop(c, PQerrorMessage(c->conn));
}

/* Of some connections the one that is up and has least to do, if it has room. */
static struct pg_conn *
pick_idlest(struct pg *pg, unsigned from, unsigned to)
{
	struct pg_conn *best = NULL;

	for (unsigned i = from; i < to; i++) {
		struct pg_conn *c = &pg->conns[i];

		if (is_up(c) && c->units < PG_READ_DEPTH &&
		    (best == NULL || c->units < best->units))
			best = c;
	}
	return best;
}

static struct pg_conn *
pick_reader(struct pg *pg)
{
	if (any_is_up(pg, pg->nwriters, pg->nconns))
		return pick_idlest(pg, pg->nwriters, pg->nconns);
	return pick_idlest(pg, 0, pg->nwriters);
}

static void
send_reads(struct pg *pg)
{
	struct batch *unit[PG_READ_MAX];
	enum pg_unit kind;
	struct pg_conn *c;
	unsigned n;

	while (!TAILQ_EMPTY(&pg->reads) && (c = pick_reader(pg)) != NULL) {
		kind = take_unit(c, &pg->reads, PG_READ_MAX, unit, &n);
		if (!pg_send_unit(c, kind, unit, n))
			pg_conn_drop(c, PQerrorMessage(c->conn));
	}
	for (unsigned i = 0; i < pg->nconns; i++)
		if (is_up(&pg->conns[i]))
			pg_conn_flush(&pg->conns[i]);
}

/* What waits at a connection that is not up goes to one that is. */
static void
move_writes(struct pg_conn *c)
{
	struct batch *b;

	while ((b = TAILQ_FIRST(&c->waiting)) != NULL) {
		struct pg_conn *to = pick_writer(c->pg, b->key);

		if (!is_up(to))
			break;
		TAILQ_REMOVE(&c->waiting, b, entry);
		b->home = to;
		pg_requeue(c->pg, b);
	}
}

static void
run_turn(void *arg)
{
	struct pg *pg = arg;

	expire(pg, &pg->reads);
	for (unsigned i = 0; i < pg->nwriters; i++) {
		expire(pg, &pg->conns[i].waiting);
		if (!is_up(&pg->conns[i]))
			move_writes(&pg->conns[i]);
	}
	for (unsigned i = 0; i < pg->nwriters; i++)
		if (is_up(&pg->conns[i]))
			send_writes(&pg->conns[i]);
	send_reads(pg);
}

/* Does the unit at the head owe an answer that was due? */
static bool
is_late(const struct pg_conn *c, int64_t now)
{
	struct batch *b;

	TAILQ_FOREACH(b, &c->sent, entry) {
		if (now >= b->deadline)
			return true;
		if (b->last)
			break;
	}
	return false;
}

static void
run_tick(void *arg)
{
	struct pg *pg = arg;
	int64_t now = loop_mono(pg->store.loop);

	expire(pg, &pg->reads);
	for (unsigned i = 0; i < pg->nconns; i++) {
		struct pg_conn *c = &pg->conns[i];

		expire(pg, &c->waiting);
		if (c->state == PG_UP && is_late(c, now))
			pg_conn_drop(c, "no answer by the deadline");
	}
	if (pg->store.depth > 0)
		timer_start(&pg->tick, tick_length(pg));
}

const struct store_driver store_pg = {
	.name = "postgresql",
	.dialect = DIALECT_PG,
	.prepare = pg_prepare,
	.open = pg_new,
	.close = pg_free,
	.is_ready = pg_is_ready,
	.send = pg_send,
	.forget = pg_forget,
	.nrows = pg_nrows,
	.affected = pg_affected,
	.is_null = pg_is_null,
	.get_str = pg_get_str,
	.get_int = pg_get_int,
	.clear = pg_clear,
};
