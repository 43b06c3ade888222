/* SPDX-License-Identifier: ISC */
/*
 * From a claimed order to its certificate. An issuance has a task of its own:
 * whoever waits for it may go away, the work goes on. Every write carries the
 * attempt number, so a claim that was taken over cannot store anything.
 *
 *	sign		the issuer's work
 *	store		order valid, certificate, audit row: one batch
 *	  or fail	order invalid, with the problem
 *	  or release	order ready again: nothing was signed, come again
 *	end		tell whoever waits
 *
 * An issuer that does not plan may be slow, or not there. Meanwhile the lease
 * is renewed. What surely did not sign is asked again, as long as somebody
 * waits for it or until patience ends. What may have signed is noted as
 * uncertain in the order's row before the issuer is asked once more, and not
 * a third time. Before each of these, and in the end, it is asked to look for
 * what it made; so at most one certificate is handed out, and one is lost
 * sight of only if the issuer does not show it.
 */
#include "acme/issue.h"

#include <assert.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/when.h"
#include "issuer/policy.h"
#include "log/log.h"
#include "metrics/metrics.h"

/* The first wait before another try; each one doubles. */
#define BACKOFF_MIN (WHEN_SECOND / 5)
#define BACKOFF_MAX (30 * WHEN_SECOND)

static void on_signed(void *, const struct issuer_result *);

/* ---- waiting */

static void
detach_waiter(struct op *op)
{
	struct waiter *w = (struct waiter *)(void *)op;

	timer_stop(&w->timer);
	w->issuance->waiter = NULL;
}

static void
tell_waiter(struct issuance *s, const struct issued *how)
{
	struct waiter *w = s->waiter;

	if (w == NULL)
		return;
	s->waiter = NULL;
	timer_stop(&w->timer);
	op_done(&w->op);
	(void)w->fn(w->arg, how);
}

static void
on_waited(void *arg)
{
	struct waiter *w = arg;

	tell_waiter(w->issuance, &(struct issued){ .pending = true });
}

static void
add_waiter(struct issuance *s, struct task *t, int64_t wait, issued_fn *fn,
    void *arg)
{
	struct waiter *w = arena_new(s->task.arena, struct waiter);

	w->op.detach = detach_waiter;
	w->issuance = s;
	w->fn = fn;
	w->arg = arg;
	w->until = INT64_MAX;
	timer_init(&w->timer, s->acme->loop, on_waited, w);
	if (s->remote) {
		w->until = s->began + wait;
		timer_start(&w->timer, wait);
	}
	s->waiter = w;
	task_wait(t, &w->op);
}

static void
free_issuance(struct issuance *s)
{
	timer_stop(&s->next);
	timer_stop(&s->lease);
	LIST_REMOVE(s, entry);
	s->acme->nissuing--;
	task_end(&s->task);
}

void
issue_end(struct issuance *s, const struct issued *how)
{
	tell_waiter(s, how);
	free_issuance(s);
}

void
issue_count(const struct issuance *s, const char *outcome)
{
	metrics_count(FAMILY_issuance, s->claim.issuer.p, outcome);
}

/* ---- trying again */

int64_t
issue_backoff(unsigned tries)
{
	int64_t wait = BACKOFF_MIN;

	while (tries-- > 0 && wait < BACKOFF_MAX)
		wait *= 2;
	return wait < BACKOFF_MAX ? wait : BACKOFF_MAX;
}

static void
on_rested(void *arg)
{
	struct issuance *s = arg;

	s->step(s);
}

void
issue_rest(struct issuance *s, unsigned tries, int64_t least,
    void (*step)(struct issuance *))
{
	int64_t wait = issue_backoff(tries);

	s->state = ISSUE_RESTING;
	s->step = step;
	timer_start(&s->next, wait > least ? wait : least);
}

static void
on_lease(void *arg)
{
	struct issuance *s = arg;

	timer_start(&s->lease, s->acme->setup->conf->lease / 3);
	if (!s->lost)
		issue_renew(s);
}

/*
 * Surely nothing was signed. While somebody waits, that is for as long as they
 * do; they then hear why, and the order is theirs to finalize again. Who was
 * told "processing" would not understand an order that is ready again: that
 * one goes on, and fails in the end. An issuer that is resting is not waited
 * for: the answer is there at once.
 */
static void
try_again(struct issuance *s, struct problem *pr, bool resting)
{
	int64_t wait = issue_backoff(s->tries), asked_for = pr->retry_after;
	int64_t now = loop_mono(s->acme->loop);

	if (asked_for * WHEN_SECOND > wait)
		wait = asked_for * WHEN_SECOND;
	if (pr->retry_after == 0)
		pr->retry_after = ISSUE_COME_AGAIN;
	if (s->waiter != NULL && (resting || now + wait > s->waiter->until)) {
		issue_release(s, pr);
	} else if (now + wait > s->began + ISSUE_PATIENCE) {
		pr->detail = STR("the issuer was not available for too long; a "
				 "new order may succeed later");
		issue_fail(s, pr);
	} else {
		issue_rest(s, s->tries++, wait, issue_sign);
	}
}

/* ---- the steps */

static void
copy_claim(struct arena *a, struct claim *to, const struct claim *from)
{
	*to = *from;
	to->order = str_dup(a, from->order);
	to->account = str_dup(a, from->account);
	to->profile = str_dup(a, from->profile);
	to->issuer = str_dup(a, from->issuer);
	to->csr = str_dup(a, from->csr);
	to->serial = str_dup(a, from->serial);
}

/* By name each time: a reload may have put another in its place. */
static struct issuer *
find_issuer(const struct issuance *s)
{
	const struct acme_options *o = &s->acme->options;

	return o->find_issuer(o->issuers, s->claim.issuer.p);
}

void
issue_sign(struct issuance *s)
{
	struct issuer *issuer = find_issuer(s);
	struct issuer_request rq = {
		.csr = s->claim.csr,
		.spki = s->csr.spki,
		.names = &s->csr.names,
		.cn = s->csr.cn_is_name && s->csr.cn.n <= 64 ? s->csr.cn :
							       STR_NONE,
		.kind = s->csr.kind,
		.not_before = s->claim.not_before,
		.not_after = s->claim.not_after,
		.max_lifetime = s->profile->conf->lifetime,
		.eku = policy_purposes(s->profile->conf),
		.must_staple = s->csr.must_staple,
		.no_rev_avail = s->profile->conf->no_rev_avail,
		.since = s->claim.uncertain > 0 && !s->conflicted ?
		    s->claim.created :
		    0,
		.look_only = s->claim.uncertain > ISSUE_UNCERTAIN_MAX,
	};
	struct str raw;

	if (!s->remote) {
		if (!hex_decode(s->task.arena, s->claim.serial, &raw) ||
		    raw.n != sizeof(rq.serial)) {
			issue_fail(s,
			    problem_cause(s->task.arena, PROBLEM_SERVER,
				"the claimed serial is broken"));
			return;
		}
		memcpy(rq.serial, raw.p, raw.n);
	}
	s->state = ISSUE_SIGNING;
	FAULT("a request for a certificate before it is sent");
	issuer_sign(issuer, &s->task, &rq, on_signed, s);
}

/* Read back what was claimed; profile or issuer may be gone by now. */
static const struct problem *
open_claim(struct issuance *s)
{
	struct arena *a = s->task.arena;
	const struct issuer *issuer = find_issuer(s);

	if (s->claim.attempt > ACME_ATTEMPTS_MAX)
		return problem_cause(a, PROBLEM_SERVER,
		    "the order was claimed too often without a certificate");
	s->profile = acme_find_profile(s->setup, s->claim.profile);
	if (s->profile == NULL)
		return problem_cause(a, PROBLEM_SERVER,
		    "the profile of the order is not configured any more");
	if (issuer == NULL)
		return problem_cause(a, PROBLEM_SERVER,
		    "the issuer of the order is not configured any more");
	s->remote = !issuer->ops->plans;
	/* its signature was checked before it was claimed */
	if (pki_read_csr(a, s->claim.csr, &s->csr) != NULL)
		return problem_cause(a, PROBLEM_SERVER,
		    "the claimed CSR is broken");
	return NULL;
}

void
issue_start(struct acme *acme, const struct claim *claim, struct task *t,
    int64_t wait, issued_fn *fn, void *arg)
{
	struct arena *a = arena_create();
	struct issuance *s = arena_new(a, struct issuance);
	const struct problem *pr;

	task_init_in(&s->task, a);
	s->acme = acme;
	s->setup = acme_hold(acme, s->task.arena);
	s->began = loop_mono(acme->loop);
	timer_init(&s->next, acme->loop, on_rested, s);
	timer_init(&s->lease, acme->loop, on_lease, s);
	copy_claim(s->task.arena, &s->claim, claim);
	LIST_INSERT_HEAD(&acme->issuing, s, entry);
	acme->nissuing++;
	pr = open_claim(s);
	if (t != NULL)
		add_waiter(s, t, wait, fn, arg);
	if (s->remote)
		timer_start(&s->lease, acme->setup->conf->lease / 3);
	if (pr != NULL)
		issue_fail(s, pr);
	else
		issue_sign(s);
}

/* ---- the answer */

static void
give_up(struct issuance *s, struct problem *pr, bool uncertain)
{
	if (s->unanswered != NULL && pr->type == PROBLEM_SERVER && uncertain)
		pr = s->unanswered; /* rather than that there is nothing */
	if (uncertain)
		pr->detail = STR("the issuer was asked twice and gave no "
				 "answer; a new order may succeed");
	issue_fail(s, pr);
}

static void
mark(struct issuance *s, struct problem *pr)
{
	unsigned wait = pr->retry_after < ISSUE_SOON ? pr->retry_after :
						       ISSUE_SOON;

	s->unanswered = pr;
	issue_mark(s, wait * WHEN_SECOND);
}

static void
on_refused(struct issuance *s, const struct issuer_result *r)
{
	struct problem *pr = problem_keep(s->task.arena, r->problem);

	log_warn("while asking an issuer", LOG_STR("issuer", s->claim.issuer),
	    LOG_STR("order", s->claim.order),
	    LOG_INT("attempt", s->claim.attempt),
	    LOG_TEXT("class", issuer_class_name(r->class)),
	    LOG_BOOL("uncertain", r->uncertain),
	    LOG_TEXT("cause", pr->cause != NULL ? pr->cause : pr->detail.p));
	audit_note_try(&s->refused, s->task.arena,
	    &(struct audit_try){ .at = loop_wall(s->acme->loop),
		.outcome = r->uncertain ? "uncertain" :
					  issuer_class_name(r->class),
		.why = problem_reason(pr) });
	if (s->lost && r->der.n == 0)
		issue_end(s, &(struct issued){ .pending = true });
	else if (r->uncertain && s->claim.uncertain <= ISSUE_UNCERTAIN_MAX)
		mark(s, pr);
	else if (!r->uncertain && r->again && s->remote)
		try_again(s, pr, r->resting);
	else
		give_up(s, pr, r->uncertain);
}

static void
on_signed(void *arg, const struct issuer_result *r)
{
	struct issuance *s = arg;

	FAULT("a certificate after it was made");
	if (r->der.n > 0)
		s->made = issuer_keep_made(s->task.arena, r);
	if (r->problem != NULL)
		on_refused(s, r);
	else
		issue_store(s);
}

bool
issue_is_ours(const struct acme *acme, struct str order, int64_t attempt)
{
	const struct issuance *s;

	LIST_FOREACH(s, &acme->issuing, entry)
		if (s->claim.attempt == attempt &&
		    str_eq(s->claim.order, order))
			return true;
	return false;
}

unsigned
issue_at_work(const struct acme *acme)
{
	const struct issuance *s;
	unsigned n = 0;

	LIST_FOREACH(s, &acme->issuing, entry)
		n += s->state != ISSUE_RESTING;
	return n;
}

void
issue_stop_all(struct acme *acme)
{
	struct issuance *s;

	while ((s = LIST_FIRST(&acme->issuing)) != NULL) {
		assert(s->waiter == NULL);
		free_issuance(s);
	}
}
