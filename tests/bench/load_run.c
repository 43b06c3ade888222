/* SPDX-License-Identifier: ISC */
/*
 * A run from its beginning to its end: phases, the handing out of work, the
 * clock, and a line a second on a terminal.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "load.h"

static void show_progress(void *);
static void interrupted(void *);

static void
take_usage(const struct load *l, struct usage *server, struct usage *own)
{
	if (l->has_usage)
		usage_of(l->opt->pid, server);
	if (own != NULL)
		usage_own(own);
}

/* The clock stops; loop_run returns at the end of this turn. */
static void
end_run(struct load *l)
{
	if (l->phase == PHASE_RUN) {
		l->stats.end = stats_now();
		take_usage(l, &l->after, &l->own_after);
	}
	l->phase = PHASE_END;
	loop_stop(l->loop);
}

void
load_give_up(struct load *l, const char *doing, struct str why)
{
	if (l->phase == PHASE_END)
		return;
	snprintf(l->fatal, sizeof(l->fatal), "%s: " STR_FMT, doing,
	    STR_ARG(why));
	end_run(l);
}

void
load_has_directory(struct load *l)
{
	l->phase = PHASE_ACCOUNTS;
	for (size_t i = 0; i < l->opt->connections; i++)
		flow_prepare(l->flows[i]);
}

void
load_is_ready(struct load *l)
{
	if (l->phase != PHASE_ACCOUNTS || ++l->ready < l->opt->connections)
		return;
	l->phase = PHASE_RUN;
	take_usage(l, &l->before, &l->own_before);
	l->stats.start = l->shown = stats_now();
	if (isatty(STDERR_FILENO))
		timer_start(&l->progress, 1000000);
	for (size_t i = 0; i < l->opt->connections; i++)
		flow_work(l->flows[i]);
}

bool
load_take_job(struct load *l, size_t *job)
{
	if (l->phase != PHASE_RUN || l->next == l->opt->orders)
		return false;
	*job = l->next++;
	return true;
}

static void
check_end(struct load *l)
{
	if (l->stats.done + l->stats.failed == l->opt->orders)
		end_run(l);
}

void
load_unit_done(struct load *l)
{
	if (l->phase != PHASE_RUN)
		return;
	l->stats.done++;
	if (!l->is_warm && l->stats.done >= l->opt->orders / 10) {
		l->is_warm = true;
		take_usage(l, &l->warm, NULL);
	}
	check_end(l);
}

void
load_unit_failed(struct load *l, const char *doing, struct str why)
{
	char text[STATS_TEXT_MAX];
	int n;

	if (l->phase != PHASE_RUN)
		return;
	n = snprintf(text, sizeof(text), "%s: " STR_FMT, doing, STR_ARG(why));
	if (n >= (int)sizeof(text))
		n = (int)sizeof(text) - 1;
	tally_add(&l->stats.errors, str_make(text, (size_t)n));
	l->stats.failed++;
	if (l->stats.failed >= LOAD_ERRORS_MAX)
		load_give_up(l, "run", STR("too many errors"));
	else
		check_end(l);
}

static void
show_progress(void *arg)
{
	struct load *l = arg;
	int64_t now = stats_now();
	uint64_t done = l->stats.done;
	struct usage u = { .rss = 0 };

	take_usage(l, &u, NULL);
	fprintf(stderr, "\r\033[K%llu of %zu, %.0f/s, %llu failed",
	    (unsigned long long)done, l->opt->orders,
	    (double)(done - l->shown_done) * 1e6 / (double)(now - l->shown),
	    (unsigned long long)l->stats.failed);
	if (u.rss > 0)
		fprintf(stderr, ", server %.1f MB", (double)u.rss / 1024);
	l->shown = now;
	l->shown_done = done;
	timer_start(&l->progress, 1000000);
}

static void
interrupted(void *arg)
{
	load_give_up(arg, "run", STR("interrupted"));
}

/* What must be there before anything is sent. False: l->fatal says why. */
static bool
set_up(struct load *l)
{
	const struct load_options *o = l->opt;
	const char *why;

	why = origin_open(l->arena, str_from(o->url), o->ca_file, &l->origin,
	    &l->path);
	if (why != NULL) {
		snprintf(l->fatal, sizeof(l->fatal), "%s", why);
		return false;
	}
	l->origin.addresses = o->addresses;
	l->verifier = verifier_new(l->arena, o->root_file, &why);
	if (l->verifier == NULL) {
		snprintf(l->fatal, sizeof(l->fatal), "%s: %s", o->root_file,
		    why);
		return false;
	}
	l->has_usage = o->pid != 0 && usage_of(o->pid, &l->before);
	if (o->pid != 0 && !l->has_usage) {
		snprintf(l->fatal, sizeof(l->fatal),
		    "there is no process %ld to watch", (long)o->pid);
		return false;
	}
	pool_make(l->arena, o, &l->pool);
	why = load_is_ocsp(o->scenario) ? asks_read(l->arena, o, &l->pool) :
					  NULL;
	if (why != NULL)
		snprintf(l->fatal, sizeof(l->fatal), "%s", why);
	return why == NULL;
}

static void
run_loop(struct load *l)
{
	const size_t n = l->opt->connections;
	struct loop_signal *term, *intr;

	l->loop = loop_new();
	if (l->loop == NULL)
		abort();
	intr = loop_signal_new(l->loop, SIGINT, interrupted, l);
	term = loop_signal_new(l->loop, SIGTERM, interrupted, l);
	timer_init(&l->progress, l->loop, show_progress, l);
	l->flows = arena_array(l->arena, struct flow *, n);
	for (size_t i = 0; i < n; i++)
		l->flows[i] = flow_new(l, i);
	flow_fetch_directory(l->flows[0]);
	loop_run(l->loop);
	timer_stop(&l->progress);
	for (size_t i = 0; i < n; i++) {
		l->opened += flow_opened(l->flows[i]);
		flow_free(l->flows[i]);
	}
	loop_signal_free(intr);
	loop_signal_free(term);
	loop_free(l->loop);
	if (l->shown_done > 0)
		fprintf(stderr, "\n");
}

void
load_run(struct arena *a, struct load *l, const struct load_options *o)
{
	size_t bad;

	*l = (struct load){ .opt = o, .arena = a };
	if (!set_up(l))
		return;
	run_loop(l);
	if ((bad = verifier_finish(l->verifier)) > 0) {
		tally_add(&l->stats.errors,
		    STR("certificate: a signature is not the issuer's"));
		l->stats.failed += bad;
		l->stats.done -= bad;
	}
	SSL_CTX_free(l->origin.ctx);
}
