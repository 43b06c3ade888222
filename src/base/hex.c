/* SPDX-License-Identifier: ISC */
/* Lower-case hexadecimal. */
#include "base/hex.h"

struct str
hex_encode(struct arena *a, struct str in)
{
	static const char digits[] = "0123456789abcdef";
	char *out = arena_alloc(a, in.n * 2 + 1);

	for (size_t i = 0; i < in.n; i++) {
		out[2 * i] = digits[(unsigned char)in.p[i] >> 4];
		out[2 * i + 1] = digits[(unsigned char)in.p[i] & 15];
	}
	out[in.n * 2] = '\0';
	return str_make(out, in.n * 2);
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
hex_decode(struct arena *a, struct str in, struct str *out)
{
	char *p = arena_alloc(a, in.n / 2 + 1);

	if (in.n % 2 != 0)
		return false;
	for (size_t i = 0; i < in.n; i += 2) {
		int hi = digit(in.p[i]), lo = digit(in.p[i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		p[i / 2] = (char)(hi << 4 | lo);
	}
	*out = str_make(p, in.n / 2);
	return true;
}
