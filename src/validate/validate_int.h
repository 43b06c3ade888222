/* SPDX-License-Identifier: ISC */
/* What the files of validate share. */
#ifndef VALIDATE_VALIDATE_INT_H
#define VALIDATE_VALIDATE_INT_H

#include <sys/queue.h>

#include "fetch/fetch.h"
#include "validate/validate.h"

enum check_state {
	CHECK_QUEUED,  /* waits for a slot */
	CHECK_RUNNING, /* a query is under way; has a slot */
	CHECK_PAUSED,  /* between two queries */
	CHECK_DONE,    /* waits to be told */
};

/* One validation. */
struct check {
	struct op op; /* on the caller's task */
	LIST_ENTRY(check) entry;
	TAILQ_ENTRY(check) queued; /* by turns.c */
	struct owner *owner;       /* the same */
	struct validate *validate;
	struct arena *arena; /* holds this struct */
	enum check_state state;
	struct validate_request rq; /* with the defaults put in */
	validate_note_fn *note;
	validate_done_fn *done;
	void *arg;
	struct task query;        /* of the present query */
	void *asking;             /* and its type's record of it */
	bool started, final;      /* final: another query is of no use */
	int64_t deadline, pause;  /* by loop_mono; the next pause */
	const struct problem *pr; /* of the last query, in the arena */
	struct timer deadline_timer, pause_timer;
	struct deferred tell;
};

TAILQ_HEAD(check_queue, check);
TAILQ_HEAD(tls_queue, tlsalpn01);

struct validate {
	struct loop *loop;
	struct fetch *fetch;
	struct ssl_ctx_st *tls;   /* of tls-alpn-01 */
	struct tls_queue shaking; /* handshakes that can go on */
	struct deferred shake;
	LIST_HEAD(, check) checks;
	unsigned nchecks;
	struct validate_kind {
		TAILQ_HEAD(, owner) owners;
		unsigned count, running; /* places and slots in use */
	} kinds[VALIDATE_TYPES];
	unsigned running_max, waiting_max, share;
	struct deferred pump;
};

/*
 * turns.c. A check has a place from join to leave. It waits from enqueue
 * until it is dequeued, or has its turn: take gives it a slot, which it has
 * until it gives that back. take is NULL if nobody may begin now.
 */
enum validate_room turns_room(const struct validate *, enum validate_type,
    struct str owner);
void turns_join(struct check *);
void turns_leave(struct check *);
void turns_enqueue(struct check *);
void turns_dequeue(struct check *);
struct check *turns_take(struct validate *, enum validate_type);
void turns_give(struct check *);

/*
 * A query is over: NULL for success. The problem may live in the query's
 * arena, which goes away.
 */
void query_end(struct check *, const struct problem *);

/* The same, and asking again would not help. */
void query_refuse(struct check *, const struct problem *);

/* The problem of a lookup that gave nothing; what: "the addresses of x". */
const struct problem *query_dns_problem(struct arena *, struct str what,
    enum dns_status);

/* The identifier as a message shows it: the name, or the address. */
struct str check_subject(const struct check *, struct arena *);

/*
 * One file a type: begin a query, which sets asking before it returns; and
 * what to say if time is over in the midst of it.
 */
void http01_query(struct check *);
const struct problem *http01_late(struct check *);
void dns01_query(struct check *);
const struct problem *dns01_late(struct check *);
void tlsalpn01_query(struct check *);
const struct problem *tlsalpn01_late(struct check *);

#define QUERY_LATE "the time of the validation was over"

/* Go on with handshakes until the turn has taken long; arg: a validate. */
void tlsalpn01_shake(void *arg);

/* What all tls-alpn-01 connections share; NULL if it cannot be made. */
struct ssl_ctx_st *tlsalpn01_context(void);
void tlsalpn01_free_context(struct ssl_ctx_st *);

#endif
