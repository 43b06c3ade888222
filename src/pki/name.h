/* SPDX-License-Identifier: ISC */
/* Names that certificates are for: DNS names and IP addresses. */
#ifndef PKI_NAME_H
#define PKI_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/str.h"

enum {
	PKI_NAME_MAX = 253,
	PKI_LABEL_MAX = 63,
	/* DNS names and addresses of one certificate, also the most that
	 * max_identifiers can be (conf/profile.def) */
	PKI_NAMES_MAX = 256,
};

/*
 * NULL if name is a DNS name that a certificate may hold, otherwise what is
 * wrong with it ("has an empty label"), to follow the name in a sentence.
 * Lower-case LDH labels (RFC 5890 section 2.3.1) only: 1 to 63 letters each,
 * 253 in all, no dot at the end; "xn--" labels must be Punycode; the last
 * label must not be a number. One label alone is a name. "*." may stand in
 * front if wildcard_allowed.
 */
const char *pki_check_dns_name(struct str name, bool wildcard_allowed);

/* Sets: sorted (str_cmp; addresses IPv4 first), nothing twice. */
struct pki_names {
	struct str *dns;
	size_t ndns;
	struct addr *ips;
	size_t nips;
};

/* Sort both lists and drop what is there twice, in place. */
void pki_names_sort(struct pki_names *);

/* Both must be sorted. */
bool pki_names_equal(const struct pki_names *, const struct pki_names *);

/* All of it, in the arena. */
struct pki_names pki_names_copy(struct arena *, const struct pki_names *);

/*
 * One text for one set: names, then addresses, parted by spaces; "" for none.
 * No DNS name that we take looks like an address, so it is unique.
 */
struct str pki_names_text(struct arena *, const struct pki_names *);

/*
 * The text by which the store finds a name: the labels of a DNS name the other
 * way round, a dot behind each ("org.example.www."), so that what begins with
 * one is it or below it; "@" and the text for an address.
 */
struct str pki_name_key(struct arena *, struct str name);

/* Is it in the (sorted) set? */
bool pki_names_has_dns(const struct pki_names *, struct str);
bool pki_names_has_ip(const struct pki_names *, struct addr);

#endif
