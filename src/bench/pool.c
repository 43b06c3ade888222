/* SPDX-License-Identifier: ISC */
/*
 * Keys, certification requests and payloads, made before the clock starts.
 * Each order has names and a request of its own; the keys of certificates are
 * shared by many, which no server can hold against them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/b64url.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/json.h"
#include "bench/bench.h"
#include "pki/csr.h"

struct key {
	EVP_PKEY *pkey;
	struct str spki;
};

/* The keys of one type. */
struct pool_keys {
	struct key *v;
	size_t n;
};

static void
free_key(void *key)
{
	EVP_PKEY_free(key);
}

static EVP_PKEY *
new_key(struct arena *a, enum pki_key_kind kind)
{
	EVP_PKEY *key = pki_generate_key(kind);

	arena_defer(a, free_key, key);
	return key;
}

static void
show_progress(const char *what, size_t i, size_t n)
{
	static int64_t shown;
	int64_t now = stats_now();

	if (!isatty(STDERR_FILENO) || (now < shown + 1000000 && i < n))
		return;
	fprintf(stderr, "\r\033[Kmaking %s: %zu of %zu%s", what, i, n,
	    i == n ? "\n" : "");
	shown = now;
}

static struct pool_keys
make_keys(struct arena *a, enum pki_key_kind kind, size_t wanted)
{
	size_t max = kind == PKI_RSA ? BENCH_RSA_KEYS_MAX : BENCH_KEYS_MAX;
	struct pool_keys keys = { .n = wanted < max ? wanted : max };

	keys.v = arena_array(a, struct key, keys.n);
	for (size_t i = 0; i < keys.n; i++) {
		keys.v[i].pkey = new_key(a, kind);
		keys.v[i].spki = pki_write_spki(a, keys.v[i].pkey);
		show_progress("keys", i + 1, keys.n);
	}
	return keys;
}

/* All payloads are small: this bounds them. */
static size_t
payload_max(const struct bench_options *o)
{
	return 8192 + o->names * (PKI_NAME_MAX + 64);
}

static struct str
write_order(struct arena *a, const struct bench_options *o,
    const struct pki_names *names)
{
	struct json_writer *w = json_writer_new(a, payload_max(o));

	json_open_object(w, NULL);
	json_open_array(w, "identifiers");
	for (size_t i = 0; i < names->ndns; i++) {
		json_open_object(w, NULL);
		json_str(w, "type", STR("dns"));
		json_str(w, "value", names->dns[i]);
		json_close(w);
	}
	json_close(w);
	json_close(w);
	return json_text(w);
}

static struct str
write_finalize(struct arena *a, const struct bench_options *o, struct str csr)
{
	struct json_writer *w = json_writer_new(a,
	    payload_max(o) + B64URL_LEN(csr.n));

	json_open_object(w, NULL);
	json_str(w, "csr", b64url_encode(a, csr));
	json_close(w);
	return json_text(w);
}

/* Names that no other order and no earlier run has. */
static struct pki_names
make_names(struct arena *a, const struct pool *pool, size_t job)
{
	const struct bench_options *o = pool->opt;
	struct pki_names names = { .ndns = o->names };

	names.dns = arena_array(a, struct str, o->names);
	for (size_t i = 0; i < o->names; i++)
		names.dns[i] = str_printf(a, "n%zu-%zu-" STR_FMT ".%s", job, i,
		    STR_ARG(pool->run), o->suffix);
	pki_names_sort(&names);
	return names;
}

/*
 * Only what the run needs stays in the arena; the writing takes a scratch
 * one, since a pool may have a million jobs.
 */
static void
make_job(struct arena *a, const struct pool *pool, size_t i, struct job *job)
{
	const struct bench_options *o = pool->opt;
	const struct pool_keys *keys = &pool->keys[i % o->nkinds];
	const struct key *key = &keys->v[i / o->nkinds % keys->n];
	struct arena *scratch = arena_create();
	struct str csr;

	job->names = make_names(a, pool, i);
	job->order = str_dup(a, write_order(scratch, o, &job->names));
	csr = pki_write_csr(scratch, key->pkey, &job->names, STR_NONE);
	job->spki = key->spki;
	job->finalize = str_dup(a, write_finalize(scratch, o, csr));
	arena_destroy(scratch);
}

/*
 * How many units of this weight there will be, if that is known; if it is
 * not, as many as BENCH_POOL_RATE makes.
 */
static size_t
expect_units(const struct bench_options *o, uint64_t weight)
{
	uint64_t rate = o->rate > 0 ? o->rate :
				      (uint64_t)BENCH_POOL_RATE * 1000;
	uint64_t n = o->count, all = 0;

	for (size_t i = 0; i < SCENARIO_UNITS; i++)
		all += o->weights[i];
	if (weight == 0)
		return 0;
	if (o->pool > 0)
		return o->pool;
	n += rate * (uint64_t)((o->duration + o->warm_up) / 1000) / 1000000;
	if (o->count == 0 && o->rate == 0 && n > BENCH_POOL_GUESS)
		n = BENCH_POOL_GUESS;
	n = n * weight / all + weight + 1;
	return n < BENCH_POOL_MAX ? (size_t)n : BENCH_POOL_MAX;
}

static void
make_jobs(struct arena *a, struct pool *pool)
{
	const struct bench_options *o = pool->opt;

	pool->njobs = expect_units(o,
	    o->weights[SCENARIO_ORDER] + o->weights[SCENARIO_NEW_ORDER]);
	if (o->weights[SCENARIO_RENEWAL_INFO] > 0)
		pool->njobs += BENCH_RENEWALS_MAX;
	pool->keys = arena_array(a, struct pool_keys, o->nkinds);
	for (size_t i = 0; i < o->nkinds; i++)
		pool->keys[i] = make_keys(a, o->kinds[i],
		    pool->njobs / o->nkinds + 1);
	pool->jobs = arena_array(a, struct job, pool->njobs);
	for (size_t i = 0; i < pool->njobs; i++) {
		make_job(a, pool, i, &pool->jobs[i]);
		show_progress("requests", i + 1, pool->njobs);
	}
}

static void
make_account(struct arena *a, const struct bench_options *o, size_t i,
    struct account *account)
{
	struct jwk jwk;

	account->key = new_key(a, o->account_kinds[i % o->naccount_kinds]);
	if (!jwk_from_key(a, account->key, &jwk))
		abort();
	account->alg = jws_alg_of(jwk.kind);
	account->jwk = jwk.json;
	account->thumbprint = jwk_thumbprint(a, &jwk);
}

static struct account *
make_accounts(struct arena *a, const struct bench_options *o, size_t n)
{
	struct account *all = arena_array(a, struct account, n);

	for (size_t i = 0; i < n; i++) {
		make_account(a, o, i, &all[i]);
		show_progress("accounts", i + 1, n);
	}
	return all;
}

void
pool_make(struct arena *a, const struct bench_options *o, struct pool *pool)
{
	char id[6];

	*pool = (struct pool){ .opt = o };
	id_random(id, sizeof(id));
	pool->run = hex_encode(a, str_make(id, sizeof(id)));
	if (options_need_accounts(o)) {
		pool->accounts = make_accounts(a, o, o->accounts);
		make_jobs(a, pool);
	}
	pool->nfresh = expect_units(o, o->weights[SCENARIO_NEW_ACCOUNT]);
	pool->fresh = make_accounts(a, o, pool->nfresh);
}

const struct job *
pool_take_job(struct pool *pool, struct arena *a)
{
	size_t i = pool->jobs_taken++;
	struct job *job;

	if (i < pool->njobs)
		return &pool->jobs[i];
	pool->late++;
	job = arena_new(a, struct job);
	make_job(a, pool, i, job);
	return job;
}

struct account *
pool_take_account(struct pool *pool, struct arena *a)
{
	size_t i = pool->fresh_taken++;
	struct account *account;

	if (i < pool->nfresh)
		return &pool->fresh[i];
	pool->late++;
	account = arena_new(a, struct account);
	make_account(a, pool->opt, i, account);
	return account;
}
