/* SPDX-License-Identifier: ISC */
/* POST /gc: begin the sweeps now, whosever turn it is in the fleet. */
#include "admin/admin_int.h"

static enum step
on_audited(void *arg, const struct store_result *r)
{
	struct admin_call *c = arg;
	struct json_writer *w = json_writer_new(c->arena, ADMIN_REPLY_MAX);

	if (r->status != STORE_OK)
		return admin_fail(c, r->problem);
	if (!c->admin->hooks.run_gc(c->admin->hooks.arg))
		return admin_fail(c,
		    problem_new(c->arena, PROBLEM_WRONG_STATE,
			"the sweeps are under way in this process"));
	admin_count("gc.run");
	json_open_object(w, NULL);
	json_bool(w, "started", true);
	json_close(w);
	return admin_reply(c, 202, w);
}

/* What the operator asked for is on record, also if it was in vain. */
static enum step
start(struct admin_call *c)
{
	struct batch *b = store_new_batch(c->store, &c->req->task, STR(""));

	admin_audit(c, b,
	    &(struct admin_change){ .action = "gc.run", .object = STR("gc") });
	return store_send_batch(b, on_audited, c);
}

const struct admin_route admin_gc_route = {
	.http = { .methods = REQ_POST,
	    .path = "/gc",
	    .name = "admin-gc",
	    .body_max = ADMIN_BODY_MAX,
	    .start = admin_start },
	.scope = ADMIN_OPERATE,
	.start = start,
};
