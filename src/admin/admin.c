/* SPDX-License-Identifier: ISC */
/* The sets of routes for operators. */
#include "admin/admin_int.h"

#include <stdlib.h>

#include "audit/refusals.h"

static const char *const at_root[] = { "", NULL };
static const char *const at_api[] = { "/api/v1", NULL };

static void
no_store(struct req *req)
{
	req_add_header(req, "Cache-Control", STR("no-store"));
}

/* ---- the routes of the API */

/* clang-format off */
static const struct admin_route *const api_routes[] = {
	&admin_status_route,
	&admin_config_route,
	&admin_config_check_route,
	&admin_reload_route,
	&admin_accounts_route,
	&admin_account_route,
	&admin_account_deactivate_route,
	&admin_orders_route,
	&admin_order_route,
	&admin_audit_route,
	&admin_certs_route,
	&admin_cert_route,
	&admin_cert_revoke_route,
	&admin_cert_export_route,
	&admin_certs_count_route,
	&admin_certs_mark_route,
	&admin_certs_unmark_route,
	&admin_certs_revoke_route,
	&admin_apikey_new_route,
	&admin_apikey_list_route,
	&admin_apikey_remove_route,
	&admin_eab_new_route,
	&admin_eab_list_route,
	&admin_eab_show_route,
	&admin_eab_revoke_route,
	&admin_issuers_route,
	&admin_issuer_route,
	&admin_issuer_test_route,
	&admin_limits_route,
	&admin_limit_route,
	&admin_limit_reset_route,
	&admin_loops_route,
	&admin_loop_route,
	&admin_loop_renew_route,
	&admin_loop_pause_route,
	&admin_loop_resume_route,
	&admin_asked_list_route,
	&admin_asked_add_route,
	&admin_asked_set_route,
	&admin_asked_remove_route,
	&admin_overrides_route,
	&admin_override_set_route,
	&admin_override_remove_route,
	&admin_gc_route,
	&admin_db_route,
	NULL,
};
/* clang-format on */

static size_t
count(const struct admin_route *const *routes)
{
	size_t n = 0;

	while (routes != NULL && routes[n] != NULL)
		n++;
	return n;
}

/* Ours, then those of other modules. */
static void
list_routes(struct admin *ad, const struct admin_route *const *more)
{
	size_t ours = count(api_routes), theirs = count(more);

	ad->routes = calloc(ours + theirs + 1, sizeof(*ad->routes));
	if (ad->routes == NULL)
		abort();
	for (size_t i = 0; i < ours; i++)
		ad->routes[i] = &api_routes[i]->http;
	for (size_t i = 0; i < theirs; i++)
		ad->routes[ours + i] = &more[i]->http;
}

/* ---- the object */

static struct http_app
make_app(struct admin *ad, const char *name, const char *const *prefixes,
    const struct route *const *routes)
{
	return (struct http_app){ .name = name,
		.prefixes = prefixes,
		.routes = routes,
		.ctx = ad,
		.before_reply = no_store };
}

struct admin *
admin_new(const struct admin_options *o)
{
	struct admin *ad = calloc(1, sizeof(*ad));

	if (ad == NULL)
		abort();
	ad->loop = o->loop;
	ad->store = o->store;
	ad->limits = o->limits;
	ad->ring = o->ring;
	ad->hooks = o->hooks;
	ad->group = o->group;
	ad->started = loop_wall(o->loop);
	list_routes(ad, o->more_routes);
	ad->health = make_app(ad, "health", at_root, health_routes);
	ad->status = make_app(ad, "status", at_root, status_routes);
	ad->api = make_app(ad, "admin", at_api, ad->routes);
	ad->keyed = make_app(ad, "admin-tls", at_api, ad->routes);
	ad->refusals = refusals_new(o->loop, o->store);
	return ad;
}

void
admin_free(struct admin *ad)
{
	if (ad == NULL)
		return;
	refusals_free(ad->refusals);
	free(ad->routes);
	free(ad);
}

const struct http_app *
admin_health_app(const struct admin *ad)
{
	return &ad->health;
}

const struct http_app *
admin_status_app(const struct admin *ad)
{
	return &ad->status;
}

const struct http_app *
admin_api_app(const struct admin *ad)
{
	return &ad->api;
}

const struct http_app *
admin_keyed_app(const struct admin *ad)
{
	return &ad->keyed;
}

void
admin_flush(struct admin *ad)
{
	refusals_flush(ad->refusals);
}

bool
admin_at_work(const struct admin *ad)
{
	return refusals_busy(ad->refusals);
}
