/* SPDX-License-Identifier: ISC */
/*
 * A running certloopd hands its listening sockets to the next one:
 *
 *	next		POST /api/v1/take-over on the admin socket, 101
 *	running		"socket ADDRESS" for each with its descriptor, then
 *			"store alone" or "store shared"
 *
 * If one process at a time may use the store (SQLite, or without `replicas`),
 * the next one, once it has checked all that it can without the store, says
 *
 *	next		"store"
 *	running		takes no more connections (who comes waits in the
 *			queue), finishes its requests, closes the store, says
 *			"store" and passes what it knows of its nonces
 *
 * and at the end, when it serves,
 *
 *	next		"ready"
 *	running		drains, if it has not, and ends
 *
 * If the next one ends before it was ready, the running one serves on; if it
 * had closed the store, by starting anew with the same sockets.
 */
#ifndef DAEMON_HANDOVER_H
#define DAEMON_HANDOVER_H

#include <stdbool.h>

#define HANDOVER_PROTOCOL "certloop-take-over"

enum {
	HANDOVER_TEXT_MAX = 32768,
	/* a step of the other side takes that long at most, beside the time
	 * that requests are given; seconds */
	HANDOVER_PATIENCE = 60,
};

#endif
