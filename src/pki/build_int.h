/* SPDX-License-Identifier: ISC */
/* Writing certificates: what those of CAs and of others have in common. */
#ifndef PKI_BUILD_INT_H
#define PKI_BUILD_INT_H

#include "pki/pki_int.h"

struct build {
	const uint8_t *serial;      /* PKI_SERIAL_LEN bytes */
	struct str sig_alg, issuer; /* DER elements */
	struct str cn;              /* of the subject; empty for none */
	int64_t not_before, not_after;
	struct str spki;
};

/* The to-be-signed part; exts writes the extensions into the list. */
struct str build_tbs(struct arena *, const struct build *,
    bool (*exts)(CBB *list, const void *), const void *arg);

bool build_name(CBB *, struct str cn);
bool build_basic(CBB *list, bool ca, int path_len);
bool build_key_usage(CBB *list, unsigned usage);
bool build_ski(CBB *list, struct str spki);
bool build_aki(CBB *list, struct str id);

#endif
