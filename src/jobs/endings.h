/* SPDX-License-Identifier: ISC */
/*
 * How many certificates end soon: certloop_certificates_ending, counted by
 * each process every few minutes, a page of an index at a time, so that
 * however many there are, requests have most of the store's time.
 */
#ifndef JOBS_ENDINGS_H
#define JOBS_ENDINGS_H

#include "loop/loop.h"
#include "store/store.h"

struct endings;

/* The first count begins at once. Both outlive the result. */
struct endings *endings_start(struct loop *, struct store *);

/* No timer fires any more. NULL is fine. */
void endings_stop(struct endings *);

#endif
