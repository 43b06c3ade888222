/* SPDX-License-Identifier: ISC */
/* An attempt of a loop: what attempt.c and attempt_store.c share. */
#ifndef CERTLOOPS_ATTEMPT_H
#define CERTLOOPS_ATTEMPT_H

#include <openssl/evp.h>

#include "certloops/certloops_int.h"

struct attempt {
	LIST_ENTRY(attempt) entry; /* cl->attempts */
	struct certloops *cl;
	struct task task; /* its arena holds this struct */
	struct timer limit, extend, next;
	struct str name, names_text, profile, issuer;
	struct pki_names names;
	enum pki_key_kind kind;
	bool keep_key;
	struct issuer *signer;
	bool remote; /* it does not plan */
	int64_t lifetime;
	unsigned eku;
	bool no_rev_avail;
	int64_t number;  /* the fence */
	unsigned claim;  /* the statement that claimed it */
	bool held;       /* it did so only to say why it cannot begin */
	int64_t now, at; /* database time as of loop_mono `at` */
	unsigned failures;
	EVP_PKEY *key;
	struct str serial; /* planned; empty if the issuer does not plan */
	int64_t not_before, not_after;
	int64_t claimed; /* not_before as we proposed it */
	const char *why; /* it cannot work, or did not */
	unsigned wait;   /* seconds that the issuer asked for; then it is no
			  * failure */
	/* of a remote issuer */
	int64_t since;  /* an attempt before may have signed; 0: none */
	bool uncertain; /* it may have made one that we did not see */
	bool lost;      /* taken over; the answer is still waited for */
	struct issuer_made made; /* to be stored, or revoked */
	unsigned orphan; /* the statement that stores it to be revoked */
	unsigned store_tries;
	void (*step)(struct attempt *); /* after a rest */
	/* of a look for a stray: its row */
	struct str stray;
	int64_t tries; /* its fence */
};

/* ---- attempt.c */

/* The attempt is over, and freed. */
void attempt_end(struct attempt *);

/* Database time now, without asking. */
int64_t attempt_now(const struct attempt *);

void attempt_tally(const char *outcome);

/* The key, as a column of the loop's row. */
struct str attempt_seal_key(struct attempt *, const char *column);

/* The sealed key becomes the attempt's; NULL, or why it will not open. */
const char *attempt_open_key(struct attempt *, const char *column,
    struct str sealed);

/* Its issuer, held until it is over; NULL, or that there is none. */
const char *attempt_find_signer(struct attempt *);

/* One that is under way from now on. */
struct attempt_for {
	struct str name, names, profile, issuer; /* copied */
};
struct attempt *attempt_new(struct certloops *, const struct attempt_for *);

/* ---- attempt_store.c */

/* Make pair, certificate row and audit row durable, or one too many of it. */
void attempt_store(struct attempt *);

/*
 * Record that it did not work. wait: seconds that the issuer asked for; then
 * it is no failure.
 */
void attempt_fail(struct attempt *, const char *why, unsigned wait);

/*
 * What was made is in hand, and nobody has use for it: stored revoked, unless
 * it is stored already. Then the attempt is over.
 */
void attempt_store_orphan(struct attempt *);

/* It was taken over: revoke what is in hand, if anything is. */
void attempt_end_lost(struct attempt *);

/* ---- stray.c */

/* What was looked for is dealt with; the attempt is over then. */
void stray_end(struct attempt *);

#endif
