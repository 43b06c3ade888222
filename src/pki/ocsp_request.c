/* SPDX-License-Identifier: ISC */
/*
 * Reading OCSP requests, RFC 6960 section 4.1. Everything is read to its end,
 * and what is not understood is malformed.
 */
#include <openssl/digest.h>

#include "pki/ocsp.h"
#include "pki/pki_int.h"

#define CONTEXT_SEQ(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

enum { EXTENSIONS_MAX = 8, SERIAL_MAX = 32 };

/* hashAlgorithm: parameters are NULL or absent. */
static bool
read_hash(CBS *in, struct str *oid)
{
	CBS alg, id, null;

	if (!CBS_get_asn1(in, &alg, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&alg, &id, CBS_ASN1_OBJECT))
		return false;
	*oid = der_str(&id);
	if (CBS_len(&alg) == 0)
		return true;
	return CBS_get_asn1(&alg, &null, CBS_ASN1_NULL) &&
	    CBS_len(&null) == 0 && CBS_len(&alg) == 0;
}

static bool
read_octets(CBS *in, struct str *out)
{
	CBS octets;

	if (!CBS_get_asn1(in, &octets, CBS_ASN1_OCTETSTRING))
		return false;
	*out = der_str(&octets);
	return true;
}

static bool
read_cert_id(CBS *in, struct pki_ocsp_single *out)
{
	CBS whole, id, serial;

	if (!der_get_element(in, CBS_ASN1_SEQUENCE, &out->cert_id))
		return false;
	whole = der_cbs(out->cert_id);
	if (!CBS_get_asn1(&whole, &id, CBS_ASN1_SEQUENCE) ||
	    !read_hash(&id, &out->hash) || !read_octets(&id, &out->name_hash) ||
	    !read_octets(&id, &out->key_hash) ||
	    !CBS_get_asn1(&id, &serial, CBS_ASN1_INTEGER) ||
	    !CBS_is_valid_asn1_integer(&serial, NULL) ||
	    CBS_len(&serial) > SERIAL_MAX || CBS_len(&id) != 0)
		return false;
	out->serial = der_str(&serial);
	return true;
}

/* RFC 9654 section 2.1: an OCTET STRING inside, of 1 to 128 bytes. */
static bool
read_nonce(CBS value, struct str *out)
{
	return out->p == NULL && read_octets(&value, out) &&
	    CBS_len(&value) == 0 && out->n > 0 && out->n <= PKI_OCSP_NONCE_MAX;
}

/*
 * [n] EXPLICIT Extensions, which may be absent. nonce is NULL where none has
 * a place; others are passed over unless they are critical.
 */
static bool
read_exts(CBS *in, unsigned tag, struct str *nonce)
{
	CBS wrapper, list;
	struct ext ext;
	int present;
	size_t n = 0;

	if (!CBS_get_optional_asn1(in, &wrapper, &present, tag))
		return false;
	if (!present)
		return true;
	if (!CBS_get_asn1(&wrapper, &list, CBS_ASN1_SEQUENCE) ||
	    CBS_len(&wrapper) != 0 || CBS_len(&list) == 0)
		return false;
	while (CBS_len(&list) > 0) {
		if (n++ == EXTENSIONS_MAX || !ext_next(&list, &ext))
			return false;
		if (nonce != NULL && str_eq(ext.oid, STR(OID_OCSP_NONCE))) {
			if (!read_nonce(ext.value, nonce))
				return false;
		} else if (ext.critical) {
			return false;
		}
	}
	return true;
}

static bool
read_singles(CBS *in, struct pki_ocsp_request *out)
{
	CBS list, single;

	if (!CBS_get_asn1(in, &list, CBS_ASN1_SEQUENCE) || CBS_len(&list) == 0)
		return false;
	while (CBS_len(&list) > 0) {
		if (out->n == PKI_OCSP_SINGLES_MAX ||
		    !CBS_get_asn1(&list, &single, CBS_ASN1_SEQUENCE) ||
		    !read_cert_id(&single, &out->singles[out->n]) ||
		    !read_exts(&single, CONTEXT_SEQ(0), NULL) ||
		    CBS_len(&single) != 0)
			return false;
		out->n++;
	}
	return true;
}

/* version [0] EXPLICIT DEFAULT v1, requestorName [1] EXPLICIT */
static bool
read_head(CBS *tbs)
{
	uint64_t version;
	CBS name;
	int present;

	return CBS_get_optional_asn1_uint64(tbs, &version, CONTEXT_SEQ(0), 0) &&
	    version == 0 &&
	    CBS_get_optional_asn1(tbs, &name, &present, CONTEXT_SEQ(1));
}

bool
pki_ocsp_read(struct str der, struct pki_ocsp_request *out)
{
	CBS in = der_cbs(der), request, tbs, signature;
	int present;

	*out = (struct pki_ocsp_request){ .n = 0 };
	return der.n <= PKI_OCSP_REQUEST_MAX &&
	    CBS_get_asn1(&in, &request, CBS_ASN1_SEQUENCE) &&
	    CBS_len(&in) == 0 &&
	    CBS_get_asn1(&request, &tbs, CBS_ASN1_SEQUENCE) &&
	    CBS_get_optional_asn1(&request, &signature, &present,
		CONTEXT_SEQ(0)) &&
	    CBS_len(&request) == 0 && read_head(&tbs) &&
	    read_singles(&tbs, out) &&
	    read_exts(&tbs, CONTEXT_SEQ(2), &out->nonce) && CBS_len(&tbs) == 0;
}

/* ---- whose? */

static const struct {
	struct str oid;
	const EVP_MD *(*md)(void);
} digests[] = {
	{ { .p = "\x2b\x0e\x03\x02\x1a", .n = 5 }, EVP_sha1 },
	{ { .p = "\x60\x86\x48\x01\x65\x03\x04\x02\x01", .n = 9 }, EVP_sha256 },
	{ { .p = "\x60\x86\x48\x01\x65\x03\x04\x02\x02", .n = 9 }, EVP_sha384 },
	{ { .p = "\x60\x86\x48\x01\x65\x03\x04\x02\x03", .n = 9 }, EVP_sha512 },
};

static bool
is_digest_of(const EVP_MD *md, struct str digest, struct str text)
{
	uint8_t out[EVP_MAX_MD_SIZE];
	unsigned n;

	return EVP_Digest(text.p, text.n, out, &n, md, NULL) &&
	    str_eq(digest, str_make(out, n));
}

bool
pki_ocsp_is_issued_by(const struct pki_ocsp_single *single,
    const struct pki_ca *ca)
{
	CBS spki = der_cbs(ca->cert.spki), seq, alg;
	struct str key;

	if (!CBS_get_asn1(&spki, &seq, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&seq, &alg, CBS_ASN1_SEQUENCE) ||
	    !der_get_bits(&seq, &key))
		return false;
	for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++)
		if (str_eq(single->hash, digests[i].oid))
			return is_digest_of(digests[i].md(), single->name_hash,
				   ca->cert.subject) &&
			    is_digest_of(digests[i].md(), single->key_hash,
				key);
	return false;
}
