/* SPDX-License-Identifier: ISC */
/*
 * May this program and this database live together, and what is to be done
 * first? Migrations are numbered 1, 2, ...; the table schema_versions holds a
 * row for each that was run. A row says which schema version a program must
 * know at least to live with it, so that a fleet can be upgraded in a rolling
 * way: expand now, contract once no old program is left.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/when.h"
#include "store/store_int.h"

const char migrate_table[] = "CREATE TABLE IF NOT EXISTS schema_versions ("
			     " version BIGINT NOT NULL PRIMARY KEY,"
			     " oldest BIGINT NOT NULL,"
			     " name TEXT NOT NULL,"
			     " applied BIGINT NOT NULL)";

const char *
migrate_record(struct arena *a, const struct sql_migration *m)
{
	return str_printf(a,
	    "INSERT INTO schema_versions (version, oldest, name, applied) "
	    "VALUES (%u, %u, '%s', %" PRId64 ")",
	    m->version, m->oldest, m->name, when_now())
	    .p;
}

bool
migrate_judge(struct arena *a, const struct sql_catalog *cat,
    const struct schema_version *have, size_t n, enum store_migrate mode,
    unsigned *first, const char **why)
{
	unsigned known = cat->nmigrations, newest = 0, needs = 0;

	for (size_t i = 0; i < n; i++) {
		if (have[i].version > newest)
			newest = have[i].version;
		if (have[i].version > known && have[i].oldest > needs)
			needs = have[i].oldest;
	}
	if (needs > known) {
		*why = str_printf(a,
		    "the schema is too new: it has version %u, which needs a "
		    "program that knows version %u, and this one knows %u; "
		    "install a newer certloop",
		    newest, needs, known)
			   .p;
		return false;
	}
	if (newest != n) {
		*why = str_printf(a,
		    "the table schema_versions has %zu rows, but the newest "
		    "is version %u; some migration is missing",
		    n, newest)
			   .p;
		return false;
	}
	if (newest < known && mode == STORE_CHECK_ONLY) {
		*why = str_printf(a,
		    "the schema is too old: it has version %u, this program "
		    "needs %u; run certloopd --migrate",
		    newest, known)
			   .p;
		return false;
	}
	*first = newest + 1;
	return true;
}
