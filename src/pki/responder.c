/* SPDX-License-Identifier: ISC */
/*
 * The certificate of a delegated responder, RFC 6960 section 4.2.2.2: issued
 * by the CA itself, for OCSP and nothing else, and of a life so short that
 * nobody need ask whether it is revoked (section 4.2.2.2.1).
 */
#include "pki/build_int.h"
#include "pki/ocsp.h"

struct exts {
	const struct pki_ca *ca;
	struct str spki;
};

static bool
build_nocheck(CBB *list)
{
	CBB ext, value;

	return build_open_ext(list, STR(OID_OCSP_NOCHECK), false, &ext,
		   &value) &&
	    der_add(&value, CBS_ASN1_NULL, STR("")) && CBB_flush(list);
}

static bool
build_exts(CBB *list, const void *arg)
{
	const struct exts *e = arg;

	return build_basic(list, false, -1) &&
	    build_key_usage(list, PKI_KU_DIGITAL_SIGNATURE) &&
	    build_eku(list, PKI_EKU_OCSP) && build_ski(list, e->spki) &&
	    build_aki(list, e->ca->cert.ski) && build_nocheck(list);
}

const char *
pki_make_responder(struct arena *a, const struct pki_ca *ca,
    const struct pki_responder_spec *spec, struct str *der)
{
	const struct sig_alg *alg = alg_of_key(ca->key);
	struct exts exts = { .ca = ca, .spki = spec->spki };
	struct build b = {
		.serial = spec->serial,
		.issuer = ca->cert.subject,
		.cn = spec->cn,
		.not_before = spec->not_before,
		.not_after = spec->not_after,
		.spki = spec->spki,
	};
	struct pki_lint_profile lint = {
		.issuer = &ca->cert,
		.spki = spec->spki,
		.serial = str_make(spec->serial, PKI_SERIAL_LEN),
		.max_lifetime = spec->not_after - spec->not_before + 1,
		.key_usage = PKI_KU_DIGITAL_SIGNATURE,
		.eku = PKI_EKU_OCSP,
		.responder = spec->cn,
	};
	struct str tbs;
	const char *why;

	if (alg == NULL)
		return "the CA's key is of no kind of ours";
	b.sig_alg = alg->der;
	tbs = build_tbs(a, &b, build_exts, &exts);
	if (tbs.p == NULL)
		return "a field is out of bounds";
	if ((why = pki_lint_tbs(a, tbs, &lint)) != NULL)
		return why;
	*der = alg_wrap(a, ca->key, tbs);
	return der->p != NULL ? NULL : "the signature failed";
}
