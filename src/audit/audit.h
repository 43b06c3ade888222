/* SPDX-License-Identifier: ISC */
/*
 * The audit trail: who did what to which object. A row rides in the batch
 * that makes it true, so there is no change without its row and no row
 * without its change.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include "base/json.h"
#include "base/problem.h"
#include "base/str.h"
#include "store/store.h"

struct audit_entry {
	struct str actor;                  /* "account:ID", "certloopd" */
	const char *action;                /* "order.create" */
	struct str object;                 /* id of what was changed */
	struct str order, account, serial; /* for searching; may be empty */
	struct str detail;                 /* JSON text, or empty */
};

/* Add the row to the batch. */
void audit_add(struct batch *, const struct audit_entry *);

/* The same if the batch has made (or found) the account that object names. */
void audit_add_if_account(struct batch *, const struct audit_entry *);

/* The same for the certificate that object names, if it is there: its order,
 * account and serial are looked up. */
void audit_add_of_cert(struct batch *, const struct audit_entry *);

/* ---- details
 *
 * What was tried on the way to one row, each with its moment and outcome, so
 * that tries need no rows of their own. The first AUDIT_TRIES_MAX are kept,
 * the last one always is.
 */
enum { AUDIT_TRIES_MAX = 10, AUDIT_WHY_MAX = 300 };

struct audit_try {
	int64_t at;          /* usec since 1970 */
	const char *outcome; /* a constant */
	struct str address;  /* empty: none */
	struct str why;      /* empty: nothing to say */
};

struct audit_tries {
	struct audit_try v[AUDIT_TRIES_MAX];
	size_t n;     /* in v */
	size_t total; /* how many there were */
};

/* Its texts are copied into the arena, and cut. */
void audit_note_try(struct audit_tries *, struct arena *,
    const struct audit_try *);

/* "tries": [...], and "tries_total" if some are left out; nothing if there
 * was none. */
void audit_write_tries(struct json_writer *, struct arena *,
    const struct audit_tries *);

/* The members of a problem document in the object that is open. */
void audit_write_problem(struct json_writer *, const struct problem *);

#endif
