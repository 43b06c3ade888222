/* SPDX-License-Identifier: ISC */
/* OCSP requests: what is taken is within its bounds, and its views in it. */
#include "fuzz.h"

#include "pki/ocsp.h"

static void
is_inside(struct str whole, struct str part)
{
	PROMISE(part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str der = str_make(data, size);
	struct pki_ocsp_request rq;

	if (!pki_ocsp_read(der, &rq))
		return 0;
	PROMISE(size <= PKI_OCSP_REQUEST_MAX);
	PROMISE(rq.n > 0 && rq.n <= PKI_OCSP_SINGLES_MAX);
	if (rq.nonce.p != NULL) {
		PROMISE(rq.nonce.n > 0 && rq.nonce.n <= PKI_OCSP_NONCE_MAX);
		is_inside(der, rq.nonce);
	}
	for (size_t i = 0; i < rq.n; i++) {
		is_inside(der, rq.singles[i].cert_id);
		is_inside(rq.singles[i].cert_id, rq.singles[i].hash);
		is_inside(rq.singles[i].cert_id, rq.singles[i].name_hash);
		is_inside(rq.singles[i].cert_id, rq.singles[i].key_hash);
		is_inside(rq.singles[i].cert_id, rq.singles[i].serial);
		PROMISE(rq.singles[i].serial.n > 0);
	}
	return 0;
}
