/* SPDX-License-Identifier: ISC */
/*
 * What anybody may ask about the certificates of the local issuers:
 *
 *	/ca/ISSUER/crl		the CRL (RFC 5280), as the store has it
 *	/ca/ISSUER/crl/N/I	its shard I of N
 *	/ca/ISSUER/ocsp		OCSP (RFC 6960, 5019), by POST and by GET
 *	/ca/ISSUER/certificate	the CA's certificate in DER
 */
#ifndef RESPONDER_RESPONDER_H
#define RESPONDER_RESPONDER_H

#include "http/http.h"
#include "issuer/issuer.h"
#include "loop/loop.h"
#include "ratelimit/ratelimit.h"
#include "store/store.h"

struct responder;

/* Finds an issuer by its name, of whatever type; NULL if there is none. */
typedef struct issuer *responder_find_fn(void *arg, const char *name);

/* The i-th issuer, of whatever type; NULL behind the last. */
typedef struct issuer *responder_issuer_fn(void *arg, size_t i);

/* May this address ask? 0, or usec until it may. */
typedef int64_t responder_guard_fn(void *arg, struct addr peer);

struct responder_options {
	struct loop *loop;
	struct store *store;
	struct ratelimit *limits;
	responder_find_fn *find_issuer;
	responder_issuer_fn *issuer_at;
	responder_guard_fn *guard; /* NULL: everybody may */
	void *arg;
};

struct responder *responder_new(const struct responder_options *);

/*
 * Make what signs answers of OCSP, a responder certificate for each local
 * issuer, and make it anew in good time from now on. fn(arg) is called once,
 * perhaps at once, when each was tried: one that failed is tried again.
 */
typedef void responder_started_fn(void *arg);
void responder_start(struct responder *, responder_started_fn *fn, void *arg);

/* The options of an issuer have changed. */
void responder_look(struct responder *);

/* No timer fires any more; what is there signs on. */
void responder_stop(struct responder *);

/* What listeners serve; lives as long as the responder. */
const struct http_app *responder_http_app(const struct responder *);

/*
 * A certificate was revoked, by the canonical text of its serial: what this
 * process says about it changes at once. Others follow when the answer that
 * they have is half a minute old.
 */
void responder_forget(struct responder *, struct str serial);

/* Stop and free. No request may be under way. NULL is fine. */
void responder_free(struct responder *);

#endif
