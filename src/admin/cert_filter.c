/* SPDX-License-Identifier: ISC */
/*
 * Which certificates: the filters that lists, searches and changes of many
 * share, and the statement whose index knows most of what was asked.
 */
#include "admin/admin_int.h"

#include "base/addr.h"
#include "base/hex.h"
#include "base/when.h"
#include "pki/name.h"

#define STATUSES "valid expired revoked"
#define SPAN_MAX (10 * 366 * WHEN_DAY)

enum { HASH_DIGITS = 64, SERIAL_MAX = 128 };

/* The statements return the same columns in the same order. */
_Static_assert((int)CERTS_ALL_FOUND == (int)CERTS_OF_PROFILE_FOUND &&
	(int)CERTS_ALL_FOUND == (int)CERTS_OF_ISSUER_FOUND &&
	(int)CERTS_ALL_FOUND == (int)CERTS_OF_KEY_FOUND &&
	(int)CERTS_ALL_FOUND == (int)CERTS_OF_SERIAL_FOUND &&
	(int)CERTS_ALL_FOUND == (int)CERTS_OF_ACCOUNT_FOUND &&
	(int)CERTS_ALL_FOUND == (int)CERTS_ENDING_FOUND &&
	(int)CERTS_ALL_FOUND == (int)CERTS_NAMED_FOUND,
    "the columns of a list");

/* ---- what was asked */

struct str
cert_plain_serial(struct arena *a, struct str s)
{
	char *out = arena_alloc(a, s.n + 1);
	size_t n = 0;

	s = str_lower(a, s);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != ':')
			out[n++] = s.p[i];
	return str_make(out, n);
}

static bool
read_span(struct str text, int64_t *out)
{
	int64_t span;

	if (!when_parse_span(text, &span) || span == 0 || span > SPAN_MAX)
		return false;
	*out = span;
	return true;
}

/* A moment, or a time from now on. 0: not asked for. */
static const struct problem *
parse_moment(struct admin_call *c, const char *param, int64_t *out)
{
	struct str text = admin_param(c, param);
	int64_t span;

	if (text.p == NULL)
		return NULL;
	if (read_span(text, &span)) {
		*out = loop_wall(c->admin->loop) + span;
		return NULL;
	}
	if (when_parse_rfc3339(text, out) && *out > 0)
		return NULL;
	return admin_bad(c, param, text,
	    "a moment as RFC 3339 has it, or a time from now up to 3660d such "
	    "as 12h or 30d");
}

static const struct problem *
parse_window(struct admin_call *c, struct cert_filter *f)
{
	struct str within = admin_param(c, "ends-within");
	const struct problem *pr;
	int64_t span;

	if ((pr = parse_moment(c, "ends-after", &f->begin)) != NULL ||
	    (pr = parse_moment(c, "ends-before", &f->end)) != NULL)
		return pr;
	if (within.p != NULL) {
		if (!read_span(within, &span))
			return admin_bad(c, "ends-within", within,
			    "a time up to 3660d such as 12h or 30d");
		if (f->begin != 0 || f->end != 0)
			return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
			    "ends-within says both ends of a window; give it "
			    "alone");
		f->begin = loop_wall(c->admin->loop);
		f->end = f->begin + span;
	}
	f->window = f->begin != 0 || f->end != 0;
	if (f->window && f->end == 0)
		f->end = INT64_MAX;
	return NULL;
}

static const struct problem *
parse_names(struct admin_call *c, struct cert_filter *f)
{
	const struct problem *pr;
	struct str name, exact;
	struct addr ip;
	char *last;

	if ((pr = admin_check_name(c, "name", &name)) != NULL ||
	    (pr = admin_check_name(c, "exact", &exact)) != NULL)
		return pr;
	if (name.p != NULL && exact.p != NULL)
		return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
		    "name and exact cannot be given together");
	if (exact.p != NULL)
		name = exact;
	if (name.p == NULL)
		return NULL;
	if (addr_parse(name, &ip))
		name = addr_text(c->arena, ip);
	f->first = pki_name_key(c->arena, name);
	/* no name goes on with either letter */
	f->behind = str_join(c->arena, f->first, STR("!"));
	if (exact.p == NULL && f->first.p[0] != '@') {
		f->behind = str_dup(c->arena, f->first);
		last = (char *)(uintptr_t)f->behind.p + f->behind.n - 1;
		*last = '.' + 1;
	}
	return NULL;
}

static const struct problem *
parse_key(struct admin_call *c, struct cert_filter *f)
{
	struct str text = admin_param(c, "key"), raw;

	if (text.p == NULL)
		return NULL;
	f->key = str_lower(c->arena, text);
	if (text.n == HASH_DIGITS && hex_decode(c->arena, text, &raw))
		return NULL;
	return admin_bad(c, "key", text,
	    "the SHA-256 of a public key, 64 hexadecimal digits");
}

static const struct problem *
parse_serial(struct admin_call *c, struct cert_filter *f)
{
	struct str text = admin_param(c, "serial"), raw;

	if (text.p == NULL)
		return NULL;
	f->serial = cert_plain_serial(c->arena, text);
	if (f->serial.n == 0 || f->serial.n > SERIAL_MAX ||
	    !hex_decode(c->arena, f->serial, &raw))
		return admin_bad(c, "serial", text,
		    "an even number of hexadecimal digits");
	if (f->first.p == NULL)
		return NULL;
	return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
	    "serial and a name cannot be given together");
}

const struct problem *
cert_filter_parse(struct admin_call *c, struct cert_filter *f)
{
	const struct problem *pr;
	struct str marked;

	*f = (struct cert_filter){ .marked = -1 };
	if ((pr = admin_parse_id(c, "account", &f->account)) != NULL ||
	    (pr = admin_parse_word(c, "status", STATUSES, &f->status)) !=
		NULL ||
	    (pr = admin_parse_word(c, "marked", "yes no", &marked)) != NULL ||
	    (pr = parse_names(c, f)) != NULL ||
	    (pr = parse_key(c, f)) != NULL ||
	    (pr = parse_serial(c, f)) != NULL ||
	    (pr = parse_window(c, f)) != NULL)
		return pr;
	f->profile = admin_param(c, "profile");
	f->issuer = admin_param(c, "issuer");
	if (marked.p != NULL)
		f->marked = str_is(marked, "yes");
	return NULL;
}

bool
cert_filter_is_empty(const struct cert_filter *f)
{
	return f->account.p == NULL && f->status.p == NULL &&
	    f->profile.p == NULL && f->issuer.p == NULL && f->key.p == NULL &&
	    f->serial.p == NULL && f->first.p == NULL && !f->window;
}

/* ---- how it is found */

static const struct cert_way {
	const char *list; /* inside cursors */
	enum sql sql;
	enum admin_order order;
} ways[] = {
	[WAY_ALL] = { "certificates", SQL_CERTS_ALL, ADMIN_NEWEST_FIRST },
	[WAY_SERIAL] = { "certificates-serial", SQL_CERTS_OF_SERIAL,
	    ADMIN_NEWEST_FIRST },
	[WAY_NAME] = { "certificates-named", SQL_CERTS_NAMED,
	    ADMIN_OLDEST_FIRST },
	[WAY_KEY] = { "certificates-key", SQL_CERTS_OF_KEY,
	    ADMIN_NEWEST_FIRST },
	[WAY_ACCOUNT] = { "certificates-of", SQL_CERTS_OF_ACCOUNT,
	    ADMIN_NEWEST_FIRST },
	[WAY_WINDOW] = { "certificates-ending", SQL_CERTS_ENDING,
	    ADMIN_OLDEST_FIRST },
	[WAY_PROFILE] = { "certificates-profile", SQL_CERTS_OF_PROFILE,
	    ADMIN_NEWEST_FIRST },
	[WAY_ISSUER] = { "certificates-issuer", SQL_CERTS_OF_ISSUER,
	    ADMIN_NEWEST_FIRST },
};

/* By what is rarest, as far as one can know. */
static enum cert_way_id
choose(const struct cert_filter *f)
{
	if (f->serial.p != NULL)
		return WAY_SERIAL;
	if (f->first.p != NULL)
		return WAY_NAME;
	if (f->key.p != NULL)
		return WAY_KEY;
	if (f->account.p != NULL)
		return WAY_ACCOUNT;
	if (f->window)
		return WAY_WINDOW;
	if (f->profile.p != NULL)
		return WAY_PROFILE;
	return f->issuer.p != NULL ? WAY_ISSUER : WAY_ALL;
}

/* How much was asked that the index does not know? */
static unsigned
count_filters(const struct cert_filter *f)
{
	unsigned n = (f->serial.p != NULL) + (f->key.p != NULL) +
	    (f->account.p != NULL) + f->window + (f->profile.p != NULL) +
	    (f->issuer.p != NULL) + (f->status.p != NULL) + (f->marked >= 0);

	return f->way == WAY_NAME || f->way == WAY_ALL ? n : n - 1;
}

/* Of those with several of the names one place is passed over: look on. */
static unsigned
choose_scan(const struct cert_filter *f, const struct admin_page *page)
{
	unsigned some = 4 * (page->limit + 1);

	if (count_filters(f) > 0 || f->way != WAY_NAME)
		return ADMIN_SCAN_MAX;
	return some < ADMIN_SCAN_MAX ? some : ADMIN_SCAN_MAX;
}

const struct problem *
cert_page_parse(struct admin_call *c, struct cert_filter *f,
    struct admin_page *page)
{
	const struct cert_way *way;
	const struct problem *pr;
	struct str rest;

	f->way = choose(f);
	way = &ways[f->way];
	if ((pr = admin_parse_page(c, way->list, way->order, page)) != NULL)
		return pr;
	page->scan = choose_scan(f, page);
	if (f->way != WAY_NAME)
		return NULL;
	rest = page->id;
	if (page->id.n == 0)
		page->id = str_join(c->arena, f->first, STR(" "));
	else if (str_cmp(str_cut(&rest, ' '), f->first) < 0)
		return admin_bad(c, "cursor", admin_param(c, "cursor"),
		    "that of a page with the same filters");
	return NULL;
}

static void
put_moment(struct batch *b, const struct cert_filter *f, int64_t at)
{
	if (f->window)
		store_int(b, at);
	else
		store_null(b);
}

/* Where the page begins. */
static void
put_place(struct batch *b, const struct cert_filter *f,
    const struct admin_page *page)
{
	struct str id = page->id;

	if (f->way == WAY_ACCOUNT || f->way == WAY_WINDOW)
		store_int(b, page->key);
	if (f->way == WAY_NAME)
		store_str(b, str_cut(&id, ' '));
	store_str(b, id);
	if (f->way == WAY_SERIAL)
		store_str(b, f->serial);
	if (f->way == WAY_NAME) {
		store_str(b, f->first);
		store_str(b, f->behind);
	}
}

void
cert_page_add(struct batch *b, const struct cert_filter *f,
    const struct admin_page *page)
{
	store_add(b, ways[f->way].sql);
	store_str(b, f->status);
	store_str(b, f->profile);
	store_str(b, f->issuer);
	store_str(b, f->account);
	store_str(b, f->key);
	put_moment(b, f, f->begin);
	put_moment(b, f, f->end);
	if (f->marked >= 0)
		store_int(b, f->marked);
	else
		store_null(b);
	store_int(b, page->limit + 1);
	store_int(b,
	    count_filters(f) > 0 || f->way == WAY_NAME ? page->scan :
							 page->limit + 1);
	put_place(b, f, page);
}
