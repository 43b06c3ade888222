/* SPDX-License-Identifier: ISC */
/* What the handlers of the admin API share: reading, answering, auditing. */
#include "admin/admin_int.h"

#include "audit/audit.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/when.h"
#include "metrics/metrics.h"

enum { SHOWN = 80 }; /* bytes of a value that an error repeats */

void *
admin_arg(const struct admin_call *c)
{
	return c->admin->hooks.arg;
}

/* ---- what was asked */

struct str
admin_param(const struct admin_call *c, const char *name)
{
	for (size_t i = 0; i < c->nparams; i++)
		if (str_is(c->params[i].name, name))
			return c->params[i].value;
	return STR_NONE;
}

bool
admin_is_word(struct str s, const char *words)
{
	struct str rest = str_from(words);

	while (rest.n > 0)
		if (str_eq(s, str_cut(&rest, ' ')))
			return true;
	return false;
}

const struct problem *
admin_bad(struct admin_call *c, const char *name, struct str value,
    const char *what_would)
{
	return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
	    "%s: \"" STR_FMT "\" will not do; give %s", name,
	    STR_ARG(str_show(c->arena, value, SHOWN)), what_would);
}

const struct problem *
admin_none(struct admin_call *c, const char *what, struct str id)
{
	return problem_new(c->arena, PROBLEM_NO_SUCH_OBJECT,
	    "there is no %s \"" STR_FMT "\"", what,
	    STR_ARG(str_show(c->arena, id, SHOWN)));
}

const struct problem *
admin_parse_word(struct admin_call *c, const char *name, const char *words,
    struct str *out)
{
	*out = admin_param(c, name);
	if (out->p == NULL || admin_is_word(*out, words))
		return NULL;
	return admin_bad(c, name, *out,
	    str_printf(c->arena, "one of: %s", words).p);
}

const struct problem *
admin_parse_id(struct admin_call *c, const char *name, struct str *out)
{
	*out = admin_param(c, name);
	if (out->p == NULL || id_is_valid(*out))
		return NULL;
	return admin_bad(c, name, *out, "an id of 30 letters");
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '.' || c == '_' || c == ':' || c == '*';
}

/* "%", before, name, after, "%", with '!' before what LIKE would act on */
static struct str
make_pattern(struct arena *a, const char *before, struct str name,
    const char *after)
{
	struct buf b = buf_new(a, 4 * ADMIN_PARAM_MAX);

	buf_printf(&b, "%%%s", before);
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '_')
			buf_char(&b, '!');
		buf_char(&b, name.p[i]);
	}
	buf_printf(&b, "%s%%", after);
	return buf_view(&b);
}

const struct problem *
admin_check_name(struct admin_call *c, const char *param, struct str *out)
{
	enum { NAME_MAX_LEN = 253 };
	struct str given = admin_param(c, param);
	struct str name = str_lower(c->arena, given);

	*out = STR_NONE;
	if (given.p == NULL)
		return NULL;
	if (name.n > 1 && name.p[0] == '.')
		name = str_skip(name, 1);
	for (size_t i = 0; i < name.n; i++)
		if (!is_name_char(name.p[i]))
			name.n = 0;
	if (name.n == 0 || name.n > NAME_MAX_LEN)
		return admin_bad(c, param, given,
		    "a DNS name or an IP address");
	*out = name;
	return NULL;
}

const struct problem *
admin_parse_name(struct admin_call *c, const char *before, const char *after,
    struct str *itself, struct str *below)
{
	const struct problem *pr;
	struct str name;

	*itself = *below = STR_NONE;
	if ((pr = admin_check_name(c, "name", &name)) != NULL || name.p == NULL)
		return pr;
	*itself = make_pattern(c->arena, before, name, after);
	*below = make_pattern(c->arena, ".", name, after);
	return NULL;
}

const struct problem *
admin_text(struct admin_call *c, const char *name, size_t max, struct str *out)
{
	*out = json_get_str(c->body, name);
	if (out->n > 0 && out->n <= max)
		return NULL;
	if (out->n > max)
		return admin_bad(c, name, *out,
		    str_printf(c->arena, "at most %zu bytes", max).p);
	return problem_new(c->arena, PROBLEM_BAD_PARAMETER,
	    "the body must have the text \"%s\"", name);
}

const struct problem *
admin_id(struct admin_call *c, const char *what, struct str *out)
{
	*out = c->req->params[0];
	return id_is_valid(*out) ? NULL : admin_none(c, what, *out);
}

/* ---- the answer */

enum step
admin_reply_req(struct req *req, unsigned status, struct json_writer *w)
{
	struct str text = json_text(w);

	if (text.p == NULL)
		return req_fail(req,
		    problem_cause(req->task.arena, PROBLEM_SERVER,
			"the reply does not fit"));
	return req_reply(req, status, "application/json", text);
}

enum step
admin_reply(struct admin_call *c, unsigned status, struct json_writer *w)
{
	return admin_reply_req(c->req, status, w);
}

enum step
admin_fail(struct admin_call *c, const struct problem *pr)
{
	return req_fail(c->req, pr);
}

void
admin_write_time(struct arena *a, struct json_writer *w, const char *name,
    int64_t at)
{
	if (at == 0)
		json_null(w, name);
	else
		json_str(w, name, when_rfc3339(a, at));
}

void
admin_write_words(struct json_writer *w, const char *name, struct str words,
    size_t max)
{
	char total[64];
	size_t n = 0;

	json_open_array(w, name);
	while (words.n > 0) {
		struct str word = str_cut(&words, ' ');

		if (n++ < max)
			json_str(w, NULL, word);
	}
	json_close(w);
	if (n > max) {
		snprintf(total, sizeof(total), "%s_total", name);
		json_int(w, total, (int64_t)n);
	}
}

/* ---- changes of state */

void
admin_audit(struct admin_call *c, struct batch *b,
    const struct admin_change *change)
{
	audit_add(b,
	    &(struct audit_entry){
		.actor = c->actor,
		.action = change->action,
		.object = change->object,
		.order = change->order,
		.account = change->account,
		.serial = change->serial,
		.detail = change->detail,
	    });
}

void
admin_count(const char *action)
{
	metrics_count(FAMILY_admin_changes, action);
}
