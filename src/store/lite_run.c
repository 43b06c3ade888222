/* SPDX-License-Identifier: ISC */
/*
 * SQLite: running the statements of a batch, and its rows. Rows are copied
 * into the batch's arena, as a statement is reset before the next one runs.
 */
#include <assert.h>
#include <string.h>

#include "base/when.h"
#include "store/lite_int.h"

struct lite_cell {
	int type; /* SQLITE_NULL, _INTEGER, _TEXT or _BLOB */
	struct str str;
	int64_t num;
};

struct lite_rows {
	size_t n, room;
	unsigned ncols;
	uint64_t affected;
	struct lite_cell *cells; /* n * ncols */
};

static const char *const step_text[LITE_STEPS] = {
	[LITE_BEGIN_READ] = "BEGIN DEFERRED",
	[LITE_BEGIN] = "BEGIN IMMEDIATE",
	[LITE_COMMIT] = "COMMIT",
	[LITE_ROLLBACK] = "ROLLBACK",
	[LITE_SAVEPOINT] = "SAVEPOINT member",
	[LITE_RELEASE] = "RELEASE member",
	[LITE_UNDO] = "ROLLBACK TO member",
};

static int
prepare(struct lite *l, const char *text, sqlite3_stmt **out)
{
	if (*out != NULL)
		return SQLITE_OK;
	return sqlite3_prepare_v3(l->db.db, text, -1, SQLITE_PREPARE_PERSISTENT,
	    out, NULL);
}

int
lite_keep_error(struct lite *l, int rc)
{
	l->error = rc;
	sqlite3_snprintf(sizeof(l->cause), l->cause, "%s (SQLite %d)",
	    sqlite3_errmsg(l->db.db), rc);
	return rc;
}

int
lite_run_step(struct lite *l, enum lite_step step)
{
	int rc = prepare(l, step_text[step], &l->steps[step]);

	if (rc != SQLITE_OK)
		return lite_keep_error(l, rc);
	if ((rc = sqlite3_step(l->steps[step])) != SQLITE_DONE)
		(void)lite_keep_error(l, rc);
	(void)sqlite3_reset(l->steps[step]);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

void
lite_forget_stmts(struct lite *l)
{
	for (unsigned i = 0; i < LITE_STEPS; i++)
		sqlite3_finalize(l->steps[i]);
	for (unsigned i = 0; i < l->store.catalog->nstmts; i++)
		sqlite3_finalize(l->stmts[i]);
}

/* A pointer of NULL would bind NULL, however long the text. */
static int
bind_arg(sqlite3_stmt *s, int at, char type, const struct batch_arg *arg)
{
	const char *p = arg->str.n > 0 ? arg->str.p : "";

	if (arg->null)
		return sqlite3_bind_null(s, at);
	if (type == 'i')
		return sqlite3_bind_int64(s, at, arg->num);
	if (type == 'b')
		return sqlite3_bind_blob64(s, at, p, arg->str.n, SQLITE_STATIC);
	return sqlite3_bind_text64(s, at, p, arg->str.n, SQLITE_STATIC,
	    SQLITE_UTF8);
}

static struct lite_cell
read_cell(struct arena *a, sqlite3_stmt *s, int col)
{
	struct lite_cell c = { .type = sqlite3_column_type(s, col) };
	const void *p;

	switch (c.type) {
	case SQLITE_NULL:
		break;
	case SQLITE_INTEGER:
		c.num = sqlite3_column_int64(s, col);
		break;
	case SQLITE_TEXT:
		p = sqlite3_column_text(s, col);
		c.str = str_dup(a,
		    str_make(p, (size_t)sqlite3_column_bytes(s, col)));
		break;
	case SQLITE_BLOB:
		p = sqlite3_column_blob(s, col);
		c.str = str_dup(a,
		    str_make(p, (size_t)sqlite3_column_bytes(s, col)));
		break;
	default: /* no statement may yield a float: it is no type of ours */
		assert(c.type != SQLITE_FLOAT);
	}
	return c;
}

static void
keep_row(struct arena *a, sqlite3_stmt *s, struct lite_rows *r)
{
	struct lite_cell *old = r->cells;

	if (r->n == r->room) {
		r->room = r->room == 0 ? 4 : 2 * r->room;
		r->cells = arena_array(a, struct lite_cell, r->room * r->ncols);
		if (r->n > 0)
			memcpy(r->cells, old, r->n * r->ncols * sizeof(*old));
	}
	for (unsigned i = 0; i < r->ncols; i++)
		r->cells[r->n * r->ncols + i] = read_cell(a, s, (int)i);
	r->n++;
}

bool
lite_is_passing(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_NOMEM:
		return true;
	default:
		return false;
	}
}

static void
note_error(struct lite *l, struct batch *b, unsigned stmt, int rc)
{
	enum store_status st = STORE_ERROR;
	struct str cause;

	(void)lite_keep_error(l, rc);
	cause = str_printf(b->arena, "%s: %s", b->stmts[stmt].def->name,
	    l->cause);
	if (rc == SQLITE_CONSTRAINT_UNIQUE ||
	    rc == SQLITE_CONSTRAINT_PRIMARYKEY)
		st = STORE_CONFLICT;
	else if (lite_is_passing(rc))
		st = STORE_DOWN;
	batch_note(b, stmt, st, cause.p);
}

/* Step to the end: UPDATE ... RETURNING is done only then. */
static int
step_through(struct lite *l, struct batch *b, struct batch_stmt *s,
    sqlite3_stmt *p)
{
	struct lite_rows *rows = arena_new(b->arena, struct lite_rows);
	int rc = SQLITE_OK;

	s->rows = rows;
	rows->ncols = s->def->ncols;
	for (unsigned i = 0; i < s->def->nargs && rc == SQLITE_OK; i++)
		rc = bind_arg(p, (int)i + 1, s->def->args[i], &s->args[i]);
	if (rc != SQLITE_OK)
		return rc;
	l->db.now = when_now();
	while ((rc = sqlite3_step(p)) == SQLITE_ROW)
		keep_row(b->arena, p, rows);
	if (rc == SQLITE_DONE)
		rows->affected = s->def->ncols > 0 ?
		    rows->n :
		    (uint64_t)sqlite3_changes64(l->db.db);
	return rc;
}

static bool
run_stmt(struct lite *l, struct batch *b, unsigned i)
{
	struct batch_stmt *s = &b->stmts[i];
	sqlite3_stmt **p = &l->stmts[s->sql];
	int rc = prepare(l, store_text(s->def, DIALECT_LITE), p);

	if (rc == SQLITE_OK) {
		rc = step_through(l, b, s, *p);
		if (rc != SQLITE_DONE)
			note_error(l, b, i, rc);
		(void)sqlite3_reset(*p);
		(void)sqlite3_clear_bindings(*p); /* they point into b */
	} else {
		note_error(l, b, i, rc);
	}
	if (b->verdict == STORE_OK && s->guard && lite_nrows(s) == 0)
		batch_note(b, i, STORE_LOST, NULL);
	return b->verdict == STORE_OK;
}

bool
lite_run_batch(struct lite *l, struct batch *b)
{
	for (unsigned i = 0; i < b->nstmts; i++)
		if (!run_stmt(l, b, i))
			return false;
	return true;
}

size_t
lite_nrows(const struct batch_stmt *s)
{
	return ((const struct lite_rows *)s->rows)->n;
}

uint64_t
lite_affected(const struct batch_stmt *s)
{
	return ((const struct lite_rows *)s->rows)->affected;
}

static const struct lite_cell *
cell(const struct batch_stmt *s, size_t row, unsigned col)
{
	const struct lite_rows *r = s->rows;

	return &r->cells[row * r->ncols + col];
}

bool
lite_is_null(const struct batch_stmt *s, size_t row, unsigned col)
{
	return cell(s, row, col)->type == SQLITE_NULL;
}

struct str
lite_get_str(const struct batch_stmt *s, size_t row, unsigned col)
{
	const struct lite_cell *c = cell(s, row, col);

	assert(c->type == SQLITE_TEXT || c->type == SQLITE_BLOB);
	return c->str;
}

int64_t
lite_get_int(const struct batch_stmt *s, size_t row, unsigned col)
{
	const struct lite_cell *c = cell(s, row, col);

	assert(c->type == SQLITE_INTEGER);
	return c->num;
}

/* The rows are the arena's. */
void
lite_clear(struct batch_stmt *s)
{
	s->rows = NULL;
}
