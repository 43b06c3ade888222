/* SPDX-License-Identifier: ISC */
/*
 * Judging what the server hands out: each chain parses, its leaf is for the
 * names and the key that were asked for and valid now, its serial is that of no
 * other one of its issuer, each certificate is signed by the next, and the last
 * by one of the roots if any are given.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/when.h"
#include "bench/bench.h"
#include "pki/cert.h"

enum { ISSUERS_MAX = 8, SERIALS_MIN = 1024 };

/* The chain above the leaf, which seldom changes: checked once. */
struct issuer {
	struct str pem; /* as it was sent, behind the leaf */
	struct pki_cert cert;
};

/* A leaf whose signature is still to be checked. */
struct kept {
	struct str der;
	const struct issuer *issuer;
};

/* One that was handed out: the issuer's name and the number. */
struct serial {
	const struct issuer *issuer;
	struct str number; /* p is NULL: nothing is here */
};

struct verifier {
	struct arena *arena;
	struct pki_cert *roots;
	size_t nroots;
	struct issuer issuers[ISSUERS_MAX];
	size_t nissuers;
	struct kept *kept;
	size_t nkept;
	struct serial *serials; /* by hash; at most half of them are used */
	size_t nserials, serials_cap; /* a power of two */
	size_t bad;                   /* signatures found bad at once */
};

/* All of a small file; p is NULL if it cannot be read. */
static struct str
read_file(struct arena *a, const char *path)
{
	char *p = arena_alloc(a, BENCH_FILE_MAX);
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return STR_NONE;
	n = fread(p, 1, BENCH_FILE_MAX, f);
	(void)fclose(f);
	return str_make(p, n);
}

static const char *
read_roots(struct verifier *v, const char *path)
{
	struct str text = read_file(v->arena, path);
	struct str *ders;
	const char *why;

	if (text.p == NULL)
		return "cannot be read";
	if ((why = pki_parse_pem(v->arena, text, &ders, &v->nroots)) != NULL)
		return why;
	v->roots = arena_array(v->arena, struct pki_cert, v->nroots);
	for (size_t i = 0; i < v->nroots; i++)
		if ((why = pki_parse_cert(v->arena, ders[i], &v->roots[i])) !=
		    NULL)
			return why;
	return NULL;
}

struct verifier *
verifier_new(struct arena *a, const char *roots, const char **why)
{
	struct verifier *v = arena_new(a, struct verifier);

	v->arena = a;
	v->kept = arena_array(a, struct kept, BENCH_KEPT_MAX);
	v->serials_cap = SERIALS_MIN;
	v->serials = arena_array(a, struct serial, v->serials_cap);
	if (roots != NULL && (*why = read_roots(v, roots)) != NULL)
		return NULL;
	return v;
}

/* Is it one of the roots, or signed by one? */
static bool
ends_in_root(const struct verifier *v, const struct pki_cert *c)
{
	if (v->nroots == 0)
		return true;
	for (size_t i = 0; i < v->nroots; i++)
		if (str_eq(c->der, v->roots[i].der) ||
		    pki_cert_is_signed_by(c, &v->roots[i]))
			return true;
	return false;
}

/* Is each certificate above a leaf signed by the next, up to a root? */
static const char *
check_issuers(struct arena *a, const struct verifier *v, struct str pem)
{
	struct pki_cert first, below, next;
	struct str *ders;
	const char *why;
	size_t n;

	if ((why = pki_parse_pem(a, pem, &ders, &n)) != NULL ||
	    (why = pki_parse_cert(a, ders[0], &first)) != NULL)
		return why;
	below = first;
	for (size_t i = 1; i < n; i++) {
		why = pki_parse_cert(a, ders[i], &next);
		if (why != NULL)
			return why;
		if (!pki_cert_is_signed_by(&below, &next))
			return "an issuer is not signed by the next one";
		below = next;
	}
	if (!first.ca)
		return "the issuer is no CA";
	if (!ends_in_root(v, &below))
		return "the chain does not end in the roots given";
	return NULL;
}

/* Only what is good is kept: what is not may come again and again. */
static const char *
add_issuer(struct arena *a, struct verifier *v, struct str pem,
    const struct issuer **out)
{
	struct issuer *is = &v->issuers[v->nissuers];
	struct str *ders;
	const char *why;
	size_t n;

	if (v->nissuers == ISSUERS_MAX)
		return "there are too many different issuers";
	if ((why = check_issuers(a, v, pem)) != NULL)
		return why;
	is->pem = str_dup(v->arena, pem);
	if ((why = pki_parse_pem(v->arena, is->pem, &ders, &n)) != NULL ||
	    (why = pki_parse_cert(v->arena, ders[0], &is->cert)) != NULL)
		return why;
	v->nissuers++;
	*out = is;
	return NULL;
}

static const char *
find_issuer(struct arena *a, struct verifier *v, struct str pem,
    const struct issuer **out)
{
	for (size_t i = 0; i < v->nissuers; i++)
		if (str_eq(v->issuers[i].pem, pem)) {
			*out = &v->issuers[i];
			return NULL;
		}
	return add_issuer(a, v, pem, out);
}

/* Cut a chain behind its first certificate. */
static bool
split_chain(struct str pem, struct str *leaf, struct str *rest)
{
	static const char end[] = "-----END CERTIFICATE-----";
	const char *p = memmem(pem.p, pem.n, end, sizeof(end) - 1);

	if (p == NULL)
		return false;
	*leaf = str_make(pem.p, (size_t)(p - pem.p) + sizeof(end) - 1);
	*rest = str_skip(pem, leaf->n);
	while (rest->n > 0 && (rest->p[0] == '\n' || rest->p[0] == '\r'))
		*rest = str_skip(*rest, 1);
	return true;
}

static const char *
check_leaf(const struct job *job, const struct pki_cert *leaf,
    const struct pki_cert *issuer)
{
	int64_t now = when_now() / WHEN_SECOND; /* time() lags some ms */

	if (!str_eq(leaf->spki, job->spki))
		return "the certificate is for another key";
	if (!pki_names_equal(&leaf->names, &job->names) || leaf->san_other)
		return "the certificate is for other names";
	if (leaf->ca)
		return "the certificate is a CA's";
	if (!str_eq(leaf->issuer, issuer->subject))
		return "the chain's second certificate is not the issuer";
	if (now < leaf->not_before || now > leaf->not_after)
		return "the certificate is not valid now";
	return NULL;
}

/* Where it is, or where it is to be put. FNV-1a. */
static struct serial *
find_serial(struct serial *all, size_t cap, const struct serial *s)
{
	uint64_t h = UINT64_C(14695981039346656037);
	size_t i;

	for (i = 0; i < s->number.n; i++)
		h = (h ^ (uint8_t)s->number.p[i]) * UINT64_C(1099511628211);
	for (i = h % cap; all[i].number.p != NULL; i = (i + 1) % cap)
		if (all[i].issuer == s->issuer &&
		    str_eq(all[i].number, s->number))
			break;
	return &all[i];
}

static void
widen_serials(struct verifier *v)
{
	size_t cap = v->serials_cap * 2;
	struct serial *all = arena_array(v->arena, struct serial, cap);

	for (size_t i = 0; i < v->serials_cap; i++)
		if (v->serials[i].number.p != NULL)
			*find_serial(all, cap, &v->serials[i]) = v->serials[i];
	v->serials = all; /* the old ones go with the arena */
	v->serials_cap = cap;
}

/* False if the issuer has given this serial before. */
static bool
add_serial(struct verifier *v, const struct issuer *is, struct str number)
{
	const struct serial s = { .issuer = is, .number = number };
	struct serial *at = find_serial(v->serials, v->serials_cap, &s);

	if (at->number.p != NULL)
		return false;
	*at = (struct serial){ .issuer = is,
		.number = str_dup(v->arena, number) };
	if (++v->nserials * 2 > v->serials_cap)
		widen_serials(v);
	return true;
}

/* Check the leaf's signature later, or now if too many wait. */
static void
keep(struct verifier *v, const struct pki_cert *leaf, const struct issuer *is)
{
	if (v->nkept < BENCH_KEPT_MAX) {
		v->kept[v->nkept++] = (struct kept){
			.der = str_dup(v->arena, leaf->der),
			.issuer = is,
		};
		return;
	}
	if (!pki_cert_is_signed_by(leaf, &is->cert))
		v->bad++;
}

const char *
verifier_take(struct arena *a, struct verifier *v, const struct job *job,
    struct str pem)
{
	const struct issuer *is = NULL;
	struct str first, rest, *ders;
	struct pki_cert leaf;
	const char *why;
	size_t n;

	if (!split_chain(pem, &first, &rest) || rest.n == 0)
		return "the chain holds no two certificates";
	if ((why = find_issuer(a, v, rest, &is)) != NULL ||
	    (why = pki_parse_pem(a, first, &ders, &n)) != NULL ||
	    (why = pki_parse_cert(a, ders[0], &leaf)) != NULL ||
	    (why = check_leaf(job, &leaf, &is->cert)) != NULL)
		return why;
	if (!add_serial(v, is, leaf.serial))
		return "the serial is that of another certificate";
	keep(v, &leaf, is);
	return NULL;
}

size_t
verifier_finish(struct verifier *v)
{
	size_t bad = v->bad;

	for (size_t i = 0; i < v->nkept; i++) {
		struct arena *a = arena_create();
		struct pki_cert leaf;

		if (pki_parse_cert(a, v->kept[i].der, &leaf) != NULL ||
		    !pki_cert_is_signed_by(&leaf, &v->kept[i].issuer->cert))
			bad++;
		arena_destroy(a);
	}
	return bad;
}
