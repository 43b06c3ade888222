/* SPDX-License-Identifier: ISC */
/*
 * Host names to addresses as the system has them: its hosts file, its search
 * list, its name services. That is getaddrinfo(3), which blocks: before the
 * loop runs it is called, later a child calls it.
 */
#ifndef LOOP_LOOKUP_H
#define LOOP_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "loop/child.h"

enum {
	LOOKUP_NAMES_MAX = 32,
	LOOKUP_ADDRS_MAX = 4, /* of one name; the rest is left out */
	LOOKUP_FOUND_MAX = LOOKUP_NAMES_MAX * LOOKUP_ADDRS_MAX,
};

struct lookup_found {
	unsigned name; /* index of it */
	struct addr addr;
};

/*
 * Now, blocking: the addresses of one name, at most max. 0: none, and *why,
 * a static text, says why; *gone: that is for certain, not for lack of an
 * answer.
 */
size_t lookup_now(const char *name, struct addr *out, size_t max,
    const char **why, bool *gone);

/*
 * Names that may have other addresses by now. fn hears the addresses of all of
 * them, in their order: what was found, nothing of a name that has none, and
 * what was known before of one that could not be looked up.
 */
typedef void lookup_fn(void *arg, const struct lookup_found *, size_t n);

struct lookup {
	struct loop *loop;
	const char *const *names; /* the caller's, for as long */
	unsigned n;
	lookup_fn *fn;
	void *arg;
	bool running;
	int64_t next; /* loop_mono: not before */
	struct child child;
	struct lookup_found known[LOOKUP_FOUND_MAX]; /* by name */
	size_t nknown;
};

/* At most LOOKUP_NAMES_MAX names. */
void lookup_init(struct lookup *, struct loop *, const char *const *names,
    unsigned n, lookup_fn *, void *arg);

/* An address that is known of the name with this index; names in order. */
void lookup_know(struct lookup *, unsigned name, struct addr);

/* Look them up. False: one is under way, or there can be none now. */
bool lookup_start(struct lookup *);

/* The same for whom a connection failed: at most one every 10 s. */
void lookup_again(struct lookup *);

/* fn is not called any more. */
void lookup_stop(struct lookup *);

#endif
