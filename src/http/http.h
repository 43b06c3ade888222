/* SPDX-License-Identifier: ISC */
/*
 * The HTTP/1.1 server side: listeners, connections, the route table, and the
 * one way out of a request (req_reply, req_fail).
 *
 *	socket -> [PROXY header] -> [TLS] -> HTTP -> route table -> handler
 *
 * One request of a connection is worked on at a time. While it is, nothing
 * more is read; only a reset ends its task early.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/problem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"
#include "tls/tls.h"

/* ---- requests */

enum req_method { /* bits, so that a route can name several */
	REQ_GET = 1,
	REQ_HEAD = 2,
	REQ_POST = 4,
	REQ_PUT = 8,
	REQ_PATCH = 16,
	REQ_DELETE = 32,
};

enum { REQ_PARAMS_MAX = 4, REQ_HEADERS_MAX = 64 };

struct http_conn;
struct http_app;
struct route;

struct req {
	struct task task; /* its arena is the request's memory */
	struct http_conn *conn;
	const struct http_app *app;
	const struct route *route;
	enum req_method method;
	struct str id;          /* request id, in the log and X-Request-Id */
	struct str path, query; /* path percent-decoded where that is harmless
				 * (behind /ocsp/ all of base64 too); any
				 * other escape gives 400 */
	struct str params[REQ_PARAMS_MAX]; /* values of ":name" in the route */
	struct str body;
	struct addr peer;       /* the client, behind trusted proxies too */
	struct str client_cert; /* DER, if TLS asked for and got one */
	int64_t started;        /* CLOCK_MONOTONIC, usec: body complete */
	void *state;            /* the handler's */
	const char *doing;      /* for the log: "finalize"; may be NULL */
	struct str log_context; /* more key=value for the one log line, parted
				 * by spaces; values hold none */
};

/* A request header by name (any case); STR_NONE if absent. Several of one
 * name are joined by ", ". */
struct str req_header(const struct req *, const char *name);

/*
 * Wipe the values of a request header, which held a secret: views into them
 * then see zeros; a join that req_header gave is the caller's to wipe. Of
 * Authorization, what was received is wiped as soon as it is in the request's
 * memory, and that when the request ends or is refused.
 */
void req_wipe_header(struct req *, const char *name);

/*
 * Add a header to the reply; both are copied. The value has no control
 * characters (asserted). Date, Content-Type, Content-Length, Connection and
 * X-Request-Id are req_reply's own.
 */
void req_add_header(struct req *, const char *name, struct str value);

/* Who is at the other end of a unix socket? False if it is none. */
bool req_peer_creds(const struct req *, uid_t *, gid_t *, pid_t *);

/* Is that process in the group, be it its primary or another one? */
bool req_peer_in_group(const struct req *, gid_t);

/*
 * Answer and end the request. type is the media type (NULL: no body, no
 * type). The body is borrowed until the call returns. HEAD answers send no
 * body but the Content-Length of it. Always STEP_DONE; the request and its
 * arena are gone afterwards.
 */
enum step req_reply(struct req *, unsigned status, const char *type,
    struct str body);

/* Answer with a problem document, Retry-After if the problem says so. */
enum step req_fail(struct req *, const struct problem *);

/*
 * Answer 101 (RFC 9110 section 7.8), end the request and hand over its
 * connection, which nobody else reads or writes any more. Of unix sockets
 * only. -1: it cannot be, and the request is still to be answered.
 */
int req_upgrade(struct req *, const char *protocol);

/* ---- routes */

struct route {
	unsigned methods; /* bits of req_method; others get 405 with Allow.
			   * REQ_GET brings REQ_HEAD along */
	/* "/order/:id/finalize"; appended to each prefix. A last segment
	 * "*name" takes the rest of the path, slashes too, as a param. */
	const char *path;
	const char *name; /* in logs and metrics */
	size_t body_max;  /* 0: no body allowed */
	enum step (*start)(struct req *);
};

/* A set of routes that a listener serves. Static; outlives the server. */
struct http_app {
	const char *name;
	const char *const *prefixes; /* NULL-terminated, may hold ":profile" */
	const struct route *const *routes; /* NULL-terminated */
	void *ctx;                         /* the app's own object */
	/* Called once for each reply of this app, errors that the server
	 * itself found included, before the header is written. May be NULL. */
	void (*before_reply)(struct req *);
};

/* ---- server */

struct http_limits {             /* 0: the default */
	unsigned connections;    /* open at once, default 10000 */
	size_t header_max;       /* bytes of request line and header, 16 KiB */
	int64_t header_timeout;  /* usec from first byte (or accept) to end
				  * of header, PROXY and TLS included: 10 s */
	int64_t body_timeout;    /* from end of header to end of body: 30 s */
	int64_t idle_timeout;    /* keep-alive: 60 s */
	int64_t write_timeout;   /* whole reply: 30 s */
	int64_t request_timeout; /* handler: 60 s, then 503 */
	int64_t drain_idle;      /* keep-alive, once we let go: 1 s */
};

struct http_listener_options {
	/* "127.0.0.1:443", "[::]:80" (IPv6 only), "unix:PATH" */
	const char *address;
	struct tls_server *tls; /* NULL: plain HTTP; outlives the server */
	bool proxy;     /* a PROXY v1/v2 header comes first; who connects
			 * must be trusted, if any trusted are given */
	bool forwarded; /* X-Forwarded-For / Forwarded count, if ... */
	const struct prefix *trusted; /* ... the peer is one of these; who
				       * comes by a unix socket always is */
	size_t ntrusted;
	const struct http_app *const *apps; /* NULL-terminated, first match */
	bool reuse_port;
	mode_t mode; /* of a unix socket, default 0600 */
	/* a socket that listens at the address already, or 0; ours now */
	int fd;
	bool shared; /* others have it too: http_server_give */
};

struct http_server;
struct http_server *http_server_new(struct loop *, const struct http_limits *);

/*
 * Bind and listen; the options are copied. A stale unix socket is replaced,
 * a live one is not. False: *why (in the arena) names address and reason.
 */
bool http_listen(struct http_server *, const struct http_listener_options *,
    struct arena *, const char **why);

/* Port that the i-th listener is bound to (for port 0), 0 if none. */
unsigned http_listener_port(const struct http_server *, size_t i);

/*
 * From now on every reply tells its connection to close, and one that has been
 * silent for drain_idle since its last reply is closed. So clients that are at
 * work meet no closed connection. New ones are accepted as before.
 */
void http_server_shed(struct http_server *);

/* Keep connections again. */
void http_server_keep(struct http_server *);

/*
 * Take what waits to be accepted, then stop accepting; shed; finish what is in
 * flight. done(arg) runs from the top of the loop when the last connection is
 * gone or after `usec`, whichever is first.
 */
void http_server_drain(struct http_server *, int64_t usec, void (*done)(void *),
    void *arg);

/* The listening sockets, as they were configured. Returns how many. */
struct http_socket {
	const char *address;
	int fd;
};
size_t http_server_sockets(const struct http_server *, struct http_socket *,
    size_t max);

/*
 * Others have all listening sockets too: when they are closed here, who waits
 * is left to them, and so are the files of unix sockets.
 */
void http_server_give(struct http_server *);

/* Is fd a socket that listens at this address? Of port 0 nothing is. */
bool http_is_socket_at(int fd, const char *address);

/* Connections open now. */
unsigned http_server_connections(const struct http_server *);

/* Close everything at once. Tasks under way are ended. */
void http_server_free(struct http_server *);

#endif
