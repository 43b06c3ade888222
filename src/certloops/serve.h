/* SPDX-License-Identifier: ISC */
/*
 * A serve config in Tailscale's form (ipn.ServeConfig, JSON): which names are
 * served with HTTPS on port 443?
 *
 *	{ "Services": { NAME: { "Web": { "HOST:443": { ... } } } } }
 */
#ifndef CERTLOOPS_SERVE_H
#define CERTLOOPS_SERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

enum {
	SERVE_FILE_MAX = 1 << 20,
	SERVE_HOSTS_MAX = 2000,
};

struct serve_hosts {
	struct str *v; /* lower case, sorted, nothing twice */
	size_t n;
};

/*
 * The hosts of a text, in the arena. NULL, or what is wrong with it; then
 * *out is not touched.
 */
const char *serve_parse(struct arena *, struct str text,
    struct serve_hosts *out);

#endif
