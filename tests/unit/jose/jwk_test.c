/* SPDX-License-Identifier: ISC */
/* Keys in JSON: what is taken, what is refused, and thumbprints. */
#include "../arena.h"

#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>

#include "base/b64url.h"
#include "jose/jwk.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* RFC 7638 section 3.1 */
#define RSA_N                                                                  \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1R" \
	"K7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9" \
	"yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZg" \
	"nYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We" \
	"Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDK" \
	"gw"
#define RSA_JWK                                                                \
	"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\","                 \
	"\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}"

/* RFC 7515 appendix A.3 */
#define P256_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define P256_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define P256(more)                                                             \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X                    \
	"\",\"y\":\"" P256_Y "\"" more "}"

/* RFC 8037 appendix A.2 */
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED_JWK "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}"

static void
accept(struct arena *a, const char *text, struct jwk *out)
{
	const struct problem *pr = jwk_parse_text(a, str_from(text), out);

	if (pr != NULL)
		fail_msg("refused: " STR_FMT, STR_ARG(pr->detail));
}

/* The detail, as a C string. */
static const char *
refusal(struct arena *a, const char *text, enum problem_type type)
{
	const struct problem *pr;
	struct jwk jwk;

	if ((pr = jwk_parse_text(a, str_from(text), &jwk)) == NULL)
		fail_msg("accepted: %s", text);
	assert_int_equal(pr->type, type);
	return str_cstr(a, pr->detail);
}

static void
thumbprints_are_those_of_the_rfcs(void **state)
{
	struct jwk jwk;

	accept(*state, RSA_JWK, &jwk);
	assert_int_equal(jwk.kind, JWK_RSA);
	assert_int_equal(jwk.bits, 2048);
	assert_str(jwk.json,
	    "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}");
	assert_str(jwk_thumbprint(*state, &jwk),
	    "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");

	accept(*state, ED_JWK, &jwk);
	assert_int_equal(jwk.kind, JWK_ED25519);
	assert_str(jwk_thumbprint(*state, &jwk),
	    "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

static void
the_canonical_text_holds_only_the_key(void **state)
{
	static const char want[] = "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":"
				   "\"" P256_X "\",\"y\":\"" P256_Y "\"}";
	struct jwk jwk, again;

	accept(*state,
	    P256(",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],"
		 "\"x5u\":[],\"alg\":1"),
	    &jwk);
	assert_int_equal(jwk.kind, JWK_P256);
	assert_int_equal(jwk.bits, 256);
	assert_str(jwk.json, want);
	assert_null(jwk_parse_text(*state, jwk.json, &again));
	assert_memory_equal(jwk.thumbprint, again.thumbprint, 32);
	assert_int_equal(EVP_PKEY_cmp(jwk.key, again.key), 1);
}

static EVP_PKEY *
generate_ec(int nid)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(nid);
	EVP_PKEY *key = EVP_PKEY_new();

	assert_int_equal(EC_KEY_generate_key(ec), 1);
	assert_int_equal(EVP_PKEY_assign_EC_KEY(key, ec), 1);
	return key;
}

static void
every_curve_goes_out_and_in_again(void **state)
{
	static const struct {
		int nid;
		enum jwk_kind kind;
		unsigned bits;
		const char *name;
	} curves[] = {
		{ NID_X9_62_prime256v1, JWK_P256, 256, "P-256" },
		{ NID_secp384r1, JWK_P384, 384, "P-384" },
		{ NID_secp521r1, JWK_P521, 521, "P-521" },
	};

	for (size_t i = 0; i < COUNT(curves); i++) {
		EVP_PKEY *key = generate_ec(curves[i].nid);
		struct jwk out, in;

		assert_true(jwk_from_key(*state, key, &out));
		accept(*state, str_cstr(*state, out.json), &in);
		assert_int_equal(in.kind, curves[i].kind);
		assert_int_equal(in.bits, curves[i].bits);
		assert_string_equal(jwk_kind_name(in.kind), curves[i].name);
		assert_int_equal(EVP_PKEY_cmp(key, in.key), 1);
		assert_memory_equal(out.thumbprint, in.thumbprint, 32);
		EVP_PKEY_free(key);
	}
}

static void
a_key_of_another_kind_has_no_jwk(void **state)
{
	EVP_PKEY *p224 = generate_ec(NID_secp224r1);
	uint8_t raw[32] = { 9 };
	EVP_PKEY *x25519 = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL,
	    raw, sizeof(raw));
	struct jwk jwk;

	assert_false(jwk_from_key(*state, p224, &jwk));
	assert_false(jwk_from_key(*state, x25519, &jwk));
	EVP_PKEY_free(p224);
	EVP_PKEY_free(x25519);
}

static void
rsa_and_ed25519_keys_become_jwks(void **state)
{
	struct jwk in, out;

	accept(*state, RSA_JWK, &in);
	assert_true(jwk_from_key(*state, in.key, &out));
	assert_memory_equal(in.thumbprint, out.thumbprint, 32);
	accept(*state, ED_JWK, &in);
	assert_true(jwk_from_key(*state, in.key, &out));
	assert_memory_equal(in.thumbprint, out.thumbprint, 32);
}

static void
what_is_no_jwk_is_malformed(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "not valid JSON" },
		{ "[]", "is not a JSON object" },
		{ "{}", "lacks a string \"kty\"" },
		{ "{\"kty\":1}", "lacks a string \"kty\"" },
		{ "{\"kty\":\"EC\",\"kty\":\"EC\"}", "twice" },
		{ "{\"kty\":\"EC\"}", "lacks a string \"crv\"" },
		{ "{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "lacks a string \"n\"" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}",
		    "lacks a string \"e\"" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RSA_N "=\",\"e\":\"AQAB\"}",
		    "not base64url" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AAEAAQ\"}",
		    "zero byte" },
		{ "{\"kty\":\"RSA\",\"n\":\"AP7_\",\"e\":\"AQAB\"}",
		    "zero byte" },
		{ "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}", "is empty" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\"}",
		    "lacks a string \"y\"" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"y\":\"" P256_Y "\"}",
		    "lacks a string \"x\"" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":"
		  "\"" P256_Y "\"}",
		    "\"x\" of the JWK has 1 bytes instead of 32" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" P256_X
		  "\",\"y\":\"" P256_Y "\"}",
		    "has 32 bytes instead of 48" },
		/* the same number with trailing bits that are not zero */
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		  "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV\",\"y\":"
		  "\"" P256_Y "\"}",
		    "not base64url" },
		{ "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}",
		    "lacks a string \"x\"" },
		{ "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "A\"}",
		    "instead of 32" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *why = refusal(*state, bad[i].text,
		    PROBLEM_MALFORMED);

		if (strstr(why, bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].text, why);
	}
}

static void
keys_that_will_not_do_are_bad_public_keys(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "{\"kty\":\"oct\",\"k\":\"AAAA\"}", "private member \"k\"" },
		{ "{\"kty\":\"oct\"}", "keys of type \"oct\"" },
		{ "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED_X "\"}",
		    "the curve \"X25519\"" },
		{ "{\"kty\":\"EC\",\"crv\":\"secp256k1\"}",
		    "the curve \"secp256k1\"" },
		{ "{\"kty\":\"EC\",\"crv\":\"Ed25519\"}",
		    "the curve \"Ed25519\"" },
		{ "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X
		  "\",\"y\":\"" P256_X "\"}",
		    "not a point on its curve" },
		{ P256(",\"d\":\"AAAA\""), "private member \"d\"" },
		{ P256(",\"use\":\"enc\""), "verifying signatures" },
		{ P256(",\"use\":1"), "verifying signatures" },
		{ P256(",\"key_ops\":[\"sign\"]"), "verifying signatures" },
		{ P256(",\"key_ops\":\"verify\""), "verifying signatures" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Aw\"}",
		    "exponent below 65537" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAC\"}",
		    "even exponent" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAAAAE\"}",
		    "exponent above 2^32 - 1" },
		{ "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\","
		  "\"p\":\"AAAA\"}",
		    "private member \"p\"" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *why = refusal(*state, bad[i].text,
		    PROBLEM_BAD_PUBLIC_KEY);

		if (strstr(why, bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].text, why);
	}
}

/* An RSA JWK whose modulus begins with top, has len bytes, ends with last. */
static char *
rsa_of(struct arena *a, size_t len, uint8_t top, uint8_t last)
{
	uint8_t *n = arena_alloc(a, len);

	memset(n, 0xa5, len);
	n[0] = top;
	n[len - 1] = last;
	return str_cstr(a,
	    str_printf(a,
		"{\"kty\":\"RSA\",\"n\":\"" STR_FMT "\",\"e\":"
		"\"AQAB\"}",
		STR_ARG(b64url_encode(a, str_make(n, len)))));
}

static void
rsa_moduli_have_2048_to_4096_bits_and_are_odd(void **state)
{
	struct jwk jwk;

	accept(*state, rsa_of(*state, 256, 0x80, 1), &jwk);
	assert_int_equal(jwk.bits, 2048);
	accept(*state, rsa_of(*state, 257, 0x01, 1), &jwk);
	assert_int_equal(jwk.bits, 2049);
	accept(*state, rsa_of(*state, 512, 0xff, 1), &jwk);
	assert_int_equal(jwk.bits, 4096);
	assert_non_null(strstr(refusal(*state, rsa_of(*state, 256, 0x7f, 1),
				   PROBLEM_BAD_PUBLIC_KEY),
	    "less than 2048"));
	assert_non_null(strstr(refusal(*state, rsa_of(*state, 513, 0x01, 1),
				   PROBLEM_BAD_PUBLIC_KEY),
	    "more than 4096"));
	assert_non_null(strstr(refusal(*state, rsa_of(*state, 1024, 0x80, 1),
				   PROBLEM_BAD_PUBLIC_KEY),
	    "more than 4096"));
	assert_non_null(strstr(refusal(*state, rsa_of(*state, 256, 0x80, 2),
				   PROBLEM_BAD_PUBLIC_KEY),
	    "even modulus"));
}

static void
the_key_outlives_its_arena_by_a_reference(void **state)
{
	struct arena *a = arena_create();
	EVP_PKEY *kept;
	struct jwk jwk;

	(void)state;
	accept(a, P256(""), &jwk);
	kept = jwk.key;
	EVP_PKEY_up_ref(kept);
	arena_destroy(a);
	assert_int_equal(EVP_PKEY_bits(kept), 256);
	EVP_PKEY_free(kept);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
	const struct CMUnitTest tests[] = {
		T(thumbprints_are_those_of_the_rfcs),
		T(the_canonical_text_holds_only_the_key),
		T(every_curve_goes_out_and_in_again),
		T(a_key_of_another_kind_has_no_jwk),
		T(rsa_and_ed25519_keys_become_jwks),
		T(what_is_no_jwk_is_malformed),
		T(keys_that_will_not_do_are_bad_public_keys),
		T(rsa_moduli_have_2048_to_4096_bits_and_are_odd),
		T(the_key_outlives_its_arena_by_a_reference),
	};

	return cmocka_run_group_tests_name("jwk", tests, NULL, NULL);
}
