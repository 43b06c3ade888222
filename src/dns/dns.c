/* SPDX-License-Identifier: ISC */
/*
 * Lookups. A lookup belongs to this file from its start until the library
 * has answered; those who want its answer wait on its list.
 *
 *	RUNNING		the library owes an answer
 *	ANSWERED	there is one; the waiters hear it from the top of the
 *			loop, then the lookup goes away
 *
 * A lookup that is answered is found by nobody any more, so whoever asks
 * afterwards asks anew. One whose waiters have all gone runs on, and may be
 * joined.
 */
#include "dns/dns_int.h"

#include <stdlib.h>
#include <unbound.h>
#include <unbound-event.h>

#include "base/fault.h"
#include "base/when.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
	RUNNING_MAX = 256,
	ABANDONED_FACTOR = 4, /* lookups in all for each that may be wanted */
	WHY_MAX = 300,
};
#define DEADLINE (10 * WHEN_SECOND)

enum lookup_state { LOOKUP_RUNNING, LOOKUP_ANSWERED };

TAILQ_HEAD(waiter_list, waiter);
LIST_HEAD(lookup_list, lookup);

struct dns {
	struct loop *loop;
	struct ub_ctx *ub;
	struct lookup_list running, answered;
	unsigned nrunning, nwanted; /* wanted: somebody waits */
	unsigned running_max;
	int64_t deadline;
	char *hosts_path; /* NULL: none */
	struct hosts *hosts;
};

struct lookup {
	LIST_ENTRY(lookup) entry;
	struct dns *dns;
	struct arena *arena; /* holds this struct and the answer */
	enum lookup_state state;
	int id; /* of the library */
	struct str name;
	enum dns_type type;
	struct waiter_list waiters;
	struct deferred tell;
	struct dns_answer answer;
};

struct waiter {
	struct op op;
	TAILQ_ENTRY(waiter) entry;
	struct lookup *lookup;
	struct timer deadline;
	dns_fn *fn;
	void *arg;
};

static void tell_waiters(void *);

const char *
dns_status_name(enum dns_status status)
{
	static const char *const names[] = {
		[DNS_OK] = "ok",
		[DNS_NO_DATA] = "no_data",
		[DNS_NO_NAME] = "no_name",
		[DNS_BOGUS] = "bogus",
		[DNS_FAILED] = "failed",
		[DNS_TIMEOUT] = "timeout",
		[DNS_BUSY] = "busy",
		[DNS_BAD_NAME] = "bad_name",
	};

	return names[status];
}

/* ---- lookups */

static struct lookup *
new_lookup(struct dns *dns, struct str name, enum dns_type type)
{
	struct arena *a = arena_create();
	struct lookup *l = arena_new(a, struct lookup);

	l->dns = dns;
	l->arena = a;
	l->name = str_dup(a, name);
	l->type = type;
	TAILQ_INIT(&l->waiters);
	deferred_init(&l->tell, tell_waiters, l);
	LIST_INSERT_HEAD(&dns->running, l, entry);
	dns->nrunning++;
	return l;
}

/* The answer is there: nobody may join any more, all who wait will hear it. */
static void
finish_lookup(struct lookup *l)
{
	struct dns *dns = l->dns;

	l->state = LOOKUP_ANSWERED;
	LIST_REMOVE(l, entry);
	LIST_INSERT_HEAD(&dns->answered, l, entry);
	dns->nrunning--;
	if (!TAILQ_EMPTY(&l->waiters))
		dns->nwanted--;
	loop_defer(dns->loop, &l->tell);
}

static void
refuse_lookup(struct lookup *l, enum dns_status status, const char *why)
{
	l->answer = (struct dns_answer){ .status = status, .why = why };
	finish_lookup(l);
}

static void
free_lookup(struct lookup *l)
{
	LIST_REMOVE(l, entry);
	loop_undefer(l->dns->loop, &l->tell);
	arena_destroy(l->arena);
}

static struct lookup *
find_lookup(struct dns *dns, struct str name, enum dns_type type)
{
	struct lookup *l;

	LIST_FOREACH(l, &dns->running, entry)
		if (l->type == type && str_eq(l->name, name))
			return l;
	return NULL;
}

/* ---- waiters */

static void
drop_waiter(struct waiter *w)
{
	struct lookup *l = w->lookup;

	timer_stop(&w->deadline);
	TAILQ_REMOVE(&l->waiters, w, entry);
	if (TAILQ_EMPTY(&l->waiters) && l->state == LOOKUP_RUNNING)
		l->dns->nwanted--;
}

static void
detach(struct op *op)
{
	struct waiter *w = (struct waiter *)(void *)op;

	drop_waiter(w);
	free(w);
}

static void
tell_waiter(struct waiter *w, const struct dns_answer *answer)
{
	metrics_count(FAMILY_dns_lookups, dns_status_name(answer->status));
	drop_waiter(w);
	op_done(&w->op);
	w->fn(w->arg, answer);
	free(w);
}

static void
tell_waiters(void *arg)
{
	struct lookup *l = arg;
	struct waiter *w;

	while ((w = TAILQ_FIRST(&l->waiters)) != NULL)
		tell_waiter(w, &l->answer);
	free_lookup(l);
}

static void
on_deadline(void *arg)
{
	static const struct dns_answer late = { .status = DNS_TIMEOUT,
		.why = "no answer in time" };

	tell_waiter(arg, &late);
}

static void
add_waiter(struct lookup *l, struct task *t, dns_fn *fn, void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->op.detach = detach;
	w->lookup = l;
	w->fn = fn;
	w->arg = arg;
	if (TAILQ_EMPTY(&l->waiters) && l->state == LOOKUP_RUNNING)
		l->dns->nwanted++;
	TAILQ_INSERT_TAIL(&l->waiters, w, entry);
	timer_init(&w->deadline, l->dns->loop, on_deadline, w);
	if (l->state == LOOKUP_RUNNING)
		timer_start(&w->deadline, l->dns->deadline);
	task_wait(t, &w->op);
}

/* ---- the library */

/*
 * May be called inside ub_resolve_event. The packet means nothing if rcode is
 * not 0; but 0 does not mean that the packet's own rcode is.
 */
static void
on_packet(void *arg, int rcode, void *packet, int len, int sec, char *why,
    int ratelimited)
{
	struct lookup *l = arg;
	struct dns_answer *r = &l->answer;

	(void)ratelimited;
	if (rcode != 0 || packet == NULL || len < 0) {
		r->status = DNS_FAILED;
		r->rcode = rcode > 0 ? (unsigned)rcode : 2;
		r->why = "the servers failed to answer (SERVFAIL)";
	} else {
		dns_read_packet(l->arena, str_make(packet, (size_t)len),
		    l->name, l->type, r);
	}
	r->secure = sec == 2;
	if (sec == 1) {
		r->status = DNS_BOGUS;
		r->why = str_printf(l->arena, "DNSSEC validation failed: %s",
		    why != NULL ? str_show(l->arena, str_from(why), WHY_MAX).p :
				  "the answer is bogus")
			     .p;
		r->n = r->ncnames = 0;
	}
	finish_lookup(l);
}

static void
start_lookup(struct lookup *l)
{
	int e;

	if (FAILS("failing-dns-servfail")) {
		on_packet(l, 2, NULL, 0, 0, NULL, 0);
		return;
	}
	if (FAILS("failing-dns-timeout")) {
		refuse_lookup(l, DNS_TIMEOUT, "no answer in time");
		return;
	}
	e = ub_resolve_event(l->dns->ub, l->name.p, (int)l->type, DNS_CLASS_IN,
	    l, on_packet, &l->id);
	if (e != 0 && l->state == LOOKUP_RUNNING)
		refuse_lookup(l, DNS_FAILED,
		    str_dup(l->arena, str_from(ub_strerror(e))).p);
}

static bool
is_full(const struct dns *dns)
{
	return dns->nwanted >= dns->running_max ||
	    dns->nrunning >= dns->running_max * ABANDONED_FACTOR;
}

void
dns_resolve(struct dns *dns, struct task *t, struct str name,
    enum dns_type type, dns_fn *fn, void *arg)
{
	struct arena *a = arena_create();
	struct str clean = dns_clean_name(a, name);
	struct lookup *l = NULL;
	bool full = is_full(dns);

	if (clean.p != NULL)
		l = find_lookup(dns, clean, type);
	if (l != NULL) {
		add_waiter(l, t, fn, arg);
		arena_destroy(a);
		return;
	}
	l = new_lookup(dns, clean, type);
	arena_destroy(a);
	add_waiter(l, t, fn, arg);
	if (l->name.n == 0)
		refuse_lookup(l, DNS_BAD_NAME, "it is not a host name");
	else if (full)
		refuse_lookup(l, DNS_BUSY, "too many DNS lookups under way");
	else
		start_lookup(l);
}

/* ---- names */

static bool
is_label_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_';
}

struct str
dns_clean_name(struct arena *a, struct str name)
{
	struct str s = str_lower(a, name), rest, label;

	if (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n > DNS_NAME_MAX)
		return STR_NONE;
	for (rest = s; rest.p < s.p + s.n;) {
		label = str_cut(&rest, '.');
		if (label.n == 0 || label.n > 63)
			return STR_NONE;
		for (size_t i = 0; i < label.n; i++)
			if (!is_label_byte(label.p[i]))
				return STR_NONE;
		if (rest.n == 0 && label.p + label.n < s.p + s.n)
			return STR_NONE; /* an empty label at the end */
	}
	return str_dup(a, s);
}

/* ---- all of it */

static const char *
set_up(struct dns *dns, const struct dns_options *o, struct arena *a)
{
	const char *why = dns_library_open(o,
	    (int64_t)dns->running_max * ABANDONED_FACTOR, a, &dns->ub);

	if (why != NULL || o->hosts == NULL)
		return why;
	dns->hosts_path = strdup(o->hosts);
	if (!dns_reload_hosts(dns))
		log_warn("the hosts file cannot be read",
		    LOG_TEXT("path", o->hosts));
	return NULL;
}

struct dns *
dns_new(const struct dns_options *o, struct arena *a, const char **why)
{
	struct dns *dns = calloc(1, sizeof(*dns));

	if (dns == NULL)
		abort();
	dns->loop = o->loop;
	dns->running_max = o->running_max > 0 ? o->running_max : RUNNING_MAX;
	dns->deadline = o->deadline > 0 ? o->deadline : DEADLINE;
	LIST_INIT(&dns->running);
	LIST_INIT(&dns->answered);
	if ((*why = set_up(dns, o, a)) != NULL) {
		dns_free(dns);
		return NULL;
	}
	return dns;
}

/* Free the lookups of a list; those who wait are told nothing. */
static void
clear_list(struct lookup_list *list)
{
	struct lookup *l;
	struct waiter *w;

	while ((l = LIST_FIRST(list)) != NULL) {
		while ((w = TAILQ_FIRST(&l->waiters)) != NULL) {
			op_done(&w->op);
			detach(&w->op);
		}
		free_lookup(l);
	}
}

void
dns_free(struct dns *dns)
{
	struct lookup *l;

	if (dns == NULL)
		return;
	LIST_FOREACH(l, &dns->running, entry)
		(void)ub_cancel(dns->ub, l->id);
	if (dns->ub != NULL)
		ub_ctx_delete(dns->ub);
	clear_list(&dns->running);
	clear_list(&dns->answered);
	hosts_free(dns->hosts);
	free(dns->hosts_path);
	free(dns);
}

bool
dns_reload_hosts(struct dns *dns)
{
	struct hosts *h;

	if (dns->hosts_path == NULL)
		return true;
	if ((h = hosts_load(dns->hosts_path)) == NULL)
		return false;
	hosts_free(dns->hosts);
	dns->hosts = h;
	return true;
}

unsigned
dns_running(const struct dns *dns)
{
	return dns->nrunning;
}

struct loop *
dns_loop(struct dns *dns)
{
	return dns->loop;
}

const struct hosts *
dns_hosts(const struct dns *dns)
{
	return dns->hosts;
}
