/* SPDX-License-Identifier: ISC */
/* CSR: what is taken names DNS names and addresses, in order and once. */
#include "fuzz.h"

#include "pki/csr.h"

static void
check(struct arena *a, const struct pki_csr *csr)
{
	const struct pki_names *n = &csr->names;
	uint8_t hash[32];
	struct addr ip;

	PROMISE(csr->key != NULL);
	PROMISE(n->ndns + n->nips > 0 && n->ndns + n->nips <= PKI_NAMES_MAX);
	for (size_t i = 0; i < n->ndns; i++) {
		PROMISE(pki_check_dns_name(n->dns[i], true) == NULL);
		PROMISE(i == 0 || str_cmp(n->dns[i - 1], n->dns[i]) < 0);
	}
	for (size_t i = 0; i < n->nips; i++)
		PROMISE(n->ips[i].len == 4 || n->ips[i].len == 16);
	if (csr->cn_is_name)
		PROMISE(addr_parse(csr->cn, &ip) ?
			pki_names_has_ip(n, ip) :
			pki_names_has_dns(n, csr->cn));
	pki_spki_hash(pki_write_spki(a, csr->key), hash);
	PROMISE(memcmp(hash, csr->spki_hash, sizeof(hash)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct str der = str_make(data, size);
	const struct problem *pr;
	struct pki_csr csr;

	/* first without the signature, which no fuzzer gets right */
	if ((pr = pki_read_csr(a, der, &csr)) == NULL) {
		check(a, &csr);
		pr = pki_parse_csr(a, der, &csr);
	} else {
		PROMISE(pki_parse_csr(a, der, &csr) != NULL);
	}
	if (pr == NULL)
		check(a, &csr);
	else
		PROMISE(pr->type == PROBLEM_BAD_CSR && pr->detail.n > 0 &&
		    str_is_text(pr->detail));
	arena_destroy(a);
	return 0;
}
