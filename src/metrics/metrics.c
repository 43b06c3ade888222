/* SPDX-License-Identifier: ISC */
/* Values, label combinations, and their exposition as OpenMetrics 1.0. */
#include "metrics/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "metrics/metrics_int.h"

enum kind { COUNTER, GAUGE };

struct row {
	enum kind kind;
	const char *name, *labels, *help;
	const double *bounds; /* histograms only */
	size_t nbounds;
};

/* Values for the labels of a row. */
struct labels {
	char v[METRICS_LABELS_MAX][METRICS_VALUE_MAX];
};

struct metrics_child {
	enum family family;
	struct labels labels;
	int64_t value;
	bool used;
};

struct metrics_hist {
	enum histogram histogram;
	struct labels labels;
	uint64_t counts[METRICS_BUCKETS_MAX + 1]; /* the last: +Inf */
	double sum;
	bool used;
};

#define METRIC(kind, name, help)
#define FAMILY(kind, name, labels, help)
#define HISTOGRAM(name, labels, help, ...)                                     \
	static const double bounds_##name[] = { __VA_ARGS__ };                 \
	static_assert(sizeof(bounds_##name) / sizeof(double) <=                \
		METRICS_BUCKETS_MAX,                                           \
	    "too many buckets: " #name);
#include "metrics/metrics.def"
#undef METRIC
#undef FAMILY
#undef HISTOGRAM

/* clang-format off */
static const struct row metric_rows[] = {
#define METRIC(k, n, h) { .kind = k, .name = #n, .labels = "", .help = h },
#define FAMILY(k, n, l, h)
#define HISTOGRAM(n, l, h, ...)
#include "metrics/metrics.def"
#undef METRIC
#undef FAMILY
#undef HISTOGRAM
};

static const struct row family_rows[] = {
#define METRIC(k, n, h)
#define FAMILY(k, n, l, h) { .kind = k, .name = #n, .labels = l, .help = h },
#define HISTOGRAM(n, l, h, ...)
#include "metrics/metrics.def"
#undef METRIC
#undef FAMILY
#undef HISTOGRAM
};

static const struct row hist_rows[] = {
#define METRIC(k, n, h)
#define FAMILY(k, n, l, h)
#define HISTOGRAM(n, l, h, ...) { .name = #n, .labels = l, .help = h, \
	.bounds = bounds_##n, .nbounds = sizeof(bounds_##n) / sizeof(double) },
#include "metrics/metrics.def"
#undef METRIC
#undef FAMILY
#undef HISTOGRAM
};
/* clang-format on */

/* A new member takes the next free place; the ones at the end are "other". */
static struct {
	int64_t values[METRIC_COUNT];
	struct metrics_child children[METRICS_CHILDREN_MAX + FAMILY_COUNT];
	size_t nchildren;
	struct metrics_hist hists[METRICS_HISTS_MAX + HIST_COUNT];
	size_t nhists;
	struct metrics_hist *plain[HIST_COUNT]; /* those without labels */
	struct {
		void (*fn)(void *);
		void *arg;
	} collectors[METRICS_COLLECTORS_MAX];
	size_t ncollectors;
} all;

/* ---- values */

static void
add(const struct row *row, int64_t *value, int64_t n)
{
	assert(row->kind == GAUGE || n >= 0);
	*value += n;
}

static void
set(const struct row *row, int64_t *value, int64_t n)
{
	if (row->kind == GAUGE || n > *value)
		*value = n;
}

void
metrics_add(enum metric m, int64_t n)
{
	add(&metric_rows[m], &all.values[m], n);
}

void
metrics_set(enum metric m, int64_t n)
{
	set(&metric_rows[m], &all.values[m], n);
}

int64_t
metrics_get(enum metric m)
{
	return all.values[m];
}

void
metrics_child_add(struct metrics_child *c, int64_t n)
{
	add(&family_rows[c->family], &c->value, n);
}

void
metrics_child_set(struct metrics_child *c, int64_t n)
{
	set(&family_rows[c->family], &c->value, n);
}

int64_t
metrics_child_get(const struct metrics_child *c)
{
	return c->value;
}

void
metrics_hist_observe(struct metrics_hist *h, double value)
{
	const struct row *row = &hist_rows[h->histogram];
	size_t i = 0;

	while (i < row->nbounds && !(value <= row->bounds[i]))
		i++;
	h->counts[i]++;
	if (isfinite(value))
		h->sum += value;
}

void
metrics_observe(enum histogram h, double value)
{
	const char *const none[] = { NULL };

	if (all.plain[h] == NULL)
		all.plain[h] = metrics_hist_of(h, none);
	metrics_hist_observe(all.plain[h], value);
}

/* ---- label combinations */

static size_t
count_labels(const struct row *row)
{
	size_t n = row->labels[0] != '\0';

	for (const char *p = row->labels; *p != '\0'; p++)
		n += *p == ',';
	return n;
}

/* One value for each label of the row: anything else is a bug. */
static void
labels_init(struct labels *l, const struct row *row, const char *const v[])
{
	size_t n = count_labels(row), i;

	memset(l, 0, sizeof(*l));
	for (i = 0; i < n && v[i] != NULL; i++)
		strncpy(l->v[i], v[i], METRICS_VALUE_MAX - 1);
	assert(i == n && v[i] == NULL);
}

static void
labels_init_other(struct labels *l, const struct row *row)
{
	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < count_labels(row); i++)
		strcpy(l->v[i], "other");
}

struct metrics_child *
metrics_child_of(enum family f, const char *const values[])
{
	struct metrics_child *c;
	struct labels l;

	labels_init(&l, &family_rows[f], values);
	for (size_t i = 0; i < all.nchildren; i++) {
		c = &all.children[i];
		if (c->family == f && memcmp(&c->labels, &l, sizeof(l)) == 0)
			return c;
	}
	if (all.nchildren < METRICS_CHILDREN_MAX) {
		c = &all.children[all.nchildren++];
	} else {
		c = &all.children[METRICS_CHILDREN_MAX + f];
		labels_init_other(&l, &family_rows[f]);
	}
	c->family = f;
	c->labels = l;
	c->used = true;
	return c;
}

struct metrics_hist *
metrics_hist_of(enum histogram h, const char *const values[])
{
	struct metrics_hist *m;
	struct labels l;

	labels_init(&l, &hist_rows[h], values);
	for (size_t i = 0; i < all.nhists; i++) {
		m = &all.hists[i];
		if (m->histogram == h && memcmp(&m->labels, &l, sizeof(l)) == 0)
			return m;
	}
	if (all.nhists < METRICS_HISTS_MAX) {
		m = &all.hists[all.nhists++];
	} else {
		m = &all.hists[METRICS_HISTS_MAX + h];
		labels_init_other(&l, &hist_rows[h]);
	}
	m->histogram = h;
	m->labels = l;
	m->used = true;
	return m;
}

/* ---- exposition */

void
metrics_on_collect(void (*fn)(void *), void *arg)
{
	assert(all.ncollectors < METRICS_COLLECTORS_MAX);
	all.collectors[all.ncollectors].fn = fn;
	all.collectors[all.ncollectors++].arg = arg;
}

void
metrics_off_collect(void (*fn)(void *), void *arg)
{
	for (size_t i = 0; i < all.ncollectors; i++)
		if (all.collectors[i].fn == fn &&
		    all.collectors[i].arg == arg) {
			all.ncollectors--;
			memmove(&all.collectors[i], &all.collectors[i + 1],
			    (all.ncollectors - i) * sizeof(all.collectors[0]));
			return;
		}
}

void
metrics_reset(void)
{
	memset(&all, 0, sizeof(all));
}

static void
write_head(struct buf *out, const struct row *row, const char *type)
{
	buf_printf(out, "# TYPE certloop_%s %s\n# HELP certloop_%s %s.\n",
	    row->name, type, row->name, row->help);
}

static const char *
type_of(const struct row *row)
{
	return row->kind == COUNTER ? "counter" : "gauge";
}

static const char *
suffix_of(const struct row *row)
{
	return row->kind == COUNTER ? "_total" : "";
}

static void
write_label_value(struct buf *out, const char *v)
{
	buf_char(out, '"');
	for (; *v != '\0'; v++) {
		if (*v == '"' || *v == '\\')
			buf_char(out, '\\');
		if (*v == '\n')
			buf_str(out, STR("\\n"));
		else
			buf_char(out, *v);
	}
	buf_char(out, '"');
}

/* name="value",... without the braces; false if there are none */
static bool
write_labels(struct buf *out, const struct row *row, const struct labels *l)
{
	struct str rest = str_from(row->labels);

	for (size_t i = 0; rest.n > 0; i++) {
		if (i > 0)
			buf_char(out, ',');
		buf_str(out, str_cut(&rest, ','));
		buf_char(out, '=');
		write_label_value(out, l->v[i]);
	}
	return row->labels[0] != '\0';
}

static void
write_child(struct buf *out, const struct metrics_child *c)
{
	const struct row *row = &family_rows[c->family];

	buf_printf(out, "certloop_%s%s{", row->name, suffix_of(row));
	(void)write_labels(out, row, &c->labels);
	buf_printf(out, "} %" PRId64 "\n", c->value);
}

static void
write_hist(struct buf *out, const struct metrics_hist *h)
{
	const struct row *row = &hist_rows[h->histogram];
	uint64_t sum = 0;

	for (size_t i = 0; i <= row->nbounds; i++) {
		sum += h->counts[i];
		buf_printf(out, "certloop_%s_bucket{", row->name);
		if (write_labels(out, row, &h->labels))
			buf_char(out, ',');
		buf_str(out, STR("le=\""));
		if (i < row->nbounds)
			metrics_write_number(out, row->bounds[i]);
		else
			buf_str(out, STR("+Inf"));
		buf_printf(out, "\"} %" PRIu64 "\n", sum);
	}
	buf_printf(out, "certloop_%s_count", row->name);
	if (row->labels[0] != '\0') {
		buf_char(out, '{');
		(void)write_labels(out, row, &h->labels);
		buf_char(out, '}');
	}
	buf_printf(out, " %" PRIu64 "\ncertloop_%s_sum", sum, row->name);
	if (row->labels[0] != '\0') {
		buf_char(out, '{');
		(void)write_labels(out, row, &h->labels);
		buf_char(out, '}');
	}
	buf_char(out, ' ');
	metrics_write_number(out, h->sum);
	buf_char(out, '\n');
}

static void
write_families(struct buf *out)
{
	size_t n = sizeof(all.children) / sizeof(all.children[0]);

	for (int f = 0; f < FAMILY_COUNT; f++) {
		write_head(out, &family_rows[f], type_of(&family_rows[f]));
		for (size_t i = 0; i < n; i++)
			if (all.children[i].used &&
			    all.children[i].family == (enum family)f)
				write_child(out, &all.children[i]);
	}
}

static void
write_histograms(struct buf *out)
{
	size_t n = sizeof(all.hists) / sizeof(all.hists[0]);

	for (int h = 0; h < HIST_COUNT; h++) {
		write_head(out, &hist_rows[h], "histogram");
		for (size_t i = 0; i < n; i++)
			if (all.hists[i].used &&
			    all.hists[i].histogram == (enum histogram)h)
				write_hist(out, &all.hists[i]);
	}
}

void
metrics_write(struct buf *out)
{
	for (size_t i = 0; i < all.ncollectors; i++)
		all.collectors[i].fn(all.collectors[i].arg);
	for (int m = 0; m < METRIC_COUNT; m++) {
		const struct row *row = &metric_rows[m];

		write_head(out, row, type_of(row));
		buf_printf(out, "certloop_%s%s %" PRId64 "\n", row->name,
		    suffix_of(row), all.values[m]);
	}
	write_families(out);
	write_histograms(out);
	metrics_write_process(out);
	buf_str(out, STR("# EOF\n"));
}
