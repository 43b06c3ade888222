/* SPDX-License-Identifier: ISC */
/*
 * Replay nonces, RFC 8555 section 6.5. A nonce costs no storage to mint: it is
 * a sealed token that holds its mint time, a sequence number and the name of
 * its redeemer, and only that redeemer may redeem it, once.
 *
 * The redeemer here is this process, named by a random boot id: it keeps one
 * bit for each nonce that it minted within their lifetime.
 */
#ifndef ACME_NONCE_H
#define ACME_NONCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct nonces;

/* An opened nonce. */
struct nonce {
	uint64_t redeemer, seq;
	int64_t minted; /* usec since 1970 */
};

enum {
	NONCE_PAGE = 4096, /* nonces whose bits are kept together */
	/* pages at most; past them the oldest nonces are refused early */
	NONCE_PAGES = 16384,
};

/* lifetime in microseconds. The caller owns the result. */
struct nonces *nonces_new(int64_t lifetime);
void nonces_free(struct nonces *);

/* A reload may change the lifetime. */
void nonces_set_lifetime(struct nonces *, int64_t lifetime);

/* A fresh nonce, text in the arena. */
struct str nonce_mint(struct nonces *, struct arena *, int64_t now);

/*
 * Is the text a nonce of ours that is still in date and of a redeemer that
 * can be asked? Costs no I/O and changes nothing.
 */
bool nonce_open(const struct nonces *, struct arena *, struct str text,
    int64_t now, struct nonce *);

/* Redeem an opened nonce: true the first time, never again. */
bool nonce_redeem(struct nonces *, const struct nonce *);

#endif
