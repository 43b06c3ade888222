/* SPDX-License-Identifier: ISC */
/*
 * One request to Vault, from the caller's question to its answer: sent with
 * the token that there is, or once there is one, and again if the token alone
 * was at fault.
 *
 * A request that may have reached Vault is not cut when the issuer stops or
 * the caller goes away: its answer is still the caller's, or logged if there
 * is nobody left. One that has not left yet never leaves after stop.
 */
#include "issuer/vault_int.h"

#include "base/when.h"
#include "log/log.h"

enum {
	REFUSED_MAX = 2, /* times that a token may be at fault */
	STANDBY_WAIT = 30,
};

static void on_token(void *, bool other_token);

static void
leave_vault(struct vault_work *w)
{
	if (w->vault == NULL)
		return;
	LIST_REMOVE(w, entry);
	w->vault = NULL;
}

static void
free_work(struct vault_work *w)
{
	leave_vault(w);
	vault_token_forget(&w->waiter);
	loop_undefer(w->loop, &w->tell);
	task_end(&w->task);
}

static void
detach(struct op *op)
{
	struct vault_work *w = (struct vault_work *)(void *)op;

	w->wanted = false;
	if (w->call == NULL || !fetch_is_sent(w->call) || w->vault == NULL)
		free_work(w);
}

void
vault_work_tell(struct vault_work *w)
{
	leave_vault(w); /* who is told may be the last to hold it */
	if (w->wanted) {
		w->wanted = false;
		op_done(&w->op);
		w->fn(w->arg, &w->result);
	} else if (w->result.serial.n > 0) {
		log_warn("vault signed a certificate that nobody waits for",
		    LOG_TEXT("issuer", w->name),
		    LOG_STR("serial", w->result.serial));
	}
	free_work(w);
}

static void
on_tell(void *arg)
{
	vault_work_tell(arg);
}

struct vault_work *
vault_work_new(struct vault *v, struct task *t, issuer_fn *fn, void *arg)
{
	struct arena *a = arena_create();
	struct vault_work *w = arena_new(a, struct vault_work);

	task_init_in(&w->task, a);
	w->op.detach = detach;
	w->vault = v;
	w->loop = v->loop;
	w->name = str_dup(a, str_from(v->issuer.name)).p;
	w->wanted = true;
	w->fn = fn;
	w->arg = arg;
	w->waiter = (struct vault_waiter){ .fn = on_token, .arg = w };
	deferred_init(&w->tell, on_tell, w);
	LIST_INSERT_HEAD(&v->works, w, entry);
	task_wait(t, &w->op);
	return w;
}

/* ---- failures */

static enum problem_type problem_for(enum issuer_class class)
{
	switch (class) {
	case ISSUER_TIMEOUT:
	case ISSUER_AUTH:
	case ISSUER_RATE_LIMITED:
	case ISSUER_UPSTREAM_5XX:
	case ISSUER_NETWORK:
		return PROBLEM_UNAVAILABLE;
	default:
		return PROBLEM_SERVER;
	}
}

void
vault_work_fail(struct vault_work *w, const struct vault_failure *f)
{
	struct problem *pr = problem_cause(w->task.arena, problem_for(f->class),
	    "issuer %s: %s", w->name, f->text);

	if (f->class == ISSUER_UPSTREAM_4XX)
		pr->detail = STR("the issuer refuses this request");
	else if (f->class == ISSUER_VALIDATION)
		pr->detail = STR("the issuer did not return what was ordered");
	pr->retry_after = f->retry_after;
	if (pr->retry_after == 0 && f->class == ISSUER_UPSTREAM_5XX)
		pr->retry_after = STANDBY_WAIT;
	w->result.problem = pr;
	w->result.class = f->class;
	w->result.again = f->again;
	w->result.retry_after = f->retry_after;
	w->result.uncertain = f->uncertain;
	w->result.unasked = f->unasked;
}

void
vault_work_refuse(struct vault_work *w, enum issuer_class class,
    const char *text)
{
	struct vault_failure f = { .class = class,
		.again = class != ISSUER_OTHER,
		.unasked = true,
		.text = text };

	vault_work_fail(w, &f);
	loop_defer(w->loop, &w->tell);
}

/* ---- sending */

void
vault_work_send(struct vault_work *w)
{
	struct vault *v = w->vault;
	struct str token;

	if (v->stopped) {
		vault_work_refuse(w, ISSUER_NETWORK, "it has been stopped");
		return;
	}
	token = vault_token_get(v->token);
	w->generation = vault_token_generation(v->token);
	if (token.n > 0)
		w->call = vault_call(&v->client, &w->task, token, w->path,
		    w->body, v->timeout, w->on_answer, w);
	else if (vault_token_is_coming(v->token))
		vault_token_wait(v->token, &w->waiter);
	else
		vault_work_refuse(w, ISSUER_AUTH,
		    "there is no vault token yet");
}

static void
on_token(void *arg, bool other_token)
{
	struct vault_work *w = arg;

	if (other_token)
		vault_work_send(w);
	else
		vault_work_refuse(w, ISSUER_AUTH,
		    "there is no vault token that will do");
}

bool
vault_work_is_sent_again(struct vault_work *w, const struct vault_failure *f)
{
	w->call = NULL;
	if (f->class != ISSUER_AUTH || w->vault == NULL ||
	    w->refused++ == REFUSED_MAX)
		return false;
	switch (vault_token_doubt(w->vault->token, w->generation)) {
	case VAULT_SEND_AGAIN:
		vault_work_send(w);
		return true;
	case VAULT_WAIT:
		vault_token_wait(w->vault->token, &w->waiter);
		return true;
	case VAULT_GIVE_UP:
		break;
	}
	return false;
}

/* ---- all of them */

void
vault_works_stop(struct vault *v)
{
	struct vault_work *w;

	LIST_FOREACH(w, &v->works, entry)
		if (w->waiter.waits || w->searching ||
		    (w->call != NULL && !fetch_is_sent(w->call))) {
			vault_token_forget(&w->waiter);
			w->searching = false;
			task_detach(&w->task);
			w->call = NULL;
			vault_work_refuse(w, ISSUER_NETWORK,
			    "it has been stopped");
		}
}

void
vault_works_leave(struct vault *v)
{
	struct vault_work *w;

	while ((w = LIST_FIRST(&v->works)) != NULL) {
		vault_token_forget(&w->waiter);
		leave_vault(w);
		if (!w->wanted)
			free_work(w);
	}
}
