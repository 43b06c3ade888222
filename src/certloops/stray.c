/* SPDX-License-Identifier: ISC */
/*
 * Strays: certificates that a remote issuer may have made for a loop which has
 * become another one since, or is not wanted any more. Nobody waits for them,
 * and yet they would be good for all of their life. So the issuer is asked for
 * what it has made with that key:
 *
 *	take	the row, until the next look
 *	look	the issuer's, which makes nothing new
 *	end	found: stored revoked (attempt_store.c); and the row goes
 *
 * The first look comes when whoever may still wait for the issuer's answer has
 * given up. A look that had no answer is followed by another one.
 */
#include "certloops/attempt.h"

#include "base/when.h"
#include "log/log.h"

static enum step on_taken(void *, const struct store_result *);
static void on_found(void *, const struct issuer_result *);
static enum step on_over(void *, const struct store_result *);

/* No issuer gives a life that is longer. */
#define STRAY_LIFE (400 * WHEN_DAY)

void
stray_start(struct certloops *cl, struct str issuer,
    const struct store_result *r, unsigned s)
{
	const struct attempt_for f = {
		.name = store_get_str(r, s, 0, STRAYS_NEXT_LOOP),
		.names = store_get_str(r, s, 0, STRAYS_NEXT_NAMES),
		.profile = store_get_str(r, s, 0, STRAYS_NEXT_PROFILE),
		.issuer = issuer,
	};
	struct attempt *t = attempt_new(cl, &f);
	struct arena *a = t->task.arena;
	struct loop_schedule next = { 0 };
	struct batch *b;

	t->stray = str_dup(a, store_get_str(r, s, 0, STRAYS_NEXT_ID));
	t->tries = store_get_int(r, s, 0, STRAYS_NEXT_TRIES);
	t->since = store_get_int(r, s, 0, STRAYS_NEXT_SINCE);
	t->why = attempt_open_key(t,
	    str_cstr(a, store_get_str(r, s, 0, STRAYS_NEXT_KEY_COLUMN)),
	    store_get_str(r, s, 0, STRAYS_NEXT_KEY));
	next.failures = (unsigned)t->tries + 3;
	schedule_next(&next, LOOP_FAILED, 0, 0, certloops_draw(cl));
	b = store_new_batch(cl->store, &t->task, t->stray);
	store_add(b, SQL_STRAY_TAKE);
	store_str(b, t->stray);
	store_int(b, t->tries);
	store_int(b, next.next);
	store_require(b);
	(void)store_send_batch(b, on_taken, t);
}

static void
fail(struct attempt *t, const char *why)
{
	log_warn("while looking for what was made for a cert loop before",
	    LOG_STR("loop", t->name), LOG_STR("issuer", t->issuer),
	    LOG_TEXT("cause", why));
	attempt_end(t);
}

static void
look(struct attempt *t)
{
	struct arena *a = t->task.arena;
	struct issuer_request rq = {
		.csr = pki_write_csr(a, t->key, &t->names, STR_NONE),
		.spki = pki_write_spki(a, t->key),
		.names = &t->names,
		.max_lifetime = WHEN_DAY,
		.eku = PKI_EKU_SERVER,
		.since = t->since,
		.look_only = true,
	};

	issuer_sign(t->signer, &t->task, &rq, on_found, t);
}

static enum step
on_taken(void *arg, const struct store_result *r)
{
	struct attempt *t = arg;
	const char *why = t->why;

	if (r->status != STORE_OK) { /* another has it, or the store is away */
		attempt_end(t);
		return STEP_DONE;
	}
	t->tries++;
	t->now = store_get_int(r, 0, 0, STRAY_TAKE_NOW);
	t->at = loop_mono(t->cl->loop);
	if (t->now - t->since > STRAY_LIFE) {
		stray_end(t);
		return STEP_WAITING;
	}
	if (why == NULL)
		why = attempt_find_signer(t);
	if (why == NULL &&
	    !wanted_read_names(t->task.arena, t->names_text, &t->names))
		why = "its names are none that this version knows";
	if (why != NULL) {
		fail(t, why);
		return STEP_DONE;
	}
	if (t->remote)
		look(t);
	else
		stray_end(t); /* it is another one that has the name now */
	return STEP_WAITING;
}

static void
on_found(void *arg, const struct issuer_result *r)
{
	struct attempt *t = arg;

	if (r->der.n > 0) {
		t->made = issuer_keep_made(t->task.arena, r);
		attempt_store_orphan(t);
	} else if (r->absent) {
		stray_end(t);
	} else {
		fail(t,
		    r->problem == NULL ?
			"there is no certificate in the answer" :
			str_cstr(t->task.arena, problem_reason(r->problem)));
	}
}

void
stray_end(struct attempt *t)
{
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->stray);

	store_add(b, SQL_STRAY_END);
	store_str(b, t->stray);
	store_int(b, t->tries);
	(void)store_send_batch(b, on_over, t);
}

/* If the store did not hear it, the next look finds the same. */
static enum step
on_over(void *arg, const struct store_result *r)
{
	(void)r;
	attempt_end(arg);
	return STEP_DONE;
}
