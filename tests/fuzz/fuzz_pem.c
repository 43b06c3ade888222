/* SPDX-License-Identifier: ISC */
/* PEM: chains of certificates and private keys. */
#include "fuzz.h"

#include <openssl/evp.h>

#include "pki/cert.h"
#include "pki/key.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct str text = str_make(data, size), *ders, *again;
	const char *why;
	EVP_PKEY *key;
	size_t n, m;

	if ((why = pki_parse_pem(a, text, &ders, &n)) == NULL) {
		PROMISE(n > 0 && n <= PKI_CHAIN_MAX);
		for (size_t i = 0; i < n; i++) {
			text = pki_write_pem(a, "CERTIFICATE", ders[i]);
			PROMISE(ders[i].n == 0 ||
			    (pki_parse_pem(a, text, &again, &m) == NULL &&
				m == 1 && str_eq(ders[i], again[0])));
		}
	} else {
		PROMISE(why[0] != '\0');
	}
	if (pki_parse_key(a, str_make(data, size), &key) == NULL)
		PROMISE(pki_write_spki(a, key).n > 0);
	EVP_PKEY_free(key);
	arena_destroy(a);
	return 0;
}
