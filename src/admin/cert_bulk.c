/* SPDX-License-Identifier: ISC */
/*
 * What is done to many certificates: they are counted, marked for renewal
 * (RFC 9773), not marked any more, revoked.
 *
 *	POST /certificates/count?for=mark&FILTERS&cursor=...
 *	POST /certificates/mark?FILTERS&cursor=...
 *	POST /certificates/unmark?FILTERS&cursor=...
 *	POST /certificates/revoke?FILTERS&cursor=...
 *
 * or, instead of filters, {"certificates": [ids and serials]} in the body.
 * Each request is one bounded step: it finds some that are fit for it and, in
 * one batch, changes them; "next" is the cursor of the request to follow.
 * Whoever asks drives the steps, so the loop is never held up, and what was
 * done stays done: the same again finds only what is left.
 */
#include "admin/admin_int.h"

#include "base/when.h"
#include "metrics/metrics.h"
#include "pki/reason.h"

enum {
	STEP_ROWS = 100, /* changed by one request */
	STEP_SCAN = 250, /* rows that a filter looks at for them */
	NAMED_MAX = 100, /* ids and serials in one body */
	NAMED_BYTES = 128,
	SAME_MAX = 4, /* certificates of one serial */
	TRIES = 3,    /* if others change what was found */
};

#define REASONS                                                                \
	"one of: unspecified keyCompromise cACompromise affiliationChanged "   \
	"superseded cessationOfOperation certificateHold privilegeWithdrawn, " \
	"or its number"

#define OVER_MAX (30 * WHEN_DAY)

/* A certificate that is fit. */
struct bulk_row {
	struct str id, serial, account, order, loop;
};

struct bulk;

struct bulk_op {
	const char *name;   /* for=NAME */
	const char *action; /* of the audit row */
	const char *status; /* that makes fit; NULL: any */
	int marked;         /* the same; -1: either */
	enum step (*act)(struct admin_call *, struct bulk *);
};

struct bulk {
	const struct bulk_op *op;
	bool only_count;
	struct cert_filter filter;
	struct admin_page page;
	struct str *named; /* ids and serials; NULL: by the filter */
	size_t nnamed;
	int64_t over;   /* of a mark, usec: length of the window */
	int64_t reason; /* of a revocation */
	struct bulk_row rows[STEP_ROWS];
	size_t n;
	struct str next;
	unsigned tries;
	struct json_writer *w; /* the answer */
};

static enum step find(struct admin_call *);

/* ---- the answer: what was not fit first, while it is found */

static void
begin_answer(struct admin_call *c, struct bulk *k)
{
	k->n = 0;
	k->next = STR_NONE;
	k->w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	json_open_object(k->w, NULL);
	json_open_array(k->w, "unfit");
}

static void
add_unfit(struct bulk *k, struct str named, const char *why)
{
	json_open_object(k->w, NULL);
	json_str(k->w, "certificate", named);
	json_str(k->w, "why", str_from(why));
	json_close(k->w);
}

static enum step
finish(struct admin_call *c, struct bulk *k, size_t count)
{
	json_close(k->w);
	json_int(k->w, "count", (int64_t)count);
	if (k->next.p != NULL)
		json_str(k->w, "next", k->next);
	else
		json_null(k->w, "next");
	json_close(k->w);
	return admin_reply(c, 200, k->w);
}

/* They are done: count and tell. */
static enum step
succeed(struct admin_call *c, struct bulk *k)
{
	metrics_child_add(metrics_child(FAMILY_admin_changes, k->op->action),
	    (int64_t)k->n);
	return finish(c, k, k->n);
}

/* Others changed what was found: find again, a few times. */
static enum step
again(struct admin_call *c, struct bulk *k)
{
	struct problem *pr;

	if (++k->tries < TRIES)
		return find(c);
	pr = problem_cause(c->arena, PROBLEM_UNAVAILABLE,
	    "others keep changing the same certificates");
	pr->retry_after = 1;
	return admin_fail(c, pr);
}

/* ---- finding them */

static void
take_row(struct admin_call *c, struct bulk *k, const struct bulk_row *found)
{
	struct arena *a = c->arena;

	for (size_t i = 0; i < k->n; i++)
		if (str_eq(k->rows[i].id, found->id))
			return; /* named twice */
	k->rows[k->n++] = (struct bulk_row){
		.id = str_dup(a, found->id),
		.serial = str_dup(a, found->serial),
		.account = str_dup(a, found->account),
		.order = str_dup(a, found->order),
		.loop = str_dup(a, found->loop),
	};
}

/* NULL if it is fit; else what it is. */
static const char *
find_fault(struct admin_call *c, const struct bulk_op *op,
    const struct store_result *r, unsigned s)
{
	struct str status;
	bool marked;

	if (store_nrows(r, s) == 0)
		return "unknown";
	if (store_nrows(r, s) > 1)
		return "ambiguous";
	status = store_get_str(r, s, 0, CERTS_FIND_STATUS);
	marked = store_get_int(r, s, 0, CERTS_FIND_MARKED) != 0;
	if (op->status != NULL && !str_is(status, op->status))
		return str_cstr(c->arena, status);
	if (op->marked >= 0 && marked != op->marked)
		return marked ? "marked" : "not marked";
	return NULL;
}

static void
read_named(struct admin_call *c, struct bulk *k, const struct store_result *r)
{
	for (unsigned s = 0; s < k->nnamed; s++) {
		const char *fault = find_fault(c, k->op, r, s);

		if (fault != NULL) {
			add_unfit(k, k->named[s], fault);
			continue;
		}
		take_row(c, k,
		    &(struct bulk_row){
			.id = store_get_str(r, s, 0, CERTS_FIND_ID),
			.serial = store_get_str(r, s, 0, CERTS_FIND_SERIAL),
			.account = store_get_str(r, s, 0, CERTS_FIND_ACCOUNT),
			.order = store_get_str(r, s, 0, CERTS_FIND_ORDER_ID),
			.loop = store_get_str(r, s, 0, CERTS_FIND_LOOP),
		    });
	}
}

static void
read_page(struct admin_call *c, struct bulk *k, const struct store_result *r)
{
	size_t n = store_nrows(r, 0);

	for (size_t i = 0; i < n && i < k->page.limit; i++) {
		if (store_is_null(r, 0, i, PAGE_ID))
			break; /* nothing fits */
		take_row(c, k,
		    &(struct bulk_row){
			.id = store_get_str(r, 0, i, CERTS_ALL_ID),
			.serial = store_get_str(r, 0, i, CERTS_ALL_SERIAL),
			.account = store_get_str(r, 0, i, CERTS_ALL_ACCOUNT),
			.order = store_get_str(r, 0, i, CERTS_ALL_ORDER_ID),
			.loop = store_get_str(r, 0, i, CERTS_ALL_LOOP),
		    });
	}
	k->next = admin_next(c, r, &k->page);
}

/* Of all that were looked at; the page itself holds one row. */
static enum step
reply_count(struct admin_call *c, struct bulk *k, const struct store_result *r)
{
	bool none = store_nrows(r, 0) == 0;

	if (!none &&
	    store_get_int(r, 0, 0, PAGE_STOP_N) == (int64_t)k->page.scan)
		k->next = admin_write_cursor(c->arena, k->page.list,
		    store_get_int(r, 0, 0, PAGE_STOP_KEY),
		    store_get_str(r, 0, 0, PAGE_STOP_ID));
	return finish(c, k,
	    none ? 0 : (size_t)store_get_int(r, 0, 0, CERTS_ALL_FOUND));
}

static enum step
on_found(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct bulk *k = c->state;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	begin_answer(c, k);
	if (k->named == NULL && k->only_count)
		return reply_count(c, k, r);
	if (k->named != NULL)
		read_named(c, k, r);
	else
		read_page(c, k, r);
	if (k->only_count || k->n == 0)
		return finish(c, k, k->n);
	return k->op->act(c, k);
}

static enum step
find(struct admin_call *c)
{
	struct bulk *k = c->state;
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));

	if (k->named == NULL)
		cert_page_add(b, &k->filter, &k->page);
	for (size_t i = 0; i < k->nnamed; i++) {
		store_add(b, SQL_CERTS_FIND);
		store_str(b, k->named[i]);
		store_str(b, cert_plain_serial(c->arena, k->named[i]));
		store_int(b, SAME_MAX);
	}
	return store_send_batch(b, on_found, c);
}

/* ---- mark and unmark */

static enum step
on_changed(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct bulk *k = c->state;

	if (r->status == STORE_LOST)
		return again(c, k);
	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	c->admin->hooks.wake_loops(c->admin->hooks.arg);
	return succeed(c, k);
}

static void
add_audit(struct admin_call *c, struct batch *b, const struct bulk *k,
    const struct bulk_row *row, struct str detail)
{
	admin_audit(c, b,
	    &(struct admin_change){ .action = k->op->action,
		.object = row->id,
		.order = row->order,
		.account = row->account,
		.serial = row->serial,
		.detail = detail });
}

static enum step
mark(struct admin_call *c, struct bulk *k)
{
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));
	struct str detail = str_printf(c->arena, "{\"over_seconds\":%lld}",
	    (long long)(k->over / WHEN_SECOND));

	for (size_t i = 0; i < k->n; i++) {
		const struct bulk_row *row = &k->rows[i];

		store_add(b, SQL_CERT_MARK);
		store_str(b, row->id);
		store_int(b, k->over);
		store_require(b);
		add_audit(c, b, k, row, detail);
		if (row->loop.n == 0)
			continue;
		store_add(b, SQL_CERT_MARK_LOOP);
		store_str(b, row->loop);
		store_str(b, row->id);
		store_int(b, k->over / (int64_t)k->n * (int64_t)i);
	}
	return store_send_batch(b, on_changed, c);
}

static enum step
unmark(struct admin_call *c, struct bulk *k)
{
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));

	for (size_t i = 0; i < k->n; i++) {
		store_add(b, SQL_CERT_UNMARK);
		store_str(b, k->rows[i].id);
		store_require(b);
		add_audit(c, b, k, &k->rows[i], STR_NONE);
		if (k->rows[i].loop.n == 0)
			continue;
		store_add(b, SQL_CERT_UNMARK_LOOP);
		store_str(b, k->rows[i].loop);
		store_str(b, k->rows[i].id);
	}
	return store_send_batch(b, on_changed, c);
}

/* ---- revoke */

static enum step
on_revoked(void *arg, const struct problem *pr)
{
	struct admin_call *c = arg;

	/* between the look and the batch, another one or a sweep */
	if (pr != NULL &&
	    (pr->type == PROBLEM_ALREADY_REVOKED ||
		pr->type == PROBLEM_NOT_FOUND))
		return again(c, c->state);
	return pr != NULL ? admin_fail(c, pr) : succeed(c, c->state);
}

static enum step
revoke(struct admin_call *c, struct bulk *k)
{
	const struct admin_hooks *hooks = &c->admin->hooks;
	struct str *ids = arena_array(c->arena, struct str, k->n);

	for (size_t i = 0; i < k->n; i++)
		ids[i] = k->rows[i].id;
	return hooks->revoke(hooks->arg, &c->req->task, ids, k->n, k->reason,
	    c->actor, on_revoked, c);
}

enum { OP_MARK, OP_UNMARK, OP_REVOKE, OPS };

static const struct bulk_op ops[OPS] = {
	[OP_MARK] = { "mark", "certificate.mark", "valid", 0, mark },
	[OP_UNMARK] = { "unmark", "certificate.unmark", NULL, 1, unmark },
	[OP_REVOKE] = { "revoke", "certificate.revoke", "valid", -1, revoke },
};

/* ---- what was asked */

static const struct problem *
parse_named(struct admin_call *c, struct bulk *k)
{
	const struct json *list = json_get(c->body, "certificates");

	if (list == NULL)
		return NULL;
	if (list->type != JSON_ARRAY || list->n == 0 || list->n > NAMED_MAX)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "\"certificates\" must be an array of 1 to %d ids and "
		    "serials",
		    NAMED_MAX);
	k->named = arena_array(c->arena, struct str, list->n);
	json_each(it, list) {
		if (it->type != JSON_STRING || it->str.n == 0 ||
		    it->str.n > NAMED_BYTES)
			return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
			    "\"certificates\" must hold ids and serials, each "
			    "a text of 1 to %d bytes",
			    NAMED_BYTES);
		k->named[k->nnamed++] = it->str;
	}
	return NULL;
}

static const struct problem *
parse_over(struct admin_call *c, struct bulk *k)
{
	const struct json *j = json_get(c->body, "over_seconds");

	if (j == NULL)
		return NULL;
	if (j->type == JSON_INT && j->num >= 0 &&
	    j->num <= OVER_MAX / WHEN_SECOND) {
		k->over = j->num * WHEN_SECOND;
		return NULL;
	}
	return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
	    "over_seconds must be a number from 0 to %lld",
	    (long long)(OVER_MAX / WHEN_SECOND));
}

const struct problem *
cert_parse_reason(struct admin_call *c, int64_t *out)
{
	const struct json *j = json_get(c->body, "reason");
	struct str text;

	*out = 0;
	if (j == NULL)
		return NULL;
	text = j->type == JSON_STRING ?
	    j->str :
	    j->type == JSON_INT && j->num >= 0 ?
	    str_printf(c->arena, "%lld", (long long)j->num) :
	    STR("");
	return pki_reason_find(text, out) ?
	    NULL :
	    admin_bad(c, "reason", text, REASONS);
}

/* Either those that are named, or those that fit a filter, or all. */
static const struct problem *
parse_which(struct admin_call *c, struct bulk *k)
{
	const struct problem *pr;
	struct str all;
	bool empty;

	if ((pr = admin_parse_word(c, "all", "yes", &all)) != NULL ||
	    (pr = cert_filter_parse(c, &k->filter)) != NULL ||
	    (pr = parse_named(c, k)) != NULL)
		return pr;
	empty = cert_filter_is_empty(&k->filter) && k->filter.marked < 0;
	if ((k->named != NULL) + !empty + (all.p != NULL) != 1)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "say which certificates: by \"certificates\" in the body, "
		    "or by filters, or by all=yes");
	return NULL;
}

/* What makes them fit goes into the filter; nobody has asked for another. */
static const struct problem *
fit_filter(struct admin_call *c, struct bulk *k)
{
	struct cert_filter *f = &k->filter;
	const struct bulk_op *op = k->op;
	struct str fit = str_from(op->status);

	if ((op->status != NULL && f->status.p != NULL &&
		!str_eq(f->status, fit)) ||
	    (op->marked >= 0 && f->marked >= 0 && f->marked != op->marked))
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "%s is for certificates that are %s", op->name,
		    op->status == NULL ? "marked" :
			op->marked < 0 ? "valid" :
					 "valid and not marked");
	if (op->status != NULL)
		f->status = fit;
	if (op->marked >= 0)
		f->marked = op->marked;
	return NULL;
}

static enum step
begin(struct admin_call *c, struct bulk *k)
{
	const struct problem *pr;

	c->state = k;
	if ((pr = parse_which(c, k)) != NULL ||
	    (pr = parse_over(c, k)) != NULL ||
	    (pr = cert_parse_reason(c, &k->reason)) != NULL ||
	    (pr = fit_filter(c, k)) != NULL ||
	    (pr = cert_page_parse(c, &k->filter, &k->page)) != NULL)
		return admin_fail(c, pr);
	k->page.limit = k->only_count ? 1 : STEP_ROWS;
	k->page.scan = k->only_count ? ADMIN_SCAN_MAX : STEP_SCAN;
	return find(c);
}

static enum step
mark_start(struct admin_call *c)
{
	struct bulk *k = arena_new(c->arena, struct bulk);

	k->op = &ops[OP_MARK];
	return begin(c, k);
}

static enum step
unmark_start(struct admin_call *c)
{
	struct bulk *k = arena_new(c->arena, struct bulk);

	k->op = &ops[OP_UNMARK];
	return begin(c, k);
}

static enum step
revoke_start(struct admin_call *c)
{
	struct bulk *k = arena_new(c->arena, struct bulk);

	k->op = &ops[OP_REVOKE];
	return begin(c, k);
}

static enum step
count_start(struct admin_call *c)
{
	struct bulk *k = arena_new(c->arena, struct bulk);
	struct str what = admin_param(c, "for");

	k->only_count = true;
	for (size_t i = 0; i < OPS; i++)
		if (str_is(what, ops[i].name))
			k->op = &ops[i];
	if (k->op == NULL)
		return admin_fail(c,
		    admin_bad(c, "for", what, "mark, unmark or revoke"));
	return begin(c, k);
}

const struct admin_route admin_certs_count_route = {
	.http = { .methods = REQ_POST,
	    .path = "/certificates/count",
	    .name = "admin-certs-count",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.params = "cursor for all " CERT_FILTERS,
	.start = count_start,
};

const struct admin_route admin_certs_mark_route = {
	.http = { .methods = REQ_POST,
	    .path = "/certificates/mark",
	    .name = "admin-certs-mark",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.params = "cursor all " CERT_FILTERS,
	.start = mark_start,
};

const struct admin_route admin_certs_unmark_route = {
	.http = { .methods = REQ_POST,
	    .path = "/certificates/unmark",
	    .name = "admin-certs-unmark",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.params = "cursor all " CERT_FILTERS,
	.start = unmark_start,
};

const struct admin_route admin_certs_revoke_route = {
	.http = { .methods = REQ_POST,
	    .path = "/certificates/revoke",
	    .name = "admin-certs-revoke",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.params = "cursor all " CERT_FILTERS,
	.start = revoke_start,
};
