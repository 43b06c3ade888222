/* SPDX-License-Identifier: ISC */
/*
 * A server on loopback and raw clients in one process and one thread: every
 * wait turns the server's loop until its condition holds.
 */
#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H

#include "../unit.h"

#include <stdbool.h>
#include <sys/types.h>

#include "http/http.h"

struct rig {
	struct loop *loop;
	struct http_server *server;
	struct arena *arena;
	unsigned port;
	char path[64];    /* of the unix socket, if there is one */
	char ran[4096];   /* " METHOD path" of each handler that ran */
	unsigned replies; /* before_reply calls */
	void (*on_reply)(struct req *); /* called by it; may be NULL */
	struct req *waiting;            /* of the last /wait */
	unsigned detached;              /* /wait tasks that were ended */
	bool drained;
};

/* An answer as it came. */
struct answer {
	unsigned status; /* 0: the connection ended without one */
	struct str head, body;
};

/* A rig with a loop and a server; no listener yet. */
struct rig *rig_new(const struct http_limits *);
void rig_free(struct rig *);

/* Listen on a free loopback port (or in r->path), with the test's routes. */
void rig_listen(struct rig *, struct http_listener_options);

/* Turn the loop until the condition holds; fails after 10 seconds. */
#define rig_until(r, condition)                                                \
	do {                                                                   \
		int64_t until_ = rig_deadline();                               \
		while (!(condition))                                           \
			rig_turn((r), until_, #condition, __FILE__, __LINE__); \
	} while (0)
int64_t rig_deadline(void);
void rig_turn(struct rig *, int64_t until, const char *what, const char *file,
    int line);

/* A client connection, non-blocking. */
int rig_dial(struct rig *);
void rig_say(struct rig *, int fd, struct str);
#define say(r, fd, lit) rig_say((r), (fd), STR(lit))

/* The next answer; the second kind has no body (to HEAD). */
struct answer rig_hear(struct rig *, int fd);
struct answer rig_hear_head(struct rig *, int fd);

/* Has the server closed, with nothing more to read? Waits for it. */
void rig_expect_end(struct rig *, int fd);

/* The server has closed without a word, be it with a reset. */
void rig_expect_closed(struct rig *, int fd);

/* Nothing comes for a few turns, and the connection is open. */
void rig_expect_silence(struct rig *, int fd);

/* The value of a header field of the answer; STR_NONE if it is not there. */
struct str answer_field(const struct answer *, const char *name);

/* Answer the waiting request. */
void rig_finish(struct rig *);

/* Forget the buffered bytes of a client and close it. */
void rig_hang_up(int fd);

/* Close with a reset. */
void rig_reset(int fd);

#endif
