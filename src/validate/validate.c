/* SPDX-License-Identifier: ISC */
/*
 * The life of a validation:
 *
 *	start	into the queue of its type
 *	pump	a slot is free: the next query begins (turns.c says whose)
 *	end	of a query: done, or a pause and then the queue again
 *	tell	the caller, from the top of the loop
 *
 * A pause holds no slot, so a target that fails at once does not keep others
 * waiting.
 */
#include "validate/validate_int.h"

#include <assert.h>
#include <stdlib.h>

#include "base/when.h"
#include "metrics/metrics.h"

#define TIMEOUT (30 * WHEN_SECOND)
enum { PAUSES = 16 }; /* the first pause is this part of the time */

static const struct {
	const char *name;
	void (*query)(struct check *);
	const struct problem *(*late)(struct check *);
} types[VALIDATE_TYPES] = {
	[VALIDATE_HTTP_01] = { "http-01", http01_query, http01_late },
	[VALIDATE_DNS_01] = { "dns-01", dns01_query, dns01_late },
	[VALIDATE_TLS_ALPN_01] = { "tls-alpn-01", tlsalpn01_query,
	    tlsalpn01_late },
};

const char *
validate_type_name(enum validate_type type)
{
	return types[type].name;
}

bool
validate_find_type(struct str name, enum validate_type *out)
{
	for (unsigned i = 0; i < VALIDATE_TYPES; i++)
		if (str_is(name, types[i].name)) {
			*out = (enum validate_type)i;
			return true;
		}
	return false;
}

/* ---- slots */

static void
end_query(struct check *c)
{
	assert(c->state == CHECK_RUNNING);
	task_end(&c->query);
	turns_give(c);
	loop_defer(c->validate->loop, &c->validate->pump);
}

static void
enqueue(struct check *c)
{
	c->state = CHECK_QUEUED;
	turns_enqueue(c);
	loop_defer(c->validate->loop, &c->validate->pump);
}

static void
begin_query(struct check *c)
{
	c->state = CHECK_RUNNING;
	task_init(&c->query);
	if (!c->started) {
		c->started = true;
		c->deadline = loop_mono(c->validate->loop) + c->rq.timeout;
		timer_start(&c->deadline_timer, c->rq.timeout);
	}
	types[c->rq.type].query(c);
}

static void
pump(void *arg)
{
	struct validate *v = arg;
	struct check *c;

	for (unsigned i = 0; i < VALIDATE_TYPES; i++)
		while ((c = turns_take(v, (enum validate_type)i)) != NULL) {
			begin_query(c);
			if (loop_is_late(v->loop)) {
				loop_defer(v->loop, &v->pump);
				return;
			}
		}
}

/* ---- the end */

static void
free_check(struct check *c)
{
	struct validate *v = c->validate;

	if (c->state == CHECK_RUNNING)
		end_query(c);
	if (c->state == CHECK_QUEUED)
		turns_dequeue(c);
	timer_stop(&c->deadline_timer);
	timer_stop(&c->pause_timer);
	loop_undefer(v->loop, &c->tell);
	LIST_REMOVE(c, entry);
	v->nchecks--;
	turns_leave(c);
	arena_destroy(c->arena);
}

static void
detach(struct op *op)
{
	free_check((struct check *)(void *)op);
}

static void
tell(void *arg)
{
	struct check *c = arg;
	const struct problem *pr = c->final ? c->pr : NULL;

	metrics_count(FAMILY_validations, types[c->rq.type].name,
	    pr == NULL ? "valid" : problem_name(pr->type).p);
	op_done(&c->op);
	c->done(c->arg, pr);
	free_check(c);
}

/* pr NULL: it is valid. */
static void
finish(struct check *c, const struct problem *pr)
{
	if (c->state == CHECK_RUNNING)
		end_query(c);
	if (c->state == CHECK_QUEUED)
		turns_dequeue(c);
	c->state = CHECK_DONE;
	c->pr = pr;
	c->final = pr != NULL;
	timer_stop(&c->deadline_timer);
	timer_stop(&c->pause_timer);
	loop_defer(c->validate->loop, &c->tell);
}

static const struct problem *
keep(struct check *c, const struct problem *pr)
{
	return problem_new(c->arena, pr->type, STR_FMT, STR_ARG(pr->detail));
}

/*
 * What is known is better than that time is over: a query has failed before,
 * or this is the first one, and under way.
 */
static void
on_deadline(void *arg)
{
	struct check *c = arg;

	if (c->pr == NULL)
		c->pr = keep(c, types[c->rq.type].late(c));
	finish(c, c->pr);
}

static void
on_pause_over(void *arg)
{
	enqueue(arg);
}

static void
fail_query(struct check *c, const struct problem *pr)
{
	int64_t wait = c->pause;

	c->pr = keep(c, pr);
	if (loop_mono(c->validate->loop) + wait >= c->deadline) {
		finish(c, c->pr);
		return;
	}
	end_query(c);
	c->state = CHECK_PAUSED;
	c->pause *= 2;
	timer_start(&c->pause_timer, wait);
	if (c->note != NULL)
		c->note(c->arg, c->pr, wait);
}

void
query_end(struct check *c, const struct problem *pr)
{
	if (pr == NULL)
		finish(c, NULL);
	else
		fail_query(c, pr);
}

void
query_refuse(struct check *c, const struct problem *pr)
{
	finish(c, keep(c, pr));
}

/* ---- messages */

struct str
check_subject(const struct check *c, struct arena *a)
{
	return c->rq.addr.len > 0 ? addr_text(a, c->rq.addr) : c->rq.name;
}

const struct problem *
query_dns_problem(struct arena *a, struct str what, enum dns_status status)
{
	static const char *const whys[] = {
		[DNS_OK] = "there is no usable record",
		[DNS_NO_DATA] = "the name has no such record",
		[DNS_NO_NAME] = "the name does not exist (NXDOMAIN)",
		[DNS_BOGUS] = "DNSSEC says that the answer is bogus",
		[DNS_FAILED] = "the name servers failed to answer (SERVFAIL)",
		[DNS_TIMEOUT] = "there was no answer in time",
		[DNS_BUSY] = "too many lookups are under way",
		[DNS_BAD_NAME] = "this is not a name that DNS can have",
	};

	return problem_new(a, PROBLEM_DNS, "while looking up " STR_FMT ": %s",
	    STR_ARG(what), whys[status]);
}

/* ---- the beginning */

static void
take_request(struct check *c, const struct validate_request *rq)
{
	struct arena *a = c->arena;

	c->rq = *rq;
	c->rq.owner = str_dup(a, rq->owner);
	c->rq.name = str_dup(a, rq->name);
	c->rq.token = str_dup(a, rq->token);
	c->rq.key_authorization = str_dup(a, rq->key_authorization);
	if (rq->http_port == 0)
		c->rq.http_port = 80;
	if (rq->https_port == 0)
		c->rq.https_port = 443;
	if (rq->tls_port == 0)
		c->rq.tls_port = 443;
	if (rq->timeout == 0)
		c->rq.timeout = TIMEOUT;
	c->pause = c->rq.timeout / PAUSES;
}

enum validate_room
validate_room(const struct validate *v, enum validate_type type,
    struct str owner)
{
	return turns_room(v, type, owner);
}

bool
validate_start(struct validate *v, struct task *t,
    const struct validate_request *rq, validate_note_fn *note,
    validate_done_fn *done, void *arg)
{
	struct arena *a;
	struct check *c;

	if (turns_room(v, rq->type, rq->owner) != VALIDATE_ROOM)
		return false;
	a = arena_create();
	c = arena_new(a, struct check);
	c->arena = a;
	c->validate = v;
	c->note = note;
	c->done = done;
	c->arg = arg;
	c->op.detach = detach;
	take_request(c, rq);
	timer_init(&c->deadline_timer, v->loop, on_deadline, c);
	timer_init(&c->pause_timer, v->loop, on_pause_over, c);
	deferred_init(&c->tell, tell, c);
	LIST_INSERT_HEAD(&v->checks, c, entry);
	v->nchecks++;
	turns_join(c);
	task_wait(t, &c->op);
	enqueue(c);
	return true;
}

void
validate_hurry(struct task *t)
{
	struct op *op;
	struct check *c;

	LIST_FOREACH(op, &t->ops, entry) {
		c = (struct check *)(void *)op;
		if (op->detach == detach && c->state == CHECK_PAUSED) {
			timer_stop(&c->pause_timer);
			enqueue(c);
		}
	}
}

/* ---- the whole */

static void
collect(void *arg)
{
	const struct validate *v = arg;

	for (unsigned i = 0; i < VALIDATE_TYPES; i++) {
		metrics_child_set(metrics_child(FAMILY_validations_running,
				      types[i].name),
		    v->kinds[i].running);
		metrics_child_set(metrics_child(FAMILY_validations_waiting,
				      types[i].name),
		    v->kinds[i].count - v->kinds[i].running);
	}
}

struct validate *
validate_new(const struct validate_options *o, const char **why)
{
	struct validate *v = calloc(1, sizeof(*v));
	struct fetch_options f = { .loop = o->loop,
		.user_agent = o->user_agent };

	if (v == NULL)
		abort();
	v->loop = o->loop;
	v->running_max = o->running_max > 0 ? o->running_max :
					      VALIDATE_RUNNING_MAX;
	v->waiting_max = o->waiting_max > 0 ? o->waiting_max :
					      VALIDATE_WAITING_MAX;
	v->share = o->share > 0 ? o->share : VALIDATE_SHARE;
	f.running_max = v->running_max;
	LIST_INIT(&v->checks);
	for (size_t i = 0; i < VALIDATE_TYPES; i++)
		TAILQ_INIT(&v->kinds[i].owners);
	TAILQ_INIT(&v->shaking);
	deferred_init(&v->pump, pump, v);
	deferred_init(&v->shake, tlsalpn01_shake, v);
	if ((v->fetch = fetch_new(&f, why)) == NULL) {
		free(v);
		return NULL;
	}
	if ((v->tls = tlsalpn01_context()) == NULL) {
		*why = "a TLS context cannot be made";
		fetch_free(v->fetch);
		free(v);
		return NULL;
	}
	metrics_on_collect(collect, v);
	return v;
}

void
validate_free(struct validate *v)
{
	struct check *c;

	if (v == NULL)
		return;
	metrics_off_collect(collect, v);
	while ((c = LIST_FIRST(&v->checks)) != NULL) {
		op_done(&c->op);
		free_check(c);
	}
	loop_undefer(v->loop, &v->pump);
	loop_undefer(v->loop, &v->shake);
	fetch_free(v->fetch);
	tlsalpn01_free_context(v->tls);
	free(v);
}

unsigned
validate_count(const struct validate *v)
{
	return v->nchecks;
}

unsigned
validate_running(const struct validate *v, enum validate_type type)
{
	return v->kinds[type].running;
}
