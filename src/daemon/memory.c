/* SPDX-License-Identifier: ISC */
/*
 * The memory of BoringSSL, which asks for it here because these functions have
 * the names that they have. Where memory is out our arenas end the process;
 * the library alone would say no and go on, and a key that it could not judge
 * is to our code, and so to a client, a key that is bad. So it ends as well.
 * What is freed is wiped, as by the library itself.
 */
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <openssl/mem.h>

void *OPENSSL_memory_alloc(size_t);
void OPENSSL_memory_free(void *);
size_t OPENSSL_memory_get_size(void *);

struct block {
	size_t size;
	alignas(max_align_t) char data[];
};

static struct block *
block_of(void *p)
{
	return (
	    struct block *)(void *)((char *)p - offsetof(struct block, data));
}

void *
OPENSSL_memory_alloc(size_t size)
{
	struct block *b;

	if (size > SIZE_MAX / 2 || (b = malloc(sizeof(*b) + size)) == NULL)
		abort();
	b->size = size;
	return b->data;
}

void
OPENSSL_memory_free(void *p)
{
	struct block *b;

	if (p == NULL)
		return;
	b = block_of(p);
	OPENSSL_cleanse(b->data, b->size);
	free(b);
}

size_t
OPENSSL_memory_get_size(void *p)
{
	return p != NULL ? block_of(p)->size : 0;
}
