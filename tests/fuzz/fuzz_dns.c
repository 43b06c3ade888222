/* SPDX-License-Identifier: ISC */
/*
 * DNS answers: the first byte chooses the type that was asked for, the rest
 * is the packet. What is read is within its bounds, of the size that its type
 * has, and nothing comes with a failure.
 */
#include "fuzz.h"

#include "dns/dns_int.h"

static const enum dns_type types[] = { DNS_A, DNS_TXT, DNS_AAAA, DNS_CAA };

/* Names are text, whatever the labels hold. */
static void
check_names(const struct dns_answer *r)
{
	PROMISE(r->ncnames <= DNS_CNAMES_MAX);
	for (size_t i = 0; i < r->ncnames; i++) {
		PROMISE(r->cnames[i].n > 0);
		for (size_t k = 0; k < r->cnames[i].n; k++)
			PROMISE(
			    r->cnames[i].p[k] > ' ' && r->cnames[i].p[k] < 127);
	}
}

static void
check_records(struct arena *a, const struct dns_answer *r, size_t size)
{
	struct dns_caa caa;
	struct str text;

	PROMISE(r->n <= DNS_RECORDS_MAX);
	PROMISE((r->status == DNS_OK) == (r->n > 0));
	PROMISE((r->status == DNS_OK) == (r->why == NULL));
	for (size_t i = 0; i < r->n; i++) {
		PROMISE(r->data[i].n < size);
		if (dns_read_txt(a, r->data[i], &text))
			PROMISE(text.n < r->data[i].n);
		if (dns_read_caa(r->data[i], &caa))
			PROMISE(caa.tag.n > 0 &&
			    caa.tag.n + caa.value.n + 2 == r->data[i].n);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct dns_answer r;

	if (size > 0) {
		dns_read_packet(a, str_make(data + 1, size - 1), STR("www.ex"),
		    types[data[0] % 4], &r);
		check_names(&r);
		check_records(a, &r, size);
	}
	arena_destroy(a);
	return 0;
}
