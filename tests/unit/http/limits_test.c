/* SPDX-License-Identifier: ISC */
/* Deadlines, bounds, draining, sockets that cannot be had. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/when.h"
#include "http/http_int.h"

enum { SHORT = 60000 }; /* usec; everything else waits for conditions */

static struct rig *
start(void **state, struct http_limits limits)
{
	struct rig *r = *state = rig_new(&limits);

	rig_listen(r, (struct http_listener_options){ .mode = 0 });
	return r;
}

static int
stop(void **state)
{
	rig_free(*state);
	return 0;
}

#define GET "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
#define WAIT "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
#define POST "POST /echo HTTP/1.1\r\nHost: x\r\n"

/* ---- deadlines */

/* Send a byte every few milliseconds, as long as there is no answer. */
static struct answer
drip(struct rig *r, int fd, const char *bytes, const char *more)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t next = 0;

	rig_say(r, fd, str_from(bytes));
	while (poll(&p, 1, 0) == 0) {
		rig_turn(r, rig_deadline(), "an answer", __FILE__, __LINE__);
		if (request_clock() < next)
			continue;
		(void)send(fd, more, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		next = request_clock() + 5000;
	}
	return rig_hear(r, fd);
}

static void
a_dripping_header_gets_408(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .header_timeout = SHORT });
	int fd = rig_dial(r);

	assert_int_equal(drip(r, fd, "GET /ec", "h").status, 408);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	fd = rig_dial(r);
	assert_int_equal(drip(r, fd,
			     "GET /echo HTTP/1.1\r\nHost: x\r\nX: ", "y")
			     .status,
	    408);
	rig_hang_up(fd);
	assert_string_equal(r->ran, "");
}

static void
the_second_header_has_its_own_time(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .header_timeout = SHORT });
	int fd = rig_dial(r);

	say(r, fd, GET);
	assert_int_equal(rig_hear(r, fd).status, 200);
	/* longer than header_timeout: idle is something else */
	for (int64_t end = request_clock() + 2 * SHORT; request_clock() < end;)
		rig_expect_silence(r, fd);
	say(r, fd, GET);
	assert_int_equal(rig_hear(r, fd).status, 200);
	assert_int_equal(drip(r, fd, "GET /ec", "h").status, 408);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

static void
a_dripping_body_gets_408(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .body_timeout = SHORT });
	int fd = rig_dial(r);

	assert_int_equal(drip(r, fd, POST "Content-Length: 100\r\n\r\n", "y")
			     .status,
	    408);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	fd = rig_dial(r);
	assert_int_equal(drip(r, fd,
			     POST "Transfer-Encoding: chunked\r\n\r\n64\r\n",
			     "y")
			     .status,
	    408);
	rig_hang_up(fd);
	assert_string_equal(r->ran, "");
}

static void
who_says_nothing_is_closed_without_a_word(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .header_timeout = SHORT,
		.idle_timeout = SHORT });
	int fresh = rig_dial(r), idle = rig_dial(r);

	say(r, idle, GET);
	assert_int_equal(rig_hear(r, idle).status, 200);
	rig_expect_end(r, fresh);
	rig_expect_end(r, idle);
	rig_hang_up(fresh);
	rig_hang_up(idle);
}

static void
a_handler_that_takes_too_long_gets_503(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .request_timeout = SHORT });
	int fd = rig_dial(r);
	struct answer a;

	say(r, fd, WAIT);
	a = rig_hear(r, fd);
	assert_int_equal(a.status, 503);
	assert_str(answer_field(&a, "X-App"), "main");
	assert_true(answer_field(&a, "Retry-After").n > 0);
	assert_int_equal(r->detached, 1);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

static void
who_does_not_read_is_dropped(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .write_timeout = SHORT });
	int fd = rig_dial(r);

	for (int i = 0; i < 8; i++) /* more than any socket holds */
		say(r, fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_until(r, http_server_connections(r->server) == 1);
	rig_until(r, http_server_connections(r->server) == 0);
	rig_hang_up(fd);
}

static void
who_does_not_close_is_closed(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	int fd = rig_dial(r);

	say(r, fd, "GET /echo HTTP/1.0\r\n\r\n");
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_expect_end(r, fd);
	assert_int_equal(http_server_connections(r->server), 1);
	rig_until(r, http_server_connections(r->server) == 0);
	rig_hang_up(fd);
}

static void
who_goes_on_sending_is_cut_off(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	static char junk[65536];
	int fd = rig_dial(r);
	size_t sent = 0;
	ssize_t n;

	say(r, fd, "nonsense\r\n");
	assert_int_equal(rig_hear(r, fd).status, 400);
	rig_until(r,
	    ((n = send(fd, junk, sizeof(junk), MSG_NOSIGNAL)) > 0 ?
		    (sent += (size_t)n) :
		    0,
		http_server_connections(r->server) == 0));
	assert_true(sent > LINGER_BYTES);
	rig_hang_up(fd);
}

/* ---- bounds */

static void
one_connection_too_many_gets_503(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .connections = 2 });
	int a = rig_dial(r), b = rig_dial(r), c = rig_dial(r);
	struct answer got;
	const struct json *j;

	got = rig_hear(r, c);
	assert_int_equal(got.status, 503);
	assert_str(answer_field(&got, "Retry-After"), "1");
	assert_str(answer_field(&got, "Content-Type"),
	    "application/problem+json");
	j = json_parse(r->arena, got.body, NULL);
	assert_int_equal(json_get(j, "status")->num, 503);
	rig_expect_end(r, c);
	say(r, a, GET);
	assert_int_equal(rig_hear(r, a).status, 200);
	rig_hang_up(a);
	rig_until(r, http_server_connections(r->server) == 1);
	rig_hang_up(c);
	c = rig_dial(r);
	say(r, c, GET);
	assert_int_equal(rig_hear(r, c).status, 200);
	rig_hang_up(b);
	rig_hang_up(c);
}

static void
a_connection_that_waits_holds_no_buffers(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	int fd = rig_dial(r);
	const struct http_conn *c;

	say(r, fd, GET "GET /ec");
	assert_int_equal(rig_hear(r, fd).status, 200);
	c = TAILQ_FIRST(&r->server->phases[PHASE_HEAD]);
	assert_non_null(c);
	assert_int_equal(c->nkept, 7); /* what it sent, no more */
	say(r, fd, "ho HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(rig_hear(r, fd).status, 200);
	c = TAILQ_FIRST(&r->server->phases[PHASE_IDLE]);
	assert_non_null(c);
	assert_null(c->kept);
	assert_null(c->out.p);
	assert_null(c->rq);
	assert_true(sizeof(*c) <= 1024);
	rig_hang_up(fd);
}

/* In a process of its own, which may spend its descriptors. */
static int
run_out_of_descriptors(void)
{
	struct rig *r = rig_new(NULL);
	struct rlimit low = { .rlim_cur = 64, .rlim_max = 64 };
	int first, second, fillers[64], n = 0;

	rig_listen(r, (struct http_listener_options){ .mode = 0 });
	first = rig_dial(r);
	second = rig_dial(r);
	/* before the server accepts them, there are none left */
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < 64 && (fillers[n] = dup(first)) >= 0)
		n++;
	rig_expect_end(r, first); /* at once, thanks to the reserve */
	for (int i = 0; i < n; i++)
		close(fillers[i]);
	say(r, second, GET); /* it looks again by itself */
	assert_int_equal(rig_hear(r, second).status, 200);
	rig_hang_up(first);
	rig_hang_up(second);
	rig_free(r);
	return 0;
}

static void
without_descriptors_it_refuses_and_recovers(void **state)
{
	int status = -1;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		/* not /proc/self/exe: under valgrind that is valgrind */
		execl(program_invocation_name, "limits_test", "descriptors",
		    NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- draining */

static void
set_flag(void *arg)
{
	((struct rig *)arg)->drained = true;
}

static void
draining_finishes_what_is_in_flight(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .drain_idle = SHORT });
	int idle = rig_dial(r), busy = rig_dial(r), half = rig_dial(r);
	struct answer a;

	say(r, idle, GET);
	assert_int_equal(rig_hear(r, idle).status, 200);
	say(r, busy, WAIT);
	say(r, half, "GET /echo HTTP");
	rig_until(r, r->waiting != NULL);
	rig_expect_silence(r, half);

	http_server_drain(r->server, WHEN_MINUTE, set_flag, r);
	assert_int_equal(http_server_connections(r->server), 3);
	rig_expect_end(r, idle);
	assert_int_equal(http_server_connections(r->server), 2);
	assert_false(r->drained);
	rig_finish(r);
	a = rig_hear(r, busy);
	assert_str(a.body, "waited");
	assert_str(answer_field(&a, "Connection"), "close");
	rig_expect_end(r, busy);
	rig_hang_up(busy);
	say(r, half, "/1.1\r\nHost: x\r\n\r\n");
	a = rig_hear(r, half);
	assert_int_equal(a.status, 200);
	assert_str(answer_field(&a, "Connection"), "close");
	rig_hang_up(half);
	rig_until(r, r->drained);
	rig_hang_up(idle);
}

static void
draining_takes_no_new_connections(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)r->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	http_server_drain(r->server, WHEN_MINUTE, set_flag, r);
	assert_false(r->drained); /* from the top of the loop */
	rig_until(r, r->drained);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

static void
draining_ends_in_time(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	int fd = rig_dial(r);

	say(r, fd, WAIT);
	rig_until(r, r->waiting != NULL);
	http_server_drain(r->server, SHORT, set_flag, r);
	rig_until(r, r->drained);
	assert_int_equal(http_server_connections(r->server), 1);
	assert_int_equal(r->detached, 0);
	rig_hang_up(fd);
}

static void
a_request_that_came_just_before_the_drain_is_answered(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	int fd = rig_dial(r);

	say(r, fd, GET);
	assert_int_equal(rig_hear(r, fd).status, 200);
	assert_int_equal(send(fd, GET, sizeof(GET) - 1, 0), sizeof(GET) - 1);
	http_server_drain(r->server, WHEN_MINUTE, set_flag, r);
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	rig_until(r, r->drained);
}

static void
a_client_at_work_is_told_to_close_rather_than_closed(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .drain_idle = WHEN_MINUTE / 2 });
	int fd = rig_dial(r);
	struct answer a;

	say(r, fd, GET);
	assert_int_equal(rig_hear(r, fd).status, 200);
	http_server_drain(r->server, WHEN_MINUTE, set_flag, r);
	rig_expect_silence(r, fd);
	say(r, fd, GET);
	a = rig_hear(r, fd);
	assert_int_equal(a.status, 200);
	assert_str(answer_field(&a, "Connection"), "close");
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	rig_until(r, r->drained);
}

static void
who_waits_in_the_queue_is_served_before_it_closes(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	int fds[8];

	for (int i = 0; i < 8; i++)
		fds[i] = rig_dial(r);
	http_server_drain(r->server, WHEN_MINUTE, set_flag, r);
	for (int i = 0; i < 8; i++) {
		say(r, fds[i], GET);
		assert_int_equal(rig_hear(r, fds[i]).status, 200);
		rig_hang_up(fds[i]);
	}
	rig_until(r, r->drained);
}

static void
shedding_goes_on_accepting_and_can_be_undone(void **state)
{
	struct rig *r = start(state,
	    (struct http_limits){ .drain_idle = SHORT });
	int idle = rig_dial(r), fd;
	struct answer a;

	say(r, idle, GET);
	assert_int_equal(rig_hear(r, idle).status, 200);
	http_server_shed(r->server);
	rig_expect_end(r, idle);
	rig_hang_up(idle);
	fd = rig_dial(r);
	say(r, fd, GET);
	a = rig_hear(r, fd);
	assert_str(answer_field(&a, "Connection"), "close");
	rig_expect_end(r, fd);
	rig_hang_up(fd);
	http_server_keep(r->server);
	fd = rig_dial(r);
	for (int i = 0; i < 2; i++) {
		say(r, fd, GET);
		a = rig_hear(r, fd);
		assert_int_equal(a.status, 200);
		assert_null(answer_field(&a, "Connection").p);
	}
	rig_hang_up(fd);
}

/* ---- sockets */

static void
expect_no_listener(struct rig *r, struct http_listener_options o,
    const char *part)
{
	static const struct route *const routes[] = { NULL };
	static const struct http_app app = { .name = "a", .routes = routes };
	const struct http_app *const apps[] = { &app, NULL };
	const char *why = NULL;

	o.apps = apps;
	assert_false(http_listen(r->server, &o, r->arena, &why));
	if (strstr(why, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static void
bad_addresses_are_named(void **state)
{
	static const char *const bad[] = { "", "1.2.3.4", ":80", "localhost:80",
		"1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "1.2.3.4:-1",
		"::1:80", "[::1]", "[::1]80", "[1.2.3.4:80", "[]:80",
		"[::1%lo]:80", "1.2.3:80" };
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	char taken[32];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_no_listener(r,
		    (struct http_listener_options){ .address = bad[i] },
		    "is not an address to listen on");
	snprintf(taken, sizeof(taken), "127.0.0.1:%u", r->port);
	expect_no_listener(r,
	    (struct http_listener_options){ .address = taken },
	    "something else listens there");
	expect_no_listener(r,
	    (struct http_listener_options){ .address = "192.0.2.1:0" },
	    "192.0.2.1:0: Cannot assign");
}

static void
several_processes_may_share_a_port_if_they_say_so(void **state)
{
	struct rig *r = *state = rig_new(NULL);
	char again[32];

	rig_listen(r, (struct http_listener_options){ .reuse_port = true });
	snprintf(again, sizeof(again), "127.0.0.1:%u", r->port);
	rig_listen(r,
	    (struct http_listener_options){ .address = again,
		.reuse_port = true });
	assert_int_equal(http_listener_port(r->server, 0),
	    http_listener_port(r->server, 1));
	assert_int_equal(http_listener_port(r->server, 2), 0);
}

static void
ipv6_is_served(void **state)
{
	struct rig *r = *state = rig_new(NULL);

	rig_listen(r, (struct http_listener_options){ .address = "[::1]:0" });
	assert_true(r->port > 0);
}

static void
a_unix_socket_knows_its_peer(void **state)
{
	struct rig *r = *state = rig_new(NULL);
	struct stat st;
	char want[128];
	int fd;

	rig_listen(r,
	    (struct http_listener_options){ .address = "unix", .mode = 0660 });
	assert_int_equal(lstat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	fd = rig_dial(r);
	say(r, fd, "GET /creds HTTP/1.1\r\nHost: x\r\n\r\n");
	snprintf(want, sizeof(want), "%u %u %d 1 0", getuid(), getgid(),
	    (int)getpid());
	assert_str(rig_hear(r, fd).body, want);
	say(r, fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_str(rig_hear(r, fd).body, "/echo?||unix|");
	rig_hang_up(fd);
	http_server_free(r->server);
	r->server = NULL;
	assert_int_equal(lstat(r->path, &st), -1);
}

static void
over_tcp_there_are_no_credentials(void **state)
{
	struct rig *r = start(state, (struct http_limits){ .header_max = 0 });
	int fd = rig_dial(r);

	say(r, fd, "GET /creds HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_str(rig_hear(r, fd).body, "nobody");
	rig_hang_up(fd);
}

static void
a_reset_on_a_unix_socket_ends_the_task(void **state)
{
	struct rig *r = *state = rig_new(NULL);
	int fd;

	rig_listen(r, (struct http_listener_options){ .address = "unix" });
	fd = rig_dial(r);
	say(r, fd, WAIT);
	rig_until(r, r->waiting != NULL);
	rig_hang_up(fd); /* both ways at once: nobody can read the reply */
	rig_until(r, r->detached == 1);
	fd = rig_dial(r);
	say(r, fd, WAIT);
	rig_until(r, r->waiting != NULL);
	shutdown(fd, SHUT_WR); /* one way: somebody can */
	rig_expect_silence(r, fd);
	rig_finish(r);
	assert_str(rig_hear(r, fd).body, "waited");
	rig_expect_end(r, fd);
	rig_hang_up(fd);
}

static void
stale_socket_files_are_replaced_and_others_are_not(void **state)
{
	struct rig *r = *state = rig_new(NULL);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char name[] = "limits.XXXXXX", live[128], file[80];
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), i;

	/* left behind by somebody who is gone */
	snprintf(un.sun_path, sizeof(r->path), "stale.%d", (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	snprintf(live, sizeof(live), "unix:%s", un.sun_path);
	memcpy(r->path, un.sun_path, sizeof(r->path));
	rig_listen(r, (struct http_listener_options){ .address = live });
	fd = rig_dial(r);
	say(r, fd, GET);
	assert_int_equal(rig_hear(r, fd).status, 200);
	rig_hang_up(fd);

	/* in use: by us */
	expect_no_listener(r, (struct http_listener_options){ .address = live },
	    "something else listens there");
	assert_int_equal(lstat(un.sun_path, &st), 0);

	/* no socket at all */
	i = mkstemp(name);
	close(i);
	snprintf(file, sizeof(file), "unix:%s", name);
	expect_no_listener(r, (struct http_listener_options){ .address = file },
	    "something else listens there");
	assert_int_equal(lstat(name, &st), 0);
	unlink(name);
	expect_no_listener(r,
	    (struct http_listener_options){ .address = "unix:nowhere/at/all" },
	    "No such file");
	expect_no_listener(r,
	    (struct http_listener_options){
		.address = "unix:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	    "too long");
}

static void
a_socket_file_that_another_has_taken_is_left(void **state)
{
	struct rig *r = *state = rig_new(NULL);
	struct stat st;
	int fd;

	rig_listen(r, (struct http_listener_options){ .address = "unix" });
	assert_int_equal(unlink(r->path), 0);
	fd = open(r->path, O_CREAT | O_WRONLY, 0600);
	http_server_free(r->server);
	r->server = NULL;
	assert_int_equal(lstat(r->path, &st), 0);
	close(fd);
	unlink(r->path);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_dripping_header_gets_408),
		TEST(the_second_header_has_its_own_time),
		TEST(a_dripping_body_gets_408),
		TEST(who_says_nothing_is_closed_without_a_word),
		TEST(a_handler_that_takes_too_long_gets_503),
		TEST(who_does_not_read_is_dropped),
		TEST(who_does_not_close_is_closed),
		TEST(who_goes_on_sending_is_cut_off),
		TEST(one_connection_too_many_gets_503),
		TEST(a_connection_that_waits_holds_no_buffers),
		cmocka_unit_test(without_descriptors_it_refuses_and_recovers),
		TEST(draining_finishes_what_is_in_flight),
		TEST(draining_takes_no_new_connections),
		TEST(draining_ends_in_time),
		TEST(a_request_that_came_just_before_the_drain_is_answered),
		TEST(a_client_at_work_is_told_to_close_rather_than_closed),
		TEST(who_waits_in_the_queue_is_served_before_it_closes),
		TEST(shedding_goes_on_accepting_and_can_be_undone),
		TEST(bad_addresses_are_named),
		TEST(several_processes_may_share_a_port_if_they_say_so),
		TEST(ipv6_is_served),
		TEST(a_unix_socket_knows_its_peer),
		TEST(over_tcp_there_are_no_credentials),
		TEST(a_reset_on_a_unix_socket_ends_the_task),
		TEST(stale_socket_files_are_replaced_and_others_are_not),
		TEST(a_socket_file_that_another_has_taken_is_left),
	};

	if (argc == 2 && strcmp(argv[1], "descriptors") == 0)
		return run_out_of_descriptors();
	return cmocka_run_group_tests_name("http/limits", tests, NULL, NULL);
}
