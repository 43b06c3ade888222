/* SPDX-License-Identifier: ISC */
/*
 * Outbound HTTP and HTTPS: libcurl's multi interface on the loop. Names are
 * resolved by dns, each address is judged by the caller's rule, and exactly
 * these addresses are connected to; the rule is asked again for the very
 * socket, so a literal, a redirect or a name that changes cannot pass beside
 * it. Redirects are not followed, proxies of the environment are ignored,
 * credentials in URLs are refused.
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/str.h"
#include "dns/dns.h"
#include "loop/loop.h"
#include "loop/task.h"

enum {
	FETCH_URL_MAX = 4096,
	FETCH_HEADERS_MAX = 32,   /* that a request adds */
	FETCH_HEADER_MAX = 32768, /* bytes of an answer's header */
	FETCH_BODY_MAX = 1 << 20, /* of a request; the most that body_max is */
};

struct fetch;

struct fetch_options {
	struct loop *loop;
	struct dns *dns;        /* for requests that name none; outlives us */
	const char *user_agent; /* a constant; NULL: none is sent */
	unsigned running_max;   /* requests at once; 0: 256 */
	unsigned idle_max;      /* connections kept open for reuse; 0: 16 */
};

/* NULL: *why (a constant) says what is wrong. */
struct fetch *fetch_new(const struct fetch_options *, const char **why);

/* Ends all requests; no callback runs any more. NULL is fine. */
void fetch_free(struct fetch *);

/* Requests under way. */
unsigned fetch_running(const struct fetch *);

/* ---- requests */

/* May this be connected to? */
typedef bool fetch_rule(void *arg, struct addr, unsigned port);

enum fetch_tls {
	FETCH_TLS_VERIFY, /* certificate and name must be good */
	FETCH_TLS_ANY,    /* any certificate will do */
};

struct fetch_header {
	struct str name, value;
};

/* Lives until fetch_send returns; what rule_arg points to, until the end. */
struct fetch_request {
	struct str method; /* upper case; none: GET */
	struct str url;    /* http or https */
	const struct fetch_header *headers;
	size_t nheaders;
	/*
	 * A request with a body is never sent a second time by itself; one
	 * without may be, if a connection kept open turns out to be dead.
	 * Copies of body and headers are wiped.
	 */
	struct str body;
	struct dns *dns; /* NULL: that of the options */
	/*
	 * With a rule the request has a connection of its own, which serves
	 * nobody before or after it. NULL: any address, connections are kept.
	 */
	fetch_rule *rule;
	void *rule_arg;
	enum fetch_tls tls;
	/*
	 * Who is trusted; none: the CAs of the system, which are read at the
	 * first use and never again.
	 */
	struct str ca_pem;
	size_t body_max;         /* of the answer; 0: 64 KiB */
	int64_t connect_timeout; /* usec, TLS included; 0: 10 s */
	int64_t answer_timeout;  /* until the header has come; 0: the total */
	int64_t total_timeout;   /* from fetch_send to the last byte; 0: 30 s */
};

enum fetch_error {
	FETCH_OK,          /* there is an answer, whatever its status */
	FETCH_BAD_REQUEST, /* the URL, a header, or the CAs will not do */
	FETCH_BUSY,        /* too many requests under way */
	FETCH_NO_ADDRESS,  /* see dns */
	FETCH_FORBIDDEN,   /* the rule refuses all addresses */
	FETCH_NO_CONNECTION,
	FETCH_NO_TLS, /* handshake or certificate */
	FETCH_BROKEN, /* the connection ended early, or it is not HTTP */
	FETCH_TOO_LARGE,
	FETCH_TIMEOUT,
};

/* "ok", "bad_request", "busy", "no_address", ... */
const char *fetch_error_name(enum fetch_error);

/* How far it came. */
enum fetch_phase {
	FETCH_RESOLVE,
	FETCH_CONNECT,
	FETCH_HANDSHAKE,
	FETCH_ANSWER, /* sending, and waiting for the end of the header */
	FETCH_BODY,
};

/* "resolve", "connect", "handshake", "answer", "body" */
const char *fetch_phase_name(enum fetch_phase);

/* Lives until the callback returns. */
struct fetch_result {
	enum fetch_error error;
	enum fetch_phase phase;
	const char *why; /* a sentence without secrets, unless it is FETCH_OK */
	/* The server may have got the request: some of it may have left. */
	bool sent;
	enum dns_status dns;
	struct addr peer; /* connected to; .len 0: none */
	unsigned status;
	struct str body;
	struct str content_type; /* STR_NONE if there is none */
	struct str redirect;     /* the Location of a 3xx, absolute */
	int64_t retry_after;     /* usec; -1: the answer does not say */
};

typedef void fetch_fn(void *arg, const struct fetch_result *);

/*
 * Send. fn is called later, from the top of the loop, unless t ends first,
 * which cuts the connection. The call that is returned is good until then.
 */
struct fetch_call;
struct fetch_call *fetch_send(struct fetch *, struct task *t,
    const struct fetch_request *, fetch_fn *fn, void *arg);

/* May the server have got the request by now? */
bool fetch_is_sent(const struct fetch_call *);

/* What it is at now. */
enum fetch_phase fetch_get_phase(const struct fetch_call *);

#endif
