/* SPDX-License-Identifier: ISC */
/*
 * DER for tests, written without the module's own writers, so that anything
 * can be put together, right or wrong.
 */
#ifndef TESTS_PKI_DER_H
#define TESTS_PKI_DER_H

#include <stdarg.h>

#include "base/arena.h"
#include "base/str.h"

#define BYTES(text) str_make("" text, sizeof(text) - 1)

/* Tags */
enum {
	BOOL = 0x01,
	INT = 0x02,
	BITS = 0x03,
	OCTETS = 0x04,
	NUL = 0x05,
	OID = 0x06,
	UTF8 = 0x0c,
	PRINTABLE = 0x13,
	IA5 = 0x16,
	UTC = 0x17,
	GENERALIZED = 0x18,
	BMP = 0x1e,
	SEQ = 0x30,
	SET = 0x31,
	CTX = 0x80,     /* primitive context-specific */
	CTX_SEQ = 0xa0, /* constructed */
};

/* Contents of some OIDs */
#define OID_TEXT_CN "\x55\x04\x03"
#define OID_TEXT_O "\x55\x04\x0a"
#define OID_TEXT_SKI "\x55\x1d\x0e"
#define OID_TEXT_KU "\x55\x1d\x0f"
#define OID_TEXT_SAN "\x55\x1d\x11"
#define OID_TEXT_BASIC "\x55\x1d\x13"
#define OID_TEXT_CRL "\x55\x1d\x1f"
#define OID_TEXT_AKI "\x55\x1d\x23"
#define OID_TEXT_EKU "\x55\x1d\x25"
#define OID_TEXT_NO_REV "\x55\x1d\x38"
#define OID_TEXT_AIA "\x2b\x06\x01\x05\x05\x07\x01\x01"
#define OID_TEXT_TLS "\x2b\x06\x01\x05\x05\x07\x01\x18"
#define OID_TEXT_NOCHECK "\x2b\x06\x01\x05\x05\x07\x30\x01\x05"
#define OID_TEXT_EXTREQ "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"
#define OID_TEXT_UNKNOWN "\x2a\x03\x04\x05"
#define ALG_ES256 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define ALG_ES384 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"
#define ALG_ES1 "\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01"

#define END ((struct str){ .p = NULL, .n = SIZE_MAX })

/* One element. */
static inline struct str
tlv(struct arena *a, unsigned tag, struct str contents)
{
	unsigned char *p = arena_alloc(a, contents.n + 5);
	size_t n = 0;

	p[n++] = (unsigned char)tag;
	if (contents.n >= 0x10000)
		p[n++] = 0x83, p[n++] = (unsigned char)(contents.n >> 16),
		p[n++] = (unsigned char)(contents.n >> 8);
	else if (contents.n >= 0x100)
		p[n++] = 0x82, p[n++] = (unsigned char)(contents.n >> 8);
	else if (contents.n >= 0x80)
		p[n++] = 0x81;
	p[n++] = (unsigned char)contents.n;
	if (contents.n > 0)
		memcpy(p + n, contents.p, contents.n);
	return str_make(p, n + contents.n);
}

/* One behind the other, up to END. */
static inline struct str
join(struct arena *a, struct str first, ...)
{
	char *p = arena_alloc(a, 200000);
	size_t n = 0;
	va_list ap;

	va_start(ap, first);
	for (struct str s = first; s.n != SIZE_MAX;
	     s = va_arg(ap, struct str)) {
		if (s.n > 0)
			memcpy(p + n, s.p, s.n);
		n += s.n;
	}
	va_end(ap);
	return str_make(p, n);
}

/* One element of several. */
#define tlv_of(a, tag, ...) tlv((a), (tag), join((a), __VA_ARGS__, END))

/* An extension around the value's DER. */
static inline struct str
extension(struct arena *a, struct str oid, bool critical, struct str value)
{
	return tlv_of(a, SEQ, tlv(a, OID, oid),
	    critical ? BYTES("\x01\x01\xff") : STR(""), tlv(a, OCTETS, value));
}

/* A Name of one attribute. */
static inline struct str
name_of(struct arena *a, struct str oid, unsigned tag, struct str text)
{
	return tlv(a, SEQ,
	    tlv(a, SET, tlv_of(a, SEQ, tlv(a, OID, oid), tlv(a, tag, text))));
}

/* The parts of a to-be-signed certificate, each a whole element. */
struct parts {
	struct str version, serial, alg, issuer, validity, subject, spki;
	struct str exts; /* several elements; p NULL: no list at all */
	struct str tail;
};

static inline struct str
tbs_of(struct arena *a, const struct parts *p)
{
	struct str exts = STR("");

	if (p->exts.p != NULL)
		exts = tlv(a, CTX_SEQ | 3, tlv(a, SEQ, p->exts));
	return tlv_of(a, SEQ, p->version, p->serial, p->alg, p->issuer,
	    p->validity, p->subject, p->spki, exts, p->tail);
}

#endif
