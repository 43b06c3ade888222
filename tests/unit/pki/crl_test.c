/* SPDX-License-Identifier: ISC */
/* CRLs, RFC 5280 section 5: written, and read by BoringSSL's own reader. */
#include "../unit.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "world.h"

/* What we sign, as another implementation reads it. */
static X509_CRL *
reread(struct str der)
{
	const uint8_t *p = (const uint8_t *)der.p;
	X509_CRL *crl;

	assert_non_null(der.p);
	crl = d2i_X509_CRL(NULL, &p, (long)der.n);
	assert_non_null(crl);
	assert_ptr_equal(p, (const uint8_t *)der.p + der.n);
	return crl;
}

static struct str
sign_now(struct world *w, struct pki_crl *crl, int64_t number)
{
	return pki_crl_sign(crl, &w->ca, number, now, now + DAY);
}

static int
revoked_count(X509_CRL *crl)
{
	STACK_OF(X509_REVOKED) *all = X509_CRL_get_REVOKED(crl);

	return all == NULL ? -1 : (int)sk_X509_REVOKED_num(all);
}

static int64_t
reason_of(X509_CRL *crl, const char *serial, size_t n)
{
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	BIGNUM *bn = BN_bin2bn((const uint8_t *)serial, n, NULL);
	ASN1_ENUMERATED *reason;
	X509_REVOKED *entry;
	int64_t out;

	BN_to_ASN1_INTEGER(bn, number);
	assert_int_equal(X509_CRL_get0_by_serial(crl, &entry, number), 1);
	reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
	out = reason != NULL ? ASN1_ENUMERATED_get(reason) : -1;
	ASN1_ENUMERATED_free(reason);
	ASN1_INTEGER_free(number);
	BN_free(bn);
	return out;
}

static void
an_empty_list_has_no_list_of_entries(void **state)
{
	struct world *w = *state;
	struct pki_crl *crl = pki_crl_new(w->arena);
	X509_CRL *back = reread(sign_now(w, crl, 1));

	assert_int_equal(pki_crl_entries(crl), 0);
	assert_int_equal(revoked_count(back), -1);
	assert_int_equal(X509_CRL_get_version(back), 1);
	assert_int_equal(X509_CRL_verify(back, w->ca.key), 1);
	assert_int_equal(X509_CRL_verify(back, w->root.key), 0);
	X509_CRL_free(back);
	ERR_clear_error();
}

static void
a_list_says_whose_it_is_which_and_until_when(void **state)
{
	struct world *w = *state;
	X509_CRL *back = reread(sign_now(w, pki_crl_new(w->arena), 70000));
	ASN1_INTEGER *number;
	AUTHORITY_KEYID *aki;
	int critical;

	number = X509_CRL_get_ext_d2i(back, NID_crl_number, &critical, NULL);
	assert_int_equal(ASN1_INTEGER_get(number), 70000);
	assert_int_equal(critical, 0);
	ASN1_INTEGER_free(number);
	aki = X509_CRL_get_ext_d2i(back, NID_authority_key_identifier,
	    &critical, NULL);
	assert_true(str_eq(w->ca.cert.ski,
	    str_make(aki->keyid->data, (size_t)aki->keyid->length)));
	AUTHORITY_KEYID_free(aki);
	assert_int_equal(X509_CRL_get_ext_count(back), 2);
	assert_int_equal(ASN1_TIME_diff(&(int){ 0 }, &critical,
			     X509_CRL_get0_lastUpdate(back),
			     X509_CRL_get0_nextUpdate(back)),
	    1);
	X509_CRL_free(back);
}

static void
entries_are_what_was_added(void **state)
{
	struct world *w = *state;
	struct pki_crl *crl = pki_crl_new(w->arena);
	X509_CRL *back;

	assert_true(pki_crl_add(crl, BYTES("\x01"), now - 10, 0));
	assert_true(pki_crl_add(crl, BYTES("\x00\xff"), now - 9, 1));
	assert_true(pki_crl_add(crl, BYTES("\x7f\x01\x02"), now - 8, 9));
	assert_int_equal(pki_crl_entries(crl), 3);
	back = reread(sign_now(w, crl, 2));
	assert_int_equal(X509_CRL_verify(back, w->ca.key), 1);
	assert_int_equal(revoked_count(back), 3);
	assert_int_equal(reason_of(back, "\x01", 1), -1);
	assert_int_equal(reason_of(back, "\xff", 1), 1);
	assert_int_equal(reason_of(back, "\x7f\x01\x02", 3), 9);
	X509_CRL_free(back);
}

static void
a_shard_says_where_it_belongs(void **state)
{
	struct world *w = *state;
	struct pki_crl *crl = pki_crl_new(w->arena);
	struct str url = STR("http://ca.example/crl/16/3"), got;
	ISSUING_DIST_POINT *idp;
	GENERAL_NAME *name;
	int critical = -1;
	X509_CRL *back;

	pki_crl_set_point(crl, url);
	assert_true(pki_crl_add(crl, BYTES("\x30"), now - 10, 1));
	back = reread(sign_now(w, crl, 7));
	assert_int_equal(X509_CRL_verify(back, w->ca.key), 1);
	assert_int_equal(X509_CRL_get_ext_count(back), 3);
	idp = X509_CRL_get_ext_d2i(back, NID_issuing_distribution_point,
	    &critical, NULL);
	assert_non_null(idp);
	assert_int_equal(critical, 1);
	assert_int_equal(idp->distpoint->type, 0);
	assert_int_equal(sk_GENERAL_NAME_num(idp->distpoint->name.fullname), 1);
	name = sk_GENERAL_NAME_value(idp->distpoint->name.fullname, 0);
	assert_int_equal(name->type, GEN_URI);
	got = str_make(name->d.uniformResourceIdentifier->data,
	    (size_t)name->d.uniformResourceIdentifier->length);
	assert_true(str_eq(got, url));
	assert_false(
	    idp->onlyuser || idp->onlyCA || idp->onlyattr || idp->indirectCRL);
	ISSUING_DIST_POINT_free(idp);
	X509_CRL_free(back);
}

static void
each_serial_is_in_one_shard(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 256; n++)
		for (unsigned b = 0; b < 256; b++) {
			char serial[2] = { 1, (char)b };
			unsigned in = 0, i;

			i = pki_crl_shard(str_make(serial, 2), n);
			assert_true(i < n);
			for (unsigned k = 0; k < n; k++) {
				struct pki_crl_bounds x = pki_crl_bounds(k, n);
				bool has = x.first <= b && b <= x.last;

				assert_int_equal(has, k == i);
				in += has;
			}
			assert_int_equal(in, 1);
		}
	assert_int_equal(pki_crl_shard(BYTES("\x01\xff"), 16), 15);
	assert_int_equal(pki_crl_shard(BYTES("\x01\x3f"), 16), 3);
}

static void
each_kind_of_key_signs(void **state)
{
	static const enum pki_key_kind kinds[] = { PKI_RSA, PKI_P256, PKI_P384,
		PKI_P521, PKI_ED25519 };
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct pki_ca ca = w->ca;
		X509_CRL *back;

		ca.key = test_key(w->arena, kinds[i]);
		back = reread(pki_crl_sign(pki_crl_new(w->arena), &ca, 1, now,
		    now + DAY));
		assert_int_equal(X509_CRL_verify(back, ca.key), 1);
		X509_CRL_free(back);
		EVP_PKEY_free(ca.key);
	}
}

static void
bad_entries_spoil_the_list(void **state)
{
	struct world *w = *state;
	static const struct {
		struct str serial;
		int64_t at, reason;
	} bad[] = {
		{ { .p = "", .n = 0 }, 1, 0 },
		{ { .p = "\xff", .n = 1 }, 1, 0 },     /* negative */
		{ { .p = "\x00\x01", .n = 2 }, 1, 0 }, /* not minimal */
		{ { .p = "\x01", .n = 1 }, -1, 0 },
		{ { .p = "\x01", .n = 1 }, INT64_MAX, 0 },
		{ { .p = "\x01", .n = 1 }, 1, 7 },
		{ { .p = "\x01", .n = 1 }, 1, 8 },
		{ { .p = "\x01", .n = 1 }, 1, -1 },
		{ { .p = "\x01", .n = 1 }, 1, 257 },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct pki_crl *crl = pki_crl_new(w->arena);

		assert_false(
		    pki_crl_add(crl, bad[i].serial, bad[i].at, bad[i].reason));
		assert_false(pki_crl_add(crl, BYTES("\x01"), now, 0));
		assert_null(sign_now(w, crl, 1).p);
	}
}

static void
bad_lists_are_not_signed(void **state)
{
	struct world *w = *state;
	struct pki_crl *crl = pki_crl_new(w->arena);

	assert_null(sign_now(w, crl, 0).p);
	assert_null(sign_now(w, crl, -1).p);
	assert_null(pki_crl_sign(crl, &w->ca, 1, now, now).p);
	assert_null(pki_crl_sign(crl, &w->ca, 1, now, now - 1).p);
	assert_null(pki_crl_sign(crl, &w->ca, 1, now, INT64_MAX).p);
	assert_non_null(sign_now(w, crl, 1).p);
}

static void
only_some_cas_may_sign_lists(void **state)
{
	struct world *w = *state;
	struct pki_ca ca = w->ca;

	assert_true(pki_ca_signs_crls(&ca));
	ca.cert.key_usage = PKI_KU_CERT_SIGN;
	assert_false(pki_ca_signs_crls(&ca));
	ca.cert.has_key_usage = false;
	assert_true(pki_ca_signs_crls(&ca));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_list_has_no_list_of_entries),
		cmocka_unit_test(a_list_says_whose_it_is_which_and_until_when),
		cmocka_unit_test(entries_are_what_was_added),
		cmocka_unit_test(a_shard_says_where_it_belongs),
		cmocka_unit_test(each_serial_is_in_one_shard),
		cmocka_unit_test(each_kind_of_key_signs),
		cmocka_unit_test(bad_entries_spoil_the_list),
		cmocka_unit_test(bad_lists_are_not_signed),
		cmocka_unit_test(only_some_cas_may_sign_lists),
	};

	return cmocka_run_group_tests(tests, make_world, drop_world);
}
