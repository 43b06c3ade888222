/* SPDX-License-Identifier: ISC */
/* Certification requests: what is taken, and each reason to refuse. */
#include "../arena.h"

#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/x509.h>

#include "pki/pki.h"
#include "pki/pki_int.h"
#include "../rsa_key.h"
#include "der.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static EVP_PKEY *keys[5]; /* by enum pki_key_kind */

static int
make_keys(void **state)
{
	struct arena *a = arena_create();

	(void)state;
	assert_null(pki_parse_key(a, str_from(rsa_key_pem), &keys[PKI_RSA]));
	for (unsigned i = PKI_P256; i < COUNT(keys); i++)
		keys[i] = pki_generate_key((enum pki_key_kind)i);
	arena_destroy(a);
	return 0;
}

static int
drop_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(keys); i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}

/* ---- requests put together by hand */

/* The attribute around a list of extensions. */
static struct str
request_of(struct arena *a, struct str exts)
{
	return tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_EXTREQ)),
	    tlv(a, SET, tlv(a, SEQ, exts)));
}

static struct str
info_of(struct arena *a, struct str version, struct str subject,
    struct str spki, struct str atts)
{
	return tlv_of(a, SEQ, version, subject, spki,
	    tlv(a, CTX_SEQ | 0, atts));
}

static struct str
csr_with_atts(struct arena *a, struct str atts)
{
	return alg_wrap(a, keys[PKI_P256],
	    info_of(a, BYTES("\x02\x01\x00"), BYTES("\x30\x00"),
		pki_write_spki(a, keys[PKI_P256]), atts));
}

static struct str
san_of(struct arena *a, struct str names)
{
	return extension(a, BYTES(OID_TEXT_SAN), false, tlv(a, SEQ, names));
}

static struct str
csr_with_san(struct arena *a, struct str names)
{
	return csr_with_atts(a, request_of(a, san_of(a, names)));
}

static struct str
dns_of(struct arena *a, const char *name)
{
	return tlv(a, CTX | 2, str_from(name));
}

static struct str
csr_with_subject(struct arena *a, struct str subject, struct str atts)
{
	return alg_wrap(a, keys[PKI_P256],
	    info_of(a, BYTES("\x02\x01\x00"), subject,
		pki_write_spki(a, keys[PKI_P256]), atts));
}

static struct pki_csr
accept(struct arena *a, struct str der)
{
	const struct problem *pr;
	struct pki_csr csr;

	if ((pr = pki_parse_csr(a, der, &csr)) != NULL)
		fail_msg(STR_FMT, STR_ARG(pr->detail));
	return csr;
}

static void
refuse(struct arena *a, struct str der, const char *part)
{
	const struct problem *pr;
	struct pki_csr csr;

	if ((pr = pki_parse_csr(a, der, &csr)) == NULL)
		fail_msg("accepted instead of \"%s\"", part);
	assert_int_equal(pr->type, PROBLEM_BAD_CSR);
	if (strstr(str_cstr(a, pr->detail), part) == NULL)
		fail_msg("\"" STR_FMT "\" instead of \"%s\"",
		    STR_ARG(pr->detail), part);
}

/* ---- good requests */

static void
requests_of_every_kind_of_key_are_taken(void **state)
{
	static const unsigned bits[] = { 2048, 256, 384, 521, 256 };
	struct str dns[] = { STR("*.a.example"), STR("b.example") };
	struct addr ips[2];
	struct pki_names names = { dns, 2, ips, 2 };
	uint8_t hash[32];

	assert_true(addr_parse(STR("192.0.2.1"), &ips[0]));
	assert_true(addr_parse(STR("2001:db8::1"), &ips[1]));
	for (unsigned i = 0; i < COUNT(keys); i++) {
		struct str der = pki_write_csr(*state, keys[i], &names,
		    STR_NONE);
		struct pki_csr csr = accept(*state, der);

		assert_int_equal(csr.kind, i);
		assert_int_equal(csr.bits, bits[i]);
		assert_int_equal(EVP_PKEY_cmp(csr.key, keys[i]), 1);
		assert_true(pki_names_equal(&csr.names, &names));
		assert_null(csr.cn.p);
		assert_false(csr.cn_is_name || csr.must_staple);
		assert_true(str_eq(csr.spki, pki_write_spki(*state, keys[i])));
		pki_spki_hash(csr.spki, hash);
		assert_memory_equal(csr.spki_hash, hash, 32);
	}
}

/* What BoringSSL's own X.509 code writes and reads. */
static void
requests_agree_with_another_implementation(void **state)
{
	struct str dns[] = { STR("a.example") };
	struct pki_names names = { dns, 1, NULL, 0 };
	struct str der = pki_write_csr(*state, keys[PKI_P256], &names,
	    STR("a.example"));
	const uint8_t *p = (const uint8_t *)der.p;
	X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.n);
	struct pki_csr csr;
	uint8_t *out = NULL;
	EVP_PKEY *key;
	char cn[64];
	int n;

	assert_non_null(req);
	key = X509_REQ_get_pubkey(req);
	assert_int_equal(X509_REQ_verify(req, key), 1);
	EVP_PKEY_free(key);
	X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(req),
	    NID_commonName, cn, sizeof(cn));
	assert_string_equal(cn, "a.example");
	X509_REQ_free(req);

	req = X509_REQ_new();
	X509_REQ_set_pubkey(req, keys[PKI_P384]);
	X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(req),
	    NID_organizationName, MBSTRING_ASC, (const uint8_t *)"Org", -1, -1,
	    0);
	X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(req),
	    NID_commonName, MBSTRING_ASC, (const uint8_t *)"b.example", -1, -1,
	    0);
	assert_true(X509_REQ_sign(req, keys[PKI_P384], EVP_sha256()) > 0);
	n = i2d_X509_REQ(req, &out);
	csr = accept(*state, str_make(out, (size_t)n));
	assert_str(csr.cn, "b.example");
	assert_int_equal(csr.kind, PKI_P384);
	OPENSSL_free(out);
	X509_REQ_free(req);
}

static void
names_are_folded_and_sorted_into_a_set(void **state)
{
	struct pki_csr csr = accept(*state,
	    csr_with_san(*state,
		join(*state, dns_of(*state, "B.example"),
		    dns_of(*state, "a.EXAMPLE"), dns_of(*state, "b.Example"),
		    tlv(*state, CTX | 7, BYTES("\x0a\x00\x00\x01")),
		    tlv(*state, CTX | 7, BYTES("\x0a\x00\x00\x01")), END)));

	assert_int_equal(csr.names.ndns, 2);
	assert_str(csr.names.dns[0], "a.example");
	assert_str(csr.names.dns[1], "b.example");
	assert_int_equal(csr.names.nips, 1);
}

static void
a_common_name_counts_as_a_name_if_it_is_one(void **state)
{
	struct arena *a = *state;
	struct str atts = request_of(a, san_of(a, dns_of(a, "a.example")));
	struct str oid = BYTES(OID_TEXT_CN);
	struct pki_csr csr;

	csr = accept(a,
	    csr_with_subject(a, name_of(a, oid, UTF8, STR("C.example")), atts));
	assert_int_equal(csr.names.ndns, 2);
	assert_str(csr.cn, "c.example");
	assert_true(csr.cn_is_name);
	csr = accept(a,
	    csr_with_subject(a, name_of(a, oid, IA5, STR("A.example")), atts));
	assert_int_equal(csr.names.ndns, 1);
	assert_true(csr.cn_is_name);
	csr = accept(a,
	    csr_with_subject(a, name_of(a, oid, PRINTABLE, STR("10.0.0.1")),
		atts));
	assert_int_equal(csr.names.nips, 1);
	assert_true(csr.cn_is_name);
	/* alone, without any extension */
	csr = accept(a,
	    csr_with_subject(a, name_of(a, oid, UTF8, STR("*.d.example")),
		STR("")));
	assert_int_equal(csr.names.ndns, 1);
	assert_str(csr.names.dns[0], "*.d.example");
	/* other text is kept and means nothing */
	csr = accept(a,
	    csr_with_subject(a, name_of(a, oid, UTF8, STR("My server")), atts));
	assert_int_equal(csr.names.ndns, 1);
	assert_str(csr.cn, "My server");
	assert_false(csr.cn_is_name);
	csr = accept(a,
	    csr_with_subject(a, name_of(a, oid, UTF8, STR("")), atts));
	assert_null(csr.cn.p);
	csr = accept(a,
	    csr_with_subject(a,
		name_of(a, BYTES(OID_TEXT_O), BMP, BYTES("\x00\x41")), atts));
	assert_null(csr.cn.p);
}

static void
what_the_profile_decides_is_passed_over(void **state)
{
	struct arena *a = *state;
	struct str exts = join(a, san_of(a, dns_of(a, "a.example")),
	    extension(a, BYTES(OID_TEXT_UNKNOWN), true, STR("x")),
	    extension(a, BYTES(OID_TEXT_KU), true, STR("garbage")),
	    extension(a, BYTES(OID_TEXT_BASIC), true, BYTES("\x30\x00")),
	    extension(a, BYTES(OID_TEXT_TLS), false,
		BYTES("\x30\x03\x02\x01\x05")),
	    END);
	struct str other = tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_UNKNOWN)),
	    tlv(a, SET, BYTES("\x05\x00")));
	struct pki_csr csr;

	csr = accept(a,
	    csr_with_atts(a, join(a, other, request_of(a, exts), other, END)));
	assert_true(csr.must_staple);
}

/* What cannot be given is not passed over: RFC 7633 has other features. */
static void
tls_features_are_status_request_or_refused(void **state)
{
	const struct {
		struct str features;
		bool ok, must_staple;
	} rows[] = {
		{ BYTES("\x30\x03\x02\x01\x05"), true, true },
		{ BYTES("\x30\x00"), true, false },
		/* the obsolete status_request_v2 */
		{ BYTES("\x30\x03\x02\x01\x11"), false, false },
		{ BYTES("\x30\x06\x02\x01\x05\x02\x01\x11"), false, false },
		{ BYTES("\x30\x03\x02\x01\x00"), false, false },
		{ BYTES("\x30\x03\x04\x01\x05"), false, false },
	};
	struct arena *a = *state;
	const struct problem *pr;
	struct pki_csr csr;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pr = pki_parse_csr(a,
		    csr_with_atts(a,
			request_of(a,
			    join(a, san_of(a, dns_of(a, "a.example")),
				extension(a, BYTES(OID_TEXT_TLS), false,
				    rows[i].features),
				END))),
		    &csr);
		assert_int_equal(pr == NULL, rows[i].ok);
		if (pr == NULL)
			assert_int_equal(csr.must_staple, rows[i].must_staple);
		else
			assert_int_equal(pr->type, PROBLEM_BAD_CSR);
	}
}

/* ---- names that are refused */

static void
other_types_of_names_are_refused_by_their_type(void **state)
{
	static const struct {
		unsigned tag;
		const char *what;
	} bad[] = {
		{ CTX_SEQ | 0, "an otherName" },
		{ CTX | 1, "an e-mail address" },
		{ CTX_SEQ | 3, "an X.400 address" },
		{ CTX_SEQ | 4, "a directory name" },
		{ CTX_SEQ | 5, "an EDI party name" },
		{ CTX | 6, "a URI" },
		{ CTX | 8, "a registered id" },
		{ CTX | 9, "a name of an unknown type" },
		{ UTF8, "a name of an unknown type" },
		{ CTX_SEQ | 2, "a name of an unknown type" },
		{ CTX_SEQ | 7, "a name of an unknown type" },
	};

	for (size_t i = 0; i < COUNT(bad); i++)
		refuse(*state,
		    csr_with_san(*state,
			join(*state, dns_of(*state, "a.example"),
			    tlv(*state, bad[i].tag, STR("")), END)),
		    bad[i].what);
}

static void
dns_names_that_are_none_are_refused_by_name(void **state)
{
	struct arena *a = *state;

	refuse(a, csr_with_san(a, dns_of(a, "")), "\"\" is empty");
	refuse(a, csr_with_san(a, dns_of(a, "a_b.example")),
	    "name \"a_b.example\" has characters");
	refuse(a, csr_with_san(a, dns_of(a, "a.*.example")), "first label");
	refuse(a, csr_with_san(a, dns_of(a, "a.example.")), "dot");
	refuse(a, csr_with_san(a, dns_of(a, "10.0.0.1")), "number");
	refuse(a, csr_with_san(a, tlv(a, CTX | 2, BYTES("a\0b"))),
	    "name \"a?b\" is not text");
	refuse(a,
	    csr_with_san(a,
		tlv(a, CTX | 2,
		    BYTES("a\xff"
			  "b"))),
	    "is not text");
	refuse(a, csr_with_san(a, tlv(a, CTX | 2, BYTES("\xc3\xa4.example"))),
	    "\"??.example\" has characters");
}

static void
addresses_of_another_form_are_refused(void **state)
{
	struct arena *a = *state;

	refuse(a, csr_with_san(a, tlv(a, CTX | 7, BYTES("\x01\x02\x03"))),
	    "neither 4 nor 16 bytes");
	refuse(a,
	    csr_with_san(a,
		tlv(a, CTX | 7, BYTES("\x0a\x00\x00\x00\xff\x00\x00\x00"))),
	    "neither 4 nor 16 bytes");
	refuse(a,
	    csr_with_san(a,
		tlv(a, CTX | 7,
		    BYTES("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1"))),
	    "IPv4 address in IPv6 form");
}

static void
a_request_without_any_name_is_refused(void **state)
{
	struct arena *a = *state;

	refuse(a, csr_with_atts(a, STR("")), "names neither");
	refuse(a, csr_with_san(a, STR("")), "malformed or empty");
	refuse(a,
	    csr_with_subject(a,
		name_of(a, BYTES(OID_TEXT_CN), UTF8, STR("not a name")),
		STR("")),
	    "names neither");
}

static void
common_names_must_be_one_and_text(void **state)
{
	struct arena *a = *state;
	struct str atts = request_of(a, san_of(a, dns_of(a, "a.example")));
	struct str cn = tlv(a, SET,
	    tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_CN)),
		tlv(a, UTF8, STR("a.example"))));

	refuse(a, csr_with_subject(a, tlv_of(a, SEQ, cn, cn), atts),
	    "more than one common name");
	refuse(a,
	    csr_with_subject(a,
		name_of(a, BYTES(OID_TEXT_CN), BMP, BYTES("\0a")), atts),
	    "common name that is not");
	refuse(a,
	    csr_with_subject(a,
		name_of(a, BYTES(OID_TEXT_CN), UTF8, BYTES("a\0")), atts),
	    "common name that is not");
	refuse(a,
	    csr_with_subject(a,
		name_of(a, BYTES(OID_TEXT_CN), UTF8, BYTES("\xff")), atts),
	    "common name that is not");
	refuse(a, csr_with_subject(a, BYTES("\x30\x02\x31\x00"), atts),
	    "its subject");
}

static void
more_than_256_names_are_refused(void **state)
{
	struct arena *a = *state;
	struct str names = STR("");

	for (int i = 0; i < 256; i++)
		names = join(a, names,
		    dns_of(a, str_printf(a, "h%d.example", i).p), END);
	assert_int_equal(accept(a, csr_with_san(a, names)).names.ndns, 256);
	refuse(a,
	    csr_with_subject(a,
		name_of(a, BYTES(OID_TEXT_CN), UTF8, STR("one.more")),
		request_of(a, san_of(a, names))),
	    "more than 256 names");
	names = join(a, names, dns_of(a, "one.more"), END);
	refuse(a, csr_with_san(a, names), "more than 256 names");
}

/* ---- extensions that are refused */

static void
extension_requests_must_be_whole_and_single(void **state)
{
	struct arena *a = *state;
	struct str san = san_of(a, dns_of(a, "a.example"));
	struct str many = STR("");

	refuse(a, csr_with_atts(a, request_of(a, join(a, san, san, END))),
	    "same extension twice");
	refuse(a,
	    csr_with_atts(a,
		join(a, request_of(a, san), request_of(a, san), END)),
	    "extensions twice");
	refuse(a, csr_with_atts(a, request_of(a, BYTES("\x30\x00"))),
	    "malformed extension");
	refuse(a,
	    csr_with_atts(a,
		tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_EXTREQ)),
		    tlv(a, SET, STR("")))),
	    "malformed extensionRequest");
	refuse(a,
	    csr_with_atts(a,
		tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_EXTREQ)),
		    tlv_of(a, SET, tlv(a, SEQ, san), tlv(a, SEQ, san)))),
	    "malformed extensionRequest");
	refuse(a, csr_with_atts(a, BYTES("\x30\x00")), "malformed attribute");
	for (unsigned char i = 0; i < 33; i++)
		many = join(a, many,
		    extension(a, str_make((char[]){ 0x2a, (char)i }, 2), false,
			STR("")),
		    END);
	refuse(a, csr_with_atts(a, request_of(a, many)), "more than 32");
}

static void
a_request_for_a_ca_is_refused(void **state)
{
	struct arena *a = *state;
	struct str san = san_of(a, dns_of(a, "a.example"));
	struct str oid = BYTES(OID_TEXT_BASIC);

	refuse(a,
	    csr_with_atts(a,
		request_of(a,
		    join(a, san,
			extension(a, oid, true, BYTES("\x30\x03\x01\x01\xff")),
			END))),
	    "asks for a CA certificate");
	refuse(a,
	    csr_with_atts(a,
		request_of(a,
		    join(a, san, extension(a, oid, true, BYTES("\x31\x00")),
			END))),
	    "malformed basicConstraints");
	refuse(a,
	    csr_with_atts(a,
		request_of(a,
		    join(a, san,
			extension(a, BYTES(OID_TEXT_TLS), false, STR("x")),
			END))),
	    "malformed TLS feature");
}

/* ---- the frame */

static void
frames_of_another_shape_are_refused(void **state)
{
	struct arena *a = *state;
	struct str spki = pki_write_spki(a, keys[PKI_P256]);
	struct str none = BYTES("\x30\x00"), v1 = BYTES("\x02\x01\x00");
	struct str atts = request_of(a, san_of(a, dns_of(a, "a.example")));
	struct str good = csr_with_atts(a, atts);

	accept(a, good);
	for (size_t n = 0; n < good.n; n++)
		refuse(a, str_make(good.p, n), "not a PKCS #10 request");
	refuse(a, join(a, good, BYTES("\x00"), END), "something behind it");
	refuse(a, str_make(arena_zalloc(a, 16385), 16385), "16384 bytes");
#define INFO(...) alg_wrap(a, keys[PKI_P256], tlv_of(a, SEQ, __VA_ARGS__))
	refuse(a,
	    INFO(BYTES("\x02\x01\x01"), none, spki, tlv(a, CTX_SEQ, atts)),
	    "version 1");
	refuse(a, INFO(none, none, spki, tlv(a, CTX_SEQ, atts)), "version");
	refuse(a, INFO(v1, spki, tlv(a, CTX_SEQ, atts)), "subject");
	refuse(a, INFO(v1, none, tlv(a, CTX_SEQ, atts)), "public key");
	refuse(a, INFO(v1, none, spki), "attributes");
	refuse(a, INFO(v1, none, spki, tlv(a, SET, atts)), "attributes");
	refuse(a, INFO(v1, none, spki, tlv(a, CTX_SEQ, atts), none),
	    "attributes");
}

/* ---- keys and signatures */

/* Sign with any digest and call it any algorithm. */
static struct str
wrap(struct arena *a, EVP_PKEY *key, struct str info, struct str alg,
    const EVP_MD *md)
{
	uint8_t sig[1024];
	size_t n = sizeof(sig);
	EVP_MD_CTX ctx;

	EVP_MD_CTX_init(&ctx);
	assert_int_equal(EVP_DigestSignInit(&ctx, NULL, md, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(&ctx, sig, &n, (const uint8_t *)info.p,
			     info.n),
	    1);
	EVP_MD_CTX_cleanup(&ctx);
	return tlv_of(a, SEQ, info, alg,
	    tlv_of(a, BITS, BYTES("\x00"), str_make(sig, n)));
}

static struct str
info_for(struct arena *a, struct str spki)
{
	return info_of(a, BYTES("\x02\x01\x00"), BYTES("\x30\x00"), spki,
	    request_of(a, san_of(a, dns_of(a, "a.example"))));
}

static void
signatures_by_sha2_are_taken_with_any_curve(void **state)
{
	struct arena *a = *state;
	struct str info = info_for(a, pki_write_spki(a, keys[PKI_P256]));
	struct str rsa = info_for(a, pki_write_spki(a, keys[PKI_RSA]));

	accept(a,
	    wrap(a, keys[PKI_P256], info, BYTES(ALG_ES384), EVP_sha384()));
	accept(a,
	    wrap(a, keys[PKI_P256], info,
		BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"),
		EVP_sha512()));
	/* RSA without the NULL, and with SHA-512 */
	accept(a,
	    wrap(a, keys[PKI_RSA], rsa,
		BYTES("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
		      "\x0b"),
		EVP_sha256()));
	accept(a,
	    wrap(a, keys[PKI_RSA], rsa,
		BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
		      "\x0d\x05\x00"),
		EVP_sha512()));
}

static void
signatures_that_do_not_fit_are_refused(void **state)
{
	struct arena *a = *state;
	struct str info = info_for(a, pki_write_spki(a, keys[PKI_P256]));
	struct str good = wrap(a, keys[PKI_P256], info, BYTES(ALG_ES256),
	    EVP_sha256());

	accept(a, good);
	refuse(a, wrap(a, keys[PKI_P256], info, BYTES(ALG_ES1), EVP_sha1()),
	    "an algorithm that is not accepted");
	refuse(a,
	    wrap(a, keys[PKI_RSA],
		info_for(a, pki_write_spki(a, keys[PKI_RSA])),
		BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
		      "\x05\x00"),
		EVP_sha1()),
	    "an algorithm that is not accepted");
	refuse(a,
	    wrap(a, keys[PKI_P256], info, BYTES("\x30\x00"), EVP_sha256()),
	    "an algorithm that is not accepted");
	/* another digest, another key, another kind of key */
	refuse(a, wrap(a, keys[PKI_P256], info, BYTES(ALG_ES384), EVP_sha256()),
	    "signature");
	refuse(a, wrap(a, keys[PKI_P384], info, BYTES(ALG_ES384), EVP_sha384()),
	    "signature");
	refuse(a,
	    wrap(a, keys[PKI_RSA], info,
		BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
		      "\x05\x00"),
		EVP_sha256()),
	    "signature that its key did not make");
	/* unused bits in the signature's BIT STRING */
	refuse(a,
	    tlv_of(a, SEQ, info, BYTES(ALG_ES256),
		tlv(a, BITS, BYTES("\x01\x00"))),
	    "not a PKCS #10 request");
	refuse(a,
	    tlv_of(a, SEQ, info, BYTES(ALG_ES256), tlv(a, BITS, BYTES("\0"))),
	    "signature that its key did not make");
}

static EVP_PKEY *
ec_key(int nid)
{
	EVP_PKEY *key = EVP_PKEY_new();
	EC_KEY *ec = EC_KEY_new_by_curve_name(nid);

	assert_int_equal(EC_KEY_generate_key(ec), 1);
	EVP_PKEY_assign_EC_KEY(key, ec);
	return key;
}

/* An RSA key whose modulus has len bytes; nobody looks for its factors. */
static struct str
rsa_spki(struct arena *a, size_t len, struct str exponent)
{
	char *n = arena_zalloc(a, len + 1);

	memset(n + 1, 0xff, len);
	return tlv_of(a, SEQ,
	    BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
		  "\x05\x00"),
	    tlv_of(a, BITS, BYTES("\0"),
		tlv_of(a, SEQ, tlv(a, INT, str_make(n, len + 1)),
		    tlv(a, INT, exponent))));
}

static void
keys_that_will_not_do_are_refused(void **state)
{
	struct arena *a = *state;
	EVP_PKEY *p224 = ec_key(NID_secp224r1);
	const struct {
		struct str spki;
		const char *what;
	} bad[] = {
		{ pki_write_spki(a, p224), "a curve other than" },
		{ rsa_spki(a, 255, BYTES("\x01\x00\x01")),
		    "RSA key of less than 2048 bits" },
		{ rsa_spki(a, 513, BYTES("\x01\x00\x01")),
		    "RSA key of more than 4096 bits" },
		{ rsa_spki(a, 256, BYTES("\x03")), "exponent below 65537" },
		{ rsa_spki(a, 256, BYTES("\x01\x00\x00\x00\x01")),
		    "exponent above 2^32 - 1" },
		/* BoringSSL itself does not read the last two */
		{ rsa_spki(a, 256, BYTES("\x01\x00\x02")), "the CSR" },
		{ BYTES("\x30\x0c\x30\x05\x06\x03\x2b\x65\x6e\x03\x03\x00"
			"\x01\x02"),
		    "cannot be read" },
	};

	for (size_t i = 0; i < COUNT(bad); i++)
		refuse(a,
		    wrap(a, keys[PKI_P256], info_for(a, bad[i].spki),
			BYTES(ALG_ES256), EVP_sha256()),
		    bad[i].what);
	EVP_PKEY_free(p224);
}

static void
a_compressed_point_is_refused(void **state)
{
	struct arena *a = *state;
	uint8_t point[33];
	const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(keys[PKI_P256]);
	struct str info;

	assert_int_equal(EC_POINT_point2oct(EC_KEY_get0_group(ec),
			     EC_KEY_get0_public_key(ec),
			     POINT_CONVERSION_COMPRESSED, point, sizeof(point),
			     NULL),
	    33);
	info = info_for(a,
	    tlv_of(a, SEQ,
		BYTES("\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08"
		      "\x2a\x86\x48\xce\x3d\x03\x01\x07"),
		tlv_of(a, BITS, BYTES("\0"), str_make(point, 33))));
	refuse(a, wrap(a, keys[PKI_P256], info, BYTES(ALG_ES256), EVP_sha256()),
	    "the CSR has a public key");
}

static void
no_flipped_bit_goes_unnoticed(void **state)
{
	struct str dns[] = { STR("a.example") };
	struct pki_names names = { dns, 1, NULL, 0 };
	struct str good = pki_write_csr(*state, keys[PKI_P256], &names,
	    STR("a.example"));

	for (size_t i = 0; i < good.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct arena *a = arena_create();
			char *p = str_cstr(a, good);
			struct pki_csr csr;

			p[i] = (char)(p[i] ^ 1 << bit);
			if (pki_parse_csr(a, str_make(p, good.n), &csr) == NULL)
				fail_msg("bit %d of byte %zu", bit, i);
			arena_destroy(a);
		}
}

static void
a_kept_request_is_read_without_its_signature(void **state)
{
	struct arena *a = *state;
	struct str info = info_for(a, pki_write_spki(a, keys[PKI_P256]));
	struct str der = wrap(a, keys[PKI_P384], info, BYTES(ALG_ES384),
	    EVP_sha384());
	struct pki_csr csr;

	refuse(a, der, "signature");
	assert_null(pki_read_csr(a, der, &csr));
	assert_int_equal(csr.names.ndns, 1);
	assert_non_null(pki_read_csr(a, str_make(der.p, der.n - 1), &csr));
	assert_non_null(pki_read_csr(a, csr_with_san(a, STR("")), &csr));
}

static void
no_request_is_written_without_names(void **state)
{
	struct pki_names none = { .ndns = 0 };

	assert_null(pki_write_csr(*state, keys[PKI_P256], &none, STR_NONE).p);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
	const struct CMUnitTest tests[] = {
		T(requests_of_every_kind_of_key_are_taken),
		T(requests_agree_with_another_implementation),
		T(names_are_folded_and_sorted_into_a_set),
		T(a_common_name_counts_as_a_name_if_it_is_one),
		T(what_the_profile_decides_is_passed_over),
		T(tls_features_are_status_request_or_refused),
		T(other_types_of_names_are_refused_by_their_type),
		T(dns_names_that_are_none_are_refused_by_name),
		T(addresses_of_another_form_are_refused),
		T(a_request_without_any_name_is_refused),
		T(common_names_must_be_one_and_text),
		T(more_than_256_names_are_refused),
		T(extension_requests_must_be_whole_and_single),
		T(a_request_for_a_ca_is_refused),
		T(frames_of_another_shape_are_refused),
		T(signatures_by_sha2_are_taken_with_any_curve),
		T(signatures_that_do_not_fit_are_refused),
		T(keys_that_will_not_do_are_refused),
		T(a_compressed_point_is_refused),
		T(no_flipped_bit_goes_unnoticed),
		T(a_kept_request_is_read_without_its_signature),
		T(no_request_is_written_without_names),
	};

	return cmocka_run_group_tests_name("csr", tests, make_keys, drop_keys);
}
