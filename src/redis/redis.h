/* SPDX-License-Identifier: ISC */
/*
 * Redis: scripts run on one server that all replicas share, over one
 * connection on the loop. What is kept there may be lost at any time; callers
 * say what they do without it.
 *
 * Every script has a deadline. The verdict on the server is up or gone: gone
 * when there is no connection, when three answers in a row came late, when it
 * cannot be written to (out of memory, a replica, a disk error), or when it
 * is a Redis Cluster. While it is gone nothing is sent but a probe now and
 * then, and redis_eval answers REDIS_GONE at once; it comes back by itself.
 *
 * The epoch names what the server remembers: a random value under one key,
 * bound to the server's master_replid. It is looked at on every connect and
 * each second, and begins anew when the key is gone (a flush) or the server
 * is another one (a restart, a promoted replica). Whoever must know that
 * nothing was forgotten compares the epoch inside a script.
 *
 * The ACL user needs ~PREFIX* and +info +eval +evalsha +get +set, and what
 * the scripts call; +select with a database other than 0, +client|setname and
 * +config|get if they may be had.
 *
 * hiredis formats the commands and reads the answers; the socket is ours.
 * (Its asynchronous context aborts the process on an answer that nobody
 * asked for, raises SIGPIPE, knows no deadlines and may resolve names.)
 */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"

struct redis;

enum {
	REDIS_ENDPOINTS_MAX = 32, /* 8 Sentinels of 4 addresses each */
	REDIS_PASSWORD_MAX = 512,
	REDIS_KEYS_MAX = 256,       /* of a script */
	REDIS_EPOCH_LEN = 16,       /* hexadecimal digits of an epoch */
	REDIS_REPLY_MAX = 1 << 20,  /* bytes of an answer */
	REDIS_OUTPUT_MAX = 8 << 20, /* bytes that wait to be sent */
};

/* A script, made from a .lua file by scripts/luagen. */
struct redis_script {
	const char *name;
	struct str sha1; /* of text, 40 hexadecimal digits */
	struct str text;
};

/* ---- where the server is */

struct redis_endpoint {
	struct str path;  /* of a unix socket, NUL-terminated; or p is NULL */
	struct addr addr; /* none: the name has none yet */
	unsigned port;
	const char *name; /* whose address it is; NULL: it was given itself */
};

/*
 * Parse "IP:PORT", "[IP]:PORT", "NAME:PORT" or "unix:PATH"; the port is 6379
 * if it is left out. A name is resolved here and now, which may block: call
 * it before the loop runs. Several addresses of a name are tried in turn; one
 * that has none is an endpoint without an address. (When none of all can be
 * connected to, the names are resolved again, by a child process.)
 * At most REDIS_ENDPOINTS_MAX go to out, which is in the arena. On failure
 * *why, in the arena, is a sentence.
 */
bool redis_parse_endpoints(struct arena *, struct str text,
    struct redis_endpoint **out, size_t *n, const char **why);

/* The same for a Sentinel: the port is 26379 if it is left out. */
bool redis_parse_sentinel(struct arena *, struct str text,
    struct redis_endpoint **out, size_t *n, const char **why);

struct redis_options {
	/* tried in turn until one is the master; or, with a name in sentinel,
	 * asked in turn until one says where the master of that name is, anew
	 * for each connection */
	const struct redis_endpoint *endpoints;
	size_t nendpoints;
	struct str sentinel; /* NUL-terminated; empty: none */
	struct str user;     /* ACL user; empty: the default user */
	struct str password; /* empty: none */
	unsigned database;
	struct str prefix; /* of every key; empty: "certloop:" */
	/* usec, 0 for the defaults: an answer is late after 50 ms, the
	 * connection is given up after 2 s without one */
	int64_t late, dead;
	unsigned in_flight_max; /* scripts without an answer; 0: 4096 */
};

/* ---- the connection */

/*
 * A connection that comes up by itself and reconnects for ever, with jittered
 * back-off of at most 2 s. Copies the options. Never NULL.
 */
struct redis *redis_new(struct loop *, const struct redis_options *);

/* Wipes the password. Callbacks that are due do not run any more. */
void redis_free(struct redis *);

/* What a look at the server before the loop runs can find out. */
enum redis_found {
	REDIS_FOUND_UP,   /* it answers and is fit for use */
	REDIS_FOUND_DOWN, /* not now: the daemon may start without it */
	REDIS_FOUND_BAD,  /* never like this: wrong password, a cluster, ... */
};

/*
 * Try the options on a loop of its own, for at most timeout usec. Blocks. For
 * DOWN and BAD *why, in the arena, says what was found.
 */
enum redis_found redis_look(struct arena *, const struct redis_options *,
    int64_t timeout, const char **why);

/* The verdict. */
bool redis_is_up(const struct redis *);

/* Why it is gone, one clause for people; "" while it is up. */
const char *redis_trouble(const struct redis *);

/* "127.0.0.1:6379", "unix:PATH": the endpoint in use. */
struct str redis_address(const struct redis *);

/* The prefix of every key, in redis's memory. */
struct str redis_prefix(const struct redis *);

/* Scripts without an answer yet. */
unsigned redis_in_flight(const struct redis *);

/*
 * May the server drop keys before their time (a maxmemory-policy other than
 * noeviction), or would it not tell?
 */
bool redis_may_evict(const struct redis *);

/*
 * ---- the epoch
 *
 * The epoch as far as is known, REDIS_EPOCH_LEN digits in redis's memory.
 * STR_NONE while the server is gone, may evict or does not tell who it is,
 * while the last answer is late, and from redis_renew_epoch until it was asked:
 * then nothing should be entrusted to its memory.
 */
struct str redis_epoch(const struct redis *);

/* The key that holds the epoch: its value begins with the digits. */
struct str redis_epoch_key(const struct redis *);

/* A script found another epoch: ask for it soon. */
void redis_renew_epoch(struct redis *);

/* ---- scripts */

enum redis_status {
	REDIS_ANSWERED,
	REDIS_REFUSED, /* the server reports an error; what the script did
			  before it stands */
	REDIS_LATE,    /* no answer in time: it may still take effect */
	REDIS_LOST,    /* the connection died meanwhile: done or not */
	REDIS_GONE,    /* the server is gone: not sent */
	REDIS_BUSY,    /* too much is in flight: not sent */
};

/* What became of a script. Lives until the callback returns. */
struct redis_answer {
	enum redis_status status;
	struct str error;               /* REFUSED: the server's words */
	const struct redisReply *reply; /* private */
};

typedef enum step redis_fn(void *arg, const struct redis_answer *);

/*
 * Run a script: EVALSHA and, if the server does not know it, EVAL. All
 * scripts of a loop turn leave in one write. Keys are given whole, with the
 * prefix; all bytes are copied. Always returns STEP_WAITING; fn is called
 * later from the top of the loop, once, unless the task ends first (the
 * script then runs all the same). A module that keeps records of its own may
 * give NULL for the task: then fn is always called, unless redis_free comes
 * first. fn's return value is its task's step.
 */
struct redis_call {
	const struct redis_script *script;
	const struct str *keys, *args;
	size_t nkeys, nargs; /* at most REDIS_KEYS_MAX keys */
};

enum step redis_eval(struct redis *, const struct redis_call *, struct task *,
    redis_fn *fn, void *arg);

/*
 * The answer, as a list: one that is no list counts as a list of one, nil as
 * an empty one. A member that is missing or of another type reads as 0 or
 * STR_NONE.
 */
size_t redis_count(const struct redis_answer *);
int64_t redis_get_int(const struct redis_answer *, size_t i);
struct str redis_get_str(const struct redis_answer *, size_t i);

/* The status in words, for the log: "late". */
const char *redis_status_name(enum redis_status);

#endif
