/* SPDX-License-Identifier: ISC */
/*
 * What is said after connecting, in one write: who we are, the database, and
 * what kind of server this is. The answer to the last question, the epoch,
 * opens the connection for scripts.
 */
#include "redis/redis_int.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "log/log.h"

/* ---- INFO: lines "name:value" */

static struct str
find_field(struct str info, const char *name)
{
	struct str line, key;

	while (info.n > 0) {
		line = str_cut(&info, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		key = str_cut(&line, ':');
		if (str_is(key, name))
			return line;
	}
	return STR_NONE;
}

/* Said once for each server that is met. */
static void
tell_evict(struct redis *r)
{
	if (!r->facts.may_evict) {
		r->told_evict = false;
		return;
	}
	if (r->told_evict || r->quiet)
		return;
	r->told_evict = true;
	log_warn("redis may drop keys early, so nonces are not kept there",
	    LOG_TEXT("address", r->address),
	    LOG_TEXT("why",
		r->facts.policy_known ?
		    "its maxmemory-policy is not noeviction" :
		    "it does not tell its maxmemory-policy"));
}

static void
take_policy(struct redis *r, struct str policy)
{
	r->facts.policy_known = policy.n > 0;
	r->facts.may_evict = !str_is(policy, "noeviction");
	tell_evict(r);
}

/* ["maxmemory-policy", "noeviction"], or an error. */
static void
on_config(struct redis *r, const redisReply *reply)
{
	struct str policy = STR_NONE;

	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
		policy = reply_text(reply->element[1]);
	take_policy(r, policy);
}

static void
judge_role(struct redis *r)
{
	if (r->facts.is_cluster)
		redis_drop(r, FAULT_LASTING,
		    "it is a Redis Cluster, which is not supported");
	else if (r->facts.is_replica)
		redis_drop(r, FAULT_PASSING, "it is a replica");
}

static void
on_info(struct redis *r, const redisReply *reply)
{
	struct str info = reply_text(reply), policy;
	struct str config[] = { STR("CONFIG"), STR("GET"),
		STR("maxmemory-policy") };

	if (reply_is(reply, "NOAUTH")) {
		redis_drop(r, FAULT_LASTING, "it wants a password");
		return;
	}
	if (redis_is_fatal(reply)) {
		redis_drop(r, FAULT_PASSING, "it cannot be used: " STR_FMT,
		    STR_ARG(info));
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR)
		info = STR_NONE; /* not permitted */
	r->facts.is_cluster = str_is(find_field(info, "cluster_enabled"), "1");
	r->facts.is_replica = str_is(find_field(info, "role"), "slave");
	policy = find_field(info, "maxmemory_policy");
	if (policy.n > 0) {
		take_policy(r, policy);
	} else {
		r->facts.may_evict = true; /* until it is known */
		command_send_own(r, on_config, config, 3);
	}
	judge_role(r);
}

void
redis_ask_info(struct redis *r)
{
	struct str info = STR("INFO");

	r->info_at = loop_mono(r->loop);
	command_send_own(r, on_info, &info, 1);
}

/* ---- a Sentinel */

/* What an address or a host name is made of. */
static bool
is_host(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) &&
		    memchr("-._:", s.p[i], 4) == NULL)
			return false;
	return s.n > 0 && s.n <= DIAL_NAME_MAX;
}

/* An address, or a name if the Sentinels announce names. */
static bool
take_master(struct redis *r, struct str host, struct str port_text)
{
	struct redis_endpoint e = { .port = 0 };
	uint64_t port;

	if (!str_u64(port_text, &port) || port == 0 || port > UINT16_MAX ||
	    !is_host(host))
		return false;
	e.port = (unsigned)port;
	if (addr_parse(host, &e.addr))
		redis_find(r, &e);
	else
		redis_find_name(r, host, e.port);
	return true;
}

/* [host, port]; nil: no master has this name. */
static void
on_master(struct redis *r, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR) {
		redis_drop(r, FAULT_PASSING, "the Sentinel says: " STR_FMT,
		    STR_ARG(reply_text(reply)));
		return;
	}
	if (reply->type == REDIS_REPLY_NIL) {
		redis_drop(r, FAULT_PASSING,
		    "the Sentinel knows no master " STR_FMT,
		    STR_ARG(r->options.sentinel));
		return;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    !take_master(r, reply_text(reply->element[0]),
		reply_text(reply->element[1])))
		redis_drop(r, FAULT_PASSING,
		    "the Sentinel does not say by IP, or name, and port where "
		    "the master is");
}

void
redis_ask_sentinel(struct redis *r)
{
	struct str ask[] = { STR("SENTINEL"), STR("GET-MASTER-ADDR-BY-NAME"),
		r->options.sentinel };

	timer_stop(&r->deadline); /* it was for the connect */
	command_send_own(r, on_master, ask, 3);
}

/* ---- the greeting */

static void
on_auth(struct redis *r, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ERROR)
		return;
	redis_drop(r, redis_is_fatal(reply) ? FAULT_PASSING : FAULT_LASTING,
	    "it refuses user or password: " STR_FMT,
	    STR_ARG(reply_text(reply)));
}

static void
on_select(struct redis *r, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ERROR)
		return;
	redis_drop(r, redis_is_fatal(reply) ? FAULT_PASSING : FAULT_LASTING,
	    "it refuses database %u: " STR_FMT, r->options.database,
	    STR_ARG(reply_text(reply)));
}

/* A name helps the operator; without one we work as well. */
static void
on_name(struct redis *r, const redisReply *reply)
{
	(void)r;
	(void)reply;
}

void
redis_greet(struct redis *r)
{
	const struct redis_options *o = &r->options;
	struct str name[] = { STR("CLIENT"), STR("SETNAME"), STR("certloop") };
	char number[16];

	timer_stop(&r->deadline); /* it was for the connect */
	r->facts = (struct server_facts){ .may_evict = true };
	if (o->user.n > 0)
		command_send_own(r, on_auth,
		    (struct str[]){ STR("AUTH"), o->user, o->password }, 3);
	else if (o->password.n > 0)
		command_send_own(r, on_auth,
		    (struct str[]){ STR("AUTH"), o->password }, 2);
	if (o->database != 0) {
		snprintf(number, sizeof(number), "%u", o->database);
		command_send_own(r, on_select,
		    (struct str[]){ STR("SELECT"), str_from(number) }, 2);
	}
	command_send_own(r, on_name, name, 3);
	redis_ask_info(r);
	redis_ask_epoch(r);
}
