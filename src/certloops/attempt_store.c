/* SPDX-License-Identifier: ISC */
/*
 * What an attempt writes in the end. Each batch begins with a guard on the
 * attempt's number: if another process has taken the loop over, or it was
 * changed, nothing is written. Then a certificate in hand is one too many:
 * unless the other one found it at the issuer and stored it, it is stored
 * revoked, for no loop to use, and the job that tells issuers of revocations
 * (acme/tell.c) finds it. A local issuer makes the same one again, so there
 * nothing is too many.
 */
#include "certloops/attempt.h"

#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/when.h"
#include "issuer/policy.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { STORE_TRIES = 8 };

/* The first wait before another try to store; each one doubles. */
#define STORE_WAIT (WHEN_SECOND / 5)

static enum step on_stored(void *, const struct store_result *);
static enum step on_failed(void *, const struct store_result *);
static enum step on_orphaned(void *, const struct store_result *);
static void send_failure(struct attempt *);

/* Is there something that the issuer must hear is not used? */
static bool
has_made(const struct attempt *t)
{
	return t->remote && t->made.der.n > 0;
}

/*
 * The store gave no answer: once more, if a certificate is at stake that
 * nobody else may find.
 */
static bool
rest(struct attempt *t, void (*step)(struct attempt *))
{
	if (!has_made(t) || t->store_tries == STORE_TRIES)
		return false;
	t->step = step;
	timer_start(&t->next, STORE_WAIT << t->store_tries++);
	return true;
}

static void
log_store(const struct attempt *t, const char *msg,
    const struct store_result *r)
{
	log_warn(msg, LOG_STR("loop", t->name), LOG_STR("serial", t->serial),
	    LOG_TEXT("cause", store_cause(r)));
}

static void
put_columns(struct attempt *t, struct batch *b)
{
	struct arena *a = t->task.arena;
	uint8_t hash[32];

	pki_spki_hash(pki_write_spki(a, t->key), hash);
	store_str(b, t->name);
	store_str(b, t->profile);
	store_str(b, t->issuer);
	store_str(b, t->made.serial);
	store_int(b, t->made.not_before);
	store_int(b, t->made.not_after);
	store_blob(b, t->made.der);
	store_str(b, t->made.chain_id.n > 0 ? t->made.chain_id : STR(""));
	store_str(b, hex_encode(a, str_make(hash, sizeof(hash))));
	store_str(b, t->names_text);
}

/* So that the certificate is found by its names. */
static void
put_names(struct attempt *t, struct batch *b, struct str id)
{
	struct str names = t->names_text;

	while (names.n > 0) {
		store_add(b, SQL_CERT_NAME_INSERT);
		store_str(b, id);
		store_str(b, pki_name_key(t->task.arena, str_cut(&names, ' ')));
	}
}

static void
put_chain(struct attempt *t, struct batch *b)
{
	if (t->made.chain_id.n == 0)
		return;
	store_add(b, SQL_CHAIN_INSERT);
	store_str(b, t->made.chain_id);
	store_str(b, t->made.chain_pem);
}

static void
audit(struct attempt *t, struct batch *b, const char *action, struct str id)
{
	audit_add(b,
	    &(struct audit_entry){ .actor = STR("certloopd"),
		.action = action,
		.object = id,
		.serial = t->made.serial,
		.detail = str_printf(t->task.arena,
		    "{\"loop\":\"" STR_FMT "\"}", STR_ARG(t->name)) });
}

/* ---- one too many */

/* No row if it is stored already. */
static unsigned
put_orphan(struct attempt *t, struct batch *b, struct str id)
{
	unsigned st;

	put_chain(t, b);
	st = store_add(b, SQL_LOOP_ORPHAN_INSERT);
	store_str(b, id);
	put_columns(t, b);
	return st;
}

static void
tell_orphan(const struct attempt *t)
{
	metrics_count(FAMILY_issuance, t->issuer.p, "duplicate");
	log_warn("revoking a cert loop's certificate that is not used",
	    LOG_STR("loop", t->name), LOG_STR("issuer", t->issuer),
	    LOG_STR("serial", t->made.serial));
}

void
attempt_store_orphan(struct attempt *t)
{
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);
	struct str id = id_new(t->task.arena);

	(void)put_orphan(t, b, id);
	store_require(b);
	put_names(t, b, id);
	audit(t, b, "certificate.orphan", id);
	(void)store_send_batch(b, on_orphaned, t);
}

static enum step
on_orphaned(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;

	if (r->status == STORE_OK) {
		tell_orphan(t);
	} else if (r->status != STORE_LOST) {
		if (rest(t, attempt_store_orphan))
			return STEP_DONE;
		log_error("a certificate that no loop has could not be "
			  "stored: revoke it at its issuer",
		    LOG_STR("loop", t->name), LOG_STR("issuer", t->issuer),
		    LOG_STR("serial", t->made.serial),
		    LOG_TEXT("cause", store_cause(r)));
		attempt_end(t); /* a stray is looked for again */
		return STEP_DONE;
	}
	if (t->stray.n > 0) {
		stray_end(t);
		return STEP_WAITING;
	}
	attempt_end(t);
	return STEP_DONE;
}

void
attempt_end_lost(struct attempt *t)
{
	timer_stop(&t->limit);
	timer_stop(&t->extend);
	if (has_made(t))
		attempt_store_orphan(t);
	else
		attempt_end(t);
}

/* ---- failure */

/* Will it be looked for what was perhaps made, with the same key? */
static bool
is_to_be_found(const struct attempt *t)
{
	return !has_made(t) && t->key != NULL &&
	    (t->uncertain || t->since != 0);
}

static void
send_failure(struct attempt *t)
{
	struct arena *a = t->task.arena;
	struct loop_schedule s = { .failures = t->failures };
	struct json_writer *w = json_writer_new(a, 4096);
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);
	struct str id = id_new(a);

	schedule_next(&s, t->wait > 0 ? LOOP_TOLD_TO_WAIT : LOOP_FAILED,
	    t->wait * WHEN_SECOND, attempt_now(t), certloops_draw(t->cl));
	log_warn("a cert loop got no certificate", LOG_STR("loop", t->name),
	    LOG_STR("issuer", t->issuer), LOG_TEXT("cause", t->why),
	    LOG_INT("failures", s.failures),
	    LOG_STR("next", when_rfc3339(a, s.next)));
	json_open_object(w, NULL);
	json_str(w, "cause", str_from(t->why));
	json_int(w, "failures", s.failures);
	json_close(w);
	if (!t->held && t->key == NULL && t->since != 0) {
		/* nobody can go on with a key that does not open */
		store_add(b, SQL_LOOP_STRAY);
		store_str(b, id_new(a));
		store_str(b, t->name);
		store_int(b, t->number);
		store_int(b, INT64_MAX);
		store_int(b, 0);
	}
	store_add(b, SQL_LOOP_FAIL);
	store_str(b, t->name);
	store_int(b, t->number);
	store_int(b, s.failures);
	store_int(b, s.next);
	store_str(b, str_from(t->why));
	/* what could not begin touched nothing */
	store_int(b, t->held || is_to_be_found(t));
	store_require(b);
	if (has_made(t)) {
		t->orphan = put_orphan(t, b, id);
		put_names(t, b, id);
	}
	audit_add(b,
	    &(struct audit_entry){ .actor = STR("certloopd"),
		.action = "loop.fail",
		.object = t->name,
		.serial = has_made(t) ? t->made.serial : t->serial,
		.detail = json_text(w) });
	(void)store_send_batch(b, on_failed, t);
}

void
attempt_fail(struct attempt *t, const char *why, unsigned wait)
{
	timer_stop(&t->limit);
	timer_stop(&t->extend);
	t->why = str_show(t->task.arena, str_from(why), 1000).p;
	t->wait = wait;
	send_failure(t);
}

static enum step
on_failed(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;

	if (r->status == STORE_OK) {
		attempt_tally(t->wait > 0 ? "told_to_wait" : "failed");
		if (t->wait == 0)
			metrics_count(FAMILY_issuance, t->issuer.p, "failure");
		if (has_made(t) && store_nrows(r, t->orphan) > 0)
			tell_orphan(t);
	} else if (r->status == STORE_LOST) {
		attempt_end_lost(t);
		return STEP_DONE;
	} else {
		/* the lease runs out, then it is tried again */
		log_store(t, "while recording a failed attempt", r);
		if (rest(t, send_failure))
			return STEP_DONE;
	}
	attempt_end(t);
	return STEP_DONE;
}

/* ---- success */

/*
 * At some moment of the window that ARI gives for this certificate (RFC 9773
 * section 4.2), as its profile says here now.
 */
static int64_t
find_renewal(const struct attempt *t, uint32_t jitter)
{
	const struct issuer_made *m = &t->made;
	const struct conf_profile *p = conf_find_profile(t->cl->conf,
	    t->profile);
	struct policy_window w;

	if (p == NULL)
		return schedule_renewal(m->not_before, m->not_after, jitter);
	w = policy_renewal_window(m->not_before, m->not_after, p->renewal_at,
	    p->renewal_window, m->serial);
	return schedule_within(w.start, w.end, jitter);
}

void
attempt_store(struct attempt *t)
{
	struct arena *a = t->task.arena;
	struct str id = id_new(a);
	struct loop_schedule s = { 0 };
	uint32_t jitter = certloops_draw(t->cl);
	int64_t renew_at = find_renewal(t, jitter);
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);

	timer_stop(&t->extend);
	schedule_next(&s, LOOP_OBTAINED, renew_at, attempt_now(t), jitter);
	t->serial = t->made.serial;
	store_add(b, SQL_LOOP_FINISH);
	store_str(b, t->name);
	store_int(b, t->number);
	store_str(b, id);
	store_str(b, t->made.serial);
	store_int(b, t->made.not_before);
	store_int(b, t->made.not_after);
	store_blob(b, attempt_seal_key(t, "key"));
	store_int(b, renew_at);
	store_int(b, s.next);
	store_require(b);
	store_add(b, SQL_LOOP_DUE_ALL);
	store_str(b, t->name);
	put_chain(t, b);
	store_add(b, SQL_LOOP_CERT_INSERT);
	store_str(b, id);
	put_columns(t, b);
	put_names(t, b, id);
	audit(t, b, "certificate.issue", id);
	(void)store_send_batch(b, on_stored, t);
}

static void
tell_obtained(struct attempt *t)
{
	attempt_tally("obtained");
	metrics_count(FAMILY_issuance, t->issuer.p, "success");
	metrics_add(METRIC_certificates_issued, 1);
	log_info("a cert loop has a certificate", LOG_STR("loop", t->name),
	    LOG_STR("serial", t->serial),
	    LOG_STR("expires", when_rfc3339(t->task.arena, t->made.not_after)));
	certloops_wake(t->cl); /* to deliver it */
}

static enum step
on_stored(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;

	switch (r->status) {
	case STORE_OK:
		tell_obtained(t);
		break;
	case STORE_LOST:
		if (!t->lost)
			attempt_tally("lost");
		log_warn("a cert loop's certificate came too late",
		    LOG_STR("loop", t->name), LOG_STR("serial", t->serial));
		attempt_end_lost(t);
		return STEP_DONE;
	case STORE_CONFLICT:
		/* it is stored, so it is not ours; nor is one to be found */
		t->made = (struct issuer_made){ .der = STR_NONE };
		t->since = 0;
		attempt_fail(t, "the issuer gave a serial a second time", 0);
		return STEP_WAITING;
	default:
		/* the lease runs out, then it is tried again */
		log_store(t, "while storing a cert loop's certificate", r);
		if (rest(t, attempt_store))
			return STEP_DONE;
		break;
	}
	attempt_end(t);
	return STEP_DONE;
}
