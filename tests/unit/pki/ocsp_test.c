/* SPDX-License-Identifier: ISC */
/* OCSP requests, good and bad, and answers taken apart. RFC 6960. */
#include "../unit.h"

#include <openssl/sha.h>

#include "world.h"

#define SHA1_OID BYTES("\x2b\x0e\x03\x02\x1a")
#define SHA256_OID BYTES("\x60\x86\x48\x01\x65\x03\x04\x02\x01")
#define NONCE_OID BYTES("\x2b\x06\x01\x05\x05\x07\x30\x01\x02")
#define SERIAL BYTES("\x12\x34")
#define OPEN(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

/* The bits of a key, out of its SPKI. */
static struct str
key_bits(const struct pki_ca *ca)
{
	CBS spki = der_cbs(ca->cert.spki), seq, alg;
	struct str bits = STR_NONE;

	assert_true(CBS_get_asn1(&spki, &seq, CBS_ASN1_SEQUENCE) &&
	    CBS_get_asn1(&seq, &alg, CBS_ASN1_SEQUENCE) &&
	    der_get_bits(&seq, &bits));
	return bits;
}

static struct str
hash1(struct arena *a, struct str s)
{
	uint8_t *out = arena_alloc(a, SHA_DIGEST_LENGTH);

	SHA1((const uint8_t *)s.p, s.n, out);
	return str_make(out, SHA_DIGEST_LENGTH);
}

static struct str
hash256(struct arena *a, struct str s)
{
	uint8_t *out = arena_alloc(a, SHA256_DIGEST_LENGTH);

	SHA256((const uint8_t *)s.p, s.n, out);
	return str_make(out, SHA256_DIGEST_LENGTH);
}

/* CertID by SHA-1, with NULL parameters. */
static struct str
cert_id(struct world *w, struct str serial)
{
	struct arena *a = w->arena;

	return tlv_of(a, SEQ,
	    tlv_of(a, SEQ, tlv(a, OID, SHA1_OID), tlv(a, NUL, STR(""))),
	    tlv(a, OCTETS, hash1(a, w->ca.cert.subject)),
	    tlv(a, OCTETS, hash1(a, key_bits(&w->ca))), tlv(a, INT, serial));
}

static struct str
nonce_ext(struct arena *a, struct str nonce)
{
	return extension(a, NONCE_OID, false, tlv(a, OCTETS, nonce));
}

/* exts: elements, or nothing */
static struct str
request_of(struct arena *a, struct str singles, struct str exts)
{
	if (exts.n > 0)
		exts = tlv(a, CTX_SEQ | 2, tlv(a, SEQ, exts));
	return tlv(a, SEQ, tlv_of(a, SEQ, tlv(a, SEQ, singles), exts));
}

static struct str
simple(struct world *w)
{
	return request_of(w->arena, tlv(w->arena, SEQ, cert_id(w, SERIAL)),
	    STR(""));
}

/* ---- reading */

static void
reads_a_simple_request(void **state)
{
	struct world *w = *state;
	struct pki_ocsp_request rq;

	assert_true(pki_ocsp_read(simple(w), &rq));
	assert_int_equal(rq.n, 1);
	assert_null(rq.nonce.p);
	assert_true(str_eq(rq.singles[0].serial, SERIAL));
	assert_true(str_eq(rq.singles[0].cert_id, cert_id(w, SERIAL)));
	assert_true(pki_ocsp_is_issued_by(&rq.singles[0], &w->ca));
	assert_false(pki_ocsp_is_issued_by(&rq.singles[0], &w->root));
}

static void
knows_a_ca_by_sha_256_too_and_without_parameters(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct pki_ocsp_request rq;
	struct str id;

	id = tlv_of(a, SEQ, tlv(a, SEQ, tlv(a, OID, SHA256_OID)),
	    tlv(a, OCTETS, hash256(a, w->ca.cert.subject)),
	    tlv(a, OCTETS, hash256(a, key_bits(&w->ca))), tlv(a, INT, SERIAL));
	assert_true(
	    pki_ocsp_read(request_of(a, tlv(a, SEQ, id), STR("")), &rq));
	assert_true(pki_ocsp_is_issued_by(&rq.singles[0], &w->ca));
	/* the name of one and the key of another */
	id = tlv_of(a, SEQ, tlv(a, SEQ, tlv(a, OID, SHA256_OID)),
	    tlv(a, OCTETS, hash256(a, w->ca.cert.subject)),
	    tlv(a, OCTETS, hash256(a, key_bits(&w->root))),
	    tlv(a, INT, SERIAL));
	assert_true(
	    pki_ocsp_read(request_of(a, tlv(a, SEQ, id), STR("")), &rq));
	assert_false(pki_ocsp_is_issued_by(&rq.singles[0], &w->ca));
	assert_false(pki_ocsp_is_issued_by(&rq.singles[0], &w->root));
	/* a digest that nobody knows */
	id = tlv_of(a, SEQ, tlv(a, SEQ, tlv(a, OID, BYTES("\x2a\x03"))),
	    tlv(a, OCTETS, STR("x")), tlv(a, OCTETS, STR("y")),
	    tlv(a, INT, SERIAL));
	assert_true(
	    pki_ocsp_read(request_of(a, tlv(a, SEQ, id), STR("")), &rq));
	assert_false(pki_ocsp_is_issued_by(&rq.singles[0], &w->ca));
}

static void
reads_what_may_be_there_besides(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct pki_ocsp_request rq;
	struct str tbs, single;

	single = tlv_of(a, SEQ, cert_id(w, SERIAL),
	    tlv(a, CTX_SEQ | 0,
		tlv(a, SEQ,
		    extension(a, BYTES(OID_TEXT_UNKNOWN), false, STR("x")))));
	tbs = tlv_of(a, SEQ, tlv(a, CTX_SEQ | 0, BYTES("\x02\x01\x00")),
	    tlv(a, CTX_SEQ | 1, tlv(a, CTX_SEQ | 4, w->ca.cert.subject)),
	    tlv(a, SEQ, join(a, single, single, END)),
	    tlv(a, CTX_SEQ | 2,
		tlv_of(a, SEQ,
		    extension(a, BYTES(OID_TEXT_UNKNOWN), false, STR("x")),
		    nonce_ext(a, STR("four")))));
	assert_true(pki_ocsp_read(tlv_of(a, SEQ, tbs,
				      tlv(a, CTX_SEQ | 0, STR("signature"))),
	    &rq));
	assert_int_equal(rq.n, 2);
	assert_true(str_eq(rq.nonce, STR("four")));
}

static void
nonces_have_1_to_128_bytes(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str id = tlv(a, SEQ, cert_id(w, SERIAL));
	struct pki_ocsp_request rq;
	char zeros[130] = { 0 };

	for (size_t n = 0; n <= sizeof(zeros); n++)
		assert_int_equal(pki_ocsp_read(request_of(a, id,
						   nonce_ext(a,
						       str_make(zeros, n))),
				     &rq),
		    n >= 1 && n <= 128);
	/* not wrapped, wrapped with something behind, and twice */
	assert_false(
	    pki_ocsp_read(request_of(a, id,
			      extension(a, NONCE_OID, false, STR("abcd"))),
		&rq));
	assert_false(pki_ocsp_read(request_of(a, id,
				       extension(a, NONCE_OID, false,
					   join(a, tlv(a, OCTETS, STR("ab")),
					       STR("c"), END))),
	    &rq));
	assert_false(pki_ocsp_read(request_of(a, id,
				       join(a, nonce_ext(a, STR("ab")),
					   nonce_ext(a, STR("ab")), END)),
	    &rq));
}

static void
the_number_of_certificates_is_bounded(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str one = tlv(a, SEQ, cert_id(w, SERIAL)), all = STR("");
	struct pki_ocsp_request rq;

	assert_false(pki_ocsp_read(request_of(a, STR(""), STR("")), &rq));
	for (size_t n = 1; n <= PKI_OCSP_SINGLES_MAX + 1; n++) {
		all = join(a, all, one, END);
		assert_int_equal(pki_ocsp_read(request_of(a, all, STR("")),
				     &rq),
		    n <= PKI_OCSP_SINGLES_MAX);
	}
}

static void
refuses_what_is_not_a_request(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str id = cert_id(w, SERIAL), one = tlv(a, SEQ, id);
	struct pki_ocsp_request rq;
	struct str bad[] = {
		STR(""),
		BYTES("\x30\x00"),
		BYTES("\x30\x80\x00\x00"),
		one,
		join(a, simple(w), STR("x"), END),
		/* version 2 */
		tlv(a, SEQ,
		    tlv_of(a, SEQ, tlv(a, CTX_SEQ | 0, BYTES("\x02\x01\x01")),
			tlv(a, SEQ, one))),
		/* something behind the list, the CertID, the request */
		tlv(a, SEQ, tlv_of(a, SEQ, tlv(a, SEQ, one), STR("\x05"))),
		request_of(a, tlv_of(a, SEQ, id, BYTES("\x05\x00")), STR("")),
		tlv_of(a, SEQ, tlv(a, SEQ, tlv(a, SEQ, one)),
		    BYTES("\x05\x00")),
		/* serials */
		request_of(a, tlv(a, SEQ, cert_id(w, STR(""))), STR("")),
		request_of(a, tlv(a, SEQ, cert_id(w, BYTES("\x00\x01"))),
		    STR("")),
		request_of(a,
		    tlv(a, SEQ,
			cert_id(w,
			    STR("\x01"
				"23456789012345678901234567890123"))),
		    STR("")),
		/* critical, and empty lists of extensions */
		request_of(a, one,
		    extension(a, BYTES(OID_TEXT_UNKNOWN), true, STR("x"))),
		tlv(a, SEQ,
		    tlv_of(a, SEQ, tlv(a, SEQ, one),
			tlv(a, CTX_SEQ | 2, tlv(a, SEQ, STR(""))))),
	};

	for (size_t i = 0; i < COUNT(bad); i++)
		if (pki_ocsp_read(bad[i], &rq))
			fail_msg("took number %zu", i);
}

static void
any_part_of_a_request_is_none(void **state)
{
	struct world *w = *state;
	struct str whole = simple(w);
	struct pki_ocsp_request rq;

	for (size_t n = 0; n < whole.n; n++)
		assert_false(pki_ocsp_read(str_make(whole.p, n), &rq));
}

/* ---- answering */

/*
 * Open OCSPResponse and BasicOCSPResponse; check the signature and that cert,
 * if there is one, comes along.
 */
static CBS
open_signed(struct str der, EVP_PKEY *key, struct str cert)
{
	CBS in = der_cbs(der), response, status, wrapper, bytes, oid, octets;
	CBS basic, data, certs, list;
	struct str tbs, alg = STR_NONE, sig = STR_NONE;

	assert_non_null(der.p);
	assert_true(CBS_get_asn1(&in, &response, CBS_ASN1_SEQUENCE) &&
	    CBS_len(&in) == 0 &&
	    CBS_get_asn1(&response, &status, CBS_ASN1_ENUMERATED) &&
	    CBS_mem_equal(&status, (const uint8_t *)"\0", 1) &&
	    CBS_get_asn1(&response, &wrapper, OPEN(0)) &&
	    CBS_get_asn1(&wrapper, &bytes, CBS_ASN1_SEQUENCE) &&
	    CBS_get_asn1(&bytes, &oid, CBS_ASN1_OBJECT) &&
	    CBS_get_asn1(&bytes, &octets, CBS_ASN1_OCTETSTRING) &&
	    CBS_get_asn1(&octets, &basic, CBS_ASN1_SEQUENCE));
	assert_true(str_eq(der_str(&oid), STR(OID_OCSP_BASIC)));
	assert_true(der_get_element(&basic, CBS_ASN1_SEQUENCE, &tbs) &&
	    der_get_element(&basic, CBS_ASN1_SEQUENCE, &alg) &&
	    der_get_bits(&basic, &sig));
	if (cert.p != NULL)
		assert_true(CBS_get_asn1(&basic, &certs, OPEN(0)) &&
		    CBS_get_asn1(&certs, &list, CBS_ASN1_SEQUENCE) &&
		    CBS_len(&certs) == 0 && str_eq(der_str(&list), cert));
	assert_int_equal(CBS_len(&basic), 0);
	assert_true(alg_verify(alg_find(alg), key, tbs, sig));
	in = der_cbs(tbs);
	assert_true(CBS_get_asn1(&in, &data, CBS_ASN1_SEQUENCE));
	return data;
}

static CBS
open_answer(struct world *w, struct str der)
{
	return open_signed(der, w->ca.key, STR_NONE);
}

static struct pki_ocsp_signer
ca_itself(const struct world *w)
{
	return (struct pki_ocsp_signer){ .key = w->ca.key,
		.spki = w->ca.cert.spki,
		.cert = STR_NONE };
}

static struct str
answer(struct world *w, struct pki_ocsp_request *rq,
    const struct pki_ocsp_reply *replies)
{
	struct pki_ocsp_signer self = ca_itself(w);

	return pki_ocsp_answer(w->arena, &self, rq, replies, now, now + 3600);
}

static void
an_answer_holds_what_is_known_and_the_nonce(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str one = tlv(a, SEQ, cert_id(w, SERIAL));
	const struct pki_ocsp_reply replies[] = {
		{ .verdict = PKI_OCSP_GOOD },
		{ .verdict = PKI_OCSP_REVOKED,
		    .revoked_at = now - 5,
		    .reason = 1 },
		{ .verdict = PKI_OCSP_REVOKED, .revoked_at = now - 5 },
		{ .verdict = PKI_OCSP_UNKNOWN },
	};
	static const struct str verdicts[] = {
		{ .p = "\x80\x00", .n = 2 },
		{ .p = "\xa1\x16\x18\x0f"
		       "20251231235955Z\xa0\x03\x0a\x01\x01",
		    .n = 24 },
		{ .p = "\xa1\x11\x18\x0f"
		       "20251231235955Z",
		    .n = 19 },
		{ .p = "\x82\x00", .n = 2 },
	};
	struct pki_ocsp_request rq;
	CBS data, list, single, any;
	struct str element;
	unsigned tag;
	size_t header;

	assert_true(
	    pki_ocsp_read(request_of(a, join(a, one, one, one, one, END),
			      nonce_ext(a, STR("a nonce"))),
		&rq));
	data = open_answer(w, answer(w, &rq, replies));
	assert_true(CBS_get_asn1(&data, &any, OPEN(2)) &&
	    der_get_element(&data, CBS_ASN1_GENERALIZEDTIME, &element) &&
	    CBS_get_asn1(&data, &list, CBS_ASN1_SEQUENCE));
	for (size_t i = 0; i < COUNT(replies); i++) {
		assert_true(CBS_get_asn1(&list, &single, CBS_ASN1_SEQUENCE) &&
		    der_get_element(&single, CBS_ASN1_SEQUENCE, &element));
		assert_true(str_eq(element, rq.singles[i].cert_id));
		assert_true(
		    CBS_get_any_asn1_element(&single, &any, &tag, &header));
		assert_true(str_eq(der_str(&any), verdicts[i]));
		assert_true(der_get_element(&single, CBS_ASN1_GENERALIZEDTIME,
				&element) &&
		    str_eq(element,
			STR("\x18\x0f"
			    "20260101000000Z")));
		assert_true(CBS_get_asn1(&single, &any, OPEN(0)) &&
		    str_eq(der_str(&any),
			STR("\x18\x0f"
			    "20260101010000Z")));
		assert_int_equal(CBS_len(&single), 0);
	}
	assert_true(CBS_get_asn1(&data, &any, OPEN(1)));
	assert_true(
	    str_eq(der_str(&any), tlv(a, SEQ, nonce_ext(a, STR("a nonce")))));
	assert_int_equal(CBS_len(&data), 0);
}

static void
without_a_nonce_there_are_no_extensions(void **state)
{
	struct world *w = *state;
	struct pki_ocsp_reply good = { .verdict = PKI_OCSP_GOOD };
	struct pki_ocsp_request rq;
	CBS data, any;
	struct str element;

	assert_true(pki_ocsp_read(simple(w), &rq));
	data = open_answer(w, answer(w, &rq, &good));
	assert_true(CBS_get_asn1(&data, &any, OPEN(2)) &&
	    der_get_element(&data, CBS_ASN1_GENERALIZEDTIME, &element) &&
	    CBS_get_asn1(&data, &any, CBS_ASN1_SEQUENCE));
	assert_int_equal(CBS_len(&data), 0);
}

static void
an_answer_that_makes_no_sense_is_not_signed(void **state)
{
	struct world *w = *state;
	struct pki_ocsp_reply bad = { .verdict = PKI_OCSP_REVOKED,
		.reason = 7 };
	struct pki_ocsp_reply good = { .verdict = PKI_OCSP_GOOD };
	struct pki_ocsp_signer self = ca_itself(w);
	struct pki_ocsp_request rq;

	assert_true(pki_ocsp_read(simple(w), &rq));
	assert_null(answer(w, &rq, &bad).p);
	bad.reason = 0;
	bad.revoked_at = INT64_MAX;
	assert_null(answer(w, &rq, &bad).p);
	assert_null(pki_ocsp_answer(w->arena, &self, &rq, &good, now, now).p);
}

/* ---- delegation */

static struct pki_responder_spec
responder_spec(struct world *w)
{
	struct pki_responder_spec s = {
		.cn = STR("OCSP responder of test"),
		.spki = w->spec.spki,
		.not_before = now - 60,
		.not_after = now + DAY,
	};

	pki_random_serial(s.serial);
	return s;
}

static bool
has_bytes(struct str der, struct str part)
{
	for (size_t i = 0; i + part.n <= der.n; i++)
		if (memcmp(der.p + i, part.p, part.n) == 0)
			return true;
	return false;
}

static void
a_responder_may_sign_answers_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct pki_responder_spec s = responder_spec(w);
	struct pki_cert c;
	struct str der;

	must(pki_make_responder(w->arena, &w->ca, &s, &der));
	must(pki_parse_cert(w->arena, der, &c));
	assert_true(pki_cert_is_signed_by(&c, &w->ca.cert));
	assert_true(str_eq(c.cn, s.cn));
	assert_true(str_eq(c.spki, s.spki));
	assert_int_equal(c.not_before, s.not_before);
	assert_int_equal(c.not_after, s.not_after);
	assert_false(c.ca);
	assert_true(c.has_eku && c.eku == PKI_EKU_OCSP);
	assert_int_equal(c.key_usage, PKI_KU_DIGITAL_SIGNATURE);
	assert_false(c.has_san);
	assert_null(c.ocsp_url.p);
	assert_null(c.crl_url.p);
	/* ocsp-nocheck, not critical, NULL */
	assert_true(has_bytes(der,
	    BYTES("\x30\x0f\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x05"
		  "\x04\x02\x05\x00")));
}

static void
a_responder_stays_within_its_ca(void **state)
{
	struct world *w = *state;
	struct pki_responder_spec s = responder_spec(w);
	struct str der;

	s.not_after = w->ca.cert.not_after + 1;
	expect(pki_make_responder(w->arena, &w->ca, &s, &der),
	    "ends after the issuer's");
	s = responder_spec(w);
	s.not_before = w->ca.cert.not_before - 1;
	expect(pki_make_responder(w->arena, &w->ca, &s, &der),
	    "begins before the issuer's");
	s = responder_spec(w);
	s.cn = STR("");
	assert_non_null(pki_make_responder(w->arena, &w->ca, &s, &der));
	s = responder_spec(w);
	s.not_after = s.not_before - 1;
	assert_non_null(pki_make_responder(w->arena, &w->ca, &s, &der));
}

static void
a_responder_signs_by_its_key_and_brings_its_certificate(void **state)
{
	struct world *w = *state;
	struct pki_responder_spec s = responder_spec(w);
	struct pki_ocsp_reply good = { .verdict = PKI_OCSP_GOOD };
	struct pki_ocsp_signer signer = { .key = w->key, .spki = s.spki };
	struct pki_ocsp_request rq;
	struct pki_cert c;
	struct str bits = STR_NONE;
	CBS data, any, spki, seq, alg;

	must(pki_make_responder(w->arena, &w->ca, &s, &signer.cert));
	must(pki_parse_cert(w->arena, signer.cert, &c));
	assert_true(pki_ocsp_read(simple(w), &rq));
	data = open_signed(pki_ocsp_answer(w->arena, &signer, &rq, &good, now,
			       now + 60),
	    c.key, signer.cert);
	/* responderID byKey: SHA-1 of the responder's key, not of the CA's */
	spki = der_cbs(c.spki);
	assert_true(CBS_get_asn1(&spki, &seq, CBS_ASN1_SEQUENCE) &&
	    CBS_get_asn1(&seq, &alg, CBS_ASN1_SEQUENCE) &&
	    der_get_bits(&seq, &bits));
	assert_true(CBS_get_asn1(&data, &any, OPEN(2)));
	assert_true(str_eq(der_str(&any),
	    tlv(w->arena, OCTETS, hash1(w->arena, bits))));
}

static void
a_refusal_is_five_bytes(void **state)
{
	(void)state;
	assert_true(str_eq(pki_ocsp_refusal(PKI_OCSP_MALFORMED),
	    BYTES("\x30\x03\x0a\x01\x01")));
	assert_true(str_eq(pki_ocsp_refusal(PKI_OCSP_INTERNAL),
	    BYTES("\x30\x03\x0a\x01\x02")));
	assert_true(str_eq(pki_ocsp_refusal(PKI_OCSP_TRY_LATER),
	    BYTES("\x30\x03\x0a\x01\x03")));
	assert_true(str_eq(pki_ocsp_refusal(PKI_OCSP_UNAUTHORIZED),
	    BYTES("\x30\x03\x0a\x01\x06")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_simple_request),
		cmocka_unit_test(
		    knows_a_ca_by_sha_256_too_and_without_parameters),
		cmocka_unit_test(reads_what_may_be_there_besides),
		cmocka_unit_test(nonces_have_1_to_128_bytes),
		cmocka_unit_test(the_number_of_certificates_is_bounded),
		cmocka_unit_test(refuses_what_is_not_a_request),
		cmocka_unit_test(any_part_of_a_request_is_none),
		cmocka_unit_test(an_answer_holds_what_is_known_and_the_nonce),
		cmocka_unit_test(without_a_nonce_there_are_no_extensions),
		cmocka_unit_test(an_answer_that_makes_no_sense_is_not_signed),
		cmocka_unit_test(a_responder_may_sign_answers_and_nothing_else),
		cmocka_unit_test(a_responder_stays_within_its_ca),
		cmocka_unit_test(
		    a_responder_signs_by_its_key_and_brings_its_certificate),
		cmocka_unit_test(a_refusal_is_five_bytes),
	};

	return cmocka_run_group_tests(tests, make_world, drop_world);
}
