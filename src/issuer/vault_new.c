/* SPDX-License-Identifier: ISC */
/* A Vault issuer from its options, and whether two are the same. */
#include "issuer/vault_int.h"

#include <string.h>

#include "base/when.h"

enum { RUNNING_MAX = 64 };
#define TIMEOUT (30 * WHEN_SECOND)
#define BACKDATE (30 * WHEN_SECOND)

/* Parts of a path of Vault: no encoding is needed, none is done. */
static bool
is_path(struct str s, bool slashes)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z') && strchr("-_.", c) == NULL &&
		    !(c == '/' && slashes && i > 0 && i + 1 < s.n))
			return false;
	}
	return s.n > 0 && !str_starts(s, STR("."));
}

static const char *
set_client(struct vault *v, const struct issuer_vault_options *o)
{
	struct arena *a = v->arena;
	struct str base = str_dup(a, o->address);

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	v->client.fetch = o->fetch;
	v->client.base = str_printf(a, STR_FMT "/v1/", STR_ARG(base));
	v->client.namespace = str_dup(a, str_from(o->namespace));
	if (!str_starts(base, STR("https://")) &&
	    !str_starts(base, STR("http://")))
		return "the address of Vault must begin with https:// or "
		       "http://";
	if (v->client.namespace.n > 0 && !is_path(v->client.namespace, true))
		return "the namespace of Vault has a character that is not a "
		       "letter, a digit or one of -_./";
	if (o->ca_file == NULL)
		return NULL;
	return vault_read_cas(a, o->ca_file, &v->client.ca_pem);
}

static const char *
set_approle(struct vault *v, const struct issuer_vault_options *o,
    struct vault_token_options *token)
{
	struct arena *a = v->arena;
	struct str mount = str_from(
	    o->auth_mount != NULL ? o->auth_mount : "approle");

	if (!is_path(mount, true) || o->secret_id_file == NULL)
		return "AppRole needs a secret id file, and its mount is "
		       "letters, digits and -_./";
	v->approle.role_id = str_dup(a, str_from(o->role_id));
	v->approle.login = str_printf(a, "auth/" STR_FMT "/login",
	    STR_ARG(mount));
	token->approle = &v->approle;
	token->file = str_dup(a, str_from(o->secret_id_file)).p;
	return NULL;
}

static const char *
set_options(struct vault *v, const struct issuer_vault_options *o)
{
	struct arena *a = v->arena;
	struct vault_token_options token = { .name = v->issuer.name,
		.loop = o->loop,
		.client = &v->client,
		.file = str_dup(a, str_from(o->token_file)).p,
		.second = o->second > 0 ? o->second : WHEN_SECOND };
	const char *why;

	v->mount = str_dup(a, str_from(o->mount != NULL ? o->mount : "pki"));
	v->role = str_dup(a, str_from(o->role));
	v->ttl = o->ttl;
	v->backdate = o->backdate > 0 ? o->backdate : BACKDATE;
	v->timeout = token.timeout = o->timeout > 0 ? o->timeout : TIMEOUT;
	v->bounds = (struct issuer_bounds){
		.running_max = o->running_max > 0 ? o->running_max :
						    RUNNING_MAX,
		.queue_max = o->queue_max,
		.queue_wait = v->timeout,
		.failures_max = o->breaker_failures,
		.rest = o->breaker_rest,
	};
	if (!is_path(v->mount, true) || !is_path(v->role, false))
		return "the mount and the role of Vault are letters, digits "
		       "and -_. (the mount / too)";
	if (o->role_id != NULL && (why = set_approle(v, o, &token)) != NULL)
		return why;
	if (o->token_env != NULL)
		token.variable = str_dup(a, str_from(o->token_env)).p;
	else if (token.file == NULL || token.file[0] == '\0')
		return "a Vault issuer needs a token file";
	if ((why = set_client(v, o)) != NULL)
		return why;
	v->token = vault_token_new(&token, a, &why);
	return why;
}

struct issuer *
issuer_vault_new(const struct issuer_vault_options *o, struct arena *a,
    const char **why)
{
	struct arena *own = arena_create();
	struct vault *v = arena_new(own, struct vault);

	v->arena = own;
	v->loop = o->loop;
	v->stopped = true;
	strncpy(v->issuer.name, o->name, sizeof(v->issuer.name) - 1);
	LIST_INIT(&v->works);
	if ((*why = set_options(v, o)) != NULL) {
		*why = str_cstr(a, str_from(*why)); /* ours goes away */
		arena_destroy(own);
		return NULL;
	}
	issuer_init(&v->issuer, &vault_ops, o->name, o->loop, &v->bounds);
	return &v->issuer;
}

static bool
same_bounds(const struct issuer_bounds *a, const struct issuer_bounds *b)
{
	return a->running_max == b->running_max &&
	    a->queue_max == b->queue_max && a->queue_wait == b->queue_wait &&
	    a->failures_max == b->failures_max && a->rest == b->rest;
}

bool
issuer_vault_is_same(const struct issuer *one, const struct issuer *other)
{
	const struct vault *a = (const struct vault *)(const void *)one;
	const struct vault *b = (const struct vault *)(const void *)other;

	return str_eq(a->client.base, b->client.base) &&
	    str_eq(a->client.namespace, b->client.namespace) &&
	    str_eq(a->client.ca_pem, b->client.ca_pem) &&
	    str_eq(a->mount, b->mount) && str_eq(a->role, b->role) &&
	    str_eq(a->approle.role_id, b->approle.role_id) &&
	    str_eq(a->approle.login, b->approle.login) &&
	    vault_token_is_same(a->token, b->token) && a->ttl == b->ttl &&
	    a->backdate == b->backdate && a->timeout == b->timeout &&
	    same_bounds(&a->bounds, &b->bounds);
}
