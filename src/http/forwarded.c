/* SPDX-License-Identifier: ISC */
/*
 * Who is behind the proxies: X-Forwarded-For, and Forwarded (RFC 7239).
 * Each proxy appends whom it speaks for, so the list is believed from its
 * right end as long as it names proxies that we trust; the first address
 * that is not one of them is the client. What stands left of it the client
 * may have written itself.
 */
#include "http/http_int.h"

enum { HOPS_MAX = 32 };

bool
forwarded_pop(struct str *list, struct str *element)
{
	bool quoted = false;
	size_t cut = 0;

	if (list->p == NULL)
		return false;
	for (size_t i = 0; i < list->n; i++) {
		char c = list->p[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == ',' && !quoted)
			cut = i + 1;
	}
	*element = str_trim(str_skip(*list, cut));
	*list = cut > 0 ? str_make(list->p, cut - 1) : STR_NONE;
	return true;
}

static bool
is_port(struct str s)
{
	uint64_t n;

	return s.n <= 5 && str_u64(s, &n) && n <= UINT16_MAX;
}

bool
forwarded_node(struct str s, struct addr *out)
{
	struct str host = s, rest;
	size_t colon = str_find(s, ':');

	if (s.n > 0 && s.p[0] == '[') {
		rest = str_skip(s, 1);
		host = str_cut(&rest, ']');
		if (host.n + 2 > s.n || str_find(host, ':') == host.n)
			return false;
		if (rest.n > 0 &&
		    (rest.p[0] != ':' || !is_port(str_skip(rest, 1))))
			return false;
	} else if (colon < s.n &&
	    str_find(str_skip(s, colon + 1), ':') == s.n - colon - 1) {
		host.n = colon; /* one colon only: a port follows */
		if (!is_port(str_skip(s, colon + 1)))
			return false;
	}
	return addr_parse(host, out);
}

bool
forwarded_for(struct str element, struct str *node)
{
	while (element.n > 0) {
		struct str pair = str_cut(&element, ';');
		struct str name = str_trim(str_cut(&pair, '='));

		pair = str_trim(pair);
		if (!str_case_eq(name, STR("for")))
			continue;
		if (pair.n >= 2 && pair.p[0] == '"' &&
		    pair.p[pair.n - 1] == '"')
			pair = str_make(pair.p + 1, pair.n - 2);
		*node = pair;
		return true;
	}
	return false;
}

static struct addr
walk(const struct listener *l, struct str list, bool rfc7239, struct addr peer)
{
	struct str element;
	struct addr next;

	for (int hops = 0; hops < HOPS_MAX && listener_trusts(l, peer);
	     hops++) {
		if (!forwarded_pop(&list, &element) ||
		    (rfc7239 && !forwarded_for(element, &element)) ||
		    !forwarded_node(element, &next))
			break; /* the end, "unknown", or nonsense */
		peer = next;
	}
	return peer;
}

struct addr
forwarded_client(const struct listener *l, const struct req *req,
    struct addr peer)
{
	struct str x, f;
	struct addr by_x, by_f;

	if (!l->forwarded || !listener_trusts(l, peer))
		return peer;
	x = req_header(req, "X-Forwarded-For");
	f = req_header(req, "Forwarded");
	by_x = walk(l, x, false, peer);
	by_f = walk(l, f, true, peer);
	if (f.p == NULL)
		return by_x;
	/*
	 * A proxy that writes one of them passes the other on as the client
	 * sent it, and we cannot know which. So if both are there they must
	 * agree, or nobody is believed.
	 */
	return x.p == NULL || addr_eq(by_x, by_f) ? by_f : peer;
}
