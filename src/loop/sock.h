/* SPDX-License-Identifier: ISC */
/*
 * A non-blocking stream socket under an edge-triggered watch: the loop is
 * told once what to watch, and what it reports is remembered here until a
 * call finds the socket empty or full. So a connection costs no further
 * system call for its watching, whatever states it goes through.
 *
 * Whoever stops reading before SOCK_AGAIN must come back by itself while
 * `readable` stands: the loop will not say it again.
 */
#ifndef LOOP_SOCK_H
#define LOOP_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "loop/loop.h"

struct sock {
	int fd;        /* -1: closed */
	bool readable; /* there may be bytes, or the end, or an error */
	bool writable; /* there may be room */
	bool hup;      /* the peer will send no more: read to the end */
	bool doubt;    /* an error may wait behind the bytes: read to the end */
	bool drained;  /* the last read was short of what it asked for */
	struct event ev;
	void (*ready)(void *);
	void *arg;
};

enum sock_result {
	SOCK_OK,    /* *n bytes, at least one */
	SOCK_AGAIN, /* nothing now; ready() will be called */
	SOCK_EOF,   /* the peer has shut its side */
	SOCK_ERROR, /* reset, or broken otherwise */
};

/*
 * Watch fd, which becomes ours: ready(arg) runs when it may be readable or
 * writable again, and once soon after the start. False: out of descriptors
 * to watch; fd is not closed.
 */
bool sock_start(struct sock *, struct loop *, int fd, void (*ready)(void *),
    void *arg);

enum sock_result sock_recv(struct sock *, void *, size_t, size_t *n);
enum sock_result sock_send(struct sock *, const struct iovec *, int niov,
    size_t *n);

/*
 * Is the connection dead, so that nothing can be sent any more? Bytes that
 * wait to be read do not hide it, and a peer that only shut its own side is
 * alive.
 */
bool sock_is_dead(const struct sock *);

/* Stop watching, close. Nothing happens if it is closed already. */
void sock_close(struct sock *);

#endif
