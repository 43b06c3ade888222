/* SPDX-License-Identifier: ISC */
/*
 * Keys, certification requests and payloads, made before the clock starts.
 * Each order has names and a request of its own; keys are shared by many,
 * which no server can hold against them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/b64url.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/json.h"
#include "load.h"
#include "pki/csr.h"

struct key {
	EVP_PKEY *pkey;
	struct str spki;
};

/* The keys of one type. */
struct keys {
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

static struct keys
make_keys(struct arena *a, enum pki_key_kind kind, size_t wanted)
{
	size_t max = kind == PKI_RSA ? LOAD_RSA_KEYS_MAX : LOAD_KEYS_MAX;
	struct keys keys = { .n = wanted < max ? wanted : max };

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
payload_max(const struct load_options *o)
{
	return 8192 + o->names * (PKI_NAME_MAX + 64);
}

static struct str
write_order(struct arena *a, const struct load_options *o,
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
write_finalize(struct arena *a, const struct load_options *o, struct str csr)
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
make_names(struct arena *a, const struct load_options *o, struct str run,
    size_t job)
{
	struct pki_names names = { .ndns = o->names };

	names.dns = arena_array(a, struct str, o->names);
	for (size_t i = 0; i < o->names; i++)
		names.dns[i] = str_printf(a, "n%zu-%zu-" STR_FMT ".%s", job, i,
		    STR_ARG(run), o->suffix);
	pki_names_sort(&names);
	return names;
}

/*
 * Only what the run needs stays in the arena; the writing takes a scratch
 * one, since a pool may have a million jobs.
 */
static void
make_job(struct arena *a, const struct load_options *o, struct str run,
    const struct key *key, size_t i, struct job *job)
{
	struct arena *scratch = arena_create();
	struct str csr;

	job->names = make_names(a, o, run, i);
	job->order = str_dup(a, write_order(scratch, o, &job->names));
	if (o->scenario == SCENARIO_FULL) {
		csr = pki_write_csr(scratch, key->pkey, &job->names, STR_NONE);
		job->spki = key->spki;
		job->finalize = str_dup(a, write_finalize(scratch, o, csr));
	}
	arena_destroy(scratch);
}

static void
make_jobs(struct arena *a, const struct load_options *o, struct pool *pool)
{
	struct keys keys[LOAD_KINDS_MAX];
	struct str run;
	char id[6];

	id_random(id, sizeof(id));
	run = hex_encode(a, str_make(id, sizeof(id)));
	for (size_t i = 0; i < o->nkinds; i++)
		keys[i] = make_keys(a, o->kinds[i], o->orders / o->nkinds + 1);
	pool->jobs = arena_array(a, struct job, o->orders);
	for (size_t i = 0; i < o->orders; i++) {
		const struct keys *k = &keys[i % o->nkinds];

		make_job(a, o, run, &k->v[i / o->nkinds % k->n], i,
		    &pool->jobs[i]);
		show_progress("requests", i + 1, o->orders);
	}
}

static void
make_account(struct arena *a, enum pki_key_kind kind, struct account *account)
{
	struct jwk jwk;

	account->key = new_key(a, kind);
	if (!jwk_from_key(a, account->key, &jwk))
		abort();
	account->alg = jws_alg_of(jwk.kind);
	account->jwk = jwk.json;
}

void
pool_make(struct arena *a, const struct load_options *o, struct pool *pool)
{
	*pool = (struct pool){ .jobs = NULL };
	if (!load_is_signed(o->scenario))
		return;
	pool->accounts = arena_array(a, struct account, o->accounts);
	for (size_t i = 0; i < o->accounts; i++) {
		make_account(a, o->account_kinds[i % o->naccount_kinds],
		    &pool->accounts[i]);
		show_progress("accounts", i + 1, o->accounts);
	}
	make_jobs(a, o, pool);
}
