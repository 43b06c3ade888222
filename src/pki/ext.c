/* SPDX-License-Identifier: ISC */
/* Reading extensions, RFC 5280 section 4.2. Each value is read to its end. */
#include "pki/pki_int.h"

#define CONTEXT(n) (CBS_ASN1_CONTEXT_SPECIFIC | (n))
#define CONTEXT_SEQ(n) (CONTEXT(n) | CBS_ASN1_CONSTRUCTED)

/* GeneralName's choices */
#define GN_DNS CONTEXT(2)
#define GN_URI CONTEXT(6)
#define GN_IP CONTEXT(7)

enum { TLS_STATUS_REQUEST = 5, URL_POINTS_MAX = 16 };

bool
ext_next(CBS *list, struct ext *out)
{
	CBS ext, oid;

	if (!CBS_get_asn1(list, &ext, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&ext, &oid, CBS_ASN1_OBJECT) ||
	    !der_get_flag(&ext, &out->critical))
		return false;
	out->oid = der_str(&oid);
	return CBS_get_asn1(&ext, &out->value, CBS_ASN1_OCTETSTRING) &&
	    CBS_len(&ext) == 0;
}

/* ---- subjectAltName, 4.2.1.6 */

/* What a name is that we do not take. */
static const char *
other_name(unsigned tag)
{
	/* clang-format off */
	static const char *const types[] = {
		[0] = "an otherName", [1] = "an e-mail address",
		[3] = "an X.400 address", [4] = "a directory name",
		[5] = "an EDI party name", [6] = "a URI",
		[8] = "a registered id",
	};
	/* clang-format on */
	unsigned number = tag & CBS_ASN1_TAG_NUMBER_MASK;

	if ((tag & CBS_ASN1_CLASS_MASK) != CBS_ASN1_CONTEXT_SPECIFIC ||
	    number >= sizeof(types) / sizeof(types[0]) || types[number] == NULL)
		return "a name of an unknown type";
	return types[number];
}

/* NULL, or what the address is instead. */
static const char *
read_ip(const CBS *value, struct pki_names *out)
{
	struct addr ip = addr_from_bytes(CBS_data(value), CBS_len(value));

	if (ip.len == 0)
		return "an address that has neither 4 nor 16 bytes";
	if (ip.len != CBS_len(value))
		return "an IPv4 address in IPv6 form";
	out->ips[out->nips++] = ip;
	return NULL;
}

static bool
count_names(CBS list, size_t *n)
{
	CBS value;
	unsigned tag;

	for (*n = 0; CBS_len(&list) > 0; ++*n)
		if (!CBS_get_any_asn1(&list, &value, &tag))
			return false;
	return true;
}

bool
ext_read_san(struct arena *a, CBS in, struct pki_names *out, const char **other)
{
	const char *what;
	CBS list, value;
	unsigned tag;
	size_t n;

	*other = NULL;
	*out = (struct pki_names){ .ndns = 0 };
	if (!CBS_get_asn1(&in, &list, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
	    !count_names(list, &n) || n == 0)
		return false;
	if (n > PKI_NAMES_MAX) {
		*other = str_printf(a, "more than %d names", PKI_NAMES_MAX).p;
		return true;
	}
	out->dns = arena_array(a, struct str, n);
	out->ips = arena_array(a, struct addr, n);
	while (CBS_len(&list) > 0) {
		if (!CBS_get_any_asn1(&list, &value, &tag))
			return false;
		what = NULL;
		if (tag == GN_DNS)
			out->dns[out->ndns++] = der_str(&value);
		else if (tag == GN_IP)
			what = read_ip(&value, out);
		else
			what = other_name(tag);
		if (*other == NULL)
			*other = what;
	}
	return true;
}

/* ---- what the key is for */

/* BasicConstraints, 4.2.1.9 */
bool
ext_read_basic(CBS in, bool *ca, int *path_len)
{
	uint64_t len = 0;
	CBS seq;

	*path_len = -1;
	if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
	    !der_get_flag(&seq, ca))
		return false;
	if (CBS_len(&seq) == 0)
		return true;
	if (!*ca || !CBS_get_asn1_uint64(&seq, &len) || CBS_len(&seq) != 0)
		return false;
	*path_len = len < 255 ? (int)len : 255;
	return true;
}

/* KeyUsage, 4.2.1.3 */
bool
ext_read_key_usage(CBS in, unsigned *out)
{
	CBS bits;

	*out = 0;
	if (!CBS_get_asn1(&in, &bits, CBS_ASN1_BITSTRING) ||
	    CBS_len(&in) != 0 || !CBS_is_valid_asn1_bitstring(&bits))
		return false;
	for (unsigned bit = 0; bit <= 8; bit++)
		if (CBS_asn1_bitstring_has_bit(&bits, bit))
			*out |= 1U << bit;
	return *out != 0;
}

static unsigned
purpose(struct str oid)
{
	if (str_eq(oid, STR(OID_EKU_SERVER)))
		return PKI_EKU_SERVER;
	if (str_eq(oid, STR(OID_EKU_CLIENT)))
		return PKI_EKU_CLIENT;
	if (str_eq(oid, STR(OID_EKU_OCSP)))
		return PKI_EKU_OCSP;
	return PKI_EKU_OTHER;
}

/* ExtKeyUsageSyntax, 4.2.1.12 */
bool
ext_read_eku(CBS in, unsigned *out)
{
	CBS list, oid;

	*out = 0;
	if (!CBS_get_asn1(&in, &list, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0)
		return false;
	while (CBS_len(&list) > 0) {
		if (!CBS_get_asn1(&list, &oid, CBS_ASN1_OBJECT))
			return false;
		*out |= purpose(der_str(&oid));
	}
	return *out != 0;
}

/* ---- key identifiers */

/* SubjectKeyIdentifier, 4.2.1.2 */
bool
ext_read_ski(CBS in, struct str *out)
{
	CBS id;

	if (!CBS_get_asn1(&in, &id, CBS_ASN1_OCTETSTRING) ||
	    CBS_len(&in) != 0 || CBS_len(&id) == 0)
		return false;
	*out = der_str(&id);
	return true;
}

/* AuthorityKeyIdentifier, 4.2.1.1; issuer and serial in it are passed over. */
bool
ext_read_aki(CBS in, struct str *out)
{
	CBS seq, id, skipped;
	int has_id, present;

	*out = STR_NONE;
	if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
	    !CBS_get_optional_asn1(&seq, &id, &has_id, CONTEXT(0)) ||
	    !CBS_get_optional_asn1(&seq, &skipped, &present, CONTEXT_SEQ(1)) ||
	    !CBS_get_optional_asn1(&seq, &skipped, &present, CONTEXT(2)) ||
	    CBS_len(&seq) != 0)
		return false;
	if (has_id && CBS_len(&id) > 0)
		*out = der_str(&id);
	return true;
}

/* ---- where to look */

/* AuthorityInfoAccessSyntax, 4.2.2.1 */
bool
ext_read_aia(CBS in, struct str *ocsp, struct str *issuers)
{
	CBS list, access, oid, value;
	struct str *to;
	unsigned tag;

	*ocsp = *issuers = STR_NONE;
	if (!CBS_get_asn1(&in, &list, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0)
		return false;
	while (CBS_len(&list) > 0) {
		if (!CBS_get_asn1(&list, &access, CBS_ASN1_SEQUENCE) ||
		    !CBS_get_asn1(&access, &oid, CBS_ASN1_OBJECT) ||
		    !CBS_get_any_asn1(&access, &value, &tag) ||
		    CBS_len(&access) != 0)
			return false;
		if (str_eq(der_str(&oid), STR(OID_AIA_OCSP)))
			to = ocsp;
		else if (str_eq(der_str(&oid), STR(OID_AIA_ISSUERS)))
			to = issuers;
		else
			continue;
		if (tag == GN_URI && to->p == NULL)
			*to = der_str(&value);
	}
	return true;
}

/* The first URL of one DistributionPoint, if there is one. */
static bool
read_point(CBS point, struct str *url)
{
	CBS name, list, value, skipped;
	int has_name, has_list, present;
	unsigned tag;

	if (!CBS_get_optional_asn1(&point, &name, &has_name, CONTEXT_SEQ(0)) ||
	    !CBS_get_optional_asn1(&point, &skipped, &present, CONTEXT(1)) ||
	    !CBS_get_optional_asn1(&point, &skipped, &present,
		CONTEXT_SEQ(2)) ||
	    CBS_len(&point) != 0)
		return false;
	if (!has_name)
		return true;
	if (!CBS_get_optional_asn1(&name, &list, &has_list, CONTEXT_SEQ(0)))
		return false;
	while (has_list && CBS_len(&list) > 0) {
		if (!CBS_get_any_asn1(&list, &value, &tag))
			return false;
		if (tag == GN_URI && url->p == NULL)
			*url = der_str(&value);
	}
	return true;
}

/* CRLDistributionPoints, 4.2.1.13 */
bool
ext_read_crl_points(CBS in, struct str *url)
{
	CBS list, point;

	*url = STR_NONE;
	if (!CBS_get_asn1(&in, &list, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0)
		return false;
	while (CBS_len(&list) > 0)
		if (!CBS_get_asn1(&list, &point, CBS_ASN1_SEQUENCE) ||
		    !read_point(point, url))
			return false;
	return true;
}

/* ---- revocation */

/* TLS feature, RFC 7633 */
bool
ext_read_tls_feature(CBS in, bool *must_staple, bool *other)
{
	uint64_t feature;
	CBS list;

	*must_staple = *other = false;
	if (!CBS_get_asn1(&in, &list, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0)
		return false;
	while (CBS_len(&list) > 0) {
		if (!CBS_get_asn1_uint64(&list, &feature))
			return false;
		*must_staple |= feature == TLS_STATUS_REQUEST;
		*other |= feature != TLS_STATUS_REQUEST;
	}
	return true;
}

/* RFC 9608 */
bool
ext_read_no_rev_avail(CBS in)
{
	CBS null;

	return CBS_get_asn1(&in, &null, CBS_ASN1_NULL) && CBS_len(&null) == 0 &&
	    CBS_len(&in) == 0;
}

/* acmeIdentifier, RFC 8737 section 3: a SHA-256 digest. */
bool
ext_read_acme_identifier(CBS in, struct str *digest)
{
	CBS value;

	if (!CBS_get_asn1(&in, &value, CBS_ASN1_OCTETSTRING) ||
	    CBS_len(&in) != 0 || CBS_len(&value) != 32)
		return false;
	*digest = der_str(&value);
	return true;
}
