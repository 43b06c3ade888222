/* SPDX-License-Identifier: ISC */
/* What the files of this module share. */
#ifndef ACME_ACME_INT_H
#define ACME_ACME_INT_H

#include <sys/queue.h>

#include "acme/acme.h"
#include "acme/admission.h"
#include "acme/cache.h"
#include "acme/nonce.h"
#include "audit/audit.h"
#include "audit/refusals.h"
#include "base/json.h"
#include "jose/jws.h"
#include "pki/weak.h"
#include "validate/validate.h"

enum {
	ACME_BODY_MAX = JWS_BODY_MAX,
	ACME_CONTACTS_MAX = 10,
	ACME_CONTACT_MAX = 320,
	ACME_REPLY_MAX = 1 << 17, /* an order of 256 long names fits */
	ACME_ORDERS_PAGE = 100,
	ACME_TAKES_MAX = 4,      /* limits of one request */
	ACME_RECOVER_MAX = 50,   /* orders taken over in one pass */
	ACME_RESUME_MAX = 100,   /* validations, the same */
	ACME_ATTEMPTS_MAX = 100, /* claims of one order, then it fails */
	ACME_ISSUING_MAX = 5000, /* orders at issuers that do not plan */
	ACME_TELLING_MAX = 50, /* revocations that one issuer is told at once */
};

/* A profile as it is served. */
struct acme_profile {
	const struct conf_profile *conf;
	struct issuer *issuer;
	struct str name;
	struct str base;           /* PUBLIC_URL/acme/profile/NAME */
	struct str directory;      /* the document at base/directory */
	struct resolver *resolver; /* of validations; NULL: it has none */
};

/* One configuration in use. Requests hold a reference (acme_hold). */
struct acme_setup {
	unsigned refs;
	struct arena *arena;
	const struct conf *conf;
	struct str public_url;
	struct acme_profile *profiles;
	size_t nprofiles;
	const struct acme_profile *preset; /* behind the shorthand */
	struct pki_blocklist blocklist;
};

struct issuance;
struct resolver;
struct validation;
struct telling;
struct renewals;

struct acme {
	struct loop *loop;
	struct store *store;
	struct acme_options options;
	struct acme_setup *setup;
	struct nonces *nonces;
	struct cache *cache;
	struct renewals *renewals;
	struct pki_blocklist checked; /* of the configuration to come */
	struct admission *admission;
	struct refusals *refusals;
	struct http_app app;
	LIST_HEAD(, issuance) issuing;
	unsigned nissuing;
	struct validate *validate; /* NULL: no profile ever needed it */
	LIST_HEAD(, resolver) resolvers;
	LIST_HEAD(, validation) validating;
	unsigned nvalidating;
	struct task resuming; /* a pass over what dead processes left */
	bool is_resuming;
	bool draining; /* what is begun now goes to another process */
	struct deferred drained;
	struct task recovery;
	bool recovering;
	LIST_HEAD(, telling) telling;
	struct task tell_pass; /* what are issuers to be told? */
	unsigned tell_asked;   /* the issuers that are looked at */
	bool tell_passing, tell_again;
	bool tell_full;    /* some issuer is to hear of more than fitted */
	struct task learn; /* the store's nonce epoch */
	bool learning;
	char store_epoch[NONCE_EPOCH_LEN];
	size_t store_epoch_len; /* 0: not known */
};

/* ---- requests */

enum acme_auth {
	AUTH_NONE,    /* not signed */
	AUTH_POST,    /* GET is not, POST is by the account: see 6.3 */
	AUTH_JWK,     /* signed by the key inside: new-account */
	AUTH_ACCOUNT, /* signed by the account that kid names */
	AUTH_EITHER,  /* one of the two: account is empty if it was a key */
};

enum acme_payload {
	PAYLOAD_OBJECT, /* a JSON object */
	PAYLOAD_EMPTY,  /* POST-as-GET, RFC 8555 section 6.3 */
	PAYLOAD_EITHER,
};

struct areq;

struct acme_route {
	struct route http; /* start is acme_start */
	enum acme_auth auth;
	enum acme_payload payload;
	/* Pure: judge the payload, leave the handler's state in areq->state.
	 * Optional. */
	const struct problem *(*check)(struct areq *);
	enum step (*start)(struct areq *);
};

/* A request on its way. */
struct areq {
	struct req *req;
	struct arena *arena; /* the request's */
	struct acme *acme;
	const struct acme_route *route;
	struct acme_setup *setup;
	const struct acme_profile *profile;
	struct str object; /* the ":id" of the path, a valid id, or empty */
	struct str order;  /* the order that it is about, if that is known */
	bool verified;     /* the signature was good */
	const char *caa;   /* finalize: what CAA records said */
	struct jws jws;
	const struct json *payload; /* NULL: POST-as-GET */
	struct jwk jwk;             /* of a request without a kid */
	struct str account;         /* of one with a kid: id, key, version */
	EVP_PKEY *key;
	enum jwk_kind kind;
	int64_t key_version;
	bool cached;        /* so far only the cache was asked for these */
	struct str limits;  /* of the account: see ratelimit/override.h */
	struct str allowed; /* names of its external account; empty: any */
	struct nonce nonce;
	const struct problem *refusal; /* what the answer will be anyway */
	struct take takes[ACME_TAKES_MAX];
	size_t ntakes;
	bool again; /* the account was loaded afresh for this request */
	enum step (*why)(struct areq *); /* see acme_recheck */
	void *state;                     /* the handler's */
};

/* acme.c: the one start function of all routes. */
enum step acme_start(struct req *);

/* A reference on the current setup, given back with the arena. */
struct acme_setup *acme_hold(struct acme *, struct arena *);
const struct acme_profile *acme_find_profile(const struct acme_setup *,
    struct str name);

/* "BASE/order/ID" and so on, in the arena. */
struct str acme_url(struct arena *, const struct acme_profile *,
    const char *kind, struct str id);

/* gate.c: an unsigned request, unless its address sends too many. */
enum step gate_unsigned(struct areq *);

/* gate.c: a check had one more signature to verify, of such a key. */
void gate_charge(struct areq *, enum jws_alg);

/* gate.c: the checks that every signed request passes, then its handler. */
enum step gate_start(struct areq *);

/*
 * A guarded statement found no row. Load the account again: if it changed,
 * check the signature anew and run the handler once more; if not, the account
 * was not the reason: why(areq) goes on.
 */
enum step acme_recheck(struct areq *, enum step (*why)(struct areq *));

/* Add key=value to the request's one log line. */
void acme_log(struct areq *, const char *key, struct str value);

/* limits.c: values of a limit that hold instead of those of section limits, or
 * NULL; and how many orders may be open at once, 0 for any number. */
const struct limit *limits_override(struct areq *, enum limit_id);
int64_t limits_open_orders(struct areq *);

/* redeem.c: nonce and limits; then the handler, or the refusal. */
enum step redeem_start(struct areq *);
struct str redeem_mint(struct acme *, struct arena *);
void redeem_learn_epoch(struct acme *);
/* A check adds what the request will take. The key lives with the request. */
void redeem_limit(struct areq *, enum limit_id, struct str key);

/* Who did it, in the audit trail. */
struct str acme_actor(struct arena *, struct str account);

/* Require that the account is valid with the key that signed. */
void acme_take_account(struct areq *, struct batch *);

/* A step for acme_recheck: there is no such object (of this account). */
enum step acme_not_found(struct areq *);

/* Answer with the document in the writer. */
enum step acme_reply(struct areq *, unsigned status, struct json_writer *);
enum step acme_fail(struct areq *, const struct problem *);

/* account.c, orders.c, new_order.c, order.c, authz.c, finalize.c, cert.c,
 * directory.c */
extern const struct acme_route directory_route, new_nonce_route;
extern const struct acme_route new_account_route, account_route, orders_route;
extern const struct acme_route new_order_route, order_route, authz_route,
    challenge_route;
extern const struct acme_route new_authz_route;
extern const struct acme_route finalize_route, cert_route, chain_route,
    alternate_route;
extern const struct acme_route revoke_route, key_change_route,
    renewal_info_route;

/* directory.c */
struct str directory_write(struct arena *, const struct acme_setup *,
    const struct acme_profile *);

/* account.c: what new-account shares */
struct account_view {
	struct str id, status, contacts; /* contacts: a JSON array */
	int64_t tos_agreed;              /* 0: not */
	struct str eab;                  /* JSON; p is NULL if there is none */
};
const struct problem *account_parse_contacts(struct areq *, struct str *out);
const struct problem *account_parse_flag(struct areq *, const char *name,
    bool *out);
enum step account_reply(struct areq *, unsigned status,
    const struct account_view *);

/* eab.c: external account binding */
struct eab {
	bool given;
	struct jws jws;
	struct str text;    /* the member as it is shown again */
	struct str allowed; /* once it was verified */
};
/* Pure: everything but the MAC. No binding is fine: given is false. */
const struct problem *eab_parse(struct areq *, struct eab *);
/* Add the statement that loads its key; false: there can be none. */
bool eab_load(struct areq *, const struct eab *, struct batch *);
/* The MAC, by the row of that statement; r is NULL if it was not sent. */
const struct problem *eab_verify(struct areq *, struct eab *,
    const struct store_result *r, unsigned stmt);
/* Guard: one use by the account that the batch has inserted before. */
void eab_use(struct areq *, const struct eab *, struct str account,
    struct batch *);

/* policy.c: what a profile allows */
struct acme_id {
	struct str type, value; /* value folded; with "*." for a wildcard */
};
/* One identifier against the profile; NULL or a problem with its subject. */
const struct problem *policy_check_id(struct arena *,
    const struct acme_profile *, const struct acme_id *);
/* The same, and against what the account's external account allows. */
const struct problem *policy_check_asked(const struct areq *,
    const struct acme_id *);
/* Is the key weak, or known to others? The problem is of that type. */
const struct problem *policy_check_strength(const struct areq *,
    const EVP_PKEY *, enum problem_type);
const struct problem *policy_check_csr(struct arena *,
    const struct acme_profile *, const struct pki_csr *);

/* names.c: a set of names as one short text, for comparing in SQL */
struct str names_digest(struct arena *, const struct pki_names *);

/* order.c: an order row of one of the statements that return these columns
 * in this order: id, status, identifiers, authzs, not_before, not_after,
 * expires, error, certificate, replaces. */
enum step order_reply(struct areq *, unsigned status,
    const struct store_result *, unsigned stmt);

/* ---- new_authz.c: making authorizations */

/* The challenges that a profile has for an identifier; 0: none. */
unsigned authz_challenges(const struct acme_profile *, const struct acme_id *);

/* Add the row to the batch, if the order (empty: none) is there. */
void authz_insert(struct areq *, struct batch *, struct str order,
    const struct acme_id *, struct str authz);

/* ---- authz.c: what clients see */

/* The authorization that statement stmt, an authz_get, has found. */
void authz_write(struct json_writer *, struct areq *,
    const struct store_result *, unsigned stmt);

/* One challenge of it; false if there is none of this type to be seen. */
bool authz_write_challenge(struct json_writer *, struct areq *,
    const struct store_result *, unsigned stmt, struct str type);

/* Add the statement authz_get for the request's object. */
unsigned authz_add_get(struct areq *, struct batch *);

/* ---- resolver.c: name servers that validations ask */

/*
 * The one that the profile names; made if it is not there. NULL: *why says
 * what is wrong. resolver_hold is for a setup, which gives it back.
 */
struct resolver *resolver_find(struct acme *, const struct conf *,
    const struct conf_profile *, struct arena *, const char **why);
void resolver_hold(struct resolver *);
void resolver_drop(struct resolver *);
struct dns *resolver_dns(const struct resolver *);

/* Free those that no setup holds (any more). Not from a callback of dns. */
void resolver_prune(struct acme *);

/* ---- caa.c */

/* One name; method as in validate.h. */
struct caa_question {
	struct str name, account;
	bool wildcard;
	const char *method;
};

/* Ask, for a profile whose caa is not off. */
void caa_ask(const struct acme_setup *, const struct acme_profile *,
    struct task *, const struct caa_question *, validate_caa_fn *fn, void *arg);

/* What came of it: count, log; NULL if the profile lets it pass. */
const struct problem *caa_judge(const struct acme_profile *, struct str name,
    const struct problem *);

/* The start of finalize: CAA where it is due, then finalize_claim. */
enum step caa_recheck(struct areq *);
enum step finalize_claim(struct areq *);

/* ---- validation.c: from a challenge that was taken up to its outcome */

/*
 * A claim that stands in the store, as an authz_load in statement stmt has
 * it. Nobody waits; the outcome goes to the store.
 */
void validation_start(struct acme *, struct str authz,
    const struct store_result *, unsigned stmt);
/* Its client responds again: if it pauses here, the next query comes now. */
void validation_hurry(struct acme *, struct str authz);
void validation_stop_all(struct acme *);

/* ---- issue.c: from a claimed order to its certificate */

/* A claim that stands in the store. Copied. */
struct claim {
	struct str order, account, profile, issuer;
	struct str csr;    /* DER */
	struct str serial; /* hex; empty if the issuer does not plan */
	int64_t attempt, not_before, not_after;
	int64_t uncertain; /* attempts before it that may have signed */
	int64_t created;   /* the order: none of them was before */
	const char *caa;   /* as in areq; NULL: not known any more */
};

/* How it ended; exactly one of the three. Lives until the callback returns. */
struct issued {
	const struct store_result *order; /* stored: the row in statement ... */
	unsigned stmt;                    /* ... this */
	const struct problem *failed;     /* the order is invalid, or ready */
	bool pending; /* not known or not done yet: the order is processing */
};

typedef enum step issued_fn(void *arg, const struct issued *);

/*
 * Sign and store. Goes on if the waiting task ends; then only the store
 * knows. t may be NULL: nobody waits. An issuer that does not plan is waited
 * for no longer than wait; then the order is processing.
 */
void issue_start(struct acme *, const struct claim *, struct task *t,
    int64_t wait, issued_fn *fn, void *arg);
/* Is this very attempt one of ours, still under way? */
bool issue_is_ours(const struct acme *, struct str order, int64_t attempt);
/* How many of them have asked an issuer or the store just now? */
unsigned issue_at_work(const struct acme *);
void issue_stop_all(struct acme *);

/* replaces.c: orders that replace a certificate */
struct replaces {
	bool given;
	struct str aki, serial;
	struct str id; /* the one spelling, for the store */
};
/* Pure. No "replaces" is fine: given is false. */
const struct problem *replaces_parse(struct areq *, struct replaces *);
/* Add the statements that look for it; the first one finds. */
void replaces_load(struct areq *, const struct replaces *, struct batch *);
const struct problem *replaces_check(struct areq *, const struct replaces *,
    const struct store_result *, const struct acme_id *, size_t);
/* 409, when the store ends CONFLICT */
const struct problem *replaces_conflict(struct areq *);

/* ---- renewal_info.c */

struct renewals *renewals_new(void);
void renewals_free(struct renewals *);

/* ---- tell.c: issuers and revocations; the pass is acme_tell_issuers */
void tell_stop_all(struct acme *);

#endif
