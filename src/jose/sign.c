/* SPDX-License-Identifier: ISC */
/* Making and checking JWS signatures and MACs: RFC 7518 section 3, RFC 8037. */
#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include "base/b64url.h"
#include "jose/jose_int.h"
#include "jose/jws.h"

enum { ED25519_SIGNATURE = 64 };

static const struct alg {
	const EVP_MD *(*md)(void);
	int pkey; /* EVP_PKEY_...; 0 for a MAC */
	int nid;  /* of the curve */
	int len;  /* bytes of r and of s */
	enum jwk_kind kind;
} algs[] = {
	[JWS_RS256] = { .md = EVP_sha256,
	    .pkey = EVP_PKEY_RSA,
	    .kind = JWK_RSA },
	[JWS_ES256] = { .md = EVP_sha256,
	    .pkey = EVP_PKEY_EC,
	    .nid = NID_X9_62_prime256v1,
	    .len = 32,
	    .kind = JWK_P256 },
	[JWS_ES384] = { .md = EVP_sha384,
	    .pkey = EVP_PKEY_EC,
	    .nid = NID_secp384r1,
	    .len = 48,
	    .kind = JWK_P384 },
	[JWS_ES512] = { .md = EVP_sha512,
	    .pkey = EVP_PKEY_EC,
	    .nid = NID_secp521r1,
	    .len = 66,
	    .kind = JWK_P521 },
	[JWS_EDDSA] = { .pkey = EVP_PKEY_ED25519, .kind = JWK_ED25519 },
	[JWS_HS256] = { .md = EVP_sha256 },
	[JWS_HS384] = { .md = EVP_sha384 },
	[JWS_HS512] = { .md = EVP_sha512 },
};

struct digest {
	uint8_t bytes[EVP_MAX_MD_SIZE];
	unsigned len;
};

static const uint8_t *
bytes(struct str s)
{
	return (const uint8_t *)s.p;
}

struct str
jose_signing_input(struct arena *a, struct str protected_raw,
    struct str payload_raw)
{
	size_t n = protected_raw.n + 1 + payload_raw.n;
	char *p = arena_alloc(a, n);

	memcpy(p, protected_raw.p, protected_raw.n);
	p[protected_raw.n] = '.';
	if (payload_raw.n > 0)
		memcpy(p + protected_raw.n + 1, payload_raw.p, payload_raw.n);
	return str_make(p, n);
}

bool
jws_alg_fits(enum jws_alg alg, enum jwk_kind kind)
{
	return algs[alg].pkey != 0 && algs[alg].kind == kind;
}

enum jws_alg
jws_alg_of(enum jwk_kind kind)
{
	enum jws_alg alg = JWS_RS256;

	while (!jws_alg_fits(alg, kind))
		alg++;
	return alg;
}

/* Is it a key of the very kind that the algorithm is for? */
static bool
is_key_for(const EVP_PKEY *key, const struct alg *alg)
{
	if (alg->pkey == 0 || EVP_PKEY_id(key) != alg->pkey)
		return false;
	return alg->pkey != EVP_PKEY_EC ||
	    EC_GROUP_get_curve_name(
		EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key))) == alg->nid;
}

static struct digest
hash(const struct alg *alg, struct str s)
{
	struct digest d = { .len = 0 };

	EVP_Digest(s.p, s.n, d.bytes, &d.len, alg->md(), NULL);
	return d;
}

/* ---- verifying */

static bool
verify_rsa(const struct jws *jws, EVP_PKEY *key, const struct alg *alg)
{
	RSA *rsa = EVP_PKEY_get0_RSA(key);
	struct digest d = hash(alg, jws->signing_input);

	return jws->signature.n == RSA_size(rsa) &&
	    RSA_verify(EVP_MD_type(alg->md()), d.bytes, d.len,
		bytes(jws->signature), jws->signature.n, rsa);
}

/* The signature is r and s, each as long as the field, RFC 7518 3.4. */
static bool
verify_ecdsa(const struct jws *jws, EVP_PKEY *key, const struct alg *alg)
{
	size_t len = (size_t)alg->len;
	struct digest d;
	ECDSA_SIG *sig;
	BIGNUM *r, *s;
	bool ok;

	if (jws->signature.n != 2 * len)
		return false;
	sig = ECDSA_SIG_new();
	r = BN_bin2bn(bytes(jws->signature), len, NULL);
	s = BN_bin2bn(bytes(jws->signature) + len, len, NULL);
	if (sig == NULL || !ECDSA_SIG_set0(sig, r, s)) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(sig);
		return false;
	}
	d = hash(alg, jws->signing_input);
	ok = ECDSA_do_verify(d.bytes, d.len, sig, EVP_PKEY_get0_EC_KEY(key));
	ECDSA_SIG_free(sig);
	return ok;
}

static bool
verify_ed25519(const struct jws *jws, EVP_PKEY *key)
{
	EVP_MD_CTX ctx;
	bool ok;

	if (jws->signature.n != ED25519_SIGNATURE)
		return false;
	EVP_MD_CTX_init(&ctx);
	ok = EVP_DigestVerifyInit(&ctx, NULL, NULL, NULL, key) &&
	    EVP_DigestVerify(&ctx, bytes(jws->signature), jws->signature.n,
		bytes(jws->signing_input), jws->signing_input.n);
	EVP_MD_CTX_cleanup(&ctx);
	return ok;
}

bool
jws_verify(const struct jws *jws, EVP_PKEY *key, enum jwk_kind kind)
{
	const struct alg *alg = &algs[jws->alg];
	bool ok;

	if (!jws_alg_fits(jws->alg, kind) || !is_key_for(key, alg))
		return false;
	if (alg->pkey == EVP_PKEY_RSA)
		ok = verify_rsa(jws, key, alg);
	else if (alg->pkey == EVP_PKEY_EC)
		ok = verify_ecdsa(jws, key, alg);
	else
		ok = verify_ed25519(jws, key);
	if (!ok)
		ERR_clear_error();
	return ok;
}

/* False if alg is no MAC or the key is empty. */
static bool
mac(enum jws_alg alg, struct str key, struct str text, struct digest *out)
{
	return algs[alg].pkey == 0 && key.n > 0 &&
	    HMAC(algs[alg].md(), key.p, key.n, bytes(text), text.n, out->bytes,
		&out->len) != NULL;
}

bool
jws_verify_mac(const struct jws *jws, struct str key)
{
	struct digest d;

	return mac(jws->alg, key, jws->signing_input, &d) &&
	    jws->signature.n == d.len &&
	    CRYPTO_memcmp(d.bytes, jws->signature.p, d.len) == 0;
}

/* ---- signing */

static bool
sign_ecdsa(const struct digest *d, EVP_PKEY *key, const struct alg *alg,
    uint8_t *out, size_t *len)
{
	size_t half = (size_t)alg->len;
	ECDSA_SIG *sig;
	bool ok;

	sig = ECDSA_do_sign(d->bytes, d->len, EVP_PKEY_get0_EC_KEY(key));
	ok = sig != NULL &&
	    BN_bn2bin_padded(out, half, ECDSA_SIG_get0_r(sig)) &&
	    BN_bn2bin_padded(out + half, half, ECDSA_SIG_get0_s(sig));
	*len = 2 * half;
	ECDSA_SIG_free(sig);
	return ok;
}

static bool
sign_rsa(const struct digest *d, EVP_PKEY *key, const struct alg *alg,
    uint8_t *out, size_t *len)
{
	RSA *rsa = EVP_PKEY_get0_RSA(key);
	unsigned n = 0;

	if (RSA_size(rsa) > JWS_SIGNATURE_MAX ||
	    !RSA_sign(EVP_MD_type(alg->md()), d->bytes, d->len, out, &n, rsa))
		return false;
	*len = n;
	return true;
}

static bool
sign_ed25519(struct str text, EVP_PKEY *key, uint8_t *out, size_t *len)
{
	EVP_MD_CTX ctx;
	bool ok;

	EVP_MD_CTX_init(&ctx);
	ok = EVP_DigestSignInit(&ctx, NULL, NULL, NULL, key) &&
	    EVP_DigestSign(&ctx, out, len, bytes(text), text.n);
	EVP_MD_CTX_cleanup(&ctx);
	return ok;
}

static struct str
flatten(struct arena *a, struct str protected_raw, struct str payload_raw,
    const uint8_t *sig, size_t len)
{
	struct json_writer *w = json_writer_new(a, JWS_BODY_MAX);

	json_open_object(w, NULL);
	json_str(w, "protected", protected_raw);
	json_str(w, "payload", payload_raw);
	json_str(w, "signature", b64url_encode(a, str_make(sig, len)));
	json_close(w);
	return json_text(w);
}

struct str
jws_sign(struct arena *a, struct str header, struct str payload, EVP_PKEY *key,
    enum jws_alg id)
{
	struct str head = b64url_encode(a, header);
	struct str body = b64url_encode(a, payload);
	struct str text = jose_signing_input(a, head, body);
	const struct alg *alg = &algs[id];
	uint8_t sig[JWS_SIGNATURE_MAX];
	size_t len = sizeof(sig);
	struct digest d;
	bool ok;

	if (!is_key_for(key, alg))
		return STR_NONE;
	if (alg->pkey == EVP_PKEY_ED25519) {
		ok = sign_ed25519(text, key, sig, &len);
	} else {
		d = hash(alg, text);
		ok = alg->pkey == EVP_PKEY_RSA ?
		    sign_rsa(&d, key, alg, sig, &len) :
		    sign_ecdsa(&d, key, alg, sig, &len);
	}
	if (!ok) {
		ERR_clear_error();
		return STR_NONE;
	}
	return flatten(a, head, body, sig, len);
}

struct str
jws_sign_mac(struct arena *a, struct str header, struct str payload,
    struct str key, enum jws_alg alg)
{
	struct str head = b64url_encode(a, header);
	struct str body = b64url_encode(a, payload);
	struct digest d;

	if (!mac(alg, key, jose_signing_input(a, head, body), &d))
		return STR_NONE;
	return flatten(a, head, body, d.bytes, d.len);
}
