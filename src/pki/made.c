/* SPDX-License-Identifier: ISC */
/* CAs that we make ourselves: a root, and an issuing CA under it. */
#include "base/id.h"
#include "base/when.h"
#include "pki/build_int.h"
#include "pki/ca.h"

#define DAY INT64_C(86400)
#define YEAR (365 * DAY)

enum { ROOT_YEARS = 20, ISSUING_YEARS = 5, CN_MAX = 64 };

/* What the extensions of a CA certificate say. */
struct ca_exts {
	struct str spki, aki; /* aki is empty for a root */
	int path_len;
	unsigned key_usage;
};

void
pki_random_serial(uint8_t out[static PKI_SERIAL_LEN])
{
	uint64_t ms = (uint64_t)(when_now() / 1000);

	for (size_t i = PKI_SERIAL_TIME; i-- > 0; ms >>= 8)
		out[i] = (uint8_t)ms;
	/* positive and of one spelling, whatever the clock says */
	if (out[0] == 0 || out[0] > 0x7f)
		out[0] = 1;
	id_random(out + PKI_SERIAL_TIME, PKI_SERIAL_LEN - PKI_SERIAL_TIME);
}

static bool
build_ca_exts(CBB *list, const void *arg)
{
	const struct ca_exts *e = arg;

	return build_basic(list, true, e->path_len) &&
	    build_key_usage(list, e->key_usage) && build_ski(list, e->spki) &&
	    (e->aki.n == 0 || build_aki(list, e->aki));
}

/* Characters of well-formed UTF-8. */
static size_t
count_chars(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
	return n;
}

static const char *
check_common_name(struct str cn)
{
	if (cn.n == 0 || !str_is_text(cn) || count_chars(cn) > CN_MAX)
		return "the common name of a CA must be 1 to 64 characters "
		       "of UTF-8";
	return NULL;
}

static struct str
encode_name(struct arena *a, struct str cn)
{
	CBB cbb;

	CBB_zero(&cbb);
	if (!CBB_init(&cbb, 128) || !build_name(&cbb, cn)) {
		CBB_cleanup(&cbb);
		return STR_NONE;
	}
	return der_take(a, &cbb);
}

static const char *
make(struct arena *a, const struct build *b, const struct ca_exts *exts,
    EVP_PKEY *signer, struct pki_made *out)
{
	uint8_t serial[PKI_SERIAL_LEN];
	struct build mine = *b;

	pki_random_serial(serial);
	mine.serial = serial;
	mine.sig_alg = alg_of_key(signer)->der;
	mine.spki = exts->spki;
	out->der = alg_wrap(a, signer,
	    build_tbs(a, &mine, build_ca_exts, exts));
	return out->der.p != NULL ? NULL :
				    "the CA certificate cannot be made; is "
				    "the clock right?";
}

const char *
pki_make_root(struct arena *a, struct str cn, int64_t now, struct pki_made *out)
{
	struct build b = {
		.cn = cn,
		.not_before = now - DAY,
		.not_after = now + ROOT_YEARS * YEAR,
	};
	struct ca_exts exts = {
		.path_len = -1,
		.key_usage = PKI_KU_CERT_SIGN | PKI_KU_CRL_SIGN,
	};
	const char *why;

	if ((why = check_common_name(cn)) != NULL)
		return why;
	out->key = pki_generate_key(PKI_P384);
	arena_defer(a, pki_free_key, out->key);
	exts.spki = pki_write_spki(a, out->key);
	b.issuer = encode_name(a, cn);
	return make(a, &b, &exts, out->key, out);
}

const char *
pki_make_issuing(struct arena *a, const struct pki_ca *root, struct str cn,
    int64_t now, struct pki_made *out)
{
	struct build b = {
		.cn = cn,
		.not_before = now - DAY,
		.not_after = now + ISSUING_YEARS * YEAR,
		.issuer = root->cert.subject,
	};
	struct ca_exts exts = {
		.aki = root->cert.ski,
		.path_len = 0,
		.key_usage = PKI_KU_DIGITAL_SIGNATURE | PKI_KU_CERT_SIGN |
		    PKI_KU_CRL_SIGN,
	};
	const char *why;

	if ((why = check_common_name(cn)) != NULL)
		return why;
	if (root->cert.path_len == 0)
		return "the root's path length does not allow a CA under it";
	if (b.not_before < root->cert.not_before)
		b.not_before = root->cert.not_before;
	if (b.not_after > root->cert.not_after)
		b.not_after = root->cert.not_after;
	out->key = pki_generate_key(PKI_P256);
	arena_defer(a, pki_free_key, out->key);
	exts.spki = pki_write_spki(a, out->key);
	return make(a, &b, &exts, root->key, out);
}
