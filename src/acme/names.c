/* SPDX-License-Identifier: ISC */
/* The digest of a set of names, by which orders for the same are found. */
#include "acme/acme_int.h"

#include <openssl/sha.h>

#include "base/b64url.h"

struct str
names_digest(struct arena *a, const struct pki_names *names)
{
	struct str text = pki_names_text(a, names);
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)text.p, text.n, hash);
	return b64url_encode(a, str_make(hash, sizeof(hash)));
}
