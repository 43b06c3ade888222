/* SPDX-License-Identifier: ISC */
/* PostgreSQL: batches into libpq's buffer (the scheme is in pg_int.h). */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "store/pg_int.h"

/* Object ids of types, fixed in PostgreSQL's catalog. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

enum { BINARY = 1, NAME_MAX_LEN = 80 };

static const struct {
	const char *name, *text;
} own[PG_OWN] = {
	[PG_BEGIN] = { "own_begin", "BEGIN" },
	[PG_PATIENCE] = { "own_patience", NULL }, /* see prepare_own */
	[PG_SAVEPOINT] = { "own_savepoint", "SAVEPOINT s" },
	[PG_RELEASE] = { "own_release", "RELEASE s" },
	[PG_UNDO] = { "own_undo", "ROLLBACK TO s" },
	[PG_COMMIT] = { "own_commit", "COMMIT" },
};

/*
 * A guard of a batch that writes aborts it when it finds no row: a 0 is
 * inserted into `must`, whose CHECK refuses it. g is what the guard itself
 * returned, whatever other sessions did meanwhile, so this is exact. In a
 * batch that only reads we look at the row count instead.
 */
static bool
is_wrapped(const struct batch *b, const struct batch_stmt *s)
{
	return s->guard && !b->read_only;
}

static const char *
wrap(struct arena *a, const char *text)
{
	return str_printf(a,
	    "WITH g AS (%s), m AS (INSERT INTO must (ok) SELECT 0 "
	    "WHERE NOT EXISTS (SELECT 1 FROM g) RETURNING 1) SELECT * FROM g",
	    text)
	    .p;
}

unsigned
pg_slot(const struct pg_conn *c, const struct batch *b,
    const struct batch_stmt *s)
{
	return is_wrapped(b, s) ? s->sql + c->pg->store.catalog->nstmts :
				  s->sql;
}

unsigned
pg_own_slot(const struct pg_conn *c, enum pg_own which)
{
	return 2 * c->pg->store.catalog->nstmts + (unsigned)which;
}

/* Statements have the prefix s_, guards g_. */
static const char *
stmt_name(char *buf, const struct batch *b, const struct batch_stmt *s)
{
	size_t n = strlen(s->def->name);

	if (n > NAME_MAX_LEN - 3)
		return NULL;
	buf[0] = is_wrapped(b, s) ? 'g' : 's';
	buf[1] = '_';
	memcpy(buf + 2, s->def->name, n + 1);
	return buf;
}

/*
 * Each preparation has a Sync of its own in front of the unit: what fails or
 * is skipped later cannot take it along. Marked before it is confirmed; the
 * answer unmarks it if it failed.
 */
static bool
prepare(struct pg_conn *c, unsigned slot, struct batch *b, const char *name,
    const char *text, int nargs, const Oid *types)
{
	if (!PQsendPrepare(c->conn, name, text, nargs, types))
		return false;
	pg_expect(c, EXPECT_PREPARE, slot, b);
	if (!PQpipelineSync(c->conn))
		return false;
	pg_expect(c, EXPECT_PREPARE_SYNC, slot, b);
	c->prepared[slot] = true;
	return true;
}

static bool
prepare_stmt(struct pg_conn *c, struct batch *b, const struct batch_stmt *s)
{
	unsigned slot = pg_slot(c, b, s);
	const char *text = store_text(s->def, DIALECT_PG);
	char name[NAME_MAX_LEN];
	Oid types[SQL_ARGS_MAX];

	if (c->prepared[slot])
		return true;
	if (s->def->nargs > SQL_ARGS_MAX || stmt_name(name, b, s) == NULL)
		return false;
	for (unsigned i = 0; i < s->def->nargs; i++) {
		char t = s->def->args[i];

		types[i] = t == 'i' ? OID_INT8 :
		    t == 'b'        ? OID_BYTEA :
				      OID_TEXT;
	}
	if (is_wrapped(b, s))
		text = wrap(b->arena, text);
	return prepare(c, slot, b, name, text, (int)s->def->nargs, types);
}

static bool
prepare_batch(struct pg_conn *c, struct batch *b)
{
	for (unsigned i = 0; i < b->nstmts; i++)
		if (!prepare_stmt(c, b, &b->stmts[i]))
			return false;
	return true;
}

static bool
prepare_own(struct pg_conn *c)
{
	int64_t ms = c->pg->store.deadline / 1000 / PG_PATIENCE_PART;
	char patience[64];

	(void)snprintf(patience, sizeof(patience),
	    "SELECT set_config('lock_timeout', '%d', true)",
	    ms > 0 ? (int)ms : 1);
	for (unsigned i = 0; i < PG_OWN; i++) {
		unsigned slot = pg_own_slot(c, (enum pg_own)i);

		if (!c->prepared[slot] &&
		    !prepare(c, slot, NULL, own[i].name,
			own[i].text != NULL ? own[i].text : patience, 0, NULL))
			return false;
	}
	return true;
}

static bool
send_stmt(struct pg_conn *c, struct batch *b, unsigned at)
{
	const struct batch_stmt *s = &b->stmts[at];
	const char *values[SQL_ARGS_MAX];
	int lengths[SQL_ARGS_MAX], formats[SQL_ARGS_MAX];
	uint64_t ints[SQL_ARGS_MAX];
	char name[NAME_MAX_LEN];

	for (unsigned i = 0; i < s->nargs; i++) {
		const struct batch_arg *arg = &s->args[i];

		formats[i] = BINARY;
		if (arg->null) {
			values[i] = NULL;
			lengths[i] = 0;
		} else if (s->def->args[i] == 'i') {
			ints[i] = htobe64((uint64_t)arg->num);
			values[i] = (const char *)&ints[i];
			lengths[i] = (int)sizeof(ints[i]);
		} else {
			values[i] = arg->str.p;
			lengths[i] = (int)arg->str.n;
		}
	}
	if (!PQsendQueryPrepared(c->conn, stmt_name(name, b, s), (int)s->nargs,
		values, lengths, formats, BINARY))
		return false;
	pg_expect(c, EXPECT_STMT, at, b);
	return true;
}

static bool
send_stmts(struct pg_conn *c, struct batch *b)
{
	for (unsigned i = 0; i < b->nstmts; i++)
		if (!send_stmt(c, b, i))
			return false;
	return true;
}

static bool
send_own(struct pg_conn *c, enum pg_own which)
{
	if (!PQsendQueryPrepared(c->conn, own[which].name, 0, NULL, NULL, NULL,
		BINARY))
		return false;
	pg_expect(c, EXPECT_OWN, (unsigned)which, NULL);
	return true;
}

static bool
send_sync(struct pg_conn *c, enum pg_expect_kind kind)
{
	if (!PQpipelineSync(c->conn))
		return false;
	pg_expect(c, kind, 0, NULL);
	return true;
}

static bool
send_plain(struct pg_conn *c, struct batch **group, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!send_stmts(c, group[i]))
			return false;
	return send_sync(c, EXPECT_SYNC);
}

static bool
send_member(struct pg_conn *c, struct batch *b)
{
	return send_stmts(c, b) && send_own(c, PG_RELEASE) &&
	    send_own(c, PG_SAVEPOINT) && send_sync(c, EXPECT_MEMBER_SYNC) &&
	    send_own(c, PG_UNDO);
}

static bool
send_bracket(struct pg_conn *c, struct batch **group, unsigned n)
{
	if (!send_own(c, PG_BEGIN) || !send_own(c, PG_PATIENCE) ||
	    !send_own(c, PG_SAVEPOINT))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!send_member(c, group[i]))
			return false;
	return send_own(c, PG_COMMIT) && send_sync(c, EXPECT_SYNC);
}

bool
pg_send_unit(struct pg_conn *c, enum pg_unit kind, struct batch **group,
    unsigned n)
{
	bool writes = !group[0]->read_only; /* and so do all */

	c->units++;
	for (unsigned i = 0; i < n; i++) {
		group[i]->state = BATCH_SENT;
		group[i]->plain = kind == PG_PLAIN;
		group[i]->last = i == n - 1;
		TAILQ_INSERT_TAIL(&c->sent, group[i], entry);
	}
	if (FAILS("failing-store-cut"))
		return false;
	if (kind != PG_ALONE && writes && !prepare_own(c))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!prepare_batch(c, group[i]))
			return false;
	if (kind == PG_BRACKET)
		return send_bracket(c, group, n);
	if (kind == PG_PLAIN && writes && !send_own(c, PG_PATIENCE))
		return false;
	return send_plain(c, group, n);
}
