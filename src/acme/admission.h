/* SPDX-License-Identifier: ISC */
/*
 * What one client address may cost this process, before anything of its
 * request is verified:
 *
 *	signatures	a share of the processor's time, while other addresses
 *			ask too. An ES512 key costs 22 times what an ES256 key
 *			does, and the client chooses.
 *	unsigned	requests that nothing else limits
 *
 * Each is a token bucket. Per process, and bounded: who was not seen for the
 * longest time is forgotten first, and begins with a full bucket again. An
 * address is an IPv4 address or an IPv6 network of 64 bits.
 */
#ifndef ACME_ADMISSION_H
#define ACME_ADMISSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "jose/jws.h"

struct admission;

enum {
	ADMISSION_ADDRESSES = 8192, /* remembered */
	ADMISSION_NET_BITS = 64,    /* of IPv6 */
};

struct admission_bounds {
	unsigned share;          /* percent of one core; 0 or 100: no bound */
	unsigned requests;       /* unsigned ones at once; 0: no bound, */
	int64_t requests_window; /* and as many again in so many usec */
};

struct admission *admission_new(size_t addresses);
void admission_free(struct admission *);

void admission_set(struct admission *, const struct admission_bounds *);

/* usec of processor time that verifying one signature takes. */
int64_t admission_cost(enum jws_alg);

/*
 * May a signature that costs so much be verified for this address? 0: yes, and
 * it is charged; else usec after which it may. An address of none (a local
 * peer) always may. mono: loop_mono.
 */
int64_t admission_sign(struct admission *, struct addr, int64_t cost,
    int64_t mono);

/* Charge what could not be known before; the address may owe that much. */
void admission_charge(struct admission *, struct addr, int64_t cost,
    int64_t mono);

/* May this address send an unsigned request? 0, or usec until it may. */
int64_t admission_request(struct admission *, struct addr, int64_t mono);

/* Addresses remembered now. */
size_t admission_size(const struct admission *);

#endif
