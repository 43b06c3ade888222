/* SPDX-License-Identifier: ISC */
/*
 * The Vault issuer: certificates from the PKI secrets engine of HashiCorp
 * Vault or OpenBao. Nothing is planned: serial and validity are Vault's.
 *
 *	sign		POST MOUNT/sign/ROLE, once
 *	answer		judged (vault_call.c) and checked (vault_check.c)
 *
 * How a request goes out and its answer comes back: vault_work.c.
 */
#include "issuer/vault_int.h"

#include <stdlib.h>

#include <openssl/sha.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { CN_MAX = 64, BODY_MAX = 1 << 18 };

/* ---- signing */

/* The names of one kind, parted by commas. */
static struct str
join_names(struct arena *a, const struct pki_names *names, bool ips)
{
	struct buf b = buf_new(a, BODY_MAX);

	for (size_t i = 0; i < (ips ? names->nips : names->ndns); i++) {
		if (i > 0)
			buf_char(&b, ',');
		buf_str(&b, ips ? addr_text(a, names->ips[i]) : names->dns[i]);
	}
	return b.full ? STR_NONE : buf_view(&b);
}

/*
 * Vault adds the time before now to what we ask for, and RFC 5280 counts both
 * ends in: so that all of it is no more than the profile allows, ask for less.
 */
static int64_t
ttl_seconds(const struct vault *v, int64_t max_lifetime)
{
	int64_t ttl = max_lifetime - v->backdate - WHEN_SECOND;

	if (v->ttl > 0 && v->ttl < ttl)
		ttl = v->ttl;
	return ttl / WHEN_SECOND;
}

/*
 * A role may insist on a common name, so there is one where a name fits; that
 * it is also among the names we say ourselves.
 */
static struct str
write_body(struct arena *a, const struct issuer_request *rq, int64_t ttl)
{
	struct json_writer *w = json_writer_new(a, BODY_MAX);
	struct str cn = rq->cn;

	if (cn.n == 0 && rq->names->ndns > 0 && rq->names->dns[0].n <= CN_MAX)
		cn = rq->names->dns[0];
	json_open_object(w, NULL);
	json_str(w, "csr", pki_write_pem(a, "CERTIFICATE REQUEST", rq->csr));
	if (cn.n > 0)
		json_str(w, "common_name", cn);
	if (rq->names->ndns > 0)
		json_str(w, "alt_names", join_names(a, rq->names, false));
	if (rq->names->nips > 0)
		json_str(w, "ip_sans", join_names(a, rq->names, true));
	json_bool(w, "exclude_cn_from_sans", true);
	json_str(w, "ttl", str_printf(a, "%llds", (long long)ttl));
	json_str(w, "format", STR("pem"));
	json_close(w);
	return json_text(w);
}

static void
copy_order(struct arena *a, struct vault_order *o,
    const struct issuer_request *rq)
{
	o->spki = str_dup(a, rq->spki);
	o->max_lifetime = rq->max_lifetime;
	o->eku = rq->eku;
	o->names = pki_names_copy(a, rq->names);
}

static void
set_chain_id(struct vault_work *w)
{
	struct issuer_result *r = &w->result;
	uint8_t hash[32];

	SHA256((const uint8_t *)r->chain_pem.p, r->chain_pem.n, hash);
	r->chain_id = hex_encode(w->task.arena, str_make(hash, 32)).p;
}

static void
on_signed(void *arg, const struct fetch_result *r)
{
	struct vault_work *w = arg;
	struct arena *a = w->task.arena;
	struct vault_failure f = vault_judge(a, r);
	bool is_answer = true;

	if (vault_work_is_sent_again(w, &f))
		return;
	if (f.class == ISSUER_OK &&
	    !vault_check(a, r->body, &w->order, loop_wall(w->loop), &w->result,
		&is_answer, &f.text)) {
		f.class = is_answer ? ISSUER_VALIDATION : ISSUER_OTHER;
		f.uncertain = !is_answer;
		f.text = str_printf(a,
		    "while checking the certificate%s" STR_FMT ": %s",
		    w->result.serial.n > 0 ? " " : "",
		    STR_ARG(w->result.serial), f.text)
			     .p;
	}
	if (f.class == ISSUER_OK)
		set_chain_id(w);
	else
		vault_work_fail(w, &f);
	vault_work_tell(w);
}

/* ---- what an attempt before may have made */

/* Neither their clock nor ours is quite right. */
#define SEARCH_SLACK WHEN_MINUTE

static void
count_search(const struct vault_work *w, const char *outcome)
{
	metrics_count(FAMILY_issuer_searches, w->name, outcome);
}

static void
take_found(struct vault_work *w, const struct vault_found *found)
{
	struct arena *a = w->task.arena;
	struct vault_failure f = { .class = ISSUER_OK };
	bool is_answer;

	count_search(w, "found");
	if (!vault_check(a, vault_write_found(a, found), &w->order,
		loop_wall(w->loop), &w->result, &is_answer, &f.text)) {
		f.class = ISSUER_VALIDATION;
		vault_work_fail(w, &f);
	} else {
		set_chain_id(w);
	}
	log_info("vault had signed what it did not answer",
	    LOG_TEXT("issuer", w->name), LOG_STR("serial", w->result.serial));
	vault_work_tell(w);
}

static void
on_found(void *arg, const struct vault_found *found)
{
	struct vault_work *w = arg;
	struct vault_failure f = found->failure;

	w->searching = false;
	if (f.class != ISSUER_OK) {
		/* it is as uncertain as before, and no more */
		f.uncertain = false;
		f.again = true;
		count_search(w, "failed");
		vault_work_fail(w, &f);
		vault_work_tell(w);
	} else if (found->pem.n > 0) {
		take_found(w, found);
	} else if (w->look_only) {
		count_search(w, found->blind ? "blind" : "absent");
		f = (struct vault_failure){ .class = ISSUER_OTHER,
			.uncertain = true,
			.text = "it has no certificate that was made before" };
		vault_work_fail(w, &f);
		w->result.absent = !found->blind;
		vault_work_tell(w);
	} else {
		count_search(w, found->blind ? "blind" : "absent");
		vault_work_send(w);
	}
}

static void
search(struct vault_work *w, int64_t since)
{
	struct vault *v = w->vault;
	struct vault_search s = { .client = &v->client,
		.task = &w->task,
		.name = w->name,
		.mount = v->mount,
		.spki = w->order.spki,
		.names = &w->order.names,
		.since = (since - v->backdate - SEARCH_SLACK) / WHEN_SECOND,
		.timeout = v->timeout,
		.fn = on_found,
		.arg = w };
	struct str token = vault_token_get(v->token);

	if (v->stopped || token.n == 0) {
		vault_work_refuse(w, v->stopped ? ISSUER_NETWORK : ISSUER_AUTH,
		    v->stopped ? "it has been stopped" :
				 "there is no vault token yet");
		return;
	}
	if (v->seen == NULL)
		v->seen = vault_seen_new();
	s.seen = v->seen;
	w->searching = true;
	vault_find(&s, token);
}

/* ---- signing */

static void
vault_sign(struct issuer *issuer, struct task *t,
    const struct issuer_request *rq, issuer_fn *fn, void *arg)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct vault_work *w = vault_work_new(v, t, fn, arg);
	struct arena *a = w->task.arena;
	int64_t ttl = ttl_seconds(v, rq->max_lifetime);

	if (rq->must_staple || rq->no_rev_avail) {
		vault_work_refuse(w, ISSUER_OTHER,
		    "Vault's role decides what its certificates say about "
		    "revocation");
		return;
	}
	w->body = write_body(a, rq, ttl);
	if (ttl <= 0 || w->body.p == NULL) {
		vault_work_refuse(w, ISSUER_OTHER,
		    ttl <= 0 ? "the lifetime of the profile is too short" :
			       "the request is out of bounds");
		return;
	}
	copy_order(a, &w->order, rq);
	w->path = str_printf(a, STR_FMT "/sign/" STR_FMT, STR_ARG(v->mount),
	    STR_ARG(v->role));
	w->on_answer = on_signed;
	w->look_only = rq->look_only;
	if (rq->since != 0)
		search(w, rq->since);
	else
		vault_work_send(w);
}

/* ---- revoking */

/* As Vault writes serials: a colon between each two digits. */
static bool
write_serial(struct arena *a, struct str serial, struct str *out)
{
	struct buf b = buf_new(a, 128);
	struct str raw;

	if (serial.n == 0 || !hex_decode(a, serial, &raw))
		return false;
	for (size_t i = 0; i < serial.n; i += 2) {
		if (i > 0)
			buf_char(&b, ':');
		buf_put(&b, serial.p + i, 2);
	}
	*out = buf_view(&b);
	return !b.full;
}

static void
on_revoked(void *arg, const struct fetch_result *r)
{
	struct vault_work *w = arg;
	struct vault_failure f = vault_judge(w->task.arena, r);

	if (vault_work_is_sent_again(w, &f))
		return;
	f.uncertain = false; /* to revoke once more does no harm */
	if (f.class != ISSUER_OK)
		vault_work_fail(w, &f);
	vault_work_tell(w);
}

static void
vault_revoke(struct issuer *issuer, struct task *t, struct str serial,
    issuer_fn *fn, void *arg)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct vault_work *w = vault_work_new(v, t, fn, arg);
	struct arena *a = w->task.arena;
	struct json_writer *body = json_writer_new(a, 1024);
	struct str text;

	if (!write_serial(a, serial, &text)) {
		vault_work_refuse(w, ISSUER_OTHER,
		    "that is not the text of a serial");
		return;
	}
	json_open_object(body, NULL);
	json_str(body, "serial_number", text);
	json_close(body);
	w->body = json_text(body);
	w->path = str_printf(a, STR_FMT "/revoke", STR_ARG(v->mount));
	w->on_answer = on_revoked;
	vault_work_send(w);
}

/* ---- testing */

/* "the token lives 3600 s more and can be renewed" */
static const char *
describe_token(struct arena *a, struct str body)
{
	const struct json *data = json_get(json_parse(a, body, NULL), "data");
	const struct json *ttl = json_get(data, "ttl");
	const struct json *renewable = json_get(data, "renewable");

	if (ttl == NULL || ttl->type != JSON_INT)
		return NULL;
	if (ttl->num == 0)
		return "it answers, and the token does not expire";
	return str_printf(a,
	    "it answers, and the token lives %lld s more and can%s be renewed",
	    (long long)ttl->num,
	    renewable != NULL && renewable->type == JSON_BOOL &&
		    renewable->num ?
		"" :
		"not")
	    .p;
}

static void
on_tested(void *arg, const struct fetch_result *r)
{
	struct vault_work *w = arg;
	struct vault_failure f = vault_judge(w->task.arena, r);

	w->call = NULL;
	f.uncertain = false;
	if (f.class == ISSUER_OK) {
		w->result.found = describe_token(w->task.arena, r->body);
		if (w->result.found == NULL) {
			f.class = ISSUER_OTHER;
			f.text = "the answer about the token makes no sense";
		}
	}
	if (f.class != ISSUER_OK)
		vault_work_fail(w, &f);
	vault_work_tell(w);
}

static void
vault_test(struct issuer *issuer, struct task *t, issuer_fn *fn, void *arg)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct vault_work *w = vault_work_new(v, t, fn, arg);

	w->path = STR("auth/token/lookup-self");
	w->body = STR_NONE;
	w->on_answer = on_tested;
	vault_work_send(w);
}

static const char *
vault_trouble(const struct issuer *issuer, struct arena *a)
{
	const struct vault *v = (const struct vault *)(const void *)issuer;

	return vault_token_trouble(v->token, a);
}

/* ---- start and stop */

static void
vault_start(struct issuer *issuer)
{
	struct vault *v = (struct vault *)(void *)issuer;

	v->stopped = false;
	vault_token_start(v->token);
}

static void
vault_stop(struct issuer *issuer)
{
	struct vault *v = (struct vault *)(void *)issuer;

	v->stopped = true;
	vault_token_stop(v->token);
	vault_works_stop(v);
}

static void
vault_free(struct issuer *issuer)
{
	struct vault *v = (struct vault *)(void *)issuer;

	vault_works_leave(v);
	vault_token_free(v->token);
	free(v->seen);
	arena_destroy(v->arena);
}

const struct issuer_ops vault_ops = {
	.type = "vault",
	.plans = false,
	.start = vault_start,
	.stop = vault_stop,
	.sign = vault_sign,
	.revoke = vault_revoke,
	.test = vault_test,
	.trouble = vault_trouble,
	.free = vault_free,
};
