/* SPDX-License-Identifier: ISC */
/*
 * PEM, RFC 7468: blocks of base64 between lines that name them. Text around
 * the blocks is passed over; a block itself must be whole.
 */
#include <stdio.h>

#include <openssl/base64.h>
#include <openssl/err.h>
#include <openssl/mem.h>

#include "pki/pki_int.h"

enum { LINE = 64, LINE_BYTES = LINE / 4 * 3, LABEL_MAX = 64 };

#define DASHES "-----"

/* The next line, without its end. */
static struct str
get_line(struct str *text)
{
	struct str line = str_cut(text, '\n');

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* Is the line "-----WORD label-----"? */
static bool
is_boundary(struct str line, struct str word, struct str *label)
{
	struct str dashes = STR(DASHES);

	if (!str_starts(line, dashes))
		return false;
	line = str_skip(line, dashes.n);
	if (!str_starts(line, word) || !str_ends(line, dashes) ||
	    line.n < word.n + dashes.n)
		return false;
	*label = str_make(line.p + word.n, line.n - word.n - dashes.n);
	return label->n <= LABEL_MAX;
}

/* Up to the END line of this block; false if it is not the next of them. */
static bool
get_body(struct str *text, struct pem *pem)
{
	const char *begin = text->p, *at;
	struct str line, label;

	while (text->n > 0) {
		at = text->p;
		line = get_line(text);
		if (!str_starts(line, STR(DASHES)))
			continue;
		pem->body = str_make(begin, (size_t)(at - begin));
		return is_boundary(line, STR("END "), &label) &&
		    str_eq(label, pem->label);
	}
	return false;
}

bool
pem_next(struct str *text, struct pem *out, const char **why)
{
	while (text->n > 0) {
		struct str line = get_line(text);

		if (!str_starts(line, STR(DASHES)))
			continue;
		if (is_boundary(line, STR("BEGIN "), &out->label) &&
		    get_body(text, out))
			return true;
		*why = "holds a PEM block that is not whole";
		return false;
	}
	return false;
}

/* The letters of the lines, one behind the other. */
static bool
join_lines(struct str body, uint8_t *out, size_t *len)
{
	size_t n = 0;

	while (body.n > 0) {
		struct str line = get_line(&body);

		for (size_t i = 0; i < line.n; i++) {
			if (line.p[i] <= ' ')
				return false;
			out[n++] = (uint8_t)line.p[i];
		}
	}
	*len = n;
	return n > 0;
}

bool
pem_decode(struct str body, uint8_t **out, size_t *len)
{
	uint8_t *letters = OPENSSL_malloc(body.n + 1);
	uint8_t *raw = OPENSSL_malloc(body.n + 1);
	size_t n;
	bool ok;

	ok = letters != NULL && raw != NULL && join_lines(body, letters, &n) &&
	    EVP_DecodeBase64(raw, len, body.n + 1, letters, n);
	OPENSSL_free(letters);
	if (!ok) {
		OPENSSL_free(raw);
		ERR_clear_error();
		return false;
	}
	*out = raw;
	return true;
}

size_t
pem_size(const char *label, size_t len)
{
	size_t letters = (len + 2) / 3 * 4;

	return 2 * (strlen(label) + sizeof(DASHES "BEGIN " DASHES "\n")) +
	    letters + letters / LINE + 2;
}

/* base64, RFC 4648 section 4, with padding. */
static char *
encode(char *out, const unsigned char *in, size_t n)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij"
				      "klmnopqrstuvwxyz0123456789+/=";

	for (; n > 0; in += 3) {
		unsigned v = (unsigned)in[0] << 16;

		v |= n > 1 ? (unsigned)in[1] << 8 : 0;
		v |= n > 2 ? in[2] : 0;
		*out++ = letters[v >> 18];
		*out++ = letters[v >> 12 & 63];
		*out++ = letters[n > 1 ? v >> 6 & 63 : 64];
		*out++ = letters[n > 2 ? v & 63 : 64];
		n -= n < 3 ? n : 3;
	}
	return out;
}

size_t
pem_write(char *out, const char *label, struct str der)
{
	char *p = out;

	p += sprintf(p, DASHES "BEGIN %s" DASHES "\n", label);
	while (der.n > 0) {
		size_t n = der.n < LINE_BYTES ? der.n : LINE_BYTES;

		p = encode(p, (const unsigned char *)der.p, n);
		*p++ = '\n';
		der = str_skip(der, n);
	}
	p += sprintf(p, DASHES "END %s" DASHES "\n", label);
	return (size_t)(p - out);
}

struct str
pki_write_pem(struct arena *a, const char *label, struct str der)
{
	char *out = arena_alloc(a, pem_size(label, der.n));

	return str_make(out, pem_write(out, label, der));
}

static const char *
take_certificate(struct arena *a, struct pem pem, struct str *out)
{
	uint8_t *der;
	size_t n;

	if (!str_is(pem.label, "CERTIFICATE"))
		return str_printf(a,
		    "holds a PEM block \"" STR_FMT "\"; only "
		    "certificates may be there",
		    STR_ARG(str_show(a, pem.label, LABEL_MAX)))
		    .p;
	if (!pem_decode(pem.body, &der, &n))
		return "holds a certificate that is not base64";
	*out = str_dup(a, str_make(der, n));
	OPENSSL_free(der);
	return n <= PKI_CERT_MAX ? NULL :
				   "holds a certificate of more than "
				   "65536 bytes";
}

const char *
pki_parse_pem(struct arena *a, struct str text, struct str **ders, size_t *n)
{
	const char *why = NULL;
	struct pem pem;

	*ders = arena_array(a, struct str, PKI_CHAIN_MAX);
	*n = 0;
	if (text.n > PKI_PEM_FILE_MAX)
		return "has more than 262144 bytes";
	while (pem_next(&text, &pem, &why)) {
		if (*n == PKI_CHAIN_MAX)
			return "holds more than 8 certificates";
		if ((why = take_certificate(a, pem, &(*ders)[*n])) != NULL)
			return why;
		++*n;
	}
	if (why == NULL && *n == 0)
		why = "holds no certificate in PEM";
	return why;
}
