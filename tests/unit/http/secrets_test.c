/* SPDX-License-Identifier: ISC */
/* Credentials: nowhere in memory when nobody needs them any more. */
#include "rig.h"

#include <string.h>

#include "http/http_int.h"

static struct rig *
start(void **state)
{
	struct rig *r = *state = rig_new(NULL);

	rig_listen(r, (struct http_listener_options){ .mode = 0 });
	/* fresh memory may hold what an earlier test has said */
	memset(r->server->window.p, 0, r->server->window.cap);
	return r;
}

static int
stop(void **state)
{
	rig_free(*state);
	return 0;
}

/* A request on a connection of its own. */
static struct answer
ask(struct rig *r, const char *bytes)
{
	int fd = rig_dial(r);
	struct answer a;

	rig_say(r, fd, str_from(bytes));
	a = rig_hear(r, fd);
	rig_hang_up(fd);
	return a;
}

static bool
is_in(const void *p, size_t n, const char *text)
{
	return memmem(p, n, text, strlen(text)) != NULL;
}

/* What the only connection keeps of a request that is not whole. */
static struct str
kept_by(const struct rig *r)
{
	const struct http_conn *c = TAILQ_FIRST(&r->server->phases[PHASE_HEAD]);

	return c == NULL ? STR_NONE : str_make(c->kept, c->nkept);
}

/* Memory to look at in the moment before it is given back. */
static struct {
	const char *p;
	size_t n;
	bool is_freed, had_secret;
} watched;

void __real_free(void *);
void __wrap_free(void *);

void
__wrap_free(void *p)
{
	if (p != NULL && p == watched.p) {
		watched.is_freed = true;
		watched.had_secret = is_in(watched.p, watched.n, "s3cr3t");
		watched.p = NULL;
	}
	__real_free(p);
}

/* Who hangs up is closed while it is read from, who stops while it is not. */
static void
half_a_head_is_wiped_when_the_connection_ends(void **state)
{
	struct rig *r = start(state);
	const struct window *w = &r->server->window;

	for (int hangs_up = 0; hangs_up <= 1; hangs_up++) {
		int fd = rig_dial(r);

		say(r, fd,
		    "GET /echo HTTP/1.1\r\nHost: h\r\n"
		    "Authorization: s3cr3t");
		rig_until(r, kept_by(r).n > 0);
		assert_true(is_in(kept_by(r).p, kept_by(r).n, "s3cr3t"));
		watched.p = kept_by(r).p;
		watched.n = kept_by(r).n;
		watched.is_freed = false;
		if (hangs_up)
			rig_reset(fd);
		else
			conn_close(TAILQ_FIRST(&r->server->phases[PHASE_HEAD]));
		rig_until(r, http_server_connections(r->server) == 0);
		assert_true(watched.is_freed);
		assert_false(watched.had_secret);
		assert_false(is_in(w->p, w->cap, "s3cr3t"));
		if (!hangs_up)
			rig_hang_up(fd);
	}
}

/* ---- secrets of requests that nobody asked for theirs */

static size_t behind;   /* bytes of the request from its target on */
static unsigned looked; /* requests that ended, */
static unsigned left;   /* and those that left a secret */

static void
look(void *arg)
{
	const struct str *s = arg;

	looked++;
	left += is_in(s->p, s->n, "s3cr3t");
}

/* When the request is over, but its memory is still there. */
static void
look_at_the_end(struct req *req)
{
	struct str *s = arena_new(req->task.arena, struct str);

	*s = str_make(request_of(req)->head.target.p, behind);
	assert_int_equal(s->p[0], '/');
	arena_defer(req->task.arena, look, s);
}

#define KEY "Authorization: Bearer s3cr3t\r\n"

static void
credentials_go_with_a_request_that_did_not_need_them(void **state)
{
	static const struct {
		const char *bytes;
		unsigned status;
	} cases[] = {
		{ "GET /echo HTTP/1.1\r\nHost: h\r\n" KEY KEY "\r\n", 200 },
		{ "GET /none HTTP/1.1\r\nHost: h\r\n" KEY "\r\n", 404 },
		{ "PUT /echo HTTP/1.1\r\nHost: h\r\n" KEY "\r\n", 405 },
		{ "POST /echo HTTP/1.1\r\nHost: h\r\n" KEY
		  "Content-Length: 101\r\n\r\n",
		    413 },
	};
	struct rig *r = start(state);
	const struct window *w = &r->server->window;

	r->on_reply = look_at_the_end;
	looked = left = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		behind = strlen(strchr(cases[i].bytes, '/'));
		assert_int_equal(ask(r, cases[i].bytes).status,
		    cases[i].status);
		assert_int_equal(looked, i + 1);
		assert_int_equal(left, 0);
		assert_false(is_in(w->p, w->cap, "s3cr3t"));
	}
}

/* By the parser, before it came to the secret; by us, after it; and by what
 * we ask of a head. */
static void
credentials_go_with_a_head_that_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		unsigned status;
	} cases[] = {
		{ "GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
		  "Content-Length: 2\r\n" KEY "\r\n",
		    400 },
		{ "\r\nGET /echo HTTP/1.1\r\nHost: h\r\n"
		  "Content-Length: x\r\n" KEY "\r\n",
		    400 },
		{ "GET /echo HTTP/1.1\r\n" KEY "Host: h\r\nHost: i\r\n\r\n",
		    400 },
	};
	struct rig *r = start(state);
	const struct window *w = &r->server->window;

	r->on_reply = look_at_the_end;
	looked = left = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		behind = strlen(strchr(cases[i].bytes, '/'));
		assert_int_equal(ask(r, cases[i].bytes).status,
		    cases[i].status);
		assert_int_equal(looked, i + 1);
		assert_int_equal(left, 0);
		assert_false(is_in(w->p, w->cap, "s3cr3t"));
	}
}

/* Nothing of these becomes a request; what others read into is clean. */
static void
credentials_go_with_what_is_no_head(void **state)
{
	static const struct {
		const char *bytes;
		unsigned status;
	} cases[] = {
		{ "GET /echo HTTP/1.1\r\n" KEY "Host: \1\r\n\r\n", 400 },
		{ "GET /echo HTTP/1.1\r\n" KEY "Host : h\r\n\r\n", 400 },
		{ "XYZ /echo HTTP/1.1\r\nHost: h\r\n" KEY "\r\n", 501 },
		{ "PUT /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
		  "\r\nGET /echo HTTP/1.1\r\nHost: h\r\n" KEY "\r\n",
		    405 },
	};
	struct rig *r = start(state);
	const struct window *w = &r->server->window;
	int fd = rig_dial(r);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ask(r, cases[i].bytes).status,
		    cases[i].status);
		assert_false(is_in(w->p, w->cap, "s3cr3t"));
	}
	say(r, fd, "nonsense\r\n");
	assert_int_equal(rig_hear(r, fd).status, 400);
	say(r, fd, KEY); /* into the lingering */
	rig_hang_up(fd);
	rig_until(r, http_server_connections(r->server) == 0);
	assert_false(is_in(w->p, w->cap, "s3cr3t"));
}

static void
several_fields_are_joined_in_one_piece(void **state)
{
	struct rig *r = start(state);
	int fd = rig_dial(r);
	char *before, *after;
	struct str all;

	say(r, fd,
	    "GET /wait HTTP/1.1\r\nHost: h\r\nAuthorization: s3cr3t-1\r\n"
	    "Authorization: s3cr3t-2\r\nAuthorization: s3cr3t-3\r\n"
	    "Authorization: s3cr3t-4\r\n\r\n");
	rig_until(r, r->waiting != NULL);
	before = arena_alloc(r->waiting->task.arena, 16);
	all = req_header(r->waiting, "Authorization");
	after = arena_alloc(r->waiting->task.arena, 16);
	assert_str(all, "s3cr3t-1, s3cr3t-2, s3cr3t-3, s3cr3t-4");
	assert_true(before + 16 == all.p);
	assert_true(after >= all.p + all.n && after < all.p + all.n + 32);
	rig_finish(r);
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_hang_up(fd);
}

static void
credentials_are_nowhere_once_they_are_wiped(void **state)
{
	struct rig *r = start(state);
	const struct window *w = &r->server->window;
	int fd = rig_dial(r);
	struct str one, both;

	say(r, fd,
	    "GET /wait HTTP/1.1\r\nHost: h\r\nAuthorization: s3cr3t-1\r\n"
	    "X-Thing: s3cr3t-3\r\nauthorization: s3cr3t-");
	rig_until(r, kept_by(r).n > 0);
	assert_true(is_in(kept_by(r).p, kept_by(r).n, "s3cr3t-1"));
	assert_false(is_in(w->p, w->cap, "s3cr3t"));
	say(r, fd, "2\r\n\r\n");
	rig_until(r, r->waiting != NULL);
	assert_false(is_in(w->p, w->cap, "s3cr3t-1"));
	assert_false(is_in(w->p, w->cap, "s3cr3t-2"));
	assert_true(is_in(w->p, w->cap, "s3cr3t-3"));
	both = req_header(r->waiting, "authorization");
	assert_str(both, "s3cr3t-1, s3cr3t-2");
	one = request_of(r->waiting)->head.fields[1].value;
	assert_str(one, "s3cr3t-1");
	req_wipe_header(r->waiting, "AUTHORIZATION");
	assert_memory_equal(one.p, "\0\0\0\0\0\0\0\0", one.n);
	both = req_header(r->waiting, "authorization");
	assert_false(is_in(both.p, both.n, "s3"));
	assert_str(req_header(r->waiting, "x-thing"), "s3cr3t-3");
	rig_finish(r);
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_hang_up(fd);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(credentials_are_nowhere_once_they_are_wiped),
		TEST(half_a_head_is_wiped_when_the_connection_ends),
		TEST(credentials_go_with_a_request_that_did_not_need_them),
		TEST(credentials_go_with_a_head_that_is_refused),
		TEST(credentials_go_with_what_is_no_head),
		TEST(several_fields_are_joined_in_one_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
