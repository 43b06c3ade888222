/* SPDX-License-Identifier: ISC */
/* Loading a CA: its key and chain, and whether they will do. */
#include "pki/ca.h"

#include <openssl/evp.h>

#include "base/id.h"
#include "base/when.h"
#include "pki/pki_int.h"

/* A CA on its way in. */
struct loader {
	struct arena *arena;
	struct pki_ca *out;
	struct pki_cert certs[PKI_CHAIN_MAX]; /* the issuing one first */
	int64_t now;
};

/* "the issuing certificate" or "certificate 2 of the chain (CN)" */
static const char *
title(const struct loader *l, size_t i)
{
	const struct pki_cert *c = &l->certs[i];

	if (i == 0)
		return str_printf(l->arena,
		    "the issuing certificate \"" STR_FMT "\"",
		    STR_ARG(str_show(l->arena, c->cn, 64)))
		    .p;
	return str_printf(l->arena,
	    "certificate %zu of the chain, \"" STR_FMT "\",", i + 1,
	    STR_ARG(str_show(l->arena, c->cn, 64)))
	    .p;
}

static const char *
fail(const struct loader *l, size_t i, const char *why)
{
	return str_printf(l->arena, "%s %s", title(l, i), why).p;
}

static const char *
moment(const struct loader *l, int64_t at)
{
	return when_rfc3339(l->arena, at * WHEN_SECOND).p;
}

static bool
is_self_issued(const struct pki_cert *c)
{
	return str_eq(c->issuer, c->subject);
}

/* ---- checks */

static const char *
check_dates(const struct loader *l, size_t i)
{
	const struct pki_cert *c = &l->certs[i];

	if (l->now < c->not_before)
		return str_printf(l->arena, "%s is not valid before %s",
		    title(l, i), moment(l, c->not_before))
		    .p;
	if (l->now > c->not_after)
		return str_printf(l->arena, "%s expired at %s", title(l, i),
		    moment(l, c->not_after))
		    .p;
	return NULL;
}

static const char *
check_ca(const struct loader *l, size_t i)
{
	const struct pki_cert *c = &l->certs[i];

	if (!c->has_basic || !c->ca)
		return fail(l, i,
		    "is not a CA certificate (its "
		    "basicConstraints do not say CA)");
	if (c->has_key_usage && (c->key_usage & PKI_KU_CERT_SIGN) == 0)
		return fail(l, i,
		    "may not sign certificates (its keyUsage "
		    "lacks keyCertSign)");
	if (c->path_len >= 0 && (size_t)c->path_len < i)
		return fail(l, i,
		    "has a path length that does not allow the "
		    "CAs under it");
	if (c->key == NULL)
		return fail(l, i,
		    "has a key that is neither RSA of 2048 to "
		    "4096 bits nor P-256, P-384, P-521 or "
		    "Ed25519");
	if (alg_find(c->sig_alg) == NULL)
		return fail(l, i,
		    "is signed with an algorithm that is not "
		    "accepted");
	return check_dates(l, i);
}

static const char *
check_issuing(const struct loader *l)
{
	const struct pki_ca *ca = l->out;

	if (EVP_PKEY_cmp(ca->key, l->certs[0].key) != 1)
		return fail(l, 0, "does not belong to the key");
	if (l->certs[0].ski.p == NULL)
		return fail(l, 0, "has no subjectKeyIdentifier");
	return NULL;
}

/* Is each signed by the next, and a root by itself? */
static const char *
check_links(const struct loader *l)
{
	size_t n = l->out->nchain;

	for (size_t i = 0; i + 1 < n; i++)
		if (!pki_cert_is_signed_by(&l->certs[i], &l->certs[i + 1]))
			return fail(l, i,
			    "is not signed by the certificate "
			    "that follows it");
	if (is_self_issued(&l->certs[n - 1]) &&
	    !pki_cert_is_signed_by(&l->certs[n - 1], &l->certs[n - 1]))
		return fail(l, n - 1,
		    "is a root whose own signature is "
		    "wrong");
	return NULL;
}

/* ---- putting it together */

static struct str
join_pem(struct arena *a, const struct str *ders, size_t n)
{
	size_t size = 0, len = 0;
	char *out;

	for (size_t i = 0; i < n; i++)
		size += pem_size("CERTIFICATE", ders[i].n);
	out = arena_alloc(a, size + 1);
	for (size_t i = 0; i < n; i++)
		len += pem_write(out + len, "CERTIFICATE", ders[i]);
	return str_make(out, len);
}

static void
fill(struct loader *l)
{
	struct pki_ca *ca = l->out;
	size_t n = ca->nchain;

	ca->cert = l->certs[0];
	pki_spki_hash(ca->cert.spki, ca->spki_hash);
	ca->full_pem = join_pem(l->arena, ca->chain, n);
	if (n > 1 && is_self_issued(&l->certs[n - 1]))
		n--;
	ca->chain_pem = join_pem(l->arena, ca->chain, n);
}

const char *
pki_make_ca(struct arena *a, EVP_PKEY *key, const struct str *chain, size_t n,
    int64_t now, struct pki_ca *out)
{
	struct loader *l = arena_new(a, struct loader);
	const char *why = NULL;

	*l = (struct loader){ .arena = a, .out = out, .now = now };
	*out = (struct pki_ca){ .key = key, .nchain = n };
	if (n == 0 || n > PKI_CHAIN_MAX)
		return "the chain of a CA has 1 to 8 certificates";
	EVP_PKEY_up_ref(key);
	arena_defer(a, pki_free_key, key);
	out->chain = arena_array(a, struct str, n);
	for (size_t i = 0; why == NULL && i < n; i++) {
		out->chain[i] = str_dup(a, chain[i]);
		why = pki_parse_cert(a, out->chain[i], &l->certs[i]);
	}
	for (size_t i = 0; why == NULL && i < n; i++)
		why = check_ca(l, i);
	if (why != NULL || (why = check_issuing(l)) != NULL ||
	    (why = check_links(l)) != NULL)
		return why;
	fill(l);
	return NULL;
}

/* ---- from files */

/* Append a file's certificates to the chain. */
static const char *
load_certs(struct arena *a, const char *path, struct str *chain, size_t *n)
{
	const char *why;
	struct str text, *ders;
	size_t more;

	if ((why = file_read(a, path, PKI_PEM_FILE_MAX, false, &text)) != NULL)
		return why;
	why = pki_parse_pem(a, text, &ders, &more);
	file_free(text);
	if (why == NULL && *n + more > PKI_CHAIN_MAX)
		why = "makes the chain longer than 8 certificates";
	if (why != NULL)
		return str_printf(a, "%s %s", path, why).p;
	memcpy(chain + *n, ders, more * sizeof(*ders));
	*n += more;
	return NULL;
}

const char *
pki_load_ca_files(struct arena *a, const struct pki_ca_files *f, int64_t now,
    struct pki_ca *out)
{
	struct str *chain = arena_array(a, struct str, PKI_CHAIN_MAX);
	EVP_PKEY *key = NULL;
	const char *why;
	size_t n = 0;

	if ((why = load_certs(a, f->cert, chain, &n)) != NULL)
		return why;
	if (f->chain != NULL &&
	    (why = load_certs(a, f->chain, chain, &n)) != NULL)
		return why;
	if ((why = pki_load_locked_key(a, f->key, f->passphrase, &key)) != NULL)
		return why;
	why = pki_make_ca(a, key, chain, n, now, out);
	EVP_PKEY_free(key);
	if (why != NULL)
		return str_printf(a, "%s with %s: %s", f->cert, f->key, why).p;
	return NULL;
}

/* ---- trying */

enum { TRY_RANDOM = 32 };
#define TRY_TEXT "certloop: a test of the key, of no meaning "

/* The signature at the end of what alg_wrap made of the text. */
static bool
unwrap(struct str wrapped, size_t text, struct str *sig)
{
	CBS cbs, seq, alg, bits;
	uint8_t unused;

	CBS_init(&cbs, (const uint8_t *)wrapped.p, wrapped.n);
	if (!CBS_get_asn1(&cbs, &seq, CBS_ASN1_SEQUENCE) ||
	    !CBS_skip(&seq, text) ||
	    !CBS_get_asn1(&seq, &alg, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&seq, &bits, CBS_ASN1_BITSTRING) ||
	    !CBS_get_u8(&bits, &unused))
		return false;
	*sig = der_str(&bits);
	return true;
}

const char *
pki_try_ca(struct arena *a, const struct pki_ca *ca, int64_t now)
{
	uint8_t random[TRY_RANDOM];
	struct str text, sig;

	if (now < ca->cert.not_before || now > ca->cert.not_after)
		return "the CA certificate is out of date";
	id_random(random, sizeof(random));
	text = str_join(a, STR(TRY_TEXT), str_make(random, sizeof(random)));
	if (!unwrap(alg_wrap(a, ca->key, text), text.n, &sig))
		return "the key does not sign";
	if (!alg_verify(alg_of_key(ca->key), ca->cert.key, text, sig))
		return "what the key signs does not verify under the "
		       "certificate";
	return NULL;
}
