/* SPDX-License-Identifier: ISC */
/*
 * The ACME server (RFC 8555): the routes, the gate that each signed request
 * passes, and the way of an order from its making to its certificate.
 */
#ifndef ACME_ACME_H
#define ACME_ACME_H

#include "acme/nonce.h"
#include "conf/conf.h"
#include "http/http.h"
#include "issuer/issuer.h"
#include "loop/loop.h"
#include "ratelimit/ratelimit.h"
#include "redis/redis.h"
#include "seal/seal.h"
#include "store/store.h"

struct acme;

/* Finds an issuer by name; NULL if there is none. */
typedef struct issuer *acme_find_issuer(void *arg, const char *name);

struct acme_options {
	struct loop *loop;
	struct store *store;
	acme_find_issuer *find_issuer; /* issuers outlive the acme object */
	void *issuers;
	struct ratelimit *limits;
	struct redis *redis;          /* NULL: none */
	const struct seal_ring *ring; /* of secrets at rest */
	bool replicas; /* other processes serve the same clients */
};

struct acme *acme_new(const struct acme_options *);

/*
 * Serve under this configuration from now on; requests under way keep the one
 * they began with. The arena becomes acme's: it holds conf and is destroyed
 * when its last user is gone. public_url has no slash at its end.
 */
void acme_configure(struct acme *, struct arena *, const struct conf *conf,
    struct str public_url);

/*
 * May this address send a request without a signature, to whichever listener?
 * 0, and it is counted; or usec until it may.
 */
int64_t acme_guard(struct acme *, struct addr peer);

/*
 * What is remembered of accounts is forgotten, and read from the store anew:
 * an operator gave one of them other limits, perhaps by another replica.
 */
void acme_forget_accounts(struct acme *);

/* The keys of the nonces that all replicas have: see nonces_share. */
void acme_share_nonces(struct acme *, const struct nonce_key *keys, size_t n,
    size_t sealer);

/* What this process alone knows of nonces: see nonces_write. Once configured,
 * before anything is served. */
struct str acme_write_nonces(const struct acme *, struct arena *);
bool acme_read_nonces(struct acme *, struct str);

/* What listeners serve; lives as long as the acme object. */
const struct http_app *acme_http_app(const struct acme *);

/* The directory URL of the default profile. */
struct str acme_directory_url(const struct acme *);

/*
 * One pass of the recovery job: take over the orders whose claim ran out of
 * its lease, and finish or fail them. Nothing happens if a pass is under way.
 */
void acme_recover(struct acme *);

/*
 * Revoke n certificates by their ids, for operators; RFC 8555 clients have a
 * route of their own. The caller has checked the reason (pki_reason_name is
 * not NULL) and the ids. One batch revokes all of them or none, each with an
 * audit row "certificate.revoke" of this actor ("admin:NAME"); then the issuers are told, at once and, if they
 * cannot be, again and again (acme_tell_issuers). fn is called from the top of
 * the loop unless t ends first: NULL for success, else what the store says, or
 * ALREADY_REVOKED; NOT_FOUND too if it was one alone.
 */
typedef enum step acme_revoked_fn(void *arg, const struct problem *);
enum step acme_revoke(struct acme *, struct task *t, const struct str *ids,
    size_t n, int64_t reason, struct str actor, acme_revoked_fn *fn, void *arg);

/*
 * One pass of the job that tells issuers of revocations: those that are due
 * are claimed, told, and recorded; what fails is due again later, 30 s
 * doubling to an hour, until the certificate has expired.
 */
void acme_tell_issuers(struct acme *);

/*
 * The same for validations: those whose lease ran out are taken over.
 */
void acme_resume(struct acme *);

/*
 * Can this be configured? Name servers that validations would ask are set up
 * on the way. If not, *why (in the arena) says what is wrong.
 */
bool acme_check_conf(struct acme *, const struct conf *, struct arena *,
    const char **why);

/*
 * Hand validations under way to other processes, or to the next one. fn(arg)
 * is called from the top of the loop when the store knows.
 */
void acme_drain(struct acme *, void (*fn)(void *), void *arg);

/* Orders being issued now; of these, those that wait for an issuer or for the
 * store, and not for their next try. */
unsigned acme_issuing(const struct acme *);
unsigned acme_at_work(const struct acme *);

/* No request may be under way. */
void acme_free(struct acme *);

#endif
