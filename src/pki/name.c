/* SPDX-License-Identifier: ISC */
/*
 * DNS names as certificates hold them (RFC 5280 section 4.2.1.6, RFC 9525
 * section 6.3) and sets of names.
 */
#include "pki/name.h"

#include <stdlib.h>

#include "base/buf.h"
#include "pki/pki_int.h"

enum {
	/* Punycode, RFC 3492 section 5 */
	PUNY_BASE = 36,
	PUNY_T_MIN = 1,
	PUNY_T_MAX = 26,
	PUNY_SKEW = 38,
	PUNY_DAMP = 700,
	PUNY_BIAS = 72,
	PUNY_FIRST = 0x80,
	CODE_POINT_MAX = 0x10ffff,
};

/* ---- Punycode: is what follows "xn--" the text of some string? */

/* 0 to 35, or -1. */
static int
puny_digit(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '0' && c <= '9')
		return c - '0' + 26;
	return -1;
}

static unsigned
puny_adapt(unsigned delta, unsigned npoints, bool first)
{
	unsigned k = 0;

	delta = first ? delta / PUNY_DAMP : delta / 2;
	delta += delta / npoints;
	for (; delta > (PUNY_BASE - PUNY_T_MIN) * PUNY_T_MAX / 2;
	     k += PUNY_BASE)
		delta /= PUNY_BASE - PUNY_T_MIN;
	return k + (PUNY_BASE - PUNY_T_MIN + 1) * delta / (delta + PUNY_SKEW);
}

/* One generalized variable-length integer off the front of *s. */
static bool
puny_number(struct str *s, unsigned bias, unsigned *out)
{
	unsigned v = 0, weight = 1;

	for (unsigned k = PUNY_BASE;; k += PUNY_BASE) {
		unsigned t = k <= bias    ? PUNY_T_MIN :
		    k - bias > PUNY_T_MAX ? PUNY_T_MAX :
					    k - bias;
		int d = s->n > 0 ? puny_digit(s->p[0]) : -1;
		unsigned step;

		if (d < 0 ||
		    __builtin_mul_overflow((unsigned)d, weight, &step) ||
		    __builtin_add_overflow(v, step, &v))
			return false;
		*s = str_skip(*s, 1);
		if ((unsigned)d < t) {
			*out = v;
			return true;
		}
		if (__builtin_mul_overflow(weight, PUNY_BASE - t, &weight))
			return false;
	}
}

/* No control, surrogate, private use or noncharacter code point. */
static bool
is_letter_like(unsigned c)
{
	return c >= 0xa1 && c <= CODE_POINT_MAX &&
	    !(c >= 0xd800 && c < 0xf900) && (c & 0xfffe) != 0xfffe &&
	    !(c >= 0xfdd0 && c < 0xfdf0) && c < 0xe0000;
}

/*
 * The encoder has one output for each string, and each decodable text is the
 * output for what it decodes to; so decoding proves it. The code points come
 * in rising order, which leaves no need to build the string.
 */
static bool
is_punycode(struct str s)
{
	unsigned c = PUNY_FIRST, bias = PUNY_BIAS, npoints = 0, at = 0, delta;

	/* the letters in front of the last hyphen stand for themselves */
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '-')
			npoints = (unsigned)i;
	if (npoints > 0)
		s = str_skip(s, npoints + 1);
	if (s.n == 0)
		return false; /* then it need not be encoded */
	for (bool first = true; s.n > 0; first = false) {
		if (!puny_number(&s, bias, &delta))
			return false;
		bias = puny_adapt(delta, ++npoints, first);
		if (__builtin_add_overflow(at, delta, &at) ||
		    __builtin_add_overflow(c, at / npoints, &c) ||
		    !is_letter_like(c))
			return false;
		at = at % npoints + 1;
	}
	return true;
}

/* ---- DNS names */

static bool
is_ldh(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static const char *
check_label(struct str l)
{
	if (l.n == 0)
		return "has an empty label";
	if (l.n > PKI_LABEL_MAX)
		return "has a label of more than 63 characters";
	for (size_t i = 0; i < l.n; i++) {
		if (l.p[i] >= 'A' && l.p[i] <= 'Z')
			return "has upper-case letters";
		if (l.p[i] == '*')
			return "has a \"*\" that is not its whole first label";
		if (!is_ldh(l.p[i]))
			return "has characters other than letters, digits, "
			       "hyphens and dots";
	}
	if (l.p[0] == '-' || l.p[l.n - 1] == '-')
		return "has a label that begins or ends with a hyphen";
	if (l.n < 4 || l.p[2] != '-' || l.p[3] != '-')
		return NULL;
	if (!str_starts(l, STR("xn--")))
		return "has a label with \"--\" as its third and fourth "
		       "character";
	if (!is_punycode(str_skip(l, 4)))
		return "has an \"xn--\" label that is not valid Punycode";
	return NULL;
}

/* Would some software take the last label for the end of an address? */
static bool
is_number(struct str l)
{
	size_t i = 0;

	if (str_starts(l, STR("0x"))) {
		for (i = 2; i < l.n; i++)
			if (!((l.p[i] >= '0' && l.p[i] <= '9') ||
				(l.p[i] >= 'a' && l.p[i] <= 'f')))
				return false;
		return true;
	}
	while (i < l.n && l.p[i] >= '0' && l.p[i] <= '9')
		i++;
	return i == l.n;
}

const char *
pki_check_dns_name(struct str name, bool wildcard_allowed)
{
	struct str rest = name, label = name;
	const char *why;

	if (name.n == 0)
		return "is empty";
	if (name.n > PKI_NAME_MAX)
		return "has more than 253 characters";
	if (str_starts(name, STR("*."))) {
		if (!wildcard_allowed)
			return "is a wildcard";
		rest = str_skip(name, 2);
	}
	if (name.p[name.n - 1] == '.')
		return "ends with a dot";
	while (rest.n > 0) {
		label = str_cut(&rest, '.');
		if ((why = check_label(label)) != NULL)
			return why;
	}
	return is_number(label) ? "ends with a number" : NULL;
}

/* ---- sets */

static int
compare_str(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static int
compare_addr(const void *a, const void *b)
{
	const struct addr *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->bytes, y->bytes, x->len);
}

void
pki_names_sort(struct pki_names *names)
{
	size_t n = 0;

	if (names->ndns > 1) {
		qsort(names->dns, names->ndns, sizeof(names->dns[0]),
		    compare_str);
		for (size_t i = 0; i < names->ndns; i++)
			if (i == 0 || !str_eq(names->dns[i], names->dns[n - 1]))
				names->dns[n++] = names->dns[i];
		names->ndns = n;
	}
	if (names->nips > 1) {
		qsort(names->ips, names->nips, sizeof(names->ips[0]),
		    compare_addr);
		n = 0;
		for (size_t i = 0; i < names->nips; i++)
			if (i == 0 ||
			    !addr_eq(names->ips[i], names->ips[n - 1]))
				names->ips[n++] = names->ips[i];
		names->nips = n;
	}
}

bool
pki_names_equal(const struct pki_names *a, const struct pki_names *b)
{
	if (a->ndns != b->ndns || a->nips != b->nips)
		return false;
	for (size_t i = 0; i < a->ndns; i++)
		if (!str_eq(a->dns[i], b->dns[i]))
			return false;
	for (size_t i = 0; i < a->nips; i++)
		if (!addr_eq(a->ips[i], b->ips[i]))
			return false;
	return true;
}

struct pki_names
pki_names_copy(struct arena *a, const struct pki_names *from)
{
	struct pki_names to = { .dns = arena_array(a, struct str,
				    from->ndns + 1),
		.ips = arena_array(a, struct addr, from->nips + 1),
		.ndns = from->ndns,
		.nips = from->nips };

	for (size_t i = 0; i < from->ndns; i++)
		to.dns[i] = str_dup(a, from->dns[i]);
	for (size_t i = 0; i < from->nips; i++)
		to.ips[i] = from->ips[i];
	return to;
}

struct str
pki_names_text(struct arena *a, const struct pki_names *names)
{
	struct buf b = buf_new(a, PKI_NAMES_MAX * 256);

	for (size_t i = 0; i < names->ndns; i++) {
		buf_str(&b, names->dns[i]);
		buf_char(&b, ' ');
	}
	for (size_t i = 0; i < names->nips; i++) {
		buf_str(&b, addr_text(a, names->ips[i]));
		buf_char(&b, ' ');
	}
	return b.len > 0 ? str_make(b.p, b.len - 1) : STR("");
}

struct str
pki_name_key(struct arena *a, struct str name)
{
	struct addr ip;
	size_t end = name.n, from, n = 0;
	char *out;

	if (addr_parse(name, &ip))
		return str_join(a, STR("@"), name);
	out = arena_alloc(a, name.n + 1);
	for (;; end = from - 1) {
		for (from = end; from > 0 && name.p[from - 1] != '.';)
			from--;
		memcpy(out + n, name.p + from, end - from);
		n += end - from;
		out[n++] = '.';
		if (from == 0)
			return str_make(out, n);
	}
}

bool
pki_names_has_dns(const struct pki_names *names, struct str name)
{
	return names->ndns > 0 &&
	    bsearch(&name, names->dns, names->ndns, sizeof(names->dns[0]),
		compare_str) != NULL;
}

bool
pki_names_has_ip(const struct pki_names *names, struct addr ip)
{
	return names->nips > 0 &&
	    bsearch(&ip, names->ips, names->nips, sizeof(names->ips[0]),
		compare_addr) != NULL;
}
