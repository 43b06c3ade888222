/* SPDX-License-Identifier: ISC */
/*
 * For tests, preloaded: counts what malloc(3), calloc(3) and realloc(3) are
 * asked for, in the first eight bytes of the file CERTLOOP_MALLOC_COUNT, which
 * others may read meanwhile. For one thread.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static uint64_t before; /* until the file is there */
static volatile uint64_t *count = &before;

static void __attribute__((constructor)) share(void)
{
	const char *path = getenv("CERTLOOP_MALLOC_COUNT");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	close(fd);
	if (p != MAP_FAILED)
		count = p;
}

void *
malloc(size_t n)
{
	(*count)++;
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	(*count)++;
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	(*count)++;
	return __libc_realloc(p, n);
}
