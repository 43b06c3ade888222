/* SPDX-License-Identifier: ISC */
/*
 * A store of its own for each test: an SQLite file in a temporary directory,
 * or a schema in the PostgreSQL that tests/lib/with-postgres has started. On
 * PostgreSQL there are also two plain sessions (raw) in the same schema, to
 * hold locks, to look, and to do what other replicas and operators do.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "../unit.h"

#include <libpq-fe.h>

#include "base/when.h"
#include "store/store.h"
#include "store/store_int.h"
#include "tsql_gen.h"

extern const struct sql_catalog tsql_catalog;

struct fx {
	bool pg;
	struct arena *arena;
	struct loop *loop;
	struct store_options o;
	struct store *st;
	struct task task;
	struct timer alarm; /* so that a turn never waits for ever */
	const char *name;   /* of the schema, and application_name */
	const char *path;   /* of the SQLite file */
	PGconn *raw[2];
};

/* What a batch came to. Filled by its callback. */
struct got {
	struct fx *fx;
	bool done;
	enum store_status status;
	unsigned failed;
	const struct problem *problem; /* type, retry_after */
	struct str cause;
	size_t nrows[8];
	uint64_t affected[8];
	/* the first rows, if asked for */
	void (*look)(struct got *, const struct store_result *);
	int64_t num;
	struct str str;
};

/* Statements of the tests that no sqlgen would let pass; see fixture.c. */
enum {
	X_NO_TABLE = TSQL_COUNT, /* cannot be prepared */
	X_DEALLOCATE,            /* forgets what the session has prepared */
	X_COPY,                  /* turns the protocol into something else */
	X_SLEEP,                 /* (seconds int) */
	X_TERMINATE,             /* ends its own session */
	X_COUNT
};

/* cmocka set-up and tear-down. The store is open. */
int fx_pg(void **state);
int fx_lite(void **state);
int fx_free(void **state);

/* Only the place where a store may be; fx_open opens it. */
int fx_pg_closed(void **state);
int fx_lite_closed(void **state);
void fx_open(struct fx *);
void fx_start(struct fx *); /* without store_prepare */
void fx_close(struct fx *);

/* A batch of the fixture's task. */
struct batch *fx_batch(struct fx *, const char *key);
void fx_add(struct batch *, unsigned sql);
void fx_put(struct batch *, const char *key, const char *value);

/* Send it; got must live until the callback. */
void fx_send(struct fx *, struct batch *, struct got *);
/* Turn the loop until it is done. */
void fx_wait(struct fx *, struct got *);
struct got fx_run(struct fx *, struct batch *);
/* Turn the loop for some time. */
void fx_turn_for(struct fx *, int64_t usec);
/* Turn until all connections are up. */
void fx_settle(struct fx *);

/* The value of a key in meta, by a batch; p is NULL if there is none. */
struct str fx_get(struct fx *, const char *key);
int64_t fx_count(struct fx *, const char *from, const char *to);

/* Look functions. */
void look_num(struct got *, const struct store_result *);
void look_str(struct got *, const struct store_result *);

/* ---- raw PostgreSQL sessions */
PGconn *raw(struct fx *, int i);
void raw_do(struct fx *, int i, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The first cell. */
const char *raw_ask(struct fx *, int i, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Wait until n of the store's sessions wait for a lock. */
void wait_for_locked(struct fx *, int n);

/* Tests come in both engines. */
#define BOTH(test)                                                             \
	{ "sqlite: " #test, test, fx_lite, fx_free, NULL },                    \
	{                                                                      \
		"postgresql: " #test, test, fx_pg, fx_free, NULL               \
	}
#define ON_PG(test)                                                            \
	{                                                                      \
#test, test, fx_pg, fx_free, NULL                              \
	}
#define ON_LITE(test)                                                          \
	{                                                                      \
#test, test, fx_lite, fx_free, NULL                            \
	}

/* One a file. */
int run_both_tests(void);
int run_pg_tests(void);
int run_pg_break_tests(void);
int run_lite_tests(void);
int run_lite_log_tests(void);
int run_prepare_tests(void);
int run_standby_tests(void);

#endif
