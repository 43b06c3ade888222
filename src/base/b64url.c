/* SPDX-License-Identifier: ISC */
/* base64url, RFC 4648 section 5, without padding, strict. */
#include "base/b64url.h"

static const char letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of a letter plus one; 0 for anything else. */
/* clang-format off */
static const unsigned char values[256] = {
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6,
	['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12,
	['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18,
	['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
	['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
	['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,
	['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
	['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
	['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54,
	['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
	['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};
/* clang-format on */

size_t
b64url_write(char *out, struct str in)
{
	const unsigned char *s = (const unsigned char *)in.p;
	unsigned acc = 0, bits = 0;
	size_t o = 0;

	for (size_t i = 0; i < in.n; i++) {
		acc = (acc << 8) | s[i];
		for (bits += 8; bits >= 6; bits -= 6)
			out[o++] = letters[(acc >> (bits - 6)) & 63];
	}
	if (bits > 0)
		out[o++] = letters[(acc << (6 - bits)) & 63];
	return o;
}

struct str
b64url_encode(struct arena *a, struct str in)
{
	size_t n = B64URL_LEN(in.n);
	char *out = arena_alloc(a, n + 1);

	out[b64url_write(out, in)] = '\0';
	return str_make(out, n);
}

/* Decode into out, which has room for in.n * 3 / 4 bytes. */
static bool
decode(struct str in, unsigned char *out, size_t *len)
{
	const unsigned char *s = (const unsigned char *)in.p;
	unsigned acc = 0, bits = 0, v;
	size_t o = 0;

	if (in.n % 4 == 1)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		if ((v = values[s[i]]) == 0)
			return false;
		acc = (acc << 6) | (v - 1);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[o++] = (unsigned char)(acc >> bits);
		}
	}
	*len = o;
	return (acc & ((1U << bits) - 1)) == 0;
}

bool
b64url_decode(struct arena *a, struct str in, struct str *out)
{
	unsigned char *p = arena_alloc(a, in.n / 4 * 3 + 3);
	size_t len;

	if (!decode(in, p, &len))
		return false;
	*out = str_make(p, len);
	return true;
}

bool
b64url_decode_exact(struct str in, void *out, size_t n)
{
	size_t len;

	return in.n == B64URL_LEN(n) && decode(in, out, &len) && len == n;
}
