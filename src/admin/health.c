/* SPDX-License-Identifier: ISC */
/* /healthz: the process answers. /readyz: it can do its work. /metrics. */
#include "admin/admin_int.h"

#include "base/buf.h"
#include "issuer/issuer.h"
#include "metrics/metrics.h"

enum { METRICS_MAX = 1 << 20 };

static enum step
healthz_start(struct req *req)
{
	return req_reply(req, 200, "text/plain", STR("ok\n"));
}

static enum step
readyz_start(struct req *req)
{
	struct admin *ad = admin_of(req);

	if (ad->hooks.not_ready(ad->hooks.arg) != NULL)
		return req_reply(req, 503, "text/plain", STR("not ready\n"));
	return req_reply(req, 200, "text/plain", STR("ready\n"));
}

/* An issuer in trouble is told; it does not make the process not ready. */
static void
write_issuers(struct req *req, struct json_writer *w)
{
	const struct admin *ad = admin_of(req);
	const struct conf *conf = ad->hooks.conf(ad->hooks.arg);

	json_open_array(w, "issuers");
	for (size_t i = 0; i < conf->nissuers; i++) {
		const struct issuer *issuer = ad->hooks.find_issuer(ad->hooks
									.arg,
		    conf->issuers[i].at.name.p);

		if (issuer == NULL)
			continue;
		json_open_object(w, NULL);
		json_str(w, "name", str_from(issuer->name));
		admin_write_trouble(req->task.arena, w, issuer);
		json_close(w);
	}
	json_close(w);
}

static enum step
readyz_detail_start(struct req *req)
{
	struct admin *ad = admin_of(req);
	struct json_writer *w = json_writer_new(req->task.arena,
	    ADMIN_REPLY_MAX);
	const char *why = ad->hooks.not_ready(ad->hooks.arg);

	json_open_object(w, NULL);
	json_bool(w, "ready", why == NULL);
	if (why != NULL)
		json_str(w, "reason", str_from(why));
	json_str(w, "store", str_from(store_engine(ad->store)));
	json_bool(w, "store_ready", store_is_ready(ad->store));
	json_int(w, "store_depth", store_depth(ad->store));
	write_issuers(req, w);
	json_close(w);
	return admin_reply_req(req, why == NULL ? 200 : 503, w);
}

static enum step
metrics_start(struct req *req)
{
	struct buf b = buf_new(req->task.arena, METRICS_MAX);

	metrics_write(&b);
	if (b.full)
		return req_fail(req,
		    problem_cause(req->task.arena, PROBLEM_SERVER,
			"the metrics do not fit"));
	return req_reply(req, 200, METRICS_CONTENT_TYPE, buf_view(&b));
}

static const struct route healthz_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/healthz",
	.name = "healthz",
	.start = healthz_start,
};

static const struct route readyz_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/readyz",
	.name = "readyz",
	.start = readyz_start,
};

static const struct route readyz_detail_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/readyz",
	.name = "readyz",
	.start = readyz_detail_start,
};

static const struct route metrics_route = {
	.methods = REQ_GET | REQ_HEAD,
	.path = "/metrics",
	.name = "metrics",
	.start = metrics_start,
};

const struct route *const health_routes[] = { &healthz_route, &readyz_route,
	NULL };

const struct route *const status_routes[] = { &healthz_route,
	&readyz_detail_route, &metrics_route, NULL };
