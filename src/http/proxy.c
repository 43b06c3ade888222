/* SPDX-License-Identifier: ISC */
/*
 * The PROXY protocol: one line (version 1) or a binary header (version 2)
 * in which a balancer says for whom it connects.
 */
#include "http/parse.h"

#include <string.h>

enum {
	V1_MAX = 107, /* with CRLF */
	V2_HEAD = 16,
	V2_VERSION = 2,
	V2_LOCAL = 0,
	V2_PROXY = 1,
	V2_UNSPEC = 0,
	V2_INET = 1,
	V2_INET6 = 2,
	V2_UNIX = 3,
};

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n"; /* 12 bytes */

/* ---- version 1: "PROXY TCP4 src dst sport dport\r\n" */

static bool
take_port(struct str s, uint16_t *port)
{
	uint64_t n;

	if (s.n > 5 || (s.n > 1 && s.p[0] == '0') || !str_u64(s, &n) ||
	    n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

/* An address of the family that the line names. */
static bool
take_address(struct str s, bool v6, struct addr *out)
{
	return (str_find(s, ':') < s.n) == v6 && addr_parse(s, out);
}

static bool
parse_line(struct str line, struct proxy *out)
{
	struct str proto, src, dst, sport;
	struct addr to;
	uint16_t to_port;
	bool v6;

	line = str_skip(line, strlen("PROXY "));
	proto = str_cut(&line, ' ');
	if (str_is(proto, "UNKNOWN"))
		return true;
	v6 = str_is(proto, "TCP6");
	if (!v6 && !str_is(proto, "TCP4"))
		return false;
	src = str_cut(&line, ' ');
	dst = str_cut(&line, ' ');
	sport = str_cut(&line, ' ');
	out->has_peer = take_address(src, v6, &out->peer) &&
	    take_address(dst, v6, &to) && take_port(sport, &out->port) &&
	    take_port(line, &to_port);
	return out->has_peer;
}

static enum proxy_result
parse_v1(struct str in, struct proxy *out)
{
	struct str line = str_make(in.p, in.n < V1_MAX ? in.n : V1_MAX);
	size_t lf = str_find(line, '\n');

	if (lf == line.n)
		return in.n >= V1_MAX ? PROXY_BAD : PROXY_MORE;
	if (lf == 0 || line.p[lf - 1] != '\r')
		return PROXY_BAD;
	out->len = lf + 1;
	return parse_line(str_make(line.p, lf - 1), out) ? PROXY_OK : PROXY_BAD;
}

/* ---- version 2 */

static bool
take_addresses(const uint8_t *p, size_t n, unsigned family, struct proxy *out)
{
	size_t len = family == V2_INET ? 4 : 16;

	if (family == V2_UNSPEC || family == V2_UNIX)
		return true; /* nothing that we could use */
	if (family > V2_UNIX || n < 2 * len + 4)
		return false;
	out->has_peer = true;
	out->peer = addr_from_bytes(p, len);
	out->port = (uint16_t)(p[2 * len] << 8 | p[2 * len + 1]);
	return true;
}

static enum proxy_result
parse_v2(struct str in, struct proxy *out)
{
	const uint8_t *p = (const uint8_t *)in.p;
	unsigned version, command, family, transport;
	size_t n;

	if (in.n < V2_HEAD)
		return PROXY_MORE;
	version = p[12] >> 4;
	command = p[12] & 15;
	family = p[13] >> 4;
	transport = p[13] & 15;
	n = (size_t)(p[14] << 8 | p[15]);
	if (version != V2_VERSION || command > V2_PROXY || transport > 2 ||
	    V2_HEAD + n > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (in.n < V2_HEAD + n)
		return PROXY_MORE;
	out->len = V2_HEAD + n;
	if (command == V2_LOCAL)
		return PROXY_OK;
	return take_addresses(p + V2_HEAD, n, family, out) ? PROXY_OK :
							     PROXY_BAD;
}

/* Does in begin with these, as far as it goes? */
static bool
may_begin(struct str in, const char *with, size_t n)
{
	return memcmp(in.p, with, in.n < n ? in.n : n) == 0;
}

enum proxy_result
proxy_parse(struct str in, struct proxy *out)
{
	*out = (struct proxy){ .len = 0 };
	if (in.n == 0)
		return PROXY_MORE;
	if (may_begin(in, signature, 12))
		return parse_v2(in, out);
	if (may_begin(in, "PROXY ", 6))
		return parse_v1(in, out);
	return PROXY_BAD;
}
