/* SPDX-License-Identifier: ISC */
/*
 * The issuers of the configuration: made and started with the daemon, stopped
 * with it, and replaced one by one by a reload that changed them. One that is
 * replaced sends nothing any more; what it has sent is answered all the same.
 */
#include "daemon/daemon.h"

#include <string.h>

#include "base/hex.h"
#include "log/log.h"

struct issuer *
daemon_find_issuer(void *arg, const char *name)
{
	struct daemon *d = arg;

	if (name == NULL || name[0] == '\0')
		return d->issuers[0];
	for (size_t i = 0; i < d->nissuers; i++)
		if (strcmp(d->issuers[i]->name, name) == 0)
			return d->issuers[i];
	return NULL;
}

struct issuer *
issuers_local(const struct daemon *d)
{
	for (size_t i = 0; i < d->nissuers; i++)
		if (d->issuers[i]->ops->plans)
			return d->issuers[i];
	return NULL;
}

/* ---- options */

/* Of all profiles: who signs for which may change by a reload. */
static int64_t
longest_life(const struct conf *c)
{
	int64_t longest = 0;

	for (size_t i = 0; i < c->nprofiles; i++)
		if (c->profiles[i].lifetime > longest)
			longest = c->profiles[i].lifetime;
	return longest;
}

static struct issuer_local_options
local_options(struct arena *a, const struct daemon *d, const struct conf *c,
    const struct conf_issuer *ci)
{
	struct ca_paths own = ca_paths_of(a, c);
	bool given = ci->certificate.n > 0;

	return (struct issuer_local_options){
		.name = ci->at.name.p,
		.loop = d->loop,
		.cert_file = given ? ci->certificate.p : own.certificate,
		.key_file = given ? ci->key.p : own.key,
		.chain_file = given ? (ci->chain.n > 0 ? ci->chain.p : NULL) :
				      own.root,
		.alternate_file = ci->alternate_chain.n > 0 ?
		    ci->alternate_chain.p :
		    NULL,
		.passphrase_file = ci->key_passphrase_file.n > 0 ?
		    ci->key_passphrase_file.p :
		    NULL,
		.backdate = ci->backdate,
		.ocsp_url = ci->ocsp_url.text.p != NULL ?
		    ci->ocsp_url.text.p :
		    publish_url(a, c, ci, "ocsp"),
		.ca_issuers_url = ci->ca_issuers_url.text.p != NULL ?
		    ci->ca_issuers_url.text.p :
		    publish_url(a, c, ci, "certificate"),
		.crl_url = ci->crl_url.text.p != NULL ?
		    ci->crl_url.text.p :
		    publish_url(a, c, ci, "crl"),
		.crl_interval = ci->crl_interval,
		.crl_lifetime = ci->crl_lifetime,
		.ocsp_lifetime = ci->ocsp ? ci->ocsp_lifetime : 0,
		.responder_lifetime = ci->ocsp_responder_lifetime,
		.crl_shards = (unsigned)ci->crl_shards,
		.longest = longest_life(c),
	};
}

static struct issuer_vault_options
vault_options(const struct daemon *d, const struct conf_issuer *ci)
{
	return (struct issuer_vault_options){
		.name = ci->at.name.p,
		.loop = d->loop,
		.fetch = d->fetch,
		.address = ci->address.text,
		.mount = ci->mount.p,
		.role = ci->role.p,
		.namespace = ci->namespace.n > 0 ? ci->namespace.p : NULL,
		.ca_file = ci->ca_file.n > 0 ? ci->ca_file.p : NULL,
		.token_file = ci->token_file.n > 0 ? ci->token_file.p : NULL,
		.token_env = ci->token_env.n > 0 ? ci->token_env.p : NULL,
		.role_id = ci->role_id.n > 0 ? ci->role_id.p : NULL,
		.secret_id_file = ci->secret_id_file.p,
		.auth_mount = ci->auth_mount.p,
		.ttl = ci->ttl,
		.backdate = ci->backdate,
		.timeout = ci->timeout,
		.running_max = (unsigned)ci->max_requests,
		.queue_max = (unsigned)ci->max_queued,
		.breaker_failures = (unsigned)ci->breaker_failures,
		.breaker_rest = ci->breaker_wait,
	};
}

static struct issuer *
make_issuer(struct arena *a, struct daemon *d, const struct conf *c,
    const struct conf_issuer *ci, const char **why)
{
	struct issuer_local_options local;
	struct issuer_vault_options vault;
	struct issuer *issuer;

	if (ci->type == CONF_ISSUER_LOCAL) {
		local = local_options(a, d, c, ci);
		return issuer_local_new(&local, a, why);
	}
	vault = vault_options(d, ci);
	if ((issuer = issuer_vault_new(&vault, a, why)) == NULL)
		*why = str_printf(a, "issuer %s: %s", ci->at.name.p, *why).p;
	return issuer;
}

/* ---- start and stop */

/*
 * A CRL is of a key, and each issuer makes one of what itself revoked: two
 * with one key would each call good what the other revoked.
 */
static const char *
check_own_key(const struct daemon *d, const struct issuer *issuer)
{
	for (size_t i = 0; issuer->ops->plans && i < d->nissuers; i++) {
		const struct issuer *o = d->issuers[i];

		if (o->ops->plans &&
		    memcmp(issuer_local_ca(o)->spki_hash,
			issuer_local_ca(issuer)->spki_hash, 32) == 0)
			return str_printf(d->arena,
			    "issuers %s and %s have the same key; each needs "
			    "one of its own, or their CRLs would contradict "
			    "each other",
			    o->name, issuer->name)
			    .p;
	}
	return NULL;
}

bool
issuers_make(struct daemon *d, const char **why)
{
	const struct conf *c = d->conf;

	d->issuers = arena_array(d->arena, struct issuer *, c->nissuers);
	for (size_t i = 0; i < c->nissuers; i++) {
		d->issuers[i] = make_issuer(d->arena, d, c, &c->issuers[i],
		    why);
		if (d->issuers[i] == NULL)
			return false;
		*why = check_own_key(d, d->issuers[i]);
		d->nissuers++;
		if (*why != NULL)
			return false;
	}
	return true;
}

void
issuers_start(struct daemon *d)
{
	for (size_t i = 0; i < d->nissuers; i++)
		issuer_start(d->issuers[i]);
}

void
issuers_free(struct daemon *d)
{
	for (size_t i = 0; i < d->nissuers; i++)
		issuer_free(d->issuers[i]);
	d->nissuers = 0;
}

/* ---- reload */

/*
 * Make what is to replace an issuer of Vault: of each, since the files that
 * its options name may have changed too. NULL: it stays as it is.
 */
bool
issuers_prepare(struct daemon *d, const struct conf *next, struct arena *a,
    struct issuer ***out, const char **why)
{
	struct issuer **fresh = arena_array(a, struct issuer *, d->nissuers);

	*out = fresh;
	for (size_t i = 0; i < d->nissuers; i++) {
		const struct conf_issuer *ci = conf_find_issuer(next,
		    str_from(d->issuers[i]->name));

		if (ci->type != CONF_ISSUER_VAULT)
			continue;
		if ((fresh[i] = make_issuer(a, d, next, ci, why)) == NULL) {
			issuers_drop(d, fresh);
			return false;
		}
		if (issuer_vault_is_same(d->issuers[i], fresh[i])) {
			issuer_free(fresh[i]);
			fresh[i] = NULL;
		}
	}
	return true;
}

void
issuers_drop(struct daemon *d, struct issuer **fresh)
{
	for (size_t i = 0; i < d->nissuers; i++)
		issuer_free(fresh[i]);
}

void
issuers_replace(struct daemon *d, const struct conf *next, struct arena *a,
    struct issuer **fresh)
{
	struct issuer_local_options local;

	for (size_t i = 0; i < d->nissuers; i++) {
		if (d->issuers[i]->ops->plans) {
			local = local_options(a, d, next,
			    conf_find_issuer(next,
				str_from(d->issuers[i]->name)));
			issuer_local_set(d->issuers[i], &local);
		}
		if (fresh[i] == NULL)
			continue;
		log_info("replacing an issuer",
		    LOG_TEXT("issuer", fresh[i]->name));
		issuer_free(d->issuers[i]);
		d->issuers[i] = fresh[i];
		issuer_start(fresh[i]);
	}
}

/* ---- one key for all replicas */

/*
 * Every replica must sign with the same key: the first one writes its hash,
 * all compare. One batch: an insert and a read for each local issuer.
 */
static struct str
meta_key(struct arena *a, const struct issuer *issuer)
{
	return str_printf(a, "issuer.%s.spki", issuer->name);
}

static struct str
key_hash(struct arena *a, const struct issuer *issuer)
{
	return hex_encode(a, str_make(issuer_local_ca(issuer)->spki_hash, 32));
}

void
issuers_put_keys(struct daemon *d, struct batch *b)
{
	struct arena *a = d->starting.arena;

	for (size_t i = 0; i < d->nissuers; i++) {
		if (!d->issuers[i]->ops->plans)
			continue;
		store_add(b, SQL_META_INSERT);
		store_str(b, meta_key(a, d->issuers[i]));
		store_str(b, key_hash(a, d->issuers[i]));
		store_add(b, SQL_META_GET);
		store_str(b, meta_key(a, d->issuers[i]));
	}
}

const char *
issuers_check_keys(struct daemon *d, const struct store_result *r)
{
	struct arena *a = d->starting.arena;
	unsigned get = 1;

	for (size_t i = 0; i < d->nissuers; i++) {
		if (!d->issuers[i]->ops->plans)
			continue;
		if (!str_eq(store_get_str(r, get, 0, META_GET_VALUE),
			key_hash(a, d->issuers[i])))
			return str_printf(a,
			    "the key of issuer %s is not the one that other "
			    "processes on this store sign with; give it the "
			    "same key file, or another name",
			    d->issuers[i]->name)
			    .p;
		get += 2;
	}
	return NULL;
}
