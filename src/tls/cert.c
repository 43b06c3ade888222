/* SPDX-License-Identifier: ISC */
/* Certificate and key pairs: from files or memory into what TLS needs. */
#include "tls/tls_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/when.h"
#include "pki/pki.h"

static void *
take(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		abort();
	return p;
}

/* ---- the leaf */

static int64_t
end_of_validity(const X509 *leaf)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool ok = epoch != NULL &&
	    ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(leaf));

	ASN1_TIME_free(epoch);
	return ok ? days * WHEN_DAY + seconds * WHEN_SECOND : 0;
}

static void
add_name(struct tls_cert *c, const GENERAL_NAME *name)
{
	const ASN1_STRING *s = name->d.dNSName;
	struct str dns = str_make(ASN1_STRING_get0_data(s),
	    (size_t)ASN1_STRING_length(s));
	char *copy;

	if (dns.n == 0 || dns.n > PKI_NAME_MAX || !str_is_text(dns))
		return;
	copy = take(1, dns.n + 1);
	for (size_t i = 0; i < dns.n; i++)
		copy[i] = str_fold(dns.p[i]);
	c->dns[c->ndns++] = copy;
}

/* The DNS names that the certificate holds; whatever else it holds is let be:
 * a certificate without names serves as the default. */
static void
take_names(struct tls_cert *c, const X509 *leaf)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name,
	    NULL, NULL);
	size_t n = names != NULL ? sk_GENERAL_NAME_num(names) : 0;

	c->dns = take(n + 1, sizeof(*c->dns));
	for (size_t i = 0; i < n; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_name(c, name);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

static bool
take_leaf(struct tls_cert *c, struct str der)
{
	const uint8_t *p = (const uint8_t *)der.p;
	X509 *leaf = d2i_X509(NULL, &p, (long)der.n);
	bool fits = leaf != NULL && X509_check_private_key(leaf, c->key);

	if (fits) {
		c->expires = end_of_validity(leaf);
		take_names(c, leaf);
	}
	X509_free(leaf);
	ERR_clear_error();
	return fits;
}

/* ---- the parts */

static const char *
take_chain(struct tls_cert *c, struct str pem, struct arena *a)
{
	struct str *ders;
	const char *why = pki_parse_pem(a, pem, &ders, &c->nchain);

	if (why != NULL)
		return why;
	c->chain = take(c->nchain, sizeof(CRYPTO_BUFFER *));
	for (size_t i = 0; i < c->nchain; i++) {
		c->chain[i] = CRYPTO_BUFFER_new((const uint8_t *)ders[i].p,
		    ders[i].n, NULL);
		if (c->chain[i] == NULL)
			abort();
	}
	if (!take_leaf(c, ders[0]))
		return "its first certificate does not belong to the key";
	return NULL;
}

const char *
cert_read_file(const char *path, struct arena *a, struct str *out)
{
	char *p = arena_alloc(a, PKI_PEM_FILE_MAX + 1);
	size_t n = 0;
	ssize_t got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return strerror(errno);
	while (n <= PKI_PEM_FILE_MAX) {
		got = read(fd, p + n, PKI_PEM_FILE_MAX + 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (got < 0)
		return strerror(errno);
	if (n > PKI_PEM_FILE_MAX)
		return "it is too large for a PEM file";
	*out = str_make(p, n);
	return NULL;
}

static bool
load_key(struct tls_cert *c, const struct tls_pair *pair, struct arena *a,
    const char **why)
{
	enum pki_key_kind kind;
	unsigned bits;
	const char *wrong;

	if (pair->key_file != NULL) {
		*why = pki_load_key(a, pair->key_file, &c->key);
		return *why == NULL;
	}
	wrong = pki_parse_key(a, pair->key_pem, &c->key);
	if (wrong == NULL && !pki_key_is(c->key, &kind, &bits, &wrong)) {
		EVP_PKEY_free(c->key);
		c->key = NULL;
	}
	if (wrong != NULL)
		*why = str_printf(a, "the key of \"%s\" %s", c->name, wrong).p;
	return wrong == NULL;
}

static bool
load_chain(struct tls_cert *c, const struct tls_pair *pair, struct arena *a,
    const char **why)
{
	struct str pem = pair->cert_pem;
	const char *wrong = NULL;

	if (pair->cert_file != NULL)
		wrong = cert_read_file(pair->cert_file, a, &pem);
	if (wrong == NULL)
		wrong = take_chain(c, pem, a);
	if (wrong != NULL)
		*why = str_printf(a, "certificate \"%s\": %s",
		    pair->cert_file != NULL ? pair->cert_file : c->name, wrong)
			   .p;
	return wrong == NULL;
}

static bool
is_place(const struct tls_pair *pair)
{
	return pair->cert_file == NULL && pair->key_file == NULL &&
	    pair->cert_pem.n == 0 && pair->key_pem.n == 0;
}

struct tls_cert *
cert_load(const struct tls_pair *pair, struct arena *a, const char **why)
{
	struct tls_cert *c = take(1, sizeof(*c));
	const char *name = pair->name != NULL ? pair->name : pair->cert_file;

	c->refs = 1;
	c->name = strdup(name != NULL ? name : "");
	c->expires = INT64_MAX;
	if (c->name == NULL)
		abort();
	if (is_place(pair))
		return c;
	if (load_key(c, pair, a, why) && load_chain(c, pair, a, why))
		return c;
	cert_unref(c);
	return NULL;
}

struct tls_cert *
cert_ref(struct tls_cert *c)
{
	c->refs++;
	return c;
}

void
cert_unref(struct tls_cert *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	for (size_t i = 0; c->chain != NULL && i < c->nchain; i++)
		CRYPTO_BUFFER_free(c->chain[i]);
	for (size_t i = 0; i < c->ndns; i++)
		free(c->dns[i]);
	free(c->chain);
	free(c->dns);
	free(c->name);
	EVP_PKEY_free(c->key);
	free(c);
}
