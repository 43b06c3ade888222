/* SPDX-License-Identifier: ISC */
/*
 * A Redis server for a test, by tests/lib/with-redis, which removes it when
 * the test ends, however it ends.
 */
#ifndef TESTS_UNIT_REDIS_SERVER_H
#define TESTS_UNIT_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "loop/loop.h"
#include "redis/redis.h"

struct server {
	pid_t with; /* the script */
	int hold;   /* it ends when this is closed */
	char address[160], tcp[64], dir[128];
	char clock_path[64];
	volatile int64_t *clock; /* what the server's clock shows; NULL: real */
};

/*
 * Start one with these lines in its redis.conf. NULL: none can be had here,
 * which is for the caller to skip on. SERVER_CLOCK: with s->clock.
 */
enum server_kind { SERVER_PLAIN, SERVER_CLOCK };
struct server *server_start(enum server_kind, const char *conf);
void server_end(struct server *);

pid_t server_pid(const struct server *);
/* Send a signal; after SIGKILL wait until it is gone. */
void server_signal(const struct server *, int signo);
/* After SIGKILL: start it again. */
void server_restart(const struct server *);

/* Run redis-cli with these words; its output in the arena, one line cut. */
struct str server_cli(const struct server *, struct arena *, const char *words);

/*
 * Options for it, patient enough for a machine that has much else to do. The
 * endpoint lives in the arena.
 */
struct redis_options server_options(const struct server *, struct arena *);
#define IMPATIENT (100 * INT64_C(1000)) /* for .late, where that is tested */

/* Turn the loop until *what is true or ms have passed; *what at last. */
bool turn_until(struct loop *, const volatile bool *what, int ms);
/* Turn it until the verdict is as wanted; false after ms. */
bool turn_until_up(struct loop *, const struct redis *, bool up, int ms);
/* Turn it for so long. */
void turn_for(struct loop *, int ms);

#endif
