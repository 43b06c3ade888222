/* SPDX-License-Identifier: ISC */
/* Pages of a list: the cursor, and the document. */
#include "admin/admin_int.h"

#include <inttypes.h>

#include "base/b64url.h"

enum { CURSOR_ID_MAX = 300 };

/* ---- cursors: list:key:id, so that none is good for another list */

struct str
admin_write_cursor(struct arena *a, const char *list, int64_t key,
    struct str id)
{
	return b64url_encode(a,
	    str_printf(a, "%s:%" PRId64 ":" STR_FMT, list, key, STR_ARG(id)));
}

bool
admin_read_cursor(struct arena *a, struct str text, const char *list,
    int64_t *key, struct str *id)
{
	struct str raw, number;
	uint64_t n;

	if (!b64url_decode(a, text, &raw) || !str_is_text(raw) ||
	    !str_eq(str_cut(&raw, ':'), str_from(list)))
		return false;
	number = str_cut(&raw, ':');
	if (!str_u64(number, &n) || n > INT64_MAX || raw.n == 0 ||
	    raw.n > CURSOR_ID_MAX)
		return false;
	*key = (int64_t)n;
	*id = raw;
	return true;
}

/* ---- the query */

const struct problem *
admin_parse_page(struct admin_call *c, const char *list, enum admin_order order,
    struct admin_page *p)
{
	struct str limit = admin_param(c, "limit");
	struct str cursor = admin_param(c, "cursor");
	uint64_t n = ADMIN_PAGE_DEFAULT;

	*p = (struct admin_page){ .list = list, .id = STR("") };
	if (order == ADMIN_NEWEST_FIRST) {
		p->key = INT64_MAX;
		p->id = STR("~"); /* behind every id */
	}
	if (limit.p != NULL &&
	    (!str_u64(limit, &n) || n < 1 || n > ADMIN_PAGE_MAX))
		return admin_bad(c, "limit", limit,
		    str_printf(c->arena, "a number from 1 to %d",
			ADMIN_PAGE_MAX)
			.p);
	p->limit = (unsigned)n;
	p->scan = ADMIN_SCAN_MAX;
	if (cursor.p != NULL &&
	    !admin_read_cursor(c->arena, cursor, list, &p->key, &p->id))
		return admin_bad(c, "cursor", cursor,
		    "the \"next\" of the page before, with the same filters");
	return NULL;
}

/* One row more than is shown says whether there is a next page. */
void
admin_put_page(struct batch *b, const struct admin_page *p, bool filtered,
    enum admin_keyed keyed)
{
	if (keyed == PAGE_BY_KEY)
		store_int(b, p->key);
	store_str(b, p->id);
	store_int(b, filtered ? p->scan : p->limit + 1);
	store_int(b, p->limit + 1);
}

/* ---- the document */

struct str
admin_next(struct admin_call *c, const struct store_result *r,
    const struct admin_page *p)
{
	size_t n = store_nrows(r, 0);
	int64_t looked = n > 0 ? store_get_int(r, 0, 0, PAGE_STOP_N) : 0;

	if (n > p->limit)
		return admin_write_cursor(c->arena, p->list,
		    store_get_int(r, 0, p->limit - 1, PAGE_KEY),
		    store_get_str(r, 0, p->limit - 1, PAGE_ID));
	if (looked == p->scan)
		return admin_write_cursor(c->arena, p->list,
		    store_get_int(r, 0, 0, PAGE_STOP_KEY),
		    store_get_str(r, 0, 0, PAGE_STOP_ID));
	return STR_NONE;
}

enum step
admin_reply_page(struct admin_call *c, const struct store_result *r,
    const struct admin_page *p, admin_row_fn *write_row)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	struct str next;
	size_t n;

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	n = store_nrows(r, 0);
	json_open_object(w, NULL);
	json_open_array(w, "items");
	for (size_t i = 0; i < n && i < p->limit; i++) {
		if (store_is_null(r, 0, i, PAGE_ID))
			break; /* nothing fits: the row only says so */
		json_open_object(w, NULL);
		write_row(c, w, r, 0, i);
		json_close(w);
	}
	json_close(w);
	next = admin_next(c, r, p);
	if (next.p != NULL)
		json_str(w, "next", next);
	else
		json_null(w, "next");
	json_close(w);
	return admin_reply(c, 200, w);
}
