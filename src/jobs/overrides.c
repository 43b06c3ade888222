/* SPDX-License-Identifier: ISC */
/*
 * A read that began before a change may end after we have heard of it, and
 * would bring back what was before: so all is forgotten at two looks in a row.
 */
#include "jobs/overrides.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/when.h"
#include "ratelimit/override.h"

static const int64_t LOOK = 2 * WHEN_SECOND;

struct overrides {
	struct store *store;
	struct acme *acme;
	struct timer timer;
	struct task task;
	bool looking, again;
	char word[64]; /* that the store had last */
};

static enum step on_looked(void *, const struct store_result *);

static void
look(void *arg)
{
	struct overrides *o = arg;
	struct batch *b;

	o->looking = true;
	task_init(&o->task);
	b = store_new_batch(o->store, &o->task, STR(""));
	store_add(b, SQL_META_GET);
	store_str(b, STR(OVERRIDE_WORD));
	(void)store_send_batch(b, on_looked, o);
}

static void
take_word(struct overrides *o, struct str word)
{
	bool is_other = !str_is(word, o->word);

	if (is_other || o->again)
		acme_forget_accounts(o->acme);
	o->again = is_other;
	if (word.n >= sizeof(o->word))
		word.n = sizeof(o->word) - 1;
	memset(o->word, 0, sizeof(o->word));
	if (word.n > 0)
		memcpy(o->word, word.p, word.n);
}

/* Replicas spread. */
static int64_t
next_look(void)
{
	uint8_t r;

	id_random(&r, sizeof(r));
	return LOOK - LOOK / 5 * r / 255;
}

static enum step
on_looked(void *arg, const struct store_result *r)
{
	struct overrides *o = arg;

	if (r->status == STORE_OK && store_nrows(r, 0) > 0)
		take_word(o, store_get_str(r, 0, 0, META_GET_VALUE));
	o->looking = false;
	timer_start(&o->timer, next_look());
	task_end(&o->task);
	return STEP_DONE;
}

struct overrides *
overrides_start(struct loop *l, struct store *st, struct acme *acme)
{
	struct overrides *o = calloc(1, sizeof(*o));

	if (o == NULL)
		abort();
	o->store = st;
	o->acme = acme;
	timer_init(&o->timer, l, look, o);
	timer_start(&o->timer, next_look());
	return o;
}

void
overrides_stop(struct overrides *o)
{
	if (o == NULL)
		return;
	timer_stop(&o->timer);
	if (o->looking)
		task_end(&o->task);
	free(o);
}
