/* SPDX-License-Identifier: ISC */
/*
 * Issuers hear of revocations. The row of the certificate says what is to be
 * told and when, so nothing is lost when an issuer or this process is gone.
 *
 *	pass	which issuers, then which rows of each are due: so many of
 *		each, so one that is slow keeps no other from hearing
 *	claim	one guarded statement a row: ours for the length of a lease,
 *		which is lengthened while the issuer takes its time
 *	tell	the issuer's work; the local CA publishes what the store holds
 *	record	told, or due again later, or given up: it has expired
 *
 * Two processes may tell an issuer the same, if one slept longer than its
 * lease; to revoke once more does no harm.
 */
#include "acme/acme_int.h"

#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { ISSUERS_MAX = 1000 }; /* in a pass */

struct telling {
	LIST_ENTRY(telling) entry; /* acme->telling */
	struct acme *acme;
	struct task task; /* its arena holds this struct */
	struct timer extend;
	struct str id, issuer, serial;
	int64_t tries; /* the fence, raised by our claim */
	bool later;    /* it did not work: recorded as due again */
};

static enum step on_issuers(void *, const struct store_result *);
static enum step on_due(void *, const struct store_result *);
static enum step on_claimed(void *, const struct store_result *);
static void on_extend(void *);
static void on_told(void *, const struct issuer_result *);
static enum step on_recorded(void *, const struct store_result *);

static void
end_telling(struct telling *t)
{
	timer_stop(&t->extend);
	LIST_REMOVE(t, entry);
	task_end(&t->task);
}

/* ---- which */

void
acme_tell_issuers(struct acme *acme)
{
	struct batch *b;

	if (acme->tell_passing) {
		acme->tell_again = true;
		return;
	}
	acme->tell_passing = true;
	acme->tell_again = false;
	task_init(&acme->tell_pass);
	b = store_new_batch(acme->store, &acme->tell_pass, STR("revocations"));
	store_add(b, SQL_REVOCATIONS_ISSUERS);
	store_int(b, ISSUERS_MAX);
	(void)store_send_batch(b, on_issuers, acme);
}

static void
end_pass(struct acme *acme)
{
	acme->tell_passing = false;
	task_end(&acme->tell_pass);
	if (acme->tell_again)
		acme_tell_issuers(acme);
}

/* How many more may this issuer be told of now? */
static int64_t
room_at(const struct acme *acme, struct str issuer)
{
	const struct telling *t;
	int64_t room = ACME_TELLING_MAX;

	LIST_FOREACH(t, &acme->telling, entry)
		room -= str_eq(t->issuer, issuer);
	return room;
}

static enum step
on_issuers(void *arg, const struct store_result *r)
{
	struct acme *acme = arg;
	size_t n = r->status == STORE_OK ? store_nrows(r, 0) : 0;
	struct batch *b = NULL;

	acme->tell_asked = 0;
	acme->tell_full = false;
	for (size_t i = 0; i < n; i++) {
		struct str issuer = store_get_str(r, 0, i,
		    REVOCATIONS_ISSUERS_ISSUER);
		int64_t room = room_at(acme, issuer);

		if (room <= 0) {
			acme->tell_full = true;
			continue; /* the next pass has them */
		}
		if (b == NULL)
			b = store_new_batch(acme->store, &acme->tell_pass,
			    STR("revocations"));
		store_add(b, SQL_REVOCATIONS_DUE);
		store_str(b, issuer);
		store_int(b, room);
		acme->tell_asked++;
	}
	if (b == NULL) {
		end_pass(acme);
		return STEP_DONE;
	}
	return store_send_batch(b, on_due, acme);
}

static void
claim(struct acme *acme, const struct store_result *r, unsigned st, size_t i)
{
	struct arena *a = arena_create();
	struct telling *t = arena_new(a, struct telling);
	struct batch *b;

	task_init_in(&t->task, a);
	t->acme = acme;
	t->id = str_dup(a, store_get_str(r, st, i, REVOCATIONS_DUE_ID));
	t->issuer = str_dup(a, store_get_str(r, st, i, REVOCATIONS_DUE_ISSUER));
	timer_init(&t->extend, acme->loop, on_extend, t);
	LIST_INSERT_HEAD(&acme->telling, t, entry);
	b = store_new_batch(acme->store, &t->task, t->id);
	store_add(b, SQL_REVOCATION_CLAIM);
	store_str(b, t->id);
	store_int(b, store_get_int(r, st, i, REVOCATIONS_DUE_TELL_TRIES));
	store_int(b, acme->setup->conf->lease);
	store_require(b);
	(void)store_send_batch(b, on_claimed, t);
}

static enum step
on_due(void *arg, const struct store_result *r)
{
	struct acme *acme = arg;
	unsigned n = r->status == STORE_OK ? acme->tell_asked : 0;

	for (unsigned st = 0; st < n; st++) {
		size_t rows = store_nrows(r, st);

		for (size_t i = 0; i < rows; i++)
			claim(acme, r, st, i);
		if (rows > 0 &&
		    room_at(acme,
			store_get_str(r, st, 0, REVOCATIONS_DUE_ISSUER)) <= 0)
			acme->tell_full = true;
	}
	end_pass(acme);
	return STEP_DONE;
}

/* ---- tell and record */

static void
record(struct telling *t, enum sql sql, int64_t wait)
{
	struct batch *b = store_new_batch(t->acme->store, &t->task, t->id);

	timer_stop(&t->extend);
	t->later = sql == SQL_REVOCATION_LATER;
	store_add(b, sql);
	store_str(b, t->id);
	store_int(b, t->tries);
	if (t->later)
		store_int(b, wait);
	(void)store_send_batch(b, on_recorded, t);
}

static void
record_told(struct telling *t)
{
	metrics_count(FAMILY_revocations_told, "told");
	record(t, SQL_REVOCATION_TOLD, 0);
}

/* 30 s, doubling with each try to an hour */
static int64_t
wait_after(int64_t tries)
{
	int64_t wait = 30 * WHEN_SECOND;

	while (--tries > 0 && wait < WHEN_HOUR)
		wait *= 2;
	return wait < WHEN_HOUR ? wait : WHEN_HOUR;
}

static void
record_failure(struct telling *t, struct str why)
{
	int64_t wait = wait_after(t->tries);

	metrics_count(FAMILY_revocations_told, "failed");
	log_warn("while telling an issuer of a revocation",
	    LOG_STR("issuer", t->issuer), LOG_STR("serial", t->serial),
	    LOG_STR("cause", why),
	    LOG_INT("again_seconds", wait / WHEN_SECOND));
	record(t, SQL_REVOCATION_LATER, wait);
}

static enum step
on_claimed(void *arg, const struct store_result *r)
{
	struct telling *t = arg;
	struct arena *a = t->task.arena;
	const struct acme_options *o = &t->acme->options;
	struct issuer *issuer;

	if (r->status != STORE_OK) {
		end_telling(t); /* another one has it, or the next pass */
		return STEP_DONE;
	}
	t->tries = store_get_int(r, 0, 0, REVOCATION_CLAIM_TELL_TRIES);
	t->serial = str_dup(a, store_get_str(r, 0, 0, REVOCATION_CLAIM_SERIAL));
	timer_start(&t->extend, t->acme->setup->conf->lease / 3);
	issuer = o->find_issuer(o->issuers, t->issuer.p);
	if (issuer == NULL)
		record_failure(t, STR("the issuer is not configured any more"));
	else if (issuer->ops->revoke == NULL)
		record_told(t);
	else
		issuer_revoke(issuer, &t->task, t->serial, on_told, t);
	return STEP_WAITING;
}

static enum step
on_extended(void *arg, const struct store_result *r)
{
	struct telling *t = arg;

	(void)r; /* if it was lost, the end is refused by the fence */
	timer_start(&t->extend, t->acme->setup->conf->lease / 3);
	return STEP_DONE;
}

static void
on_extend(void *arg)
{
	struct telling *t = arg;
	struct batch *b = store_new_batch(t->acme->store, &t->task, t->id);

	store_add(b, SQL_REVOCATION_EXTEND);
	store_str(b, t->id);
	store_int(b, t->tries);
	store_int(b, t->acme->setup->conf->lease);
	(void)store_send_batch(b, on_extended, t);
}

static void
on_told(void *arg, const struct issuer_result *r)
{
	struct telling *t = arg;
	const struct problem *pr = r->problem;

	if (pr == NULL)
		record_told(t);
	else
		record_failure(t,
		    pr->cause != NULL ? str_from(pr->cause) : pr->detail);
}

/* If it could not be recorded, it is due again when the claim runs out. */
/* Many were revoked: the next of them, once these have been told. */
static void
go_on(struct acme *acme, struct str issuer)
{
	if (acme->tell_full && room_at(acme, issuer) == ACME_TELLING_MAX)
		acme_tell_issuers(acme);
}

static enum step
on_recorded(void *arg, const struct store_result *r)
{
	struct telling *t = arg;
	struct acme *acme = t->acme;
	bool moved = r->status == STORE_OK;
	struct arena *a = arena_create();
	struct str issuer = str_dup(a, t->issuer);

	if (t->later && r->status == STORE_OK && store_nrows(r, 0) > 0 &&
	    store_is_null(r, 0, 0, REVOCATION_LATER_TELL_AT)) {
		metrics_count(FAMILY_revocations_told, "given_up");
		log_error("an issuer never heard of a revocation; the "
			  "certificate has expired",
		    LOG_STR("issuer", t->issuer), LOG_STR("serial", t->serial),
		    LOG_INT("tries", t->tries));
	}
	end_telling(t);
	if (moved)
		go_on(acme, issuer);
	arena_destroy(a);
	return STEP_DONE;
}

void
tell_stop_all(struct acme *acme)
{
	struct telling *t;

	if (acme->tell_passing)
		task_end(&acme->tell_pass);
	while ((t = LIST_FIRST(&acme->telling)) != NULL)
		end_telling(t);
}
