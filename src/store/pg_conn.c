/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL: one connection on the loop. It comes up by PQconnectPoll, whose
 * socket may be another one after each step; then it is a pipeline, always
 * read from, and written to when libpq could not get rid of everything (both
 * at once, or both sides might wait for each other with full buffers). When it
 * breaks it is made anew, at once the first time, then after growing and
 * jittered pauses, for ever.
 */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "store/pg_int.h"

#define PAUSE_FIRST (100 * 1000) /* usec */
#define PAUSE_LAST (5 * WHEN_SECOND)

static void on_connecting(evutil_socket_t, short, void *);
static void on_readable(evutil_socket_t, short, void *);
static void on_writable(evutil_socket_t, short, void *);
static void on_timer(void *);

unsigned
pg_nslots(const struct pg *pg)
{
	return 2 * pg->store.catalog->nstmts + PG_OWN;
}

void
pg_conn_init(struct pg_conn *c, struct pg *pg)
{
	c->pg = pg;
	c->state = PG_OFF;
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->sent);
	c->room = 256;
	c->expect = calloc(c->room, sizeof(*c->expect));
	c->prepared = calloc(pg_nslots(pg), sizeof(*c->prepared));
	if (c->expect == NULL || c->prepared == NULL)
		abort();
	timer_init(&c->timer, pg->store.loop, on_timer, c);
}

/* Events first: libpq closes the socket. */
static void
hang_up(struct pg_conn *c)
{
	if (c->conn != NULL) {
		event_del(&c->rd);
		if (c->state == PG_UP) {
			event_del(&c->wr);
			metrics_add(METRIC_store_connections, -1);
		}
		PQfinish(c->conn);
	}
	c->conn = NULL;
	c->state = PG_OFF;
	timer_stop(&c->timer);
}

void
pg_conn_release(struct pg_conn *c)
{
	struct batch *b;

	hang_up(c);
	while ((b = TAILQ_FIRST(&c->waiting)) != NULL ||
	    (b = TAILQ_FIRST(&c->sent)) != NULL) {
		TAILQ_REMOVE(b->state == BATCH_SENT ? &c->sent : &c->waiting, b,
		    entry);
		batch_abandon(b);
	}
	free(c->expect);
	free(c->prepared);
}

void
pg_expect(struct pg_conn *c, enum pg_expect_kind kind, unsigned n,
    struct batch *b)
{
	struct pg_expect *grown;

	if (c->n == c->room) {
		grown = calloc(2 * c->room, sizeof(*grown));
		if (grown == NULL)
			abort();
		for (size_t i = 0; i < c->n; i++)
			grown[i] = c->expect[(c->first + i) % c->room];
		free(c->expect);
		c->expect = grown;
		c->room *= 2;
		c->first = 0;
	}
	c->expect[(c->first + c->n++) % c->room] = (struct pg_expect){
		.kind = kind,
		.n = n,
		.b = b
	};
}

/* Somewhere between half of it and all of it. */
static int64_t
jitter(int64_t usec)
{
	return usec / 2 + (int64_t)(id_draw() % (uint64_t)(usec / 2 + 1));
}

static void
schedule(struct pg_conn *c)
{
	int64_t pause = 0;

	if (c->failures > 0) {
		pause = PAUSE_FIRST;
		for (unsigned i = 1; i < c->failures && pause < PAUSE_LAST; i++)
			pause *= 2;
		if (pause > PAUSE_LAST)
			pause = PAUSE_LAST;
	}
	timer_start(&c->timer, jitter(pause));
}

/* One line when trouble begins; the way back says that it is over. */
static void
fail_connect(struct pg_conn *c, const char *why)
{
	struct arena *a = arena_create();

	if (!c->pg->troubled)
		log_error("while connecting to the database",
		    LOG_TEXT("cause", pg_error(a, why)));
	c->pg->troubled = true;
	arena_destroy(a);
	hang_up(c);
	c->failures++;
	lookup_again(&c->pg->lookup);
	schedule(c);
}

static void
watch_connecting(struct pg_conn *c, short what)
{
	event_assign(&c->rd, loop_base(c->pg->store.loop), PQsocket(c->conn),
	    what, on_connecting, c);
	event_add(&c->rd, NULL);
}

static void
ignore_notice(void *arg, const char *text)
{
	(void)arg;
	log_debug("the database says", LOG_TEXT("notice", text));
}

void
pg_conn_start(struct pg_conn *c)
{
	struct pg_params *p = c->pg->params;
	const char *values[PG_PARAMS_MAX + 1];
	struct arena *a = arena_create();

	c->turn = c->pg->turn;
	pg_params_turn(p, c->turn, a, values);
	c->conn = PQconnectStartParams(p->keys, values, 0);
	arena_destroy(a);
	if (c->conn == NULL)
		abort();
	PQsetNoticeProcessor(c->conn, ignore_notice, NULL);
	c->state = PG_CONNECTING;
	/* so that fail_connect has an event to delete */
	event_assign(&c->rd, loop_base(c->pg->store.loop), -1, 0, on_connecting,
	    c);
	if (PQstatus(c->conn) == CONNECTION_BAD) {
		fail_connect(c, PQerrorMessage(c->conn));
		return;
	}
	timer_start(&c->timer, c->pg->store.deadline);
	watch_connecting(c, EV_WRITE);
}

static void
come_up(struct pg_conn *c)
{
	struct event_base *base = loop_base(c->pg->store.loop);

	if (PQserverVersion(c->conn) < PG_SERVER_MIN ||
	    PQsetnonblocking(c->conn, 1) != 0 ||
	    PQenterPipelineMode(c->conn) != 1) {
		fail_connect(c, "the server cannot be used");
		return;
	}
	event_assign(&c->rd, base, PQsocket(c->conn), EV_READ | EV_PERSIST,
	    on_readable, c);
	event_assign(&c->wr, base, PQsocket(c->conn), EV_WRITE, on_writable, c);
	event_add(&c->rd, NULL);
	timer_stop(&c->timer);
	memset(c->prepared, 0, pg_nslots(c->pg) * sizeof(*c->prepared));
	c->first = c->n = 0;
	c->units = 0;
	c->stale = c->refused = false;
	c->waited = 0;
	c->failures = 0;
	c->state = PG_UP;
	metrics_add(METRIC_store_connects, 1);
	metrics_add(METRIC_store_connections, 1);
	if (c->pg->troubled)
		log_info("the database is back");
	c->pg->troubled = false;
	pg_wake(c->pg);
}

static void
on_connecting(evutil_socket_t fd, short what, void *arg)
{
	struct pg_conn *c = arg;

	(void)fd;
	(void)what;
	switch (PQconnectPoll(c->conn)) {
	case PGRES_POLLING_READING:
		watch_connecting(c, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		watch_connecting(c, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		come_up(c);
		break;
	default:
		fail_connect(c, PQerrorMessage(c->conn));
	}
}

static void
on_timer(void *arg)
{
	struct pg_conn *c = arg;

	if (c->state != PG_CONNECTING) {
		pg_conn_start(c);
		return;
	}
	/* a host that says nothing must not hide those behind it */
	if (c->turn == c->pg->turn)
		c->pg->turn++;
	fail_connect(c, "no answer in time");
}

static void
settle_lost(struct pg_conn *c, const char *why)
{
	int64_t now = loop_mono(c->pg->store.loop);
	struct batch *b;

	while ((b = TAILQ_FIRST(&c->sent)) != NULL) {
		TAILQ_REMOVE(&c->sent, b, entry);
		if (!b->read_only)
			batch_finish(b, STORE_UNKNOWN, why);
		else if (now >= b->send_until || b->task == NULL)
			batch_finish(b, STORE_DOWN, why);
		else
			pg_requeue(c->pg, b);
	}
}

void
pg_conn_drop(struct pg_conn *c, const char *why)
{
	struct arena *a = arena_create();

	why = pg_error(a, why);
	metrics_add(METRIC_store_disconnects, 1);
	log_sampled(LOG_WARN, 3, "lost a connection to the database",
	    LOG_TEXT("cause", why), LOG_INT("in_flight", c->units));
	hang_up(c);
	settle_lost(c, why);
	c->units = 0;
	c->n = 0;
	arena_destroy(a);
	schedule(c);
	pg_wake(c->pg);
}

void
pg_conn_flush(struct pg_conn *c)
{
	int rc = PQflush(c->conn);

	if (rc < 0)
		pg_conn_drop(c, PQerrorMessage(c->conn));
	else if (rc > 0)
		event_add(&c->wr, NULL);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct pg_conn *c = arg;
	const char *why = NULL;

	(void)fd;
	(void)what;
	if (!pg_read(c, &why))
		pg_conn_drop(c, why);
	else if (c->stale && c->units == 0)
		pg_conn_drop(c, "the server asked for a new session");
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pg_conn_flush(arg);
}
