/* SPDX-License-Identifier: ISC */
/* Rows of the audit trail. */
#include "audit/audit.h"

#include "base/id.h"

static void
put_text(struct batch *b, struct str s)
{
	if (s.n == 0)
		store_null(b);
	else
		store_str(b, s);
}

/* What all of the statements begin with. */
static void
begin(struct batch *b, enum sql sql, const struct audit_entry *e)
{
	char id[ID_LEN];

	id_write(id);
	store_add(b, sql);
	store_str(b, str_make(id, sizeof(id)));
	store_str(b, e->actor);
	store_str(b, str_from(e->action));
	store_str(b, e->object);
}

void
audit_add(struct batch *b, const struct audit_entry *e)
{
	begin(b, SQL_AUDIT_INSERT, e);
	put_text(b, e->order);
	put_text(b, e->account);
	put_text(b, e->serial);
	put_text(b, e->detail);
}

void
audit_add_if_account(struct batch *b, const struct audit_entry *e)
{
	begin(b, SQL_AUDIT_INSERT_IF_ACCOUNT, e);
	put_text(b, e->detail);
}

void
audit_add_of_cert(struct batch *b, const struct audit_entry *e)
{
	begin(b, SQL_AUDIT_INSERT_OF_CERT, e);
	put_text(b, e->detail);
}
