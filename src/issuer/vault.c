/* SPDX-License-Identifier: ISC */
/*
 * The Vault issuer: certificates from the PKI secrets engine of HashiCorp
 * Vault or OpenBao. Nothing is planned: serial and validity are Vault's.
 *
 *	sign		POST MOUNT/sign/ROLE, once
 *	answer		judged (vault_call.c) and checked (vault_check.c)
 *
 * A request that may have reached Vault is not cut when the issuer stops or
 * the caller goes away: its answer is still the caller's, or logged if there
 * is nobody left. One that has not left yet never leaves after stop.
 */
#include "issuer/vault_int.h"

#include <stdlib.h>

#include <openssl/sha.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/when.h"
#include "issuer/front.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	REFUSED_MAX = 2,
	RUNNING_MAX = 64,
	CN_MAX = 64,
	BODY_MAX = 1 << 18,
	STANDBY_WAIT = 30
};
#define TIMEOUT (30 * WHEN_SECOND)
#define BACKDATE (30 * WHEN_SECOND)

LIST_HEAD(work_list, work);

struct vault {
	struct issuer issuer;
	struct arena *arena; /* holds this struct */
	struct loop *loop;
	struct vault_client client;
	struct vault_token *token;
	struct vault_seen *seen;      /* NULL: there was no search yet */
	struct vault_approle approle; /* no role_id: none */
	struct str mount, role;
	int64_t ttl, backdate, timeout;
	struct issuer_bounds bounds;
	bool stopped;
	struct work_list works;
};

/* A signature or revocation that was asked for. */
struct work {
	struct op op; /* on the caller's task, while it is wanted */
	LIST_ENTRY(work) entry;
	struct task task;    /* of the request; its arena holds this struct */
	struct vault *vault; /* NULL: it is gone */
	struct loop *loop;
	const char *name;      /* of the issuer */
	struct str path, body; /* what is sent; a body of STR_NONE: GET */
	fetch_fn *on_answer;
	unsigned generation; /* of the token that it was sent with */
	unsigned refused;    /* times, for the token's sake */
	struct vault_waiter waiter;
	bool searching; /* for what was made before */
	bool look_only;
	struct fetch_call *call; /* NULL: nothing is under way */
	struct deferred tell;
	bool wanted;
	issuer_fn *fn;
	void *arg;
	struct vault_order order;
	struct issuer_result result;
};

static void on_token(void *, bool other_token);

/* ---- the record of what is under way */

static void
leave_vault(struct work *w)
{
	if (w->vault == NULL)
		return;
	LIST_REMOVE(w, entry);
	w->vault = NULL;
}

static void
free_work(struct work *w)
{
	leave_vault(w);
	vault_token_forget(&w->waiter);
	loop_undefer(w->loop, &w->tell);
	task_end(&w->task);
}

static void
detach(struct op *op)
{
	struct work *w = (struct work *)(void *)op;

	w->wanted = false;
	if (w->call == NULL || !fetch_is_sent(w->call) || w->vault == NULL)
		free_work(w);
}

static void
tell(void *arg)
{
	struct work *w = arg;

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

static struct work *
new_work(struct vault *v, struct task *t, issuer_fn *fn, void *arg)
{
	struct task task;
	struct work *w;

	task_init(&task);
	w = arena_new(task.arena, struct work);
	w->task.arena = task.arena;
	LIST_INIT(&w->task.ops);
	w->op.detach = detach;
	w->vault = v;
	w->loop = v->loop;
	w->name = str_dup(task.arena, str_from(v->issuer.name)).p;
	w->wanted = true;
	w->fn = fn;
	w->arg = arg;
	w->waiter = (struct vault_waiter){ .fn = on_token, .arg = w };
	deferred_init(&w->tell, tell, w);
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

static void
set_failure(struct work *w, const struct vault_failure *f)
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

/* Answer without having asked Vault. */
static void
refuse(struct work *w, enum issuer_class class, const char *text)
{
	struct vault_failure f = { .class = class,
		.again = class != ISSUER_OTHER,
		.unasked = true,
		.text = text };

	set_failure(w, &f);
	loop_defer(w->loop, &w->tell);
}

/* ---- sending */

static void
send_work(struct work *w)
{
	struct vault *v = w->vault;
	struct str token;

	if (v->stopped) {
		refuse(w, ISSUER_NETWORK, "it has been stopped");
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
		refuse(w, ISSUER_AUTH, "there is no vault token yet");
}

static void
on_token(void *arg, bool other_token)
{
	struct work *w = arg;

	if (other_token)
		send_work(w);
	else
		refuse(w, ISSUER_AUTH, "there is no vault token that will do");
}

/*
 * Was it refused for the sake of the token alone, and is another one there, or
 * on its way? Then it is sent again. What was refused was not signed.
 */
static bool
is_sent_again(struct work *w, const struct vault_failure *f)
{
	w->call = NULL;
	if (f->class != ISSUER_AUTH || w->vault == NULL ||
	    w->refused++ == REFUSED_MAX)
		return false;
	switch (vault_token_doubt(w->vault->token, w->generation)) {
	case VAULT_SEND_AGAIN:
		send_work(w);
		return true;
	case VAULT_WAIT:
		vault_token_wait(w->vault->token, &w->waiter);
		return true;
	case VAULT_GIVE_UP:
		break;
	}
	return false;
}

/* ---- signing */

/* The names of one kind, parted by commas. */
static struct str
join_names(struct arena *a, const struct pki_names *names, bool ips)
{
	struct buf b = buf_new(a, BODY_MAX);

	for (size_t i = 0; i < (ips ? names->nips : names->ndns); i++) {
		if (i > 0)
			buf_char(&b, ',');
		buf_str(&b, ips ? addr_text(a, names->ips[i]) : names->dns[i]);
	}
	return b.full ? STR_NONE : buf_view(&b);
}

/*
 * Vault adds the time before now to what we ask for, and RFC 5280 counts both
 * ends in: so that all of it is no more than the profile allows, ask for less.
 */
static int64_t
ttl_seconds(const struct vault *v, int64_t max_lifetime)
{
	int64_t ttl = max_lifetime - v->backdate - WHEN_SECOND;

	if (v->ttl > 0 && v->ttl < ttl)
		ttl = v->ttl;
	return ttl / WHEN_SECOND;
}

/*
 * A role may insist on a common name, so there is one where a name fits; that
 * it is also among the names we say ourselves.
 */
static struct str
write_body(struct arena *a, const struct issuer_request *rq, int64_t ttl)
{
	struct json_writer *w = json_writer_new(a, BODY_MAX);
	struct str cn = rq->cn;

	if (cn.n == 0 && rq->names->ndns > 0 && rq->names->dns[0].n <= CN_MAX)
		cn = rq->names->dns[0];
	json_open_object(w, NULL);
	json_str(w, "csr", pki_write_pem(a, "CERTIFICATE REQUEST", rq->csr));
	if (cn.n > 0)
		json_str(w, "common_name", cn);
	if (rq->names->ndns > 0)
		json_str(w, "alt_names", join_names(a, rq->names, false));
	if (rq->names->nips > 0)
		json_str(w, "ip_sans", join_names(a, rq->names, true));
	json_bool(w, "exclude_cn_from_sans", true);
	json_str(w, "ttl", str_printf(a, "%llds", (long long)ttl));
	json_str(w, "format", STR("pem"));
	json_close(w);
	return json_text(w);
}

static void
copy_order(struct arena *a, struct vault_order *o,
    const struct issuer_request *rq)
{
	const struct pki_names *from = rq->names;

	o->spki = str_dup(a, rq->spki);
	o->max_lifetime = rq->max_lifetime;
	o->eku = rq->eku;
	o->names.ndns = from->ndns;
	o->names.dns = arena_array(a, struct str, from->ndns + 1);
	for (size_t i = 0; i < from->ndns; i++)
		o->names.dns[i] = str_dup(a, from->dns[i]);
	o->names.nips = from->nips;
	o->names.ips = arena_array(a, struct addr, from->nips + 1);
	for (size_t i = 0; i < from->nips; i++)
		o->names.ips[i] = from->ips[i];
}

static void
set_chain_id(struct work *w)
{
	struct issuer_result *r = &w->result;
	uint8_t hash[32];

	SHA256((const uint8_t *)r->chain_pem.p, r->chain_pem.n, hash);
	r->chain_id = hex_encode(w->task.arena, str_make(hash, 32)).p;
}

static void
on_signed(void *arg, const struct fetch_result *r)
{
	struct work *w = arg;
	struct arena *a = w->task.arena;
	struct vault_failure f = vault_judge(a, r);
	bool is_answer = true;

	if (is_sent_again(w, &f))
		return;
	if (f.class == ISSUER_OK &&
	    !vault_check(a, r->body, &w->order, loop_wall(w->loop), &w->result,
		&is_answer, &f.text)) {
		f.class = is_answer ? ISSUER_VALIDATION : ISSUER_OTHER;
		f.uncertain = !is_answer;
		f.text = str_printf(a,
		    "while checking the certificate%s" STR_FMT ": %s",
		    w->result.serial.n > 0 ? " " : "",
		    STR_ARG(w->result.serial), f.text)
			     .p;
	}
	if (f.class == ISSUER_OK)
		set_chain_id(w);
	else
		set_failure(w, &f);
	tell(w);
}

/* ---- what an attempt before may have made */

/* Neither their clock nor ours is quite right. */
#define SEARCH_SLACK WHEN_MINUTE

static void
count_search(const struct work *w, const char *outcome)
{
	metrics_count(FAMILY_issuer_searches, w->name, outcome);
}

static void
take_found(struct work *w, const struct vault_found *found)
{
	struct arena *a = w->task.arena;
	struct vault_failure f = { .class = ISSUER_OK };
	bool is_answer;

	count_search(w, "found");
	if (!vault_check(a, vault_write_found(a, found), &w->order,
		loop_wall(w->loop), &w->result, &is_answer, &f.text)) {
		f.class = ISSUER_VALIDATION;
		set_failure(w, &f);
	} else {
		set_chain_id(w);
	}
	log_info("vault had signed what it did not answer",
	    LOG_TEXT("issuer", w->name), LOG_STR("serial", w->result.serial));
	tell(w);
}

static void
on_found(void *arg, const struct vault_found *found)
{
	struct work *w = arg;
	struct vault_failure f = found->failure;

	w->searching = false;
	if (f.class != ISSUER_OK) {
		/* it is as uncertain as before, and no more */
		f.uncertain = false;
		f.again = true;
		count_search(w, "failed");
		set_failure(w, &f);
		tell(w);
	} else if (found->pem.n > 0) {
		take_found(w, found);
	} else if (w->look_only) {
		count_search(w, found->blind ? "blind" : "absent");
		f = (struct vault_failure){ .class = ISSUER_OTHER,
			.uncertain = true,
			.text = "it has no certificate that was made before" };
		set_failure(w, &f);
		tell(w);
	} else {
		count_search(w, found->blind ? "blind" : "absent");
		send_work(w);
	}
}

static void
search(struct work *w, int64_t since)
{
	struct vault *v = w->vault;
	struct vault_search s = { .client = &v->client,
		.task = &w->task,
		.name = w->name,
		.mount = v->mount,
		.spki = w->order.spki,
		.names = &w->order.names,
		.since = (since - v->backdate - SEARCH_SLACK) / WHEN_SECOND,
		.timeout = v->timeout,
		.fn = on_found,
		.arg = w };
	struct str token = vault_token_get(v->token);

	if (v->stopped || token.n == 0) {
		refuse(w, v->stopped ? ISSUER_NETWORK : ISSUER_AUTH,
		    v->stopped ? "it has been stopped" :
				 "there is no vault token yet");
		return;
	}
	if (v->seen == NULL)
		v->seen = vault_seen_new();
	s.seen = v->seen;
	w->searching = true;
	vault_find(&s, token);
}

/* ---- signing */

static void
vault_sign(struct issuer *issuer, struct task *t,
    const struct issuer_request *rq, issuer_fn *fn, void *arg)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct work *w = new_work(v, t, fn, arg);
	struct arena *a = w->task.arena;
	int64_t ttl = ttl_seconds(v, rq->max_lifetime);

	if (rq->must_staple || rq->no_rev_avail) {
		refuse(w, ISSUER_OTHER,
		    "Vault's role decides what its certificates say about "
		    "revocation");
		return;
	}
	w->body = write_body(a, rq, ttl);
	if (ttl <= 0 || w->body.p == NULL) {
		refuse(w, ISSUER_OTHER,
		    ttl <= 0 ? "the lifetime of the profile is too short" :
			       "the request is out of bounds");
		return;
	}
	copy_order(a, &w->order, rq);
	w->path = str_printf(a, STR_FMT "/sign/" STR_FMT, STR_ARG(v->mount),
	    STR_ARG(v->role));
	w->on_answer = on_signed;
	w->look_only = rq->look_only;
	if (rq->since != 0)
		search(w, rq->since);
	else
		send_work(w);
}

/* ---- revoking */

/* As Vault writes serials: a colon between each two digits. */
static bool
write_serial(struct arena *a, struct str serial, struct str *out)
{
	struct buf b = buf_new(a, 128);
	struct str raw;

	if (serial.n == 0 || !hex_decode(a, serial, &raw))
		return false;
	for (size_t i = 0; i < serial.n; i += 2) {
		if (i > 0)
			buf_char(&b, ':');
		buf_put(&b, serial.p + i, 2);
	}
	*out = buf_view(&b);
	return !b.full;
}

static void
on_revoked(void *arg, const struct fetch_result *r)
{
	struct work *w = arg;
	struct vault_failure f = vault_judge(w->task.arena, r);

	if (is_sent_again(w, &f))
		return;
	f.uncertain = false; /* to revoke once more does no harm */
	if (f.class != ISSUER_OK)
		set_failure(w, &f);
	tell(w);
}

static void
vault_revoke(struct issuer *issuer, struct task *t, struct str serial,
    issuer_fn *fn, void *arg)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct work *w = new_work(v, t, fn, arg);
	struct arena *a = w->task.arena;
	struct json_writer *body = json_writer_new(a, 1024);
	struct str text;

	if (!write_serial(a, serial, &text)) {
		refuse(w, ISSUER_OTHER, "that is not the text of a serial");
		return;
	}
	json_open_object(body, NULL);
	json_str(body, "serial_number", text);
	json_close(body);
	w->body = json_text(body);
	w->path = str_printf(a, STR_FMT "/revoke", STR_ARG(v->mount));
	w->on_answer = on_revoked;
	send_work(w);
}

/* ---- testing */

/* "the token lives 3600 s more and can be renewed" */
static const char *
describe_token(struct arena *a, struct str body)
{
	const struct json *data = json_get(json_parse(a, body, NULL), "data");
	const struct json *ttl = json_get(data, "ttl");
	const struct json *renewable = json_get(data, "renewable");

	if (ttl == NULL || ttl->type != JSON_INT)
		return NULL;
	if (ttl->num == 0)
		return "it answers, and the token does not expire";
	return str_printf(a,
	    "it answers, and the token lives %lld s more and can%s be renewed",
	    (long long)ttl->num,
	    renewable != NULL && renewable->type == JSON_BOOL &&
		    renewable->num ?
		"" :
		"not")
	    .p;
}

static void
on_tested(void *arg, const struct fetch_result *r)
{
	struct work *w = arg;
	struct vault_failure f = vault_judge(w->task.arena, r);

	w->call = NULL;
	f.uncertain = false;
	if (f.class == ISSUER_OK) {
		w->result.found = describe_token(w->task.arena, r->body);
		if (w->result.found == NULL) {
			f.class = ISSUER_OTHER;
			f.text = "the answer about the token makes no sense";
		}
	}
	if (f.class != ISSUER_OK)
		set_failure(w, &f);
	tell(w);
}

static void
vault_test(struct issuer *issuer, struct task *t, issuer_fn *fn, void *arg)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct work *w = new_work(v, t, fn, arg);

	w->path = STR("auth/token/lookup-self");
	w->body = STR_NONE;
	w->on_answer = on_tested;
	send_work(w);
}

static const char *
vault_trouble(const struct issuer *issuer, struct arena *a)
{
	const struct vault *v = (const struct vault *)(const void *)issuer;

	return vault_token_trouble(v->token, a);
}

/* ---- start and stop */

static void
vault_start(struct issuer *issuer)
{
	struct vault *v = (struct vault *)(void *)issuer;

	v->stopped = false;
	vault_token_start(v->token);
}

static void
vault_stop(struct issuer *issuer)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct work *w;

	v->stopped = true;
	vault_token_stop(v->token);
	LIST_FOREACH(w, &v->works, entry)
		if (w->waiter.waits || w->searching ||
		    (w->call != NULL && !fetch_is_sent(w->call))) {
			vault_token_forget(&w->waiter);
			w->searching = false;
			task_detach(&w->task);
			w->call = NULL;
			refuse(w, ISSUER_NETWORK, "it has been stopped");
		}
}

static void
vault_free(struct issuer *issuer)
{
	struct vault *v = (struct vault *)(void *)issuer;
	struct work *w;

	while ((w = LIST_FIRST(&v->works)) != NULL) {
		vault_token_forget(&w->waiter);
		leave_vault(w);
		if (!w->wanted)
			free_work(w);
	}
	vault_token_free(v->token);
	free(v->seen);
	arena_destroy(v->arena);
}

static const struct issuer_ops vault_ops = {
	.type = "vault",
	.plans = false,
	.start = vault_start,
	.stop = vault_stop,
	.sign = vault_sign,
	.revoke = vault_revoke,
	.test = vault_test,
	.trouble = vault_trouble,
	.free = vault_free,
};

/* ---- options */

/* Parts of a path of Vault: no encoding is needed, none is done. */
static bool
is_path(struct str s, bool slashes)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z') && strchr("-_.", c) == NULL &&
		    !(c == '/' && slashes && i > 0 && i + 1 < s.n))
			return false;
	}
	return s.n > 0 && !str_starts(s, STR("."));
}

static const char *
set_client(struct vault *v, const struct issuer_vault_options *o)
{
	struct arena *a = v->arena;
	struct str base = str_dup(a, o->address);

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	v->client.fetch = o->fetch;
	v->client.base = str_printf(a, STR_FMT "/v1/", STR_ARG(base));
	v->client.namespace = str_dup(a, str_from(o->namespace));
	if (!str_starts(base, STR("https://")) &&
	    !str_starts(base, STR("http://")))
		return "the address of Vault must begin with https:// or "
		       "http://";
	if (v->client.namespace.n > 0 && !is_path(v->client.namespace, true))
		return "the namespace of Vault has a character that is not a "
		       "letter, a digit or one of -_./";
	if (o->ca_file == NULL)
		return NULL;
	return vault_read_cas(a, o->ca_file, &v->client.ca_pem);
}

static const char *
set_approle(struct vault *v, const struct issuer_vault_options *o,
    struct vault_token_options *token)
{
	struct arena *a = v->arena;
	struct str mount = str_from(
	    o->auth_mount != NULL ? o->auth_mount : "approle");

	if (!is_path(mount, true) || o->secret_id_file == NULL)
		return "AppRole needs a secret id file, and its mount is "
		       "letters, digits and -_./";
	v->approle.role_id = str_dup(a, str_from(o->role_id));
	v->approle.login = str_printf(a, "auth/" STR_FMT "/login",
	    STR_ARG(mount));
	token->approle = &v->approle;
	token->file = str_dup(a, str_from(o->secret_id_file)).p;
	return NULL;
}

static const char *
set_options(struct vault *v, const struct issuer_vault_options *o)
{
	struct arena *a = v->arena;
	struct vault_token_options token = { .name = v->issuer.name,
		.loop = o->loop,
		.client = &v->client,
		.file = str_dup(a, str_from(o->token_file)).p,
		.second = o->second > 0 ? o->second : WHEN_SECOND };
	const char *why;

	v->mount = str_dup(a, str_from(o->mount != NULL ? o->mount : "pki"));
	v->role = str_dup(a, str_from(o->role));
	v->ttl = o->ttl;
	v->backdate = o->backdate > 0 ? o->backdate : BACKDATE;
	v->timeout = token.timeout = o->timeout > 0 ? o->timeout : TIMEOUT;
	v->bounds = (struct issuer_bounds){
		.running_max = o->running_max > 0 ? o->running_max :
						    RUNNING_MAX,
		.queue_max = o->queue_max,
		.queue_wait = v->timeout,
		.failures_max = o->breaker_failures,
		.rest = o->breaker_rest,
	};
	if (!is_path(v->mount, true) || !is_path(v->role, false))
		return "the mount and the role of Vault are letters, digits "
		       "and -_. (the mount / too)";
	if (o->role_id != NULL && (why = set_approle(v, o, &token)) != NULL)
		return why;
	if (token.file == NULL || token.file[0] == '\0')
		return "a Vault issuer needs a token file";
	if ((why = set_client(v, o)) != NULL)
		return why;
	v->token = vault_token_new(&token, a, &why);
	return why;
}

struct issuer *
issuer_vault_new(const struct issuer_vault_options *o, struct arena *a,
    const char **why)
{
	struct arena *own = arena_create();
	struct vault *v = arena_new(own, struct vault);

	v->arena = own;
	v->loop = o->loop;
	v->stopped = true;
	strncpy(v->issuer.name, o->name, sizeof(v->issuer.name) - 1);
	LIST_INIT(&v->works);
	if ((*why = set_options(v, o)) != NULL) {
		*why = str_cstr(a, str_from(*why)); /* ours goes away */
		arena_destroy(own);
		return NULL;
	}
	issuer_init(&v->issuer, &vault_ops, o->name, o->loop, &v->bounds);
	return &v->issuer;
}

static bool
same_bounds(const struct issuer_bounds *a, const struct issuer_bounds *b)
{
	return a->running_max == b->running_max &&
	    a->queue_max == b->queue_max && a->queue_wait == b->queue_wait &&
	    a->failures_max == b->failures_max && a->rest == b->rest;
}

bool
issuer_vault_is_same(const struct issuer *one, const struct issuer *other)
{
	const struct vault *a = (const struct vault *)(const void *)one;
	const struct vault *b = (const struct vault *)(const void *)other;

	return str_eq(a->client.base, b->client.base) &&
	    str_eq(a->client.namespace, b->client.namespace) &&
	    str_eq(a->client.ca_pem, b->client.ca_pem) &&
	    str_eq(a->mount, b->mount) && str_eq(a->role, b->role) &&
	    str_eq(a->approle.role_id, b->approle.role_id) &&
	    str_eq(a->approle.login, b->approle.login) &&
	    strcmp(vault_token_path(a->token), vault_token_path(b->token)) ==
	    0 &&
	    a->ttl == b->ttl && a->backdate == b->backdate &&
	    a->timeout == b->timeout && same_bounds(&a->bounds, &b->bounds);
}
