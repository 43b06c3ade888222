/* SPDX-License-Identifier: ISC */
/*
 * What keys look like as JSON: the canonical text and its thumbprint (RFC
 * 7638), made from a JWK's parts or from a key at hand.
 */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "base/b64url.h"
#include "jose/jose_int.h"

const struct jwk_form jwk_forms[JWK_FORMS] = {
	[JWK_RSA] = { .name = "RSA", .kty = "RSA" },
	[JWK_P256] = { .name = "P-256",
	    .kty = "EC",
	    .crv = "P-256",
	    .nid = NID_X9_62_prime256v1,
	    .bits = 256,
	    .len = 32 },
	[JWK_P384] = { .name = "P-384",
	    .kty = "EC",
	    .crv = "P-384",
	    .nid = NID_secp384r1,
	    .bits = 384,
	    .len = 48 },
	[JWK_P521] = { .name = "P-521",
	    .kty = "EC",
	    .crv = "P-521",
	    .nid = NID_secp521r1,
	    .bits = 521,
	    .len = 66 },
	[JWK_ED25519] = { .name = "Ed25519",
	    .kty = "OKP",
	    .crv = "Ed25519",
	    .bits = 256,
	    .len = JWK_ED25519_LEN },
};

void
jwk_free_key(void *key)
{
	EVP_PKEY_free(key);
}

const char *
jwk_kind_name(enum jwk_kind kind)
{
	return jwk_forms[kind].name;
}

const char *
jwk_check_exponent(struct str e)
{
	uint32_t v = 0;

	if (e.n > JWK_EXPONENT_MAX)
		return "is an RSA key with an exponent above 2^32 - 1";
	for (size_t i = 0; i < e.n; i++)
		v = v << 8 | (uint8_t)e.p[i];
	if (v < 65537)
		return "is an RSA key with an exponent below 65537";
	if (v % 2 == 0)
		return "is an RSA key with an even exponent";
	return NULL;
}

const char *
jwk_check_modulus(struct str n, unsigned *bits)
{
	*bits = (unsigned)n.n * 8;
	for (uint8_t top = (uint8_t)n.p[0]; (top & 0x80) == 0; top <<= 1)
		--*bits;
	if (*bits < JWK_RSA_BITS_MIN)
		return "is an RSA key of less than 2048 bits";
	if (*bits > JWK_RSA_BITS_MAX)
		return "is an RSA key of more than 4096 bits";
	if (n.p[n.n - 1] % 2 == 0)
		return "is an RSA key with an even modulus";
	return NULL;
}

/* Members in the order of their names, RFC 7638 section 3.2. */
void
jwk_write_json(struct arena *a, struct jwk *jwk, struct str first,
    struct str second)
{
	const struct jwk_form *k = &jwk_forms[jwk->kind];
	struct json_writer *w = json_writer_new(a, JWK_TEXT_MAX);

	json_open_object(w, NULL);
	if (k->crv != NULL)
		json_str(w, "crv", str_from(k->crv));
	else
		json_str(w, "e", second);
	json_str(w, "kty", str_from(k->kty));
	json_str(w, k->crv != NULL ? "x" : "n", first);
	if (k->nid != 0)
		json_str(w, "y", second);
	json_close(w);
	jwk->json = json_text(w);
	SHA256((const uint8_t *)jwk->json.p, jwk->json.n, jwk->thumbprint);
}

struct str
jwk_thumbprint(struct arena *a, const struct jwk *jwk)
{
	return b64url_encode(a,
	    str_make(jwk->thumbprint, sizeof(jwk->thumbprint)));
}

/* ---- from a key at hand */

static struct str
number_bytes(struct arena *a, const BIGNUM *bn)
{
	size_t n = BN_num_bytes(bn);
	uint8_t *raw = arena_alloc(a, n);

	BN_bn2bin(bn, raw);
	return str_make(raw, n);
}

static bool
from_rsa(struct arena *a, const RSA *rsa, struct jwk *out)
{
	struct str n = number_bytes(a, RSA_get0_n(rsa));
	struct str e = number_bytes(a, RSA_get0_e(rsa));

	out->kind = JWK_RSA;
	if (n.n == 0 || jwk_check_modulus(n, &out->bits) != NULL ||
	    jwk_check_exponent(e) != NULL)
		return false;
	jwk_write_json(a, out, b64url_encode(a, n), b64url_encode(a, e));
	return true;
}

static bool
from_ec(struct arena *a, const EC_KEY *ec, struct jwk *out)
{
	const EC_GROUP *group = EC_KEY_get0_group(ec);
	const struct jwk_form *k = &jwk_forms[JWK_P256];
	uint8_t point[JWK_POINT_MAX];

	while (k->nid != 0 && k->nid != EC_GROUP_get_curve_name(group))
		k++;
	if (k->nid == 0 ||
	    EC_POINT_point2oct(group, EC_KEY_get0_public_key(ec),
		POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point),
		NULL) != 1 + 2 * k->len)
		return false;
	out->kind = (enum jwk_kind)(k - jwk_forms);
	out->bits = k->bits;
	jwk_write_json(a, out, b64url_encode(a, str_make(point + 1, k->len)),
	    b64url_encode(a, str_make(point + 1 + k->len, k->len)));
	return true;
}

static bool
from_ed25519(struct arena *a, const EVP_PKEY *key, struct jwk *out)
{
	uint8_t x[JWK_ED25519_LEN];
	size_t len = sizeof(x);

	out->kind = JWK_ED25519;
	out->bits = jwk_forms[JWK_ED25519].bits;
	if (!EVP_PKEY_get_raw_public_key(key, x, &len) || len != sizeof(x))
		return false;
	jwk_write_json(a, out, b64url_encode(a, str_make(x, len)), STR_NONE);
	return true;
}

bool
jwk_from_key(struct arena *a, EVP_PKEY *key, struct jwk *out)
{
	bool ok = false;

	*out = (struct jwk){ .key = key };
	switch (EVP_PKEY_id(key)) {
	case EVP_PKEY_RSA:
		ok = from_rsa(a, EVP_PKEY_get0_RSA(key), out);
		break;
	case EVP_PKEY_EC:
		ok = from_ec(a, EVP_PKEY_get0_EC_KEY(key), out);
		break;
	case EVP_PKEY_ED25519:
		ok = from_ed25519(a, key, out);
		break;
	}
	if (!ok)
		return false;
	EVP_PKEY_up_ref(key);
	arena_defer(a, jwk_free_key, key);
	return true;
}
