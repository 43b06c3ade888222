/* SPDX-License-Identifier: ISC */
/* What the files of the store share: the catalog that scripts/sqlgen makes. */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include <stdbool.h>

enum sql_dialect { DIALECT_PG, DIALECT_LITE, DIALECT_COUNT };

struct sql_stmt {
	const char *name; /* of the prepared statement */
	/* one letter an argument: t(ext), i(nt, time), b(lob) */
	const char *args;
	const char *cols; /* names, comma between */
	unsigned nargs, ncols;
	bool read_only;
	const char *text[DIALECT_COUNT];
};

struct sql_migration {
	unsigned version; /* 1, 2, ... */
	unsigned oldest;  /* schema version a binary must know at least */
	const char *name;
	const char *text[DIALECT_COUNT];
};

/* The daemon has one, sql_catalog; tests have others. */
struct sql_catalog {
	const struct sql_stmt *stmts; /* by enum sql */
	unsigned nstmts;
	const struct sql_migration *migrations; /* by version - 1 */
	unsigned nmigrations;
};

extern const struct sql_catalog sql_catalog;

#endif
