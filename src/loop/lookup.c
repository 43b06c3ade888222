/* SPDX-License-Identifier: ISC */
/*
 * A child that writes a line for each address: index of the name, address. It
 * has a child for each name, so that one that takes for ever to be looked up
 * does not keep the others waiting.
 */
#include "loop/lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/when.h"

enum {
	ADDRS_MAX = 16, /* of one name */
	LINE_MAX_LEN = 48,
};
#define LIMIT (5 * WHEN_SECOND) /* a resolver that is later is none */
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
lookup_now(const char *name, struct addr *out, size_t max, const char **why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *i;
	int error = getaddrinfo(name, NULL, &hints, &list);
	size_t n = 0;

	*why = "it has no address";
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
	struct buf lines = buf_new(a, ADDRS_MAX * LINE_MAX_LEN);
	struct addr v[ADDRS_MAX];
	const char *why;
	size_t n = lookup_now(l->names[name], v, ADDRS_MAX, &why);

	for (size_t i = 0; i < n; i++)
		buf_printf(&lines, "%u " STR_FMT "\n", name,
		    STR_ARG(addr_text(a, v[i])));
	child_say(lines.p, lines.len); /* in one piece: below PIPE_BUF */
}

static void
look_up(const void *job)
{
	const struct lookup *l = job;

	for (unsigned i = 0; i < l->n; i++)
		if (fork() == 0) {
			look_up_one(l, i);
			_exit(0);
		}
	while (wait(NULL) > 0)
		continue;
}

/* ---- our side */

/* The lines of one name; they come as each child is done. */
static size_t
read_lines(struct str text, unsigned name, struct lookup_found *out, size_t max)
{
	size_t n = 0;
	uint64_t index;

	while (text.n > 0 && n < max) {
		struct str line = str_cut(&text, '\n');

		if (str_u64(str_cut(&line, ' '), &index) && index == name &&
		    addr_parse(line, &out[n].addr))
			out[n++].name = name;
	}
	return n;
}

static void
on_ended(void *arg)
{
	struct lookup *l = arg;
	char text[LOOKUP_NAMES_MAX * ADDRS_MAX * LINE_MAX_LEN];
	struct lookup_found found[LOOKUP_FOUND_MAX];
	size_t len = child_read(&l->child, text, sizeof(text)), n = 0;

	l->running = false;
	child_forget(&l->child);
	for (unsigned i = 0; i < l->n; i++)
		n += read_lines(str_make(text, len), i, found + n,
		    LOOKUP_FOUND_MAX - n);
	l->fn(l->arg, found, n);
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
	child_forget(&l->child);
	l->running = false;
}
