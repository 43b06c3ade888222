/* SPDX-License-Identifier: ISC */
/*
 * Where a request goes. The URL is taken apart by the library that will use
 * it, so that two readings of one text cannot differ.
 */
#include "fetch/fetch_int.h"

/* A part of the URL, in the call's arena; STR_NONE if it has none. */
static struct str
get_part(const struct fetch_call *call, CURLUPart part, unsigned flags)
{
	char *text = NULL;
	struct str s;

	if (curl_url_get(call->url, part, &text, flags) != CURLUE_OK)
		return STR_NONE;
	s = str_dup(call->task.arena, str_from(text));
	curl_free(text);
	return s;
}

/* Literals keep no brackets; a name loses the dot at its end. */
static const char *
take_host(struct fetch_call *call)
{
	struct arena *a = call->task.arena;
	struct str host = get_part(call, CURLUPART_HOST, 0);
	struct addr addr;

	if (get_part(call, CURLUPART_ZONEID, 0).p != NULL)
		return "the URL has an address with a zone";
	if (host.n > 2 && host.p[0] == '[')
		host = str_make(host.p + 1, host.n - 2);
	if (host.n > 1 && host.p[host.n - 1] == '.') {
		host = str_dup(a, str_make(host.p, host.n - 1));
		if (curl_url_set(call->url, CURLUPART_HOST, host.p, 0) !=
		    CURLUE_OK)
			return "the URL has no usable host";
	}
	if (host.n == 0 || host.n > DNS_NAME_MAX)
		return "the URL has no usable host";
	call->host = str_lower(a, host);
	call->literal = addr_parse(call->host, &addr);
	return NULL;
}

/* The library takes one slash or three for two; we do not. */
static bool
is_absolute(struct fetch_call *call)
{
	struct str rest = call->url_text, scheme = str_cut(&rest, ':');

	return (str_case_eq(scheme, STR("http")) ||
		   str_case_eq(scheme, STR("https"))) &&
	    str_starts(rest, STR("//")) && !str_starts(rest, STR("///"));
}

const char *
target_parse(struct fetch_call *call)
{
	struct str port;
	uint64_t n;

	if (call->url_text.n == 0 || call->url_text.n > FETCH_URL_MAX ||
	    str_find(call->url_text, '\0') < call->url_text.n)
		return "the URL is empty, too long, or holds NUL";
	if (!is_absolute(call))
		return "the URL is neither http:// nor https://";
	if ((call->url = curl_url()) == NULL ||
	    curl_url_set(call->url, CURLUPART_URL, call->url_text.p,
		CURLU_DISALLOW_USER) != CURLUE_OK)
		return "the URL is malformed or holds credentials";
	port = get_part(call, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	if (!str_u64(port, &n) || n == 0 || n > 65535)
		return "the URL has no usable port";
	call->port = (unsigned)n;
	(void)curl_url_set(call->url, CURLUPART_FRAGMENT, NULL, 0);
	return take_host(call);
}

size_t
target_set_addrs(struct fetch_call *call, const struct addr *v, size_t n)
{
	call->naddrs = 0;
	for (size_t i = 0; i < n && call->naddrs < DNS_ADDRS_MAX; i++)
		if (call->rule == NULL ||
		    call->rule(call->rule_arg, v[i], call->port))
			call->addrs[call->naddrs++] = v[i];
	return call->naddrs;
}

bool
target_allows(const struct fetch_call *call, struct addr addr)
{
	for (size_t i = 0; i < call->naddrs; i++)
		if (addr_eq(call->addrs[i], addr))
			return call->rule == NULL ||
			    call->rule(call->rule_arg, addr, call->port);
	return false;
}
