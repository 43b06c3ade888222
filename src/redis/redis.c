/* SPDX-License-Identifier: ISC */
/*
 * The object: when to connect, whether the server can be relied on, and what
 * its epoch is.
 */
#include "redis/redis_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "redis/scripts_gen.h"

#define LATE_DEFAULT (50 * WHEN_SECOND / 1000)
#define DEAD_DEFAULT (2 * WHEN_SECOND)
#define RETRY_MIN (50 * WHEN_SECOND / 1000)
#define RETRY_MAX (2 * WHEN_SECOND)
#define PROBE_UP (1 * WHEN_SECOND)
#define PROBE_GONE (100 * WHEN_SECOND / 1000)
#define INFO_EVERY (60 * WHEN_SECOND)

enum { IN_FLIGHT_DEFAULT = 4096 };

static void retry(void *);
static void probe(void *);
static void on_epoch(struct redis *, const redisReply *);

/* ---- making and freeing */

static struct str
copy_prefix(struct arena *a, struct str prefix)
{
	return str_dup(a, prefix.n > 0 ? prefix : STR("certloop:"));
}

static const char *
copy_name(struct redis *r, const char *name)
{
	unsigned i = 0;

	while (i < r->nnames && strcmp(r->names[i], name) != 0)
		i++;
	if (i == r->nnames)
		r->names[r->nnames++] = str_cstr(r->arena, str_from(name));
	return r->names[i];
}

static void
copy_endpoints(struct redis *r, const struct redis_options *o)
{
	for (size_t i = 0; i < o->nendpoints; i++) {
		struct redis_endpoint e = o->endpoints[i];

		if (e.path.p != NULL)
			e.path = str_dup(r->arena, e.path);
		if (e.name != NULL)
			e.name = copy_name(r, e.name);
		endpoints_add(r, &e, e.addr);
	}
	r->options.endpoints = NULL;
}

static void
copy_options(struct redis *r, const struct redis_options *o)
{
	if (o->nendpoints == 0 || o->nendpoints > REDIS_ENDPOINTS_MAX ||
	    o->password.n > sizeof(r->password))
		abort(); /* the configuration was checked */
	r->options = *o;
	copy_endpoints(r, o);
	r->options.user = str_dup(r->arena, o->user);
	if (o->password.n > 0)
		memcpy(r->password, o->password.p, o->password.n);
	r->options.password = str_make(r->password, o->password.n);
	r->options.prefix = copy_prefix(r->arena, o->prefix);
	r->options.sentinel = str_dup(r->arena, o->sentinel);
	if (o->late == 0)
		r->options.late = LATE_DEFAULT;
	if (o->dead == 0)
		r->options.dead = DEAD_DEFAULT;
	if (o->in_flight_max == 0)
		r->options.in_flight_max = IN_FLIGHT_DEFAULT;
}

/* What lookups begin with. */
static void
know_endpoints(struct redis *r)
{
	for (unsigned name = 0; name < r->nnames; name++)
		for (size_t i = 0; i < r->nendpoints; i++)
			if (r->endpoints[i].name == r->names[name] &&
			    r->endpoints[i].addr.len != 0)
				lookup_know(&r->lookup, name,
				    r->endpoints[i].addr);
}

static void
on_lookup(void *arg, const struct lookup_found *found, size_t n)
{
	endpoints_move(arg, found, n);
}

static void
on_master_lookup(void *arg, const struct lookup_found *found, size_t n)
{
	struct redis *r = arg;
	struct redis_endpoint e = r->master;

	if (n == 0) {
		redis_drop(r, FAULT_PASSING,
		    "the master's name %s has no address", r->master_name);
		return;
	}
	e.addr = found[r->master_turn % n].addr;
	redis_find(r, &e);
}

static struct redis *
make(struct loop *loop, const struct redis_options *o)
{
	struct redis *r = calloc(1, sizeof(*r));

	if (r == NULL)
		abort();
	r->loop = loop;
	r->arena = arena_create();
	copy_options(r, o);
	r->epoch_key = str_printf(r->arena, STR_FMT "epoch",
	    STR_ARG(r->options.prefix));
	r->fd = -1;
	lookup_init(&r->lookup, loop, r->names, r->nnames, on_lookup, r);
	know_endpoints(r);
	r->master_names[0] = r->master_name;
	lookup_init(&r->master_lookup, loop, r->master_names, 1,
	    on_master_lookup, r);
	TAILQ_INIT(&r->sent);
	LIST_INIT(&r->all);
	timer_init(&r->deadline, loop, command_on_deadline, r);
	timer_init(&r->retry, loop, retry, r);
	timer_init(&r->probe, loop, probe, r);
	endpoint_text(&o->endpoints[0], r->address, sizeof(r->address));
	snprintf(r->trouble, sizeof(r->trouble), "not connected yet");
	timer_start(&r->retry, 0);
	return r;
}

struct redis *
redis_new(struct loop *loop, const struct redis_options *o)
{
	struct redis *r = make(loop, o);

	metrics_set(METRIC_redis_up, 0);
	return r;
}

void
redis_free(struct redis *r)
{
	if (r == NULL)
		return;
	if (!r->quiet)
		metrics_set(METRIC_redis_up, 0);
	lookup_stop(&r->lookup);
	lookup_stop(&r->master_lookup);
	wire_close(r);
	command_free_all(r);
	timer_stop(&r->deadline);
	timer_stop(&r->retry);
	timer_stop(&r->probe);
	explicit_bzero(r->password, sizeof(r->password));
	free(r->out);
	arena_destroy(r->arena);
	free(r);
}

/* ---- what others may ask */

bool
redis_is_up(const struct redis *r)
{
	return r->up;
}

const char *
redis_trouble(const struct redis *r)
{
	return r->up ? "" : r->trouble;
}

struct str
redis_address(const struct redis *r)
{
	return str_from(r->address);
}

struct str
redis_prefix(const struct redis *r)
{
	return r->options.prefix;
}

unsigned
redis_in_flight(const struct redis *r)
{
	return r->in_flight;
}

bool
redis_may_evict(const struct redis *r)
{
	return r->facts.may_evict;
}

struct str
redis_epoch(const struct redis *r)
{
	if (!r->up || r->facts.may_evict || r->epoch[0] == '\0' ||
	    r->doubtful || r->late_row > 0)
		return STR_NONE;
	return str_make(r->epoch, REDIS_EPOCH_LEN);
}

struct str
redis_epoch_key(const struct redis *r)
{
	return r->epoch_key;
}

/* ---- connecting */

static void
retry(void *arg)
{
	struct redis *r = arg;

	if (wire_dial(r))
		timer_start(&r->deadline, r->options.dead);
}

/* 50 ms doubling to 2 s; each time somewhere in the upper half. */
static int64_t
pick_pause(struct redis *r)
{
	int64_t pause = RETRY_MAX;

	if (r->fault != FAULT_LASTING && r->failures < 6)
		pause = RETRY_MIN << r->failures;
	if (pause > RETRY_MAX)
		pause = RETRY_MAX;
	return pause / 2 + id_draw() % (pause / 2);
}

/* The server's words may be in it. */
static void __attribute__((format(printf, 3, 0)))
set_trouble(struct redis *r, enum fault fault, const char *fmt, va_list ap)
{
	r->fault = fault;
	vsnprintf(r->trouble, sizeof(r->trouble), fmt, ap);
	for (char *p = r->trouble; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static void say_trouble(struct redis *r, enum fault fault, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
say_trouble(struct redis *r, enum fault fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_trouble(r, fault, fmt, ap);
	va_end(ap);
}

void
redis_drop(struct redis *r, enum fault fault, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_trouble(r, fault, fmt, ap);
	va_end(ap);
	if (r->found && r->state != CONN_SERVING)
		r->master_turn++;
	wire_close(r);
	command_lose_all(r);
	r->state = CONN_RESTING;
	r->unwritable = r->probing = false;
	timer_stop(&r->probe);
	timer_start(&r->retry, pick_pause(r));
	r->failures++;
	r->endpoint = (r->endpoint + 1) % r->nendpoints;
	r->found = false;
	if (r->failures >= r->nendpoints)
		lookup_again(&r->lookup);
	redis_judge(r);
}

const struct redis_endpoint *
redis_whom(const struct redis *r)
{
	return r->found ? &r->master : &r->endpoints[r->endpoint];
}

void
redis_find(struct redis *r, const struct redis_endpoint *e)
{
	wire_close(r);
	command_lose_all(r);
	r->state = CONN_RESTING;
	r->master = *e;
	r->found = true;
	timer_start(&r->retry, 0);
}

void
redis_find_name(struct redis *r, struct str name, unsigned port)
{
	wire_close(r);
	command_lose_all(r);
	r->state = CONN_RESTING;
	r->master = (struct redis_endpoint){ .port = port };
	snprintf(r->master_name, sizeof(r->master_name), STR_FMT,
	    STR_ARG(name));
	if (!lookup_start(&r->master_lookup))
		redis_drop(r, FAULT_PASSING, "%s cannot be looked up",
		    r->master_name);
}

bool
redis_is_fatal(const redisReply *reply)
{
	static const char *const codes[] = { "READONLY", "LOADING",
		"MASTERDOWN", "NOAUTH", "CLUSTERDOWN", "MOVED", "CROSSSLOT" };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (reply_is(reply, codes[i]))
			return true;
	return false;
}

/* ---- the verdict */

static bool
can_be_relied_on(struct redis *r)
{
	if (r->state != CONN_SERVING)
		return false; /* redis_drop said why */
	if (r->late_row >= LATE_ROW_MAX) {
		say_trouble(r, FAULT_PASSING,
		    "%u answers in a row took more than %lld ms", r->late_row,
		    (long long)(r->options.late / 1000));
		return false;
	}
	return !r->unwritable; /* on_epoch said why */
}

static void
tell_up(struct redis *r)
{
	metrics_set(METRIC_redis_up, 1);
	log_info("redis is up", LOG_TEXT("address", r->address),
	    LOG_TEXT("epoch", r->epoch));
}

static void
tell_gone(struct redis *r)
{
	metrics_set(METRIC_redis_up, 0);
	log_warn("redis is gone", LOG_TEXT("address", r->address),
	    LOG_TEXT("why", r->trouble),
	    LOG_BOOL("lasting", r->fault == FAULT_LASTING));
}

void
redis_judge(struct redis *r)
{
	bool was = r->up;

	r->up = can_be_relied_on(r);
	if (r->up) {
		r->fault = FAULT_NONE;
		memset(r->told, 0, sizeof(r->told));
		if (!was && !r->quiet)
			tell_up(r);
		return;
	}
	if (was) {
		if (!r->quiet)
			metrics_add(METRIC_redis_losses, 1);
		if (r->state == CONN_SERVING)
			timer_start(&r->probe, PROBE_GONE);
	}
	if (r->fault != FAULT_NONE && !r->told[r->fault] && !r->quiet)
		tell_gone(r);
	r->told[r->fault] = true;
}

/* ---- probes: the epoch, asked again */

void
redis_ask_epoch(struct redis *r)
{
	uint64_t random;
	char digits[REDIS_EPOCH_LEN + 1];
	struct str arg;

	id_random(&random, sizeof(random));
	snprintf(digits, sizeof(digits), "%016" PRIx64, random);
	arg = str_from(digits);
	r->probing = true;
	command_send_script(r, on_epoch,
	    &(struct redis_call){ .script = &redis_script_epoch,
		.keys = &r->epoch_key,
		.nkeys = 1,
		.args = &arg,
		.nargs = 1 });
}

static void
probe(void *arg)
{
	struct redis *r = arg;

	if (r->state != CONN_SERVING)
		return;
	if (!r->probing)
		redis_ask_epoch(r);
	if (loop_mono(r->loop) - r->info_at >= INFO_EVERY)
		redis_ask_info(r);
	timer_start(&r->probe, r->up ? PROBE_UP : PROBE_GONE);
}

void
redis_renew_epoch(struct redis *r)
{
	r->doubtful = true; /* an answer to what is asked now, or was: clear */
	if (r->state == CONN_SERVING && !r->probing)
		redis_ask_epoch(r);
}

static void
take_error(struct redis *r, const redisReply *reply)
{
	struct str text = reply_text(reply);
	enum fault fault = reply_is(reply, "NOPERM") ? FAULT_LASTING :
						       FAULT_PASSING;

	if (r->state == CONN_GREETING || redis_is_fatal(reply)) {
		redis_drop(r, fault, "it cannot be used: " STR_FMT,
		    STR_ARG(text));
		return;
	}
	say_trouble(r, fault, "it cannot be used: " STR_FMT, STR_ARG(text));
	r->unwritable = true;
	redis_judge(r);
}

static void
save_epoch(struct redis *r, struct str epoch)
{
	if (str_is(epoch, r->epoch))
		return;
	if (!r->quiet)
		metrics_add(METRIC_redis_epochs, 1);
	if (r->epoch[0] != '\0')
		log_info("redis has begun to remember anew",
		    LOG_TEXT("before", r->epoch), LOG_STR("epoch", epoch));
	memset(r->epoch, 0, sizeof(r->epoch));
	if (epoch.n == REDIS_EPOCH_LEN)
		memcpy(r->epoch, epoch.p, epoch.n);
}

static void
on_epoch(struct redis *r, const redisReply *reply)
{
	r->probing = false;
	if (reply->type == REDIS_REPLY_ERROR) {
		take_error(r, reply);
		return;
	}
	if (reply->type != REDIS_REPLY_STRING ||
	    (reply->len != 0 && reply->len != REDIS_EPOCH_LEN)) {
		redis_drop(r, FAULT_PASSING, "its epoch is no epoch");
		return;
	}
	save_epoch(r, reply_text(reply));
	r->unwritable = r->doubtful = false;
	if (r->state == CONN_GREETING) {
		r->state = CONN_SERVING;
		if (!r->quiet)
			metrics_add(METRIC_redis_connects, 1);
		timer_start(&r->probe, PROBE_UP);
	} else {
		r->failures = 0; /* it held for a while */
	}
	redis_judge(r);
}

/* ---- a look before the loop runs */

static void
wake_up(void *arg)
{
	(void)arg;
}

static enum redis_found
look(struct redis *r, struct loop *loop, int64_t timeout)
{
	int64_t end = when_now() + timeout;
	struct timer wake;

	timer_init(&wake, loop, wake_up, loop);
	while (!r->up && r->fault != FAULT_LASTING &&
	    r->failures < r->nendpoints && when_now() < end) {
		timer_start(&wake, end - when_now());
		loop_turn(loop, LOOP_WAIT);
	}
	timer_stop(&wake);
	if (r->up)
		return REDIS_FOUND_UP;
	return r->fault == FAULT_LASTING ? REDIS_FOUND_BAD : REDIS_FOUND_DOWN;
}

enum redis_found
redis_look(struct arena *a, const struct redis_options *o, int64_t timeout,
    const char **why)
{
	struct loop *loop = loop_new();
	struct redis *r;
	enum redis_found found;

	if (loop == NULL) {
		*why = "the system gives no event loop";
		return REDIS_FOUND_DOWN;
	}
	r = make(loop, o);
	r->quiet = true;
	found = look(r, loop, timeout);
	if (found != REDIS_FOUND_UP)
		*why = str_printf(a, "Redis at %s: %s", r->address, r->trouble)
			   .p;
	redis_free(r);
	loop_free(loop);
	return found;
}
