/* SPDX-License-Identifier: ISC */
/* JWS: the rules of its shape, and signatures of every algorithm. */
#include "../arena.h"

#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>

#include "base/b64url.h"
#include "jose/jws.h"
#include "pki/key.h"
#include "../rsa_key.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* "Payload" in RFC 7515 A.1 to A.3 */
#define CLAIMS                                                                 \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"     \
	"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

static EVP_PKEY *keys[5]; /* by enum jwk_kind */

static EVP_PKEY *
generate_ec(int nid)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(nid);
	EVP_PKEY *key = EVP_PKEY_new();

	assert_int_equal(EC_KEY_generate_key(ec), 1);
	assert_int_equal(EVP_PKEY_assign_EC_KEY(key, ec), 1);
	return key;
}

static EVP_PKEY *
read_rsa(void)
{
	struct arena *a = arena_create();
	EVP_PKEY *key;

	assert_null(pki_parse_key(a, str_from(rsa_key_pem), &key));
	arena_destroy(a);
	return key;
}

static int
make_keys(void **state)
{
	static const uint8_t seed[32] = { 1, 2, 3 };

	(void)state;
	keys[JWK_RSA] = read_rsa();
	keys[JWK_P256] = generate_ec(NID_X9_62_prime256v1);
	keys[JWK_P384] = generate_ec(NID_secp384r1);
	keys[JWK_P521] = generate_ec(NID_secp521r1);
	keys[JWK_ED25519] = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
	    seed, sizeof(seed));
	return 0;
}

static int
drop_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(keys); i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}

/* A body around a protected header; the signature is two zero bytes. */
static struct str
body(struct arena *a, const char *header)
{
	return str_printf(a,
	    "{\"protected\":\"" STR_FMT "\",\"payload\":\"e30\","
	    "\"signature\":\"AAA\"}",
	    STR_ARG(b64url_encode(a, str_from(header))));
}

static void
a_request_is_taken_apart(void **state)
{
	struct jws jws;

	assert_null(jws_parse(*state,
	    body(*state,
		"{\"alg\":\"ES256\",\"kid\":\"https://x/1\","
		"\"nonce\":\"AAAA\",\"url\":\"https://x/2\","
		"\"typ\":\"a\",\"cty\":\"b\",\"other\":{}}"),
	    JWS_REQUEST, &jws));
	assert_int_equal(jws.alg, JWS_ES256);
	assert_str(jws.kid, "https://x/1");
	assert_null(jws.jwk);
	assert_str(jws.nonce, "AAAA");
	assert_str(jws.url, "https://x/2");
	assert_str(jws.payload, "{}");
	assert_str(jws.payload_raw, "e30");
	assert_int_equal(jws.signature.n, 2);
	assert_true(str_starts(jws.signing_input, jws.protected_raw));
	assert_true(str_ends(jws.signing_input, STR(".e30")));
	assert_int_equal(jws.signing_input.n, jws.protected_raw.n + 4);

	assert_null(jws_parse(*state,
	    body(*state,
		"{\"alg\":\"EdDSA\",\"jwk\":{\"alg\":\"EdDSA\"},"
		"\"nonce\":\"AAAA\",\"url\":\"u\"}"),
	    JWS_REQUEST, &jws));
	assert_null(jws.kid.p);
	assert_int_equal(jws.jwk->type, JSON_OBJECT);
}

static void
an_empty_url_is_for_the_caller_to_refuse(void **state)
{
	struct jws jws;

	assert_null(jws_parse(*state,
	    body(*state,
		"{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"AAAA\","
		"\"url\":\"\"}"),
	    JWS_REQUEST, &jws));
	assert_non_null(jws.url.p);
	assert_int_equal(jws.url.n, 0);
}

static void
post_as_get_has_an_empty_payload(void **state)
{
	struct str header = b64url_encode(*state,
	    STR("{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"AAAA\","
		"\"url\":\"u\"}"));
	struct str text = str_printf(*state,
	    "{\"signature\":\"\",\"payload\":\"\",\"protected\":\"" STR_FMT
	    "\",\"ignored\":[1]}",
	    STR_ARG(header));
	struct jws jws;

	assert_null(jws_parse(*state, text, JWS_REQUEST, &jws));
	assert_int_equal(jws.payload.n, 0);
	assert_true(str_ends(jws.signing_input, STR(".")));
	assert_false(jws_verify(&jws, keys[JWK_P256], JWK_P256));
}

static void
expect(struct arena *a, struct str text, enum jws_use use,
    enum problem_type type, const char *why)
{
	const struct problem *pr;
	struct jws jws;

	if ((pr = jws_parse(a, text, use, &jws)) == NULL)
		fail_msg("accepted: " STR_FMT, STR_ARG(text));
	assert_int_equal(pr->type, type);
	if (strstr(str_cstr(a, pr->detail), why) == NULL)
		fail_msg(STR_FMT ": " STR_FMT, STR_ARG(text),
		    STR_ARG(pr->detail));
}

static void
serializations_of_another_shape_are_malformed(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "not valid JSON" },
		{ "e30.e30.e30", "not valid JSON" },
		{ "[]", "is not a JSON object" },
		{ "{}", "lacks one of the strings" },
		{ "{\"protected\":\"e30\",\"payload\":\"\"}",
		    "lacks one of the strings" },
		{ "{\"protected\":\"e30\",\"signature\":\"\"}",
		    "lacks one of the strings" },
		{ "{\"payload\":\"\",\"signature\":\"\"}",
		    "lacks one of the strings" },
		{ "{\"protected\":1,\"payload\":\"\",\"signature\":\"\"}",
		    "lacks one of the strings" },
		{ "{\"protected\":\"e30\",\"payload\":\"\",\"signature\":\"\","
		  "\"header\":{}}",
		    "unprotected header" },
		{ "{\"payload\":\"\",\"signatures\":[]}",
		    "flattened serialization" },
		{ "{\"protected\":\"e30\",\"payload\":\"\",\"payload\":\"\","
		  "\"signature\":\"\"}",
		    "twice" },
		{ "{\"protected\":\"e30\",\"payload\":\"=\","
		  "\"signature\":\"\"}",
		    "\"payload\" that is not base64url" },
		{ "{\"protected\":\"e3 0\",\"payload\":\"\","
		  "\"signature\":\"\"}",
		    "\"protected\" that is not base64url" },
		{ "{\"protected\":\"e30\",\"payload\":\"\","
		  "\"signature\":\"A\"}",
		    "\"signature\" that is not base64url" },
		{ "{\"protected\":\"e30=\",\"payload\":\"\","
		  "\"signature\":\"\"}",
		    "\"protected\" that is not base64url" },
		{ "{\"protected\":\"\",\"payload\":\"\",\"signature\":\"\"}",
		    "protected header of the JWS: not valid JSON" },
		{ "{\"protected\":\"W10\",\"payload\":\"\","
		  "\"signature\":\"\"}",
		    "protected header that is no object" },
	};

	for (size_t i = 0; i < COUNT(bad); i++)
		expect(*state, str_from(bad[i].text), JWS_REQUEST,
		    PROBLEM_MALFORMED, bad[i].why);
}

static void
headers_that_break_a_rule_are_malformed(void **state)
{
	static const struct {
		const char *header, *why;
	} bad[] = {
		{ "{\"kid\":\"k\",\"nonce\":\"AAAA\",\"url\":\"u\"}",
		    "lacks a string \"alg\"" },
		{ "{\"alg\":1,\"kid\":\"k\",\"nonce\":\"AAAA\",\"url\":\"u\"}",
		    "lacks a string \"alg\"" },
		{ "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"k\"}",
		    "twice" },
		{ "{\"alg\":\"ES256\",\"nonce\":\"AAAA\",\"url\":\"u\"}",
		    "neither \"jwk\" nor \"kid\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"jwk\":{},"
		  "\"nonce\":\"AAAA\",\"url\":\"u\"}",
		    "both \"jwk\" and \"kid\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"\",\"nonce\":\"AAAA\","
		  "\"url\":\"u\"}",
		    "\"kid\" that is no string" },
		{ "{\"alg\":\"ES256\",\"kid\":null,\"nonce\":\"AAAA\","
		  "\"url\":\"u\"}",
		    "\"kid\" that is no string" },
		{ "{\"alg\":\"ES256\",\"jwk\":\"k\",\"nonce\":\"AAAA\","
		  "\"url\":\"u\"}",
		    "\"jwk\" that is no object" },
		{ "{\"alg\":\"ES256\",\"jwk\":{\"alg\":\"ES384\"},"
		  "\"nonce\":\"AAAA\",\"url\":\"u\"}",
		    "other than that of its jwk" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"url\":\"u\"}",
		    "lacks a \"nonce\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"A=\","
		  "\"url\":\"u\"}",
		    "not base64url" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"\","
		  "\"url\":\"u\"}",
		    "not base64url" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":1,"
		  "\"url\":\"u\"}",
		    "not base64url" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"AAAA\"}",
		    "lacks a \"url\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"AAAA\","
		  "\"url\":[]}",
		    "lacks a \"url\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"AAAA\","
		  "\"url\":\"u\",\"crit\":[\"exp\"],\"exp\":1}",
		    "\"crit\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"AAAA\","
		  "\"url\":\"u\",\"b64\":true}",
		    "\"b64\"" },
	};

	for (size_t i = 0; i < COUNT(bad); i++)
		expect(*state, body(*state, bad[i].header), JWS_REQUEST,
		    PROBLEM_MALFORMED, bad[i].why);
}

static void
unknown_algorithms_get_the_list_of_known_ones(void **state)
{
	static const char *const bad[] = { "none", "HS256", "RS384", "PS256",
		"ES256K", "es256", "RS1", "" };
	const struct problem *pr;
	struct jws jws;

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct str header = str_printf(*state,
		    "{\"alg\":\"%s\",\"kid\":\"k\"}", bad[i]);

		pr = jws_parse(*state, body(*state, header.p), JWS_REQUEST,
		    &jws);
		assert_non_null(pr);
		assert_int_equal(pr->type, PROBLEM_BAD_SIGNATURE_ALGORITHM);
		assert_int_equal(pr->nalgorithms, 5);
		assert_str(pr->algorithms[4], "EdDSA");
	}
	pr = jws_parse(*state,
	    body(*state, "{\"alg\":\"ES256\",\"kid\":\"k\",\"url\":\"u\"}"),
	    JWS_BINDING, &jws);
	assert_int_equal(pr->type, PROBLEM_BAD_SIGNATURE_ALGORITHM);
	assert_int_equal(pr->nalgorithms, 3);
}

static void
the_inner_jws_of_a_key_change_has_its_own_rules(void **state)
{
	struct jws jws;

	assert_null(jws_parse(*state,
	    body(*state, "{\"alg\":\"ES256\",\"jwk\":{},\"url\":\"u\"}"),
	    JWS_KEY_CHANGE, &jws));
	assert_null(jws.nonce.p);
	expect(*state,
	    body(*state, "{\"alg\":\"ES256\",\"kid\":\"k\",\"url\":\"u\"}"),
	    JWS_KEY_CHANGE, PROBLEM_MALFORMED, "must have a \"jwk\"");
	expect(*state, body(*state, "{\"alg\":\"ES256\",\"url\":\"u\"}"),
	    JWS_KEY_CHANGE, PROBLEM_MALFORMED, "lacks a \"jwk\"");
	expect(*state,
	    body(*state,
		"{\"alg\":\"ES256\",\"jwk\":{},\"url\":\"u\","
		"\"nonce\":\"AAAA\"}"),
	    JWS_KEY_CHANGE, PROBLEM_MALFORMED, "must not have a nonce");
	expect(*state,
	    body(*state, "{\"alg\":\"HS256\",\"jwk\":{},\"url\":\"u\"}"),
	    JWS_KEY_CHANGE, PROBLEM_BAD_SIGNATURE_ALGORITHM, "HS256");
}

static void
a_binding_is_a_mac_with_a_kid(void **state)
{
	struct str header = STR("{\"alg\":\"HS384\",\"kid\":\"k\","
				"\"url\":\"u\"}");
	struct str text = jws_sign_mac(*state, header, STR("{}"), STR("secret"),
	    JWS_HS384);
	const struct json *j = json_parse(*state, text, NULL);
	struct jws jws;

	assert_null(jws_parse_json(*state, j, JWS_BINDING, &jws));
	assert_int_equal(jws.alg, JWS_HS384);
	assert_true(jws_verify_mac(&jws, STR("secret")));
	assert_false(jws_verify_mac(&jws, STR("secres")));
	assert_false(jws_verify_mac(&jws, STR_NONE));
	jws.signature.n--;
	assert_false(jws_verify_mac(&jws, STR("secret")));
	jws.signature.n = 0;
	assert_false(jws_verify_mac(&jws, STR("secret")));
	assert_false(jws_verify(&jws, keys[JWK_RSA], JWK_RSA));
	expect(*state,
	    body(*state, "{\"alg\":\"HS256\",\"jwk\":{},\"url\":\"u\"}"),
	    JWS_BINDING, PROBLEM_MALFORMED, "must have a \"kid\"");
	expect(*state, body(*state, "{\"alg\":\"HS256\",\"url\":\"u\"}"),
	    JWS_BINDING, PROBLEM_MALFORMED, "lacks a \"kid\"");
	expect(*state,
	    body(*state,
		"{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"u\","
		"\"nonce\":\"AAAA\"}"),
	    JWS_BINDING, PROBLEM_MALFORMED, "must not have a nonce");
	expect(*state, STR("[]"), JWS_BINDING, PROBLEM_MALFORMED,
	    "the external account binding is not");
}

static void
parts_have_bounds(void **state)
{
	struct str fill = str_printf(*state, "%*s", 70000, "");
	char *x = arena_alloc(*state, 3000);
	struct str header;

	memset(x, 'x', 3000);
	expect(*state, fill, JWS_REQUEST, PROBLEM_TOO_LARGE, "65536");
	header = str_printf(*state,
	    "{\"alg\":\"ES256\",\"kid\":\"%.*s\",\"nonce\":\"AAAA\","
	    "\"url\":\"u\"}",
	    JWS_KID_MAX + 1, x);
	expect(*state, body(*state, header.p), JWS_REQUEST, PROBLEM_MALFORMED,
	    "\"kid\" that is no string of 1 to");
	header = str_printf(*state,
	    "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"%.*s\","
	    "\"url\":\"u\"}",
	    JWS_NONCE_MAX + 4, x);
	expect(*state, body(*state, header.p), JWS_REQUEST, PROBLEM_MALFORMED,
	    "nonce");
	header = str_printf(*state,
	    "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"AAAA\","
	    "\"url\":\"%.*s\"}",
	    JWS_URL_MAX + 1, x);
	expect(*state, body(*state, header.p), JWS_REQUEST, PROBLEM_MALFORMED,
	    "lacks a \"url\"");
	header = str_printf(*state, "{\"alg\":\"ES256\",\"x\":\"%.*s\"}",
	    JWS_PROTECTED_MAX * 3 / 4, fill.p);
	expect(*state, body(*state, header.p), JWS_REQUEST, PROBLEM_MALFORMED,
	    "more than 8192");
	expect(*state,
	    str_printf(*state,
		"{\"protected\":\"e30\",\"payload\":\"\","
		"\"signature\":\"%.*s\"}",
		688, x),
	    JWS_REQUEST, PROBLEM_MALFORMED, "more than 512");
}

/* ---- signatures */

static struct str
sign(struct arena *a, enum jwk_kind kind)
{
	struct str header = str_printf(a,
	    "{\"alg\":\"%s\",\"kid\":\"k\",\"nonce\":\"AAAA\",\"url\":\"u\"}",
	    jws_alg_name(jws_alg_of(kind)));

	return jws_sign(a, header, STR("{\"a\":1}"), keys[kind],
	    jws_alg_of(kind));
}

static void
what_each_key_signs_verifies_with_it_only(void **state)
{
	for (unsigned i = 0; i < COUNT(keys); i++) {
		struct str text = sign(*state, (enum jwk_kind)i);
		struct jws jws;

		assert_non_null(text.p);
		assert_null(jws_parse(*state, text, JWS_REQUEST, &jws));
		assert_str(jws.payload, "{\"a\":1}");
		for (unsigned k = 0; k < COUNT(keys); k++) {
			assert_int_equal(jws_verify(&jws, keys[k],
					     (enum jwk_kind)k),
			    i == k);
			assert_int_equal(jws_alg_fits(jws.alg,
					     (enum jwk_kind)k),
			    i == k);
			/* a key under a wrong kind is not used */
			if (i != k)
				assert_false(jws_verify(&jws, keys[k],
				    (enum jwk_kind)i));
		}
	}
}

static void
a_changed_byte_anywhere_breaks_the_signature(void **state)
{
	for (unsigned i = 0; i < COUNT(keys); i++) {
		struct str text = sign(*state, (enum jwk_kind)i), sig, in;
		struct jws jws;
		char *p;

		assert_null(jws_parse(*state, text, JWS_REQUEST, &jws));
		sig = jws.signature;
		for (size_t at = 0; at < sig.n; at += 7) {
			jws.signature = str_dup(*state, sig);
			p = (char *)(uintptr_t)jws.signature.p;
			p[at] ^= 1;
			assert_false(
			    jws_verify(&jws, keys[i], (enum jwk_kind)i));
		}
		jws.signature = sig;
		in = jws.signing_input;
		for (size_t at = 0; at < in.n; at += 11) {
			jws.signing_input = str_dup(*state, in);
			p = (char *)(uintptr_t)jws.signing_input.p;
			p[at] ^= 1;
			assert_false(
			    jws_verify(&jws, keys[i], (enum jwk_kind)i));
		}
		jws.signing_input = in;
		assert_true(jws_verify(&jws, keys[i], (enum jwk_kind)i));
	}
}

static void
signatures_have_exactly_their_length(void **state)
{
	for (unsigned i = 0; i < COUNT(keys); i++) {
		struct str text = sign(*state, (enum jwk_kind)i);
		struct jws jws;
		char *longer;

		assert_null(jws_parse(*state, text, JWS_REQUEST, &jws));
		longer = arena_zalloc(*state, jws.signature.n + 2);
		memcpy(longer + 1, jws.signature.p, jws.signature.n);
		/* a zero byte in front, behind, and the last byte gone */
		jws.signature = str_make(longer, jws.signature.n + 1);
		assert_false(jws_verify(&jws, keys[i], (enum jwk_kind)i));
		jws.signature.p++;
		assert_false(jws_verify(&jws, keys[i], (enum jwk_kind)i));
		jws.signature.n -= 2;
		assert_false(jws_verify(&jws, keys[i], (enum jwk_kind)i));
		jws.signature.n = 0;
		assert_false(jws_verify(&jws, keys[i], (enum jwk_kind)i));
	}
}

static void
r_and_s_of_zero_are_no_signature(void **state)
{
	struct str text = sign(*state, JWK_P256);
	struct jws jws;

	assert_null(jws_parse(*state, text, JWS_REQUEST, &jws));
	jws.signature = str_make(arena_zalloc(*state, 64), 64);
	assert_false(jws_verify(&jws, keys[JWK_P256], JWK_P256));
}

static void
a_key_does_not_sign_with_another_algorithm(void **state)
{
	struct str h = STR("{}");

	assert_null(jws_sign(*state, h, h, keys[JWK_P256], JWS_ES384).p);
	assert_null(jws_sign(*state, h, h, keys[JWK_P256], JWS_HS256).p);
	assert_null(jws_sign(*state, h, h, keys[JWK_RSA], JWS_EDDSA).p);
	assert_null(jws_sign_mac(*state, h, h, STR("k"), JWS_ES256).p);
	assert_null(jws_sign_mac(*state, h, h, STR_NONE, JWS_HS256).p);
}

/* A JWS of the RFCs, which has no url and so does not pass jws_parse. */
static struct jws
vector(struct arena *a, enum jws_alg alg, const char *header,
    const char *payload, const char *sig)
{
	struct jws jws = { .alg = alg };

	jws.signing_input = str_printf(a, "%s.%s", header, payload);
	assert_true(b64url_decode(a, str_from(sig), &jws.signature));
	return jws;
}

static void
the_examples_of_the_rfcs_verify(void **state)
{
	struct jws jws;
	struct jwk jwk;
	struct str key;

	/* RFC 7515 A.1 */
	jws = vector(*state, JWS_HS256,
	    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", CLAIMS,
	    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	assert_true(b64url_decode(*state,
	    STR("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3"
		"Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
	    &key));
	assert_true(jws_verify_mac(&jws, key));
	/* A.3 */
	assert_null(jwk_parse_text(*state,
	    STR("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		"\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
		"\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"),
	    &jwk));
	jws = vector(*state, JWS_ES256, "eyJhbGciOiJFUzI1NiJ9", CLAIMS,
	    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
	    "pmWQxfKTUJqPP3-Kg6NU1Q");
	assert_true(jws_verify(&jws, jwk.key, jwk.kind));
	/* A.4 */
	assert_null(jwk_parse_text(*state,
	    STR("{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":"
		"\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_"
		"NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":"
		"\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDl"
		"y79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}"),
	    &jwk));
	jws = vector(*state, JWS_ES512, "eyJhbGciOiJFUzUxMiJ9", "UGF5bG9hZA",
	    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq"
	    "wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8Kp"
	    "EHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn");
	assert_true(jws_verify(&jws, jwk.key, jwk.kind));
	/* RFC 8037 A.5 */
	assert_null(jwk_parse_text(*state,
	    STR("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
		"\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"),
	    &jwk));
	jws = vector(*state, JWS_EDDSA, "eyJhbGciOiJFZERTQSJ9",
	    "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
	    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5B"
	    "hVsPt9g7sVvpAr_MuM0KAg");
	assert_true(jws_verify(&jws, jwk.key, jwk.kind));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
	const struct CMUnitTest tests[] = {
		T(a_request_is_taken_apart),
		T(an_empty_url_is_for_the_caller_to_refuse),
		T(post_as_get_has_an_empty_payload),
		T(serializations_of_another_shape_are_malformed),
		T(headers_that_break_a_rule_are_malformed),
		T(unknown_algorithms_get_the_list_of_known_ones),
		T(the_inner_jws_of_a_key_change_has_its_own_rules),
		T(a_binding_is_a_mac_with_a_kid),
		T(parts_have_bounds),
		T(what_each_key_signs_verifies_with_it_only),
		T(a_changed_byte_anywhere_breaks_the_signature),
		T(signatures_have_exactly_their_length),
		T(r_and_s_of_zero_are_no_signature),
		T(a_key_does_not_sign_with_another_algorithm),
		T(the_examples_of_the_rfcs_verify),
	};

	return cmocka_run_group_tests_name("jws", tests, make_keys, drop_keys);
}
