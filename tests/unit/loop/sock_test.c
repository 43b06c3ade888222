/* SPDX-License-Identifier: ISC */
/* Sockets under an edge-triggered watch. */
#include "../unit.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/sock.h"

struct ends {
	struct loop *loop;
	struct sock sock;
	int peer, calls;
};

static void
count(void *arg)
{
	((struct ends *)arg)->calls++;
}

static int
set_up(void **state)
{
	static struct ends e;
	int fds[2];

	e = (struct ends){ .loop = loop_new() };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
			     fds),
	    0);
	assert_true(sock_start(&e.sock, e.loop, fds[0], count, &e));
	e.peer = fds[1];
	*state = &e;
	return 0;
}

static int
tear_down(void **state)
{
	struct ends *e = *state;

	sock_close(&e->sock);
	sock_close(&e->sock);
	if (e->peer >= 0)
		close(e->peer);
	loop_free(e->loop);
	return 0;
}

static void
turn(struct ends *e)
{
	for (int i = 0; i < 5; i++)
		loop_turn(e->loop, LOOP_POLL);
}

static void
bytes_are_told_of_once(void **state)
{
	struct ends *e = *state;
	char p[8];
	size_t n;
	int calls;

	turn(e);
	assert_int_equal(sock_recv(&e->sock, p, 8, &n), SOCK_AGAIN);
	calls = e->calls;
	assert_int_equal(write(e->peer, "hello", 5), 5);
	turn(e);
	assert_int_equal(e->calls, calls + 1); /* not again and again */
	assert_true(e->sock.readable);
	assert_int_equal(sock_recv(&e->sock, p, 2, &n), SOCK_OK);
	assert_int_equal(n, 2);
	assert_true(e->sock.readable); /* it was full, there may be more */
	assert_int_equal(sock_recv(&e->sock, p, 8, &n), SOCK_OK);
	assert_int_equal(n, 3);
	assert_int_equal(sock_recv(&e->sock, p, 8, &n), SOCK_AGAIN);
	assert_int_equal(n, 0);
	assert_false(e->sock.readable);
}

/* Having sent says that no error waits behind what was read. */
static void
an_answer_saves_the_look_for_an_error(void **state)
{
	struct ends *e = *state;
	char p[8] = "y";
	const struct iovec v = { p, 1 };
	size_t n;

	assert_int_equal(write(e->peer, "x", 1), 1);
	turn(e);
	assert_int_equal(sock_recv(&e->sock, p, 8, &n), SOCK_OK);
	assert_true(e->sock.readable);
	assert_int_equal(sock_send(&e->sock, &v, 1, &n), SOCK_OK);
	assert_false(e->sock.readable);
	assert_int_equal(write(e->peer, "z", 1), 1);
	turn(e);
	assert_true(e->sock.readable);
}

static void
the_end_behind_the_last_bytes_is_seen(void **state)
{
	struct ends *e = *state;
	char p[8];
	size_t n;

	assert_int_equal(write(e->peer, "bye", 3), 3);
	shutdown(e->peer, SHUT_WR);
	turn(e);
	assert_true(e->sock.hup);
	assert_int_equal(sock_recv(&e->sock, p, 8, &n), SOCK_OK);
	assert_int_equal(n, 3);
	assert_int_equal(sock_recv(&e->sock, p, 8, &n), SOCK_EOF);
	assert_false(sock_is_dead(&e->sock)); /* it still listens to us */
}

static void
a_full_socket_tells_when_there_is_room(void **state)
{
	struct ends *e = *state;
	static char p[65536];
	const struct iovec v[2] = { { p, 32768 }, { p + 32768, 32768 } };
	enum sock_result r = SOCK_OK;
	size_t n, all = 0, got = 0;
	ssize_t part;

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (char)(i % 251);
	while (r == SOCK_OK) {
		r = sock_send(&e->sock, v, 2, &n);
		all += n;
	}
	assert_int_equal(r, SOCK_AGAIN);
	assert_false(e->sock.writable);
	turn(e);
	while ((part = read(e->peer, p, sizeof(p))) > 0)
		got += (size_t)part;
	assert_int_equal(got, all);
	turn(e);
	assert_true(e->sock.writable);
}

static void
a_peer_that_is_gone_is_dead(void **state)
{
	struct ends *e = *state;
	char x = 'x';
	const struct iovec v = { &x, 1 };
	size_t n;

	assert_false(sock_is_dead(&e->sock));
	assert_int_equal(write(e->peer, "unread", 6), 6);
	close(e->peer);
	e->peer = -1;
	turn(e);
	assert_true(sock_is_dead(&e->sock)); /* bytes do not hide it */
	assert_int_equal(sock_send(&e->sock, &v, 1, &n), SOCK_ERROR);
	assert_int_equal(n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_are_told_of_once),
		TEST(an_answer_saves_the_look_for_an_error),
		TEST(the_end_behind_the_last_bytes_is_seen),
		TEST(a_full_socket_tells_when_there_is_room),
		TEST(a_peer_that_is_gone_is_dead),
	};

	return cmocka_run_group_tests_name("loop/sock", tests, NULL, NULL);
}
