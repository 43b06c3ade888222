/* SPDX-License-Identifier: ISC */
/*
 * Keys that take long to make: an RSA key is hundreds of milliseconds of one
 * core. Each is made in a child process of low priority, a few at a time; the
 * others wait for their turn.
 */
#ifndef CERTLOOPS_KEYMAKER_H
#define CERTLOOPS_KEYMAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "loop/task.h"
#include "pki/key.h"

struct keymaker;

struct keymaker_options {
	struct loop *loop;
	int64_t limit;     /* usec for one key; 0: 60 s */
	unsigned children; /* at a time; 0: 2 */
	/* Makes the key, in the child; NULL: pki_generate_key. For tests. */
	EVP_PKEY *(*make)(enum pki_key_kind);
};

/*
 * The key, which is the caller's to free; or NULL, and why not (a sentence
 * that lives until the callback returns).
 */
typedef void keymaker_fn(void *arg, EVP_PKEY *key, const char *why);

struct keymaker *keymaker_new(const struct keymaker_options *);

/* Children under way are ended. NULL is fine. */
void keymaker_free(struct keymaker *);

/* Does a key of this kind take so long that keymaker_start is due? */
bool keymaker_is_for(enum pki_key_kind);

/* fn is called later, from the top of the loop, unless t ends first. */
void keymaker_start(struct keymaker *, struct task *t, enum pki_key_kind,
    keymaker_fn *fn, void *arg);

#endif
