/* SPDX-License-Identifier: ISC */
/*
 * Rate limits: a sliding-window log. At most max are taken in any window of
 * the given length, and a refusal says to the microsecond when the same
 * request would pass. A refused attempt is not recorded.
 *
 * One interface, several backends:
 *
 *	memory	each process counts for itself, by a clock that never jumps
 *	redis	all processes count together, by the server's clock; all limits
 *		of a request and its nonce are one round trip
 *	store	all processes together, by the database's clock, exact also
 *		after a crash; all limits of a request, and its nonce if the
 *		store redeems it, are one batch. While the database is away
 *		requests that take a limit are refused.
 *
 * When Redis is gone (redis/redis.h), or answers one request late, on_error
 * says what becomes of what it would have decided. A process that counts for
 * itself starts from nothing, and what it let pass is not told to Redis
 * afterwards.
 *
 *	struct take takes[] = {
 *		{ .limit = LIMIT_NEW_ORDER, .key = account },
 *	};
 *	return ratelimit_take(rl, task, takes, 1, NULL, on_limits, state);
 */
#ifndef RATELIMIT_RATELIMIT_H
#define RATELIMIT_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "redis/redis.h"
#include "store/store.h"

/* ---- limits */

enum limit_id {
#define LIMIT(id, name, max, window, what) LIMIT_##id,
#include "ratelimit/limits.def"
#undef LIMIT
	LIMIT_COUNT
};

enum {
	LIMIT_MAX_MAX = 10000,
	LIMIT_KEY_MAX = 512, /* bytes of a key */
	LIMIT_TAKES_MAX = 128,
	/* of an IPv6 address that registers: what one customer may have */
	LIMIT_SITE_BITS = 48,
	/* the same where neighbours must not lock each other out: one network */
	LIMIT_NET_BITS = 64,
};

#define LIMIT_WINDOW_MAX (INT64_C(31) * 24 * 3600 * 1000000)

struct limit {
	unsigned max;   /* 0: no limit */
	int64_t window; /* usec; 0 for what the store counts */
};

/* "new_order_per_account" */
const char *limit_name(enum limit_id);
struct limit limit_default(enum limit_id);

/* False if no limit has this name. */
bool limit_find(struct str name, enum limit_id *);

/* All names, for messages: "a, b, c". In the arena. */
struct str limit_names(struct arena *);

/* ---- the limiter */

struct ratelimit;

enum ratelimit_backend { RATELIMIT_MEMORY, RATELIMIT_REDIS, RATELIMIT_STORE };

/* What becomes of a request when Redis does not decide it in time. */
enum ratelimit_on_error {
	RATELIMIT_LOCAL, /* this process counts for itself */
	RATELIMIT_ALLOW, /* it passes */
	RATELIMIT_DENY,  /* it is refused */
};

struct ratelimit_options {
	struct loop *loop;
	enum ratelimit_backend backend;
	/* for their backends, and to redeem nonces; otherwise they may be
	 * NULL. They outlive the limiter. */
	struct redis *redis;
	struct store *store;
	enum ratelimit_on_error on_error;
	/* with LOCAL: how many processes share a limit, so that each has its
	 * part of max (at least 1); 0 or 1: each has all of it */
	unsigned expected_replicas;
	/* what this process may remember: keys (0: 100,000) and bytes
	 * (0: 64 MB). At the bound a key that is not known yet is refused
	 * (RATELIMIT_FULL); no count is ever forgotten early. */
	size_t keys_max, bytes_max;
	/* the clock of this process's own counts, usec, for tests;
	 * NULL: loop_mono */
	int64_t (*now)(void *);
	void *now_arg;
};

/* A limiter with the limits' defaults. Never NULL. */
struct ratelimit *ratelimit_new(const struct ratelimit_options *);

/* Callbacks that are due do not run any more. */
void ratelimit_free(struct ratelimit *);

/*
 * Change a limit; the values were checked. What was taken stays taken. After
 * the window became longer it may let pass more than max until one such
 * window has gone by.
 */
void ratelimit_set(struct ratelimit *, enum limit_id, const struct limit *);
struct limit ratelimit_get(const struct ratelimit *, enum limit_id);

/* ---- taking */

enum take_mode {
	TAKE,      /* record it, if all of the request's limits allow */
	TAKE_LOOK, /* would it be allowed? Nothing is recorded. */
};

struct take {
	enum limit_id limit;
	/* what is counted: an account's id, an address. 1 to LIMIT_KEY_MAX
	 * bytes. No pair of limit and key twice in one request. */
	struct str key;
	enum take_mode mode;
	/* NULL, or other values for this key than ratelimit_set gave, checked
	 * as those are: of a profile, or an override */
	const struct limit *override;
};

enum ratelimit_redeemer { REDEEMER_REDIS, REDEEMER_STORE };

/* A nonce whose redeemer is Redis, or the store, under a certain epoch. */
struct ratelimit_nonce {
	enum ratelimit_redeemer redeemer;
	/* unique among all processes that share the Redis, at most
	 * LIMIT_KEY_MAX bytes */
	struct str id;
	/* redis_epoch(), or the store's, when it was minted */
	struct str epoch;
	/* usec to remember it: as long as any process would take it for in
	 * date, differences of clocks included */
	int64_t ttl;
};

enum redeemed {
	REDEEMED_NONE,    /* there was none to redeem */
	REDEEMED,         /* accepted, this once */
	REDEEMED_BEFORE,  /* used; in the store perhaps of another epoch */
	REDEEMED_EPOCH,   /* the redeemer that it names is no more */
	REDEEMED_UNKNOWN, /* no answer: perhaps used now; not accepted */
};

enum ratelimit_status {
	RATELIMIT_PASS,
	RATELIMIT_REFUSED, /* a limit is reached */
	RATELIMIT_NONCE,   /* the nonce was not accepted; no limit was taken */
	RATELIMIT_FULL,    /* this process cannot remember more keys */
	RATELIMIT_DOWN,    /* the store did not decide; or Redis did not, and
			    * on_error is deny */
};

/* Lives until the callback returns. */
struct ratelimit_result {
	enum ratelimit_status status;
	enum redeemed redeemed;
	enum limit_id limit; /* REFUSED, FULL: the one that refuses longest */
	struct limit values; /* of that limit, as they were applied */
	/* REFUSED: usec after which the same request passes, if nobody else
	 * takes meanwhile, and not a microsecond earlier. FULL and DOWN: when
	 * it is worth another try. */
	int64_t wait;
	bool degraded; /* decided by on_error */
};

/* Its return value is its task's step. */
typedef enum step ratelimit_fn(void *arg, const struct ratelimit_result *);

/*
 * Redeem the nonce (NULL: none), then take all of the limits or none. A nonce
 * is used up also if a limit refuses; a nonce that is not accepted takes no
 * limit. Both lists are copied. Always returns STEP_WAITING; fn is called
 * later from the top of the loop, unless the task ends first, in which case
 * what was sent is still done. At most LIMIT_TAKES_MAX takes, none of a limit
 * that only the store counts.
 */
enum step ratelimit_take(struct ratelimit *, struct task *, const struct take *,
    size_t ntakes, const struct ratelimit_nonce *, ratelimit_fn *fn, void *arg);

/*
 * What a client is told: NULL if it passed, else RATE_LIMITED, BAD_NONCE or
 * UNAVAILABLE, with detail and Retry-After (rounded up to seconds).
 */
const struct problem *ratelimit_problem(struct arena *,
    const struct ratelimit_result *);

/* ---- looking after one key, for the admin API */

struct ratelimit_view {
	const char *trouble; /* NULL, or why the backend cannot be asked */
	unsigned used;       /* taken in the window that ends now */
	struct limit values;
	int64_t wait; /* usec until one more would pass; 0: now */
};

typedef enum step ratelimit_view_fn(void *arg, const struct ratelimit_view *);

/* How does this key stand? */
enum step ratelimit_show(struct ratelimit *, struct task *, enum limit_id,
    struct str key, ratelimit_view_fn *fn, void *arg);

/* Forget what was taken; the view says how it stood before. */
enum step ratelimit_reset(struct ratelimit *, struct task *, enum limit_id,
    struct str key, ratelimit_view_fn *fn, void *arg);

#endif
