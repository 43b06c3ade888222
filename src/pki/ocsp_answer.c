/* SPDX-License-Identifier: ISC */
/* Writing OCSP answers, RFC 6960 section 4.2. */
#include <openssl/err.h>
#include <openssl/sha.h>

#include "pki/build_int.h"
#include "pki/ocsp.h"
#include "pki/reason.h"

#define CONTEXT(n) (CBS_ASN1_CONTEXT_SPECIFIC | (n))
#define CONTEXT_SEQ(n) (CONTEXT(n) | CBS_ASN1_CONSTRUCTED)

/* What an answer is made of. */
struct answer {
	const struct pki_ocsp_signer *signer;
	const struct pki_ocsp_request *request;
	const struct pki_ocsp_reply *replies;
	int64_t this_update, next_update;
};

/* ---- one certificate */

static bool
build_revoked(CBB *out, const struct pki_ocsp_reply *r)
{
	CBB info, wrapper;
	char octet = (char)r->reason;

	if (pki_reason_name(r->reason) == NULL ||
	    !CBB_add_asn1(out, &info, CONTEXT_SEQ(1)) ||
	    !build_generalized_time(&info, r->revoked_at))
		return false;
	if (r->reason != 0 &&
	    (!CBB_add_asn1(&info, &wrapper, CONTEXT_SEQ(0)) ||
		!der_add(&wrapper, CBS_ASN1_ENUMERATED, str_make(&octet, 1))))
		return false;
	return CBB_flush(out);
}

static bool
build_verdict(CBB *out, const struct pki_ocsp_reply *r)
{
	switch (r->verdict) {
	case PKI_OCSP_GOOD:
		return der_add(out, CONTEXT(0), STR(""));
	case PKI_OCSP_REVOKED:
		return build_revoked(out, r);
	case PKI_OCSP_UNKNOWN:
		return der_add(out, CONTEXT(2), STR(""));
	}
	return false;
}

static bool
build_single(CBB *list, const struct answer *an, size_t i)
{
	CBB single, next;

	return CBB_add_asn1(list, &single, CBS_ASN1_SEQUENCE) &&
	    build_str(&single, an->request->singles[i].cert_id) &&
	    build_verdict(&single, &an->replies[i]) &&
	    build_generalized_time(&single, an->this_update) &&
	    CBB_add_asn1(&single, &next, CONTEXT_SEQ(0)) &&
	    build_generalized_time(&next, an->next_update) && CBB_flush(list);
}

static bool
build_singles(CBB *tbs, const struct answer *an)
{
	CBB list;

	if (!CBB_add_asn1(tbs, &list, CBS_ASN1_SEQUENCE))
		return false;
	for (size_t i = 0; i < an->request->n; i++)
		if (!build_single(&list, an, i))
			return false;
	return CBB_flush(tbs);
}

/* ---- all of it */

/* byKey, which RFC 5019 prefers for its size: SHA-1 of the key's bits. */
static bool
build_responder(CBB *tbs, const struct pki_ocsp_signer *s)
{
	CBS spki = der_cbs(s->spki), seq, alg;
	uint8_t hash[SHA_DIGEST_LENGTH];
	CBB wrapper;
	struct str key;

	if (!CBS_get_asn1(&spki, &seq, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&seq, &alg, CBS_ASN1_SEQUENCE) ||
	    !der_get_bits(&seq, &key))
		return false;
	SHA1((const uint8_t *)key.p, key.n, hash);
	return CBB_add_asn1(tbs, &wrapper, CONTEXT_SEQ(2)) &&
	    CBB_add_asn1_octet_string(&wrapper, hash, sizeof(hash)) &&
	    CBB_flush(tbs);
}

static bool
build_nonce(CBB *tbs, struct str nonce)
{
	CBB wrapper, list, ext, value;

	if (nonce.p == NULL)
		return true;
	return CBB_add_asn1(tbs, &wrapper, CONTEXT_SEQ(1)) &&
	    CBB_add_asn1(&wrapper, &list, CBS_ASN1_SEQUENCE) &&
	    build_open_ext(&list, STR(OID_OCSP_NONCE), false, &ext, &value) &&
	    der_add(&value, CBS_ASN1_OCTETSTRING, nonce) && CBB_flush(tbs);
}

/* ResponseData */
static struct str
build_data(struct arena *a, const struct answer *an)
{
	CBB cbb, tbs;

	CBB_zero(&cbb);
	if (!CBB_init(&cbb, 512) ||
	    !CBB_add_asn1(&cbb, &tbs, CBS_ASN1_SEQUENCE) ||
	    !build_responder(&tbs, an->signer) ||
	    !build_generalized_time(&tbs, an->this_update) ||
	    !build_singles(&tbs, an) ||
	    !build_nonce(&tbs, an->request->nonce) || !CBB_flush(&cbb)) {
		CBB_cleanup(&cbb);
		ERR_clear_error();
		return STR_NONE;
	}
	return der_take(a, &cbb);
}

/* BasicOCSPResponse: what is signed, and the certificate of the signer. */
static struct str
sign(struct arena *a, const struct pki_ocsp_signer *s, struct str data)
{
	struct str basic = alg_wrap(a, s->key, data), parts;
	CBB cbb, out, wrapper, list;
	CBS in = der_cbs(basic), seq;

	if (basic.p == NULL || s->cert.p == NULL)
		return basic;
	CBB_zero(&cbb);
	if (!CBS_get_asn1(&in, &seq, CBS_ASN1_SEQUENCE))
		return STR_NONE;
	parts = der_str(&seq);
	if (!CBB_init(&cbb, basic.n + s->cert.n + 32) ||
	    !CBB_add_asn1(&cbb, &out, CBS_ASN1_SEQUENCE) ||
	    !build_str(&out, parts) ||
	    !CBB_add_asn1(&out, &wrapper, CONTEXT_SEQ(0)) ||
	    !CBB_add_asn1(&wrapper, &list, CBS_ASN1_SEQUENCE) ||
	    !build_str(&list, s->cert) || !CBB_flush(&cbb)) {
		CBB_cleanup(&cbb);
		ERR_clear_error();
		return STR_NONE;
	}
	return der_take(a, &cbb);
}

/* OCSPResponse around a BasicOCSPResponse */
static struct str
wrap(struct arena *a, struct str basic)
{
	static const char successful[] = { PKI_OCSP_SUCCESSFUL };
	CBB cbb, seq, bytes, inner;

	CBB_zero(&cbb);
	if (basic.p == NULL || !CBB_init(&cbb, basic.n + 64) ||
	    !CBB_add_asn1(&cbb, &seq, CBS_ASN1_SEQUENCE) ||
	    !der_add(&seq, CBS_ASN1_ENUMERATED, str_make(successful, 1)) ||
	    !CBB_add_asn1(&seq, &bytes, CONTEXT_SEQ(0)) ||
	    !CBB_add_asn1(&bytes, &inner, CBS_ASN1_SEQUENCE) ||
	    !der_add(&inner, CBS_ASN1_OBJECT, STR(OID_OCSP_BASIC)) ||
	    !der_add(&inner, CBS_ASN1_OCTETSTRING, basic) || !CBB_flush(&cbb)) {
		CBB_cleanup(&cbb);
		ERR_clear_error();
		return STR_NONE;
	}
	return der_take(a, &cbb);
}

struct str
pki_ocsp_answer(struct arena *a, const struct pki_ocsp_signer *signer,
    const struct pki_ocsp_request *request,
    const struct pki_ocsp_reply *replies, int64_t this_update,
    int64_t next_update)
{
	struct answer an = {
		.signer = signer,
		.request = request,
		.replies = replies,
		.this_update = this_update,
		.next_update = next_update,
	};

	if (this_update >= next_update)
		return STR_NONE;
	return wrap(a, sign(a, signer, build_data(a, &an)));
}

struct str
pki_ocsp_refusal(enum pki_ocsp_status status)
{
	switch (status) {
	case PKI_OCSP_MALFORMED:
		return STR("\x30\x03\x0a\x01\x01");
	case PKI_OCSP_TRY_LATER:
		return STR("\x30\x03\x0a\x01\x03");
	case PKI_OCSP_UNAUTHORIZED:
		return STR("\x30\x03\x0a\x01\x06");
	case PKI_OCSP_SUCCESSFUL: /* has more in it */
	case PKI_OCSP_INTERNAL:
		break;
	}
	return STR("\x30\x03\x0a\x01\x02");
}
