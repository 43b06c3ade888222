/* SPDX-License-Identifier: ISC */
/*
 * The addresses of a host: what is known here, then A and AAAA at once.
 *
 *	start	a literal, localhost, the hosts file: answered at once
 *	 or	two lookups, on a task of their own
 *	answer	when both are done
 */
#include "dns/dns_int.h"

#include <stdlib.h>

struct search {
	struct op op;     /* on the caller's task */
	struct task task; /* its arena holds this struct */
	struct dns *dns;
	struct deferred tell;
	dns_addrs_fn *fn;
	void *arg;
	struct half {
		struct search *search;
		bool done;
		struct dns_answer answer; /* of which the records are ours */
		struct str data[DNS_ADDRS_MAX];
	} v6, v4;
	struct dns_addrs result;
	struct addr v[DNS_ADDRS_MAX];
};

static void
end_search(struct search *s)
{
	loop_undefer(dns_loop(s->dns), &s->tell);
	task_end(&s->task);
}

static void
detach(struct op *op)
{
	end_search((struct search *)(void *)op);
}

static void
tell(void *arg)
{
	struct search *s = arg;

	s->result.v = s->v;
	op_done(&s->op);
	s->fn(s->arg, &s->result);
	end_search(s);
}

/* ---- what both lookups gave */

static void
add_addrs(struct search *s, const struct half *h, size_t len)
{
	for (size_t i = 0; i < h->answer.n && s->result.n < DNS_ADDRS_MAX; i++)
		if (h->data[i].n == len)
			s->v[s->result.n++] = addr_from_bytes(h->data[i].p,
			    len);
}

/* The half that says what is wrong: the worse one. */
static const struct dns_answer *
worse(const struct dns_answer *a, const struct dns_answer *b)
{
	static const enum dns_status order[] = { DNS_BOGUS, DNS_FAILED,
		DNS_TIMEOUT, DNS_BUSY, DNS_BAD_NAME, DNS_NO_DATA, DNS_NO_NAME };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (a->status == order[i])
			return a;
		if (b->status == order[i])
			return b;
	}
	return a;
}

static void
judge(struct search *s)
{
	const struct dns_answer *bad = worse(&s->v6.answer, &s->v4.answer);

	s->result.secure = s->v6.answer.secure && s->v4.answer.secure;
	if (bad->status != DNS_BOGUS) {
		add_addrs(s, &s->v6, 16);
		add_addrs(s, &s->v4, 4);
	}
	if (s->result.n > 0)
		return;
	s->result.status = bad->status;
	s->result.why = bad->why;
	if (bad->status == DNS_OK) {
		s->result.status = DNS_FAILED;
		s->result.why = "the address records are malformed";
	} else if (bad->status == DNS_NO_DATA) {
		s->result.why = "the name has no address";
	}
}

static void
on_records(void *arg, const struct dns_answer *answer)
{
	struct half *h = arg;
	struct search *s = h->search;
	struct arena *a = s->task.arena;

	h->done = true;
	h->answer = *answer;
	if (answer->why != NULL)
		h->answer.why = str_dup(a, str_from(answer->why)).p;
	if (h->answer.n > DNS_ADDRS_MAX)
		h->answer.n = DNS_ADDRS_MAX;
	for (size_t i = 0; i < h->answer.n; i++)
		h->data[i] = str_dup(a, answer->data[i]);
	if (s->v6.done && s->v4.done) {
		judge(s);
		tell(s);
	}
}

/* ---- what is known here */

static bool
read_literal(struct str host, struct addr *out)
{
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		return addr_parse(str_make(host.p + 1, host.n - 2), out) &&
		    str_find(host, ':') < host.n;
	return addr_parse(host, out);
}

static size_t
find_localhost(struct addr *v)
{
	(void)addr_parse(STR("::1"), &v[0]);
	(void)addr_parse(STR("127.0.0.1"), &v[1]);
	return 2;
}

/* Is it known without asking? Then the result is complete. */
static bool
is_known(struct search *s, struct str host, struct str *name)
{
	if (read_literal(host, &s->v[0])) {
		s->result.n = 1;
		return true;
	}
	*name = dns_clean_name(s->task.arena, host);
	if (name->p == NULL) {
		s->result.status = DNS_BAD_NAME;
		s->result.why = "it is not a host name";
		return true;
	}
	if (str_is(*name, "localhost") || str_ends(*name, STR(".localhost")))
		s->result.n = find_localhost(s->v);
	else
		s->result.n = hosts_find(dns_hosts(s->dns), *name, s->v,
		    DNS_ADDRS_MAX);
	return s->result.n > 0;
}

void
dns_lookup_addrs(struct dns *dns, struct task *t, struct str host,
    dns_addrs_fn *fn, void *arg)
{
	struct arena *a = arena_create();
	struct search *s = arena_new(a, struct search);
	struct str name;

	task_init_in(&s->task, a);
	s->dns = dns;
	s->fn = fn;
	s->arg = arg;
	s->v6.search = s->v4.search = s;
	s->op.detach = detach;
	deferred_init(&s->tell, tell, s);
	task_wait(t, &s->op);
	if (is_known(s, host, &name)) {
		loop_defer(dns_loop(dns), &s->tell);
		return;
	}
	dns_resolve(dns, &s->task, name, DNS_AAAA, on_records, &s->v6);
	dns_resolve(dns, &s->task, name, DNS_A, on_records, &s->v4);
}
