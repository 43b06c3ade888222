/* SPDX-License-Identifier: ISC */
/*
 * The running process of a hand-over (daemon/handover.h): it gives its sockets
 * away, and perhaps its store, but keeps its own until the next one is ready.
 */
#include "daemon/daemon.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/mem.h>

#include "base/when.h"
#include "daemon/handover.h"
#include "log/log.h"
#include "loop/sock.h"

struct handover {
	struct daemon *d;
	struct sock sock;
	char line[16];
	size_t n;
	bool lending;          /* the store was asked for */
	int kept[SOCKETS_MAX]; /* while it is lent: our listening sockets */
	size_t nkept;
};

/* What outlives the daemon's objects, to wait for the next one. */
struct lent {
	int fd;     /* to the next one */
	int nonces; /* a memory file, or -1 */
	int sockets[SOCKETS_MAX];
	size_t nsockets;
	char *config; /* or NULL */
};

static void on_sock(void *);

/* ---- the offer */

static bool
is_alone(const struct daemon *d)
{
	return !d->conf->replicas ||
	    strcmp(store_engine(d->store), "sqlite") == 0;
}

/* One message: all lines, all descriptors. */
static bool
send_with(int fd, struct str text, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(SOCKETS_MAX * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text.p,
		.iov_len = text.n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (n > 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		assert(c != NULL); /* it has room */
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)text.n;
}

static bool
offer(struct daemon *d, int fd)
{
	struct http_socket all[SOCKETS_MAX];
	size_t n = http_server_sockets(d->http, all, SOCKETS_MAX);
	struct arena *a = arena_create();
	struct buf b = buf_new(a, HANDOVER_TEXT_MAX);
	int fds[SOCKETS_MAX];
	bool ok;

	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "socket %s\n", all[i].address);
		fds[i] = all[i].fd;
	}
	buf_printf(&b, "store %s\n", is_alone(d) ? "alone" : "shared");
	ok = !b.full && send_with(fd, buf_view(&b), fds, n);
	arena_destroy(a);
	return ok;
}

/* ---- what the next one says */

static void
forget(struct handover *h)
{
	h->d->handover = NULL;
	sock_close(&h->sock);
	free(h);
}

/* The server closes its own. */
static void
keep_sockets(struct handover *h)
{
	struct http_socket all[SOCKETS_MAX];
	size_t n = http_server_sockets(h->d->http, all, SOCKETS_MAX);

	for (size_t i = 0; i < n; i++) {
		h->kept[h->nkept] = fcntl(all[i].fd, F_DUPFD_CLOEXEC, 0);
		if (h->kept[h->nkept] >= 0)
			h->nkept++;
	}
}

static void
take_line(struct handover *h, struct str line)
{
	struct daemon *d = h->d;

	if (str_eq(line, STR("store")) && !h->lending && !d->stopping) {
		log_info("handing over: closing the store");
		h->lending = true;
		keep_sockets(h);
		daemon_give_way(d);
	} else if (str_eq(line, STR("ready")) && !h->lending) {
		log_info("handed over");
		daemon_give_way(d);
		forget(h);
	} else {
		log_warn("hand-over: not understood");
		forget(h);
	}
}

/* The next one is gone. What has begun goes on: main looks again. */
static void
lose(struct handover *h)
{
	log_warn("hand-over: the next process has gone before it was ready");
	if (!h->lending)
		forget(h);
}

static void
on_sock(void *arg)
{
	struct handover *h = arg;
	enum sock_result r;
	size_t n;
	char c;

	while ((r = sock_recv(&h->sock, &c, 1, &n)) == SOCK_OK) {
		if (c != '\n' && h->n < sizeof(h->line)) {
			h->line[h->n++] = c;
			continue;
		}
		n = h->n;
		h->n = 0;
		take_line(h, str_make(h->line, n));
		return; /* h may be gone; one line is all that may be said */
	}
	if (r != SOCK_AGAIN)
		lose(h);
}

static void
begin(struct daemon *d, int fd)
{
	struct handover *h = calloc(1, sizeof(*h));

	if (h == NULL)
		abort();
	h->d = d;
	if (!offer(d, fd) || !sock_start(&h->sock, d->loop, fd, on_sock, h)) {
		log_warn("hand-over: the sockets could not be sent");
		close(fd);
		free(h);
		return;
	}
	d->handover = h;
}

void
handover_stop(struct daemon *d)
{
	if (d->handover != NULL)
		forget(d->handover);
}

/* ---- POST /take-over */

static enum step
on_audited(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct daemon *d = admin_arg(c);
	struct str actor = str_dup(d->arena, c->actor);
	int fd;

	if (r->status != STORE_OK)
		log_warn("a hand-over has no row in the audit trail",
		    LOG_STR("actor", actor));
	if (d->stopping || d->handover != NULL)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"the daemon stops or hands over already"));
	if ((fd = req_upgrade(c->req, HANDOVER_PROTOCOL)) < 0)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"this connection cannot be used for it"));
	log_info("handing over", LOG_STR("actor", actor));
	begin(d, fd);
	return STEP_DONE;
}

static enum step
take_over_start(struct admin_call *c)
{
	struct daemon *d = admin_arg(c);
	struct batch *b;

	if (d->stopping || d->handover != NULL)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"the daemon stops or hands over already"));
	if (!str_case_eq(req_header(c->req, "Upgrade"), STR(HANDOVER_PROTOCOL)))
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_BAD_PARAMETER,
			"this is for certloopd --take-over"));
	b = store_new_batch(c->store, &c->req->task, STR(""));
	admin_count("take_over");
	admin_audit(c, b, &(struct admin_change){ .action = "take_over" });
	return store_send_batch(b, on_audited, c);
}

const struct admin_route take_over_route = {
	.http = { .methods = REQ_POST,
	    .path = "/take-over",
	    .name = "admin-take-over",
	    .start = admin_start },
	.scope = ADMIN_ADMIN,
	.by_socket_only = true,
	.start = take_over_start,
};

/* ---- after the loop has ended */

static int
keep_nonces(struct daemon *d)
{
	int fd = memfd_create("nonces", MFD_CLOEXEC);
	struct arena *a = arena_create();
	struct str text = acme_write_nonces(d->acme, a);

	if (fd >= 0 && !str_write(text, fd)) {
		close(fd);
		fd = -1;
	}
	OPENSSL_cleanse((void *)(uintptr_t)text.p, text.n);
	arena_destroy(a);
	return fd;
}

struct lent *
handover_lend(struct daemon *d)
{
	struct handover *h = d->handover;
	struct lent *l;

	if (h == NULL || !h->lending)
		return NULL;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		abort();
	l->fd = fcntl(h->sock.fd, F_DUPFD_CLOEXEC, 0);
	l->nonces = keep_nonces(d);
	l->nsockets = h->nkept;
	memcpy(l->sockets, h->kept, sizeof(h->kept));
	if (d->options.config != NULL)
		l->config = strdup(d->options.config);
	forget(h);
	return l;
}

/* Serve again: the same program anew, with the sockets where it looks. */
static _Noreturn void
start_anew(struct lent *l)
{
	char *argv[] = { (char *)(uintptr_t) "certloopd",
		(char *)(uintptr_t) "-c", l->config, NULL };
	char number[24];
	int high[SOCKETS_MAX];

	log_warn("hand-over failed: serving again",
	    LOG_INT("sockets", (int64_t)l->nsockets));
	log_flush();
	if (l->config == NULL)
		argv[1] = NULL;
	/* out of the way first, so that none is overwritten */
	for (size_t i = 0; i < l->nsockets; i++)
		high[i] = fcntl(l->sockets[i], F_DUPFD_CLOEXEC,
		    3 + SOCKETS_MAX);
	for (size_t i = 0; i < l->nsockets; i++)
		(void)dup2(high[i], 3 + (int)i);
	snprintf(number, sizeof(number), "%ld", (long)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%zu", l->nsockets);
	setenv("LISTEN_FDS", number, 1);
	execv("/proc/self/exe", argv);
	perror("certloopd: cannot start anew");
	_exit(EXIT_FAILED);
}

void
handover_wait(struct lent *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	char line[8] = "";
	ssize_t n = 0;
	bool sent;

	(void)signal(SIGHUP, SIG_IGN);
	(void)fcntl(l->fd, F_SETFL, 0); /* from here on we may block */
	sent = send_with(l->fd, STR("store\n"), &l->nonces,
	    l->nonces >= 0 ? 1 : 0);
	if (l->nonces >= 0)
		close(l->nonces);
	while (sent && n < 6) {
		ssize_t more;

		(void)poll(&p, 1, -1);
		more = read(l->fd, line + n, (size_t)(6 - n));
		if (more <= 0)
			break;
		n += more;
	}
	if (n != 6 || memcmp(line, "ready\n", 6) != 0)
		start_anew(l);
	log_info("handed over");
	free(l->config);
	free(l);
}
