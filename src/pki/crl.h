/* SPDX-License-Identifier: ISC */
/*
 * Certificate revocation lists, RFC 5280 section 5: version 2, of one issuer,
 * complete or one of several shards. Written entry by entry, so that the rows of a store need not be
 * in memory beside it. Moments are whole seconds since 1970.
 */
#ifndef PKI_CRL_H
#define PKI_CRL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "pki/ca.h"

/* A list in the making. It and its memory go away with the arena. */
struct pki_crl;
struct pki_crl *pki_crl_new(struct arena *);

/*
 * Add a revoked certificate; serial is the contents of the INTEGER. No serial
 * is added twice. A reason of 0 (unspecified) is left out, as section 5.3.1
 * asks for. False if a value is out of bounds; the list is then spoiled.
 */
bool pki_crl_add(struct pki_crl *, struct str serial, int64_t revoked_at,
    int64_t reason);

/*
 * The list is a shard: complete only for the certificates that name this URL
 * as their distribution point (section 5.2.5). To be said before signing.
 */
void pki_crl_set_point(struct pki_crl *, struct str url);

/* Entries so far. */
size_t pki_crl_entries(const struct pki_crl *);

/*
 * Sign what was added: the CRL in DER, in the arena, or STR_NONE. number is
 * positive and rises from list to list.
 */
struct str pki_crl_sign(struct pki_crl *, const struct pki_ca *, int64_t number,
    int64_t this_update, int64_t next_update);

/*
 * Shards: which of n (1 to 256) has a serial, by its last byte; and the last
 * bytes that shard i of n has.
 */
unsigned pki_crl_shard(struct str serial, unsigned n);
struct pki_crl_bounds {
	uint8_t first, last;
};
struct pki_crl_bounds pki_crl_bounds(unsigned i, unsigned n);

/* May the CA sign CRLs at all, by its keyUsage? */
bool pki_ca_signs_crls(const struct pki_ca *);

#endif
