/* SPDX-License-Identifier: ISC */
/* Between the lines (log.c) and where they go (sink.c). */
#ifndef LOG_LOG_INT_H
#define LOG_LOG_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "log/log.h"

/* Take over a finished line, newline included: write it or buffer it. */
void log_sink_put(enum log_level, const char *text, size_t len);

/* Open, or open again, what lines go to. */
void log_sink_set(enum log_sink, const char *name);

/*
 * Write what is buffered, waiting up to wait_ms for the sink. True if nothing
 * is left.
 */
bool log_sink_flush(int wait_ms);

/* The socket of the system log. A test sets another. */
extern const char *log_sink_syslog_path;

/* Lines dropped and not reported yet; forgets them. */
uint64_t log_sink_take_dropped(void);

#endif
