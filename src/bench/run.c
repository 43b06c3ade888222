/* SPDX-License-Identifier: ISC */
/*
 * A run from its beginning to its end: phases, the handing out of units, the
 * clock, and a line a second on a terminal.
 *
 * A phase with units ends when each flow has asked for one and got none: so
 * whatever was begun is ended, and counted, before the next phase begins.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/b64url.h"
#include "bench/flow.h"

static void begin_phase(struct bench *, enum bench_phase);

static void
take_usage(const struct bench *b, struct usage *servers, struct usage *own)
{
	if (b->has_usage)
		usage_sum(b->opt->pids, b->opt->npids, servers);
	if (own != NULL)
		usage_own(own);
}

/* The clock stops; loop_run returns at the end of this turn. */
static void
end_run(struct bench *b)
{
	struct stats *s = &b->stats;

	if (b->phase == PHASE_END)
		return;
	if (b->phase == PHASE_RUN) {
		take_usage(b, &b->after, &b->own_after);
		for (size_t i = 0; i < b->opt->connections; i++)
			if (b->flows[i]->working)
				s->abandoned++;
		if (s->abandoned > 0 || s->end == 0)
			s->end = stats_now();
		if (b->opt->rate > 0)
			s->unstarted = b->schedule.total - b->next;
	}
	b->phase = PHASE_END;
	loop_stop(b->loop);
}

void
bench_give_up(struct bench *b, enum unit_end end, const char *doing,
    struct str why)
{
	if (b->phase == PHASE_END)
		return;
	if (end == UNIT_WRONG)
		b->stats.wrong++;
	b->exit = BENCH_UNREACHABLE;
	snprintf(b->fatal, sizeof(b->fatal), "%s: " STR_FMT, doing,
	    STR_ARG(str_show(b->arena, why, 400)));
	end_run(b);
}

void
bench_has_directory(struct bench *b)
{
	b->phase = PHASE_PREPARE;
	for (size_t i = 0; i < b->opt->connections; i++)
		flow_prepare(b->flows[i]);
}

void
bench_is_ready(struct bench *b)
{
	if (b->phase == PHASE_PREPARE && ++b->ready == b->opt->connections)
		loop_defer(b->loop, &b->turn);
}

/* ---- units */

/* The next unit that is due wakes a flow that is idle. */
static void
arm(struct bench *b)
{
	if (b->nidle > 0 && schedule_has(&b->schedule, b->next, 0))
		timer_start(&b->due,
		    schedule_at(&b->schedule, b->next) - stats_now());
}

static void
wake_idle(void *arg)
{
	struct bench *b = arg;
	struct flow *f;

	while ((f = TAILQ_FIRST(&b->idle)) != NULL &&
	    schedule_has(&b->schedule, b->next, 0) &&
	    schedule_at(&b->schedule, b->next) <= stats_now()) {
		TAILQ_REMOVE(&b->idle, f, entry);
		b->nidle--;
		flow_work(f);
	}
	arm(b);
}

static void
park(struct bench *b)
{
	b->parked++;
	if (b->parked + b->nidle == b->opt->connections)
		loop_defer(b->loop, &b->turn);
}

bool
bench_take_unit(struct bench *b, struct flow *f, struct unit *u)
{
	int64_t now = stats_now(), due = now;

	if (b->phase != PHASE_WARM && b->phase != PHASE_RUN)
		return false;
	if (!schedule_has(&b->schedule, b->next, now)) {
		park(b);
		return false;
	}
	if (b->opt->rate > 0)
		due = schedule_at(&b->schedule, b->next);
	if (due > now) {
		TAILQ_INSERT_TAIL(&b->idle, f, entry);
		b->nidle++;
		arm(b);
		return false;
	}
	*u = (struct unit){
		.kind = mix_next(&b->mix),
		.i = b->next++,
		.due = due,
		.began = now,
		.counts = b->phase == PHASE_RUN,
	};
	return true;
}

static bool
is_tenth(const struct bench *b)
{
	const struct schedule *s = &b->schedule;

	if (s->total > 0)
		return b->stats.done >= s->total / 10;
	return b->stats.end - s->start >= s->duration / 10;
}

static void
count_done(struct bench *b, const struct unit *u)
{
	struct stats *s = &b->stats;

	if (!u->counts)
		return;
	s->done++;
	s->end = stats_now();
	latency_add(&s->units[u->kind], u->due, u->began, s->end);
	if (!b->is_warm && is_tenth(b)) {
		b->is_warm = true;
		take_usage(b, &b->warm, NULL);
	}
}

/* Of the warm-up only what was wrong counts. */
static void
count_failed(struct bench *b, const struct unit *u, enum unit_end end,
    const char *doing, struct str why)
{
	struct stats *s = &b->stats;
	char text[STATS_TEXT_MAX];
	int n;

	if (!u->counts && end != UNIT_WRONG)
		return;
	n = snprintf(text, sizeof(text), "%s: " STR_FMT, doing, STR_ARG(why));
	if (n >= (int)sizeof(text))
		n = (int)sizeof(text) - 1;
	tally_add(&s->errors, str_make(text, (size_t)n));
	s->failed++;
	if (end == UNIT_WRONG)
		s->wrong++;
	s->end = stats_now();
}

void
bench_end_unit(struct bench *b, const struct unit *u, enum unit_end end,
    const char *doing, struct str why)
{
	const size_t max = b->opt->max_failures;

	if (b->phase == PHASE_END)
		return;
	if (end == UNIT_DONE) {
		count_done(b, u);
		return;
	}
	count_failed(b, u, end, doing, why);
	if (++b->lost == max)
		bench_give_up(b, UNIT_FAILED, "run", STR("too many failures"));
}

/* ---- progress */

static void
show_progress(void *arg)
{
	struct bench *b = arg;
	int64_t now = stats_now();
	uint64_t done = b->stats.done;
	struct usage u = { .rss = 0 };

	take_usage(b, &u, NULL);
	fprintf(stderr, "\r\033[K%s%llu done, %.0f/s, %llu failed",
	    b->phase == PHASE_WARM ? "warm-up: " : "", (unsigned long long)done,
	    (double)(done - b->shown_done) * 1e6 / (double)(now - b->shown),
	    (unsigned long long)b->stats.failed);
	if (u.rss > 0)
		fprintf(stderr, ", servers %.1f MB", (double)u.rss / 1024);
	b->shown = now;
	b->shown_done = done;
	timer_start(&b->progress, 1000000);
}

/* ---- phases */

/* Nobody may keep a phase from its end. */
static void
start_cut(struct bench *b)
{
	const struct bench_options *o = b->opt;
	const struct schedule *s = &b->schedule;

	timer_stop(&b->over);
	if (o->rate > 0)
		timer_start(&b->over,
		    schedule_at(s, s->total) - s->start + o->timeout);
	else if (s->duration > 0)
		timer_start(&b->over,
		    s->duration + o->unit_timeout + o->timeout);
}

static void
cut_off(void *arg)
{
	struct bench *b = arg;

	if (b->phase == PHASE_RUN)
		end_run(b);
	else
		bench_give_up(b, UNIT_FAILED, "warm-up",
		    STR("no end of it in time"));
}

static void
begin_phase(struct bench *b, enum bench_phase phase)
{
	const struct bench_options *o = b->opt;
	bool warm = phase == PHASE_WARM;

	b->phase = phase;
	b->parked = b->nidle = 0;
	TAILQ_INIT(&b->idle);
	b->next = 0;
	b->mix = (struct mix){ .weights = o->weights };
	schedule_init(&b->schedule, o->rate, warm ? 0 : o->count,
	    warm ? o->warm_up : o->duration);
	if (!warm) {
		b->begun = true;
		take_usage(b, &b->before, &b->own_before);
		b->warm = b->before;
	}
	b->schedule.start = b->shown = stats_now();
	if (!warm)
		b->stats.start = b->schedule.start;
	start_cut(b);
	if (isatty(STDERR_FILENO))
		timer_start(&b->progress, 1000000);
	for (size_t i = 0; i < o->connections && b->phase == phase; i++)
		flow_work(b->flows[i]);
}

static void
turn_phase(void *arg)
{
	struct bench *b = arg;

	if (b->phase == PHASE_PREPARE && b->opt->warm_up > 0)
		begin_phase(b, PHASE_WARM);
	else if (b->phase == PHASE_PREPARE || b->phase == PHASE_WARM)
		begin_phase(b, PHASE_RUN);
	else
		end_run(b);
}

static void
interrupted(void *arg)
{
	struct bench *b = arg;

	b->interrupted = true;
	if (!b->begun)
		snprintf(b->fatal, sizeof(b->fatal), "interrupted");
	end_run(b);
}

/* ---- before, and after */

static bool __attribute__((format(printf, 3, 4)))
refuse(struct bench *b, enum bench_exit code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->fatal, sizeof(b->fatal), fmt, ap);
	va_end(ap);
	b->exit = code;
	return false;
}

static bool
read_binding(struct bench *b)
{
	const struct bench_options *o = b->opt;
	char text[1024] = "";
	struct str rest;
	FILE *f;
	bool ok;

	if (o->eab_kid == NULL)
		return true;
	f = fopen(o->eab_key_file, "re");
	ok = f != NULL && fgets(text, sizeof(text), f) != NULL;
	if (f != NULL)
		(void)fclose(f);
	rest = str_from(text);
	b->binding.kid = str_from(o->eab_kid);
	ok = ok &&
	    b64url_decode(b->arena, str_trim(str_cut(&rest, '\n')),
		&b->binding.key) &&
	    b->binding.key.n > 0;
	OPENSSL_cleanse(text, sizeof(text));
	return ok ||
	    refuse(b, BENCH_USAGE, "%s: there is no key in base64url in it",
		o->eab_key_file);
}

static bool
find_processes(struct bench *b)
{
	const struct bench_options *o = b->opt;
	struct usage u;

	for (size_t i = 0; i < o->npids; i++)
		if (!usage_of(o->pids[i], &u))
			return refuse(b, BENCH_USAGE,
			    "there is no process %ld to watch",
			    (long)o->pids[i]);
	b->has_usage = o->npids > 0;
	return true;
}

/* What must be there before anything is sent. False: b->fatal says why. */
static bool
set_up(struct bench *b)
{
	const struct bench_options *o = b->opt;
	const struct origin_options to = {
		.ca_file = o->ca_file,
		.insecure = o->insecure,
		.connect = o->connect,
		.nconnect = o->nconnect,
	};
	struct str path;
	const char *why;
	bool refused;

	why = origin_open(b->arena, str_from(o->url), &to, &b->origin, &path,
	    &refused);
	if (why != NULL)
		return refuse(b, refused ? BENCH_USAGE : BENCH_UNREACHABLE,
		    "%s", why);
	b->origin.sources = o->addresses;
	b->verifier = verifier_new(b->arena, o->root_file, &why);
	if (b->verifier == NULL)
		return refuse(b, BENCH_USAGE, "%s: %s", o->root_file, why);
	if (!read_binding(b) || !find_processes(b))
		return false;
	pool_make(b->arena, o, &b->pool);
	why = options_are_ocsp(o) ? asks_read(b->arena, o, &b->pool) : NULL;
	return why == NULL || refuse(b, BENCH_USAGE, "%s", why);
}

static bool
start_responder(struct bench *b)
{
	const char *why = NULL;

	if (b->opt->http_01 == NULL)
		return true;
	b->responder = responder_new(b, b->opt->http_01, b->arena, &why);
	return b->responder != NULL ||
	    refuse(b, BENCH_USAGE, "--http-01: %s", why);
}

static void
work(struct bench *b)
{
	const size_t n = b->opt->connections;
	struct loop_signal *term, *intr;

	intr = loop_signal_new(b->loop, SIGINT, interrupted, b);
	term = loop_signal_new(b->loop, SIGTERM, interrupted, b);
	timer_init(&b->progress, b->loop, show_progress, b);
	timer_init(&b->due, b->loop, wake_idle, b);
	timer_init(&b->over, b->loop, cut_off, b);
	deferred_init(&b->turn, turn_phase, b);
	for (size_t i = 0; i < n; i++)
		b->flows[i] = flow_new(b, i);
	flow_fetch_directory(b->flows[0]);
	if (b->phase != PHASE_END) /* else it was given up before it began */
		loop_run(b->loop);
	timer_stop(&b->progress);
	timer_stop(&b->due);
	timer_stop(&b->over);
	loop_undefer(b->loop, &b->turn);
	for (size_t i = 0; i < n; i++) {
		b->opened += conn_opened(b->flows[i]->conn);
		flow_free(b->flows[i]);
	}
	loop_signal_free(intr);
	loop_signal_free(term);
	if (b->shown_done > 0)
		fprintf(stderr, "\n");
}

/* The signatures that were put off. */
static void
finish_checks(struct bench *b)
{
	struct stats *s = &b->stats;
	size_t bad = verifier_finish(b->verifier);

	for (size_t i = 0; i < bad; i++)
		tally_add(&s->errors,
		    STR("certificate: a signature is not the issuer's"));
	s->wrong += bad;
	s->failed += bad;
	s->done -= bad < s->done ? bad : s->done;
}

void
bench_run(struct arena *a, struct bench *b, const struct bench_options *o)
{
	*b = (struct bench){ .opt = o, .arena = a };
	if (set_up(b)) {
		if ((b->loop = loop_new()) == NULL)
			abort();
		b->flows = arena_array(a, struct flow *, o->connections);
		if (start_responder(b))
			work(b);
		responder_free(b->responder);
		loop_free(b->loop);
		finish_checks(b);
	}
	SSL_CTX_free(b->origin.ctx);
}

enum bench_exit
bench_judge(const struct bench *b)
{
	const struct stats *s = &b->stats;

	if (s->wrong > 0)
		return BENCH_WRONG;
	if (b->interrupted)
		return BENCH_INTERRUPTED;
	if (!b->begun)
		return b->exit;
	if (s->failed > 0 || s->unstarted > 0 || s->abandoned > 0 ||
	    b->fatal[0] != '\0')
		return BENCH_FAILED;
	return BENCH_OK;
}
