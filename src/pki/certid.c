/* SPDX-License-Identifier: ISC */
/* Names of certificates in renewal information. */
#include "pki/certid.h"

#include "base/b64url.h"

enum { AKI_MAX = 64, SERIAL_MAX = 21 /* RFC 5280: 20, and a zero */ };

struct str
pki_cert_id(struct arena *a, const struct pki_cert *c)
{
	if (c->aki.n == 0)
		return STR_NONE;
	return str_join(a, b64url_encode(a, c->aki), STR("."),
	    b64url_encode(a, c->serial));
}

bool
pki_parse_cert_id(struct arena *a, struct str text, struct str *aki,
    struct str *serial)
{
	struct str rest = text, first, raw;

	if (text.n > PKI_CERTID_MAX)
		return false;
	first = str_cut(&rest, '.');
	if (!b64url_decode(a, first, aki) || aki->n == 0 || aki->n > AKI_MAX ||
	    !b64url_decode(a, rest, &raw) || raw.n == 0 || raw.n > SERIAL_MAX)
		return false;
	*serial = pki_serial_text(a, raw);
	return true;
}
