/* SPDX-License-Identifier: ISC */
/*
 * The names of the serve config: the last good set. A file that cannot be
 * read changes nothing. If there has been no good one since the start, the
 * names are those that the store knows from before.
 */
#include "certloops/certloops_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/buf.h"
#include "certloops/watch.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { PAGE = 500 };

static void on_change(void *);
static void load_some(struct certloops *);
static enum step on_loaded(void *, const struct store_result *);

static void
keep_hosts(struct served *s, const struct serve_hosts *h)
{
	struct arena *a = arena_create();
	struct str *v = arena_array(a, struct str, h->n + 1);

	for (size_t i = 0; i < h->n; i++)
		v[i] = str_dup(a, h->v[i]);
	arena_destroy(s->arena); /* h may be in it */
	s->arena = a;
	s->hosts = (struct serve_hosts){ .v = v, .n = h->n };
	s->known = true;
}

static bool
are_same(const struct serve_hosts *a, const struct serve_hosts *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->v[i], b->v[i]))
			return false;
	return true;
}

/* ---- the file */

static const char *
read_text(struct arena *a, const char *path, struct str *out)
{
	struct buf b = buf_new(a, SERVE_FILE_MAX + 16384);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = -1;
	char *room;

	if (fd < 0)
		return strerror(errno);
	while ((room = buf_room(&b, 8192)) != NULL &&
	    (n = read(fd, room, 8192)) > 0)
		b.len += (size_t)n;
	close(fd);
	if (room != NULL && n < 0)
		return strerror(errno);
	*out = buf_view(&b); /* one that is too large is told by its size */
	return NULL;
}

/* One line for each thing that is wrong, not for each look. */
static void
tell_bad(struct certloops *cl, const char *why)
{
	struct served *s = &cl->served;
	uint8_t hash[SHA256_DIGEST_LENGTH];

	metrics_set(METRIC_serve_config_good, 0);
	SHA256((const uint8_t *)why, strlen(why), hash);
	if (memcmp(hash, s->told, sizeof(hash)) == 0)
		return;
	memcpy(s->told, hash, sizeof(hash));
	metrics_add(METRIC_serve_config_failures, 1);
	log_warn("the serve config cannot be used; the last good names stay",
	    LOG_TEXT("file", s->path), LOG_TEXT("cause", why),
	    LOG_INT("names", s->hosts.n));
}

/* Other files of its folder change too: a text is looked at once. */
static bool
is_as_before(struct served *s, struct str text)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	bool same;

	SHA256((const uint8_t *)text.p, text.n, hash);
	same = memcmp(hash, s->looked, sizeof(hash)) == 0;
	memcpy(s->looked, hash, sizeof(hash));
	return same;
}

/* True if the set of names is another one now. */
static bool
look(struct certloops *cl)
{
	struct served *s = &cl->served;
	struct arena *a = arena_create();
	struct serve_hosts fresh;
	bool changed = false;
	struct str text = STR_NONE;
	const char *why = read_text(a, s->path, &text);

	if (why == NULL && is_as_before(s, text)) {
		arena_destroy(a);
		return false;
	}
	if (why != NULL)
		memset(s->looked, 0, sizeof(s->looked));
	if (why != NULL || (why = serve_parse(a, text, &fresh)) != NULL) {
		tell_bad(cl, why);
	} else {
		memset(s->told, 0, sizeof(s->told));
		metrics_set(METRIC_serve_config_good, 1);
		changed = !s->known || !are_same(&s->hosts, &fresh);
		if (changed) {
			log_info("the serve config names",
			    LOG_INT("names", fresh.n));
			keep_hosts(s, &fresh);
		}
	}
	arena_destroy(a);
	return changed;
}

static void
on_change(void *arg)
{
	struct certloops *cl = arg;

	if (!cl->stopped && look(cl))
		certloops_want(cl);
}

/* ---- the store, if there has been no good file */

static void
load_some(struct certloops *cl)
{
	struct served *s = &cl->served;
	struct batch *b = store_new_batch(cl->store, &s->loading, STR(""));

	store_add(b, SQL_LOOPS_OF_NODE);
	store_str(b, cl->options.node);
	store_str(b, STR("serve"));
	store_str(b, s->after);
	store_int(b, PAGE);
	(void)store_send_batch(b, on_loaded, cl);
}

static void
end_loading(struct certloops *cl)
{
	task_end(&cl->served.loading);
	cl->served.is_loading = false;
}

static enum step
on_loaded(void *arg, const struct store_result *r)
{
	struct certloops *cl = arg;
	struct served *s = &cl->served;
	struct arena *a = s->loading.arena;
	size_t n = r->status == STORE_OK ? store_nrows(r, 0) : 0;

	if (s->known || r->status != STORE_OK) {
		/* the file came good, or the next reconcile asks again */
		end_loading(cl);
		return STEP_DONE;
	}
	for (size_t i = 0; i < n && s->found.n < SERVE_HOSTS_MAX; i++)
		s->found.v[s->found.n++] = str_dup(a,
		    store_get_str(r, 0, i, LOOPS_OF_NODE_NAMES));
	if (n == PAGE) {
		s->after = str_dup(a,
		    store_get_str(r, 0, n - 1, LOOPS_OF_NODE_NAME));
		load_some(cl);
		return STEP_WAITING;
	}
	keep_hosts(s, &s->found);
	log_info("serve names as of before", LOG_INT("names", s->hosts.n));
	end_loading(cl);
	certloops_want(cl);
	return STEP_DONE;
}

void
served_load(struct certloops *cl)
{
	struct served *s = &cl->served;

	if (s->path == NULL || s->known || s->is_loading)
		return;
	s->is_loading = true;
	task_init(&s->loading);
	s->found = (struct serve_hosts){ .v = arena_array(s->loading.arena,
					     struct str, SERVE_HOSTS_MAX) };
	s->after = STR("");
	load_some(cl);
}

/* ---- life */

void
served_stop(struct certloops *cl)
{
	struct served *s = &cl->served;

	watch_free(s->watch);
	if (s->is_loading)
		end_loading(cl);
	arena_destroy(s->arena);
	free(s->path);
	*s = (struct served){ 0 };
}

void
served_configure(struct certloops *cl)
{
	struct served *s = &cl->served;
	const char *path = cl->conf->serve_config.p;
	bool wanted = cl->conf->serve_config.n > 0;

	if (s->path != NULL && (!wanted || strcmp(s->path, path) != 0))
		served_stop(cl);
	if (!wanted || s->path != NULL)
		return;
	if ((s->path = strdup(path)) == NULL)
		abort();
	s->watch = watch_new(cl->loop, path, on_change, cl);
	(void)look(cl);
}
