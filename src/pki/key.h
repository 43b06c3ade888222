/* SPDX-License-Identifier: ISC */
/*
 * Private and public keys. Functions that return const char * give NULL for
 * success and otherwise a sentence for the operator, in the arena.
 */
#ifndef PKI_KEY_H
#define PKI_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/base.h>

#include "base/arena.h"
#include "base/str.h"

#ifndef OPENSSL_IS_BORINGSSL
#error "openssl/base.h is not BoringSSL's"
#endif

enum pki_key_kind {
	PKI_RSA,
	PKI_P256,
	PKI_P384,
	PKI_P521,
	PKI_ED25519,
};

enum {
	PKI_RSA_BITS_MIN = 2048,
	PKI_RSA_BITS_MAX = 4096,
	PKI_SPKI_MAX = 1024,
	PKI_KEY_FILE_MAX = 16384,
	PKI_PASSPHRASE_MAX = 1024,
};

/* "RSA", "P-256", "P-384", "P-521", "Ed25519" */
const char *pki_key_kind_name(enum pki_key_kind);

/*
 * What a key is. False if it is of no kind above, an RSA key is not of 2048
 * to 4096 bits or its exponent is even, below 65537 or above 2^32 - 1; *why,
 * if why is not NULL, then says what
 * it is instead ("an RSA key of less than 2048 bits").
 */
bool pki_key_is(const EVP_PKEY *, enum pki_key_kind *, unsigned *bits,
    const char **why);

/* A new key; the caller frees it. RSA keys have 3072 bits. Never NULL. */
EVP_PKEY *pki_generate_key(enum pki_key_kind);

/*
 * The private key in a PEM file (PKCS#8, "EC PRIVATE KEY" or "RSA PRIVATE
 * KEY"), which must be a regular file that only its owner can use. The caller
 * frees *out.
 */
const char *pki_load_key(struct arena *, const char *path, EVP_PKEY **out);

/*
 * The same, and the key may be encrypted (PKCS#8, "ENCRYPTED PRIVATE KEY",
 * PBES2 with PBKDF2 and AES) under the passphrase in another file, which only
 * its owner can use; one line feed at its end does not count. NULL: none.
 */
const char *pki_load_locked_key(struct arena *, const char *path,
    const char *passphrase_path, EVP_PKEY **out);

/* The same from PEM text; the sentence lacks its subject ("holds no key"). */
const char *pki_parse_key(struct arena *, struct str pem, EVP_PKEY **out);

/* What to do if the file is there already. */
enum pki_save { PKI_SAVE_NEW, PKI_SAVE_REPLACE };

/*
 * Write a file so that it is there whole or not at all, also after a power
 * cut. A key is PKCS#8 in PEM, mode 0600; other text has mode 0644.
 */
const char *pki_save_key(struct arena *, const char *path, const EVP_PKEY *,
    enum pki_save);
const char *pki_save_text(struct arena *, const char *path, struct str,
    enum pki_save);

/* The private key as PKCS#8 in PEM, in the arena and wiped with it. */
struct str pki_write_key(struct arena *, const EVP_PKEY *);

/* The SubjectPublicKeyInfo in DER, in the arena. */
struct str pki_write_spki(struct arena *, const EVP_PKEY *);

/* SHA-256 of a SubjectPublicKeyInfo. */
void pki_spki_hash(struct str spki, uint8_t out[static 32]);

#endif
