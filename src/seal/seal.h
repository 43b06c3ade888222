/* SPDX-License-Identifier: ISC */
/*
 * Authenticated encryption: short tokens that clients carry for us, and
 * secrets at rest. Keys and opened secrets are wiped after use.
 */
#ifndef SEAL_SEAL_H
#define SEAL_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum {
	SEAL_KEY_LEN = 32,
	SEAL_TOKEN_EXTRA = 29,     /* key id, nonce, tag */
	SEAL_TOKEN_MAX = 512,      /* plain bytes in a token */
	SEAL_SECRET_EXTRA = 37,    /* version, key id, nonce, tag */
	SEAL_SECRET_MAX = 1 << 20, /* plain bytes in a secret */
	SEAL_RING_MAX = 16,        /* keys in a ring */
};

struct seal_key {
	uint8_t bytes[SEAL_KEY_LEN];
};

/* A fresh random key. */
void seal_key_init(struct seal_key *);
void seal_key_wipe(struct seal_key *);

/*
 * Read a key file: exactly 32 bytes, a regular file of ours (or root's) that
 * group and others cannot touch. False otherwise; *why, in the arena, then
 * says what is wrong with which file and what to do.
 */
bool seal_load_key(struct arena *, const char *path, struct seal_key *,
    struct str *why);

/*
 * Make a key file of 32 random bytes, mode 0600, and sync it to disk. An
 * existing file is left alone: false, as for any other error.
 */
bool seal_make_key(struct arena *, const char *path, struct str *why);

/*
 * ---- tokens: AES-256-GCM-SIV, so even a repeated nonce only shows that two
 * tokens hold the same. Layout: id (1), nonce (12), ciphertext, tag (16).
 */
struct seal_box;

/* A key made ready to seal and open, with the id that its tokens carry. */
struct seal_box *seal_box_new(const struct seal_key *, uint8_t id);
void seal_box_free(struct seal_box *);
uint8_t seal_box_id(const struct seal_box *);

/*
 * Seal plain, at most SEAL_TOKEN_MAX bytes, bound to aad. The token, in the
 * arena, has SEAL_TOKEN_EXTRA more. p is NULL if plain is too long.
 */
struct str seal_token(struct arena *, const struct seal_box *, struct str plain,
    struct str aad);

/* The id of the box that may open a token; false if it is no token. */
bool seal_token_id(struct str token, uint8_t *id);

/* False unless the token is genuine, of this box and this aad. */
bool seal_open_token(struct arena *, const struct seal_box *, struct str token,
    struct str aad, struct str *plain);

/*
 * ---- secrets at rest: AES-256-GCM. The blob carries a format version and
 * the id of its key, which is derived from the key. It opens only in the
 * place that it was sealed for.
 */
struct seal_place {
	struct str table;
	struct str row; /* the key of the row */
	struct str column;
};

struct seal_ring;
struct seal_ring *seal_ring_new(void);
void seal_ring_free(struct seal_ring *);

/*
 * Add a copy of a key. The first one added seals, all of them open. False if
 * the ring is full or has the key already.
 */
bool seal_ring_add(struct seal_ring *, const struct seal_key *);

/* The blob, in the arena; p is NULL if the ring is empty or plain too long. */
struct str seal_secret(struct arena *, const struct seal_ring *,
    const struct seal_place *, struct str plain);

enum seal_verdict {
	SEAL_OK,
	SEAL_BAD,     /* no blob of ours, tampered with, or moved */
	SEAL_NO_KEY,  /* sealed under a key that is not in the ring */
	SEAL_VERSION, /* sealed by a newer version of certloop */
};

/* *plain lives in the arena and is wiped with it. */
enum seal_verdict seal_open_secret(struct arena *, const struct seal_ring *,
    const struct seal_place *, struct str blob, struct str *plain);

#endif
