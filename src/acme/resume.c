/* SPDX-License-Identifier: ISC */
/*
 * The recovery job of validations: those whose lease ran out (the process
 * that had them is dead, or gave them back) are taken over, one batch each,
 * and begun again with the tokens that the client knows.
 */
#include "acme/acme_int.h"

#include "log/log.h"
#include "metrics/metrics.h"

static enum step on_stuck(void *, const struct store_result *);
static enum step on_retaken(void *, const struct store_result *);

/* One authorization of a pass. */
struct resume {
	struct acme *acme;
	struct str authz;
	unsigned *left; /* of this pass */
};

static void
end_pass(struct acme *acme)
{
	acme->is_resuming = false;
	task_end(&acme->resuming);
}

void
acme_resume(struct acme *acme)
{
	struct batch *b;

	if (acme->is_resuming || acme->draining)
		return;
	acme->is_resuming = true;
	task_init(&acme->resuming);
	b = store_new_batch(acme->store, &acme->resuming, STR("resume"));
	store_add(b, SQL_AUTHZ_STUCK);
	store_int(b, ACME_RESUME_MAX);
	(void)store_send_batch(b, on_stuck, acme);
}

/* Statements of a take-over. */
enum { DROPPED, RETAKEN, LOADED };

static void
retake(struct acme *acme, struct str authz, int64_t attempt, unsigned *left)
{
	struct arena *a = acme->resuming.arena;
	struct resume *s = arena_new(a, struct resume);
	struct batch *b;

	s->acme = acme;
	s->authz = str_dup(a, authz);
	s->left = left;
	b = store_new_batch(acme->store, &acme->resuming, s->authz);
	store_add(b, SQL_AUTHZ_DROP);
	store_str(b, s->authz);
	store_int(b, attempt);
	store_add(b, SQL_AUTHZ_RETAKE);
	store_str(b, s->authz);
	store_int(b, attempt);
	store_int(b, acme->setup->conf->lease);
	store_add(b, SQL_AUTHZ_LOAD);
	store_str(b, s->authz);
	(void)store_send_batch(b, on_retaken, s);
}

static enum step
on_stuck(void *arg, const struct store_result *r)
{
	struct acme *acme = arg;
	size_t n = r->status == STORE_OK ? store_nrows(r, 0) : 0;
	unsigned *left;

	if (n == 0) {
		end_pass(acme);
		return STEP_DONE;
	}
	left = arena_new(acme->resuming.arena, unsigned);
	*left = (unsigned)n;
	for (size_t i = 0; i < n; i++)
		retake(acme, store_get_str(r, 0, i, AUTHZ_STUCK_ID),
		    store_get_int(r, 0, i, AUTHZ_STUCK_ATTEMPT), left);
	return STEP_WAITING;
}

static enum step
on_retaken(void *arg, const struct store_result *r)
{
	struct resume *s = arg;
	struct acme *acme = s->acme;

	if (r->status == STORE_OK && store_nrows(r, RETAKEN) > 0) {
		metrics_add(METRIC_resumed_validations, 1);
		log_info("taking over a validation", LOG_STR("authz", s->authz),
		    LOG_INT("attempt",
			store_get_int(r, RETAKEN, 0, AUTHZ_RETAKE_ATTEMPT)));
		validation_start(acme, s->authz, r, LOADED);
	}
	if (--*s->left == 0)
		end_pass(acme);
	return STEP_DONE;
}
