/* SPDX-License-Identifier: ISC */
/*
 * The server side of TLS: a context that can be swapped under open
 * connections, and one connection over a socket that its owner watches.
 * TLS 1.2 and 1.3, several certificates chosen by SNI, ALPN, client
 * certificates, session tickets under keys that rotate.
 *
 * Nothing here blocks, except reading files in tls_server_new and
 * tls_server_stage.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include <openssl/base.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "these are not BoringSSL's headers: see --with-boringssl"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "loop/sock.h"

/* ---- server contexts */

enum tls_client_auth {
	TLS_CLIENT_NONE,    /* do not ask */
	TLS_CLIENT_ASK,     /* ask; what is given must verify */
	TLS_CLIENT_REQUIRE, /* no handshake without a good one */
};

/*
 * A certificate chain (PEM, leaf first) and its private key (PEM), from two
 * files or from memory. A pair with only a name is a place: it stays empty
 * until tls_server_set_pair fills it.
 */
struct tls_pair {
	const char *name; /* for set_pair and in messages; NULL: cert_file */
	const char *cert_file, *key_file;
	struct str cert_pem, key_pem; /* instead of the files */
};

struct tls_server_options {
	const struct tls_pair *pairs; /* the first is for unknown names */
	size_t npairs;
	enum tls_client_auth client_auth;
	const char *client_ca_file; /* PEM: whom client certificates need */
	/* Protocols in our order of preference, NULL-terminated. NULL: only
	 * http/1.1. A client that offers ALPN but none of them is refused. */
	const char *const *alpn;
};

struct tls_server;

/*
 * Read and check everything: keys fit their certificates, RSA keys have 2048
 * bits or more, key files are readable by their owner only. NULL: *why (in
 * the arena) names the file and says what is wrong with it. The options are
 * copied.
 */
struct tls_server *tls_server_new(const struct tls_server_options *,
    struct arena *, const char **why);

/*
 * The same into a server that is in use, in two steps, for several servers
 * that change all or none: stage each (NULL: nothing changes and *why says
 * why), then swap each, which cannot fail; or discard what was staged. Nothing
 * else may change the server in between. New handshakes see the new state,
 * open connections keep theirs. A pair with only a name keeps what
 * tls_server_set_pair gave it.
 */
struct tls_state;
struct tls_state *tls_server_stage(const struct tls_server *,
    const struct tls_server_options *, struct arena *, const char **why);
void tls_server_swap(struct tls_server *, struct tls_state *staged);
void tls_server_discard(struct tls_state *staged); /* NULL is fine */

/*
 * Put a pair in the place of the one of that name, or behind the others if
 * there is none. On failure nothing changes and *why says why.
 */
bool tls_server_set_pair(struct tls_server *, const char *name,
    struct str cert_pem, struct str key_pem, struct arena *, const char **why);

/*
 * End of validity (microseconds since 1970) of the certificate of that name;
 * INT64_MAX if there is none.
 */
int64_t tls_server_expires(const struct tls_server *, const char *name);

/* Connections that still use it keep what they need. NULL is fine. */
void tls_server_free(struct tls_server *);

/* ---- connections */

enum tls_result {
	TLS_OK,
	TLS_WANT_READ,  /* call again when the socket became readable */
	TLS_WANT_WRITE, /* call again when it became writable */
	TLS_EOF,        /* the peer said close_notify, or hung up */
	TLS_ERROR,      /* see tls_conn_error; the alert was sent */
};

struct tls_conn;

/*
 * The server end of a connection on a socket that stays the caller's. `early`
 * are bytes that were read from it already (copied). The tls_server may be
 * freed or reloaded before the connection. Never NULL.
 */
struct tls_conn *tls_conn_new(struct tls_server *, struct sock *,
    struct str early);
void tls_conn_free(struct tls_conn *); /* NULL is fine */

enum tls_result tls_conn_handshake(struct tls_conn *);

/*
 * TLS_OK: *n bytes, at least one. Whoever stops before TLS_WANT_READ must come
 * back by itself while tls_conn_pending: the socket says nothing of bytes
 * that have left it. An idle connection holds no buffers.
 */
enum tls_result tls_conn_read(struct tls_conn *, void *, size_t, size_t *n);

/*
 * TLS_OK: the first *n bytes went out, at most one record (TLS_RECORD_MAX).
 * After TLS_WANT_WRITE the same bytes must come again, at any address.
 */
enum { TLS_RECORD_MAX = 16384 };
enum tls_result tls_conn_write(struct tls_conn *, const void *, size_t,
    size_t *n);

/* Send close_notify; does not wait for the peer's. */
void tls_conn_shutdown(struct tls_conn *);

/* Are there bytes to read that have left the socket? */
bool tls_conn_pending(const struct tls_conn *);

/* The client's verified certificate (DER, in the arena), or STR_NONE. */
struct str tls_conn_client_cert(const struct tls_conn *, struct arena *);

/* The protocol that ALPN chose, or STR_NONE. Lives with the connection. */
struct str tls_conn_alpn(const struct tls_conn *);

/* The name that the client asked for, or NULL. Lives with the connection. */
const char *tls_conn_server_name(const struct tls_conn *);

/* Was the session of an earlier connection resumed? */
bool tls_conn_resumed(const struct tls_conn *);

/* "TLSv1.3" */
const char *tls_conn_version(const struct tls_conn *);

/* What went wrong, for the log: a short constant text. */
const char *tls_conn_error(const struct tls_conn *);

#endif
