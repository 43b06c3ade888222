/* SPDX-License-Identifier: ISC */
/*
 * One connection at its work: the client side of RFC 8555 section 7, a
 * request after the other. Each function sends one and names the function
 * that takes the reply; whatever fails ends the unit of work.
 *
 *	flow.c		requests and replies, nonces, the end of a unit
 *	flow_plain.c	units of one request, and what comes before the clock
 *	flow_order.c	from new-order to the certificate
 */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include "bench/bench.h"

struct flow;

typedef void flow_step(struct flow *, const struct reply *);

struct flow {
	TAILQ_ENTRY(flow) entry; /* on bench->idle */
	struct bench *bench;
	size_t index;
	struct conn *conn;
	struct account *account; /* NULL: no unit needs one */
	struct arena *arena;     /* of this unit of work */
	struct unit unit;
	bool working; /* at a unit */

	/* The request under way. */
	enum bench_request type;
	const char *method;
	struct str url, payload;
	const struct account *signer;
	flow_step *then;
	bool wants_nonce; /* it waits for a nonce, which was sent for */
	bool retried;     /* after a badNonce */
	int64_t due;      /* of the first request of a unit; else 0 */
	int64_t began, sent;
	char nonce[REPLY_FIELD_MAX]; /* of the last reply; used once */
	size_t nonce_len;

	/* The order under way. */
	const struct job *job;
	struct str order_url;
	struct acme_order order;
	size_t authz;  /* the one that is looked at */
	bool answered; /* its challenge */
	struct str token;
	char token_text[REPLY_FIELD_MAX];
	unsigned polls;
	flow_step *has_certificate; /* a chain that was found to be right */

	struct account *fresh; /* that is being registered */
	const struct ask *ask; /* of OCSP */

	struct timer pause;
	void (*after_pause)(struct flow *);
	struct deferred next; /* take the next unit */
};

struct flow *flow_new(struct bench *, size_t index);
void flow_free(struct flow *);

/* Fetch the directory; open and register; take units while there are any. */
void flow_fetch_directory(struct flow *);
void flow_prepare(struct flow *);
void flow_work(struct flow *);

/* ---- flow.c, for the others */

/* Sign with the account and send; POST-as-GET if the payload is empty. */
void flow_post(struct flow *, enum bench_request, const struct account *,
    struct str url, struct str payload, flow_step *);

/* Send without a signature. */
void flow_ask(struct flow *, enum bench_request, const char *method,
    struct str url, struct str body, flow_step *);

/* The unit, or what comes before the clock, ends. */
void flow_end(struct flow *);
void flow_fail(struct flow *, struct str why);
void flow_wrong(struct flow *, struct str why);

/* Is it the status that this reply must have? Ends the unit if not. */
bool flow_expect(struct flow *, const struct reply *, unsigned status);

/* Call then later: as the server says, or as the options do. */
void flow_poll(struct flow *, const struct reply *,
    void (*then)(struct flow *));

/* ---- flow_plain.c, flow_order.c: begin a unit */

void flow_begin_plain(struct flow *);
void flow_begin_order(struct flow *, flow_step *has_certificate);

#endif
