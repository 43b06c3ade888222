/* SPDX-License-Identifier: ISC */
/*
 * Writing certificates and requests: RFC 5280 section 4, RFC 2986. What is
 * written here is judged by lint.c, which reads it anew.
 */
#include <time.h>

#include <openssl/err.h>
#include <openssl/sha.h>

#include "pki/build_int.h"
#include "pki/ca.h"
#include "pki/csr.h"
#include "pki/pki_int.h"

#define CONTEXT(n) (CBS_ASN1_CONTEXT_SPECIFIC | (n))
#define CONTEXT_SEQ(n) (CONTEXT(n) | CBS_ASN1_CONSTRUCTED)

enum {
	VERSION_3 = 2,
	SKI_LEN = 20, /* RFC 7093 section 2, method 1 */
	CN_MAX = 64,  /* ub-common-name */
	YEAR_GENERALIZED = 2050,
	YEAR_MAX = 9999,
	TIME_MAX = 24,
	TLS_STATUS_REQUEST = 5,
};

/* ---- extensions */

bool
build_open_ext(CBB *list, struct str oid, bool critical, CBB *ext, CBB *value)
{
	return CBB_add_asn1(list, ext, CBS_ASN1_SEQUENCE) &&
	    der_add(ext, CBS_ASN1_OBJECT, oid) &&
	    (!critical || CBB_add_asn1_bool(ext, 1)) &&
	    CBB_add_asn1(ext, value, CBS_ASN1_OCTETSTRING);
}

bool
build_basic(CBB *list, bool ca, int path_len)
{
	CBB ext, value, seq;

	return build_open_ext(list, STR(OID_BASIC), true, &ext, &value) &&
	    CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	    (!ca || CBB_add_asn1_bool(&seq, 1)) &&
	    (path_len < 0 || CBB_add_asn1_uint64(&seq, (uint64_t)path_len)) &&
	    CBB_flush(list);
}

/* A BIT STRING of named bits, without trailing zeros (X.690 section 11.2). */
bool
build_key_usage(CBB *list, unsigned usage)
{
	CBB ext, value, bits;
	uint8_t octet = 0, unused = 0;

	if (usage == 0 || usage > 0x7f)
		return false;
	for (unsigned bit = 0; bit < 8; bit++)
		if ((usage >> bit & 1) != 0)
			octet |= (uint8_t)(0x80 >> bit);
	while ((octet >> unused & 1) == 0)
		unused++;
	return build_open_ext(list, STR(OID_KEY_USAGE), true, &ext, &value) &&
	    CBB_add_asn1(&value, &bits, CBS_ASN1_BITSTRING) &&
	    CBB_add_u8(&bits, unused) && CBB_add_u8(&bits, octet) &&
	    CBB_flush(list);
}

bool
build_eku(CBB *list, unsigned eku)
{
	CBB ext, value, seq;

	if (eku == 0 || (eku & PKI_EKU_OTHER) != 0)
		return false;
	return build_open_ext(list, STR(OID_EKU), false, &ext, &value) &&
	    CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	    ((eku & PKI_EKU_SERVER) == 0 ||
		der_add(&seq, CBS_ASN1_OBJECT, STR(OID_EKU_SERVER))) &&
	    ((eku & PKI_EKU_CLIENT) == 0 ||
		der_add(&seq, CBS_ASN1_OBJECT, STR(OID_EKU_CLIENT))) &&
	    ((eku & PKI_EKU_OCSP) == 0 ||
		der_add(&seq, CBS_ASN1_OBJECT, STR(OID_EKU_OCSP))) &&
	    CBB_flush(list);
}

/* The first 160 bits of the SHA-256 of the key's BIT STRING. */
bool
build_ski(CBB *list, struct str spki)
{
	CBS in = der_cbs(spki), seq, alg;
	uint8_t hash[SHA256_DIGEST_LENGTH];
	CBB ext, value;
	struct str key;

	if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&seq, &alg, CBS_ASN1_SEQUENCE) ||
	    !der_get_bits(&seq, &key))
		return false;
	SHA256((const uint8_t *)key.p, key.n, hash);
	return build_open_ext(list, STR(OID_SKI), false, &ext, &value) &&
	    CBB_add_asn1_octet_string(&value, hash, SKI_LEN) && CBB_flush(list);
}

bool
build_aki(CBB *list, struct str id)
{
	CBB ext, value, seq;

	return id.n > 0 &&
	    build_open_ext(list, STR(OID_AKI), false, &ext, &value) &&
	    CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	    der_add(&seq, CONTEXT(0), id) && CBB_flush(list);
}

static bool
build_san(CBB *list, const struct pki_names *names, bool critical)
{
	CBB ext, value, seq;

	if (names->ndns + names->nips == 0 ||
	    names->ndns + names->nips > PKI_NAMES_MAX ||
	    !build_open_ext(list, STR(OID_SAN), critical, &ext, &value) ||
	    !CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE))
		return false;
	for (size_t i = 0; i < names->ndns; i++)
		if (!der_add(&seq, CONTEXT(2), names->dns[i]))
			return false;
	for (size_t i = 0; i < names->nips; i++)
		if (!der_add(&seq, CONTEXT(7),
			str_make(names->ips[i].bytes, names->ips[i].len)))
			return false;
	return CBB_flush(list);
}

static bool
add_access(CBB *list, struct str oid, struct str url)
{
	CBB access;

	return CBB_add_asn1(list, &access, CBS_ASN1_SEQUENCE) &&
	    der_add(&access, CBS_ASN1_OBJECT, oid) &&
	    der_add(&access, CONTEXT(6), url) && CBB_flush(list);
}

static bool
build_aia(CBB *list, struct str ocsp, struct str issuers)
{
	CBB ext, value, seq;

	if (ocsp.n == 0 && issuers.n == 0)
		return true;
	return build_open_ext(list, STR(OID_AIA), false, &ext, &value) &&
	    CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	    (ocsp.n == 0 || add_access(&seq, STR(OID_AIA_OCSP), ocsp)) &&
	    (issuers.n == 0 ||
		add_access(&seq, STR(OID_AIA_ISSUERS), issuers)) &&
	    CBB_flush(list);
}

static bool
build_crl_point(CBB *list, struct str url)
{
	CBB ext, value, seq, point, name, full;

	if (url.n == 0)
		return true;
	return build_open_ext(list, STR(OID_CRL_POINTS), false, &ext, &value) &&
	    CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&seq, &point, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&point, &name, CONTEXT_SEQ(0)) &&
	    CBB_add_asn1(&name, &full, CONTEXT_SEQ(0)) &&
	    der_add(&full, CONTEXT(6), url) && CBB_flush(list);
}

static bool
build_tls_feature(CBB *list)
{
	CBB ext, value, seq;

	return build_open_ext(list, STR(OID_TLS_FEATURE), false, &ext,
		   &value) &&
	    CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1_uint64(&seq, TLS_STATUS_REQUEST) && CBB_flush(list);
}

static bool
build_no_rev_avail(CBB *list)
{
	CBB ext, value;

	return build_open_ext(list, STR(OID_NO_REV_AVAIL), false, &ext,
		   &value) &&
	    der_add(&value, CBS_ASN1_NULL, STR("")) && CBB_flush(list);
}

/* ---- names and moments */

/* A Name that is a common name, or empty. */
bool
build_name(CBB *out, struct str cn)
{
	CBB name, rdn, att;

	if (cn.n == 0)
		return CBB_add_asn1(out, &name, CBS_ASN1_SEQUENCE) &&
		    CBB_flush(out);
	return cn.n <= CN_MAX * 4 &&
	    CBB_add_asn1(out, &name, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&name, &rdn, CBS_ASN1_SET) &&
	    CBB_add_asn1(&rdn, &att, CBS_ASN1_SEQUENCE) &&
	    der_add(&att, CBS_ASN1_OBJECT, STR(OID_COMMON_NAME)) &&
	    der_add(&att, CBS_ASN1_UTF8STRING, cn) && CBB_flush(out);
}

/* YYYYMMDDHHMMSSZ into text; 0 if the year is out of bounds. */
static size_t
write_time(char text[static TIME_MAX], int64_t at, struct tm *tm)
{
	time_t t = (time_t)at;

	if (gmtime_r(&t, tm) == NULL || tm->tm_year < 70 ||
	    tm->tm_year > YEAR_MAX - 1900)
		return 0;
	return strftime(text, TIME_MAX, "%Y%m%d%H%M%SZ", tm);
}

bool
build_time(CBB *out, int64_t at)
{
	char text[TIME_MAX];
	struct tm tm;
	size_t n = write_time(text, at, &tm);

	if (n == 0)
		return false;
	if (tm.tm_year < YEAR_GENERALIZED - 1900)
		return der_add(out, CBS_ASN1_UTCTIME,
		    str_make(text + 2, n - 2));
	return der_add(out, CBS_ASN1_GENERALIZEDTIME, str_make(text, n));
}

bool
build_generalized_time(CBB *out, int64_t at)
{
	char text[TIME_MAX];
	struct tm tm;
	size_t n = write_time(text, at, &tm);

	return n > 0 &&
	    der_add(out, CBS_ASN1_GENERALIZEDTIME, str_make(text, n));
}

/* ---- certificates */

/* A positive INTEGER from its bytes. */
static bool
build_serial(CBB *out, const uint8_t *serial)
{
	return serial[0] >= 0x01 && serial[0] <= 0x7f &&
	    der_add(out, CBS_ASN1_INTEGER, str_make(serial, PKI_SERIAL_LEN));
}

static bool
build_validity(CBB *out, int64_t not_before, int64_t not_after)
{
	CBB validity;

	return not_before <= not_after &&
	    CBB_add_asn1(out, &validity, CBS_ASN1_SEQUENCE) &&
	    build_time(&validity, not_before) &&
	    build_time(&validity, not_after) && CBB_flush(out);
}

struct str
build_tbs(struct arena *a, const struct build *b,
    bool (*exts)(CBB *, const void *), const void *arg)
{
	CBB cbb, tbs, version, wrapper, list;

	CBB_zero(&cbb);
	if (!CBB_init(&cbb, 1024) ||
	    !CBB_add_asn1(&cbb, &tbs, CBS_ASN1_SEQUENCE) ||
	    !CBB_add_asn1(&tbs, &version, CONTEXT_SEQ(0)) ||
	    !CBB_add_asn1_uint64(&version, VERSION_3) ||
	    !build_serial(&tbs, b->serial) || !build_str(&tbs, b->sig_alg) ||
	    !build_str(&tbs, b->issuer) ||
	    !build_validity(&tbs, b->not_before, b->not_after) ||
	    !build_name(&tbs, b->cn) || !build_str(&tbs, b->spki) ||
	    !CBB_add_asn1(&tbs, &wrapper, CONTEXT_SEQ(3)) ||
	    !CBB_add_asn1(&wrapper, &list, CBS_ASN1_SEQUENCE) ||
	    !exts(&list, arg) || !CBB_flush(&cbb)) {
		CBB_cleanup(&cbb);
		ERR_clear_error();
		return STR_NONE;
	}
	return der_take(a, &cbb);
}

struct leaf {
	const struct pki_ca *ca;
	const struct pki_cert_spec *spec;
};

static bool
build_leaf_exts(CBB *list, const void *arg)
{
	const struct leaf *leaf = arg;
	const struct pki_cert_spec *s = leaf->spec;

	return build_basic(list, false, -1) &&
	    build_key_usage(list, s->key_usage) && build_eku(list, s->eku) &&
	    build_ski(list, s->spki) && build_aki(list, leaf->ca->cert.ski) &&
	    build_san(list, s->names, s->cn.n == 0) &&
	    build_aia(list, s->ocsp_url, s->ca_issuers_url) &&
	    build_crl_point(list, s->crl_url) &&
	    (!s->must_staple || build_tls_feature(list)) &&
	    (!s->no_rev_avail || build_no_rev_avail(list));
}

static bool
is_in_bounds(const struct pki_cert_spec *s)
{
	return s->cn.n <= CN_MAX && s->spki.n <= PKI_SPKI_MAX &&
	    s->ocsp_url.n <= PKI_URL_MAX &&
	    s->ca_issuers_url.n <= PKI_URL_MAX && s->crl_url.n <= PKI_URL_MAX;
}

struct str
pki_build_tbs(struct arena *a, const struct pki_ca *ca,
    const struct pki_cert_spec *spec)
{
	struct leaf leaf = { .ca = ca, .spec = spec };
	const struct sig_alg *alg = alg_of_key(ca->key);
	struct build b = {
		.serial = spec->serial,
		.issuer = ca->cert.subject,
		.cn = spec->cn,
		.not_before = spec->not_before,
		.not_after = spec->not_after,
		.spki = spec->spki,
	};

	if (alg == NULL || !is_in_bounds(spec))
		return STR_NONE;
	b.sig_alg = alg->der;
	return build_tbs(a, &b, build_leaf_exts, &leaf);
}

struct str
pki_sign_tbs(struct arena *a, const struct pki_ca *ca, struct str tbs)
{
	return alg_wrap(a, ca->key, tbs);
}

unsigned
pki_key_usage_for(enum pki_key_kind kind)
{
	return kind == PKI_RSA ?
	    PKI_KU_DIGITAL_SIGNATURE | PKI_KU_KEY_ENCIPHERMENT :
	    PKI_KU_DIGITAL_SIGNATURE;
}

/* ---- requests */

static bool
build_request(CBB *cbb, struct str spki, const struct pki_names *names,
    struct str cn)
{
	CBB info, atts, att, set, list;

	return CBB_add_asn1(cbb, &info, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1_uint64(&info, 0) && build_name(&info, cn) &&
	    build_str(&info, spki) &&
	    CBB_add_asn1(&info, &atts, CONTEXT_SEQ(0)) &&
	    CBB_add_asn1(&atts, &att, CBS_ASN1_SEQUENCE) &&
	    der_add(&att, CBS_ASN1_OBJECT, STR(OID_EXTENSION_REQUEST)) &&
	    CBB_add_asn1(&att, &set, CBS_ASN1_SET) &&
	    CBB_add_asn1(&set, &list, CBS_ASN1_SEQUENCE) &&
	    build_san(&list, names, false) && CBB_flush(cbb);
}

struct str
pki_write_csr(struct arena *a, EVP_PKEY *key, const struct pki_names *names,
    struct str cn)
{
	CBB cbb;

	CBB_zero(&cbb);
	if (!CBB_init(&cbb, 512) ||
	    !build_request(&cbb, pki_write_spki(a, key), names, cn)) {
		CBB_cleanup(&cbb);
		return STR_NONE;
	}
	return alg_wrap(a, key, der_take(a, &cbb));
}
