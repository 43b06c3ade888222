/* SPDX-License-Identifier: ISC */
/*
 * Answers to requests of ours, http-01's above all: a listener of this process
 * says the bytes, a GET is sent to it. It ends once, whatever was said: with an
 * answer within its bounds, or with a reason. (The library takes HTTP apart;
 * the bounds, what a redirect says and Retry-After are ours.)
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fetch/fetch.h"
#include "log/log.h"

enum { BODY_MAX = 2048 };

static struct str url;

static int
listen_here(void)
{
	static char text[64];
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	PROMISE(fd >= 0 && bind(fd, (void *)&at, sizeof(at)) == 0);
	PROMISE(listen(fd, 16) == 0 && getsockname(fd, (void *)&at, &n) == 0);
	(void)snprintf(text, sizeof(text), "http://127.0.0.1:%u/a/b",
	    ntohs(at.sin_port));
	url = str_from(text);
	return fd;
}

/* Its dns is for addresses as they stand; names are asked of nobody. */
static struct fetch *
make_fetch(struct loop *l)
{
	struct dns_server nobody = { .port = 9 };
	struct fetch_options o = { .loop = l };
	static struct arena *arena; /* for ever */
	const char *why = NULL;

	arena = arena_create();
	(void)addr_parse(STR("127.0.0.1"), &nobody.addr);
	o.dns = dns_new(&(struct dns_options){ .loop = l,
			    .mode = DNS_FORWARD,
			    .forwarders = &nobody,
			    .nforwarders = 1 },
	    arena, &why);
	PROMISE(o.dns != NULL);
	return fetch_new(&o, &why);
}

static bool
allow(void *arg, struct addr addr, unsigned port)
{
	(void)arg;
	(void)addr;
	(void)port;
	return true;
}

static void
on_answer(void *arg, const struct fetch_result *r)
{
	unsigned *answers = arg;

	(*answers)++;
	PROMISE((r->error == FETCH_OK) == (r->why == NULL));
	PROMISE(r->body.n <= BODY_MAX);
	if (r->error != FETCH_OK) {
		PROMISE(strlen(r->why) > 0);
		return;
	}
	PROMISE(r->status >= 100 && r->status <= 999);
	PROMISE(r->retry_after >= -1);
	PROMISE(r->redirect.n == 0 || r->status / 100 == 3);
}

/* Say it, and reset: nothing is left behind in the kernel. */
static void
say(struct loop *l, int fd, const uint8_t *data, size_t size)
{
	struct linger hard = { .l_onoff = 1 };
	char heard[4096];

	for (int i = 0; i < 50; i++) {
		loop_turn(l, LOOP_POLL);
		if (recv(fd, heard, sizeof(heard), MSG_DONTWAIT) > 0)
			break;
	}
	(void)!send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < 4; i++)
		loop_turn(l, LOOP_POLL);
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	static struct fetch *fetch;
	static int listener;
	struct fetch_request rq = { .rule = allow, .body_max = BODY_MAX };
	struct task task;
	unsigned answers = 0;
	int fd = -1;

	if (loop == NULL) {
		log_set(&(struct log_options){ .level = LOG_ERROR });
		loop = loop_new();
		fetch = make_fetch(loop);
		listener = listen_here();
	}
	if (size > 32768)
		return 0;
	task_init(&task);
	rq.url = url;
	(void)fetch_send(fetch, &task, &rq, on_answer, &answers);
	for (int i = 0; fd < 0 && i < 1000; i++) {
		loop_turn(loop, LOOP_POLL);
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	PROMISE(fd >= 0);
	say(loop, fd, data, size);
	for (int i = 0; answers == 0 && i < 100000; i++)
		loop_turn(loop, LOOP_POLL);
	PROMISE(answers == 1);
	task_end(&task);
	return 0;
}
