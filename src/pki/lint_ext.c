/* SPDX-License-Identifier: ISC */
/*
 * Judging the extensions of a certificate before it leaves: which there may
 * and must be, which are critical, and what each says. RFC 5280 section 4.2.
 */
#include "pki/lint_int.h"

#define CONTEXT(n) (CBS_ASN1_CONTEXT_SPECIFIC | (n))
#define CONTEXT_SEQ(n) (CONTEXT(n) | CBS_ASN1_CONSTRUCTED)

enum critical { CRITICAL, NOT_CRITICAL, EITHER };

static const char *lint_basic(struct lint *, CBS, bool);
static const char *lint_key_usage(struct lint *, CBS, bool);
static const char *lint_eku(struct lint *, CBS, bool);
static const char *lint_ski(struct lint *, CBS, bool);
static const char *lint_aki(struct lint *, CBS, bool);
static const char *lint_san(struct lint *, CBS, bool);
static const char *lint_aia(struct lint *, CBS, bool);
static const char *lint_crl(struct lint *, CBS, bool);
static const char *lint_tls_feature(struct lint *, CBS, bool);
static const char *lint_no_rev_avail(struct lint *, CBS, bool);
static const char *lint_nocheck(struct lint *, CBS, bool);

#define OID(text)                                                              \
	{                                                                      \
		.p = (text), .n = sizeof(text) - 1                             \
	}

static const struct rule {
	struct str oid;
	const char *name;
	enum critical critical;
	bool required; /* of ours */
	const char *(*check)(struct lint *, CBS value, bool critical);
} rules[] = {
	/* clang-format off */
	{ OID(OID_BASIC), "basicConstraints", EITHER, false, lint_basic },
	{ OID(OID_KEY_USAGE), "keyUsage", CRITICAL, true, lint_key_usage },
	{ OID(OID_EKU), "extKeyUsage", NOT_CRITICAL, true, lint_eku },
	{ OID(OID_SKI), "subjectKeyIdentifier", NOT_CRITICAL, true, lint_ski },
	{ OID(OID_AKI), "authorityKeyIdentifier", NOT_CRITICAL, true,
	  lint_aki },
	{ OID(OID_SAN), "subjectAltName", EITHER, true, lint_san },
	{ OID(OID_AIA), "authorityInfoAccess", NOT_CRITICAL, false, lint_aia },
	{ OID(OID_CRL_POINTS), "cRLDistributionPoints", NOT_CRITICAL, false,
	  lint_crl },
	{ OID(OID_TLS_FEATURE), "TLS feature", NOT_CRITICAL, false,
	  lint_tls_feature },
	{ OID(OID_NO_REV_AVAIL), "noRevAvail", NOT_CRITICAL, false,
	  lint_no_rev_avail },
	{ OID(OID_OCSP_NOCHECK), "ocsp-nocheck", NOT_CRITICAL, false,
	  lint_nocheck },
	/* clang-format on */
};

enum {
	NRULES = sizeof(rules) / sizeof(rules[0]),
	TLS_STATUS_REQUEST = 5,
};

/* ---- what each says */

/* Absent, or not a CA: 4.2.1.9. DER leaves out cA FALSE. */
static const char *
lint_basic(struct lint *l, CBS value, bool critical)
{
	CBS seq;

	(void)l;
	(void)critical;
	if (!CBS_get_asn1(&value, &seq, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&value) != 0 || CBS_len(&seq) != 0)
		return "basicConstraints say more than \"no CA\"";
	return NULL;
}

/* What a key of this kind can be for, RFC 8813 section 3, RFC 8410. */
static unsigned
usable(enum pki_key_kind kind)
{
	unsigned usage = PKI_KU_DIGITAL_SIGNATURE | PKI_KU_NON_REPUDIATION;

	if (kind == PKI_RSA)
		usage |= PKI_KU_KEY_ENCIPHERMENT | PKI_KU_DATA_ENCIPHERMENT;
	else if (kind != PKI_ED25519)
		usage |= PKI_KU_KEY_AGREEMENT;
	return usage;
}

/* 4.2.1.3 */
static const char *
lint_key_usage(struct lint *l, CBS value, bool critical)
{
	uint8_t unused, octet;
	unsigned usage = 0;
	CBS bits;

	(void)critical;
	/* nine bits are named, but the ninth is not for us */
	if (!CBS_get_asn1(&value, &bits, CBS_ASN1_BITSTRING) ||
	    CBS_len(&value) != 0 || !CBS_get_u8(&bits, &unused) ||
	    !CBS_get_u8(&bits, &octet) || CBS_len(&bits) != 0 || unused > 7)
		return "keyUsage is malformed or has bits that are not ours";
	/* the last bit that is there is one: X.690 section 11.2.2 */
	if ((octet & ((1U << unused) - 1)) != 0 || (octet >> unused & 1) == 0)
		return "keyUsage is not in its shortest form";
	for (unsigned bit = 0; bit < 8; bit++)
		if ((octet & (0x80 >> bit)) != 0)
			usage |= 1U << bit;
	if ((usage & (PKI_KU_CERT_SIGN | PKI_KU_CRL_SIGN)) != 0)
		return "keyUsage is that of a CA";
	if ((usage & ~usable(l->kind)) != 0 && !l->profile->remote)
		return "keyUsage does not fit the kind of key";
	if (l->profile->key_usage != 0 && usage != l->profile->key_usage)
		return "keyUsage is not that of the profile";
	return NULL;
}

/* 4.2.1.12; a purpose twice is no good, any other purpose neither */
static const char *
lint_eku(struct lint *l, CBS value, bool critical)
{
	static const struct {
		struct str oid;
		unsigned purpose;
	} known[] = {
		{ OID(OID_EKU_SERVER), PKI_EKU_SERVER },
		{ OID(OID_EKU_CLIENT), PKI_EKU_CLIENT },
		{ OID(OID_EKU_OCSP), PKI_EKU_OCSP },
	};
	unsigned eku = 0, purpose;
	CBS list, oid;

	(void)critical;
	if (!CBS_get_asn1(&value, &list, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&value) != 0 || CBS_len(&list) == 0)
		return "extKeyUsage is malformed or empty";
	while (CBS_len(&list) > 0) {
		if (!CBS_get_asn1(&list, &oid, CBS_ASN1_OBJECT))
			return "extKeyUsage is malformed";
		purpose = PKI_EKU_OTHER;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (str_eq(der_str(&oid), known[i].oid))
				purpose = known[i].purpose;
		if ((eku & purpose) != 0)
			return "extKeyUsage has a purpose twice";
		eku |= purpose;
	}
	if (l->profile->eku != 0 && eku != l->profile->eku)
		return "extKeyUsage is not that of the profile";
	if (l->profile->eku == 0 && (eku & PKI_EKU_SERVER) == 0)
		return "extKeyUsage lacks serverAuth";
	return NULL;
}

/* 4.2.1.2 */
static const char *
lint_ski(struct lint *l, CBS value, bool critical)
{
	CBS id;

	(void)l;
	(void)critical;
	if (!CBS_get_asn1(&value, &id, CBS_ASN1_OCTETSTRING) ||
	    CBS_len(&value) != 0 || CBS_len(&id) == 0 || CBS_len(&id) > 32)
		return "subjectKeyIdentifier is malformed";
	return NULL;
}

/* The issuer's key id and nothing else: 4.2.1.1 */
static const char *
lint_aki(struct lint *l, CBS value, bool critical)
{
	CBS seq, id;

	(void)critical;
	if (!CBS_get_asn1(&value, &seq, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&value) != 0 || !CBS_get_asn1(&seq, &id, CONTEXT(0)))
		return "authorityKeyIdentifier has no key id";
	if (CBS_len(&seq) != 0)
		return "authorityKeyIdentifier has more than a key id";
	if (!str_eq(der_str(&id), l->profile->issuer->ski))
		return "authorityKeyIdentifier is not the issuer's key id";
	return NULL;
}

/* NULL if the name is what it should be; it is added to the set. */
static const char *
lint_name(struct lint *l, unsigned tag, const CBS *value,
    struct pki_names *names)
{
	struct str name = der_str(value);
	const char *why;
	struct addr ip;

	if (tag == CONTEXT(2)) {
		if ((why = pki_check_dns_name(name, true)) != NULL)
			return str_printf(l->arena,
			    "the name \"" STR_FMT "\" %s",
			    STR_ARG(str_show(l->arena, name, 80)), why)
			    .p;
		names->dns[names->ndns++] = name;
		return NULL;
	}
	if (tag != CONTEXT(7))
		return "subjectAltName has a name of another type than DNS "
		       "and IP";
	ip = addr_from_bytes(name.p, name.n);
	if (ip.len == 0 || ip.len != name.n)
		return "subjectAltName has an address of a wrong length";
	names->ips[names->nips++] = ip;
	return NULL;
}

/* Exactly the ordered names, each once: 4.2.1.6 */
static const char *
lint_san(struct lint *l, CBS value, bool critical)
{
	const struct pki_names *ordered = l->profile->names;
	struct pki_names names = { .ndns = 0 };
	const char *why;
	CBS list, name;
	size_t n, had = 0;
	unsigned tag;

	if (l->profile->responder.p != NULL)
		return "a responder has a subjectAltName";
	n = ordered->ndns + ordered->nips;
	names.dns = arena_array(l->arena, struct str, n);
	names.ips = arena_array(l->arena, struct addr, n);
	if (critical != l->empty_subject &&
	    (l->empty_subject || !l->profile->remote))
		return critical ? "subjectAltName is critical though there is "
				  "a subject" :
				  "subjectAltName is not critical though the "
				  "subject is empty";
	if (!CBS_get_asn1(&value, &list, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&value) != 0)
		return "subjectAltName is malformed";
	for (; CBS_len(&list) > 0; had++) {
		if (!CBS_get_any_asn1(&list, &name, &tag))
			return "subjectAltName is malformed";
		if (had == n)
			return "subjectAltName has more names than were "
			       "ordered";
		if ((why = lint_name(l, tag, &name, &names)) != NULL)
			return why;
	}
	pki_names_sort(&names);
	if (!pki_names_equal(&names, ordered))
		return "subjectAltName does not hold exactly the ordered "
		       "names";
	return NULL;
}

/* http or https, in printable ASCII */
static bool
is_url(const CBS *value)
{
	struct str url = der_str(value);

	if (!str_starts(url, STR("http://")) &&
	    !str_starts(url, STR("https://")))
		return false;
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] <= ' ' || url.p[i] > '~')
			return false;
	return url.n <= PKI_URL_MAX;
}

/* 4.2.2.1 */
static const char *
lint_aia(struct lint *l, CBS value, bool critical)
{
	CBS list, access, oid, url;

	(void)critical;
	if (!CBS_get_asn1(&value, &list, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&value) != 0 || CBS_len(&list) == 0)
		return "authorityInfoAccess is malformed or empty";
	while (CBS_len(&list) > 0) {
		if (!CBS_get_asn1(&list, &access, CBS_ASN1_SEQUENCE) ||
		    !CBS_get_asn1(&access, &oid, CBS_ASN1_OBJECT) ||
		    !CBS_get_asn1(&access, &url, CONTEXT(6)) ||
		    CBS_len(&access) != 0 || !is_url(&url))
			return "authorityInfoAccess has an entry that is no "
			       "http or https URL";
		if (str_eq(der_str(&oid), STR(OID_AIA_OCSP)))
			l->has_ocsp = true;
		else if (!str_eq(der_str(&oid), STR(OID_AIA_ISSUERS)) &&
		    !l->profile->remote)
			return "authorityInfoAccess has an entry that is "
			       "neither OCSP nor caIssuers";
	}
	return NULL;
}

/* 4.2.1.13: each point one full name, of URLs */
static const char *
lint_crl(struct lint *l, CBS value, bool critical)
{
	static const char why[] = "cRLDistributionPoints has an entry that is "
				  "no http or https URL";
	CBS list, point, name, full, url;

	(void)critical;
	if (!CBS_get_asn1(&value, &list, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&value) != 0 || CBS_len(&list) == 0)
		return "cRLDistributionPoints is malformed or empty";
	while (CBS_len(&list) > 0) {
		if (!CBS_get_asn1(&list, &point, CBS_ASN1_SEQUENCE) ||
		    !CBS_get_asn1(&point, &name, CONTEXT_SEQ(0)) ||
		    CBS_len(&point) != 0 ||
		    !CBS_get_asn1(&name, &full, CONTEXT_SEQ(0)) ||
		    CBS_len(&name) != 0 || CBS_len(&full) == 0)
			return why;
		while (CBS_len(&full) > 0)
			if (!CBS_get_asn1(&full, &url, CONTEXT(6)) ||
			    !is_url(&url))
				return why;
	}
	l->has_crl = true;
	return NULL;
}

/* RFC 7633: status_request alone, if the profile wants it */
static const char *
lint_tls_feature(struct lint *l, CBS value, bool critical)
{
	static const uint8_t want[] = { 0x30, 0x03, 0x02, 0x01,
		TLS_STATUS_REQUEST };

	(void)critical;
	if (!l->profile->must_staple)
		return "there is a TLS feature that nobody asked for";
	if (!CBS_mem_equal(&value, want, sizeof(want)))
		return "the TLS feature is not status_request alone";
	return NULL;
}

/* RFC 9608 section 3 */
static const char *
lint_no_rev_avail(struct lint *l, CBS value, bool critical)
{
	static const uint8_t null[] = { 0x05, 0x00 };

	(void)critical;
	if (!l->profile->no_rev_avail)
		return "there is a noRevAvail that nobody asked for";
	if (!CBS_mem_equal(&value, null, sizeof(null)))
		return "noRevAvail is not NULL";
	return NULL;
}

/* RFC 6960 section 4.2.2.2.1 */
static const char *
lint_nocheck(struct lint *l, CBS value, bool critical)
{
	static const uint8_t null[] = { 0x05, 0x00 };

	(void)critical;
	if (l->profile->responder.p == NULL)
		return l->profile->remote ? NULL :
					    "ocsp-nocheck stands in what is "
					    "no responder's";
	if (!CBS_mem_equal(&value, null, sizeof(null)))
		return "ocsp-nocheck is not NULL";
	return NULL;
}

/* ---- all of them */

static const char *
about(const struct lint *l, const struct rule *r, const char *what)
{
	return str_printf(l->arena, "%s %s", r->name, what).p;
}

static const struct rule *
find_rule(struct str oid)
{
	for (size_t i = 0; i < NRULES; i++)
		if (str_eq(oid, rules[i].oid))
			return &rules[i];
	return NULL;
}

/* What is known of all extensions so far. */
struct seen {
	bool rules[NRULES];
	struct str oids[PKI_EXTENSIONS_MAX];
	size_t n;
};

static const char *
note(const struct lint *l, struct seen *seen, struct str oid)
{
	const struct rule *rule = find_rule(oid);

	for (size_t i = 0; i < seen->n; i++)
		if (str_eq(seen->oids[i], oid))
			return rule != NULL ? about(l, rule, "is there twice") :
					      "an extension is there twice";
	if (seen->n == PKI_EXTENSIONS_MAX)
		return "there are more than 32 extensions";
	seen->oids[seen->n++] = oid;
	if (rule != NULL)
		seen->rules[rule - rules] = true;
	return NULL;
}

static const char *
lint_content(struct lint *l, struct str oid, CBS value, bool critical)
{
	const struct rule *rule = find_rule(oid);

	if (rule == NULL)
		return critical || !l->profile->remote ?
		    "there is an extension that is not ours" :
		    NULL;
	if (rule->critical == CRITICAL && !critical)
		return about(l, rule, "is not critical");
	if (rule->critical == NOT_CRITICAL && critical)
		return about(l, rule, "is critical");
	return rule->check(l, value, critical);
}

/* One Extension: 4.1 */
static const char *
lint_extension(struct lint *l, CBS *list, struct seen *seen)
{
	CBS ext, oid, value;
	int critical = 0;
	const char *why;

	if (!CBS_get_asn1(list, &ext, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&ext, &oid, CBS_ASN1_OBJECT))
		return "an extension is malformed";
	if (CBS_peek_asn1_tag(&ext, CBS_ASN1_BOOLEAN) &&
	    (!CBS_get_asn1_bool(&ext, &critical) || !critical))
		return "an extension says that it is not critical, which DER "
		       "leaves out";
	if (!CBS_get_asn1(&ext, &value, CBS_ASN1_OCTETSTRING) ||
	    CBS_len(&ext) != 0)
		return "an extension is malformed";
	if ((why = note(l, seen, der_str(&oid))) != NULL)
		return why;
	return lint_content(l, der_str(&oid), value, critical != 0);
}

static bool
is_required(const struct pki_lint_profile *p, const struct rule *r)
{
	if (r->check == lint_san)
		return p->responder.p == NULL;
	if (r->check == lint_tls_feature)
		return p->must_staple;
	if (r->check == lint_no_rev_avail)
		return p->no_rev_avail;
	if (r->check == lint_nocheck)
		return p->responder.p != NULL;
	return r->required && !p->remote;
}

/* What must be there, or must not beside something else. */
static const char *
lint_presence(const struct lint *l, const bool *seen)
{
	const struct pki_lint_profile *p = l->profile;

	for (size_t i = 0; i < NRULES; i++)
		if (!seen[i] && is_required(p, &rules[i]))
			return about(l, &rules[i], "is missing");
	if (p->no_rev_avail && (l->has_crl || l->has_ocsp))
		return "noRevAvail stands beside an address for revocation";
	return NULL;
}

const char *
lint_extensions(struct lint *l, CBS list)
{
	struct seen seen = { .n = 0 };
	const char *why;

	while (CBS_len(&list) > 0)
		if ((why = lint_extension(l, &list, &seen)) != NULL)
			return why;
	return lint_presence(l, seen.rules);
}
