/* SPDX-License-Identifier: ISC */
/* A file that others write, whatever the way in which they do. */
#ifndef CERTLOOPS_WATCH_H
#define CERTLOOPS_WATCH_H

#include "loop/loop.h"

struct watch;

/*
 * Call fn(arg) from the loop when the file may have changed, come or gone,
 * and every ten seconds. fn must not free the watch.
 */
struct watch *watch_new(struct loop *, const char *path, void (*fn)(void *),
    void *arg);

/* NULL is fine. */
void watch_free(struct watch *);

#endif
