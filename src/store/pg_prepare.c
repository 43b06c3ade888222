/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL: can we live with this database? And its migrations, each in one
 * transaction together with its row of schema_versions, under an advisory lock
 * so that of several replicas that start at once one does the work.
 *
 * The lock is the session's, and taken before the transaction begins: a
 * transaction that waited for it would still believe what it knew of the
 * catalog before, such as that there is no table schema_versions.
 */
#include <stdlib.h>
#include <string.h>

#include "store/pg_int.h"

/* Of the advisory lock: "certloop" in ASCII. */
#define LOCK_KEY "7162258622464421744"

enum { VERSIONS_MAX = 1024 };

/* A query that must succeed; its result, or NULL and *why. */
static PGresult *
query(PGconn *c, const char *text, struct arena *a, const char **why)
{
	PGresult *res = PQexec(c, text);
	ExecStatusType st = PQresultStatus(res);

	if (st == PGRES_TUPLES_OK || st == PGRES_COMMAND_OK)
		return res;
	*why = pg_error(a, PQerrorMessage(c));
	PQclear(res);
	return NULL;
}

/* The first cell of a query, or NULL and *why. */
static const char *
query_text(PGconn *c, const char *text, struct arena *a, const char **why)
{
	PGresult *res = query(c, text, a, why);
	const char *cell = NULL;

	if (res != NULL)
		cell = PQntuples(res) > 0 ?
		    str_cstr(a, str_from(PQgetvalue(res, 0, 0))) :
		    "";
	PQclear(res);
	return cell;
}

/* Why no server would take a session that writes. */
static void
explain_refusal(const struct pg_params *params, const char *said,
    struct arena *a, const char **why)
{
	struct pg_params any = *params;
	const char *ignored, *standby = NULL;
	PGconn *c;

	pg_set_param(&any, "target_session_attrs", "any");
	c = PQconnectdbParams(any.keys, any.values, 0);
	if (PQstatus(c) == CONNECTION_OK)
		standby = query_text(c,
		    "SELECT CASE WHEN pg_is_in_recovery() THEN 'a standby' "
		    "ELSE 'read-only' END",
		    a, &ignored);
	if (standby != NULL)
		*why = str_printf(a,
		    "the database is %s; name the primary, or all servers, in "
		    "the url of the store (%s)",
		    standby, said)
			   .p;
	else
		*why = str_printf(a, "cannot reach the database: %s", said).p;
	PQfinish(c);
}

static void
drop_notice(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

/* A connection that writes, to a server that will do. */
static PGconn *
open_session(struct arena *a, const char *url, const char **why)
{
	struct pg_params *params = pg_params_new(a, url, 0, why);
	const char *enc;
	PGconn *c;

	if (params == NULL)
		return NULL;
	c = PQconnectdbParams(params->keys, params->values, 0);
	if (PQstatus(c) != CONNECTION_OK) {
		explain_refusal(params, pg_error(a, PQerrorMessage(c)), a, why);
		PQfinish(c);
		return NULL;
	}
	PQsetNoticeProcessor(c, drop_notice, NULL);
	enc = PQparameterStatus(c, "server_encoding");
	if (PQserverVersion(c) < PG_SERVER_MIN)
		*why = str_printf(a,
		    "the server is PostgreSQL %d; 14 or newer is needed",
		    PQserverVersion(c) / 10000)
			   .p;
	else if (enc == NULL || strcmp(enc, "UTF8") != 0)
		*why = str_printf(a,
		    "the database %s has the encoding %s; make one with UTF8",
		    PQdb(c), enc != NULL ? enc : "?")
			   .p;
	else
		return c;
	PQfinish(c);
	return NULL;
}

/* The rows of schema_versions; none if there is no such table. */
static bool
load_versions(PGconn *c, struct schema_version *v, size_t *n, struct arena *a,
    const char **why)
{
	const char *there = query_text(c,
	    "SELECT to_regclass('schema_versions')", a, why);
	PGresult *res;

	*n = 0;
	if (there == NULL)
		return false;
	if (*there == '\0')
		return true;
	res = query(c, "SELECT version, oldest FROM schema_versions", a, why);
	if (res == NULL)
		return false;
	for (int i = 0; i < PQntuples(res) && *n < VERSIONS_MAX; i++)
		v[(*n)++] = (struct schema_version){
			.version = (unsigned)strtoul(PQgetvalue(res, i, 0),
			    NULL, 10),
			.oldest = (unsigned)strtoul(PQgetvalue(res, i, 1), NULL,
			    10),
		};
	PQclear(res);
	return true;
}

static bool
run(PGconn *c, const char *text, struct arena *a, const char **why)
{
	PGresult *res = query(c, text, a, why);

	PQclear(res);
	return res != NULL;
}

/*
 * Run the first migration that is missing, under the lock: the versions are
 * read again, as another replica may have been faster. *left: there are more.
 */
static bool
apply_one(PGconn *c, const struct sql_catalog *cat, struct schema_version *v,
    struct arena *a, bool *left, const char **why)
{
	const struct sql_migration *m;
	unsigned first;
	size_t n;

	if (!run(c, "BEGIN", a, why) || !load_versions(c, v, &n, a, why) ||
	    !migrate_judge(a, cat, v, n, STORE_MIGRATE, &first, why))
		return false;
	if (first <= cat->nmigrations) {
		m = &cat->migrations[first - 1];
		if (!run(c, migrate_table, a, why) ||
		    !run(c, m->text[DIALECT_PG], a, why) ||
		    !run(c, migrate_record(a, m), a, why)) {
			*why = str_printf(a, "migration %u (%s) failed: %s",
			    m->version, m->name, *why)
				   .p;
			return false;
		}
	}
	*left = first < cat->nmigrations;
	return run(c, "COMMIT", a, why);
}

bool
pg_prepare(struct arena *a, const struct store_options *o,
    enum store_migrate mode, const char **why)
{
	struct schema_version *v = arena_array(a, struct schema_version,
	    VERSIONS_MAX);
	PGconn *c = open_session(a, o->url, why);
	unsigned first = 0;
	bool left, ok;
	size_t n;

	if (c == NULL)
		return false;
	ok = load_versions(c, v, &n, a, why) &&
	    migrate_judge(a, o->catalog, v, n, mode, &first, why);
	left = ok && first <= o->catalog->nmigrations;
	if (left)
		ok = run(c, "SELECT pg_advisory_lock(" LOCK_KEY ")", a, why);
	while (ok && left)
		ok = apply_one(c, o->catalog, v, a, &left, why);
	PQfinish(c); /* and so roll back and unlock */
	return ok;
}
