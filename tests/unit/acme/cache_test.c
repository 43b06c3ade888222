/* SPDX-License-Identifier: ISC */
/* The account cache: bounded in size and age. */
#include "../unit.h"

#include <openssl/evp.h>

#include "acme/cache.h"
#include "base/when.h"
#include "pki/key.h"

static void
put(struct cache *c, EVP_PKEY *key, const char *profile, const char *id,
    int64_t at)
{
	cache_put(c,
	    &(struct cached_account){ .id = str_from(id),
		.profile = str_from(profile),
		.key = key,
		.kind = JWK_P256,
		.key_version = 7 },
	    at);
}

static void
an_account_is_found_by_profile_and_id_until_it_is_old(void **state)
{
	struct cache *c = cache_new(4);
	EVP_PKEY *key = pki_generate_key(PKI_P256);
	const struct cached_account *a;

	(void)state;
	put(c, key, "p", "one", WHEN_SECOND);
	EVP_PKEY_free(key); /* the cache has its own reference */
	a = cache_get(c, STR("p"), STR("one"), WHEN_SECOND);
	assert_non_null(a);
	assert_int_equal(a->key_version, 7);
	assert_int_equal(EVP_PKEY_id(a->key), EVP_PKEY_EC);
	assert_null(cache_get(c, STR("q"), STR("one"), WHEN_SECOND));
	assert_null(cache_get(c, STR("p"), STR("two"), WHEN_SECOND));
	assert_non_null(cache_get(c, STR("p"), STR("one"),
	    (1 + CACHE_MAX_AGE) * WHEN_SECOND));
	assert_null(cache_get(c, STR("p"), STR("one"),
	    (1 + CACHE_MAX_AGE) * WHEN_SECOND + 1));
	cache_free(c);
}

static void
a_cleared_cache_knows_nobody_and_can_be_used(void **state)
{
	struct cache *c = cache_new(4);
	EVP_PKEY *key = pki_generate_key(PKI_P256);

	(void)state;
	cache_clear(c);
	put(c, key, "p", "one", 0);
	put(c, key, "q", "two", 0);
	cache_clear(c);
	assert_int_equal(cache_size(c), 0);
	assert_null(cache_get(c, STR("p"), STR("one"), 0));
	put(c, key, "p", "one", 0);
	assert_non_null(cache_get(c, STR("p"), STR("one"), 0));
	EVP_PKEY_free(key);
	cache_free(c);
}

static void
a_full_cache_lets_the_oldest_go(void **state)
{
	static const char *const ids[] = { "a", "b", "c", "d", "e" };
	struct cache *c = cache_new(4);
	EVP_PKEY *key = pki_generate_key(PKI_P256);

	(void)state;
	for (size_t i = 0; i < 5; i++)
		put(c, key, "p", ids[i], 0);
	assert_int_equal(cache_size(c), 4);
	assert_null(cache_get(c, STR("p"), STR("a"), 0));
	assert_non_null(cache_get(c, STR("p"), STR("b"), 0));
	put(c, key, "p", "e", 0); /* again: replaced, not added */
	assert_int_equal(cache_size(c), 4);
	cache_drop(c, STR("p"), STR("e"));
	cache_drop(c, STR("p"), STR("nobody"));
	assert_int_equal(cache_size(c), 3);
	EVP_PKEY_free(key);
	cache_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    an_account_is_found_by_profile_and_id_until_it_is_old),
		cmocka_unit_test(a_cleared_cache_knows_nobody_and_can_be_used),
		cmocka_unit_test(a_full_cache_lets_the_oldest_go),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
