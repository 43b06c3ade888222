/* SPDX-License-Identifier: ISC */
/* Random object ids. The kernel is asked for a block at a time. */
#include "base/id.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/b64url.h"

void
id_random(void *out, size_t n)
{
	unsigned char *p = out;

	while (n > 0) {
		size_t step = n < 256 ? n : 256;

		/* up to 256 bytes come whole once the kernel is seeded */
		if (getrandom(p, step, 0) != (ssize_t)step)
			abort();
		p += step;
		n -= step;
	}
}

struct str
id_new(struct arena *a)
{
	uint8_t raw[16];

	id_random(raw, sizeof(raw));
	return b64url_encode(a, str_make(raw, sizeof(raw)));
}

bool
id_is_valid(struct str s)
{
	uint8_t raw[16];

	return s.n == ID_LEN && b64url_decode_exact(s, raw, sizeof(raw));
}
