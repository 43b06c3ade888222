/* SPDX-License-Identifier: ISC */
/*
 * What operators and balancers ask: health on every listener, metrics on the
 * status listener, and the admin API (HTTP and JSON) on the admin socket,
 * whose file permissions say who may use it.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/json.h"
#include "conf/conf.h"
#include "http/http.h"
#include "loop/loop.h"
#include "store/store.h"

struct admin;

/* How a request that takes its time ended: NULL for success. */
typedef enum step admin_done_fn(void *arg, const struct problem *);

/* What only the daemon knows. */
struct admin_hooks {
	void *arg;
	const struct conf *(*conf)(void *arg);
	/* NULL if requests can be served; otherwise a short reason. */
	const char *(*not_ready)(void *arg);
	/* More members for the status document. */
	void (*write_status)(void *arg, struct json_writer *);
	/* Take over the configuration file; what was found goes into errors,
	 * what changed, one line each, into changes. */
	bool (*reload)(void *arg, struct arena *, struct conf_errors *errors,
	    struct buf *changes);
	/*
	 * Revoke a certificate by its id, for a reason that may be given
	 * (pki/reason.h). fn is called later from the top of the loop, unless
	 * t ends first: not there, revoked already, or what the store says.
	 * The audit row names the actor; the issuer is told by itself.
	 */
	enum step (*revoke)(void *arg, struct task *t, struct str certificate,
	    int64_t reason, struct str actor, admin_done_fn *fn, void *fn_arg);
};

struct admin *admin_new(struct loop *, struct store *,
    const struct admin_hooks *);
void admin_free(struct admin *);

/* Bare /healthz and /readyz, for listeners that the world reaches. */
const struct http_app *admin_health_app(const struct admin *);

/* The same with reasons, and /metrics, for status listeners. */
const struct http_app *admin_status_app(const struct admin *);

/* /api/v1, for the admin socket. */
const struct http_app *admin_api_app(const struct admin *);

#endif
