/* SPDX-License-Identifier: ISC */
/*
 * Signature algorithms: RFC 4055, 5758 and 8410 by their exact bytes. SHA-1
 * and MD5 are not here, so they are not accepted anywhere.
 */
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>

#include "pki/pki_int.h"

#define ALG(bytes)                                                             \
	{                                                                      \
		.p = (bytes), .n = sizeof(bytes) - 1                           \
	}
#define ECDSA_SHA2 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03"
#define RSA_OID "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"

/* clang-format off */
static const struct sig_alg algs[] = {
	{ .der = ALG(ECDSA_SHA2 "\x02"),
	  .pkey = EVP_PKEY_EC, .md = EVP_sha256 },
	{ .der = ALG(ECDSA_SHA2 "\x03"),
	  .pkey = EVP_PKEY_EC, .md = EVP_sha384 },
	{ .der = ALG(ECDSA_SHA2 "\x04"),
	  .pkey = EVP_PKEY_EC, .md = EVP_sha512 },
	{ .der = ALG("\x30\x0d" RSA_OID "\x0b\x05\x00"),
	  .pkey = EVP_PKEY_RSA, .md = EVP_sha256 },
	{ .der = ALG("\x30\x0d" RSA_OID "\x0c\x05\x00"),
	  .pkey = EVP_PKEY_RSA, .md = EVP_sha384 },
	{ .der = ALG("\x30\x0d" RSA_OID "\x0d\x05\x00"),
	  .pkey = EVP_PKEY_RSA, .md = EVP_sha512 },
	/* RFC 4055 section 5: the NULL may be absent in what we read */
	{ .der = ALG("\x30\x0b" RSA_OID "\x0b"),
	  .pkey = EVP_PKEY_RSA, .md = EVP_sha256 },
	{ .der = ALG("\x30\x0b" RSA_OID "\x0c"),
	  .pkey = EVP_PKEY_RSA, .md = EVP_sha384 },
	{ .der = ALG("\x30\x0b" RSA_OID "\x0d"),
	  .pkey = EVP_PKEY_RSA, .md = EVP_sha512 },
	{ .der = ALG("\x30\x05\x06\x03\x2b\x65\x70"),
	  .pkey = EVP_PKEY_ED25519 },
};
/* clang-format on */

enum { NALGS = sizeof(algs) / sizeof(algs[0]) };

const struct sig_alg *
alg_find(struct str der)
{
	for (size_t i = 0; i < NALGS; i++)
		if (str_eq(der, algs[i].der))
			return &algs[i];
	return NULL;
}

/* The digest that a key of its kind signs; *md is NULL for Ed25519. */
static bool
digest_of_key(const EVP_PKEY *key, const EVP_MD *(**md)(void))
{
	enum pki_key_kind kind;
	unsigned bits;

	if (!pki_key_is(key, &kind, &bits, NULL))
		return false;
	*md = kind == PKI_P384  ? EVP_sha384 :
	    kind == PKI_P521    ? EVP_sha512 :
	    kind == PKI_ED25519 ? NULL :
				  EVP_sha256;
	return true;
}

const struct sig_alg *
alg_of_key(const EVP_PKEY *key)
{
	const EVP_MD *(*md)(void);

	if (!digest_of_key(key, &md))
		return NULL;
	for (size_t i = 0; i < NALGS; i++)
		if (algs[i].pkey == EVP_PKEY_id(key) && algs[i].md == md)
			return &algs[i];
	return NULL;
}

bool
alg_verify(const struct sig_alg *alg, EVP_PKEY *key, struct str text,
    struct str sig)
{
	EVP_MD_CTX ctx;
	bool ok;

	if (EVP_PKEY_id(key) != alg->pkey)
		return false;
	EVP_MD_CTX_init(&ctx);
	ok = EVP_DigestVerifyInit(&ctx, NULL,
		 alg->md != NULL ? alg->md() : NULL, NULL, key) &&
	    EVP_DigestVerify(&ctx, (const uint8_t *)sig.p, sig.n,
		(const uint8_t *)text.p, text.n);
	EVP_MD_CTX_cleanup(&ctx);
	if (!ok)
		ERR_clear_error();
	return ok;
}

static bool
sign(CBB *out, const struct sig_alg *alg, EVP_PKEY *key, struct str text)
{
	size_t n = (size_t)EVP_PKEY_size(key);
	EVP_MD_CTX ctx;
	uint8_t *p;
	bool ok;

	EVP_MD_CTX_init(&ctx);
	ok = CBB_reserve(out, &p, n) &&
	    EVP_DigestSignInit(&ctx, NULL, alg->md != NULL ? alg->md() : NULL,
		NULL, key) &&
	    EVP_DigestSign(&ctx, p, &n, (const uint8_t *)text.p, text.n) &&
	    CBB_did_write(out, n);
	EVP_MD_CTX_cleanup(&ctx);
	return ok;
}

struct str
alg_wrap(struct arena *a, EVP_PKEY *key, struct str text)
{
	const struct sig_alg *alg = alg_of_key(key);
	CBB cbb, seq, bits;

	CBB_zero(&cbb);
	if (alg == NULL || text.p == NULL || !CBB_init(&cbb, text.n + 1024) ||
	    !CBB_add_asn1(&cbb, &seq, CBS_ASN1_SEQUENCE) ||
	    !CBB_add_bytes(&seq, (const uint8_t *)text.p, text.n) ||
	    !CBB_add_bytes(&seq, (const uint8_t *)alg->der.p, alg->der.n) ||
	    !CBB_add_asn1(&seq, &bits, CBS_ASN1_BITSTRING) ||
	    !CBB_add_u8(&bits, 0) || !sign(&bits, alg, key, text) ||
	    !CBB_flush(&cbb)) {
		CBB_cleanup(&cbb);
		ERR_clear_error();
		return STR_NONE;
	}
	return der_take(a, &cbb);
}
