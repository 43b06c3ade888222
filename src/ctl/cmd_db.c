/* SPDX-License-Identifier: ISC */
/* certloopctl db status */
#include "ctl/ctl.h"

static void
print_counts(struct ctl *ctl, const struct json *counts)
{
	if (counts != NULL)
		puts("\nrows");
	json_each(it, counts) {
		const struct json *n = json_get(it, "rows");
		const struct json *more = json_get(it, "or_more");

		printf("%-22s%s%lld\n",
		    str_cstr(ctl->arena, json_get_str(it, "of")),
		    more != NULL && more->num ? "more than " : "",
		    n != NULL ? (long long)n->num : 0);
	}
}

static enum ctl_exit
run(struct ctl *ctl, int argc, char **argv)
{
	static const struct column fields[] = {
		{ "engine", "engine", COLUMN_TEXT },
		{ "ready", "ready", COLUMN_STATUS },
		{ "trouble", "trouble", COLUMN_TEXT },
		{ "queue", "queue", COLUMN_TEXT },
		{ "connects", "connects", COLUMN_TEXT },
		{ "disconnects", "disconnects", COLUMN_TEXT },
		{ "commits", "commits", COLUMN_TEXT },
		{ "retries", "retries", COLUMN_TEXT },
		{ "schema_version", "schema", COLUMN_TEXT },
		{ "schema_known", "this program's", COLUMN_TEXT },
		{ "oldest_program", "oldest program's", COLUMN_TEXT },
		{ "oldest_claim", "oldest claim", COLUMN_TIME },
		{ .member = NULL },
	};
	static const struct column leases[] = {
		{ "name", "NAME", COLUMN_TEXT },
		{ "holder", "HOLDER", COLUMN_TEXT },
		{ "fence", "FENCE", COLUMN_NUMBER },
		{ "until", "UNTIL", COLUMN_TIME },
		{ .member = NULL },
	};
	const struct json *j, *ok;
	enum ctl_exit code;

	(void)argc;
	(void)argv;
	code = ctl_ask(ctl, "GET", "/api/v1/db", STR(""), 0, &j);
	if (code != CTL_OK)
		return code;
	if (!ctl->json) {
		print_fields(ctl, j, fields);
		print_counts(ctl, json_get(j, "counts"));
		print_rows(ctl, "leases", json_get(j, "leases"), leases);
	}
	ok = json_get(j, "ok");
	return ok != NULL && ok->num ? CTL_OK : CTL_REFUSED;
}

const struct command db_status_command = {
	.words = "db status",
	.args = "",
	.summary = "the database: schema, connections, rows, leases",
	.run = run,
};
