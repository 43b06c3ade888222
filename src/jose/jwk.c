/* SPDX-License-Identifier: ISC */
/* Public keys from and to JSON: RFC 7517, 7518 section 6, 8037, 7638. */
#include "jose/jwk.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/b64url.h"
#include "jose/jose_int.h"

enum { RSA_BYTES_MAX = JWK_RSA_BITS_MAX / 8 };

/* ---- problems */

static const struct problem *
refuse(struct arena *a, const char *why)
{
	ERR_clear_error();
	return problem_new(a, PROBLEM_BAD_PUBLIC_KEY, "the key %s", why);
}

static const struct problem *
lacks(struct arena *a, const char *member)
{
	return problem_new(a, PROBLEM_MALFORMED,
	    "the JWK lacks a string \"%s\"", member);
}

static const struct problem *
not_base64url(struct arena *a, const char *member)
{
	return problem_new(a, PROBLEM_MALFORMED,
	    "\"%s\" of the JWK is not base64url without padding", member);
}

/* ---- keys */

/* Unsigned big-endian bytes of a member, without leading zeros. */
static const struct problem *
read_number(struct arena *a, const struct json *j, const char *member,
    struct str *out)
{
	struct str text = json_get_str(j, member);

	if (text.p == NULL)
		return lacks(a, member);
	if (text.n > B64URL_LEN(RSA_BYTES_MAX + 1))
		return refuse(a, "holds a number of more than 4096 bits");
	if (!b64url_decode(a, text, out))
		return not_base64url(a, member);
	if (out->n == 0 || out->p[0] == 0)
		return problem_new(a, PROBLEM_MALFORMED,
		    "\"%s\" of the JWK is empty or begins with a zero byte",
		    member);
	return NULL;
}

static EVP_PKEY *
make_rsa(struct str n, struct str e)
{
	BIGNUM *bn = BN_bin2bn((const uint8_t *)n.p, n.n, NULL);
	BIGNUM *be = BN_bin2bn((const uint8_t *)e.p, e.n, NULL);
	EVP_PKEY *key = EVP_PKEY_new();
	RSA *rsa = RSA_new();
	bool ok = false;

	if (bn == NULL || be == NULL || key == NULL || rsa == NULL)
		goto out;
	if (!RSA_set0_key(rsa, bn, be, NULL))
		goto out;
	bn = be = NULL; /* handed over */
	ok = EVP_PKEY_set1_RSA(key, rsa);
out:
	BN_free(bn);
	BN_free(be);
	RSA_free(rsa);
	if (!ok) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

/* NULL if the point, uncompressed, is not on the curve. */
static EVP_PKEY *
make_ec(int nid, const uint8_t *point, size_t len)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(nid);
	EVP_PKEY *key = EVP_PKEY_new();
	EC_POINT *pub = NULL;
	bool ok = false;

	if (ec == NULL || key == NULL)
		goto out;
	pub = EC_POINT_new(EC_KEY_get0_group(ec));
	ok = pub != NULL &&
	    EC_POINT_oct2point(EC_KEY_get0_group(ec), pub, point, len, NULL) &&
	    EC_KEY_set_public_key(ec, pub) && EVP_PKEY_set1_EC_KEY(key, ec);
out:
	EC_POINT_free(pub);
	EC_KEY_free(ec);
	if (!ok) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

/* ---- reading */

static const struct problem *
parse_rsa(struct arena *a, const struct json *j, struct jwk *out)
{
	const struct problem *pr;
	const char *why;
	struct str n, e;

	if ((pr = read_number(a, j, "n", &n)) != NULL ||
	    (pr = read_number(a, j, "e", &e)) != NULL)
		return pr;
	if ((why = jwk_check_modulus(n, &out->bits)) != NULL ||
	    (why = jwk_check_exponent(e)) != NULL)
		return refuse(a, why);
	if ((out->key = make_rsa(n, e)) == NULL)
		return refuse(a, "is not an RSA key");
	jwk_write_json(a, out, json_get_str(j, "n"), json_get_str(j, "e"));
	return NULL;
}

/* A coordinate has exactly the length of the field, RFC 7518 6.2.1.2. */
static const struct problem *
read_coordinate(struct arena *a, const struct json *j, const char *member,
    size_t len, uint8_t *out)
{
	struct str text = json_get_str(j, member), raw;

	if (text.p == NULL)
		return lacks(a, member);
	if (b64url_decode_exact(text, out, len))
		return NULL;
	if (text.n == B64URL_LEN(len) || text.n > JWK_TEXT_MAX ||
	    !b64url_decode(a, text, &raw))
		return not_base64url(a, member);
	return problem_new(a, PROBLEM_MALFORMED,
	    "\"%s\" of the JWK has %zu bytes instead of %zu", member, raw.n,
	    len);
}

static const struct problem *
parse_ec(struct arena *a, const struct json *j, struct jwk *out)
{
	const struct jwk_form *k = &jwk_forms[out->kind];
	uint8_t point[JWK_POINT_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
	const struct problem *pr;

	if ((pr = read_coordinate(a, j, "x", k->len, point + 1)) != NULL ||
	    (pr = read_coordinate(a, j, "y", k->len, point + 1 + k->len)) !=
		NULL)
		return pr;
	if ((out->key = make_ec(k->nid, point, 1 + 2 * k->len)) == NULL)
		return refuse(a, "is not a point on its curve");
	jwk_write_json(a, out, json_get_str(j, "x"), json_get_str(j, "y"));
	return NULL;
}

static const struct problem *
parse_ed25519(struct arena *a, const struct json *j, struct jwk *out)
{
	uint8_t x[JWK_ED25519_LEN];
	const struct problem *pr;

	if ((pr = read_coordinate(a, j, "x", sizeof(x), x)) != NULL)
		return pr;
	out->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x,
	    sizeof(x));
	if (out->key == NULL)
		return refuse(a, "is not an Ed25519 key");
	jwk_write_json(a, out, json_get_str(j, "x"), STR_NONE);
	return NULL;
}

static bool
find_kind(struct str kty, struct str crv, enum jwk_kind *out)
{
	for (unsigned i = 0; i < JWK_FORMS; i++) {
		if (!str_is(kty, jwk_forms[i].kty))
			continue;
		if (jwk_forms[i].crv == NULL || str_is(crv, jwk_forms[i].crv)) {
			*out = (enum jwk_kind)i;
			return true;
		}
	}
	return false;
}

static const struct problem *
read_kind(struct arena *a, const struct json *j, enum jwk_kind *out)
{
	struct str kty = json_get_str(j, "kty"), crv = json_get_str(j, "crv");

	if (kty.p == NULL)
		return lacks(a, "kty");
	if (find_kind(kty, crv, out))
		return NULL;
	if (!str_is(kty, "EC") && !str_is(kty, "OKP"))
		return problem_new(a, PROBLEM_BAD_PUBLIC_KEY,
		    "keys of type \"" STR_FMT "\" are not accepted; use RSA, "
		    "EC or OKP",
		    STR_ARG(str_show(a, kty, 32)));
	if (crv.p == NULL)
		return lacks(a, "crv");
	return problem_new(a, PROBLEM_BAD_PUBLIC_KEY,
	    "the curve \"" STR_FMT "\" is not accepted; use P-256, P-384, "
	    "P-521 or Ed25519",
	    STR_ARG(str_show(a, crv, 32)));
}

/* Is the key meant to verify signatures, RFC 7517 section 4.2 and 4.3? */
static bool
is_for_signatures(const struct json *j)
{
	const struct json *use = json_get(j, "use");
	const struct json *ops = json_get(j, "key_ops");

	if (use != NULL && !str_is(json_get_str(j, "use"), "sig"))
		return false;
	if (ops == NULL)
		return true;
	if (ops->type != JSON_ARRAY)
		return false;
	json_each(op, ops)
		if (op->type == JSON_STRING && str_is(op->str, "verify"))
			return true;
	return false;
}

static const struct problem *
check_members(struct arena *a, const struct json *j)
{
	static const char *const private[] = { "d", "p", "q", "dp", "dq", "qi",
		"oth", "k" };

	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
		if (json_get(j, private[i]) != NULL)
			return problem_new(a, PROBLEM_BAD_PUBLIC_KEY,
			    "the JWK holds the private member \"%s\": never "
			    "send it, and replace this key",
			    private[i]);
	if (!is_for_signatures(j))
		return refuse(a,
		    "is not meant for verifying signatures, by "
		    "its \"use\" or \"key_ops\"");
	return NULL;
}

const struct problem *
jwk_parse(struct arena *a, const struct json *j, struct jwk *out)
{
	const struct problem *pr;

	*out = (struct jwk){ .key = NULL };
	if (j == NULL || j->type != JSON_OBJECT)
		return problem_new(a, PROBLEM_MALFORMED,
		    "the JWK is not a JSON object");
	if ((pr = check_members(a, j)) != NULL ||
	    (pr = read_kind(a, j, &out->kind)) != NULL)
		return pr;
	out->bits = jwk_forms[out->kind].bits;
	if (out->kind == JWK_RSA)
		pr = parse_rsa(a, j, out);
	else if (out->kind == JWK_ED25519)
		pr = parse_ed25519(a, j, out);
	else
		pr = parse_ec(a, j, out);
	if (pr == NULL)
		arena_defer(a, jwk_free_key, out->key);
	return pr;
}

const struct problem *
jwk_parse_text(struct arena *a, struct str text, struct jwk *out)
{
	const struct json *j;
	const char *why;

	if ((j = json_parse(a, text, &why)) == NULL)
		return problem_new(a, PROBLEM_MALFORMED, "the JWK: %s", why);
	return jwk_parse(a, j, out);
}
