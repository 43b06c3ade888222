/* SPDX-License-Identifier: ISC */
/*
 * What signing, verifying and reading cost, in CPU time of this process: bare
 * operations of BoringSSL first, then our own around them, then both summed
 * up for one issuance. Each is the best of three rounds. With the argument
 * "floor" only the bare sum is measured.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/digest.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/b64url.h"
#include "base/json.h"
#include "jose/jwk.h"
#include "jose/jws.h"
#include "pki/pki.h"

enum {
	ROUNDS = 3,
	ROUND_NS = 150000000, /* CPU time of a round, about */
	KINDS = PKI_ED25519 + 1,
	DAY = 86400,
};

#define MUST(what)                                                             \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,     \
			    #what);                                            \
			exit(1);                                               \
		}                                                              \
	} while (0)

/* What the operations work on. */
struct bench {
	EVP_PKEY *keys[KINDS];
	struct str by_kid[KINDS], by_jwk[KINDS]; /* JWSs */
	struct jws jws[KINDS];                   /* by_kid, taken apart */
	struct jwk jwk;
	uint8_t digest[32];
	ECDSA_SIG *sig;
	struct str csr[KINDS];
	struct pki_ca ca;
	struct pki_cert_spec spec;
	struct pki_lint_profile profile;
	struct pki_names names;
	struct str tbs, cert;
	enum pki_key_kind kind; /* of the operation under way */
};

static const enum jwk_kind jwk_kinds[KINDS] = {
	[PKI_RSA] = JWK_RSA,
	[PKI_P256] = JWK_P256,
	[PKI_P384] = JWK_P384,
	[PKI_P521] = JWK_P521,
	[PKI_ED25519] = JWK_ED25519,
};

/* ---- bare operations */

static void
bare_verify(struct arena *a, const struct bench *b)
{
	(void)a;
	MUST(ECDSA_do_verify(b->digest, sizeof(b->digest), b->sig,
	    EVP_PKEY_get0_EC_KEY(b->keys[PKI_P256])));
}

static void
bare_sign(struct arena *a, const struct bench *b)
{
	uint8_t out[128];
	unsigned n = sizeof(out);

	(void)a;
	MUST(ECDSA_sign(0, b->digest, sizeof(b->digest), out, &n,
	    EVP_PKEY_get0_EC_KEY(b->keys[PKI_P256])));
}

static void
bare_hash(struct arena *a, const struct bench *b)
{
	uint8_t out[32];

	(void)a;
	SHA256((const uint8_t *)b->by_jwk[PKI_P256].p, 640, out);
}

/* ---- ours */

static void
parse_json(struct arena *a, const struct bench *b)
{
	MUST(json_parse(a, b->by_jwk[PKI_P256], NULL) != NULL);
}

static void
decode_payload(struct arena *a, const struct bench *b)
{
	struct str out;

	MUST(b64url_decode(a, b->jws[PKI_P256].payload_raw, &out));
}

static void
parse_jws(struct arena *a, const struct bench *b)
{
	struct jws jws;

	MUST(jws_parse(a, b->by_kid[PKI_P256], JWS_REQUEST, &jws) == NULL);
}

static void
parse_jwk(struct arena *a, const struct bench *b)
{
	struct jwk jwk;

	MUST(jwk_parse_text(a, b->jwk.json, &jwk) == NULL);
}

/* A request of a known account: its key is at hand. */
static void
check_jws(struct arena *a, const struct bench *b)
{
	struct jws jws;

	MUST(jws_parse(a, b->by_kid[b->kind], JWS_REQUEST, &jws) == NULL);
	MUST(jws_verify(&jws, b->keys[b->kind], jwk_kinds[b->kind]));
}

/* A request that brings its key along. */
static void
check_jws_and_jwk(struct arena *a, const struct bench *b)
{
	struct jws jws;
	struct jwk jwk;

	MUST(jws_parse(a, b->by_jwk[b->kind], JWS_REQUEST, &jws) == NULL);
	MUST(jwk_parse(a, jws.jwk, &jwk) == NULL);
	MUST(jws_verify(&jws, jwk.key, jwk.kind));
}

static void
check_csr(struct arena *a, const struct bench *b)
{
	struct pki_csr csr;

	MUST(pki_parse_csr(a, b->csr[b->kind], &csr) == NULL);
}

static void
read_csr(struct arena *a, const struct bench *b)
{
	struct pki_csr csr;

	MUST(pki_read_csr(a, b->csr[PKI_P256], &csr) == NULL);
}

static void
build(struct arena *a, const struct bench *b)
{
	MUST(pki_build_tbs(a, &b->ca, &b->spec).p != NULL);
}

static void
lint(struct arena *a, const struct bench *b)
{
	MUST(pki_lint_tbs(a, b->tbs, &b->profile) == NULL);
}

static void
sign(struct arena *a, const struct bench *b)
{
	MUST(pki_sign_tbs(a, &b->ca, b->tbs).p != NULL);
}

static void
parse_cert(struct arena *a, const struct bench *b)
{
	struct pki_cert c;

	MUST(pki_parse_cert(a, b->cert, &c) == NULL);
}

static void
write_pem(struct arena *a, const struct bench *b)
{
	MUST(pki_write_pem(a, "CERTIFICATE", b->cert).n > 0);
}

/* ---- measuring */

static double
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double
round_of(const struct bench *b,
    void (*op)(struct arena *, const struct bench *), long n)
{
	double start = cpu_ns();

	for (long i = 0; i < n; i++) {
		struct arena *a = arena_create();

		op(a, b);
		arena_destroy(a);
	}
	return (cpu_ns() - start) / (double)n;
}

/* Nanoseconds of one operation, an arena for it included; printed. */
static double
measure(struct bench *b, const char *name, enum pki_key_kind kind,
    void (*op)(struct arena *, const struct bench *))
{
	double best, again;
	long n;

	b->kind = kind;
	best = round_of(b, op, 20);
	n = (long)(ROUND_NS / best) + 1;
	for (int i = 0; i < ROUNDS; i++) {
		again = round_of(b, op, n);
		best = i == 0 || again < best ? again : best;
	}
	printf("%-46s %10.0f ns\n", name, best);
	fflush(stdout);
	return best;
}

/* ---- preparing */

static struct str
write_header(struct arena *a, const char *alg, struct str jwk)
{
	struct json_writer *w = json_writer_new(a, JWS_PROTECTED_MAX);

	json_open_object(w, NULL);
	json_str(w, "alg", str_from(alg));
	if (jwk.p != NULL)
		json_raw(w, "jwk", jwk);
	else
		json_str(w, "kid",
		    STR("https://ca.example/acme/profile/default/acct/"
			"AAAAAAAAAAAAAAAAAAAAAA"));
	json_str(w, "nonce", STR("0123456789abcdefghijklmnopqrstuvwxyzABCD"));
	json_str(w, "url",
	    STR("https://ca.example/acme/profile/default/new-order"));
	json_close(w);
	return json_text(w);
}

static void
make_requests(struct arena *a, struct bench *b, enum pki_key_kind kind)
{
	struct str payload = STR("{\"identifiers\":[{\"type\":\"dns\",\"value\""
				 ":\"host-1234.service.example\"}]}");
	enum jws_alg alg = jws_alg_of(jwk_kinds[kind]);
	const char *name = jws_alg_name(alg);
	struct jwk jwk;

	MUST(jwk_from_key(a, b->keys[kind], &jwk));
	b->by_kid[kind] = jws_sign(a, write_header(a, name, STR_NONE), payload,
	    b->keys[kind], alg);
	b->by_jwk[kind] = jws_sign(a, write_header(a, name, jwk.json), payload,
	    b->keys[kind], alg);
	MUST(jws_parse(a, b->by_kid[kind], JWS_REQUEST, &b->jws[kind]) == NULL);
	b->csr[kind] = pki_write_csr(a, b->keys[kind], &b->names, STR_NONE);
	if (kind == PKI_P256)
		b->jwk = jwk;
}

static void
make_ca(struct arena *a, struct bench *b, int64_t now)
{
	struct pki_made root, issuing;
	struct str chain[2];
	struct pki_ca top;

	MUST(pki_make_root(a, STR("Root"), now, &root) == NULL);
	MUST(pki_make_ca(a, root.key, &root.der, 1, now, &top) == NULL);
	MUST(pki_make_issuing(a, &top, STR("Issuing"), now, &issuing) == NULL);
	chain[0] = issuing.der;
	chain[1] = root.der;
	MUST(pki_make_ca(a, issuing.key, chain, 2, now, &b->ca) == NULL);
}

static void
make_certificate(struct arena *a, struct bench *b, int64_t now)
{
	make_ca(a, b, now);
	b->spec = (struct pki_cert_spec){
		.names = &b->names,
		.cn = b->names.dns[0],
		.spki = pki_write_spki(a, b->keys[PKI_P256]),
		.not_before = now - 3600,
		.not_after = now - 3600 + 90 * DAY - 1,
		.key_usage = PKI_KU_DIGITAL_SIGNATURE,
		.eku = PKI_EKU_SERVER,
		.ca_issuers_url = STR("http://ca.example/ca.der"),
	};
	pki_random_serial(b->spec.serial);
	b->profile = (struct pki_lint_profile){
		.issuer = &b->ca.cert,
		.names = &b->names,
		.spki = b->spec.spki,
		.serial = str_make(b->spec.serial, PKI_SERIAL_LEN),
		.max_lifetime = 90 * DAY,
		.key_usage = b->spec.key_usage,
		.eku = b->spec.eku,
	};
	b->tbs = pki_build_tbs(a, &b->ca, &b->spec);
	b->cert = pki_sign_tbs(a, &b->ca, b->tbs);
}

static void
prepare(struct arena *a, struct bench *b)
{
	b->names.dns = arena_new(a, struct str);
	b->names.dns[0] = STR("host-1234.service.example");
	b->names.ndns = 1;
	for (unsigned i = 0; i < KINDS; i++) {
		b->keys[i] = pki_generate_key((enum pki_key_kind)i);
		make_requests(a, b, (enum pki_key_kind)i);
	}
	make_certificate(a, b, (int64_t)time(NULL));
	SHA256((const uint8_t *)"x", 1, b->digest);
	b->sig = ECDSA_do_sign(b->digest, sizeof(b->digest),
	    EVP_PKEY_get0_EC_KEY(b->keys[PKI_P256]));
	MUST(b->sig != NULL);
}

/* ---- the table */

static void
measure_kinds(struct bench *b)
{
	char name[64];

	for (unsigned i = 0; i < KINDS; i++) {
		if (i == PKI_P256)
			continue;
		snprintf(name, sizeof(name), "JWS parse and verify, %s",
		    jws_alg_name(jws_alg_of(jwk_kinds[i])));
		measure(b, name, (enum pki_key_kind)i, check_jws);
		snprintf(name, sizeof(name), "CSR parse and verify, %s",
		    pki_key_kind_name((enum pki_key_kind)i));
		measure(b, name, (enum pki_key_kind)i, check_csr);
	}
}

/* What we do around the bare operations, and all kinds of keys. */
static void
measure_ours(struct bench *b, double floor)
{
	double jws, csr, made, ours;

	measure(b, "bare SHA-256 of 640 bytes", PKI_P256, bare_hash);
	measure(b, "JSON parse of a JWS", PKI_P256, parse_json);
	measure(b, "base64url decode of its payload", PKI_P256, decode_payload);
	measure(b, "JWS parse, kid", PKI_P256, parse_jws);
	measure(b, "JWK parse, P-256", PKI_P256, parse_jwk);
	jws = measure(b, "JWS parse and verify, ES256, kid", PKI_P256,
	    check_jws);
	measure(b, "JWS parse and verify, ES256, jwk", PKI_P256,
	    check_jws_and_jwk);
	measure(b, "CSR parse, P-256", PKI_P256, read_csr);
	csr = measure(b, "CSR parse and verify, P-256", PKI_P256, check_csr);
	made = measure(b, "certificate build", PKI_P256, build);
	made += measure(b, "certificate lint", PKI_P256, lint);
	made += measure(b, "certificate sign, P-256", PKI_P256, sign);
	measure(b, "certificate parse", PKI_P256, parse_cert);
	measure(b, "certificate to PEM", PKI_P256, write_pem);
	measure_kinds(b);
	ours = 3 * jws + csr + made;
	printf("the floor through jose and pki: %.1f us, ratio %.3f\n",
	    ours / 1000, ours / floor);
}

int
main(int argc, char **argv)
{
	bool only_floor = argc == 2 && strcmp(argv[1], "floor") == 0;
	struct arena *a = arena_create();
	struct bench *b = arena_new(a, struct bench);
	double verify, bare, floor;

	prepare(a, b);
	verify = measure(b, "bare ES256 verify", PKI_P256, bare_verify);
	bare = measure(b, "bare P-256 sign", PKI_P256, bare_sign);
	floor = 4 * verify + bare;
	printf("floor of an issuance, bare crypto: %.1f us (three request "
	       "verifies, CSR verify, sign)\n",
	    floor / 1000);
	if (!only_floor)
		measure_ours(b, floor);
	for (unsigned i = 0; i < KINDS; i++)
		EVP_PKEY_free(b->keys[i]);
	ECDSA_SIG_free(b->sig);
	arena_destroy(a);
	return 0;
}
