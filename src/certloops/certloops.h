/* SPDX-License-Identifier: ISC */
/*
 * Cert loops: names that always have a valid certificate. What is wanted
 * comes from the configuration and a watched serve config; the store holds a
 * row for each loop, whose next attempt is due by database time.
 *
 * Issuing happens once in the fleet: a due loop is claimed, leased while the
 * attempt runs, and every write of the attempt carries its number. Delivery
 * happens on each node that wants the loop.
 */
#ifndef CERTLOOPS_CERTLOOPS_H
#define CERTLOOPS_CERTLOOPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "conf/conf.h"
#include "issuer/issuer.h"
#include "loop/loop.h"
#include "seal/seal.h"
#include "store/store.h"

struct certloops;

/* Finds an issuer by name; NULL if there is none. */
typedef struct issuer *certloops_find_issuer(void *arg, const char *name);

struct certloops_options {
	struct loop *loop;
	struct store *store;
	const struct seal_ring *ring; /* outlives the object */
	certloops_find_issuer *find_issuer;
	void *issuers;
	struct str node; /* what is delivered here; copied */
	int64_t poll;    /* usec between looks into the store; 0: 5 s */
	/* 32 random bits, for jitter; NULL: the kernel's. */
	uint32_t (*draw)(void *arg);
	void *draw_arg;
};

struct certloops *certloops_new(const struct certloops_options *);

/*
 * Want what this configuration says, from now on; conf lives until the next
 * call. Begins to work with the first call.
 */
void certloops_configure(struct certloops *, const struct conf *conf);

/* Something may be due: look now. */
void certloops_wake(struct certloops *);

/* Attempts and deliveries under way. */
unsigned certloops_running(const struct certloops *);

/* No new attempt begins; those under way go on until certloops_free. */
void certloops_stop(struct certloops *);

/* NULL is fine. */
void certloops_free(struct certloops *);

#endif
