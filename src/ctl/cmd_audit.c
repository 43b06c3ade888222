/* SPDX-License-Identifier: ISC */
/* certloopctl audit search, audit tail */
#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/id.h"
#include "base/when.h"

static const struct column columns[] = {
	{ "at", "AT", COLUMN_MOMENT },
	{ "actor", "WHO", COLUMN_TEXT },
	{ "action", "WHAT", COLUMN_TEXT },
	{ "object", "ON", COLUMN_TEXT },
	{ "detail", "DETAIL", COLUMN_PAIRS },
	{ .member = NULL },
};

/* clang-format off */
#define FILTERS \
	{ "order", "ORDER", "about this order" }, \
	{ "account", "ACCOUNT", "about this account" }, \
	{ "serial", "SERIAL", "about the certificate of this serial" }, \
	{ "actor", "ACTOR", "by account:ID, admin:uid=N or certloopd" }, \
	{ "action", "ACTION", "of this kind, such as request.refuse" }
/* clang-format on */

/* ---- search */

static enum ctl_exit
run_search(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ctl_list_lines(ctl, "/api/v1/audit", columns);
}

static const struct command_option search_options[] = {
	FILTERS,
	{ "since", "WHEN", "from this moment on, or 12h or 30d ago" },
	{ "until", "WHEN", "before it" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command audit_search_command = {
	.words = "audit search",
	.args = "",
	.summary = "the audit trail, the newest first; --json gives JSON lines",
	.options = search_options,
	.run = run_search,
};

/* ---- tail */

enum { SEEN_MAX = 1024 };

struct tail {
	struct ctl *ctl;
	const char *path; /* with the filters */
	struct table table;
	bool headed;
	const struct json *page;
	char from[512];               /* go on here the next time */
	char seen[SEEN_MAX][ID_LEN];  /* in this round */
	char shown[SEEN_MAX][ID_LEN]; /* in the round before */
	size_t nseen, nshown;
};

static bool
was_shown(const struct tail *t, struct str id)
{
	for (size_t i = 0; i < t->nshown; i++)
		if (str_eq(id, str_make(t->shown[i], ID_LEN)))
			return true;
	return false;
}

static void
print_row(struct tail *t, const struct json *row)
{
	struct cell cells[TABLE_COLUMNS_MAX];

	if (t->ctl->json) {
		ctl_print_line(row);
		return;
	}
	print_cells(t->ctl, row, columns, cells);
	table_fit(&t->table, cells);
	if (!t->headed)
		print_table_row(t->ctl, &t->table, NULL);
	t->headed = true;
	print_table_row(t->ctl, &t->table, cells);
}

static void
print_new(struct tail *t)
{
	json_each(row, json_get(t->page, "items")) {
		struct str id = json_get_str(row, "id");

		if (id.n != ID_LEN)
			continue;
		if (!was_shown(t, id))
			print_row(t, row);
		if (t->nseen < SEEN_MAX)
			memcpy(t->seen[t->nseen++], id.p, ID_LEN);
	}
	(void)fflush(stdout);
}

static enum ctl_exit
fetch(struct tail *t, struct str cursor)
{
	struct ctl *ctl = t->ctl;
	char sep = strchr(t->path, '?') != NULL ? '&' : '?';
	struct str path = str_printf(ctl->arena,
	    "%s%csort=oldest&limit=200%s%s" STR_FMT, t->path, sep,
	    ctl_option(ctl, "since") == NULL ? "&since=0s" : "",
	    cursor.n > 0 ? "&cursor=" : "", STR_ARG(cursor));

	return ctl_fetch(ctl, "GET", path.p, STR(""), 0, &t->page);
}

/*
 * All that has come. A row may show up late, behind others, so each round
 * begins where no row can any more; if there are too many to be told apart,
 * behind what was shown.
 */
static enum ctl_exit
one_round(struct tail *t)
{
	struct str cursor = str_dup(t->ctl->arena, str_from(t->from)), settled;
	enum ctl_exit code;

	t->nseen = 0;
	do {
		if ((code = fetch(t, cursor)) != CTL_OK)
			return code;
		print_new(t);
		cursor = json_get_str(t->page, "next");
		settled = json_get_str(t->page, "settled");
		if (t->nseen == SEEN_MAX && cursor.n > 0) {
			settled = cursor;
			t->nseen = 0;
		}
		if (settled.n > 0 && settled.n < sizeof(t->from))
			memcpy(t->from, str_cstr(t->ctl->arena, settled),
			    settled.n + 1);
	} while (cursor.n > 0 && t->nseen > 0);
	memcpy(t->shown, t->seen, sizeof(t->seen));
	t->nshown = t->nseen;
	return CTL_OK;
}

static enum ctl_exit
run_tail(struct ctl *ctl, int argc, char **argv)
{
	static const struct timespec pause = { .tv_sec = 1 };
	struct arena *mine = ctl->arena;
	struct tail *t = arena_new(mine, struct tail);
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	t->ctl = ctl;
	t->path = ctl_query(ctl, "/api/v1/audit");
	table_init(&t->table, columns);
	do {
		ctl->arena = arena_create(); /* a round's */
		ctl->now = when_now();
		code = one_round(t);
		arena_destroy(ctl->arena);
		ctl->arena = mine;
	} while (code == CTL_OK && ferror(stdout) == 0 &&
	    nanosleep(&pause, NULL) == 0);
	return code;
}

static const struct command_option tail_options[] = {
	FILTERS,
	{ "since", "WHEN", "begin there; unless given, now" },
	{ .name = NULL },
};

const struct command audit_tail_command = {
	.words = "audit tail",
	.args = "",
	.summary = "rows of the audit trail as they come, until interrupted",
	.options = tail_options,
	.run = run_tail,
};
