/* SPDX-License-Identifier: ISC */
/*
 * The next process of a hand-over (daemon/handover.h). All of it happens
 * before the loop runs, so it may block, each step for a bounded time.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/mem.h>

#include "base/when.h"
#include "daemon/handover.h"
#include "log/log.h"

struct takeover {
	int fd;
	bool alone; /* the one before us wants to be alone on its store */
	struct buf got;
	size_t at; /* of got, how far it was read */
	int fds[SOCKETS_MAX];
	size_t nfds, fd_at;
	int nonces; /* a memory file, or -1 */
};

static const char request[] =
    "POST /api/v1/take-over HTTP/1.1\r\nHost: certloop\r\n"
    "Connection: Upgrade\r\nUpgrade: " HANDOVER_PROTOCOL "\r\n"
    "Content-Length: 0\r\n\r\n";

/* ---- lines */

static void
keep_descriptors(struct takeover *t, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (t->nfds < SOCKETS_MAX)
				t->fds[t->nfds++] = fd;
			else
				close(fd);
		}
	}
}

static bool
receive(struct takeover *t, int64_t patience)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	char text[4096];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(SOCKETS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	if (poll(&p, 1, (int)(patience / 1000)) <= 0)
		return false;
	if ((n = recvmsg(t->fd, &m, MSG_CMSG_CLOEXEC)) <= 0)
		return false;
	keep_descriptors(t, &m);
	buf_str(&t->got, str_make(text, (size_t)n));
	return !t->got.full;
}

/* The next line, without its end. p is NULL if there is none in time. */
static struct str
next_line(struct takeover *t, int64_t patience)
{
	for (;;) {
		struct str all = str_skip(buf_view(&t->got), t->at);
		size_t n = str_find(all, '\n');

		if (n < all.n) {
			t->at += n + 1;
			all.n = n;
			if (n > 0 && all.p[n - 1] == '\r')
				all.n--;
			return all;
		}
		if (!receive(t, patience))
			return STR_NONE;
	}
}

static bool
say(struct takeover *t, const char *text)
{
	return send(t->fd, text, strlen(text), MSG_NOSIGNAL) ==
	    (ssize_t)strlen(text);
}

/* ---- begin */

static const char *
dial(struct daemon *d, struct takeover *t)
{
	const char *path = d->conf->admin_socket.p;
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memcpy(un.sun_path, path, strlen(path)); /* conf bounds it */
	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->fd < 0 ||
	    connect(t->fd, (const struct sockaddr *)&un, sizeof(un)) != 0)
		return str_printf(d->arena, "there is no certloopd at %s: %s",
		    path, strerror(errno))
		    .p;
	if (!say(t, request))
		return "the running certloopd does not listen";
	return NULL;
}

static const char *
read_answer(struct daemon *d, struct takeover *t)
{
	int64_t patience = HANDOVER_PATIENCE * WHEN_SECOND;
	struct str line = next_line(t, patience);
	bool granted = str_starts(line, STR("HTTP/1.1 101"));

	if (line.p == NULL)
		return "the running certloopd does not answer";
	if (!granted)
		return str_printf(d->arena,
		    "the running certloopd refuses: " STR_FMT
		    " (its log says why)",
		    STR_ARG(line))
		    .p;
	while ((line = next_line(t, patience)).n > 0)
		;
	return line.p == NULL ? "the running certloopd hung up" : NULL;
}

static const char *
read_sockets(struct daemon *d, struct takeover *t)
{
	int64_t patience = HANDOVER_PATIENCE * WHEN_SECOND;
	struct str line, word;

	for (;;) {
		if ((line = next_line(t, patience)).p == NULL)
			return "the running certloopd hung up";
		word = str_cut(&line, ' ');
		if (str_eq(word, STR("store"))) {
			t->alone = !str_eq(line, STR("shared"));
			return NULL;
		}
		if (!str_eq(word, STR("socket")) || t->fd_at == t->nfds)
			return "the running certloopd speaks another protocol";
		sockets_add(d, t->fds[t->fd_at++], line, STR_NONE);
	}
}

bool
takeover_begin(struct daemon *d, const char **why)
{
	struct takeover *t = arena_new(d->arena, struct takeover);

	t->nonces = -1;
	t->got = buf_new(d->arena, HANDOVER_TEXT_MAX);
	if ((*why = dial(d, t)) != NULL || (*why = read_answer(d, t)) != NULL ||
	    (*why = read_sockets(d, t)) != NULL)
		return false;
	d->takeover = t;
	log_info("taking over", LOG_INT("sockets", d->ngiven));
	return true;
}

/* ---- the store */

bool
takeover_get_store(struct daemon *d, const char **why)
{
	struct takeover *t = d->takeover;
	int64_t patience = d->conf->shutdown_timeout +
	    HANDOVER_PATIENCE * WHEN_SECOND;
	bool alone = !d->conf->replicas ||
	    str_starts(d->conf->store.url, STR("sqlite:"));

	if (t == NULL || !(alone || t->alone))
		return true;
	if (!say(t, "store\n") ||
	    !str_eq(next_line(t, patience), STR("store"))) {
		*why = "the running certloopd did not let go of the store";
		return false;
	}
	if (t->fd_at < t->nfds)
		t->nonces = t->fds[t->fd_at++];
	return true;
}

void
takeover_read_nonces(struct daemon *d)
{
	struct takeover *t = d->takeover;
	struct stat st;
	void *p;

	if (t == NULL || t->nonces < 0 || d->conf->replicas)
		return;
	if (fstat(t->nonces, &st) == 0 && st.st_size > 0 &&
	    (p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		 MAP_SHARED, t->nonces, 0)) != MAP_FAILED) {
		if (!acme_read_nonces(d->acme, str_make(p, (size_t)st.st_size)))
			log_warn("nonces of the process before are lost");
		OPENSSL_cleanse(p, (size_t)st.st_size);
		(void)munmap(p, (size_t)st.st_size);
	}
	close(t->nonces);
	t->nonces = -1;
}

/* ---- the end */

void
takeover_done(struct daemon *d)
{
	struct takeover *t = d->takeover;

	if (t == NULL)
		return;
	if (!say(t, "ready\n"))
		log_warn("the process before is gone already");
	close(t->fd);
	d->takeover = NULL;
}
