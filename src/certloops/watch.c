/* SPDX-License-Identifier: ISC */
/*
 * A file that others write: told by inotify when it may have changed, however
 * it was written. Watched are the folder that its path names and the folders
 * on the way over symbolic links, as renames happen in folders and a link may
 * turn in any of them. What inotify misses, a slow poll finds.
 */
#include "certloops/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/when.h"

enum {
	FOLDERS_MAX = 8,   /* on the way over links */
	SETTLE_MS = 50,    /* events come in bursts */
	POLL_SECONDS = 10, /* the net below inotify */
	EVENTS = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM |
	    IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB,
};

struct watch {
	char *path;
	void (*fn)(void *);
	void *arg;
	int fd; /* -1: no inotify; the poll has to do */
	struct event readable;
	struct timer timer; /* the look that is due, or the poll */
	bool settling;      /* it is the look, soon after the first event */
	int folders[FOLDERS_MAX];
	size_t n;
};

/* Watch the folder of path. Known ones keep their number. */
static void
add_folder(struct watch *w, const char *path)
{
	char folder[PATH_MAX];
	char *slash;
	int wd;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		strcpy(folder, ".");
	else
		slash[slash == folder] = '\0';
	if ((wd = inotify_add_watch(w->fd, folder, EVENTS)) >= 0)
		w->folders[w->n++] = wd;
}

/* Where the link path leads, as a path; false if it is none. */
static bool
follow(const char *path, char out[static PATH_MAX])
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	const char *slash = strrchr(path, '/');
	int len;

	if (n < 0)
		return false;
	target[n] = '\0';
	if (target[0] == '/' || slash == NULL)
		len = snprintf(out, PATH_MAX, "%s", target);
	else
		len = snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - path),
		    path, target);
	return len < PATH_MAX;
}

/* All folders on the way, and none that is not on it any more. */
static void
set_folders(struct watch *w)
{
	char path[PATH_MAX], next[PATH_MAX];
	int old[FOLDERS_MAX];
	size_t nold = w->n;

	if (w->fd < 0)
		return;
	memcpy(old, w->folders, sizeof(old));
	w->n = 0;
	snprintf(path, sizeof(path), "%s", w->path);
	add_folder(w, path);
	while (w->n < FOLDERS_MAX && follow(path, next)) {
		memcpy(path, next, sizeof(path));
		add_folder(w, path);
	}
	for (size_t i = 0; i < nold; i++) {
		bool kept = false;

		for (size_t k = 0; k < w->n; k++)
			kept = kept || w->folders[k] == old[i];
		if (!kept)
			(void)inotify_rm_watch(w->fd, old[i]);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	char events[8192];

	(void)what;
	/* what they say does not matter: the file is looked at */
	while (read(fd, events, sizeof(events)) > 0)
		continue;
	/* a folder in which something happens all the time is looked at too */
	if (!w->settling)
		timer_start(&w->timer, SETTLE_MS * WHEN_SECOND / 1000);
	w->settling = true;
}

static void
on_timer(void *arg)
{
	struct watch *w = arg;

	w->settling = false;
	/* first the watches: what changes behind this look is told again */
	set_folders(w);
	timer_start(&w->timer, POLL_SECONDS * WHEN_SECOND);
	w->fn(w->arg);
}

struct watch *
watch_new(struct loop *l, const char *path, void (*fn)(void *), void *arg)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL || (w->path = strdup(path)) == NULL)
		abort();
	w->fn = fn;
	w->arg = arg;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	timer_init(&w->timer, l, on_timer, w);
	if (w->fd >= 0) {
		event_assign(&w->readable, loop_base(l), w->fd,
		    EV_READ | EV_PERSIST, on_readable, w);
		event_add(&w->readable, NULL);
	}
	set_folders(w);
	timer_start(&w->timer, POLL_SECONDS * WHEN_SECOND);
	return w;
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	timer_stop(&w->timer);
	if (w->fd >= 0) {
		event_del(&w->readable);
		close(w->fd);
	}
	free(w->path);
	free(w);
}
