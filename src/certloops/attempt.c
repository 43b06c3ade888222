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
 * store anything: the attempt's number has moved on.
 */
#include "certloops/certloops_int.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/hex.h"
#include "base/id.h"
#include "base/json.h"
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

struct attempt {
	LIST_ENTRY(attempt) entry; /* cl->attempts */
	struct certloops *cl;
	struct task task; /* its arena holds this struct */
	struct timer limit, extend;
	struct str name, names_text, profile, issuer;
	struct pki_names names;
	enum pki_key_kind kind;
	bool keep_key;
	struct issuer *signer;
	int64_t lifetime;
	unsigned eku;
	bool no_rev_avail;
	int64_t number;  /* the fence */
	int64_t now, at; /* database time as of loop_mono `at` */
	unsigned failures;
	EVP_PKEY *key;
	struct str serial; /* planned; empty if the issuer does not plan */
	int64_t not_before, not_after;
	int64_t claimed; /* not_before as we proposed it */
	const char *why; /* it cannot work, known before it began */
	const char *outcome;
};

static enum step on_claimed(void *, const struct store_result *);
static void on_signed(void *, const struct issuer_result *);
static enum step on_stored(void *, const struct store_result *);
static enum step on_failed(void *, const struct store_result *);
static void on_extend(void *);
static void on_limit(void *);

/* ---- ends */

static void
end_attempt(struct attempt *t)
{
	struct certloops *cl = t->cl;

	timer_stop(&t->limit);
	timer_stop(&t->extend);
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
		end_attempt(LIST_FIRST(&cl->attempts));
}

/* Database time now, without asking. */
static int64_t
now(const struct attempt *t)
{
	return t->now + loop_mono(t->cl->loop) - t->at;
}

static void
count(const char *outcome)
{
	metrics_count(FAMILY_loop_attempts, outcome);
}

/*
 * Record that it did not work. wait: seconds that the issuer asked for; then
 * it is no failure.
 */
static void
send_failure(struct attempt *t, const char *why, unsigned wait)
{
	struct arena *a = t->task.arena;
	struct loop_schedule s = { .failures = t->failures };
	struct json_writer *w = json_writer_new(a, 4096);
	struct batch *b;

	timer_stop(&t->limit);
	timer_stop(&t->extend);
	why = str_show(a, str_from(why), 1000).p;
	schedule_next(&s, wait > 0 ? LOOP_TOLD_TO_WAIT : LOOP_FAILED,
	    wait * WHEN_SECOND, now(t), certloops_draw(t->cl));
	t->outcome = wait > 0 ? "told_to_wait" : "failed";
	log_warn("a cert loop got no certificate", LOG_STR("loop", t->name),
	    LOG_STR("issuer", t->issuer), LOG_TEXT("cause", why),
	    LOG_INT("failures", s.failures),
	    LOG_STR("next", when_rfc3339(a, s.next)));
	json_open_object(w, NULL);
	json_str(w, "cause", str_from(why));
	json_int(w, "failures", s.failures);
	json_close(w);
	b = store_new_batch(t->cl->store, &t->task, t->name);
	store_add(b, SQL_LOOP_FAIL);
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, s.failures);
	store_int(b, s.next);
	store_str(b, str_from(why));
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){ .actor = STR("certloopd"),
		.action = "loop.fail",
		.object = t->name,
		.serial = t->serial,
		.detail = json_text(w) });
	(void)store_send_batch(b, on_failed, t);
}

static enum step
on_failed(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;

	if (r->status == STORE_OK) {
		count(t->outcome);
		if (strcmp(t->outcome, "failed") == 0)
			metrics_count(FAMILY_issuance, t->issuer.p, "failure");
	} else if (r->status != STORE_LOST)
		/* the lease runs out, then it is tried again */
		log_warn("while recording a failed attempt",
		    LOG_STR("loop", t->name),
		    LOG_TEXT("cause", store_cause(r)));
	end_attempt(t);
	return STEP_DONE;
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

/* What the row asks for; NULL, or why it cannot be. */
static const char *
prepare(struct attempt *t, struct str key_type)
{
	struct arena *a = t->task.arena;
	const struct conf_profile *p = conf_find_profile(t->cl->conf,
	    t->profile);
	enum conf_loop_key key;

	if (p == NULL)
		return str_printf(a, "there is no profile " STR_FMT " here",
		    STR_ARG(t->profile))
		    .p;
	t->signer = t->cl->options.find_issuer(t->cl->options.issuers,
	    str_cstr(a, t->issuer));
	if (t->signer == NULL)
		return str_printf(a, "there is no issuer " STR_FMT " here",
		    STR_ARG(t->issuer))
		    .p;
	arena_defer(a, issuer_let_go, issuer_hold(t->signer));
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

static struct str
seal_key_of(struct attempt *t, const char *column)
{
	struct arena *a = t->task.arena;
	struct seal_place place = { .table = STR("loops"),
		.row = t->name,
		.column = str_from(column) };

	return seal_secret(a, t->cl->options.ring, &place,
	    pki_write_key(a, t->key));
}

/* The sealed key, or why it will not open. */
static const char *
open_key(struct attempt *t, const char *column, struct str sealed)
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

/* Key, serial and validity, should there be none from before. */
static void
send_claim(struct attempt *t)
{
	struct certloops *cl = t->cl;
	struct arena *a = t->task.arena;
	bool plans = t->why == NULL && t->signer->ops->plans;
	struct batch *b = store_new_batch(cl->store, &t->task, t->name);
	uint8_t serial[PKI_SERIAL_LEN];

	if (plans &&
	    !issuer_plan_validity(t->signer, now(t), t->lifetime,
		&t->not_before, &t->not_after))
		t->why = "the issuer's own certificate has expired";
	pki_random_serial(serial);
	t->serial = plans ? hex_encode(a, str_make(serial, sizeof(serial))) :
			    STR_NONE;
	if (!plans)
		t->not_before = t->claimed = now(t);
	store_add(b, SQL_LOOP_CLAIM);
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, cl->conf->lease);
	store_str(b, cl->holder);
	store_blob(b,
	    t->key != NULL ? seal_key_of(t, "pending_key") : STR_NONE);
	store_str(b, t->serial);
	store_int(b, t->not_before);
	store_int(b, t->not_after);
	store_int(b, t->not_before - PENDING_LIFE);
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

void
attempt_start(struct certloops *cl, const struct store_result *r, unsigned stmt,
    size_t i)
{
	struct arena *a = arena_create();
	struct attempt *t = arena_new(a, struct attempt);

	task_init_in(&t->task, a);
	t->cl = cl;
	LIST_INSERT_HEAD(&cl->attempts, t, entry);
	cl->nattempts++;
	timer_init(&t->limit, cl->loop, on_limit, t);
	timer_init(&t->extend, cl->loop, on_extend, t);
	t->name = str_dup(a, store_get_str(r, stmt, i, LOOPS_DUE_NAME));
	t->names_text = str_dup(a, store_get_str(r, stmt, i, LOOPS_DUE_NAMES));
	t->profile = str_dup(a, store_get_str(r, stmt, i, LOOPS_DUE_PROFILE));
	t->issuer = str_dup(a, store_get_str(r, stmt, i, LOOPS_DUE_ISSUER));
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
	struct str kept = store_get_str(r, 0, 0, LOOP_CLAIM_KEY);
	struct str pending = store_get_str(r, 0, 0, LOOP_CLAIM_PENDING_KEY);

	t->serial = str_dup(a,
	    store_get_str(r, 0, 0, LOOP_CLAIM_PENDING_SERIAL));
	t->not_before = store_get_int(r, 0, 0, LOOP_CLAIM_PENDING_NOT_BEFORE);
	t->not_after = store_get_int(r, 0, 0, LOOP_CLAIM_PENDING_NOT_AFTER);
	if (t->keep_key && kept.n > 0)
		return open_key(t, "key", kept);
	return open_key(t, "pending_key", pending);
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
	};
	struct str raw;

	/* what an attempt before may have made, with the same key */
	if (!t->signer->ops->plans && t->not_before != t->claimed)
		rq.since = t->not_before;
	if (rq.csr.p == NULL || rq.spki.p == NULL) {
		send_failure(t, "the request cannot be made", 0);
		return;
	}
	if (t->signer->ops->plans) {
		if (!hex_decode(a, t->serial, &raw) ||
		    raw.n != sizeof(rq.serial)) {
			send_failure(t, "the planned serial is broken", 0);
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
		end_attempt(t);
		return STEP_DONE;
	}
	t->number = store_get_int(r, 0, 0, LOOP_CLAIM_ATTEMPT);
	t->now = store_get_int(r, 0, 0, LOOP_CLAIM_NOW);
	t->at = loop_mono(t->cl->loop);
	timer_start(&t->limit, LOOP_ATTEMPT_LIMIT);
	timer_start(&t->extend, t->cl->conf->lease / 3);
	if (why == NULL)
		why = take_claim(t, r);
	if (why != NULL)
		send_failure(t, why, 0);
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
		count("lost");
		end_attempt(t);
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

	task_detach(&t->task); /* an answer that comes now is not heard */
	send_failure(t, "the issuer gave no answer within 300 s", 0);
}

/* ---- store */

static void
put_certificate(struct attempt *t, struct batch *b, struct str id,
    const struct issuer_result *r)
{
	struct arena *a = t->task.arena;
	struct str names = t->names_text;
	uint8_t hash[32];

	pki_spki_hash(pki_write_spki(a, t->key), hash);
	store_add(b, SQL_CHAIN_INSERT);
	store_str(b, str_from(r->chain_id));
	store_str(b, r->chain_pem);
	store_add(b, SQL_LOOP_CERT_INSERT);
	store_str(b, id);
	store_str(b, t->name);
	store_str(b, t->profile);
	store_str(b, t->issuer);
	store_str(b, r->serial);
	store_int(b, r->not_before);
	store_int(b, r->not_after);
	store_blob(b, r->der);
	store_str(b, str_from(r->chain_id));
	store_str(b, hex_encode(a, str_make(hash, sizeof(hash))));
	store_str(b, names);
	while (names.n > 0) {
		store_add(b, SQL_CERT_NAME_INSERT);
		store_str(b, id);
		store_str(b, pki_name_key(a, str_cut(&names, ' ')));
	}
}

static void
send_result(struct attempt *t, const struct issuer_result *r)
{
	struct arena *a = t->task.arena;
	struct str id = id_new(a);
	struct loop_schedule s = { 0 };
	uint32_t jitter = certloops_draw(t->cl);
	int64_t renew_at = schedule_renewal(r->not_before, r->not_after,
	    jitter);
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);

	timer_stop(&t->extend);
	schedule_next(&s, LOOP_OBTAINED, renew_at, now(t), jitter);
	t->serial = str_dup(a, r->serial);
	t->not_after = r->not_after;
	store_add(b, SQL_LOOP_FINISH);
	store_str(b, t->name);
	store_int(b, t->number);
	store_str(b, id);
	store_str(b, r->serial);
	store_int(b, r->not_before);
	store_int(b, r->not_after);
	store_blob(b, seal_key_of(t, "key"));
	store_int(b, renew_at);
	store_int(b, s.next);
	store_require(b);
	store_add(b, SQL_LOOP_DUE_ALL);
	store_str(b, t->name);
	put_certificate(t, b, id, r);
	audit_add(b,
	    &(struct audit_entry){ .actor = STR("certloopd"),
		.action = "certificate.issue",
		.object = id,
		.serial = r->serial,
		.detail = str_printf(a, "{\"loop\":\"" STR_FMT "\"}",
		    STR_ARG(t->name)) });
	(void)store_send_batch(b, on_stored, t);
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
	const char *why;

	if (r->problem != NULL) {
		why = str_cstr(t->task.arena, problem_reason(r->problem));
		send_failure(t, why, r->retry_after);
		return;
	}
	timer_stop(&t->limit);
	if ((why = check_result(t, r)) != NULL)
		send_failure(t, why, 0);
	else
		send_result(t, r);
}

static enum step
on_stored(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;
	struct certloops *cl = t->cl;

	switch (r->status) {
	case STORE_OK:
		count("obtained");
		metrics_count(FAMILY_issuance, t->issuer.p, "success");
		metrics_add(METRIC_certificates_issued, 1);
		log_info("a cert loop has a certificate",
		    LOG_STR("loop", t->name), LOG_STR("serial", t->serial),
		    LOG_STR("expires",
			when_rfc3339(t->task.arena, t->not_after)));
		certloops_wake(cl); /* to deliver it */
		break;
	case STORE_LOST:
		count("lost");
		log_warn("a cert loop's certificate came too late",
		    LOG_STR("loop", t->name), LOG_STR("serial", t->serial));
		break;
	case STORE_CONFLICT:
		send_failure(t, "the issuer gave a serial a second time", 0);
		return STEP_WAITING;
	default:
		/* the lease runs out, then it is tried again */
		log_warn("while storing a cert loop's certificate",
		    LOG_STR("loop", t->name),
		    LOG_TEXT("cause", store_cause(r)));
		break;
	}
	end_attempt(t);
	return STEP_DONE;
}
