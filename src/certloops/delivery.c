/* SPDX-License-Identifier: ISC */
/*
 * Delivery of a loop's pair on this node.
 *
 *	read	the stored pair, opened
 *	deliver	files and program (deliver/deliver.h)
 *	record	what lies here, or why not and when to try again
 */
#include "certloops/certloops_int.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/sha.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/when.h"
#include "deliver/deliver.h"
#include "log/log.h"
#include "metrics/metrics.h"

struct delivery {
	LIST_ENTRY(delivery) entry; /* cl->deliveries */
	struct certloops *cl;
	struct task task; /* its arena holds this struct */
	struct str name, serial, target;
	int64_t version;
	unsigned failures;
	int64_t now, at; /* database time as of loop_mono `at` */
};

static enum step on_pair(void *, const struct store_result *);
static void on_delivered(void *, const struct deliver_result *);
static enum step on_recorded(void *, const struct store_result *);

static void
end_delivery(struct delivery *t)
{
	struct certloops *cl = t->cl;

	LIST_REMOVE(t, entry);
	cl->ndeliveries--;
	task_end(&t->task);
	if (cl->more)
		certloops_wake(cl);
}

void
delivery_stop_all(struct certloops *cl)
{
	while (!LIST_EMPTY(&cl->deliveries))
		end_delivery(LIST_FIRST(&cl->deliveries));
}

bool
delivery_is_running(const struct certloops *cl, struct str name)
{
	const struct delivery *t;

	LIST_FOREACH(t, &cl->deliveries, entry)
		if (str_eq(t->name, name))
			return true;
	return false;
}

void
delivery_start(struct certloops *cl, struct str name)
{
	struct arena *a = arena_create();
	struct delivery *t = arena_new(a, struct delivery);
	struct batch *b;

	task_init_in(&t->task, a);
	t->cl = cl;
	LIST_INSERT_HEAD(&cl->deliveries, t, entry);
	cl->ndeliveries++;
	t->name = str_dup(a, name);
	b = store_new_batch(cl->store, &t->task, t->name);
	store_add(b, SQL_LOOP_PAIR);
	store_str(b, t->name);
	store_str(b, cl->options.node);
	(void)store_send_batch(b, on_pair, t);
}

/* ---- record */

static void
record_done(struct delivery *t, const struct deliver_result *r)
{
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);
	bool unchanged = r->outcome == DELIVER_UNCHANGED;

	metrics_count(FAMILY_loop_deliveries,
	    unchanged ? "unchanged" : "delivered");
	if (!unchanged)
		log_info("a cert loop's pair was delivered",
		    LOG_STR("loop", t->name), LOG_STR("serial", t->serial),
		    LOG_STR("output", r->output));
	store_add(b, SQL_LOOP_DELIVERED);
	store_str(b, t->name);
	store_str(b, t->cl->options.node);
	store_int(b, t->version);
	store_str(b, t->target);
	store_require(b);
	if (!unchanged)
		audit_add(b,
		    &(struct audit_entry){ .actor = STR("certloopd"),
			.action = "loop.deliver",
			.object = t->name,
			.serial = t->serial });
	(void)store_send_batch(b, on_recorded, t);
}

static void
record_failure(struct delivery *t, const char *why,
    const struct deliver_result *r)
{
	struct arena *a = t->task.arena;
	struct loop_schedule s = { .failures = t->failures };
	struct batch *b = store_new_batch(t->cl->store, &t->task, t->name);
	struct json_writer *w = json_writer_new(a, 8192);
	bool put_back = r != NULL && r->put_back;

	why = str_show(a, str_from(why), 1000).p;
	schedule_next(&s, LOOP_FAILED, 0,
	    t->now + loop_mono(t->cl->loop) - t->at, certloops_draw(t->cl));
	metrics_count(FAMILY_loop_deliveries, put_back ? "put_back" : "failed");
	log_warn("a cert loop's pair was not delivered",
	    LOG_STR("loop", t->name), LOG_STR("serial", t->serial),
	    LOG_TEXT("cause", why), LOG_BOOL("put_back", put_back),
	    LOG_STR("output", r != NULL ? r->output : STR("")),
	    LOG_STR("next", when_rfc3339(a, s.next)));
	json_open_object(w, NULL);
	json_str(w, "cause", str_from(why));
	json_bool(w, "put_back", put_back);
	json_close(w);
	store_add(b, SQL_LOOP_UNDELIVERED);
	store_str(b, t->name);
	store_str(b, t->cl->options.node);
	store_int(b, s.failures);
	store_int(b, s.next);
	store_str(b, str_from(why));
	store_str(b, t->target);
	store_require(b);
	audit_add(b,
	    &(struct audit_entry){ .actor = STR("certloopd"),
		.action = "loop.deliver.fail",
		.object = t->name,
		.serial = t->serial,
		.detail = json_text(w) });
	(void)store_send_batch(b, on_recorded, t);
}

static enum step
on_recorded(void *arg, const struct store_result *r)
{
	struct delivery *t = arg;

	if (r->status != STORE_OK && r->status != STORE_LOST)
		/* it stays due, and is found to be unchanged next time */
		log_warn("while recording a delivery", LOG_STR("loop", t->name),
		    LOG_TEXT("cause", store_cause(r)));
	end_delivery(t);
	return STEP_DONE;
}

/* ---- deliver */

/* One lock a loop, in a folder of ours; its name may be too long for a file. */
static struct str
lock_file(struct delivery *t)
{
	struct arena *a = t->task.arena;
	const char *dir = str_printf(a, "%s/deliver", t->cl->conf->data_dir.p)
			      .p;
	uint8_t hash[SHA256_DIGEST_LENGTH];

	(void)mkdir(dir, 0700); /* who opens the file says what is wrong */
	SHA256((const uint8_t *)t->name.p, t->name.n, hash);
	return str_printf(a, "%s/" STR_FMT, dir,
	    STR_ARG(hex_encode(a, str_make(hash, 16))));
}

static bool
open_key(struct delivery *t, struct str sealed, struct str *pem)
{
	struct seal_place place = { .table = STR("loops"),
		.row = t->name,
		.column = STR("key") };

	return seal_open_secret(t->task.arena, t->cl->options.ring, &place,
		   sealed, pem) == SEAL_OK;
}

static void
deliver(struct delivery *t, const struct wanted *w,
    const struct store_result *r, struct str key)
{
	struct arena *a = t->task.arena;
	struct deliver_job job = {
		.name = t->name,
		.names = store_get_str(r, 0, 0, LOOP_PAIR_NAMES),
		.serial = t->serial,
		.expires = when_rfc3339(a,
		    store_get_int(r, 0, 0, LOOP_PAIR_NOT_AFTER)),
		.cert = pki_write_pem(a, "CERTIFICATE",
		    store_get_str(r, 0, 0, LOOP_PAIR_DER)),
		.chain = store_get_str(r, 0, 0, LOOP_PAIR_PEM),
		.key = key,
		.folder = w->folder,
		.cert_file = w->cert_file,
		.key_file = w->key_file,
		.chain_file = w->chain_file,
		.fullchain_file = w->fullchain_file,
		.combined_file = w->combined_file,
		.mode = w->mode,
		.owner = w->owner,
		.group = w->group,
		.hook = w->hook.v,
		.nhook = w->hook.n,
		.hook_timeout = w->hook_timeout,
		/* files without a program that said yes are half a delivery */
		.always_hook = store_get_int(r, 0, 0, LOOP_PAIR_DELIVERED) <
		    t->version,
		.lock_file = lock_file(t),
	};

	deliver_start(t->cl->deliver, &t->task, &job, on_delivered, t);
}

static enum step
on_pair(void *arg, const struct store_result *r)
{
	struct delivery *t = arg;
	const struct wanted *w = wanted_find(&t->cl->wanted, t->name);
	struct str key;

	if (r->status != STORE_OK || store_nrows(r, 0) == 0 || w == NULL) {
		end_delivery(t); /* it is looked for again */
		return STEP_DONE;
	}
	t->version = store_get_int(r, 0, 0, LOOP_PAIR_VERSION);
	t->failures = (unsigned)store_get_int(r, 0, 0, LOOP_PAIR_FAILURES);
	t->serial = str_dup(t->task.arena,
	    store_get_str(r, 0, 0, LOOP_PAIR_SERIAL));
	t->target = str_dup(t->task.arena, w->target);
	t->now = store_get_int(r, 0, 0, LOOP_PAIR_NOW);
	t->at = loop_mono(t->cl->loop);
	if (!open_key(t, store_get_str(r, 0, 0, LOOP_PAIR_KEY), &key))
		record_failure(t,
		    "the loop's key in the store was sealed under another "
		    "seal_key than ours",
		    NULL);
	else
		deliver(t, w, r, key);
	return STEP_WAITING;
}

static void
on_delivered(void *arg, const struct deliver_result *r)
{
	struct delivery *t = arg;

	if (r->outcome == DELIVER_FAILED)
		record_failure(t, r->why, r);
	else
		record_done(t, r);
}
