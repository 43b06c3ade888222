/* SPDX-License-Identifier: ISC */
/*
 * GET /certificates: the newest first; of one account, what lives longest
 * first; those that end within a time, the next to end first.
 */
#include "admin/admin_int.h"

#include "base/when.h"

enum { NAMES_SHOWN = 4 }; /* of each row */

#define STATUSES "valid expired revoked"
#define WITHIN_MAX (10 * 366 * WHEN_DAY)

struct cert_list {
	struct admin_page page;
	struct str status, account, profile, issuer, itself, below;
	int64_t within; /* usec; 0: not asked for */
};

/* The three statements return the same columns in the same order. */
_Static_assert((int)ADMIN_CERTS_ORDER_ID == (int)ADMIN_CERTS_OF_ORDER_ID &&
	(int)ADMIN_CERTS_ORDER_ID == (int)ADMIN_CERTS_ENDING_ORDER_ID,
    "the columns of a list");

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned stmt, size_t row)
{
	json_str(w, "id", store_get_str(r, stmt, row, ADMIN_CERTS_ID));
	json_str(w, "serial", store_get_str(r, stmt, row, ADMIN_CERTS_SERIAL));
	json_str(w, "status", store_get_str(r, stmt, row, ADMIN_CERTS_STATUS));
	admin_write_words(w, "names",
	    store_get_str(r, stmt, row, ADMIN_CERTS_NAMES), NAMES_SHOWN);
	json_str(w, "account",
	    store_get_str(r, stmt, row, ADMIN_CERTS_ACCOUNT));
	json_str(w, "profile",
	    store_get_str(r, stmt, row, ADMIN_CERTS_PROFILE));
	json_str(w, "issuer", store_get_str(r, stmt, row, ADMIN_CERTS_ISSUER));
	admin_write_time(c->arena, w, "not_before",
	    store_get_int(r, stmt, row, ADMIN_CERTS_NOT_BEFORE));
	admin_write_time(c->arena, w, "not_after",
	    store_get_int(r, stmt, row, ADMIN_CERTS_NOT_AFTER));
}

static enum step
answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct cert_list *l = c->state;

	return admin_reply_page(c, r, &l->page, write_row);
}

/* "30d": a number and s, m, h or d. */
static const struct problem *
parse_within(struct admin_call *c, int64_t *out)
{
	static const struct {
		char letter;
		int64_t usec;
	} units[] = {
		{ 's', WHEN_SECOND },
		{ 'm', WHEN_MINUTE },
		{ 'h', WHEN_HOUR },
		{ 'd', WHEN_DAY },
	};
	struct str text = admin_param(c, "ends-within");
	uint64_t n;

	*out = 0;
	if (text.p == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (text.n > 1 && text.p[text.n - 1] == units[i].letter &&
		    str_u64(str_make(text.p, text.n - 1), &n) && n > 0 &&
		    n <= (uint64_t)(WITHIN_MAX / units[i].usec))
			*out = (int64_t)n * units[i].usec;
	if (*out > 0)
		return NULL;
	return admin_bad(c, "ends-within", text,
	    "a time up to 3660d such as 12h or 30d");
}

static const struct problem *
parse(struct admin_call *c, struct cert_list *l)
{
	const struct problem *pr;

	if ((pr = admin_parse_id(c, "account", &l->account)) != NULL ||
	    (pr = admin_parse_word(c, "status", STATUSES, &l->status)) !=
		NULL ||
	    (pr = admin_parse_name(c, " ", " ", &l->itself, &l->below)) !=
		NULL ||
	    (pr = parse_within(c, &l->within)) != NULL)
		return pr;
	l->profile = admin_param(c, "profile");
	l->issuer = admin_param(c, "issuer");
	if (l->within > 0)
		return admin_parse_page(c, "certificates-ending",
		    ADMIN_OLDEST_FIRST, &l->page);
	return admin_parse_page(c,
	    l->account.p != NULL ? "certificates-of" : "certificates",
	    ADMIN_NEWEST_FIRST, &l->page);
}

/* Which statement, and does its index know less than what was asked? */
static enum sql
choose(const struct cert_list *l, bool *filtered)
{
	*filtered = l->status.p != NULL || l->profile.p != NULL ||
	    l->issuer.p != NULL || l->itself.p != NULL;
	if (l->within > 0) {
		*filtered = *filtered || l->account.p != NULL;
		return SQL_ADMIN_CERTS_ENDING;
	}
	return l->account.p != NULL ? SQL_ADMIN_CERTS_OF : SQL_ADMIN_CERTS;
}

static enum step
start(struct admin_call *c)
{
	struct cert_list *l = arena_new(c->arena, struct cert_list);
	const struct problem *pr;
	struct batch *b;
	bool filtered;
	enum sql sql;

	c->state = l;
	if ((pr = parse(c, l)) != NULL)
		return admin_fail(c, pr);
	sql = choose(l, &filtered);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, sql);
	admin_put_page(b, &l->page, filtered,
	    sql == SQL_ADMIN_CERTS ? PAGE_BY_ID : PAGE_BY_KEY);
	store_str(b, l->status);
	store_str(b, l->profile);
	store_str(b, l->issuer);
	store_str(b, l->itself);
	store_str(b, l->below);
	if (sql == SQL_ADMIN_CERTS_ENDING)
		store_int(b, l->within);
	if (sql != SQL_ADMIN_CERTS)
		store_str(b, l->account);
	return store_send_batch(b, answer, c);
}

const struct admin_route admin_certs_route = {
	.http = { .methods = REQ_GET,
	    .path = "/certificates",
	    .name = "admin-certs",
	    .start = admin_start },
	.params = "limit cursor status account profile issuer name ends-within",
	.start = start,
};
