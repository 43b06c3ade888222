/* SPDX-License-Identifier: ISC */
/* How we reach others: names by dns, HTTP by fetch. One of each for all. */
#include "config.h"

#include "daemon/daemon.h"

#include <unistd.h>

/*
 * The resolvers of the system; without a resolv.conf that is the one on this
 * machine, as resolv.conf(5) says.
 */
static void
use_system(struct dns_options *o, struct dns_server *here)
{
	o->mode = DNS_SYSTEM;
	if (access("/etc/resolv.conf", R_OK) == 0)
		return;
	(void)addr_parse(STR("127.0.0.1"), &here->addr);
	o->mode = DNS_FORWARD;
	o->forwarders = here;
	o->nforwarders = 1;
}

static bool
make_dns(struct daemon *d, const char **why)
{
	const struct conf_dns *c = &d->conf->dns;
	struct dns_server *servers = arena_array(d->arena, struct dns_server,
	    c->servers.n + 1);
	struct dns_options o = {
		.loop = d->loop,
		.mode = c->recurse ? DNS_RECURSE : DNS_FORWARD,
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
	if (!c->recurse && c->servers.n == 0)
		use_system(&o, servers);
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
