/* SPDX-License-Identifier: ISC */
/*
 * One HTTP request to the daemon, with a deadline. The connection is not kept,
 * so the answer ends where the connection does.
 */
#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/when.h"
#include "ctl/link.h"

#define SCOPE_PROBLEM "urn:certloop:error:forbiddenScope"
#define MOMENT_MAX (100000 * WHEN_DAY)

/* The length that the header promises; false if it does not. */
static bool
promised_length(struct str head, uint64_t *out)
{
	while (head.n > 0) {
		struct str line = str_cut(&head, '\n');
		struct str name = str_cut(&line, ':');

		if (str_case_eq(name, STR("content-length"))) {
			if (line.n > 0 && line.p[line.n - 1] == '\r')
				line.n--;
			return str_u64(str_trim(line), out);
		}
	}
	return false;
}

/* "HTTP/1.1 200 ...", the header, and the whole body behind the empty line. */
static bool
parse_reply(struct str text, struct reply *out)
{
	const char *end = text.n > 0 ? memmem(text.p, text.n, "\r\n\r\n", 4) :
				       NULL;
	uint64_t status, length;

	if (end == NULL || !str_starts(text, STR("HTTP/1.1 ")) || text.n < 12 ||
	    !str_u64(str_make(text.p + 9, 3), &status) ||
	    !promised_length(str_make(text.p, (size_t)(end - text.p)), &length))
		return false;
	out->status = (unsigned)status;
	out->body = str_skip(text, (size_t)(end - text.p) + 4);
	return out->body.n == length;
}

enum ctl_exit
ctl_request(struct ctl *ctl, const char *method, const char *path,
    struct str body, struct reply *out)
{
	struct buf answer = buf_new(ctl->arena, CTL_REPLY_MAX);
	struct str request = str_printf(ctl->arena,
	    "%s %s HTTP/1.1\r\nHost: " STR_FMT
	    "\r\nConnection: close\r\n" STR_FMT
	    "Content-Type: application/json\r\nContent-Length: "
	    "%zu\r\n\r\n" STR_FMT,
	    method, path, STR_ARG(link_host(ctl)),
	    STR_ARG(link_authorization(ctl)), body.n, STR_ARG(body));
	enum ctl_exit code;
	struct link l;
	bool ok;

	if (!link_open(ctl, &l, &code))
		return code;
	ok = link_send(&l, request) && link_receive(&l, &answer) &&
	    parse_reply(buf_view(&answer), out);
	link_close(&l);
	if (ok)
		return CTL_OK;
	fprintf(stderr,
	    "certloopctl: certloopd at %s gave no answer, or only part of "
	    "one\n",
	    ctl->server != NULL ? ctl->server : ctl->socket);
	return CTL_UNREACHABLE;
}

enum ctl_exit
ctl_refused(const struct reply *r, const struct json *j)
{
	struct str detail = json_get_str(j, "detail");
	struct arena *a = arena_create();

	if (detail.p == NULL)
		detail = STR("it gave no reason");
	fprintf(stderr, "certloopctl: certloopd refused (%u): " STR_FMT "\n",
	    r->status, STR_ARG(text_clean(a, detail)));
	arena_destroy(a);
	if (r->status == 404)
		return CTL_NOT_FOUND;
	if (str_is(json_get_str(j, "type"), SCOPE_PROBLEM))
		return CTL_SCOPE;
	return r->status == 403 || r->status == 401 ? CTL_FORBIDDEN :
						      CTL_REFUSED;
}

/* The body is kept in *raw. */
static enum ctl_exit
ask(struct ctl *ctl, const char *method, const char *path, struct str body,
    unsigned also, const struct json **out, struct str *raw)
{
	struct reply r;
	enum ctl_exit code = ctl_request(ctl, method, path, body, &r);
	const char *why;

	if (code != CTL_OK)
		return code;
	*out = json_parse(ctl->arena, r.body, &why);
	if (r.status / 100 != 2 && r.status != also)
		return ctl_refused(&r, *out);
	*raw = r.body;
	if (*out != NULL)
		return CTL_OK;
	fprintf(stderr, "certloopctl: the answer of certloopd is no JSON: %s\n",
	    why);
	return CTL_UNREACHABLE;
}

enum ctl_exit
ctl_fetch(struct ctl *ctl, const char *method, const char *path,
    struct str body, unsigned also, const struct json **out)
{
	struct str raw;

	return ask(ctl, method, path, body, also, out, &raw);
}

enum ctl_exit
ctl_ask(struct ctl *ctl, const char *method, const char *path, struct str body,
    unsigned also, const struct json **out)
{
	struct str raw = STR_NONE;
	enum ctl_exit code = ask(ctl, method, path, body, also, out, &raw);

	if (code == CTL_OK && ctl->json)
		printf(STR_FMT "\n", STR_ARG(raw));
	return code;
}

/* ---- paths and bodies */

/* All but letters that stand for themselves in a path and in a query. */
static void
put_escaped(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') ||
		    (c != '\0' && strchr("-._~:", c) != NULL))
			buf_char(b, (char)c);
		else
			buf_printf(b, "%%%02X", c);
	}
}

const char *
ctl_path(struct ctl *ctl, const char *before, const char *argument,
    const char *after)
{
	struct buf b = buf_new(ctl->arena, CTL_PATH_MAX);

	buf_str(&b, str_from(before));
	put_escaped(&b, str_from(argument));
	buf_str(&b, str_from(after));
	return str_cstr(ctl->arena, buf_view(&b));
}

const char *
ctl_query(struct ctl *ctl, const char *path)
{
	struct buf b = buf_new(ctl->arena, CTL_PATH_MAX);
	char sep = '?';

	buf_str(&b, str_from(path));
	for (size_t i = 0; i < ctl->ngiven; i++) {
		const struct command_option *o = ctl->given[i].option;

		if (o->value == NULL || strcmp(o->name, "limit") == 0 ||
		    strcmp(o->name, "cursor") == 0)
			continue;
		buf_printf(&b, "%c%s=", sep, o->name);
		put_escaped(&b, str_from(ctl->given[i].value));
		sep = '&';
	}
	return str_cstr(ctl->arena, buf_view(&b));
}

struct str
ctl_body(struct ctl *ctl, const char *name, const char *value)
{
	struct json_writer *w = json_writer_new(ctl->arena, CTL_REPLY_MAX);

	json_open_object(w, NULL);
	json_str(w, name, str_from(value));
	json_close(w);
	return json_text(w);
}

struct str
ctl_moment(struct ctl *ctl, const char *text)
{
	int64_t span;

	if (when_parse_span(str_from(text), &span) && span <= MOMENT_MAX)
		return when_rfc3339(ctl->arena, ctl->now + span);
	return str_from(text);
}
