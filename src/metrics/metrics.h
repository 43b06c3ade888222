/* SPDX-License-Identifier: ISC */
/*
 * The metrics of the process. Rows of metrics.def expand to the names below,
 * to the storage and to the exposition, so a metric cannot be misspelt and
 * none is ever allocated.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* A counter or gauge without labels. */
enum metric {
#define METRIC(kind, name, help) METRIC_##name,
#define FAMILY(kind, name, labels, help)
#define HISTOGRAM(name, labels, help, ...)
#include "metrics/metrics.def"
#undef METRIC
#undef FAMILY
#undef HISTOGRAM
	METRIC_COUNT
};

/* Counters or gauges that differ in their labels. */
enum family {
#define METRIC(kind, name, help)
#define FAMILY(kind, name, labels, help) FAMILY_##name,
#define HISTOGRAM(name, labels, help, ...)
#include "metrics/metrics.def"
#undef METRIC
#undef FAMILY
#undef HISTOGRAM
	FAMILY_COUNT
};

enum histogram {
#define METRIC(kind, name, help)
#define FAMILY(kind, name, labels, help)
#define HISTOGRAM(name, labels, help, ...) HIST_##name,
#include "metrics/metrics.def"
#undef METRIC
#undef FAMILY
#undef HISTOGRAM
	HIST_COUNT
};

enum {
	METRICS_LABELS_MAX = 3,     /* names in one row */
	METRICS_VALUE_MAX = 48,     /* bytes of a label's value, NUL included */
	METRICS_CHILDREN_MAX = 512, /* label combinations, of all families */
	METRICS_HISTS_MAX = 384,    /* the same, of all histograms */
	METRICS_BUCKETS_MAX = 24,
	METRICS_COLLECTORS_MAX = 32,
	METRICS_TEXT_MAX = 1 << 20, /* enough for an exposition */
};

#define METRICS_CONTENT_TYPE                                                   \
	"application/openmetrics-text; version=1.0.0; charset=utf-8"

/* ---- without labels */
/* A counter only goes up; a gauge may be given a negative n. */
void metrics_add(enum metric, int64_t n);

/*
 * Set a gauge; or a counter that somebody else counts, which then never goes
 * down.
 */
void metrics_set(enum metric, int64_t);
int64_t metrics_get(enum metric);

/* A value, in seconds for times, into a histogram without labels. */
void metrics_observe(enum histogram, double);

/*
 * ---- with labels
 *
 * metrics_child gives the member of a family with these label values: one C
 * string for each label of the row; they are copied, and cut if they are too
 * long. The same values give the same member, for ever. Ask once at start and
 * keep it; or use metrics_count, which looks it up each time. When
 * METRICS_CHILDREN_MAX are in use, one that says "other" in all its labels is
 * given.
 *
 *	struct metrics_child *ok =
 *	    metrics_child(FAMILY_requests, "new-order", "2xx");
 *	metrics_child_add(ok, 1);
 *	metrics_count(FAMILY_refusals, "badNonce");
 */
struct metrics_child;

#define metrics_child(family, ...)                                             \
	metrics_child_of((family), (const char *[]){ __VA_ARGS__, NULL })
#define metrics_count(family, ...)                                             \
	metrics_child_add(metrics_child(family, __VA_ARGS__), 1)

struct metrics_child *metrics_child_of(enum family, const char *const values[]);
void metrics_child_add(struct metrics_child *, int64_t n);
void metrics_child_set(struct metrics_child *, int64_t);
int64_t metrics_child_get(const struct metrics_child *);

/* The same for histograms with labels. */
struct metrics_hist;

#define metrics_hist(histogram, ...)                                           \
	metrics_hist_of((histogram), (const char *[]){ __VA_ARGS__, NULL })

struct metrics_hist *metrics_hist_of(enum histogram,
    const char *const values[]);
void metrics_hist_observe(struct metrics_hist *, double);

/* ---- exposition */

/* Call fn(arg) before each exposition, to set gauges. */
void metrics_on_collect(void (*fn)(void *), void *arg);
void metrics_off_collect(void (*fn)(void *), void *arg);

/*
 * Everything as OpenMetrics 1.0 text, with the state of the process (process_*)
 * and the version of the build. out->full is set if it did not fit.
 */
void metrics_write(struct buf *out);

/* Back to the state at start. For tests. */
void metrics_reset(void);

#endif
