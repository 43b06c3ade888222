/* SPDX-License-Identifier: ISC */
/*
 * Shows that a freshly built BoringSSL does what certloop asks of it, before
 * contrib/boringssl/build installs it: the interfaces that differ between
 * BoringSSL's vintages, and what the common operations cost. Exits 0 when all
 * of it works; the times are printed for the reader and decide nothing.
 */
#include <openssl/aead.h>
#include <openssl/base.h>
#include <openssl/bytestring.h>
#include <openssl/crypto.h>
#include <openssl/curve25519.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "these headers are not BoringSSL's"
#endif
#ifdef OPENSSL_SMALL
#error "this is the small-code flavour"
#endif

static const uint8_t message[] = "one name, one certificate";

static bool
check_bytestring(void)
{
	CBB cbb, seq, inner;
	CBS cbs, child;
	uint8_t *der = NULL;
	size_t len = 0;
	uint64_t n = 0;
	bool ok = false;

	CBB_zero(&cbb);
	if (!CBB_init(&cbb, 16) ||
	    !CBB_add_asn1(&cbb, &seq, CBS_ASN1_SEQUENCE) ||
	    !CBB_add_asn1_uint64(&seq, 9773) ||
	    !CBB_add_asn1(&seq, &inner, CBS_ASN1_OCTETSTRING) ||
	    !CBB_add_bytes(&inner, message, sizeof(message)) ||
	    !CBB_finish(&cbb, &der, &len))
		goto out;
	CBS_init(&cbs, der, len);
	ok = CBS_get_asn1(&cbs, &child, CBS_ASN1_SEQUENCE) &&
	    CBS_len(&cbs) == 0 && CBS_get_asn1_uint64(&child, &n) &&
	    n == 9773 && CBS_get_asn1(&child, &cbs, CBS_ASN1_OCTETSTRING) &&
	    CBS_mem_equal(&cbs, message, sizeof(message)) &&
	    CBS_len(&child) == 0;
out:
	CBB_cleanup(&cbb);
	OPENSSL_free(der);
	return ok;
}

static bool
check_aead(const EVP_AEAD *aead)
{
	static const uint8_t key[32] = { 1 }, nonce[12] = { 2 }, ad[3] = { 3 };
	EVP_AEAD_CTX *ctx;
	uint8_t sealed[64], opened[64];
	size_t nsealed, nopened;
	bool ok;

	ctx = EVP_AEAD_CTX_new(aead, key, sizeof(key), 0);
	ok = ctx != NULL &&
	    EVP_AEAD_CTX_seal(ctx, sealed, &nsealed, sizeof(sealed), nonce,
		sizeof(nonce), message, sizeof(message), ad, sizeof(ad)) &&
	    EVP_AEAD_CTX_open(ctx, opened, &nopened, sizeof(opened), nonce,
		sizeof(nonce), sealed, nsealed, ad, sizeof(ad)) &&
	    nopened == sizeof(message) && memcmp(opened, message, nopened) == 0;
	if (ok) {
		sealed[0] ^= 1;
		ok = !EVP_AEAD_CTX_open(ctx, opened, &nopened, sizeof(opened),
		    nonce, sizeof(nonce), sealed, nsealed, ad, sizeof(ad));
	}
	EVP_AEAD_CTX_free(ctx);
	return ok;
}

static bool
check_gcm_siv(void)
{
	return check_aead(EVP_aead_aes_256_gcm_siv());
}

static bool
check_gcm(void)
{
	return check_aead(EVP_aead_aes_256_gcm());
}

static bool
check_x25519(void)
{
	uint8_t pub[2][32], priv[2][32], shared[2][32];

	X25519_keypair(pub[0], priv[0]);
	X25519_keypair(pub[1], priv[1]);
	return X25519(shared[0], priv[0], pub[1]) &&
	    X25519(shared[1], priv[1], pub[0]) &&
	    memcmp(shared[0], shared[1], 32) == 0;
}

static bool
check_ed25519(void)
{
	uint8_t pub[32], priv[64], sig[64];

	ED25519_keypair(pub, priv);
	if (!ED25519_sign(sig, message, sizeof(message), priv) ||
	    !ED25519_verify(message, sizeof(message), sig, pub))
		return false;
	sig[3] ^= 1;
	return !ED25519_verify(message, sizeof(message), sig, pub);
}

static bool
check_tls(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	SSL *ssl;
	bool ok = false;

	if (ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	    (ssl = SSL_new(ctx)) != NULL) {
		ok = true;
		SSL_free(ssl);
	}
	SSL_CTX_free(ctx);
	return ok;
}

/* Processor time, so that a busy machine does not matter much. */
static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
print_cost(const char *what, double us)
{
	printf("  %-18s %8.1f us\n", what, us);
}

static bool
check_ecdsa(int nid, const char *name)
{
	EC_KEY *key = EC_KEY_new_by_curve_name(nid);
	uint8_t digest[SHA256_DIGEST_LENGTH], sig[256];
	unsigned len = 0;
	char what[32];
	double t0, t1;
	bool ok = false;
	int n;

	SHA256(message, sizeof(message), digest);
	if (key == NULL || !EC_KEY_generate_key(key) ||
	    ECDSA_size(key) > sizeof(sig))
		goto out;
	for (n = 0, t0 = cpu_us(); cpu_us() - t0 < 1e5; n++)
		if (!ECDSA_sign(0, digest, sizeof(digest), sig, &len, key))
			goto out;
	t1 = cpu_us();
	snprintf(what, sizeof(what), "%s sign", name);
	print_cost(what, (t1 - t0) / n);
	for (n = 0, t0 = cpu_us(); cpu_us() - t0 < 1e5; n++)
		if (!ECDSA_verify(0, digest, sizeof(digest), sig, len, key))
			goto out;
	t1 = cpu_us();
	snprintf(what, sizeof(what), "%s verify", name);
	print_cost(what, (t1 - t0) / n);
	digest[0] ^= 1;
	ok = !ECDSA_verify(0, digest, sizeof(digest), sig, len, key);
out:
	EC_KEY_free(key);
	return ok;
}

static bool
check_p256(void)
{
	return check_ecdsa(NID_X9_62_prime256v1, "P-256");
}

static bool
check_p384(void)
{
	return check_ecdsa(NID_secp384r1, "P-384");
}

static bool
time_x25519(void)
{
	uint8_t pub[32], priv[32], shared[32];
	double t0;
	int n;

	X25519_keypair(pub, priv);
	for (n = 0, t0 = cpu_us(); cpu_us() - t0 < 1e5; n++)
		if (!X25519(shared, priv, pub))
			return false;
	print_cost("X25519 agree", (cpu_us() - t0) / n);
	return true;
}

static bool
time_sha256(void)
{
	static uint8_t data[16384];
	uint8_t digest[SHA256_DIGEST_LENGTH];
	double t0;
	int n;

	for (n = 0, t0 = cpu_us(); cpu_us() - t0 < 1e5; n++) {
		SHA256(data, sizeof(data), digest);
		data[0] ^= digest[0];
	}
	print_cost("SHA-256 of 16 KiB", (cpu_us() - t0) / n);
	return true;
}

int
main(void)
{
	/* clang-format off */
	static const struct {
		const char *name;
		bool (*run)(void);
	} checks[] = {
		{ "CBB and CBS", check_bytestring },
		{ "AES-256-GCM-SIV", check_gcm_siv },
		{ "AES-256-GCM", check_gcm },
		{ "X25519", check_x25519 },
		{ "Ed25519", check_ed25519 },
		{ "TLS context", check_tls },
		{ "ECDSA on P-256", check_p256 },
		{ "ECDSA on P-384", check_p384 },
		{ "X25519 again", time_x25519 },
		{ "SHA-256", time_sha256 },
	};
	/* clang-format on */
	int failed = 0;

	printf("BoringSSL, API level %d\n", BORINGSSL_API_VERSION);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (!checks[i].run()) {
			fprintf(stderr, "%s does not work\n", checks[i].name);
			failed++;
		}
	}
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
