/* SPDX-License-Identifier: ISC */
/* Lookups on the loop, against a name server that says what it likes. */
#include "../unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/when.h"
#include "dns/dns.h"
#include "../turns.h"
#include "stub.h"

/* What every test has. */
struct world {
	struct arena *arena;
	struct loop *loop;
	struct stub *stub;
	struct dns *dns;
	struct task task;
};

/* What a callback was told. */
struct told {
	struct arena *arena;
	unsigned calls;
	enum dns_status status;
	const char *why;
	bool secure;
	size_t n, ncnames;
	struct str first, cname;
	struct addr addrs[DNS_ADDRS_MAX];
};

static void
on_answer(void *arg, const struct dns_answer *r)
{
	struct told *t = arg;

	t->calls++;
	t->status = r->status;
	t->why = r->why != NULL ? str_dup(t->arena, str_from(r->why)).p : NULL;
	t->secure = r->secure;
	t->n = r->n;
	t->ncnames = r->ncnames;
	if (r->n > 0)
		t->first = str_dup(t->arena, r->data[0]);
	if (r->ncnames > 0)
		t->cname = str_dup(t->arena, r->cnames[r->ncnames - 1]);
}

static void
on_addrs(void *arg, const struct dns_addrs *r)
{
	struct told *t = arg;

	t->calls++;
	t->status = r->status;
	t->why = r->why != NULL ? str_dup(t->arena, str_from(r->why)).p : NULL;
	t->secure = r->secure;
	t->n = r->n;
	memcpy(t->addrs, r->v, r->n * sizeof(t->addrs[0]));
}

static struct dns_options
options(struct world *w, struct dns_server *server)
{
	(void)addr_parse(STR("127.0.0.1"), &server->addr);
	server->port = stub_port(w->stub);
	return (struct dns_options){ .loop = w->loop,
		.mode = DNS_FORWARD,
		.forwarders = server,
		.nforwarders = 1 };
}

/* With other options than usual. */
static void
renew(struct world *w, const struct dns_options *o)
{
	const char *why = NULL;

	dns_free(w->dns);
	w->dns = dns_new(o, w->arena, &why);
	if (w->dns == NULL)
		fail_msg("%s", why);
}

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct dns_server server;
	struct dns_options o;

	w->arena = arena_create();
	w->loop = loop_new();
	w->stub = stub_new(w->loop, "127.0.0.1", 0);
	assert_non_null(w->stub);
	o = options(w, &server);
	renew(w, &o);
	task_init(&w->task);
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	task_end(&w->task);
	dns_free(w->dns);
	stub_free(w->stub);
	loop_free(w->loop);
	arena_destroy(w->arena);
	free(w);
	return 0;
}

static struct told
ask(struct world *w, const char *name, enum dns_type type)
{
	struct told t = { .arena = w->arena };

	dns_resolve(w->dns, &w->task, str_from(name), type, on_answer, &t);
	assert_int_equal(t.calls, 0);
	turn_until(w->loop, &t.calls, 1);
	assert_false(task_is_waiting(&w->task));
	return t;
}

static struct told
find(struct world *w, const char *host)
{
	struct told t = { .arena = w->arena };

	dns_lookup_addrs(w->dns, &w->task, str_from(host), on_addrs, &t);
	assert_int_equal(t.calls, 0);
	turn_until(w->loop, &t.calls, 1);
	assert_false(task_is_waiting(&w->task));
	return t;
}

/* ---- records */

static void
gives_addresses(void **state)
{
	struct world *w = *state;
	struct told t;

	stub_a(w->stub, "www.example", "192.0.2.1");
	stub_a(w->stub, "www.example", "2001:db8::1");
	t = ask(w, "www.example", DNS_A);
	assert_int_equal(t.status, DNS_OK);
	assert_int_equal(t.first.n, 4);
	assert_memory_equal(t.first.p, "\xc0\0\2\1", 4);
	t = ask(w, "www.example", DNS_AAAA);
	assert_int_equal(t.status, DNS_OK);
	assert_int_equal(t.first.n, 16);
}

static void
gives_txt_and_caa(void **state)
{
	struct world *w = *state;
	struct told t;

	stub_txt(w->stub, "_acme-challenge.example", "hello");
	stub_caa(w->stub, "example", "issue", "ca.example");
	t = ask(w, "_ACME-challenge.Example.", DNS_TXT);
	assert_int_equal(t.status, DNS_OK);
	assert_str(t.first, "\5hello");
	assert_false(t.secure);
	t = ask(w, "example", DNS_CAA);
	assert_int_equal(t.status, DNS_OK);
	assert_int_equal(t.first.n, 17);
}

static void
follows_cnames(void **state)
{
	struct world *w = *state;
	struct told t;

	stub_cname(w->stub, "a.example", "b.example");
	stub_cname(w->stub, "b.example", "c.test");
	stub_txt(w->stub, "c.test", "end");
	t = ask(w, "a.example", DNS_TXT);
	assert_int_equal(t.status, DNS_OK);
	assert_int_equal(t.ncnames, 2);
	assert_str(t.cname, "c.test");
	assert_str(t.first, "\3end");
}

static void
a_cname_loop_is_a_failure(void **state)
{
	struct world *w = *state;
	struct told t;

	stub_cname(w->stub, "a.example", "b.example");
	stub_cname(w->stub, "b.example", "a.example");
	t = ask(w, "a.example", DNS_TXT);
	assert_int_not_equal(t.status, DNS_OK);
	assert_int_equal(t.n, 0);
}

static void
tells_absence_from_failure(void **state)
{
	struct world *w = *state;

	stub_txt(w->stub, "www.example", "x");
	assert_int_equal(ask(w, "www.example", DNS_CAA).status, DNS_NO_DATA);
	assert_int_equal(ask(w, "no.example", DNS_TXT).status, DNS_NO_NAME);
	stub_set(w->stub, "sick.example", STUB_SERVFAIL);
	assert_int_equal(ask(w, "sick.example", DNS_TXT).status, DNS_FAILED);
	stub_set(w->stub, "shut.example", STUB_REFUSED);
	assert_int_equal(ask(w, "shut.example", DNS_TXT).status, DNS_FAILED);
}

/* platform.md 7: zones that the library answers for, unless told otherwise */
static void
private_names_are_asked_for(void **state)
{
	static const char *const names[] = { "host.test", "nas.home.arpa",
		"1.0.0.10.in-addr.arpa" };
	struct world *w = *state;

	for (size_t i = 0; i < 3; i++) {
		stub_txt(w->stub, names[i], "here");
		assert_int_equal(ask(w, names[i], DNS_TXT).status, DNS_OK);
		assert_int_equal(stub_asked(w->stub, names[i], DNS_TXT), 1);
	}
}

static void
bad_names_are_not_asked_for(void **state)
{
	struct world *w = *state;
	struct told t = ask(w, "a b", DNS_TXT);

	assert_int_equal(t.status, DNS_BAD_NAME);
	assert_non_null(t.why);
	assert_int_equal(ask(w, "", DNS_A).status, DNS_BAD_NAME);
	assert_int_equal(dns_running(w->dns), 0);
}

static void
a_truncated_answer_is_asked_for_over_tcp(void **state)
{
	struct world *w = *state;
	char text[1001];
	struct told t;

	memset(text, 'x', 1000);
	text[1000] = '\0';
	stub_txt(w->stub, "big.example", text + 600);
	stub_set(w->stub, "big.example", STUB_TRUNCATED);
	t = ask(w, "big.example", DNS_TXT);
	assert_int_equal(t.status, DNS_OK);
	assert_int_equal(t.first.n, 402);
	assert_int_equal(stub_asked_tcp(w->stub), 1);
}

static void
lies_and_garbage_are_failures(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);
	struct told t;

	o.deadline = WHEN_SECOND;
	renew(w, &o);
	stub_txt(w->stub, "cut.example", "x");
	stub_set(w->stub, "cut.example", STUB_CUT);
	t = ask(w, "cut.example", DNS_TXT);
	assert_int_not_equal(t.status, DNS_OK);
	assert_int_not_equal(t.status, DNS_NO_DATA);
	stub_set(w->stub, "junk.example", STUB_GARBAGE);
	t = ask(w, "junk.example", DNS_TXT);
	assert_true(t.status == DNS_FAILED || t.status == DNS_TIMEOUT);
	stub_txt(w->stub, "id.example", "x");
	stub_set(w->stub, "id.example", STUB_STRANGER);
	assert_int_equal(ask(w, "id.example", DNS_TXT).status, DNS_TIMEOUT);
}

/* ---- caching */

static void
nothing_is_cached_by_default(void **state)
{
	struct world *w = *state;

	stub_txt(w->stub, "c.example", "one");
	assert_str(ask(w, "c.example", DNS_TXT).first, "\3one");
	stub_clear(w->stub, "c.example");
	stub_txt(w->stub, "c.example", "two");
	turn_for(w->loop,
	    1100000); /* a TTL of 0 lasts to the end of the second */
	assert_str(ask(w, "c.example", DNS_TXT).first, "\3two");
}

static void
answers_are_cached_when_asked_for_but_absence_never(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);

	o.cache_ttl = WHEN_MINUTE;
	renew(w, &o);
	stub_txt(w->stub, "c.example", "one");
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ask(w, "c.example", DNS_TXT).status, DNS_OK);
		assert_int_equal(ask(w, "n.example", DNS_TXT).status,
		    DNS_NO_NAME);
		assert_int_equal(ask(w, "c.example", DNS_CAA).status,
		    DNS_NO_DATA);
		turn_for(w->loop, 1100000);
	}
	assert_int_equal(stub_asked(w->stub, "c.example", DNS_TXT), 1);
	assert_int_equal(stub_asked(w->stub, "n.example", DNS_TXT), 3);
	assert_int_equal(stub_asked(w->stub, "c.example", DNS_CAA), 3);
}

/* ---- waiting */

static void
lookups_of_the_same_name_are_one(void **state)
{
	struct world *w = *state;
	struct told t[3] = { { .arena = w->arena }, { .arena = w->arena },
		{ .arena = w->arena } };

	stub_txt(w->stub, "one.example", "x");
	for (size_t i = 0; i < 3; i++)
		dns_resolve(w->dns, &w->task, STR("one.example"), DNS_TXT,
		    on_answer, &t[i]);
	assert_int_equal(dns_running(w->dns), 1);
	for (size_t i = 0; i < 3; i++) {
		turn_until(w->loop, &t[i].calls, 1);
		assert_str(t[i].first, "\1x");
	}
	assert_int_equal(stub_asked(w->stub, "one.example", DNS_TXT), 1);
	assert_int_equal(dns_running(w->dns), 0);
}

struct killer {
	struct task *victim;
	unsigned calls;
};

static void
kill_victim(void *arg, const struct dns_answer *r)
{
	struct killer *k = arg;

	(void)r;
	k->calls++;
	task_end(k->victim);
}

static void
a_waiter_may_end_the_others(void **state)
{
	struct world *w = *state;
	struct task victim;
	struct killer k = { .victim = &victim };
	struct told t[2] = { { .arena = w->arena }, { .arena = w->arena } };

	task_init(&victim);
	stub_txt(w->stub, "one.example", "x");
	dns_resolve(w->dns, &w->task, STR("one.example"), DNS_TXT, kill_victim,
	    &k);
	dns_resolve(w->dns, &victim, STR("one.example"), DNS_TXT, on_answer,
	    &t[0]);
	dns_resolve(w->dns, &w->task, STR("one.example"), DNS_TXT, on_answer,
	    &t[1]);
	turn_until(w->loop, &t[1].calls, 1);
	assert_int_equal(k.calls, 1);
	assert_int_equal(t[0].calls, 0);
}

static void
a_task_that_ends_is_told_nothing(void **state)
{
	struct world *w = *state;
	struct task t;
	struct told told = { .arena = w->arena };

	task_init(&t);
	stub_txt(w->stub, "gone.example", "x");
	dns_resolve(w->dns, &t, STR("gone.example"), DNS_TXT, on_answer, &told);
	dns_lookup_addrs(w->dns, &t, STR("gone.example"), on_addrs, &told);
	dns_lookup_addrs(w->dns, &t, STR("192.0.2.1"), on_addrs, &told);
	dns_resolve(w->dns, &t, STR("no name"), DNS_TXT, on_answer, &told);
	task_end(&t);
	while (dns_running(w->dns) > 0)
		loop_turn(w->loop, LOOP_WAIT);
	turn_for(w->loop, 10000);
	assert_int_equal(told.calls, 0);
}

static void
each_caller_has_a_deadline_of_its_own(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);
	struct told first = { .arena = w->arena }, second = first;
	int64_t began = when_now();

	o.deadline = 200000;
	renew(w, &o);
	stub_set(w->stub, "mute.example", STUB_SILENT);
	dns_resolve(w->dns, &w->task, STR("mute.example"), DNS_TXT, on_answer,
	    &first);
	turn_for(w->loop, 120000);
	dns_resolve(w->dns, &w->task, STR("mute.example"), DNS_TXT, on_answer,
	    &second);
	assert_int_equal(dns_running(w->dns), 1);
	turn_until(w->loop, &first.calls, 1);
	assert_int_equal(first.status, DNS_TIMEOUT);
	assert_int_equal(second.calls, 0);
	turn_until(w->loop, &second.calls, 1);
	assert_int_equal(second.status, DNS_TIMEOUT);
	assert_true(when_now() - began >= 310000);
}

static void
too_many_lookups_are_refused_at_once(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);
	struct told t[5] = { { .calls = 0 } };
	char name[32];

	o.running_max = 4;
	o.deadline = 100000;
	renew(w, &o);
	stub_set_all(w->stub, STUB_SILENT);
	for (size_t i = 0; i < 5; i++) {
		t[i].arena = w->arena;
		snprintf(name, sizeof(name), "m%zu.example", i);
		dns_resolve(w->dns, &w->task, str_from(name), DNS_TXT,
		    on_answer, &t[i]);
	}
	turn_until(w->loop, &t[4].calls, 1);
	assert_int_equal(t[4].status, DNS_BUSY);
	/* joining one that is under way is not a new one */
	t[4].calls = 0;
	dns_resolve(w->dns, &w->task, STR("m0.example"), DNS_TXT, on_answer,
	    &t[4]);
	turn_until(w->loop, &t[3].calls, 1);
	turn_until(w->loop, &t[4].calls, 1);
	assert_int_equal(t[4].status, DNS_TIMEOUT);
	/* those that nobody waits for any more leave room, up to a bound */
	assert_int_equal(dns_running(w->dns), 4);
	for (size_t i = 5; i < 17; i++) {
		snprintf(name, sizeof(name), "m%zu.example", i);
		t[0].status = DNS_OK;
		t[0].calls = 0;
		dns_resolve(w->dns, &w->task, str_from(name), DNS_TXT,
		    on_answer, &t[0]);
		turn_until(w->loop, &t[0].calls, 1);
		assert_int_equal(t[0].status, DNS_TIMEOUT);
	}
	assert_int_equal(dns_running(w->dns), 16);
	t[0].calls = 0;
	dns_resolve(w->dns, &w->task, STR("m17.example"), DNS_TXT, on_answer,
	    &t[0]);
	turn_until(w->loop, &t[0].calls, 1);
	assert_int_equal(t[0].status, DNS_BUSY);
}

static void
silent_servers_do_not_hold_up_others(void **state)
{
	struct world *w = *state;
	struct told mute = { .arena = w->arena };
	char name[32];

	stub_txt(w->stub, "good.example", "x");
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "m%u.example", i);
		stub_set_all(w->stub, STUB_SILENT);
		dns_resolve(w->dns, &w->task, str_from(name), DNS_TXT,
		    on_answer, &mute);
	}
	stub_set(w->stub, "good.example", STUB_HONEST);
	dns_resolve(w->dns, &w->task, STR("good.example"), DNS_TXT, on_answer,
	    &mute);
	/* the first to hear anything: before the others give up */
	turn_until(w->loop, &mute.calls, 1);
	assert_int_equal(mute.status, DNS_OK);
}

static void
a_server_that_comes_back_is_heard(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);
	char name[32];
	unsigned i = 0;

	o.deadline = WHEN_SECOND;
	renew(w, &o);
	stub_set_all(w->stub, STUB_SILENT);
	while (i++ < 3) {
		snprintf(name, sizeof(name), "d%u.example", i);
		assert_int_equal(ask(w, name, DNS_TXT).status, DNS_TIMEOUT);
	}
	stub_set_all(w->stub, STUB_HONEST);
	stub_txt(w->stub, "back.example", "x");
	assert_int_equal(ask(w, "back.example", DNS_TXT).status, DNS_OK);
}

/* ---- DNSSEC */

/* A resolver that trusts the key of the zone "sec.test". */
static void
trust(struct world *w, const char *insecure)
{
	struct dns_server server;
	struct dns_options o = options(w, &server);
	const char *zones[] = { insecure, NULL };
	char path[] = "/tmp/certloop-anchor-XXXXXX";
	int fd = mkstemp(path);
	struct str line = stub_sign(w->stub, w->arena, "sec.test");

	assert_int_equal(write(fd, line.p, line.n), line.n);
	close(fd);
	o.trust_anchors = path;
	o.insecure_zones = zones;
	renew(w, &o);
	unlink(path);
}

static void
what_is_signed_is_secure(void **state)
{
	struct world *w = *state;
	struct told t;

	trust(w, NULL);
	stub_txt(w->stub, "a.sec.test", "signed");
	stub_txt(w->stub, "other.test", "plain");
	t = ask(w, "a.sec.test", DNS_TXT);
	assert_int_equal(t.status, DNS_OK);
	assert_true(t.secure);
	t = ask(w, "a.sec.test", DNS_CAA); /* proven not to be there */
	assert_int_equal(t.status, DNS_NO_DATA);
	assert_true(t.secure);
	t = ask(w, "other.test", DNS_TXT);
	assert_int_equal(t.status, DNS_OK);
	assert_false(t.secure);
}

static void
what_is_forged_is_bogus(void **state)
{
	static const enum stub_mode modes[] = { STUB_UNSIGNED,
		STUB_BAD_SIGNATURE, STUB_EXPIRED };
	struct world *w = *state;
	struct told t;

	trust(w, NULL);
	for (size_t i = 0; i < 3; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%zu.sec.test", i);
		stub_txt(w->stub, name, "forged");
		stub_set(w->stub, name, modes[i]);
		t = ask(w, name, DNS_TXT);
		assert_int_equal(t.status, DNS_BOGUS);
		assert_non_null(strstr(t.why, "DNSSEC"));
		assert_int_equal(t.n, 0);
		/* an absence nobody vouches for is not an absence */
		t = ask(w, name, DNS_CAA);
		assert_true(t.status == DNS_BOGUS || t.status == DNS_FAILED);
		/* of a name whose addresses are forged there are none */
		stub_a(w->stub, name, "192.0.2.1");
		t = find(w, name);
		assert_true(t.status == DNS_BOGUS || t.status == DNS_FAILED);
		assert_int_equal(t.n, 0);
	}
}

static void
a_zone_can_be_left_out_of_validation(void **state)
{
	struct world *w = *state;
	struct told t;

	trust(w, "f.sec.test");
	stub_txt(w->stub, "f.sec.test", "forged");
	stub_set(w->stub, "f.sec.test", STUB_BAD_SIGNATURE);
	t = ask(w, "f.sec.test", DNS_TXT);
	assert_int_equal(t.status, DNS_OK);
	assert_false(t.secure);
}

/* ---- addresses */

static void
a_host_has_the_addresses_of_both_families(void **state)
{
	struct world *w = *state;
	struct told t;

	stub_a(w->stub, "www.example", "192.0.2.1");
	stub_a(w->stub, "www.example", "192.0.2.2");
	stub_a(w->stub, "www.example", "2001:db8::1");
	t = find(w, "WWW.example");
	assert_int_equal(t.status, DNS_OK);
	assert_int_equal(t.n, 3);
	assert_str(addr_text(w->arena, t.addrs[0]), "2001:db8::1");
	assert_int_equal(t.addrs[1].len, 4);
	/* one family may fail */
	stub_a(w->stub, "v4.example", "192.0.2.3");
	t = find(w, "v4.example");
	assert_int_equal(t.status, DNS_OK);
	assert_int_equal(t.n, 1);
	t = find(w, "none.example");
	assert_int_equal(t.status, DNS_NO_NAME);
	stub_txt(w->stub, "text.example", "x");
	assert_int_equal(find(w, "text.example").status, DNS_NO_DATA);
	stub_set(w->stub, "sick.example", STUB_SERVFAIL);
	assert_int_equal(find(w, "sick.example").status, DNS_FAILED);
	assert_int_equal(find(w, "no name").status, DNS_BAD_NAME);
}

static void
literals_and_localhost_are_known_here(void **state)
{
	static const struct {
		const char *host, *text;
		unsigned n;
	} known[] = { { "192.0.2.1", "192.0.2.1", 1 },
		{ "2001:DB8::1", "2001:db8::1", 1 },
		{ "[2001:db8::1]", "2001:db8::1", 1 },
		{ "::ffff:192.0.2.1", "192.0.2.1", 1 },
		{ "localhost", "::1", 2 }, { "LOCALHOST.", "::1", 2 },
		{ "a.localhost", "::1", 2 } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct told t = find(w, known[i].host);

		assert_int_equal(t.status, DNS_OK);
		assert_int_equal(t.n, known[i].n);
		assert_str(addr_text(w->arena, t.addrs[0]), known[i].text);
	}
	assert_int_equal(find(w, "[192.0.2.1]").status, DNS_BAD_NAME);
	assert_int_equal(find(w, "[::1").status, DNS_BAD_NAME);
	assert_int_equal(find(w, "fe80::1%lo").status, DNS_BAD_NAME);
}

static void
the_hosts_file_comes_first_and_can_change(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);
	char path[] = "/tmp/certloop-hosts-XXXXXX";
	int fd = mkstemp(path);

	assert_int_equal(write(fd, "192.0.2.9 db.example\n", 21), 21);
	o.hosts = path;
	renew(w, &o);
	stub_a(w->stub, "db.example", "192.0.2.1");
	assert_int_equal(find(w, "DB.example").addrs[0].bytes[3], 9);
	assert_int_equal(stub_asked(w->stub, "db.example", DNS_A), 0);
	assert_int_equal(pwrite(fd, "192.0.2.8", 9, 0), 9);
	assert_int_equal(find(w, "db.example").addrs[0].bytes[3], 9);
	assert_true(dns_reload_hosts(w->dns));
	assert_int_equal(find(w, "db.example").addrs[0].bytes[3], 8);
	unlink(path);
	close(fd);
	assert_false(dns_reload_hosts(w->dns));
	assert_int_equal(find(w, "db.example").addrs[0].bytes[3], 8);
}

/* ---- the house */

static void
options_that_will_not_do_are_refused(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);
	const char *why = NULL;

	o.nforwarders = 0;
	assert_null(dns_new(&o, w->arena, &why));
	assert_non_null(strstr(why, "forwarders"));
	o = options(w, &server);
	o.trust_anchors = "/nonexistent/root.key";
	assert_null(dns_new(&o, w->arena, &why));
	assert_non_null(strstr(why, "/nonexistent/root.key"));
	o = (struct dns_options){ .loop = w->loop,
		.mode = DNS_RECURSE,
		.root_hints = "/nonexistent/root.hints" };
	assert_null(dns_new(&o, w->arena, &why));
	assert_non_null(strstr(why, "/nonexistent/root.hints"));
}

static void
resolvers_may_go_at_any_moment(void **state)
{
	struct world *w = *state;
	struct dns_server server;
	struct dns_options o = options(w, &server);
	struct told t = { .arena = w->arena };

	stub_set(w->stub, "mute.example", STUB_SILENT);
	stub_txt(w->stub, "good.example", "x");
	for (unsigned turns = 0; turns < 6; turns++) {
		renew(w, &o);
		dns_resolve(w->dns, &w->task, STR("mute.example"), DNS_TXT,
		    on_answer, &t);
		dns_resolve(w->dns, &w->task, STR("good.example"), DNS_TXT,
		    on_answer, &t);
		dns_resolve(w->dns, &w->task, STR("no name"), DNS_TXT,
		    on_answer, &t);
		dns_lookup_addrs(w->dns, &w->task, STR("mute.example"),
		    on_addrs, &t);
		dns_lookup_addrs(w->dns, &w->task, STR("::1"), on_addrs, &t);
		for (unsigned i = 0; i < turns; i++)
			loop_turn(w->loop, LOOP_POLL);
		/* the caller's tasks go first, as everywhere */
		task_end(&w->task);
		task_init(&w->task);
	}
}

static void
a_recursion_starts_at_the_root(void **state)
{
	struct world *w = *state;
	struct stub *root = stub_new(w->loop, "127.53.53.53", 53);
	char path[] = "/tmp/certloop-root-XXXXXX";
	int fd = mkstemp(path);
	static const char hints[] = ". 300 IN NS ns.root.\n"
				    "ns.root. 300 IN A 127.53.53.53\n";
	struct dns_options o = { .loop = w->loop,
		.mode = DNS_RECURSE,
		.root_hints = path,
		.loopback_servers = true };
	struct told t;

	assert_int_equal(write(fd, hints, sizeof(hints) - 1),
	    sizeof(hints) - 1);
	close(fd);
	if (root == NULL) {
		unlink(path);
		skip(); /* port 53 is not for everybody */
	}
	stub_rr(root, "", 2, str_make("\2ns\4root\0", 9));
	stub_a(root, "ns.root", "127.53.53.53");
	stub_txt(root, "deep.down.example", "found");
	renew(w, &o);
	unlink(path);
	t = ask(w, "deep.down.example", DNS_TXT);
	assert_int_equal(t.status, DNS_OK);
	assert_str(t.first, "\5found");
	assert_int_equal(ask(w, "not.down.example", DNS_TXT).status,
	    DNS_NO_NAME);
	task_end(&w->task);
	task_init(&w->task);
	dns_free(w->dns);
	w->dns = NULL;
	stub_free(root);
}

static void
no_thread_is_started(void **state)
{
	struct world *w = *state;
	DIR *d;
	unsigned n = 0;

	stub_txt(w->stub, "good.example", "x");
	ask(w, "good.example", DNS_TXT);
	d = opendir("/proc/self/task");
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_addresses),
		TEST(gives_txt_and_caa),
		TEST(follows_cnames),
		TEST(a_cname_loop_is_a_failure),
		TEST(tells_absence_from_failure),
		TEST(private_names_are_asked_for),
		TEST(bad_names_are_not_asked_for),
		TEST(a_truncated_answer_is_asked_for_over_tcp),
		TEST(lies_and_garbage_are_failures),
		TEST(nothing_is_cached_by_default),
		TEST(answers_are_cached_when_asked_for_but_absence_never),
		TEST(lookups_of_the_same_name_are_one),
		TEST(a_waiter_may_end_the_others),
		TEST(a_task_that_ends_is_told_nothing),
		TEST(each_caller_has_a_deadline_of_its_own),
		TEST(too_many_lookups_are_refused_at_once),
		TEST(silent_servers_do_not_hold_up_others),
		TEST(a_server_that_comes_back_is_heard),
		TEST(what_is_signed_is_secure),
		TEST(what_is_forged_is_bogus),
		TEST(a_zone_can_be_left_out_of_validation),
		TEST(a_host_has_the_addresses_of_both_families),
		TEST(literals_and_localhost_are_known_here),
		TEST(the_hosts_file_comes_first_and_can_change),
		TEST(options_that_will_not_do_are_refused),
		TEST(resolvers_may_go_at_any_moment),
		TEST(a_recursion_starts_at_the_root),
		TEST(no_thread_is_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
