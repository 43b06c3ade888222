/* SPDX-License-Identifier: ISC */
/* What the files of this module share. */
#ifndef RATELIMIT_RATELIMIT_INT_H
#define RATELIMIT_RATELIMIT_INT_H

#include <sys/queue.h>

#include "metrics/metrics.h"
#include "ratelimit/ratelimit.h"

/* One limit of a request, values in effect. max is not 0. */
struct taking {
	enum limit_id limit;
	enum take_mode mode;
	struct limit values;
	struct str key;
};

/* ---- memory.c: the counts of this process */
struct memory;

struct memory *memory_new(size_t keys_max, size_t bytes_max);
void memory_free(struct memory *);

/* All or none; sets status, limit, values and wait. */
void memory_take(struct memory *, int64_t now, const struct taking *, size_t n,
    struct ratelimit_result *);
/* used and wait of one key. */
void memory_show(struct memory *, int64_t now, const struct taking *,
    struct ratelimit_view *);
void memory_reset(struct memory *, const struct taking *);
size_t memory_keys(const struct memory *);
size_t memory_bytes(const struct memory *);

/* ---- ratelimit.c */

/* A request, or a look, on its way. */
struct taking_op {
	struct op op; /* on the caller's task while on_task */
	LIST_ENTRY(taking_op) entry;
	struct deferred finish;
	struct ratelimit *rl;
	ratelimit_fn *fn; /* NULL: nobody is (any more) to be told */
	ratelimit_view_fn *view_fn;
	void *arg;
	bool on_task, is_look, has_nonce;
	bool mending;                 /* the store's clock was set back */
	unsigned nonce_at, judged_at; /* statements of its batch */
	struct ratelimit_result result;
	struct ratelimit_view view;
	size_t n;
	struct taking v[]; /* then the bytes of the keys */
};

struct ratelimit {
	struct ratelimit_options options;
	struct limit limits[LIMIT_COUNT];
	struct memory *memory;
	struct task asking; /* whom Redis and the store answer */
	LIST_HEAD(, taking_op) ops;
	struct metrics_child *passed[LIMIT_COUNT], *refused[LIMIT_COUNT];
};

/* The decision is there: tell the caller. From the top of the loop. */
void taking_finish(void *taking_op);
/* Take from this process's own counts. */
void taking_decide(struct taking_op *);
/* Redis did not decide: on_error. */
void taking_degrade(struct taking_op *);

/* ---- shared.c: the counts in Redis */
void shared_take(struct taking_op *, const struct ratelimit_nonce *);
enum shared_look { SHARED_SHOW, SHARED_RESET };
void shared_look(struct taking_op *, enum shared_look);

/* ---- stored.c: the counts in the store */
void stored_take(struct taking_op *, const struct ratelimit_nonce *);
void stored_look(struct taking_op *, enum shared_look);

#endif
