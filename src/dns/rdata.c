/* SPDX-License-Identifier: ISC */
/* The data of TXT (RFC 1035 section 3.3.14) and CAA (RFC 8659) records. */
#include "dns/dns.h"

bool
dns_read_txt(struct arena *a, struct str rdata, struct str *out)
{
	char *p = arena_alloc(a, rdata.n + 1);
	size_t n = 0;

	if (rdata.n == 0)
		return false;
	while (rdata.n > 0) {
		size_t len = (uint8_t)rdata.p[0];

		if (len > rdata.n - 1)
			return false;
		memcpy(p + n, rdata.p + 1, len);
		n += len;
		rdata = str_skip(rdata, len + 1);
	}
	*out = str_make(p, n);
	return true;
}

/* Letters and digits, 1 to 255 of them as the length is one byte. */
static bool
is_tag(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z'))
			return false;
	}
	return s.n > 0;
}

bool
dns_read_caa(struct str rdata, struct dns_caa *out)
{
	size_t len;

	if (rdata.n < 2)
		return false;
	len = (uint8_t)rdata.p[1];
	if (len > rdata.n - 2)
		return false;
	out->critical = ((uint8_t)rdata.p[0] & 0x80) != 0;
	out->tag = str_make(rdata.p + 2, len);
	out->value = str_skip(rdata, len + 2);
	return is_tag(out->tag);
}
