/* SPDX-License-Identifier: ISC */
/* Values, label combinations and their bound, and the exposition. */
#include "../unit.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "metrics/metrics.h"

static struct arena *arena;

static int
begin(void **state)
{
	(void)state;
	arena = arena_create();
	metrics_reset();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	metrics_reset();
	arena_destroy(arena);
	return 0;
}

static char *
exposition(void)
{
	struct buf b = buf_new(arena, METRICS_TEXT_MAX);

	metrics_write(&b);
	assert_false(b.full);
	return str_cstr(arena, buf_view(&b));
}

/* The value behind a line that starts with name, which must be there once. */
static double
sample(const char *text, const char *name)
{
	const char *line = str_printf(arena, "\n%s ", name).p;
	const char *at = strstr(text, line);

	if (at == NULL)
		fail_msg("no sample %s", name);
	assert_null(strstr(at + 1, line));
	return strtod(at + strlen(line), NULL);
}

static void
counts_and_sets(void **state)
{
	(void)state;
	metrics_add(METRIC_orders_created, 1);
	metrics_add(METRIC_orders_created, 41);
	assert_int_equal(metrics_get(METRIC_orders_created), 42);
	metrics_set(METRIC_account_cache_entries, 7);
	metrics_add(METRIC_account_cache_entries, -3);
	assert_int_equal(metrics_get(METRIC_account_cache_entries), 4);
}

static void
never_lowers_a_counter(void **state)
{
	(void)state;
	metrics_set(METRIC_log_lines_dropped, 10);
	metrics_set(METRIC_log_lines_dropped, 9);
	assert_int_equal(metrics_get(METRIC_log_lines_dropped), 10);
	metrics_set(METRIC_log_lines_dropped, 11);
	assert_int_equal(metrics_get(METRIC_log_lines_dropped), 11);
}

static void
gives_one_member_for_the_same_labels(void **state)
{
	char route[] = "new-order";
	struct metrics_child *a, *b, *c;

	(void)state;
	a = metrics_child(FAMILY_requests, "new-order", "2xx");
	b = metrics_child(FAMILY_requests, "new-order", "4xx");
	c = metrics_child(FAMILY_requests, route, "2xx");
	assert_ptr_equal(a, c);
	assert_ptr_not_equal(a, b);
	route[0] = 'X'; /* values are copied */
	metrics_child_add(a, 2);
	metrics_child_add(c, 1);
	assert_int_equal(metrics_child_get(a), 3);
	assert_int_equal(metrics_child_get(b), 0);
	assert_true(sample(exposition(),
			"certloop_requests_total{route=\"new-order\","
			"class=\"2xx\"}") == 3);
}

static void
folds_label_combinations_beyond_the_bound(void **state)
{
	char value[16];
	const char *text;

	(void)state;
	for (int i = 0; i < METRICS_CHILDREN_MAX + 100; i++) {
		snprintf(value, sizeof(value), "t%d", i);
		metrics_count(FAMILY_refusals, value);
	}
	text = exposition();
	assert_true(sample(text, "certloop_refusals_total{type=\"t0\"}") == 1);
	assert_true(
	    sample(text, "certloop_refusals_total{type=\"other\"}") == 100);
	/* the other families are not touched, and known members still count */
	metrics_count(FAMILY_refusals, "t0");
	text = exposition();
	assert_true(sample(text, "certloop_refusals_total{type=\"t0\"}") == 2);
	assert_null(strstr(text, "certloop_requests_total{"));
}

static void
folds_histograms_beyond_the_bound(void **state)
{
	char value[16];

	(void)state;
	for (int i = 0; i < METRICS_HISTS_MAX + 5; i++) {
		snprintf(value, sizeof(value), "r%d", i);
		metrics_hist_observe(metrics_hist(HIST_request_seconds, value,
					 "ok"),
		    1);
	}
	assert_true(sample(exposition(),
			"certloop_request_seconds_count{route=\"other\","
			"outcome=\"other\"}") == 5);
}

static void
cuts_and_escapes_label_values(void **state)
{
	static char big[1000];
	const char *text;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	metrics_count(FAMILY_refusals, big);
	metrics_count(FAMILY_refusals, "a\"b\\c\nd");
	text = exposition();
	assert_non_null(strstr(text, "{type=\"a\\\"b\\\\c\\nd\"} 1\n"));
	big[METRICS_VALUE_MAX - 1] = '\0';
	assert_true(
	    sample(text,
		str_printf(arena, "certloop_refusals_total{type=\"%s\"}", big)
		    .p) == 1);
}

static void
puts_each_value_into_its_bucket(void **state)
{
	struct metrics_hist *h = metrics_hist(HIST_request_seconds, "order",
	    "ok");
	const char *text;

	(void)state;
#define BUCKET(le)                                                             \
	"certloop_request_seconds_bucket{route=\"order\",outcome=\"ok\",le="   \
	"\"" le "\"}"
	metrics_hist_observe(h, 0);
	metrics_hist_observe(h, 0.001); /* on the bound: belongs to it */
	metrics_hist_observe(h, 0.0010001);
	metrics_hist_observe(h, 5);
	metrics_hist_observe(h, 1000);
	metrics_hist_observe(h, NAN);
	metrics_hist_observe(h, INFINITY);
	text = exposition();
	assert_true(sample(text, BUCKET("0.0005")) == 1);
	assert_true(sample(text, BUCKET("0.001")) == 2);
	assert_true(sample(text, BUCKET("0.0025")) == 3);
	assert_true(sample(text, BUCKET("1.0")) == 3);
	assert_true(sample(text, BUCKET("10.0")) == 4);
	assert_true(sample(text, BUCKET("+Inf")) == 7);
	assert_true(sample(text,
			"certloop_request_seconds_count{route=\"order\","
			"outcome=\"ok\"}") == 7);
	assert_true(fabs(sample(text,
			     "certloop_request_seconds_sum{route=\"order\","
			     "outcome=\"ok\"}") -
			1005.0020001) < 1e-6);
}

static void
set_gauge(void *arg)
{
	metrics_set(METRIC_account_cache_entries, *(int *)arg);
}

static void
asks_collectors_before_each_exposition(void **state)
{
	int n = 5, other = 6;

	(void)state;
	metrics_on_collect(set_gauge, &n);
	assert_true(
	    sample(exposition(), "certloop_account_cache_entries") == 5);
	n = 8;
	assert_true(
	    sample(exposition(), "certloop_account_cache_entries") == 8);
	metrics_on_collect(set_gauge, &other);
	assert_true(
	    sample(exposition(), "certloop_account_cache_entries") == 6);
	metrics_off_collect(set_gauge, &other);
	metrics_off_collect(set_gauge, &other);
	assert_true(
	    sample(exposition(), "certloop_account_cache_entries") == 8);
	metrics_off_collect(set_gauge, &n);
	n = 9;
	assert_true(
	    sample(exposition(), "certloop_account_cache_entries") == 8);
}

static void
tells_the_state_of_the_process(void **state)
{
	const char *text = exposition();
	double fds = sample(text, "process_open_fds");
	int fd = open("/dev/null", O_RDONLY);
	double start = sample(text, "process_start_time_seconds");

	(void)state;
	assert_true(fds >= 3);
	assert_true(sample(exposition(), "process_open_fds") == fds + 1);
	close(fd);
	assert_true(sample(text, "process_threads") == 1);
	assert_true(sample(text, "process_max_fds") > fds);
	assert_true(sample(text, "process_resident_memory_bytes") > 100000);
	assert_true(sample(text, "process_cpu_seconds_total") > 0);
	assert_true(start > (double)time(NULL) - 600);
	assert_true(start < (double)time(NULL) + 2);
	assert_non_null(strstr(text, "\ncertloop_build_info{version=\""));
}

/* [a-z_]+ */
static size_t
name_length(const char *p)
{
	return strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static void
check_sample(const char *line, const char *family, const char *type)
{
	size_t n = name_length(line), f = strlen(family);
	const char *suffix = line + f;
	char *e;

	assert_true(n >= f);
	assert_memory_equal(line, family, f);
	if (strcmp(type, "counter") == 0)
		assert_memory_equal(suffix, "_total", 6);
	else if (strcmp(type, "gauge") == 0)
		assert_int_equal(n, f);
	else if (strcmp(type, "info") == 0)
		assert_memory_equal(suffix, "_info", 5);
	else
		assert_true(strncmp(suffix, "_bucket", 7) == 0 ||
		    strncmp(suffix, "_sum", 4) == 0 ||
		    strncmp(suffix, "_count", 6) == 0);
	line += n;
	if (*line == '{')
		line = strchr(line, '}') + 1;
	assert_int_equal(*line, ' ');
	(void)strtod(line + 1, &e);
	assert_int_equal(*e, '\0');
}

static void
keeps_to_the_grammar_of_openmetrics(void **state)
{
	char *text, *line, *rest;
	char family[100] = "", type[20] = "";
	bool ended = false;

	(void)state;
	metrics_count(FAMILY_requests, "order", "5xx");
	metrics_hist_observe(metrics_hist(HIST_request_seconds, "order", "ok"),
	    2);
	rest = text = exposition();
	assert_int_equal(text[strlen(text) - 1], '\n');
	text[strlen(text) - 1] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		assert_false(ended);
		if (strcmp(line, "# EOF") == 0) {
			ended = true;
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			char old[100];

			strcpy(old, family);
			assert_int_equal(sscanf(line, "# TYPE %99s %19s",
					     family, type),
			    2);
			assert_string_not_equal(old, family);
		} else if (strncmp(line, "# HELP ", 7) == 0) {
			assert_memory_equal(line + 7, family, strlen(family));
			assert_int_equal(line[strlen(line) - 1], '.');
		} else {
			check_sample(line, family, type);
		}
	}
	assert_true(ended);
}

static void
says_when_the_exposition_does_not_fit(void **state)
{
	struct buf b = buf_new(arena, 100);

	(void)state;
	metrics_write(&b);
	assert_true(b.full);
}

static void
stays_within_its_bound_when_all_places_are_taken(void **state)
{
	char value[METRICS_VALUE_MAX];

	(void)state;
	for (int i = 0; i < METRICS_CHILDREN_MAX; i++) {
		snprintf(value, sizeof(value), "%046d", i);
		metrics_count(FAMILY_requests, value, value);
		metrics_hist_observe(metrics_hist(HIST_request_seconds, value,
					 "ok"),
		    i);
	}
	(void)exposition(); /* asserts that it fits */
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(counts_and_sets),
		TEST(never_lowers_a_counter),
		TEST(gives_one_member_for_the_same_labels),
		TEST(folds_label_combinations_beyond_the_bound),
		TEST(folds_histograms_beyond_the_bound),
		TEST(cuts_and_escapes_label_values),
		TEST(puts_each_value_into_its_bucket),
		TEST(asks_collectors_before_each_exposition),
		TEST(tells_the_state_of_the_process),
		TEST(keeps_to_the_grammar_of_openmetrics),
		TEST(says_when_the_exposition_does_not_fit),
		TEST(stays_within_its_bound_when_all_places_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
