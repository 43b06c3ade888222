/* SPDX-License-Identifier: ISC */
/*
 * The life of a Vault token. A token that dies unnoticed takes all issuance
 * with it, so it is looked up at the start and renewed at half of what is
 * left, and who runs this hears of it when that fails.
 *
 *	STOPPED		before start and after stop: nothing leaves
 *	WAITING		for a file with a token in it
 *	LOGGING_IN	by AppRole: a new token is on its way
 *	ASKING		lookup-self is under way
 *	RESTING		until the next renewal, or the next try
 *	RENEWING	renew-self is under way
 *	SETTLED		it never expires, or cannot be renewed
 *
 * Beside it the file is watched: a new token starts its life from the top. A
 * token from the environment stays what it is.
 *
 * With AppRole the file holds the secret id, and tokens come from logins: at
 * the start, when the file has changed, when a token cannot be renewed any
 * more, and when Vault does not know it. Whoever was refused for the token's
 * sake may wait for what comes of it.
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
	DOUBT_PAUSE = 5, /* no more often is a refusal looked into */
	TTL_MAX = 366 * 86400 * 10,
};

#define REQUEST_MIN (5 * WHEN_SECOND) /* real ones */

enum life { STOPPED, WAITING, LOGGING_IN, ASKING, RESTING, RENEWING, SETTLED };

struct vault_token {
	const char *name;
	struct loop *loop;
	const struct vault_client *client;
	int64_t second, timeout;
	const struct vault_approle *approle; /* NULL: the file has the token */
	struct vault_file file;
	const char *variable;       /* NULL: there is a file */
	char text[VAULT_TOKEN_MAX]; /* wiped */
	size_t n;
	bool unread;         /* the file could not be read; try again */
	unsigned generation; /* of the token: raised by each new one */
	bool doubted;        /* a refusal is being looked into */
	int64_t doubt_at;    /* loop_mono; 0: never */
	LIST_HEAD(, vault_waiter) waiters;
	enum life life;
	struct task task; /* of the request under way */
	struct timer next, watch;
	int64_t expires;              /* by loop_mono; 0: unknown, or never */
	int64_t lookup_retry;         /* seconds; doubles */
	char trouble[VAULT_TEXT_MAX]; /* empty: none */
	struct metrics_child *success, *failure, *not_renewable;
	struct metrics_child *login_success, *login_failure;
};

static void ask(struct vault_token *);
static void login(struct vault_token *);
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

/* Where it comes from, for whoever is to put another there. */
static const char *
source_of(const struct vault_token *t)
{
	return t->variable != NULL ? t->variable : t->file.path;
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
	if (t->n == 0 && t->approle == NULL)
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
	} else if (!renewable && t->approle != NULL) {
		rest(t, vault_renew_after(ttl)); /* to log in again */
		t->expires = 0;
	} else if (!renewable) {
		metrics_child_add(t->not_renewable, 1);
		log_warn("the vault token cannot be renewed; put a new one "
			 "into its place before it expires",
		    LOG_TEXT("issuer", t->name), LOG_TEXT("from", source_of(t)),
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
		if (t->approle != NULL) {
			login(t);
			return;
		}
		log_error("the vault token has expired; put a new one into "
			  "its place",
		    LOG_TEXT("issuer", t->name),
		    LOG_TEXT("from", source_of(t)));
		t->expires = 0;
		retry_lookup(t);
		return;
	}
	/* what a busy Vault asks for, unless that would be too late */
	if ((int64_t)retry_after > wait)
		wait = retry_after < left / 2 ? retry_after : left / 2;
	rest(t, wait > RETRY_MIN ? wait : RETRY_MIN);
}

/* ---- who waits */

static void
wake(struct vault_token *t, bool other_token)
{
	struct vault_waiter *w;
	LIST_HEAD(, vault_waiter) woken = LIST_HEAD_INITIALIZER(woken);

	t->doubted = false;
	while ((w = LIST_FIRST(&t->waiters)) != NULL) {
		LIST_REMOVE(w, entry);
		LIST_INSERT_HEAD(&woken, w, entry);
	}
	while ((w = LIST_FIRST(&woken)) != NULL) {
		LIST_REMOVE(w, entry);
		w->waits = false;
		w->fn(w->arg, other_token);
	}
}

void
vault_token_wait(struct vault_token *t, struct vault_waiter *w)
{
	w->waits = true;
	LIST_INSERT_HEAD(&t->waiters, w, entry);
}

void
vault_token_forget(struct vault_waiter *w)
{
	if (w->waits)
		LIST_REMOVE(w, entry);
	w->waits = false;
}

bool
vault_token_is_coming(const struct vault_token *t)
{
	return t->life == LOGGING_IN;
}

unsigned
vault_token_generation(const struct vault_token *t)
{
	return t->generation;
}

enum vault_doubt
vault_token_doubt(struct vault_token *t, unsigned generation)
{
	int64_t now = loop_mono(t->loop);

	if (t->life == STOPPED)
		return VAULT_GIVE_UP;
	if (generation != t->generation)
		return VAULT_SEND_AGAIN;
	if (t->life == LOGGING_IN || t->doubted)
		return VAULT_WAIT;
	if (t->approle == NULL ||
	    (t->doubt_at != 0 && now - t->doubt_at < DOUBT_PAUSE * t->second))
		return VAULT_GIVE_UP;
	t->doubt_at = now;
	t->doubted = true;
	ask(t);
	return VAULT_WAIT;
}

static void
login_failed(struct vault_token *t, const char *why)
{
	metrics_child_add(t->login_failure, 1);
	set_trouble(t, "login", why);
	log_error("vault login failed", LOG_TEXT("issuer", t->name),
	    LOG_TEXT("error", why));
	retry_lookup(t);
	wake(t, false);
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

/* By AppRole we are here because somebody doubted the token. */
static void
lookup_failed(struct vault_token *t, const struct vault_failure *f)
{
	if (t->approle != NULL && f->class == ISSUER_AUTH) {
		login(t);
		return;
	}
	tell_failure(t, "lookup-self",
	    f->text != NULL ? f->text : "the answer has no ttl");
	retry_lookup(t);
	wake(t, false);
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
		wake(t, false); /* it is not the token */
	} else {
		lookup_failed(t, &f);
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
	if (t->approle != NULL && (!renewable || ttl <= had + 1)) {
		login(t); /* it has come near its maximum */
		return;
	}
	if (renewable && ttl > 0 && ttl <= had + 1)
		log_warn("the vault token could not be extended; if it is "
			 "near its maximum TTL, put a new one into its "
			 "place",
		    LOG_TEXT("issuer", t->name), LOG_TEXT("from", source_of(t)),
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
		if (t->approle != NULL && f.class == ISSUER_AUTH)
			login(t);
		else
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

static void
on_login(void *arg, const struct fetch_result *r)
{
	struct vault_token *t = arg;
	struct arena *a = arena_create();
	struct vault_failure f = vault_judge(a, r);
	const struct json *auth = json_get(json_parse(a, r->body, NULL),
	    "auth");
	struct str token = json_get_str(auth, "client_token");
	int64_t ttl;
	bool renewable;

	if (f.class == ISSUER_OK && vault_is_token(token) &&
	    read_ttl(auth, "lease_duration", &ttl, &renewable)) {
		metrics_child_add(t->login_success, 1);
		OPENSSL_cleanse(t->text, sizeof(t->text));
		memcpy(t->text, token.p, token.n);
		t->n = token.n;
		t->generation++;
		log_info("logged in to vault", LOG_TEXT("issuer", t->name),
		    LOG_INT("ttl_s", ttl), LOG_BOOL("renewable", renewable));
		take_ttl(t, ttl, renewable);
		wake(t, true);
	} else {
		login_failed(t,
		    f.text != NULL ? f.text : "the answer has no token");
	}
	if (token.n > 0)
		OPENSSL_cleanse((void *)(uintptr_t)token.p, token.n);
	arena_destroy(a);
}

static void
login(struct vault_token *t)
{
	struct arena *a = arena_create();
	char *secret = arena_alloc(a, VAULT_TOKEN_MAX);
	const char *why;
	size_t n = 0;

	timer_stop(&t->next);
	t->life = LOGGING_IN;
	t->expires = 0;
	(void)vault_file_changed(&t->file);
	if ((why = vault_file_read(a, &t->file, secret, &n)) != NULL) {
		login_failed(t, why);
	} else {
		task_detach(&t->task);
		(void)vault_login(t->client, &t->task, t->approle,
		    str_make(secret, n), t->timeout, on_login, t);
	}
	OPENSSL_cleanse(secret, VAULT_TOKEN_MAX);
	arena_destroy(a);
}

/* The timer: renew, or ask for the TTL if we do not know it. */
static void
renew(void *arg)
{
	struct vault_token *t = arg;
	int64_t max = (t->expires - loop_mono(t->loop)) / 2;

	if (t->expires == 0) {
		if (t->approle != NULL)
			login(t);
		else
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
		t->generation += other;
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
	bool changed;

	if (t->variable != NULL)
		return;
	changed = vault_file_changed(&t->file);
	if (t->approle != NULL) {
		if (!changed || t->life == STOPPED)
			return;
		log_info("the vault secret id has changed",
		    LOG_TEXT("issuer", t->name),
		    LOG_TEXT("from", source_of(t)));
		t->lookup_retry = LOOKUP_RETRY_MIN;
		login(t);
		return;
	}
	if ((!changed && !t->unread) || !load(t, changed))
		return;
	log_info("took over a new vault token", LOG_TEXT("issuer", t->name),
	    LOG_TEXT("from", source_of(t)));
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

bool
vault_token_is_same(const struct vault_token *a, const struct vault_token *b)
{
	return (a->variable == NULL) == (b->variable == NULL) &&
	    strcmp(source_of(a), source_of(b)) == 0;
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
	if (t->variable == NULL)
		timer_start(&t->watch, WATCH * t->second);
	if (t->approle != NULL)
		login(t);
	else if (t->n > 0)
		ask(t);
	else
		log_warn("waiting for a vault token",
		    LOG_TEXT("issuer", t->name),
		    LOG_TEXT("from", source_of(t)));
}

void
vault_token_stop(struct vault_token *t)
{
	timer_stop(&t->next);
	timer_stop(&t->watch);
	task_detach(&t->task);
	t->life = STOPPED;
	t->doubted = false;
}

/* It stays in the environment, for the next reload or program. */
static const char *
load_variable(struct vault_token *t, struct arena *a)
{
	struct str token = str_from(getenv(t->variable));

	if (token.n == 0)
		return str_printf(a,
		    "the environment has no variable %s with a token",
		    t->variable)
		    .p;
	if (!vault_is_token(token))
		return str_printf(a,
		    "the variable %s of the environment does not hold a "
		    "token, printable characters without spaces",
		    t->variable)
		    .p;
	memcpy(t->text, token.p, token.n);
	t->n = token.n;
	return NULL;
}

/* A file that is not there yet will come; one that is bad is an error. */
static const char *
load_first(struct vault_token *t, struct arena *a)
{
	char secret[VAULT_TOKEN_MAX];
	const char *why;
	size_t n;

	if (t->variable != NULL)
		return load_variable(t, a);
	if (!vault_file_changed(&t->file) && !t->file.seen)
		return NULL;
	if (t->approle != NULL) {
		why = vault_file_read(a, &t->file, secret, &n);
		OPENSSL_cleanse(secret, sizeof(secret));
		return why;
	}
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
	t->approle = o->approle;
	t->file.path = o->file;
	t->variable = o->variable;
	LIST_INIT(&t->waiters);
	task_init(&t->task);
	timer_init(&t->next, o->loop, renew, t);
	timer_init(&t->watch, o->loop, on_watch, t);
	t->success = metrics_child(FAMILY_vault_token_renewals, "success");
	t->failure = metrics_child(FAMILY_vault_token_renewals, "failure");
	t->not_renewable = metrics_child(FAMILY_vault_token_renewals,
	    "not_renewable");
	t->login_success = metrics_child(FAMILY_vault_logins, "success");
	t->login_failure = metrics_child(FAMILY_vault_logins, "failure");
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
