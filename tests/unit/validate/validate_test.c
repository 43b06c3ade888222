/* SPDX-License-Identifier: ISC */
/* Validations against peers, good and bad, on the loop of the test. */
#include "../unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "../dns/stub.h"
#include "../fetch/peer.h"
#include "base/b64url.h"
#include "base/buf.h"
#include "base/when.h"
#include "validate/validate.h"

#define KEY_AUTHORIZATION "token.thumbprint"
#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" KEY_AUTHORIZATION

struct world {
	struct arena *arena;
	struct loop *loop;
	struct stub *stub;
	struct dns *dns;
	struct validate *validate;
	struct peer *peer;
	struct task task;
	struct prefix loopback;
};

struct told {
	struct arena *arena;
	unsigned notes, calls;
	const struct problem *pr;
	int64_t wait;
};

static const struct problem *
copy(struct arena *a, const struct problem *pr)
{
	return pr == NULL ?
	    NULL :
	    problem_new(a, pr->type, STR_FMT, STR_ARG(pr->detail));
}

static void
on_note(void *arg, const struct problem *pr, int64_t wait)
{
	struct told *t = arg;

	t->notes++;
	t->pr = copy(t->arena, pr);
	t->wait = wait;
}

static void
on_done(void *arg, const struct problem *pr)
{
	struct told *t = arg;

	t->calls++;
	t->pr = copy(t->arena, pr);
}

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct dns_server server;
	struct dns_options d = { .mode = DNS_FORWARD,
		.forwarders = &server,
		.nforwarders = 1,
		.deadline = WHEN_SECOND };
	struct validate_options o = { .user_agent = "test",
		.running_max = 2,
		.waiting_max = 3,
		.share = 1 };
	const char *why = NULL;

	w->arena = arena_create();
	o.loop = d.loop = w->loop = loop_new();
	w->stub = stub_new(w->loop, "127.0.0.1", 0);
	(void)addr_parse(STR("127.0.0.1"), &server.addr);
	server.port = stub_port(w->stub);
	w->dns = dns_new(&d, w->arena, &why);
	w->validate = validate_new(&o, &why);
	w->peer = peer_new(w->loop, "127.0.0.1", PEER_HTTP);
	assert_null(why);
	stub_a(w->stub, "a.example", "127.0.0.1");
	(void)prefix_parse(STR("127.0.0.0/8"), &w->loopback);
	task_init(&w->task);
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	task_end(&w->task);
	validate_free(w->validate);
	dns_free(w->dns);
	stub_free(w->stub);
	peer_free(w->peer);
	loop_free(w->loop);
	arena_destroy(w->arena);
	free(w);
	return 0;
}

static struct validate_request
request(struct world *w, enum validate_type type)
{
	return (struct validate_request){ .type = type,
		.name = STR("a.example"),
		.token = STR("token"),
		.key_authorization = STR(KEY_AUTHORIZATION),
		.dns = w->dns,
		.rule = { .allow = &w->loopback, .nallow = 1 },
		.http_port = peer_port(w->peer),
		.timeout = WHEN_SECOND / 2 };
}

/* Of what succeeds, however slow the machine is. */
static const int64_t PATIENCE = 30 * WHEN_SECOND;

static struct told
run(struct world *w, const struct validate_request *rq)
{
	struct told t = { .arena = w->arena };

	assert_true(
	    validate_start(w->validate, &w->task, rq, on_note, on_done, &t));
	assert_int_equal(t.calls, 0);
	while (t.calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(validate_count(w->validate), 0);
	assert_int_equal(validate_running(w->validate, rq->type), 0);
	assert_false(task_is_waiting(&w->task));
	return t;
}

static struct told
run_http(struct world *w)
{
	struct validate_request rq = request(w, VALIDATE_HTTP_01);

	return run(w, &rq);
}

static void
assert_problem(const struct told *t, enum problem_type type, const char *says)
{
	assert_non_null(t->pr);
	assert_int_equal(t->pr->type, type);
	if (memmem(t->pr->detail.p, t->pr->detail.n, says, strlen(says)) ==
	    NULL)
		fail_msg("\"" STR_FMT "\" does not say \"%s\"",
		    STR_ARG(t->pr->detail), says);
	/* no address that was looked up */
	assert_null(memmem(t->pr->detail.p, t->pr->detail.n, "127.0.0", 7));
}

/* ---- http-01 */

static void
http_accepts_the_key_authorization(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t;

	peer_say(w->peer,
	    STR("HTTP/1.1 200 OK\r\nContent-Length: "
		"18\r\n\r\n" KEY_AUTHORIZATION "\r\n"));
	rq.timeout = PATIENCE;
	t = run(w, &rq);
	assert_null(t.pr);
	assert_int_equal(t.notes, 0);
	assert_non_null(memmem(peer_heard(w->peer).p, peer_heard(w->peer).n,
	    "GET /.well-known/acme-challenge/token HTTP/1.1\r\n", 48));
}

static void
http_tries_again_until_time_is_over(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t;

	peer_say(w->peer,
	    STR("HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\nsecret"));
	rq.timeout = 2 * WHEN_SECOND;
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_INCORRECT_RESPONSE, "404");
	assert_in_range(t.notes, 2, 4);
	/* the end of the time may cut off the last one */
	assert_in_range(peer_requests(w->peer), t.notes, t.notes + 1);
	assert_null(memmem(t.pr->detail.p, t.pr->detail.n, "secret", 6));
}

static void
http_refuses_a_giant_body(void **state)
{
	struct world *w = *state;
	struct told t;
	struct buf b = buf_new(w->arena, 1 << 16);

	buf_printf(&b, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n%s",
	    KEY_AUTHORIZATION);
	while (b.len < 20200)
		buf_char(&b, ' ');
	peer_say(w->peer, buf_view(&b));
	t = run_http(w);
	assert_problem(&t, PROBLEM_INCORRECT_RESPONSE, "too large");
}

static void
http_ends_a_redirect_loop(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t;

	peer_say(w->peer,
	    STR("HTTP/1.1 302 Found\r\nLocation: /again\r\n"
		"Content-Length: 0\r\n\r\n"));
	rq.timeout = 10 * WHEN_SECOND;
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_CONNECTION, "too many redirects");
	/* a round is eleven; the end of the time may cut off the last one */
	assert_in_range(t.notes, 1, 4);
	assert_in_range(peer_requests(w->peer), 11 * t.notes,
	    11 * (t.notes + 1));
}

static void
http_follows_no_redirect_to_a_forbidden_address(void **state)
{
	struct world *w = *state;
	struct told t;

	stub_a(w->stub, "b.example", "169.254.169.254");
	peer_say(w->peer,
	    str_printf(w->arena,
		"HTTP/1.1 302 Found\r\nLocation: http://b.example:%u/\r\n"
		"Content-Length: 0\r\n\r\n",
		peer_port(w->peer)));
	t = run_http(w);
	assert_problem(&t, PROBLEM_UNAUTHORIZED, "redirect 1 of a.example");
	assert_int_equal(t.notes, 0); /* asking again would not help */
}

static void
http_follows_no_redirect_to_another_port(void **state)
{
	struct world *w = *state;
	struct told t;

	peer_say(w->peer,
	    STR("HTTP/1.1 302 Found\r\nLocation: http://a.example:22/\r\n"
		"Content-Length: 0\r\n\r\n"));
	t = run_http(w);
	assert_problem(&t, PROBLEM_UNAUTHORIZED, "that port");
}

static void
http_connects_to_no_forbidden_address(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t;

	rq.rule.nallow = 0;
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_UNAUTHORIZED, "connecting to a.example");
	(void)addr_parse(STR("127.0.0.1"), &rq.addr);
	t = run(w, &rq);
	assert_int_equal(t.pr->type, PROBLEM_UNAUTHORIZED);
	assert_int_equal(peer_connections(w->peer), 0);
}

static void
http_does_not_wait_for_a_slow_peer(void **state)
{
	static const enum peer_mode modes[] = { PEER_HANG, PEER_DRIP,
		PEER_CLOSE, PEER_CUT };
	struct world *w = *state;
	struct told t;

	peer_say(w->peer,
	    STR("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\ntoken"));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		peer_set(w->peer, modes[i]);
		t = run_http(w);
		assert_problem(&t, PROBLEM_CONNECTION, "while ");
	}
}

/* The deadline of the validation is sooner than that of any phase. */
static void
http_says_what_it_was_at_when_time_was_over(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct peer *https = peer_new(w->loop, "127.0.0.1", PEER_HTTPS);
	struct told t;

	peer_set(w->peer, PEER_HANG);
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_CONNECTION,
	    "while waiting for the answer of a.example");
	peer_set(w->peer, PEER_DRIP);
	peer_say(w->peer, STR("HTTP/1.1 200\r\n\r\nso slow, so very slow"));
	rq.timeout = WHEN_SECOND;
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_CONNECTION,
	    "while reading the body from a.example");
	peer_set(w->peer, PEER_ANSWER);
	peer_set(https, PEER_MUTE);
	rq.https_port = peer_port(https);
	peer_say(w->peer,
	    str_printf(w->arena,
		"HTTP/1.1 302 Found\r\nLocation: https://a.example:%u/\r\n"
		"Content-Length: 0\r\n\r\n",
		rq.https_port));
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_TLS,
	    "while shaking hands with redirect 1 of a.example");
	peer_free(https);
	stub_set(w->stub, "silent.example", STUB_SILENT);
	rq.name = STR("silent.example");
	rq.timeout = WHEN_SECOND / 4;
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_DNS,
	    "while looking up the address of silent.example");
}

static void
http_tells_lookups_that_fail(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t;

	rq.name = STR("none.example");
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_DNS, "the address of none.example");
	stub_set(w->stub, "broken.example", STUB_SERVFAIL);
	rq.name = STR("broken.example");
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_DNS, "SERVFAIL");
}

/* ---- dns-01 */

static void
put_digest(struct world *w, const char *name)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)KEY_AUTHORIZATION, strlen(KEY_AUTHORIZATION),
	    hash);
	stub_txt(w->stub, name,
	    b64url_encode(w->arena, str_make(hash, sizeof(hash))).p);
}

static void
dns_accepts_one_of_several_records(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_DNS_01);

	stub_cname(w->stub, "_acme-challenge.a.example", "elsewhere.example");
	stub_txt(w->stub, "elsewhere.example", "another");
	put_digest(w, "elsewhere.example");
	assert_null(run(w, &rq).pr);
}

static void
dns_tells_what_is_wrong(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_DNS_01);
	struct told t;

	stub_txt(w->stub, "_acme-challenge.a.example", "another");
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_INCORRECT_RESPONSE, "comparing");
	rq.name = STR("broken.example");
	stub_set(w->stub, "_acme-challenge.broken.example", STUB_SERVFAIL);
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_DNS, "SERVFAIL");
	rq.name = STR("silent.example");
	stub_set(w->stub, "_acme-challenge.silent.example", STUB_SILENT);
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_DNS, "time");
}

static void
dns_calls_bogus_answers_a_failure(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_DNS_01);
	struct dns_server server = { .port = stub_port(w->stub) };
	struct dns_options d = { .loop = w->loop,
		.mode = DNS_FORWARD,
		.forwarders = &server,
		.nforwarders = 1,
		.deadline = WHEN_SECOND };
	char path[] = "/tmp/validate-anchors-XXXXXX";
	const char *why = NULL;
	struct str anchor;
	struct told t;
	int fd;

	rq.timeout = 4 * WHEN_SECOND;
	d.deadline = 3 * WHEN_SECOND;
	put_digest(w, "_acme-challenge.signed.example");
	anchor = stub_sign(w->stub, w->arena, "signed.example");
	stub_set(w->stub, "_acme-challenge.signed.example", STUB_BAD_SIGNATURE);
	fd = mkstemp(path);
	assert_int_equal(write(fd, anchor.p, anchor.n), anchor.n);
	close(fd);
	(void)addr_parse(STR("127.0.0.1"), &server.addr);
	d.trust_anchors = path;
	rq.dns = dns_new(&d, w->arena, &why);
	unlink(path);
	assert_null(why);
	rq.name = STR("signed.example");
	t = run(w, &rq);
	dns_free(rq.dns);
	assert_problem(&t, PROBLEM_DNS, "bogus");
}

/* ---- tls-alpn-01: certificates are judged end to end, here what is rude */

/* A port that is connected to, and never answered. */
static int
listen_somewhere(unsigned *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static void
tls_ends_half_open_handshakes(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_TLS_ALPN_01);
	int fd = listen_somewhere(&rq.tls_port);
	struct told t = run(w, &rq);

	assert_problem(&t, PROBLEM_TLS, "while shaking hands with a.example");
	close(fd);
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_CONNECTION, "connecting to a.example");
}

static void
tls_refuses_a_peer_that_is_none(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_TLS_ALPN_01);
	struct told t;

	rq.tls_port = peer_port(w->peer); /* plain HTTP */
	t = run(w, &rq);
	assert_problem(&t, t.pr->type, "hands");
	rq.rule.nallow = 0;
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_UNAUTHORIZED, "connecting to");
}

static void
tls_refuses_a_server_without_the_protocol(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_TLS_ALPN_01);
	struct peer *https = peer_new(w->loop, "127.0.0.1", PEER_HTTPS);
	struct told t;

	rq.tls_port = peer_port(https);
	rq.timeout = 3 * WHEN_SECOND; /* both shake hands in this process */
	t = run(w, &rq);
	assert_problem(&t, PROBLEM_TLS, "acme-tls/1");
	peer_free(https);
}

/* ---- bounds */

static enum validate_room
room(const struct world *w, enum validate_type type)
{
	return validate_room(w->validate, type, STR_NONE);
}

static void
bounds_what_runs_and_what_waits(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t = { .arena = w->arena };

	peer_set(w->peer, PEER_HANG);
	for (unsigned i = 0; i < 5; i++)
		assert_true(validate_start(w->validate, &w->task, &rq, NULL,
		    on_done, &t));
	assert_int_equal(room(w, VALIDATE_HTTP_01), VALIDATE_FULL);
	assert_int_equal(room(w, VALIDATE_DNS_01), VALIDATE_ROOM);
	assert_false(
	    validate_start(w->validate, &w->task, &rq, NULL, on_done, &t));
	while (peer_requests(w->peer) < 2)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(validate_running(w->validate, VALIDATE_HTTP_01), 2);
	assert_int_equal(validate_count(w->validate), 5);
	while (t.calls < 5)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(room(w, VALIDATE_HTTP_01), VALIDATE_ROOM);
}

static void
remake(struct world *w, unsigned running, unsigned waiting, unsigned share)
{
	struct validate_options o = { .loop = w->loop,
		.user_agent = "test",
		.running_max = running,
		.waiting_max = waiting,
		.share = share };
	const char *why = NULL;

	validate_free(w->validate);
	w->validate = validate_new(&o, &why);
	assert_null(why);
}

/* What one owner has begun hangs; another one's is done all the same. */
static void
an_owner_has_its_share_and_no_more(void **state)
{
	struct world *w = *state;
	struct peer *good = peer_new(w->loop, "127.0.0.1", PEER_HTTP);
	struct validate_request mine = request(w, VALIDATE_HTTP_01);
	struct validate_request yours = mine;
	struct told t = { .arena = w->arena }, u = t;

	remake(w, 4, 8, 4); /* one slot and three places each */
	mine.owner = STR("mine");
	mine.timeout = yours.timeout = PATIENCE;
	yours.owner = STR("yours");
	yours.http_port = peer_port(good);
	peer_set(w->peer, PEER_HANG);
	peer_say(good, STR(GOOD));
	for (unsigned i = 0; i < 3; i++)
		assert_true(validate_start(w->validate, &w->task, &mine, NULL,
		    on_done, &t));
	assert_int_equal(validate_room(w->validate, VALIDATE_HTTP_01,
			     mine.owner),
	    VALIDATE_SHARE_FULL);
	assert_false(
	    validate_start(w->validate, &w->task, &mine, NULL, on_done, &t));
	while (peer_requests(w->peer) == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(validate_room(w->validate, VALIDATE_HTTP_01,
			     yours.owner),
	    VALIDATE_ROOM);
	assert_true(
	    validate_start(w->validate, &w->task, &yours, NULL, on_done, &u));
	while (u.calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_null(u.pr);
	assert_int_equal(t.calls, 0);
	assert_int_equal(peer_requests(w->peer), 1);
	assert_int_equal(validate_running(w->validate, VALIDATE_HTTP_01), 1);
	task_detach(&w->task);
	assert_int_equal(validate_room(w->validate, VALIDATE_HTTP_01,
			     mine.owner),
	    VALIDATE_ROOM);
	peer_free(good);
}

static char order[8]; /* whose were done, one after the other */

static void
on_turn(void *arg, const struct problem *pr)
{
	assert_null(pr);
	strncat(order, arg, 1);
}

static void
owners_take_turns(void **state)
{
	static const char come[] = "aaabac";
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);

	remake(w, 1, 7, 1);
	rq.timeout = PATIENCE;
	peer_say(w->peer, STR(GOOD));
	order[0] = '\0';
	for (const char *p = come; *p != '\0'; p++) {
		rq.owner = str_make(p, 1);
		assert_true(validate_start(w->validate, &w->task, &rq, NULL,
		    on_turn, (void *)(uintptr_t)p));
	}
	while (strlen(order) < strlen(come))
		loop_turn(w->loop, LOOP_WAIT);
	assert_string_equal(order, "abcaaa");
}

/* What waits between two queries is asked at once if its client wants so. */
static void
hurries_what_pauses(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t = { .arena = w->arena };

	rq.timeout = 16 * 3600 * WHEN_SECOND; /* the first pause: 1 h */
	peer_say(w->peer, STR("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
	assert_true(
	    validate_start(w->validate, &w->task, &rq, on_note, on_done, &t));
	validate_hurry(&w->task); /* it does not pause: nothing to do */
	while (t.notes == 0)
		loop_turn(w->loop, LOOP_WAIT);
	peer_say(w->peer, STR(GOOD));
	validate_hurry(&w->task);
	validate_hurry(&w->task);
	while (t.calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_null(t.pr);
	assert_int_equal(t.notes, 1);
}

static void
tells_nobody_who_has_gone(void **state)
{
	struct world *w = *state;
	struct validate_request rq = request(w, VALIDATE_HTTP_01);
	struct told t = { .arena = w->arena };

	peer_set(w->peer, PEER_HANG);
	(void)validate_start(w->validate, &w->task, &rq, NULL, on_done, &t);
	while (peer_requests(w->peer) == 0)
		loop_turn(w->loop, LOOP_WAIT);
	task_detach(&w->task);
	assert_int_equal(validate_count(w->validate), 0);
	while (peer_open(w->peer) > 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(t.calls, 0);
}

#define TRY(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TRY(http_accepts_the_key_authorization),
		TRY(http_tries_again_until_time_is_over),
		TRY(http_refuses_a_giant_body),
		TRY(http_ends_a_redirect_loop),
		TRY(http_follows_no_redirect_to_a_forbidden_address),
		TRY(http_follows_no_redirect_to_another_port),
		TRY(http_connects_to_no_forbidden_address),
		TRY(http_does_not_wait_for_a_slow_peer),
		TRY(http_says_what_it_was_at_when_time_was_over),
		TRY(http_tells_lookups_that_fail),
		TRY(dns_accepts_one_of_several_records),
		TRY(dns_tells_what_is_wrong),
		TRY(dns_calls_bogus_answers_a_failure),
		TRY(tls_ends_half_open_handshakes),
		TRY(tls_refuses_a_peer_that_is_none),
		TRY(tls_refuses_a_server_without_the_protocol),
		TRY(bounds_what_runs_and_what_waits),
		TRY(an_owner_has_its_share_and_no_more),
		TRY(owners_take_turns),
		TRY(hurries_what_pauses),
		TRY(tells_nobody_who_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
