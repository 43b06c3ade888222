/* SPDX-License-Identifier: ISC */
/*
 * What runs in the child process. It may block, and tells what is wrong by a
 * sentence in the arena.
 */
#ifndef DELIVER_DELIVER_INT_H
#define DELIVER_DELIVER_INT_H

#include "base/arena.h"
#include "base/buf.h"
#include "deliver/deliver.h"

enum { FILES_MAX = 5 };

/* A file of the pair. */
struct file {
	const char *variable; /* of the program's environment */
	const char *name;     /* in a folder */
	const char *path;     /* where readers find it; NULL: not wanted */
	struct str text;
	bool secret; /* the key is in it */
};

/* A pair on its way. */
struct pair {
	struct arena *arena;
	const struct deliver_job *job;
	struct file files[FILES_MAX];
	const char *folder; /* NULL: plain files */
	uid_t uid;          /* (uid_t)-1: as it comes */
	gid_t gid;
	bool changed; /* bytes were written */
	bool has_old; /* there is a pair to put back */
};

/* ---- files.c */

/* The files of a job, and who is to have them. */
const char *pair_init(struct arena *, const struct deliver_job *,
    struct pair *);

/*
 * Put the pair in its place. What lay there is kept until pair_keep or
 * pair_put_back, also if this process ends in between.
 */
const char *pair_write(struct pair *);

/* The new pair stays: forget the old one. */
void pair_keep(struct pair *);

/* The old pair comes back; false if there is none, or it did not work. */
bool pair_put_back(struct pair *);

/* ---- folder.c: the same for a folder */
const char *folder_write(struct pair *);
void folder_keep(struct pair *);
bool folder_put_back(struct pair *);

/* Write one file under a name that is not in use yet; sync it. */
const char *file_write_new(const struct pair *, const struct file *,
    const char *path);
bool file_is_same(const struct pair *, const struct file *, const char *path);
/* Give it the owner and permissions that it should have. */
bool file_own(const struct pair *, int fd, const struct file *);
void folder_sync(const char *path);
const char *fail_on(struct arena *, const char *what, const char *path);

/* ---- hook.c */

/* Run the program; NULL if it ended with 0, else what it did. */
const char *hook_run(const struct pair *, struct buf *output);

#endif
