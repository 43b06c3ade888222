/* SPDX-License-Identifier: ISC */
/* CAs: made by us, loaded from files, and those that will not do. */
#include "../unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/cipher.h>
#include <openssl/pkcs8.h>

#include "world.h"

/* ---- what we make */

/* Under a passphrase as openssl pkcs8 -topk8 does it. */
static struct str
locked_pem(struct arena *a, EVP_PKEY *key, const char *passphrase)
{
	CBB cbb;

	assert_true(CBB_init(&cbb, 256) &&
	    PKCS8_marshal_encrypted_private_key(&cbb, -1, EVP_aes_256_cbc(),
		passphrase, strlen(passphrase), NULL, 16, 1000, key));
	return pki_write_pem(a, "ENCRYPTED PRIVATE KEY", der_take(a, &cbb));
}

/* Another file that only its owner can read. */
static const char *
save_secret(struct arena *a, const char *folder, const char *name,
    struct str text)
{
	const char *path = str_printf(a, "%s/%s", folder, name).p;

	must(pki_save_text(a, path, text, PKI_SAVE_REPLACE));
	assert_int_equal(chmod(path, 0600), 0);
	return path;
}

static void
an_encrypted_key_needs_its_passphrase(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	char folder[] = "/tmp/certloop-ca-XXXXXX";
	struct pki_ca_files f = { 0 };
	struct pki_ca ca;

	assert_non_null(mkdtemp(folder));
	f.cert = save_secret(a, folder, "cert", w->ca.full_pem);
	f.key = save_secret(a, folder, "key",
	    locked_pem(a, w->ca.key, "open sesame"));
	expect(pki_load_ca_files(a, &f, now, &ca), "no passphrase is given");
	f.passphrase = save_secret(a, folder, "pass", STR("open sesame"));
	must(pki_load_ca_files(a, &f, now, &ca));
	assert_memory_equal(ca.spki_hash, w->ca.spki_hash, 32);
	(void)save_secret(a, folder, "pass", STR("open sesame\n"));
	must(pki_load_ca_files(a, &f, now, &ca));
	(void)save_secret(a, folder, "pass", STR("open sesame\n\n"));
	expect(pki_load_ca_files(a, &f, now, &ca), "does not open");
	(void)save_secret(a, folder, "pass", STR("open"));
	expect(pki_load_ca_files(a, &f, now, &ca), "does not open");
	(void)save_secret(a, folder, "pass", STR("\n"));
	expect(pki_load_ca_files(a, &f, now, &ca), "holds no passphrase");
	assert_int_equal(chmod(f.passphrase, 0640), 0);
	expect(pki_load_ca_files(a, &f, now, &ca), "has mode 0640");
	unlink(f.passphrase);
	expect(pki_load_ca_files(a, &f, now, &ca), "No such file");
	/* a key that is not encrypted does not mind */
	f.passphrase = save_secret(a, folder, "pass", STR("x"));
	unlink(f.key);
	must(pki_save_key(a, f.key, w->ca.key, PKI_SAVE_NEW));
	must(pki_load_ca_files(a, &f, now, &ca));
	unlink(f.passphrase);
	unlink(f.key);
	unlink(f.cert);
	assert_int_equal(rmdir(folder), 0);
}

static void
the_cas_we_make_are_what_they_should_be(void **state)
{
	struct world *w = *state;
	const struct pki_cert *root = &w->root.cert, *ca = &w->ca.cert;

	assert_str(root->cn, "Test root");
	assert_int_equal(root->kind, PKI_P384);
	assert_true(root->ca && root->has_basic);
	assert_int_equal(root->path_len, -1);
	assert_int_equal(root->key_usage, PKI_KU_CERT_SIGN | PKI_KU_CRL_SIGN);
	assert_int_equal(root->not_before, now - DAY);
	assert_int_equal(root->not_after, now + 20LL * 365 * DAY);
	assert_true(pki_cert_is_signed_by(root, root));

	assert_str(ca->cn, "Test issuing");
	assert_int_equal(ca->kind, PKI_P256);
	assert_true(ca->ca && ca->has_basic);
	assert_int_equal(ca->path_len, 0);
	assert_int_equal(ca->key_usage,
	    PKI_KU_DIGITAL_SIGNATURE | PKI_KU_CERT_SIGN | PKI_KU_CRL_SIGN);
	assert_int_equal(ca->not_after, now + 5LL * 365 * DAY);
	assert_true(str_eq(ca->aki, root->ski));
	assert_true(pki_cert_is_signed_by(ca, root));
	assert_false(pki_cert_is_signed_by(root, ca));
}

static void
the_chain_for_clients_ends_below_the_root(void **state)
{
	struct world *w = *state;
	struct str *ders;
	size_t n;

	must(pki_parse_pem(w->arena, w->ca.chain_pem, &ders, &n));
	assert_int_equal(n, 1);
	assert_true(str_eq(ders[0], w->ca.cert.der));
	must(pki_parse_pem(w->arena, w->ca.full_pem, &ders, &n));
	assert_int_equal(n, 2);
	assert_true(str_eq(ders[1], w->root.cert.der));
	/* unless the root issues by itself */
	must(pki_parse_pem(w->arena, w->root.chain_pem, &ders, &n));
	assert_int_equal(n, 1);
	assert_true(str_eq(ders[0], w->root.cert.der));
}

static void
an_issuing_ca_does_not_outlive_its_root(void **state)
{
	struct world *w = *state;
	struct pki_made made;
	struct pki_cert c;
	int64_t late = w->root.cert.not_after - 10 * DAY;

	must(pki_make_issuing(w->arena, &w->root, STR("Late"), late, &made));
	must(pki_parse_cert(w->arena, made.der, &c));
	assert_int_equal(c.not_after, w->root.cert.not_after);
	must(pki_make_issuing(w->arena, &w->root, STR("Early"), now - DAY,
	    &made));
	must(pki_parse_cert(w->arena, made.der, &c));
	assert_int_equal(c.not_before, w->root.cert.not_before);
}

static void
cas_with_impossible_names_or_dates_are_not_made(void **state)
{
	struct world *w = *state;
	char *x = arena_alloc(w->arena, 130);
	struct pki_made made;

	memset(x, 'x', 65);
	expect(pki_make_root(w->arena, STR(""), now, &made), "1 to 64");
	expect(pki_make_root(w->arena, str_make(x, 65), now, &made), "1 to 64");
	expect(pki_make_root(w->arena, BYTES("\xff"), now, &made), "1 to 64");
	expect(pki_make_issuing(w->arena, &w->root, STR(""), now, &made),
	    "1 to 64");
	expect(pki_make_root(w->arena, STR("x"), 0, &made), "clock");
	expect(pki_make_issuing(w->arena, &w->ca, STR("x"), now, &made),
	    "path length");
	/* 64 characters may be more bytes */
	for (size_t i = 0; i < 128; i += 2)
		memcpy(x + i, "\xc3\xa4", 2);
	must(pki_make_root(w->arena, str_make(x, 128), now, &made));
}

/* ---- chains that will not do */

struct hand {
	EVP_PKEY *key;
	struct parts parts;
};

static const char *
load(struct world *w, const struct hand *h)
{
	struct str der = signed_of(w->arena, &h->parts, h->key);
	struct pki_ca ca;

	return pki_make_ca(w->arena, h->key, &der, 1, now, &ca);
}

#define BREAK(why, ...)                                                        \
	do {                                                                   \
		struct hand h = { w->key, ca_parts(w->arena, w->key) };        \
		__VA_ARGS__;                                                   \
		expect(load(w, &h), why);                                      \
	} while (0)

static void
certificates_that_cannot_issue_say_why(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct hand good = { w->key, ca_parts(a, w->key) };
	struct str ku = extension(a, BYTES(OID_TEXT_KU), true,
	    BYTES("\x03\x02\x07\x80"));
	struct str basic = extension(a, BYTES(OID_TEXT_BASIC), true,
	    BYTES("\x30\x03\x01\x01\xff"));
	struct str ski = extension(a, BYTES(OID_TEXT_SKI), false,
	    BYTES("\x04\x01\x01"));

	must(load(w, &good));
	BREAK("is not a CA certificate", h.parts.exts = join(a, ku, ski, END));
	BREAK("is not a CA certificate",
	    h.parts.exts = join(a, ski,
		extension(a, BYTES(OID_TEXT_BASIC), true, BYTES("\x30\x00")),
		END));
	BREAK("lacks keyCertSign", h.parts.exts = join(a, basic, ku, ski, END));
	BREAK("no subjectKeyIdentifier", h.parts.exts = basic);
	BREAK("is not valid before 2026-01-01T00:00:01Z",
	    h.parts.validity = validity_of(a, "260101000001Z",
		"300101000000Z"));
	BREAK("expired at 2025-12-31T23:59:59Z",
	    h.parts.validity = validity_of(a, "200101000000Z",
		"251231235959Z"));
	BREAK("does not belong to the key",
	    h.parts.spki = pki_write_spki(a, w->ca.key));
	BREAK("a key that is neither RSA",
	    h.parts.spki = BYTES("\x30\x0c\x30\x05\x06\x03\x2b\x65\x6e\x03"
				 "\x03\x00\x01\x02"));
	BREAK("serial number cannot be read",
	    h.parts.serial = BYTES("\x02\x01\xff"));
	BREAK("signature algorithm cannot be read",
	    h.parts.alg = BYTES(ALG_ES1));
	/* keyUsage may be missing altogether */
	good.parts.exts = join(a, basic, ski, END);
	must(load(w, &good));
}

static void
a_ca_signed_with_sha1_is_refused(void **state)
{
	struct world *w = *state;
	struct parts p = ca_parts(w->arena, w->key);
	struct pki_ca ca;
	struct str der;

	p.alg = BYTES(ALG_ES1);
	der = tlv_of(w->arena, SEQ, tbs_of(w->arena, &p), p.alg,
	    BYTES("\x03\x01\x00"));
	expect(pki_make_ca(w->arena, w->key, &der, 1, now, &ca),
	    "signed with an algorithm that is not accepted");
}

static void
chains_must_hold_together(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct parts p = ca_parts(a, w->ca.key), q = ca_parts(a, w->key);
	struct str chain[PKI_CHAIN_MAX + 1];
	struct pki_ca ca;

	/* the issuing CA alone: nothing to hold it against */
	chain[0] = w->ca.cert.der;
	must(pki_make_ca(a, w->ca.key, chain, 1, now, &ca));
	assert_true(str_eq(ca.chain_pem, ca.full_pem));
	expect(pki_make_ca(a, w->ca.key, chain, 0, now, &ca), "1 to 8");
	expect(pki_make_ca(a, w->ca.key, chain, PKI_CHAIN_MAX + 1, now, &ca),
	    "1 to 8");
	/* followed by itself, or by a stranger */
	chain[1] = w->ca.cert.der;
	expect(pki_make_ca(a, w->ca.key, chain, 2, now, &ca),
	    "certificate 2 of the chain, \"Test issuing\", has a path length");
	chain[1] = signed_of(a, &q, w->key);
	expect(pki_make_ca(a, w->ca.key, chain, 2, now, &ca),
	    "not signed by the certificate that follows");
	/* the right name, but not the right key */
	q.subject = q.issuer = w->root.cert.subject;
	chain[1] = signed_of(a, &q, w->key);
	expect(pki_make_ca(a, w->ca.key, chain, 2, now, &ca),
	    "not signed by the certificate that follows");
	/* the right key under another name */
	chain[0] = signed_of(a, &p, w->key);
	q = ca_parts(a, w->key);
	q.subject = q.issuer = name_of(a, BYTES(OID_TEXT_CN), UTF8, STR("Q"));
	chain[1] = signed_of(a, &q, w->key);
	expect(pki_make_ca(a, w->ca.key, chain, 2, now, &ca),
	    "not signed by the certificate that follows");
	/* a root that another key signed */
	p.spki = pki_write_spki(a, w->ca.key);
	chain[0] = signed_of(a, &p, w->key);
	expect(pki_make_ca(a, w->ca.key, chain, 1, now, &ca),
	    "root whose own signature is wrong");
}

static void
path_lengths_count_the_cas_below(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct parts low = ca_parts(a, w->key), top = ca_parts(a, w->ca.key);
	struct str chain[2];
	struct pki_ca ca;

	low.alg = top.alg;
	low.subject = name_of(a, BYTES(OID_TEXT_CN), UTF8, STR("Low"));
	chain[0] = signed_of(a, &low, w->ca.key);
	top.exts = ca_exts(a, "\x01");
	chain[1] = signed_of(a, &top, w->ca.key);
	must(pki_make_ca(a, w->key, chain, 2, now, &ca));
	top.exts = ca_exts(a, "\x00");
	chain[1] = signed_of(a, &top, w->ca.key);
	expect(pki_make_ca(a, w->key, chain, 2, now, &ca),
	    "path length that does not allow");
}

/* ---- files */

static const char *
load_files(struct arena *a, const char *cert, const char *key,
    const char *chain, int64_t at, struct pki_ca *ca)
{
	const struct pki_ca_files f = { .cert = cert,
		.key = key,
		.chain = chain };

	return pki_load_ca_files(a, &f, at, ca);
}

static void
a_ca_comes_back_from_its_files(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	char folder[] = "/tmp/pki-ca-XXXXXX";
	const char *cert, *key, *chain, *both;
	struct pki_ca ca;

	assert_non_null(mkdtemp(folder));
	cert = str_printf(a, "%s/ca.pem", folder).p;
	key = str_printf(a, "%s/ca.key", folder).p;
	chain = str_printf(a, "%s/chain.pem", folder).p;
	both = str_printf(a, "%s/both.pem", folder).p;
	must(pki_save_key(a, key, w->ca.key, PKI_SAVE_NEW));
	must(pki_save_text(a, cert, w->ca.chain_pem, PKI_SAVE_NEW));
	must(pki_save_text(a, chain, w->root.chain_pem, PKI_SAVE_NEW));
	must(pki_save_text(a, both, w->ca.full_pem, PKI_SAVE_NEW));

	must(load_files(a, cert, key, chain, now, &ca));
	assert_int_equal(ca.nchain, 2);
	assert_true(str_eq(ca.full_pem, w->ca.full_pem));
	assert_memory_equal(ca.spki_hash, w->ca.spki_hash, 32);
	must(load_files(a, both, key, NULL, now, &ca));
	assert_int_equal(ca.nchain, 2);
	assert_true(str_eq(ca.chain_pem, w->ca.chain_pem));
	must(load_files(a, cert, key, NULL, now, &ca));
	assert_int_equal(ca.nchain, 1);

	expect(load_files(a, chain, key, NULL, now, &ca),
	    str_printf(a,
		"%s with %s: the issuing certificate \"Test root\" "
		"does not belong to the key",
		chain, key)
		.p);
	expect(load_files(a, key, key, NULL, now, &ca),
	    "holds a PEM block \"PRIVATE KEY\"");
	expect(load_files(a, cert, cert, NULL, now, &ca), "has mode 0644");
	expect(load_files(a, folder, key, NULL, now, &ca), "regular file");
	expect(load_files(a, cert, key, folder, now, &ca), "regular file");
	expect(load_files(a, "/nonexistent", key, NULL, now, &ca),
	    "cannot open /nonexistent: No such file");
	assert_int_equal(chmod(key, 0640), 0);
	expect(load_files(a, cert, key, NULL, now, &ca), "has mode 0640");
	unlink(cert);
	unlink(key);
	unlink(chain);
	unlink(both);
	assert_int_equal(rmdir(folder), 0);
}

static void
files_together_hold_8_certificates_at_most(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	char folder[] = "/tmp/pki-ca-XXXXXX";
	const char *one, *many;
	struct str text = STR("");
	struct pki_ca ca;

	assert_non_null(mkdtemp(folder));
	one = str_printf(a, "%s/one.pem", folder).p;
	many = str_printf(a, "%s/many.pem", folder).p;
	for (int i = 0; i < PKI_CHAIN_MAX; i++)
		text = join(a, text, w->root.chain_pem, END);
	must(pki_save_text(a, one, w->root.chain_pem, PKI_SAVE_NEW));
	must(pki_save_text(a, many, text, PKI_SAVE_NEW));
	expect(load_files(a, one, one, many, now, &ca),
	    "longer than 8 certificates");
	unlink(one);
	unlink(many);
	assert_int_equal(rmdir(folder), 0);
}

static void
a_ca_is_tried_without_a_certificate(void **state)
{
	static const enum pki_key_kind kinds[] = { PKI_RSA, PKI_P256, PKI_P384,
		PKI_P521, PKI_ED25519 };
	struct world *w = *state;

	must(pki_try_ca(w->arena, &w->ca, now));
	must(pki_try_ca(w->arena, &w->root, now));
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct pki_ca ca = w->ca; /* its certificate, another key */

		ca.key = test_key(w->arena, kinds[i]);
		expect(pki_try_ca(w->arena, &ca, now), "does not verify");
		ca.cert.key = ca.key;
		must(pki_try_ca(w->arena, &ca, now));
		EVP_PKEY_free(ca.key);
	}
	expect(pki_try_ca(w->arena, &w->ca, w->ca.cert.not_after + 1),
	    "out of date");
	expect(pki_try_ca(w->arena, &w->ca, w->ca.cert.not_before - 1),
	    "out of date");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_world, drop_world)
	const struct CMUnitTest tests[] = {
		T(the_cas_we_make_are_what_they_should_be),
		T(an_encrypted_key_needs_its_passphrase),
		T(the_chain_for_clients_ends_below_the_root),
		T(an_issuing_ca_does_not_outlive_its_root),
		T(cas_with_impossible_names_or_dates_are_not_made),
		T(certificates_that_cannot_issue_say_why),
		T(a_ca_signed_with_sha1_is_refused),
		T(chains_must_hold_together),
		T(path_lengths_count_the_cas_below),
		T(a_ca_comes_back_from_its_files),
		T(files_together_hold_8_certificates_at_most),
		T(a_ca_is_tried_without_a_certificate),
	};

	return cmocka_run_group_tests_name("ca", tests, NULL, NULL);
}
