/* SPDX-License-Identifier: ISC */
/* Random object ids: 128 bits as 22 letters of base64url. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

enum { ID_LEN = 22 };

/* A fresh id from the kernel's random source, in the arena. */
struct str id_new(struct arena *);

/* Does s look like an id of ours? Anything else need not reach the store. */
bool id_is_valid(struct str);

/* n random bytes from the kernel. Never fails: aborts instead. */
void id_random(void *, size_t n);

#endif
