/* SPDX-License-Identifier: ISC */
/*
 * A child that writes a line for each address: index of the name, address; or
 * a hyphen, if the name has none for certain. It has a child for each name, so
 * that one that takes for ever to be looked up takes nothing from the others.
 */
#include "loop/lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/when.h"

enum {
	LINE_MAX_LEN = 48,
	PATIENCE = 15, /* sec; resolv.conf(5): 5 for a server that is dead */
};
#define LIMIT ((PATIENCE + 2) * WHEN_SECOND) /* the alarms end it before */
#define REST (10 * WHEN_SECOND)

static struct addr
read_addr(const struct addrinfo *i)
{
	const struct sockaddr_in *in = (const void *)i->ai_addr;
	const struct sockaddr_in6 *in6 = (const void *)i->ai_addr;

	if (i->ai_family == AF_INET)
		return addr_from_bytes(&in->sin_addr, 4);
	if (i->ai_family == AF_INET6)
		return addr_from_bytes(&in6->sin6_addr, 16);
	return (struct addr){ .len = 0 };
}

size_t
lookup_now(const char *name, struct addr *out, size_t max, const char **why,
    bool *gone)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *i;
	int error = getaddrinfo(name, NULL, &hints, &list);
	size_t n = 0;

	*why = "it has no address";
	*gone = error == 0 || error == EAI_NONAME || error == EAI_NODATA;
	if (error != 0) {
		*why = gai_strerror(error);
		return 0;
	}
	for (i = list; i != NULL && n < max; i = i->ai_next)
		if ((out[n] = read_addr(i)).len != 0)
			n++;
	freeaddrinfo(list);
	return n;
}

/* ---- the child's side */

static void
look_up_one(const struct lookup *l, unsigned name)
{
	struct arena *a = arena_create();
	struct buf lines = buf_new(a, LOOKUP_ADDRS_MAX * LINE_MAX_LEN);
	struct addr v[LOOKUP_ADDRS_MAX];
	const char *why;
	bool gone;
	size_t n = lookup_now(l->names[name], v, LOOKUP_ADDRS_MAX, &why, &gone);

	for (size_t i = 0; i < n; i++)
		buf_printf(&lines, "%u " STR_FMT "\n", name,
		    STR_ARG(addr_text(a, v[i])));
	if (n == 0 && gone)
		buf_printf(&lines, "%u -\n", name);
	child_say(lines.p, lines.len); /* in one piece: below PIPE_BUF */
}

static void
look_up(const void *job)
{
	const struct lookup *l = job;

	for (unsigned i = 0; i < l->n; i++)
		if (fork() == 0) {
			(void)alarm(PATIENCE); /* so that it is reaped here */
			look_up_one(l, i);
			_exit(0);
		}
	while (wait(NULL) > 0)
		continue;
}

/* ---- our side */

/*
 * The lines of one name, which come as each child is done. False: nothing was
 * said of it.
 */
static bool
read_lines(struct str text, unsigned name, struct lookup_found *out, size_t *n)
{
	uint64_t index;
	bool said = false;

	while (text.n > 0) {
		struct str line = str_cut(&text, '\n');

		if (!str_u64(str_cut(&line, ' '), &index) || index != name)
			continue;
		said = true;
		if (*n < LOOKUP_FOUND_MAX && addr_parse(line, &out[*n].addr))
			out[(*n)++].name = name;
	}
	return said;
}

static void
keep_known(const struct lookup *l, unsigned name, struct lookup_found *out,
    size_t *n)
{
	for (size_t i = 0; i < l->nknown && *n < LOOKUP_FOUND_MAX; i++)
		if (l->known[i].name == name)
			out[(*n)++] = l->known[i];
}

static void
on_ended(void *arg)
{
	struct lookup *l = arg;
	char text[LOOKUP_FOUND_MAX * LINE_MAX_LEN];
	struct lookup_found found[LOOKUP_FOUND_MAX];
	size_t len = child_read(&l->child, text, sizeof(text)), n = 0;

	l->running = false;
	child_forget(&l->child);
	for (unsigned i = 0; i < l->n; i++)
		if (!read_lines(str_make(text, len), i, found, &n))
			keep_known(l, i, found, &n);
	memcpy(l->known, found, n * sizeof(*found));
	l->nknown = n;
	l->fn(l->arg, l->known, n);
}

void
lookup_init(struct lookup *l, struct loop *loop, const char *const *names,
    unsigned n, lookup_fn *fn, void *arg)
{
	if (n > LOOKUP_NAMES_MAX)
		abort(); /* the caller's bound is lower */
	*l = (struct lookup){ .loop = loop,
		.names = names,
		.n = n,
		.fn = fn,
		.arg = arg };
}

void
lookup_know(struct lookup *l, unsigned name, struct addr addr)
{
	if (l->nknown < LOOKUP_FOUND_MAX)
		l->known[l->nknown++] = (struct lookup_found){ name, addr };
}

bool
lookup_start(struct lookup *l)
{
	if (l->n == 0 || l->running)
		return false;
	l->running = child_start(&l->child, l->loop, look_up, l, LIMIT,
	    on_ended, l);
	return l->running;
}

void
lookup_again(struct lookup *l)
{
	int64_t now = loop_mono(l->loop);

	if (now < l->next || !lookup_start(l))
		return;
	l->next = now + REST;
}

void
lookup_stop(struct lookup *l)
{
	if (!l->running)
		return;
	child_kill(&l->child);
	(void)waitpid(l->child.pid, NULL, 0);
	child_forget(&l->child);
	l->running = false;
}
