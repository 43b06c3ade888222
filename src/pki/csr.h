/* SPDX-License-Identifier: ISC */
/* Certification requests, PKCS#10 (RFC 2986). */
#ifndef PKI_CSR_H
#define PKI_CSR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/problem.h"
#include "base/str.h"
#include "pki/key.h"
#include "pki/name.h"

enum { PKI_CSR_MAX = 16384 };

struct pki_csr {
	EVP_PKEY *key; /* freed with the arena */
	enum pki_key_kind kind;
	unsigned bits;
	struct str spki; /* DER */
	uint8_t spki_hash[32];
	struct pki_names names; /* subjectAltName and, if it is one, the CN */
	struct str cn; /* folded if it is a name; p is NULL if there is none */
	bool cn_is_name;  /* then it is in names */
	bool must_staple; /* RFC 7633 status_request asked for */
};

/*
 * Read a request in DER and verify its signature. Everything wrong is badCSR
 * with a detail: more than 16 KiB, trailing bytes, a key, signature algorithm
 * or signature that will not do, alternative names other than DNS names and
 * addresses, no name at all, a request for a CA certificate or for a TLS
 * feature other than status_request.
 */
const struct problem *pki_parse_csr(struct arena *, struct str der,
    struct pki_csr *out);

/*
 * The same without the signature: for a request that pki_parse_csr took
 * before and that was kept since where nobody else writes.
 */
const struct problem *pki_read_csr(struct arena *, struct str der,
    struct pki_csr *out);

/* A request for these (sorted) names; cn may be STR_NONE. */
struct str pki_write_csr(struct arena *, EVP_PKEY *, const struct pki_names *,
    struct str cn);

#endif
