/* SPDX-License-Identifier: ISC */
/* IP addresses and prefixes as values. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <string.h>

struct addr
addr_from_bytes(const void *p, size_t len)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct addr a = { .len = 0 };

	if (len == 16 && memcmp(p, mapped, sizeof(mapped)) == 0) {
		p = (const uint8_t *)p + sizeof(mapped);
		len = 4;
	}
	if (len == 4 || len == 16) {
		memcpy(a.bytes, p, len);
		a.len = (uint8_t)len;
	}
	return a;
}

bool
addr_parse(struct str s, struct addr *out)
{
	char text[INET6_ADDRSTRLEN + 1];
	uint8_t raw[16];
	int family = str_find(s, ':') < s.n ? AF_INET6 : AF_INET;

	if (s.n == 0 || s.n >= sizeof(text) || str_find(s, '\0') < s.n)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(family, text, raw) != 1)
		return false;
	*out = addr_from_bytes(raw, family == AF_INET ? 4 : 16);
	return true;
}

struct str
addr_text(struct arena *a, struct addr addr)
{
	char text[INET6_ADDRSTRLEN];

	if (addr.len == 0)
		return STR("unix");
	inet_ntop(addr.len == 4 ? AF_INET : AF_INET6, addr.bytes, text,
	    sizeof(text));
	return str_dup(a, str_from(text));
}

bool
addr_eq(struct addr a, struct addr b)
{
	return a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0;
}

bool
addr_is_loopback(struct addr a)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (a.len == 4)
		return a.bytes[0] == 127;
	return a.len == 16 && memcmp(a.bytes, one, sizeof(one)) == 0;
}

struct addr
addr_mask(struct addr a, unsigned bits)
{
	for (unsigned i = bits / 8; a.len == 16 && i < 16; i++)
		a.bytes[i] &= i == bits / 8 ? (uint8_t)(0xff00 >> bits % 8) :
					      (uint8_t)0;
	return a;
}

/* Are the first bits of a and b equal? */
static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool
prefix_parse(struct str s, struct prefix *out)
{
	struct str bits = s, host = str_cut(&bits, '/');
	uint64_t n;

	if (!addr_parse(host, &out->addr))
		return false;
	out->bits = out->addr.len * 8U;
	if (host.n == s.n)
		return true;
	if (!str_u64(bits, &n) || n > out->bits)
		return false;
	out->bits = (unsigned)n;
	for (unsigned i = out->bits; i < out->addr.len * 8U; i++)
		if (out->addr.bytes[i / 8] >> (7 - i % 8) & 1)
			return false;
	return true;
}

bool
prefix_has(const struct prefix *p, struct addr a)
{
	return a.len == p->addr.len &&
	    same_bits(a.bytes, p->addr.bytes, p->bits);
}
