/* SPDX-License-Identifier: ISC */
/* Lines, their escaping and bounds, rates, and the sinks. */
#include "../unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "log/log.h"
#include "log/log_int.h"

static struct {
	int stderr_fd; /* the real one */
	int read_fd;
	char text[2 * LOG_BUFFER_MAX];
	size_t len;
} got;

static void
set(enum log_level level, enum log_format format, enum log_sink sink)
{
	log_set(&(struct log_options){ .level = level,
	    .format = format,
	    .sink = sink,
	    .name = "unit" });
}

/* Put a pipe in the place of standard error. */
static int
begin(void **state)
{
	int fds[2];

	(void)state;
	if (pipe(fds) == -1)
		return -1;
	got.stderr_fd = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	got.read_fd = fds[0];
	set(LOG_INFO, LOG_LOGFMT, LOG_STDERR);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	log_buffer(false);
	dup2(got.stderr_fd, STDERR_FILENO);
	close(got.stderr_fd);
	close(got.read_fd);
	set(LOG_INFO, LOG_LOGFMT, LOG_STDERR);
	return 0;
}

/* What has arrived since the last call. */
static struct str
take(void)
{
	ssize_t n;

	got.len = 0;
	while ((n = read(got.read_fd, got.text + got.len,
		    sizeof(got.text) - got.len)) > 0)
		got.len += (size_t)n;
	return str_make(got.text, got.len);
}

/* One line, without the time and the newline. */
static struct str
take_line(void)
{
	struct str s = take();

	assert_true(s.n > 0 && s.p[s.n - 1] == '\n');
	assert_int_equal(str_find(s, '\n'), s.n - 1);
	s.n--;
	return str_skip(s, str_find(s, ' ') + 1);
}

/* The line is JSON; the member of that name. */
static struct str
take_json(struct arena *a, const char *name)
{
	const struct json *j = json_parse(a, take(), NULL);

	assert_non_null(j);
	return json_get_str(j, name);
}

static void
writes_a_line_of_pairs_with_a_time(void **state)
{
	struct str s;

	(void)state;
	log_info("listening", LOG_TEXT("address", "127.0.0.1:443"),
	    LOG_INT("fd", -7), LOG_BOOL("tls", true), LOG_MS("took", 1234),
	    LOG_MS("back", -5), LOG_TEXT("absent", NULL),
	    LOG_STR("empty", STR("")));
	s = take();
	/* ts=2026-01-02T03:04:05.678Z */
	assert_true(str_starts(s, STR("ts=20")));
	assert_int_equal(s.p[22], '.');
	assert_memory_equal(s.p + 26, "Z level=info ", 13);
	log_info("listening", LOG_TEXT("address", "127.0.0.1:443"),
	    LOG_INT("fd", -7), LOG_BOOL("tls", true), LOG_MS("took", 1234),
	    LOG_MS("back", -5), LOG_TEXT("absent", NULL),
	    LOG_STR("empty", STR("")));
	assert_str(take_line(),
	    "level=info msg=listening "
	    "address=127.0.0.1:443 fd=-7 tls=true "
	    "took=1.234 back=-0.005 empty=\"\"");
}

static void
keeps_silent_below_its_level(void **state)
{
	struct log_line l;

	(void)state;
	log_debug("not seen");
	log_begin(&l, LOG_DEBUG, "not seen");
	log_str(&l, "k", STR("v"));
	log_int(&l, "n", 1);
	log_end(&l);
	assert_int_equal(take().n, 0);
	set(LOG_ERROR, LOG_LOGFMT, LOG_STDERR);
	log_warn("not seen");
	assert_int_equal(take().n, 0);
	log_error("seen");
	assert_str(take_line(), "level=error msg=seen");
	set(LOG_DEBUG, LOG_LOGFMT, LOG_STDERR);
	log_debug("seen");
	assert_str(take_line(), "level=debug msg=seen");
}

static void
lets_no_value_forge_a_line_or_a_field(void **state)
{
	(void)state;
	log_info("while parsing",
	    LOG_STR("v", STR("a\nts=1 level=error msg=\"forged\"\r\n")));
	assert_str(take_line(),
	    "level=info msg=\"while parsing\" "
	    "v=\"a\\nts=1 level=error msg=\\\"forged\\\"\\r\\n\"");
	log_info("m", LOG_STR("v", STR("a=b")));
	assert_str(take_line(), "level=info msg=m v=\"a=b\"");
	log_info("m", LOG_STR("v", STR("back\\slash")));
	assert_str(take_line(), "level=info msg=m v=\"back\\\\slash\"");
	log_info("m", LOG_STR("bad key=\n", STR("v")));
	assert_str(take_line(), "level=info msg=m bad_key__=v");
}

static void
lets_no_value_talk_to_a_terminal(void **state)
{
	(void)state;
	/* ESC, NUL, DEL, C1 CSI as a byte and as UTF-8, right-to-left */
	log_info("m",
	    LOG_STR("v", STR("\x1b[2J\0\x7f\x9b\xc2\x9b\xe2\x80\xae")));
	assert_str(take_line(),
	    "level=info msg=m v=\"\\u001b[2J\\u0000\\u007f"
	    "\\x9b\\u009b\\u202e\"");
	/* an umlaut, a supplementary character */
	log_info("m", LOG_STR("v", STR("\xc3\xbc \xf0\x9f\x94\x92")));
	assert_str(take_line(),
	    "level=info msg=m v=\"\\u00fc \\ud83d\\udd12\"");
	/* overlong, surrogate, too large, cut short */
	log_info("m",
	    LOG_STR("v",
		STR("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"
		    "\xe2\x82")));
	assert_str(take_line(),
	    "level=info msg=m v=\"\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80"
	    "\\x80\\xe2\\x82\"");
}

static void
every_byte_comes_out_as_printable_ascii(void **state)
{
	struct arena *a = arena_create();
	char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
		struct str s;

		set(LOG_INFO, (enum log_format)format, LOG_STDERR);
		log_info("m", LOG_STR("v", str_make(bytes, 128)),
		    LOG_STR("w", str_make(bytes + 128, 128)));
		s = take();
		assert_int_equal(str_find(s, '\n'), s.n - 1);
		for (size_t i = 0; i + 1 < s.n; i++)
			assert_in_range(s.p[i], ' ', '~');
		if (format == LOG_LOGFMT)
			continue;
		/* our parser refuses NUL, which is well-formed here */
		log_info("m", LOG_STR("v", str_make(bytes + 1, 127)),
		    LOG_STR("w", str_make(bytes + 128, 128)));
		assert_non_null(json_parse(a, take(), NULL));
	}
	arena_destroy(a);
}

static void
writes_json_that_parses_back(void **state)
{
	struct arena *a = arena_create();
	const struct json *j;
	struct str s;

	(void)state;
	set(LOG_INFO, LOG_JSON, LOG_STDERR);
	log_info("while \"testing\"", LOG_STR("v", STR("\xc3\xbc\n\\\xff")),
	    LOG_INT("n", INT64_MIN), LOG_BOOL("b", false), LOG_MS("ms", 1500));
	s = take();
	j = json_parse(a, s, NULL);
	assert_non_null(j);
	assert_str(json_get_str(j, "level"), "info");
	assert_str(json_get_str(j, "msg"), "while \"testing\"");
	assert_str(json_get_str(j, "v"), "\xc3\xbc\n\\\xef\xbf\xbd");
	assert_int_equal(json_get(j, "n")->num, INT64_MIN);
	assert_int_equal(json_get(j, "b")->type, JSON_BOOL);
	assert_str(json_get(j, "ms")->str, "1.500");
	arena_destroy(a);
}

static void
cuts_a_long_value_and_says_by_how_much(void **state)
{
	static char big[100000];
	struct arena *a = arena_create();
	struct str v;

	(void)state;
	memset(big, 'x', sizeof(big));
	set(LOG_INFO, LOG_JSON, LOG_STDERR);
	log_info("m", LOG_STR("v", str_make(big, sizeof(big))));
	v = take_json(a, "v");
	assert_int_equal(v.p[0], 'x');
	assert_in_range(v.n, 900, LOG_VALUE_MAX);
	assert_true(str_ends(v,
	    str_printf(a, "...(+%zu)", sizeof(big) - str_find(v, '.'))));
	arena_destroy(a);
}

static void
counts_the_fields_that_do_not_fit(void **state)
{
	static char big[600];
	struct arena *a = arena_create();

	(void)state;
	memset(big, '\n', sizeof(big) / 2);
	memset(big + sizeof(big) / 2, 'x', sizeof(big) / 2);
	for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
		struct log_line l;
		struct str s, rest;
		size_t fit = 0;

		set(LOG_INFO, (enum log_format)format, LOG_STDERR);
		log_begin(&l, LOG_INFO, "m");
		for (int i = 0; i < 500; i++)
			log_str(&l, "Q", str_make(big, sizeof(big)));
		log_int(&l, "last", 1); /* small enough to fit */
		log_end(&l);
		rest = s = take();
		assert_in_range(s.n, 3000, LOG_LINE_MAX);
		while (str_cut(&rest, 'Q').n > 0 && rest.n > 0)
			fit++;
		assert_in_range(fit, 3, 5);
		assert_true(str_ends(s,
		    str_printf(a,
			format == LOG_LOGFMT ? " last=1 cut=%zu\n" :
					       ",\"last\":1,\"cut\":%zu}\n",
			500 - fit)));
	}
	arena_destroy(a);
}

static void
fills_a_line_to_the_last_byte_without_passing_it(void **state)
{
	static char big[LOG_VALUE_MAX];

	(void)state;
	memset(big, 'x', sizeof(big));
	/* move the end of the last field over the limit byte by byte */
	for (size_t n = 0; n < 200; n++) {
		struct log_line l;
		struct str s;

		log_begin(&l, LOG_INFO, "m");
		for (int i = 0; i < 4; i++)
			log_str(&l, "k", str_make(big, 880));
		log_str(&l, "k", str_make(big, 300 + n));
		for (int i = 0; i < 1000; i++)
			log_int(&l, "k", i);
		log_end(&l);
		s = take();
		assert_in_range(s.n, LOG_LINE_MAX - 40, LOG_LINE_MAX);
		assert_int_equal(str_find(s, '\n'), s.n - 1);
	}
}

static void
limits_the_lines_of_one_place_and_tells_the_rest(void **state)
{
	static struct log_rate r;
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		n += log_admit(&r, LOG_WARN, 5, "bad handshake");
	/* the second may have changed under way */
	assert_in_range(n, 5, 10);
	take();
	r.second--; /* the next second */
	assert_true(log_flush());
	if (n == 5)
		assert_str(take_line(),
		    "level=warn msg=\"lines like this were left out\" "
		    "line=\"bad handshake\" count=95");
	else
		assert_true(take().n > 0);
	assert_true(log_flush());
	assert_int_equal(take().n, 0); /* told once */
	assert_true(log_admit(&r, LOG_WARN, 5, "bad handshake"));
}

static void
samples_at_each_call_site_alone(void **state)
{
	struct str s;
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 50; i++) {
		log_sampled(LOG_WARN, 2, "first", LOG_INT("i", i));
		log_sampled(LOG_WARN, 2, "second");
	}
	s = take();
	while (s.n > 0 && str_cut(&s, '\n').n > 0)
		lines++;
	assert_in_range(lines, 4, 10);
	/* what was left out is told when the second is over, but here, not
	 * among the lines that a later test counts */
	for (int i = 0, told = 0; i < 60 && told < 2; i++) {
		usleep(20000);
		assert_true(log_flush());
		s = take();
		while (s.n > 0 && str_cut(&s, '\n').n > 0)
			told++;
	}
}

static void
never_blocks_when_buffered_and_counts_what_it_drops(void **state)
{
	uint64_t before = log_dropped();
	struct str s;
	size_t lines = 0;
	bool told = false;

	(void)state;
	log_buffer(true);
	/* nobody reads: the pipe holds 64 KiB, the buffer 256 KiB */
	for (int i = 0; i < 20000; i++) {
		log_info("a line that is about sixty bytes long with its time");
		if (i % 100 == 0)
			(void)log_flush();
	}
	assert_false(log_flush());
	assert_true(log_dropped() > before);
	for (int i = 0; i < 20; i++) {
		s = take();
		while (s.n > 0) {
			struct str line = str_cut(&s, '\n');

			assert_true(str_starts(line, STR("ts=20")));
			lines++;
			told |= str_starts(str_skip(line, str_find(line, ' ')),
			    STR(" level=warn msg=\"log lines were dropped\""));
		}
		(void)log_flush();
	}
	assert_true(log_flush());
	assert_true(told);
	assert_int_equal(lines + log_dropped() - before, 20001);
}

static void
drops_lines_when_nobody_can_ever_read_them(void **state)
{
	uint64_t before = log_dropped();

	(void)state;
	log_buffer(true);
	signal(SIGPIPE, SIG_IGN);
	close(got.read_fd);
	log_info("lost");
	assert_true(log_sink_flush(0));
	assert_int_equal(log_dropped(), before + 1);
}

static void
flushes_its_buffer_at_exit(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	if ((pid = fork()) == 0) {
		log_buffer(true);
		log_info("last words");
		exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_str(take_line(), "level=info msg=\"last words\"");
}

static void
writes_to_a_socket_in_the_place_of_standard_error(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	close(got.read_fd);
	got.read_fd = fds[0];
	set(LOG_INFO, LOG_LOGFMT, LOG_STDERR);
	log_info("hello");
	assert_str(take_line(), "level=info msg=hello");
}

/* A system log of our own. */
static int
open_syslog(struct arena *a, const char *dir)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	log_sink_syslog_path = str_printf(a, "%s/log", dir).p;
	memcpy(at.sun_path, log_sink_syslog_path,
	    strlen(log_sink_syslog_path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void
sends_one_datagram_a_line_to_syslog(void **state)
{
	struct arena *a = arena_create();
	char dir[] = "/tmp/log_testXXXXXX", text[512];
	int fd;
	struct str s;
	ssize_t n;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open_syslog(a, dir);
	set(LOG_INFO, LOG_LOGFMT, LOG_SYSLOG);
	log_error("first");
	log_info("second", LOG_STR("v", STR("a\nb")));
	n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	assert_true(n > 0);
	s = str_make(text, (size_t)n);
	assert_true(str_starts(s, STR("<27>"))); /* daemon.err */
	assert_true(str_ends(s, STR("level=error msg=first")));
	assert_non_null(
	    strstr(text, str_printf(a, " unit[%ld]: ts=", (long)getpid()).p));
	n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	assert_true(n > 0);
	s = str_make(text, (size_t)n);
	assert_true(str_starts(s, STR("<30>")));
	assert_true(str_ends(s, STR("msg=second v=\"a\\nb\"")));
	/* nobody there: not kept quiet, and back by itself */
	close(fd);
	unlink(log_sink_syslog_path);
	log_info("third");
	assert_str(take_line(), "level=info msg=third");
	fd = open_syslog(a, dir);
	log_info("fourth");
	assert_true(recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0);
	close(fd);
	unlink(log_sink_syslog_path);
	rmdir(dir);
	arena_destroy(a);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(writes_a_line_of_pairs_with_a_time),
		TEST(keeps_silent_below_its_level),
		TEST(lets_no_value_forge_a_line_or_a_field),
		TEST(lets_no_value_talk_to_a_terminal),
		TEST(every_byte_comes_out_as_printable_ascii),
		TEST(writes_json_that_parses_back),
		TEST(cuts_a_long_value_and_says_by_how_much),
		TEST(counts_the_fields_that_do_not_fit),
		TEST(fills_a_line_to_the_last_byte_without_passing_it),
		TEST(limits_the_lines_of_one_place_and_tells_the_rest),
		TEST(samples_at_each_call_site_alone),
		TEST(never_blocks_when_buffered_and_counts_what_it_drops),
		TEST(drops_lines_when_nobody_can_ever_read_them),
		TEST(flushes_its_buffer_at_exit),
		TEST(writes_to_a_socket_in_the_place_of_standard_error),
		TEST(sends_one_datagram_a_line_to_syslog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
