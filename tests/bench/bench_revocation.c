/* SPDX-License-Identifier: ISC */
/*
 * What it costs to say what is revoked, in CPU time of this process: a CRL of
 * 100,000 entries (its time, bytes and memory, and the longest time that it
 * keeps the loop), and an OCSP answer, signed anew and from the cache; HTTP is
 * not counted, bench_http has that.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bytestring.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/sha.h>

#include "base/hex.h"
#include "base/when.h"
#include "pki/crl.h"
#include "pki/ocsp.h"
#include "pki/pki.h"
#include "responder/responder_int.h"

enum {
	ENTRIES = 100000,
	PAGE = 2000, /* as jobs/crl.c reads them */
	ROUND_NS = 500000000,
	CERTIFICATES = 1000,
};

#define MUST(what)                                                             \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,     \
			    #what);                                            \
			exit(1);                                               \
		}                                                              \
	} while (0)

static int64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static size_t
memory(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* An issuing CA: a P-256 key, as what signs by default. */
static void
make_issuing(struct arena *a, struct pki_ca *ca, int64_t now)
{
	struct pki_made issuing, root;
	struct pki_ca top;
	struct str chain[2];

	MUST(pki_make_root(a, STR("Root"), now, &root) == NULL);
	MUST(pki_make_ca(a, root.key, &root.der, 1, now, &top) == NULL);
	MUST(pki_make_issuing(a, &top, STR("Issuing"), now, &issuing) == NULL);
	chain[0] = issuing.der;
	chain[1] = root.der;
	MUST(pki_make_ca(a, issuing.key, chain, 2, now, ca) == NULL);
}

/* ---- the CRL */

static void
measure_crl(const struct pki_ca *ca, int64_t now)
{
	struct arena *a = arena_create();
	size_t before = memory();
	int64_t began = cpu_ns(), longest = 0, page = began, end;
	struct pki_crl *crl = pki_crl_new(a);
	struct str der;

	for (int i = 0; i < ENTRIES; i++) {
		uint8_t serial[PKI_SERIAL_LEN];

		pki_random_serial(serial);
		MUST(pki_crl_add(crl, str_make(serial, sizeof(serial)),
		    now - i % 86400, 4));
		if ((i + 1) % PAGE == 0) {
			end = cpu_ns();
			longest = end - page > longest ? end - page : longest;
			page = end;
		}
	}
	der = pki_crl_sign(crl, ca, 1, now, now + 86400);
	MUST(der.p != NULL);
	end = cpu_ns();
	printf("CRL of %d entries: %.1f ms, %zu bytes, %.1f MB of memory\n"
	       "its longest page of %d: %.2f ms; the signature: %.2f ms\n",
	    ENTRIES, (double)(end - began) / 1e6, der.n,
	    (double)(memory() - before) / 1e6, PAGE, (double)longest / 1e6,
	    (double)(end - page) / 1e6);
	arena_destroy(a);
}

/* ---- OCSP */

/* OCSPRequest for one certificate, by SHA-1 as clients do. */
static struct str
write_request(struct arena *a, const struct pki_ca *ca, struct str serial)
{
	static const char sha1[] = "\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
	uint8_t name[SHA_DIGEST_LENGTH], key[SHA_DIGEST_LENGTH], *der;
	CBS spki, seq, alg, bits;
	CBB cbb, rq, tbs, list, one, id, oid, number;
	struct str out;
	size_t n;

	CBS_init(&spki, (const uint8_t *)ca->cert.spki.p, ca->cert.spki.n);
	MUST(CBS_get_asn1(&spki, &seq, CBS_ASN1_SEQUENCE) &&
	    CBS_get_asn1(&seq, &alg, CBS_ASN1_SEQUENCE) &&
	    CBS_get_asn1(&seq, &bits, CBS_ASN1_BITSTRING) &&
	    CBS_skip(&bits, 1));
	SHA1((const uint8_t *)ca->cert.subject.p, ca->cert.subject.n, name);
	SHA1(CBS_data(&bits), CBS_len(&bits), key);
	MUST(CBB_init(&cbb, 128) &&
	    CBB_add_asn1(&cbb, &rq, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&rq, &tbs, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&tbs, &list, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&list, &one, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&one, &id, CBS_ASN1_SEQUENCE) &&
	    CBB_add_asn1(&id, &oid, CBS_ASN1_SEQUENCE) &&
	    CBB_add_bytes(&oid, (const uint8_t *)sha1, sizeof(sha1) - 1) &&
	    CBB_add_asn1_octet_string(&id, name, sizeof(name)) &&
	    CBB_add_asn1_octet_string(&id, key, sizeof(key)) &&
	    CBB_add_asn1(&id, &number, CBS_ASN1_INTEGER) &&
	    CBB_add_bytes(&number, (const uint8_t *)serial.p, serial.n) &&
	    CBB_finish(&cbb, &der, &n));
	out = str_dup(a, str_make(der, n));
	OPENSSL_free(der);
	return out;
}

struct ocsp_bench {
	struct pki_ca *ca;
	struct pki_ocsp_signer signer; /* a responder, as by default */
	struct str requests[CERTIFICATES];
	struct ocsp_cache *cache;
	int64_t now;
};

static void
make_signer(struct ocsp_bench *b, struct arena *a)
{
	struct pki_responder_spec spec = { .cn = STR("Responder"),
		.not_before = b->now,
		.not_after = b->now + 86400 };

	b->signer.key = pki_generate_key(PKI_P256);
	b->signer.spki = spec.spki = pki_write_spki(a, b->signer.key);
	pki_random_serial(spec.serial);
	MUST(pki_make_responder(a, b->ca, &spec, &b->signer.cert) == NULL);
}

/* An answer as the responder makes it, without HTTP and the store. */
static void
answer(struct ocsp_bench *b, size_t i, bool from_cache)
{
	struct arena *a = arena_create();
	struct pki_ocsp_reply good = { .verdict = PKI_OCSP_GOOD };
	struct pki_ocsp_request rq;
	struct ocsp_answer an;
	struct str serial;

	MUST(pki_ocsp_read(b->requests[i], &rq) && rq.n == 1);
	MUST(pki_ocsp_is_issued_by(&rq.singles[0], b->ca));
	serial = pki_serial_text(a, rq.singles[0].serial);
	if (from_cache) {
		MUST(ocsp_cache_find(b->cache, 0, serial, rq.singles[0].cert_id,
		    &an));
	} else {
		an = (struct ocsp_answer){ .verdict = "good",
			.this_update = b->now * WHEN_SECOND,
			.next_update = (b->now + 3600) * WHEN_SECOND,
			.der = pki_ocsp_answer(a, &b->signer, &rq, &good,
			    b->now, b->now + 3600) };
		MUST(an.der.p != NULL);
		ocsp_cache_add(b->cache, 0, serial, rq.singles[0].cert_id,
		    ocsp_cache_era(b->cache), &an);
	}
	MUST(str_dup(a, an.der).n > 100);
	arena_destroy(a);
}

static void
measure_ocsp(struct ocsp_bench *b, const char *name, bool from_cache)
{
	int64_t began = cpu_ns(), end = began;
	size_t n = 0;

	while (n < CERTIFICATES || (end = cpu_ns()) - began < ROUND_NS)
		answer(b, n++ % CERTIFICATES, from_cache);
	printf("OCSP answer %s: %.2f us, %.0f/s on one core\n", name,
	    (double)(end - began) / 1e3 / (double)n,
	    (double)n * 1e9 / (double)(end - began));
}

int
main(void)
{
	struct arena *a = arena_create();
	struct ocsp_bench *b = arena_new(a, struct ocsp_bench);
	struct pki_ca ca;

	b->now = (int64_t)time(NULL);
	make_issuing(a, &ca, b->now);
	measure_crl(&ca, b->now);
	b->ca = &ca;
	make_signer(b, a);
	b->cache = ocsp_cache_new();
	for (size_t i = 0; i < CERTIFICATES; i++) {
		uint8_t serial[PKI_SERIAL_LEN];

		pki_random_serial(serial);
		b->requests[i] = write_request(a, &ca,
		    str_make(serial, sizeof(serial)));
	}
	measure_ocsp(b, "signed anew", false);
	measure_ocsp(b, "from the cache", true);
	ocsp_cache_free(b->cache);
	EVP_PKEY_free(b->signer.key);
	arena_destroy(a);
	return 0;
}
