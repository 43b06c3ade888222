/* SPDX-License-Identifier: ISC */
/* Moments as text and back. */
#include "base/when.h"

#include <time.h>

int64_t
when_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * WHEN_SECOND + ts.tv_nsec / 1000;
}

static struct str
format(struct arena *a, int64_t at, const char *fmt)
{
	time_t t = (time_t)(at / WHEN_SECOND);
	enum { SIZE = 40 };
	char *out = arena_alloc(a, SIZE);
	struct tm tm;

	gmtime_r(&t, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return str_make(out, strftime(out, SIZE, fmt, &tm));
#pragma GCC diagnostic pop
}

struct str
when_rfc3339(struct arena *a, int64_t at)
{
	return format(a, at, "%Y-%m-%dT%H:%M:%SZ");
}

struct str
when_http(struct arena *a, int64_t at)
{
	return format(a, at, "%a, %d %b %Y %H:%M:%S GMT");
}

/* n digits off the front of *s, between lo and hi. */
static bool
take_number(struct str *s, size_t n, int lo, int hi, int *out)
{
	uint64_t v;

	if (s->n < n || !str_u64(str_make(s->p, n), &v) || v < (uint64_t)lo ||
	    v > (uint64_t)hi)
		return false;
	*out = (int)v;
	*s = str_skip(*s, n);
	return true;
}

static bool
take_char(struct str *s, char c)
{
	if (s->n == 0 || (s->p[0] | 0x20) != (c | 0x20))
		return false;
	*s = str_skip(*s, 1);
	return true;
}

/* .digits, cut to microseconds */
static bool
take_fraction(struct str *s, int64_t *out)
{
	int64_t scale = WHEN_SECOND / 10;

	*out = 0;
	if (s->n == 0 || s->p[0] != '.')
		return true;
	*s = str_skip(*s, 1);
	if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
		return false;
	for (; s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9'; scale /= 10) {
		*out += (s->p[0] - '0') * scale;
		*s = str_skip(*s, 1);
	}
	return true;
}

static bool
take_offset(struct str *s, int64_t *out)
{
	int h, m, sign;

	*out = 0;
	if (take_char(s, 'Z'))
		return true;
	if (s->n == 0 || (s->p[0] != '+' && s->p[0] != '-'))
		return false;
	sign = s->p[0] == '-' ? -1 : 1;
	*s = str_skip(*s, 1);
	if (!take_number(s, 2, 0, 23, &h) || !take_char(s, ':') ||
	    !take_number(s, 2, 0, 59, &m))
		return false;
	*out = sign * (h * WHEN_HOUR + m * WHEN_MINUTE);
	return true;
}

bool
when_parse_rfc3339(struct str s, int64_t *out)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };
	struct tm tm = { 0 };
	int64_t fraction, offset;
	int year, mon;

	if (!take_number(&s, 4, 1970, 9999, &year) || !take_char(&s, '-') ||
	    !take_number(&s, 2, 1, 12, &mon) || !take_char(&s, '-') ||
	    !take_number(&s, 2, 1, days[mon - 1], &tm.tm_mday) ||
	    !(take_char(&s, 'T') || take_char(&s, ' ')) ||
	    !take_number(&s, 2, 0, 23, &tm.tm_hour) || !take_char(&s, ':') ||
	    !take_number(&s, 2, 0, 59, &tm.tm_min) || !take_char(&s, ':') ||
	    !take_number(&s, 2, 0, 60, &tm.tm_sec) ||
	    !take_fraction(&s, &fraction) || !take_offset(&s, &offset) ||
	    s.n != 0)
		return false;
	if (mon == 2 && tm.tm_mday == 29 &&
	    (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = mon - 1;
	*out = (int64_t)timegm(&tm) * WHEN_SECOND + fraction - offset;
	return *out >= 0;
}

bool
when_parse_span(struct str s, int64_t *out)
{
	static const struct {
		char letter;
		int64_t usec;
	} units[] = {
		{ 's', WHEN_SECOND },
		{ 'm', WHEN_MINUTE },
		{ 'h', WHEN_HOUR },
		{ 'd', WHEN_DAY },
	};
	uint64_t n;

	if (s.n < 2 || !str_u64(str_make(s.p, s.n - 1), &n))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (s.p[s.n - 1] == units[i].letter &&
		    n <= (uint64_t)(INT64_MAX / units[i].usec)) {
			*out = (int64_t)n * units[i].usec;
			return true;
		}
	return false;
}
