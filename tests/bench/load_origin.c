/* SPDX-License-Identifier: ISC */
/* URLs (RFC 3986), as far as an ACME client needs them, and where they lead. */
#include <netdb.h>
#include <stdio.h>

#include <openssl/ssl.h>

#include "load_conn.h"

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

static bool
parse_url(struct str text, struct url *u)
{
	struct str rest = text;
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
		rest = u->host;
		u->host = str_cut(&rest, ':');
		u->port = rest;
	}
	if (u->port.n == 0)
		u->port = u->tls ? STR("443") : STR("80");
	return u->host.n > 0 && text.n < REPLY_FIELD_MAX && is_plain(text) &&
	    str_find(u->authority, '@') == u->authority.n;
}

const char *
origin_open(struct arena *a, struct str text, const char *ca_file,
    struct origin *o, struct str *path)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	const char *why = NULL;
	struct url u;
	int e;

	if (!parse_url(text, &u))
		return "the directory's URL is none that starts with http:// "
		       "or https://";
	*o = (struct origin){ .tls = u.tls };
	o->host = str_dup(a, u.host);
	o->authority = str_dup(a, u.authority);
	*path = str_dup(a, u.path);
	e = getaddrinfo(o->host.p, str_cstr(a, u.port), &hints, &found);
	if (e != 0)
		return str_printf(a, "%s: %s", o->host.p, gai_strerror(e)).p;
	memcpy(&o->addr, found->ai_addr, found->ai_addrlen);
	o->addr_len = found->ai_addrlen;
	freeaddrinfo(found);
	if (o->tls && (o->ctx = wire_context(ca_file, &why)) == NULL)
		return str_printf(a, "%s %s",
		    ca_file != NULL ? ca_file : "the system's roots", why)
		    .p;
	return NULL;
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
