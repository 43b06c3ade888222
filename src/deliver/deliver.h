/* SPDX-License-Identifier: ISC */
/*
 * Delivery: a key and its certificate onto this node, and a program that is
 * told about them. All of it blocks (files are synced, the program is waited
 * for), so it is done in a child process; the loop only learns how it ended.
 *
 * Whoever reads the files never finds half a pair: in a folder, each pair has
 * a folder of its own and one link turns to it; plain files are renamed over
 * the old ones. If the program says no, the old pair is put back.
 */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"

enum {
	DELIVER_OUTPUT_MAX = 8192, /* bytes of the program's output kept */
	DELIVER_WORDS_MAX = 32,    /* of the program and its arguments */
};

/* What to deliver. Lives until deliver_start has returned. */
struct deliver_job {
	struct str name, names, serial, expires; /* told to the program */
	struct str cert, chain, key;             /* PEM */
	/* Where to: a folder, or files. Empty: none. */
	struct str folder, cert_file, key_file, chain_file, fullchain_file,
	    combined_file;
	unsigned mode;           /* of files with the key in them */
	struct str owner, group; /* names; empty: as it comes */
	const struct str *hook;  /* program and arguments */
	size_t nhook;            /* 0: none */
	int64_t hook_timeout;    /* usec */
	bool always_hook;        /* even if the files are the same already */
	/* Held while it is worked on, so that no two do so at once. */
	struct str lock_file;
};

enum deliver_outcome {
	DELIVER_DONE,      /* written, and the program is content */
	DELIVER_UNCHANGED, /* the same bytes lie there */
	DELIVER_FAILED,
};

/* How it ended. Lives until the callback returns. */
struct deliver_result {
	enum deliver_outcome outcome;
	const char *why;   /* DELIVER_FAILED */
	bool put_back;     /* the pair before is in its place again */
	struct str output; /* of the program, cut to the bound */
};

typedef void deliver_fn(void *arg, const struct deliver_result *);

struct deliver;

struct deliver *deliver_new(struct loop *);

/* Deliveries under way go on by themselves and end untold. NULL is fine. */
void deliver_free(struct deliver *);

/* fn is called later, from the top of the loop, unless t ends first. */
void deliver_start(struct deliver *, struct task *t, const struct deliver_job *,
    deliver_fn *fn, void *arg);

#endif
