/* SPDX-License-Identifier: ISC */
/*
 * What a service manager wants to know, as in sd_notify(3): lines of NAME=VALUE
 * in one datagram to the socket in NOTIFY_SOCKET. Nobody waits for it.
 */
#include "daemon/daemon.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/when.h"

static void
tell(struct str text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(un.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, text.p, text.n, MSG_NOSIGNAL,
	    (const struct sockaddr *)&un,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

void
notify_ready(const struct daemon *d)
{
	struct arena *a = arena_create();

	tell(str_printf(a, "READY=1\nMAINPID=%ld\nSTATUS=serving " STR_FMT,
	    (long)getpid(), STR_ARG(d->public_url)));
	arena_destroy(a);
}

void
notify_reloading(void)
{
	struct arena *a = arena_create();
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	tell(str_printf(a, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)ts.tv_sec * WHEN_SECOND + ts.tv_nsec / 1000));
	arena_destroy(a);
}

void
notify_stopping(void)
{
	tell(STR("STOPPING=1\nSTATUS=finishing what is under way"));
}
