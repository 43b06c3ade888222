/* SPDX-License-Identifier: ISC */
/* What a run found, as text for people. */
#include <stdio.h>
#include <string.h>

#include "bench/report.h"

static double
spent(const struct usage *from, const struct usage *to)
{
	return (double)(to->user - from->user + to->system - from->system);
}

static struct figures
compute(const struct bench *b)
{
	double usec = (double)(b->stats.end - b->stats.start);
	double units = (double)b->stats.done;
	struct figures f = { .seconds = usec > 0 ? usec / 1e6 : 0 };

	if (options_need_accounts(b->opt))
		f.accounts = b->opt->accounts;
	f.has_usage = b->has_usage && b->begun &&
	    b->after.user >= b->before.user &&
	    b->after.system >= b->before.system;
	if (usec <= 0 || b->stats.done == 0)
		return f;
	f.rate = units / f.seconds;
	f.server_user = (double)(b->after.user - b->before.user) / units;
	f.server_system = (double)(b->after.system - b->before.system) / units;
	f.server_share = spent(&b->before, &b->after) / usec;
	f.own_cpu = spent(&b->own_before, &b->own_after) / units;
	f.own_share = spent(&b->own_before, &b->own_after) / usec;
	return f;
}

static double
ms(uint64_t usec)
{
	return (double)usec / 1000;
}

static void
print_histogram(const char *name, const struct histogram *h)
{
	printf("%-22s %9llu %9.3f %9.3f %9.3f %9.3f %9.3f\n", name,
	    (unsigned long long)h->n, ms(histogram_at(h, 0.5)),
	    ms(histogram_at(h, 0.9)), ms(histogram_at(h, 0.99)),
	    ms(histogram_at(h, 0.999)), ms(h->max));
}

/* One line in a closed loop, in an open one two. */
static void
print_latency(const struct bench *b, const char *name, const struct latency *l)
{
	if (l->service.n == 0)
		return;
	if (b->opt->rate == 0) {
		print_histogram(name, &l->service);
		return;
	}
	print_histogram(name, &l->response);
	print_histogram("  once begun", &l->service);
}

static void
print_latencies(const struct bench *b)
{
	const struct stats *s = &b->stats;
	char name[64];

	printf("%-22s %9s %9s %9s %9s %9s %9s\n", "milliseconds", "count",
	    "p50", "p90", "p99", "p99.9", "max");
	for (size_t i = 0; i < REQUESTS; i++)
		print_latency(b, bench_request_name((enum bench_request)i),
		    &s->requests[i]);
	for (size_t i = 0; i < SCENARIO_UNITS; i++) {
		snprintf(name, sizeof(name), "unit %s",
		    bench_scenario_name((enum bench_scenario)i));
		print_latency(b, name, &s->units[i]);
	}
}

static void
print_tally(const char *what, const struct tally *t)
{
	for (size_t i = 0; i < t->nkinds; i++)
		printf("%-14s %9llu %s\n", what,
		    (unsigned long long)t->kinds[i].n, t->kinds[i].text);
	if (t->others > 0)
		printf("%-14s %9llu (others)\n", what,
		    (unsigned long long)t->others);
}

static void
print_usage(const struct bench *b, const struct figures *f)
{
	if (f->has_usage) {
		printf("server CPU     %9.1f us a unit (user %.1f, system "
		       "%.1f), %.0f %% of a core\n",
		    f->server_user + f->server_system, f->server_user,
		    f->server_system, f->server_share * 100);
		printf("server memory  %9.1f MB at 10 %%, %.1f MB at the end\n",
		    (double)b->warm.rss / 1024, (double)b->after.rss / 1024);
	}
	printf("client CPU     %9.1f us a unit, %.0f %% of a core\n",
	    f->own_cpu, f->own_share * 100);
}

/* A count that is told only if there is something to tell. */
static void
print_count(const char *what, uint64_t n, const char *meaning)
{
	if (n > 0)
		printf("%-14s %9llu %s\n", what, (unsigned long long)n,
		    meaning);
}

static void
print_text(const struct bench *b, const struct figures *f)
{
	const struct bench_options *o = b->opt;
	const struct stats *s = &b->stats;

	printf("%s, %zu connections (%u opened), %zu accounts, %s",
	    bench_scenario_name(o->scenario), o->connections, b->opened,
	    f->accounts, b->origin.tls ? "TLS" : "no TLS");
	if (o->rate > 0)
		printf(", %.3f due each second", (double)o->rate / 1000);
	printf("\nunits          %9llu done, %llu failed, %.3f s\n",
	    (unsigned long long)s->done, (unsigned long long)s->failed,
	    f->seconds);
	printf("rate           %9.1f a second\n", f->rate);
	print_usage(b, f);
	print_count("wrong", s->wrong, "answers: see the errors");
	print_count("unstarted", s->unstarted,
	    "were due, but no connection was free");
	print_count("abandoned", s->abandoned, "were under way at the end");
	print_count("made late", b->pool.late,
	    "keys or requests: the pool was too small");
	printf("badNonce       %9llu retried; polls %llu\n",
	    (unsigned long long)s->retried, (unsigned long long)s->polls);
	print_latencies(b);
	for (size_t i = 0; i < sizeof(s->status) / sizeof(s->status[0]); i++)
		if (s->status[i] > 0)
			printf("status %-7zu %9llu\n", i,
			    (unsigned long long)s->status[i]);
	print_tally("problem", &s->problems);
	print_tally("error", &s->errors);
	if (b->interrupted)
		puts("interrupted");
	if (b->fatal[0] != '\0')
		printf("given up: %s\n", b->fatal);
}

void
report_print(const struct bench *b)
{
	const struct figures f = compute(b);

	if (b->opt->json)
		report_print_json(b, &f);
	else if (b->begun)
		print_text(b, &f);
}
