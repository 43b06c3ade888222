/* SPDX-License-Identifier: ISC */
/* The types of options: addresses, names, prefixes and URLs. */
#include <unistd.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf/conf_int.h"

/* Not more values than the option's row allows. */
static bool
few_enough(struct conf_value *v)
{
	uint64_t max;

	if (!str_u64(str_from(v->row->max), &max) || v->n <= max)
		return true;
	v->bad = max;
	return conf_bad(v, "is one too many; at most %" PRIu64 " will do", max);
}

/* "0" to "65535" */
static bool
read_port(struct str s, unsigned *port)
{
	uint64_t n;

	if (!str_u64(s, &n) || n > 65535 || s.n > 5)
		return false;
	*port = (unsigned)n;
	return true;
}

/* ---- addresses to listen on */

static const char address_help[] =
    "must be an IP address and a port, for example 127.0.0.1:443 or "
    "[::]:443, or unix:PATH";

static bool
parse_unix(struct conf_value *v, struct str path, struct conf_address *out)
{
	size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (path.n == 0 || path.n > max)
		return conf_bad(v, "the path of a socket has 1 to %zu bytes",
		    max);
	*out = (struct conf_address){ .path = str_dup(v->arena, path),
		.text = str_printf(v->arena, "unix:" STR_FMT, STR_ARG(path)) };
	return true;
}

bool
conf_parse_address(struct conf_value *v, void *field)
{
	struct conf_address *out = field, a = { 0 };
	struct str s = v->v[0], host, text;
	size_t colon = s.n;

	if (str_starts(s, STR("unix:")))
		return parse_unix(v, str_skip(s, 5), out);
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon < 2 || !read_port(str_skip(s, colon), &a.port))
		return conf_bad(v, "%s", address_help);
	host = str_make(s.p, colon - 1);
	if (host.p[0] == '[' && host.p[host.n - 1] == ']') {
		if (!addr_parse(str_make(host.p + 1, host.n - 2), &a.addr) ||
		    a.addr.len != 16)
			return conf_bad(v, "%s", address_help);
	} else if (str_is(host, "*")) {
		return conf_bad(v,
		    "write [::]:%u for every address, or 0.0.0.0:%u for "
		    "every IPv4 address",
		    a.port, a.port);
	} else if (!addr_parse(host, &a.addr) || a.addr.len != 4) {
		return conf_bad(v, "%s%s", address_help,
		    addr_parse(host, &a.addr) ? "" :
						"; names are not looked up");
	}
	text = addr_text(v->arena, a.addr);
	a.text = str_printf(v->arena,
	    a.addr.len == 16 ? "[" STR_FMT "]:%u" : STR_FMT ":%u",
	    STR_ARG(text), a.port);
	*out = a;
	return true;
}

void
conf_print_address(struct buf *b, const void *field)
{
	const struct conf_address *a = field;

	if (a->text.n > 0)
		conf_print_quoted(b, a->text);
}

/* ---- servers: addresses with a port, 53 if none is said */

static bool
read_server(struct conf_value *v, struct conf_address *out)
{
	struct conf_value one = { .arena = v->arena,
		.row = v->row,
		.v = &v->v[v->bad],
		.n = 1 };
	struct addr addr;
	struct str text;

	if (addr_parse(v->v[v->bad], &addr)) {
		text = addr_text(v->arena, addr);
		out->addr = addr;
		out->port = 53;
		out->text = str_printf(v->arena,
		    addr.len == 16 ? "[" STR_FMT "]:53" : STR_FMT ":53",
		    STR_ARG(text));
		return true;
	}
	return conf_parse_address(&one, out) && out->path.p == NULL &&
	    out->port != 0;
}

bool
conf_parse_servers(struct conf_value *v, void *field)
{
	struct conf_address *all = arena_array(v->arena, struct conf_address,
	    v->n);

	if (!few_enough(v))
		return false;
	for (v->bad = 0; v->bad < v->n; v->bad++) {
		if (!read_server(v, &all[v->bad]))
			return conf_bad(v,
			    "must be an IP address, with a port if it is not "
			    "53, for example 192.0.2.53 or "
			    "[2001:db8::53]:5353");
	}
	*(struct conf_servers *)field = (struct conf_servers){ .v = all,
		.n = v->n };
	return true;
}

void
conf_print_servers(struct buf *b, const void *field)
{
	const struct conf_servers *list = field;
	struct arena *a = arena_create();
	struct str *texts = arena_array(a, struct str, list->n);

	for (size_t i = 0; i < list->n; i++)
		texts[i] = list->v[i].text;
	conf_print_list(b, texts, list->n);
	arena_destroy(a);
}

/* ---- names */

static bool
is_label(struct str s)
{
	if (s.n == 0 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
			(s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-'))
			return false;
	return true;
}

/* A DNS name in lower case, without a dot at the end. */
static bool
is_domain(struct str s)
{
	struct str rest = s;

	if (s.n == 0 || s.n > 253 || s.p[s.n - 1] == '.')
		return false;
	while (rest.n > 0)
		if (!is_label(str_cut(&rest, '.')))
			return false;
	return true;
}

enum name_kind { DOMAIN_ONLY, DOMAIN_OR_ADDRESS, ANY_NAME };

static bool
read_name(struct conf_value *v, enum name_kind kind, struct str *out)
{
	struct str s = str_lower(v->arena, v->v[v->bad]);
	struct addr addr;

	if (addr_parse(s, &addr)) {
		*out = addr_text(v->arena, addr);
		return kind != DOMAIN_ONLY ||
		    conf_bad(v, "must be a DNS name, not an address");
	}
	if (kind == DOMAIN_ONLY && str_starts(s, STR(".")))
		s = str_skip(s, 1);
	*out = s;
	if (is_domain(s) ||
	    (kind == ANY_NAME && str_starts(s, STR("*.")) &&
		is_domain(str_skip(s, 2))))
		return true;
	if (kind != ANY_NAME && str_starts(s, STR("*.")))
		return conf_bad(v, "no wildcard can stand here");
	return conf_bad(v,
	    "must be a DNS name%s, for example ca.example.com "
	    "(an international name in its xn-- form)",
	    kind != DOMAIN_ONLY ? " or an IP address" : "");
}

static bool
parse_names(struct conf_value *v, enum name_kind kind, struct conf_list *out)
{
	struct str *all = arena_array(v->arena, struct str, v->n);

	if (!few_enough(v))
		return false;
	for (v->bad = 0; v->bad < v->n; v->bad++) {
		if (!read_name(v, kind, &all[v->bad]))
			return false;
	}
	*out = (struct conf_list){ .v = all, .n = v->n };
	return true;
}

bool
conf_parse_domains(struct conf_value *v, void *field)
{
	return parse_names(v, DOMAIN_ONLY, field);
}

bool
conf_parse_names(struct conf_value *v, void *field)
{
	return parse_names(v, DOMAIN_OR_ADDRESS, field);
}

bool
conf_parse_loop_names(struct conf_value *v, void *field)
{
	return parse_names(v, ANY_NAME, field);
}

/* ---- prefixes */

bool
conf_parse_prefixes(struct conf_value *v, void *field)
{
	struct prefix *all = arena_array(v->arena, struct prefix, v->n);

	if (!few_enough(v))
		return false;
	for (v->bad = 0; v->bad < v->n; v->bad++) {
		if (!prefix_parse(v->v[v->bad], &all[v->bad]))
			return conf_bad(v,
			    "must be an address or a prefix, for example "
			    "10.0.0.0/8, without bits set behind the prefix");
	}
	*(struct conf_prefixes *)field = (struct conf_prefixes){ .v = all,
		.n = v->n };
	return true;
}

void
conf_print_prefixes(struct buf *b, const void *field)
{
	const struct conf_prefixes *list = field;
	struct arena *a = arena_create();

	for (size_t i = 0; i < list->n; i++) {
		struct str addr = addr_text(a, list->v[i].addr);

		buf_printf(b, "%s\"" STR_FMT "/%u\"", i == 0 ? "{ " : ", ",
		    STR_ARG(addr), list->v[i].bits);
	}
	if (list->n > 0)
		buf_str(b, STR(" }"));
	arena_destroy(a);
}

/* ---- URLs */

/* RFC 3986: what may stand in a path, query or fragment. */
static bool
is_url_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			if (s.n - i < 3 ||
			    strspn(s.p + i + 1, "0123456789abcdefABCDEF") < 2)
				return false;
		} else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			       (c >= '0' && c <= '9') ||
			       (c != '\0' &&
				   strchr("-._~!$&'()*+,;=:@/?#", c) != NULL)))
			return false;
	}
	return true;
}

/* HOST[:PORT] */
static bool
read_authority(struct conf_value *v, struct str s, struct conf_url *u)
{
	unsigned standard = u->https ? 443 : 80;
	struct str host, port;
	struct addr addr;
	size_t at;

	if (s.n > 0 && s.p[0] == '[') {
		at = str_find(s, ']');
		if (at == s.n ||
		    !addr_parse(str_make(s.p + 1, at - 1), &addr) ||
		    addr.len != 16)
			return false;
		host = addr_text(v->arena, addr);
		port = str_skip(s, at + 1);
	} else {
		at = str_find(s, ':');
		host = str_lower(v->arena, str_make(s.p, at));
		port = str_skip(s, at);
		if (!is_domain(host) && !addr_parse(host, &addr))
			return false;
	}
	u->host = str_dup(v->arena, host);
	u->port = standard;
	if (port.n == 0)
		return true;
	return port.p[0] == ':' && read_port(str_skip(port, 1), &u->port) &&
	    u->port != 0;
}

/* The parts of a URL; text is as written. */
static bool
read_url(struct conf_value *v, struct conf_url *u)
{
	struct str s = str_dup(v->arena, v->v[0]), rest;
	size_t n;

	*u = (struct conf_url){ .text = s };
	if (s.n > CONF_URL_MAX)
		return conf_bad(v, "has %zu bytes, at most %d will do", s.n,
		    CONF_URL_MAX);
	u->https = str_starts(s, STR("https://"));
	if (!u->https && !str_starts(s, STR("http://")))
		return conf_bad(v, "must begin with https:// or http://");
	rest = str_skip(s, u->https ? 8 : 7);
	n = strcspn(rest.p, "/?#");
	if (str_find(str_make(rest.p, n), '@') < n)
		return conf_bad(v, "must not hold a user or a password");
	u->path = str_skip(rest, n);
	if (!read_authority(v, str_make(rest.p, n), u))
		return conf_bad(v,
		    "needs a host name or address behind ://, and a port "
		    "from 1 to 65535 if any");
	if (!is_url_text(u->path))
		return conf_bad(v,
		    "has a character that must be written as %%XX");
	return true;
}

bool
conf_parse_url(struct conf_value *v, void *field)
{
	struct conf_url u;

	if (!read_url(v, &u))
		return false;
	*(struct conf_url *)field = u;
	return true;
}

bool
conf_parse_base_url(struct conf_value *v, void *field)
{
	struct conf_url u;
	bool is_v6, is_standard;
	char port[16] = "";

	if (!read_url(v, &u))
		return false;
	if (strpbrk(u.path.p, "?#") != NULL)
		return conf_bad(v, "must have neither query nor fragment");
	while (u.path.n > 0 && u.path.p[u.path.n - 1] == '/')
		u.path.n--;
	u.path = str_dup(v->arena, u.path);
	is_v6 = str_find(u.host, ':') < u.host.n;
	is_standard = u.port == (u.https ? 443 : 80);
	if (!is_standard)
		snprintf(port, sizeof(port), ":%u", u.port);
	u.text = str_printf(v->arena, "%s://%s" STR_FMT "%s%s" STR_FMT,
	    u.https ? "https" : "http", is_v6 ? "[" : "", STR_ARG(u.host),
	    is_v6 ? "]" : "", port, STR_ARG(u.path));
	*(struct conf_url *)field = u;
	return true;
}

void
conf_print_url(struct buf *b, const void *field)
{
	const struct conf_url *u = field;

	if (u->text.n > 0)
		conf_print_quoted(b, u->text);
}

/* ---- the store */

/*
 * The one line of a file that others cannot read. It is taken as it is: no
 * variables, no quotes. What it says never becomes part of a message.
 */
static bool
read_secret(struct conf_value *v, struct str name, struct str *out)
{
	const char *path = str_cstr(v->arena, name);
	int fd = -1;
	char text[4098];
	struct stat st;
	ssize_t n = -1;

	if (!v->may_read)
		return conf_bad(v, "this text cannot have a file read");
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		conf_bad(v, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		conf_bad(v, "is not a regular file");
	else if ((st.st_mode & S_IRWXO) != 0)
		conf_bad(v, "others can use that file; chmod 640 or less");
	else if ((n = read(fd, text, sizeof(text))) == -1)
		conf_bad(v, "%s", strerror(errno));
	if (fd != -1)
		close(fd);
	if (n == -1)
		return false;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	*out = str_dup(v->arena, str_make(text, (size_t)n));
	explicit_bzero(text, sizeof(text));
	if (out->n == 0 || out->n > 4096 || !str_is_text(*out) ||
	    memchr(out->p, '\n', out->n) != NULL)
		return conf_bad(v, "that file must hold one line of text");
	return true;
}

bool
conf_parse_store_url(struct conf_value *v, void *field)
{
	struct str s = v->v[0];

	if (str_starts(s, STR("file:")) && !read_secret(v, str_skip(s, 5), &s))
		return false;
	if (str_starts(s, STR("sqlite:"))) {
		if (s.n == 7)
			return conf_bad(v, "needs a path behind sqlite:");
	} else if (!str_starts(s, STR("postgresql://")) &&
	    !str_starts(s, STR("postgres://"))) {
		return conf_bad(v,
		    "must be sqlite:PATH or postgresql://USER@HOST/NAME, "
		    "or file:PATH of a file that holds it");
	}
	if (s.n > 4096)
		return conf_bad(v, "is too long");
	*(struct str *)field = str_dup(v->arena, s);
	return true;
}

static const char mask[] = "********";

/* libpq decodes the names of parameters. */
static bool
is_of_password(struct arena *a, struct str part)
{
	struct buf plain = buf_new(a, part.n + 1);

	for (size_t i = 0; i < part.n; i++) {
		char two[3] = "", *end = two;
		unsigned long c = 0;

		if (part.p[i] == '%' && part.n - i > 2) {
			memcpy(two, part.p + i + 1, 2);
			c = strtoul(two, &end, 16);
		}
		buf_char(&plain, end == two + 2 ? (char)c : part.p[i]);
		i += end == two + 2 ? 2 : 0;
	}
	return memmem(plain.p, plain.len, "password", 8) != NULL;
}

/* Parts of a URL from one "?" or "&" to the next, without passwords. */
static void
write_parts(struct buf *shown, struct arena *a, struct str s)
{
	while (s.n > 0) {
		size_t n = strcspn(s.p, "?&"), name;
		struct str part = str_make(s.p, n);

		name = str_find(part, '=');
		if (name < n && is_of_password(a, part)) {
			buf_put(shown, s.p, name + 1);
			buf_str(shown, str_from(mask));
			n = strcspn(s.p, "&");
		} else
			buf_str(shown, part);
		s = str_skip(s, n);
		if (s.n > 0)
			buf_char(shown, s.p[0]);
		s = str_skip(s, s.n > 0);
	}
}

/* Without the password that may stand before "@" or in the query. */
void
conf_print_store_url(struct buf *b, const void *field)
{
	struct str s = *(const struct str *)field;
	struct arena *a = arena_create();
	struct buf shown = buf_new(a, 8192);
	size_t at, colon, from;

	if (!str_starts(s, STR("sqlite:"))) {
		from = str_find(s, ':') + 3;
		at = from + strcspn(s.p + from, "/"); /* as libpq does */
		while (at > from && s.p[at - 1] != '@')
			at--;
		colon = from + str_find(str_skip(s, from), ':');
		if (at > from && colon < at) {
			buf_put(&shown, s.p, colon + 1);
			buf_str(&shown, str_from(mask));
			s = str_skip(s, at - 1);
		}
		write_parts(&shown, a, s);
	} else
		buf_str(&shown, s);
	conf_print_quoted(b, buf_view(&shown));
	arena_destroy(a);
}
