/* SPDX-License-Identifier: ISC */
/* What a run found, as JSON for programs. */
#include <stdio.h>

#include "base/json.h"
#include "bench/report.h"

enum { REPORT_MAX = 1 << 20 };

static void
put_number(struct json_writer *w, struct arena *a, const char *name, double v)
{
	json_raw(w, name, str_printf(a, "%.3f", v));
}

static void
put_histogram(struct json_writer *w, const struct histogram *h)
{
	json_int(w, "mean_us", (int64_t)(h->n > 0 ? h->sum / h->n : 0));
	json_int(w, "p50_us", (int64_t)histogram_at(h, 0.5));
	json_int(w, "p90_us", (int64_t)histogram_at(h, 0.9));
	json_int(w, "p99_us", (int64_t)histogram_at(h, 0.99));
	json_int(w, "p999_us", (int64_t)histogram_at(h, 0.999));
	json_int(w, "max_us", (int64_t)h->max);
}

static void
put_latency(struct json_writer *w, const char *name, const struct latency *l)
{
	if (l->response.n == 0)
		return;
	json_open_object(w, name);
	json_int(w, "count", (int64_t)l->response.n);
	put_histogram(w, &l->response);
	json_open_object(w, "service");
	put_histogram(w, &l->service);
	json_close(w);
	json_close(w);
}

static void
put_latencies(struct json_writer *w, const struct stats *s)
{
	json_open_object(w, "requests");
	for (size_t i = 0; i < REQUESTS; i++)
		put_latency(w, bench_request_name((enum bench_request)i),
		    &s->requests[i]);
	json_close(w);
	json_open_object(w, "units");
	for (size_t i = 0; i < SCENARIO_UNITS; i++)
		put_latency(w, bench_scenario_name((enum bench_scenario)i),
		    &s->units[i]);
	json_close(w);
}

static void
put_tally(struct json_writer *w, const char *name, const struct tally *t)
{
	json_open_object(w, name);
	for (size_t i = 0; i < t->nkinds; i++)
		json_int(w, t->kinds[i].text, (int64_t)t->kinds[i].n);
	if (t->others > 0)
		json_int(w, "(others)", (int64_t)t->others);
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
put_usage(struct json_writer *w, const struct bench *b, const struct figures *f)
{
	if (f->has_usage) {
		json_open_object(w, "server");
		put_number(w, b->arena, "user_us", f->server_user);
		put_number(w, b->arena, "system_us", f->server_system);
		put_number(w, b->arena, "cpu_us",
		    f->server_user + f->server_system);
		put_number(w, b->arena, "share", f->server_share);
		json_int(w, "rss_warm_kib", b->warm.rss);
		json_int(w, "rss_end_kib", b->after.rss);
		json_close(w);
	}
	json_open_object(w, "client");
	put_number(w, b->arena, "cpu_us", f->own_cpu);
	put_number(w, b->arena, "share", f->own_share);
	json_close(w);
}

static void
put_counts(struct json_writer *w, const struct bench *b)
{
	const struct stats *s = &b->stats;

	json_int(w, "done", (int64_t)s->done);
	json_int(w, "failed", (int64_t)s->failed);
	json_int(w, "wrong", (int64_t)s->wrong);
	json_int(w, "unstarted", (int64_t)s->unstarted);
	json_int(w, "abandoned", (int64_t)s->abandoned);
	json_int(w, "made_late", (int64_t)b->pool.late);
	json_int(w, "bad_nonce_retries", (int64_t)s->retried);
	json_int(w, "polls", (int64_t)s->polls);
}

void
report_print_json(const struct bench *b, const struct figures *f)
{
	const struct bench_options *o = b->opt;
	struct json_writer *w = json_writer_new(b->arena, REPORT_MAX);
	struct str text;

	json_open_object(w, NULL);
	json_str(w, "scenario", str_from(bench_scenario_name(o->scenario)));
	json_bool(w, "tls", b->origin.tls);
	json_int(w, "connections", (int64_t)o->connections);
	json_int(w, "opened", b->opened);
	json_int(w, "accounts", (int64_t)f->accounts);
	if (o->rate > 0)
		put_number(w, b->arena, "rate_due", (double)o->rate / 1000);
	put_counts(w, b);
	put_number(w, b->arena, "seconds", f->seconds);
	put_number(w, b->arena, "rate", f->rate);
	put_usage(w, b, f);
	put_latencies(w, &b->stats);
	put_statuses(w, &b->stats);
	put_tally(w, "problems", &b->stats.problems);
	put_tally(w, "errors", &b->stats.errors);
	json_bool(w, "interrupted", b->interrupted);
	if (b->fatal[0] != '\0')
		json_str(w, "given_up", str_from(b->fatal));
	json_close(w);
	text = json_text(w);
	printf(STR_FMT "\n", STR_ARG(text));
}
