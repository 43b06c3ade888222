/* SPDX-License-Identifier: ISC */
/* Certificates, files and TLS clients for tests. */
#ifndef TESTS_TLS_MADE_H
#define TESTS_TLS_MADE_H

#include "../unit.h"

#include <stdbool.h>
#include <sys/types.h>

#include <openssl/ssl.h>

#include "pki/key.h"

struct made {
	EVP_PKEY *key; /* both freed with the arena */
	X509 *cert;
	struct str cert_pem, key_pem;
};

struct made_spec {
	const char *cn;
	const char *const *dns;    /* NULL-terminated, or NULL */
	const struct made *issuer; /* NULL: signs itself */
	enum pki_key_kind kind;
	bool ca;
	int days; /* of validity from now; 0: 30 */
};

struct made made_new(struct arena *, struct made_spec);

/* Write a file into a fresh folder that goes with the arena; its path. */
const char *made_file(struct arena *, const char *name, struct str text,
    mode_t mode);

/* A client context that trusts ca (NULL: anybody). */
SSL_CTX *made_client(const struct made *ca);

#endif
