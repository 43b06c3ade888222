/* SPDX-License-Identifier: ISC */
/*
 * Requests of OCSP, RFC 6960: read from a file before the clock starts, and
 * what an answer to each must have in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/base64.h>

#include "bench/bench.h"
#include "pki/ocsp.h"

enum { LINE_SIZE = 8192 };

/* Appendix A.1: base64, and what is special in a URL is escaped. */
static struct str
write_url(struct arena *a, const char *base, struct str text)
{
	char *out = arena_alloc(a, strlen(base) + 1 + 3 * text.n);
	size_t n = strlen(base);

	memcpy(out, base, n);
	out[n++] = '/';
	for (size_t i = 0; i < text.n; i++) {
		const char *escaped = text.p[i] == '+' ? "%2B" :
		    text.p[i] == '/'                   ? "%2F" :
		    text.p[i] == '='                   ? "%3D" :
							 NULL;

		if (escaped == NULL) {
			out[n++] = text.p[i];
			continue;
		}
		memcpy(out + n, escaped, 3);
		n += 3;
	}
	return str_make(out, n);
}

static bool
read_ask(struct arena *a, const char *base, struct str text, struct ask *ask)
{
	size_t n = 0, room = text.n / 4 * 3;
	uint8_t *der = arena_alloc(a, room + 1);
	struct pki_ocsp_request rq;

	if (!EVP_DecodeBase64(der, &n, room, (const uint8_t *)text.p, text.n))
		return false;
	ask->der = str_make(der, n);
	if (!pki_ocsp_read(ask->der, &rq))
		return false;
	ask->cert_id = rq.singles[0].cert_id;
	ask->url = write_url(a, base, text);
	return true;
}

const char *
asks_read(struct arena *a, const struct bench_options *o, struct pool *pool)
{
	FILE *f = o->asks_file != NULL ? fopen(o->asks_file, "r") : NULL;
	const char *why = NULL;
	char line[LINE_SIZE];
	struct str text, rest;

	if (f == NULL)
		return "the file of --asks cannot be read";
	pool->asks = arena_array(a, struct ask, BENCH_ASKS_MAX);
	while (why == NULL && fgets(line, sizeof(line), f) != NULL) {
		rest = str_from(line);
		text = str_cut(&rest, '\n');
		if (pool->nasks == BENCH_ASKS_MAX)
			why = "there are too many lines in the file of --asks";
		else if (!read_ask(a, o->url, text, &pool->asks[pool->nasks++]))
			why = "a line of the file of --asks is no request";
	}
	(void)fclose(f);
	if (why == NULL && pool->nasks == 0)
		why = "the file of --asks is empty";
	return why;
}

const char *
asks_judge(const struct ask *ask, const struct reply *r)
{
	static const char successful[] = "\x0a\x01\x00";
	struct str body = r->body;

	if (r->status != 200 ||
	    !str_is(r->content_type, "application/ocsp-response"))
		return "it is no answer of OCSP";
	/* the outermost SEQUENCE is longer than 255 bytes */
	if (body.n < 8 || memcmp(body.p + 4, successful, 3) != 0)
		return "it is a refusal";
	if (memmem(body.p, body.n, ask->cert_id.p, ask->cert_id.n) == NULL)
		return "it is about another certificate";
	return NULL;
}
