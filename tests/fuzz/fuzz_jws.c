/* SPDX-License-Identifier: ISC */
/*
 * JWS: the first byte is the use; the rest is the serialization or, if the
 * first byte has its top bit, the text of a protected header, around which
 * the target puts the serialization (base64url hides it from a fuzzer).
 */
#include "fuzz.h"

#include "base/b64url.h"
#include "jose/jws.h"

static void
check(struct arena *a, const struct jws *jws, enum jws_use use)
{
	struct str raw;

	PROMISE((jws->jwk == NULL) != (jws->kid.p == NULL));
	PROMISE((jws->nonce.p != NULL) == (use == JWS_REQUEST));
	PROMISE(use != JWS_BINDING || jws->kid.p != NULL);
	PROMISE(use != JWS_KEY_CHANGE || jws->jwk != NULL);
	PROMISE((jws->alg >= JWS_HS256) == (use == JWS_BINDING));
	PROMISE(jws->url.p != NULL && jws->url.n <= JWS_URL_MAX);
	PROMISE(json_get(jws->header, "crit") == NULL);
	PROMISE(jws->signing_input.n ==
	    jws->protected_raw.n + 1 + jws->payload_raw.n);
	PROMISE(str_starts(jws->signing_input, jws->protected_raw));
	PROMISE(str_ends(jws->signing_input, jws->payload_raw));
	PROMISE(b64url_decode(a, jws->payload_raw, &raw));
	PROMISE(str_eq(raw, jws->payload));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	enum jws_use use = size > 0 ? (data[0] & 0x7f) % 3 : JWS_REQUEST;
	struct str body = str_skip(str_make(data, size), 1);
	struct jws jws;
	struct jwk jwk;

	if (size > 0 && (data[0] & 0x80) != 0)
		body = str_printf(a,
		    "{\"protected\":\"" STR_FMT "\",\"payload\":\"e30\","
		    "\"signature\":\"AAAA\"}",
		    STR_ARG(b64url_encode(a, body)));
	if (jws_parse(a, body, use, &jws) == NULL) {
		check(a, &jws, use);
		(void)jws_verify_mac(&jws, STR("key"));
		if (jws.jwk != NULL && jwk_parse(a, jws.jwk, &jwk) == NULL &&
		    jws_verify(&jws, jwk.key, jwk.kind))
			PROMISE(jws_alg_fits(jws.alg, jwk.kind));
	}
	arena_destroy(a);
	return 0;
}
