/* SPDX-License-Identifier: ISC */
/* Random bytes; object ids: time and random bits. */
#include "base/id.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/b64url.h"
#include "base/when.h"

/*
 * Bytes that the kernel gave and nobody has yet, in memory that a fork empties
 * for the child, so that no two processes hand out the same. Taken from the
 * end, and wiped as they are taken.
 */
struct pool {
	size_t n;
	uint8_t bytes[248];
};

static void
ask_kernel(void *out, size_t n)
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

/* NULL: this kernel cannot empty it for a child. */
static struct pool *
pool_map(void)
{
	void *p = mmap(NULL, sizeof(struct pool), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	if (madvise(p, sizeof(struct pool), MADV_WIPEONFORK) == 0)
		return p;
	munmap(p, sizeof(struct pool));
	return NULL;
}

void
id_random(void *out, size_t n)
{
	static struct pool *pool;
	static bool tried;

	if (!tried) {
		tried = true;
		pool = pool_map();
	}
	if (pool == NULL || n > sizeof(pool->bytes) / 4) {
		ask_kernel(out, n);
		return;
	}
	if (n > pool->n) {
		ask_kernel(pool->bytes, sizeof(pool->bytes));
		pool->n = sizeof(pool->bytes);
	}
	pool->n -= n;
	memcpy(out, pool->bytes + pool->n, n);
	explicit_bzero(pool->bytes + pool->n, n);
}

/*
 * Milliseconds since 2020 in base 32, most significant letter first, in
 * letters whose order is that of their bytes; good until 2054, then it wraps.
 */
static void
write_time(char *out)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuv";
	uint64_t ms = (uint64_t)(when_now() / 1000) - UINT64_C(1577836800000);

	for (size_t i = ID_TIME_LEN; i-- > 0; ms >>= 5)
		out[i] = letters[ms & 31];
}

void
id_write(char out[static ID_LEN])
{
	uint8_t raw[16];

	write_time(out);
	id_random(raw, sizeof(raw));
	(void)b64url_write(out + ID_TIME_LEN, str_make(raw, sizeof(raw)));
}

struct str
id_new(struct arena *a)
{
	char *out = arena_alloc(a, ID_LEN + 1);

	id_write(out);
	out[ID_LEN] = '\0';
	return str_make(out, ID_LEN);
}

static bool
is_time(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= '0' && s.p[i] <= '9') &&
		    !(s.p[i] >= 'a' && s.p[i] <= 'v'))
			return false;
	return true;
}

bool
id_is_valid(struct str s)
{
	uint8_t raw[16];

	return s.n == ID_LEN && is_time(str_make(s.p, ID_TIME_LEN)) &&
	    b64url_decode_exact(str_skip(s, ID_TIME_LEN), raw, sizeof(raw));
}

uint32_t
id_draw(void)
{
	uint32_t r;

	id_random(&r, sizeof(r));
	return r;
}
