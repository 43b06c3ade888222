/* SPDX-License-Identifier: ISC */
/*
 * API keys as their holders have them:
 *
 *	clk_ID.SECRET
 *
 * ID names the row in the store, 30 letters, and is no secret. SECRET is 256
 * random bits in base64url, of which only the SHA-256 is kept: so many bits
 * cannot be guessed, a slow hash would add nothing.
 */
#ifndef ADMIN_APIKEY_H
#define ADMIN_APIKEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

#define APIKEY_PREFIX "clk_"

enum { APIKEY_SECRET_LEN = 32, APIKEY_HASH_LEN = 32, APIKEY_TEXT_LEN = 78 };

/* Of a secret, and nothing of the secret itself. */
struct apikey_hash {
	uint8_t bytes[APIKEY_HASH_LEN];
};

/* A fresh key for the row of that id; its text is in the arena. */
struct str apikey_new(struct arena *, struct str id, struct apikey_hash *);

/* False if the text is no key. *id points into it. */
bool apikey_parse(struct str text, struct str *id, struct apikey_hash *);

/* Is this what the store has? In constant time. */
bool apikey_is(const struct apikey_hash *, struct str stored);

/* "Bearer KEY" of the header Authorization (RFC 6750 section 2.1): the key,
 * empty if there is none. False if it is another scheme, or no header. */
bool apikey_of_header(struct str value, struct str *key);

/* What a key is called: letters, digits, ".", "-" and "_", and not an id. */
enum { APIKEY_NAME_MAX = 32 };
bool apikey_is_name(struct str);

#endif
