/* SPDX-License-Identifier: ISC */
/*
 * For tests, preloaded: getaddrinfo(3) that reads "ADDRESS NAME" lines of the
 * file CERTLOOP_NAMES at each call. Other names than those have no address
 * if they end in .invalid; the rest is the system's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *,
    struct addrinfo **);

static int
find(const char *name, char address[64])
{
	const char *path = getenv("CERTLOOP_NAMES");
	FILE *f = path != NULL ? fopen(path, "re") : NULL;
	char known[256];
	int found = 0;

	while (
	    f != NULL && !found && fscanf(f, "%63s %255s", address, known) == 2)
		found = strcmp(name, known) == 0;
	if (f != NULL)
		fclose(f);
	return found;
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
    struct addrinfo **out)
{
	static const char suffix[] = ".invalid";
	getaddrinfo_fn *real = (getaddrinfo_fn *)dlsym(RTLD_NEXT,
	    "getaddrinfo");
	size_t n = name != NULL ? strlen(name) : 0;
	char address[64];

	if (n >= sizeof(suffix) &&
	    strcmp(name + n - (sizeof(suffix) - 1), suffix) == 0) {
		if (!find(name, address))
			return EAI_NONAME;
		name = address;
	}
	return real(name, service, hints, out);
}
