/* SPDX-License-Identifier: ISC */
/*
 * The HTTP/1.1 client of certloop-bench: one keep-alive connection, one
 * request at a time, plain or TLS, on the loop. It opens itself when a
 * request comes and again after it was closed. Nothing blocks, except that
 * origin_open, before the run, resolves the host's name and reads the trust
 * roots. Redirects are not followed.
 */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <http_parser.h>
#include <openssl/base.h>

#include "base/arena.h"
#include "base/str.h"
#include "loop/loop.h"

enum {
	REPLY_BODY_MAX = 1 << 20,
	REPLY_HEADER_MAX = 32768, /* all of the reply's header */
	REPLY_FIELD_MAX = 2048,   /* a field that we keep */
	REQUEST_MAX = 1 << 17,
	SOCKET_READ = 16384 + 512, /* one TLS record and its header */
	ORIGIN_ADDRESSES_MAX = 16,
};

/* ---- where all connections of a run go */

struct origin {
	bool tls;
	struct str host;      /* NUL-terminated, without brackets */
	struct str authority; /* for the Host field */
	struct {
		struct sockaddr_storage addr;
		socklen_t len;
	} to[ORIGIN_ADDRESSES_MAX]; /* connections take them in turn */
	size_t nto;
	SSL_CTX *ctx;
	size_t sources; /* addresses of 127/8 that we come from; 0: as the
			 * kernel does */
};

struct origin_options {
	const char *ca_file;        /* PEM; NULL: the system's roots */
	bool insecure;              /* look at no certificate */
	const char *const *connect; /* "ADDRESS:PORT", in place of the URL's */
	size_t nconnect;            /* at most ORIGIN_ADDRESSES_MAX */
};

/*
 * Find out where url leads and *path, the rest of it. NULL is success,
 * otherwise a sentence; *refused then says whether it is the options' fault
 * (true), or that the name cannot be resolved.
 */
const char *origin_open(struct arena *, struct str url,
    const struct origin_options *, struct origin *, struct str *path,
    bool *refused);

/* The path of a URL if it leads to this origin; p is NULL if it does not. */
struct str origin_path(const struct origin *, struct str url);

/* ---- replies */

/* Views that last until the handler returns. */
struct reply {
	unsigned status;
	struct str body;
	struct str nonce, location, content_type; /* p is NULL if not there */
	bool has_retry_after;
	unsigned retry_after; /* seconds */
	bool keep_alive;
};

/* Turns bytes into a reply. */
struct reader {
	http_parser parser;
	struct reply reply;
	char *body;
	size_t body_len, body_cap;
	char name[32]; /* of the field being read, cut */
	size_t name_len;
	bool in_value, head, done, too_large;
	char *field; /* where its value goes; NULL: nowhere */
	size_t *field_len;
	char nonce[REPLY_FIELD_MAX], location[REPLY_FIELD_MAX];
	char content_type[128], retry_after[16];
	size_t nonce_len, location_len, content_type_len, retry_after_len;
};

/* Get ready for a reply; head: to a HEAD request. */
void reader_start(struct reader *, bool head);
void reader_release(struct reader *);

enum reader_result { READER_MORE, READER_DONE, READER_BAD };

/* Take bytes. READER_BAD too if there are more of them than one reply. */
enum reader_result reader_feed(struct reader *, const void *, size_t);

/* The peer closed: is the reply whole now? */
enum reader_result reader_end(struct reader *);

/* ---- connections */

struct conn;

/*
 * One of them is called once for each request, from the top of the loop. why
 * is a sentence that lasts until the handler returns.
 */
struct conn_handler {
	void (*replied)(void *arg, const struct reply *);
	void (*failed)(void *arg, const char *why);
};

struct request {
	const char *method;
	struct str path, body;
	const char *content_type; /* NULL: no body */
};

/*
 * timeout: microseconds a request may take, connecting included. index: which
 * one it is of its run, so that they spread over the origin's addresses.
 */
struct conn *conn_new(struct loop *, const struct origin *, size_t index,
    int64_t timeout, const struct conn_handler *, void *arg);
void conn_free(struct conn *);

/* Send a request; none may be under way. */
void conn_request(struct conn *, const struct request *);

/* How often it was opened. */
unsigned conn_opened(const struct conn *);

/* ---- TLS of a connection: what tls.c of the server is to its end */

struct wire; /* a socket, plain or under TLS */

enum wire_result { WIRE_OK, WIRE_READ, WIRE_WRITE, WIRE_EOF, WIRE_ERROR };

/* The socket stays the caller's. */
struct wire *wire_new(const struct origin *, int fd);
void wire_free(struct wire *);
enum wire_result wire_handshake(struct wire *);
enum wire_result wire_read(struct wire *, void *, size_t, size_t *n);
enum wire_result wire_write(struct wire *, const void *, size_t, size_t *n);

/* What went wrong, a constant text. */
const char *wire_error(const struct wire *);

/*
 * For client connections: trust roots from a PEM file (NULL: the system's), or
 * no look at any certificate. NULL: see *why.
 */
enum wire_trust { WIRE_TRUST_FILE, WIRE_TRUST_ANY };
SSL_CTX *wire_context(enum wire_trust, const char *ca_file, const char **why);

#endif
