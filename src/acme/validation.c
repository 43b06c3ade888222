/* SPDX-License-Identifier: ISC */
/*
 * From a challenge that was taken up to its outcome, RFC 8555 section 7.1.6
 * and 8. A validation has a task of its own; the request that began it is
 * over. Every write carries the attempt number, so a validation that was
 * taken over cannot store anything.
 *
 *	validate	queries, until one succeeds or time is over
 *	note		each query that failed is told the client (8.2)
 *	store		the authorization, then its order: one batch, which
 *			takes the order's row first, so that two that end
 *			together see each other
 *
 * The lease is renewed while it goes on. At a shutdown it is given back, and
 * another process, or the next one, goes on.
 */
#include "acme/acme_int.h"

#include <stdlib.h>

#include "base/fault.h"
#include "base/when.h"
#include "log/log.h"

enum validation_state {
	VALIDATION_RUNNING,
	VALIDATION_STORING,   /* the outcome is on its way */
	VALIDATION_RELEASING, /* the lease is given back */
};

struct validation {
	LIST_ENTRY(validation) entry; /* acme->validating */
	struct acme *acme;
	struct acme_setup *setup;
	const struct acme_profile *profile;
	struct task task; /* its arena holds this struct */
	enum validation_state state;
	struct str authz, order, account, type, value;
	const char *method; /* type, as a constant */
	bool is_ip, wildcard;
	bool caa;             /* CAA records were asked for */
	const char *caa_said; /* what came of it; NULL: not asked */
	struct addr tried;    /* connected to last */
	struct audit_tries tries;
	int64_t attempt, started;
	struct timer renew;
	const struct problem *pr; /* NULL: valid */
};

static void on_note(void *, const struct problem *, int64_t);
static void on_done(void *, const struct problem *);
static enum step on_renewed(void *, const struct store_result *);
static enum step on_stored(void *, const struct store_result *);
static enum step on_released(void *, const struct store_result *);
static enum step on_counted(void *, const struct ratelimit_result *);

/* ---- the end */

static void
end_validation(struct validation *v)
{
	struct acme *acme = v->acme;

	timer_stop(&v->renew);
	LIST_REMOVE(v, entry);
	acme->nvalidating--;
	if (acme->draining && acme->nvalidating == 0)
		loop_defer(acme->loop, &acme->drained);
	task_end(&v->task);
}

static void
log_outcome(const struct validation *v, const char *result)
{
	log_info("validation", LOG_STR("authz", v->authz),
	    LOG_STR("account", v->account), LOG_STR("type", v->type),
	    LOG_STR("identifier", v->value), LOG_INT("attempt", v->attempt),
	    LOG_TEXT("result", result),
	    LOG_MS("ms", loop_mono(v->acme->loop) - v->started));
}

/* ---- the lease */

static struct batch *
new_batch(struct validation *v)
{
	return store_new_batch(v->acme->store, &v->task,
	    v->order.n > 0 ? v->order : v->authz);
}

/* pr and wait: a query failed, the next one comes; or NULL. */
static void
send_renewal(struct validation *v, const struct problem *pr, int64_t wait)
{
	int64_t lease = v->setup->conf->lease;
	struct batch *b = new_batch(v);

	store_add(b, SQL_AUTHZ_RENEW);
	store_str(b, v->authz);
	store_int(b, v->attempt);
	store_int(b, lease);
	if (pr != NULL) {
		store_str(b, problem_json(v->task.arena, pr));
		store_int(b, wait);
	} else {
		store_null(b);
		store_null(b);
	}
	store_require(b);
	(void)store_send_batch(b, on_renewed, v);
	timer_start(&v->renew, lease / 3);
}

static void
on_renewal_due(void *arg)
{
	send_renewal(arg, NULL, 0);
}

/* For the row of the outcome. */
static void
note_try(struct validation *v, const struct problem *pr)
{
	struct arena *a = v->task.arena;

	audit_note_try(&v->tries, a,
	    &(struct audit_try){ .at = loop_wall(v->acme->loop),
		.outcome = pr == NULL ? "valid" : problem_name(pr->type).p,
		.address = v->tried.len > 0 ? addr_text(a, v->tried) : STR(""),
		.why = pr != NULL ? pr->detail : STR("") });
	v->tried.len = 0;
}

static void
on_note(void *arg, const struct problem *pr, int64_t wait)
{
	note_try(arg, pr);
	send_renewal(arg, pr, wait);
}

static enum step
on_renewed(void *arg, const struct store_result *r)
{
	struct validation *v = arg;

	if (r->status == STORE_LOST && v->state == VALIDATION_RUNNING) {
		log_outcome(v, "lost"); /* another has it, or it is no more */
		end_validation(v);
		return STEP_DONE;
	}
	return STEP_WAITING;
}

static void
release(struct validation *v)
{
	struct batch *b;

	v->state = VALIDATION_RELEASING;
	timer_stop(&v->renew);
	task_detach(&v->task); /* no query goes on */
	b = new_batch(v);
	store_add(b, SQL_AUTHZ_RELEASE);
	store_str(b, v->authz);
	store_int(b, v->attempt);
	(void)store_send_batch(b, on_released, v);
}

static enum step
on_released(void *arg, const struct store_result *r)
{
	(void)r; /* if it failed, the lease runs out */
	log_outcome(arg, "released");
	end_validation(arg);
	return STEP_DONE;
}

/* ---- the outcome */

/* What the order says: the problem, about this identifier. */
static struct str
order_error(struct validation *v)
{
	struct arena *a = v->task.arena;
	struct problem *pr = problem_new(a, v->pr->type,
	    "\"" STR_FMT "\" was not authorized: " STR_FMT, STR_ARG(v->value),
	    STR_ARG(v->pr->detail));
	struct subproblem *s = arena_new(a, struct subproblem);

	s->type = v->pr->type;
	s->detail = v->pr->detail;
	s->id_type = v->is_ip ? STR("ip") : STR("dns");
	s->id_value = v->value;
	pr->subs = s;
	pr->nsubs = 1;
	return problem_json(a, pr);
}

static void
put_valid(struct validation *v, struct batch *b)
{
	store_add(b, SQL_AUTHZ_VALID);
	store_str(b, v->authz);
	store_int(b, v->attempt);
	store_int(b, v->profile->conf->authz_lifetime);
	store_int(b, v->caa);
	store_require(b);
	if (v->order.n == 0)
		return;
	store_add(b, SQL_ORDER_READY);
	store_str(b, v->order);
}

static void
put_invalid(struct validation *v, struct batch *b)
{
	store_add(b, SQL_AUTHZ_INVALID);
	store_str(b, v->authz);
	store_int(b, v->attempt);
	store_str(b, problem_json(v->task.arena, v->pr));
	store_require(b);
	if (v->order.n == 0)
		return;
	store_add(b, SQL_ORDER_SPOIL);
	store_str(b, v->order);
	store_str(b, order_error(v));
}

/* Too many failures of one name keep its owner from asking again and again. */
static void
count_failure(struct validation *v)
{
	struct take t = { .limit = LIMIT_FAILED_VALIDATION,
		.key = str_join(v->task.arena, v->account, STR(" "),
		    v->value) };

	(void)ratelimit_take(v->acme->options.limits, &v->task, &t, 1, NULL,
	    on_counted, v);
}

static enum step
on_counted(void *arg, const struct ratelimit_result *r)
{
	(void)arg;
	(void)r;
	return STEP_WAITING;
}

static struct str
write_detail(struct validation *v)
{
	struct arena *a = v->task.arena;
	struct json_writer *w = json_writer_new(a, ACME_REPLY_MAX);

	json_open_object(w, NULL);
	if (v->pr != NULL)
		audit_write_problem(w, v->pr);
	json_str(w, "identifier", v->value);
	json_str(w, "challenge", v->type);
	json_int(w, "attempt", v->attempt);
	audit_write_tries(w, a, &v->tries);
	if (v->caa_said != NULL)
		json_str(w, "caa", str_from(v->caa_said));
	json_close(w);
	return json_text(w);
}

static void
store_outcome(struct validation *v)
{
	struct batch *b = new_batch(v);

	v->state = VALIDATION_STORING;
	timer_stop(&v->renew);
	if (v->order.n > 0) {
		store_add(b, SQL_ORDER_TAKE);
		store_str(b, v->order);
	}
	if (v->pr == NULL)
		put_valid(v, b);
	else
		put_invalid(v, b);
	audit_add(b,
	    &(struct audit_entry){
		.actor = STR("certloopd"),
		.action = v->pr == NULL ? "authz.valid" : "authz.invalid",
		.object = v->authz,
		.order = v->order,
		.account = v->account,
		.detail = write_detail(v),
	    });
	(void)store_send_batch(b, on_stored, v);
	if (v->pr != NULL)
		count_failure(v);
}

static void
fail(struct validation *v, const char *cause)
{
	v->pr = problem_cause(v->task.arena, PROBLEM_SERVER, "%s", cause);
	log_warn("while validating", LOG_STR("authz", v->authz),
	    LOG_TEXT("cause", cause));
	store_outcome(v);
}

static void
on_caa(void *arg, const struct problem *pr)
{
	struct validation *v = arg;

	v->caa = true;
	v->caa_said = pr == NULL                     ? "allowed" :
	    pr->type != PROBLEM_CAA                  ? "failed" :
	    v->profile->conf->caa == CONF_CAA_REPORT ? "reported" :
						       "forbidden";
	v->pr = caa_judge(v->profile, v->value, pr);
	store_outcome(v);
}

static void
on_done(void *arg, const struct problem *pr)
{
	struct validation *v = arg;

	FAULT("a validation after its outcome");
	note_try(v, pr);
	if (pr != NULL)
		v->pr = problem_new(v->task.arena, pr->type, STR_FMT,
		    STR_ARG(pr->detail));
	if (pr != NULL || v->is_ip || v->profile->conf->caa == CONF_CAA_OFF) {
		store_outcome(v);
		return;
	}
	caa_ask(v->setup, v->profile, &v->task,
	    &(struct caa_question){ .name = v->value,
		.wildcard = v->wildcard,
		.account = v->account,
		.method = v->method },
	    on_caa, v);
}

static enum step
on_stored(void *arg, const struct store_result *r)
{
	struct validation *v = arg;

	if (r->status == STORE_OK)
		log_outcome(v,
		    v->pr == NULL ? "valid" : problem_name(v->pr->type).p);
	else if (r->status == STORE_LOST)
		log_outcome(v, "lost");
	else /* the lease runs out, and somebody does it again */
		log_warn("while storing a validation",
		    LOG_STR("authz", v->authz),
		    LOG_TEXT("cause", store_cause(r)));
	end_validation(v);
	return STEP_DONE;
}

/* ---- the beginning */

static struct str
find_token(struct arena *a, struct str challenges, struct str type)
{
	const struct json *list = json_parse(a, challenges, NULL);

	json_each(c, list)
		if (str_eq(json_get_str(c, "type"), type))
			return json_get_str(c, "token");
	return STR_NONE;
}

/* False: the row or the configuration will not do; it has failed. */
static bool
fill_request(struct validation *v, struct str challenges, struct str thumbprint,
    struct validate_request *rq)
{
	const struct conf_profile *c;

	if (v->attempt > ACME_ATTEMPTS_MAX) {
		fail(v, "the challenge was taken up too often");
		return false;
	}
	rq->token = find_token(v->task.arena, challenges, v->type);
	if (!validate_find_type(v->type, &rq->type) || rq->token.p == NULL ||
	    (v->is_ip && !addr_parse(v->value, &rq->addr))) {
		fail(v, "the stored challenge is broken");
		return false;
	}
	if (v->acme->validate == NULL || v->profile->resolver == NULL) {
		fail(v, "the profile does not validate any more");
		return false;
	}
	c = v->profile->conf;
	v->method = validate_type_name(rq->type);
	rq->owner = v->account;
	rq->name = v->value;
	rq->key_authorization = str_join(v->task.arena, rq->token, STR("."),
	    thumbprint);
	rq->dns = resolver_dns(v->profile->resolver);
	rq->rule = (struct validate_rule){ .allow = c->validation_allow.v,
		.nallow = c->validation_allow.n,
		.deny = c->validation_deny.v,
		.ndeny = c->validation_deny.n };
	rq->http_port = (unsigned)c->http_port;
	rq->https_port = (unsigned)c->https_port;
	rq->tls_port = (unsigned)c->tls_port;
	rq->timeout = c->validation_timeout;
	rq->tried = &v->tried;
	return true;
}

static void
begin(struct validation *v, struct str challenges, struct str thumbprint)
{
	struct validate_request rq = { .type = VALIDATE_HTTP_01 };

	if (!fill_request(v, challenges, thumbprint, &rq))
		return;
	FAULT("a validation before it begins");
	if (validate_start(v->acme->validate, &v->task, &rq, on_note, on_done,
		v))
		timer_start(&v->renew, v->setup->conf->lease / 3);
	else
		release(v); /* full: whoever has room goes on */
}

static struct validation *
new_validation(struct acme *acme)
{
	struct arena *a = arena_create();
	struct validation *v = arena_new(a, struct validation);

	task_init_in(&v->task, a);
	v->acme = acme;
	v->setup = acme_hold(acme, v->task.arena);
	v->started = loop_mono(acme->loop);
	timer_init(&v->renew, acme->loop, on_renewal_due, v);
	LIST_INSERT_HEAD(&acme->validating, v, entry);
	acme->nvalidating++;
	return v;
}

static struct str
get(struct validation *v, const struct store_result *r, unsigned st,
    unsigned col)
{
	return str_dup(v->task.arena, store_get_str(r, st, 0, col));
}

void
validation_start(struct acme *acme, struct str authz,
    const struct store_result *r, unsigned st)
{
	struct validation *v = new_validation(acme);

	v->authz = str_dup(v->task.arena, authz);
	v->order = get(v, r, st, AUTHZ_LOAD_ORDER_ID);
	v->account = get(v, r, st, AUTHZ_LOAD_ACCOUNT);
	v->type = get(v, r, st, AUTHZ_LOAD_CHALLENGE);
	v->value = get(v, r, st, AUTHZ_LOAD_VALUE);
	v->attempt = store_get_int(r, st, 0, AUTHZ_LOAD_ATTEMPT);
	v->is_ip = str_is(store_get_str(r, st, 0, AUTHZ_LOAD_TYPE), "ip");
	v->wildcard = store_get_int(r, st, 0, AUTHZ_LOAD_WILDCARD) != 0;
	v->profile = acme_find_profile(v->setup,
	    store_get_str(r, st, 0, AUTHZ_LOAD_PROFILE));
	if (acme->draining)
		release(v);
	else if (v->profile == NULL)
		fail(v, "the profile is not configured any more");
	else
		begin(v, get(v, r, st, AUTHZ_LOAD_CHALLENGES),
		    get(v, r, st, AUTHZ_LOAD_THUMBPRINT));
}

void
validation_hurry(struct acme *acme, struct str authz)
{
	struct validation *v;

	LIST_FOREACH(v, &acme->validating, entry)
		if (v->state == VALIDATION_RUNNING && str_eq(v->authz, authz)) {
			validate_hurry(&v->task);
			return;
		}
}

/* ---- all of them */

void
acme_drain(struct acme *acme, void (*fn)(void *), void *arg)
{
	struct validation *v;

	acme->draining = true;
	refusals_flush(acme->refusals);
	deferred_init(&acme->drained, fn, arg);
	LIST_FOREACH(v, &acme->validating, entry)
		if (v->state == VALIDATION_RUNNING)
			release(v);
	if (acme->nvalidating == 0)
		loop_defer(acme->loop, &acme->drained);
}

void
validation_stop_all(struct acme *acme)
{
	struct validation *v;

	loop_undefer(acme->loop, &acme->drained);
	while ((v = LIST_FIRST(&acme->validating)) != NULL) {
		timer_stop(&v->renew);
		LIST_REMOVE(v, entry);
		acme->nvalidating--;
		task_end(&v->task);
	}
}
