/* SPDX-License-Identifier: ISC */
/* Writing CRLs, RFC 5280 section 5. */
#include "pki/crl.h"

#include <stdlib.h>

#include <openssl/err.h>

#include "pki/build_int.h"
#include "pki/reason.h"

#define CONTEXT_SEQ(n) (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | (n))

#define CONTEXT(n) (CBS_ASN1_CONTEXT_SPECIFIC | (n))

enum { VERSION_2 = 1, ENTRIES_ROOM = 4096, BYTE_VALUES = 256 };

struct pki_crl {
	struct arena *arena;
	CBB entries; /* the contents of revokedCertificates */
	size_t n;
	struct str point; /* empty: it is complete */
	bool spoiled;
};

static void
drop(void *arg)
{
	struct pki_crl *crl = arg;

	CBB_cleanup(&crl->entries);
}

struct pki_crl *
pki_crl_new(struct arena *a)
{
	struct pki_crl *crl = arena_new(a, struct pki_crl);

	crl->arena = a;
	if (!CBB_init(&crl->entries, ENTRIES_ROOM))
		abort();
	arena_defer(a, drop, crl);
	return crl;
}

/* ---- entries */

static bool
build_reason(CBB *entry, int64_t reason)
{
	CBB list, ext, value;
	char octet = (char)reason;

	if (reason == 0)
		return true;
	return CBB_add_asn1(entry, &list, CBS_ASN1_SEQUENCE) &&
	    build_open_ext(&list, STR(OID_REASON), false, &ext, &value) &&
	    der_add(&value, CBS_ASN1_ENUMERATED, str_make(&octet, 1)) &&
	    CBB_flush(entry);
}

static bool
build_entry(CBB *out, struct str serial, int64_t at, int64_t reason)
{
	CBB entry;

	return CBB_add_asn1(out, &entry, CBS_ASN1_SEQUENCE) &&
	    der_add(&entry, CBS_ASN1_INTEGER, serial) &&
	    build_time(&entry, at) && build_reason(&entry, reason) &&
	    CBB_flush(out);
}

bool
pki_crl_add(struct pki_crl *crl, struct str serial, int64_t revoked_at,
    int64_t reason)
{
	CBS number = der_cbs(serial);

	if (crl->spoiled || !CBS_is_unsigned_asn1_integer(&number) ||
	    pki_reason_name(reason) == NULL ||
	    !build_entry(&crl->entries, serial, revoked_at, reason)) {
		ERR_clear_error();
		crl->spoiled = true;
		return false;
	}
	crl->n++;
	return true;
}

void
pki_crl_set_point(struct pki_crl *crl, struct str url)
{
	crl->point = str_dup(crl->arena, url);
}

size_t
pki_crl_entries(const struct pki_crl *crl)
{
	return crl->n;
}

/* ---- the list */

static bool
build_number(CBB *list, int64_t number)
{
	CBB ext, value;

	return build_open_ext(list, STR(OID_CRL_NUMBER), false, &ext, &value) &&
	    CBB_add_asn1_uint64(&value, (uint64_t)number) && CBB_flush(list);
}

/* issuingDistributionPoint: section 5.2.5 */
static bool
build_point(CBB *list, struct str url)
{
	CBB ext, value, seq, point, full;

	if (url.n == 0)
		return true;
	return url.n <= PKI_URL_MAX &&
	    build_open_ext(list, STR(OID_CRL_ISSUING_POINT), true, &ext,
		&value) &&
	    CBB_add_asn1(&value, &seq, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&seq, &point, CONTEXT_SEQ(0)) &&
	    CBB_add_asn1(&point, &full, CONTEXT_SEQ(0)) &&
	    der_add(&full, CONTEXT(6), url) && CBB_flush(list);
}

static bool
build_exts(CBB *tbs, const struct pki_ca *ca, struct str point, int64_t number)
{
	CBB wrapper, list;

	return CBB_add_asn1(tbs, &wrapper, CONTEXT_SEQ(0)) &&
	    CBB_add_asn1(&wrapper, &list, CBS_ASN1_SEQUENCE) &&
	    build_aki(&list, ca->cert.ski) && build_number(&list, number) &&
	    build_point(&list, point) && CBB_flush(tbs);
}

/* revokedCertificates is absent if there are none: section 5.1.2.6. */
static bool
build_entries(CBB *tbs, const struct pki_crl *crl)
{
	return crl->n == 0 ||
	    der_add(tbs, CBS_ASN1_SEQUENCE,
		str_make(CBB_data(&crl->entries), CBB_len(&crl->entries)));
}

struct str
pki_crl_sign(struct pki_crl *crl, const struct pki_ca *ca, int64_t number,
    int64_t this_update, int64_t next_update)
{
	const struct sig_alg *alg = alg_of_key(ca->key);
	CBB cbb, tbs;

	CBB_zero(&cbb);
	if (crl->spoiled || alg == NULL || number <= 0 ||
	    this_update >= next_update ||
	    !CBB_init(&cbb, CBB_len(&crl->entries) + 1024) ||
	    !CBB_add_asn1(&cbb, &tbs, CBS_ASN1_SEQUENCE) ||
	    !CBB_add_asn1_uint64(&tbs, VERSION_2) ||
	    !build_str(&tbs, alg->der) || !build_str(&tbs, ca->cert.subject) ||
	    !build_time(&tbs, this_update) || !build_time(&tbs, next_update) ||
	    !build_entries(&tbs, crl) ||
	    !build_exts(&tbs, ca, crl->point, number) || !CBB_flush(&cbb)) {
		CBB_cleanup(&cbb);
		ERR_clear_error();
		return STR_NONE;
	}
	return alg_wrap(crl->arena, ca->key, der_take(crl->arena, &cbb));
}

bool
pki_ca_signs_crls(const struct pki_ca *ca)
{
	return !ca->cert.has_key_usage ||
	    (ca->cert.key_usage & PKI_KU_CRL_SIGN) != 0;
}

/* ---- shards */

unsigned
pki_crl_shard(struct str serial, unsigned n)
{
	return (unsigned)(uint8_t)serial.p[serial.n - 1] * n / BYTE_VALUES;
}

struct pki_crl_bounds
pki_crl_bounds(unsigned i, unsigned n)
{
	return (struct pki_crl_bounds){
		.first = (uint8_t)((i * BYTE_VALUES + n - 1) / n),
		.last = (uint8_t)(((i + 1) * BYTE_VALUES + n - 1) / n - 1),
	};
}
