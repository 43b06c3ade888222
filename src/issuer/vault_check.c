/* SPDX-License-Identifier: ISC */
/*
 * What Vault sent back for a signing request, checked against what was
 * ordered before anybody sees it. Its role may allow, or add, what the
 * profile does not.
 */
#include "issuer/vault_int.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/when.h"

/* How far ahead of ours Vault's clock may be. */
#define AHEAD (5 * WHEN_MINUTE)

/* The certificates above the new one, the issuing one first. */
struct chain {
	struct str *ders;
	struct pki_cert *certs;
	size_t n;
};

static const char *
add_cert(struct arena *a, struct str pem, struct chain *chain)
{
	struct str *ders;
	size_t n;
	const char *why = pki_parse_pem(a, pem, &ders, &n);

	if (why == NULL && chain->n + n > PKI_CHAIN_MAX)
		why = "is too long";
	for (size_t i = 0; why == NULL && i < n; i++) {
		chain->ders[chain->n] = ders[i];
		why = pki_parse_cert(a, ders[i], &chain->certs[chain->n++]);
	}
	return why;
}

static const char *
read_chain(struct arena *a, const struct json *data, struct chain *chain)
{
	const struct json *list = json_get(data, "ca_chain");
	const char *why = NULL;

	chain->n = 0;
	chain->ders = arena_array(a, struct str, PKI_CHAIN_MAX);
	chain->certs = arena_array(a, struct pki_cert, PKI_CHAIN_MAX);
	if (list != NULL && list->type == JSON_ARRAY)
		json_each(it, list)
			if (why == NULL && it->type == JSON_STRING)
				why = add_cert(a, it->str, chain);
	if (why == NULL && chain->n == 0)
		why = add_cert(a, json_get_str(data, "issuing_ca"), chain);
	if (why != NULL)
		return str_printf(a, "the chain %s", why).p;
	return NULL;
}

/* Each a CA, in date, and signed by the next. */
static const char *
check_chain(struct arena *a, const struct chain *chain, int64_t now)
{
	for (size_t i = 0; i < chain->n; i++) {
		const struct pki_cert *c = &chain->certs[i];

		if (!c->ca ||
		    (c->has_key_usage &&
			(c->key_usage & PKI_KU_CERT_SIGN) == 0))
			return str_printf(a,
			    "certificate %zu of the chain is not a CA's", i + 1)
			    .p;
		if (c->not_before * WHEN_SECOND > now + AHEAD ||
		    c->not_after * WHEN_SECOND <= now)
			return str_printf(a,
			    "certificate %zu of the chain is out of date",
			    i + 1)
			    .p;
		if (i + 1 < chain->n &&
		    !pki_cert_is_signed_by(c, &chain->certs[i + 1]))
			return str_printf(a,
			    "certificate %zu of the chain is not signed by "
			    "the next",
			    i + 1)
			    .p;
	}
	return NULL;
}

/* The role may add purposes of TLS, but no others, and leave none out. */
static const char *
check_purposes(const struct pki_cert *c, const struct vault_order *o)
{
	if (!c->has_eku || (o->eku & ~c->eku) != 0)
		return "extKeyUsage lacks a purpose of the profile";
	if ((c->eku & ~(unsigned)(PKI_EKU_SERVER | PKI_EKU_CLIENT)) != 0)
		return "extKeyUsage has a purpose that is not TLS";
	return NULL;
}

static const char *
check_cert(struct arena *a, const struct pki_cert *c,
    const struct pki_cert *issuer, const struct vault_order *o, int64_t now)
{
	struct pki_lint_profile lint = {
		.issuer = issuer,
		.names = &o->names,
		.spki = o->spki,
		.max_lifetime = o->max_lifetime / WHEN_SECOND,
		.eku = c->eku, /* judged above */
		.remote = true,
	};
	const char *why;

	if (!str_eq(c->spki, o->spki))
		return "the key is not that of the CSR";
	if ((why = check_purposes(c, o)) != NULL)
		return why;
	if (c->not_before * WHEN_SECOND > now + AHEAD)
		return "the validity begins in the future";
	if (c->not_after * WHEN_SECOND <= now)
		return "it has expired already";
	return pki_lint_cert(a, c->der, &lint);
}

/* For the client: without the root, unless it issues itself. */
static struct str
write_chain(struct arena *a, const struct chain *chain)
{
	struct buf b = buf_new(a, VAULT_ANSWER_MAX);
	size_t n = chain->n;

	if (n > 1 &&
	    str_eq(chain->certs[n - 1].subject, chain->certs[n - 1].issuer))
		n--;
	for (size_t i = 0; i < n; i++)
		buf_str(&b, pki_write_pem(a, "CERTIFICATE", chain->ders[i]));
	return buf_view(&b);
}

static const char *
check(struct arena *a, const struct json *data, const struct pki_cert *c,
    const struct vault_order *o, int64_t now, struct issuer_result *r)
{
	struct chain chain;
	const char *why;

	if ((why = read_chain(a, data, &chain)) != NULL ||
	    (why = check_chain(a, &chain, now)) != NULL ||
	    (why = check_cert(a, c, &chain.certs[0], o, now)) != NULL)
		return why;
	r->chain_pem = write_chain(a, &chain);
	return NULL;
}

struct str
vault_write_found(struct arena *a, const struct vault_found *found)
{
	struct json_writer *w = json_writer_new(a, VAULT_ANSWER_MAX);

	json_open_object(w, NULL);
	json_open_object(w, "data");
	json_str(w, "certificate", found->pem);
	json_open_array(w, "ca_chain");
	json_str(w, NULL, found->chain);
	json_close(w);
	json_close(w);
	json_close(w);
	return json_text(w);
}

bool
vault_check(struct arena *a, struct str body, const struct vault_order *o,
    int64_t now, struct issuer_result *r, bool *is_answer, const char **why)
{
	const struct json *doc = json_parse(a, body, why);
	const struct json *data = json_get(doc, "data");
	struct str pem = json_get_str(data, "certificate"), *ders;
	struct pki_cert cert;
	size_t n;

	*is_answer = pem.n > 0;
	if (!*is_answer) {
		*why = doc == NULL ? *why : "the answer has no certificate";
		return false;
	}
	if ((*why = pki_parse_pem(a, pem, &ders, &n)) == NULL)
		*why = pki_parse_cert(a, ders[0], &cert);
	if (*why != NULL) {
		*why = str_printf(a, "the certificate %s", *why).p;
		return false;
	}
	r->der = cert.der;
	r->serial = pki_serial_text(a, cert.serial);
	r->not_before = cert.not_before * WHEN_SECOND;
	r->not_after = cert.not_after * WHEN_SECOND;
	*why = n > 1 ? "there is more than one certificate" :
		       check(a, data, &cert, o, now, r);
	return *why == NULL;
}
