/* SPDX-License-Identifier: ISC */
/*
 * A name server for tests, on the loop of the test: UDP and TCP, with a few
 * names that it answers for, truthfully or otherwise. Needs libcrypto for
 * the zone that it signs.
 */
#ifndef TESTS_UNIT_DNS_STUB_H
#define TESTS_UNIT_DNS_STUB_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"
#include "loop/loop.h"

enum stub_mode {
	STUB_HONEST,
	STUB_SILENT,
	STUB_SERVFAIL,
	STUB_REFUSED,
	STUB_TRUNCATED, /* over UDP; whole over TCP */
	STUB_CUT,       /* says truncated, over TCP too */
	STUB_GARBAGE,   /* bytes that are no answer */
	STUB_STRANGER,  /* the id of another query, then nothing */
	/* of the signed zone */
	STUB_UNSIGNED,
	STUB_BAD_SIGNATURE,
	STUB_EXPIRED,
	STUB_TURNS, /* the records one at a time, the next with each query */
};

struct stub;

/* Listens on ip, port 0 for any. NULL if that is not possible. */
struct stub *stub_new(struct loop *, const char *ip, unsigned port);
void stub_free(struct stub *);
unsigned stub_port(const struct stub *);

/* Add a record. Names in lower case, without the dot at the end. */
void stub_rr(struct stub *, const char *name, unsigned type, struct str rdata);
void stub_a(struct stub *, const char *name, const char *ip); /* or AAAA */
void stub_txt(struct stub *, const char *name, const char *text);
void stub_caa(struct stub *, const char *name, const char *tag,
    const char *value);
void stub_cname(struct stub *, const char *name, const char *target);
void stub_clear(struct stub *, const char *name); /* forget its records */

/* How queries for a name are answered; also of names without a record. */
void stub_set(struct stub *, const char *name, enum stub_mode);
void stub_set_all(struct stub *, enum stub_mode); /* those without their own */

/* Queries that came for this name and type. */
unsigned stub_asked(const struct stub *, const char *name, unsigned type);
unsigned stub_asked_tcp(const struct stub *);

/* Sign all at and below zone; gives its DNSKEY as a line of a zone file. */
struct str stub_sign(struct stub *, struct arena *, const char *zone);

#endif
