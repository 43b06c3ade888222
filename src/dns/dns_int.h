/* SPDX-License-Identifier: ISC */
/* What the files of dns share. */
#ifndef DNS_DNS_INT_H
#define DNS_DNS_INT_H

#include "dns/dns.h"

enum { DNS_CLASS_IN = 1 };

/* ---- packet.c */

/*
 * Read an answer packet (RFC 1035 section 4.1): records of the type asked for
 * at the end of the CNAMEs. Sets all but secure; status is DNS_FAILED with
 * its sentence if the packet is malformed or holds too much. Everything is
 * copied into the arena.
 */
void dns_read_packet(struct arena *, struct str packet, struct str name,
    enum dns_type, struct dns_answer *out);

/* ---- hosts.c */

struct hosts;

/* NULL if the file cannot be read. */
struct hosts *hosts_load(const char *path);
void hosts_free(struct hosts *);

/* Addresses of a lower-case name: how many, at most max, were put into v. */
size_t hosts_find(const struct hosts *, struct str name, struct addr *v,
    size_t max);

/* ---- library.c */

struct ub_ctx;

/*
 * Set up libunbound on the loop, with at most so many sockets. NULL, or a
 * sentence, also in the arena; *out is the caller's either way, if not NULL.
 */
const char *dns_library_open(const struct dns_options *, int64_t sockets,
    struct arena *, struct ub_ctx **out);

/* ---- dns.c */

struct loop *dns_loop(struct dns *);
const struct hosts *dns_hosts(const struct dns *);

/*
 * The name in lower case and without the dot at its end, in the arena;
 * STR_NONE if it is none.
 */
struct str dns_clean_name(struct arena *, struct str name);

#endif
