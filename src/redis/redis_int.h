/* SPDX-License-Identifier: ISC */
/*
 * What the files of this module share.
 *
 *	redis.c		the object: verdict, probes, back-off, epoch
 *	greet.c		what is said after connecting, and what INFO answers
 *	command.c	records of commands, deadlines, finishing
 *	wire.c		the socket: connect, write once a turn, read
 *	endpoint.c	addresses
 *
 * A connection's life. Anything that goes wrong calls redis_drop, which
 * finishes the commands in flight and goes back to RESTING.
 *
 *	RESTING	--retry timer-->  DIALING  --writable-->  GREETING
 *	GREETING  --epoch is known-->  SERVING
 *
 * With Sentinels that happens twice: the first time, a Sentinel is asked where
 * the master is, and RESTING follows without a pause.
 *
 * Commands stand in `sent` in the order of their answers. `unlate` is the
 * first of them that is not late yet; all before it are late and their
 * callers were told.
 */
#ifndef REDIS_REDIS_INT_H
#define REDIS_REDIS_INT_H

#include <sys/queue.h>

#include <hiredis/hiredis.h>

#include "loop/lookup.h"
#include "redis/redis.h"

enum {
	LATE_ROW_MAX = 3, /* late answers in a row: gone */
	TROUBLE_MAX = 160,
	ADDRESS_MAX = 320, /* of a name, a port */
	DIAL_NAME_MAX = 253,
};

enum conn_state {
	CONN_RESTING,  /* no socket; the retry timer runs */
	CONN_DIALING,  /* connect(2) is under way */
	CONN_GREETING, /* AUTH, SELECT, INFO and the epoch are asked */
	CONN_SERVING,
};

/* Handles the answer to a command of our own. */
typedef void own_fn(struct redis *, const redisReply *);

struct command {
	struct op op; /* on the caller's task, while it is on one */
	TAILQ_ENTRY(command) entry; /* in sent */
	LIST_ENTRY(command) all;
	struct deferred finish;
	struct redis *r;
	redis_fn *fn; /* NULL: nobody is (any more) to be told */
	void *arg;
	own_fn *own;                       /* one of ours, not a caller's */
	const struct redis_script *script; /* NULL: not a script */
	int64_t since;                     /* loop_mono */
	bool on_task, in_sent, late, evaled;
	enum redis_status status;
	redisReply *reply;
	int argc;
	const char **argv; /* behind the record, as are the bytes */
	size_t *lens;
};

TAILQ_HEAD(command_queue, command);

/* What INFO told. */
struct server_facts {
	bool known; /* INFO was answered */
	bool is_cluster, is_replica;
	bool may_evict, policy_known;
};

/* Does trouble go away by itself, or must somebody change something? */
enum fault { FAULT_NONE, FAULT_PASSING, FAULT_LASTING, FAULT_COUNT };

struct redis {
	struct loop *loop;
	struct arena *arena; /* options */
	struct redis_options options;
	char password[REDIS_PASSWORD_MAX];
	struct str epoch_key;

	/* where it may be */
	struct redis_endpoint endpoints[REDIS_ENDPOINTS_MAX];
	size_t nendpoints, endpoint;            /* the one to dial */
	const char *names[REDIS_ENDPOINTS_MAX]; /* of them, each once */
	unsigned nnames;
	struct lookup lookup;
	bool found; /* a Sentinel told: the next dial goes to the master */
	struct redis_endpoint master;
	unsigned master_turn; /* which address of its name */
	char master_name[DIAL_NAME_MAX + 1];
	const char *master_names[1];
	struct lookup master_lookup;

	/* the socket */
	enum conn_state state;
	int fd; /* -1: none */
	struct event readable, writable;
	struct turn_hook flush;
	redisReader *reader;
	redisReplyObjectFunctions objects; /* hiredis's, with a bound */
	void *(*make_array)(const redisReadTask *, int);
	char *out; /* [out_sent, out_len) waits to be written */
	size_t out_sent, out_len, out_cap;

	/* commands */
	struct command_queue sent;
	struct command *unlate;
	LIST_HEAD(, command) all;
	unsigned in_flight; /* callers' commands in sent */
	unsigned late_row;
	struct timer deadline;

	/* the verdict */
	bool up;
	bool unwritable; /* the last probe was refused */
	bool probing;    /* a probe is in flight */
	bool doubtful;   /* the epoch was found to be another one */
	bool quiet;      /* nothing is logged */
	char trouble[TROUBLE_MAX];
	enum fault fault;       /* of that trouble */
	bool told[FAULT_COUNT]; /* logged since it was up */
	struct timer retry, probe;
	unsigned failures; /* connects in vain, in a row */
	char address[ADDRESS_MAX];
	struct server_facts facts;
	int64_t info_at; /* loop_mono, when INFO was asked last */
	bool told_evict;
	char epoch[REDIS_EPOCH_LEN + 1]; /* "" for none */
};

/* ---- redis.c */
/* Give up the connection and try again later. */
void redis_drop(struct redis *, enum fault, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Something that the verdict depends on has changed. */
void redis_judge(struct redis *);
/* An error that means this connection is of no use. */
bool redis_is_fatal(const redisReply *);
/* Run the epoch script, which is the probe as well. */
void redis_ask_epoch(struct redis *);

/* Whom to dial now. */
const struct redis_endpoint *redis_whom(const struct redis *);
/* A Sentinel said where the master is: by its address, or by its name. */
void redis_find(struct redis *, const struct redis_endpoint *);
void redis_find_name(struct redis *, struct str name, unsigned port);

/* ---- greet.c */
void redis_greet(struct redis *);
/* It is a Sentinel: where is the master? */
void redis_ask_sentinel(struct redis *);
/* INFO once more: policies and roles change. */
void redis_ask_info(struct redis *);

/* ---- command.c */
/* One of our own: argv are views, copied. */
void command_send_own(struct redis *, own_fn *, const struct str *argv,
    size_t argc);
void command_send_script(struct redis *, own_fn *, const struct redis_call *);
/* The oldest command's answer, which becomes ours. */
void command_answer(struct redis *, redisReply *);
/* The connection is gone: finish everything. */
void command_lose_all(struct redis *);
void command_free_all(struct redis *);
/* Set the deadline timer by what is in flight. */
void command_on_deadline(void *r);
/* Does the error begin with this code, or quote it as old servers do? */
bool reply_is(const redisReply *, const char *code);
struct str reply_text(const redisReply *);

/* ---- wire.c */
/* False: it failed at once, and redis_drop was called. */
bool wire_dial(struct redis *);
void wire_close(struct redis *);
/* Queue a formatted command for this turn's write. False: no room. */
bool wire_put(struct redis *, const char *bytes, size_t n);
bool wire_has_room(const struct redis *);

/* ---- endpoint.c */
void endpoint_text(const struct redis_endpoint *, char *out, size_t size);
/* One more, at this address, if there is room. */
void endpoints_add(struct redis *, const struct redis_endpoint *, struct addr);
/* The names are elsewhere by now; those that were not found are nowhere. But
 * all stay where they were if none was found. */
void endpoints_move(struct redis *, const struct lookup_found *, size_t n);

#endif
