/* SPDX-License-Identifier: ISC */
/*
 * Answers of Redis, or of a Sentinel (the first byte says which, and whether
 * there is a password and a database): a connection gets the rest as what its
 * server says. It stays, or is given up with a reason; whoever has asked is
 * told once, and nothing is left behind.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log/log.h"
#include "redis/redis_int.h"

enum { TURNS = 8, PIECE = 48 };

static char path[108];

static void
forget_path(void)
{
	(void)unlink(path);
}

static int
listen_here(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)snprintf(path, sizeof(path), "/tmp/certloop-fuzz-redis.%d",
	    (int)getpid());
	strcpy(at.sun_path, path);
	(void)unlink(path);
	PROMISE(fd >= 0 && bind(fd, (void *)&at, sizeof(at)) == 0);
	PROMISE(listen(fd, 8) == 0);
	(void)atexit(forget_path);
	return fd;
}

static struct redis_endpoint here;
static unsigned answers;

static enum step
on_answer(void *arg, const struct redis_answer *a)
{
	(void)arg;
	answers++;
	if (a->status == REDIS_ANSWERED)
		for (size_t i = 0; i < redis_count(a) && i < 4; i++)
			(void)redis_get_int(a, i);
	return STEP_DONE;
}

/* All that it says, in pieces; a script is asked once it is up. */
static void
talk(struct loop *l, struct redis *r, int fd, const uint8_t *data, size_t size)
{
	static const struct redis_script script = { .name = "fuzz",
		.sha1 = { "0123456789012345678901234567890123456789", 40 },
		.text = { "return 1", 8 } };
	static char said[1 << 16];
	struct str key = STR("k");
	struct task task;
	unsigned asked = 0;

	task_init(&task);
	answers = 0;
	for (size_t at = 0; at < size;) {
		size_t n = size - at < PIECE ? size - at : PIECE;

		if (redis_is_up(r) && asked == 0) {
			(void)redis_eval(r,
			    &(struct redis_call){ .script = &script,
				.keys = &key,
				.nkeys = 1 },
			    &task, on_answer, NULL);
			asked++;
		}
		(void)!send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		at += n;
		loop_turn(l, LOOP_POLL);
		while (recv(fd, said, sizeof(said), MSG_DONTWAIT) > 0)
			;
	}
	(void)shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < TURNS; i++)
		loop_turn(l, LOOP_POLL);
	PROMISE(answers <= asked);
	PROMISE(redis_is_up(r) || strlen(redis_trouble(r)) > 0);
	task_end(&task);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	static int listener;
	struct redis_options o = { .endpoints = &here, .nendpoints = 1 };
	struct redis *r;
	int fd = -1;

	if (loop == NULL) {
		log_set(&(struct log_options){ .level = LOG_ERROR });
		loop = loop_new();
		listener = listen_here();
		here.path = str_from(path);
	}
	if (size == 0)
		return 0;
	if (data[0] & 1)
		o.sentinel = STR("master");
	if (data[0] & 2)
		o.password = STR("secret");
	o.database = data[0] & 4 ? 1 : 0;
	r = redis_new(loop, &o);
	r->quiet = true;
	for (int i = 0; fd < 0 && i < 1000; i++) {
		loop_turn(loop, LOOP_POLL);
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	PROMISE(fd >= 0);
	loop_turn(loop, LOOP_POLL);
	talk(loop, r, fd, data + 1, size - 1);
	close(fd);
	redis_free(r);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		close(fd); /* it tried once more */
	return 0;
}
