/* SPDX-License-Identifier: ISC */
/*
 * What an issuance writes. Each write is one batch whose first statement is a
 * guard on the attempt: if another process has taken the order over, nothing
 * is written, and a certificate in hand is one too many. It is stored without
 * an order, revoked; tell.c then tells its issuer.
 */
#include "acme/issue.h"

#include "base/hex.h"
#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

static enum step on_stored(void *, const struct store_result *);
static enum step on_failed(void *, const struct store_result *);
static enum step on_released(void *, const struct store_result *);
static enum step on_marked(void *, const struct store_result *);
static enum step on_renewed(void *, const struct store_result *);
static enum step on_orphaned(void *, const struct store_result *);

static struct batch *
new_batch(struct issuance *s)
{
	return store_new_batch(s->acme->store, &s->task, s->claim.account);
}

static struct batch *
begin(struct issuance *s, enum sql guard)
{
	struct batch *b = new_batch(s);

	s->state = ISSUE_STORING;
	store_add(b, guard);
	store_str(b, s->claim.order);
	store_int(b, s->claim.attempt);
	return b;
}

static struct str
serial_of(const struct issuance *s)
{
	return s->made.serial.n > 0 ? s->made.serial : s->claim.serial;
}

static void
audit(struct issuance *s, struct batch *b, struct str actor, const char *action,
    struct str object, struct str detail)
{
	audit_add(b,
	    &(struct audit_entry){
		.actor = actor,
		.action = action,
		.object = object,
		.order = s->claim.order,
		.account = s->claim.account,
		.serial = serial_of(s),
		.detail = detail,
	    });
}

/* What an operator is shown of it: see admin/decisions.c. */
static struct str
write_detail(struct issuance *s, const struct problem *pr)
{
	struct arena *a = s->task.arena;
	struct json_writer *w = json_writer_new(a, ACME_REPLY_MAX);
	int64_t took = loop_mono(s->acme->loop) - s->began;

	json_open_object(w, NULL);
	if (pr != NULL)
		audit_write_problem(w, pr);
	json_str(w, "issuer", s->claim.issuer);
	json_int(w, "attempt", s->claim.attempt);
	json_int(w, "ms", took / 1000);
	if (s->claim.caa != NULL)
		json_str(w, "caa", str_from(s->claim.caa));
	if (pr == NULL) /* else it would not be stored */
		json_str(w, "lint", STR("passed"));
	audit_write_tries(w, a, &s->refused);
	json_close(w);
	return json_text(w);
}

/* ---- the certificate */

static void
put_columns(struct issuance *s, struct batch *b)
{
	struct arena *a = s->task.arena;
	struct str hash = str_make(s->csr.spki_hash, sizeof(s->csr.spki_hash));

	store_str(b, s->claim.account);
	store_str(b, s->claim.profile);
	store_str(b, s->claim.issuer);
	store_str(b, s->made.serial);
	store_int(b, s->made.not_before);
	store_int(b, s->made.not_after);
	store_blob(b, s->made.der);
	store_str(b, s->made.chain_id.n > 0 ? s->made.chain_id : STR(""));
	store_str(b, hex_encode(a, hash));
	store_str(b, pki_names_text(a, &s->csr.names));
}

/* To be found by. */
static void
put_names(struct issuance *s, struct batch *b, struct str id)
{
	struct arena *a = s->task.arena;
	struct str names = pki_names_text(a, &s->csr.names);

	while (names.n > 0) {
		store_add(b, SQL_CERT_NAME_INSERT);
		store_str(b, id);
		store_str(b, pki_name_key(a, str_cut(&names, ' ')));
	}
}

static void
put_chain(struct issuance *s, struct batch *b)
{
	if (s->made.chain_id.n == 0)
		return;
	store_add(b, SQL_CHAIN_INSERT);
	store_str(b, s->made.chain_id);
	store_str(b, s->made.chain_pem);
}

void
issue_store(struct issuance *s)
{
	struct arena *a = s->task.arena;
	struct batch *b = begin(s, SQL_ORDER_FINISH);

	if (s->cert_id.n == 0)
		s->cert_id = id_new(a);
	store_str(b, s->cert_id);
	store_require(b);
	put_chain(s, b);
	store_add(b, SQL_CERT_INSERT);
	store_str(b, s->cert_id);
	store_str(b, s->claim.order);
	put_columns(s, b);
	put_names(s, b, s->cert_id);
	audit(s, b, acme_actor(a, s->claim.account), "certificate.issue",
	    s->cert_id, write_detail(s, NULL));
	(void)store_send_batch(b, on_stored, s);
}

/* ---- one too many */

/* No row if it is stored already: our own batch was committed. */
static unsigned
put_orphan(struct issuance *s, struct batch *b, struct str id)
{
	unsigned st;

	put_chain(s, b);
	st = store_add(b, SQL_ORPHAN_INSERT);
	store_str(b, id);
	put_columns(s, b);
	return st;
}

static void
tell_orphan(struct issuance *s)
{
	issue_count(s, "duplicate");
	log_warn("revoking a certificate that is not handed out",
	    LOG_STR("issuer", s->claim.issuer),
	    LOG_STR("order", s->claim.order),
	    LOG_STR("serial", s->made.serial));
	acme_tell_issuers(s->acme);
}

static void
store_orphan(struct issuance *s)
{
	struct batch *b = new_batch(s);
	struct str id = id_new(s->task.arena);

	s->state = ISSUE_STORING;
	(void)put_orphan(s, b, id);
	store_require(b);
	put_names(s, b, id);
	audit(s, b, STR("certloopd"), "certificate.orphan", id, STR_NONE);
	(void)store_send_batch(b, on_orphaned, s);
}

static enum step
on_orphaned(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;

	if (r->status == STORE_OK) {
		tell_orphan(s);
	} else if (r->status != STORE_LOST) {
		if (s->store_tries++ < ISSUE_STORE_TRIES) {
			issue_rest(s, s->store_tries, 0, store_orphan);
			return STEP_WAITING;
		}
		log_error("a certificate that nobody has could not be stored: "
			  "revoke it at its issuer",
		    LOG_STR("issuer", s->claim.issuer),
		    LOG_STR("serial", s->made.serial),
		    LOG_TEXT("cause", store_cause(r)));
	}
	issue_end(s, &(struct issued){ .pending = true });
	return STEP_DONE;
}

/* The guard found no row: is there something in hand? */
static enum step
end_lost(struct issuance *s)
{
	if (s->remote && s->made.der.n > 0) {
		store_orphan(s);
		return STEP_WAITING;
	}
	issue_end(s, &(struct issued){ .pending = true });
	return STEP_DONE;
}

/*
 * What a search found may be in the store by now, as an orphan of the process
 * that was slow, or as another order's with the same key. Then it is not ours.
 */
static bool
is_found_twice(struct issuance *s)
{
	if (s->claim.uncertain == 0 || s->conflicted ||
	    s->claim.uncertain > ISSUE_UNCERTAIN_MAX)
		return false;
	s->conflicted = true;
	s->made = (struct issuer_made){ .der = STR_NONE };
	s->cert_id = STR_NONE;
	issue_rest(s, s->tries++, 0, issue_sign);
	return true;
}

static enum step
on_stored(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;
	struct issued how = { .pending = true };

	if (r->status == STORE_OK) {
		metrics_add(METRIC_certificates_issued, 1);
		issue_count(s, "success");
		how = (struct issued){ .order = r, .stmt = 0 };
	} else if (r->status == STORE_LOST) {
		return end_lost(s);
	} else if (r->status == STORE_CONFLICT && s->remote &&
	    is_found_twice(s)) {
		return STEP_WAITING;
	} else if (r->status == STORE_CONFLICT && s->remote) {
		s->made.der = STR_NONE;
		issue_fail(s,
		    problem_cause(s->task.arena, PROBLEM_SERVER,
			"the issuer gave out a certificate twice"));
		return STEP_WAITING;
	} else {
		log_warn("while storing a certificate",
		    LOG_STR("order", s->claim.order),
		    LOG_TEXT("cause", store_cause(r)));
		/* a local issuer makes the same one again: recovery does it */
		if (s->remote && s->store_tries++ < ISSUE_STORE_TRIES) {
			issue_rest(s, s->store_tries, 0, issue_store);
			return STEP_WAITING;
		}
	}
	issue_end(s, &how);
	return STEP_DONE;
}

/* ---- failure */

static void
send_failure(struct issuance *s)
{
	struct arena *a = s->task.arena;
	struct batch *b = begin(s, SQL_ORDER_FAIL);
	struct str error = problem_json(a, s->problem), id = id_new(a);

	store_str(b, error);
	store_require(b);
	if (s->made.der.n > 0) {
		s->orphan = put_orphan(s, b, id);
		put_names(s, b, id);
	}
	audit(s, b, STR("certloopd"), "order.fail", s->claim.order,
	    write_detail(s, s->problem));
	(void)store_send_batch(b, on_failed, s);
}

void
issue_fail(struct issuance *s, const struct problem *pr)
{
	log_warn("while issuing", LOG_STR("order", s->claim.order),
	    LOG_STR("problem", problem_name(pr->type)),
	    LOG_TEXT("cause", pr->cause != NULL ? pr->cause : pr->detail.p));
	s->problem = pr;
	send_failure(s);
}

static enum step
on_failed(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;
	struct issued how = { .pending = true };

	if (r->status == STORE_LOST)
		return end_lost(s);
	if (r->status == STORE_OK) {
		issue_count(s, "failure");
		if (s->made.der.n > 0 && store_nrows(r, s->orphan) > 0)
			tell_orphan(s);
		how = (struct issued){ .failed = s->problem };
	} else if (s->remote && s->store_tries++ < ISSUE_STORE_TRIES) {
		issue_rest(s, s->store_tries, 0, send_failure);
		return STEP_WAITING;
	}
	issue_end(s, &how);
	return STEP_DONE;
}

void
issue_release(struct issuance *s, const struct problem *pr)
{
	struct batch *b = begin(s, SQL_ORDER_RELEASE);

	/* who waits is not told "processing" any more */
	if (s->waiter != NULL)
		timer_stop(&s->waiter->timer);
	s->problem = pr;
	store_require(b);
	audit(s, b, STR("certloopd"), "order.defer", s->claim.order,
	    write_detail(s, pr));
	(void)store_send_batch(b, on_released, s);
}

static enum step
on_released(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;
	struct issued how = { .pending = true };

	if (r->status == STORE_OK) {
		issue_count(s, "deferred");
		how = (struct issued){ .failed = s->problem };
	}
	issue_end(s, &how);
	return STEP_DONE;
}

/* ---- going on */

void
issue_mark(struct issuance *s, int64_t wait)
{
	struct batch *b = begin(s, SQL_ORDER_UNCERTAIN);

	s->least = wait;
	store_int(b, s->acme->setup->conf->lease);
	store_require(b);
	(void)store_send_batch(b, on_marked, s);
}

/* If that was not written, recovery will write it when the lease is over. */
static enum step
on_marked(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;

	if (r->status != STORE_OK) {
		issue_end(s, &(struct issued){ .pending = true });
		return STEP_DONE;
	}
	s->claim.uncertain = store_get_int(r, 0, 0, ORDER_UNCERTAIN_UNCERTAIN);
	issue_rest(s, s->tries++, s->least, issue_sign);
	return STEP_WAITING;
}

void
issue_renew(struct issuance *s)
{
	struct batch *b = new_batch(s);

	store_add(b, SQL_ORDER_RENEW);
	store_str(b, s->claim.order);
	store_int(b, s->claim.attempt);
	store_int(b, s->acme->setup->conf->lease);
	store_require(b);
	(void)store_send_batch(b, on_renewed, s);
}

/* Lost: what is under way ends as it ends, but nothing new begins. */
static enum step
on_renewed(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;

	if (r->status != STORE_LOST)
		return STEP_WAITING;
	s->lost = true;
	if (s->state == ISSUE_RESTING && s->made.der.n == 0)
		issue_end(s, &(struct issued){ .pending = true });
	return STEP_DONE;
}
