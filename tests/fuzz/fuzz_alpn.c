/* SPDX-License-Identifier: ISC */
/*
 * Certificates of tls-alpn-01: what is accepted is read again, and must be
 * for the one name, by the one key, and of a size that was let pass.
 */
#include "validate/tlsalpn01.c"

#include "fuzz.h"

#define NAME "a.example"
#define KEY_AUTHORIZATION "token.thumbprint"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct check check = { .arena = a,
		.rq = { .name = STR(NAME),
		    .key_authorization = STR(KEY_AUTHORIZATION) } };
	struct tlsalpn01 t = { .check = &check, .arena = a, .fd = -1 };
	struct str der = str_make(data, size);
	CRYPTO_BUFFER *buffer = CRYPTO_BUFFER_new(data, size, NULL);
	size_t len = key_len(buffer);
	struct pki_cert c;

	PROMISE(len < size || size == 0);
	if (judge_certificate(&t, der) == NULL) {
		PROMISE(pki_parse_cert(a, der, &c) == NULL);
		PROMISE(len > 0 && len <= c.spki.n && c.spki.n - len <= 4);
		PROMISE(c.names.ndns == 1 && c.names.nips == 0);
		PROMISE(str_case_eq(c.names.dns[0], STR(NAME)));
		PROMISE(c.acme_critical && c.acme_identifier.n == 32);
		PROMISE(str_eq(c.issuer, c.subject));
	}
	CRYPTO_BUFFER_free(buffer);
	arena_destroy(a);
	return 0;
}
