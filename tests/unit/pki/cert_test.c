/* SPDX-License-Identifier: ISC */
/*
 * Certificates from the spec to the signature, read back by us, judged by the
 * lint, and verified by BoringSSL's X.509 code and by OpenSSL's program.
 */
#include "../unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/hex.h"
#include "base/when.h"
#include "world.h"

/* Build, judge, sign, judge again. */
static struct str
issue(struct world *w)
{
	struct str tbs = pki_build_tbs(w->arena, &w->ca, &w->spec), der;

	assert_non_null(tbs.p);
	must(pki_lint_tbs(w->arena, tbs, &w->profile));
	der = pki_sign_tbs(w->arena, &w->ca, tbs);
	assert_non_null(der.p);
	must(pki_lint_cert(w->arena, der, &w->profile));
	return der;
}

static X509 *
x509_of(struct str der)
{
	const uint8_t *p = (const uint8_t *)der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	assert_non_null(x);
	assert_ptr_equal(p, der.p + der.n);
	return x;
}

/* Does BoringSSL build a path from der to the root for this host? */
static bool
x509_verifies(const struct world *w, struct str der, const char *host)
{
	X509 *leaf = x509_of(der), *ca = x509_of(w->ca.chain[0]);
	X509 *root = x509_of(w->root.chain[0]);
	STACK_OF(X509) *between = sk_X509_new_null();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_STORE *store = X509_STORE_new();
	X509_VERIFY_PARAM *param;
	bool ok;

	X509_STORE_add_cert(store, root);
	sk_X509_push(between, ca);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, between), 1);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)now);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set1_host(param, host, strlen(host));
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	ok = X509_verify_cert(ctx) == 1;
	ERR_clear_error();
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_free(between);
	X509_free(leaf);
	X509_free(ca);
	X509_free(root);
	return ok;
}

static void
a_certificate_says_what_its_spec_says(void **state)
{
	struct world *w = *state;
	struct pki_cert c;
	struct str der;

	w->spec.ocsp_url = STR("http://ocsp.example/");
	w->spec.ca_issuers_url = STR("http://ca.example/ca.der");
	w->spec.crl_url = STR("http://ca.example/crl");
	w->spec.must_staple = w->profile.must_staple = true;
	der = issue(w);
	must(pki_parse_cert(w->arena, der, &c));
	assert_true(str_eq(c.der, der));
	assert_memory_equal(c.serial.p, w->spec.serial, 16);
	assert_int_equal(c.serial.n, 16);
	assert_true(str_eq(c.issuer, w->ca.cert.subject));
	assert_int_equal(c.subject.n, 2);
	assert_null(c.cn.p);
	assert_int_equal(c.not_before, w->spec.not_before);
	assert_int_equal(c.not_after, w->spec.not_after);
	assert_true(str_eq(c.spki, w->spec.spki));
	assert_int_equal(EVP_PKEY_cmp(c.key, w->key), 1);
	assert_int_equal(c.kind, PKI_P256);
	assert_true(pki_names_equal(&c.names, &w->names));
	assert_true(c.has_san && c.san_critical && !c.san_other);
	assert_true(c.has_basic && !c.ca);
	assert_int_equal(c.path_len, -1);
	assert_int_equal(c.key_usage, PKI_KU_DIGITAL_SIGNATURE);
	assert_int_equal(c.eku, PKI_EKU_SERVER | PKI_EKU_CLIENT);
	assert_true(str_eq(c.aki, w->ca.cert.ski));
	assert_int_equal(c.ski.n, 20);
	assert_str(c.ocsp_url, "http://ocsp.example/");
	assert_str(c.ca_issuers_url, "http://ca.example/ca.der");
	assert_str(c.crl_url, "http://ca.example/crl");
	assert_true(c.must_staple && !c.no_rev_avail && !c.unknown_critical);
	assert_true(pki_cert_is_signed_by(&c, &w->ca.cert));
	assert_false(pki_cert_is_signed_by(&c, &w->root.cert));
	assert_true(x509_verifies(w, der, "x.a.example"));
	assert_true(x509_verifies(w, der, "a.example"));
	assert_false(x509_verifies(w, der, "b.example"));
}

static void
a_common_name_makes_the_san_not_critical(void **state)
{
	struct world *w = *state;
	struct pki_cert c;

	w->spec.cn = STR("a.example");
	must(pki_parse_cert(w->arena, issue(w), &c));
	assert_str(c.cn, "a.example");
	assert_false(c.san_critical);
	w->spec.cn = STR("10.1.2.3");
	must(pki_parse_cert(w->arena, issue(w), &c));
	assert_str(c.cn, "10.1.2.3");
}

static void
short_lived_certificates_say_no_revocation(void **state)
{
	struct world *w = *state;
	struct pki_cert c;

	w->spec.no_rev_avail = w->profile.no_rev_avail = true;
	must(pki_parse_cert(w->arena, issue(w), &c));
	assert_true(c.no_rev_avail);
}

static void
every_kind_of_ca_key_signs_for_every_kind_of_key(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i <= PKI_ED25519; i++) {
		EVP_PKEY *key = test_key(w->arena, (enum pki_key_kind)i);
		struct parts parts = ca_parts(w->arena, key);
		struct str der = signed_of(w->arena, &parts, key);

		must(pki_make_ca(w->arena, key, &der, 1, now, &w->ca));
		w->root = w->ca;
		for (unsigned k = 0; k <= PKI_ED25519; k++) {
			EVP_PKEY *leaf = test_key(w->arena,
			    k == PKI_RSA ? PKI_P256 : (enum pki_key_kind)k);

			w->spec.spki = pki_write_spki(w->arena, leaf);
			w->profile.spki = w->spec.spki;
			assert_true(x509_verifies(w, issue(w), "a.example"));
			EVP_PKEY_free(leaf);
		}
		EVP_PKEY_free(key);
	}
}

static void
an_rsa_key_gets_key_encipherment(void **state)
{
	struct world *w = *state;
	EVP_PKEY *key = test_key(w->arena, PKI_RSA);

	assert_int_equal(pki_key_usage_for(PKI_RSA),
	    PKI_KU_DIGITAL_SIGNATURE | PKI_KU_KEY_ENCIPHERMENT);
	assert_int_equal(pki_key_usage_for(PKI_P384), PKI_KU_DIGITAL_SIGNATURE);
	w->spec.spki = w->profile.spki = pki_write_spki(w->arena, key);
	w->spec.key_usage = w->profile.key_usage = pki_key_usage_for(PKI_RSA);
	assert_true(x509_verifies(w, issue(w), "a.example"));
	EVP_PKEY_free(key);
}

static void
the_same_spec_gives_the_same_bytes(void **state)
{
	struct world *w = *state;

	assert_true(str_eq(pki_build_tbs(w->arena, &w->ca, &w->spec),
	    pki_build_tbs(w->arena, &w->ca, &w->spec)));
}

static bool
holds(struct str s, struct str part)
{
	for (; s.n >= part.n; s = str_skip(s, 1))
		if (str_starts(s, part))
			return true;
	return false;
}

static void
dates_from_2050_are_generalized(void **state)
{
	struct world *w = *state;
	struct pki_cert c;
	struct str der;

	w->spec.not_before = INT64_C(2524607999);
	w->spec.not_after = INT64_C(2524608000);
	der = pki_sign_tbs(w->arena, &w->ca,
	    pki_build_tbs(w->arena, &w->ca, &w->spec));
	must(pki_parse_cert(w->arena, der, &c));
	assert_int_equal(c.not_before, INT64_C(2524607999));
	assert_int_equal(c.not_after, INT64_C(2524608000));
	assert_true(holds(der,
	    BYTES("\x17\x0d"
		  "491231235959Z\x18\x0f"
		  "20500101000000Z")));
	w->spec.not_after = INT64_C(253402300799);
	assert_non_null(pki_build_tbs(w->arena, &w->ca, &w->spec).p);
	w->spec.not_after++;
	assert_null(pki_build_tbs(w->arena, &w->ca, &w->spec).p);
}

static void
specs_out_of_bounds_are_not_built(void **state)
{
	struct world *w = *state;
	char *x = arena_alloc(w->arena, PKI_URL_MAX + 1);
	struct pki_names none = { .ndns = 0 };
	struct pki_cert_spec good = w->spec;

	memset(x, 'x', PKI_URL_MAX + 1);
#define REFUSED(...)                                                           \
	do {                                                                   \
		w->spec = good;                                                \
		__VA_ARGS__;                                                   \
		assert_null(pki_build_tbs(w->arena, &w->ca, &w->spec).p);      \
		assert_null(pki_sign_tbs(w->arena, &w->ca, STR_NONE).p);       \
	} while (0)
	REFUSED(w->spec.names = &none);
	REFUSED(w->spec.cn = str_make(x, 65));
	REFUSED(w->spec.spki = STR_NONE);
	REFUSED(w->spec.spki = STR("x"));
	REFUSED(w->spec.serial[0] = 0x80);
	REFUSED(w->spec.serial[0] = 0);
	REFUSED(w->spec.not_before = w->spec.not_after + 1);
	REFUSED(w->spec.not_before = -1);
	REFUSED(w->spec.not_after = INT64_MAX);
	REFUSED(w->spec.key_usage = 0);
	REFUSED(w->spec.key_usage = 0x80);
	REFUSED(w->spec.eku = 0);
	REFUSED(w->spec.eku = PKI_EKU_OTHER);
	REFUSED(w->spec.ocsp_url = str_make(x, PKI_URL_MAX + 1));
	REFUSED(w->spec.crl_url = str_make(x, PKI_URL_MAX + 1));
	REFUSED(w->spec.ca_issuers_url = str_make(x, PKI_URL_MAX + 1));
}

static void
many_names_fit(void **state)
{
	struct world *w = *state;
	struct str *dns = arena_array(w->arena, struct str, PKI_NAMES_MAX + 1);
	struct pki_names all = { .dns = dns, .ndns = PKI_NAMES_MAX };
	struct pki_cert c;

	for (size_t i = 0; i <= PKI_NAMES_MAX; i++)
		dns[i] = str_printf(w->arena,
		    "host-%04zu.with.a.long."
		    "name.example",
		    i);
	w->spec.names = w->profile.names = &all;
	must(pki_parse_cert(w->arena, issue(w), &c));
	assert_int_equal(c.names.ndns, PKI_NAMES_MAX);
	all.ndns++;
	assert_null(pki_build_tbs(w->arena, &w->ca, &w->spec).p);
}

static void
serials_are_positive_and_have_one_spelling(void **state)
{
	struct world *w = *state;
	uint8_t s[PKI_SERIAL_LEN], last[PKI_SERIAL_LEN] = { 0 };
	struct str text;

	for (int i = 0; i < 2000; i++) {
		pki_random_serial(s);
		assert_true(s[0] >= 1 && s[0] <= 0x7f);
		assert_memory_not_equal(s, last, sizeof(s));
		memcpy(last, s, sizeof(s));
		text = pki_serial_text(w->arena, str_make(s, sizeof(s)));
		assert_int_equal(text.n, 32);
	}
	assert_str(pki_serial_text(w->arena, BYTES("\x00\xab\x0c")), "ab0c");
	assert_str(pki_serial_text(w->arena, BYTES("\x00\x00\x01")), "01");
	assert_str(pki_serial_text(w->arena, BYTES("\x00")), "00");
	assert_str(pki_serial_text(w->arena, STR("")), "");
}

/* ---- reading certificates of others */

/* 80 bits: each of them is seen as 0 and as 1. */
static void
serials_are_in_order_of_time_and_random_behind_it(void **state)
{
	uint8_t s[PKI_SERIAL_LEN], last[PKI_SERIAL_LEN] = { 0 };
	uint8_t all[PKI_SERIAL_LEN], none[PKI_SERIAL_LEN] = { 0 };
	uint64_t before = (uint64_t)(when_now() / 1000), ms;

	(void)state;
	memset(all, 0xff, sizeof(all));
	for (int i = 0; i < 500; i++) {
		pki_random_serial(s);
		assert_true(memcmp(s, last, PKI_SERIAL_TIME) >= 0);
		memcpy(last, s, sizeof(s));
		for (size_t k = PKI_SERIAL_TIME; k < sizeof(s); k++) {
			all[k] &= s[k];
			none[k] |= s[k];
		}
	}
	for (size_t k = PKI_SERIAL_TIME; k < sizeof(s); k++) {
		assert_int_equal(all[k], 0);
		assert_int_equal(none[k], 0xff);
	}
	ms = 0;
	for (size_t k = 0; k < PKI_SERIAL_TIME; k++)
		ms = ms << 8 | s[k];
	assert_true(ms >= before);
	assert_true(ms <= (uint64_t)(when_now() / 1000));
}

static void
a_serial_of_twenty_bytes_may_have_a_zero_before_it(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct parts p = ca_parts(a, w->key);
	struct pki_cert c;

	p.serial = BYTES(
	    "\x02\x15\x00\xeb\x65\x12\x3b\x17\xd5\x24\x7e\xac\xc4\x65"
	    "\x7c\x7b\x90\xf0\x33\xb5\xd7\x3b\x23");
	must(pki_parse_cert(a, signed_of(a, &p, w->key), &c));
	assert_str(pki_serial_text(a, c.serial),
	    "eb65123b17d5247eacc4657c7b90f033b5d73b23");
}

static void
certificates_that_are_malformed_name_the_part(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct parts good = ca_parts(a, w->key);
	struct pki_cert c;
	struct str der;

#define BROKEN(part, what, ...)                                                \
	do {                                                                   \
		struct parts p = good;                                         \
		p.part = __VA_ARGS__;                                          \
		expect(pki_parse_cert(a, signed_of(a, &p, w->key), &c), what); \
	} while (0)
	must(pki_parse_cert(a, signed_of(a, &good, w->key), &c));
	BROKEN(version, "version", STR(""));
	BROKEN(version, "version", BYTES("\xa0\x03\x02\x01\x01"));
	BROKEN(serial, "serial", BYTES("\x02\x01\xff"));
	BROKEN(serial, "serial", BYTES("\x02\x00"));
	BROKEN(serial, "serial", BYTES("\x02\x02\x00\x01"));
	BROKEN(serial, "serial",
	    BYTES("\x02\x15\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"
		  "\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15"));
	BROKEN(serial, "serial",
	    BYTES("\x02\x16\x00\x81\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"
		  "\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15"));
	BROKEN(alg, "signature algorithm", BYTES(ALG_ES384));
	BROKEN(issuer, "issuer", BYTES("\x31\x00"));
	BROKEN(validity, "validity", BYTES("\x30\x00"));
	BROKEN(validity, "validity",
	    validity_of(a, "261301000000Z", "270101000000Z"));
	BROKEN(validity, "validity",
	    validity_of(a, "260431000000Z", "270101000000Z"));
	BROKEN(validity, "validity",
	    validity_of(a, "260101000000Z", "270101006000Z"));
	BROKEN(validity, "validity",
	    validity_of(a, "260101000000Z", "270101240000Z"));
	BROKEN(validity, "validity",
	    validity_of(a, "2601010000ooZ", "270101000000Z"));
	BROKEN(validity, "validity",
	    validity_of(a, "260101000000Z", "270101000000+"));
	BROKEN(validity, "validity",
	    tlv_of(a, SEQ, tlv(a, UTC, STR("2601010000Z")),
		tlv(a, UTC, STR("270101000000Z"))));
	BROKEN(subject, "subject", BYTES("\x30\x02\x31\x00"));
	BROKEN(spki, "public key", BYTES("\x04\x00"));
	BROKEN(exts, "extensions", BYTES("\x30\x00"));
	BROKEN(exts, "extensions",
	    join(a, ca_exts(a, NULL), ca_exts(a, NULL), END));
	BROKEN(tail, "extensions", BYTES("\x05\x00"));

	der = signed_of(a, &good, w->key);
	expect(pki_parse_cert(a, join(a, der, BYTES("\x00"), END), &c),
	    "something behind it");
	for (size_t n = 0; n < der.n; n++)
		assert_non_null(pki_parse_cert(a, str_make(der.p, n), &c));
	expect(pki_parse_cert(a,
		   str_make(arena_zalloc(a, PKI_CERT_MAX + 1),
		       PKI_CERT_MAX + 1),
		   &c),
	    "more than 65536");
}

/* One extension more in a certificate that is otherwise good. */
static const char *
with_ext(struct world *w, const char *oid, bool critical, struct str value,
    struct pki_cert *c)
{
	struct parts p = ca_parts(w->arena, w->key);

	p.exts = extension(w->arena, str_from(oid), critical, value);
	return pki_parse_cert(w->arena, signed_of(w->arena, &p, w->key), c);
}

static void
extensions_are_read_to_their_end(void **state)
{
	static const struct {
		const char *oid;
		struct str value;
	} bad[] = {
#define V(text) { .p = (text), .n = sizeof(text) - 1 }
		{ OID_TEXT_SAN, V("") },
		{ OID_TEXT_SAN, V("\x30\x00") },
		{ OID_TEXT_SAN, V("\x30\x03\x82\x01\x61\x00") },
		{ OID_TEXT_SAN, V("\x30\x03\x82\x02\x61") },
		{ OID_TEXT_BASIC, V("\x30\x03\x02\x01\x00") },
		{ OID_TEXT_BASIC, V("\x30\x03\x01\x01\x01") },
		{ OID_TEXT_BASIC, V("\x30\x06\x01\x01\xff\x02\x01\x80") },
		{ OID_TEXT_BASIC, V("\x30\x00\x00") },
		{ OID_TEXT_KU, V("\x03\x01\x00") },
		{ OID_TEXT_KU, V("\x03\x02\x08\x80") },
		{ OID_TEXT_KU, V("\x03\x02\x07\x81") },
		{ OID_TEXT_EKU, V("\x30\x00") },
		{ OID_TEXT_EKU, V("\x30\x02\x05\x00") },
		{ OID_TEXT_SKI, V("\x04\x00") },
		{ OID_TEXT_SKI, V("\x04\x01\x01\x00") },
		{ OID_TEXT_AKI, V("\x30\x02\x05\x00") },
		{ OID_TEXT_AIA, V("\x30\x02\x30\x00") },
		{ OID_TEXT_CRL, V("\x30\x02\x05\x00") },
		{ OID_TEXT_CRL, V("\x30\x04\x30\x02\x05\x00") },
		{ OID_TEXT_TLS, V("\x30\x02\x05\x00") },
		{ OID_TEXT_NO_REV, V("\x05\x01\x00") },
		{ OID_TEXT_NO_REV, V("") },
	};
	struct pki_cert c;

	for (size_t i = 0; i < COUNT(bad); i++)
		expect(with_ext(*state, bad[i].oid, false, bad[i].value, &c),
		    "extensions");
}

static void
what_others_write_is_understood(void **state)
{
	struct world *w = *state;
	struct pki_cert c;

	must(with_ext(w, OID_TEXT_UNKNOWN, false, STR("x"), &c));
	assert_false(c.unknown_critical);
	must(with_ext(w, OID_TEXT_UNKNOWN, true, STR("x"), &c));
	assert_true(c.unknown_critical);
	must(with_ext(w, OID_TEXT_SAN, false,
	    BYTES("\x30\x08\x81\x01\x61\x82\x03\x78\x2e\x79"), &c));
	assert_true(c.san_other && !c.san_critical);
	assert_int_equal(c.names.ndns, 1);
	assert_str(c.names.dns[0], "x.y");
	assert_false(c.san_repeats);
	must(with_ext(w, OID_TEXT_SAN, false,
	    BYTES("\x30\x0a\x82\x03\x78\x2e\x79\x82\x03\x78\x2e\x79"), &c));
	assert_int_equal(c.names.ndns, 1);
	assert_true(c.san_repeats);
	must(
	    with_ext(w, OID_TEXT_SAN, true, BYTES("\x30\x03\x87\x01\x01"), &c));
	assert_true(c.san_other && c.san_critical);
	must(with_ext(w, OID_TEXT_KU, true, BYTES("\x03\x03\x07\x00\x80"), &c));
	assert_int_equal(c.key_usage, 1 << 8);
	must(with_ext(w, OID_TEXT_EKU, false,
	    BYTES("\x30\x06\x06\x04\x55\x1d\x25\x00"), &c));
	assert_int_equal(c.eku, PKI_EKU_OTHER);
	must(with_ext(w, OID_TEXT_BASIC, true,
	    BYTES("\x30\x06\x01\x01\xff\x02\x01\x03"), &c));
	assert_true(c.ca);
	assert_int_equal(c.path_len, 3);
	/* an AKI by issuer and serial has no key id */
	must(with_ext(w, OID_TEXT_AKI, false,
	    BYTES("\x30\x05\xa1\x00\x82\x01\x01"), &c));
	assert_null(c.aki.p);
	/* reasons and an indirect issuer beside the URL of a CRL */
	must(with_ext(w, OID_TEXT_CRL, false,
	    BYTES("\x30\x12\x30\x10\xa0\x06\xa0\x04\x86\x02u:\x81\x02\x01"
		  "\x02\xa2\x02\x82\x00"),
	    &c));
	assert_str(c.crl_url, "u:");
	must(with_ext(w, OID_TEXT_AIA, false,
	    BYTES("\x30\x12\x30\x10\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02"
		  "\x86\x04u:/x"),
	    &c));
	assert_str(c.ca_issuers_url, "u:/x");
	assert_null(c.ocsp_url.p);
}

static void
a_key_of_another_kind_is_no_obstacle(void **state)
{
	struct world *w = *state;
	struct parts p = ca_parts(w->arena, w->key);
	struct pki_cert c;

	/* X25519 */
	p.spki = BYTES("\x30\x0c\x30\x05\x06\x03\x2b\x65\x6e\x03\x03\x00\x01"
		       "\x02");
	must(pki_parse_cert(w->arena, signed_of(w->arena, &p, w->key), &c));
	assert_null(c.key);
	assert_false(pki_cert_is_signed_by(&c, &c));
}

/* ---- OpenSSL's program */

static int
run(struct world *w, const char *command)
{
	int status = system(
	    str_printf(w->arena, "%s >/dev/null 2>&1", command).p);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
openssl_verifies_what_we_issue(void **state)
{
	struct world *w = *state;
	char folder[] = "/tmp/pki-cert-XXXXXX";
	const char *root, *chain, *leaf;

	if (run(w, "openssl version") != 0)
		skip();
	w->spec.cn = STR("a.example");
	w->spec.ocsp_url = STR("http://ocsp.example/");
	w->spec.crl_url = STR("http://ca.example/crl");
	w->spec.must_staple = w->profile.must_staple = true;
	assert_non_null(mkdtemp(folder));
	root = str_printf(w->arena, "%s/root", folder).p;
	chain = str_printf(w->arena, "%s/chain", folder).p;
	leaf = str_printf(w->arena, "%s/leaf", folder).p;
	must(pki_save_text(w->arena, root, w->root.chain_pem, PKI_SAVE_NEW));
	must(pki_save_text(w->arena, chain, w->ca.chain_pem, PKI_SAVE_NEW));
	must(pki_save_text(w->arena, leaf,
	    pki_write_pem(w->arena, "CERTIFICATE", issue(w)), PKI_SAVE_NEW));
	assert_int_equal(run(w,
			     str_printf(w->arena,
				 "openssl verify -x509_strict -attime %lld "
				 "-purpose sslserver -verify_hostname "
				 "x.a.example -CAfile %s -untrusted %s %s",
				 (long long)now, root, chain, leaf)
				 .p),
	    0);
	assert_int_equal(run(w,
			     str_printf(w->arena,
				 "openssl x509 -in %s -noout -text | grep -q "
				 "'TLS Web Server Authentication'",
				 leaf)
				 .p),
	    0);
	assert_int_not_equal(run(w,
				 str_printf(w->arena,
				     "openssl verify -attime %lld -CAfile %s "
				     "%s",
				     (long long)now, root, leaf)
				     .p),
	    0);
	unlink(root);
	unlink(chain);
	unlink(leaf);
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_world, drop_world)
	const struct CMUnitTest tests[] = {
		T(a_certificate_says_what_its_spec_says),
		T(a_common_name_makes_the_san_not_critical),
		T(short_lived_certificates_say_no_revocation),
		T(every_kind_of_ca_key_signs_for_every_kind_of_key),
		T(an_rsa_key_gets_key_encipherment),
		T(the_same_spec_gives_the_same_bytes),
		T(dates_from_2050_are_generalized),
		T(specs_out_of_bounds_are_not_built),
		T(many_names_fit),
		T(serials_are_positive_and_have_one_spelling),
		T(serials_are_in_order_of_time_and_random_behind_it),
		T(a_serial_of_twenty_bytes_may_have_a_zero_before_it),
		T(certificates_that_are_malformed_name_the_part),
		T(extensions_are_read_to_their_end),
		T(what_others_write_is_understood),
		T(a_key_of_another_kind_is_no_obstacle),
		T(openssl_verifies_what_we_issue),
	};

	return cmocka_run_group_tests_name("cert", tests, NULL, NULL);
}
