/* SPDX-License-Identifier: ISC */
/* base64url: what decodes is the one text of what it decodes to. */
#include "fuzz.h"

#include "base/b64url.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();
	struct str in = str_make(data, size), out, text;
	uint8_t exact[32];

	if (b64url_decode(a, in, &out)) {
		text = b64url_encode(a, out);
		PROMISE(str_eq(text, in));
		PROMISE(text.n == B64URL_LEN(out.n));
		PROMISE(b64url_decode_exact(in, exact, sizeof(exact)) ==
		    (out.n == sizeof(exact)));
	} else {
		PROMISE(!b64url_decode_exact(in, exact, sizeof(exact)));
	}
	/* and any bytes come back from their text */
	text = b64url_encode(a, in);
	PROMISE(b64url_decode(a, text, &out) && str_eq(out, in));
	arena_destroy(a);
	return 0;
}
