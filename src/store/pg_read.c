/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL: results off the wire, and what they mean.
 *
 * Each command that was queued yields one result and then NULL; a Sync yields
 * one result and no NULL; commands that were skipped after an error yield
 * PGRES_PIPELINE_ABORTED. So the ring of expectations, filled while sending,
 * says what each result belongs to. Anything that does not fit ends the
 * connection, COPY states in particular, in which PQgetResult would give the
 * same answer for ever.
 */
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "metrics/metrics.h"
#include "store/pg_int.h"

/* What an SQLSTATE means to a batch; the longest prefix that fits counts. */
struct meaning {
	const char *state;
	enum store_status status;
	bool again; /* worth another try: the next one may succeed */
	bool stale; /* this session is of no more use */
};

/* clang-format off */
static const struct meaning meanings[] = {
	{ "23505", STORE_CONFLICT, false, false }, /* unique_violation */
	{ "40P01", STORE_DOWN, true, false },      /* deadlock_detected */
	{ "40001", STORE_DOWN, true, false },      /* serialization_failure */
	{ "55P03", STORE_DOWN, true, false },      /* lock_not_available */
	{ "26000", STORE_DOWN, true, false },      /* statement not prepared */
	{ "0A000", STORE_DOWN, true, true },       /* cached plan must not change */
	{ "25006", STORE_DOWN, false, true },      /* read_only_sql_transaction */
	{ "25P03", STORE_DOWN, true, true },       /* idle in transaction */
	{ "57014", STORE_DOWN, false, false },     /* query_canceled: timeout */
	{ "53", STORE_DOWN, false, false },        /* insufficient resources */
	{ "", STORE_ERROR, false, false },
};
/* clang-format on */

static const struct meaning *
find_meaning(const char *state)
{
	const struct meaning *m = meanings;

	while (strncmp(state, m->state, strlen(m->state)) != 0)
		m++;
	return m;
}

static bool
is_lost_guard(const PGresult *res, const char *state)
{
	const char *table = PQresultErrorField(res, PG_DIAG_TABLE_NAME);

	return strcmp(state, "23514") == 0 && table != NULL &&
	    strcmp(table, "must") == 0;
}

static void
note_error(struct pg_conn *c, struct batch *b, unsigned stmt,
    const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const struct meaning *m = find_meaning(state);
	const struct batch_stmt *s = &b->stmts[stmt];

	if (b->verdict != STORE_OK)
		return;
	if (strcmp(state, "26000") == 0)
		c->prepared[pg_slot(c, b, s)] = false;
	if (is_lost_guard(res, state)) {
		batch_note(b, stmt, STORE_LOST, "");
		return;
	}
	c->stale = c->stale || m->stale;
	if (m->again && ++c->waited > 1)
		c->alone_until = loop_mono(c->pg->store.loop) + PG_TROUBLE_TIME;
	b->again = m->again;
	batch_note(b, stmt, m->status,
	    str_printf(b->arena, "%s: %s (SQLSTATE %s)", s->def->name,
		text != NULL ? text : "?", state)
		.p);
}

/* What became of a batch, now that its unit has ended. */
static void
settle(struct pg_conn *c, struct batch *b, bool committed)
{
	TAILQ_REMOVE(&c->sent, b, entry);
	for (unsigned i = 0; b->read_only && i < b->nstmts; i++)
		if (b->verdict == STORE_OK && !b->skipped &&
		    b->stmts[i].guard && pg_nrows(&b->stmts[i]) == 0)
			batch_note(b, i, STORE_LOST, "");
	if (!committed && !b->again)
		batch_note(b, 0, STORE_DOWN, "the commit failed");
	if (!committed || b->again || (b->skipped && b->verdict == STORE_OK))
		pg_try_again(c->pg, b);
	else
		batch_finish_noted(b);
}

/* Did something fail in the plain unit at the head? Then nothing was done. */
static bool
has_failed_plain(const struct pg_conn *c)
{
	struct batch *b;

	TAILQ_FOREACH(b, &c->sent, entry) {
		if (!b->plain)
			return false;
		if (c->refused || b->skipped || b->verdict != STORE_OK)
			return true;
		if (b->last)
			break;
	}
	return false;
}

/* Again, in a way in which the bad one does not harm the others. */
static void
split_unit(struct pg_conn *c)
{
	struct batch *b;
	bool last;

	do {
		b = TAILQ_FIRST(&c->sent);
		last = b->last;
		TAILQ_REMOVE(&c->sent, b, entry);
		if (b->read_only) {
			pg_try_again(c->pg, b);
		} else {
			b->bracket = true;
			pg_requeue(c->pg, b);
		}
	} while (!last);
	c->bracket_until = loop_mono(c->pg->store.loop) + PG_TROUBLE_TIME;
}

static void
settle_unit(struct pg_conn *c)
{
	bool committed = !c->refused, writes, last;
	struct batch *b;

	do {
		b = TAILQ_FIRST(&c->sent);
		last = b->last;
		writes = !b->read_only;
		settle(c, b, committed);
	} while (!last);
	if (committed && writes)
		metrics_add(METRIC_store_commits, 1);
}

/* The Sync that ends a unit: everything in it is decided. */
static void
end_unit(struct pg_conn *c)
{
	if (has_failed_plain(c))
		split_unit(c);
	else
		settle_unit(c);
	c->refused = false;
	c->waited = 0;
	c->units--;
	pg_wake(c->pg);
}

static void
fail_prepare(struct pg_conn *c, const struct pg_expect *e, const PGresult *res)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	c->prepared[e->n] = false;
	log_sampled(LOG_ERROR, 3, "while preparing a statement",
	    LOG_TEXT("cause", text));
	if (e->b != NULL)
		for (unsigned i = 0; i < e->b->nstmts; i++) {
			if (pg_slot(c, e->b, &e->b->stmts[i]) == e->n)
				note_error(c, e->b, i, res);
		}
}

/* The session does not know the statement (any more). */
static bool
is_forgotten(const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return state != NULL && strcmp(state, "26000") == 0;
}

/* The result of a command. False: it fits nothing that we sent. */
static bool
take_result(struct pg_conn *c, const struct pg_expect *e, PGresult *res)
{
	ExecStatusType st = PQresultStatus(res);
	bool good = st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK;

	switch (e->kind) {
	case EXPECT_PREPARE:
		if (st == PGRES_FATAL_ERROR)
			fail_prepare(c, e, res);
		else if (st == PGRES_PIPELINE_ABORTED)
			c->prepared[e->n] = false;
		break;
	case EXPECT_STMT:
		if (good) {
			e->b->stmts[e->n].rows = res;
			return true;
		}
		if (st == PGRES_FATAL_ERROR)
			note_error(c, e->b, e->n, res);
		else
			e->b->skipped = true;
		break;
	case EXPECT_OWN:
		if (is_forgotten(res))
			c->prepared[pg_own_slot(c, e->n)] = false;
		/* a COMMIT of a transaction that failed says ROLLBACK */
		if (e->n == PG_COMMIT &&
		    (!good || strcmp(PQcmdStatus(res), "COMMIT") != 0))
			c->refused = true;
		break;
	default:
		PQclear(res);
		return false;
	}
	PQclear(res);
	return true;
}

/* A Sync was answered. */
static bool
take_sync(struct pg_conn *c, const struct pg_expect *e)
{
	switch (e->kind) {
	case EXPECT_SYNC:
		end_unit(c);
		return true;
	case EXPECT_MEMBER_SYNC:
	case EXPECT_PREPARE_SYNC:
		return true;
	default:
		return false;
	}
}

static bool
is_sync(enum pg_expect_kind kind)
{
	return kind == EXPECT_SYNC || kind == EXPECT_MEMBER_SYNC ||
	    kind == EXPECT_PREPARE_SYNC;
}

static bool
is_end_of_session(const PGresult *res)
{
	const char *sev = PQresultErrorField(res,
	    PG_DIAG_SEVERITY_NONLOCALIZED);

	/* without an SQLSTATE it is libpq's own: the connection broke */
	return PQresultErrorField(res, PG_DIAG_SQLSTATE) == NULL ||
	    (sev != NULL && strcmp(sev, "ERROR") != 0);
}

/* One result, which is ours now. False: *why the connection must go. */
static bool
take(struct pg_conn *c, PGresult *res, const char **why)
{
	struct pg_expect e = c->expect[c->first];
	ExecStatusType st = PQresultStatus(res);

	*why = "the server said something unexpected";
	if (st == PGRES_FATAL_ERROR && is_end_of_session(res)) {
		(void)snprintf(c->why, sizeof(c->why), "%s",
		    PQresultErrorMessage(res));
		*why = c->why;
		PQclear(res);
		return false;
	}
	/* the implicit commit itself failed; the Sync is still to come */
	if (st == PGRES_FATAL_ERROR && is_sync(e.kind)) {
		c->refused = true;
		PQclear(res);
		return true;
	}
	c->first = (c->first + 1) % c->room;
	c->n--;
	switch (st) {
	case PGRES_PIPELINE_SYNC:
		PQclear(res);
		return take_sync(c, &e);
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_FATAL_ERROR:
	case PGRES_PIPELINE_ABORTED:
		return take_result(c, &e, res);
	default: /* COPY_*, and what we did not ask for */
		PQclear(res);
		return false;
	}
}

bool
pg_read(struct pg_conn *c, const char **why)
{
	PGresult *res;
	int nulls = 0;

	if (!PQconsumeInput(c->conn)) {
		*why = PQerrorMessage(c->conn);
		return false;
	}
	while (c->n > 0 && !PQisBusy(c->conn)) {
		if ((res = PQgetResult(c->conn)) != NULL) {
			nulls = 0;
			if (!take(c, res, why))
				return false;
		} else if (PQstatus(c->conn) != CONNECTION_OK || ++nulls > 2) {
			*why = PQerrorMessage(c->conn);
			return false;
		}
	}
	return true;
}

size_t
pg_nrows(const struct batch_stmt *s)
{
	return (size_t)PQntuples(s->rows);
}

uint64_t
pg_affected(const struct batch_stmt *s)
{
	return strtoull(PQcmdTuples(s->rows), NULL, 10);
}

bool
pg_is_null(const struct batch_stmt *s, size_t row, unsigned col)
{
	return PQgetisnull(s->rows, (int)row, (int)col) != 0;
}

struct str
pg_get_str(const struct batch_stmt *s, size_t row, unsigned col)
{
	int r = (int)row, i = (int)col;

	assert(PQftype(s->rows, i) == 25 || PQftype(s->rows, i) == 17);
	return str_make(PQgetvalue(s->rows, r, i),
	    (size_t)PQgetlength(s->rows, r, i));
}

int64_t
pg_get_int(const struct batch_stmt *s, size_t row, unsigned col)
{
	const char *p = PQgetvalue(s->rows, (int)row, (int)col);
	uint32_t n4;
	uint64_t n8;

	switch (PQftype(s->rows, (int)col)) {
	case 20: /* int8 */
		memcpy(&n8, p, sizeof(n8));
		return (int64_t)be64toh(n8);
	case 23: /* int4 */
		memcpy(&n4, p, sizeof(n4));
		return (int32_t)be32toh(n4);
	case 16: /* bool */
		return *p;
	default:
		assert(!"the column is no integer");
		return 0;
	}
}

void
pg_clear(struct batch_stmt *s)
{
	PQclear(s->rows);
	s->rows = NULL;
}
