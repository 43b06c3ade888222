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

/* Bytes as they are; false if p is NULL. */
static inline bool
build_str(CBB *out, struct str s)
{
	return s.p != NULL && CBB_add_bytes(out, (const uint8_t *)s.p, s.n);
}

/* Open an extension: what goes into *value is inside its OCTET STRING. */
bool build_open_ext(CBB *list, struct str oid, bool critical, CBB *ext,
    CBB *value);

/* UTCTime to 2049, GeneralizedTime from 2050: RFC 5280 4.1.2.5. */
bool build_time(CBB *, int64_t);
/* As OCSP has it: RFC 6960 section 4.2.2.1. */
bool build_generalized_time(CBB *, int64_t);

bool build_name(CBB *, struct str cn);
bool build_basic(CBB *list, bool ca, int path_len);
bool build_key_usage(CBB *list, unsigned usage);
bool build_eku(CBB *list, unsigned eku);
bool build_ski(CBB *list, struct str spki);
bool build_aki(CBB *list, struct str id);

#endif
