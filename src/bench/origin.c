/* SPDX-License-Identifier: ISC */
/* URLs (RFC 3986), as far as an ACME client needs them, and where they lead. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include <openssl/ssl.h>

#include "bench/conn.h"

enum { HOST_MAX = 253 };

struct url {
	bool tls;
	struct str host, port, authority, path;
};

/* Printable ASCII without what must be escaped in JSON or in a request. */
static bool
is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 127 || s.p[i] == '"' ||
		    s.p[i] == '\\' || s.p[i] == '#')
			return false;
	return true;
}

/* Host and port of the authority; no port leaves it empty. */
static bool
split_authority(struct url *u)
{
	struct str rest = u->authority;

	u->host = u->authority;
	u->port = STR_NONE;
	if (str_starts(u->host, STR("["))) {
		rest = str_skip(u->host, 1);
		u->host = str_cut(&rest, ']');
		if (str_starts(rest, STR(":")))
			u->port = str_skip(rest, 1);
		else if (rest.n > 0)
			return false;
	} else {
		u->host = str_cut(&rest, ':');
		u->port = rest;
	}
	return u->host.n > 0 && u->host.n <= HOST_MAX &&
	    str_find(u->authority, '@') == u->authority.n;
}

static bool
parse_url(struct str text, struct url *u)
{
	struct str rest;
	size_t end;

	if (str_starts(text, STR("https://")))
		u->tls = true;
	else if (str_starts(text, STR("http://")))
		u->tls = false;
	else
		return false;
	rest = str_skip(text, u->tls ? 8 : 7);
	end = str_find(rest, '/');
	u->authority = str_make(rest.p, end);
	u->path = end < rest.n ? str_skip(rest, end) : STR("/");
	if (!split_authority(u))
		return false;
	if (u->port.n == 0)
		u->port = u->tls ? STR("443") : STR("80");
	return text.n < REPLY_FIELD_MAX && is_plain(text);
}

/* One more address to connect to; NULL, or what is wrong. */
static const char *
add_address(struct arena *a, struct origin *o, struct str host, struct str port,
    int flags)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = flags };
	const char *name = str_cstr(a, host);
	struct addrinfo *found;
	int e = getaddrinfo(name, str_cstr(a, port), &hints, &found);

	if (e != 0)
		return str_printf(a, "%s: %s", name, gai_strerror(e)).p;
	memcpy(&o->to[o->nto].addr, found->ai_addr, found->ai_addrlen);
	o->to[o->nto++].len = found->ai_addrlen;
	freeaddrinfo(found);
	return NULL;
}

static const char *
add_given(struct arena *a, struct origin *o, const char *text)
{
	struct url u = { .authority = str_from(text) };
	uint64_t port;

	if (!split_authority(&u) || !str_u64(u.port, &port) || port == 0 ||
	    port > 65535 ||
	    add_address(a, o, u.host, u.port, AI_NUMERICHOST) != NULL)
		return str_printf(a, "--connect wants ADDRESS:PORT, not \"%s\"",
		    text)
		    .p;
	return NULL;
}

const char *
origin_open(struct arena *a, struct str text, const struct origin_options *opt,
    struct origin *o, struct str *path, bool *refused)
{
	enum wire_trust trust = opt->insecure ? WIRE_TRUST_ANY :
						WIRE_TRUST_FILE;
	const char *why = NULL;
	struct url u;

	*refused = true;
	if (!parse_url(text, &u))
		return "the URL is none that starts with http:// or https://";
	*o = (struct origin){ .tls = u.tls };
	o->host = str_dup(a, u.host);
	o->authority = str_dup(a, u.authority);
	*path = str_dup(a, u.path);
	for (size_t i = 0; i < opt->nconnect; i++)
		if ((why = add_given(a, o, opt->connect[i])) != NULL)
			return why;
	if (o->tls &&
	    (o->ctx = wire_context(trust, opt->ca_file, &why)) == NULL)
		return str_printf(a, "%s %s",
		    opt->ca_file != NULL ? opt->ca_file : "the system's roots",
		    why)
		    .p;
	*refused = false;
	return o->nto > 0 ? NULL : add_address(a, o, u.host, u.port, 0);
}

struct str
origin_path(const struct origin *o, struct str text)
{
	struct url u;

	if (!parse_url(text, &u) || u.tls != o->tls ||
	    !str_case_eq(u.authority, o->authority))
		return STR_NONE;
	return u.path;
}
