/* SPDX-License-Identifier: ISC */
/*
 * The log: one line a call, of key=value pairs, to standard error or syslog.
 * Whatever a value holds, its line stays one line of printable ASCII, so no
 * client can forge another one or talk to a terminal. A line is bounded: a
 * long value is cut and says so, fields that no longer fit are counted in
 * `cut`. Nothing here allocates, and nothing blocks once log_buffer(true)
 * was called.
 *
 *	log_info("listening", LOG_STR("address", addr), LOG_INT("fd", fd));
 *
 *	struct log_line l;
 *	log_begin(&l, LOG_INFO, "request");
 *	log_str(&l, "id", id);
 *	log_ms(&l, "took_ms", usec);
 *	log_end(&l);
 *
 * The message is a constant that says what we were doing ("while
 * finalizing"); values hold what varies. Secrets are never logged. A file
 * that includes this one cannot include <syslog.h>: the names clash.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* In order of urgency. Each level includes those before it. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

enum log_format { LOG_LOGFMT, LOG_JSON };

enum log_sink { LOG_STDERR, LOG_SYSLOG };

enum {
	LOG_LINE_MAX = 4096,         /* with its newline; a pipe's atom */
	LOG_VALUE_MAX = 1024,        /* one value, escaped */
	LOG_BUFFER_MAX = 256 * 1024, /* lines that wait for the sink */
};

struct log_options {
	enum log_level level;
	enum log_format format;
	enum log_sink sink;
	const char *name; /* of the program, for syslog; a constant */
};

/*
 * Set or change how lines are written. Before the first call: level info,
 * logfmt, standard error.
 */
void log_set(const struct log_options *);

/*
 * true: gather lines and write them in log_flush, which the daemon calls at
 * the end of each turn; lines that find the buffer full are dropped and
 * counted. false (the default): flush, waiting for at most a second, then
 * write each line at once. At exit(3) buffered lines are flushed the same
 * way.
 */
void log_buffer(bool on);

/*
 * Write as much as the sink takes without blocking. True if nothing is left.
 * Reports dropped and suppressed lines when there is room again.
 */
bool log_flush(void);

/* Lines dropped since the start, for the metrics. */
uint64_t log_dropped(void);

/* Would a line of this level be written? */
bool log_is_on(enum log_level);

/* "error", "warn", "info", "debug" */
const char *log_level_name(enum log_level);

/* ---- a line, built field by field */
struct log_line {
	enum log_level level;
	bool on;      /* false: the level is off, nothing is done */
	unsigned cut; /* fields that did not fit */
	size_t len;
	char text[LOG_LINE_MAX];
};

void log_begin(struct log_line *, enum log_level, const char *message);

/* Keys are constants of letters, digits, '_', '.' and '-'. */
void log_str(struct log_line *, const char *key, struct str);
void log_text(struct log_line *, const char *key,
    const char *); /* NULL: none */
void log_int(struct log_line *, const char *key, int64_t);
void log_bool(struct log_line *, const char *key, bool);

/* Microseconds, written as milliseconds: 1234 is 1.234. */
void log_ms(struct log_line *, const char *key, int64_t usec);

void log_end(struct log_line *);

/* ---- a line in one call; the values are not computed if the level is off */
enum log_kind {
	LOG_KIND_MESSAGE,
	LOG_KIND_STR,
	LOG_KIND_TEXT,
	LOG_KIND_INT,
	LOG_KIND_BOOL,
	LOG_KIND_MS,
};

struct log_field {
	enum log_kind kind;
	const char *key;
	struct str str;
	const char *text;
	int64_t num;
};

#define LOG_STR(k, v)                                                          \
	{                                                                      \
		.kind = LOG_KIND_STR, .key = (k), .str = (v)                   \
	}
#define LOG_TEXT(k, v)                                                         \
	{                                                                      \
		.kind = LOG_KIND_TEXT, .key = (k), .text = (v)                 \
	}
#define LOG_INT(k, v)                                                          \
	{                                                                      \
		.kind = LOG_KIND_INT, .key = (k), .num = (int64_t)(v)          \
	}
#define LOG_BOOL(k, v)                                                         \
	{                                                                      \
		.kind = LOG_KIND_BOOL, .key = (k), .num = (v) ? 1 : 0          \
	}
#define LOG_MS(k, v)                                                           \
	{                                                                      \
		.kind = LOG_KIND_MS, .key = (k), .num = (v)                    \
	}

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#define log_at(level, message, ...)                                            \
	do {                                                                   \
		if (log_is_on(level)) {                                        \
			const struct log_field log_fields_[] = {               \
				{ .text = (message) }, ##__VA_ARGS__           \
			};                                                     \
			log_write((level), log_fields_,                        \
			    sizeof(log_fields_) / sizeof(log_fields_[0]));     \
		}                                                              \
	} while (0)

/* What the macros above expand to: the first field is the message. */
void log_write(enum log_level, const struct log_field *, size_t n);

/*
 * ---- lines that a client can cause at will
 *
 * At most max lines a second from this place in the code; how many more there
 * were is said by the next line, or by log_flush once the second is over.
 *
 *	log_sampled(LOG_WARN, 5, "handshake failed", LOG_STR("peer", p));
 */
struct log_rate {
	struct log_rate *next; /* on the list of those with something to say */
	const char *message;
	enum log_level level;
	int64_t second;
	unsigned lines;
	uint64_t suppressed;
	bool listed;
};

#define log_sampled(level, max, message, ...)                                  \
	do {                                                                   \
		static struct log_rate log_rate_;                              \
		if (log_is_on(level) &&                                        \
		    log_admit(&log_rate_, (level), (max), (message)))          \
			log_at(level, message, ##__VA_ARGS__);                 \
	} while (0)

/* Does the rate allow one more line? Counts it if not. r is static. */
bool log_admit(struct log_rate *r, enum log_level, unsigned max,
    const char *message);

#endif
