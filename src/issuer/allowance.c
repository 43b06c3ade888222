/* SPDX-License-Identifier: ISC */
/* Names against the words of an allowance. */
#include "issuer/allowance.h"

#include "base/addr.h"
#include "pki/name.h"

bool
allowance_is_word(struct str word)
{
	struct prefix p;

	return prefix_parse(word, &p) ||
	    pki_check_dns_name(word, false) == NULL;
}

static bool
covers(struct str word, struct str name, const struct addr *addr)
{
	struct prefix p;

	if (prefix_parse(word, &p))
		return addr->len > 0 && prefix_has(&p, *addr);
	if (addr->len > 0 || !str_ends(name, word))
		return false;
	return name.n == word.n || name.p[name.n - word.n - 1] == '.';
}

const struct problem *
allowance_check(struct arena *a, struct str words, struct str name)
{
	struct str bare = str_starts(name, STR("*.")) ? str_skip(name, 2) :
							name;
	struct addr addr = { .len = 0 };

	if (words.n == 0)
		return NULL;
	if (!addr_parse(name, &addr))
		addr.len = 0;
	while (words.n > 0)
		if (covers(str_cut(&words, ' '), bare, &addr))
			return NULL;
	return problem_new(a, PROBLEM_REJECTED_IDENTIFIER,
	    "\"" STR_FMT "\" is not among the names that the external account "
	    "of this account allows",
	    STR_ARG(name));
}
