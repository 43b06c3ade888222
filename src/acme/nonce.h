/* SPDX-License-Identifier: ISC */
/*
 * Replay nonces, RFC 8555 section 6.5. A nonce costs no storage to mint: it is
 * a sealed token that holds its mint time, a number of its own, and the name
 * of its redeemer. Only that redeemer may redeem it, once, whatever happens
 * to the others meanwhile:
 *
 *	process	this process, named by a random boot id: one bit for each
 *		nonce that it minted within their lifetime
 *	redis	all processes together, named by Redis's epoch
 *	store	all processes together, named by an epoch in the store
 *
 * For the last two all processes need the same key (nonces_share). Who is
 * named is decided when a nonce is minted; what is gone by the time that it
 * comes back makes it a badNonce, and the client takes the fresh one.
 */
#ifndef ACME_NONCE_H
#define ACME_NONCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "seal/seal.h"

struct nonces;

enum nonce_redeemer { NONCE_PROCESS = 1, NONCE_REDIS, NONCE_STORE };

enum {
	NONCE_KEYS_MAX = 2,
	NONCE_EPOCH_LEN = 16, /* letters that name a shared redeemer */
	NONCE_ID_LEN = 22,    /* base64url, unique among all processes */
	NONCE_PAGE = 4096,    /* nonces whose bits are kept together */
	/* pages at most; past them the oldest nonces are refused early */
	NONCE_PAGES = 16384,
};

/* An opened nonce. */
struct nonce {
	enum nonce_redeemer redeemer;
	char epoch[NONCE_EPOCH_LEN]; /* of a shared redeemer */
	char id[NONCE_ID_LEN];       /* for a shared redeemer */
	uint64_t boot, seq;          /* of the process that minted it */
	int64_t minted;              /* usec since 1970 */
};

/* lifetime in microseconds. The caller owns the result. */
struct nonces *nonces_new(int64_t lifetime);
void nonces_free(struct nonces *);

/* A reload may change the lifetime. */
void nonces_set_lifetime(struct nonces *, int64_t lifetime);
int64_t nonces_lifetime(const struct nonces *);

/* Keys that all processes have; id tells one from the next. */
struct nonce_key {
	struct seal_key key;
	uint8_t id;
};

/*
 * From now on seal with keys[sealer] and open with any of the n, at most
 * NONCE_KEYS_MAX, and with no other.
 */
void nonces_share(struct nonces *, const struct nonce_key *keys, size_t nkeys,
    size_t sealer);

/*
 * All that the redeemer "process" knows, so that another process can go on in
 * its place: to be kept secret, and used by one process only. nonces_read
 * takes it into nonces that have minted nothing yet; false if it is of another
 * build, and nothing has changed then.
 */
struct str nonces_write(const struct nonces *, struct arena *);
bool nonces_read(struct nonces *, struct str);

/*
 * A fresh nonce, text in the arena. epoch names the shared redeemer (of
 * NONCE_EPOCH_LEN letters); it is ignored for NONCE_PROCESS.
 */
struct str nonce_mint(struct nonces *, struct arena *, int64_t now,
    enum nonce_redeemer, struct str epoch);

/*
 * Is the text a nonce of ours (of all of us, if the key is shared) that is
 * still in date? Costs no I/O and changes nothing.
 */
bool nonce_open(const struct nonces *, struct arena *, struct str text,
    int64_t now, struct nonce *);

/*
 * Redeem an opened nonce whose redeemer is a process: true the first time,
 * never again, and never for one of another process.
 */
bool nonce_redeem(struct nonces *, const struct nonce *);

#endif
