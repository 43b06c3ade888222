/* SPDX-License-Identifier: ISC */
/* Request targets, RFC 9112 section 3.2 and RFC 3986. */
#include "http/parse.h"

#include <string.h>

static bool
is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	    c == '~';
}

/* pchar without escapes, and the slash */
static bool
is_path_char(char c)
{
	return is_unreserved(c) ||
	    (c != '\0' && strchr("!$&'()*+,;=:@/", c) != NULL);
}

static bool
is_query(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_path_char(s.p[i]) && s.p[i] != '?' && s.p[i] != '%')
			return false;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * RFC 6960 appendix A.1 has base64 at the end of a path, with / + = escaped.
 * Where it may begin no route parts the path any further.
 */
static bool
ends_in_base64(struct str before)
{
	for (; before.n > 0; before = str_skip(before, 1))
		if (str_starts(before, STR("/ocsp/")))
			return true;
	return false;
}

/*
 * The character that the escape at i stands for, if it needed none; before is
 * what was decoded so far.
 */
static bool
decode(struct str s, size_t i, struct str before, char *out)
{
	int hi, lo;

	if (s.n - i < 3)
		return false;
	hi = hex_digit(s.p[i + 1]);
	lo = hex_digit(s.p[i + 2]);
	if (hi < 0 || lo < 0)
		return false;
	*out = (char)(hi << 4 | lo);
	return is_unreserved(*out) ||
	    ((*out == '/' || *out == '+' || *out == '=') &&
		ends_in_base64(before));
}

static bool
decode_path(struct arena *a, struct str raw, struct str *out)
{
	char *p;
	size_t n = 0;

	if (str_find(raw, '%') == raw.n) {
		for (size_t i = 0; i < raw.n; i++)
			if (!is_path_char(raw.p[i]))
				return false;
		*out = raw;
		return true;
	}
	p = arena_alloc(a, raw.n);
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '%') {
			if (!decode(raw, i, str_make(p, n), &p[n]))
				return false;
			n++;
			i += 2;
		} else if (is_path_char(raw.p[i])) {
			p[n++] = raw.p[i];
		} else {
			return false;
		}
	}
	*out = str_make(p, n);
	return true;
}

/* "." and "..", which other servers would resolve and we do not. */
static bool
has_dot_segment(struct str path)
{
	while (path.n > 0) {
		struct str segment = str_cut(&path, '/');

		if (str_is(segment, ".") || str_is(segment, ".."))
			return true;
	}
	return false;
}

/* Cut scheme and authority off an absolute-form target. */
static bool
cut_authority(struct str *target)
{
	static const struct str schemes[] = {
		{ .p = "http://", .n = 7 },
		{ .p = "https://", .n = 8 },
	};

	for (size_t i = 0; i < 2; i++) {
		struct str s = schemes[i], rest = *target;
		size_t n;

		if (rest.n < s.n || !str_case_eq(str_make(rest.p, s.n), s))
			continue;
		rest = str_skip(rest, s.n);
		for (n = 0; n < rest.n; n++)
			if (rest.p[n] == '/' || rest.p[n] == '?' ||
			    rest.p[n] == '@')
				break;
		if (n == 0 || (n < rest.n && rest.p[n] == '@'))
			return false;
		*target = str_skip(rest, n);
		return true;
	}
	return false;
}

const struct problem *
parse_target(struct arena *a, struct str target, struct str *path,
    struct str *query)
{
	struct str raw = target;

	*path = *query = STR_NONE;
	if (str_is(target, "*")) {
		*path = target; /* of OPTIONS; no route has it */
		return NULL;
	}
	if (!str_starts(raw, STR("/")) && !cut_authority(&raw))
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request target is neither a path nor an http URL");
	*query = raw;
	raw = str_cut(query, '?');
	if (raw.n == 0)
		raw = STR("/");
	if (!decode_path(a, raw, path) || !is_query(*query))
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request target holds a character, or an escape of "
		    "one, that has no place there");
	if (has_dot_segment(*path))
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request target holds a \".\" or \"..\"");
	return NULL;
}
