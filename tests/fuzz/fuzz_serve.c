/* SPDX-License-Identifier: ISC */
/* Serve configs: hosts that are DNS names, sorted, each once. */
#include "fuzz.h"

#include "certloops/serve.h"
#include "pki/name.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct serve_hosts h = { 0 };
	const char *why = serve_parse(a, str_make(data, size), &h);

	if (why != NULL) {
		PROMISE(h.v == NULL && h.n == 0);
		PROMISE(str_is_text(str_from(why)));
	}
	PROMISE(h.n <= SERVE_HOSTS_MAX);
	for (size_t i = 0; i < h.n; i++) {
		PROMISE(pki_check_dns_name(h.v[i], false) == NULL);
		PROMISE(i == 0 || str_cmp(h.v[i - 1], h.v[i]) < 0);
	}
	arena_destroy(a);
	return 0;
}
