/* SPDX-License-Identifier: ISC */
/*
 * Certificates: read them, then judge them against a profile made of what
 * was read, as an issuer of itself. What the lint lets pass, reading must have
 * understood.
 */
#include "fuzz.h"

#include "base/hex.h"
#include "pki/cert.h"

static void
judge(struct arena *a, struct str der, const struct pki_cert *c, bool remote)
{
	struct pki_lint_profile profile = {
		.issuer = c,
		.names = &c->names,
		.spki = c->spki,
		.max_lifetime = INT64_MAX,
		.must_staple = c->must_staple,
		.no_rev_avail = c->no_rev_avail,
		.remote = remote,
	};

	if (pki_lint_tbs(a, c->tbs, &profile) == NULL) {
		PROMISE(!c->ca && !c->unknown_critical && !c->san_other);
		PROMISE(c->names.ndns + c->names.nips > 0);
		PROMISE(c->serial.n > 0 && c->serial.n <= 20);
		PROMISE(c->key != NULL && c->not_before <= c->not_after);
		(void)pki_lint_cert(a, der, &profile);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct str der = str_make(data, size), text, raw;
	struct pki_cert c;

	if (pki_parse_cert(a, der, &c) == NULL) {
		text = pki_serial_text(a, c.serial);
		PROMISE(hex_decode(a, text, &raw) && raw.n <= 20);
		(void)pki_cert_is_signed_by(&c, &c);
		judge(a, der, &c, false);
		judge(a, der, &c, true);
	}
	arena_destroy(a);
	return 0;
}
