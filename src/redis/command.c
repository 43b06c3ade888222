/* SPDX-License-Identifier: ISC */
/*
 * Commands from the call to the callback. A record owns copies of its bytes
 * and lives until its answer was read (or the connection is gone) and its
 * caller was told, whatever comes last; who ends first only clears the way
 * back.
 */
#include "redis/redis_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "metrics/metrics.h"

/* ---- records */

/* A record with room for argc arguments of bytes bytes in all. */
static struct command *
new_command(struct redis *r, size_t argc, size_t bytes)
{
	struct command *c = calloc(1,
	    sizeof(*c) + argc * (sizeof(char *) + sizeof(size_t)) + bytes);

	if (c == NULL)
		abort();
	c->r = r;
	c->argv = (const char **)(void *)(c + 1);
	c->lens = (size_t *)(void *)(c->argv + argc);
	LIST_INSERT_HEAD(&r->all, c, all);
	return c;
}

static char *
add_argument(struct command *c, char *to, struct str arg)
{
	if (arg.n > 0)
		memcpy(to, arg.p, arg.n);
	c->argv[c->argc] = to;
	c->lens[c->argc++] = arg.n;
	return to + arg.n;
}

static void
free_command(struct command *c)
{
	assert(!c->in_sent);
	loop_undefer(c->r->loop, &c->finish);
	LIST_REMOVE(c, all);
	if (c->reply != NULL)
		freeReplyObject(c->reply);
	free(c);
}

/* From the top of the loop: tell the caller. */
static void
finish(void *arg)
{
	struct command *c = arg;
	struct redis_answer answer = { .status = c->status, .reply = c->reply };
	redis_fn *fn = c->fn;

	if (c->on_task)
		op_done(&c->op);
	c->on_task = false;
	c->fn = NULL;
	if (c->status == REDIS_REFUSED)
		answer.error = reply_text(c->reply);
	if (fn != NULL)
		(void)fn(c->arg, &answer);
	if (!c->in_sent)
		free_command(c);
}

static void
finish_later(struct command *c, enum redis_status status)
{
	c->status = status;
	loop_defer(c->r->loop, &c->finish);
}

static void
detach(struct op *op)
{
	struct command *c = (struct command *)(void *)((char *)op -
	    offsetof(struct command, op));

	c->on_task = false;
	c->fn = NULL;
}

/* ---- sending */

static void
set_deadline(struct redis *r)
{
	const struct command *first = TAILQ_FIRST(&r->sent);
	int64_t at;

	if (first == NULL) {
		timer_stop(&r->deadline);
		return;
	}
	at = first->since + r->options.dead;
	if (r->unlate != NULL && r->unlate->since + r->options.late < at)
		at = r->unlate->since + r->options.late;
	timer_start(&r->deadline, at - loop_mono(r->loop));
}

static void
count_in_flight(struct command *c, int n)
{
	if (c->own != NULL)
		return;
	c->r->in_flight += (unsigned)n;
	metrics_set(METRIC_redis_in_flight, c->r->in_flight);
}

static void
send_command(struct command *c)
{
	struct redis *r = c->r;
	char *bytes;
	int n = redisFormatCommandArgv(&bytes, c->argc, c->argv, c->lens);
	bool fits;

	if (n < 0)
		abort(); /* no memory */
	fits = wire_put(r, bytes, (size_t)n);
	if (c->own != NULL)
		explicit_bzero(bytes, (size_t)n); /* AUTH */
	redisFreeCommand(bytes);
	if (!fits) {
		finish_later(c, REDIS_BUSY);
		return;
	}
	c->since = loop_mono(r->loop);
	c->in_sent = true;
	TAILQ_INSERT_TAIL(&r->sent, c, entry);
	if (r->unlate == NULL)
		r->unlate = c;
	count_in_flight(c, 1);
	metrics_add(METRIC_redis_commands, 1);
	/* else the timer is set for an earlier one */
	if (r->unlate == c)
		set_deadline(r);
}

/* EVALSHA sha1 nkeys key... arg... */
static struct command *
new_script_command(struct redis *r, const struct redis_call *call)
{
	size_t bytes = sizeof("EVALSHA") + 40 + 24;
	struct command *c;
	char *to, number[24];

	assert(call->nkeys <= REDIS_KEYS_MAX);
	for (size_t i = 0; i < call->nkeys; i++)
		bytes += call->keys[i].n;
	for (size_t i = 0; i < call->nargs; i++)
		bytes += call->args[i].n;
	c = new_command(r, 3 + call->nkeys + call->nargs, bytes);
	c->script = call->script;
	to = (char *)(c->lens + 3 + call->nkeys + call->nargs);
	to = add_argument(c, to, STR("EVALSHA"));
	to = add_argument(c, to, call->script->sha1);
	snprintf(number, sizeof(number), "%zu", call->nkeys);
	to = add_argument(c, to, str_from(number));
	for (size_t i = 0; i < call->nkeys; i++)
		to = add_argument(c, to, call->keys[i]);
	for (size_t i = 0; i < call->nargs; i++)
		to = add_argument(c, to, call->args[i]);
	deferred_init(&c->finish, finish, c);
	return c;
}

/* The server does not know the script: once more, with its text. */
static void
send_text(struct command *c)
{
	c->evaled = true;
	c->argv[0] = "EVAL";
	c->lens[0] = 4;
	c->argv[1] = c->script->text.p;
	c->lens[1] = c->script->text.n;
	send_command(c);
}

enum step
redis_eval(struct redis *r, const struct redis_call *call, struct task *t,
    redis_fn *fn, void *arg)
{
	struct command *c = new_script_command(r, call);

	c->fn = fn;
	c->arg = arg;
	if (t != NULL) {
		c->op.detach = detach;
		c->on_task = true;
		task_wait(t, &c->op);
	}
	if (!r->up)
		finish_later(c, REDIS_GONE);
	else if (r->in_flight >= r->options.in_flight_max || !wire_has_room(r))
		finish_later(c, REDIS_BUSY);
	else
		send_command(c);
	return STEP_WAITING;
}

void
command_send_own(struct redis *r, own_fn *own, const struct str *argv,
    size_t argc)
{
	size_t bytes = 0;
	struct command *c;
	char *to;

	for (size_t i = 0; i < argc; i++)
		bytes += argv[i].n;
	c = new_command(r, argc, bytes);
	to = (char *)(c->lens + argc);
	for (size_t i = 0; i < argc; i++)
		to = add_argument(c, to, argv[i]);
	deferred_init(&c->finish, finish, c);
	c->own = own;
	send_command(c);
	/* the password must not stay behind in freed memory */
	explicit_bzero((char *)(c->lens + argc), bytes);
}

void
command_send_script(struct redis *r, own_fn *own, const struct redis_call *call)
{
	struct command *c = new_script_command(r, call);

	c->own = own;
	send_command(c);
}

/* ---- answers */

struct str
reply_text(const redisReply *reply)
{
	if (reply == NULL || reply->str == NULL)
		return STR_NONE;
	return str_make(reply->str, reply->len);
}

bool
reply_is(const redisReply *reply, const char *code)
{
	struct str want = str_from(code), text;

	if (reply->type != REDIS_REPLY_ERROR)
		return false;
	text = str_make(reply->str, reply->len);
	if (str_starts(text, want))
		return true;
	/* before 7.0: "ERR Error running script (...): ...: -CODE text" */
	for (size_t i = 0; i + want.n < text.n; i++)
		if (text.p[i] == '-' && str_starts(str_skip(text, i + 1), want))
			return true;
	return false;
}

static void
unlink_sent(struct command *c)
{
	struct redis *r = c->r;

	if (r->unlate == c)
		r->unlate = TAILQ_NEXT(c, entry);
	TAILQ_REMOVE(&r->sent, c, entry);
	c->in_sent = false;
	count_in_flight(c, -1);
}

/* The caller was told that it is late, or is about to be. */
static void
drop_late_answer(struct command *c, redisReply *reply)
{
	freeReplyObject(reply);
	if (c->finish.state == DEFERRED_NONE)
		free_command(c);
}

static void
answer_own(struct command *c, redisReply *reply)
{
	struct redis *r = c->r;
	own_fn *own = c->own;

	free_command(c);
	own(r, reply);
	freeReplyObject(reply);
}

/* Of what callers ask; ours (INFO, PING, AUTH) is not theirs to wait for. */
static void
observe(const struct command *c)
{
	metrics_observe(HIST_redis_seconds,
	    (double)(loop_mono(c->r->loop) - c->since) / (double)WHEN_SECOND);
}

static void
answer_caller(struct command *c, redisReply *reply)
{
	struct redis *r = c->r;

	observe(c);
	c->reply = reply;
	if (reply->type != REDIS_REPLY_ERROR) {
		finish_later(c, REDIS_ANSWERED);
		return;
	}
	metrics_add(METRIC_redis_errors, 1);
	finish_later(c, REDIS_REFUSED);
	if (redis_is_fatal(reply))
		redis_drop(r, FAULT_PASSING, "it refuses a script: " STR_FMT,
		    STR_ARG(reply_text(reply)));
	else
		redis_renew_epoch(r); /* can it still be written to? */
}

void
command_answer(struct redis *r, redisReply *reply)
{
	struct command *c = TAILQ_FIRST(&r->sent);
	bool late;

	if (c == NULL) {
		redis_drop(r, FAULT_PASSING, "an answer to no question%s%s",
		    reply->type == REDIS_REPLY_ERROR ? ": " : "",
		    reply->type == REDIS_REPLY_ERROR ? reply->str : "");
		freeReplyObject(reply);
		return;
	}
	unlink_sent(c);
	late = c->late;
	if (!late)
		r->late_row = 0;
	if (c->script != NULL && !c->evaled && reply_is(reply, "NOSCRIPT") &&
	    !(late && c->own == NULL)) {
		freeReplyObject(reply);
		c->late = false;
		send_text(c);
	} else if (c->own != NULL) {
		answer_own(c, reply);
	} else if (late) {
		drop_late_answer(c, reply);
	} else {
		answer_caller(c, reply);
	}
	if (!late && !r->up)
		redis_judge(r);
}

/* ---- deadlines */

static void
mark_late(struct command *c)
{
	struct redis *r = c->r;

	c->late = true;
	r->unlate = TAILQ_NEXT(c, entry);
	if (r->state != CONN_SERVING)
		return;
	r->late_row++;
	metrics_add(METRIC_redis_late, 1);
	if (c->own != NULL)
		return;
	observe(c);
	finish_later(c, REDIS_LATE);
}

void
command_on_deadline(void *arg)
{
	struct redis *r = arg;
	const struct command *first = TAILQ_FIRST(&r->sent);
	int64_t now = loop_mono(r->loop);

	if (r->state == CONN_DIALING ||
	    (first != NULL && first->since + r->options.dead <= now)) {
		redis_drop(r, FAULT_PASSING, "no answer for %lld ms",
		    (long long)(r->options.dead / 1000));
		return;
	}
	while (r->unlate != NULL && r->unlate->since + r->options.late <= now)
		mark_late(r->unlate);
	set_deadline(r);
	redis_judge(r);
}

/* ---- the end */

void
command_lose_all(struct redis *r)
{
	struct command *c;

	while ((c = TAILQ_FIRST(&r->sent)) != NULL) {
		unlink_sent(c);
		if (c->own != NULL)
			free_command(c);
		else if (!c->late)
			finish_later(c, REDIS_LOST);
		else if (c->finish.state == DEFERRED_NONE)
			free_command(c);
	}
	timer_stop(&r->deadline);
	r->late_row = 0;
}

void
command_free_all(struct redis *r)
{
	struct command *c;

	command_lose_all(r);
	while ((c = LIST_FIRST(&r->all)) != NULL) {
		if (c->on_task)
			op_done(&c->op);
		free_command(c);
	}
}

/* ---- what callers see of an answer */

static const redisReply *
member(const struct redis_answer *answer, size_t i)
{
	const redisReply *reply = answer->reply;

	if (reply == NULL || answer->status != REDIS_ANSWERED)
		return NULL;
	if (reply->type == REDIS_REPLY_ARRAY)
		return i < reply->elements ? reply->element[i] : NULL;
	return i == 0 ? reply : NULL;
}

size_t
redis_count(const struct redis_answer *answer)
{
	const redisReply *reply = answer->reply;

	if (member(answer, 0) == NULL || reply->type == REDIS_REPLY_NIL)
		return 0;
	return reply->type == REDIS_REPLY_ARRAY ? reply->elements : 1;
}

int64_t
redis_get_int(const struct redis_answer *answer, size_t i)
{
	const redisReply *m = member(answer, i);

	return m != NULL && m->type == REDIS_REPLY_INTEGER ? m->integer : 0;
}

struct str
redis_get_str(const struct redis_answer *answer, size_t i)
{
	const redisReply *m = member(answer, i);

	if (m == NULL ||
	    (m->type != REDIS_REPLY_STRING && m->type != REDIS_REPLY_STATUS))
		return STR_NONE;
	return reply_text(m);
}

const char *
redis_status_name(enum redis_status status)
{
	static const char *const names[] = {
		[REDIS_ANSWERED] = "answered",
		[REDIS_REFUSED] = "refused",
		[REDIS_LATE] = "late",
		[REDIS_LOST] = "lost",
		[REDIS_GONE] = "gone",
		[REDIS_BUSY] = "busy",
	};

	return names[status];
}
