/* SPDX-License-Identifier: ISC */
/* Reading certificates, RFC 5280 section 4.1. */
#include "pki/cert.h"

#include <openssl/err.h>

#include "base/hex.h"
#include "pki/pki_int.h"

#define CONTEXT(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

enum { VERSION_3 = 2, SERIAL_MAX = 20 };

/* ---- extensions */

static bool
read_san(struct arena *a, CBS value, bool critical, struct pki_cert *out)
{
	const char *other;
	size_t n;

	if (!ext_read_san(a, value, &out->names, &other))
		return false;
	out->has_san = true;
	out->san_critical = critical;
	out->san_other = other != NULL;
	n = out->names.ndns + out->names.nips;
	pki_names_sort(&out->names);
	out->san_repeats = out->names.ndns + out->names.nips < n;
	return true;
}

static bool
read_extension(struct arena *a, const struct ext *e, struct pki_cert *out)
{
	bool other;

	if (str_eq(e->oid, STR(OID_SAN)))
		return read_san(a, e->value, e->critical, out);
	if (str_eq(e->oid, STR(OID_BASIC))) {
		out->has_basic = true;
		return ext_read_basic(e->value, &out->ca, &out->path_len);
	}
	if (str_eq(e->oid, STR(OID_KEY_USAGE))) {
		out->has_key_usage = true;
		return ext_read_key_usage(e->value, &out->key_usage);
	}
	if (str_eq(e->oid, STR(OID_EKU))) {
		out->has_eku = true;
		return ext_read_eku(e->value, &out->eku);
	}
	if (str_eq(e->oid, STR(OID_SKI)))
		return ext_read_ski(e->value, &out->ski);
	if (str_eq(e->oid, STR(OID_AKI)))
		return ext_read_aki(e->value, &out->aki);
	if (str_eq(e->oid, STR(OID_AIA)))
		return ext_read_aia(e->value, &out->ocsp_url,
		    &out->ca_issuers_url);
	if (str_eq(e->oid, STR(OID_CRL_POINTS)))
		return ext_read_crl_points(e->value, &out->crl_url);
	if (str_eq(e->oid, STR(OID_TLS_FEATURE)))
		return ext_read_tls_feature(e->value, &out->must_staple,
		    &other);
	if (str_eq(e->oid, STR(OID_NO_REV_AVAIL))) {
		out->no_rev_avail = true;
		return ext_read_no_rev_avail(e->value);
	}
	out->unknown_critical |= e->critical;
	if (!str_eq(e->oid, STR(OID_ACME_IDENTIFIER)))
		return true;
	out->acme_critical = e->critical;
	return ext_read_acme_identifier(e->value, &out->acme_identifier);
}

/* [3] EXPLICIT Extensions; each at most once */
static bool
read_extensions(struct arena *a, CBS *in, struct pki_cert *out)
{
	struct str seen[PKI_EXTENSIONS_MAX];
	CBS wrapper, list;
	struct ext ext;
	size_t n = 0;

	if (CBS_len(in) == 0)
		return true;
	if (!CBS_get_asn1(in, &wrapper, CONTEXT(3)) || CBS_len(in) != 0 ||
	    !CBS_get_asn1(&wrapper, &list, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&wrapper) != 0)
		return false;
	while (CBS_len(&list) > 0) {
		if (n == PKI_EXTENSIONS_MAX || !ext_next(&list, &ext))
			return false;
		for (size_t i = 0; i < n; i++)
			if (str_eq(seen[i], ext.oid))
				return false;
		seen[n++] = ext.oid;
		if (!read_extension(a, &ext, out))
			return false;
	}
	return true;
}

/* ---- the part that is signed */

static bool
read_version(CBS *in)
{
	uint64_t version;
	CBS wrapper;

	return CBS_get_asn1(in, &wrapper, CONTEXT(0)) &&
	    CBS_get_asn1_uint64(&wrapper, &version) && CBS_len(&wrapper) == 0 &&
	    version == VERSION_3;
}

/*
 * Twenty bytes of a number; others count without the zero byte that keeps it
 * positive, for example mod_md in its certificates for tls-alpn-01. What we
 * hand out is held to the letter by lint.c.
 */
static bool
read_serial(CBS *in, struct str *out)
{
	int negative;
	size_t zero;
	CBS serial;

	if (!CBS_get_asn1(in, &serial, CBS_ASN1_INTEGER) ||
	    !CBS_is_valid_asn1_integer(&serial, &negative) || negative)
		return false;
	zero = CBS_data(&serial)[0] == 0 ? 1 : 0;
	if (CBS_len(&serial) > SERIAL_MAX + zero)
		return false;
	*out = der_str(&serial);
	return true;
}

static bool
read_validity(CBS *in, struct pki_cert *out)
{
	CBS validity;

	return CBS_get_asn1(in, &validity, CBS_ASN1_SEQUENCE) &&
	    der_get_time(&validity, &out->not_before) &&
	    der_get_time(&validity, &out->not_after) && CBS_len(&validity) == 0;
}

static bool
read_subject(CBS *in, struct pki_cert *out)
{
	CBS whole, name;
	struct dn dn;

	if (!der_get_element(in, CBS_ASN1_SEQUENCE, &out->subject))
		return false;
	whole = der_cbs(out->subject);
	if (!CBS_get_asn1(&whole, &name, CBS_ASN1_SEQUENCE) ||
	    !dn_read(name, &dn))
		return false;
	if (dn.ncn > 0 && dn.cn_is_text)
		out->cn = dn.cn;
	return true;
}

static bool
read_key(struct arena *a, CBS *in, struct pki_cert *out)
{
	if (!der_get_element(in, CBS_ASN1_SEQUENCE, &out->spki))
		return false;
	if ((out->key = pki_read_spki(out->spki)) == NULL)
		return true;
	arena_defer(a, pki_free_key, out->key);
	if (!pki_key_is(out->key, &out->kind, &out->bits, NULL))
		out->key = NULL;
	return true;
}

/* What is malformed, or NULL. */
static const char *
read_tbs(struct arena *a, struct pki_cert *out)
{
	CBS in = der_cbs(out->tbs), tbs;
	struct str alg;

	if (!CBS_get_asn1(&in, &tbs, CBS_ASN1_SEQUENCE) || !read_version(&tbs))
		return "version";
	if (!read_serial(&tbs, &out->serial))
		return "serial number";
	if (!der_get_element(&tbs, CBS_ASN1_SEQUENCE, &alg) ||
	    !str_eq(alg, out->sig_alg))
		return "signature algorithm";
	if (!der_get_element(&tbs, CBS_ASN1_SEQUENCE, &out->issuer))
		return "issuer";
	if (!read_validity(&tbs, out))
		return "validity";
	if (!read_subject(&tbs, out))
		return "subject";
	if (!read_key(a, &tbs, out))
		return "public key";
	if (!read_extensions(a, &tbs, out))
		return "extensions";
	return NULL;
}

const char *
pki_parse_cert(struct arena *a, struct str der, struct pki_cert *out)
{
	CBS in = der_cbs(der), cert;
	const char *what;

	*out = (struct pki_cert){ .der = der, .path_len = -1 };
	if (der.n > PKI_CERT_MAX)
		return "the certificate has more than 65536 bytes";
	if (!CBS_get_asn1(&in, &cert, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
	    !der_get_element(&cert, CBS_ASN1_SEQUENCE, &out->tbs) ||
	    !der_get_element(&cert, CBS_ASN1_SEQUENCE, &out->sig_alg) ||
	    !der_get_bits(&cert, &out->signature) || CBS_len(&cert) != 0)
		return "this is not a certificate in DER, or there is "
		       "something behind it";
	if ((what = read_tbs(a, out)) == NULL)
		return NULL;
	return str_printf(a, "the certificate's %s cannot be read", what).p;
}

bool
pki_cert_is_signed_by(const struct pki_cert *cert,
    const struct pki_cert *issuer)
{
	const struct sig_alg *alg = alg_find(cert->sig_alg);

	return alg != NULL && issuer->key != NULL &&
	    str_eq(cert->issuer, issuer->subject) &&
	    alg_verify(alg, issuer->key, cert->tbs, cert->signature);
}

struct str
pki_serial_text(struct arena *a, struct str serial)
{
	while (serial.n > 1 && serial.p[0] == 0)
		serial = str_skip(serial, 1);
	return hex_encode(a, serial);
}
