/* SPDX-License-Identifier: ISC */
/*
 * One attempt of a loop to obtain its certificate.
 *
 *	key	an RSA key is made in a child process, others at once
 *	claim	key, serial and validity are durable, the lease is ours
 *	sign	the issuer's work, 300 s at most; the lease is lengthened
 *	store	pair, certificate row and audit row: one batch
 *	  or fail	when to try again, and why
 *
 * A claim that was taken over, or whose loop was changed or stopped, cannot
 * store anything: the attempt's number has moved on. What is written in the
 * end: attempt_store.c.
 */
#include "certloops/attempt.h"

#include <string.h>

#include "base/hex.h"
#include "base/id.h"
#include "base/when.h"
#include "certloops/keymaker.h"
#include "issuer/policy.h"
#include "log/log.h"
#include "metrics/metrics.h"

/*
 * Key and serial of an attempt that nobody finished are used again, unless
 * they have become old.
 */
#define PENDING_LIFE WHEN_HOUR

/* Where no validity was planned; then it is looked for as a stray. */
#define PENDING_LIFE_REMOTE (2 * WHEN_DAY)

static enum step on_claimed(void *, const struct store_result *);
static void on_signed(void *, const struct issuer_result *);
static void on_extend(void *);
static void on_limit(void *);
static void on_rested(void *);

/* ---- ends */

void
attempt_end(struct attempt *t)
{
	struct certloops *cl = t->cl;

	timer_stop(&t->limit);
	timer_stop(&t->extend);
	timer_stop(&t->next);
	LIST_REMOVE(t, entry);
	cl->nattempts--;
	task_end(&t->task);
	if (cl->more)
		certloops_wake(cl);
}

void
attempt_stop_all(struct certloops *cl)
{
	while (!LIST_EMPTY(&cl->attempts))
		attempt_end(LIST_FIRST(&cl->attempts));
}

int64_t
attempt_now(const struct attempt *t)
{
	return t->now + loop_mono(t->cl->loop) - t->at;
}

void
attempt_tally(const char *outcome)
{
	metrics_count(FAMILY_loop_attempts, outcome);
}

/* ---- claim */

static const char *
check_names(struct arena *a, const struct conf_profile *p,
    const struct pki_names *names)
{
	const struct problem *pr = NULL;

	for (size_t i = 0; i < names->ndns && pr == NULL; i++)
		pr = policy_check_dns(a, p, names->dns[i]);
	for (size_t i = 0; i < names->nips && pr == NULL; i++)
		pr = policy_check_ip(a, p, addr_text(a, names->ips[i]));
	return pr != NULL ? str_cstr(a, pr->detail) : NULL;
}

const char *
attempt_find_signer(struct attempt *t)
{
	struct arena *a = t->task.arena;

	t->signer = t->cl->options.find_issuer(t->cl->options.issuers,
	    str_cstr(a, t->issuer));
	if (t->signer == NULL)
		return str_printf(a, "there is no issuer " STR_FMT " here",
		    STR_ARG(t->issuer))
		    .p;
	arena_defer(a, issuer_let_go, issuer_hold(t->signer));
	t->remote = !t->signer->ops->plans;
	return NULL;
}

/* What the row asks for; NULL, or why it cannot be. */
static const char *
prepare(struct attempt *t, struct str key_type)
{
	struct arena *a = t->task.arena;
	const struct conf_profile *p = conf_find_profile(t->cl->conf,
	    t->profile);
	enum conf_loop_key key;
	const char *why;

	if (p == NULL)
		return str_printf(a, "there is no profile " STR_FMT " here",
		    STR_ARG(t->profile))
		    .p;
	if ((why = attempt_find_signer(t)) != NULL)
		return why;
	t->lifetime = p->lifetime;
	t->eku = policy_purposes(p);
	t->no_rev_avail = p->no_rev_avail;
	if (!wanted_read_names(a, t->names_text, &t->names) ||
	    !wanted_key_kind(key_type, &t->kind))
		return "the loop's row holds names or a key type that this "
		       "version does not know";
	if (conf_find_loop_key(key_type, &key) && !conf_allows_loop_key(p, key))
		return "the profile does not allow keys of this type";
	return check_names(a, p, &t->names);
}

static void
free_key(void *key)
{
	EVP_PKEY_free(key);
}

struct str
attempt_seal_key(struct attempt *t, const char *column)
{
	struct arena *a = t->task.arena;
	struct seal_place place = { .table = STR("loops"),
		.row = t->name,
		.column = str_from(column) };

	return seal_secret(a, t->cl->options.ring, &place,
	    pki_write_key(a, t->key));
}

const char *
attempt_open_key(struct attempt *t, const char *column, struct str sealed)
{
	struct arena *a = t->task.arena;
	struct seal_place place = { .table = STR("loops"),
		.row = t->name,
		.column = str_from(column) };
	struct str pem;

	if (seal_open_secret(a, t->cl->options.ring, &place, sealed, &pem) !=
	    SEAL_OK)
		return "the loop's key in the store was sealed under another "
		       "seal_key than ours";
	if (pki_parse_key(a, pem, &t->key) != NULL)
		return "the loop's key in the store is broken";
	arena_defer(a, free_key, t->key);
	return NULL;
}

static void
take_key(struct attempt *t, EVP_PKEY *key)
{
	t->key = key;
	arena_defer(t->task.arena, free_key, key);
}

/* What it is to begin with, should there be nothing from before. */
static void
add_claim(struct attempt *t, struct batch *b)
{
	int64_t oldest = t->not_before -
	    (t->remote ? PENDING_LIFE_REMOTE : PENDING_LIFE);

	store_add(b, SQL_LOOP_STRAY);
	store_str(b, id_new(t->task.arena));
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, oldest);
	store_int(b, t->key != NULL);
	store_add(b, SQL_LOOP_LET_GO);
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, oldest);
	store_int(b, t->key != NULL);
	t->claim = store_add(b, SQL_LOOP_CLAIM);
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, t->cl->conf->lease);
	store_str(b, t->cl->holder);
	store_blob(b,
	    t->key != NULL ? attempt_seal_key(t, "pending_key") : STR_NONE);
	store_str(b, t->serial);
	store_int(b, t->not_before);
	store_int(b, t->not_after);
}

/* It cannot begin: the lease is for saying so. */
static void
add_hold(struct attempt *t, struct batch *b)
{
	t->claim = store_add(b, SQL_LOOP_HOLD);
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, t->cl->conf->lease);
	store_str(b, t->cl->holder);
}

/* Key, serial and validity are planned, if they can be. */
static void
plan(struct attempt *t)
{
	uint8_t serial[PKI_SERIAL_LEN];

	t->serial = STR_NONE;
	if (t->remote) {
		t->not_before = t->claimed = attempt_now(t);
		return;
	}
	pki_random_serial(serial);
	t->serial = hex_encode(t->task.arena, str_make(serial, sizeof(serial)));
	if (!issuer_plan_validity(t->signer, attempt_now(t), t->lifetime,
		&t->not_before, &t->not_after))
		t->why = "the issuer's own certificate has expired";
}

static void
send_claim(struct attempt *t)
{
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);

	if (t->why == NULL)
		plan(t);
	if (t->why == NULL)
		add_claim(t, b);
	else
		add_hold(t, b);
	t->held = t->why != NULL;
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){ .actor = STR("certloopd"),
		.action = "loop.attempt",
		.object = t->name,
		.serial = t->serial });
	(void)store_send_batch(b, on_claimed, t);
}

static void
on_key(void *arg, EVP_PKEY *key, const char *why)
{
	struct attempt *t = arg;

	if (why == NULL)
		take_key(t, key);
	else
		t->why = str_dup(t->task.arena, str_from(why)).p;
	send_claim(t);
}

/*
 * A key before the claim, so that the claim makes it durable. If another
 * process has the claim meanwhile, the key is thrown away.
 */
static void
make_key(struct attempt *t)
{
	if (keymaker_is_for(t->kind)) {
		keymaker_start(t->cl->keymaker, &t->task, t->kind, on_key, t);
		return;
	}
	take_key(t, pki_generate_key(t->kind));
	send_claim(t);
}

bool
attempt_is_running(const struct certloops *cl, struct str name)
{
	const struct attempt *t;

	LIST_FOREACH(t, &cl->attempts, entry)
		if (str_eq(t->name, name))
			return true;
	return false;
}

unsigned
attempt_count(const struct certloops *cl, struct str issuer)
{
	const struct attempt *t;
	unsigned n = 0;

	LIST_FOREACH(t, &cl->attempts, entry)
		n += str_eq(t->issuer, issuer);
	return n;
}

struct attempt *
attempt_new(struct certloops *cl, const struct attempt_for *f)
{
	struct arena *a = arena_create();
	struct attempt *t = arena_new(a, struct attempt);

	task_init_in(&t->task, a);
	t->cl = cl;
	LIST_INSERT_HEAD(&cl->attempts, t, entry);
	cl->nattempts++;
	timer_init(&t->limit, cl->loop, on_limit, t);
	timer_init(&t->extend, cl->loop, on_extend, t);
	timer_init(&t->next, cl->loop, on_rested, t);
	t->name = str_dup(a, f->name);
	t->names_text = str_dup(a, f->names);
	t->profile = str_dup(a, f->profile);
	t->issuer = str_dup(a, f->issuer);
	return t;
}

void
attempt_start(struct certloops *cl, const struct store_result *r, unsigned stmt,
    size_t i)
{
	const struct attempt_for f = {
		.name = store_get_str(r, stmt, i, LOOPS_DUE_NAME),
		.names = store_get_str(r, stmt, i, LOOPS_DUE_NAMES),
		.profile = store_get_str(r, stmt, i, LOOPS_DUE_PROFILE),
		.issuer = store_get_str(r, stmt, i, LOOPS_DUE_ISSUER),
	};
	struct attempt *t = attempt_new(cl, &f);

	t->keep_key = store_get_int(r, stmt, i, LOOPS_DUE_KEEP_KEY) != 0;
	t->number = store_get_int(r, stmt, i, LOOPS_DUE_ATTEMPT);
	t->failures = (unsigned)store_get_int(r, stmt, i, LOOPS_DUE_FAILURES);
	t->now = store_get_int(r, stmt, i, LOOPS_DUE_NOW);
	t->at = loop_mono(cl->loop);
	t->why = prepare(t, store_get_str(r, stmt, i, LOOPS_DUE_KEY_TYPE));
	if (t->why == NULL &&
	    !(t->keep_key && store_get_int(r, stmt, i, LOOPS_DUE_HAS_KEY) != 0))
		make_key(t);
	else
		send_claim(t);
}

/* ---- sign */

/* Take what the claim gave: perhaps what another process had begun with. */
static const char *
take_claim(struct attempt *t, const struct store_result *r)
{
	struct arena *a = t->task.arena;
	unsigned s = t->claim;
	struct str kept = store_get_str(r, s, 0, LOOP_CLAIM_KEY);
	struct str pending = store_get_str(r, s, 0, LOOP_CLAIM_PENDING_KEY);

	t->serial = str_dup(a,
	    store_get_str(r, s, 0, LOOP_CLAIM_PENDING_SERIAL));
	t->not_before = store_get_int(r, s, 0, LOOP_CLAIM_PENDING_NOT_BEFORE);
	t->not_after = store_get_int(r, s, 0, LOOP_CLAIM_PENDING_NOT_AFTER);
	/* what an attempt before may have made, with the same key */
	if (t->remote && t->not_before != t->claimed)
		t->since = t->not_before;
	t->key =
	    NULL; /* not the fresh one, if that of the claim does not open */
	if (t->keep_key && kept.n > 0)
		return attempt_open_key(t, "key", kept);
	return attempt_open_key(t, "pending_key", pending);
}

static void
sign(struct attempt *t)
{
	struct arena *a = t->task.arena;
	struct issuer_request rq = {
		.csr = pki_write_csr(a, t->key, &t->names, STR_NONE),
		.spki = pki_write_spki(a, t->key),
		.names = &t->names,
		.kind = t->kind,
		.max_lifetime = t->lifetime,
		.eku = t->eku,
		.no_rev_avail = t->no_rev_avail,
		.since = t->since,
	};
	struct str raw;

	if (rq.csr.p == NULL || rq.spki.p == NULL) {
		attempt_fail(t, "the request cannot be made", 0);
		return;
	}
	if (t->signer->ops->plans) {
		if (!hex_decode(a, t->serial, &raw) ||
		    raw.n != sizeof(rq.serial)) {
			attempt_fail(t, "the planned serial is broken", 0);
			return;
		}
		memcpy(rq.serial, raw.p, raw.n);
		rq.not_before = t->not_before;
		rq.not_after = t->not_after;
	}
	issuer_sign(t->signer, &t->task, &rq, on_signed, t);
}

static enum step
on_claimed(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;
	const char *why = t->why;

	if (r->status != STORE_OK) {
		if (r->status != STORE_LOST)
			log_warn("while claiming a cert loop",
			    LOG_STR("loop", t->name),
			    LOG_TEXT("cause", store_cause(r)));
		attempt_end(t);
		return STEP_DONE;
	}
	t->number = store_get_int(r, t->claim, 0, LOOP_CLAIM_ATTEMPT);
	t->now = store_get_int(r, t->claim, 0, LOOP_CLAIM_NOW);
	t->at = loop_mono(t->cl->loop);
	timer_start(&t->limit, LOOP_ATTEMPT_LIMIT);
	timer_start(&t->extend, t->cl->conf->lease / 3);
	if (why == NULL)
		why = take_claim(t, r);
	if (why != NULL)
		attempt_fail(t, why, 0);
	else
		sign(t);
	return STEP_WAITING;
}

static enum step
on_extended(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;

	if (r->status == STORE_LOST) {
		log_warn("a cert loop was taken over",
		    LOG_STR("loop", t->name));
		attempt_tally("lost");
		t->lost = true;
		/* a certificate that may still come is to be revoked */
		if (!t->remote)
			attempt_end(t);
		return STEP_DONE;
	}
	timer_start(&t->extend, t->cl->conf->lease / 3);
	return STEP_DONE;
}

static void
on_extend(void *arg)
{
	struct attempt *t = arg;
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);

	store_add(b, SQL_LOOP_EXTEND);
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, t->cl->conf->lease);
	store_require(b);
	(void)store_send_batch(b, on_extended, t);
}

static void
on_limit(void *arg)
{
	struct attempt *t = arg;

	if (t->lost) {
		attempt_end(t);
		return;
	}
	task_detach(&t->task); /* an answer that comes now is not heard */
	t->uncertain = t->remote;
	attempt_fail(t, "the issuer gave no answer within 300 s", 0);
}

static void
on_rested(void *arg)
{
	struct attempt *t = arg;

	t->step(t);
}

/* Is it what was ordered, for the key that we have? */
static const char *
check_result(struct attempt *t, const struct issuer_result *r)
{
	struct arena *a = t->task.arena;
	struct pki_cert cert;
	const char *why = pki_parse_cert(a, r->der, &cert);

	if (why != NULL)
		return why;
	if (!str_eq(cert.spki, pki_write_spki(a, t->key)))
		return "the certificate is for another key";
	if (!pki_names_equal(&cert.names, &t->names))
		return "the certificate is for other names";
	return NULL;
}

static void
on_signed(void *arg, const struct issuer_result *r)
{
	struct attempt *t = arg;
	const char *why = NULL;

	if (r->der.n > 0)
		t->made = issuer_keep_made(t->task.arena, r);
	if (t->lost) {
		attempt_end_lost(t);
		return;
	}
	if (r->problem != NULL) {
		t->uncertain = r->uncertain;
		why = str_cstr(t->task.arena, problem_reason(r->problem));
		attempt_fail(t, why, r->retry_after);
		return;
	}
	timer_stop(&t->limit);
	if ((why = check_result(t, r)) != NULL)
		attempt_fail(t, why, 0);
	else
		attempt_store(t);
}
