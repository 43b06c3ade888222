/* SPDX-License-Identifier: ISC */
/*
 * The head of a request, RFC 9112. Its lines are judged as they come in
 * (scan_head), so that garbage is refused at once; when it is complete
 * http_parser reads it, and what http_parser lets pass but we do not is
 * judged after that.
 */
#include "http/parse.h"

#include <string.h>

#include <http_parser.h>

#include "http/http.h"

_Static_assert((int)HEAD_FIELDS_MAX == (int)REQ_HEADERS_MAX,
    "one bound, two names");

/* ---- characters */

/* RFC 9110 section 5.6.2 */
static bool
is_token_char(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool
is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

bool
is_field_char(char c)
{
	unsigned char u = (unsigned char)c;

	return u == '\t' || (u >= ' ' && u != 0x7f);
}

static bool
is_clean(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_field_char(s.p[i]))
			return false;
	return true;
}

/* ---- lines */

/* method SP target SP version: the version decides what else to expect. */
static const char *
judge_request_line(struct str line, enum problem_type *type)
{
	struct str method = str_cut(&line, ' '), target = str_cut(&line, ' ');
	struct str v = line;

	*type = PROBLEM_MALFORMED;
	if (!is_token(method))
		return "the request line does not begin with a method";
	if (target.n == 0 || str_find(target, '\t') < target.n)
		return "the request line has no target";
	if (v.n == 0) {
		*type = PROBLEM_VERSION; /* HTTP/0.9 */
		return "the request line has no version";
	}
	if (v.n != 8 || !str_starts(v, STR("HTTP/")) || v.p[6] != '.' ||
	    v.p[5] < '0' || v.p[5] > '9' || v.p[7] < '0' || v.p[7] > '9')
		return "the request line is not \"method target version\"";
	*type = PROBLEM_VERSION;
	if (v.p[5] != '1' || v.p[7] > '1')
		return "only HTTP/1.0 and HTTP/1.1 are spoken";
	return NULL;
}

static const char *
judge_field_line(struct str line)
{
	struct str name = line;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return "a header line is folded";
	name.n = str_find(line, ':');
	if (name.n == line.n)
		return "a header line has no colon";
	if (name.n > 0 &&
	    (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
		return "there is white space before the colon of a header";
	if (!is_token(name))
		return "the name of a header is not a token";
	return NULL;
}

static const char *
judge_line(const struct head_scan *s, struct str line, enum problem_type *type)
{
	*type = PROBLEM_MALFORMED;
	if (line.n == 0 || line.p[line.n - 1] != '\r')
		return "a line of the header does not end in CR LF";
	line.n--;
	if (!is_clean(line))
		return "the header holds a control character";
	if (!s->started)
		return judge_request_line(line, type);
	return judge_field_line(line);
}

/* The bytes of the first line so far: can it become one? */
static bool
may_begin(const char *p, size_t n)
{
	return n == 0 || is_token_char(p[0]) || p[0] == '\r';
}

enum scan
scan_head(struct head_scan *s, const char *p, size_t n, size_t *len,
    enum problem_type *type, const char **why)
{
	struct str line;

	for (;;) {
		*type = PROBLEM_MALFORMED;
		*why = "this is not HTTP";
		if (!s->started && !may_begin(p + s->at, n - s->at))
			return SCAN_BAD;
		line = str_make(p + s->seen, n - s->seen);
		s->seen += str_find(line, '\n');
		if (s->seen == n)
			return SCAN_MORE;
		line = str_make(p + s->at, s->seen - s->at);
		s->at = ++s->seen;
		if (line.n == 1 && line.p[0] == '\r') {
			if (s->started) {
				*len = s->at;
				return SCAN_DONE;
			}
			if (s->at == 2)
				continue; /* one, before the request */
		}
		if ((*why = judge_line(s, line, type)) != NULL)
			return SCAN_BAD;
		s->started = true;
	}
}

/* ---- http_parser */

struct reading {
	struct head *head;
	bool complete;
};

static int
on_url(http_parser *hp, const char *p, size_t n)
{
	struct reading *r = hp->data;

	r->head->target = str_make(p, n);
	return 0;
}

static int
on_field(http_parser *hp, const char *p, size_t n)
{
	struct head *h = ((struct reading *)hp->data)->head;

	if (h->nfields == HEAD_FIELDS_MAX)
		return 1;
	h->fields[h->nfields++] = (struct field){ .name = str_make(p, n) };
	return 0;
}

static int
on_value(http_parser *hp, const char *p, size_t n)
{
	struct head *h = ((struct reading *)hp->data)->head;

	h->fields[h->nfields - 1].value = str_trim(str_make(p, n));
	return 0;
}

static int
on_complete(http_parser *hp)
{
	struct reading *r = hp->data;

	r->complete = true;
	r->head->keep_alive = http_should_keep_alive(hp) != 0;
	return 1; /* the body is ours */
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_complete,
};

static const struct problem *
parse_error(struct arena *a, enum http_errno error)
{
	switch (error) {
	case HPE_CB_header_field:
		return problem_new(a, PROBLEM_HEADER_TOO_LARGE,
		    "there are more than %d header lines", HEAD_FIELDS_MAX);
	case HPE_HEADER_OVERFLOW:
		return problem_new(a, PROBLEM_HEADER_TOO_LARGE,
		    "the header is too large");
	case HPE_INVALID_METHOD:
		return problem_new(a, PROBLEM_NOT_IMPLEMENTED,
		    "the method is not known");
	case HPE_INVALID_TRANSFER_ENCODING:
		return problem_new(a, PROBLEM_NOT_IMPLEMENTED,
		    "the only transfer coding known is chunked");
	case HPE_UNEXPECTED_CONTENT_LENGTH:
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request has more than one length");
	default:
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request is malformed: %s",
		    http_errno_description(error));
	}
}

static const struct problem *
take_method(struct arena *a, unsigned method, struct head *h)
{
	static const struct {
		unsigned theirs, ours;
	} known[] = {
		{ HTTP_GET, REQ_GET },
		{ HTTP_HEAD, REQ_HEAD },
		{ HTTP_POST, REQ_POST },
		{ HTTP_PUT, REQ_PUT },
		{ HTTP_PATCH, REQ_PATCH },
		{ HTTP_DELETE, REQ_DELETE },
		{ HTTP_OPTIONS, 0 },
		{ HTTP_TRACE, 0 },
	};

	h->method_name = http_method_str(method);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].theirs == method) {
			h->method = known[i].ours;
			return NULL;
		}
	return problem_new(a, PROBLEM_NOT_IMPLEMENTED,
	    "the method %s is not implemented", h->method_name);
}

/* ---- what http_parser does not judge, or not as we do */

/* The one field of that name; *n says how many there are. */
static struct str
sole_field(const struct head *h, const char *name, size_t *n)
{
	struct str found = STR_NONE;

	*n = 0;
	for (size_t i = 0; i < h->nfields; i++)
		if (str_case_eq(h->fields[i].name, str_from(name))) {
			found = h->fields[i].value;
			++*n;
		}
	return found;
}

/* RFC 9110 section 7.2: a name, an address, perhaps a port. */
static bool
is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' ||
		    strchr("abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			   "-._~%!$&'()*+,;=:[]",
			s.p[i]) == NULL)
			return false;
	return s.n > 0;
}

static const struct problem *
check_host(struct arena *a, const struct head *h)
{
	size_t n;
	struct str host = sole_field(h, "host", &n);

	if (n == 0 && h->minor == 0)
		return NULL;
	if (n == 0)
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request has no Host");
	if (n > 1)
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request has more than one Host");
	if (!is_host(host))
		return problem_new(a, PROBLEM_MALFORMED,
		    "the Host is not a host");
	return NULL;
}

/* RFC 9112 section 6.3, with nothing repaired. */
static const struct problem *
check_length(struct arena *a, struct head *h)
{
	size_t ncodings, nlengths;
	struct str coding = sole_field(h, "transfer-encoding", &ncodings);
	struct str length = sole_field(h, "content-length", &nlengths);

	if (nlengths + (ncodings > 0) > 1)
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request has more than one length");
	if (nlengths > 0 && !str_u64(length, &h->length))
		return problem_new(a, PROBLEM_MALFORMED,
		    "the Content-Length is not a number");
	if (ncodings == 0)
		return NULL;
	if (h->minor == 0)
		return problem_new(a, PROBLEM_MALFORMED,
		    "HTTP/1.0 has no Transfer-Encoding");
	if (ncodings > 1 || !str_case_eq(coding, STR("chunked")))
		return problem_new(a, PROBLEM_NOT_IMPLEMENTED,
		    "the only transfer coding known is chunked");
	h->chunked = true;
	return NULL;
}

static const struct problem *
check_expect(struct arena *a, struct head *h)
{
	size_t n;
	struct str expect = sole_field(h, "expect", &n);

	if (n == 0 || h->minor == 0)
		return NULL;
	if (n > 1 || !str_case_eq(expect, STR("100-continue")))
		return problem_new(a, PROBLEM_EXPECTATION,
		    "the only expectation known is 100-continue");
	h->expect_continue = true;
	return NULL;
}

static const struct problem *
check_head(struct arena *a, struct head *h)
{
	const struct problem *p;

	if ((p = check_host(a, h)) != NULL ||
	    (p = check_length(a, h)) != NULL ||
	    (p = check_expect(a, h)) != NULL)
		return p;
	if (str_is(h->target, "*") && strcmp(h->method_name, "OPTIONS") != 0)
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request target \"*\" is only for OPTIONS");
	return parse_target(a, h->target, &h->path, &h->query);
}

static const struct problem *
read_head(struct arena *a, http_parser *hp, struct str text, struct head *out)
{
	struct reading r = { .head = out };
	enum http_errno error;
	size_t eaten;

	http_parser_init(hp, HTTP_REQUEST);
	hp->data = &r;
	eaten = http_parser_execute(hp, &settings, text.p, text.n);
	hp->data = NULL;
	error = HTTP_PARSER_ERRNO(hp);
	if (error != HPE_OK)
		return parse_error(a, error);
	if (!r.complete || eaten != text.n)
		return problem_new(a, PROBLEM_MALFORMED,
		    "the request is malformed");
	return NULL;
}

const struct problem *
parse_head(struct arena *a, struct str text, struct head *out)
{
	const struct problem *p;
	http_parser hp;

	*out = (struct head){ .fields = arena_alloc(a,
				  HEAD_FIELDS_MAX * sizeof(struct field)) };
	if ((p = read_head(a, &hp, text, out)) != NULL)
		return p;
	out->minor = hp.http_minor;
	if ((p = take_method(a, hp.method, out)) != NULL)
		return p;
	return check_head(a, out);
}
