/* SPDX-License-Identifier: ISC */
/*
 * From a claimed order to its certificate. An issuance has a task of its own:
 * whoever waits for it may go away, the work goes on. Every write carries the
 * attempt number, so a claim that was taken over cannot store anything.
 *
 *	sign		the issuer's work
 *	store		order valid, certificate, audit row: one batch
 *	  or fail	order invalid, with the problem
 *	end		tell whoever waits
 */
#include "acme/acme_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

struct waiter {
	struct op op; /* on the waiting task */
	struct issuance *issuance;
	issued_fn *fn;
	void *arg;
};

struct issuance {
	LIST_ENTRY(issuance) entry; /* acme->issuing */
	struct acme *acme;
	struct task task;      /* its arena holds this struct */
	struct waiter *waiter; /* NULL: nobody waits (any more) */
	struct claim claim;
	struct acme_setup *setup;
	const struct acme_profile *profile;
	struct pki_csr csr;
	struct str cert_id;
	const struct problem *problem; /* why it failed */
};

static void on_signed(void *, const struct issuer_result *);
static enum step on_stored(void *, const struct store_result *);
static enum step on_failed(void *, const struct store_result *);

/* ---- waiting */

static void
detach_waiter(struct op *op)
{
	struct waiter *w = (struct waiter *)(void *)op;

	w->issuance->waiter = NULL;
}

static void
add_waiter(struct issuance *s, struct task *t, issued_fn *fn, void *arg)
{
	struct waiter *w = arena_new(s->task.arena, struct waiter);

	w->op.detach = detach_waiter;
	w->issuance = s;
	w->fn = fn;
	w->arg = arg;
	s->waiter = w;
	task_wait(t, &w->op);
}

/* Tell, then go. */
static void
end_issuance(struct issuance *s, const struct issued *how)
{
	struct waiter *w = s->waiter;

	if (w != NULL) {
		s->waiter = NULL;
		op_done(&w->op);
		(void)w->fn(w->arg, how);
	}
	LIST_REMOVE(s, entry);
	s->acme->nissuing--;
	task_end(&s->task);
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

static void
send_failure(struct issuance *s, const struct problem *pr)
{
	struct arena *a = s->task.arena;
	struct batch *b = store_new_batch(s->acme->store, &s->task,
	    s->claim.account);
	struct str error = problem_json(a, pr);

	log_warn("while issuing", LOG_STR("order", s->claim.order),
	    LOG_STR("problem", problem_name(pr->type)),
	    LOG_TEXT("cause", pr->cause != NULL ? pr->cause : pr->detail.p));
	s->problem = pr;
	store_add(b, SQL_ORDER_FAIL);
	store_str(b, s->claim.order);
	store_int(b, s->claim.attempt);
	store_str(b, error);
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){
		.actor = STR("certloopd"),
		.action = "order.fail",
		.object = s->claim.order,
		.order = s->claim.order,
		.account = s->claim.account,
		.serial = s->claim.serial,
		.detail = error,
	    });
	(void)store_send_batch(b, on_failed, s);
}

static unsigned
eku_of(const struct conf_profile *p)
{
	return (p->server_auth ? PKI_EKU_SERVER : 0U) |
	    (p->client_auth ? PKI_EKU_CLIENT : 0U);
}

static void
sign(struct issuance *s)
{
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
		.eku = eku_of(s->profile->conf),
	};
	struct str raw;

	if (!hex_decode(s->task.arena, s->claim.serial, &raw) ||
	    raw.n != sizeof(rq.serial)) {
		send_failure(s,
		    problem_cause(s->task.arena, PROBLEM_SERVER,
			"the claimed serial is broken"));
		return;
	}
	memcpy(rq.serial, raw.p, raw.n);
	s->profile->issuer->ops->sign(s->profile->issuer, &s->task, &rq,
	    on_signed, s);
}

/* Read back what was claimed; the profile or issuer may be gone by now. */
static const struct problem *
open_claim(struct issuance *s)
{
	struct arena *a = s->task.arena;

	if (s->claim.attempt > ACME_ATTEMPTS_MAX)
		return problem_cause(a, PROBLEM_SERVER,
		    "the order was claimed too often without a certificate");
	s->profile = acme_find_profile(s->setup, s->claim.profile);
	if (s->profile == NULL)
		return problem_cause(a, PROBLEM_SERVER,
		    "the profile of the order is not configured any more");
	if (!str_is(s->claim.issuer, s->profile->issuer->name))
		return problem_cause(a, PROBLEM_SERVER,
		    "the issuer of the order is not the profile's any more");
	/* its signature was checked before it was claimed */
	if (pki_read_csr(a, s->claim.csr, &s->csr) != NULL)
		return problem_cause(a, PROBLEM_SERVER,
		    "the claimed CSR is broken");
	return NULL;
}

void
issue_start(struct acme *acme, const struct claim *claim, struct task *t,
    issued_fn *fn, void *arg)
{
	struct task task;
	struct issuance *s;
	const struct problem *pr;

	task_init(&task);
	s = arena_new(task.arena, struct issuance);
	s->task.arena = task.arena;
	LIST_INIT(&s->task.ops);
	s->acme = acme;
	s->setup = acme_hold(acme, s->task.arena);
	copy_claim(s->task.arena, &s->claim, claim);
	LIST_INSERT_HEAD(&acme->issuing, s, entry);
	acme->nissuing++;
	if (t != NULL)
		add_waiter(s, t, fn, arg);
	if ((pr = open_claim(s)) != NULL)
		send_failure(s, pr);
	else
		sign(s);
}

static void
put_certificate(struct issuance *s, struct batch *b,
    const struct issuer_result *r)
{
	struct arena *a = s->task.arena;
	struct str hash = str_make(s->csr.spki_hash, sizeof(s->csr.spki_hash));

	store_add(b, SQL_CHAIN_INSERT);
	store_str(b, str_from(r->chain_id));
	store_str(b, r->chain_pem);
	store_add(b, SQL_CERT_INSERT);
	store_str(b, s->cert_id);
	store_str(b, s->claim.order);
	store_str(b, s->claim.account);
	store_str(b, s->claim.profile);
	store_str(b, s->claim.issuer);
	store_str(b, s->claim.serial);
	store_int(b, s->claim.not_before);
	store_int(b, s->claim.not_after);
	store_blob(b, r->der);
	store_str(b, str_from(r->chain_id));
	store_str(b, hex_encode(a, hash));
	store_str(b, names_text(a, &s->csr.names));
}

static void
on_signed(void *arg, const struct issuer_result *r)
{
	struct issuance *s = arg;
	struct arena *a = s->task.arena;
	struct batch *b;

	if (r->problem != NULL) {
		struct problem *pr = arena_new(a, struct problem);

		*pr = *r->problem; /* the issuer's goes away with its call */
		pr->detail = str_dup(a, pr->detail);
		if (pr->cause != NULL)
			pr->cause = str_cstr(a, str_from(pr->cause));
		send_failure(s, pr);
		return;
	}
	s->cert_id = id_new(a);
	b = store_new_batch(s->acme->store, &s->task, s->claim.account);
	store_add(b, SQL_ORDER_FINISH);
	store_str(b, s->claim.order);
	store_int(b, s->claim.attempt);
	store_str(b, s->cert_id);
	store_require(b);
	put_certificate(s, b, r);
	audit_add(b,
	    &(struct audit_entry){
		.actor = str_printf(a, "account:" STR_FMT,
		    STR_ARG(s->claim.account)),
		.action = "certificate.issue",
		.object = s->cert_id,
		.order = s->claim.order,
		.account = s->claim.account,
		.serial = s->claim.serial,
	    });
	(void)store_send_batch(b, on_stored, s);
}

static enum step
on_stored(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;
	struct issued how = { .pending = true };

	if (r->status == STORE_OK) {
		metrics_add(METRIC_certificates_issued, 1);
		how = (struct issued){ .order = r, .stmt = 0 };
	} else if (r->status != STORE_LOST) {
		/* the lease runs out and recovery takes the order over */
		log_warn("while storing a certificate",
		    LOG_STR("order", s->claim.order),
		    LOG_TEXT("cause",
			r->problem != NULL ? r->problem->cause : "conflict"));
	}
	end_issuance(s, &how);
	return STEP_DONE;
}

static enum step
on_failed(void *arg, const struct store_result *r)
{
	struct issuance *s = arg;
	struct issued how = { .pending = true };

	if (r->status == STORE_OK)
		how = (struct issued){ .failed = s->problem };
	end_issuance(s, &how);
	return STEP_DONE;
}

void
issue_stop_all(struct acme *acme)
{
	struct issuance *s;

	while ((s = LIST_FIRST(&acme->issuing)) != NULL) {
		assert(s->waiter == NULL);
		LIST_REMOVE(s, entry);
		acme->nissuing--;
		task_end(&s->task);
	}
}
