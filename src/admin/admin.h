/* SPDX-License-Identifier: ISC */
/*
 * What operators and balancers ask: health on every listener, metrics on the
 * status listener, and the admin API (HTTP and JSON): on the admin socket,
 * whose file permissions and peer credentials say who may use it, and by TLS
 * for the holders of API keys, each with a scope.
 *
 * To add a path to the API, here or in a higher module:
 *
 *  1. SQL in a .sql file, with the guards of the house. A list is a
 *     statement like those in admin.sql: keyset, bounded scan.
 *  2. A struct admin_route: path, scope, the query parameters it knows
 *     (anything else is refused with 400), and its start function, which
 *     reads with admin_param, admin_text and admin_id, and ends with
 *     admin_reply, admin_reply_page or admin_fail.
 *  3. A change of state puts admin_audit into the batch that makes it true.
 *  4. List the route in admin.c, or give it to admin_new with more_routes;
 *     a handler of a higher module finds its object by admin_arg.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/json.h"
#include "base/problem.h"
#include "conf/conf.h"
#include "http/http.h"
#include "loop/loop.h"
#include "seal/seal.h"
#include "store/store.h"

struct admin;
struct admin_route;
struct issuer;
struct ratelimit;

/* How a request that takes its time ended: NULL for success. */
typedef enum step admin_done_fn(void *arg, const struct problem *);

/* What only the daemon knows. */
struct admin_hooks {
	void *arg;
	const struct conf *(*conf)(void *arg);
	/* NULL if requests can be served; otherwise a short reason. */
	const char *(*not_ready)(void *arg);
	/* More members for the status document. */
	void (*write_status)(void *arg, struct json_writer *);
	/* Take over the configuration file; what was found goes into errors,
	 * what changed, one line each, into changes. */
	bool (*reload)(void *arg, struct arena *, struct conf_errors *errors,
	    struct buf *changes);
	/*
	 * Revoke certificates by their ids, all or none, for a reason that may
	 * be given (pki/reason.h). fn is called later from the top of the
	 * loop, unless t ends first: not there, revoked already, or what the
	 * store says. The audit rows name the actor; the issuers are told by
	 * themselves.
	 */
	enum step (*revoke)(void *arg, struct task *t, const struct str *ids,
	    size_t n, int64_t reason, struct str actor, admin_done_fn *fn,
	    void *fn_arg);
	/* The issuer of that name, or NULL. */
	struct issuer *(*find_issuer)(void *arg, const char *name);
	/* Begin the sweeps; false if they are under way here. */
	bool (*run_gc)(void *arg);
	/* A cert loop has become due. */
	void (*wake_loops)(void *arg);
};

struct admin_options {
	struct loop *loop;
	struct store *store;
	struct ratelimit *limits;
	const struct seal_ring *ring; /* of secrets at rest */
	struct admin_hooks hooks;
	/* who, beside root and our own user, may use the API: a group, or
	 * (gid_t)-1 */
	gid_t group;
	/* paths of other modules, NULL-terminated; NULL: none */
	const struct admin_route *const *more_routes;
};

struct admin *admin_new(const struct admin_options *);
void admin_free(struct admin *);

/* Bare /healthz and /readyz, for listeners that the world reaches. */
const struct http_app *admin_health_app(const struct admin *);

/* The same with reasons, and /metrics, for status listeners. */
const struct http_app *admin_status_app(const struct admin *);

/* /api/v1, for the admin socket. */
const struct http_app *admin_api_app(const struct admin *);

/* The same for the holders of API keys, for listeners that speak TLS. */
const struct http_app *admin_keyed_app(const struct admin *);

/* At the end: write what was counted of refusals; is any of it on its way? */
void admin_flush(struct admin *);
bool admin_at_work(const struct admin *);

/* ---- routes of the API */

enum {
	ADMIN_BODY_MAX = 65536,
	ADMIN_REPLY_MAX = 1 << 20,
	ADMIN_PARAMS_MAX = 20, /* query parameters of one request */
	ADMIN_PARAM_MAX = 512, /* bytes of one, decoded */
	ADMIN_PAGE_DEFAULT = 50,
	ADMIN_PAGE_MAX = 200,  /* rows of one page */
	ADMIN_SCAN_MAX = 1000, /* rows that a filter looks at for one page */
};

/*
 * What a caller must be allowed; each has those before it too. On the socket
 * each peer has all of it.
 *
 *	READ	look
 *	OPERATE	change what comes back: loops, marks, drain, reload
 *	ADMIN	change for good, or what others may do: accounts, revocations,
 *		keys, overrides
 */
enum admin_scope { ADMIN_READ, ADMIN_OPERATE, ADMIN_ADMIN };

struct admin_call;

struct admin_route {
	struct route http; /* start is admin_start */
	enum admin_scope scope;
	bool by_socket_only; /* not for the holders of API keys */
	const char *params;  /* names it knows, parted by spaces; NULL: none */
	enum step (*start)(struct admin_call *);
};

/* The one start function of all of them: who asks, and what? */
enum step admin_start(struct req *);

/* A request on its way. */
struct admin_call {
	struct req *req;
	struct arena *arena; /* the request's */
	struct admin *admin;
	struct store *store;
	/* for the audit trail: "admin:uid=0", "apikey:NAME" */
	struct str actor;
	const struct json *body; /* an object, or NULL: none was sent */
	struct {
		struct str name, value;
	} params[ADMIN_PARAMS_MAX];
	size_t nparams;
	void *state; /* the handler's */
};

/* hooks.arg */
void *admin_arg(const struct admin_call *);

/* ---- what was asked */

/* A query parameter by name; STR_NONE if it was not given. */
struct str admin_param(const struct admin_call *, const char *name);

/* Is this text one of the words (parted by spaces)? */
bool admin_is_word(struct str, const char *words);

/*
 * A filter that must be one of the words, or absent (STR_NONE). A problem
 * with the value and the words otherwise.
 */
const struct problem *admin_parse_word(struct admin_call *, const char *name,
    const char *words, struct str *out);

/* A filter that must be an id of ours, or absent. */
const struct problem *admin_parse_id(struct admin_call *, const char *name,
    struct str *out);

/*
 * A parameter that must be a DNS name or an address, or absent (STR_NONE): in
 * lower case, without a dot in front.
 */
const struct problem *admin_check_name(struct admin_call *, const char *param,
    struct str *out);

/*
 * A filter by name: the DNS name or address itself, and all names below it.
 * *itself and *below are patterns for LIKE with ESCAPE '!', with before and
 * after around each name; both STR_NONE if absent.
 */
const struct problem *admin_parse_name(struct admin_call *, const char *before,
    const char *after, struct str *itself, struct str *below);

/* A member of the body that is a string of 1 to max bytes. */
const struct problem *admin_text(struct admin_call *, const char *name,
    size_t max, struct str *out);

/* The ":id" of the path; a problem (404, naming what) if it is none. */
const struct problem *admin_id(struct admin_call *, const char *what,
    struct str *out);

/* 400: the parameter's value will not do; what would. */
const struct problem *admin_bad(struct admin_call *, const char *name,
    struct str value, const char *what_would);

/* 404: there is no such object. */
const struct problem *admin_none(struct admin_call *, const char *what,
    struct str id);

/* ---- pages of a list (page.c)
 *
 * A list is in the order of a key and, among equals, of ids, and a page goes
 * on behind the last row of the one before (keyset), so rows that arrive do
 * not shift it. A statement looks at `scan` rows at most and tells where it
 * stopped looking; a page with a filter may hold fewer rows than asked for
 * and still have a next one.
 */

enum admin_order { ADMIN_NEWEST_FIRST, ADMIN_OLDEST_FIRST };

struct admin_page {
	const char *list; /* its name, inside the cursor */
	unsigned limit;
	unsigned scan; /* rows that a filter looks at, ADMIN_SCAN_MAX */
	int64_t key;   /* go on behind this */
	struct str id;
};

/* The first columns of a statement that yields a page: where the look ended
 * and after how many rows; key and id of the row, null if none fits. */
enum { PAGE_STOP_KEY, PAGE_STOP_ID, PAGE_STOP_N, PAGE_KEY, PAGE_ID };

/* "limit" and "cursor" of the query. */
const struct problem *admin_parse_page(struct admin_call *, const char *list,
    enum admin_order, struct admin_page *);

/* The arguments key, id, scan, count; without key where ids are in order. */
enum admin_keyed { PAGE_BY_ID, PAGE_BY_KEY };
void admin_put_page(struct batch *, const struct admin_page *, bool filtered,
    enum admin_keyed);

/* Write the members of one row into the object that is open. */
typedef void admin_row_fn(struct admin_call *, struct json_writer *,
    const struct store_result *, unsigned stmt, size_t row);

/* {"items": [...], "next": CURSOR or null}, from statement 0. */
enum step admin_reply_page(struct admin_call *, const struct store_result *,
    const struct admin_page *, admin_row_fn *);

/* The cursor of the page behind this one; STR_NONE if there is none. */
struct str admin_next(struct admin_call *, const struct store_result *,
    const struct admin_page *);

/* The cursor that goes on behind this row. */
struct str admin_write_cursor(struct arena *, const char *list, int64_t key,
    struct str id);
/* False if it is no cursor of this list. */
bool admin_read_cursor(struct arena *, struct str text, const char *list,
    int64_t *key, struct str *id);

/* ---- the answer */

enum step admin_reply(struct admin_call *, unsigned status,
    struct json_writer *);
enum step admin_fail(struct admin_call *, const struct problem *);

/* A moment as RFC 3339; null if it is 0. */
void admin_write_time(struct arena *, struct json_writer *, const char *name,
    int64_t at);

/*
 * Words parted by spaces as an array of at most max of them; if there are
 * more, NAME_total says how many.
 */
void admin_write_words(struct json_writer *, const char *name, struct str words,
    size_t max);

/* ---- changes of state */

struct admin_change {
	const char *action; /* "account.deactivate"; also the metric's label */
	struct str object;
	struct str order, account, serial; /* may be empty */
	struct str detail;                 /* JSON text, or empty */
};

/* The audit row rides in the batch; the actor is the caller. */
void admin_audit(struct admin_call *, struct batch *,
    const struct admin_change *);

/* It is done: count it. */
void admin_count(const char *action);

#endif
