/* SPDX-License-Identifier: ISC */
/*
 * base64url without padding (RFC 4648 section 5, RFC 7515 section 2). Strict:
 * one text for each run of bytes, anything else is refused.
 */
#ifndef BASE_B64URL_H
#define BASE_B64URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

#define B64URL_LEN(n) (((n)*4 + 2) / 3)

/* The encoded text, in the arena. */
struct str b64url_encode(struct arena *, struct str);

/* The same into out, which has room for B64URL_LEN(in.n); returns its length. */
size_t b64url_write(char *out, struct str in);

/*
 * Decode into the arena. False on padding, white space, a foreign letter, a
 * length that no run of bytes has, or trailing bits that are not zero.
 */
bool b64url_decode(struct arena *, struct str, struct str *out);

/* Decode exactly n bytes into out. */
bool b64url_decode_exact(struct str, void *out, size_t n);

#endif
