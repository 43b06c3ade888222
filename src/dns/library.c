/* SPDX-License-Identifier: ISC */
/* Setting up libunbound: what it keeps, whom it asks, whom it trusts. */
#include "dns/dns_int.h"

#include <stdio.h>
#include <unbound.h>
#include <unbound-event.h>
#include <unistd.h>

#include "base/when.h"

static bool
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	return ub_ctx_set_option(ub, name, value) == 0;
}

static bool
set_number(struct ub_ctx *ub, const char *name, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	return set_option(ub, name, text);
}

/*
 * Nothing negative is kept, not even as proof that a name cannot exist, since
 * the record that a challenge waits for may appear at any moment. A server
 * that was down is asked again soon. Each query has a socket of its own, so
 * the range bounds how many silent servers can hold up others.
 */
static bool
set_behaviour(struct ub_ctx *ub, const struct dns_options *o, int64_t sockets)
{
	return set_number(ub, "cache-max-ttl:", o->cache_ttl / WHEN_SECOND) &&
	    set_number(ub, "cache-max-negative-ttl:", 0) &&
	    set_option(ub, "aggressive-nsec:", "no") &&
	    set_number(ub, "val-bogus-ttl:", 1) &&
	    set_number(ub, "infra-host-ttl:", 30) &&
	    set_option(ub, "infra-keep-probing:", "yes") &&
	    set_number(ub,
		"outgoing-range:", sockets < 1024 ? sockets : 1024) &&
	    set_number(ub, "outgoing-num-tcp:", 32) &&
	    set_option(ub, "msg-cache-size:", "1m") &&
	    set_option(ub, "rrset-cache-size:", "2m") &&
	    set_option(ub, "trust-anchor-signaling:", "no") &&
	    set_option(ub, "unblock-lan-zones:", "yes");
}

static bool
has_loopback(const struct dns_options *o)
{
	for (size_t i = 0; i < o->nforwarders; i++)
		if (addr_is_loopback(o->forwarders[i].addr))
			return true;
	return o->mode == DNS_SYSTEM || o->loopback_servers;
}

/* Without the file it is the server on this machine: resolv.conf(5). */
static const char *
use_system(struct ub_ctx *ub, struct arena *a)
{
	static const char file[] = "/etc/resolv.conf";
	int e;

	if (access(file, R_OK) == 0)
		e = ub_ctx_resolvconf(ub, file);
	else
		e = ub_ctx_set_fwd(ub, "127.0.0.1");
	return e == 0 ? NULL : str_printf(a, "%s: %s", file, ub_strerror(e)).p;
}

static const char *
set_servers(struct ub_ctx *ub, const struct dns_options *o, struct arena *a)
{
	if (has_loopback(o))
		(void)set_option(ub, "do-not-query-localhost:", "no");
	switch (o->mode) {
	case DNS_SYSTEM:
		return use_system(ub, a);
	case DNS_RECURSE:
		if (o->root_hints != NULL &&
		    !set_option(ub, "root-hints:", o->root_hints))
			return "the root hints will not do";
		return NULL;
	case DNS_FORWARD:
		break;
	}
	if (o->nforwarders == 0 || o->nforwarders > DNS_FORWARDERS_MAX)
		return str_printf(a, "there must be 1 to %d DNS forwarders",
		    DNS_FORWARDERS_MAX)
		    .p;
	for (size_t i = 0; i < o->nforwarders; i++) {
		const struct dns_server *f = &o->forwarders[i];
		struct str text = str_printf(a, STR_FMT "@%u",
		    STR_ARG(addr_text(a, f->addr)),
		    f->port != 0 ? f->port : 53);

		if (ub_ctx_set_fwd(ub, text.p) != 0)
			return str_printf(a, "DNS forwarder %s will not do",
			    text.p)
			    .p;
	}
	return NULL;
}

static const char *
set_trust(struct ub_ctx *ub, const struct dns_options *o, struct arena *a)
{
	int e;

	for (size_t i = 0;
	     o->insecure_zones != NULL && o->insecure_zones[i] != NULL; i++)
		if (!set_option(ub, "domain-insecure:", o->insecure_zones[i]))
			return str_printf(a, "%s is no DNS zone",
			    o->insecure_zones[i])
			    .p;
	if (o->trust_anchors == NULL)
		return NULL;
	e = ub_ctx_add_ta_file(ub, o->trust_anchors);
	return e == 0 ?
	    NULL :
	    str_printf(a, "%s: %s", o->trust_anchors, ub_strerror(e)).p;
}

/* Zones that the library answers for by itself, though networks use them. */
static int
open_zones(struct ub_ctx *ub)
{
	static const char *const zones[] = { "test.", "home.arpa." };
	int e = 0;

	for (size_t i = 0; e == 0 && i < sizeof(zones) / sizeof(zones[0]); i++)
		e = ub_ctx_zone_remove(ub, zones[i]);
	return e;
}

static void
on_first(void *arg, int rcode, void *packet, int len, int sec, char *why,
    int ratelimited)
{
	(void)arg;
	(void)rcode;
	(void)packet;
	(void)len;
	(void)sec;
	(void)why;
	(void)ratelimited;
}

/*
 * The library reads its files when it is first used, so use it: this name it
 * answers for by itself, before the call returns.
 */
static const char *
finish_set_up(struct ub_ctx *ub, const struct dns_options *o, struct arena *a)
{
	int e = open_zones(ub);

	if (e == 0)
		e = ub_resolve_event(ub, "localhost", DNS_A, DNS_CLASS_IN, NULL,
		    on_first, NULL);
	if (e == 0)
		return NULL;
	return str_printf(a,
	    "DNS cannot be set up (%s); are the files readable and "
	    "well-formed? (trust anchors: %s, root hints: %s)",
	    ub_strerror(e),
	    o->trust_anchors != NULL ? o->trust_anchors : "none",
	    o->root_hints != NULL ? o->root_hints : "built in")
	    .p;
}

const char *
dns_library_open(const struct dns_options *o, int64_t sockets, struct arena *a,
    struct ub_ctx **out)
{
	struct ub_ctx *ub = ub_ctx_create_event(loop_base(o->loop));
	const char *why;

	*out = ub;
	if (ub == NULL)
		return "libunbound cannot be set up on this event loop";
	(void)ub_ctx_debugout(ub, NULL); /* it writes to stderr */
	if (!set_behaviour(ub, o, sockets))
		return "this libunbound lacks an option";
	if ((why = set_servers(ub, o, a)) != NULL ||
	    (why = set_trust(ub, o, a)) != NULL)
		return why;
	return finish_set_up(ub, o, a);
}
