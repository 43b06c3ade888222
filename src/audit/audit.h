/* SPDX-License-Identifier: ISC */
/*
 * The audit trail: who did what to which object. A row rides in the batch
 * that makes it true, so there is no change without its row and no row
 * without its change.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

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

#endif
