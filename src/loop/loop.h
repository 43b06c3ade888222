/* SPDX-License-Identifier: ISC */
/*
 * The event loop: libevent underneath, turns on top. One turn is
 *
 *	poll		wait for sockets and timers (not at all, if work waits)
 *	events		run what became ready
 *	deferred	run what was deferred before or during this turn, once
 *	turn ends	run the hooks: drivers flush what the turn gathered
 *
 * so that one commit, one flush and one write serve all requests of a turn.
 * Single-threaded: nothing here may be called from another thread.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

struct loop;

/* NULL if the system gives no event base. */
struct loop *loop_new(void);
void loop_free(struct loop *);

/* For drivers that make libevent events of their own. */
struct event_base *loop_base(struct loop *);

/* Run turns until loop_stop. */
void loop_run(struct loop *);

/* Leave loop_run at the end of this turn. */
void loop_stop(struct loop *);

/* Run one turn; wait for events only if wait is LOOP_WAIT. For tests. */
enum loop_wait { LOOP_POLL, LOOP_WAIT };
void loop_turn(struct loop *, enum loop_wait wait);

/*
 * Microseconds of a clock that never jumps, and of the wall clock; both are
 * read once a turn.
 */
int64_t loop_mono(struct loop *);
int64_t loop_wall(struct loop *);

/*
 * Has this turn taken long already? What has much to do asks, does at least
 * one thing, and leaves the rest to the next turn by loop_defer, so that
 * nobody else waits for all of it.
 */
bool loop_is_late(const struct loop *);

/* ---- deferred calls: run fn(arg) from the top of the loop, once. */
enum deferred_state { DEFERRED_NONE, DEFERRED_QUEUED, DEFERRED_RUNNING };

struct deferred {
	TAILQ_ENTRY(deferred) entry;
	void (*fn)(void *);
	void *arg;
	enum deferred_state state;
};

static inline void
deferred_init(struct deferred *d, void (*fn)(void *), void *arg)
{
	*d = (struct deferred){ .fn = fn, .arg = arg };
}

/* Queue d; nothing happens if it is queued already. d may be freed by fn. */
void loop_defer(struct loop *, struct deferred *d);

/* Take d back, if it is queued. */
void loop_undefer(struct loop *, struct deferred *d);

/* ---- turn hooks: fn(arg) at the end of each turn in which it was asked. */
struct turn_hook {
	TAILQ_ENTRY(turn_hook) entry;
	void (*fn)(void *);
	void *arg;
	bool queued;
};

/* Run h->fn once at the end of this turn; again needs another call. */
void loop_at_turn_end(struct loop *, struct turn_hook *h);
void loop_forget_hook(struct loop *, struct turn_hook *h);

/* ---- timers, one shot, microseconds */
struct timer {
	struct event ev;
	void (*fn)(void *);
	void *arg;
};

void timer_init(struct timer *, struct loop *, void (*fn)(void *), void *arg);
/* Fire once after usec (0 or less: as soon as possible). Restarts a running one. */
void timer_start(struct timer *, int64_t usec);
void timer_stop(struct timer *);
bool timer_is_running(const struct timer *);

/* Call fn(arg) from the top of the loop when the signal arrives. */
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *, int signo,
    void (*fn)(void *), void *arg);
void loop_signal_free(struct loop_signal *);

#endif
