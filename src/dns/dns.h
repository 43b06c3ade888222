/* SPDX-License-Identifier: ISC */
/*
 * DNS on the loop: libunbound, which validates DNSSEC. Lookups of the same
 * name and type that are under way are one lookup; each caller waits, is
 * timed and goes away on its own. Names are always fully qualified: there is
 * no search list.
 */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/task.h"

enum {
	DNS_NAME_MAX = 253,
	DNS_RECORDS_MAX = 64, /* of one answer; more make it fail */
	DNS_CNAMES_MAX = 16,
	DNS_ADDRS_MAX = 32, /* those beyond are left out */
	DNS_FORWARDERS_MAX = 8,
	DNS_HOSTS_MAX = 8192, /* names in the hosts file; the rest is ignored */
};

/* The types that can be asked for, by their numbers on the wire. */
enum dns_type {
	DNS_A = 1,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_CAA = 257,
};

enum dns_status {
	DNS_OK,       /* there are records */
	DNS_NO_DATA,  /* the name has none of this type */
	DNS_NO_NAME,  /* NXDOMAIN */
	DNS_BOGUS,    /* DNSSEC says that the answer is forged or broken */
	DNS_FAILED,   /* SERVFAIL, REFUSED, or an answer that makes no sense */
	DNS_TIMEOUT,  /* no answer before the deadline */
	DNS_BUSY,     /* too many lookups under way; nothing was asked */
	DNS_BAD_NAME, /* not a host name; nothing was asked */
};

/* "ok", "no_data", "no_name", "bogus", "failed", "timeout", "busy", ... */
const char *dns_status_name(enum dns_status);

enum dns_mode {
	DNS_SYSTEM,  /* those of resolv.conf(5); without one, this machine */
	DNS_FORWARD, /* ask the forwarders below */
	DNS_RECURSE, /* ask the authoritative servers, from the root down */
};

struct dns_server {
	struct addr addr;
	unsigned port; /* 0: 53 */
};

struct dns_options {
	struct loop *loop;
	enum dns_mode mode;
	const struct dns_server *forwarders; /* copied */
	size_t nforwarders;
	const char *root_hints; /* file; NULL: those of the library */
	/*
	 * File with trust anchors (DS or DNSKEY in zone file form). NULL: no
	 * answer is validated.
	 */
	const char *trust_anchors;
	const char *const
	    *insecure_zones; /* never validated; NULL-terminated */
	const char *hosts;   /* a file like /etc/hosts; NULL: none */
	/*
	 * How long an answer may be kept, at most, whatever its TTL; whole
	 * seconds. That there is no answer is never kept (but see below).
	 */
	int64_t cache_ttl;
	int64_t deadline;     /* usec for each caller; 0: 10 s */
	unsigned running_max; /* lookups somebody waits for; 0: 256 */
	/* For tests: a recursion may ask servers on loopback addresses. */
	bool loopback_servers;
};

/*
 * NULL if the options will not do: *why (in the arena) says what. Files are
 * read here and never again, but for dns_reload_hosts. The library keeps a
 * SERVFAIL for 5 seconds, so asking again sooner tells nothing new.
 */
struct dns;
struct dns *dns_new(const struct dns_options *, struct arena *,
    const char **why);

/* No callback runs any more. NULL is fine. */
void dns_free(struct dns *);

/*
 * Read the hosts file again. If it cannot be read, what was known stays, and
 * false is returned.
 */
bool dns_reload_hosts(struct dns *);

/* Lookups under way, with those that nobody waits for any more. */
unsigned dns_running(const struct dns *);

/* ---- records */

/* Lives until the callback returns. */
struct dns_answer {
	enum dns_status status;
	const char *why; /* a sentence, unless it is DNS_OK */
	unsigned rcode;  /* of the packet */
	bool secure;     /* DNSSEC vouches for it, for an absence too */
	/* CNAMEs on the way: their targets, lower case, in order. */
	const struct str *cnames;
	size_t ncnames;
	const struct str *data; /* RDATA of each record */
	size_t n;
	unsigned ttl; /* seconds; the smallest */
};

typedef void dns_fn(void *arg, const struct dns_answer *);

/*
 * Ask. fn is called later, from the top of the loop, unless t ends first. The
 * name may end in a dot; letters, digits, '-' and '_' only. The hosts file is
 * not consulted.
 */
void dns_resolve(struct dns *, struct task *t, struct str name, enum dns_type,
    dns_fn *fn, void *arg);

/* The strings of a TXT record, joined. False if the RDATA is malformed. */
bool dns_read_txt(struct arena *, struct str rdata, struct str *out);

/* A CAA record, RFC 8659 section 4.1; the views are into rdata. */
struct dns_caa {
	bool critical;
	struct str tag, value;
};
bool dns_read_caa(struct str rdata, struct dns_caa *out);

/* ---- addresses of a host */

/* Lives until the callback returns. */
struct dns_addrs {
	enum dns_status status;
	const char *why;      /* a sentence, unless it is DNS_OK */
	const struct addr *v; /* IPv6 first */
	size_t n;
	bool secure;
};

typedef void dns_addrs_fn(void *arg, const struct dns_addrs *);

/*
 * The addresses of a host: of a literal (IPv6 with or without brackets) that
 * one; "localhost" and names below it are 127.0.0.1 and ::1 (RFC 6761); then
 * the hosts file; then A and AAAA. One of these two may fail if the other
 * gives addresses, unless DNSSEC says that it is bogus.
 */
void dns_lookup_addrs(struct dns *, struct task *t, struct str host,
    dns_addrs_fn *fn, void *arg);

#endif
