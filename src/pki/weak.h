/* SPDX-License-Identifier: ISC */
/*
 * Keys that look whole and are not: RSA moduli that anyone can factor, and
 * keys that are known to others.
 */
#ifndef PKI_WEAK_H
#define PKI_WEAK_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/base.h>

#include "base/arena.h"
#include "base/str.h"

/*
 * NULL, or what is wrong with a public key of a kind and size that will do: a
 * modulus with a factor below 752, primes so close that Fermat's method finds
 * them in 100 rounds, the fingerprint of ROCA (CVE-2017-15361). Takes about as
 * long as a signature's check.
 */
const char *pki_key_weakness(const EVP_PKEY *);

/* SHA-256 of SubjectPublicKeyInfos, sorted. */
struct pki_blocklist {
	const uint8_t (*hashes)[32];
	size_t n;
};

enum { PKI_BLOCKLIST_FILE_MAX = 1 << 26 };

/*
 * Read a file of hashes, 64 hexadecimal digits a line; empty lines and what
 * follows "#" are passed over. NULL, or a sentence with file and line.
 */
const char *pki_load_blocklist(struct arena *, const char *path,
    struct pki_blocklist *out);

bool pki_is_blocked(const struct pki_blocklist *,
    const uint8_t hash[static 32]);

#endif
