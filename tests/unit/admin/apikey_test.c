/* SPDX-License-Identifier: ISC */
/* API keys: what is one, what it hashes to, and what is none. */
#include "../unit.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "admin/apikey.h"
#include "base/b64url.h"
#include "base/id.h"

struct fx {
	struct arena *arena;
	struct str id, text;
	struct apikey_hash hash;
};

static int
setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	fx->arena = arena_create();
	fx->id = id_new(fx->arena);
	fx->text = apikey_new(fx->arena, fx->id, &fx->hash);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *fx = *state;

	arena_destroy(fx->arena);
	free(fx);
	return 0;
}

static struct str
stored(const struct apikey_hash *h)
{
	return str_make(h->bytes, sizeof(h->bytes));
}

static void
a_key_is_read_as_it_was_written(void **state)
{
	struct fx *fx = *state;
	struct apikey_hash hash;
	struct str id;

	assert_int_equal(fx->text.n, APIKEY_TEXT_LEN);
	assert_true(str_starts(fx->text, STR("clk_")));
	assert_true(apikey_parse(fx->text, &id, &hash));
	assert_true(str_eq(id, fx->id));
	assert_true(apikey_is(&hash, stored(&fx->hash)));
}

static void
its_hash_is_the_sha256_of_32_bytes(void **state)
{
	struct fx *fx = *state;
	uint8_t secret[APIKEY_SECRET_LEN], hash[SHA256_DIGEST_LENGTH];

	assert_true(b64url_decode_exact(str_skip(fx->text, 35), secret,
	    sizeof(secret)));
	SHA256(secret, sizeof(secret), hash);
	assert_memory_equal(hash, fx->hash.bytes, sizeof(hash));
}

static void
no_two_keys_are_the_same(void **state)
{
	struct fx *fx = *state;
	struct apikey_hash other;
	struct str text = apikey_new(fx->arena, fx->id, &other);

	assert_false(str_eq(text, fx->text));
	assert_false(apikey_is(&other, stored(&fx->hash)));
}

/* Another text is either no key, or one with another id or hash: no second
 * text opens what one does. */
static void
any_changed_letter_makes_another_key_or_none(void **state)
{
	struct fx *fx = *state;
	struct apikey_hash hash;
	struct str id;

	for (size_t i = 0; i < fx->text.n; i++) {
		char text[APIKEY_TEXT_LEN];

		for (unsigned c = 0; c < 256; c++) {
			memcpy(text, fx->text.p, sizeof(text));
			if (text[i] == (char)c)
				continue;
			text[i] = (char)c;
			if (!apikey_parse(str_make(text, sizeof(text)), &id,
				&hash))
				continue;
			assert_true(!str_eq(id, fx->id) ||
			    !apikey_is(&hash, stored(&fx->hash)));
		}
	}
}

static void
what_is_too_short_or_too_long_is_no_key(void **state)
{
	struct fx *fx = *state;
	struct str more = str_join(fx->arena, fx->text, STR("A")), id;
	struct apikey_hash hash;

	for (size_t n = 0; n < fx->text.n; n++) {
		/* of its own length, so that a read behind it shows */
		char *p = malloc(n + 1);

		memcpy(p, fx->text.p, n);
		assert_false(apikey_parse(str_make(p, n), &id, &hash));
		free(p);
	}
	assert_false(apikey_parse(more, &id, &hash));
	assert_false(apikey_parse(STR_NONE, &id, &hash));
}

static void
one_bit_or_byte_less_is_not_the_hash(void **state)
{
	struct fx *fx = *state;
	struct str h = stored(&fx->hash);
	uint8_t other[APIKEY_HASH_LEN];

	for (unsigned bit = 0; bit < 8 * APIKEY_HASH_LEN; bit++) {
		memcpy(other, h.p, sizeof(other));
		other[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(
		    apikey_is(&fx->hash, str_make(other, sizeof(other))));
	}
	assert_false(apikey_is(&fx->hash, str_make(h.p, h.n - 1)));
	assert_false(apikey_is(&fx->hash, STR("")));
	assert_false(apikey_is(&fx->hash, STR_NONE));
}

static void
a_header_says_bearer_in_any_case(void **state)
{
	struct str key;

	(void)state;
	assert_true(apikey_of_header(STR("Bearer abc"), &key));
	assert_str(key, "abc");
	assert_true(apikey_of_header(STR("bEARER   abc "), &key));
	assert_str(key, "abc");
	assert_true(apikey_of_header(STR("Bearer"), &key));
	assert_int_equal(key.n, 0);
	assert_true(apikey_of_header(STR("Bearer a, Bearer b"), &key));
	assert_str(key, "a, Bearer b");
}

static void
another_scheme_is_no_key(void **state)
{
	static const char *const none[] = { "", "Basic abc", "Bearerabc", "abc",
		" Bearer abc", "Bear abc" };
	struct str key;

	(void)state;
	assert_false(apikey_of_header(STR_NONE, &key));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_false(apikey_of_header(str_from(none[i]), &key));
		assert_int_equal(key.n, 0);
	}
}

static void
a_name_is_a_word_and_not_an_id(void **state)
{
	struct fx *fx = *state;

	assert_true(apikey_is_name(STR("ci")));
	assert_true(apikey_is_name(STR("Web-team_2.prod")));
	assert_true(apikey_is_name(STR("abcdefghijklmnopqrstuvwxyz012345")));
	assert_false(apikey_is_name(STR("abcdefghijklmnopqrstuvwxyz0123456")));
	assert_false(apikey_is_name(STR("")));
	assert_false(apikey_is_name(STR("two words")));
	assert_false(apikey_is_name(STR("a=b")));
	assert_false(apikey_is_name(STR("a\nb")));
	assert_false(apikey_is_name(STR("caf\xc3\xa9")));
	assert_false(apikey_is_name(fx->id));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_is_read_as_it_was_written,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(
		    its_hash_is_the_sha256_of_32_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(no_two_keys_are_the_same, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    any_changed_letter_makes_another_key_or_none, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    what_is_too_short_or_too_long_is_no_key, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    one_bit_or_byte_less_is_not_the_hash, setup, teardown),
		cmocka_unit_test(a_header_says_bearer_in_any_case),
		cmocka_unit_test(another_scheme_is_no_key),
		cmocka_unit_test_setup_teardown(a_name_is_a_word_and_not_an_id,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
