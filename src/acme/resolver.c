/* SPDX-License-Identifier: ISC */
/*
 * The name servers that validations ask. Profiles that ask the same ones in
 * the same way share one, over reloads too. Apart from the daemon's own
 * resolver, because nothing is kept here: a client that just changed a record
 * is not to be told what the record was.
 */
#include "acme/acme_int.h"

struct resolver {
	LIST_ENTRY(resolver) entry; /* acme->resolvers */
	struct arena *arena;        /* holds this struct */
	struct str key;             /* all options as text */
	unsigned refs;              /* setups that use it */
	struct dns *dns;
};

/* What a profile says, or section dns where it says nothing. */
struct wanted {
	const struct conf_servers *servers;
	bool recurse;
	const char *root_hints, *trust_anchors;
	const struct conf_list *insecure;
	int64_t timeout;
};

static struct wanted
read_wanted(const struct conf *c, const struct conf_profile *p)
{
	bool own = p->resolvers.n > 0 || p->recurse;
	struct str anchors = p->trust_anchors.n > 0 ? p->trust_anchors :
						      c->dns.trust_anchors;

	return (struct wanted){
		.servers = own ? &p->resolvers : &c->dns.servers,
		.recurse = own ? p->recurse : c->dns.recurse,
		.root_hints = p->root_hints.n > 0 ? p->root_hints.p : NULL,
		.trust_anchors = anchors.n > 0 ? anchors.p : NULL,
		.insecure = &p->insecure_zones,
		.timeout = c->dns.timeout,
	};
}

static struct str
write_key(struct arena *a, const struct wanted *w)
{
	struct buf b = buf_new(a, 1 << 16);

	buf_printf(&b, "%d %s %s %lld", w->recurse,
	    w->root_hints != NULL ? w->root_hints : "-",
	    w->trust_anchors != NULL ? w->trust_anchors : "-",
	    (long long)w->timeout);
	for (size_t i = 0; i < w->servers->n; i++)
		buf_printf(&b, " " STR_FMT, STR_ARG(w->servers->v[i].text));
	for (size_t i = 0; i < w->insecure->n; i++)
		buf_printf(&b, " -" STR_FMT, STR_ARG(w->insecure->v[i]));
	return buf_view(&b);
}

static struct dns *
make_dns(struct acme *acme, const struct wanted *w, struct arena *a,
    const char **why)
{
	struct dns_server *servers = arena_array(a, struct dns_server,
	    w->servers->n + 1);
	const char **zones = arena_array(a, const char *, w->insecure->n + 1);
	struct dns_options o = {
		.loop = acme->loop,
		.mode = w->recurse    ? DNS_RECURSE :
		    w->servers->n > 0 ? DNS_FORWARD :
					DNS_SYSTEM,
		.forwarders = servers,
		.nforwarders = w->servers->n,
		.root_hints = w->root_hints,
		.trust_anchors = w->trust_anchors,
		.insecure_zones = zones,
		.deadline = w->timeout,
	};

	for (size_t i = 0; i < w->servers->n; i++)
		servers[i] = (struct dns_server){ .addr = w->servers->v[i].addr,
			.port = w->servers->v[i].port };
	for (size_t i = 0; i < w->insecure->n; i++)
		zones[i] = str_cstr(a, w->insecure->v[i]);
	return dns_new(&o, a, why);
}

struct resolver *
resolver_find(struct acme *acme, const struct conf *c,
    const struct conf_profile *p, struct arena *a, const char **why)
{
	struct wanted w = read_wanted(c, p);
	struct str key = write_key(a, &w);
	struct resolver *r;
	struct arena *own;
	struct dns *dns;

	LIST_FOREACH(r, &acme->resolvers, entry)
		if (str_eq(r->key, key))
			return r;
	if ((dns = make_dns(acme, &w, a, why)) == NULL)
		return NULL;
	own = arena_create();
	r = arena_new(own, struct resolver);
	r->arena = own;
	r->key = str_dup(own, key);
	r->dns = dns;
	LIST_INSERT_HEAD(&acme->resolvers, r, entry);
	return r;
}

void
resolver_hold(struct resolver *r)
{
	r->refs++;
}

void
resolver_drop(struct resolver *r)
{
	r->refs--;
}

struct dns *
resolver_dns(const struct resolver *r)
{
	return r->dns;
}

void
resolver_prune(struct acme *acme)
{
	struct resolver *r, *after;

	for (r = LIST_FIRST(&acme->resolvers); r != NULL; r = after) {
		after = LIST_NEXT(r, entry);
		if (r->refs > 0)
			continue;
		LIST_REMOVE(r, entry);
		dns_free(r->dns);
		arena_destroy(r->arena);
	}
}
