/* SPDX-License-Identifier: ISC */
/* The rows of the .def files as tables, and a walk over what they describe. */
#include "conf/conf_int.h"

#define LIVE true
#define START false
#define ROW(st, ty, na, de, mi, ma, wh, he)                                    \
	{                                                                      \
		.name = #na, .type = CONF_##ty, .offset = offsetof(st, na),    \
		.def = de, .min = mi, .max = ma, .live = wh, .help = he        \
	}

static const struct conf_row top_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf, type, name, def, min, max, when, help),
#include "conf/top.def"
#undef CONF
};

static const struct conf_row store_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_store, type, name, def, min, max, when, help),
#include "conf/store.def"
#undef CONF
};

static const struct conf_row http_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_http, type, name, def, min, max, when, help),
#include "conf/http.def"
#undef CONF
};

static const struct conf_row limits_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_limits, type, name, def, min, max, when, help),
#include "conf/limits.def"
#undef CONF
};

static const struct conf_row redis_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_redis, type, name, def, min, max, when, help),
#include "conf/redis.def"
#undef CONF
};

static const struct conf_row dns_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_dns, type, name, def, min, max, when, help),
#include "conf/dns.def"
#undef CONF
};

static const struct conf_row listener_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_listener, type, name, def, min, max, when, help),
#include "conf/listener.def"
#undef CONF
};

static const struct conf_row issuer_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_issuer, type, name, def, min, max, when, help),
#include "conf/issuer.def"
#undef CONF
};

static const struct conf_row profile_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_profile, type, name, def, min, max, when, help),
#include "conf/profile.def"
#undef CONF
};

static const struct conf_row loop_rows[] = {
#define CONF(type, name, def, min, max, when, help)                            \
	ROW(struct conf_loop, type, name, def, min, max, when, help),
#include "conf/loop.def"
#undef CONF
};

#define ROWS(r) .rows = r, .nrows = sizeof(r) / sizeof(r[0])

const struct conf_kind conf_kinds[CONF_KIND_COUNT] = {
	[CONF_TOP] = { .name = "",
	    ROWS(top_rows),
	    .size = sizeof(struct conf) },
	[CONF_STORE] = { .name = "store",
	    ROWS(store_rows),
	    .size = sizeof(struct conf_store) },
	[CONF_HTTP] = { .name = "http",
	    ROWS(http_rows),
	    .size = sizeof(struct conf_http) },
	[CONF_LIMITS] = { .name = "limits",
	    ROWS(limits_rows),
	    .size = sizeof(struct conf_limits) },
	[CONF_REDIS] = { .name = "redis",
	    ROWS(redis_rows),
	    .size = sizeof(struct conf_redis) },
	[CONF_DNS] = { .name = "dns",
	    ROWS(dns_rows),
	    .size = sizeof(struct conf_dns) },
	[CONF_LISTENER] = { .name = "listener",
	    ROWS(listener_rows),
	    .size = sizeof(struct conf_listener),
	    .is_named = true },
	[CONF_ISSUER] = { .name = "issuer",
	    ROWS(issuer_rows),
	    .size = sizeof(struct conf_issuer),
	    .is_named = true },
	[CONF_PROFILE] = { .name = "profile",
	    ROWS(profile_rows),
	    .size = sizeof(struct conf_profile),
	    .is_named = true,
	    .live = true },
	[CONF_LOOP] = { .name = "loop",
	    ROWS(loop_rows),
	    .size = sizeof(struct conf_loop),
	    .is_named = true,
	    .live = true },
};

void
conf_each_section(const struct conf *c,
    void (*fn)(void *, const struct conf_kind *, const void *), void *arg)
{
	fn(arg, &conf_kinds[CONF_TOP], c);
	fn(arg, &conf_kinds[CONF_STORE], &c->store);
	fn(arg, &conf_kinds[CONF_HTTP], &c->http);
	fn(arg, &conf_kinds[CONF_LIMITS], &c->limits);
	fn(arg, &conf_kinds[CONF_REDIS], &c->redis);
	fn(arg, &conf_kinds[CONF_DNS], &c->dns);
	for (size_t i = 0; i < c->nlisteners; i++)
		fn(arg, &conf_kinds[CONF_LISTENER], &c->listeners[i]);
	for (size_t i = 0; i < c->nissuers; i++)
		fn(arg, &conf_kinds[CONF_ISSUER], &c->issuers[i]);
	for (size_t i = 0; i < c->nprofiles; i++)
		fn(arg, &conf_kinds[CONF_PROFILE], &c->profiles[i]);
	for (size_t i = 0; i < c->nloops; i++)
		fn(arg, &conf_kinds[CONF_LOOP], &c->loops[i]);
}
