/* SPDX-License-Identifier: ISC */
/* Rows of the audit trail. */
#include "audit/audit.h"

#include "base/id.h"
#include "base/when.h"

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

/* ---- details */

void
audit_note_try(struct audit_tries *t, struct arena *a,
    const struct audit_try *one)
{
	struct audit_try *to;

	t->total++;
	to = &t->v[t->n < AUDIT_TRIES_MAX ? t->n++ : AUDIT_TRIES_MAX - 1];
	*to = *one;
	to->address = str_dup(a, one->address);
	to->why = str_show(a, one->why, AUDIT_WHY_MAX);
}

void
audit_write_tries(struct json_writer *w, struct arena *a,
    const struct audit_tries *t)
{
	if (t->n == 0)
		return;
	json_open_array(w, "tries");
	for (size_t i = 0; i < t->n; i++) {
		json_open_object(w, NULL);
		json_str(w, "at", when_rfc3339(a, t->v[i].at));
		json_str(w, "outcome", str_from(t->v[i].outcome));
		if (t->v[i].address.n > 0)
			json_str(w, "address", t->v[i].address);
		if (t->v[i].why.n > 0)
			json_str(w, "why", t->v[i].why);
		json_close(w);
	}
	json_close(w);
	if (t->total > t->n)
		json_int(w, "tries_total", (int64_t)t->total);
}

void
audit_write_problem(struct json_writer *w, const struct problem *pr)
{
	json_str(w, "type", problem_name(pr->type));
	json_str(w, "detail", pr->detail);
	if (pr->cause != NULL)
		json_str(w, "cause", str_from(pr->cause));
}
