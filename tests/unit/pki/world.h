/* SPDX-License-Identifier: ISC */
/* What tests of certificates start from: a root, an issuing CA, a spec. */
#ifndef TESTS_PKI_WORLD_H
#define TESTS_PKI_WORLD_H

#include <openssl/err.h>
#include <openssl/evp.h>

#include "pki/pki.h"
#include "pki/pki_int.h"
#include "../rsa_key.h"
#include "der.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { DAY = 86400 };

static const int64_t now = 1767225600; /* 2026-01-01 */

struct world {
	struct arena *arena;
	struct pki_ca root, ca;
	EVP_PKEY *key; /* the leaf's */
	struct str dns[2];
	struct addr ips[2];
	struct pki_names names;
	struct pki_cert_spec spec;
	struct pki_lint_profile profile;
};

static inline void
must(const char *why)
{
	if (why != NULL)
		fail_msg("%s", why);
}

/* Is why there, and does it hold part? */
static inline void
expect(const char *why, const char *part)
{
	if (why == NULL || strstr(why, part) == NULL)
		fail_msg("\"%s\" instead of \"%s\"",
		    why != NULL ? why : "(success)", part);
}

/* A key of this kind; the RSA one is always the same. */
static inline EVP_PKEY *
test_key(struct arena *a, enum pki_key_kind kind)
{
	EVP_PKEY *key;

	if (kind != PKI_RSA)
		return pki_generate_key(kind);
	must(pki_parse_key(a, str_from(rsa_key_pem), &key));
	return key;
}

static inline void
make_cas(struct world *w)
{
	struct pki_made root, issuing;
	struct str chain[2];

	must(pki_make_root(w->arena, STR("Test root"), now, &root));
	must(pki_make_ca(w->arena, root.key, &root.der, 1, now, &w->root));
	must(pki_make_issuing(w->arena, &w->root, STR("Test issuing"), now,
	    &issuing));
	chain[0] = issuing.der;
	chain[1] = root.der;
	must(pki_make_ca(w->arena, issuing.key, chain, 2, now, &w->ca));
}

static inline void
make_spec(struct world *w)
{
	w->dns[0] = STR("*.a.example");
	w->dns[1] = STR("a.example");
	assert_true(addr_parse(STR("10.1.2.3"), &w->ips[0]));
	assert_true(addr_parse(STR("2001:db8::1"), &w->ips[1]));
	w->names = (struct pki_names){ w->dns, 2, w->ips, 2 };
	w->spec = (struct pki_cert_spec){
		.names = &w->names,
		.cn = STR_NONE,
		.spki = pki_write_spki(w->arena, w->key),
		.not_before = now - 3600,
		.not_after = now - 3600 + 90 * DAY - 1,
		.key_usage = PKI_KU_DIGITAL_SIGNATURE,
		.eku = PKI_EKU_SERVER | PKI_EKU_CLIENT,
	};
	pki_random_serial(w->spec.serial);
	w->profile = (struct pki_lint_profile){
		.issuer = &w->ca.cert,
		.names = &w->names,
		.spki = w->spec.spki,
		.serial = str_make(w->spec.serial, PKI_SERIAL_LEN),
		.max_lifetime = 90 * DAY,
		.key_usage = w->spec.key_usage,
		.eku = w->spec.eku,
	};
}

static inline int
make_world(void **state)
{
	struct arena *a = arena_create();
	struct world *w = arena_new(a, struct world);

	w->arena = a;
	w->key = pki_generate_key(PKI_P256);
	make_cas(w);
	make_spec(w);
	*state = w;
	return 0;
}

static inline int
drop_world(void **state)
{
	struct world *w = *state;

	EVP_PKEY_free(w->key);
	arena_destroy(w->arena);
	assert_int_equal(ERR_peek_error(), 0);
	return 0;
}

/* ---- certificates put together by hand */

static inline struct str
validity_of(struct arena *a, const char *from, const char *to)
{
	struct str f = str_from(from), t = str_from(to);

	return tlv_of(a, SEQ, tlv(a, f.n == 13 ? UTC : GENERALIZED, f),
	    tlv(a, t.n == 13 ? UTC : GENERALIZED, t));
}

/* A CA's extensions: critical basicConstraints, keyUsage, key id. */
static inline struct str
ca_exts(struct arena *a, const char *path_len)
{
	struct str len = STR("");

	if (path_len != NULL)
		len = tlv(a, INT, str_make(path_len, 1));
	return join(a,
	    extension(a, BYTES(OID_TEXT_BASIC), true,
		tlv_of(a, SEQ, BYTES("\x01\x01\xff"), len)),
	    extension(a, BYTES(OID_TEXT_KU), true, BYTES("\x03\x02\x01\x06")),
	    extension(a, BYTES(OID_TEXT_SKI), false, BYTES("\x04\x02\x0a\x0b")),
	    END);
}

/* A self-signed CA's parts, good for years around now. */
static inline struct parts
ca_parts(struct arena *a, const EVP_PKEY *key)
{
	struct str name = name_of(a, BYTES(OID_TEXT_CN), UTF8, STR("By hand"));

	return (struct parts){
		.version = BYTES("\xa0\x03\x02\x01\x02"),
		.serial = BYTES("\x02\x01\x01"),
		.alg = alg_of_key(key)->der,
		.issuer = name,
		.validity = validity_of(a, "200101000000Z", "400101000000Z"),
		.subject = name,
		.spki = pki_write_spki(a, key),
		.exts = ca_exts(a, NULL),
	};
}

/* Signed with the key as it signs by itself. */
static inline struct str
signed_of(struct arena *a, const struct parts *p, EVP_PKEY *key)
{
	struct str der = alg_wrap(a, key, tbs_of(a, p));

	assert_non_null(der.p);
	return der;
}

#endif
