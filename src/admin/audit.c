/* SPDX-License-Identifier: ISC */
/*
 * GET /audit: rows of the audit trail, the newest first, or the oldest first
 * for whoever follows them. An order's, a serial's, an account's, an actor's
 * or an action's rows come by an index; other filters judge each row.
 *
 * A row has the moment of its statement and is seen when its transaction is
 * committed, so one may show up behind younger ones. "settled" is a cursor
 * behind which none does any more: who follows goes on from there, and drops
 * what was seen before by its id.
 */
#include "admin/admin_int.h"

#include <inttypes.h>

#include "base/id.h"
#include "base/when.h"

/* No transaction takes longer: the store's deadline, and a second. */
#define SETTLES (6 * WHEN_SECOND)
#define AGO_MAX (3660 * WHEN_DAY)

enum { ACTION_MAX = 64, ACTOR_MAX = 200, SERIAL_MAX = 64 };
enum { ROW_ROOM = 1024 }; /* bytes of a row, but for its detail */

struct audit_search {
	struct admin_page page;
	enum admin_order sort;
	int64_t bound; /* no older row; or, the oldest first, none from here */
	struct str order, account, serial, actor, action;
	struct str itself; /* the account that the actor is */
	size_t shown;      /* rows of this page */
};

/* All of them return the same columns. */
_Static_assert((int)AUDIT_LATEST_DETAIL == (int)AUDIT_OF_ACTOR_DETAIL &&
	(int)AUDIT_LATEST_DETAIL == (int)AUDIT_FOLLOWING_DETAIL,
    "the columns of a search");

/* ---- what was asked */

/* "90s", "15m", "12h" or "30d" ago; false if it is none of them */
static bool
parse_ago(struct str text, int64_t now, int64_t *out)
{
	int64_t span;

	if (!when_parse_span(text, &span) || span > AGO_MAX)
		return false;
	*out = now - span;
	return true;
}

static const struct problem *
parse_moment(struct admin_call *c, const char *name, int64_t absent,
    int64_t *out)
{
	struct str text = admin_param(c, name);

	*out = absent;
	if (text.p == NULL || when_parse_rfc3339(text, out) ||
	    parse_ago(text, loop_wall(c->admin->loop), out))
		return NULL;
	return admin_bad(c, name, text,
	    "a moment as RFC 3339 has it, or how long ago, such as 90s, 15m, "
	    "12h or 30d");
}

static const struct problem *
parse_text(struct admin_call *c, const char *name, size_t max, struct str *out)
{
	*out = admin_param(c, name);
	if (out->p == NULL ||
	    (out->n > 0 && out->n <= max && str_is_text(*out)))
		return NULL;
	return admin_bad(c, name, *out,
	    str_printf(c->arena, "1 to %zu bytes of text", max).p);
}

static const struct problem *
parse_serial(struct admin_call *c, struct str *out)
{
	static const char digits[] = "0123456789abcdef";

	*out = str_lower(c->arena, admin_param(c, "serial"));
	if (admin_param(c, "serial").p == NULL) {
		*out = STR_NONE;
		return NULL;
	}
	for (size_t i = 0; i < out->n; i++)
		if (memchr(digits, out->p[i], 16) == NULL)
			out->n = 0;
	if (out->n > 0 && out->n <= SERIAL_MAX)
		return NULL;
	return admin_bad(c, "serial", admin_param(c, "serial"),
	    "hexadecimal digits");
}

static const struct problem *
parse_filters(struct admin_call *c, struct audit_search *s)
{
	const struct problem *pr;

	if ((pr = admin_parse_id(c, "order", &s->order)) != NULL ||
	    (pr = admin_parse_id(c, "account", &s->account)) != NULL ||
	    (pr = parse_serial(c, &s->serial)) != NULL ||
	    (pr = parse_text(c, "actor", ACTOR_MAX, &s->actor)) != NULL ||
	    (pr = parse_text(c, "action", ACTION_MAX, &s->action)) != NULL)
		return pr;
	s->itself = STR_NONE;
	if (str_starts(s->actor, STR("account:")))
		s->itself = str_skip(s->actor, strlen("account:"));
	return NULL;
}

/* Where the look begins and ends, unless a cursor says where it begins. */
static const struct problem *
parse_range(struct admin_call *c, struct audit_search *s)
{
	int64_t since, until;
	const struct problem *pr;
	struct str sort;

	if ((pr = parse_moment(c, "since", 0, &since)) != NULL ||
	    (pr = parse_moment(c, "until", INT64_MAX, &until)) != NULL ||
	    (pr = admin_parse_word(c, "sort", "newest oldest", &sort)) != NULL)
		return pr;
	s->sort = str_is(sort, "oldest") ? ADMIN_OLDEST_FIRST :
					   ADMIN_NEWEST_FIRST;
	pr = admin_parse_page(c,
	    s->sort == ADMIN_OLDEST_FIRST ? "audit-following" : "audit",
	    s->sort, &s->page);
	if (pr != NULL)
		return pr;
	s->bound = s->sort == ADMIN_OLDEST_FIRST ? until : since;
	if (admin_param(c, "cursor").p != NULL)
		return NULL;
	if (s->sort == ADMIN_OLDEST_FIRST)
		s->page.key = since;
	else if (until != INT64_MAX) {
		s->page.key = until;
		s->page.id = STR("");
	}
	return NULL;
}

/* By the index that leaves least; what every issuance does has none. */
static enum sql
choose(const struct audit_search *s)
{
	if (s->sort == ADMIN_OLDEST_FIRST)
		return SQL_AUDIT_FOLLOWING;
	if (s->order.p != NULL)
		return SQL_AUDIT_OF_ORDER;
	if (s->serial.p != NULL)
		return SQL_AUDIT_OF_SERIAL;
	if (s->account.p != NULL)
		return SQL_AUDIT_OF_ACCOUNT;
	if (s->actor.p != NULL)
		return SQL_AUDIT_OF_ACTOR;
	if (s->action.p != NULL && !str_is(s->action, "order.create") &&
	    !str_is(s->action, "certificate.issue"))
		return SQL_AUDIT_OF_ACTION;
	return SQL_AUDIT_LATEST;
}

/* ---- the answer */

/* To the microsecond: what happened first? */
static void
write_at(struct admin_call *c, struct json_writer *w, int64_t at)
{
	struct str second = when_rfc3339(c->arena, at);

	json_str(w, "at",
	    str_printf(c->arena, STR_FMT ".%06dZ",
		STR_ARG(str_make(second.p, second.n - 1)),
		(int)(at % WHEN_SECOND)));
}

static void
write_row(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, size_t row)
{
	static const struct {
		const char *name;
		unsigned col;
	} texts[] = {
		{ "id", AUDIT_LATEST_ID },
		{ "actor", AUDIT_LATEST_ACTOR },
		{ "action", AUDIT_LATEST_ACTION },
		{ "object", AUDIT_LATEST_OBJECT },
		{ "order", AUDIT_LATEST_ORDER_ID },
		{ "account", AUDIT_LATEST_ACCOUNT },
		{ "serial", AUDIT_LATEST_SERIAL },
	};
	struct str detail = store_get_str(r, 0, row, AUDIT_LATEST_DETAIL);

	json_open_object(w, NULL);
	write_at(c, w, store_get_int(r, 0, row, AUDIT_LATEST_K));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct str s = store_get_str(r, 0, row, texts[i].col);

		if (s.p == NULL)
			json_null(w, texts[i].name);
		else
			json_str(w, texts[i].name, s);
	}
	if (detail.n > 0)
		json_raw(w, "detail", detail);
	else
		json_null(w, "detail");
	json_close(w);
}

static void
write_cursor(struct admin_call *c, struct json_writer *w, const char *name,
    int64_t key, struct str id)
{
	struct audit_search *s = c->state;

	json_str(w, name,
	    admin_write_cursor(c->arena, s->page.list, key,
		id.n > 0 ? id : STR(" "))); /* before every id */
}

/* How far did we look? At least to where we began. */
static void
write_ends(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, size_t n)
{
	struct audit_search *s = c->state;
	int64_t key = s->page.key, settled;
	struct str id = s->page.id;
	bool more = s->shown > 0 && s->shown < n;

	if (more) {
		key = store_get_int(r, 0, s->shown - 1, AUDIT_LATEST_K);
		id = store_get_str(r, 0, s->shown - 1, AUDIT_LATEST_ID);
	} else if (n > 0) {
		key = store_get_int(r, 0, 0, AUDIT_LATEST_STOP_KEY);
		id = store_get_str(r, 0, 0, AUDIT_LATEST_STOP_ID);
		more = store_get_int(r, 0, 0, AUDIT_LATEST_STOP_N) ==
		    ADMIN_SCAN_MAX;
	}
	if (more)
		write_cursor(c, w, "next", key, id);
	else
		json_null(w, "next");
	if (s->sort == ADMIN_NEWEST_FIRST)
		return;
	settled = n > 0 ? store_get_int(r, 0, 0, AUDIT_LATEST_NOW) - SETTLES :
			  0;
	if (n > 0 && key >= settled) {
		id = settled > s->page.key ? STR("") : s->page.id;
		key = settled > s->page.key ? settled : s->page.key;
	}
	write_cursor(c, w, "settled", key, id);
}

static enum step
answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct audit_search *s = c->state;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	int64_t left = ADMIN_REPLY_MAX / 2; /* details may be long */
	size_t n;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	n = store_nrows(r, 0);
	json_open_object(w, NULL);
	json_open_array(w, "items");
	while (s->shown < n && s->shown < s->page.limit && left > 0 &&
	    !store_is_null(r, 0, s->shown, AUDIT_LATEST_ID)) {
		write_row(c, w, r, s->shown);
		left -= (int64_t)store_get_str(r, 0, s->shown++,
			    AUDIT_LATEST_DETAIL)
			    .n +
		    ROW_ROOM;
	}
	json_close(w);
	write_ends(c, w, r, n);
	json_close(w);
	return admin_reply(c, 200, w);
}

static bool
is_filtered(const struct audit_search *s, enum sql by)
{
	return (s->order.p != NULL && by != SQL_AUDIT_OF_ORDER) ||
	    (s->account.p != NULL && by != SQL_AUDIT_OF_ACCOUNT) ||
	    (s->serial.p != NULL && by != SQL_AUDIT_OF_SERIAL) ||
	    (s->actor.p != NULL && by != SQL_AUDIT_OF_ACTOR) ||
	    (s->action.p != NULL && by != SQL_AUDIT_OF_ACTION);
}

static enum step
start(struct admin_call *c)
{
	struct audit_search *s = arena_new(c->arena, struct audit_search);
	const struct problem *pr;
	struct batch *b;
	enum sql by;

	c->state = s;
	if ((pr = parse_filters(c, s)) != NULL ||
	    (pr = parse_range(c, s)) != NULL)
		return admin_fail(c, pr);
	by = choose(s);
	b = store_new_batch(c->store, &c->req->task, STR(""));
	store_add(b, by);
	admin_put_page(b, &s->page, is_filtered(s, by), PAGE_BY_KEY);
	store_int(b, s->bound);
	store_str(b, s->order);
	store_str(b, s->account);
	store_str(b, s->serial);
	store_str(b, s->actor);
	store_str(b, s->action);
	if (by == SQL_AUDIT_OF_ACTOR)
		store_str(b, s->itself);
	return store_send_batch(b, answer, c);
}

const struct admin_route admin_audit_route = {
	.http = { .methods = REQ_GET,
	    .path = "/audit",
	    .name = "admin-audit",
	    .start = admin_start },
	.params = "limit cursor order account serial actor action since until "
		  "sort",
	.start = start,
};
