/* SPDX-License-Identifier: ISC */
/*
 * Where lines go: standard error or the syslog socket, at once or through a
 * bounded buffer. Not syslog(3), which blocks when the daemon behind it does.
 *
 * Standard error may share its file description with other programs, so it
 * must not be made non-blocking; a pipe or terminal is opened once more
 * instead, anything else is polled first and written in pieces that a pipe
 * takes as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log/log_int.h"

enum {
	PREFIX_MAX = 96,  /* of a syslog record */
	EXIT_WAIT = 1000, /* ms */
	FACILITY_DAEMON = 3,
};

/* One step of writing: what became of the bytes. */
enum outcome { TAKEN, LATER, BROKEN };

const char *log_sink_syslog_path = "/dev/log";

static struct {
	enum log_sink sink;
	const char *name;
	int fd; /* -1: not open */
	bool is_open, is_socket;
	bool buffered, at_exit;
	uint64_t dropped, reported;
	size_t head, len; /* of what waits in lines */
	char lines[LOG_BUFFER_MAX];
} out = { .name = "certloop", .fd = -1 };

static enum outcome write_some(int wait_ms, size_t *taken);
static uint64_t count_lines(size_t n);

/* ---- opening */

/* A pipe or terminal with a description of our own, or what there is. */
static int
open_stderr(void)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) == -1)
		return -1;
	out.is_socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO))
		return STDERR_FILENO;
	fd = open("/proc/self/fd/2",
	    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd == -1)
		return STDERR_FILENO;
	return fd;
}

static int
open_syslog(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", log_sink_syslog_path);
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		 0)) == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1) {
		close(fd);
		return -1;
	}
	out.is_socket = true;
	return fd;
}

static void
sink_close(void)
{
	if (out.fd > STDERR_FILENO)
		close(out.fd);
	out.fd = -1;
	out.is_open = false;
}

static void
sink_open(void)
{
	if (out.is_open)
		return;
	out.fd = out.sink == LOG_SYSLOG ? open_syslog() : open_stderr();
	out.is_open = out.fd != -1;
}

void
log_sink_set(enum log_sink sink, const char *name)
{
	if (!log_sink_flush(out.buffered ? 0 : EXIT_WAIT) && sink != out.sink) {
		/* a record of one sink is no line of the other */
		out.dropped += count_lines(out.len);
		out.head = out.len = 0;
	}
	sink_close();
	out.sink = sink;
	out.name = name;
}

/* ---- buffering */

static void
flush_at_exit(void)
{
	log_buffer(false);
}

void
log_buffer(bool on)
{
	if (out.buffered && !on)
		(void)log_sink_flush(EXIT_WAIT);
	if (on && !out.at_exit) {
		out.at_exit = true;
		(void)atexit(flush_at_exit);
	}
	out.buffered = on;
}

uint64_t
log_dropped(void)
{
	return out.dropped;
}

uint64_t
log_sink_take_dropped(void)
{
	uint64_t n = out.dropped - out.reported;

	out.reported = out.dropped;
	return n;
}

/* "<30>Jan  2 03:04:05 name[pid]: ", as syslog(3) writes it. */
static size_t
write_prefix(char p[static PREFIX_MAX], enum log_level level)
{
	static const int severity[] = {
		[LOG_ERROR] = 3,
		[LOG_WARN] = 4,
		[LOG_INFO] = 6,
		[LOG_DEBUG] = 7,
	};
	time_t now = time(NULL);
	char when[24];
	struct tm tm;

	if (out.sink != LOG_SYSLOG)
		return 0;
	localtime_r(&now, &tm);
	(void)strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
	return (size_t)snprintf(p, PREFIX_MAX,
	    "<%d>%s %.32s[%ld]: ", FACILITY_DAEMON * 8 + severity[level], when,
	    out.name, (long)getpid());
}

static bool
append(const char *prefix, size_t nprefix, const char *text, size_t n)
{
	if (nprefix + n > sizeof(out.lines) - out.len)
		return false;
	if (out.head + out.len + nprefix + n > sizeof(out.lines)) {
		memmove(out.lines, out.lines + out.head, out.len);
		out.head = 0;
	}
	memcpy(out.lines + out.head + out.len, prefix, nprefix);
	memcpy(out.lines + out.head + out.len + nprefix, text, n);
	out.len += nprefix + n;
	return true;
}

void
log_sink_put(enum log_level level, const char *text, size_t len)
{
	char prefix[PREFIX_MAX];
	size_t n = write_prefix(prefix, level);

	if (!append(prefix, n, text, len)) {
		out.dropped++;
		return;
	}
	if (out.buffered || log_sink_flush(EXIT_WAIT))
		return;
	if (out.sink == LOG_SYSLOG) {
		/* a tool, or the start of the daemon: do not keep it quiet */
		out.head = out.len = 0;
		(void)!write(STDERR_FILENO, text, len);
	}
}

/* ---- writing */

/* Lines in the first n bytes of the buffer. */
static uint64_t
count_lines(size_t n)
{
	const char *p = out.lines + out.head, *end = p + n;
	uint64_t lines = 0;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL && ++p <= end)
		lines++;
	return lines;
}

bool
log_sink_flush(int wait_ms)
{
	bool retried = false;
	size_t taken;

	while (out.len > 0) {
		sink_open();
		if (!out.is_open)
			return false;
		taken = 0;
		switch (write_some(wait_ms, &taken)) {
		case TAKEN:
			out.head += taken;
			out.len -= taken;
			break;
		case LATER:
			return false;
		case BROKEN:
			sink_close();
			if (!retried) {
				retried = true;
				break;
			}
			if (out.sink == LOG_SYSLOG)
				return false; /* may come back */
			out.dropped += count_lines(out.len);
			out.len = 0;
			break;
		}
	}
	out.head = 0;
	return true;
}

/* One record, or as many whole lines as fit into a pipe's atom. */
static size_t
next_piece(void)
{
	const char *p = out.lines + out.head, *nl;
	size_t n = 0;

	while (n < out.len && (nl = memchr(p + n, '\n', out.len - n)) != NULL) {
		size_t end = (size_t)(nl - p) + 1;

		if (n > 0 && (end > PIPE_BUF || out.sink == LOG_SYSLOG))
			break;
		n = end;
	}
	return n > 0 ? n : out.len; /* the rest of a line written in part */
}

static enum outcome
write_some(int wait_ms, size_t *taken)
{
	struct pollfd pfd = { .fd = out.fd, .events = POLLOUT };
	size_t n = next_piece();
	const char *p = out.lines + out.head;
	ssize_t got;

	if (poll(&pfd, 1, wait_ms) != 1)
		return LATER;
	if (out.sink == LOG_SYSLOG)
		got = send(out.fd, p, n - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (out.is_socket)
		got = send(out.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		got = write(out.fd, p, n);
	if (got >= 0) {
		*taken = out.sink == LOG_SYSLOG ? n : (size_t)got;
		return TAKEN;
	}
	if (errno == EINTR)
		return TAKEN; /* nothing of it; once more */
	if (errno == EAGAIN || errno == ENOBUFS)
		return LATER;
	if (errno == EMSGSIZE) {
		*taken = n;
		out.dropped++;
		return TAKEN;
	}
	return BROKEN;
}
