/* SPDX-License-Identifier: ISC */
/* The face of the store: picks the driver, and reads results through it. */
#include <assert.h>
#include <stdlib.h>

#include "base/when.h"
#include "metrics/metrics.h"
#include "store/store_int.h"

static const struct store_driver *
pick_driver(const char *url)
{
	return str_starts(str_from(url), STR("sqlite:")) ? &store_lite :
							   &store_pg;
}

static const char *const status_name[] = {
	[STORE_OK] = "ok",
	[STORE_LOST] = "lost",
	[STORE_CONFLICT] = "conflict",
	[STORE_BUSY] = "busy",
	[STORE_DOWN] = "down",
	[STORE_UNKNOWN] = "unknown",
	[STORE_ERROR] = "error",
};

struct store_options
store_defaults(const struct store_options *given)
{
	struct store_options o = *given;

	if (o.connections == 0)
		o.connections = 4;
	if (o.read_connections == 0)
		o.read_connections = 2;
	if (o.queue_max == 0)
		o.queue_max = 4096;
	if (o.deadline == 0)
		o.deadline = 5 * WHEN_SECOND;
	if (o.catalog == NULL)
		o.catalog = &sql_catalog;
	return o;
}

void
store_init(struct store *st, const struct store_driver *driver, struct loop *l,
    const struct store_options *o)
{
	st->driver = driver;
	st->loop = l;
	st->catalog = o->catalog;
	st->queue_max = o->queue_max;
	st->deadline = o->deadline;
	TAILQ_INIT(&st->done);
	for (unsigned i = 0; i < STORE_STATUS_COUNT; i++)
		st->outcomes[i] = metrics_child(FAMILY_store_batches,
		    status_name[i]);
}

bool
store_prepare(struct arena *a, const struct store_options *given,
    enum store_migrate mode, const char **why)
{
	struct store_options o = store_defaults(given);

	return pick_driver(o.url)->prepare(a, &o, mode, why);
}

/* Before each exposition of the metrics. */
static void
collect(void *arg)
{
	const struct store *st = arg;

	metrics_set(METRIC_store_depth, st->depth);
	metrics_set(METRIC_store_ready, store_is_ready(st));
}

struct store *
store_new(struct loop *l, const struct store_options *given, struct arena *a,
    const char **why)
{
	struct store_options o = store_defaults(given);
	struct store *st = pick_driver(o.url)->open(l, &o, a, why);

	if (st != NULL)
		metrics_on_collect(collect, st);
	return st;
}

void
store_free(struct store *st)
{
	if (st == NULL)
		return;
	metrics_off_collect(collect, st);
	batch_abandon_done(st);
	st->driver->close(st);
}

const char *
store_engine(const struct store *st)
{
	return st->driver->name;
}

unsigned
store_schema_version(const struct store *st)
{
	return st->catalog->nmigrations;
}

bool
store_is_ready(const struct store *st)
{
	return st->driver->is_ready(st);
}

unsigned
store_depth(const struct store *st)
{
	return st->depth;
}

static const struct batch_stmt *
get_stmt(const struct store_result *r, unsigned stmt)
{
	assert(r->status == STORE_OK && stmt < r->rows->n);
	return &r->rows->stmts[stmt];
}

/* The statement, once it is sure that it has this cell. */
static const struct batch_stmt *
get_cell(const struct store_result *r, unsigned stmt, size_t row, unsigned col)
{
	const struct batch_stmt *s = get_stmt(r, stmt);

	assert(row < r->rows->driver->nrows(s) && col < s->def->ncols);
	return s;
}

size_t
store_nrows(const struct store_result *r, unsigned stmt)
{
	return r->rows->driver->nrows(get_stmt(r, stmt));
}

const char *
store_cause(const struct store_result *r)
{
	return r->problem != NULL && r->problem->cause != NULL ?
	    r->problem->cause :
	    status_name[r->status];
}

uint64_t
store_affected(const struct store_result *r, unsigned stmt)
{
	return r->rows->driver->affected(get_stmt(r, stmt));
}

bool
store_is_null(const struct store_result *r, unsigned stmt, size_t row,
    unsigned col)
{
	return r->rows->driver->is_null(get_cell(r, stmt, row, col), row, col);
}

struct str
store_get_str(const struct store_result *r, unsigned stmt, size_t row,
    unsigned col)
{
	const struct batch_stmt *s = get_cell(r, stmt, row, col);

	if (r->rows->driver->is_null(s, row, col))
		return STR_NONE;
	return r->rows->driver->get_str(s, row, col);
}

int64_t
store_get_int(const struct store_result *r, unsigned stmt, size_t row,
    unsigned col)
{
	const struct batch_stmt *s = get_cell(r, stmt, row, col);

	if (r->rows->driver->is_null(s, row, col))
		return 0;
	return r->rows->driver->get_int(s, row, col);
}
