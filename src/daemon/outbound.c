/* SPDX-License-Identifier: ISC */
/* How we reach others: names by dns, HTTP by fetch. One of each for all. */
#include "config.h"

#include "daemon/daemon.h"

static bool
make_dns(struct daemon *d, const char **why)
{
	const struct conf_dns *c = &d->conf->dns;
	struct dns_server *servers = arena_array(d->arena, struct dns_server,
	    c->servers.n + 1);
	struct dns_options o = {
		.loop = d->loop,
		.mode = c->recurse   ? DNS_RECURSE :
		    c->servers.n > 0 ? DNS_FORWARD :
				       DNS_SYSTEM,
		.forwarders = servers,
		.nforwarders = c->servers.n,
		.trust_anchors = c->trust_anchors.n > 0 ? c->trust_anchors.p :
							  NULL,
		.hosts = c->hosts.n > 0 ? c->hosts.p : NULL,
		.deadline = c->timeout,
		.cache_ttl = c->cache_ttl,
	};

	for (size_t i = 0; i < c->servers.n; i++)
		servers[i] = (struct dns_server){ .addr = c->servers.v[i].addr,
			.port = c->servers.v[i].port };
	d->dns = dns_new(&o, d->arena, why);
	return d->dns != NULL;
}

bool
outbound_make(struct daemon *d, const char **why)
{
	if (!make_dns(d, why))
		return false;
	d->fetch = fetch_new(&(struct fetch_options){ .loop = d->loop,
				 .dns = d->dns,
				 .user_agent = "certloop/" PACKAGE_VERSION },
	    why);
	return d->fetch != NULL;
}

void
outbound_free(struct daemon *d)
{
	fetch_free(d->fetch);
	dns_free(d->dns);
}
