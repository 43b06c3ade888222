/* SPDX-License-Identifier: ISC */
/*
 * What is done to many certificates: how many they are, then, if --yes is
 * given, one bounded request after the other, with a bar on a terminal. What
 * was done stays done, so the same command again does what is left.
 */
#include "ctl/ctl.h"

#include <time.h>
#include <unistd.h>

enum {
	NAMED_STEP = 100, /* the daemon's bound */
	TRIES = 10,       /* while the daemon is too busy */
	UNFIT_SHOWN = 20,
	BAR_WIDTH = 30,
	REQUEST_MAX = 32768,
};

struct bulk {
	struct ctl *ctl;
	const struct bulk_kind *kind;
	const char *filters; /* "?name=value&..." or "" */
	const struct bulk_named *named;
	struct arena *arena; /* of the newest answer */
	uint64_t count, done, unfit, unknown;
	bool bar; /* one is drawn */
};

/* ---- a request */

static struct str
write_body(struct bulk *k, const struct str *names, size_t n)
{
	struct json_writer *w = json_writer_new(k->arena, REQUEST_MAX);

	json_open_object(w, NULL);
	if (n > 0) {
		json_open_array(w, "certificates");
		for (size_t i = 0; i < n; i++)
			json_str(w, NULL, names[i]);
		json_close(w);
	}
	if (k->kind->write_more != NULL)
		k->kind->write_more(k->ctl, w);
	json_close(w);
	return json_text(w);
}

/* The daemon that is busy is asked again, for a while. */
static enum ctl_exit
request(struct bulk *k, const char *path, struct str body,
    const struct json **out)
{
	struct timespec second = { .tv_sec = 1 };
	struct reply r = { 0 };
	enum ctl_exit code;

	for (int i = 0; i < TRIES && r.status != 200; i++) {
		if (i > 0 && r.status != 503)
			break;
		if (i > 0)
			(void)nanosleep(&second, NULL);
		code = ctl_request(k->ctl, "POST", path, body, &r);
		if (code != CTL_OK)
			return code;
	}
	*out = json_parse(k->arena, r.body, NULL);
	if (r.status != 200)
		return ctl_refused(&r, *out);
	if (*out != NULL)
		return CTL_OK;
	fputs("certloopctl: the answer of certloopd is no JSON\n", stderr);
	return CTL_UNREACHABLE;
}

/* ---- what is to be seen meanwhile */

static void
draw_bar(struct bulk *k)
{
	uint64_t of = k->count > 0 ? k->count : 1;
	int full = (int)(k->done * BAR_WIDTH / of);

	if (k->ctl->json || !isatty(STDERR_FILENO))
		return;
	full = full > BAR_WIDTH ? BAR_WIDTH : full;
	k->bar = true;
	fprintf(stderr, "\r[%.*s%*s] %llu of %llu ", full,
	    "##############################", BAR_WIDTH - full, "",
	    (unsigned long long)k->done, (unsigned long long)k->count);
	(void)fflush(stderr);
}

static void
wipe_bar(struct bulk *k)
{
	if (k->bar)
		fprintf(stderr, "\r%*s\r", BAR_WIDTH + 50, "");
	k->bar = false;
}

/* Those that are named and not fit; told once, while they are counted. */
static void
tell_unfit(struct bulk *k, const struct json *answer)
{
	json_each(it, json_get(answer, "unfit")) {
		struct str why = json_get_str(it, "why");

		if (str_is(why, "unknown")) {
			why = STR("no such certificate");
			k->unknown++;
		}
		if (k->unfit++ >= UNFIT_SHOWN)
			continue;
		fprintf(stderr, "certloopctl: " STR_FMT ": %s" STR_FMT "\n",
		    STR_ARG(
			text_clean(k->arena, json_get_str(it, "certificate"))),
		    str_is(why, "unknown") ? "no such certificate, " : "",
		    STR_ARG(text_clean(k->arena, why)));
	}
}

/* ---- one pass over all of them */

enum pass { COUNT, ACT };

static enum ctl_exit
take_answer(struct bulk *k, enum pass pass, const struct json *j)
{
	const struct json *n = json_get(j, "count");

	if (n == NULL || n->type != JSON_INT || n->num < 0) {
		fputs("certloopctl: certloopd did not say how many\n", stderr);
		return CTL_UNREACHABLE;
	}
	if (pass == COUNT) {
		k->count += (uint64_t)n->num;
		tell_unfit(k, j);
	} else {
		k->done += (uint64_t)n->num;
		draw_bar(k);
	}
	return CTL_OK;
}

static struct str
write_path(struct bulk *k, struct arena *a, enum pass pass, const char *cursor)
{
	const char *name = k->kind->name;
	struct str path = str_printf(a, "/api/v1/certificates/%s%s",
	    pass == COUNT ? "count" : name, k->filters);
	char sep = k->filters[0] != '\0' ? '&' : '?';

	if (pass == COUNT) {
		path = str_printf(a, STR_FMT "%cfor=%s", STR_ARG(path), sep,
		    name);
		sep = '&';
	}
	if (cursor != NULL)
		path = str_printf(a, STR_FMT "%ccursor=%s", STR_ARG(path), sep,
		    cursor);
	return path;
}

/* The cursor may be that of the answer before, which goes away here. */
static enum ctl_exit
send_step(struct bulk *k, enum pass pass, const char **cursor,
    const struct str *names, size_t n)
{
	struct arena *mine = k->ctl->arena, *a = arena_create();
	struct arena *before = k->arena;
	const struct json *j = NULL;
	struct str path, next;
	enum ctl_exit code;

	path = write_path(k, a, pass, *cursor);
	k->ctl->arena = k->arena = a;
	code = request(k, path.p, write_body(k, names, n), &j);
	if (code == CTL_OK)
		code = take_answer(k, pass, j);
	next = json_get_str(j, "next");
	*cursor = next.p != NULL ? str_cstr(a, next) : NULL;
	k->ctl->arena = mine;
	arena_destroy(before);
	return code;
}

static enum ctl_exit
run_pass(struct bulk *k, enum pass pass)
{
	const struct bulk_named *named = k->named;
	const char *cursor = NULL;
	enum ctl_exit code = CTL_OK;

	for (size_t i = 0; i < named->n && code == CTL_OK; i += NAMED_STEP) {
		size_t n = named->n - i;

		cursor = NULL;
		code = send_step(k, pass, &cursor, named->v + i,
		    n < NAMED_STEP ? n : NAMED_STEP);
	}
	if (named->n > 0)
		return code;
	do
		code = send_step(k, pass, &cursor, NULL, 0);
	while (code == CTL_OK && cursor != NULL);
	return code;
}

/* ---- the ends */

static double
seconds_since(const struct timespec *begin)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - begin->tv_sec) +
	    (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

static void
print_end(struct bulk *k, double seconds)
{
	if (k->ctl->json) {
		printf("{\"count\":%llu,\"done\":%llu,\"unfit\":%llu,"
		       "\"unknown\":%llu,\"seconds\":%.3f}\n",
		    (unsigned long long)k->count, (unsigned long long)k->done,
		    (unsigned long long)k->unfit,
		    (unsigned long long)k->unknown, seconds);
		return;
	}
	printf("%s %llu certificate%s in %.1f s\n", k->kind->done,
	    (unsigned long long)k->done, k->done == 1 ? "" : "s", seconds);
}

static enum ctl_exit
only_counted(struct bulk *k)
{
	if (k->ctl->json)
		print_end(k, 0);
	else
		printf("%llu certificate%s would be %s\n",
		    (unsigned long long)k->count, k->count == 1 ? "" : "s",
		    k->kind->done);
	(void)fflush(stdout);
	fputs("certloopctl: nothing was done: give --yes to do it\n", stderr);
	return CTL_REFUSED;
}

/* What was named and is not there, or none of it was fit. */
static enum ctl_exit
judge(const struct bulk *k)
{
	if (k->unfit > UNFIT_SHOWN)
		fprintf(stderr, "certloopctl: and %llu more\n",
		    (unsigned long long)(k->unfit - UNFIT_SHOWN));
	if (k->unknown > 0)
		return CTL_NOT_FOUND;
	return k->unfit > 0 && k->count == 0 ? CTL_REFUSED : CTL_OK;
}

static enum ctl_exit
run_both(struct bulk *k, bool sure)
{
	struct timespec begin;
	enum ctl_exit code, found;

	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	if ((code = run_pass(k, COUNT)) != CTL_OK)
		return code;
	found = judge(k);
	if (k->count > 0 && !sure)
		return only_counted(k);
	if (k->count == 0 && k->unfit > 0 && !k->ctl->json)
		return found;
	if (k->count > 0) {
		if (!k->ctl->json && k->named->n != 1)
			printf("%llu certificate%s to be %s\n",
			    (unsigned long long)k->count,
			    k->count == 1 ? "" : "s", k->kind->done);
		(void)fflush(stdout);
		code = run_pass(k, ACT);
		wipe_bar(k);
	}
	if (code == CTL_OK || k->ctl->json)
		print_end(k, seconds_since(&begin));
	if (code == CTL_OK)
		return found;
	fprintf(stderr,
	    "certloopctl: %llu of %llu are %s; the same command again does "
	    "the rest\n",
	    (unsigned long long)k->done, (unsigned long long)k->count,
	    k->kind->done);
	return code;
}

enum ctl_exit
ctl_bulk(struct ctl *ctl, const struct bulk_kind *kind, const char *filters,
    const struct bulk_named *named, bool sure)
{
	struct bulk k = { .ctl = ctl,
		.kind = kind,
		.filters = filters,
		.named = named };
	enum ctl_exit code = run_both(&k, sure);

	arena_destroy(k.arena);
	return code;
}
