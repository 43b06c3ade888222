/* SPDX-License-Identifier: ISC */
/* The reader of serve configs. All of a file counts, or nothing of it. */
#include "certloops/serve.h"

#include <stdlib.h>

#include "base/json.h"
#include "pki/name.h"

/* More than requests may have, as this file is the operator's own. */
static const struct json_bounds bounds = {
	.nodes = 65536,
	.members = 2 * SERVE_HOSTS_MAX,
};

static int
compare(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void
make_set(struct serve_hosts *h)
{
	size_t n = 0;

	qsort(h->v, h->n, sizeof(*h->v), compare);
	for (size_t i = 0; i < h->n; i++)
		if (n == 0 || !str_eq(h->v[n - 1], h->v[i]))
			h->v[n++] = h->v[i];
	h->n = n;
}

static const char *
say(struct arena *a, struct str where, const char *why)
{
	return str_printf(a, "\"" STR_FMT "\" %s",
	    STR_ARG(str_show(a, where, 80)), why)
	    .p;
}

/* "HOST:PORT" */
static const char *
take_web(struct arena *a, struct str name, struct serve_hosts *h)
{
	size_t colon = name.n;
	const char *why;
	struct str host;
	uint64_t port;

	while (colon > 0 && name.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || !str_u64(str_skip(name, colon), &port) || port == 0 ||
	    port > 65535)
		return say(a, name, "under Web is not HOST:PORT");
	if (port != 443)
		return NULL;
	host = str_lower(a, str_make(name.p, colon - 1));
	if ((why = pki_check_dns_name(host, false)) != NULL)
		return say(a, host, why);
	if (h->n == SERVE_HOSTS_MAX)
		return "has more names than a node can serve";
	h->v[h->n++] = host;
	return NULL;
}

static const char *
take_service(struct arena *a, const struct json *service, struct serve_hosts *h)
{
	const struct json *web = json_get(service, "Web");
	const char *why = NULL;

	if (service->type == JSON_NULL)
		return NULL;
	if (service->type != JSON_OBJECT)
		return say(a, service->name, "under Services is no object");
	if (web == NULL || web->type == JSON_NULL)
		return NULL;
	if (web->type != JSON_OBJECT)
		return say(a, service->name, "has a Web that is no object");
	for (const struct json *w = web->child; w != NULL && why == NULL;
	     w = w->next)
		why = take_web(a, w->name, h);
	return why;
}

const char *
serve_parse(struct arena *a, struct str text, struct serve_hosts *out)
{
	struct serve_hosts h = { .v = arena_array(a, struct str,
				     SERVE_HOSTS_MAX) };
	const struct json *root, *services;
	const char *why = NULL;

	if (text.n > SERVE_FILE_MAX)
		return "is larger than 1 MiB";
	if ((root = json_parse_within(a, text, &bounds, &why)) == NULL)
		return why;
	if (root->type != JSON_OBJECT)
		return "is no JSON object";
	services = json_get(root, "Services");
	if (services != NULL && services->type != JSON_NULL) {
		if (services->type != JSON_OBJECT)
			return "has a Services that is no object";
		for (const struct json *s = services->child;
		     s != NULL && why == NULL; s = s->next)
			why = take_service(a, s, &h);
	}
	if (why != NULL)
		return why;
	make_set(&h);
	*out = h;
	return NULL;
}
