/* SPDX-License-Identifier: ISC */
/* Keys: what they are, making them, and their files. */
#include "pki/key.h"

#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pkcs8.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "pki/pki_int.h"

enum { RSA_BITS_NEW = 3072, EXPONENT_BITS_MAX = 32, EXPONENT_MIN = 65537 };

#define ALG(bytes)                                                             \
	{                                                                      \
		.p = (bytes), .n = sizeof(bytes) - 1                           \
	}
#define EC_OID "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"

static const struct kind {
	const char *name;
	int pkey, nid;
	unsigned bits;
	struct str alg; /* AlgorithmIdentifier: RFC 3279, 5480, 8410 */
} kinds[] = {
	/* clang-format off */
	[PKI_RSA] = { "RSA", EVP_PKEY_RSA, 0, 0,
	    ALG("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
		"\x05\x00") },
	[PKI_P256] = { "P-256", EVP_PKEY_EC, NID_X9_62_prime256v1, 256,
	    ALG("\x30\x13" EC_OID "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01"
		"\x07") },
	[PKI_P384] = { "P-384", EVP_PKEY_EC, NID_secp384r1, 384,
	    ALG("\x30\x10" EC_OID "\x06\x05\x2b\x81\x04\x00\x22") },
	[PKI_P521] = { "P-521", EVP_PKEY_EC, NID_secp521r1, 521,
	    ALG("\x30\x10" EC_OID "\x06\x05\x2b\x81\x04\x00\x23") },
	[PKI_ED25519] = { "Ed25519", EVP_PKEY_ED25519, 0, 256,
	    ALG("\x30\x05\x06\x03\x2b\x65\x70") },
	/* clang-format on */
};

enum { NKINDS = sizeof(kinds) / sizeof(kinds[0]) };

const char *
pki_key_kind_name(enum pki_key_kind kind)
{
	return kinds[kind].name;
}

void
pki_free_key(void *key)
{
	EVP_PKEY_free(key);
}

/* ---- what a key is */

static const char *
check_rsa(const RSA *rsa, unsigned *bits)
{
	const BIGNUM *e = RSA_get0_e(rsa);

	*bits = RSA_bits(rsa);
	if (*bits < PKI_RSA_BITS_MIN)
		return "an RSA key of less than 2048 bits";
	if (*bits > PKI_RSA_BITS_MAX)
		return "an RSA key of more than 4096 bits";
	if (BN_num_bits(e) > EXPONENT_BITS_MAX)
		return "an RSA key with an exponent above 2^32 - 1";
	if (BN_get_word(e) < EXPONENT_MIN)
		return "an RSA key with an exponent below 65537";
	if (!BN_is_odd(e))
		return "an RSA key with an even exponent";
	return NULL;
}

static int
curve_of(const EVP_PKEY *key)
{
	return EC_GROUP_get_curve_name(
	    EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key)));
}

static const char *
judge(const EVP_PKEY *key, enum pki_key_kind *kind, unsigned *bits)
{
	int pkey = EVP_PKEY_id(key);

	for (unsigned i = 0; i < NKINDS; i++) {
		if (kinds[i].pkey != pkey ||
		    (pkey == EVP_PKEY_EC && kinds[i].nid != curve_of(key)))
			continue;
		*kind = (enum pki_key_kind)i;
		*bits = kinds[i].bits;
		return i == PKI_RSA ? check_rsa(EVP_PKEY_get0_RSA(key), bits) :
				      NULL;
	}
	return pkey == EVP_PKEY_EC ?
	    "an EC key on a curve other than P-256, P-384 and P-521" :
	    "a key that is neither RSA nor EC nor Ed25519";
}

bool
pki_key_is(const EVP_PKEY *key, enum pki_key_kind *kind, unsigned *bits,
    const char **why)
{
	const char *text = judge(key, kind, bits);

	if (why != NULL)
		*why = text;
	return text == NULL;
}

/* ---- making keys */

static bool
generate_rsa(EVP_PKEY *key)
{
	BIGNUM *e = BN_new();
	RSA *rsa = RSA_new();
	bool ok;

	ok = e != NULL && rsa != NULL && BN_set_word(e, EXPONENT_MIN) &&
	    RSA_generate_key_ex(rsa, RSA_BITS_NEW, e, NULL) &&
	    EVP_PKEY_set1_RSA(key, rsa);
	BN_free(e);
	RSA_free(rsa);
	return ok;
}

static bool
generate_ec(EVP_PKEY *key, int nid)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(nid);
	bool ok;

	ok = ec != NULL && EC_KEY_generate_key(ec) &&
	    EVP_PKEY_set1_EC_KEY(key, ec);
	EC_KEY_free(ec);
	return ok;
}

static EVP_PKEY *
generate_ed25519(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
	EVP_PKEY *key = NULL;

	if (ctx == NULL || !EVP_PKEY_keygen_init(ctx) ||
	    !EVP_PKEY_keygen(ctx, &key))
		abort();
	EVP_PKEY_CTX_free(ctx);
	return key;
}

EVP_PKEY *
pki_generate_key(enum pki_key_kind kind)
{
	EVP_PKEY *key;

	if (kind == PKI_ED25519)
		return generate_ed25519();
	if ((key = EVP_PKEY_new()) == NULL)
		abort();
	/* fails only for want of memory or randomness */
	if (!(kind == PKI_RSA ? generate_rsa(key) :
				generate_ec(key, kinds[kind].nid)))
		abort();
	return key;
}

/* ---- private keys from PEM */

static EVP_PKEY *
read_ec(CBS *der)
{
	EC_KEY *ec = EC_KEY_parse_private_key(der, NULL);
	EVP_PKEY *key = NULL;

	if (ec != NULL && (key = EVP_PKEY_new()) != NULL)
		EVP_PKEY_set1_EC_KEY(key, ec);
	EC_KEY_free(ec);
	return key;
}

static EVP_PKEY *
read_rsa(CBS *der)
{
	RSA *rsa = RSA_parse_private_key(der);
	EVP_PKEY *key = NULL;

	if (rsa != NULL && (key = EVP_PKEY_new()) != NULL)
		EVP_PKEY_set1_RSA(key, rsa);
	RSA_free(rsa);
	return key;
}

static const struct {
	const char *label;
	EVP_PKEY *(*read)(CBS *);
} readers[] = {
	{ "PRIVATE KEY", EVP_parse_private_key },
	{ "EC PRIVATE KEY", read_ec },
	{ "RSA PRIVATE KEY", read_rsa },
};

static EVP_PKEY *
read_key(struct pem pem, EVP_PKEY *(*read)(CBS *))
{
	EVP_PKEY *key = NULL;
	uint8_t *der;
	size_t n;
	CBS cbs;

	if (!pem_decode(pem.body, &der, &n))
		return NULL;
	CBS_init(&cbs, der, n);
	key = read(&cbs);
	if (CBS_len(&cbs) != 0) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	OPENSSL_free(der); /* wipes */
	ERR_clear_error();
	return key;
}

static EVP_PKEY *
unlock(struct pem pem, struct str passphrase)
{
	EVP_PKEY *key;
	uint8_t *der;
	size_t n;
	CBS cbs;

	if (!pem_decode(pem.body, &der, &n))
		return NULL;
	CBS_init(&cbs, der, n);
	key = PKCS8_parse_encrypted_private_key(&cbs, passphrase.p,
	    passphrase.n);
	if (CBS_len(&cbs) != 0) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	OPENSSL_free(der);
	ERR_clear_error();
	return key;
}

static const char *
check_kind(struct arena *a, EVP_PKEY **out)
{
	enum pki_key_kind kind;
	const char *why;
	unsigned bits;

	if (pki_key_is(*out, &kind, &bits, &why))
		return NULL;
	EVP_PKEY_free(*out);
	*out = NULL;
	return str_printf(a, "holds %s", why).p;
}

static const char *
take_locked(struct arena *a, struct pem pem, struct str passphrase,
    EVP_PKEY **out)
{
	if (passphrase.p == NULL)
		return "holds an encrypted key, and no passphrase is given";
	if ((*out = unlock(pem, passphrase)) == NULL)
		return "holds an encrypted key that the passphrase does not "
		       "open, or that is not PBES2 with PBKDF2";
	return check_kind(a, out);
}

/* *out stays NULL if the block is something else. */
static const char *
take_key(struct arena *a, struct pem pem, struct str passphrase, EVP_PKEY **out)
{
	size_t i = 0, n = sizeof(readers) / sizeof(readers[0]);

	if (str_is(pem.label, "ENCRYPTED PRIVATE KEY"))
		return take_locked(a, pem, passphrase, out);
	if (str_starts(pem.body, STR("Proc-Type:")))
		return "holds a key that is encrypted in an old way, which is "
		       "not supported; openssl pkcs8 -topk8 makes it PKCS#8";
	while (i < n && !str_is(pem.label, readers[i].label))
		i++;
	if (i == n)
		return NULL;
	if ((*out = read_key(pem, readers[i].read)) == NULL)
		return "holds a private key that cannot be read";
	return check_kind(a, out);
}

static const char *
parse_key(struct arena *a, struct str text, struct str passphrase,
    EVP_PKEY **out)
{
	const char *why = NULL;
	struct pem pem;

	*out = NULL;
	while (why == NULL && *out == NULL && pem_next(&text, &pem, &why))
		why = take_key(a, pem, passphrase, out);
	if (why == NULL && *out == NULL)
		why = "holds no private key in PEM";
	return why;
}

const char *
pki_parse_key(struct arena *a, struct str text, EVP_PKEY **out)
{
	return parse_key(a, text, STR_NONE, out);
}

static const char *
load_key(struct arena *a, const char *path, struct str passphrase,
    EVP_PKEY **out)
{
	const char *why;
	struct str text;

	*out = NULL;
	if ((why = file_read(a, path, PKI_KEY_FILE_MAX, true, &text)) != NULL)
		return why;
	why = parse_key(a, text, passphrase, out);
	file_free(text);
	return why != NULL ? str_printf(a, "%s %s", path, why).p : NULL;
}

const char *
pki_load_key(struct arena *a, const char *path, EVP_PKEY **out)
{
	return load_key(a, path, STR_NONE, out);
}

const char *
pki_load_locked_key(struct arena *a, const char *path,
    const char *passphrase_path, EVP_PKEY **out)
{
	struct str text, passphrase;
	const char *why;

	*out = NULL;
	if (passphrase_path == NULL)
		return pki_load_key(a, path, out);
	why = file_read(a, passphrase_path, PKI_PASSPHRASE_MAX, true, &text);
	if (why != NULL)
		return why;
	passphrase = text;
	if (str_ends(passphrase, STR("\n")))
		passphrase.n--;
	if (passphrase.n > 0)
		why = load_key(a, path, passphrase, out);
	else
		why = str_printf(a, "%s holds no passphrase", passphrase_path)
			  .p;
	file_free(text);
	return why;
}

/* ---- public keys */

struct str
pki_write_spki(struct arena *a, const EVP_PKEY *key)
{
	CBB cbb;

	CBB_zero(&cbb);
	if (!CBB_init(&cbb, 128) || !EVP_marshal_public_key(&cbb, key)) {
		CBB_cleanup(&cbb);
		ERR_clear_error();
		return STR_NONE;
	}
	return der_take(a, &cbb);
}

EVP_PKEY *
pki_read_spki(struct str spki)
{
	CBS cbs = der_cbs(spki);
	EVP_PKEY *key = EVP_parse_public_key(&cbs);

	if (key == NULL)
		ERR_clear_error();
	else if (CBS_len(&cbs) != 0) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

bool
pki_is_canonical_spki(enum pki_key_kind kind, struct str spki)
{
	CBS in = der_cbs(spki), seq;
	struct str alg, bits;

	if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) ||
	    !der_get_element(&seq, CBS_ASN1_SEQUENCE, &alg) ||
	    !der_get_bits(&seq, &bits) || !str_eq(alg, kinds[kind].alg))
		return false;
	return kinds[kind].pkey != EVP_PKEY_EC ||
	    (bits.n > 0 && bits.p[0] == POINT_CONVERSION_UNCOMPRESSED);
}

void
pki_spki_hash(struct str spki, uint8_t out[static 32])
{
	SHA256((const uint8_t *)spki.p, spki.n, out);
}
