/* SPDX-License-Identifier: ISC */
/*
 * One batch a look: add the next key if the newest is too old (two replicas
 * that do so at once insert the same version, and one wins), forget all but
 * the newest two, read these. The clock of the store decides.
 *
 *	now - created	the newest key
 *	< SHARE		opens; the one before it seals
 *	>= SHARE	seals; the one before it opens
 *	>= lifetime	gets a successor
 *
 * conf makes sure that a key lives longer than the nonces that it sealed.
 */
#include "jobs/nonce_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define NAME STR("nonce")

static const int64_t LOOK = 60 * WHEN_SECOND;
static const int64_t SHARE = 150 * WHEN_SECOND; /* two looks, jittered */

struct nonce_keys {
	struct store *store;
	const struct seal_ring *ring;
	struct acme *acme;
	int64_t lifetime;
	int64_t version; /* newest that we have; 0: none yet */
	int64_t sealing; /* the one that seals */
	struct timer timer;
	struct task task;
	bool looking, again;
	nonce_keys_fn *fn; /* NULL: it was told */
	void *arg;
};

static enum step on_looked(void *, const struct store_result *);

/* A secret opens only as the version that it was sealed for. */
static struct seal_place
place_of(struct arena *a, int64_t version)
{
	return (struct seal_place){ .table = STR("secrets"),
		.row = str_printf(a, "nonce %lld", (long long)version),
		.column = STR("sealed") };
}

static struct str
make_key(struct nonce_keys *k, struct arena *a, int64_t version)
{
	struct seal_place place = place_of(a, version);
	struct seal_key fresh;
	struct str sealed;

	seal_key_init(&fresh);
	sealed = seal_secret(a, k->ring, &place,
	    str_make(fresh.bytes, sizeof(fresh.bytes)));
	seal_key_wipe(&fresh);
	return sealed;
}

static void
look(void *arg)
{
	struct nonce_keys *k = arg;
	struct batch *b;

	if (k->looking) {
		k->again = true;
		return;
	}
	k->looking = true;
	k->again = false;
	task_init(&k->task);
	b = store_new_batch(k->store, &k->task, NAME);
	store_add(b, SQL_SECRET_ADD_NEXT);
	store_str(b, NAME);
	store_int(b, k->version + 1);
	store_blob(b, make_key(k, k->task.arena, k->version + 1));
	store_int(b, k->lifetime);
	store_add(b, SQL_SECRET_PRUNE);
	store_str(b, NAME);
	store_add(b, SQL_SECRET_NEWEST);
	store_str(b, NAME);
	(void)store_send_batch(b, on_looked, k);
}

/* ---- what the store has */

static bool
open_key(struct nonce_keys *k, const struct store_result *r, size_t row,
    struct nonce_key *out)
{
	struct arena *a = k->task.arena;
	int64_t version = store_get_int(r, 2, row, SECRET_NEWEST_VERSION);
	struct seal_place place = place_of(a, version);
	struct str plain;

	if (seal_open_secret(a, k->ring, &place,
		store_get_str(r, 2, row, SECRET_NEWEST_SEALED),
		&plain) != SEAL_OK ||
	    plain.n != sizeof(out->key.bytes))
		return false;
	memcpy(out->key.bytes, plain.p, plain.n);
	out->id = (uint8_t)(version % 255 + 1);
	return true;
}

static void
wipe_keys(struct nonce_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		seal_key_wipe(&keys[i].key);
}

/* All of them, or none is left in memory. */
static bool
open_keys(struct nonce_keys *k, const struct store_result *r,
    struct nonce_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!open_key(k, r, i, &keys[i])) {
			wipe_keys(keys, i);
			return false;
		}
	return true;
}

static void
say_changes(struct nonce_keys *k, int64_t version, int64_t sealing)
{
	if (version != k->version)
		log_info("nonces have a new key", LOG_INT("version", version));
	if (sealing != k->sealing)
		log_info("nonces are sealed", LOG_INT("version", sealing));
	k->version = version;
	k->sealing = sealing;
	metrics_set(METRIC_nonce_key_version, sealing);
}

static enum nonce_keys_verdict
take_keys(struct nonce_keys *k, const struct store_result *r, const char **why)
{
	struct nonce_key keys[NONCE_KEYS_MAX];
	size_t n = r->status == STORE_OK ? store_nrows(r, 2) : 0;
	size_t sealer;
	int64_t age;

	if (n == 0) {
		*why = r->status == STORE_OK ? "the store has no key" :
					       store_cause(r);
		return NONCE_KEYS_STORE;
	}
	n = n < NONCE_KEYS_MAX ? n : NONCE_KEYS_MAX;
	if (!open_keys(k, r, keys, n)) {
		*why = "it is sealed under another key";
		return NONCE_KEYS_SEALED;
	}
	age = store_get_int(r, 2, 0, SECRET_NEWEST_NOW) -
	    store_get_int(r, 2, 0, SECRET_NEWEST_CREATED);
	sealer = n > 1 && age < SHARE ? 1 : 0;
	acme_share_nonces(k->acme, keys, n, sealer);
	wipe_keys(keys, n);
	say_changes(k, store_get_int(r, 2, 0, SECRET_NEWEST_VERSION),
	    store_get_int(r, 2, sealer, SECRET_NEWEST_VERSION));
	return NONCE_KEYS_OK;
}

/* Replicas spread. */
static int64_t
next_look(void)
{
	uint8_t r;

	id_random(&r, sizeof(r));
	return LOOK - LOOK / 10 * r / 255;
}

static enum step
on_looked(void *arg, const struct store_result *r)
{
	struct nonce_keys *k = arg;
	const char *why = NULL;
	enum nonce_keys_verdict v = take_keys(k, r, &why);
	nonce_keys_fn *fn = k->fn;

	if (v != NONCE_KEYS_OK)
		log_warn("while looking for the keys of nonces",
		    LOG_TEXT("cause", why));
	k->fn = NULL;
	k->looking = false;
	timer_start(&k->timer, k->again ? 0 : next_look());
	if (fn != NULL)
		fn(k->arg, v, why);
	task_end(&k->task);
	return STEP_DONE;
}

/* ---- life */

struct nonce_keys *
nonce_keys_start(struct loop *l, struct store *st, const struct seal_ring *ring,
    struct acme *acme, int64_t lifetime, nonce_keys_fn *fn, void *arg)
{
	struct nonce_keys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		abort();
	k->store = st;
	k->ring = ring;
	k->acme = acme;
	k->lifetime = lifetime;
	k->fn = fn;
	k->arg = arg;
	timer_init(&k->timer, l, look, k);
	look(k);
	return k;
}

void
nonce_keys_set_lifetime(struct nonce_keys *k, int64_t lifetime)
{
	k->lifetime = lifetime;
	look(k);
}

void
nonce_keys_stop(struct nonce_keys *k)
{
	if (k == NULL)
		return;
	timer_stop(&k->timer);
	if (k->looking)
		task_end(&k->task);
	free(k);
}
