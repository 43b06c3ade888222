/* SPDX-License-Identifier: ISC */
/*
 * One run goes from issuer to issuer, and there from list to list: the complete
 * one, the shards that certificates are spread over, and those over which they
 * were, until the last certificate has ended that may point to one.
 *
 *	lists	which there are; retire and drop what is needed no more
 *	state	is a list due: the interval is over, or something was revoked
 *	page	the entries, some thousands a batch, so that none is long
 *	put	sign and store, guarded by the number: it was the one before
 *
 * A number is used by one list only. Who loses it drops what it made; the next
 * look says whether more is due. A list leaves out what had expired when the
 * one before it was made, so each entry is in a list that is younger than its
 * certificate's end (RFC 5280 section 3.3).
 */
#include "jobs/crl.h"

#include <stdlib.h>

#include <openssl/sha.h>

#include "base/hex.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	PAGE_ROWS = 2000,
	ENTRIES_MAX = 1000000, /* of one list: some 40 MB */
	SHARE = 20,            /* making takes one part of so many */
	SHARDS_MAX = 256,
};

static const int64_t LOOK = 15 * WHEN_SECOND;
static const int64_t SOON = WHEN_SECOND / 5;
static const int64_t LATER_MAX = 30 * WHEN_SECOND;
/* No batch takes longer from its clock to its commit. */
static const int64_t SPAN = 10 * WHEN_MINUTE;

/* How long a replica may still spread as it was configured before. */
static const int64_t SLACK = 7 * WHEN_DAY;

struct list {
	unsigned n, i; /* shard i of n; n is 1: the complete one */
};

struct crl_job {
	struct loop *loop;
	struct store *store;
	struct sched_job *job;
	crl_issuer_fn *issuers;
	void *arg;
	struct timer soon;
	bool waiting; /* for soon */
	bool running;
	int64_t began; /* of this run, loop_mono */
	int64_t rest;  /* until then no look of ours begins */
	size_t next;   /* issuer to look at */
	/* one issuer */
	struct task task;
	struct issuer *issuer;
	struct issuer_publishing publishing;
	struct arena *arena; /* holds the lists */
	struct list *lists;
	size_t nlists, at;
	int64_t soonest; /* end of one of them */
	/* one of its lists */
	struct str list, first, last; /* its name; ends of its serials */
	struct pki_crl *crl;
	int64_t number, made, since, recent;
	int64_t after;     /* where the next page begins */
	struct str serial; /* and the serial there */
};

static void next_issuer(struct crl_job *);
static void next_list(struct crl_job *);
static enum step on_lists(void *, const struct store_result *);
static enum step on_tidied(void *, const struct store_result *);
static enum step on_state(void *, const struct store_result *);
static enum step on_page(void *, const struct store_result *);
static enum step on_put(void *, const struct store_result *);

/* ---- a run */

static void
run(void *arg, struct sched_job *job)
{
	struct crl_job *j = arg;

	(void)job;
	j->running = true;
	j->began = loop_mono(j->loop);
	j->next = 0;
	next_issuer(j);
}

/* Leave the rest of the time to others. */
static void
end_run(struct crl_job *j)
{
	int64_t now = loop_mono(j->loop), pause = (now - j->began) * SHARE;

	j->running = false;
	j->rest = now + (pause < LATER_MAX ? pause : LATER_MAX);
	sched_done(j->job);
}

static void
end_issuer(struct crl_job *j)
{
	if (j->soonest < INT64_MAX)
		metrics_child_set(metrics_child(FAMILY_crl_next_update_seconds,
				      j->issuer->name),
		    j->soonest / WHEN_SECOND);
	issuer_let_go(j->issuer);
	task_end(&j->task);
	arena_destroy(j->arena);
	next_issuer(j);
}

static void
say_failure(const struct crl_job *j, const char *why)
{
	metrics_add(METRIC_crl_failures, 1);
	log_warn("while making a CRL", LOG_TEXT("issuer", j->issuer->name),
	    LOG_STR("list", j->list), LOG_TEXT("cause", why));
}

static void
fail(struct crl_job *j, const char *why)
{
	say_failure(j, why);
	next_list(j);
}

/* The others would fail too. */
static void
fail_store(struct crl_job *j, const struct store_result *r)
{
	say_failure(j, store_cause(r));
	end_issuer(j);
}

static void
next_issuer(struct crl_job *j)
{
	struct issuer *issuer;
	struct batch *b;

	while ((issuer = j->issuers(j->arg, j->next)) != NULL) {
		j->next++;
		if (!issuer->ops->plans)
			continue;
		j->publishing = issuer_local_publishing(issuer);
		if (j->publishing.crl_interval > 0)
			break;
	}
	if (issuer == NULL) {
		end_run(j);
		return;
	}
	j->issuer = issuer_hold(issuer);
	task_init(&j->task);
	j->arena = arena_create();
	j->nlists = j->at = 0;
	j->list = STR("");
	j->soonest = INT64_MAX;
	b = store_new_batch(j->store, &j->task, str_from(issuer->name));
	store_add(b, SQL_CRL_SHARDS);
	store_str(b, str_from(issuer->name));
	(void)store_send_batch(b, on_lists, j);
}

/* ---- which lists? */

static void
add_shards(struct crl_job *j, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		j->lists[j->nlists++] = (struct list){ n, i };
}

/* Into how many is the issuer parted of which this is one? */
static unsigned
parts_of(struct str list)
{
	uint64_t n;

	return str_u64(str_cut(&list, '/'), &n) && n >= 2 && n <= SHARDS_MAX ?
	    (unsigned)n :
	    0;
}

/* Set *untidy if what is needed has changed. */
static void
gather(struct crl_job *j, const struct store_result *r, bool *untidy)
{
	unsigned now = j->publishing.crl_shards, n, room = 1;
	bool parts[SHARDS_MAX + 1] = { false };

	if (now > 1)
		parts[now] = true;
	for (size_t i = 0; i < store_nrows(r, 0); i++) {
		bool ends = !store_is_null(r, 0, i, CRL_SHARDS_NEEDED);
		bool over = ends &&
		    store_get_int(r, 0, i, CRL_SHARDS_NEEDED) <=
			store_get_int(r, 0, i, CRL_SHARDS_NOW);

		n = parts_of(store_get_str(r, 0, i, CRL_SHARDS_LIST));
		*untidy = *untidy || over || ends == (n == now);
		parts[n] = parts[n] || !over;
	}
	for (n = 2; n <= SHARDS_MAX; n++)
		room += parts[n] ? n : 0;
	j->lists = arena_array(j->arena, struct list, room);
	add_shards(j, 1);
	for (n = 2; n <= SHARDS_MAX; n++)
		if (parts[n])
			add_shards(j, n);
}

static enum step
on_lists(void *arg, const struct store_result *r)
{
	struct crl_job *j = arg;
	bool untidy = false, url;
	struct str name, current;
	struct batch *b;

	if (r->status != STORE_OK) {
		fail_store(j, r);
		return STEP_DONE;
	}
	gather(j, r, &untidy);
	url = issuer_local_crl_url(j->issuer, j->arena, 1, 0).n > 0;
	if (!url)
		j->nlists = 1; /* a shard has to say where it belongs */
	if (!untidy) {
		next_list(j);
		return STEP_WAITING;
	}
	name = str_from(j->issuer->name);
	current = str_printf(j->arena, "%u/", j->publishing.crl_shards);
	b = store_new_batch(j->store, &j->task, name);
	store_add(b, SQL_CRL_RETIRE);
	store_str(b, name);
	store_str(b, current);
	store_int(b, SLACK);
	store_int(b, j->publishing.longest);
	store_add(b, SQL_CRL_REVIVE);
	store_str(b, name);
	store_str(b, current);
	store_add(b, SQL_CRL_DROP);
	store_str(b, name);
	return store_send_batch(b, on_tidied, j);
}

static enum step
on_tidied(void *arg, const struct store_result *r)
{
	struct crl_job *j = arg;

	if (r->status != STORE_OK) {
		fail_store(j, r);
		return STEP_DONE;
	}
	next_list(j);
	return STEP_WAITING;
}

static void
next_list(struct crl_job *j)
{
	struct pki_crl_bounds bounds;
	const struct list *l;
	struct batch *b;

	if (j->at == j->nlists) {
		end_issuer(j);
		return;
	}
	l = &j->lists[j->at++];
	task_end(&j->task);
	task_init(&j->task);
	j->list = l->n > 1 ? str_printf(j->arena, "%u/%u", l->n, l->i) :
			     STR("");
	bounds = pki_crl_bounds(l->i, l->n);
	j->first = str_printf(j->arena, "%02x", bounds.first);
	j->last = str_printf(j->arena, "%02x", bounds.last);
	b = store_new_batch(j->store, &j->task, str_from(j->issuer->name));
	store_add(b, SQL_CRL_STATE);
	store_str(b, str_from(j->issuer->name));
	store_int(b, SPAN);
	store_str(b, j->list);
	store_str(b, j->first);
	store_str(b, j->last);
	(void)store_send_batch(b, on_state, j);
}

/* ---- is it due? */

static bool
is_due(const struct crl_job *j, const struct store_result *r)
{
	int64_t age;

	if (store_is_null(r, 0, 0, CRL_STATE_NUMBER))
		return true;
	age = store_get_int(r, 0, 0, CRL_STATE_NOW) -
	    store_get_int(r, 0, 0, CRL_STATE_MADE);
	return age >= j->publishing.crl_interval ||
	    store_get_int(r, 0, 0, CRL_STATE_RECENT) !=
	    store_get_int(r, 0, 0, CRL_STATE_COUNTED);
}

/*
 * RFC 5280 section 5.2.3: numbers rise. A shard that was dropped and is needed
 * again goes on above all that it had, for it is made less often than each
 * second.
 */
static int64_t
next_number(const struct crl_job *j, const struct store_result *r)
{
	if (j->list.n > 0 && store_is_null(r, 0, 0, CRL_STATE_NUMBER))
		return store_get_int(r, 0, 0, CRL_STATE_NOW) / WHEN_SECOND;
	return store_get_int(r, 0, 0, CRL_STATE_NUMBER) + 1;
}

static void
send_page(struct crl_job *j)
{
	struct batch *b = store_new_batch(j->store, &j->task,
	    str_from(j->issuer->name));

	store_add(b, SQL_CRL_PAGE);
	store_str(b, str_from(j->issuer->name));
	store_int(b, j->since);
	store_int(b, j->after);
	store_str(b, j->serial);
	store_int(b, PAGE_ROWS);
	store_str(b, j->first);
	store_str(b, j->last);
	(void)store_send_batch(b, on_page, j);
}

static enum step
on_state(void *arg, const struct store_result *r)
{
	struct crl_job *j = arg;
	int64_t end = INT64_MAX;

	if (r->status != STORE_OK) {
		fail_store(j, r);
		return STEP_DONE;
	}
	if (!store_is_null(r, 0, 0, CRL_STATE_NUMBER))
		end = store_get_int(r, 0, 0, CRL_STATE_NEXT_UPDATE);
	if (!is_due(j, r)) {
		if (end < j->soonest)
			j->soonest = end;
		next_list(j);
		return STEP_DONE;
	}
	j->number = next_number(j, r);
	j->since = store_get_int(r, 0, 0, CRL_STATE_MADE);
	j->made = store_get_int(r, 0, 0, CRL_STATE_NOW);
	j->recent = 0;
	j->after = -1;
	j->serial = STR("");
	j->crl = pki_crl_new(j->task.arena);
	send_page(j);
	return STEP_WAITING;
}

/* ---- entries */

/* The contents of the INTEGER of a canonical serial. */
static bool
parse_serial(struct arena *a, struct str text, struct str *out)
{
	struct str raw;

	if (!hex_decode(a, text, &raw) || raw.n == 0)
		return false;
	*out = (raw.p[0] & 0x80) != 0 ? str_join(a, str_make("\0", 1), raw) :
					raw;
	return true;
}

static bool
add_row(struct crl_job *j, const struct store_result *r, size_t i)
{
	struct str text = store_get_str(r, 0, i, CRL_PAGE_SERIAL), serial;

	j->after = store_get_int(r, 0, i, CRL_PAGE_REVOKED_AT);
	if (j->after > j->made - SPAN)
		j->recent++;
	return parse_serial(j->task.arena, text, &serial) &&
	    pki_crl_add(j->crl, serial, j->after / WHEN_SECOND,
		store_get_int(r, 0, i, CRL_PAGE_REASON));
}

static void
put(struct crl_job *j)
{
	int64_t next = j->made + j->publishing.crl_lifetime;
	const struct list *l = &j->lists[j->at - 1];
	struct arena *a = j->task.arena;
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct batch *b;
	struct str der;

	if (j->list.n > 0)
		pki_crl_set_point(j->crl,
		    issuer_local_crl_url(j->issuer, a, l->n, l->i));
	der = pki_crl_sign(j->crl, issuer_local_ca(j->issuer), j->number,
	    j->made / WHEN_SECOND, next / WHEN_SECOND);
	if (der.p == NULL) {
		fail(j, "the list cannot be signed");
		return;
	}
	SHA256((const uint8_t *)der.p, der.n, hash);
	b = store_new_batch(j->store, &j->task, str_from(j->issuer->name));
	store_add(b, SQL_CRL_PUT);
	store_str(b, str_from(j->issuer->name));
	store_int(b, j->number);
	store_int(b, j->made);
	store_int(b, j->since);
	store_int(b, j->recent);
	store_int(b, next);
	store_str(b, hex_encode(a, str_make(hash, sizeof(hash))));
	store_blob(b, der);
	store_str(b, j->list);
	(void)store_send_batch(b, on_put, j);
}

static enum step
on_page(void *arg, const struct store_result *r)
{
	struct crl_job *j = arg;
	size_t n;

	if (r->status != STORE_OK) {
		fail_store(j, r);
		return STEP_DONE;
	}
	n = store_nrows(r, 0);
	for (size_t i = 0; i < n; i++)
		if (!add_row(j, r, i)) {
			fail(j, "an entry is not fit for a list");
			return STEP_DONE;
		}
	if (pki_crl_entries(j->crl) > ENTRIES_MAX) {
		fail(j, "there are more than a million entries");
		return STEP_DONE;
	}
	if (n > 0)
		j->serial = str_dup(j->task.arena,
		    store_get_str(r, 0, n - 1, CRL_PAGE_SERIAL));
	if (n == PAGE_ROWS)
		send_page(j);
	else
		put(j);
	return STEP_WAITING;
}

static enum step
on_put(void *arg, const struct store_result *r)
{
	struct crl_job *j = arg;
	size_t entries = pki_crl_entries(j->crl);
	int64_t end = j->made + j->publishing.crl_lifetime;

	if (r->status != STORE_OK) {
		fail_store(j, r);
		return STEP_DONE;
	}
	if (store_nrows(r, 0) == 0) { /* another one was first */
		next_list(j);
		return STEP_DONE;
	}
	metrics_add(METRIC_crls_made, 1);
	if (j->list.n == 0)
		metrics_child_set(metrics_child(FAMILY_crl_entries,
				      j->issuer->name),
		    (int64_t)entries);
	if (end < j->soonest)
		j->soonest = end;
	log_info("made a CRL", LOG_TEXT("issuer", j->issuer->name),
	    LOG_STR("list", j->list), LOG_INT("number", j->number),
	    LOG_INT("entries", entries));
	next_list(j);
	return STEP_DONE;
}

/* ---- life */

static void
on_soon(void *arg)
{
	struct crl_job *j = arg;

	j->waiting = false;
	if (loop_mono(j->loop) < j->rest || !sched_run_now(j->job))
		crl_look(j);
}

void
crl_look(struct crl_job *j)
{
	int64_t wait = j->rest - loop_mono(j->loop);

	if (j->waiting)
		return;
	j->waiting = true;
	timer_start(&j->soon, wait > SOON ? wait : SOON);
}

struct crl_job *
crl_start(struct loop *l, struct store *st, struct str holder,
    crl_issuer_fn *issuers, void *arg)
{
	struct crl_job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		abort();
	j->loop = l;
	j->store = st;
	j->issuers = issuers;
	j->arg = arg;
	timer_init(&j->soon, l, on_soon, j);
	j->job = sched_start(l, st,
	    &(struct sched_options){ .name = "crl",
		.holder = holder,
		.interval = LOOK,
		.run = run,
		.arg = j });
	crl_look(j);
	return j;
}

void
crl_stop(struct crl_job *j)
{
	if (j == NULL)
		return;
	timer_stop(&j->soon);
	if (j->running) {
		task_end(&j->task);
		arena_destroy(j->arena);
		issuer_let_go(j->issuer);
	}
	sched_stop(j->job);
	free(j);
}
