/* SPDX-License-Identifier: ISC */
/*
 * What replicas share: limits that count together, and the key of the nonces,
 * which the store keeps sealed under the key in seal_key. The first replica
 * to come makes it.
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

#define NONCE_SECRET "nonce"

static enum step on_secret(void *, const struct store_result *);

/* ---- redis */

/* The password in a file, without the line's end. NULL: *why says why. */
static const char *
read_password(struct arena *a, const char *path, struct str *out)
{
	char text[REDIS_PASSWORD_MAX + 2];
	FILE *f;
	size_t n;

	if ((f = fopen(path, "re")) == NULL)
		return str_printf(a, "cannot read %s: %s", path,
		    strerror(errno))
		    .p;
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n == 0 || n > REDIS_PASSWORD_MAX)
		return str_printf(a, "%s must hold a password of 1 to %d bytes",
		    path, REDIS_PASSWORD_MAX)
		    .p;
	*out = str_dup(a, str_make(text, n));
	OPENSSL_cleanse(text, sizeof(text));
	return NULL;
}

static bool
make_redis(struct daemon *d, const char **why)
{
	const struct conf_redis *c = &d->conf->redis;
	struct redis_endpoint *endpoints;
	struct redis_options o = {
		.user = c->user,
		.database = (unsigned)c->database,
		.prefix = c->prefix,
	};

	if (c->address.n == 0)
		return true;
	if (!redis_parse_endpoints(d->arena, c->address, &endpoints,
		&o.nendpoints, why))
		return false;
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
	const struct conf_limits *l = &d->conf->limits;
	struct ratelimit_options o = {
		.loop = d->loop,
		.backend = l->backend == CONF_LIMITS_REDIS ? RATELIMIT_REDIS :
							     RATELIMIT_MEMORY,
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
		       "address";
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
	if (d->limits != NULL)
		ratelimit_free(d->limits);
	if (d->redis != NULL)
		redis_free(d->redis);
	seal_ring_free(d->ring);
}

/* ---- the key of the nonces */

static const struct seal_place place = {
	.table = { "secrets", 7 },
	.row = { NONCE_SECRET, sizeof(NONCE_SECRET) - 1 },
	.column = { "sealed", 6 },
};

void
fleet_share(struct daemon *d, void (*done)(struct daemon *))
{
	struct seal_key fresh;
	struct batch *b;

	if (!d->conf->replicas) {
		done(d);
		return;
	}
	d->shared = done;
	seal_key_init(&fresh);
	b = store_new_batch(d->store, &d->starting, STR(NONCE_SECRET));
	store_add(b, SQL_SECRET_INSERT);
	store_str(b, STR(NONCE_SECRET));
	store_int(b, 1);
	store_blob(b,
	    seal_secret(d->starting.arena, d->ring, &place,
		str_make(fresh.bytes, sizeof(fresh.bytes))));
	seal_key_wipe(&fresh);
	store_add(b, SQL_SECRET_NEWEST);
	store_str(b, STR(NONCE_SECRET));
	(void)store_send_batch(b, on_secret, d);
}

static enum step
on_secret(void *arg, const struct store_result *r)
{
	struct daemon *d = arg;
	struct seal_key key;
	struct str plain;

	if (r->status != STORE_OK || store_nrows(r, 1) == 0) {
		daemon_fail(d, EXIT_STORE, "cannot read the shared secrets",
		    r->problem != NULL && r->problem->cause != NULL ?
			r->problem->cause :
			"the store has none");
		return STEP_DONE;
	}
	if (seal_open_secret(d->starting.arena, d->ring, &place,
		store_get_str(r, 1, 0, SECRET_NEWEST_SEALED),
		&plain) != SEAL_OK ||
	    plain.n != sizeof(key.bytes)) {
		daemon_fail(d, EXIT_CONFIG, "cannot start",
		    str_printf(d->arena,
			"the secrets in the store are sealed "
			"under another key than the one in %s: give this "
			"replica the key of the others",
			d->conf->seal_key.p)
			.p);
		return STEP_DONE;
	}
	memcpy(key.bytes, plain.p, sizeof(key.bytes));
	acme_share_nonces(d->acme, &key,
	    (uint8_t)(store_get_int(r, 1, 0, SECRET_NEWEST_VERSION) % 255 + 1));
	seal_key_wipe(&key);
	d->shared(d);
	return STEP_DONE;
}
