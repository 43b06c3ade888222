/* SPDX-License-Identifier: ISC */
/*
 * Statements with a bug in them, for the proof that it is found (base/fault.h).
 * What is left out of a statement must be in it: a statement that has changed
 * since aborts the process that was to have the bug.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "store/store_int.h"

#ifdef ENABLE_FAULTS
static const struct {
	const char *bug, *stmt, *right, *wrong;
} planted[] = {
	/* any order may be claimed, those that are valid too */
	{ "planted-guard", "order_claim", "status = 'ready'", "attempt >= 0" },
	/* who is second is told that he redeemed it */
	{ "planted-nonce", "nonce_redeem", "DO NOTHING",
	    "DO UPDATE SET mark = excluded.mark" },
	/* work is taken from processes that are at it */
	{ "planted-lease", "orders_stuck", "lease < now_us()",
	    "lease < now_us() + 60000000" },
	{ "planted-lease", "order_retake", "lease < now_us()",
	    "lease < now_us() + 60000000" },
	{ "planted-lease", "loops_due", "l.lease_until <= now_us()",
	    "l.lease_until <= now_us() + 60000000" },
	{ "planted-lease", "loop_claim", "lease_until <= now_us()",
	    "lease_until <= now_us() + 60000000" },
	/* who has lost his attempt stores its result all the same */
	{ "planted-fence", "loop_finish",
	    "attempt = $2 AND lease_until IS NOT NULL", "attempt >= $2" },
	{ "planted-fence", "order_release",
	    "attempt = $2 AND status = 'processing'", "attempt >= $2" },
};

/* The first place of one in another, exchanged; never freed. */
static const char *
exchange(const char *text, const char *old, const char *new)
{
	const char *at = strstr(text, old);
	size_t before, room = strlen(text) + strlen(new) + 1;
	char *out;

	assert(at != NULL);
	if ((out = malloc(room)) == NULL)
		abort();
	before = (size_t)(at - text);
	memcpy(out, text, before);
	strcpy(out + before, new);
	strcat(out + before, at + strlen(old));
	return out;
}

const char *
store_text(const struct sql_stmt *def, enum sql_dialect dialect)
{
	const char *text = def->text[dialect];

	for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++)
		if (strcmp(def->name, planted[i].stmt) == 0 &&
		    PLANTED(planted[i].bug))
			text = exchange(text, planted[i].right,
			    planted[i].wrong);
	return text;
}
#else
const char *
store_text(const struct sql_stmt *def, enum sql_dialect dialect)
{
	return def->text[dialect];
}
#endif
