/* SPDX-License-Identifier: ISC */
/*
 * The life of a Vault token. A token that dies unnoticed takes all issuance
 * with it, so it is looked up at the start and renewed at half of what is
 * left, and who runs this hears of it when that fails.
 *
 *	STOPPED		before start and after stop: nothing leaves
 *	WAITING		for a file with a token in it
 *	ASKING		lookup-self is under way
 *	RESTING		until the next renewal, or the next try
 *	RENEWING	renew-self is under way
 *	SETTLED		it never expires, or cannot be renewed
 *
 * Beside it the file is watched: a new token starts its life from the top.
 */
#include "issuer/vault_int.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/mem.h>

#include "base/json.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	RENEW_MIN = 5, /* seconds of Vault, as all here */
	RETRY_MIN = 1,
	RETRY_MAX = 3600,
	WATCH = 2,
	LOOKUP_RETRY_MIN = 5,
	LOOKUP_RETRY_MAX = 60,
	TTL_MAX = 366 * 86400 * 10,
};

#define REQUEST_MIN (5 * WHEN_SECOND) /* real ones */

enum life { STOPPED, WAITING, ASKING, RESTING, RENEWING, SETTLED };

struct vault_token {
	const char *name;
	struct loop *loop;
	const struct vault_client *client;
	int64_t second, timeout;
	struct vault_file file;
	char text[VAULT_TOKEN_MAX]; /* wiped */
	size_t n;
	bool unread; /* the file could not be read; try again */
	enum life life;
	struct task task; /* of the request under way */
	struct timer next, watch;
	int64_t expires;              /* by loop_mono; 0: unknown, or never */
	int64_t lookup_retry;         /* seconds; doubles */
	char trouble[VAULT_TEXT_MAX]; /* empty: none */
	struct metrics_child *success, *failure, *not_renewable;
};

static void ask(struct vault_token *);
static void renew(void *);

int64_t
vault_renew_after(int64_t ttl)
{
	return ttl / 2 > RENEW_MIN ? ttl / 2 : RENEW_MIN;
}

int64_t
vault_retry_after(int64_t left)
{
	int64_t wait = left / 4;

	if (wait < RETRY_MIN)
		return RETRY_MIN;
	return wait < RETRY_MAX ? wait : RETRY_MAX;
}

/* ---- what becomes of it */

static void
rest(struct vault_token *t, int64_t seconds)
{
	t->life = RESTING;
	timer_start(&t->next, seconds * t->second);
}

static int64_t
seconds_left(const struct vault_token *t)
{
	int64_t left = t->expires - loop_mono(t->loop);

	return left > 0 ? left / t->second : 0;
}

static void
set_trouble(struct vault_token *t, const char *what, const char *text)
{
	snprintf(t->trouble, sizeof(t->trouble), "%s: %s", what, text);
}

const char *
vault_token_trouble(const struct vault_token *t, struct arena *a)
{
	if (t->n == 0)
		return str_printf(a, "it waits for a vault token in %s",
		    t->file.path)
		    .p;
	return t->trouble[0] != '\0' ? str_cstr(a, str_from(t->trouble)) : NULL;
}

static void
settle(struct vault_token *t)
{
	t->life = SETTLED;
	timer_stop(&t->next);
}

/* TTL 0 is a root token's: it never expires. */
static void
take_ttl(struct vault_token *t, int64_t ttl, bool renewable)
{
	t->lookup_retry = LOOKUP_RETRY_MIN;
	t->trouble[0] = '\0';
	t->expires = ttl > 0 ? loop_mono(t->loop) + ttl * t->second : 0;
	if (ttl == 0) {
		log_info("the vault token does not expire",
		    LOG_TEXT("issuer", t->name));
		settle(t);
	} else if (!renewable) {
		metrics_child_add(t->not_renewable, 1);
		log_warn("the vault token cannot be renewed; put a new one "
			 "into its file before it expires",
		    LOG_TEXT("issuer", t->name), LOG_TEXT("file", t->file.path),
		    LOG_INT("ttl_s", ttl));
		settle(t);
	} else {
		rest(t, vault_renew_after(ttl));
	}
}

static void
tell_failure(struct vault_token *t, const char *what, const char *text)
{
	metrics_child_add(t->failure, 1);
	set_trouble(t, what, text);
	log_error("vault token renewal failed; rotate the token before TTL "
		  "expires",
	    LOG_TEXT("issuer", t->name), LOG_TEXT("request", what),
	    LOG_TEXT("error", text),
	    LOG_INT("left_s", t->expires != 0 ? seconds_left(t) : -1));
}

/* As long as the TTL is not known, or over, there is no hurry. */
static void
retry_lookup(struct vault_token *t)
{
	rest(t, t->lookup_retry);
	t->lookup_retry *= 2;
	if (t->lookup_retry > LOOKUP_RETRY_MAX)
		t->lookup_retry = LOOKUP_RETRY_MAX;
}

static void
retry_renewal(struct vault_token *t, unsigned retry_after)
{
	int64_t left = seconds_left(t), wait = vault_retry_after(left);

	if (left == 0) {
		log_error("the vault token has expired; put a new one into "
			  "its file",
		    LOG_TEXT("issuer", t->name),
		    LOG_TEXT("file", t->file.path));
		t->expires = 0;
		retry_lookup(t);
		return;
	}
	/* what a busy Vault asks for, unless that would be too late */
	if ((int64_t)retry_after > wait)
		wait = retry_after < left / 2 ? retry_after : left / 2;
	rest(t, wait > RETRY_MIN ? wait : RETRY_MIN);
}

/* ---- answers */

static bool
read_ttl(const struct json *part, const char *name, int64_t *ttl,
    bool *renewable)
{
	const struct json *n = json_get(part, name);
	const struct json *b = json_get(part, "renewable");

	if (n == NULL || n->type != JSON_INT || n->num < 0 ||
	    n->num > TTL_MAX || b == NULL || b->type != JSON_BOOL)
		return false;
	*ttl = n->num;
	*renewable = b->num != 0;
	return true;
}

static void
on_lookup(void *arg, const struct fetch_result *r)
{
	struct vault_token *t = arg;
	struct arena *a = arena_create();
	struct vault_failure f = vault_judge(a, r);
	const struct json *doc = json_parse(a, r->body, NULL);
	int64_t ttl;
	bool renewable;

	if (f.class == ISSUER_OK &&
	    read_ttl(json_get(doc, "data"), "ttl", &ttl, &renewable)) {
		log_info("looked up the vault token",
		    LOG_TEXT("issuer", t->name), LOG_INT("ttl_s", ttl),
		    LOG_BOOL("renewable", renewable));
		take_ttl(t, ttl, renewable);
	} else {
		tell_failure(t, "lookup-self",
		    f.text != NULL ? f.text : "the answer has no ttl");
		retry_lookup(t);
	}
	arena_destroy(a);
}

static void
take_renewal(struct vault_token *t, int64_t ttl, bool renewable)
{
	int64_t had = seconds_left(t);

	if (renewable) {
		metrics_child_add(t->success, 1);
		log_debug("renewed the vault token",
		    LOG_TEXT("issuer", t->name), LOG_INT("ttl_s", ttl));
	}
	if (renewable && ttl > 0 && ttl <= had + 1)
		log_warn("the vault token could not be extended; if it is "
			 "near its maximum TTL, put a new one into its file",
		    LOG_TEXT("issuer", t->name), LOG_TEXT("file", t->file.path),
		    LOG_INT("ttl_s", ttl));
	take_ttl(t, ttl, renewable);
}

static void
on_renewed(void *arg, const struct fetch_result *r)
{
	struct vault_token *t = arg;
	struct arena *a = arena_create();
	struct vault_failure f = vault_judge(a, r);
	const struct json *doc = json_parse(a, r->body, NULL);
	int64_t ttl;
	bool renewable;

	if (f.class == ISSUER_OK &&
	    read_ttl(json_get(doc, "auth"), "lease_duration", &ttl,
		&renewable)) {
		take_renewal(t, ttl, renewable);
	} else {
		tell_failure(t, "renew-self",
		    f.text != NULL ? f.text :
				     "the answer has no lease_duration");
		retry_renewal(t, f.retry_after);
	}
	arena_destroy(a);
}

/* ---- requests */

static void
call(struct vault_token *t, struct str path, struct str body, int64_t timeout,
    fetch_fn *fn)
{
	task_detach(&t->task);
	(void)vault_call(t->client, &t->task, str_make(t->text, t->n), path,
	    body, timeout, fn, t);
}

static void
ask(struct vault_token *t)
{
	timer_stop(&t->next);
	t->life = ASKING;
	call(t, STR("auth/token/lookup-self"), STR_NONE, t->timeout, on_lookup);
}

/* The timer: renew, or ask for the TTL if we do not know it. */
static void
renew(void *arg)
{
	struct vault_token *t = arg;
	int64_t max = (t->expires - loop_mono(t->loop)) / 2;

	if (t->expires == 0) {
		ask(t);
		return;
	}
	/* a Vault that hangs must leave time to try again */
	if (max < REQUEST_MIN)
		max = REQUEST_MIN;
	t->life = RENEWING;
	call(t, STR("auth/token/renew-self"), STR("{}"),
	    max < t->timeout ? max : t->timeout, on_renewed);
}

/* ---- the file */

/*
 * Is there another token in it than before? If it cannot be read, the old one
 * stays, and it is tried again; it is said once a change.
 */
static bool
load(struct vault_token *t, bool changed)
{
	struct arena *a = arena_create();
	char *text = arena_alloc(a, VAULT_TOKEN_MAX);
	size_t n = 0;
	const char *why = vault_file_read(a, &t->file, text, &n);
	bool other = false;

	t->unread = why != NULL;
	if (why == NULL) {
		other = n != t->n || CRYPTO_memcmp(text, t->text, n) != 0;
		OPENSSL_cleanse(t->text, sizeof(t->text));
		memcpy(t->text, text, n);
		t->n = n;
	} else if (changed) {
		log_warn("the vault token cannot be read",
		    LOG_TEXT("issuer", t->name), LOG_TEXT("error", why),
		    LOG_BOOL("old_one_stays", t->n > 0));
	}
	OPENSSL_cleanse(text, VAULT_TOKEN_MAX);
	arena_destroy(a);
	return other;
}

static void
look_at_file(struct vault_token *t)
{
	bool changed = vault_file_changed(&t->file);

	if ((!changed && !t->unread) || !load(t, changed))
		return;
	log_info("took over a new vault token", LOG_TEXT("issuer", t->name),
	    LOG_TEXT("file", t->file.path));
	if (t->life == STOPPED)
		return;
	t->expires = 0;
	t->lookup_retry = LOOKUP_RETRY_MIN;
	ask(t);
}

static void
on_watch(void *arg)
{
	struct vault_token *t = arg;

	timer_start(&t->watch, WATCH * t->second);
	look_at_file(t);
}

struct str
vault_token_get(struct vault_token *t)
{
	look_at_file(t);
	return t->n > 0 ? str_make(t->text, t->n) : STR_NONE;
}

const char *
vault_token_path(const struct vault_token *t)
{
	return t->file.path;
}

/* ---- start and stop */

void
vault_token_start(struct vault_token *t)
{
	if (t->life != STOPPED)
		return;
	t->life = WAITING;
	t->lookup_retry = LOOKUP_RETRY_MIN;
	t->expires = 0;
	timer_start(&t->watch, WATCH * t->second);
	if (t->n > 0)
		ask(t);
	else
		log_warn("waiting for a vault token",
		    LOG_TEXT("issuer", t->name),
		    LOG_TEXT("file", t->file.path));
}

void
vault_token_stop(struct vault_token *t)
{
	timer_stop(&t->next);
	timer_stop(&t->watch);
	task_detach(&t->task);
	t->life = STOPPED;
}

/* A file that is not there yet will come; one that is bad is an error. */
static const char *
load_first(struct vault_token *t, struct arena *a)
{
	if (!vault_file_changed(&t->file) && !t->file.seen)
		return NULL;
	return vault_file_read(a, &t->file, t->text, &t->n);
}

struct vault_token *
vault_token_new(const struct vault_token_options *o, struct arena *a,
    const char **why)
{
	struct vault_token *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	t->name = o->name;
	t->loop = o->loop;
	t->client = o->client;
	t->second = o->second;
	t->timeout = o->timeout;
	t->file.path = o->file;
	task_init(&t->task);
	timer_init(&t->next, o->loop, renew, t);
	timer_init(&t->watch, o->loop, on_watch, t);
	t->success = metrics_child(FAMILY_vault_token_renewals, "success");
	t->failure = metrics_child(FAMILY_vault_token_renewals, "failure");
	t->not_renewable = metrics_child(FAMILY_vault_token_renewals,
	    "not_renewable");
	if ((*why = load_first(t, a)) != NULL) {
		vault_token_free(t);
		return NULL;
	}
	return t;
}

void
vault_token_free(struct vault_token *t)
{
	if (t == NULL)
		return;
	vault_token_stop(t);
	task_end(&t->task);
	OPENSSL_cleanse(t->text, sizeof(t->text));
	free(t);
}
