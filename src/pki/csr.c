/* SPDX-License-Identifier: ISC */
/*
 * Certification requests: RFC 2986, the extensionRequest attribute of RFC
 * 2985 section 5.4.2, and what RFC 8555 section 7.4 asks of the names.
 */
#include "pki/csr.h"

#include <openssl/err.h>
#include <openssl/mem.h>

#include "pki/pki_int.h"

#define ATTRIBUTES (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0)

enum { SHOWN = 80 }; /* bytes of a client's text in a message */

/* A request on its way in. */
struct reader {
	struct arena *arena;
	struct pki_csr *out;
	CBS info; /* CertificationRequestInfo */
	struct str signed_part, alg, sig;
};

static const struct problem *
bad(struct arena *a, const char *why)
{
	return problem_new(a, PROBLEM_BAD_CSR, "the CSR %s", why);
}

/* ---- names */

static const struct problem *
bad_name(struct arena *a, const char *what, struct str name, const char *why)
{
	return problem_new(a, PROBLEM_BAD_CSR,
	    "the CSR's %s \"" STR_FMT "\" %s", what,
	    STR_ARG(str_show(a, name, SHOWN)), why);
}

static const struct problem *
read_san(const struct reader *r, CBS value)
{
	struct pki_names *names = &r->out->names;
	const char *other, *why;

	if (!ext_read_san(r->arena, value, names, &other))
		return bad(r->arena,
		    "has a malformed or empty "
		    "subjectAltName");
	if (other != NULL)
		return problem_new(r->arena, PROBLEM_BAD_CSR,
		    "the CSR asks for %s in its subjectAltName; only DNS "
		    "names and IP addresses are issued",
		    other);
	for (size_t i = 0; i < names->ndns; i++) {
		if (!str_is_text(names->dns[i]))
			return bad_name(r->arena, "name", names->dns[i],
			    "is not text");
		names->dns[i] = str_lower(r->arena, names->dns[i]);
		why = pki_check_dns_name(names->dns[i], true);
		if (why != NULL)
			return bad_name(r->arena, "name", names->dns[i], why);
	}
	return NULL;
}

/* One more DNS name or address. */
static void
add_name(struct arena *a, struct pki_names *names, struct str dns,
    const struct addr *ip)
{
	struct str *all = arena_array(a, struct str, names->ndns + 1);
	struct addr *ips = arena_array(a, struct addr, names->nips + 1);

	if (names->ndns > 0)
		memcpy(all, names->dns, names->ndns * sizeof(*all));
	if (names->nips > 0)
		memcpy(ips, names->ips, names->nips * sizeof(*ips));
	names->dns = all;
	names->ips = ips;
	if (ip != NULL)
		ips[names->nips++] = *ip;
	else
		all[names->ndns++] = dns;
}

/* A common name that is a DNS name or an address counts as one of names. */
static const struct problem *
read_cn(const struct reader *r, const struct dn *dn)
{
	struct pki_csr *out = r->out;
	struct str lower;
	struct addr ip;

	if (dn->ncn > 1)
		return bad(r->arena, "has more than one common name");
	if (dn->ncn == 0 || dn->cn.n == 0)
		return NULL;
	if (!dn->cn_is_text)
		return bad(r->arena,
		    "has a common name that is not UTF-8, "
		    "printable or ASCII text");
	out->cn = dn->cn;
	lower = str_lower(r->arena, dn->cn);
	if (addr_parse(lower, &ip)) {
		out->cn_is_name = true;
		add_name(r->arena, &out->names, STR_NONE, &ip);
	} else if (pki_check_dns_name(lower, true) == NULL) {
		out->cn_is_name = true;
		out->cn = lower;
		add_name(r->arena, &out->names, lower, NULL);
	}
	return NULL;
}

/* ---- extensions that are asked for */

static const struct problem *
read_extension(const struct reader *r, const struct ext *ext)
{
	int path_len;
	bool ca, other;

	if (str_eq(ext->oid, STR(OID_SAN)))
		return read_san(r, ext->value);
	if (str_eq(ext->oid, STR(OID_BASIC))) {
		if (!ext_read_basic(ext->value, &ca, &path_len))
			return bad(r->arena, "has malformed basicConstraints");
		if (ca)
			return bad(r->arena, "asks for a CA certificate");
	} else if (str_eq(ext->oid, STR(OID_TLS_FEATURE))) {
		if (!ext_read_tls_feature(ext->value, &r->out->must_staple,
			&other))
			return bad(r->arena,
			    "has a malformed TLS feature "
			    "extension");
		if (other)
			return bad(r->arena,
			    "asks for a TLS feature other than "
			    "status_request");
	}
	return NULL; /* whatever else it asks for, the profile decides */
}

static const struct problem *
read_extensions(const struct reader *r, CBS list)
{
	struct str seen[PKI_EXTENSIONS_MAX];
	const struct problem *pr;
	struct ext ext;
	size_t n = 0;

	while (CBS_len(&list) > 0) {
		if (n == PKI_EXTENSIONS_MAX)
			return bad(r->arena,
			    "asks for more than 32 "
			    "extensions");
		if (!ext_next(&list, &ext))
			return bad(r->arena, "has a malformed extension");
		for (size_t i = 0; i < n; i++)
			if (str_eq(seen[i], ext.oid))
				return bad(r->arena,
				    "asks for the same "
				    "extension twice");
		seen[n++] = ext.oid;
		if ((pr = read_extension(r, &ext)) != NULL)
			return pr;
	}
	return NULL;
}

static const struct problem *
read_attributes(const struct reader *r, CBS atts)
{
	CBS att, oid, values, list;
	const struct problem *pr;
	bool seen = false;

	while (CBS_len(&atts) > 0) {
		if (!CBS_get_asn1(&atts, &att, CBS_ASN1_SEQUENCE) ||
		    !CBS_get_asn1(&att, &oid, CBS_ASN1_OBJECT) ||
		    !CBS_get_asn1(&att, &values, CBS_ASN1_SET) ||
		    CBS_len(&att) != 0)
			return bad(r->arena, "has a malformed attribute");
		if (!str_eq(der_str(&oid), STR(OID_EXTENSION_REQUEST)))
			continue;
		if (seen)
			return bad(r->arena, "asks for extensions twice");
		seen = true;
		if (!CBS_get_asn1(&values, &list, CBS_ASN1_SEQUENCE) ||
		    CBS_len(&values) != 0)
			return bad(r->arena,
			    "has a malformed "
			    "extensionRequest");
		if ((pr = read_extensions(r, list)) != NULL)
			return pr;
	}
	return NULL;
}

/* ---- the key and the signature */

static const struct problem *
read_key(const struct reader *r)
{
	struct pki_csr *out = r->out;
	const char *why;

	if ((out->key = pki_read_spki(out->spki)) == NULL)
		return bad(r->arena,
		    "has a public key that cannot be read "
		    "(RSA, P-256, P-384, P-521 and Ed25519 "
		    "can)");
	arena_defer(r->arena, pki_free_key, out->key);
	if (!pki_key_is(out->key, &out->kind, &out->bits, &why))
		return problem_new(r->arena, PROBLEM_BAD_CSR,
		    "the CSR is for %s", why);
	if (!pki_is_canonical_spki(out->kind, out->spki))
		return bad(r->arena,
		    "has a public key in an unusual encoding "
		    "(it takes a named curve and an "
		    "uncompressed point)");
	pki_spki_hash(out->spki, out->spki_hash);
	return NULL;
}

static const struct problem *
check_signature(const struct reader *r)
{
	const struct sig_alg *alg = alg_find(r->alg);

	if (alg == NULL)
		return bad(r->arena,
		    "is signed with an algorithm that is not "
		    "accepted; use ECDSA or RSA (PKCS #1 "
		    "v1.5) with SHA-256, SHA-384 or SHA-512, "
		    "or Ed25519");
	if (!alg_verify(alg, r->out->key, r->signed_part, r->sig))
		return bad(r->arena,
		    "has a signature that its key did not "
		    "make");
	return NULL;
}

/* ---- the whole */

/* CertificationRequest */
static bool
split(struct reader *r, struct str der)
{
	CBS in = der_cbs(der), request;

	if (!CBS_get_asn1(&in, &request, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&in) != 0 ||
	    !der_get_element(&request, CBS_ASN1_SEQUENCE, &r->signed_part) ||
	    !der_get_element(&request, CBS_ASN1_SEQUENCE, &r->alg) ||
	    !der_get_bits(&request, &r->sig) || CBS_len(&request) != 0)
		return false;
	in = der_cbs(r->signed_part);
	return CBS_get_asn1(&in, &r->info, CBS_ASN1_SEQUENCE);
}

/* CertificationRequestInfo */
static const struct problem *
read_info(const struct reader *r)
{
	CBS info = r->info, subject, atts;
	const struct problem *pr;
	uint64_t version;
	struct dn dn;

	if (!CBS_get_asn1_uint64(&info, &version))
		return bad(r->arena, "is malformed: its version");
	if (version != 0)
		return bad(r->arena, "is not of version 1");
	if (!CBS_get_asn1(&info, &subject, CBS_ASN1_SEQUENCE) ||
	    !dn_read(subject, &dn))
		return bad(r->arena, "is malformed: its subject");
	if (!der_get_element(&info, CBS_ASN1_SEQUENCE, &r->out->spki))
		return bad(r->arena, "is malformed: its public key");
	if (!CBS_get_asn1(&info, &atts, ATTRIBUTES) || CBS_len(&info) != 0)
		return bad(r->arena, "is malformed: its attributes");
	if ((pr = read_key(r)) != NULL ||
	    (pr = read_attributes(r, atts)) != NULL)
		return pr;
	return read_cn(r, &dn);
}

static const struct problem *
read_request(struct reader *r, struct arena *a, struct str der,
    struct pki_csr *out)
{
	const struct problem *pr;

	*r = (struct reader){ .arena = a, .out = out };
	*out = (struct pki_csr){ .key = NULL };
	if (der.n > PKI_CSR_MAX)
		return bad(a, "has more than 16384 bytes");
	if (!split(r, der))
		return bad(a,
		    "is not a PKCS #10 request in DER, or has "
		    "something behind it");
	if ((pr = read_info(r)) != NULL)
		return pr;
	pki_names_sort(&out->names);
	if (out->names.ndns + out->names.nips == 0)
		return bad(a, "names neither a DNS name nor an IP address");
	if (out->names.ndns + out->names.nips > PKI_NAMES_MAX)
		return problem_new(a, PROBLEM_BAD_CSR,
		    "the CSR has more than %d names", PKI_NAMES_MAX);
	return NULL;
}

const struct problem *
pki_parse_csr(struct arena *a, struct str der, struct pki_csr *out)
{
	const struct problem *pr;
	struct reader r;

	if ((pr = read_request(&r, a, der, out)) != NULL)
		return pr;
	return check_signature(&r);
}

const struct problem *
pki_read_csr(struct arena *a, struct str der, struct pki_csr *out)
{
	struct reader r;

	return read_request(&r, a, der, out);
}
