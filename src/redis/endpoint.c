/* SPDX-License-Identifier: ISC */
/*
 * Where the server is. Names are resolved before the loop runs, and again by
 * a child (loop/lookup.h) when nothing answers where they were.
 */
#include "redis/redis_int.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum {
	PORT_SERVER = 6379,
	PORT_SENTINEL = 26379,
	PORT_MAX = 65535,
	NAME_MAX_LEN = 253,
	ADDRS_MAX = 4, /* of a name, that are tried */
};

void
endpoint_text(const struct redis_endpoint *e, char *out, size_t size)
{
	struct arena *a = arena_create();
	struct str host;

	if (e->path.p != NULL) {
		snprintf(out, size, "unix:" STR_FMT, STR_ARG(e->path));
	} else if (e->addr.len == 0) {
		snprintf(out, size, "%s:%u", e->name, e->port);
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

static void
resolve(struct redis_endpoint *out, size_t *n)
{
	struct redis_endpoint e = *out;
	struct addr v[ADDRS_MAX];
	const char *why;
	bool gone;

	*n = lookup_now(e.name, v, ADDRS_MAX, &why, &gone);
	for (size_t i = 0; i < *n; i++) {
		out[i] = e;
		out[i].addr = v[i];
	}
	if (*n == 0)
		*n = 1;
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
	v[0].name = str_cstr(a, host);
	resolve(v, n);
	return true;
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

/* ---- again */

void
endpoints_add(struct redis *r, const struct redis_endpoint *e, struct addr addr)
{
	if (r->nendpoints == REDIS_ENDPOINTS_MAX)
		return;
	r->endpoints[r->nendpoints] = *e;
	r->endpoints[r->nendpoints++].addr = addr;
}

static bool
is_same_place(const struct redis_endpoint *a, const struct redis_endpoint *b)
{
	return a->name == b->name && a->port == b->port;
}

/* What was found of the place's name; how many. */
static unsigned
add_found(struct redis *r, const struct redis_endpoint *place,
    const struct lookup_found *found, size_t n)
{
	unsigned added = 0;

	for (size_t i = 0; i < n && added < ADDRS_MAX; i++)
		if (r->names[found[i].name] == place->name) {
			endpoints_add(r, place, found[i].addr);
			added++;
		}
	return added;
}

void
endpoints_move(struct redis *r, const struct lookup_found *found, size_t n)
{
	struct redis_endpoint old[REDIS_ENDPOINTS_MAX];
	size_t nold = r->nendpoints;

	if (n == 0)
		return;
	memcpy(old, r->endpoints, sizeof(old));
	r->nendpoints = 0;
	for (size_t i = 0; i < nold; i++) {
		if (old[i].name == NULL)
			endpoints_add(r, &old[i], old[i].addr);
		else if ((i == 0 || !is_same_place(&old[i - 1], &old[i])) &&
		    add_found(r, &old[i], found, n) == 0)
			endpoints_add(r, &old[i], (struct addr){ .len = 0 });
	}
	assert(r->nendpoints > 0);    /* no place is without one */
	r->endpoint %= r->nendpoints; /* go on: those behind have their turn */
}
