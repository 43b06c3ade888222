/* SPDX-License-Identifier: ISC */
/* Distinguished names, RFC 5280 section 4.1.2.4: who has which common name. */
#include "pki/pki_int.h"

static bool
is_text(unsigned tag, struct str s)
{
	switch (tag) {
	case CBS_ASN1_UTF8STRING:
	case CBS_ASN1_PRINTABLESTRING:
	case CBS_ASN1_IA5STRING:
		return str_is_text(s);
	}
	return false;
}

/* AttributeTypeAndValue */
static bool
read_attribute(CBS *rdn, struct dn *out)
{
	CBS att, oid, value;
	unsigned tag;

	if (!CBS_get_asn1(rdn, &att, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&att, &oid, CBS_ASN1_OBJECT) ||
	    !CBS_get_any_asn1(&att, &value, &tag) || CBS_len(&att) != 0)
		return false;
	out->natts++;
	if (!str_eq(der_str(&oid), STR(OID_COMMON_NAME)))
		return true;
	out->ncn++;
	out->cn = der_str(&value);
	out->cn_is_text = is_text(tag, out->cn);
	return true;
}

bool
dn_read(CBS name, struct dn *out)
{
	CBS rdn;

	*out = (struct dn){ .natts = 0 };
	while (CBS_len(&name) > 0) {
		if (!CBS_get_asn1(&name, &rdn, CBS_ASN1_SET) ||
		    CBS_len(&rdn) == 0)
			return false;
		while (CBS_len(&rdn) > 0)
			if (!read_attribute(&rdn, out))
				return false;
	}
	return true;
}
