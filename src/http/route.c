/* SPDX-License-Identifier: ISC */
/*
 * The route table of a listener: every path of every app under each of the
 * app's prefixes, as segments. The first that fits is taken.
 */
#include "http/http_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/when.h"

enum { SEGMENTS_MAX = 16 };

struct path {
	struct str segments[SEGMENTS_MAX];
	size_t n;
	const char *end;
};

struct entry {
	const struct http_app *app;
	const struct route *route; /* NULL: a prefix, to know the app by */
	struct path pattern;       /* views of constants and of the arena */
	bool open;                 /* the last segment is a tail: "*name" */
	struct route_stats stats;
};

struct router {
	struct arena *arena;
	struct entry *entries;
	size_t n;
	const struct http_app *first;
	struct route_stats stats; /* of requests without a route */
};

/* False if there are more than SEGMENTS_MAX; no pattern has that many. */
static bool
split(struct str s, struct path *out)
{
	out->n = 0;
	out->end = s.p + s.n;
	s = str_skip(s, 1); /* the leading slash */
	for (;;) {
		size_t slash = str_find(s, '/');

		if (out->n == SEGMENTS_MAX)
			return false;
		out->segments[out->n++] = str_make(s.p, slash);
		if (slash == s.n)
			return true;
		s = str_skip(s, slash + 1);
	}
}

/* ---- building */

static const char *const no_prefixes[] = { "", NULL };

static const char *const *
prefixes_of(const struct http_app *app)
{
	return app->prefixes != NULL ? app->prefixes : no_prefixes;
}

static size_t
count(const struct http_app *const *apps)
{
	size_t n = 0;

	for (; *apps != NULL; apps++)
		for (const char *const *p = prefixes_of(*apps); *p != NULL;
		     p++) {
			n++;
			for (const struct route *const *r = (*apps)->routes;
			     *r != NULL; r++)
				n++;
		}
	return n;
}

static void
add(struct router *rt, const struct http_app *app, const struct route *route,
    const char *prefix)
{
	struct entry *e = &rt->entries[rt->n++];
	struct str text = str_printf(rt->arena, "%s%s", prefix,
	    route != NULL ? route->path : "");
	size_t params = 0;

	e->app = app;
	e->route = route;
	e->stats.name = route != NULL ? route->name : NULL;
	if (text.n == 0) /* the prefix of an app that has none */
		return;
	assert(text.p[0] == '/');
	if (!split(text, &e->pattern) || e->pattern.n == SEGMENTS_MAX)
		abort(); /* the table is ours */
	for (size_t i = 0; i < e->pattern.n; i++)
		params += str_starts(e->pattern.segments[i], STR(":")) ||
		    str_starts(e->pattern.segments[i], STR("*"));
	e->open = str_starts(e->pattern.segments[e->pattern.n - 1], STR("*"));
	assert(params <= REQ_PARAMS_MAX);
	(void)params;
}

struct router *
router_new(const struct http_app *const *apps)
{
	struct arena *a = arena_create();
	struct router *rt = arena_new(a, struct router);

	rt->arena = a;
	rt->first = apps[0];
	rt->stats.name = "none";
	rt->entries = arena_array(a, struct entry, count(apps));
	for (; *apps != NULL; apps++)
		for (const char *const *p = prefixes_of(*apps); *p != NULL;
		     p++) {
			for (const struct route *const *r = (*apps)->routes;
			     *r != NULL; r++)
				add(rt, *apps, *r, *p);
			add(rt, *apps, NULL, *p);
		}
	return rt;
}

void
router_free(struct router *rt)
{
	if (rt != NULL)
		arena_destroy(rt->arena);
}

/* ---- finding */

/* From the first byte of a segment to the end of the path. */
static struct str
tail_of(const struct path *path, size_t i)
{
	const char *p = path->segments[i].p;

	return str_make(p, (size_t)(path->end - p));
}

/* Do the first n segments of path fit the pattern's? Values into params. */
static bool
fits(const struct path *pattern, const struct path *path, struct str *params)
{
	for (size_t i = 0; i < pattern->n; i++) {
		struct str want = pattern->segments[i];
		struct str have = path->segments[i];

		if (want.n > 0 && want.p[0] == ':') {
			if (have.n == 0)
				return false;
			*params++ = have;
		} else if (want.n > 0 && want.p[0] == '*') {
			*params++ = tail_of(path, i);
		} else if (!str_eq(want, have)) {
			return false;
		}
	}
	return true;
}

/* The path is the entry's: is the method too? */
static void
consider(struct entry *e, unsigned method, const struct str *params,
    struct match *m)
{
	unsigned methods = e->route->methods;

	if (methods & REQ_GET)
		methods |= REQ_HEAD;
	m->allow |= methods;
	if (m->route != NULL || (methods & method) == 0)
		return;
	m->route = e->route;
	m->app = e->app;
	m->stats = &e->stats;
	memcpy(m->params, params, sizeof(m->params));
}

/* Without a route the app with the longest prefix that fits has it. */
void
router_find(struct router *rt, unsigned method, struct str path,
    struct match *m)
{
	struct str params[REQ_PARAMS_MAX] = { STR_NONE };
	const struct http_app *app = rt->first;
	size_t longest = 0;
	struct path p = { .n = 0 };

	*m = (struct match){ .stats = &rt->stats };
	if (str_starts(path, STR("/")))
		(void)split(path, &p); /* the first SEGMENTS_MAX will do */
	for (size_t i = 0; i < rt->n; i++) {
		struct entry *e = &rt->entries[i];

		if (e->pattern.n > p.n || !fits(&e->pattern, &p, params))
			continue;
		if (e->route == NULL && e->pattern.n > longest) {
			longest = e->pattern.n;
			app = e->app;
		}
		if (e->route != NULL && (e->pattern.n == p.n || e->open))
			consider(e, method, params, m);
	}
	if (m->app == NULL)
		m->app = app;
}

/* ---- counting */

void
route_count(struct route_stats *s, unsigned status, int64_t usec)
{
	static const char *const classes[] = { "1xx", "2xx", "3xx", "4xx",
		"5xx" };
	unsigned class = status / 100 - 1;

	assert(class < 5);
	if (s->classes[class] == NULL)
		s->classes[class] = metrics_child(FAMILY_requests, s->name,
		    classes[class]);
	metrics_child_add(s->classes[class], 1);
	route_time(s,
	    status < 400     ? ROUTE_OK :
		status < 500 ? ROUTE_REFUSED :
			       ROUTE_FAILED,
	    usec);
}

void
route_time(struct route_stats *s, enum route_outcome outcome, int64_t usec)
{
	static const char *const names[] = {
		[ROUTE_OK] = "ok",
		[ROUTE_REFUSED] = "refused",
		[ROUTE_FAILED] = "failed",
		[ROUTE_ABORTED] = "aborted",
	};

	if (s->took[outcome] == NULL)
		s->took[outcome] = metrics_hist(HIST_request_seconds, s->name,
		    names[outcome]);
	metrics_hist_observe(s->took[outcome],
	    (double)usec / (double)WHEN_SECOND);
}
