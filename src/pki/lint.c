/* SPDX-License-Identifier: ISC */
/*
 * Judging a certificate before it leaves: the to-be-signed bytes are read
 * anew, field by field, against the profile and RFC 5280 (numbers in comments
 * are its sections). Only the smallest readers of DER are shared with others,
 * none with the code that wrote the bytes; extensions are in lint_ext.c.
 */
#include "pki/lint_int.h"

#include <inttypes.h>

#define CONTEXT(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

enum { SERIAL_MAX = 20, CN_MAX = 64 };

const char *
lint_text(const struct lint *l, const char *what, struct str value)
{
	return str_printf(l->arena, "%s \"" STR_FMT "\"", what,
	    STR_ARG(str_show(l->arena, value, 80)))
	    .p;
}

/* Version ::= 2, in [0]: 4.1.2.1 */
static const char *
lint_version(const struct lint *l, CBS *tbs)
{
	static const uint8_t v3[] = { 0x02, 0x01, 0x02 };
	CBS version;

	(void)l;
	if (!CBS_get_asn1(tbs, &version, CONTEXT(0)) ||
	    !CBS_mem_equal(&version, v3, sizeof(v3)))
		return "the version is not 3";
	return NULL;
}

/* Positive, 20 octets at most, shortest form: 4.1.2.2 */
static const char *
lint_serial(const struct lint *l, CBS *tbs)
{
	const uint8_t *p;
	CBS serial;
	size_t n;

	if (!CBS_get_asn1(tbs, &serial, CBS_ASN1_INTEGER))
		return "the serial number is not an INTEGER";
	p = CBS_data(&serial);
	n = CBS_len(&serial);
	if (n == 0 || (p[0] & 0x80) != 0 || (n == 1 && p[0] == 0))
		return "the serial number is not positive";
	if (n > 1 && p[0] == 0 && (p[1] & 0x80) == 0)
		return "the serial number has a zero byte too many";
	if (n > SERIAL_MAX)
		return "the serial number has more than 20 octets";
	if (l->profile->serial.p != NULL &&
	    !str_eq(der_str(&serial), l->profile->serial))
		return "the serial number is not the one that was claimed";
	return NULL;
}

/* What the issuer's key signs with: 4.1.2.3 */
static const char *
lint_algorithm(const struct lint *l, CBS *tbs)
{
	const struct sig_alg *alg;
	struct str der;

	if (!der_get_element(tbs, CBS_ASN1_SEQUENCE, &der))
		return "the signature algorithm is missing";
	if ((alg = alg_find(der)) == NULL)
		return "the signature algorithm is not one of ours";
	if (l->profile->issuer->key == NULL)
		return "the issuer's key is of no kind of ours";
	if (l->profile->remote ?
		alg->pkey != alg_of_key(l->profile->issuer->key)->pkey :
		alg != alg_of_key(l->profile->issuer->key))
		return "the signature algorithm is not that of the issuer's "
		       "key";
	if (l->outer_alg.p != NULL && !str_eq(l->outer_alg, der))
		return "the signature algorithm stands there twice and "
		       "differs";
	return NULL;
}

/* 4.1.2.4 */
static const char *
lint_issuer(const struct lint *l, CBS *tbs)
{
	struct str name;

	if (!der_get_element(tbs, CBS_ASN1_SEQUENCE, &name) ||
	    !str_eq(name, l->profile->issuer->subject))
		return "the issuer is not the subject of the issuing "
		       "certificate";
	return NULL;
}

/* The form goes by the year: 4.1.2.5 */
static const char *
lint_time(CBS *validity, int64_t *out)
{
	const int64_t year_2050 = INT64_C(2524608000);
	bool utc = CBS_peek_asn1_tag(validity, CBS_ASN1_UTCTIME);

	if (!der_get_time(validity, out))
		return "a date of the validity is malformed";
	if (utc != (*out < year_2050))
		return "a date of the validity is in the wrong form for its "
		       "year";
	return NULL;
}

static const char *
lint_validity(const struct lint *l, CBS *tbs)
{
	const struct pki_lint_profile *p = l->profile;
	int64_t from, to;
	const char *why;
	CBS validity;

	if (!CBS_get_asn1(tbs, &validity, CBS_ASN1_SEQUENCE))
		return "the validity is missing";
	if ((why = lint_time(&validity, &from)) != NULL ||
	    (why = lint_time(&validity, &to)) != NULL)
		return why;
	if (CBS_len(&validity) != 0)
		return "the validity has something behind it";
	if (to < from)
		return "the validity ends before it begins";
	if (from < p->issuer->not_before)
		return "the validity begins before the issuer's";
	if (to > p->issuer->not_after)
		return "the validity ends after the issuer's";
	/* both ends belong to it */
	if (to - from + 1 > p->max_lifetime)
		return str_printf(l->arena,
		    "the lifetime of %" PRId64 " seconds is longer than the "
		    "%" PRId64 " that are allowed",
		    to - from + 1, p->max_lifetime)
		    .p;
	return NULL;
}

/* Is the text one of the ordered names? */
static bool
is_ordered(const struct lint *l, struct str cn)
{
	struct addr ip;

	if (l->profile->responder.p != NULL)
		return str_eq(cn, l->profile->responder);
	if (l->profile->remote)
		cn = str_lower(l->arena, cn);
	if (addr_parse(cn, &ip))
		return pki_names_has_ip(l->profile->names, ip);
	return pki_names_has_dns(l->profile->names, cn);
}

/* Nothing, or a common name that is one of the SANs: 4.1.2.6 */
static const char *
lint_subject(struct lint *l, CBS *tbs)
{
	struct dn dn;
	CBS name;

	if (!CBS_get_asn1(tbs, &name, CBS_ASN1_SEQUENCE) || !dn_read(name, &dn))
		return "the subject is malformed";
	l->empty_subject = dn.natts == 0;
	if (dn.ncn > 1)
		return "the subject has more than one common name";
	if (dn.natts != dn.ncn && !l->profile->remote)
		return "the subject holds more than a common name";
	if (dn.ncn == 0)
		return l->profile->responder.p == NULL ?
		    NULL :
		    "a responder has no common name";
	if (!dn.cn_is_text || dn.cn.n == 0 || dn.cn.n > CN_MAX)
		return "the common name is not text of 1 to 64 characters";
	if (!is_ordered(l, dn.cn))
		return lint_text(l,
		    "none of the ordered names is the common "
		    "name",
		    dn.cn);
	return NULL;
}

/* 4.1.2.7 */
static const char *
lint_spki(struct lint *l, CBS *tbs)
{
	EVP_PKEY *key;
	struct str spki;
	unsigned bits;
	bool ok;

	if (!der_get_element(tbs, CBS_ASN1_SEQUENCE, &spki) ||
	    !str_eq(spki, l->profile->spki))
		return "the public key is not that of the CSR";
	key = pki_read_spki(spki);
	ok = key != NULL && pki_key_is(key, &l->kind, &bits, NULL);
	pki_free_key(key);
	return ok ? NULL : "the public key is of no kind of ours";
}

static const char *
lint_fields(struct lint *l, CBS *tbs)
{
	const char *why;

	if ((why = lint_version(l, tbs)) != NULL ||
	    (why = lint_serial(l, tbs)) != NULL ||
	    (why = lint_algorithm(l, tbs)) != NULL ||
	    (why = lint_issuer(l, tbs)) != NULL ||
	    (why = lint_validity(l, tbs)) != NULL ||
	    (why = lint_subject(l, tbs)) != NULL)
		return why;
	return lint_spki(l, tbs);
}

static const char *
lint(struct lint *l, struct str bytes)
{
	CBS in = der_cbs(bytes), tbs, wrapper, list;
	const char *why;

	if (!CBS_get_asn1(&in, &tbs, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0)
		return "this is not one SEQUENCE";
	if ((why = lint_fields(l, &tbs)) != NULL)
		return why;
	if (!CBS_get_asn1(&tbs, &wrapper, CONTEXT(3)) || CBS_len(&tbs) != 0)
		return "behind the public key there is something else than "
		       "extensions";
	if (!CBS_get_asn1(&wrapper, &list, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&wrapper) != 0)
		return "the extensions are not one SEQUENCE";
	return lint_extensions(l, list);
}

const char *
pki_lint_tbs(struct arena *a, struct str tbs,
    const struct pki_lint_profile *profile)
{
	struct lint l = { .arena = a, .profile = profile };

	return lint(&l, tbs);
}

const char *
pki_lint_cert(struct arena *a, struct str der,
    const struct pki_lint_profile *profile)
{
	struct lint l = { .arena = a, .profile = profile };
	CBS in = der_cbs(der), cert;
	struct str tbs, sig;
	const char *why;

	if (der.n > PKI_CERT_MAX ||
	    !CBS_get_asn1(&in, &cert, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
	    !der_get_element(&cert, CBS_ASN1_SEQUENCE, &tbs) ||
	    !der_get_element(&cert, CBS_ASN1_SEQUENCE, &l.outer_alg) ||
	    !der_get_bits(&cert, &sig) || CBS_len(&cert) != 0)
		return "this is not a certificate in DER, or there is "
		       "something behind it";
	if ((why = lint(&l, tbs)) != NULL)
		return why;
	if (!alg_verify(alg_find(l.outer_alg), profile->issuer->key, tbs, sig))
		return "the signature is not the issuer's";
	return NULL;
}
