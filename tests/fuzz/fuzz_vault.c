/* SPDX-License-Identifier: ISC */
/*
 * Answers of Vault to a signing request, checked against an order that is made
 * of what stands in them, so that as much as possible fits. What passes is
 * whole; what does not says why.
 */
#include "fuzz.h"

#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/when.h"
#include "issuer/vault_int.h"

/* The order that the certificate in the answer would fit, if there is one. */
static bool
make_order(struct arena *a, struct str body, struct vault_order *o,
    int64_t *now)
{
	const struct json *doc = json_parse(a, body, NULL);
	struct str pem = json_get_str(json_get(doc, "data"), "certificate");
	struct pki_cert c;
	struct str *ders;
	size_t n;

	if (pem.n == 0 || pki_parse_pem(a, pem, &ders, &n) != NULL ||
	    pki_parse_cert(a, ders[0], &c) != NULL)
		return false;
	*o = (struct vault_order){ .names = c.names,
		.spki = c.spki,
		.max_lifetime = 3650 * WHEN_DAY,
		.eku = c.eku };
	*now = c.not_before * WHEN_SECOND;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct str body = str_make(data, size), raw;
	struct vault_order o = { .max_lifetime = WHEN_DAY };
	struct issuer_result r = { .class = ISSUER_OK };
	int64_t now = INT64_C(1700000000) * WHEN_SECOND;
	bool is_answer = true, known = make_order(a, body, &o, &now);
	const char *why = NULL;

	if (vault_check(a, body, &o, now, &r, &is_answer, &why)) {
		PROMISE(known && is_answer && why == NULL);
		PROMISE(r.der.n > 0 && r.chain_pem.n > 0);
		PROMISE(r.not_before <= r.not_after);
		PROMISE(hex_decode(a, r.serial, &raw) && raw.n <= 20);
	} else {
		PROMISE(why != NULL && strlen(why) > 0);
		PROMISE(is_answer || r.der.n == 0);
	}
	arena_destroy(a);
	return 0;
}
