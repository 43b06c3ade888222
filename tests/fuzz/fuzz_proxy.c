/* SPDX-License-Identifier: ISC */
/* PROXY headers, Forwarded elements and nodes, request targets. */
#include "fuzz.h"

#include "http/parse.h"

static void
check_header(const uint8_t *data, size_t size)
{
	struct proxy whole, part;
	enum proxy_result r = proxy_parse(str_make(data, size), &whole);

	if (r == PROXY_OK) {
		PROMISE(whole.len > 0 && whole.len <= size);
		PROMISE(whole.len <= PROXY_HEADER_MAX);
		PROMISE(!whole.has_peer || whole.peer.len == 4 ||
		    whole.peer.len == 16);
		/* what stands behind it does not matter, its end does */
		PROMISE(
		    proxy_parse(str_make(data, whole.len), &part) == PROXY_OK &&
		    part.len == whole.len);
		PROMISE(proxy_parse(str_make(data, whole.len - 1), &part) ==
		    PROXY_MORE);
	}
	if (r == PROXY_MORE && size > 0)
		PROMISE(
		    proxy_parse(str_make(data, size - 1), &part) == PROXY_MORE);
	if (r == PROXY_MORE)
		PROMISE(size < PROXY_HEADER_MAX);
}

static void
check_list(struct str list)
{
	struct str element, node;
	struct addr addr;
	size_t before = list.n;

	while (forwarded_pop(&list, &element)) {
		PROMISE(element.n <= before && list.n < before + 1);
		PROMISE(list.p == NULL || list.n < before);
		before = list.n;
		if (forwarded_for(element, &node))
			PROMISE(node.n < element.n);
		else
			node = element;
		if (forwarded_node(node, &addr))
			PROMISE(addr.len == 4 || addr.len == 16);
	}
}

static void
check_target(struct arena *a, struct str target)
{
	struct str path, query, again;
	const struct problem *p = parse_target(a, target, &path, &query);

	if (p != NULL)
		return;
	PROMISE(path.n > 0 && path.n <= target.n + 1);
	PROMISE(str_find(path, '%') == path.n);
	PROMISE(str_find(path, '?') == path.n);
	/* a path that was taken is taken again, unchanged */
	PROMISE(parse_target(a, path, &again, &query) == NULL);
	PROMISE(str_eq(path, again));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();

	check_header(data, size);
	check_list(str_make(data, size < 4096 ? size : 4096));
	check_target(a, str_make(data, size));
	arena_destroy(a);
	return 0;
}
