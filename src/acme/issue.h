/* SPDX-License-Identifier: ISC */
/* What the two files of an issuance share: issue.c and issue_store.c. */
#ifndef ACME_ISSUE_H
#define ACME_ISSUE_H

#include "acme/acme_int.h"

/* Of a remote issuer: how long we go on when nobody waits any more. */
#define ISSUE_PATIENCE INT64_C(300000000)

enum {
	ISSUE_STORE_TRIES = 8,   /* of a certificate that we have in hand */
	ISSUE_UNCERTAIN_MAX = 1, /* attempts that may have signed; not more */
	ISSUE_COME_AGAIN = 10,   /* seconds, if the issuer does not say */
	ISSUE_SOON = 5, /* seconds before an uncertain one is asked again */
};

struct waiter {
	struct op op; /* on the waiting task */
	struct issuance *issuance;
	struct timer timer; /* how long it wants to wait */
	issued_fn *fn;
	void *arg;
	int64_t until; /* by loop_mono; INT64_MAX: to the end */
};

enum issuance_state {
	ISSUE_SIGNING, /* the issuer is asked */
	ISSUE_STORING, /* a batch is under way */
	ISSUE_RESTING, /* until the next try */
};

struct issuance {
	LIST_ENTRY(issuance) entry; /* acme->issuing */
	struct acme *acme;
	struct task task;      /* its arena holds this struct */
	struct waiter *waiter; /* NULL: nobody waits (any more) */
	struct claim claim;
	struct acme_setup *setup;
	const struct acme_profile *profile;
	enum issuance_state state;
	bool remote;     /* the issuer does not plan: it may be slow, or away */
	bool lost;       /* another process has the order now */
	bool conflicted; /* what was found is another one's already */
	struct timer next, lease;
	void (*step)(struct issuance *); /* what next does */
	int64_t began;                   /* by loop_mono */
	int64_t least;                   /* wait before the next try */
	unsigned tries, store_tries;
	struct pki_csr csr;
	struct str cert_id;
	struct issuer_made made; /* der.n is 0: nothing yet */
	unsigned orphan; /* the statement that stores it without an order */
	const struct problem *problem; /* why it failed */
	struct problem *unanswered;    /* of the last uncertain attempt */
	struct audit_tries refused;    /* what the issuer said before */
};

/* issue.c: tell who waits, then go; the issuance is freed. */
void issue_end(struct issuance *, const struct issued *how);
/* After a while, try step again; longer each time, at least `least`. */
void issue_rest(struct issuance *, unsigned tries, int64_t least,
    void (*step)(struct issuance *));
int64_t issue_backoff(unsigned tries);
/* Count what became of it: "success", "failure", "deferred", "duplicate". */
void issue_count(const struct issuance *, const char *outcome);
/* Ask the issuer. */
void issue_sign(struct issuance *);

/* ---- issue_store.c: each is one batch, guarded by the attempt */

/* The certificate in hand: order valid. */
void issue_store(struct issuance *);
/* Order invalid, with the problem; what the issuer made all the same is an
 * orphan. */
void issue_fail(struct issuance *, const struct problem *);
/* Order ready again, since surely nothing was signed; the problem is told. */
void issue_release(struct issuance *, const struct problem *);
/* An attempt may have signed; then issue_sign once more. */
void issue_mark(struct issuance *, int64_t wait);
/* Keep the order for another while. */
void issue_renew(struct issuance *);

#endif
