/* SPDX-License-Identifier: ISC */
/* What the files of this module share. */
#ifndef ADMIN_ADMIN_INT_H
#define ADMIN_ADMIN_INT_H

#include "admin/admin.h"

struct admin {
	struct loop *loop;
	struct store *store;
	struct ratelimit *limits;
	const struct seal_ring *ring;
	struct admin_hooks hooks;
	gid_t group;
	int64_t started; /* usec since 1970 */
	int64_t told;    /* loop_mono: when a refused peer was logged */
	unsigned untold; /* refused since */
	const struct route **routes;
	struct http_app health, status, api, keyed;
	struct refusals *refusals; /* of API keys */
};

/* The admin object of a request. */
static inline struct admin *
admin_of(const struct req *req)
{
	return req->app->ctx;
}

/* The same for what is no route of the API. */
enum step admin_reply_req(struct req *, unsigned status, struct json_writer *);

/* gate.c: the caller is known: on with it */
enum step admin_go(struct admin_call *);
/* Of the call's route. */
enum admin_scope admin_scope_of(const struct admin_call *);
bool admin_is_local(const struct admin_call *);
/* Did this call come by the admin socket? */
bool admin_is_by_socket(const struct admin_call *);

/* login.c: who is it, by an API key? */
enum step login_start(struct admin_call *);
const char *admin_scope_name(enum admin_scope);
bool admin_find_scope(struct str name, enum admin_scope *);

extern const struct route *const health_routes[];
extern const struct route *const status_routes[];

extern const struct admin_route admin_status_route, admin_config_route,
    admin_config_check_route, admin_reload_route;
extern const struct admin_route admin_accounts_route, admin_account_route,
    admin_account_deactivate_route;
extern const struct admin_route admin_eab_new_route, admin_eab_list_route,
    admin_eab_show_route, admin_eab_revoke_route;
extern const struct admin_route admin_apikey_new_route, admin_apikey_list_route,
    admin_apikey_remove_route;
extern const struct admin_route admin_orders_route, admin_order_route;
extern const struct admin_route admin_certs_route, admin_cert_route,
    admin_cert_revoke_route;
extern const struct admin_route admin_certs_count_route, admin_certs_mark_route,
    admin_certs_unmark_route, admin_certs_revoke_route, admin_cert_export_route;
extern const struct admin_route admin_issuers_route, admin_issuer_route,
    admin_issuer_test_route;
extern const struct admin_route admin_limits_route, admin_limit_route,
    admin_limit_reset_route;
extern const struct admin_route admin_loops_route, admin_loop_route,
    admin_loop_renew_route, admin_loop_pause_route, admin_loop_resume_route;
extern const struct admin_route admin_asked_list_route, admin_asked_add_route,
    admin_asked_set_route, admin_asked_remove_route;
extern const struct admin_route admin_overrides_route, admin_override_set_route,
    admin_override_remove_route;
extern const struct admin_route admin_gc_route, admin_db_route;
extern const struct admin_route admin_audit_route;

/* ---- cert_filter.c: which certificates, and how they are found */

/* One statement each; their columns are those of CERTS_ALL. */
enum cert_way_id {
	WAY_ALL,
	WAY_SERIAL,
	WAY_NAME,
	WAY_KEY,
	WAY_ACCOUNT,
	WAY_WINDOW,
	WAY_PROFILE,
	WAY_ISSUER,
};

/* p is NULL where nothing was asked. */
struct cert_filter {
	struct str status, profile, issuer, account, key, serial;
	struct str first, behind; /* names, as pki_name_key has them */
	bool window;
	int64_t begin, end; /* of it: notAfter lies there */
	int marked;         /* 0, 1; -1: either */
	enum cert_way_id way;
};

/* The query parameters that cert_filter_parse reads. */
#define CERT_FILTERS                                                           \
	"status profile issuer account key serial name exact marked "          \
	"ends-within ends-after ends-before"

const struct problem *cert_filter_parse(struct admin_call *,
    struct cert_filter *);
/* Nothing asked that makes them fewer, but for the mark. */
bool cert_filter_is_empty(const struct cert_filter *);

/* The filter's way, and the page of its list. */
const struct problem *cert_page_parse(struct admin_call *, struct cert_filter *,
    struct admin_page *);
void cert_page_add(struct batch *, const struct cert_filter *,
    const struct admin_page *);

/* What the path names, by id or serial: ADMIN_CERT's columns. */
enum step cert_find(struct admin_call *, store_fn *);
/* Exactly one was found, or a problem. */
const struct problem *cert_check_found(struct admin_call *,
    const struct store_result *);
/* Could the path name one? */
const struct problem *cert_check_key(struct admin_call *);

/* "reason" of the body, a name or number; 0 if there is none. */
const struct problem *cert_parse_reason(struct admin_call *, int64_t *);

/* A serial as people write it: with colons, in either case. */
struct str cert_plain_serial(struct arena *, struct str);

/* "decisions": what was decided about an order, by rows of its audit trail and
 * authorizations (statements admin_order_trail, admin_order_authzs). */
void admin_write_decisions(struct admin_call *, struct json_writer *,
    const struct store_result *, unsigned trail, unsigned authzs);

/* "state", and "trouble" if there is any, of an issuer. */
void admin_write_trouble(struct arena *, struct json_writer *,
    const struct issuer *);

#endif
