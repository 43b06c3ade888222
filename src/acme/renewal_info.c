/* SPDX-License-Identifier: ISC */
/*
 * Renewal information, RFC 9773: when a certificate should be renewed.
 *
 *	GET renewal-info/CERTID
 *
 * The window lies where the profile says in the life of the certificate, moved
 * a little by a hash of its serial, so that what was issued together is not
 * renewed together, and the answer is the same for ever. A revoked certificate
 * gets a window that has passed: renew now. One that an operator has marked
 * gets the window of the mark.
 *
 * Nobody signs these requests, so they cost little: answers are kept for four
 * seconds in a table of fixed size, and few questions wait for the store at
 * one time. An answer from the table may not know of a revocation or a mark in
 * that time; clients ask every few hours.
 */
#include "acme/acme_int.h"

#include <stdlib.h>

#include <openssl/sha.h>

#include "base/when.h"
#include "issuer/policy.h"
#include "metrics/metrics.h"
#include "pki/certid.h"

enum {
	KEPT = 4096,          /* answers */
	KEPT_MAX = 4,         /* seconds */
	NAME_MAX_LEN = 300,   /* profile and certificate id */
	LOADING_MAX = 64,     /* questions to the store at one time */
	RETRY_PART = 10,      /* ask at least so often in a lifetime */
	REVOKED_BEFORE = 3600 /* seconds: length of a window that has passed */
};

/* What the store says of one certificate. */
struct renewal {
	bool found;
	int64_t not_before, not_after, revoked_at;
	int64_t renew_start, renew_end; /* 0: not marked */
	char serial[2 * 20 + 3];
};

struct kept {
	char name[NAME_MAX_LEN]; /* profile, a space, certificate id */
	size_t n;
	int64_t loaded; /* loop_mono */
	struct renewal renewal;
};

struct renewals {
	struct kept kept[KEPT];
	unsigned loading;
};

struct asking {
	struct str name, aki;
	struct renewal renewal;
	struct renewals *all;
};

struct renewals *
renewals_new(void)
{
	struct renewals *r = calloc(1, sizeof(*r));

	if (r == NULL)
		abort();
	return r;
}

void
renewals_free(struct renewals *r)
{
	free(r);
}

/* ---- the window */

static struct policy_window
window_of(const struct areq *q, const struct renewal *r)
{
	const struct conf_profile *p = q->profile->conf;

	if (r->revoked_at != 0)
		return (struct policy_window){
			.start = r->revoked_at - REVOKED_BEFORE * WHEN_SECOND,
			.end = r->revoked_at,
		};
	if (r->renew_start != 0)
		return (struct policy_window){
			.start = r->renew_start,
			.end = r->renew_end < r->not_after ||
				r->renew_start >= r->not_after ?
			    r->renew_end :
			    r->not_after,
		};
	return policy_renewal_window(r->not_before, r->not_after, p->renewal_at,
	    p->renewal_window, str_from(r->serial));
}

static enum step
reply(struct areq *q, const struct renewal *r)
{
	const struct conf_profile *p = q->profile->conf;
	struct json_writer *w = json_writer_new(q->arena, 4096);
	struct policy_window win;
	int64_t retry;

	metrics_count(FAMILY_renewal_infos,
	    !r->found               ? "unknown" :
		r->revoked_at != 0  ? "revoked" :
		r->renew_start != 0 ? "marked" :
				      "window");
	if (!r->found)
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_NOT_FOUND,
			"this profile has issued no such certificate"));
	win = window_of(q, r);
	json_open_object(w, NULL);
	json_open_object(w, "suggestedWindow");
	json_str(w, "start", when_rfc3339(q->arena, win.start));
	json_str(w, "end", when_rfc3339(q->arena, win.end));
	json_close(w);
	if ((r->revoked_at != 0 || r->renew_start != 0) &&
	    p->renewal_explanation.text.p != NULL)
		json_str(w, "explanationURL", p->renewal_explanation.text);
	json_close(w);
	retry = (r->not_after - r->not_before) / RETRY_PART;
	if (retry > p->renewal_retry)
		retry = p->renewal_retry;
	req_add_header(q->req, "Retry-After",
	    str_printf(q->arena, "%lld", (long long)(retry / WHEN_SECOND)));
	return acme_reply(q, 200, w);
}

/* ---- what is kept */

static struct kept *
place_of(struct renewals *all, struct str name)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	uint32_t n;

	SHA256((const uint8_t *)name.p, name.n, hash);
	memcpy(&n, hash, sizeof(n));
	return &all->kept[n % KEPT];
}

static void
keep(struct areq *q, const struct asking *s)
{
	struct kept *k = place_of(s->all, s->name);

	memcpy(k->name, s->name.p, s->name.n);
	k->n = s->name.n;
	k->loaded = loop_mono(q->acme->loop);
	k->renewal = s->renewal;
}

/* ---- asking the store */

static void
end_loading(void *arg)
{
	((struct renewals *)arg)->loading--;
}

/* Of the rows with this serial, the one that this key has signed. */
static void
read_row(struct areq *q, struct asking *s, const struct store_result *r,
    size_t row)
{
	struct renewal *out = &s->renewal;
	struct str serial = store_get_str(r, 0, row, RENEWAL_FIND_SERIAL);
	struct pki_cert cert;

	if (pki_parse_cert(q->arena, store_get_str(r, 0, row, RENEWAL_FIND_DER),
		&cert) != NULL ||
	    !str_eq(cert.aki, s->aki) || serial.n >= sizeof(out->serial))
		return;
	out->found = true;
	out->not_before = store_get_int(r, 0, row, RENEWAL_FIND_NOT_BEFORE);
	out->not_after = store_get_int(r, 0, row, RENEWAL_FIND_NOT_AFTER);
	out->revoked_at = store_get_int(r, 0, row, RENEWAL_FIND_REVOKED_AT);
	out->renew_start = store_get_int(r, 0, row, RENEWAL_FIND_RENEW_START);
	out->renew_end = store_get_int(r, 0, row, RENEWAL_FIND_RENEW_END);
	memcpy(out->serial, serial.p, serial.n);
	out->serial[serial.n] = '\0';
}

static enum step
on_found(void *arg, const struct store_result *r)
{
	struct areq *q = arg;
	struct asking *s = q->state;

	if (r->status != STORE_OK)
		return acme_fail(q, r->problem);
	for (size_t i = 0; i < store_nrows(r, 0); i++)
		read_row(q, s, r, i);
	keep(q, s);
	return reply(q, &s->renewal);
}

static enum step
load(struct areq *q, struct asking *s, struct str serial)
{
	struct problem *pr;
	struct batch *b;

	if (s->all->loading >= LOADING_MAX) {
		pr = problem_cause(q->arena, PROBLEM_UNAVAILABLE,
		    "too many questions about renewals at one time");
		pr->retry_after = 5;
		return acme_fail(q, pr);
	}
	s->all->loading++;
	arena_defer(q->arena, end_loading, s->all);
	q->state = s;
	b = store_new_batch(q->acme->store, &q->req->task, serial);
	store_add(b, SQL_RENEWAL_FIND);
	store_str(b, serial);
	store_str(b, q->profile->name);
	return store_send_batch(b, on_found, q);
}

static enum step
renewal_info_start(struct areq *q)
{
	struct str id = q->req->params[q->req->params[1].n > 0 ? 1 : 0], serial;
	struct asking *s = arena_new(q->arena, struct asking);
	const struct kept *k;

	if (!pki_parse_cert_id(q->arena, id, &s->aki, &serial))
		return acme_fail(q,
		    problem_new(q->arena, PROBLEM_MALFORMED,
			"\"" STR_FMT "\" is no certificate identifier "
			"(RFC 9773 section 4.1)",
			STR_ARG(str_show(q->arena, id, 100))));
	s->all = q->acme->renewals;
	s->name = str_join(q->arena, q->profile->name, STR(" "), id);
	k = place_of(s->all, s->name);
	if (str_eq(str_make(k->name, k->n), s->name) &&
	    loop_mono(q->acme->loop) - k->loaded < KEPT_MAX * WHEN_SECOND)
		return reply(q, &k->renewal);
	return load(q, s, serial);
}

const struct acme_route renewal_info_route = {
	.http = { .methods = REQ_GET | REQ_HEAD,
	    .path = "/renewal-info/:certificate",
	    .name = "renewal-info",
	    .start = acme_start },
	.auth = AUTH_NONE,
	.start = renewal_info_start,
};
