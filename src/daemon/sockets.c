/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets that were given to us: by the process before us, or by a
 * service manager (LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, as in
 * sd_listen_fds(3)). A listener takes the one that is at its address; of those
 * of a service manager else the one that has its name.
 */
#include "daemon/daemon.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log/log.h"

enum { FIRST = 3 }; /* where a service manager puts them */

void
sockets_add(struct daemon *d, int fd, struct str address, struct str name)
{
	struct given_socket *s;

	if (d->ngiven == SOCKETS_MAX) {
		close(fd);
		return;
	}
	s = &d->given[d->ngiven++];
	s->fd = fd;
	s->address = address.p != NULL ? str_dup(d->arena, address) : STR_NONE;
	s->name = str_dup(d->arena, name);
}

static bool
env_number(const char *name, uint64_t *out)
{
	const char *text = getenv(name);

	return text != NULL && str_u64(str_from(text), out);
}

void
sockets_from_environment(struct daemon *d)
{
	const char *text = getenv("LISTEN_FDNAMES");
	struct str names = str_from(text != NULL ? text : "");
	uint64_t pid, n;

	if (env_number("LISTEN_PID", &pid) && pid == (uint64_t)getpid() &&
	    env_number("LISTEN_FDS", &n) && n <= SOCKETS_MAX)
		for (int i = 0; i < (int)n; i++) {
			(void)fcntl(FIRST + i, F_SETFD, FD_CLOEXEC);
			sockets_add(d, FIRST + i, STR_NONE,
			    str_cut(&names, ':'));
		}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

static bool
fits(const struct given_socket *s, const char *address)
{
	if (s->address.p != NULL && str_eq(s->address, str_from(address)))
		return true;
	return http_is_socket_at(s->fd, address);
}

int
sockets_take(struct daemon *d, const char *address, struct str name,
    bool *shared)
{
	struct given_socket *found = NULL;
	int fd;

	for (size_t i = 0; i < d->ngiven && found == NULL; i++)
		if (d->given[i].fd > 0 && fits(&d->given[i], address))
			found = &d->given[i];
	for (size_t i = 0; i < d->ngiven && found == NULL; i++)
		if (d->given[i].fd > 0 && d->given[i].address.p == NULL &&
		    str_eq(d->given[i].name, name))
			found = &d->given[i];
	if (found == NULL)
		return 0;
	*shared = found->address.p == NULL; /* the service manager keeps it */
	fd = found->fd;
	found->fd = 0;
	return fd;
}

void
sockets_close_rest(struct daemon *d)
{
	for (size_t i = 0; i < d->ngiven; i++) {
		if (d->given[i].fd <= 0)
			continue;
		log_warn("no listener is at the address of a socket that was "
			 "passed",
		    LOG_STR("name",
			d->given[i].address.p != NULL ? d->given[i].address :
							d->given[i].name));
		close(d->given[i].fd);
		d->given[i].fd = 0;
	}
}
