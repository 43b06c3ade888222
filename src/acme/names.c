/* SPDX-License-Identifier: ISC */
/* Sets of names as text. */
#include "acme/acme_int.h"

#include <openssl/sha.h>

#include "base/b64url.h"
#include "base/buf.h"

struct str
names_text(struct arena *a, const struct pki_names *names)
{
	struct buf b = buf_new(a, ACME_REPLY_MAX);

	for (size_t i = 0; i < names->ndns; i++) {
		buf_str(&b, names->dns[i]);
		buf_char(&b, ' ');
	}
	for (size_t i = 0; i < names->nips; i++) {
		buf_str(&b, addr_text(a, names->ips[i]));
		buf_char(&b, ' ');
	}
	return b.len > 0 ? str_make(b.p, b.len - 1) : STR("");
}

/* No DNS name that we take looks like an address, so the text is unique. */
struct str
names_digest(struct arena *a, const struct pki_names *names)
{
	struct str text = names_text(a, names);
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)text.p, text.n, hash);
	return b64url_encode(a, str_make(hash, sizeof(hash)));
}
