/* SPDX-License-Identifier: ISC */
/*
 * Issuers: whoever signs certificates. One interface for a CA in this process
 * and for one that is a request away. Nothing here knows who asks.
 *
 * An issuer that plans (the local CA) says before the claim which serial and
 * validity the certificate will have, so that the store knows them before
 * anything is signed. One that does not plan learns them from the answer.
 */
#ifndef ISSUER_ISSUER_H
#define ISSUER_ISSUER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/problem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "pki/pki.h"

struct issuer;

/* What to sign. Lives until sign() has returned; drivers copy what they keep. */
struct issuer_request {
	struct str csr; /* DER */
	struct str spki;
	const struct pki_names *names;
	struct str cn; /* STR_NONE: an empty subject */
	enum pki_key_kind kind;
	uint8_t serial[PKI_SERIAL_LEN]; /* of an issuer that plans */
	int64_t not_before, not_after;  /* usec since 1970, whole seconds */
	int64_t max_lifetime;           /* usec: the profile's */
	unsigned eku;                   /* PKI_EKU_ bits */
	/*
	 * An attempt since then may have signed (usec since 1970; 0: none).
	 * An issuer that does not plan and can, looks for what it made, which
	 * is then the answer, before it is asked anew; or it only looks.
	 */
	int64_t since;
	bool look_only;
	/* extensions that only an issuer which plans can put in: RFC 7633's
	 * status_request, RFC 9608 */
	bool must_staple, no_rev_avail;
};

/* Kinds of failure, for metrics. */
enum issuer_class {
	ISSUER_OK,
	ISSUER_TIMEOUT,
	ISSUER_AUTH,         /* our credentials will not do */
	ISSUER_RATE_LIMITED, /* theirs, or our bound on requests under way */
	ISSUER_VALIDATION,   /* what came back is not what was ordered */
	ISSUER_UPSTREAM_4XX, /* it refuses the request */
	ISSUER_UPSTREAM_5XX, /* it is sealed, on standby, or broken */
	ISSUER_NETWORK,
	ISSUER_OTHER,
	ISSUER_CLASSES,
};

/* "ok", "timeout", "auth", "rate_limited", ... */
const char *issuer_class_name(enum issuer_class);

/* What became of it. Lives until the callback returns. */
struct issuer_result {
	const struct problem *problem; /* NULL: signed, or revoked */
	bool again; /* not the request's fault: another try may succeed */
	enum issuer_class class;
	/*
	 * It failed, and yet the issuer may have signed: a remote one that did
	 * not answer, or not sensibly.
	 */
	bool uncertain;
	bool absent;          /* it only looked, and nothing was made before */
	bool unasked;         /* it was refused on our side: nothing left */
	bool resting;         /* so by the breaker: to try soon is in vain */
	unsigned retry_after; /* seconds that it asked us to wait; 0: none */
	/* the certificate; also one that will not do, if there is a problem */
	struct str der;
	struct str serial;             /* its canonical text, pki_serial_text */
	int64_t not_before, not_after; /* usec since 1970 */
	struct str chain_pem;          /* what follows it for the client */
	const char *chain_id;          /* names the chain's text for ever */
	const char *found; /* of a test: a sentence about what was found */
};

typedef void issuer_fn(void *arg, const struct issuer_result *);

/* A certificate that is in hand, until it is stored or revoked. */
struct issuer_made {
	struct str der; /* empty: there is none */
	struct str serial, chain_pem, chain_id;
	int64_t not_before, not_after; /* usec since 1970, never backwards */
};

/* The result's certificate in memory of the arena's: a result goes away. */
struct issuer_made issuer_keep_made(struct arena *,
    const struct issuer_result *);

/* What drivers do. Everybody else calls the functions below. */
struct issuer_ops {
	const char *type;
	bool plans;
	/* Background work begins; returns at once. Optional. */
	void (*start)(struct issuer *);
	/* After it no timer fires and no new request leaves. Optional. */
	void (*stop)(struct issuer *);
	/* fn is called later, from the top of the loop, unless t ends first. */
	void (*sign)(struct issuer *, struct task *t,
	    const struct issuer_request *, issuer_fn *fn, void *arg);
	/*
	 * Tell the issuer that a certificate is revoked, by the canonical text
	 * of its serial. Optional.
	 */
	void (*revoke)(struct issuer *, struct task *t, struct str serial,
	    issuer_fn *fn, void *arg);
	/*
	 * Could it sign now? Nothing is issued, nothing is stored. The result
	 * has a problem, or `found`.
	 */
	void (*test)(struct issuer *, struct task *t, issuer_fn *fn, void *arg);
	/* A sentence about what is wrong with it now, or NULL. Optional. */
	const char *(*trouble)(const struct issuer *, struct arena *);
	void (*free)(struct issuer *);
};

/*
 * The part that all issuers share; each driver embeds it first and fills it
 * with issuer_init (issuer/front.h).
 */
struct issuer_front;

struct issuer {
	const struct issuer_ops *ops;
	struct issuer_front *front;
	char name[64];
	unsigned refs; /* 1 when it is made: its owner's */
};

/*
 * Ask an issuer. fn is called later, from the top of the loop, unless t ends
 * first. What is beyond its bounds waits, or is refused; while its breaker is
 * open all is refused (result.resting). Signatures are counted and timed.
 */
void issuer_sign(struct issuer *, struct task *t, const struct issuer_request *,
    issuer_fn *fn, void *arg);

/* ops->revoke must be there. */
void issuer_revoke(struct issuer *, struct task *t, struct str serial,
    issuer_fn *fn, void *arg);

/* The same for ops->test, which neither bounds nor breaker refuse. */
void issuer_test(struct issuer *, struct task *t, issuer_fn *fn, void *arg);

/* Is its breaker open? Then the problem that says so; counted as a refusal. */
const struct problem *issuer_check_rest(const struct issuer *, struct arena *);

/* The same without a word and uncounted, for who could wait. */
bool issuer_is_resting(const struct issuer *);

/* A sentence about what is wrong with it now; NULL: nothing is known. */
const char *issuer_trouble(const struct issuer *, struct arena *);

/* Background work begins. */
void issuer_start(struct issuer *);

/*
 * No timer of it fires and no new request leaves. What waited is refused, and
 * may be asked of its successor.
 */
void issuer_stop(struct issuer *);

/*
 * An issuer may be replaced while others still point at it: they hold it
 * until they let it go. One that is stopped refuses what it is asked.
 */
struct issuer *issuer_hold(struct issuer *);
void issuer_let_go(void *issuer);

/* ---- the local CA */

struct issuer_local_options {
	const char *name;
	struct loop *loop;
	const char *cert_file, *key_file, *chain_file; /* chain may be NULL */
	const char *alternate_file;  /* another chain of it; NULL: none */
	const char *passphrase_file; /* of the key; NULL: not encrypted */
	/* usec before now that validity begins; never more than this part of
	 * the lifetime */
	int64_t backdate;
#define ISSUER_BACKDATE_PART 10
	const char *ocsp_url, *ca_issuers_url, *crl_url; /* NULL: none */
	/* what is published about its certificates; usec, 0: nothing */
	int64_t crl_interval, crl_lifetime, ocsp_lifetime;
	int64_t responder_lifetime; /* 0: its own key signs answers of OCSP */
	unsigned crl_shards; /* lists besides the complete one; 0, 1: none */
	int64_t longest;     /* usec: no profile gives a longer life */
};

/* Read key and chain, check them. NULL: *why (in the arena) says what. */
struct issuer *issuer_local_new(const struct issuer_local_options *,
    struct arena *, const char **why);

/* Take over what a reload may change: all but the files. */
void issuer_local_set(struct issuer *, const struct issuer_local_options *);

/* The CA behind a local issuer; lives as long as the issuer. */
const struct pki_ca *issuer_local_ca(const struct issuer *);

/*
 * The other chain that clients may choose instead of the one with that id, as
 * PEM text; STR_NONE if there is none.
 */
struct str issuer_local_alternate(const struct issuer *, struct str chain_id);

/* What is published about the certificates of a local issuer. */
struct issuer_publishing {
	int64_t crl_interval; /* usec; 0: no CRL */
	int64_t crl_lifetime;
	unsigned crl_shards;   /* 1: only the complete CRL */
	int64_t longest;       /* usec: no profile gives a longer life */
	int64_t ocsp_lifetime; /* usec; 0: no OCSP */
	/* usec, of the certificate that signs its answers; 0: the CA's does */
	int64_t responder_lifetime;
};
struct issuer_publishing issuer_local_publishing(const struct issuer *);

/*
 * Where the complete CRL of a local issuer is (shards is 1), or one of its
 * shards; STR_NONE if nobody said.
 */
struct str issuer_local_crl_url(const struct issuer *, struct arena *,
    unsigned shards, unsigned shard);

/*
 * Call fn when a local issuer is told of a revocation, which the store holds
 * by then: time to publish it. serial is its canonical text. fn starts no
 * request and ends no task.
 */
typedef void issuer_revoked_fn(void *arg, struct issuer *, struct str serial);
void issuer_local_on_revoke(struct issuer *, issuer_revoked_fn *fn, void *arg);

/*
 * When a certificate that begins now would begin and end: backdated, never
 * beyond the issuer's own end, whole seconds. False if nothing is left, or if
 * the issuer does not plan.
 */
bool issuer_plan_validity(const struct issuer *, int64_t now, int64_t lifetime,
    int64_t *not_before, int64_t *not_after);

/* ---- Vault and OpenBao: the PKI secrets engine over HTTP */

struct fetch;

struct issuer_vault_options {
	const char *name;
	struct loop *loop;
	struct fetch *fetch; /* outlives the issuer and what it has sent */
	struct str address;  /* https://vault.example:8200 */
	const char *mount;   /* NULL: "pki" */
	const char *role;
	const char *namespace;  /* NULL: none */
	const char *ca_file;    /* who Vault's certificate is from; NULL: any */
				/* CA that the system trusts */
	const char *token_file; /* only its owner may read it */
	const char *token_env;  /* instead: a variable of the environment */
	/* instead of a token, AppRole: a role, and a file with its secret */
	const char *role_id, *secret_id_file;
	const char *auth_mount; /* of AppRole; NULL: "approle" */
	/*
	 * A certificate never lives longer than the profile says, nor than
	 * this; 0: no bound of its own.
	 */
	int64_t ttl;
	/* How far before now the role lets certificates begin; 0: 30 s. */
	int64_t backdate;
	int64_t timeout;      /* usec of each request; 0: 30 s */
	unsigned running_max; /* requests under way; 0: 64 */
	unsigned queue_max;   /* that wait for their turn */
	/* failures in a row until it is not asked for a while; 0: never */
	unsigned breaker_failures;
	int64_t breaker_rest; /* usec: how long, at first */
	int64_t second; /* usec of a second of Vault's TTLs; 0: a real one */
};

/*
 * NULL: *why (in the arena) says what is wrong with an option or a file. A
 * token file that is not there yet is waited for. Renewal of the token begins
 * with start.
 */
struct issuer *issuer_vault_new(const struct issuer_vault_options *,
    struct arena *, const char **why);

/* Do both have the same options and CAs, and read the same token file? */
bool issuer_vault_is_same(const struct issuer *, const struct issuer *);

/* Its owner's end: stop, and free once nobody holds it. NULL is fine. */
void issuer_free(struct issuer *);

#endif
