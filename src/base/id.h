/* SPDX-License-Identifier: ISC */
/*
 * Object ids: 8 letters of time, so that rows of one time stand together in
 * every index, then 128 random bits as 22 letters of base64url.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum { ID_TIME_LEN = 8, ID_RANDOM_LEN = 22, ID_LEN = 30 };

/* A fresh id from the kernel's random source, in the arena. */
struct str id_new(struct arena *);

/* The same into out. */
void id_write(char out[static ID_LEN]);

/* Does s look like an id of ours? Anything else need not reach the store. */
bool id_is_valid(struct str);

/*
 * n random bytes of the kernel's; few at a time are asked for together. A child
 * after a fork gets others. For one thread. Never fails: aborts instead.
 */
void id_random(void *, size_t n);

/* 32 of them: to choose one of many, or to spread what many do at once. */
uint32_t id_draw(void);

#endif
