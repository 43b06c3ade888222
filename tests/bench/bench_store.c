/* SPDX-License-Identifier: ISC */
/*
 * Durable batches a second, on both engines: one at a time, 16 and 256 in
 * flight. A batch is about what a request does: a guarded UPDATE of one of 200
 * accounts, an INSERT of 300 bytes, an INSERT of a 1.2 KB blob. Then the same
 * for reads of a row by its key.
 *
 *	bench_store [SECONDS]
 *
 * CERTLOOP_TEST_PG names the PostgreSQL (tests/lib/with-postgres makes one);
 * without it only SQLite runs. CPU is that of this process alone, so for SQLite
 * it is all there is, for PostgreSQL the client's share.
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
#include "store/store_int.h"

enum { TAKE, PUT, BLOB, ACCOUNT, READ, STATEMENTS };
enum { ACCOUNTS = 200, FLIGHT_MAX = 256, SAMPLES = 200000 };

#define SAME(text)                                                             \
	{                                                                      \
		[DIALECT_PG] = (text), [DIALECT_LITE] = (text)                 \
	}

/* Numbered parameters as both engines take them: $1 only, in order. */
static const struct sql_stmt stmts[STATEMENTS] = {
	[TAKE] = { .name = "take",
	    .args = "t",
	    .nargs = 1,
	    .cols = "touched",
	    .ncols = 1,
	    .text = SAME("UPDATE accounts SET touched = touched + 1 "
			 "WHERE id = $1 AND status = 'valid' "
			 "RETURNING touched") },
	[PUT] = { .name = "put",
	    .args = "tt",
	    .nargs = 2,
	    .cols = "",
	    .text = SAME("INSERT INTO meta (key, value) VALUES ($1, $2)") },
	[BLOB] = { .name = "blob",
	    .args = "tb",
	    .nargs = 2,
	    .cols = "",
	    .text = SAME("INSERT INTO secrets (name, version, sealed, created) "
			 "VALUES ($1, 1, $2, 0)") },
	[ACCOUNT] = { .name = "account",
	    .args = "t",
	    .nargs = 1,
	    .cols = "",
	    .text = SAME("INSERT INTO accounts (id, profile, thumbprint, jwk, "
			 "status, contacts, created) "
			 "VALUES ($1, '', $1, '', 'valid', '', 0)") },
	[READ] = { .name = "read",
	    .args = "t",
	    .nargs = 1,
	    .cols = "touched",
	    .ncols = 1,
	    .read_only = true,
	    .text = SAME("SELECT touched FROM accounts WHERE id = $1") },
};

struct bench {
	struct loop *loop;
	struct store *st;
	bool reads;
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
static char payload[1200];
static unsigned run_id;

static enum step on_done(void *, const struct store_result *);

static void
send_one(struct slot *s)
{
	struct bench *b = s->b;
	struct batch *batch;
	char id[64], account[16];

	task_init(&s->task);
	(void)snprintf(account, sizeof(account), "acc%u",
	    (unsigned)(b->sent * 7919 % ACCOUNTS));
	(void)snprintf(id, sizeof(id), "%08x-%u-%u",
	    (unsigned)(b->sent * 2654435761u), run_id, (unsigned)b->sent);
	b->sent++;
	b->inflight++;
	s->start = when_now();
	batch = store_new_batch(b->st, &s->task, str_from(account));
	if (b->reads) {
		store_add(batch, (enum sql)READ);
		store_str(batch, str_from(account));
	} else {
		store_add(batch, (enum sql)TAKE);
		store_str(batch, str_from(account));
		store_require(batch);
		store_add(batch, (enum sql)PUT);
		store_str(batch, str_from(id));
		store_str(batch, str_make(payload, 300));
		store_add(batch, (enum sql)BLOB);
		store_str(batch, str_from(id));
		store_blob(batch, str_make(payload, 1200));
	}
	(void)store_send_batch(batch, on_done, s);
}

static enum step
on_done(void *arg, const struct store_result *r)
{
	struct slot *s = arg;
	struct bench *b = s->b;

	if (b->done < SAMPLES)
		b->samples[b->done] = when_now() - s->start;
	b->done++;
	b->failed += r->status != STORE_OK;
	b->inflight--;
	task_end(&s->task);
	if (b->want > 0)
		send_one(s);
	return STEP_DONE;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static double
cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static void
run(struct bench *b, const char *what, unsigned flight, double seconds)
{
	int64_t start, end, commits = metrics_get(METRIC_store_commits);
	double cpu, took;
	size_t n;

	b->sent = b->done = b->failed = 0;
	b->want = flight;
	id_random(&run_id, sizeof(run_id));
	cpu = cpu_seconds();
	start = when_now();
	end = start + (int64_t)(seconds * 1e6);
	for (unsigned i = 0; i < flight; i++) {
		slots[i].b = b;
		send_one(&slots[i]);
	}
	while (when_now() < end)
		loop_turn(b->loop, LOOP_WAIT);
	b->want = 0;
	while (b->inflight > 0)
		loop_turn(b->loop, LOOP_WAIT);
	took = (double)(when_now() - start) / 1e6;
	cpu = cpu_seconds() - cpu;
	commits = metrics_get(METRIC_store_commits) - commits;
	n = b->done < SAMPLES ? b->done : SAMPLES;
	qsort(b->samples, n, sizeof(*b->samples), compare);
	printf("%-10s %-6s %4u in flight  %8.0f /s  %6.1f us CPU  "
	       "p50 %7.2f ms  p99 %7.2f ms",
	    store_engine(b->st), what, flight, (double)b->done / took,
	    cpu / (double)b->done * 1e6, (double)b->samples[n / 2] / 1e3,
	    (double)b->samples[n * 99 / 100] / 1e3);
	if (!b->reads && commits > 0)
		printf("  %5.1f a commit", (double)b->done / (double)commits);
	printf("%s\n", b->failed > 0 ? "  FAILED" : "");
	if (b->failed > 0)
		exit(1);
}

static enum step
expect_ok(void *arg, const struct store_result *r)
{
	if (r->status != STORE_OK && r->status != STORE_CONFLICT) {
		printf("cannot set up: %s\n",
		    r->problem != NULL ? r->problem->cause : "?");
		exit(1);
	}
	*(bool *)arg = true;
	return STEP_DONE;
}

static void
set_up(struct bench *b)
{
	struct task t;
	struct batch *batch;
	bool done = false;

	task_init(&t);
	batch = store_new_batch(b->st, &t, STR(""));
	for (int i = 0; i < ACCOUNTS; i++) {
		store_add(batch, (enum sql)ACCOUNT);
		store_str(batch, str_printf(t.arena, "acc%d", i));
	}
	(void)store_send_batch(batch, expect_ok, &done);
	while (!done)
		loop_turn(b->loop, LOOP_WAIT);
	task_end(&t);
}

static void
bench_engine(const char *url, double seconds)
{
	static const unsigned flights[] = { 1, 16, 256 };
	struct sql_catalog cat = sql_catalog;
	struct store_options o = { .url = url, .catalog = &cat };
	struct arena *a = arena_create();
	struct bench b = { .loop = loop_new() };
	const char *why;

	cat.stmts = stmts;
	cat.nstmts = STATEMENTS;
	if (!store_prepare(a, &o, STORE_MIGRATE, &why) ||
	    (b.st = store_new(b.loop, &o, a, &why)) == NULL) {
		printf("%s: %s\n", url, why);
		exit(1);
	}
	b.samples = arena_array(a, int64_t, SAMPLES);
	set_up(&b);
	for (int reads = 0; reads < 2; reads++) {
		b.reads = reads != 0;
		for (size_t i = 0; i < 3; i++)
			run(&b, reads ? "read" : "write", flights[i], seconds);
	}
	store_free(b.st);
	loop_free(b.loop);
	arena_destroy(a);
}

int
main(int argc, char **argv)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	struct log_options quiet = { .level = LOG_ERROR };
	char dir[] = "bench-store.XXXXXX", path[64];

	log_set(&quiet);
	memset(payload, 'x', sizeof(payload));
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		return 1;
	}
	(void)snprintf(path, sizeof(path), "sqlite:%s/db", dir);
	bench_engine(path, seconds);
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s/db%s", dir, ends[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
	if (getenv("CERTLOOP_TEST_PG") != NULL)
		bench_engine(getenv("CERTLOOP_TEST_PG"), seconds);
	return 0;
}
