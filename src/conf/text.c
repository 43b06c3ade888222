/* SPDX-License-Identifier: ISC */
/*
 * The bytes of a file, before libconfuse sees them. Its scanner drops what it
 * does not know, counts the lines of a comment twice, and refuses comments
 * inside lists. So: everything must be UTF-8 text, strings must end, variables
 * must be set, and comments are blanked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_int.h"

/* ---- scanning */

struct scan {
	struct conf_loader *l;
	char *p; /* where we are; a NUL ends it */
	int line;
	int depth;                      /* of braces */
	int open;                       /* line of the outermost one */
	char last;                      /* the last byte that was no blank */
	bool in_word;                   /* inside a text without quotes */
	struct conf_include **includes; /* where the next one goes, or NULL */
};

/* Blank up to end (not included), newlines stay. */
static void
blank(struct scan *s, const char *end)
{
	for (; s->p < end; s->p++)
		if (*s->p == '\n')
			s->line++;
		else
			*s->p = ' ';
}

/* ${NAME} or ${NAME:-DEFAULT}, in one line: libconfuse fills it in. */
static bool
scan_variable(struct scan *s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz_0123456789";
	const char *start = s->p + 2, *end = strpbrk(start, "}\n");
	size_t n = strspn(start, letters);
	const char *name = str_cstr(s->l->arena, str_make(start, n));

	if (end == NULL || *end != '}' || n == 0 ||
	    (start[n] != '}' && strncmp(start + n, ":-", 2) != 0)) {
		conf_error(s->l, s->line,
		    "\"${\" begins ${NAME} or ${NAME:-DEFAULT}");
		return false;
	}
	if (start[n] == '}' && getenv(name) == NULL)
		conf_error(s->l, s->line,
		    "the environment has no variable %s; set it, or write "
		    "${%s:-DEFAULT}",
		    name, name);
	s->p += end + 1 - s->p;
	return true;
}

/* \0, \00, \000, \x0, \x00: a text of libconfuse ends there. */
static bool
is_nul_escape(const char *p)
{
	size_t n;

	if (p[1] == 'x') {
		n = strspn(p + 2, "0");
		return n > 0 &&
		    (n >= 2 || strspn(p + 2 + n, "123456789abcdefABCDEF") == 0);
	}
	n = strspn(p + 1, "0");
	return n > 0 && (n >= 3 || strspn(p + 1 + n, "1234567") == 0);
}

static bool
scan_string(struct scan *s)
{
	char quote = *s->p++;
	int start = s->line;

	while (*s->p != '\0' && *s->p != quote) {
		if (quote == '"' && s->p[0] == '$' && s->p[1] == '{') {
			if (!scan_variable(s))
				return false;
			continue;
		}
		if (*s->p == '\\' && s->p[1] != '\0') {
			if (quote == '"' && is_nul_escape(s->p))
				conf_error(s->l, s->line,
				    "a text cannot hold a NUL");
			s->p++;
		}
		s->line += *s->p++ == '\n';
	}
	if (*s->p == '\0') {
		conf_error(s->l, start,
		    "the text that begins here has no closing %s",
		    quote == '"' ? "\"" : "'");
		return false;
	}
	s->p++;
	return true;
}

static bool
scan_comment(struct scan *s)
{
	const char *end = strstr(s->p + 2, "*/");

	if (end == NULL) {
		conf_error(s->l, s->line,
		    "the comment that begins here has no closing */");
		return false;
	}
	blank(s, end + 2);
	return true;
}

/* Sections, and only they, open a brace outside of any without "=". */
static void
scan_brace(struct scan *s)
{
	struct conf_loader *l = s->l;

	if (*s->p == '{' && s->depth == 0)
		s->open = s->line;
	if (*s->p == '{' && s->depth++ == 0 && s->last != '=') {
		if (l->nopens % 64 == 0) {
			int *more = arena_array(l->arena, int, l->nopens + 64);

			if (l->nopens > 0)
				memcpy(more, l->opens,
				    l->nopens * sizeof(*more));
			l->opens = more;
		}
		l->opens[l->nopens++] = s->line;
	}
	if (*s->p == '}')
		s->depth--;
}

/* A byte that can stand in a text without quotes. */
static bool
is_word(char c)
{
	return (unsigned char)c > ' ' && strchr("={}()+,*#\"'", c) == NULL;
}

/* A variable outside of quotes is a whole text; a part of one it cannot be. */
static bool
scan_plain_variable(struct scan *s, bool in_word)
{
	int line = s->line;

	if (!scan_variable(s))
		return false;
	if (in_word || is_word(*s->p))
		conf_error(s->l, line,
		    "a text that holds \"${...}\" needs double quotes");
	s->last = '}';
	return true;
}

/* ---- include */

static const char include[] = "include";

/* Does include = begin here, or what is meant as that? */
static bool
is_include(const struct scan *s)
{
	const char *p = s->p + sizeof(include) - 1;

	if (s->in_word || s->last == '=' ||
	    strncmp(s->p, include, sizeof(include) - 1) != 0)
		return false;
	p += strspn(p, " \t");
	return *p != '\0' && strchr("=+(\"'", *p) != NULL;
}

/* A text between quotes as libconfuse would read it. */
static const char *
read_quoted(struct arena *a, struct str raw, char quote)
{
	struct buf b = buf_new(a, 2 * CONF_FILE_MAX);
	const char *value;
	struct str name;

	while (raw.n > 0) {
		if (quote == '"' && raw.n > 1 && raw.p[0] == '$' &&
		    raw.p[1] == '{') {
			raw = str_make(raw.p + 2, raw.n - 2);
			name = str_cut(&raw, '}');
			value = getenv(str_cstr(a, str_cut(&name, ':')));
			if (value == NULL && name.n > 0)
				buf_put(&b, name.p + 1, name.n - 1);
			buf_str(&b, str_from(value));
			continue;
		}
		if (raw.p[0] == '\\' && raw.n > 1)
			raw = str_make(raw.p + 1, raw.n - 1);
		buf_char(&b, raw.p[0]);
		raw = str_make(raw.p + 1, raw.n - 1);
	}
	return str_cstr(a, buf_view(&b));
}

/* Past include = TEXT, which becomes blank. False if it has no end. */
static bool
scan_include(struct scan *s)
{
	struct conf_loader *l = s->l;
	struct conf_include *inc = arena_new(l->arena, struct conf_include);
	size_t before = l->errors->nerrors;
	char *begin = s->p, *text, *end, quote;

	inc->line = s->line;
	inc->at = (size_t)(begin - l->text);
	s->p += sizeof(include) - 1;
	s->p += strspn(s->p, " \t");
	s->p += *s->p == '=';
	s->p += strspn(s->p, " \t");
	text = s->p;
	quote = *text;
	s->last = '"';
	if (quote != '"' && quote != '\'')
		quote = '\0';
	if (quote != '\0') {
		if (!scan_string(s))
			return false;
		inc->pattern = read_quoted(l->arena,
		    str_make(text + 1, (size_t)(s->p - text - 2)), quote);
	}
	inc->last_line = s->line;
	if (quote == '\0' || memchr(begin, '=', (size_t)(text - begin)) == NULL)
		conf_error(l, inc->line,
		    "include is written with \"=\" and quotes: include = "
		    "\"conf.d/*.conf\"");
	else if (s->depth > 0)
		conf_error(l, inc->line,
		    "include cannot stand inside of a section");
	else if (s->includes == NULL)
		conf_error(l, inc->line, "this text cannot include files");
	else if (l->errors->nerrors == before)
		*s->includes = inc, s->includes = &inc->next;
	for (end = s->p, s->p = begin; s->p < end; s->p++)
		if (*s->p != '\n')
			*s->p = ' ';
	return true;
}

/* One byte, or one thing that begins here. False if it has no end. */
static bool
scan_next(struct scan *s)
{
	char c = *s->p;
	bool in_word = s->in_word;

	if (c == include[0] && is_include(s))
		return scan_include(s);
	s->in_word = false;
	if (c == '#' || (!in_word && c == '/' && s->p[1] == '/')) {
		blank(s, s->p + strcspn(s->p, "\n"));
		return true;
	}
	if (!in_word && c == '/' && s->p[1] == '*')
		return scan_comment(s);
	if (c == '$' && s->p[1] == '{')
		return scan_plain_variable(s, in_word);
	if (c == '"' || c == '\'') {
		s->last = c;
		return scan_string(s);
	}
	if (c == '*')
		conf_error(s->l, s->line,
		    "a text that holds \"*\" needs quotes");
	scan_brace(s);
	s->in_word = is_word(c);
	s->line += c == '\n';
	if (strchr(" \t\r\n", c) == NULL)
		s->last = c;
	s->p++;
	return true;
}

static bool
check_bytes(struct conf_loader *l)
{
	struct str rest = str_make(l->text, l->len);

	for (int line = 1; rest.n > 0; line++)
		if (!str_is_text(str_cut(&rest, '\n'))) {
			conf_error(l, line,
			    "not UTF-8 text; is this the right file?");
			return false;
		}
	return true;
}

static bool
scan_all(struct conf_loader *l, struct scan *s)
{
	if (!check_bytes(l))
		return false;
	while (*s->p != '\0')
		if (!scan_next(s))
			return false;
	if (s->depth > 0)
		conf_error(l, s->open, "the \"{\" here has no closing \"}\"");
	else if (s->last == '=')
		conf_error(l, s->line,
		    "the file ends too early: a value or a \"}\" is missing");
	return true;
}

bool
conf_scan_text(struct conf_loader *l, const struct conf_include **includes)
{
	struct conf_include *list = NULL;
	struct scan s = { .l = l, .p = l->text, .line = 1 };
	size_t before = l->errors->nerrors;
	bool ok;

	if (includes != NULL)
		s.includes = &list;
	ok = scan_all(l, &s);
	if (includes != NULL)
		*includes = list;
	return ok && l->errors->nerrors == before;
}
