/* SPDX-License-Identifier: ISC */
/*
 * Which values of a limit hold for a request: those that an operator gave its
 * account, else those of its profile, else those of section limits.
 */
#include "acme/acme_int.h"

#include "ratelimit/override.h"

static const struct conf_rate *
rate_of_profile(const struct conf_profile *p, enum limit_id id)
{
	switch (id) {
	case LIMIT_NEW_ACCOUNT:
		return &p->new_account_per_address;
	case LIMIT_NEW_ORDER:
		return &p->new_order_per_account;
	case LIMIT_KEY_CHANGE:
		return &p->key_change_per_account;
	default:
		return NULL;
	}
}

const struct limit *
limits_override(struct areq *q, enum limit_id id)
{
	struct limit *l = arena_new(q->arena, struct limit);
	const struct conf_rate *rate;

	if (override_find(q->limits, id, l))
		return l;
	rate = rate_of_profile(q->profile->conf, id);
	if (rate == NULL || rate->window == 0) /* not given */
		return NULL;
	*l = (struct limit){ .max = rate->max, .window = rate->window };
	return l;
}

int64_t
limits_open_orders(struct areq *q)
{
	const struct conf_profile *p = q->profile->conf;
	struct limit l;

	if (override_find(q->limits, LIMIT_OPEN_ORDERS, &l))
		return l.max;
	return p->open_orders_per_account > 0 ?
	    p->open_orders_per_account :
	    q->setup->conf->limits.open_orders_per_account;
}
