/* SPDX-License-Identifier: ISC */
/* Nonces: sealed, in date, redeemed once. */
#include "../unit.h"

#include <stdlib.h>

#include "acme/nonce.h"
#include "base/when.h"

#define NOW (INT64_C(1800000000) * WHEN_SECOND)

struct fixture {
	struct arena *a;
	struct nonces *n;
};

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->a = arena_create();
	f->n = nonces_new(WHEN_HOUR);
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;

	nonces_free(f->n);
	arena_destroy(f->a);
	free(f);
	return 0;
}

static struct str
mint(struct nonces *n, struct arena *a, int64_t now)
{
	return nonce_mint(n, a, now, NONCE_PROCESS, STR(""));
}

static void
a_nonce_is_redeemed_once(void **state)
{
	struct fixture *f = *state;
	struct str text = mint(f->n, f->a, NOW);
	struct nonce n;

	assert_true(nonce_open(f->n, f->a, text, NOW + 1, &n));
	assert_true(nonce_redeem(f->n, &n));
	assert_false(nonce_redeem(f->n, &n));
	/* it still opens: opening says nothing of use */
	assert_true(nonce_open(f->n, f->a, text, NOW + 1, &n));
	assert_false(nonce_redeem(f->n, &n));
}

static void
every_nonce_of_many_pages_is_redeemed_once(void **state)
{
	struct fixture *f = *state;
	enum { MANY = 3 * NONCE_PAGE + 7 };
	struct nonce *all = calloc(MANY, sizeof(*all));

	for (size_t i = 0; i < MANY; i++)
		assert_true(nonce_open(f->n, f->a, mint(f->n, f->a, NOW), NOW,
		    &all[i]));
	for (size_t i = MANY; i-- > 0;)
		assert_true(nonce_redeem(f->n, &all[i]));
	for (size_t i = 0; i < MANY; i++)
		assert_false(nonce_redeem(f->n, &all[i]));
	free(all);
}

static void
an_old_nonce_does_not_open(void **state)
{
	struct fixture *f = *state;
	struct str text = mint(f->n, f->a, NOW);
	struct nonce n;

	assert_true(nonce_open(f->n, f->a, text, NOW + WHEN_HOUR, &n));
	assert_false(nonce_open(f->n, f->a, text, NOW + WHEN_HOUR + 1, &n));
	assert_false(nonce_open(f->n, f->a, text, NOW - WHEN_MINUTE, &n));
}

static void
a_page_that_is_out_of_date_is_let_go_and_refused(void **state)
{
	struct fixture *f = *state;
	struct nonce early, n;

	assert_true(nonce_open(f->n, f->a, mint(f->n, f->a, NOW), NOW, &early));
	for (size_t i = 0; i < NONCE_PAGE; i++)
		(void)mint(f->n, f->a, NOW);
	/* the next page begins after the lifetime of the first */
	for (size_t i = 0; i < NONCE_PAGE; i++)
		(void)mint(f->n, f->a, NOW + 2 * WHEN_HOUR);
	assert_false(nonce_redeem(f->n, &early));
	assert_true(nonce_open(f->n, f->a,
	    mint(f->n, f->a, NOW + 2 * WHEN_HOUR), NOW + 2 * WHEN_HOUR, &n));
	assert_true(nonce_redeem(f->n, &n));
}

static void
a_nonce_of_another_process_does_not_open(void **state)
{
	struct fixture *f = *state;
	struct nonces *other = nonces_new(WHEN_HOUR);
	struct nonce n;

	assert_false(nonce_open(f->n, f->a, mint(other, f->a, NOW), NOW, &n));
	nonces_free(other);
}

/* The first one seals, both open. */
static void
share(struct nonces *n, const struct seal_key *key, uint8_t id,
    const struct seal_key *more, uint8_t more_id)
{
	struct nonce_key keys[2] = { { .key = *key, .id = id } };

	if (more != NULL)
		keys[1] = (struct nonce_key){ .key = *more, .id = more_id };
	nonces_share(n, keys, more != NULL ? 2 : 1, 0);
}

static void
a_shared_key_opens_the_nonces_of_other_processes(void **state)
{
	struct fixture *f = *state;
	struct nonces *other = nonces_new(WHEN_HOUR);
	struct seal_key key, next;
	struct str text, own;
	struct nonce n, again;

	seal_key_init(&key);
	seal_key_init(&next);
	share(f->n, &key, 7, NULL, 0);
	share(other, &key, 7, NULL, 0);
	text = nonce_mint(other, f->a, NOW, NONCE_REDIS,
	    STR("0123456789abcdef"));
	assert_true(nonce_open(f->n, f->a, text, NOW, &n));
	assert_int_equal(n.redeemer, NONCE_REDIS);
	assert_memory_equal(n.epoch, "0123456789abcdef", NONCE_EPOCH_LEN);
	assert_true(nonce_open(f->n, f->a,
	    nonce_mint(other, f->a, NOW, NONCE_STORE, STR("0123456789abcdef")),
	    NOW, &again));
	assert_memory_not_equal(n.id, again.id, NONCE_ID_LEN);
	/* a shared redeemer's nonce is not for this process to redeem */
	assert_false(nonce_redeem(f->n, &n));
	/* and another process's own is not for us at all */
	own = mint(other, f->a, NOW);
	assert_false(nonce_open(f->n, f->a, own, NOW, &n));
	/* one that seals and one that comes open both */
	share(f->n, &key, 7, &next, 8);
	assert_true(nonce_open(f->n, f->a, text, NOW, &n));
	share(other, &next, 8, &key, 7);
	text = nonce_mint(other, f->a, NOW, NONCE_REDIS,
	    STR("0123456789abcdef"));
	assert_true(nonce_open(f->n, f->a, text, NOW, &n));
	/* the same key by another name is another key */
	share(f->n, &next, 9, &key, 7);
	assert_false(nonce_open(f->n, f->a, text, NOW, &n));
	nonces_free(other);
}

static void
no_altered_nonce_opens(void **state)
{
	struct fixture *f = *state;
	struct str text = mint(f->n, f->a, NOW);
	char *copy = str_cstr(f->a, text);
	struct nonce n;

	for (size_t i = 0; i < text.n; i++) {
		char was = copy[i];

		copy[i] = was == 'A' ? 'B' : 'A';
		if (copy[i] == was)
			continue;
		assert_false(
		    nonce_open(f->n, f->a, str_make(copy, text.n), NOW, &n));
		copy[i] = was;
	}
	assert_false(nonce_open(f->n, f->a, STR(""), NOW, &n));
	assert_false(
	    nonce_open(f->n, f->a, str_make(text.p, text.n - 1), NOW, &n));
}

static void
another_process_goes_on_where_one_ended(void **state)
{
	struct fixture *f = *state;
	struct nonces *other = nonces_new(WHEN_HOUR);
	struct str used = STR_NONE, open = STR_NONE, text, state_text;
	struct nonce n;

	for (int i = 0; i < 3 * NONCE_PAGE + 7; i++) {
		text = mint(f->n, f->a, NOW + i);
		if (i == NONCE_PAGE + 5)
			used = text;
		if (i == 2 * NONCE_PAGE + 9)
			open = text;
	}
	assert_true(nonce_open(f->n, f->a, used, NOW, &n));
	assert_true(nonce_redeem(f->n, &n));
	assert_false(nonce_open(other, f->a, open, NOW, &n));
	state_text = nonces_write(f->n, f->a);
	assert_true(nonces_read(other, state_text));
	assert_true(nonce_open(other, f->a, used, NOW, &n));
	assert_false(nonce_redeem(other, &n));
	assert_true(nonce_open(other, f->a, open, NOW, &n));
	assert_true(nonce_redeem(other, &n));
	assert_false(nonce_redeem(other, &n));
	/* the newest, and what it mints itself */
	assert_true(nonce_open(other, f->a, text, NOW, &n));
	assert_true(nonce_redeem(other, &n));
	text = mint(other, f->a, NOW);
	assert_true(nonce_open(other, f->a, text, NOW, &n));
	assert_int_equal(n.seq, 3 * NONCE_PAGE + 7);
	assert_true(nonce_redeem(other, &n));
	nonces_free(other);
}

static void
what_is_no_state_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct nonces *other = nonces_new(WHEN_HOUR);
	struct str good, bad;
	struct nonce n;
	char *copy;

	(void)mint(f->n, f->a, NOW);
	good = nonces_write(f->n, f->a);
	for (size_t i = 0; i < good.n; i += i < 100 ? 1 : 97) {
		bad = good;
		bad.n = i;
		assert_false(nonces_read(other, bad));
	}
	copy = arena_alloc(f->a, good.n);
	for (size_t i = 0; i < 16; i++) { /* magic and size */
		memcpy(copy, good.p, good.n);
		copy[i] ^= 0x40;
		assert_false(nonces_read(other, str_make(copy, good.n)));
	}
	assert_true(nonce_open(other, f->a, mint(other, f->a, NOW), NOW, &n));
	nonces_free(other);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, drop)
	const struct CMUnitTest tests[] = {
		T(another_process_goes_on_where_one_ended),
		T(what_is_no_state_changes_nothing),
		T(a_nonce_is_redeemed_once),
		T(every_nonce_of_many_pages_is_redeemed_once),
		T(an_old_nonce_does_not_open),
		T(a_page_that_is_out_of_date_is_let_go_and_refused),
		T(a_nonce_of_another_process_does_not_open),
		T(a_shared_key_opens_the_nonces_of_other_processes),
		T(no_altered_nonce_opens),
	};

	return cmocka_run_group_tests_name("nonce", tests, NULL, NULL);
}
