/* SPDX-License-Identifier: ISC */
/* IP addresses and prefixes as values. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/*
 * An IPv4 or IPv6 address, or none (a unix socket's peer). An IPv4-mapped
 * IPv6 address never occurs: addr_from_bytes turns it into IPv4.
 */
struct addr {
	uint8_t bytes[16];
	uint8_t len; /* 4, 16, or 0 for none */
};

struct prefix {
	struct addr addr;
	unsigned bits;
};

/* 4 or 16 bytes; any other length gives none. */
struct addr addr_from_bytes(const void *, size_t len);

/*
 * Parse an address as RFC 8738 wants it: IPv4 in dotted decimal without
 * leading zeros, IPv6 in any RFC 4291 form without a zone.
 */
bool addr_parse(struct str, struct addr *);

/* Canonical text (RFC 5952 for IPv6); "unix" for none. */
struct str addr_text(struct arena *, struct addr);

bool addr_eq(struct addr, struct addr);
bool addr_is_loopback(struct addr);

/*
 * The network of an IPv6 address: its first bits, the others 0. Whoever has
 * one address there has all of them. An IPv4 address stays as it is.
 */
struct addr addr_mask(struct addr, unsigned bits);

/* "10.0.0.0/8", or an address alone for one host. Host bits must be zero. */
bool prefix_parse(struct str, struct prefix *);
bool prefix_has(const struct prefix *, struct addr);

#endif
