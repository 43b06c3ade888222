/* SPDX-License-Identifier: ISC */
/* Counting: histograms, latencies and tallies. */
#include <string.h>
#include <time.h>

#include "bench/stats.h"

static const char *const scenario_names[SCENARIOS] = {
	[SCENARIO_DIRECTORY] = "directory",
	[SCENARIO_NEW_NONCE] = "new-nonce",
	[SCENARIO_NEW_ACCOUNT] = "new-account",
	[SCENARIO_NEW_ORDER] = "new-order",
	[SCENARIO_ORDER] = "order",
	[SCENARIO_RENEWAL_INFO] = "renewal-info",
	[SCENARIO_OCSP_GET] = "ocsp-get",
	[SCENARIO_OCSP_POST] = "ocsp-post",
	[SCENARIO_MIXED] = "mixed",
};

static const char *const request_names[REQUESTS] = {
	[REQUEST_DIRECTORY] = "directory",
	[REQUEST_NEW_NONCE] = "new-nonce",
	[REQUEST_NEW_ACCOUNT] = "new-account",
	[REQUEST_NEW_ORDER] = "new-order",
	[REQUEST_AUTHZ] = "authorization",
	[REQUEST_CHALLENGE] = "challenge",
	[REQUEST_FINALIZE] = "finalize",
	[REQUEST_ORDER] = "order",
	[REQUEST_CERTIFICATE] = "certificate",
	[REQUEST_RENEWAL_INFO] = "renewal-info",
	[REQUEST_OCSP] = "ocsp",
};

const char *
bench_scenario_name(enum bench_scenario s)
{
	return scenario_names[s];
}

const char *
bench_request_name(enum bench_request r)
{
	return request_names[r];
}

/*
 * Values below 2 * SUB have a step each; above, each power of two has SUB
 * steps. The last step takes all that is beyond.
 */
static size_t
step_of(uint64_t v)
{
	unsigned shift = 0;
	size_t i;

	while (v >> shift >= 2 * HISTOGRAM_SUB)
		shift++;
	i = shift * HISTOGRAM_SUB + (size_t)(v >> shift);
	return i < HISTOGRAM_STEPS ? i : HISTOGRAM_STEPS - 1;
}

/* The largest value of a step. */
static uint64_t
step_end(size_t i)
{
	size_t shift;

	if (i < 2 * HISTOGRAM_SUB)
		return i;
	shift = i / HISTOGRAM_SUB - 1;
	return ((uint64_t)(i - shift * HISTOGRAM_SUB + 1) << shift) - 1;
}

void
histogram_add(struct histogram *h, int64_t usec)
{
	uint64_t v = usec > 0 ? (uint64_t)usec : 0;

	h->n++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
	h->steps[step_of(v)]++;
}

uint64_t
histogram_at(const struct histogram *h, double share)
{
	double want = share * (double)h->n;
	uint64_t seen = 0, end;

	for (size_t i = 0; i < HISTOGRAM_STEPS; i++) {
		seen += h->steps[i];
		if (seen > 0 && (double)seen >= want) {
			if (i == HISTOGRAM_STEPS - 1)
				break; /* it has no end */
			end = step_end(i);
			return end < h->max ? end : h->max;
		}
	}
	return h->max;
}

void
tally_add(struct tally *t, struct str text)
{
	char shown[STATS_TEXT_MAX];
	size_t i;

	if (text.n >= STATS_TEXT_MAX)
		text.n = STATS_TEXT_MAX - 1;
	for (i = 0; i < text.n; i++) {
		shown[i] = text.p[i];
		if (shown[i] < ' ' || shown[i] > '~')
			shown[i] = '?';
	}
	text.p = shown;
	for (i = 0; i < t->nkinds; i++)
		if (str_is(text, t->kinds[i].text)) {
			t->kinds[i].n++;
			return;
		}
	if (i == STATS_KINDS_MAX) {
		t->others++;
		return;
	}
	memcpy(t->kinds[i].text, shown, text.n);
	t->kinds[i].text[text.n] = '\0';
	t->kinds[i].n = 1;
	t->nkinds++;
}

void
latency_add(struct latency *l, int64_t due, int64_t began, int64_t end)
{
	histogram_add(&l->response, end - due);
	histogram_add(&l->service, end - began);
}

int64_t
stats_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
