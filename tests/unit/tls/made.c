/* SPDX-License-Identifier: ISC */
/* Certificates, files and TLS clients for tests. */
#include "made.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static void
free_key(void *key)
{
	EVP_PKEY_free(key);
}

static void
free_cert(void *cert)
{
	X509_free(cert);
}

static void
add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, NULL, nid,
	    (char *)(uintptr_t)value);

	assert_non_null(e);
	assert_true(X509_add_ext(x, e, -1));
	X509_EXTENSION_free(e);
}

static void
add_names(X509 *x, const char *const *dns)
{
	char text[1024] = "";

	for (; dns != NULL && *dns != NULL; dns++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%sDNS:%s",
		    n > 0 ? "," : "", *dns);
	}
	if (text[0] != '\0')
		add_extension(x, NID_subject_alt_name, text);
}

static struct str
take_bio(struct arena *a, BIO *b)
{
	const uint8_t *p;
	size_t n;
	struct str s;

	assert_true(BIO_mem_contents(b, &p, &n));
	s = str_dup(a, str_make(p, n));
	BIO_free(b);
	return s;
}

struct made
made_new(struct arena *a, struct made_spec spec)
{
	struct made m = { .key = pki_generate_key(spec.kind),
		.cert = X509_new() };
	const struct made *issuer = spec.issuer != NULL ? spec.issuer : &m;
	X509_NAME *name = X509_get_subject_name(m.cert);
	BIO *b;
	uint32_t serial;

	arena_defer(a, free_key, m.key);
	arena_defer(a, free_cert, m.cert);
	RAND_bytes((uint8_t *)&serial, sizeof(serial));
	X509_set_version(m.cert, 2);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(m.cert), serial | 1);
	X509_gmtime_adj(X509_getm_notBefore(m.cert), -86400);
	X509_gmtime_adj(X509_getm_notAfter(m.cert),
	    (spec.days != 0 ? spec.days : 30) * 86400L);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const uint8_t *)spec.cn, -1, -1, 0);
	X509_set_issuer_name(m.cert, X509_get_subject_name(issuer->cert));
	X509_set_pubkey(m.cert, m.key);
	if (spec.ca)
		add_extension(m.cert, NID_basic_constraints,
		    "critical,CA:TRUE");
	add_names(m.cert, spec.dns);
	assert_true(X509_sign(m.cert, issuer->key,
	    EVP_PKEY_id(issuer->key) == EVP_PKEY_ED25519 ? NULL :
							   EVP_sha256()));
	b = BIO_new(BIO_s_mem());
	assert_true(PEM_write_bio_X509(b, m.cert));
	m.cert_pem = take_bio(a, b);
	b = BIO_new(BIO_s_mem());
	assert_true(
	    PEM_write_bio_PrivateKey(b, m.key, NULL, NULL, 0, NULL, NULL));
	m.key_pem = take_bio(a, b);
	return m;
}

static void
remove_file(void *path)
{
	char *slash;

	(void)unlink(path);
	slash = strrchr(path, '/');
	*slash = '\0';
	(void)rmdir(path);
}

const char *
made_file(struct arena *a, const char *name, struct str text, mode_t mode)
{
	char folder[] = "made.XXXXXX";
	char *path;
	FILE *f;

	assert_non_null(mkdtemp(folder));
	path = str_cstr(a, str_printf(a, "%s/%s", folder, name));
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
	arena_defer(a, remove_file, path);
	return path;
}

SSL_CTX *
made_client(const struct made *ca)
{
	static const uint16_t any[] = { SSL_SIGN_ED25519,
		SSL_SIGN_ECDSA_SECP256R1_SHA256,
		SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA256,
		SSL_SIGN_RSA_PKCS1_SHA256 };
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	SSL_CTX_set_verify_algorithm_prefs(ctx, any,
	    sizeof(any) / sizeof(any[0]));
	if (ca != NULL) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->cert);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
	return ctx;
}
