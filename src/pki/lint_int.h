/* SPDX-License-Identifier: ISC */
/* One judgement of a certificate, on its way through lint.c and lint_ext.c. */
#ifndef PKI_LINT_INT_H
#define PKI_LINT_INT_H

#include "pki/pki_int.h"

struct lint {
	struct arena *arena;
	const struct pki_lint_profile *profile;
	struct str outer_alg;   /* beside the signature; p is NULL if none */
	enum pki_key_kind kind; /* of the subject's key */
	bool empty_subject;
	bool has_crl, has_ocsp; /* an address for revocation is given */
};

/* A sentence that ends in the quoted value. */
const char *lint_text(const struct lint *, const char *what, struct str value);

/* The contents of the list of extensions. */
const char *lint_extensions(struct lint *, CBS list);

#endif
