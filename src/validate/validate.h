/* SPDX-License-Identifier: ISC */
/*
 * Does an account control an identifier? The challenges of RFC 8555 section
 * 8 (http-01, dns-01), RFC 8737 (tls-alpn-01) and RFC 8738 (IP addresses).
 *
 * A validation makes queries until one succeeds or its time is over, with
 * pauses that double (RFC 8555 section 8.2). Queries under way and those that
 * wait for their turn are bounded for each type, and for each owner to a part
 * of that; owners take turns. Where a socket may go is judged on the address
 * of every hop, and that very address is connected to.
 */
#ifndef VALIDATE_VALIDATE_H
#define VALIDATE_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/problem.h"
#include "base/str.h"
#include "dns/dns.h"
#include "loop/loop.h"
#include "loop/task.h"

enum validate_type {
	VALIDATE_HTTP_01,
	VALIDATE_DNS_01,
	VALIDATE_TLS_ALPN_01,
	VALIDATE_TYPES,
};

enum {
	VALIDATE_RUNNING_MAX = 64,   /* queries of one type on the wire */
	VALIDATE_WAITING_MAX = 4000, /* validations of one type besides */
	VALIDATE_SHARE = 4, /* one owner has this part of both at most */
	VALIDATE_REDIRECTS_MAX = 10,
	VALIDATE_BODY_MAX = 16384,
	VALIDATE_CNAMES_MAX = 10,
	VALIDATE_ADDRS_MAX = 4, /* that tls-alpn-01 tries, one by one */
};

/* "http-01", ...; false if there is no type of this name. */
const char *validate_type_name(enum validate_type);
bool validate_find_type(struct str name, enum validate_type *);

/* ---- where a socket may go */

/*
 * Public and private addresses may be connected to; never loopback,
 * link-local, multicast, unspecified and reserved ones, nor where clouds
 * keep their metadata, also not inside an IPv6 address that a translator
 * would unwrap. `allow` makes exceptions from "never", `deny` wins over all.
 */
struct validate_rule {
	const struct prefix *allow;
	size_t nallow;
	const struct prefix *deny;
	size_t ndeny;
};

bool validate_allows(const struct validate_rule *, struct addr);

/* ---- validations */

struct validate;

struct validate_options {
	struct loop *loop;
	const char *user_agent; /* a constant */
	unsigned running_max;   /* 0: VALIDATE_RUNNING_MAX */
	unsigned waiting_max;   /* 0: VALIDATE_WAITING_MAX */
	unsigned share;         /* 0: VALIDATE_SHARE */
};

/* NULL: *why (a constant) says what is wrong. */
struct validate *validate_new(const struct validate_options *,
    const char **why);

/* Ends all validations; no callback runs any more. NULL is fine. */
void validate_free(struct validate *);

/* Texts are copied; dns and the rule must last until the end. */
struct validate_request {
	enum validate_type type;
	struct str owner; /* whose share it takes: the account */
	struct str name;  /* a DNS name without "*."; unused with an address */
	struct addr addr; /* an IP identifier; .len is 0 for a DNS name */
	struct str token, key_authorization;
	struct dns *dns;
	struct validate_rule rule;
	unsigned http_port;  /* of http-01; 0: 80 */
	unsigned https_port; /* that redirects may go to; 0: 443 */
	unsigned tls_port;   /* of tls-alpn-01; 0: 443 */
	int64_t timeout;     /* usec from the first query; 0: 30 s */
	/* the address that was connected to last is put here, for operators;
	 * it lives as long as the task. NULL: nobody wants it */
	struct addr *tried;
};

/*
 * A query failed, and the next one comes in `wait` usec. The problem lives
 * until the callback returns.
 */
typedef void validate_note_fn(void *arg, const struct problem *, int64_t wait);

/*
 * It is over: NULL, the account controls the identifier; otherwise why not:
 * CONNECTION, DNS, TLS, UNAUTHORIZED, INCORRECT_RESPONSE. The detail names
 * the phase; neither an address that was looked up nor anything that the
 * target said stands in it. Lives until the callback returns.
 */
typedef void validate_done_fn(void *arg, const struct problem *);

/*
 * Begin. False if there is no room (validate_room): nothing was begun. The callbacks run
 * later from the top of the loop, unless t ends first, which ends the
 * validation. note may be NULL.
 */
bool validate_start(struct validate *, struct task *t,
    const struct validate_request *, validate_note_fn *note,
    validate_done_fn *done, void *arg);

/*
 * The next query of this task's validation comes now, not when its pause is
 * over: the client says that something has changed (RFC 8555 section 8.2).
 */
void validate_hurry(struct task *t);

/* Could this owner begin one more validation of this type now? */
enum validate_room {
	VALIDATE_ROOM,
	VALIDATE_SHARE_FULL, /* it has too many itself */
	VALIDATE_FULL,       /* there are too many at all */
};
enum validate_room validate_room(const struct validate *, enum validate_type,
    struct str owner);

/* ---- CAA, RFC 8659 and 8657 */

struct validate_caa_request {
	struct str name; /* a DNS name, without "*."; copied, as is account */
	bool wildcard;
	const struct str *identities; /* by which records mean this CA */
	size_t nidentities;
	struct str account; /* its URL */
	const char *method; /* "http-01", ...; "": none of them. A constant */
	struct dns *dns;
};

/* NULL: allowed; CAA: forbidden; DNS: it cannot be found out. */
typedef void validate_caa_fn(void *arg, const struct problem *);

/*
 * Do CAA records allow a certificate? fn is called later from the top of the
 * loop, unless t ends first; the problem is in t's arena.
 */
void validate_caa(struct task *t, const struct validate_caa_request *,
    validate_caa_fn *fn, void *arg);

/* Validations begun and not over; queries on the wire. */
unsigned validate_count(const struct validate *);
unsigned validate_running(const struct validate *, enum validate_type);

#endif
