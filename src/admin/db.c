/* SPDX-License-Identifier: ISC */
/*
 * GET /db: how the store is. It answers also if the store does not; then only
 * what this process knows by itself is in it, and why there is no more.
 */
#include "admin/admin_int.h"

#include "base/when.h"
#include "metrics/metrics.h"

enum {
	COUNT_MAX = 10000, /* rows of a table are counted so far */
	VERSIONS_MAX = 20,
	LEASES_MAX = 50,
};

enum { DB_SCHEMA, DB_COUNTS, DB_LEASES }; /* statements */

static void
write_connections(struct admin_call *c, struct json_writer *w)
{
	json_str(w, "engine", str_from(store_engine(c->store)));
	json_bool(w, "ready", store_is_ready(c->store));
	json_int(w, "queue", store_depth(c->store));
	json_int(w, "connects", metrics_get(METRIC_store_connects));
	json_int(w, "disconnects", metrics_get(METRIC_store_disconnects));
	json_int(w, "commits", metrics_get(METRIC_store_commits));
	json_int(w, "retries", metrics_get(METRIC_store_retries));
}

static void
write_schema(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	int64_t oldest = 0;

	json_int(w, "schema_version",
	    store_nrows(r, DB_SCHEMA) > 0 ?
		store_get_int(r, DB_SCHEMA, 0, ADMIN_SCHEMA_VERSION) :
		0);
	json_int(w, "schema_known", store_schema_version(c->store));
	for (size_t i = 0; i < store_nrows(r, DB_SCHEMA); i++) {
		int64_t n = store_get_int(r, DB_SCHEMA, i, ADMIN_SCHEMA_OLDEST);

		oldest = n > oldest ? n : oldest;
	}
	json_int(w, "oldest_program", oldest);
	json_open_array(w, "migrations");
	for (size_t i = 0; i < store_nrows(r, DB_SCHEMA); i++) {
		json_open_object(w, NULL);
		json_int(w, "version",
		    store_get_int(r, DB_SCHEMA, i, ADMIN_SCHEMA_VERSION));
		json_str(w, "name",
		    store_get_str(r, DB_SCHEMA, i, ADMIN_SCHEMA_NAME));
		admin_write_time(c->arena, w, "applied",
		    store_get_int(r, DB_SCHEMA, i, ADMIN_SCHEMA_APPLIED));
		json_close(w);
	}
	json_close(w);
}

static void
write_counts(struct json_writer *w, const struct store_result *r)
{
	static const struct {
		const char *name;
		unsigned col;
	} rows[] = {
		{ "accounts", ADMIN_COUNTS_ACCOUNTS },
		{ "orders", ADMIN_COUNTS_ORDERS },
		{ "open orders", ADMIN_COUNTS_OPEN },
		{ "orders being issued", ADMIN_COUNTS_PROCESSING },
		{ "authorizations", ADMIN_COUNTS_AUTHORIZATIONS },
		{ "certificates", ADMIN_COUNTS_CERTIFICATES },
		{ "audit rows", ADMIN_COUNTS_AUDIT },
		{ "nonces", ADMIN_COUNTS_NONCES },
	};

	json_open_array(w, "counts");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t n = store_get_int(r, DB_COUNTS, 0, rows[i].col);

		json_open_object(w, NULL);
		json_str(w, "of", str_from(rows[i].name));
		json_int(w, "rows", n > COUNT_MAX ? COUNT_MAX : n);
		json_bool(w, "or_more", n > COUNT_MAX);
		json_close(w);
	}
	json_close(w);
}

static void
write_leases(struct admin_call *c, struct json_writer *w,
    const struct store_result *r)
{
	json_open_array(w, "leases");
	for (size_t i = 0; i < store_nrows(r, DB_LEASES); i++) {
		json_open_object(w, NULL);
		json_str(w, "name",
		    store_get_str(r, DB_LEASES, i, ADMIN_LEASES_NAME));
		json_str(w, "holder",
		    store_get_str(r, DB_LEASES, i, ADMIN_LEASES_HOLDER));
		json_int(w, "fence",
		    store_get_int(r, DB_LEASES, i, ADMIN_LEASES_FENCE));
		admin_write_time(c->arena, w, "until",
		    store_get_int(r, DB_LEASES, i, ADMIN_LEASES_UNTIL));
		json_close(w);
	}
	json_close(w);
}

static enum step
answer(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	bool ok = r->status == STORE_OK;

	json_open_object(w, NULL);
	json_bool(w, "ok", ok);
	write_connections(c, w);
	if (ok) {
		write_schema(c, w, r);
		admin_write_time(c->arena, w, "oldest_claim",
		    store_get_int(r, DB_COUNTS, 0, ADMIN_COUNTS_OLDEST));
		write_counts(w, r);
		write_leases(c, w, r);
	} else {
		json_str(w, "trouble", str_from(store_cause(r)));
	}
	json_close(w);
	return admin_reply(c, 200, w);
}

static enum step
start(struct admin_call *c)
{
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));

	store_add(b, SQL_ADMIN_SCHEMA);
	store_int(b, VERSIONS_MAX);
	store_add(b, SQL_ADMIN_COUNTS);
	store_int(b, COUNT_MAX + 1);
	store_add(b, SQL_ADMIN_LEASES);
	store_int(b, LEASES_MAX);
	return store_send_batch(b, answer, c);
}

const struct admin_route admin_db_route = {
	.http = { .methods = REQ_GET,
	    .path = "/db",
	    .name = "admin-db",
	    .start = admin_start },
	.start = start,
};
