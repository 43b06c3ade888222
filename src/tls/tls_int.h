/* SPDX-License-Identifier: ISC */
/* What the files of tls share. */
#ifndef TLS_TLS_INT_H
#define TLS_TLS_INT_H

#include "tls/tls.h"

#include <openssl/ssl.h>

/* ---- pairs: what one certificate needs. Counted, never changed. */
struct tls_cert {
	unsigned refs;
	char *name;
	CRYPTO_BUFFER **chain; /* leaf first; NULL: a place without a pair */
	size_t nchain;
	EVP_PKEY *key;
	char **dns; /* lower-case names, "*.x" too */
	size_t ndns;
	int64_t expires;
};

/* NULL: *why says what is wrong. */
struct tls_cert *cert_load(const struct tls_pair *, struct arena *,
    const char **why);
struct tls_cert *cert_ref(struct tls_cert *);
void cert_unref(struct tls_cert *);

/* All of a file of PEM. NULL for success, otherwise what is wrong with it. */
const char *cert_read_file(const char *path, struct arena *, struct str *out);

/* ---- the SSL_CTX: all that is the same for every certificate */

/* NULL: *why says what is wrong. */
SSL_CTX *context_new(const struct tls_server_options *, struct arena *,
    const char **why);

/* ---- keys that seal session tickets. Counted; shared by all states. */
struct tls_tickets;
struct tls_tickets *tickets_new(void);
struct tls_tickets *tickets_ref(struct tls_tickets *);
void tickets_unref(struct tls_tickets *);

enum {
	TICKET_ROTATE =
	    3600, /* seconds that a key seals; opens as long again */
	TICKET_LIFETIME = 3600,
};

extern const SSL_TICKET_AEAD_METHOD tickets_method;

/* The clock of the keys; tests move it. */
void tickets_age(struct tls_tickets *, int64_t seconds);

/* ---- a state: what a handshake sees. Counted, never changed. */
struct tls_name {
	const char *dns;
	const struct tls_cert *cert;
	size_t rank; /* of cert: the first has 0 */
};

struct tls_state {
	unsigned refs;
	SSL_CTX *ctx;
	BIO_METHOD *bio; /* of the connections */
	struct tls_tickets *tickets;
	struct tls_cert **certs;
	size_t ncerts;
	struct tls_name *names; /* sorted; of each name the first cert */
	size_t nnames;
	uint8_t *alpn; /* as on the wire: length, name, ... */
	size_t alpn_len;
};

struct tls_state *state_ref(struct tls_state *);
void state_unref(struct tls_state *);

struct tls_server {
	struct tls_state *state;
};

/* The state that a connection began with. */
const struct tls_state *conn_state(const SSL *);

/* How BoringSSL reads and writes our sockets. The caller frees it. */
BIO_METHOD *conn_bio_method(void);

#endif
