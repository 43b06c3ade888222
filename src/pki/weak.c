/* SPDX-License-Identifier: ISC */
/* Weak keys. */
#include "pki/weak.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "pki/pki_int.h"

enum {
	FACTOR_MAX = 752,
	ROCA_MAX = 167, /* the largest prime that its moduli are built upon */
	FERMAT_ROUNDS = 100,
};

/* ---- small factors, and ROCA: n modulo small primes */

static bool
is_prime(unsigned p)
{
	for (unsigned d = 3; d * d <= p; d += 2)
		if (p % d == 0)
			return false;
	return p % 2 != 0 || p == 2;
}

/*
 * Infineon's primes are k * M + (65537^a mod M), M a product of the first
 * primes, so a modulus of them is a power of 65537 modulo each of these.
 */
static bool
is_power_of_65537(unsigned r, unsigned p)
{
	unsigned x = 1;

	do {
		if (x == r)
			return true;
		x = x * (65537 % p) % p;
	} while (x != 1);
	return false;
}

static const char *
check_small_primes(const BIGNUM *n)
{
	bool roca = true;

	for (unsigned p = 3; p < FACTOR_MAX; p += 2) {
		unsigned r;

		if (!is_prime(p))
			continue;
		r = (unsigned)BN_mod_word(n, p);
		if (r == 0)
			return "an RSA key whose modulus has a small factor";
		if (p <= ROCA_MAX && !is_power_of_65537(r, p))
			roca = false;
	}
	return roca ? "an RSA key of a generator that is known to be broken "
		      "(ROCA, CVE-2017-15361)" :
		      NULL;
}

/* ---- close primes */

/* The root, rounded up, by Newton's method from above. */
static bool
root_up(BIGNUM *out, const BIGNUM *n, BN_CTX *ctx)
{
	BIGNUM *x = BN_CTX_get(ctx), *y = BN_CTX_get(ctx), *t;

	if (y == NULL || !BN_set_word(x, 1) ||
	    !BN_lshift(x, x, (int)BN_num_bits(n) / 2 + 1))
		return false;
	for (;;) {
		if (!BN_div(y, NULL, n, x, ctx) || !BN_add(y, y, x) ||
		    !BN_rshift1(y, y))
			return false;
		if (BN_cmp(y, x) >= 0)
			break;
		t = x;
		x = y;
		y = t;
	}
	/* x is the root rounded down */
	if (BN_copy(out, x) == NULL || !BN_sqr(y, x, ctx))
		return false;
	return BN_cmp(y, n) >= 0 || BN_add_word(out, 1);
}

static bool
is_square_modulo(unsigned r, unsigned m)
{
	for (unsigned x = 0; x <= m / 2; x++)
		if (x * x % m == r % m)
			return true;
	return false;
}

/* Nearly all numbers that are no square are told by their remainders. */
static bool
is_square(const BIGNUM *n, BN_CTX *ctx)
{
	static const unsigned moduli[] = { 63, 65, 11 };
	unsigned rest = (unsigned)BN_mod_word(n, 63 * 65 * 11);
	static const uint64_t squares = UINT64_C(0x202021202030213);
	BIGNUM *root;
	bool yes;

	if ((squares >> BN_mod_word(n, 64) & 1) == 0)
		return false;
	for (size_t i = 0; i < sizeof(moduli) / sizeof(moduli[0]); i++)
		if (!is_square_modulo(rest, moduli[i]))
			return false;
	BN_CTX_start(ctx);
	root = BN_CTX_get(ctx);
	yes = root != NULL && BN_sqrt(root, n, ctx);
	BN_CTX_end(ctx);
	if (!yes)
		ERR_clear_error();
	return yes;
}

/* Is n = (a + b)(a - b) with an a that is hardly above the root of n? */
static bool
has_close_primes(const BIGNUM *n, BN_CTX *ctx)
{
	BIGNUM *a = BN_CTX_get(ctx), *b2 = BN_CTX_get(ctx);

	if (b2 == NULL || !root_up(a, n, ctx))
		return false;
	for (int i = 0; i < FERMAT_ROUNDS; i++) {
		if (!BN_sqr(b2, a, ctx) || !BN_sub(b2, b2, n))
			return false;
		if (is_square(b2, ctx))
			return true;
		if (!BN_add_word(a, 1))
			return false;
	}
	return false;
}

const char *
pki_key_weakness(const EVP_PKEY *key)
{
	const char *why;
	const BIGNUM *n;
	BN_CTX *ctx;

	if (EVP_PKEY_id(key) != EVP_PKEY_RSA)
		return NULL;
	n = RSA_get0_n(EVP_PKEY_get0_RSA(key));
	if ((why = check_small_primes(n)) != NULL)
		return why;
	if ((ctx = BN_CTX_new()) == NULL)
		abort();
	BN_CTX_start(ctx);
	if (has_close_primes(n, ctx))
		why = "an RSA key whose primes are close to each other";
	BN_CTX_end(ctx);
	BN_CTX_free(ctx);
	return why;
}

/* ---- keys that are known */

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static bool
read_digits(struct str line, uint8_t out[static 32])
{
	static const char digits[] = "0123456789abcdef";

	if (line.n != 64)
		return false;
	for (size_t i = 0; i < 64; i++) {
		const char *d = strchr(digits, line.p[i] | 0x20);

		if (line.p[i] == '\0' || d == NULL || *d == '\0')
			return false;
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | (d - digits));
	}
	return true;
}

static const char *
read_lines(struct arena *a, struct str text, uint8_t (*out)[32], size_t *n)
{
	for (unsigned line = 1; text.n > 0; line++) {
		struct str rest = str_cut(&text, '\n');
		struct str hash = str_cut(&rest, '#');

		if (hash.n > 0 && hash.p[hash.n - 1] == '\r')
			hash.n--;
		hash = str_trim(hash);
		if (hash.n == 0)
			continue;
		if (!read_digits(hash, out[*n]))
			return str_printf(a,
			    "line %u is no SHA-256 in 64 hexadecimal digits",
			    line)
			    .p;
		++*n;
	}
	return NULL;
}

const char *
pki_load_blocklist(struct arena *a, const char *path, struct pki_blocklist *out)
{
	uint8_t(*hashes)[32];
	const char *why;
	struct str text;

	if ((why = file_read(a, path, PKI_BLOCKLIST_FILE_MAX, false, &text)) !=
	    NULL)
		return why;
	*out = (struct pki_blocklist){ .n = 0 };
	hashes = arena_zalloc_array(a, text.n / 64 + 1, 32);
	why = read_lines(a, text, hashes, &out->n);
	file_free(text);
	if (why != NULL)
		return str_printf(a, "%s: %s", path, why).p;
	qsort(hashes, out->n, 32, compare);
	out->hashes = (const uint8_t(*)[32])hashes;
	return NULL;
}

bool
pki_is_blocked(const struct pki_blocklist *list, const uint8_t hash[static 32])
{
	return list->n > 0 &&
	    bsearch(hash, list->hashes, list->n, 32, compare) != NULL;
}
