/* SPDX-License-Identifier: ISC */
/* A limiter on either backend, with a clock that the test sets. */
#ifndef TESTS_UNIT_RATELIMIT_FIXTURE_H
#define TESTS_UNIT_RATELIMIT_FIXTURE_H

#include "../redis/server.h"
#include "../unit.h"

#include <libpq-fe.h>

#include "base/when.h"
#include "ratelimit/ratelimit_int.h"

struct fixture {
	struct arena *a;
	struct loop *loop;
	struct server *server; /* NULL: no Redis */
	struct redis *redis;
	struct store *store; /* NULL: none */
	const char *url;     /* of it */
	char dir[64];        /* of SQLite */
	PGconn *raw;         /* a session beside those of the store */
	const char *schema;
	struct ratelimit *rl;
	struct task task;
	int64_t now;
};

/* What became of one request. */
struct outcome {
	volatile bool done;
	int calls;
	struct ratelimit_result result;
};

/*
 * cmocka set-up functions. Also the clock of a server is ours. PostgreSQL is
 * the one in the environment (see run_with_postgres).
 */
int make_memory(void **state);
int make_redis(void **state);
int make_sqlite(void **state);
int make_postgresql(void **state);
int drop(void **state);

/* The fixture, or skip where no Redis is installed. */
struct fixture *get(void **state);

/* Both clocks show this. */
void set_now(struct fixture *, int64_t now);

/* Unless it is there, run the program again beside a PostgreSQL. */
void run_with_postgres(char **argv);

/* One number out of the test's schema in PostgreSQL. */
int64_t ask_postgres(struct fixture *, const char *sql);

/* Options as the fixture's own limiter has them. */
struct ratelimit_options options_of(struct fixture *);
/* Its connection once more, with deadlines as the daemon has them. */
void be_impatient(struct fixture *);
/* Another limiter instead. */
void remake(struct fixture *, const struct ratelimit_options *);
void set_limit(struct fixture *, enum limit_id, unsigned max, int64_t window);

ratelimit_fn on_outcome;
/* Take and wait for what becomes of it. */
struct ratelimit_result take_all(struct fixture *, const struct take *,
    size_t n, const struct ratelimit_nonce *);
struct ratelimit_result take_one(struct fixture *, enum limit_id,
    const char *key);
struct ratelimit_view show_one(struct fixture *, enum limit_id,
    const char *key);
struct ratelimit_view reset_one(struct fixture *, enum limit_id,
    const char *key);

#define assert_pass(r) assert_int_equal((r).status, RATELIMIT_PASS)
#define assert_refused(r, usec)                                                \
	do {                                                                   \
		struct ratelimit_result r_ = (r);                              \
		assert_int_equal(r_.status, RATELIMIT_REFUSED);                \
		assert_int_equal(r_.wait, (usec));                             \
	} while (0)

#endif
