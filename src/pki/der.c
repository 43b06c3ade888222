/* SPDX-License-Identifier: ISC */
/* DER beyond what CBS and CBB do by themselves. */
#include <time.h>

#include <openssl/mem.h>

#include "pki/pki_int.h"

struct str
der_take(struct arena *a, CBB *cbb)
{
	struct str out;
	uint8_t *p;
	size_t n;

	if (!CBB_finish(cbb, &p, &n)) {
		CBB_cleanup(cbb);
		return STR_NONE;
	}
	out = str_dup(a, str_make(p, n));
	OPENSSL_free(p);
	return out;
}

bool
der_add(CBB *out, unsigned tag, struct str contents)
{
	CBB child;

	return CBB_add_asn1(out, &child, tag) &&
	    CBB_add_bytes(&child, (const uint8_t *)contents.p, contents.n) &&
	    CBB_flush(out);
}

bool
der_get_element(CBS *in, unsigned tag, struct str *out)
{
	CBS element;

	if (!CBS_get_asn1_element(in, &element, tag))
		return false;
	*out = der_str(&element);
	return true;
}

bool
der_get_bits(CBS *in, struct str *out)
{
	uint8_t unused;
	CBS bits;

	if (!CBS_get_asn1(in, &bits, CBS_ASN1_BITSTRING) ||
	    !CBS_get_u8(&bits, &unused) || unused != 0)
		return false;
	*out = der_str(&bits);
	return true;
}

bool
der_get_flag(CBS *in, bool *out)
{
	int flag = 0;

	if (CBS_peek_asn1_tag(in, CBS_ASN1_BOOLEAN) &&
	    !CBS_get_asn1_bool(in, &flag))
		return false;
	*out = flag != 0;
	return true;
}

/* Two digits off the front. */
static bool
get_two(CBS *in, int *out)
{
	uint8_t d[2];

	if (!CBS_copy_bytes(in, d, sizeof(d)) || d[0] < '0' || d[0] > '9' ||
	    d[1] < '0' || d[1] > '9')
		return false;
	*out = (d[0] - '0') * 10 + d[1] - '0';
	return true;
}

/* MMDDHHMMSSZ, the part that both forms have. */
static bool
get_rest(CBS *in, struct tm *tm)
{
	uint8_t z;

	if (!get_two(in, &tm->tm_mon) || !get_two(in, &tm->tm_mday) ||
	    !get_two(in, &tm->tm_hour) || !get_two(in, &tm->tm_min) ||
	    !get_two(in, &tm->tm_sec) || !CBS_get_u8(in, &z) || z != 'Z' ||
	    CBS_len(in) != 0)
		return false;
	tm->tm_mon--;
	return true;
}

static bool
get_year(CBS *in, bool generalized, int *out)
{
	int century = 0, year;

	if ((generalized && !get_two(in, &century)) || !get_two(in, &year))
		return false;
	if (!generalized)
		century = year < 50 ? 20 : 19;
	*out = century * 100 + year - 1900;
	return true;
}

bool
der_get_time(CBS *in, int64_t *out)
{
	bool generalized = CBS_peek_asn1_tag(in, CBS_ASN1_GENERALIZEDTIME);
	struct tm tm = { 0 }, back;
	time_t t;
	CBS text;

	if (!CBS_get_asn1(in, &text,
		generalized ? CBS_ASN1_GENERALIZEDTIME : CBS_ASN1_UTCTIME) ||
	    !get_year(&text, generalized, &tm.tm_year) || !get_rest(&text, &tm))
		return false;
	/* timegm puts the 31st of April right; a certificate must not */
	back = tm;
	t = timegm(&back);
	*out = (int64_t)t;
	return back.tm_mon == tm.tm_mon && back.tm_mday == tm.tm_mday &&
	    back.tm_hour == tm.tm_hour && back.tm_min == tm.tm_min &&
	    back.tm_sec == tm.tm_sec;
}
