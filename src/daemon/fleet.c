/* SPDX-License-Identifier: ISC */
/*
 * What replicas share: limits that count together, and the keys of the nonces,
 * which the store keeps sealed under the key in seal_key.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/mem.h>

#include "base/when.h"
#include "log/log.h"
#include "seal/seal.h"

enum { LOOK = 2 * 1000000 }; /* how long the start waits for Redis */

static void on_keys(void *, enum nonce_keys_verdict, const char *);

/* ---- redis */

/* The password in a file, without the line's end. NULL: *why says why. */
static const char *
read_password(struct arena *a, const char *path, struct str *out)
{
	char text[REDIS_PASSWORD_MAX + 2];
	FILE *f;
	size_t n;
	bool fits;

	if ((f = fopen(path, "re")) == NULL)
		return str_printf(a, "cannot read %s: %s", path,
		    strerror(errno))
		    .p;
	(void)setvbuf(f, NULL, _IONBF, 0); /* no copy stays in a buffer */
	n = fread(text, 1, sizeof(text), f);
	(void)fclose(f);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	fits = n > 0 && n <= REDIS_PASSWORD_MAX;
	if (fits)
		*out = str_dup(a, str_make(text, n));
	OPENSSL_cleanse(text, sizeof(text));
	return fits ? NULL :
		      str_printf(a, "%s must hold a password of 1 to %d bytes",
			  path, REDIS_PASSWORD_MAX)
			  .p;
}

static bool
find_sentinels(struct daemon *d, struct redis_endpoint **out, size_t *n,
    const char **why)
{
	const struct conf_redis *c = &d->conf->redis;
	struct redis_endpoint *all = arena_array(d->arena,
				  struct redis_endpoint, REDIS_ENDPOINTS_MAX),
			      *some;
	size_t nsome;

	*out = all;
	for (size_t i = 0; i < c->sentinels.n; i++) {
		if (!redis_parse_sentinel(d->arena, c->sentinels.v[i], &some,
			&nsome, why))
			return false;
		for (size_t j = 0; j < nsome && *n < REDIS_ENDPOINTS_MAX; j++)
			all[(*n)++] = some[j];
	}
	return true;
}

static bool
make_redis(struct daemon *d, const char **why)
{
	const struct conf_redis *c = &d->conf->redis;
	struct redis_endpoint *endpoints;
	struct redis_options o = {
		.sentinel = c->sentinel_master,
		.user = c->user,
		.database = (unsigned)c->database,
		.prefix = c->prefix,
		.late = c->deadline,
	};

	if (c->address.n == 0 && c->sentinels.n == 0)
		return true;
	if (c->address.n == 0) {
		if (!find_sentinels(d, &endpoints, &o.nendpoints, why))
			return false;
	} else if (!redis_parse_endpoints(d->arena, c->address, &endpoints,
		       &o.nendpoints, why)) {
		return false;
	}
	o.endpoints = endpoints;
	if (c->password_file.n > 0 &&
	    (*why = read_password(d->arena, c->password_file.p, &o.password)) !=
		NULL)
		return false;
	switch (redis_look(d->arena, &o, LOOK, why)) {
	case REDIS_FOUND_UP:
		break;
	case REDIS_FOUND_DOWN:
		log_warn("starting without Redis", LOG_TEXT("cause", *why));
		break;
	case REDIS_FOUND_BAD:
		return false;
	}
	d->redis = redis_new(d->loop, &o);
	return true;
}

/* ---- limits */

static void
set_limit(struct daemon *d, enum limit_id id, const struct conf_rate *rate)
{
	struct limit l = { .max = rate->max, .window = rate->window };

	ratelimit_set(d->limits, id, &l);
}

void
fleet_set_limits(struct daemon *d, const struct conf *c)
{
	const struct conf_limits *l = &c->limits;

	set_limit(d, LIMIT_NEW_ACCOUNT, &l->new_account_per_address);
	set_limit(d, LIMIT_NEW_ORDER, &l->new_order_per_account);
	set_limit(d, LIMIT_KEY_CHANGE, &l->key_change_per_account);
	set_limit(d, LIMIT_CHALLENGE_RESPONSE,
	    &l->challenge_response_per_challenge);
	set_limit(d, LIMIT_FAILED_VALIDATION, &l->failed_validation_per_name);
	set_limit(d, LIMIT_OCSP, &l->ocsp_per_address);
	set_limit(d, LIMIT_EXPORT, &l->export_per_actor);
	set_limit(d, LIMIT_ADMIN_LOGIN_FAILURE, &l->admin_login_failure);
}

/* ---- secrets at rest */

/* A process alone makes its key at the first start; replicas are given it. */
static const char *
load_ring(struct daemon *d)
{
	const char *path = d->conf->seal_key.p;
	struct seal_key key;
	struct str why;

	if (access(path, F_OK) != 0 && d->conf->replicas)
		return str_printf(d->arena,
		    "%s is not there: replicas share secrets under one key; "
		    "make it once with certloopd --init-ca, or name it in "
		    "seal_key, and give it to every replica",
		    path)
		    .p;
	if (access(path, F_OK) != 0 && !seal_make_key(d->arena, path, &why))
		return why.p;
	if (!seal_load_key(d->arena, path, &key, &why))
		return why.p;
	d->ring = seal_ring_new();
	(void)seal_ring_add(d->ring, &key);
	seal_key_wipe(&key);
	return NULL;
}

bool
fleet_make(struct daemon *d, const char **why)
{
	static const enum ratelimit_backend backends[] = {
		[CONF_LIMITS_MEMORY] = RATELIMIT_MEMORY,
		[CONF_LIMITS_REDIS] = RATELIMIT_REDIS,
		[CONF_LIMITS_STORE] = RATELIMIT_STORE,
	};
	const struct conf_limits *l = &d->conf->limits;
	struct ratelimit_options o = {
		.loop = d->loop,
		.backend = backends[l->backend],
		.store = d->store,
		.on_error = l->on_error == CONF_ON_ERROR_ALLOW ?
		    RATELIMIT_ALLOW :
		    l->on_error == CONF_ON_ERROR_DENY ? RATELIMIT_DENY :
							RATELIMIT_LOCAL,
		.expected_replicas = (unsigned)l->expected_replicas,
	};

	if (!make_redis(d, why) || (*why = load_ring(d)) != NULL)
		return false;
	if (o.backend == RATELIMIT_REDIS && d->redis == NULL) {
		*why = "limits: backend = redis needs a section redis with an "
		       "address or sentinels";
		return false;
	}
	o.redis = d->redis;
	d->limits = ratelimit_new(&o);
	fleet_set_limits(d, d->conf);
	return true;
}

void
fleet_free(struct daemon *d)
{
	nonce_keys_stop(d->nonce_keys);
	if (d->limits != NULL)
		ratelimit_free(d->limits);
	if (d->redis != NULL)
		redis_free(d->redis);
	seal_ring_free(d->ring);
}

/* ---- secrets */

void
fleet_share(struct daemon *d, void (*done)(struct daemon *))
{
	if (!d->conf->replicas) {
		done(d);
		return;
	}
	d->shared = done;
	d->nonce_keys = nonce_keys_start(d->loop, d->store, d->ring, d->acme,
	    d->conf->nonce_key_lifetime, on_keys, d);
}

static void
on_keys(void *arg, enum nonce_keys_verdict verdict, const char *why)
{
	struct daemon *d = arg;

	switch (verdict) {
	case NONCE_KEYS_OK:
		d->shared(d);
		break;
	case NONCE_KEYS_STORE:
		daemon_fail(d, EXIT_STORE, "cannot read the shared secrets",
		    why);
		break;
	case NONCE_KEYS_SEALED:
		daemon_fail(d, EXIT_CONFIG, "cannot start",
		    str_printf(d->arena,
			"the secrets in the store are sealed "
			"under another key than the one in %s: give this "
			"replica the key of the others",
			d->conf->seal_key.p)
			.p);
		break;
	}
}
