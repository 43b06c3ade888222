/* SPDX-License-Identifier: ISC */
/* What the files of this module share. */
#ifndef ADMIN_ADMIN_INT_H
#define ADMIN_ADMIN_INT_H

#include "admin/admin.h"

enum { ADMIN_BODY_MAX = 65536, ADMIN_REPLY_MAX = 1 << 20 };

struct admin {
	struct loop *loop;
	struct store *store;
	struct admin_hooks hooks;
	int64_t started; /* usec since 1970 */
	struct http_app health, status, api;
};

/* The admin object of a request. */
static inline struct admin *
admin_of(const struct req *req)
{
	return req->app->ctx;
}

enum step admin_reply(struct req *, unsigned status, struct json_writer *);

extern const struct route *const health_routes[];
extern const struct route *const status_routes[];
extern const struct route *const api_routes[];

#endif
