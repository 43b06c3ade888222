/* SPDX-License-Identifier: ISC */
/* Where the server is. Names are resolved before the loop runs. */
#include "redis/redis_int.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	PORT_SERVER = 6379,
	PORT_SENTINEL = 26379,
	PORT_MAX = 65535,
	NAME_MAX_LEN = 253,
};

void
endpoint_text(const struct redis_endpoint *e, char *out, size_t size)
{
	struct arena *a = arena_create();
	struct str host;

	if (e->path.p != NULL) {
		snprintf(out, size, "unix:" STR_FMT, STR_ARG(e->path));
	} else {
		host = addr_text(a, e->addr);
		snprintf(out, size, e->addr.len == 16 ? "[%.*s]:%u" : "%.*s:%u",
		    STR_ARG(host), e->port);
	}
	arena_destroy(a);
}

static bool
parse_path(struct arena *a, struct str path, struct redis_endpoint *e,
    const char **why)
{
	if (path.n == 0 ||
	    path.n >= sizeof(((struct sockaddr_un *)0)->sun_path) ||
	    memchr(path.p, '\0', path.n) != NULL) {
		*why = str_printf(a,
		    "the path of a unix socket has 1 to %zu bytes, not %zu",
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1, path.n)
			   .p;
		return false;
	}
	e->path = str_dup(a, path);
	return true;
}

/*
 * "[IP6]:PORT", "HOST:PORT", or without the colon and the port. An IPv6
 * address needs brackets.
 */
static bool
split_host(struct str text, struct str *host, struct str *port)
{
	size_t end;

	if (text.n > 0 && text.p[0] == '[') {
		end = str_find(text, ']');
		if (end == text.n)
			return false;
		*host = str_make(text.p + 1, end - 1);
		*port = str_skip(text, end + 1);
	} else {
		end = str_find(text, ':');
		*host = str_make(text.p, end);
		*port = str_skip(text, end);
	}
	if (host->n == 0 || host->n > NAME_MAX_LEN ||
	    memchr(host->p, '\0', host->n) != NULL)
		return false;
	if (port->n == 0)
		return true;
	if (port->p[0] != ':' || port->n == 1)
		return false;
	*port = str_skip(*port, 1);
	return true;
}

static bool
resolve(struct arena *a, const char *name, unsigned port,
    struct redis_endpoint *out, size_t *n, const char **why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG },
			*list, *i;
	int error = getaddrinfo(name, NULL, &hints, &list);

	if (error != 0) {
		*why = str_printf(a, "cannot resolve \"%s\": %s", name,
		    gai_strerror(error))
			   .p;
		return false;
	}
	for (i = list; i != NULL && *n < REDIS_ENDPOINTS_MAX; i = i->ai_next) {
		struct sockaddr_in *in = (struct sockaddr_in *)i->ai_addr;
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)i->ai_addr;

		out[*n] = (struct redis_endpoint){ .port = port };
		if (i->ai_family == AF_INET)
			out[*n].addr = addr_from_bytes(&in->sin_addr, 4);
		else if (i->ai_family == AF_INET6)
			out[*n].addr = addr_from_bytes(&in6->sin6_addr, 16);
		if (out[*n].addr.len != 0)
			++*n;
	}
	freeaddrinfo(list);
	if (*n == 0)
		*why = str_printf(a, "\"%s\" has no address", name).p;
	return *n > 0;
}

static bool
parse(struct arena *a, struct str text, uint64_t port,
    struct redis_endpoint **out, size_t *n, const char **why)
{
	struct redis_endpoint *v;
	struct str host, port_text;

	*out = v = arena_array(a, struct redis_endpoint, REDIS_ENDPOINTS_MAX);
	*n = 0;
	if (str_starts(text, STR("unix:"))) {
		if (!parse_path(a, str_skip(text, 5), v, why))
			return false;
		*n = 1;
		return true;
	}
	if (!split_host(text, &host, &port_text) ||
	    (port_text.n > 0 &&
		(!str_u64(port_text, &port) || port == 0 || port > PORT_MAX))) {
		*why = str_printf(a,
		    "\"" STR_FMT "\" is no address of a Redis server: want "
		    "IP:PORT, [IP]:PORT, NAME:PORT or unix:PATH",
		    STR_ARG(str_show(a, text, 80)))
			   .p;
		return false;
	}
	v[0] = (struct redis_endpoint){ .port = (unsigned)port };
	if (addr_parse(host, &v[0].addr)) {
		*n = 1;
		return true;
	}
	return resolve(a, str_cstr(a, host), (unsigned)port, v, n, why);
}

bool
redis_parse_endpoints(struct arena *a, struct str text,
    struct redis_endpoint **out, size_t *n, const char **why)
{
	return parse(a, text, PORT_SERVER, out, n, why);
}

bool
redis_parse_sentinel(struct arena *a, struct str text,
    struct redis_endpoint **out, size_t *n, const char **why)
{
	return parse(a, text, PORT_SENTINEL, out, n, why);
}
