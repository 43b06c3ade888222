/* SPDX-License-Identifier: ISC */
/* What a run found, as text for people and as JSON for programs. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "load.h"

/* Figures that both forms show. */
struct figures {
	double seconds, rate;
	double server_user, server_system; /* microseconds a unit */
	double own_cpu;                    /* the same, of this process */
	double server_share, own_share;    /* of a processor */
};

static double
spent(const struct usage *from, const struct usage *to)
{
	return (double)(to->user - from->user + to->system - from->system);
}

static struct figures
compute(const struct load *l)
{
	double usec = (double)(l->stats.end - l->stats.start);
	double units = (double)l->stats.done;
	struct figures f = { .seconds = usec / 1e6 };

	if (usec <= 0 || l->stats.done == 0)
		return f;
	f.rate = units / f.seconds;
	f.server_user = (double)(l->after.user - l->before.user) / units;
	f.server_system = (double)(l->after.system - l->before.system) / units;
	f.server_share = spent(&l->before, &l->after) / usec;
	f.own_cpu = spent(&l->own_before, &l->own_after) / units;
	f.own_share = spent(&l->own_before, &l->own_after) / usec;
	return f;
}

/* ---- text */

static double
ms(uint64_t usec)
{
	return (double)usec / 1000;
}

static void
print_latencies(const struct stats *s)
{
	printf("%-14s %9s %9s %9s %9s %9s  ms\n", "request", "count", "p50",
	    "p90", "p99", "max");
	for (size_t i = 0; i < LOAD_REQUESTS; i++) {
		const struct histogram *h = &s->latency[i];

		if (h->n > 0)
			printf("%-14s %9llu %9.3f %9.3f %9.3f %9.3f\n",
			    load_request_name((enum load_request)i),
			    (unsigned long long)h->n, ms(histogram_at(h, 0.5)),
			    ms(histogram_at(h, 0.9)), ms(histogram_at(h, 0.99)),
			    ms(h->max));
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
print_usage(const struct load *l, const struct figures *f)
{
	if (l->has_usage) {
		printf("server CPU     %9.1f us a unit (user %.1f, system "
		       "%.1f), %.0f %% of a core\n",
		    f->server_user + f->server_system, f->server_user,
		    f->server_system, f->server_share * 100);
		printf("server memory  %9.1f MB at 10 %%, %.1f MB at the end\n",
		    (double)l->warm.rss / 1024, (double)l->after.rss / 1024);
	}
	printf("client CPU     %9.1f us a unit, %.0f %% of a core\n",
	    f->own_cpu, f->own_share * 100);
}

static void
print_text(const struct load *l)
{
	const struct load_options *o = l->opt;
	const struct figures f = compute(l);
	const struct stats *s = &l->stats;

	printf("%s, %zu connections (%u opened), %zu accounts, %s\n",
	    load_scenario_name(o->scenario), o->connections, l->opened,
	    load_is_signed(o->scenario) ? o->accounts : (size_t)0,
	    l->origin.tls ? "TLS" : "no TLS");
	printf("units          %9llu done, %llu failed, %.3f s\n",
	    (unsigned long long)s->done, (unsigned long long)s->failed,
	    f.seconds);
	printf("rate           %9.1f a second\n", f.rate);
	print_usage(l, &f);
	printf("badNonce       %9llu retried; polls %llu\n",
	    (unsigned long long)s->retried, (unsigned long long)s->polls);
	print_latencies(s);
	for (size_t i = 0; i < sizeof(s->status) / sizeof(s->status[0]); i++)
		if (s->status[i] > 0)
			printf("status %-7zu %9llu\n", i,
			    (unsigned long long)s->status[i]);
	print_tally("problem", &s->problems);
	print_tally("error", &s->errors);
	if (l->fatal[0] != '\0')
		printf("given up: %s\n", l->fatal);
}

/* ---- JSON */

static void
put_number(struct json_writer *w, struct arena *a, const char *name, double v)
{
	json_raw(w, name, str_printf(a, "%.3f", v));
}

static void
put_latencies(struct json_writer *w, const struct stats *s)
{
	json_open_object(w, "requests");
	for (size_t i = 0; i < LOAD_REQUESTS; i++) {
		const struct histogram *h = &s->latency[i];

		if (h->n == 0)
			continue;
		json_open_object(w, load_request_name((enum load_request)i));
		json_int(w, "count", (int64_t)h->n);
		json_int(w, "mean_us", (int64_t)(h->sum / h->n));
		json_int(w, "p50_us", (int64_t)histogram_at(h, 0.5));
		json_int(w, "p90_us", (int64_t)histogram_at(h, 0.9));
		json_int(w, "p99_us", (int64_t)histogram_at(h, 0.99));
		json_int(w, "max_us", (int64_t)h->max);
		json_close(w);
	}
	json_close(w);
}

static void
put_tally(struct json_writer *w, const char *name, const struct tally *t)
{
	json_open_object(w, name);
	for (size_t i = 0; i < t->nkinds; i++)
		json_int(w, t->kinds[i].text, (int64_t)t->kinds[i].n);
	if (t->others > 0)
		json_int(w, "others", (int64_t)t->others);
	json_close(w);
}

static void
put_statuses(struct json_writer *w, const struct stats *s)
{
	char name[16];

	json_open_object(w, "statuses");
	for (size_t i = 0; i < sizeof(s->status) / sizeof(s->status[0]); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		if (s->status[i] > 0)
			json_int(w, name, (int64_t)s->status[i]);
	}
	json_close(w);
}

static void
put_usage(struct json_writer *w, const struct load *l, const struct figures *f)
{
	if (l->has_usage) {
		json_open_object(w, "server");
		put_number(w, l->arena, "user_us", f->server_user);
		put_number(w, l->arena, "system_us", f->server_system);
		put_number(w, l->arena, "cpu_us",
		    f->server_user + f->server_system);
		put_number(w, l->arena, "share", f->server_share);
		json_int(w, "rss_warm_kib", l->warm.rss);
		json_int(w, "rss_end_kib", l->after.rss);
		json_close(w);
	}
	json_open_object(w, "client");
	put_number(w, l->arena, "cpu_us", f->own_cpu);
	put_number(w, l->arena, "share", f->own_share);
	json_close(w);
}

static void
print_json(const struct load *l)
{
	const struct figures f = compute(l);
	const struct load_options *o = l->opt;
	struct json_writer *w = json_writer_new(l->arena, 1 << 20);
	struct str text;

	json_open_object(w, NULL);
	json_str(w, "scenario", str_from(load_scenario_name(o->scenario)));
	json_bool(w, "tls", l->origin.tls);
	json_int(w, "connections", (int64_t)o->connections);
	json_int(w, "opened", l->opened);
	json_int(w, "accounts",
	    load_is_signed(o->scenario) ? (int64_t)o->accounts : 0);
	json_int(w, "done", (int64_t)l->stats.done);
	json_int(w, "failed", (int64_t)l->stats.failed);
	json_int(w, "bad_nonce_retries", (int64_t)l->stats.retried);
	json_int(w, "polls", (int64_t)l->stats.polls);
	put_number(w, l->arena, "seconds", f.seconds);
	put_number(w, l->arena, "rate", f.rate);
	put_usage(w, l, &f);
	put_latencies(w, &l->stats);
	put_statuses(w, &l->stats);
	put_tally(w, "problems", &l->stats.problems);
	put_tally(w, "errors", &l->stats.errors);
	if (l->fatal[0] != '\0')
		json_str(w, "given_up", str_from(l->fatal));
	json_close(w);
	text = json_text(w);
	printf(STR_FMT "\n", STR_ARG(text));
}

void
load_report(const struct load *l)
{
	if (l->opt->json)
		print_json(l);
	else if (l->stats.start > 0)
		print_text(l);
}
