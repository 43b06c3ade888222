/* SPDX-License-Identifier: ISC */
/*
 * Who signs answers of OCSP: for each local issuer a delegated responder (RFC
 * 6960 section 4.2.2.2) with a key of its own.
 *
 *	look	is there none, or is half of its life over?
 *	record	serial, validity and key of the next one, in the store
 *	make	the CA signs it; answers are signed by it from now on
 *
 * Each process has its own, in memory: no key lies anywhere, none is shared,
 * and since an answer brings the certificate with it, nobody need know which
 * replica gave it. A process that ends takes the key with it. What was signed
 * stays good, as no answer is good for longer than its certificate.
 */
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "audit/audit.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "responder/responder_int.h"

enum { DETAIL_MAX = 512 };

static const int64_t LOOK = 10 * WHEN_SECOND; /* at most: the clock may jump */
static const int64_t RETRY = 5 * WHEN_SECOND;
static const int64_t MARGIN = WHEN_SECOND;

/* A key and its certificate; all of it is in the arena. */
struct pair {
	struct arena *arena;
	struct pki_ocsp_signer signer;
	struct pki_responder_spec spec;
	int64_t begin, end; /* usec since 1970 */
	int64_t lifetime;   /* that was asked for */
};

struct delegate {
	LIST_ENTRY(delegate) entry;
	struct responder *rs;
	struct issuer *issuer; /* held */
	struct pair *pair;     /* that signs; NULL: none yet */
	struct pair *next;     /* on its way; NULL: none */
	struct task task;      /* of next */
	struct timer timer;
	bool starting; /* the start waits for it */
};

static enum step on_recorded(void *, const struct store_result *);

/* ---- pairs */

static void
free_key(void *key)
{
	EVP_PKEY_free(key);
}

static void
drop(struct pair **p)
{
	if (*p != NULL)
		arena_destroy((*p)->arena);
	*p = NULL;
}

/* NULL: the issuer has come to its end. */
static struct pair *
plan(const struct delegate *d, int64_t lifetime)
{
	struct arena *a = arena_create();
	struct pair *p = arena_new(a, struct pair);

	p->arena = a;
	p->lifetime = lifetime;
	if (!issuer_plan_validity(d->issuer, loop_wall(d->rs->options.loop),
		lifetime, &p->begin, &p->end)) {
		arena_destroy(a);
		return NULL;
	}
	p->signer.key = pki_generate_key(PKI_P256);
	arena_defer(a, free_key, p->signer.key);
	p->signer.spki = pki_write_spki(a, p->signer.key);
	p->spec = (struct pki_responder_spec){
		.cn = str_printf(a, "OCSP responder of %s", d->issuer->name),
		.spki = p->signer.spki,
		.not_before = p->begin / WHEN_SECOND,
		.not_after = p->end / WHEN_SECOND,
	};
	pki_random_serial(p->spec.serial);
	return p;
}

static bool
is_usable(const struct pair *p, int64_t now)
{
	return p != NULL && now >= p->begin && now < p->end - MARGIN;
}

/* When the next one is to be made. One that ends with its CA is the last. */
static int64_t
due_at(const struct delegate *d, int64_t now, int64_t lifetime)
{
	const struct pair *p = d->pair;

	if (!is_usable(p, now) || p->lifetime != lifetime)
		return now;
	if (p->end / WHEN_SECOND >= issuer_local_ca(d->issuer)->cert.not_after)
		return INT64_MAX;
	return p->begin + (p->end - p->begin) / 2;
}

/* ---- making one */

/* The start goes on, whatever became of it. */
static void
end_start(struct delegate *d)
{
	struct responder *rs = d->rs;

	if (!d->starting)
		return;
	d->starting = false;
	if (--rs->starting == 0 && rs->started != NULL)
		rs->started(rs->started_arg);
}

static void
fail(struct delegate *d, const char *why)
{
	metrics_add(METRIC_ocsp_responder_failures, 1);
	log_warn("while making a responder of OCSP",
	    LOG_TEXT("issuer", d->issuer->name), LOG_TEXT("cause", why));
	drop(&d->next);
	timer_start(&d->timer, RETRY);
	end_start(d);
}

static struct str
describe(struct arena *a, const struct pki_responder_spec *s)
{
	struct json_writer *w = json_writer_new(a, DETAIL_MAX);
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)s->spki.p, s->spki.n, hash);
	json_open_object(w, NULL);
	json_int(w, "notBefore", s->not_before);
	json_int(w, "notAfter", s->not_after);
	json_str(w, "keyHash", hex_encode(a, str_make(hash, sizeof(hash))));
	json_close(w);
	return json_text(w);
}

/* The store knows what is about to be signed. */
static void
record(struct delegate *d)
{
	const struct pki_responder_spec *s = &d->next->spec;
	struct batch *b;

	task_init(&d->task);
	b = store_new_batch(d->rs->options.store, &d->task,
	    str_from(d->issuer->name));
	audit_add(b,
	    &(struct audit_entry){
		.actor = STR("certloopd"),
		.action = "certificate.ocsp",
		.object = str_from(d->issuer->name),
		.serial = pki_serial_text(d->task.arena,
		    str_make(s->serial, sizeof(s->serial))),
		.detail = describe(d->task.arena, s),
	    });
	(void)store_send_batch(b, on_recorded, d);
}

/* Make what is missing or due; else come back when it is. */
static void
look(void *arg)
{
	struct delegate *d = arg;
	struct issuer_publishing p = issuer_local_publishing(d->issuer);
	int64_t now = loop_wall(d->rs->options.loop), due;

	if (d->next != NULL)
		return; /* it is looked again when that is done */
	if (p.ocsp_lifetime == 0 || p.responder_lifetime == 0) {
		drop(&d->pair);
		end_start(d);
		return;
	}
	due = due_at(d, now, p.responder_lifetime);
	if (due > now) {
		timer_start(&d->timer, due - now < LOOK ? due - now : LOOK);
		end_start(d);
		return;
	}
	if ((d->next = plan(d, p.responder_lifetime)) != NULL)
		record(d);
	else
		fail(d, "the issuer has come to its end");
}

static enum step
on_recorded(void *arg, const struct store_result *r)
{
	struct delegate *d = arg;
	struct pair *p = d->next;
	const char *why = NULL;

	if (r->status != STORE_OK)
		why = str_cstr(p->arena, str_from(store_cause(r)));
	task_end(&d->task);
	if (why == NULL)
		why = pki_make_responder(p->arena, issuer_local_ca(d->issuer),
		    &p->spec, &p->signer.cert);
	if (why != NULL) {
		fail(d, why);
		return STEP_DONE;
	}
	d->next = NULL;
	drop(&d->pair);
	d->pair = p;
	metrics_add(METRIC_ocsp_responders_made, 1);
	metrics_child_set(metrics_child(FAMILY_ocsp_responder_end_seconds,
			      d->issuer->name),
	    p->spec.not_after);
	log_info("made a responder of OCSP",
	    LOG_TEXT("issuer", d->issuer->name),
	    LOG_STR("serial",
		pki_serial_text(p->arena,
		    str_make(p->spec.serial, sizeof(p->spec.serial)))));
	if (is_usable(p, loop_wall(d->rs->options.loop))) {
		look(d);
	} else { /* the clock stands outside the CA's life */
		timer_start(&d->timer, RETRY);
		end_start(d);
	}
	return STEP_DONE;
}

/* ---- signing */

bool
delegate_get(struct responder *rs, const struct issuer *issuer,
    struct pki_ocsp_signer *out, int64_t *end)
{
	const struct pki_ca *ca = issuer_local_ca(issuer);
	struct delegate *d;

	*end = INT64_MAX;
	*out = (struct pki_ocsp_signer){ .key = ca->key,
		.spki = ca->cert.spki,
		.cert = STR_NONE };
	if (issuer_local_publishing(issuer).responder_lifetime == 0)
		return true;
	LIST_FOREACH(d, &rs->delegates, entry)
		if (d->issuer == issuer)
			break;
	if (d == NULL || !is_usable(d->pair, loop_wall(rs->options.loop)))
		return false;
	*out = d->pair->signer;
	*end = d->pair->end;
	return true;
}

/* ---- life */

static void
add(struct responder *rs, struct issuer *issuer)
{
	struct delegate *d = calloc(1, sizeof(*d));

	if (d == NULL)
		abort();
	d->rs = rs;
	d->issuer = issuer_hold(issuer);
	d->starting = true;
	rs->starting++;
	timer_init(&d->timer, rs->options.loop, look, d);
	LIST_INSERT_HEAD(&rs->delegates, d, entry);
}

void
responder_start(struct responder *rs, responder_started_fn *fn, void *arg)
{
	struct issuer *issuer;
	struct delegate *d;

	rs->started = fn;
	rs->started_arg = arg;
	rs->starting = 1; /* so that none ends it before all are counted */
	for (size_t i = 0;
	     (issuer = rs->options.issuer_at(rs->options.arg, i)) != NULL; i++)
		if (issuer->ops->plans)
			add(rs, issuer);
	LIST_FOREACH(d, &rs->delegates, entry)
		look(d);
	if (--rs->starting == 0)
		fn(arg);
}

void
responder_look(struct responder *rs)
{
	struct delegate *d;

	if (rs->stopped)
		return;
	LIST_FOREACH(d, &rs->delegates, entry)
		look(d);
}

void
responder_stop(struct responder *rs)
{
	struct delegate *d;

	rs->stopped = true;
	LIST_FOREACH(d, &rs->delegates, entry) {
		timer_stop(&d->timer);
		if (d->next == NULL)
			continue;
		task_end(&d->task);
		drop(&d->next);
	}
}

void
delegates_free(struct responder *rs)
{
	struct delegate *d;

	responder_stop(rs);
	while ((d = LIST_FIRST(&rs->delegates)) != NULL) {
		LIST_REMOVE(d, entry);
		drop(&d->pair);
		issuer_let_go(d->issuer);
		free(d);
	}
}
