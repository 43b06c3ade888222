/* SPDX-License-Identifier: ISC */
/*
 * The decision trail of an order: policy, limits, each try of a validation,
 * CAA, the linter, each try at the issuer, in the order in which they came.
 * It is read out of the details of the audit trail's rows, which are those of
 * the changes (and refusals) anyway; and, for what is still under way, out of
 * the authorizations.
 */
#include "admin/admin_int.h"

#include "base/when.h"

struct decisions {
	struct admin_call *call;
	struct json_writer *w;
	struct str at; /* of the row that is read */
};

static void
decide(struct decisions *d, const char *step, struct str outcome,
    struct str what)
{
	json_open_object(d->w, NULL);
	json_str(d->w, "at", d->at);
	json_str(d->w, "step", str_from(step));
	json_str(d->w, "outcome", outcome.n > 0 ? outcome : STR("-"));
	json_str(d->w, "what", what.n > 0 ? what : STR(""));
	json_close(d->w);
}

static int64_t
get_int(const struct json *j, const char *name)
{
	const struct json *v = json_get(j, name);

	return v != NULL && v->type == JSON_INT ? v->num : 0;
}

/* "TYPE: DETAIL", and the cause if an operator is to know more */
static struct str
problem_text(struct decisions *d, const struct json *detail)
{
	struct str cause = json_get_str(detail, "cause");
	struct str text = json_get_str(detail, "detail");

	if (cause.n > 0 && text.n > 0)
		return str_join(d->call->arena, text, STR(" ("), cause,
		    STR(")"));
	return cause.n > 0 ? cause : text;
}

/* Each with a moment of its own. */
static void
decide_tries(struct decisions *d, const char *step, struct str who,
    const struct json *detail)
{
	struct arena *a = d->call->arena;
	struct str row_at = d->at;

	json_each(it, json_get(detail, "tries")) {
		struct str address = json_get_str(it, "address");
		struct str why = json_get_str(it, "why");

		d->at = json_get_str(it, "at");
		decide(d, step, json_get_str(it, "outcome"),
		    str_join(a, who, address.n > 0 ? STR(" at ") : STR(""),
			address, why.n > 0 ? STR(": ") : STR(""), why));
	}
	d->at = row_at;
}

static void
decide_caa(struct decisions *d, const struct json *detail)
{
	struct str said = json_get_str(detail, "caa");

	if (said.n > 0)
		decide(d, "caa", said,
		    str_is(said, "off")           ? STR("the profile does not "
								  "ask") :
			str_is(said, "known")     ? STR("of the validation") :
			str_is(said, "reported")  ? STR("forbidden, but the "
							 "profile only "
							 "reports") :
			str_is(said, "forbidden") ? STR("by the records") :
						    STR(""));
}

/* ---- actions */

static void
on_create(struct decisions *d, const struct json *detail)
{
	struct arena *a = d->call->arena;
	struct str limits = json_get_str(detail, "limits");
	int64_t names = get_int(detail, "names");
	int64_t reused = get_int(detail, "reused");

	decide(d, "policy", STR("allowed"),
	    str_printf(a, "%lld name%s, " STR_FMT, (long long)names,
		names == 1 ? "" : "s", STR_ARG(json_get_str(detail, "auth"))));
	decide(d, "limits", limits.n > 0 ? STR("allowed") : STR("none"),
	    limits);
	if (reused > 0)
		decide(d, "validation", STR("reused"),
		    str_printf(a, "%lld authorizations", (long long)reused));
}

static void
on_refuse(struct decisions *d, const struct json *detail)
{
	struct str type = json_get_str(detail, "type");
	int64_t count = get_int(detail, "count");

	decide(d,
	    str_is(type, "rateLimited") ? "limits" :
		str_is(type, "caa")     ? "caa" :
		str_is(type, "badCSR")  ? "csr" :
		str_is(type, "rejectedIdentifier") ||
		    str_is(type, "unsupportedIdentifier") ?
					 "policy" :
					 "request",
	    STR("refused"),
	    count > 1 ?
		str_printf(d->call->arena, STR_FMT ": " STR_FMT " (%lld times)",
		    STR_ARG(type), STR_ARG(json_get_str(detail, "detail")),
		    (long long)count) :
		str_join(d->call->arena, type, STR(": "),
		    json_get_str(detail, "detail")));
}

static void
on_respond(struct decisions *d, const struct json *detail)
{
	decide(d, "challenge", STR("taken up"), json_get_str(detail, "type"));
}

static void
on_authz(struct decisions *d, const struct json *detail)
{
	struct str type = json_get_str(detail, "type");
	struct str who = str_join(d->call->arena,
	    json_get_str(detail, "challenge"), STR(" of "),
	    json_get_str(detail, "identifier"));

	decide_tries(d, "validation", who, detail);
	decide_caa(d, detail);
	if (type.n > 0)
		decide(d, "authorization", STR("invalid"),
		    str_join(d->call->arena, json_get_str(detail, "identifier"),
			STR(": "), problem_text(d, detail)));
	else
		decide(d, "authorization", STR("valid"),
		    json_get_str(detail, "identifier"));
}

static struct str
issuer_text(struct decisions *d, const struct json *detail)
{
	return str_printf(d->call->arena,
	    STR_FMT ", attempt %lld, after %lld ms",
	    STR_ARG(json_get_str(detail, "issuer")),
	    (long long)get_int(detail, "attempt"),
	    (long long)get_int(detail, "ms"));
}

static void
on_issue(struct decisions *d, const struct json *detail)
{
	struct str lint = json_get_str(detail, "lint");

	decide_caa(d, detail);
	decide_tries(d, "issuer", json_get_str(detail, "issuer"), detail);
	if (lint.n > 0)
		decide(d, "lint", lint, STR(""));
	decide(d, "issuer", STR("signed"), issuer_text(d, detail));
}

static void
decide_unsigned(struct decisions *d, const struct json *detail,
    struct str outcome)
{
	decide_caa(d, detail);
	decide_tries(d, "issuer", json_get_str(detail, "issuer"), detail);
	decide(d, "issuer", outcome,
	    str_join(d->call->arena, issuer_text(d, detail), STR(": "),
		problem_text(d, detail)));
}

static void
on_defer(struct decisions *d, const struct json *detail)
{
	decide_unsigned(d, detail, STR("ready again"));
}

static void
on_fail(struct decisions *d, const struct json *detail)
{
	decide_unsigned(d, detail, STR("failed"));
}

static void
on_retake(struct decisions *d, const struct json *detail)
{
	(void)detail;
	decide(d, "claim", STR("taken over"),
	    STR("by another process, as its lease ran out"));
}

static const struct {
	const char *action;
	void (*fn)(struct decisions *, const struct json *);
} actions[] = {
	{ "order.create", on_create },
	{ "request.refuse", on_refuse },
	{ "challenge.respond", on_respond },
	{ "authz.valid", on_authz },
	{ "authz.invalid", on_authz },
	{ "certificate.issue", on_issue },
	{ "order.defer", on_defer },
	{ "order.fail", on_fail },
	{ "order.retake", on_retake },
};

static void
decide_row(struct decisions *d, const struct store_result *r, unsigned stmt,
    size_t row)
{
	struct str action = store_get_str(r, stmt, row,
	    ADMIN_ORDER_TRAIL_ACTION);
	struct str detail = store_get_str(r, stmt, row,
	    ADMIN_ORDER_TRAIL_DETAIL);
	const struct json *j = detail.n > 0 ?
	    json_parse(d->call->arena, detail, NULL) :
	    NULL;

	d->at = when_rfc3339(d->call->arena,
	    store_get_int(r, stmt, row, ADMIN_ORDER_TRAIL_AT));
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (str_is(action, actions[i].action)) {
			actions[i].fn(d, j);
			return;
		}
	decide(d, str_cstr(d->call->arena, action), STR(""),
	    store_get_str(r, stmt, row, ADMIN_ORDER_TRAIL_ACTOR));
}

/* A validation that goes on: what its last query said. */
static void
decide_pending(struct decisions *d, const struct store_result *r, unsigned stmt,
    size_t row)
{
	const struct json *error = json_parse(d->call->arena,
	    store_get_str(r, stmt, row, ADMIN_ORDER_AUTHZS_ERROR), NULL);
	struct arena *a = d->call->arena;
	struct str detail = json_get_str(error, "detail");

	decide(d, "validation", STR("under way"),
	    str_join(a,
		store_get_str(r, stmt, row, ADMIN_ORDER_AUTHZS_CHALLENGE),
		STR(" of "),
		store_get_str(r, stmt, row, ADMIN_ORDER_AUTHZS_VALUE),
		detail.n > 0 ? STR(": ") : STR(""), detail));
}

void
admin_write_decisions(struct admin_call *c, struct json_writer *w,
    const struct store_result *r, unsigned trail, unsigned authzs)
{
	struct decisions d = { .call = c, .w = w };

	json_open_array(w, "decisions");
	for (size_t i = 0; i < store_nrows(r, trail); i++)
		decide_row(&d, r, trail, i);
	d.at = when_rfc3339(c->arena, loop_wall(c->admin->loop));
	for (size_t i = 0; i < store_nrows(r, authzs); i++)
		if (store_get_int(r, authzs, i, ADMIN_ORDER_AUTHZS_BUSY) != 0)
			decide_pending(&d, r, authzs, i);
	json_close(w);
}
