/* SPDX-License-Identifier: ISC */
/*
 * An HTTP server for tests, on the loop of the test, plain or with BoringSSL.
 * It answers what it is told to, well or badly.
 */
#ifndef TESTS_UNIT_FETCH_PEER_H
#define TESTS_UNIT_FETCH_PEER_H

#include <stdbool.h>

#include "base/str.h"
#include "loop/loop.h"

enum peer_kind { PEER_HTTP, PEER_HTTPS };

enum peer_mode {
	PEER_ANSWER,
	PEER_HANG,      /* reads the request, says nothing */
	PEER_CLOSE,     /* reads the request, closes */
	PEER_CUT,       /* sends what it has to say, then resets */
	PEER_FINISH,    /* the same, and closes */
	PEER_RUDE,      /* does not wait for a request */
	PEER_DRIP,      /* a byte each 20 ms */
	PEER_MUTE,      /* does not even take part in the handshake */
	PEER_CLOSE_2ND, /* closes at the second request of a connection */
};

struct peer;

/* NULL if ip cannot be listened on. */
struct peer *peer_new(struct loop *, const char *ip, enum peer_kind);
void peer_free(struct peer *);
unsigned peer_port(const struct peer *);

/* The root in PEM; the certificate is for peer.test and 127.0.0.1. */
struct str peer_ca(const struct peer *);

/* The whole answer, headers and all. */
void peer_say(struct peer *, struct str);
void peer_set(struct peer *, enum peer_mode);

unsigned peer_requests(const struct peer *);
unsigned peer_connections(const struct peer *);
unsigned peer_open(const struct peer *);    /* connections open now */
struct str peer_heard(const struct peer *); /* the last request */

#endif
