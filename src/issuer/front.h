/* SPDX-License-Identifier: ISC */
/* For drivers of issuers: the part that all of them share. */
#ifndef ISSUER_FRONT_H
#define ISSUER_FRONT_H

#include "issuer/issuer.h"

struct issuer_bounds {
	unsigned running_max;  /* requests at once; 0: any number */
	unsigned queue_max;    /* that wait for their turn */
	int64_t queue_wait;    /* usec: no longer than that */
	unsigned failures_max; /* in a row that open the breaker; 0: never */
	int64_t rest; /* usec that it stays open; doubles, to a minute */
};

/* A driver calls it when it makes one; the first reference is the caller's. */
void issuer_init(struct issuer *, const struct issuer_ops *, const char *name,
    struct loop *, const struct issuer_bounds *);

/* Free what issuer_init took. issuer_let_go calls it before ops->free. */
void issuer_release(struct issuer *);

#endif
