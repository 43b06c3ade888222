/* SPDX-License-Identifier: ISC */
/* What the files of this module share. */
#ifndef RESPONDER_INT_H
#define RESPONDER_INT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "pki/ocsp.h"
#include "responder/responder.h"

enum { RESPONDER_ISSUER_MAX = 32 /* bytes of a name */ };

struct crl_cache;
struct ocsp_cache;

struct responder {
	struct responder_options options;
	struct http_app app;
	struct crl_cache *crls;
	struct ocsp_cache *answers;
	LIST_HEAD(, delegate) delegates; /* one for each local issuer */
	bool stopped;                    /* no new pair is made */
	unsigned starting;               /* of them, not tried yet */
	responder_started_fn *started;
	void *started_arg;
};

/* The local issuer that the path names, or NULL: answered, 404 or 429. */
struct issuer *responder_issuer(struct req *, const char *what);

/* What may be kept, where, and until when. */
struct freshness {
	struct str etag;      /* with its quotes */
	int64_t modified;     /* usec since 1970 */
	int64_t expires, now; /* the same */
	int64_t max_age;      /* usec: no longer than this, nor than expires */
};

/*
 * Answer with what caches may keep: 304 without the body if the client has it
 * (RFC 9110 section 13.1).
 */
enum step responder_reply(struct req *, const struct freshness *,
    const char *type, struct str body);

/* ---- crl.c */

extern const struct route crl_route, crl_shard_route;
struct crl_cache *crl_cache_new(void);
void crl_cache_free(struct crl_cache *);

/* ---- ocsp.c */

extern const struct route ocsp_post_route, ocsp_get_route;

/* ---- delegate.c: who signs answers of OCSP */

/*
 * Who signs now, and until when (usec since 1970) what it signs can be good.
 * False if there is nobody yet, which does not last. *out is to be used at
 * once.
 */
bool delegate_get(struct responder *, const struct issuer *,
    struct pki_ocsp_signer *out, int64_t *end);

void delegates_free(struct responder *);

/* ---- answers.c: signed answers about one certificate, bounded */

struct ocsp_answer {
	struct str der;
	const char *verdict;              /* for the metric; a constant */
	int64_t this_update, next_update; /* usec since 1970 */
};

struct ocsp_cache *ocsp_cache_new(void);
void ocsp_cache_free(struct ocsp_cache *);

/*
 * The answer to a CertID (which names the issuer too) of this serial, in its
 * canonical text. now: loop_mono. False if there is none that is young enough.
 * *out lives until the cache is changed.
 */
bool ocsp_cache_find(struct ocsp_cache *, int64_t now, struct str serial,
    struct str cert_id, struct ocsp_answer *out);

/*
 * Keep a copy. era: ocsp_cache_era when the store was asked; if something was
 * forgotten meanwhile, what was read may be out of date and is not kept.
 */
void ocsp_cache_add(struct ocsp_cache *, int64_t now, struct str serial,
    struct str cert_id, uint64_t era, const struct ocsp_answer *);
uint64_t ocsp_cache_era(const struct ocsp_cache *);

/* Drop what says something about this serial. */
void ocsp_cache_forget(struct ocsp_cache *, struct str serial);

size_t ocsp_cache_size(const struct ocsp_cache *);

#endif
