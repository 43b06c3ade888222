/* SPDX-License-Identifier: ISC */
/*
 * Limit decisions a second through one process's connection to Redis: one at
 * a time, 16, 64 and 256 in flight, and beside each what redis-benchmark gets
 * out of the same server with the same script, one connection and as many
 * commands in a pipeline.
 *
 *	limit	one limit; 20,000 accounts in turn
 *	request	a nonce and a limit, in one script; each account is new
 *
 *	tests/lib/with-redis bench_redis [SECONDS]
 *
 * Both servers' and our processor time are per decision. Where that of Redis
 * comes near 1/rate it is Redis that sets the pace.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "ratelimit/ratelimit.h"
#include "ratelimit/scripts_gen.h"

enum { ACCOUNTS = 20000, FLIGHT_MAX = 256, SAMPLES = 1 << 20 };
/* the widest numbers that redis-benchmark draws */
#define ACCOUNTS_NEW UINT64_C(1000000000000)

enum kind { LIMIT, REQUEST, KINDS };

struct bench {
	struct loop *loop;
	struct redis *redis;
	struct ratelimit *limits;
	enum kind kind;
	unsigned inflight, want;
	uint64_t sent, done, failed;
	int64_t *samples;
};

struct slot {
	struct bench *b;
	struct task task;
	int64_t start;
};

static struct slot slots[FLIGHT_MAX];
static uint64_t run_id;
static int server_pid;

static enum step on_done(void *, const struct ratelimit_result *);

/* Twelve digits, as redis-benchmark has them. */
static struct str
digits(struct slot *s, uint64_t n)
{
	return str_printf(s->task.arena, "%012llu", (unsigned long long)n);
}

static void
send_one(struct slot *s)
{
	struct bench *b = s->b;
	struct take take = { .limit = LIMIT_NEW_ORDER };
	struct ratelimit_nonce nonce = { .redeemer = REDEEMER_REDIS,
		.epoch = redis_epoch(b->redis),
		.ttl = WHEN_HOUR };
	uint64_t number = run_id + b->sent;

	task_init(&s->task);
	take.key = digits(s,
	    b->kind == LIMIT ? b->sent * 7919 % ACCOUNTS :
			       number % ACCOUNTS_NEW);
	nonce.id = digits(s, number % ACCOUNTS_NEW);
	b->sent++;
	b->inflight++;
	s->start = when_now();
	(void)ratelimit_take(b->limits, &s->task, &take, 1,
	    b->kind == REQUEST ? &nonce : NULL, on_done, s);
}

static enum step
on_done(void *arg, const struct ratelimit_result *r)
{
	struct slot *s = arg;
	struct bench *b = s->b;

	if (b->done < SAMPLES)
		b->samples[b->done] = when_now() - s->start;
	b->done++;
	b->failed += r->status != RATELIMIT_PASS || r->degraded;
	b->inflight--;
	task_end(&s->task);
	if (b->want > 0)
		send_one(s);
	return STEP_DONE;
}

/* ---- processor time */

static double
our_cpu(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

/* usec of the server, by ticks of 10 ms. */
static double
server_cpu(void)
{
	char path[64];
	unsigned long user = 0, system = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", server_pid);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	if (fscanf(f,
		"%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		&user, &system) != 2)
		user = system = 0;
	fclose(f);
	return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

/* ---- beside it */

/* The last column but percentiles of --csv: "test","rps",... */
static double
read_rate(FILE *f)
{
	char line[512];
	double rate = 0, found;
	const char *at;

	while (fgets(line, sizeof(line), f) != NULL)
		if ((at = strstr(line, "\",\"")) != NULL &&
		    sscanf(at + 3, "%lf", &found) == 1)
			rate = found;
	return rate;
}

/* The same script, keys and arguments as shared.c sends. */
static double
run_benchmark(const struct bench *b, unsigned flight, uint64_t n)
{
	const char *tcp = getenv("CERTLOOP_TEST_REDIS_TCP");
	const char *port = strrchr(tcp, ':') + 1;
	char command[1024];
	double rate;
	FILE *f;
	int len;

	len = snprintf(command, sizeof(command),
	    "redis-benchmark --csv -h 127.0.0.1 -p %s -c 1 -P %u -n %llu "
	    "-r %llu EVALSHA %.*s 3 certloop:epoch ",
	    port, flight, (unsigned long long)n,
	    b->kind == LIMIT ? (unsigned long long)ACCOUNTS : 1000000000ull,
	    STR_ARG(ratelimit_script_take.sha1));
	if (b->kind == LIMIT)
		len += snprintf(command + len, sizeof(command) - (size_t)len,
		    "certloop:epoch "
		    "certloop:l:new_order_per_account:__rand_int__ '' '' ");
	else
		len += snprintf(command + len, sizeof(command) - (size_t)len,
		    "certloop:n:__rand_int__ "
		    "certloop:l:new_order_per_account:__rand_int__ %.*s "
		    "3600000 ",
		    STR_ARG(redis_epoch(b->redis)));
	(void)snprintf(command + len, sizeof(command) - (size_t)len,
	    "99 3600000000 3600000 2>&1");
	if ((f = popen(command, "re")) == NULL)
		return 0;
	rate = read_rate(f);
	return pclose(f) == 0 ? rate : 0;
}

/* ---- runs */

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void
turn_until_done(struct bench *b, double seconds)
{
	int64_t end = when_now() + (int64_t)(seconds * 1e6);

	while (when_now() < end)
		loop_turn(b->loop, LOOP_WAIT);
	b->want = 0;
	while (b->inflight > 0)
		loop_turn(b->loop, LOOP_WAIT);
}

/* False if any decision failed. */
static bool
run(struct bench *b, enum kind kind, unsigned flight, double seconds)
{
	static const char *const names[KINDS] = { "limit", "request" };
	double ours, theirs, rate, beside;
	int64_t start;
	size_t n;

	b->kind = kind;
	b->sent = b->done = b->failed = 0;
	b->want = flight;
	id_random(&run_id, sizeof(run_id));
	run_id %= ACCOUNTS_NEW;
	ours = our_cpu();
	theirs = server_cpu();
	start = when_now();
	for (unsigned i = 0; i < flight; i++) {
		slots[i].b = b;
		send_one(&slots[i]);
	}
	turn_until_done(b, seconds);
	rate = (double)b->done * 1e6 / (double)(when_now() - start);
	ours = (our_cpu() - ours) / (double)b->done;
	theirs = (server_cpu() - theirs) / (double)b->done;
	beside = run_benchmark(b, flight, b->done);
	n = b->done < SAMPLES ? b->done : SAMPLES;
	qsort(b->samples, n, sizeof(*b->samples), compare);
	printf("%-8s %4u in flight  %7.0f /s  redis-benchmark %7.0f /s  "
	       "CPU us: ours %5.2f Redis %5.2f  p50 %5.2f ms  p99 %5.2f ms%s\n",
	    names[kind], flight, rate, beside, ours, theirs,
	    (double)b->samples[n / 2] / 1e3,
	    (double)b->samples[n * 99 / 100] / 1e3,
	    b->failed > 0   ? "  FAILED" :
		beside == 0 ? "  redis-benchmark FAILED" :
			      "");
	(void)fflush(stdout);
	return b->failed == 0 && beside > 0;
}

static bool
connect_to(struct bench *b, struct arena *a, const char *address)
{
	struct redis_endpoint *endpoints;
	struct redis_options o = { .late = 5 * WHEN_SECOND,
		.dead = 20 * WHEN_SECOND };
	int64_t end = when_now() + 5 * WHEN_SECOND;
	const char *why;

	if (!redis_parse_endpoints(a, str_from(address), &endpoints,
		&o.nendpoints, &why)) {
		printf("%s\n", why);
		return false;
	}
	o.endpoints = endpoints;
	b->redis = redis_new(b->loop, &o);
	while (!redis_is_up(b->redis) && when_now() < end)
		loop_turn(b->loop, LOOP_WAIT);
	if (!redis_is_up(b->redis))
		printf("%s: %s\n", address, redis_trouble(b->redis));
	return redis_is_up(b->redis);
}

static bool
run_all(struct bench *b, double seconds)
{
	static const unsigned flights[] = { 1, 16, 64, FLIGHT_MAX };
	bool good = true;

	for (int kind = 0; kind < KINDS; kind++)
		for (size_t i = 0; i < 4; i++)
			good = run(b, (enum kind)kind, flights[i], seconds) &&
			    good;
	return good;
}

static void
read_pid(void)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/pid",
	    getenv("CERTLOOP_TEST_REDIS_DIR"));
	if ((f = fopen(path, "re")) == NULL)
		return;
	if (fscanf(f, "%d", &server_pid) != 1)
		server_pid = 0;
	fclose(f);
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	struct log_options quiet = { .level = LOG_ERROR };
	struct arena *a = arena_create();
	struct bench b = { .loop = loop_new() };
	const char *address = getenv("CERTLOOP_TEST_REDIS_TCP");
	bool good;

	log_set(&quiet);
	if (address == NULL) {
		printf("run it by tests/lib/with-redis\n");
		return 2;
	}
	read_pid();
	b.samples = arena_array(a, int64_t, SAMPLES);
	if (!connect_to(&b, a, address))
		return 1;
	b.limits = ratelimit_new(&(struct ratelimit_options){ .loop = b.loop,
	    .backend = RATELIMIT_REDIS,
	    .redis = b.redis,
	    .on_error = RATELIMIT_DENY });
	good = run_all(&b, seconds);
	ratelimit_free(b.limits);
	redis_free(b.redis);
	loop_free(b.loop);
	arena_destroy(a);
	return good ? 0 : 1;
}
