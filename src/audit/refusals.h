/* SPDX-License-Identifier: ISC */
/*
 * Rows of the audit trail for what was refused although it was signed well.
 * A refusal changes nothing, so its row follows the answer in a batch of its
 * own, with those of the same turn; who is refused again and again is folded:
 *
 *  * The first refusal of an account, about an order, with a problem type, is
 *    a row at once. More of them are counted, and one row says how many there
 *    were in a minute, then in two, up to an hour while it goes on.
 *  * An account has REFUSALS_SHARE of such counts at a time; what is more is
 *    told apart by its problem type only, and then not by its account either.
 *  * Where there is no account (API keys), the actor takes its place.
 *  * There are REFUSALS_MAX of them, so a process writes at most twice as
 *    many rows a minute whatever is asked of it.
 *
 * A crash loses what was counted and not yet written.
 */
#ifndef AUDIT_REFUSALS_H
#define AUDIT_REFUSALS_H

#include <stdbool.h>

#include "base/problem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "store/store.h"

enum {
	REFUSALS_MAX = 512, /* counts at a time, beside one of each type */
	REFUSALS_SHARE = 8, /* of one account */
	REFUSALS_DETAIL_MAX = 256,
};

struct refusals;

struct refusals *refusals_new(struct loop *, struct store *);

/* Nothing is written any more. NULL is fine. */
void refusals_free(struct refusals *);

/* Texts are copied; empty ones are fine but for the actor. */
struct refusal {
	struct str actor; /* "account:ID", "key:THUMBPRINT", "apikey:NAME" */
	bool by_actor;    /* there is no account: told apart by the actor */
	struct str account, order; /* ids */
	struct str object;         /* id of what it was about */
	struct str profile, peer;
	const char *route; /* a constant */
	const struct problem *problem;
};

void refusals_note(struct refusals *, const struct refusal *);

/* Write what was counted now, at the end of the process. */
void refusals_flush(struct refusals *);

/* Are rows on their way? */
bool refusals_busy(const struct refusals *);

#endif
