/* SPDX-License-Identifier: ISC */
/*
 * The lint against to-be-signed bytes put together by hand: each rule with a
 * certificate that breaks it and no other.
 */
#include "../unit.h"

#include "world.h"

/* What a good certificate has, piece by piece. */
static struct parts
good_parts(const struct world *w)
{
	struct arena *a = w->arena;

	return (struct parts){
		.version = BYTES("\xa0\x03\x02\x01\x02"),
		.serial = tlv(a, INT, str_make(w->spec.serial, PKI_SERIAL_LEN)),
		.alg = BYTES(ALG_ES256),
		.issuer = w->ca.cert.subject,
		.validity = validity_of(a, "260101000000Z", "260330235959Z"),
		.subject = BYTES("\x30\x00"),
		.spki = w->spec.spki,
	};
}

/* Its extensions, each at its place. */
enum { BASIC, KU, EKU, SKI, AKI, SAN, NEXTS };

struct exts {
	struct str e[NEXTS + 2]; /* room for two more */
};

#define SERVER_OID "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"
#define CLIENT_OID "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"

static struct str
san_names(const struct world *w)
{
	struct arena *a = w->arena;

	return join(a, tlv(a, CTX | 2, w->dns[0]), tlv(a, CTX | 2, w->dns[1]),
	    tlv(a, CTX | 7, str_make(w->ips[0].bytes, 4)),
	    tlv(a, CTX | 7, str_make(w->ips[1].bytes, 16)), END);
}

static struct str
san_ext(const struct world *w, bool critical, struct str names)
{
	return extension(w->arena, BYTES(OID_TEXT_SAN), critical,
	    tlv(w->arena, SEQ, names));
}

static struct exts
good_exts(const struct world *w)
{
	struct arena *a = w->arena;

	return (struct exts){ {
	    extension(a, BYTES(OID_TEXT_BASIC), true, BYTES("\x30\x00")),
	    extension(a, BYTES(OID_TEXT_KU), true, BYTES("\x03\x02\x07\x80")),
	    extension(a, BYTES(OID_TEXT_EKU), false,
		BYTES("\x30\x14" SERVER_OID CLIENT_OID)),
	    extension(a, BYTES(OID_TEXT_SKI), false, BYTES("\x04\x01\x01")),
	    extension(a, BYTES(OID_TEXT_AKI), false,
		tlv_of(a, SEQ, tlv(a, CTX | 0, w->ca.cert.ski))),
	    san_ext(w, true, san_names(w)),
	    STR(""),
	    STR(""),
	} };
}

static const char *
judge(const struct world *w, const struct parts *parts, const struct exts *exts)
{
	struct parts p = *parts;

	if (p.exts.p == NULL)
		p.exts = join(w->arena, exts->e[0], exts->e[1], exts->e[2],
		    exts->e[3], exts->e[4], exts->e[5], exts->e[6], exts->e[7],
		    END);
	return pki_lint_tbs(w->arena, tbs_of(w->arena, &p), &w->profile);
}

/* Change one thing of the good certificate and see what the lint says. */
#define BREAK(why, ...)                                                        \
	do {                                                                   \
		struct parts p = good_parts(w);                                \
		struct exts x = good_exts(w);                                  \
		__VA_ARGS__;                                                   \
		expect(judge(w, &p, &x), why);                                 \
	} while (0)

#define KEEP(...)                                                              \
	do {                                                                   \
		struct parts p = good_parts(w);                                \
		struct exts x = good_exts(w);                                  \
		__VA_ARGS__;                                                   \
		must(judge(w, &p, &x));                                        \
	} while (0)

static void
the_good_certificate_is_good(void **state)
{
	struct world *w = *state;

	KEEP((void)0);
	/* any order of the extensions, and basicConstraints left out */
	KEEP(x.e[6] = x.e[BASIC]; x.e[BASIC] = STR(""));
	KEEP(x.e[BASIC] = STR(""));
}

static void
version_and_serial_are_checked(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;

	BREAK("version", p.version = STR(""));
	BREAK("version", p.version = BYTES("\xa0\x03\x02\x01\x01"));
	BREAK("serial number is not an INTEGER", p.serial = BYTES("\x05\x00"));
	BREAK("not the one that was claimed", p.serial = BYTES("\x02\x01\x01"));
	BREAK("not positive", p.serial = BYTES("\x02\x00"));
	BREAK("not positive", p.serial = BYTES("\x02\x01\x00"));
	BREAK("not positive", p.serial = BYTES("\x02\x01\x80"));
	BREAK("zero byte too many", p.serial = BYTES("\x02\x02\x00\x01"));
	BREAK("more than 20 octets",
	    p.serial = tlv_of(a, INT, w->profile.serial, STR("12345")));
	w->profile.serial = STR_NONE;
	KEEP(p.serial = BYTES("\x02\x02\x00\x80"));
	KEEP(p.serial = tlv(a, INT, STR("12345678901234567890")));
}

static void
algorithm_and_issuer_are_checked(void **state)
{
	struct world *w = *state;
	struct pki_cert issuer = w->ca.cert;

	BREAK("algorithm is missing", p.alg = BYTES("\x05\x00"));
	BREAK("not one of ours", p.alg = BYTES(ALG_ES1));
	BREAK("not that of the issuer's key", p.alg = BYTES(ALG_ES384));
	BREAK("not that of the issuer's key",
	    p.alg = BYTES("\x30\x05\x06\x03\x2b\x65\x70"));
	BREAK("issuer is not the subject", p.issuer = w->root.cert.subject);
	BREAK("issuer is not the subject", p.issuer = BYTES("\x05\x00"));
	issuer.key = NULL;
	w->profile.issuer = &issuer;
	BREAK("issuer's key is of no kind", (void)0);
}

static void
validity_is_checked(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct pki_cert issuer = w->ca.cert;

	BREAK("validity is missing", p.validity = BYTES("\x05\x00"));
	BREAK("malformed", p.validity = BYTES("\x30\x00"));
	BREAK("malformed",
	    p.validity = validity_of(a, "260101000000Z", "260230235959Z"));
	BREAK("something behind it",
	    p.validity = tlv_of(a, SEQ, tlv(a, UTC, STR("260101000000Z")),
		tlv(a, UTC, STR("260102000000Z")), BYTES("\x05\x00")));
	BREAK("ends before it begins",
	    p.validity = validity_of(a, "260102000000Z", "260101235959Z"));
	BREAK("wrong form for its year",
	    p.validity = validity_of(a, "20260101000000Z", "260102000000Z"));
	BREAK("wrong form for its year",
	    p.validity = validity_of(a, "260101000000Z", "20260102000000Z"));
	BREAK("before the issuer's",
	    p.validity = validity_of(a, "250101000000Z", "260102000000Z"));
	BREAK("after the issuer's",
	    p.validity = validity_of(a, "260101000000Z", "320101000000Z"));
	BREAK("7776001 seconds is longer than the 7776000",
	    p.validity = validity_of(a, "260101000000Z", "260401000000Z"));
	KEEP(p.validity = validity_of(a, "260101000000Z", "260331235959Z"));
	KEEP(p.validity = validity_of(a, "260101000000Z", "260101000000Z"));

	issuer.not_after = INT64_MAX;
	w->profile.issuer = &issuer;
	w->profile.max_lifetime = INT64_MAX;
	KEEP(p.validity = validity_of(a, "491231235959Z", "20500101000000Z"));
	BREAK("wrong form for its year",
	    p.validity = validity_of(a, "491231235959Z", "20491231235959Z"));
}

static struct str
cn_of(const struct world *w, unsigned tag, struct str text)
{
	return name_of(w->arena, BYTES(OID_TEXT_CN), tag, text);
}

static void
the_subject_is_checked(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str att = tlv(a, SET,
	    tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_CN)),
		tlv(a, UTF8, STR("a.example"))));
	struct str long_cn = str_make(arena_zalloc(a, 65), 65);

	memset((char *)(uintptr_t)long_cn.p, 'x', 65);
	KEEP(p.subject = cn_of(w, UTF8, STR("a.example"));
	     x.e[SAN] = san_ext(w, false, san_names(w)));
	KEEP(p.subject = cn_of(w, UTF8, STR("2001:db8::1"));
	     x.e[SAN] = san_ext(w, false, san_names(w)));
	BREAK("none of the ordered names is the common name \"b.example\"",
	    p.subject = cn_of(w, UTF8, STR("b.example")));
	BREAK("none of the ordered names",
	    p.subject = cn_of(w, UTF8, STR("A.example")));
	BREAK("none of the ordered names",
	    p.subject = cn_of(w, UTF8, STR("10.1.2.4")));
	BREAK("not text of 1 to 64", p.subject = cn_of(w, UTF8, STR("")));
	BREAK("not text of 1 to 64", p.subject = cn_of(w, UTF8, long_cn));
	BREAK("not text of 1 to 64",
	    p.subject = cn_of(w, BMP, STR("a.example")));
	BREAK("more than one common name",
	    p.subject = tlv_of(a, SEQ, att, att));
	BREAK("more than a common name",
	    p.subject = name_of(a, BYTES(OID_TEXT_O), UTF8, STR("Org")));
	BREAK("subject is malformed", p.subject = BYTES("\x30\x01\x00"));
	BREAK("subject is malformed", p.subject = BYTES("\x05\x00"));
	BREAK("public key is not that of the CSR",
	    p.spki = pki_write_spki(a, w->ca.key));
	w->profile.spki = BYTES("\x30\x00");
	BREAK("public key is of no kind", p.spki = BYTES("\x30\x00"));
}

static void
the_frame_is_checked(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct parts p = good_parts(w);
	struct exts x = good_exts(w);
	struct str tbs;

	p.exts = join(a, x.e[0], x.e[1], x.e[2], x.e[3], x.e[4], x.e[5], END);
	tbs = tbs_of(a, &p);
	must(pki_lint_tbs(a, tbs, &w->profile));
	expect(pki_lint_tbs(a, join(a, tbs, BYTES("\x00"), END), &w->profile),
	    "not one SEQUENCE");
	for (size_t n = 0; n < tbs.n; n++)
		assert_non_null(
		    pki_lint_tbs(a, str_make(tbs.p, n), &w->profile));
	p.tail = BYTES("\x05\x00");
	expect(pki_lint_tbs(a, tbs_of(a, &p), &w->profile),
	    "something else than extensions");
	/* an issuerUniqueID */
	p.tail = p.exts = STR_NONE;
	p.spki = join(a, w->spec.spki, BYTES("\x81\x01\x00"), END);
	expect(pki_lint_tbs(a, tbs_of(a, &p), &w->profile),
	    "something else than extensions");
	p = good_parts(w);
	expect(pki_lint_tbs(a, tbs_of(a, &p), &w->profile),
	    "something else than extensions");
	p.tail = BYTES("\xa3\x04\x30\x00\x30\x00");
	expect(pki_lint_tbs(a, tbs_of(a, &p), &w->profile), "not one SEQUENCE");
	p.tail = BYTES("\xa3\x02\x30\x00");
	expect(pki_lint_tbs(a, tbs_of(a, &p), &w->profile),
	    "keyUsage is missing");
}

static void
extensions_are_ours_and_each_is_there_once(void **state)
{
	static const char *const missing[NEXTS] = { NULL, "keyUsage is missing",
		"extKeyUsage is missing", "subjectKeyIdentifier is missing",
		"authorityKeyIdentifier is missing",
		"subjectAltName is missing" };
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str odd = extension(a, BYTES(OID_TEXT_UNKNOWN), false, STR(""));

	for (size_t i = 0; i < NEXTS; i++) {
		if (missing[i] != NULL)
			BREAK(missing[i], x.e[i] = STR(""));
		BREAK("is there twice", x.e[6] = x.e[i]);
	}
	BREAK("extension that is not ours", x.e[6] = odd);
	BREAK("an extension is malformed", x.e[6] = BYTES("\x30\x00"));
	BREAK("an extension is malformed", x.e[6] = BYTES("\x05\x00"));
	BREAK("which DER leaves out",
	    x.e[SKI] = tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_SKI)),
		BYTES("\x01\x01\x00"), BYTES("\x04\x03\x04\x01\x01")));
	BREAK("which DER leaves out",
	    x.e[SKI] = tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_SKI)),
		BYTES("\x01\x01\x01"), BYTES("\x04\x03\x04\x01\x01")));
	BREAK("an extension is malformed",
	    x.e[SKI] = tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_SKI)),
		BYTES("\x04\x03\x04\x01\x01"), BYTES("\x05\x00")));
}

static void
extensions_are_critical_as_the_rfc_says(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;

	BREAK("keyUsage is not critical",
	    x.e[KU] = extension(a, BYTES(OID_TEXT_KU), false,
		BYTES("\x03\x02\x07\x80")));
	BREAK("extKeyUsage is critical",
	    x.e[EKU] = extension(a, BYTES(OID_TEXT_EKU), true,
		BYTES("\x30\x14" SERVER_OID CLIENT_OID)));
	BREAK("subjectKeyIdentifier is critical",
	    x.e[SKI] = extension(a, BYTES(OID_TEXT_SKI), true,
		BYTES("\x04\x01\x01")));
	BREAK("authorityKeyIdentifier is critical",
	    x.e[AKI] = extension(a, BYTES(OID_TEXT_AKI), true,
		tlv_of(a, SEQ, tlv(a, CTX | 0, w->ca.cert.ski))));
	BREAK("though the subject is empty",
	    x.e[SAN] = san_ext(w, false, san_names(w)));
	BREAK("though there is a subject",
	    p.subject = cn_of(w, UTF8, STR("a.example")));
}

static void
purposes_of_the_key_are_checked(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;

#define USAGE(bytes) extension(a, BYTES(OID_TEXT_KU), true, BYTES(bytes))
#define PURPOSE(bytes) extension(a, BYTES(OID_TEXT_EKU), false, BYTES(bytes))
	BREAK("more than \"no CA\"",
	    x.e[BASIC] = extension(a, BYTES(OID_TEXT_BASIC), true,
		BYTES("\x30\x03\x01\x01\xff")));
	BREAK("more than \"no CA\"",
	    x.e[BASIC] = extension(a, BYTES(OID_TEXT_BASIC), true,
		BYTES("\x30\x03\x01\x01\x00")));
	BREAK("keyUsage is malformed", x.e[KU] = USAGE("\x03\x01\x00"));
	BREAK("keyUsage is malformed", x.e[KU] = USAGE("\x03\x03\x07\x80\x80"));
	BREAK("keyUsage is malformed", x.e[KU] = USAGE("\x03\x02\x08\x80"));
	BREAK("shortest form", x.e[KU] = USAGE("\x03\x02\x06\x80"));
	BREAK("shortest form", x.e[KU] = USAGE("\x03\x02\x07\x81"));
	BREAK("shortest form", x.e[KU] = USAGE("\x03\x02\x07\x00"));
	BREAK("that of a CA", x.e[KU] = USAGE("\x03\x02\x02\x84"));
	BREAK("that of a CA", x.e[KU] = USAGE("\x03\x02\x01\x82"));
	BREAK("does not fit the kind of key",
	    x.e[KU] = USAGE("\x03\x02\x05\xa0"));
	BREAK("not that of the profile", x.e[KU] = USAGE("\x03\x02\x06\xc0"));
	BREAK("not that of the profile", x.e[KU] = USAGE("\x03\x02\x03\x88"));
	BREAK("malformed or empty", x.e[EKU] = PURPOSE("\x30\x00"));
	BREAK("malformed", x.e[EKU] = PURPOSE("\x30\x02\x05\x00"));
	BREAK("purpose twice",
	    x.e[EKU] = PURPOSE("\x30\x14" SERVER_OID SERVER_OID));
	BREAK("not that of the profile",
	    x.e[EKU] = PURPOSE("\x30\x0a" SERVER_OID));
	BREAK("not that of the profile",
	    x.e[EKU] = PURPOSE(
		"\x30\x1a" SERVER_OID CLIENT_OID "\x06\x04\x55\x1d\x25\x00"));
	w->profile.key_usage = 0;
	w->profile.eku = 0;
	KEEP(x.e[KU] = USAGE("\x03\x02\x03\x88"));
	BREAK("does not fit the kind of key",
	    x.e[KU] = USAGE("\x03\x02\x05\x20"));
	KEEP(x.e[EKU] = PURPOSE("\x30\x0a" SERVER_OID));
	BREAK("lacks serverAuth", x.e[EKU] = PURPOSE("\x30\x0a" CLIENT_OID));
}

static void
key_identifiers_are_checked(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;

#define KEY_ID(oid, bytes) extension(a, BYTES(oid), false, bytes)
	BREAK("subjectKeyIdentifier is malformed",
	    x.e[SKI] = KEY_ID(OID_TEXT_SKI, BYTES("\x04\x00")));
	BREAK("subjectKeyIdentifier is malformed",
	    x.e[SKI] = KEY_ID(OID_TEXT_SKI, BYTES("\x04\x01\x01\x00")));
	BREAK("has no key id",
	    x.e[AKI] = KEY_ID(OID_TEXT_AKI, BYTES("\x30\x00")));
	BREAK("not the issuer's key id",
	    x.e[AKI] = KEY_ID(OID_TEXT_AKI, BYTES("\x30\x03\x80\x01\x01")));
	BREAK("more than a key id",
	    x.e[AKI] = KEY_ID(OID_TEXT_AKI,
		tlv_of(a, SEQ, tlv(a, CTX | 0, w->ca.cert.ski),
		    BYTES("\x82\x01\x01"))));
}

static void
names_are_exactly_the_ordered_ones(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str all = san_names(w), dns = tlv(a, CTX | 2, w->dns[0]);
	struct str more = tlv(a, CTX | 2, STR("b.example"));

#define NAMES(names) x.e[SAN] = san_ext(w, true, names)
	BREAK("exactly the ordered names", NAMES(STR("")));
	BREAK("exactly the ordered names", NAMES(dns));
	BREAK("more names than were ordered", NAMES(join(a, all, more, END)));
	BREAK("exactly the ordered names",
	    NAMES(join(a, more, str_skip(all, dns.n), END)));
	/* as many as ordered, but one twice */
	BREAK("exactly the ordered names",
	    NAMES(join(a, dns, dns, str_skip(all, dns.n + 11), END)));
	BREAK("\"A.example\" has upper-case",
	    NAMES(tlv(a, CTX | 2, STR("A.example"))));
	BREAK("another type than DNS and IP",
	    NAMES(tlv(a, CTX | 1, STR("a@a.example"))));
	BREAK("address of a wrong length",
	    NAMES(tlv(a, CTX | 7, STR("12345"))));
	BREAK("address of a wrong length",
	    NAMES(tlv(a, CTX | 7,
		BYTES("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03"))));
	BREAK("subjectAltName is malformed",
	    NAMES(BYTES("\x82\x05"
			"a")));
	BREAK("subjectAltName is malformed",
	    x.e[SAN] = extension(a, BYTES(OID_TEXT_SAN), true,
		join(a, tlv(a, SEQ, all), BYTES("\0"), END)));
	/* any order will do */
	KEEP(NAMES(join(a, str_skip(all, dns.n), dns, END)));
}

#define URL_OF(tag, url) tlv(a, (tag), STR(url))

static void
addresses_for_revocation_are_urls(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str ocsp = BYTES("\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01");

#define AIA(...)                                                               \
	x.e[6] = extension(a, BYTES(OID_TEXT_AIA), false,                      \
	    tlv_of(a, SEQ, __VA_ARGS__))
#define ACCESS(url) tlv_of(a, SEQ, ocsp, tlv(a, CTX | 6, STR(url)))
#define CRL(full)                                                              \
	x.e[7] = extension(a, BYTES(OID_TEXT_CRL), false,                      \
	    tlv(a, SEQ,                                                        \
		tlv(a, SEQ, tlv(a, CTX_SEQ | 0, tlv(a, CTX_SEQ | 0, full)))))
	KEEP(AIA(ACCESS("http://x/")); CRL(URL_OF(CTX | 6, "https://x/c")));
	BREAK("malformed or empty", AIA(STR("")));
	BREAK("authorityInfoAccess has an entry", AIA(ACCESS("ldap://x/")));
	BREAK("authorityInfoAccess has an entry", AIA(ACCESS("http://x y/")));
	BREAK("authorityInfoAccess has an entry",
	    AIA(tlv_of(a, SEQ, ocsp, tlv(a, CTX | 2, STR("http://x/")))));
	BREAK("neither OCSP nor caIssuers",
	    AIA(tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_UNKNOWN)),
		tlv(a, CTX | 6, STR("http://x/")))));
	BREAK("cRLDistributionPoints has an entry", CRL(STR("")));
	BREAK("cRLDistributionPoints has an entry",
	    CRL(URL_OF(CTX | 6, "file:///x")));
	BREAK("cRLDistributionPoints has an entry",
	    CRL(URL_OF(CTX | 2, "http://x/")));
	BREAK("malformed or empty",
	    x.e[7] = extension(a, BYTES(OID_TEXT_CRL), false,
		BYTES("\x30\x00")));
	BREAK("is critical",
	    x.e[7] = extension(a, BYTES(OID_TEXT_CRL), true,
		BYTES("\x30\x00")));
}

static void
revocation_is_as_the_profile_wants_it(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str staple = extension(a, BYTES(OID_TEXT_TLS), false,
	    BYTES("\x30\x03\x02\x01\x05"));
	struct str no_rev = extension(a, BYTES(OID_TEXT_NO_REV), false,
	    BYTES("\x05\x00"));
	struct str ocsp = BYTES("\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01");

	BREAK("TLS feature that nobody asked for", x.e[6] = staple);
	BREAK("noRevAvail that nobody asked for", x.e[6] = no_rev);
	w->profile.must_staple = true;
	KEEP(x.e[6] = staple);
	BREAK("TLS feature is missing", (void)0);
	BREAK("not status_request alone",
	    x.e[6] = extension(a, BYTES(OID_TEXT_TLS), false,
		BYTES("\x30\x03\x02\x01\x11")));
	w->profile.must_staple = false;
	w->profile.no_rev_avail = true;
	KEEP(x.e[6] = no_rev);
	BREAK("noRevAvail is missing", (void)0);
	BREAK("noRevAvail is not NULL",
	    x.e[6] = extension(a, BYTES(OID_TEXT_NO_REV), false,
		BYTES("\x30\x00")));
	BREAK("beside an address for revocation", x.e[7] = no_rev;
	      AIA(ACCESS("http://x/")));
	BREAK("beside an address for revocation", x.e[6] = no_rev;
	      CRL(URL_OF(CTX | 6, "http://x/")));
}

static void
a_responder_is_one_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str nocheck = extension(a, BYTES(OID_TEXT_NOCHECK), false,
	    BYTES("\x05\x00"));
	struct str cn = name_of(a, BYTES(OID_TEXT_CN), UTF8, STR("Responder"));
	struct str eku = extension(a, BYTES(OID_TEXT_EKU), false,
	    BYTES("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x09"));

	BREAK("ocsp-nocheck stands in what is no responder's",
	    x.e[6] = nocheck);
	w->profile.responder = STR("Responder");
	w->profile.names = NULL;
	w->profile.eku = PKI_EKU_OCSP;
#define RESPONDER                                                              \
	p.subject = cn;                                                        \
	x.e[SAN] = STR("");                                                    \
	x.e[EKU] = eku;                                                        \
	x.e[6] = nocheck
	KEEP(RESPONDER);
	BREAK("ocsp-nocheck is missing", RESPONDER; x.e[6] = STR(""));
	BREAK("ocsp-nocheck is critical", RESPONDER;
	      x.e[6] = extension(a, BYTES(OID_TEXT_NOCHECK), true,
		  BYTES("\x05\x00")));
	BREAK("ocsp-nocheck is not NULL", RESPONDER;
	      x.e[6] = extension(a, BYTES(OID_TEXT_NOCHECK), false, STR("")));
	BREAK("has a subjectAltName", RESPONDER;
	      x.e[SAN] = san_ext(w, false, san_names(w)));
	BREAK("extKeyUsage is not that of the profile", RESPONDER;
	      x.e[EKU] = good_exts(w).e[EKU]);
	BREAK("has no common name", RESPONDER; p.subject = BYTES("\x30\x00"));
	BREAK("common name", RESPONDER;
	      p.subject = name_of(a, BYTES(OID_TEXT_CN), UTF8, STR("Other")));
#undef RESPONDER
}

static void
a_remote_issuer_has_some_habits(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct str odd = extension(a, BYTES(OID_TEXT_UNKNOWN), false, STR(""));
	struct str org = tlv_of(a, SEQ,
	    tlv(a, SET,
		tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_O)),
		    tlv(a, UTF8, STR("Org")))),
	    tlv(a, SET,
		tlv_of(a, SEQ, tlv(a, OID, BYTES(OID_TEXT_CN)),
		    tlv(a, PRINTABLE, STR("A.example")))));

	w->profile.remote = true;
	w->profile.key_usage = w->profile.eku = 0;
	w->profile.serial = STR_NONE;
	KEEP((void)0);
	/* signature, key encipherment and agreement, whatever the key */
	KEEP(x.e[KU] = USAGE("\x03\x02\x03\xa8"));
	KEEP(p.subject = org);
	KEEP(p.subject = org; x.e[SAN] = san_ext(w, false, san_names(w)));
	KEEP(x.e[AKI] = STR(""); x.e[SKI] = STR(""); x.e[6] = odd);
	KEEP(p.alg = BYTES(ALG_ES384));
	/* what hurts is refused all the same */
	BREAK("extension is there twice", x.e[6] = odd; x.e[7] = odd);
	BREAK("extension that is not ours",
	    x.e[6] = extension(a, BYTES(OID_TEXT_UNKNOWN), true, STR("")));
	BREAK("subjectAltName is missing", x.e[SAN] = STR(""));
	BREAK("though the subject is empty",
	    x.e[SAN] = san_ext(w, false, san_names(w)));
	BREAK("that of a CA", x.e[KU] = USAGE("\x03\x02\x02\x84"));
	BREAK("more than \"no CA\"",
	    x.e[BASIC] = extension(a, BYTES(OID_TEXT_BASIC), true,
		BYTES("\x30\x03\x01\x01\xff")));
	BREAK("none of the ordered names",
	    p.subject = cn_of(w, UTF8, STR("b.example")));
	BREAK("not that of the issuer's key",
	    p.alg = BYTES("\x30\x05\x06\x03\x2b\x65\x70"));
}

static void
a_whole_certificate_is_judged_with_its_signature(void **state)
{
	struct world *w = *state;
	struct arena *a = w->arena;
	struct parts p = good_parts(w);
	struct exts x = good_exts(w);
	struct str tbs, der, alg = BYTES(ALG_ES256), sig;

	p.exts = join(a, x.e[0], x.e[1], x.e[2], x.e[3], x.e[4], x.e[5], END);
	tbs = tbs_of(a, &p);
	der = alg_wrap(a, w->ca.key, tbs);
	must(pki_lint_cert(a, der, &w->profile));
	expect(pki_lint_cert(a, join(a, der, BYTES("\0"), END), &w->profile),
	    "something behind it");
	expect(pki_lint_cert(a, tbs, &w->profile), "not a certificate");
	expect(pki_lint_cert(a,
		   str_make(arena_zalloc(a, PKI_CERT_MAX + 1),
		       PKI_CERT_MAX + 1),
		   &w->profile),
	    "not a certificate");
	expect(pki_lint_cert(a, alg_wrap(a, w->key, tbs), &w->profile),
	    "signature is not the issuer's");
	sig = BYTES("\x03\x01\x00");
	expect(pki_lint_cert(a, tlv_of(a, SEQ, tbs, alg, sig), &w->profile),
	    "signature is not the issuer's");
	expect(pki_lint_cert(a, tlv_of(a, SEQ, tbs, BYTES(ALG_ES384), sig),
		   &w->profile),
	    "stands there twice and differs");
}

/* Offsets of bytes that any certificate may choose freely. */
static bool
is_free(const struct pki_cert *c, const char *at, struct str validity)
{
	return (at >= c->ski.p && at < c->ski.p + c->ski.n) ||
	    (at >= c->ocsp_url.p && at < c->ocsp_url.p + c->ocsp_url.n) ||
	    (at >= validity.p && at < validity.p + validity.n);
}

static void
no_flipped_bit_goes_unnoticed(void **state)
{
	struct world *w = *state;
	struct str tbs, validity;
	struct pki_cert c;
	size_t free = 0;

	w->spec.cn = STR("a.example");
	w->spec.must_staple = w->profile.must_staple = true;
	w->spec.ocsp_url = STR("http://ocsp.example/");
	tbs = pki_build_tbs(w->arena, &w->ca, &w->spec);
	must(pki_parse_cert(w->arena, pki_sign_tbs(w->arena, &w->ca, tbs), &c));
	tbs = c.tbs;
	/* it stands between issuer and subject */
	validity.p = c.issuer.p + c.issuer.n;
	validity.n = (size_t)(c.subject.p - validity.p);
	must(pki_lint_tbs(w->arena, tbs, &w->profile));
	for (size_t i = 0; i < tbs.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct arena *a = arena_create();
			char *p = str_cstr(a, tbs);

			p[i] = (char)(p[i] ^ 1 << bit);
			if (pki_lint_tbs(a, str_make(p, tbs.n), &w->profile) ==
			    NULL) {
				if (!is_free(&c, tbs.p + i, validity))
					fail_msg("bit %d of byte %zu", bit, i);
				free++;
			}
			arena_destroy(a);
		}
	assert_true(free >= 160); /* the key identifier at least */
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_world, drop_world)
	const struct CMUnitTest tests[] = {
		T(the_good_certificate_is_good),
		T(version_and_serial_are_checked),
		T(algorithm_and_issuer_are_checked),
		T(validity_is_checked),
		T(the_subject_is_checked),
		T(the_frame_is_checked),
		T(extensions_are_ours_and_each_is_there_once),
		T(extensions_are_critical_as_the_rfc_says),
		T(purposes_of_the_key_are_checked),
		T(key_identifiers_are_checked),
		T(names_are_exactly_the_ordered_ones),
		T(addresses_for_revocation_are_urls),
		T(revocation_is_as_the_profile_wants_it),
		T(a_responder_is_one_and_nothing_else),
		T(a_remote_issuer_has_some_habits),
		T(a_whole_certificate_is_judged_with_its_signature),
		T(no_flipped_bit_goes_unnoticed),
	};

	return cmocka_run_group_tests_name("lint", tests, NULL, NULL);
}
