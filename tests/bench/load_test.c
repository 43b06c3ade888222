/* SPDX-License-Identifier: ISC */
/* The load generator's own parts: what it measures and what it reads. */
#include <string.h>

#include "load_conn.h"
#include "load_stats.h"
#include "../unit/unit.h"

/* ---- histograms */

static void
small_values_are_exact(void **state)
{
	static struct histogram h;

	(void)state;
	for (int64_t v = 1; v <= 100; v++)
		histogram_add(&h, v);
	assert_int_equal(histogram_at(&h, 0), 1);
	assert_int_equal(histogram_at(&h, 0.5), 50);
	assert_int_equal(histogram_at(&h, 0.99), 99);
	assert_int_equal(histogram_at(&h, 1), 100);
	assert_int_equal(h.sum, 5050);
}

static void
large_values_are_within_two_percent(void **state)
{
	(void)state;
	for (int64_t v = 100; v < INT64_C(3000000000); v = v * 5 / 4) {
		struct histogram h = { .n = 0 };
		uint64_t at;

		histogram_add(&h, v);
		histogram_add(&h, v * 4);
		at = histogram_at(&h, 0.5);
		assert_true(at >= (uint64_t)v);
		assert_true(at <= (uint64_t)v + (uint64_t)v / 50);
	}
}

static void
no_value_is_above_the_largest(void **state)
{
	static struct histogram h;

	(void)state;
	histogram_add(&h, 1000001);
	assert_int_equal(histogram_at(&h, 0.99), 1000001);
	histogram_add(&h, INT64_MAX);
	assert_int_equal(histogram_at(&h, 1), h.max);
	histogram_add(&h, -1); /* counted as nothing */
	assert_int_equal(histogram_at(&h, 0), 0);
}

static void
an_empty_histogram_says_zero(void **state)
{
	static struct histogram h;

	(void)state;
	assert_int_equal(histogram_at(&h, 0.5), 0);
}

static void
a_tally_keeps_the_first_texts_and_counts_the_rest(void **state)
{
	static struct tally t;
	char text[16];

	(void)state;
	for (int i = 0; i < STATS_KINDS_MAX + 3; i++) {
		snprintf(text, sizeof(text), "kind %d", i);
		tally_add(&t, str_from(text));
		tally_add(&t, STR("kind 0"));
	}
	assert_int_equal(t.nkinds, STATS_KINDS_MAX);
	assert_int_equal(t.others, 3);
	assert_int_equal(t.kinds[0].n, STATS_KINDS_MAX + 4);
}

/* ---- replies */

/* Feed a text in pieces of this size. */
static enum reader_result
feed(struct reader *r, const char *text, size_t piece)
{
	enum reader_result got = READER_MORE;
	size_t n = strlen(text);

	for (size_t at = 0; at < n && got == READER_MORE; at += piece)
		got = reader_feed(r, text + at,
		    n - at < piece ? n - at : piece);
	return got;
}

static void
a_reply_is_read_in_pieces_of_any_size(void **state)
{
	static const char text[] = "HTTP/1.1 201 Created\r\n"
				   "Replay-Nonce: abc\r\n"
				   "LOCATION: https://h/order/1\r\n"
				   "Retry-After: 7\r\n"
				   "Content-Type: application/json\r\n"
				   "Content-Length: 5\r\n\r\nhello";
	static struct reader r;

	(void)state;
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		reader_start(&r, false);
		assert_int_equal(feed(&r, text, piece), READER_DONE);
		assert_int_equal(r.reply.status, 201);
		assert_true(str_is(r.reply.nonce, "abc"));
		assert_true(str_is(r.reply.location, "https://h/order/1"));
		assert_true(str_is(r.reply.content_type, "application/json"));
		assert_true(r.reply.has_retry_after);
		assert_int_equal(r.reply.retry_after, 7);
		assert_true(str_is(r.reply.body, "hello"));
		assert_true(r.reply.keep_alive);
	}
	reader_release(&r);
}

static void
nothing_stays_from_the_reply_before(void **state)
{
	static struct reader r;

	(void)state;
	reader_start(&r, false);
	feed(&r,
	    "HTTP/1.1 200 OK\r\nReplay-Nonce: a\r\nRetry-After: 1\r\n"
	    "Content-Length: 2\r\n\r\nhi",
	    99);
	reader_start(&r, false);
	assert_int_equal(feed(&r, "HTTP/1.1 204 No Content\r\n\r\n", 99),
	    READER_DONE);
	assert_null(r.reply.nonce.p);
	assert_false(r.reply.has_retry_after);
	assert_int_equal(r.reply.body.n, 0);
	reader_release(&r);
}

static void
a_reply_to_head_has_no_body(void **state)
{
	static struct reader r;

	(void)state;
	reader_start(&r, true);
	assert_int_equal(feed(&r,
			     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
			     99),
	    READER_DONE);
	reader_release(&r);
}

static void
chunked_and_unbounded_bodies_are_read(void **state)
{
	static struct reader r;

	(void)state;
	reader_start(&r, false);
	assert_int_equal(
	    feed(&r,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		4),
	    READER_DONE);
	assert_true(str_is(r.reply.body, "abcde"));
	reader_start(&r, false);
	assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\n\r\nuntil", 99),
	    READER_MORE);
	assert_int_equal(reader_end(&r), READER_DONE);
	assert_true(str_is(r.reply.body, "until"));
	assert_false(r.reply.keep_alive);
	reader_release(&r);
}

static void
what_is_no_whole_reply_is_bad(void **state)
{
	static struct reader r;
	static char big[REPLY_FIELD_MAX + 64];

	(void)state;
	reader_start(&r, false);
	assert_int_equal(feed(&r, "SMTP hello\r\n", 99), READER_BAD);
	reader_start(&r, false);
	feed(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 99);
	assert_int_equal(reader_end(&r), READER_BAD);
	reader_start(&r, false); /* more than was asked for */
	assert_int_equal(
	    feed(&r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP", 99),
	    READER_BAD);
	reader_start(&r, false); /* a field beyond its bound */
	feed(&r, "HTTP/1.1 200 OK\r\nReplay-Nonce: ", 99);
	memset(big, 'n', sizeof(big) - 1);
	assert_int_equal(feed(&r, big, 4096), READER_BAD);
	reader_release(&r);
}

/* ---- URLs */

static void
a_url_leads_here_or_elsewhere(void **state)
{
	struct arena *a = arena_create();
	struct origin o;
	struct str path;

	(void)state;
	assert_null(origin_open(a, STR("http://127.0.0.1:8080/dir?x=1"), NULL,
	    &o, &path));
	assert_true(str_is(path, "/dir?x=1"));
	assert_false(o.tls);
	assert_true(
	    str_is(origin_path(&o, STR("http://127.0.0.1:8080/a/b")), "/a/b"));
	assert_true(str_is(origin_path(&o, STR("http://127.0.0.1:8080")), "/"));
	assert_null(origin_path(&o, STR("https://127.0.0.1:8080/a")).p);
	assert_null(origin_path(&o, STR("http://127.0.0.1:8081/a")).p);
	assert_null(origin_path(&o, STR("http://127.0.0.1:8080/a\r\nb")).p);
	assert_non_null(origin_open(a, STR("ftp://h/"), NULL, &o, &path));
	assert_non_null(origin_open(a, STR("http:///"), NULL, &o, &path));
	assert_non_null(origin_open(a, STR("http://u@h/"), NULL, &o, &path));
	assert_null(origin_open(a, STR("http://[::1]:81/"), NULL, &o, &path));
	assert_true(str_is(o.host, "::1"));
	assert_true(str_is(o.authority, "[::1]:81"));
	arena_destroy(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(large_values_are_within_two_percent),
		cmocka_unit_test(no_value_is_above_the_largest),
		cmocka_unit_test(an_empty_histogram_says_zero),
		cmocka_unit_test(
		    a_tally_keeps_the_first_texts_and_counts_the_rest),
		cmocka_unit_test(a_reply_is_read_in_pieces_of_any_size),
		cmocka_unit_test(nothing_stays_from_the_reply_before),
		cmocka_unit_test(a_reply_to_head_has_no_body),
		cmocka_unit_test(chunked_and_unbounded_bodies_are_read),
		cmocka_unit_test(what_is_no_whole_reply_is_bad),
		cmocka_unit_test(a_url_leads_here_or_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
