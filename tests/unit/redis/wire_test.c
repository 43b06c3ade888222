/* SPDX-License-Identifier: ISC */
/*
 * The connection to a peer that the test plays itself: what leaves in one
 * write, what comes back too late, twice, in pieces, or not in Redis's words.
 */
#include "../unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/when.h"
#include "metrics/metrics.h"
#include "server.h"

#define EPOCH "0123456789abcdef"

enum { INPUT_MAX = 1 << 20 };

/* The other side of the socket. */
struct peer {
	char dir[64], path[96];
	int listener, fd;
	char *in; /* not yet understood */
	size_t n;
	unsigned reads;       /* reads that found something */
	unsigned asked;       /* scripts of the test that wait for an answer */
	unsigned probes;      /* epochs asked for */
	unsigned sought;      /* times that it was asked for the master */
	const char *sentinel; /* what it says then; NULL: it is no Sentinel */
	bool mute;            /* answer nothing by itself */
};

struct fixture {
	struct arena *a;
	struct loop *loop;
	struct peer peer;
	struct redis *redis;
	struct task task;
};

struct got {
	volatile bool done;
	int calls;
	enum redis_status status;
	int64_t number;
	size_t count;
	char text[128];
};

static const struct redis_script script = {
	.name = "test",
	.sha1 = { "0000000000000000000000000000000000000000", 40 },
	.text = { "return 1", 8 },
};

/* ---- the peer */

static void
peer_open(struct peer *p)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	strcpy(p->dir, "/tmp/certloop-peer.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/sock", p->dir);
	strcpy(un.sun_path, p->path);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&un, sizeof(un)),
	    0);
	assert_int_equal(listen(p->listener, 8), 0);
	p->fd = -1;
	p->in = malloc(INPUT_MAX);
}

static void
peer_hang_up(struct peer *p)
{
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
	p->n = 0;
	p->asked = 0;
}

static void
peer_close(struct peer *p)
{
	peer_hang_up(p);
	close(p->listener);
	unlink(p->path);
	rmdir(p->dir);
	free(p->in);
}

static void
peer_say_bytes(struct peer *p, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(p->fd, bytes, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the other side has gone: as it should */
		bytes += sent;
		n -= (size_t)sent;
	}
}

static void
peer_say(struct peer *p, const char *text)
{
	peer_say_bytes(p, text, strlen(text));
}

/* Answer a script of the test. */
static void
peer_answer(struct peer *p, const char *text)
{
	assert_true(p->asked > 0);
	p->asked--;
	peer_say(p, text);
}

static void
peer_hear(struct peer *p, const char *words)
{
	static const char info[] = "# Server\r\nrole:master\r\n"
				   "cluster_enabled:0\r\n"
				   "maxmemory_policy:noeviction\r\n";
	char head[32];

	if (p->mute)
		return;
	if (strncmp(words, "CLIENT ", 7) == 0) {
		peer_say(p, "+OK\r\n");
	} else if (strncmp(words, "SENTINEL ", 9) == 0) {
		p->sought++;
		assert_string_equal(words,
		    "SENTINEL GET-MASTER-ADDR-BY-NAME loop ");
		peer_say(p, p->sentinel);
	} else if (strcmp(words, "INFO ") == 0) {
		snprintf(head, sizeof(head), "$%zu\r\n", sizeof(info) - 1);
		peer_say(p, head);
		peer_say(p, info);
		peer_say(p, "\r\n");
	} else if (strstr(words, " certloop:epoch ") != NULL) {
		p->probes++;
		peer_say(p, "$16\r\n" EPOCH "\r\n");
	} else if (strncmp(words, "EVAL", 4) == 0) {
		p->asked++;
	} else {
		fail_msg("what is \"%s\"?", words);
	}
}

/* One command off the input; false if it is not complete. */
static bool
peer_take(struct peer *p)
{
	const char *at = p->in, *end = p->in + p->n, *eol;
	char words[8192];
	size_t used = 0;
	long args, len;

	if ((eol = memchr(at, '\n', (size_t)(end - at))) == NULL)
		return false;
	assert_int_equal(*at, '*');
	args = strtol(at + 1, NULL, 10);
	at = eol + 1;
	while (args-- > 0) {
		if ((eol = memchr(at, '\n', (size_t)(end - at))) == NULL)
			return false;
		assert_int_equal(*at, '$');
		len = strtol(at + 1, NULL, 10);
		at = eol + 1;
		if (end - at < len + 2)
			return false;
		used += (size_t)snprintf(words + used, sizeof(words) - used,
		    "%.*s ", (int)len, at);
		at += len + 2;
	}
	words[used] = '\0';
	p->n -= (size_t)(at - p->in);
	memmove(p->in, at, p->n);
	peer_hear(p, words);
	return true;
}

static void
peer_serve(struct peer *p)
{
	ssize_t n;

	if (p->fd == -1)
		p->fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK);
	if (p->fd == -1)
		return;
	n = recv(p->fd, p->in + p->n, INPUT_MAX - p->n, 0);
	if (n == 0) {
		peer_hang_up(p);
		return;
	}
	if (n < 0)
		return;
	p->n += (size_t)n;
	p->reads++;
	while (p->fd != -1 && peer_take(p))
		continue;
}

/* ---- both sides in turn */

static int64_t
now(void)
{
	return when_now();
}

static bool
go_on_until(struct fixture *f, const volatile bool *what, int ms)
{
	int64_t end = now() + ms * INT64_C(1000);

	while (!*what && now() < end) {
		peer_serve(&f->peer);
		turn_for(f->loop, 1);
	}
	return *what;
}

static bool
go_on_until_up(struct fixture *f, bool up, int ms)
{
	int64_t end = now() + ms * INT64_C(1000);

	while (redis_is_up(f->redis) != up && now() < end) {
		peer_serve(&f->peer);
		turn_for(f->loop, 1);
	}
	return redis_is_up(f->redis) == up;
}

/* Until the peer has n scripts of the test to answer. */
static void
go_on_until_asked(struct fixture *f, unsigned n)
{
	int64_t end = now() + 5 * WHEN_SECOND;

	while (f->peer.asked < n && now() < end) {
		peer_serve(&f->peer);
		turn_for(f->loop, 1);
	}
	assert_int_equal(f->peer.asked, n);
}

static void
go_on_for(struct fixture *f, int ms)
{
	volatile bool never = false;

	(void)go_on_until(f, &never, ms);
}

static enum step
on_answer(void *arg, const struct redis_answer *answer)
{
	struct got *g = arg;

	g->calls++;
	g->status = answer->status;
	g->number = redis_get_int(answer, 0);
	g->count = redis_count(answer);
	snprintf(g->text, sizeof(g->text), "%.*s",
	    STR_ARG(answer->status == REDIS_REFUSED ?
		    answer->error :
		    redis_get_str(answer, 0)));
	g->done = true;
	return STEP_DONE;
}

static void
ask(struct fixture *f, struct got *g)
{
	*g = (struct got){ .done = false };
	(void)redis_eval(f->redis, &(struct redis_call){ .script = &script },
	    &f->task, on_answer, g);
}

/* ---- fixtures */

static void
open_with(struct fixture *f, const struct redis_options *given)
{
	struct redis_options o = *given;
	struct redis_endpoint e = { .path = str_from(f->peer.path) };

	o.endpoints = &e;
	o.nendpoints = 1;
	f->redis = redis_new(f->loop, &o);
}

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->a = arena_create();
	f->loop = loop_new();
	task_init(&f->task);
	peer_open(&f->peer);
	*state = f;
	return 0;
}

static int
make_up(void **state)
{
	struct fixture *f;
	struct redis_options o = { .late = 5 * WHEN_SECOND,
		.dead = 20 * WHEN_SECOND };

	make(state);
	f = *state;
	open_with(f, &o);
	return go_on_until_up(f, true, 5000) ? 0 : -1;
}

/* Late after 200 ms, dead after 1 s. */
static int
make_impatient(void **state)
{
	struct fixture *f;
	struct redis_options o = { .late = WHEN_SECOND / 5,
		.dead = WHEN_SECOND };

	make(state);
	f = *state;
	open_with(f, &o);
	return go_on_until_up(f, true, 5000) ? 0 : -1;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	task_end(&f->task);
	redis_free(f->redis);
	peer_close(&f->peer);
	loop_free(f->loop);
	arena_destroy(f->a);
	free(f);
	return 0;
}

/* ---- tests */

static void
all_scripts_of_a_turn_leave_in_one_write(void **state)
{
	struct fixture *f = *state;
	enum { MANY = 100 };
	struct got g[MANY];
	unsigned before;

	for (int i = 0; i < MANY; i++)
		ask(f, &g[i]);
	peer_serve(&f->peer);
	assert_int_equal(f->peer.asked, 0); /* nothing left before its end */
	before = f->peer.reads;
	turn_for(f->loop, 1);
	peer_serve(&f->peer);
	assert_int_equal(f->peer.asked, MANY);
	assert_int_equal(f->peer.reads - before, 1);
	for (int i = 0; i < MANY; i++)
		peer_answer(&f->peer, i % 2 ? ":7\r\n" : ":8\r\n");
	for (int i = 0; i < MANY; i++) {
		assert_true(go_on_until(f, &g[i].done, 1000));
		assert_int_equal(g[i].number, i % 2 ? 7 : 8);
	}
}

static void
an_answer_may_come_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "*3\r\n:-5\r\n$4\r\na\r\nb\r\n$-1\r\n";
	struct got g;

	ask(f, &g);
	go_on_until_asked(f, 1);
	f->peer.asked--;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_false(g.done);
		peer_say_bytes(&f->peer, &text[i], 1);
		go_on_for(f, 1);
	}
	assert_true(go_on_until(f, &g.done, 1000));
	assert_int_equal(g.number, -5);
	assert_int_equal(g.count, 3);
}

static void
answers_of_any_kind_are_read_without_harm(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *said;
		enum redis_status status;
		size_t count;
		const char *text;
	} cases[] = {
		{ "$-1\r\n", REDIS_ANSWERED, 0, "" },
		{ "*-1\r\n", REDIS_ANSWERED, 0, "" },
		{ "*0\r\n", REDIS_ANSWERED, 0, "" },
		{ "+PONG\r\n", REDIS_ANSWERED, 1, "PONG" },
		{ "$0\r\n\r\n", REDIS_ANSWERED, 1, "" },
		{ "$2\r\nhi\r\n", REDIS_ANSWERED, 1, "hi" },
		{ ":9223372036854775807\r\n", REDIS_ANSWERED, 1, "" },
		{ "-ERR no\r\n", REDIS_REFUSED, 0, "ERR no" },
		{ "-\r\n", REDIS_REFUSED, 0, "" },
		{ "*2\r\n-ERR inside\r\n:1\r\n", REDIS_ANSWERED, 2, "" },
	};
	struct got g;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(f, &g);
		go_on_until_asked(f, 1);
		peer_answer(&f->peer, cases[i].said);
		assert_true(go_on_until(f, &g.done, 1000));
		assert_int_equal(g.status, cases[i].status);
		assert_int_equal(g.count, cases[i].count);
		assert_string_equal(g.text, cases[i].text);
		assert_true(redis_is_up(f->redis));
	}
}

static void
a_peer_that_does_not_speak_redis_is_left(void **state)
{
	struct fixture *f = *state;
	static const char *const sayings[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"$99999999999999999999\r\n",
		"$-7\r\n",
		"*1000000\r\n",
		"*2147483648\r\n",
		"*1\r\n*1\r\n:1\r\n",
		":12x\r\n",
		"\r\n\r\n",
	};
	struct got g;

	for (size_t i = 0; i < sizeof(sayings) / sizeof(sayings[0]); i++) {
		ask(f, &g);
		go_on_until_asked(f, 1);
		peer_answer(&f->peer, sayings[i]);
		assert_true(go_on_until(f, &g.done, 1000));
		assert_int_equal(g.status, REDIS_LOST);
		assert_non_null(
		    strstr(redis_trouble(f->redis), "not how Redis talks"));
		assert_true(go_on_until_up(f, true, 5000));
	}
}

static void
an_answer_that_nobody_asked_for_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	static const char *const sayings[] = { "+OK\r\n", ":1\r\n:2\r\n",
		"-ERR max number of clients reached\r\n" };

	for (size_t i = 0; i < sizeof(sayings) / sizeof(sayings[0]); i++) {
		peer_say(&f->peer, sayings[i]);
		assert_true(go_on_until_up(f, false, 1000));
		assert_non_null(
		    strstr(redis_trouble(f->redis), "to no question"));
		assert_true(go_on_until_up(f, true, 5000));
	}
}

static void
an_answer_without_end_is_not_kept(void **state)
{
	struct fixture *f = *state;
	char *much = malloc(1 << 16);
	struct got g;

	memset(much, 'x', 1 << 16);
	ask(f, &g);
	go_on_until_asked(f, 1);
	peer_answer(&f->peer, "$1000000000\r\n");
	for (int i = 0; i < 1000 && !g.done; i++) {
		if (f->peer.fd != -1)
			(void)send(f->peer.fd, much, 1 << 16,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		go_on_for(f, 1);
	}
	assert_int_equal(g.status, REDIS_LOST);
	assert_string_equal(redis_trouble(f->redis), "an answer is too long");
	free(much);
}

static void
a_script_is_tried_by_text_only_once(void **state)
{
	struct fixture *f = *state;
	struct got g;

	ask(f, &g);
	go_on_until_asked(f, 1);
	peer_answer(&f->peer, "-NOSCRIPT No matching script.\r\n");
	go_on_until_asked(f, 1);
	assert_false(g.done);
	peer_answer(&f->peer, "-NOSCRIPT No matching script.\r\n");
	assert_true(go_on_until(f, &g.done, 1000));
	assert_int_equal(g.status, REDIS_REFUSED);
	assert_int_equal(f->peer.asked, 0);
}

static void
too_much_in_flight_is_refused_at_once(void **state)
{
	struct fixture *f = *state;
	struct redis_options o = { .late = 5 * WHEN_SECOND,
		.dead = 20 * WHEN_SECOND,
		.in_flight_max = 3 };
	struct got g[5];

	redis_free(f->redis);
	peer_hang_up(&f->peer);
	open_with(f, &o);
	assert_true(go_on_until_up(f, true, 5000));
	for (int i = 0; i < 5; i++)
		ask(f, &g[i]);
	assert_int_equal(redis_in_flight(f->redis), 3);
	go_on_until_asked(f, 3);
	assert_false(g[2].done);
	assert_int_equal(g[3].status, REDIS_BUSY);
	assert_int_equal(g[4].status, REDIS_BUSY);
	assert_true(redis_is_up(f->redis));
	for (int i = 0; i < 3; i++)
		peer_answer(&f->peer, ":1\r\n");
	assert_true(go_on_until(f, &g[2].done, 1000));
	ask(f, &g[3]);
	go_on_until_asked(f, 1);
	peer_answer(&f->peer, ":1\r\n");
	assert_true(go_on_until(f, &g[3].done, 1000));
	assert_int_equal(g[3].status, REDIS_ANSWERED);
}

/* The peer does not read: what waits is bounded, and leaves in order. */
static void
what_waits_to_be_sent_is_bounded(void **state)
{
	struct fixture *f = *state;
	enum { BIG = 1 << 20, MANY = 12 };
	char *bytes = calloc(1, BIG);
	struct str arg = str_make(bytes, BIG);
	struct got g[MANY];
	int busy = 0;

	for (int i = 0; i < MANY; i++) {
		g[i] = (struct got){ .done = false };
		(void)redis_eval(f->redis,
		    &(struct redis_call){ .script = &script,
			.args = &arg,
			.nargs = 1 },
		    &f->task, on_answer, &g[i]);
	}
	turn_for(f->loop, 20);
	for (int i = 0; i < MANY; i++)
		busy += g[i].done && g[i].status == REDIS_BUSY;
	assert_in_range(busy, 1, MANY - 8);
	assert_int_equal(redis_in_flight(f->redis), MANY - busy);
	peer_hang_up(&f->peer);
	assert_true(turn_until(f->loop, &g[0].done, 1000));
	free(bytes);
}

/* ---- a Sentinel */

static void
a_sentinel_that_does_not_help_is_asked_again(void **state)
{
	static const struct {
		const char *says, *trouble;
	} tries[] = {
		{ "*-1\r\n", "knows no master loop" },
		{ "-IDONTKNOW the master\r\n", "IDONTKNOW" },
		{ "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n", "and port" },
		{ "*2\r\n$14\r\nnobody.invalid\r\n$4\r\n6379\r\n",
		    "nobody.invalid" },
		{ "*2\r\n$9\r\nlocal/ost\r\n$4\r\n6379\r\n", "and port" },
		{ "*1\r\n$9\r\n127.0.0.1\r\n", "and port" },
		{ "+OK\r\n", "and port" },
		/* it is believed, and nobody is there */
		{ "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n", "cannot connect" },
	};
	struct fixture *f = *state;
	struct redis_options o = { .sentinel = STR("loop") };
	unsigned before;

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		f->peer.sentinel = tries[i].says;
		redis_free(f->redis);
		peer_hang_up(&f->peer);
		open_with(f, &o);
		before = f->peer.sought;
		for (int j = 0; j < 2000 && f->peer.sought < before + 2; j++)
			go_on_for(f, 1);
		assert_true(f->peer.sought >= before + 2);
		go_on_for(f, 5);
		assert_non_null(
		    strstr(redis_trouble(f->redis), tries[i].trouble));
		assert_false(redis_is_up(f->redis));
	}
}

/* ---- late */

static void
a_late_answer_is_nobodys_and_the_next_goes_to_its_own(void **state)
{
	struct fixture *f = *state;
	int64_t late = metrics_get(METRIC_redis_late);
	struct got first, second;

	ask(f, &first);
	assert_true(go_on_until(f, &first.done, 1000));
	assert_int_equal(first.status, REDIS_LATE);
	assert_int_equal(redis_in_flight(f->redis), 1);
	ask(f, &second);
	go_on_until_asked(f, 2);
	peer_answer(&f->peer, ":1\r\n"); /* late */
	peer_answer(&f->peer, ":2\r\n");
	assert_true(go_on_until(f, &second.done, 1000));
	assert_int_equal(second.number, 2);
	assert_int_equal(first.calls, 1);
	assert_int_equal(metrics_get(METRIC_redis_late) - late, 1);
	assert_int_equal(redis_in_flight(f->redis), 0);
	assert_true(redis_is_up(f->redis));
}

static void
an_answer_in_time_ends_a_row_of_late_ones(void **state)
{
	struct fixture *f = *state;
	struct got g;

	for (int i = 0; i < 6; i++) {
		ask(f, &g);
		if (i % 3 == 2) { /* two late, one in time */
			go_on_until_asked(f, 1);
			peer_answer(&f->peer, ":1\r\n");
		}
		assert_true(go_on_until(f, &g.done, 1000));
		if (i % 3 != 2) {
			assert_int_equal(g.status, REDIS_LATE);
			peer_answer(&f->peer, ":1\r\n");
		}
		assert_true(redis_is_up(f->redis));
	}
}

static void
nothing_is_entrusted_while_the_last_answer_is_late(void **state)
{
	struct fixture *f = *state;
	struct got g;

	ask(f, &g);
	assert_true(go_on_until(f, &g.done, 1000));
	assert_int_equal(g.status, REDIS_LATE);
	assert_true(redis_is_up(f->redis));
	assert_null(redis_epoch(f->redis).p);
	peer_answer(&f->peer, ":1\r\n"); /* late: says nothing */
	go_on_for(f, 10);
	assert_null(redis_epoch(f->redis).p);
	ask(f, &g);
	go_on_until_asked(f, 1);
	peer_answer(&f->peer, ":2\r\n");
	assert_true(go_on_until(f, &g.done, 1000));
	assert_str(redis_epoch(f->redis), EPOCH);
}

static void
nothing_is_entrusted_to_an_epoch_in_doubt_until_it_was_asked(void **state)
{
	struct fixture *f = *state;
	unsigned probes = f->peer.probes;

	assert_str(redis_epoch(f->redis), EPOCH);
	redis_renew_epoch(f->redis);
	assert_null(redis_epoch(f->redis).p);
	assert_true(redis_is_up(f->redis));
	for (int i = 0; i < 500 && redis_epoch(f->redis).p == NULL; i++)
		go_on_for(f, 1);
	assert_str(redis_epoch(f->redis), EPOCH);
	assert_int_equal(f->peer.probes, probes + 1);
}

static void
three_late_ones_and_it_is_gone_until_a_probe_is_answered(void **state)
{
	struct fixture *f = *state;
	struct got g[4];
	unsigned probes;

	f->peer.mute = true; /* it hears, and answers nothing */
	for (int i = 0; i < 3; i++)
		ask(f, &g[i]);
	assert_true(go_on_until(f, &g[2].done, 1000));
	assert_int_equal(g[2].status, REDIS_LATE);
	assert_false(redis_is_up(f->redis));
	assert_non_null(
	    strstr(redis_trouble(f->redis), "in a row took more than"));
	assert_null(redis_epoch(f->redis).p);
	ask(f, &g[3]);
	assert_true(turn_until(f->loop, &g[3].done, 100));
	assert_int_equal(g[3].status, REDIS_GONE);
	/* late answers alone change nothing; a probe in time does */
	probes = f->peer.probes;
	f->peer.mute = false;
	peer_say(&f->peer, ":1\r\n:1\r\n:1\r\n");
	assert_true(go_on_until_up(f, true, 3000));
	assert_true(f->peer.probes > probes);
	assert_str(redis_epoch(f->redis), EPOCH);
}

static void
a_peer_that_is_silent_for_long_is_left(void **state)
{
	struct fixture *f = *state;
	int64_t began = now();
	struct got g;

	f->peer.mute = true;
	ask(f, &g);
	assert_true(go_on_until_up(f, false, 3000));
	go_on_for(f, 1500);
	assert_true(now() - began > WHEN_SECOND);
	f->peer.mute = false;
	peer_hang_up(&f->peer);
	assert_true(go_on_until_up(f, true, 5000));
}

static void
a_task_that_ends_after_it_was_told_late_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct task brief;
	struct got g = { .done = false };

	task_init(&brief);
	(void)redis_eval(f->redis, &(struct redis_call){ .script = &script },
	    &brief, on_answer, &g);
	assert_true(go_on_until(f, &g.done, 1000));
	assert_false(task_is_waiting(&brief));
	task_end(&brief);
	peer_answer(&f->peer, ":1\r\n");
	for (int i = 0; i < 1000 && redis_in_flight(f->redis) > 0; i++)
		go_on_for(f, 1);
	assert_int_equal(redis_in_flight(f->redis), 0);
	assert_int_equal(g.calls, 1);
}

/* ---- greetings that go wrong */

static bool
troubled_by(struct redis *r, const char *trouble)
{
	return strstr(redis_trouble(r), trouble) != NULL;
}

static void
expect_trouble(struct fixture *f, const char *said, const char *trouble)
{
	struct redis_options o = { .late = 0 };

	redis_free(f->redis);
	peer_hang_up(&f->peer);
	f->peer.mute = true;
	open_with(f, &o);
	for (int i = 0; i < 200 && f->peer.reads == 0; i++)
		go_on_for(f, 5);
	peer_say(&f->peer, said);
	for (int i = 0; i < 1000 && !troubled_by(f->redis, trouble); i++)
		go_on_for(f, 5);
	assert_true(troubled_by(f->redis, trouble));
	assert_false(redis_is_up(f->redis));
	f->peer.reads = 0;
}

static void
a_greeting_that_goes_wrong_says_why(void **state)
{
	struct fixture *f = *state;

	/* to CLIENT SETNAME, INFO, and the epoch's script */
	expect_trouble(f, "+OK\r\n-NOAUTH Authentication required.\r\n",
	    "wants a password");
	expect_trouble(f, "+OK\r\n-LOADING Redis is loading\r\n", "LOADING");
	expect_trouble(f, "+OK\r\n$19\r\ncluster_enabled:1\r\n\r\n",
	    "Redis Cluster");
	expect_trouble(f, "+OK\r\n$12\r\nrole:slave\r\n\r\n", "a replica");
	expect_trouble(f, "+OK\r\n-ERR\r\n-READONLY You can't write\r\n",
	    "READONLY");
	expect_trouble(f,
	    "+OK\r\n-ERR\r\n-ERR Error running script (call to f_1): "
	    "@user_script:1: -READONLY You can't write\r\n",
	    "READONLY");
	expect_trouble(f, "+OK\r\n-ERR\r\n:5\r\n", "no epoch");
	expect_trouble(f, "+OK\r\n-ERR\r\n$3\r\nabc\r\n", "no epoch");
	expect_trouble(f, "SSH-2.0-OpenSSH\r\n", "not how Redis talks");
	/* what it says cannot forge a line of the log */
	expect_trouble(f, "+OK\r\n-ERR\r\n-ERR \x1b[2J\x01\r\n", "ERR ?[2J?");
}

/* ---- addresses */

static void
addresses_are_parsed_and_nonsense_is_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "", ":6379",
		"127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x",
		"::1", "[::1", "[]:1", "[::1]6379",
		"[::1]:", "unix:", "a:1:2" };
	struct redis_endpoint *v;
	const char *why;
	size_t n;
	char text[300];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		assert_false(redis_parse_endpoints(f->a, str_from(bad[i]), &v,
		    &n, &why));
		assert_non_null(why);
	}
	assert_true(
	    redis_parse_endpoints(f->a, STR("192.0.2.7"), &v, &n, &why));
	assert_int_equal(v[0].port, 6379);
	assert_int_equal(v[0].addr.len, 4);
	assert_true(redis_parse_endpoints(f->a, STR("[2001:db8::1]:7000"), &v,
	    &n, &why));
	assert_int_equal(v[0].port, 7000);
	assert_int_equal(v[0].addr.len, 16);
	assert_true(redis_parse_endpoints(f->a, STR("unix:/run/redis.sock"), &v,
	    &n, &why));
	assert_str(v[0].path, "/run/redis.sock");
	assert_int_equal(v[0].path.p[v[0].path.n], '\0');
	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:/", 6);
	assert_false(
	    redis_parse_endpoints(f->a, str_make(text, 200), &v, &n, &why));
	assert_non_null(strstr(why, "1 to 107 bytes"));
}

int
main(void)
{
#define T(f, m) cmocka_unit_test_setup_teardown(f, m, drop)
	const struct CMUnitTest tests[] = {
		T(all_scripts_of_a_turn_leave_in_one_write, make_up),
		T(an_answer_may_come_byte_by_byte, make_up),
		T(answers_of_any_kind_are_read_without_harm, make_up),
		T(a_peer_that_does_not_speak_redis_is_left, make_up),
		T(an_answer_that_nobody_asked_for_ends_the_connection, make_up),
		T(an_answer_without_end_is_not_kept, make_up),
		T(a_script_is_tried_by_text_only_once, make_up),
		T(too_much_in_flight_is_refused_at_once, make_up),
		T(what_waits_to_be_sent_is_bounded, make_up),
		T(a_sentinel_that_does_not_help_is_asked_again, make),
		T(a_late_answer_is_nobodys_and_the_next_goes_to_its_own,
		    make_impatient),
		T(an_answer_in_time_ends_a_row_of_late_ones, make_impatient),
		T(nothing_is_entrusted_while_the_last_answer_is_late,
		    make_impatient),
		T(nothing_is_entrusted_to_an_epoch_in_doubt_until_it_was_asked,
		    make_up),
		T(three_late_ones_and_it_is_gone_until_a_probe_is_answered,
		    make_impatient),
		T(a_peer_that_is_silent_for_long_is_left, make_impatient),
		T(a_task_that_ends_after_it_was_told_late_changes_nothing,
		    make_impatient),
		T(a_greeting_that_goes_wrong_says_why, make),
		T(addresses_are_parsed_and_nonsense_is_refused, make),
	};

	return cmocka_run_group_tests_name("redis wire", tests, NULL, NULL);
}
