/* SPDX-License-Identifier: ISC */
/* What the files of the Vault issuer share. */
#ifndef ISSUER_VAULT_INT_H
#define ISSUER_VAULT_INT_H

#include <sys/stat.h>

#include "fetch/fetch.h"
#include "issuer/front.h"
#include "issuer/issuer.h"

enum {
	VAULT_TOKEN_MAX = 4096,
	VAULT_CA_MAX = 262144,
	VAULT_ANSWER_MAX = 262144,
	VAULT_TEXT_MAX = 300, /* of an error, in the log */
};

/* ---- vault_call.c: requests, and what an answer means */

struct vault_client {
	struct fetch *fetch;
	struct str base;      /* "https://vault.example:8200/v1/" */
	struct str namespace; /* STR_NONE: none */
	struct str ca_pem;    /* STR_NONE: what the system trusts */
};

/* Send; path follows the base. A body is JSON; STR_NONE makes it a GET. */
struct fetch_call *vault_call(const struct vault_client *, struct task *,
    struct str token, struct str path, struct str body, int64_t timeout,
    fetch_fn *fn, void *arg);

/* GET with an answer of up to max bytes. */
struct fetch_call *vault_call_long(const struct vault_client *, struct task *,
    struct str token, struct str path, size_t max, int64_t timeout,
    fetch_fn *fn, void *arg);

struct vault_approle;

/* Ask for a token. */
struct fetch_call *vault_login(const struct vault_client *, struct task *,
    const struct vault_approle *, struct str secret_id, int64_t timeout,
    fetch_fn *fn, void *arg);

/* Is that fit for a header: printable, and not too long? */
bool vault_is_token(struct str);

/* Why an answer is none. */
struct vault_failure {
	enum issuer_class class; /* ISSUER_OK: it is one */
	bool again, uncertain;
	bool unasked;         /* nothing has left */
	unsigned retry_after; /* seconds; 0: it does not say */
	const char *text;     /* with Vault's own words */
};

/* ISSUER_OK for 200 and 204. The texts are put into the arena. */
struct vault_failure vault_judge(struct arena *, const struct fetch_result *);

/* ---- vault_file.c: the file that holds the token */

struct vault_file {
	const char *path;
	bool seen; /* was there a file when we last looked? */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

/* Has it changed, come or gone since the last call? */
bool vault_file_changed(struct vault_file *);

/*
 * Read the token into out, VAULT_TOKEN_MAX bytes. NULL, or what is wrong with
 * the file, which never tells what is in it.
 */
const char *vault_file_read(struct arena *, const struct vault_file *,
    char *out, size_t *n);

/* The certificates in a file, as they stand there. */
const char *vault_read_cas(struct arena *, const char *path, struct str *out);

/* ---- vault_token.c: the token, and its life */

struct vault_token;

struct vault_approle {
	struct str login; /* "auth/approle/login" */
	struct str role_id;
};

struct vault_token_options {
	const char *name; /* of the issuer; must outlive the token */
	struct loop *loop;
	const struct vault_client *client;
	const char *file; /* of the token, or of the secret id */
	/* instead: a variable of the environment, which is read once */
	const char *variable;
	const struct vault_approle *approle; /* NULL: none; outlives it */
	int64_t second, timeout;
};

/* NULL: *why says what is wrong with the file. */
struct vault_token *vault_token_new(const struct vault_token_options *,
    struct arena *, const char **why);
void vault_token_free(struct vault_token *);

/* Look it up, renew it from now on; nothing leaves after stop. */
void vault_token_start(struct vault_token *);
void vault_token_stop(struct vault_token *);

/*
 * The token, valid until the next turn; STR_NONE if there is none yet. A file
 * that has changed is read first.
 */
struct str vault_token_get(struct vault_token *);

/* A login is under way. */
bool vault_token_is_coming(const struct vault_token *);

/* It is raised by each new token. */
unsigned vault_token_generation(const struct vault_token *);

/*
 * Vault has refused a request with the token of that generation. Is there
 * another by now, or will one come? To be found out, if it takes AppRole.
 */
enum vault_doubt { VAULT_GIVE_UP, VAULT_SEND_AGAIN, VAULT_WAIT };
enum vault_doubt vault_token_doubt(struct vault_token *, unsigned generation);

/* Be called once, when it has been found out. */
struct vault_waiter {
	LIST_ENTRY(vault_waiter) entry;
	bool waits;
	void (*fn)(void *arg, bool other_token);
	void *arg;
};
void vault_token_wait(struct vault_token *, struct vault_waiter *);
void vault_token_forget(struct vault_waiter *);

/* What is wrong with it, or NULL. */
const char *vault_token_trouble(const struct vault_token *, struct arena *);

/* Are both read from the same file, or variable? */
bool vault_token_is_same(const struct vault_token *,
    const struct vault_token *);

/* Seconds until a token with this TTL is renewed: half of it, 5 at least. */
int64_t vault_renew_after(int64_t ttl);

/*
 * Seconds until a renewal that failed is tried again, if the token has this
 * many left: a quarter of them, so sooner and sooner; from 1 to an hour.
 */
int64_t vault_retry_after(int64_t left);

/* ---- vault_find.c: what it may have signed without an answer */

struct vault_seen; /* certificates that were looked at; bounded */
struct vault_seen *vault_seen_new(void); /* free() frees it */

struct vault_found {
	struct str pem;               /* STR_NONE: there is none */
	struct str chain;             /* PEM: what the mount says is above it */
	bool blind;                   /* we may not see what is there */
	struct vault_failure failure; /* of class ISSUER_OK: none */
};

/* Lives until vault_find returns; what it points to, until fn is called. */
struct vault_search {
	const struct vault_client *client;
	struct task *task; /* of this search alone; its arena has the results */
	const char *name;  /* of the issuer */
	struct str mount, spki;
	const struct pki_names *names;
	int64_t since; /* seconds: no older than that */
	int64_t timeout;
	struct vault_seen *seen;
	void (*fn)(void *arg, const struct vault_found *);
	void *arg;
};

/* Search for a certificate with that key and just those names. */
void vault_find(const struct vault_search *, struct str token);

/* ---- vault_check.c: what came back */

/* What was ordered; views into an arena that outlives the request. */
struct vault_order {
	struct pki_names names;
	struct str spki;
	int64_t max_lifetime; /* usec */
	unsigned eku;
};

/* What was found as if it were the answer to a signing request. */
struct str vault_write_found(struct arena *, const struct vault_found *);

/*
 * Read the answer to a signing request and check the certificate against the
 * order: key, names, purposes, lifetime, signature, chain. On success the
 * result is complete but for chain_id. Otherwise *why says what is wrong; the
 * result has the certificate, its serial and validity, if there was one that
 * can be read. False with
 * *is_answer false: there was none.
 */
bool vault_check(struct arena *, struct str body, const struct vault_order *,
    int64_t now, struct issuer_result *, bool *is_answer, const char **why);

/* ---- vault_work.c: a request from the caller's question to its answer */

LIST_HEAD(vault_works, vault_work);

struct vault {
	struct issuer issuer;
	struct arena *arena; /* holds this struct */
	struct loop *loop;
	struct vault_client client;
	struct vault_token *token;
	struct vault_seen *seen;      /* NULL: there was no search yet */
	struct vault_approle approle; /* no role_id: none */
	struct str mount, role;
	int64_t ttl, backdate, timeout;
	struct issuer_bounds bounds;
	bool stopped;
	struct vault_works works;
};

/* A signature, revocation or test that was asked for. */
struct vault_work {
	struct op op; /* on the caller's task, while it is wanted */
	LIST_ENTRY(vault_work) entry;
	struct task task;    /* of the request; its arena holds this struct */
	struct vault *vault; /* NULL: it is gone */
	struct loop *loop;
	const char *name;      /* of the issuer */
	struct str path, body; /* what is sent; a body of STR_NONE: GET */
	fetch_fn *on_answer;
	unsigned generation; /* of the token that it was sent with */
	unsigned refused;    /* times, for the token's sake */
	struct vault_waiter waiter;
	bool searching; /* for what was made before */
	bool look_only;
	struct fetch_call *call; /* NULL: nothing is under way */
	struct deferred tell;
	bool wanted;
	issuer_fn *fn;
	void *arg;
	struct vault_order order;
	struct issuer_result result;
};

/* For this caller, who hears of it by fn; path, body and on_answer follow. */
struct vault_work *vault_work_new(struct vault *, struct task *, issuer_fn *fn,
    void *arg);

/* Send it, or let it wait for a token that is on its way. */
void vault_work_send(struct vault_work *);

/*
 * Was it refused for the sake of the token alone, and is another one there, or
 * on its way? Then it is sent again. What was refused was not signed.
 */
bool vault_work_is_sent_again(struct vault_work *,
    const struct vault_failure *);

/* Put the failure into the result. */
void vault_work_fail(struct vault_work *, const struct vault_failure *);

/* Answer, later, without having asked Vault. */
void vault_work_refuse(struct vault_work *, enum issuer_class,
    const char *text);

/* Give the caller the result, if it is still there; the work is over. */
void vault_work_tell(struct vault_work *);

/* Refuse what has not left yet. */
void vault_works_stop(struct vault *);
/* The issuer goes away: what is under way is by itself. */
void vault_works_leave(struct vault *);

/* ---- vault.c */

extern const struct issuer_ops vault_ops;

#endif
