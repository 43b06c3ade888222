/* SPDX-License-Identifier: ISC */
/*
 * The serve config, written a thousand times in every way that files are
 * written: the set of loops is always that of one whole good file, never an
 * older one than before, and in the end that of the last good one.
 */
#include "../unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/when.h"
#include "certloops/certloops_int.h"
#include "log/log.h"

enum {
	CHANGES = 1000, /* to good files; bad ones come in between */
	BURST = 8,      /* at most so many before the set is waited for */
	POOL = 12,      /* names that come and go */
	PATIENCE = 8,   /* seconds; the poll would find a change in 10 */
};

struct fx {
	struct arena *a;
	char dir[64];
	const char *path;
	struct loop *loop;
	struct store *store;
	struct seal_ring *ring;
	struct certloops *cl;
	struct timer tick;
	unsigned seed;
	unsigned written, seen; /* numbers of good files */
	unsigned swaps;
	struct task task;
	bool done;
	struct str stored; /* names of active rows */
};

static struct issuer *
find_no_issuer(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return NULL;
}

static void
on_tick(void *arg)
{
	(void)arg;
}

static const struct conf *
config(struct fx *fx)
{
	struct conf_errors *e = arena_new(fx->a, struct conf_errors);
	const struct conf *c = conf_load_text(fx->a, "f",
	    str_printf(fx->a,
		"data_dir = \"%s\"\n"
		"listener acme { address = \"127.0.0.1:1\" }\n"
		"serve_config = \"%s\"\n",
		fx->dir, fx->path),
	    e);

	if (c == NULL)
		fail_msg(STR_FMT, STR_ARG(e->v[0].text));
	return c;
}

static int
setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	struct store_options o = { .deadline = 5 * WHEN_SECOND };
	bool memory = access("/dev/shm", W_OK) == 0;
	struct seal_key key;
	const char *why;

	log_set(&(struct log_options){ .level = LOG_ERROR });
	fx->a = arena_create();
	snprintf(fx->dir, sizeof(fx->dir), "%s/certloop-watch-XXXXXX",
	    memory ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fx->dir));
	fx->path = str_printf(fx->a, "%s/mount/serve.json", fx->dir).p;
	assert_int_equal(mkdir(str_printf(fx->a, "%s/mount", fx->dir).p, 0700),
	    0);
	o.url = str_printf(fx->a, "sqlite:%s/test.db", fx->dir).p;
	if (!store_prepare(fx->a, &o, STORE_MIGRATE, &why))
		fail_msg("%s", why);
	fx->loop = loop_new();
	fx->store = store_new(fx->loop, &o, fx->a, &why);
	fx->ring = seal_ring_new();
	seal_key_init(&key);
	(void)seal_ring_add(fx->ring, &key);
	timer_init(&fx->tick, fx->loop, on_tick, NULL);
	fx->seed = 1;
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *fx = *state;
	char command[128];

	timer_stop(&fx->tick);
	certloops_free(fx->cl);
	store_free(fx->store);
	seal_ring_free(fx->ring);
	loop_free(fx->loop);
	snprintf(command, sizeof(command), "rm -rf %s", fx->dir);
	assert_int_equal(system(command), 0);
	arena_destroy(fx->a);
	free(fx);
	return 0;
}

static void
begin(struct fx *fx)
{
	struct certloops_options o = { .loop = fx->loop,
		.store = fx->store,
		.ring = fx->ring,
		.find_issuer = find_no_issuer,
		.issuers = fx,
		.node = STR("here") };

	fx->cl = certloops_new(&o);
	certloops_configure(fx->cl, config(fx));
}

/* ---- what file number n says */

static bool
is_in(unsigned n, unsigned host)
{
	return (n * 2654435761U >> (host + 4)) & 1;
}

/* The names of file n as the sorted set has them, parted by spaces. */
static struct str
names_of(struct arena *a, unsigned n)
{
	struct buf b = buf_new(a, 4096);

	for (unsigned h = 0; h < POOL; h++)
		if (is_in(n, h))
			buf_printf(&b, "h%02u.example.org ", h);
	buf_printf(&b, "n%u.example.org ", n);
	return buf_view(&b);
}

static struct str
text_of(struct arena *a, unsigned n)
{
	struct buf b = buf_new(a, 16384);

	buf_printf(&b,
	    "{ \"Services\": { \"svc:n\": { \"Web\": { "
	    "\"N%u.example.org:443\": {} } }",
	    n);
	for (unsigned h = POOL; h-- > 0;)
		if (is_in(n, h))
			buf_printf(&b,
			    ", \"svc:h%u\": { \"Web\": { "
			    "\"h%02u.example.org:443\": {}, "
			    "\"h%02u.example.org:80\": {} } }",
			    h, h, h);
	buf_printf(&b, " } }\n");
	return buf_view(&b);
}

/* ---- the ways to write */

static unsigned
draw(struct fx *fx, unsigned below)
{
	fx->seed = fx->seed * 1103515245U + 12345U;
	return below == 0 ? 0 : (fx->seed >> 16) % below;
}

static void
put(const char *path, int flags, struct str text, size_t first)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | flags,
	    0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, first), first);
	assert_int_equal(write(fd, text.p + first, text.n - first),
	    text.n - first);
	assert_int_equal(close(fd), 0);
}

static void
write_by_rename(struct fx *fx, struct arena *a, struct str text)
{
	const char *new = str_printf(a, "%s.new", fx->path).p;

	put(new, O_EXCL, text, text.n);
	assert_int_equal(rename(new, fx->path), 0);
}

static void
write_in_place(struct fx *fx, struct arena *a, struct str text)
{
	(void)a;
	put(fx->path, 0, text, draw(fx, (unsigned)text.n));
}

static void
write_anew(struct fx *fx, struct arena *a, struct str text)
{
	(void)a;
	(void)unlink(fx->path);
	put(fx->path, O_EXCL, text, text.n);
}

/* As Kubernetes does: a link to a link, and that turns. */
static void
write_by_swap(struct fx *fx, struct arena *a, struct str text)
{
	const char *mount = str_printf(a, "%s/mount", fx->dir).p;
	const char *data = str_printf(a, "%s/..data", mount).p;
	const char *link = str_printf(a, "%s.link", fx->path).p;
	char old[64] = "";
	struct stat st;

	fx->swaps++;
	assert_int_equal(mkdir(str_printf(a, "%s/..%u", mount, fx->swaps).p,
			     0700),
	    0);
	put(str_printf(a, "%s/..%u/serve.json", mount, fx->swaps).p, O_EXCL,
	    text, text.n);
	assert_true(
	    readlink(data, old, sizeof(old) - 1) >= 0 || fx->swaps == 1);
	assert_int_equal(symlink(str_printf(a, "..%u", fx->swaps).p, link), 0);
	assert_int_equal(rename(link, data), 0);
	if (lstat(fx->path, &st) != 0 || !S_ISLNK(st.st_mode)) {
		assert_int_equal(symlink("..data/serve.json", link), 0);
		assert_int_equal(rename(link, fx->path), 0);
	}
	if (old[0] != '\0') {
		(void)unlink(str_printf(a, "%s/%s/serve.json", mount, old).p);
		assert_int_equal(rmdir(str_printf(a, "%s/%s", mount, old).p),
		    0);
	}
}

typedef void write_fn(struct fx *, struct arena *, struct str);

static write_fn *const ways[] = { write_by_rename, write_in_place, write_anew,
	write_by_swap };

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static void
write_good(struct fx *fx)
{
	struct arena *a = arena_create();

	ways[draw(fx, WAYS)](fx, a, text_of(a, ++fx->written));
	arena_destroy(a);
}

static void
write_bad(struct fx *fx)
{
	struct arena *a = arena_create();
	struct str text = text_of(a, fx->written + 1);
	static const char *const bad[] = { "", "{", "[]", "{\"Services\":1}",
		"{\"Services\":{\"a\":{\"Web\":{\"no_name:443\":{}}}}}" };
	unsigned which = draw(fx, 8);

	if (which == 7)
		(void)unlink(fx->path);
	else if (which == 6) {
		(void)unlink(fx->path);
		assert_int_equal(mkdir(fx->path, 0700), 0);
	} else if (which == 5)
		ways[draw(fx, WAYS)](fx, a,
		    str_make(text.p, 1 + draw(fx, (unsigned)text.n - 3)));
	else
		ways[draw(fx, WAYS)](fx, a, str_from(bad[which]));
	arena_destroy(a);
}

/* ---- looking at it */

static struct str
hosts_text(struct fx *fx, struct arena *a)
{
	const struct serve_hosts *h = &fx->cl->served.hosts;
	struct buf b = buf_new(a, 8192);

	for (size_t i = 0; i < h->n; i++) {
		buf_str(&b, h->v[i]);
		buf_char(&b, ' ');
	}
	return buf_view(&b);
}

/* The set is that of one good file, and not of an older one than before. */
static void
assert_whole(struct fx *fx)
{
	struct arena *a = arena_create();
	const struct serve_hosts *h = &fx->cl->served.hosts;
	struct str got = hosts_text(fx, a), want;
	uint64_t n;

	if (h->n == 0) {
		assert_int_equal(fx->seen, 0);
		arena_destroy(a);
		return;
	}
	want = h->v[h->n - 1]; /* "n17.example.org" */
	assert_int_equal(want.p[0], 'n');
	assert_true(
	    str_u64(str_make(want.p + 1, strcspn(want.p, ".") - 1), &n));
	assert_true(n >= fx->seen && n <= fx->written);
	want = names_of(a, (unsigned)n);
	if (!str_eq(got, want))
		fail_msg("file %u: \"" STR_FMT "\" is not \"" STR_FMT "\"",
		    (unsigned)n, STR_ARG(got), STR_ARG(want));
	assert_int_equal(fx->cl->wanted.n, h->n);
	fx->seen = (unsigned)n;
	arena_destroy(a);
}

static void
turn(struct fx *fx)
{
	timer_start(&fx->tick, WHEN_SECOND / 500);
	loop_turn(fx->loop, LOOP_WAIT);
	assert_whole(fx);
}

static void
turn_for(struct fx *fx, int64_t usec)
{
	int64_t end = loop_mono(fx->loop) + usec;

	while (loop_mono(fx->loop) < end)
		turn(fx);
}

static bool
is_told(const struct fx *fx)
{
	static const uint8_t none[32];

	return memcmp(fx->cl->served.told, none, sizeof(none)) != 0;
}

static void
wait_told(struct fx *fx, bool bad)
{
	int64_t end = loop_mono(fx->loop) + PATIENCE * WHEN_SECOND;

	while (is_told(fx) != bad || (!bad && fx->seen != fx->written)) {
		if (loop_mono(fx->loop) > end)
			fail_msg("file %u was not noticed (%s), %u was",
			    fx->written, bad ? "bad" : "good", fx->seen);
		turn(fx);
	}
}

static enum step
on_rows(void *arg, const struct store_result *r)
{
	struct fx *fx = arg;
	struct buf b = buf_new(fx->a, 8192);

	assert_int_equal(r->status, STORE_OK);
	for (size_t i = 0; i < store_nrows(r, 0); i++) {
		buf_str(&b, store_get_str(r, 0, i, LOOPS_OF_NODE_NAMES));
		buf_char(&b, ' ');
	}
	fx->stored = buf_view(&b);
	fx->done = true;
	return STEP_DONE;
}

static void
look_stored(struct fx *fx)
{
	struct batch *b;

	fx->done = false;
	task_init(&fx->task);
	b = store_new_batch(fx->store, &fx->task, STR(""));
	store_add(b, SQL_LOOPS_OF_NODE);
	store_str(b, STR("here"));
	store_str(b, STR("serve"));
	store_str(b, STR(""));
	store_int(b, 100);
	(void)store_send_batch(b, on_rows, fx);
	while (!fx->done)
		turn(fx);
	task_end(&fx->task);
}

/* The store knows the same set. */
static void
wait_stored(struct fx *fx)
{
	struct str want = names_of(fx->a, fx->written);
	int64_t end = loop_mono(fx->loop) + PATIENCE * WHEN_SECOND;

	do {
		look_stored(fx);
		if (loop_mono(fx->loop) > end)
			fail_msg("\"" STR_FMT "\" is stored, not \"" STR_FMT
				 "\"",
			    STR_ARG(fx->stored), STR_ARG(want));
	} while (!str_eq(fx->stored, want));
}

/* ---- the tests */

static void
the_set_is_always_that_of_the_last_good_file(void **state)
{
	struct fx *fx = *state;
	unsigned bad = 0;

	write_good(fx);
	begin(fx);
	wait_told(fx, false);
	while (fx->written < CHANGES) {
		for (unsigned n = 1 + draw(fx, BURST); n > 0; n--) {
			write_good(fx);
			turn_for(fx, draw(fx, 4) * WHEN_SECOND / 100);
		}
		wait_told(fx, false);
		if (fx->written / 100 != fx->seen / 100 || draw(fx, 20) == 0)
			wait_stored(fx);
		if (draw(fx, 2) == 0)
			continue;
		write_bad(fx);
		wait_told(fx, true);
		assert_int_equal(fx->seen, fx->written);
		(void)rmdir(fx->path);
		bad++;
	}
	write_good(fx);
	wait_told(fx, false);
	wait_stored(fx);
	assert_true(bad > 30);
}

static void
a_folder_that_is_never_quiet_is_looked_at(void **state)
{
	struct fx *fx = *state;
	const char *other = str_printf(fx->a, "%s/mount/other", fx->dir).p;
	int64_t end;

	write_good(fx);
	begin(fx);
	wait_told(fx, false);
	write_good(fx);
	end = loop_mono(fx->loop) + PATIENCE * WHEN_SECOND;
	while (fx->seen != fx->written && loop_mono(fx->loop) < end) {
		put(other, 0, STR("x"), 0);
		turn_for(fx, WHEN_SECOND / 100);
	}
	assert_int_equal(fx->seen, fx->written);
}

static void
no_file_at_first_and_then_one(void **state)
{
	struct fx *fx = *state;

	begin(fx);
	turn_for(fx, WHEN_SECOND / 5);
	assert_true(is_told(fx));
	write_by_swap(fx, fx->a, text_of(fx->a, ++fx->written));
	wait_told(fx, false);
	wait_stored(fx);
}

/* ---- rounds */

static enum step
on_written(void *arg, const struct store_result *r)
{
	struct fx *fx = arg;

	assert_int_equal(r->status, STORE_OK);
	fx->done = true;
	return STEP_DONE;
}

/* Somebody takes a row of ours away. */
static void
lose_row(struct fx *fx, struct str loop)
{
	struct batch *b;

	fx->done = false;
	task_init(&fx->task);
	b = store_new_batch(fx->store, &fx->task, STR(""));
	store_add(b, SQL_LOOP_UNWANT);
	store_str(b, loop);
	store_str(b, STR("here"));
	store_str(b, str_make(fx->cl->round, sizeof(fx->cl->round)));
	(void)store_send_batch(b, on_written, fx);
	while (!fx->done)
		turn(fx);
	task_end(&fx->task);
}

static void
wait_settled(struct fx *fx)
{
	while (!fx->cl->settled)
		turn(fx);
}

static void
a_row_that_the_store_lost_is_put_again(void **state)
{
	struct fx *fx = *state;
	char round[ID_LEN];

	write_good(fx);
	begin(fx);
	wait_told(fx, false);
	wait_stored(fx);
	wait_settled(fx);
	memcpy(round, fx->cl->round, sizeof(round));
	reconcile_start(fx->cl); /* as the hour does */
	assert_int_equal(fx->cl->way, RECONCILE_COUNT);
	wait_settled(fx);
	assert_memory_equal(round, fx->cl->round, sizeof(round));
	lose_row(fx,
	    str_dup(fx->a, fx->cl->wanted.v[fx->cl->wanted.n / 2].name));
	reconcile_start(fx->cl);
	wait_settled(fx);
	assert_memory_not_equal(round, fx->cl->round, sizeof(round));
	wait_stored(fx);
}

/* What is not among the changes is not put: a row that was lost stays so. */
static void
a_change_is_put_and_the_rest_left_alone(void **state)
{
	struct fx *fx = *state;
	struct str lost = STR("serve:h00.example.org");

	while (!is_in(fx->written + 1, 0) || !is_in(fx->written + 2, 0))
		fx->written++;
	write_good(fx);
	begin(fx);
	wait_told(fx, false);
	wait_settled(fx);
	lose_row(fx, lost);
	write_good(fx);
	wait_told(fx, false);
	assert_int_equal(fx->cl->way, RECONCILE_CHANGES);
	wait_settled(fx);
	look_stored(fx);
	assert_null(memmem(fx->stored.p, fx->stored.n, "h00.", 4));
	reconcile_start(fx->cl); /* and the hour finds it */
	wait_stored(fx);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_set_is_always_that_of_the_last_good_file),
		TEST(a_folder_that_is_never_quiet_is_looked_at),
		TEST(no_file_at_first_and_then_one),
		TEST(a_row_that_the_store_lost_is_put_again),
		TEST(a_change_is_put_and_the_rest_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
