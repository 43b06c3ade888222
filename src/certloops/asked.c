/* SPDX-License-Identifier: ISC */
/*
 * The cert loops that operators ask for with certloopctl. Each poll sees
 * whether the store has another set of them than the one that we know; then
 * it is read, a page at a time. While the store does not answer, the set that
 * we know stays.
 */
#include "certloops/certloops_int.h"

#include "log/log.h"

enum { PAGE = 500 };

static void load_some(struct certloops *);
static enum step on_loaded(void *, const struct store_result *);

static void
end_loading(struct certloops *cl)
{
	struct asked *k = &cl->asked;

	if (k->is_loading)
		task_end(&k->loading);
	k->is_loading = false;
	arena_destroy(k->fresh);
	k->fresh = NULL;
}

static void
forget(struct certloops *cl)
{
	end_loading(cl);
	arena_destroy(cl->asked.arena);
	cl->asked = (struct asked){ 0 };
}

void
asked_configure(struct certloops *cl)
{
	if (cl->conf->loop_folder.n == 0)
		forget(cl);
}

void
asked_stop(struct certloops *cl)
{
	forget(cl);
}

bool
asked_is_silent(const struct certloops *cl)
{
	return cl->conf->loop_folder.n > 0 && !cl->asked.known;
}

void
asked_look(struct certloops *cl, int64_t changes)
{
	struct asked *k = &cl->asked;
	bool is_news = !k->known || k->changes != changes;

	k->is_resting = is_news && loop_mono(cl->loop) < k->rest_until;
	if (k->is_loading || !is_news || k->is_resting)
		return;
	k->is_loading = true;
	k->began = loop_mono(cl->loop);
	k->loading_changes = changes;
	task_init(&k->loading);
	k->fresh = arena_create();
	k->found = NULL;
	k->nfound = 0;
	k->after = STR("");
	load_some(cl);
}

/* ---- the pages */

static void
load_some(struct certloops *cl)
{
	struct asked *k = &cl->asked;
	struct batch *b = store_new_batch(cl->store, &k->loading, STR(""));

	store_add(b, SQL_ASKED_PAGE);
	store_str(b, k->after);
	store_int(b, PAGE);
	(void)store_send_batch(b, on_loaded, cl);
}

/* Is it for this node? nodes: parted by spaces, empty for all. */
static bool
is_ours(const struct certloops *cl, struct str nodes)
{
	if (nodes.n == 0)
		return true;
	while (nodes.n > 0)
		if (str_eq(str_cut(&nodes, ' '), cl->options.node))
			return true;
	return false;
}

static void
take_row(struct certloops *cl, const struct store_result *r, size_t i)
{
	struct asked *k = &cl->asked;
	struct arena *a = k->fresh;
	struct asked_loop *l;

	if (!is_ours(cl, store_get_str(r, 0, i, ASKED_PAGE_NODES)))
		return;
	l = arena_new(a, struct asked_loop);
	*l = (struct asked_loop){
		.next = k->found,
		.name = str_dup(a, store_get_str(r, 0, i, ASKED_PAGE_NAME)),
		.names = str_dup(a, store_get_str(r, 0, i, ASKED_PAGE_NAMES)),
		.profile = str_dup(a,
		    store_get_str(r, 0, i, ASKED_PAGE_PROFILE)),
		.key_type = str_dup(a,
		    store_get_str(r, 0, i, ASKED_PAGE_KEY_TYPE)),
		.keep_key = store_get_int(r, 0, i, ASKED_PAGE_KEEP_KEY) != 0,
	};
	k->found = l;
	k->nfound++;
}

/* Somebody who adds many, one by one, does not keep us reading all of them. */
static void
rest(struct certloops *cl)
{
	struct asked *k = &cl->asked;
	int64_t now = loop_mono(cl->loop);
	int64_t wait = 4 * (now - k->began);

	if (wait < ASKED_REST_MAX / 5)
		return; /* they are few */
	k->rest_until = now + (wait < ASKED_REST_MAX ? wait : ASKED_REST_MAX);
}

static void
keep_found(struct certloops *cl)
{
	struct asked *k = &cl->asked;

	rest(cl);
	arena_destroy(k->arena);
	k->arena = k->fresh;
	k->fresh = NULL;
	k->first = k->found;
	k->n = k->nfound;
	k->known = true;
	k->changes = k->loading_changes;
	log_info("operators ask for cert loops", LOG_INT("loops", k->n));
}

static enum step
on_loaded(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;
	struct asked *k = &cl->asked;
	size_t n = r->status == STORE_OK ? store_nrows(r, 0) : 0;

	if (r->status != STORE_OK) { /* the next poll asks again */
		end_loading(cl);
		return STEP_DONE;
	}
	for (size_t i = 0; i < n; i++)
		take_row(cl, r, i);
	if (n == PAGE) {
		k->after = str_dup(k->loading.arena,
		    store_get_str(r, 0, n - 1, ASKED_PAGE_NAME));
		load_some(cl);
		return STEP_WAITING;
	}
	keep_found(cl);
	end_loading(cl);
	certloops_want(cl);
	return STEP_DONE;
}
