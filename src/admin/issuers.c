/* SPDX-License-Identifier: ISC */
/* The issuers of the configuration: list, show, test. */
#include "admin/admin_int.h"

#include "base/hex.h"
#include "base/when.h"
#include "issuer/issuer.h"
#include "pki/ca.h"

static const struct conf *
conf_of(const struct admin_call *c)
{
	return c->admin->hooks.conf(c->admin->hooks.arg);
}

static struct issuer *
issuer_of(const struct admin_call *c, const struct conf_issuer *ci)
{
	return c->admin->hooks.find_issuer(c->admin->hooks.arg, ci->at.name.p);
}

void
admin_write_trouble(struct arena *a, struct json_writer *w,
    const struct issuer *issuer)
{
	const char *trouble = issuer_trouble(issuer, a);

	json_str(w, "state", trouble == NULL ? STR("ok") : STR("degraded"));
	if (trouble != NULL)
		json_str(w, "trouble", str_from(trouble));
}

static void
write_profiles(struct admin_call *c, struct json_writer *w,
    const struct issuer *issuer)
{
	const struct conf *conf = conf_of(c);

	json_open_array(w, "profiles");
	for (size_t i = 0; i < conf->nprofiles; i++) {
		const struct conf_profile *p = &conf->profiles[i];

		if (c->admin->hooks.find_issuer(c->admin->hooks.arg,
			p->issuer.p) == issuer)
			json_str(w, NULL, p->at.name);
	}
	json_close(w);
}

static void
write_local(struct admin_call *c, struct json_writer *w,
    const struct issuer *issuer)
{
	const struct pki_ca *ca = issuer_local_ca(issuer);

	json_str(w, "subject", ca->cert.cn.p != NULL ? ca->cert.cn : STR(""));
	json_str(w, "key", str_from(pki_key_kind_name(ca->cert.kind)));
	json_str(w, "key_sha256",
	    hex_encode(c->arena,
		str_make(ca->spki_hash, sizeof(ca->spki_hash))));
	admin_write_time(c->arena, w, "not_after",
	    ca->cert.not_after * WHEN_SECOND);
}

static void
write_vault(struct json_writer *w, const struct conf_issuer *ci)
{
	json_str(w, "address", ci->address.text);
	json_str(w, "mount", ci->mount);
	json_str(w, "role", ci->role);
	if (ci->namespace.n > 0)
		json_str(w, "namespace", ci->namespace);
}

static void
write_issuer(struct admin_call *c, struct json_writer *w,
    const struct conf_issuer *ci, const struct issuer *issuer)
{
	json_str(w, "name", ci->at.name);
	json_str(w, "type", str_from(issuer->ops->type));
	write_profiles(c, w, issuer);
	admin_write_trouble(c->arena, w, issuer);
	if (ci->type == CONF_ISSUER_LOCAL)
		write_local(c, w, issuer);
	else
		write_vault(w, ci);
}

/* ---- GET /issuers */

static enum step
list_start(struct admin_call *c)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	const struct conf *conf = conf_of(c);

	json_open_object(w, NULL);
	json_open_array(w, "items");
	for (size_t i = 0; i < conf->nissuers; i++) {
		const struct conf_issuer *ci = &conf->issuers[i];
		const struct issuer *issuer = issuer_of(c, ci);

		if (issuer == NULL)
			continue;
		json_open_object(w, NULL);
		write_issuer(c, w, ci, issuer);
		json_close(w);
	}
	json_close(w);
	json_null(w, "next");
	json_close(w);
	return admin_reply(c, 200, w);
}

const struct admin_route admin_issuers_route = {
	.http = { .methods = REQ_GET,
	    .path = "/issuers",
	    .name = "admin-issuers",
	    .start = admin_start },
	.params = "limit", /* there are never many */
	.start = list_start,
};

/* ---- GET /issuers/:name */

/* The issuer that the path names; NULL, with the problem, if there is none. */
static struct issuer *
find(struct admin_call *c, const struct conf_issuer **ci,
    const struct problem **pr)
{
	struct str name = c->req->params[0];
	struct issuer *issuer = NULL;

	*ci = conf_find_issuer(conf_of(c), name);
	if (*ci != NULL)
		issuer = issuer_of(c, *ci);
	if (issuer == NULL)
		*pr = admin_none(c, "issuer", name);
	return issuer;
}

static void
write_certificate(struct admin_call *c, struct json_writer *w,
    const struct pki_cert *cert)
{
	json_open_object(w, NULL);
	json_str(w, "subject", cert->cn.p != NULL ? cert->cn : STR(""));
	admin_write_time(c->arena, w, "not_before",
	    cert->not_before * WHEN_SECOND);
	admin_write_time(c->arena, w, "not_after",
	    cert->not_after * WHEN_SECOND);
	json_str(w, "pem", pki_write_pem(c->arena, "CERTIFICATE", cert->der));
	json_close(w);
}

static void
write_chain(struct admin_call *c, struct json_writer *w,
    const struct pki_ca *ca)
{
	struct pki_cert cert;

	json_open_array(w, "chain");
	for (size_t i = 0; i < ca->nchain; i++)
		if (pki_parse_cert(c->arena, ca->chain[i], &cert) == NULL)
			write_certificate(c, w, &cert);
	json_close(w);
}

static enum step
show_start(struct admin_call *c)
{
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	const struct conf_issuer *ci;
	const struct problem *pr;
	const struct issuer *issuer = find(c, &ci, &pr);

	if (issuer == NULL)
		return admin_fail(c, pr);
	json_open_object(w, NULL);
	write_issuer(c, w, ci, issuer);
	if (ci->type == CONF_ISSUER_LOCAL)
		write_chain(c, w, issuer_local_ca(issuer));
	json_close(w);
	return admin_reply(c, 200, w);
}

const struct admin_route admin_issuer_route = {
	.http = { .methods = REQ_GET,
	    .path = "/issuers/:name",
	    .name = "admin-issuer",
	    .start = admin_start },
	.start = show_start,
};

/* ---- POST /issuers/:name/test */

struct testing {
	struct issuer *issuer;
	int64_t began; /* loop_mono */
};

static void
on_tested(void *arg, const struct issuer_result *r)
{
	struct admin_call *c = arg;
	struct testing *t = c->state;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);
	struct str found = str_from(r->found);

	if (r->problem != NULL)
		found = problem_reason(r->problem);
	json_open_object(w, NULL);
	json_str(w, "issuer", str_from(t->issuer->name));
	json_bool(w, "ok", r->problem == NULL);
	if (r->problem != NULL)
		json_str(w, "class", str_from(issuer_class_name(r->class)));
	else
		json_null(w, "class");
	json_str(w, "found", found);
	json_int(w, "took_ms", (loop_mono(c->admin->loop) - t->began) / 1000);
	json_close(w);
	(void)admin_reply(c, 200, w);
}

static enum step
test_start(struct admin_call *c)
{
	struct testing *t = arena_new(c->arena, struct testing);
	const struct conf_issuer *ci;
	const struct problem *pr;

	if ((t->issuer = find(c, &ci, &pr)) == NULL)
		return admin_fail(c, pr);
	if (t->issuer->ops->test == NULL)
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"an issuer of type %s cannot be tested",
			t->issuer->ops->type));
	c->state = t;
	t->began = loop_mono(c->admin->loop);
	arena_defer(c->arena, issuer_let_go, issuer_hold(t->issuer));
	issuer_test(t->issuer, &c->req->task, on_tested, c);
	return STEP_WAITING;
}

const struct admin_route admin_issuer_test_route = {
	.http = { .methods = REQ_POST,
	    .path = "/issuers/:name/test",
	    .name = "admin-issuer-test",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = test_start,
};
