/* SPDX-License-Identifier: ISC */
/*
 * The CRLs of local issuers: one replica looks every few seconds whether one
 * is due, and whoever was told of a revocation looks at once. What is made is
 * in the store, so all serve the same bytes.
 */
#ifndef JOBS_CRL_H
#define JOBS_CRL_H

#include "issuer/issuer.h"
#include "sched/sched.h"

struct crl_job;

/* The i-th issuer, of whatever type; NULL behind the last. */
typedef struct issuer *crl_issuer_fn(void *arg, size_t i);

/* holder: id of this process. The first look comes at once. */
struct crl_job *crl_start(struct loop *, struct store *, struct str holder,
    crl_issuer_fn *issuers, void *arg);

/*
 * Look soon: something was revoked. Many such calls are one look, and looks
 * that make lists take a twentieth of the time at most.
 */
void crl_look(struct crl_job *);

/* Nothing of it runs any more. NULL is fine. */
void crl_stop(struct crl_job *);

#endif
