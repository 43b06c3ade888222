/* SPDX-License-Identifier: ISC */
/* Where a socket may go. */
#include "validate/validate.h"

#include <string.h>

/* Of those that carry an IPv4 address: where it stands. */
enum { NO_V4 = 255 };

static const struct special {
	struct prefix prefix;
	uint8_t v4_at; /* this IPv4 address inside is judged instead */
} specials[] = {
#define V4(a, b, c, d, bits)                                                   \
	{                                                                      \
		{ { { a, b, c, d }, 4 }, bits }, NO_V4                         \
	}
	V4(0, 0, 0, 0, 8),          /* this network, unspecified */
	V4(127, 0, 0, 0, 8),        /* loopback */
	V4(169, 254, 0, 0, 16),     /* link-local, metadata of most clouds */
	V4(100, 100, 100, 200, 32), /* metadata of one more */
	V4(168, 63, 129, 16,
	    32),              /* where one gives its machines their secrets */
	V4(192, 0, 0, 0, 24), /* protocol assignments, metadata of another */
	V4(224, 0, 0, 0, 4),  /* multicast */
	V4(240, 0, 0, 0, 4),  /* reserved, broadcast */
#undef V4
	{ { { { 0xfe, 0x80 }, 16 }, 10 }, NO_V4 }, /* link-local */
	{ { { { 0xfe, 0xc0 }, 16 }, 10 }, NO_V4 }, /* site-local, of old */
	{ { { { 0xff }, 16 }, 8 }, NO_V4 },        /* multicast */
	{ { { { 0x01, 0x00 }, 16 }, 64 }, NO_V4 }, /* discard, RFC 6666 */
	/* metadata, and what else clouds have beside it */
	{ { { { 0xfd, 0x00, 0x0e, 0xc2 }, 16 }, 32 }, NO_V4 },
	{ { { { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54 }, 16 }, 128 },
	    NO_V4 },
	{ { { { 0xfd, 0x00, 0x00, 0x42, [15] = 0x42 }, 16 }, 128 }, NO_V4 },
	/* unspecified and loopback */
	{ { { { 0 }, 16 }, 127 }, NO_V4 },
	/*
	 * NAT64, RFC 6052; IPv4-translated, RFC 7915; 6to4, RFC 3056;
	 * IPv4-compatible, RFC 4291
	 */
	{ { { { 0x00, 0x64, 0xff, 0x9b }, 16 }, 96 }, 12 },
	{ { { { [8] = 0xff, 0xff }, 16 }, 96 }, 12 },
	{ { { { 0x20, 0x02 }, 16 }, 16 }, 2 }, { { { { 0 }, 16 }, 96 }, 12 },
	/* NAT64 of a network's own, RFC 8215: who knows where the IPv4 is */
	{ { { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 16 }, 48 }, NO_V4 },
	{ { { { 0x20, 0x01, 0x00, 0x00 }, 16 }, 32 }, NO_V4 }, /* Teredo */
};

static const struct special *
find_special(struct addr a)
{
	for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
		if (prefix_has(&specials[i].prefix, a))
			return &specials[i];
	return NULL;
}

/* The IPv4 address inside; .len is 0 if there is none. */
static struct addr
get_inner(struct addr a)
{
	const struct special *s = find_special(a);

	return s == NULL || s->v4_at == NO_V4 ?
	    addr_from_bytes(NULL, 0) :
	    addr_from_bytes(a.bytes + s->v4_at, 4);
}

static bool
is_never(struct addr a)
{
	const struct special *s = find_special(a);

	return a.len == 0 ||
	    (s != NULL && (s->v4_at == NO_V4 || is_never(get_inner(a))));
}

static bool
is_among(const struct prefix *v, size_t n, struct addr a)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_has(&v[i], a))
			return true;
	return false;
}

bool
validate_allows(const struct validate_rule *r, struct addr a)
{
	if (a.len == 0 || is_among(r->deny, r->ndeny, a) ||
	    is_among(r->deny, r->ndeny, get_inner(a)))
		return false;
	return is_among(r->allow, r->nallow, a) || !is_never(a);
}
