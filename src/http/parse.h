/* SPDX-License-Identifier: ISC */
/*
 * Bytes into a request, without I/O. http_parser has the grammar; where it
 * is lenient in ways that let two servers see different requests (bare line
 * feeds, folded lines, space before the colon, transfer codings, lengths),
 * the bytes are judged here first.
 */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/problem.h"
#include "base/str.h"

/* ---- where the head ends (RFC 9112 section 2), and are its lines lines? */
struct head_scan {
	size_t at;    /* start of the line that is not complete yet */
	size_t seen;  /* bytes looked at for its end */
	bool started; /* the request line is behind us */
};

enum scan { SCAN_MORE, SCAN_DONE, SCAN_BAD };

/*
 * Look at the first n bytes of a request; p may move between calls, the bytes
 * not. DONE: *len is the length of the head with its empty line. BAD: *type
 * and *why say what is wrong. One empty line before the request is let pass.
 */
enum scan scan_head(struct head_scan *, const char *p, size_t n, size_t *len,
    enum problem_type *type, const char **why);

/* ---- the head */
enum { HEAD_FIELDS_MAX = 64 };

struct field {
	struct str name, value; /* value without white space around it */
};

struct head {
	unsigned method; /* a bit of req_method; 0: another known one */
	const char *method_name;
	struct str target; /* as it came */
	struct str path, query;
	unsigned minor; /* of HTTP/1.x */
	bool keep_alive;
	bool expect_continue;
	bool chunked;
	uint64_t length;      /* Content-Length, 0 if there is none */
	struct field *fields; /* HEAD_FIELDS_MAX */
	size_t nfields;
};

/* text is a whole head; the views of *out go into it and the arena. */
const struct problem *parse_head(struct arena *, struct str text,
    struct head *out);

/*
 * Path and query of a request target (RFC 9112 section 3.2): origin-form, or
 * absolute-form for http and https. Escapes of characters that need none are
 * decoded, any other is refused, and so are dot segments.
 */
const struct problem *parse_target(struct arena *, struct str target,
    struct str *path, struct str *query);

/* ---- chunked bodies (RFC 9112 section 7.1) */
struct chunked {
	int state;
	uint64_t left;   /* of this chunk */
	unsigned digits; /* of its size */
	size_t overhead; /* extensions and trailers so far */
};

enum chunk { CHUNK_MORE, CHUNK_DATA, CHUNK_END, CHUNK_BAD };

/* Extensions and trailers of one body; they are checked and dropped. */
enum { CHUNK_OVERHEAD_MAX = 8192 };

/*
 * Eat bytes of *in. DATA: some of the body, in *data. MORE: all of *in is
 * eaten. END: the body is complete. BAD: *why says what is wrong. Start with
 * a zeroed struct.
 */
enum chunk chunked_read(struct chunked *, struct str *in, struct str *data,
    const char **why);

/* ---- PROXY protocol, versions 1 and 2 */
enum { PROXY_HEADER_MAX = 4096 };

struct proxy {
	size_t len;       /* of the header */
	bool has_peer;    /* false: LOCAL, UNKNOWN, not an IP address */
	struct addr peer; /* the source */
	uint16_t port;
};

enum proxy_result { PROXY_MORE, PROXY_OK, PROXY_BAD };
enum proxy_result proxy_parse(struct str in, struct proxy *out);

/* ---- Forwarded (RFC 7239) and X-Forwarded-For */

/* Take the last element of a list off it; false when there is none left. */
bool forwarded_pop(struct str *list, struct str *element);

/* The address of "1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:80", "::1". */
bool forwarded_node(struct str, struct addr *);

/* The value of for= in one element of Forwarded. */
bool forwarded_for(struct str element, struct str *node);

/* ---- characters, RFC 9110 and RFC 3986 */
bool is_token(struct str);
bool is_field_char(char); /* of a value: VCHAR, SP, HTAB, obs-text */

#endif
