/* SPDX-License-Identifier: ISC */
/* JWK: what is taken has one canonical text, and the key gives it again. */
#include "fuzz.h"

#include <openssl/evp.h>

#include "jose/jwk.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct jwk jwk, again;

	if (jwk_parse_text(a, str_make(data, size), &jwk) == NULL) {
		PROMISE(jwk_parse_text(a, jwk.json, &again) == NULL);
		PROMISE(str_eq(jwk.json, again.json));
		PROMISE(EVP_PKEY_cmp(jwk.key, again.key) == 1);
		PROMISE(jwk_from_key(a, jwk.key, &again));
		PROMISE(str_eq(jwk.json, again.json));
		PROMISE(jwk.kind == again.kind && jwk.bits == again.bits);
		PROMISE(
		    str_eq(jwk_thumbprint(a, &jwk), jwk_thumbprint(a, &again)));
	}
	arena_destroy(a);
	return 0;
}
