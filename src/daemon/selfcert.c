/* SPDX-License-Identifier: ISC */
/*
 * Certificates for the daemon's own listeners, from its own first local issuer,
 * where the configuration names none. The key lives in memory only. As
 * everything that is signed, the certificate is known to the store first: an
 * audit row with serial and names. Made anew when a third of its life is left,
 * earlier by jitter; after a failure with the back-off of cert loops.
 *
 * It is no cert loop with a row, as it must be there before anything is
 * served, belongs to one process, and is made anew by the next one: nothing of
 * it is worth keeping. Nor is there anybody to ask whether it was revoked, so
 * it says so (RFC 9608): its key dies with the process.
 */
#include "daemon/daemon.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "audit/audit.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/when.h"
#include "certloops/schedule.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { SELF_DAYS = 30 };

/* One certificate on its way; its task's arena holds it. */
struct selfcert {
	LIST_ENTRY(selfcert) entry; /* d->selfcerts */
	struct daemon *d;
	struct daemon_listener *l;
	struct task task;
	void (*done)(struct daemon *);
	EVP_PKEY *key;
	struct pki_names names;
	struct issuer_request rq;
};

static void on_renew(void *);
static enum step on_recorded(void *, const struct store_result *);
static void on_signed(void *, const struct issuer_result *);

static void
free_key(void *key)
{
	EVP_PKEY_free(key);
}

static void
add_name(struct arena *a, struct pki_names *n, struct str name)
{
	struct addr ip;

	if (addr_parse(name, &ip))
		n->ips[n->nips++] = ip;
	else if (pki_check_dns_name(str_lower(a, name), true) == NULL)
		n->dns[n->ndns++] = str_lower(a, name);
}

/* The listener's names, the public URL's host, and where it listens. */
static void
gather_names(struct selfcert *s)
{
	const struct conf_listener *c = s->l->conf;
	struct arena *a = s->task.arena;
	size_t most = c->names.n + 5;
	bool local = c->address.addr.len > 0 &&
	    addr_is_loopback(c->address.addr);
	struct str host = str_skip(s->d->public_url,
	    str_starts(s->d->public_url, STR("https://")) ? 8 : 7);

	s->names.dns = arena_array(a, struct str, most);
	s->names.ips = arena_array(a, struct addr, most);
	for (size_t i = 0; i < c->names.n; i++)
		add_name(a, &s->names, c->names.v[i]);
	host = str_cut(&host, '/');
	if (host.n > 0 && host.p[0] == '[') {
		host = str_skip(host, 1);
		add_name(a, &s->names, str_cut(&host, ']'));
	} else {
		add_name(a, &s->names, str_cut(&host, ':'));
	}
	if (c->address.addr.len > 0)
		add_name(a, &s->names, addr_text(a, c->address.addr));
	if (local) {
		add_name(a, &s->names, STR("localhost"));
		add_name(a, &s->names, STR("127.0.0.1"));
		add_name(a, &s->names, STR("::1"));
	}
	pki_names_sort(&s->names);
}

/* ---- when */

/* When the first of them is due; the clock may jump meanwhile. */
static void
start_timer(struct daemon *d)
{
	int64_t wait = WHEN_DAY;

	for (size_t i = 0; i < d->nlisteners; i++) {
		const struct daemon_listener *l = &d->listeners[i];
		int64_t left = l->self_next - loop_wall(d->loop);

		if (l->self && left < wait)
			wait = left > WHEN_SECOND ? left : WHEN_SECOND;
	}
	timer_start(&d->renew, wait);
}

static bool
is_being_made(const struct daemon *d, const struct daemon_listener *l)
{
	const struct selfcert *s;

	LIST_FOREACH(s, &d->selfcerts, entry)
		if (s->l == l)
			return true;
	return false;
}

/* ---- making one */

/* Is it over for this listener, well or not? */
static void
finish(struct selfcert *s, const char *problem)
{
	struct daemon *d = s->d;
	void (*done)(struct daemon *) = s->done;
	struct daemon_listener *l = s->l;
	int64_t now = loop_wall(d->loop);

	if (problem == NULL) {
		metrics_child_set(
		    metrics_child(FAMILY_listener_certificate_end_seconds,
			l->conf->at.name.p),
		    s->rq.not_after / WHEN_SECOND);
		l->self_failures = 0;
		l->self_next = schedule_renewal(s->rq.not_before,
		    s->rq.not_after, id_draw());
		if (l->self_next < now + WHEN_MINUTE) /* the CA ends soon */
			l->self_next = now + WHEN_MINUTE;
	} else {
		l->self_next = now +
		    schedule_backoff(++l->self_failures, id_draw());
		log_error("while making a certificate for ourselves",
		    LOG_STR("listener", s->l->conf->at.name),
		    LOG_TEXT("cause", problem));
		if (!d->ready && !d->stopping)
			daemon_fail(d, EXIT_FAILED,
			    "cannot make a certificate for ourselves", problem);
	}
	LIST_REMOVE(s, entry);
	task_end(&s->task);
	start_timer(d);
	if (done != NULL && --d->waiting == 0 && problem == NULL)
		done(d);
}

static void
start_one(struct daemon *d, struct daemon_listener *l,
    void (*done)(struct daemon *))
{
	struct arena *a = arena_create();
	struct selfcert *s = arena_new(a, struct selfcert);
	struct batch *b;
	int64_t begin, end;

	task_init_in(&s->task, a);
	s->d = d;
	s->l = l;
	s->done = done;
	LIST_INSERT_HEAD(&d->selfcerts, s, entry);
	s->key = pki_generate_key(PKI_P256);
	arena_defer(a, free_key, s->key);
	gather_names(s);
	if (s->names.ndns + s->names.nips == 0 ||
	    !issuer_plan_validity(issuers_local(d), loop_wall(d->loop),
		SELF_DAYS * WHEN_DAY, &begin, &end)) {
		finish(s,
		    s->names.ndns + s->names.nips == 0 ?
			"there is no name to put into it: set names" :
			"the issuer has expired");
		return;
	}
	s->rq = (struct issuer_request){
		.spki = pki_write_spki(a, s->key),
		.names = &s->names,
		.kind = PKI_P256,
		.not_before = begin,
		.not_after = end,
		.max_lifetime = SELF_DAYS * WHEN_DAY,
		.eku = PKI_EKU_SERVER,
		.no_rev_avail = true,
	};
	pki_random_serial(s->rq.serial);
	b = store_new_batch(d->store, &s->task, STR("daemon"));
	audit_add(b,
	    &(struct audit_entry){
		.actor = STR("certloopd"),
		.action = "certificate.self",
		.object = l->conf->at.name,
		.serial = hex_encode(a,
		    str_make(s->rq.serial, sizeof(s->rq.serial))),
	    });
	(void)store_send_batch(b, on_recorded, s);
}

static enum step
on_recorded(void *arg, const struct store_result *r)
{
	struct selfcert *s = arg;
	struct issuer *issuer = issuers_local(s->d);

	if (r->status != STORE_OK) {
		finish(s, store_cause(r));
		return STEP_DONE;
	}
	issuer_sign(issuer, &s->task, &s->rq, on_signed, s);
	return STEP_WAITING;
}

static struct str
key_pem(struct arena *a, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const uint8_t *p = NULL;
	struct str pem = STR_NONE;
	size_t n = 0;

	if (bio != NULL &&
	    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL,
		NULL) == 1 &&
	    BIO_mem_contents(bio, &p, &n) == 1)
		pem = str_dup(a, str_make(p, n));
	BIO_free(bio);
	return pem;
}

static void
on_signed(void *arg, const struct issuer_result *r)
{
	struct selfcert *s = arg;
	struct arena *a = s->task.arena;
	const char *why = NULL;
	struct str chain;

	if (r->problem != NULL) {
		finish(s, str_cstr(a, problem_reason(r->problem)));
		return;
	}
	chain = str_printf(a, STR_FMT STR_FMT,
	    STR_ARG(pki_write_pem(a, "CERTIFICATE", r->der)),
	    STR_ARG(r->chain_pem));
	if (!tls_server_set_pair(s->l->tls, "self", chain, key_pem(a, s->key),
		a, &why)) {
		finish(s, why);
		return;
	}
	finish(s, NULL);
}

static void
on_renew(void *arg)
{
	struct daemon *d = arg;

	for (size_t i = 0; i < d->nlisteners; i++) {
		struct daemon_listener *l = &d->listeners[i];

		if (l->self && l->self_next <= loop_wall(d->loop) &&
		    !is_being_made(d, l))
			start_one(d, l, NULL);
	}
	start_timer(d);
}

void
selfcert_start(struct daemon *d, void (*done)(struct daemon *))
{
	timer_init(&d->renew, d->loop, on_renew, d);
	d->waiting = 1; /* so that none finishes before all are counted */
	for (size_t i = 0; i < d->nlisteners; i++) {
		if (!d->listeners[i].self)
			continue;
		d->waiting++;
		start_one(d, &d->listeners[i], done);
	}
	if (--d->waiting == 0)
		done(d);
}

void
selfcert_stop(struct daemon *d)
{
	struct selfcert *s;

	while ((s = LIST_FIRST(&d->selfcerts)) != NULL) {
		LIST_REMOVE(s, entry);
		task_end(&s->task);
	}
}
