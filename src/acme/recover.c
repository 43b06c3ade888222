/* SPDX-License-Identifier: ISC */
/*
 * The recovery job: orders whose claim ran out of its lease (the process that
 * made it is dead, or could not store) are taken over, one guarded statement
 * each, and issued again: with the serial and validity that were claimed, or,
 * by an issuer that does not plan, once more and not a third time.
 */
#include "acme/acme_int.h"

#include "log/log.h"
#include "metrics/metrics.h"

static enum step on_stuck(void *, const struct store_result *);
static enum step on_retaken(void *, const struct store_result *);

static void
end_pass(struct acme *acme)
{
	acme->recovering = false;
	task_end(&acme->recovery);
}

void
acme_recover(struct acme *acme)
{
	struct batch *b;

	if (acme->recovering || acme->nissuing >= ACME_ISSUING_MAX)
		return;
	acme->recovering = true;
	metrics_add(METRIC_recovery_runs, 1);
	task_init(&acme->recovery);
	b = store_new_batch(acme->store, &acme->recovery, STR("recovery"));
	store_add(b, SQL_ORDERS_STUCK);
	store_int(b, ACME_RECOVER_MAX);
	(void)store_send_batch(b, on_stuck, acme);
}

/* One batch an order, so that losing one race does not undo the others. */
struct retake {
	struct acme *acme;
	struct str order;
	unsigned *left; /* of this pass */
};

static void
retake(struct acme *acme, struct str order, int64_t attempt, unsigned *left)
{
	struct arena *a = acme->recovery.arena;
	struct retake *t = arena_new(a, struct retake);
	struct batch *b;

	t->acme = acme;
	t->order = str_dup(a, order);
	t->left = left;
	b = store_new_batch(acme->store, &acme->recovery, t->order);
	store_add(b, SQL_ORDER_RETAKE);
	store_str(b, t->order);
	store_int(b, attempt);
	store_int(b, acme->setup->conf->lease);
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){ .actor = STR("certloopd"),
		.action = "order.retake",
		.object = t->order,
		.order = t->order });
	(void)store_send_batch(b, on_retaken, t);
}

static enum step
on_stuck(void *arg, const struct store_result *r)
{
	struct acme *acme = arg;
	size_t n = r->status == STORE_OK ? store_nrows(r, 0) : 0;
	unsigned *left = arena_new(acme->recovery.arena, unsigned);

	for (size_t i = 0; i < n; i++) {
		struct str order = store_get_str(r, 0, i, ORDERS_STUCK_ID);
		int64_t attempt = store_get_int(r, 0, i, ORDERS_STUCK_ATTEMPT);

		/* the store was away, so the lease was not renewed */
		if (issue_is_ours(acme, order, attempt))
			continue;
		++*left;
		retake(acme, order, attempt, left);
	}
	if (*left > 0)
		return STEP_WAITING;
	end_pass(acme);
	return STEP_DONE;
}

static enum step
on_retaken(void *arg, const struct store_result *r)
{
	struct retake *t = arg;
	struct acme *acme = t->acme;

	if (r->status == STORE_OK) {
		metrics_add(METRIC_recovered_orders, 1);
		log_info("taking over an order", LOG_STR("order", t->order),
		    LOG_INT("attempt",
			store_get_int(r, 0, 0, ORDER_RETAKE_ATTEMPT)));
		issue_start(acme,
		    &(struct claim){ .order = t->order,
			.account = store_get_str(r, 0, 0, ORDER_RETAKE_ACCOUNT),
			.profile = store_get_str(r, 0, 0, ORDER_RETAKE_PROFILE),
			.issuer = store_get_str(r, 0, 0, ORDER_RETAKE_ISSUER),
			.csr = store_get_str(r, 0, 0, ORDER_RETAKE_CSR),
			.serial = store_get_str(r, 0, 0, ORDER_RETAKE_SERIAL),
			.attempt = store_get_int(r, 0, 0, ORDER_RETAKE_ATTEMPT),
			.not_before = store_get_int(r, 0, 0,
			    ORDER_RETAKE_CERT_NOT_BEFORE),
			.not_after = store_get_int(r, 0, 0,
			    ORDER_RETAKE_CERT_NOT_AFTER),
			.uncertain = store_get_int(r, 0, 0,
			    ORDER_RETAKE_UNCERTAIN),
			.created = store_get_int(r, 0, 0,
			    ORDER_RETAKE_CREATED) },
		    NULL, 0, NULL, NULL);
	}
	if (--*t->left == 0)
		end_pass(acme);
	return STEP_DONE;
}
