/* SPDX-License-Identifier: ISC */
/* Problem values and their document form, RFC 9457 and RFC 8555 6.7. */
#include "base/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/json.h"

static const struct {
	unsigned status;
	struct str name, text;
} types[PROBLEM_COUNT] = {
#define PROBLEM(id, code, urn, detail)                                         \
	[PROBLEM_##id] = { .status = (code),                                   \
		.name = { .p = (urn), .n = sizeof(urn) - 1 },                  \
		.text = { .p = (detail), .n = sizeof(detail) - 1 } },
#include "base/problem.def"
#undef PROBLEM
};

static struct str vprint(struct arena *, const char *, va_list)
    __attribute__((format(printf, 2, 0)));

/* How much of a text that was cut off is whole characters? */
static size_t
whole(const char *p, size_t n)
{
	size_t lead = n, len = 1;

	while (lead > 0 && ((uint8_t)p[lead - 1] & 0xc0) == 0x80)
		lead--;
	if (lead == 0)
		return n;
	lead--;
	for (uint8_t c = (uint8_t)p[lead]; len < 4 && (c & 0xc0) == 0xc0;
	     c = (uint8_t)(c << 1))
		len++;
	return n - lead < len ? lead : n;
}

static struct str
vprint(struct arena *a, const char *fmt, va_list ap)
{
	char text[512];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof(text))
		n = (int)whole(text, sizeof(text) - 1);
	return str_dup(a, str_make(text, (size_t)n));
}

struct problem *
problem_new(struct arena *a, enum problem_type type, const char *fmt, ...)
{
	struct problem *p = arena_new(a, struct problem);
	va_list ap;

	p->type = type;
	va_start(ap, fmt);
	p->detail = vprint(a, fmt, ap);
	va_end(ap);
	return p;
}

struct problem *
problem_keep(struct arena *a, const struct problem *from)
{
	struct problem *p = arena_new(a, struct problem);

	p->type = from->type;
	p->detail = str_dup(a, from->detail);
	p->retry_after = from->retry_after;
	if (from->cause != NULL)
		p->cause = str_cstr(a, str_from(from->cause));
	return p;
}

struct str
problem_reason(const struct problem *p)
{
	return p->cause != NULL ? str_from(p->cause) : p->detail;
}

struct problem *
problem_cause(struct arena *a, enum problem_type type, const char *fmt, ...)
{
	struct problem *p = arena_new(a, struct problem);
	va_list ap;

	p->type = type;
	p->detail = types[type].text;
	va_start(ap, fmt);
	p->cause = vprint(a, fmt, ap).p;
	va_end(ap);
	return p;
}

unsigned
problem_status(enum problem_type type)
{
	return types[type].status;
}

struct str
problem_name(enum problem_type type)
{
	return types[type].name;
}

static void
write_type(struct json_writer *w, enum problem_type type)
{
	const char *space = type >= PROBLEM_BAD_PARAMETER ?
	    "urn:certloop:error:" :
	    "urn:ietf:params:acme:error:";
	char urn[96];

	snprintf(urn, sizeof(urn), "%s" STR_FMT, space,
	    STR_ARG(types[type].name));
	json_str(w, "type", str_from(urn));
}

static void
write_sub(struct json_writer *w, const struct subproblem *s)
{
	json_open_object(w, NULL);
	write_type(w, s->type);
	json_str(w, "detail", s->detail);
	json_open_object(w, "identifier");
	json_str(w, "type", s->id_type);
	json_str(w, "value", s->id_value);
	json_close(w);
	json_close(w);
}

struct str
problem_json(struct arena *a, const struct problem *p)
{
	struct json_writer *w = json_writer_new(a, 1 << 17);

	json_open_object(w, NULL);
	write_type(w, p->type);
	json_str(w, "detail",
	    p->detail.n > 0 ? p->detail : types[p->type].text);
	json_int(w, "status", types[p->type].status);
	if (p->nalgorithms > 0) {
		json_open_array(w, "algorithms");
		for (size_t i = 0; i < p->nalgorithms; i++)
			json_str(w, NULL, p->algorithms[i]);
		json_close(w);
	}
	if (p->nsubs > 0) {
		json_open_array(w, "subproblems");
		for (size_t i = 0; i < p->nsubs; i++)
			write_sub(w, &p->subs[i]);
		json_close(w);
	}
	json_close(w);
	return json_text(w);
}
