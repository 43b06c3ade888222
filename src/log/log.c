/* SPDX-License-Identifier: ISC */
/* Lines of key=value pairs, their escaping and bounds, and line rates. */
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "log/log_int.h"

enum {
	TAIL_ROOM = 24, /* for " cut=N" or ",\"cut\":N}" and the newline */
	MARK_ROOM = 32, /* for "...(+N)" behind a value that was cut */
};

static struct {
	enum log_level level;
	enum log_format format;
	struct log_rate *rates; /* those that suppressed lines */
} log_state = { .level = LOG_INFO };

static void put(struct log_line *, const char *, size_t);
static void put_value(struct log_line *, struct str);
static bool field_begin(struct log_line *, const char *key, size_t *mark);
static void field_end(struct log_line *, size_t mark);
static void report_suppressed(void);

void
log_set(const struct log_options *o)
{
	log_state.level = o->level;
	log_state.format = o->format;
	log_sink_set(o->sink, o->name != NULL ? o->name : "certloop");
}

bool
log_is_on(enum log_level level)
{
	return level <= log_state.level;
}

const char *
log_level_name(enum log_level level)
{
	static const char *const names[] = {
		[LOG_ERROR] = "error",
		[LOG_WARN] = "warn",
		[LOG_INFO] = "info",
		[LOG_DEBUG] = "debug",
	};

	return names[level];
}

bool
log_flush(void)
{
	uint64_t dropped;

	report_suppressed();
	if (!log_sink_flush(0))
		return false;
	if ((dropped = log_sink_take_dropped()) == 0)
		return true;
	log_warn("log lines were dropped", LOG_INT("count", dropped));
	return log_sink_flush(0);
}

/* ---- building a line */

/* RFC 3339 in UTC with milliseconds. */
static size_t
write_time(char out[static 32])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(out + n, 32 - n, ".%03dZ",
	    (int)(ts.tv_nsec / 1000000));
	return n;
}

void
log_begin(struct log_line *l, enum log_level level, const char *message)
{
	char now[32];
	size_t n;

	l->level = level;
	l->cut = 0;
	l->len = 0;
	if (!(l->on = log_is_on(level)))
		return;
	n = write_time(now);
	if (log_state.format == LOG_JSON) {
		put(l, "{\"ts\":\"", 7);
		put(l, now, n);
		put(l, "\"", 1);
	} else {
		put(l, "ts=", 3);
		put(l, now, n);
	}
	log_text(l, "level", log_level_name(level));
	log_text(l, "msg", message);
}

void
log_str(struct log_line *l, const char *key, struct str value)
{
	size_t mark;

	if (!field_begin(l, key, &mark))
		return;
	put_value(l, value);
	field_end(l, mark);
}

void
log_text(struct log_line *l, const char *key, const char *value)
{
	if (value != NULL)
		log_str(l, key, str_from(value));
}

/* A number, true or false: the same in both formats. */
static void
put_bare(struct log_line *l, const char *key, const char *value)
{
	size_t mark;

	if (!field_begin(l, key, &mark))
		return;
	put(l, value, strlen(value));
	field_end(l, mark);
}

void
log_int(struct log_line *l, const char *key, int64_t value)
{
	char text[24];

	if (!l->on)
		return;
	snprintf(text, sizeof(text), "%" PRId64, value);
	put_bare(l, key, text);
}

void
log_bool(struct log_line *l, const char *key, bool value)
{
	put_bare(l, key, value ? "true" : "false");
}

void
log_ms(struct log_line *l, const char *key, int64_t usec)
{
	uint64_t u = usec < 0 ? -(uint64_t)usec : (uint64_t)usec;
	char text[32];

	if (!l->on)
		return;
	snprintf(text, sizeof(text), "%s%" PRIu64 ".%03" PRIu64,
	    usec < 0 ? "-" : "", u / 1000, u % 1000);
	put_bare(l, key, text);
}

void
log_end(struct log_line *l)
{
	bool json = log_state.format == LOG_JSON;

	if (!l->on)
		return;
	/* TAIL_ROOM was kept free for this */
	if (l->cut > 0)
		l->len += (size_t)snprintf(l->text + l->len, TAIL_ROOM,
		    json ? ",\"cut\":%u" : " cut=%u", l->cut);
	if (json)
		l->text[l->len++] = '}';
	l->text[l->len++] = '\n';
	log_sink_put(l->level, l->text, l->len);
	l->on = false;
}

void
log_write(enum log_level level, const struct log_field *f, size_t n)
{
	struct log_line l;

	log_begin(&l, level, f[0].text);
	for (size_t i = 1; i < n; i++)
		switch (f[i].kind) {
		case LOG_KIND_STR:
			log_str(&l, f[i].key, f[i].str);
			break;
		case LOG_KIND_TEXT:
			log_text(&l, f[i].key, f[i].text);
			break;
		case LOG_KIND_INT:
			log_int(&l, f[i].key, f[i].num);
			break;
		case LOG_KIND_BOOL:
			log_bool(&l, f[i].key, f[i].num != 0);
			break;
		case LOG_KIND_MS:
			log_ms(&l, f[i].key, f[i].num);
			break;
		case LOG_KIND_MESSAGE:
			break;
		}
	log_end(&l);
}

/* ---- fields: all of one or nothing */

/* Append; past the room for text only len moves, and field_end sees it. */
static void
put(struct log_line *l, const char *p, size_t n)
{
	if (l->len + n <= LOG_LINE_MAX - TAIL_ROOM)
		memcpy(l->text + l->len, p, n);
	l->len += n;
}

static bool
field_begin(struct log_line *l, const char *key, size_t *mark)
{
	bool json = log_state.format == LOG_JSON;

	if (!l->on)
		return false;
	*mark = l->len;
	put(l, json ? ",\"" : " ", json ? 2 : 1);
	for (; *key != '\0'; key++) {
		bool plain = (*key >= 'a' && *key <= 'z') ||
		    (*key >= 'A' && *key <= 'Z') ||
		    (*key >= '0' && *key <= '9') || strchr("_.-", *key) != NULL;
		put(l, plain ? key : "_", 1);
	}
	put(l, json ? "\":" : "=", json ? 2 : 1);
	return true;
}

static void
field_end(struct log_line *l, size_t mark)
{
	if (l->len <= LOG_LINE_MAX - TAIL_ROOM)
		return;
	l->len = mark;
	l->cut++;
}

/* ---- values */

/* Nothing in it that a reader of logfmt could take for syntax. */
static bool
is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' ||
		    strchr("\"\\='`", s.p[i]) != NULL)
			return false;
	return s.n > 0;
}

/*
 * Take one code point off the front of *s. A byte that is not UTF-8 is taken
 * alone, as -1 minus its value.
 */
static int32_t
take_char(struct str *s)
{
	static const int32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const uint8_t *p = (const uint8_t *)s->p;
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	int32_t c = n == 1 ? p[0] : p[0] & (0xff >> (n + 1));
	bool ok = p[0] < 0x80 || (p[0] >= 0xc2 && p[0] <= 0xf4 && n <= s->n);

	for (size_t i = 1; ok && i < n; i++) {
		ok = (p[i] & 0xc0) == 0x80;
		c = (int32_t)((uint32_t)c << 6 | (p[i] & 0x3f));
	}
	if (!ok || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = -1 - p[0], n = 1;
	*s = str_skip(*s, n);
	return c;
}

/* One code point as printable ASCII; returns the length. */
static size_t
escape(char out[static 16], int32_t c, bool json)
{
	static const char names[] = "n\nr\rt\t\"\"\\\\";

	for (size_t i = 0; i + 1 < sizeof(names); i += 2)
		if (c == names[i + 1]) {
			out[0] = '\\';
			out[1] = names[i];
			return 2;
		}
	if (c >= ' ' && c <= '~') {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0 && !json)
		return (size_t)snprintf(out, 16, "\\x%02x", (unsigned)(-1 - c));
	if (c < 0)
		c = 0xfffd; /* JSON has no way to write a byte */
	if (c < 0x10000)
		return (size_t)snprintf(out, 16, "\\u%04x", (unsigned)c);
	c -= 0x10000;
	return (size_t)snprintf(out, 16, "\\u%04x\\u%04x",
	    0xd800 + ((unsigned)c >> 10), 0xdc00 + ((unsigned)c & 0x3ff));
}

static void
put_value(struct log_line *l, struct str s)
{
	bool json = log_state.format == LOG_JSON;
	bool quoted = json || !is_plain(s);
	size_t used = 0, n;
	char out[MARK_ROOM];

	if (quoted)
		put(l, "\"", 1);
	while (s.n > 0) {
		struct str rest = s;

		n = escape(out, take_char(&rest), json);
		if (used + n > LOG_VALUE_MAX - MARK_ROOM) {
			n = (size_t)snprintf(out, sizeof(out), "...(+%zu)",
			    s.n);
			put(l, out, n);
			break;
		}
		put(l, out, n);
		used += n;
		s = rest;
	}
	if (quoted)
		put(l, "\"", 1);
}

/* ---- rates */

static int64_t
second_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

bool
log_admit(struct log_rate *r, enum log_level level, unsigned max,
    const char *message)
{
	int64_t now = second_now();

	if (r->second != now) {
		if (r->suppressed > 0)
			report_suppressed();
		r->second = now;
		r->lines = 0;
	}
	if (r->lines < max) {
		r->lines++;
		return true;
	}
	r->level = level;
	r->message = message;
	r->suppressed++;
	if (!r->listed) {
		r->listed = true;
		r->next = log_state.rates;
		log_state.rates = r;
	}
	return false;
}

/* Tell how many lines were left out, once their second is over. */
static void
report_suppressed(void)
{
	struct log_rate **at = &log_state.rates, *r;
	int64_t now;

	if (*at == NULL)
		return;
	now = second_now();
	while ((r = *at) != NULL) {
		if (r->second == now) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		log_at(r->level, "lines like this were left out",
		    LOG_TEXT("line", r->message),
		    LOG_INT("count", r->suppressed));
		r->listed = false;
		r->suppressed = 0;
	}
}
