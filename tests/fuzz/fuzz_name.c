/* SPDX-License-Identifier: ISC */
/* DNS names: what is taken stays within RFC 1035 and is no address. */
#include "fuzz.h"

#include "base/addr.h"
#include "pki/name.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str name = str_make(data, size), rest = name, label;
	struct addr ip;

	if (pki_check_dns_name(name, false) != NULL) {
		/* with a wildcard allowed, only such are taken in addition */
		if (pki_check_dns_name(name, true) == NULL)
			PROMISE(str_starts(name, STR("*.")) &&
			    pki_check_dns_name(str_skip(name, 2), false) ==
				NULL);
		return 0;
	}
	PROMISE(pki_check_dns_name(name, true) == NULL);
	PROMISE(name.n > 0 && name.n <= PKI_NAME_MAX);
	PROMISE(!addr_parse(name, &ip));
	while (rest.n > 0) {
		label = str_cut(&rest, '.');
		PROMISE(label.n > 0 && label.n <= PKI_LABEL_MAX);
	}
	return 0;
}
