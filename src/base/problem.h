/* SPDX-License-Identifier: ISC */
/*
 * A failure as a value: an RFC 9457 problem. The function that knows why a
 * thing failed makes one, the function that replies only sends it. NULL is
 * success.
 */
#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

enum problem_type {
#define PROBLEM(id, status, name, text) PROBLEM_##id,
#include "base/problem.def"
#undef PROBLEM
	PROBLEM_COUNT
};

/* One of several things that are wrong, RFC 8555 section 6.7.1. */
struct subproblem {
	enum problem_type type;
	struct str detail;
	struct str id_type;  /* "dns", "ip" */
	struct str id_value; /* the identifier it is about */
};

struct problem {
	enum problem_type type;
	struct str detail;            /* shown to the client */
	const char *cause;            /* logged, never sent; may be NULL */
	unsigned retry_after;         /* seconds; 0 for none */
	const struct str *algorithms; /* for badSignatureAlgorithm */
	size_t nalgorithms;
	struct subproblem *subs;
	size_t nsubs;
};

/* A problem whose detail is printed for the client. Never NULL. */
struct problem *problem_new(struct arena *, enum problem_type, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

/* A problem of this type with its default detail and a cause for the log. */
struct problem *problem_cause(struct arena *, enum problem_type,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * The same in an arena of one's own: the problem of an operation goes away
 * with its callback. Without the lists (algorithms, subs), which problems of
 * operations do not have.
 */
struct problem *problem_keep(struct arena *, const struct problem *);

/* What the log is told: the cause, or else the detail. */
struct str problem_reason(const struct problem *);

unsigned problem_status(enum problem_type);

/* The last part of the URN of its type, for example "badNonce". */
struct str problem_name(enum problem_type);

/* The problem document, RFC 9457 with RFC 8555's members. In the arena. */
struct str problem_json(struct arena *, const struct problem *);

#endif
