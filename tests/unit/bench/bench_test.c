/* SPDX-License-Identifier: ISC */
/* Parts of certloop-bench: what it measures, reads, signs and is told. */
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "../unit.h"

#include <openssl/evp.h>

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

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
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

/* The manual says: the least value that so many are not above, at most 1.6 %
 * too large. Beside sorted values it is shown to be so. */
static void
percentiles_are_those_of_the_sorted_values(void **state)
{
	static const double shares[] = { 0, 0.5, 0.9, 0.99, 0.999, 1 };
	static struct histogram h;
	static uint64_t v[5000];
	const size_t n = sizeof(v) / sizeof(v[0]);
	uint64_t x = 1, sum = 0;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		v[i] = (x >> 33) % (1u << (4 + i % 27));
		sum += v[i];
		histogram_add(&h, (int64_t)v[i]);
	}
	qsort(v, n, sizeof(v[0]), compare);
	assert_int_equal(h.n, n);
	assert_int_equal(h.sum, sum);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		size_t rank = (size_t)ceil(shares[i] * (double)n);
		uint64_t right = v[rank > 0 ? rank - 1 : 0];
		uint64_t got = histogram_at(&h, shares[i]);

		assert_true(got >= right);
		assert_true((double)got <= (double)right * (1 + 1.0 / 64));
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
	const struct origin_options none = { .nconnect = 0 };
	struct origin o;
	struct str path;
	bool refused;

	(void)state;
	assert_null(origin_open(a, STR("http://127.0.0.1:8080/dir?x=1"), &none,
	    &o, &path, &refused));
	assert_true(str_is(path, "/dir?x=1"));
	assert_false(o.tls);
	assert_true(
	    str_is(origin_path(&o, STR("http://127.0.0.1:8080/a/b")), "/a/b"));
	assert_true(str_is(origin_path(&o, STR("http://127.0.0.1:8080")), "/"));
	assert_null(origin_path(&o, STR("https://127.0.0.1:8080/a")).p);
	assert_null(origin_path(&o, STR("http://127.0.0.1:8081/a")).p);
	assert_null(origin_path(&o, STR("http://127.0.0.1:8080/a\r\nb")).p);
	assert_non_null(
	    origin_open(a, STR("ftp://h/"), &none, &o, &path, &refused));
	assert_non_null(
	    origin_open(a, STR("http:///"), &none, &o, &path, &refused));
	assert_non_null(
	    origin_open(a, STR("http://u@h/"), &none, &o, &path, &refused));
	assert_null(origin_open(a, STR("http://[::1]:81/"), &none, &o, &path,
	    &refused));
	assert_true(str_is(o.host, "::1"));
	assert_true(str_is(o.authority, "[::1]:81"));
	arena_destroy(a);
}

static void
connections_lead_to_the_addresses_given(void **state)
{
	const char *const to[] = { "127.0.0.1:81", "[::1]:82" };
	const struct origin_options given = { .connect = to, .nconnect = 2 };
	const char *const bad[] = { "127.0.0.1", "127.0.0.1:0", "h.example:80",
		"127.0.0.1:65536", ":80", "" };
	struct arena *a = arena_create();
	struct origin o;
	struct str path;
	bool refused;

	(void)state;
	assert_null(origin_open(a, STR("http://no.such.host.invalid/d"), &given,
	    &o, &path, &refused));
	assert_int_equal(o.nto, 2);
	assert_int_equal(o.to[0].addr.ss_family, AF_INET);
	assert_int_equal(o.to[1].addr.ss_family, AF_INET6);
	assert_true(str_is(o.authority, "no.such.host.invalid"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct origin_options one = { .connect = &bad[i],
			.nconnect = 1 };

		assert_non_null(origin_open(a, STR("http://h/"), &one, &o,
		    &path, &refused));
		assert_true(refused);
	}
	arena_destroy(a);
}

/* ---- schedules */

static void
units_are_due_at_a_constant_rate(void **state)
{
	struct schedule s;

	(void)state;
	schedule_init(&s, 3000, 0, 2000000); /* 3 a second for 2 s */
	s.start = 1000;
	assert_int_equal(s.total, 6);
	assert_int_equal(schedule_at(&s, 0), 1000);
	assert_int_equal(schedule_at(&s, 1), 1000 + 333333);
	assert_int_equal(schedule_at(&s, 3), 1000 + 1000000);
	assert_true(schedule_has(&s, 5, 0));
	assert_false(schedule_has(&s, 6, 0));
	/* nothing adds up over a billion of them */
	assert_int_equal(schedule_at(&s, 999999999),
	    1000 + INT64_C(333333333000000));
}

static void
all_that_is_due_before_the_end_belongs_to_it(void **state)
{
	static const uint64_t rates[] = { 1, 999, 1000, 3001, 60000, 7777777,
		SCHEDULE_RATE_MAX };
	static const int64_t times[] = { 1000, 999999, 1000000, 1234567,
		86400000000 };
	struct schedule s;

	(void)state;
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
		for (size_t t = 0; t < sizeof(times) / sizeof(times[0]); t++) {
			schedule_init(&s, rates[r], 0, times[t]);
			assert_true(s.total > 0);
			assert_true(schedule_at(&s, s.total - 1) < times[t]);
			if (s.total < SCHEDULE_UNITS_MAX)
				assert_true(
				    schedule_at(&s, s.total) >= times[t]);
		}
}

static void
a_closed_loop_ends_by_count_or_by_time(void **state)
{
	struct schedule s;

	(void)state;
	schedule_init(&s, 0, 10, 0);
	assert_true(schedule_has(&s, 9, INT64_MAX));
	assert_false(schedule_has(&s, 10, 0));
	schedule_init(&s, 0, 0, 500);
	s.start = 100;
	assert_true(schedule_has(&s, 1000000, 599));
	assert_false(schedule_has(&s, 0, 600));
}

static void
a_mix_has_its_weights_in_every_round(void **state)
{
	const unsigned weights[SCENARIO_UNITS] = { [SCENARIO_NEW_NONCE] = 10,
		[SCENARIO_ORDER] = 1,
		[SCENARIO_DIRECTORY] = 5 };
	struct mix m = { .weights = weights };

	(void)state;
	for (int round = 0; round < 50; round++) {
		unsigned seen[SCENARIO_UNITS] = { 0 };

		for (int i = 0; i < 16; i++)
			seen[mix_next(&m)]++;
		assert_memory_equal(seen, weights, sizeof(weights));
	}
}

/* ---- options */

static struct bench_options options;
static char why[OPTIONS_WHY_MAX];

/* The words of a command line, parted by spaces. */
static bool
parse(const char *line)
{
	static char text[512];
	char *argv[32], *rest = text;
	int argc = 0;

	snprintf(text, sizeof(text), "certloop-bench %s", line);
	while ((argv[argc] = strsep(&rest, " ")) != NULL && argc < 31)
		if (argv[argc][0] != '\0')
			argc++;
	argv[argc] = NULL;
	return options_parse(argc, argv, &options, why);
}

static void
options_have_their_defaults(void **state)
{
	(void)state;
	assert_true(parse("http://h/d"));
	assert_string_equal(options.url, "http://h/d");
	assert_int_equal(options.count, 1000);
	assert_int_equal(options.connections, 16);
	assert_int_equal(options.accounts, 16);
	assert_int_equal(options.scenario, SCENARIO_ORDER);
	assert_int_equal(options.weights[SCENARIO_ORDER], 1);
	assert_true(options_need_accounts(&options));
}

static void
times_and_rates_have_units(void **state)
{
	(void)state;
	assert_true(parse("-d 1.5s -w 250ms --timeout 2m --poll 1 -r 0.125 u"));
	assert_int_equal(options.duration, 1500000);
	assert_int_equal(options.warm_up, 250000);
	assert_int_equal(options.timeout, 120000000);
	assert_int_equal(options.poll, 1000000);
	assert_int_equal(options.rate, 125);
	assert_int_equal(options.count, 0);
}

static void
a_mix_is_read(void **state)
{
	(void)state;
	assert_true(parse("-s mixed --mix order=1,renewal-info=20 u"));
	assert_int_equal(options.weights[SCENARIO_ORDER], 1);
	assert_int_equal(options.weights[SCENARIO_RENEWAL_INFO], 20);
	assert_int_equal(options.weights[SCENARIO_NEW_NONCE], 0);
}

static void
wrong_options_are_told_in_one_line(void **state)
{
	static const struct {
		const char *line, *part;
	} wrong[] = {
		{ "", "URL" },
		{ "a b", "URL" },
		{ "-n 0 u", "1 to 1000000000" },
		{ "-n 1000000001 u", "not \"1000000001\"" },
		{ "-n -1 u", "--count" },
		{ "-c 10001 u", "--connections" },
		{ "-d 0 u", "--duration" },
		{ "-d 3d u", "--duration" },
		{ "-d 1.2345s u", "--duration" },
		{ "-d 9999999h u", "--duration" },
		{ "-d . u", "--duration" },
		{ "-r 0 u", "--rate" },
		{ "-r 1000000.001 u", "--rate" },
		{ "-r nan u", "--rate" },
		{ "-n 5 -d 5 u", "not both" },
		{ "-s full u", "scenario" },
		{ "--mix order=1 u", "--mix" },
		{ "-s mixed u", "--mix" },
		{ "-s mixed --mix order u", "weight" },
		{ "-s mixed --mix order=10001 u", "weight" },
		{ "-s mixed --mix ocsp-get=1 u", "ocsp-get" },
		{ "-s ocsp-get u", "--asks" },
		{ "--asks x u", "--asks" },
		{ "--eab-kid x u", "--eab-key-file" },
		{ "--insecure --ca-file x u", "--insecure" },
		{ "--key-types p256,,rsa u", "p256,,rsa" },
		{ "--key-types dsa u", "dsa" },
		{ "--suffix -x u", "-x" },
		{ "--suffix a..b u", "a..b" },
		{ "--pid 0 u", "--pid" },
		{ "--pid 4294967297 u", "--pid" },
		{ "--names 101 u", "--names" },
		{ "--conections 5 u", "did you mean --connections" },
		{ "--zzz u", "see --help" },
		{ "--count", "wants a value" },
		{ "-Z u", "-Z" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		why[0] = '\0';
		assert_false(parse(wrong[i].line));
		assert_non_null(strstr(why, wrong[i].part));
		assert_null(strchr(why, '\n'));
	}
}

/* ---- what is signed */

static void
signed_requests_are_what_a_server_takes(void **state)
{
	static const enum pki_key_kind kinds[] = { PKI_P256, PKI_P384, PKI_P521,
		PKI_ED25519 };
	const struct str url = STR("https://h/new-order"),
			 nonce = STR("bm9uY2U");

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct arena *a = arena_create();
		EVP_PKEY *key = pki_generate_key(kinds[i / 2]);
		struct account account = { .key = key };
		struct jwk jwk;
		struct jws jws;

		assert_true(jwk_from_key(a, key, &jwk));
		account.alg = jws_alg_of(jwk.kind);
		account.jwk = jwk.json;
		if (i % 2 == 1)
			account.kid = STR("https://h/account/1");
		assert_null(jws_parse(a,
		    acme_sign(a, &account, url, nonce, STR("{\"a\":1}")),
		    JWS_REQUEST, &jws));
		assert_true(jws_verify(&jws, key, jwk.kind));
		assert_true(str_eq(jws.url, url));
		assert_true(str_eq(jws.nonce, nonce));
		assert_true(str_is(jws.payload, "{\"a\":1}"));
		assert_true((jws.jwk == NULL) == (i % 2 == 1));
		assert_true(str_eq(jws.kid, account.kid));
		EVP_PKEY_free(key);
		arena_destroy(a);
	}
}

static void
accounts_are_bound_by_a_mac_over_their_key(void **state)
{
	const struct binding b = { .kid = STR("k1"), .key = STR("secret") };
	const struct str url = STR("https://h/new-account");
	struct arena *a = arena_create();
	EVP_PKEY *key = pki_generate_key(PKI_P256);
	struct account account = { .alg = JWS_ES256 };
	const struct json *j;
	struct jwk jwk;
	struct jws jws;

	(void)state;
	assert_true(jwk_from_key(a, key, &jwk));
	account.jwk = jwk.json;
	j = json_parse(a, acme_write_account(a, &account, url, &b), NULL);
	assert_non_null(j);
	assert_null(jws_parse_json(a, json_get(j, "externalAccountBinding"),
	    JWS_BINDING, &jws));
	assert_true(jws_verify_mac(&jws, b.key));
	assert_false(jws_verify_mac(&jws, STR("secreT")));
	assert_true(str_eq(jws.payload, jwk.json));
	assert_true(str_eq(jws.url, url));
	assert_true(str_is(jws.kid, "k1"));
	j = json_parse(a,
	    acme_write_account(a, &account, url, &(struct binding){ 0 }), NULL);
	assert_null(json_get(j, "externalAccountBinding"));
	EVP_PKEY_free(key);
	arena_destroy(a);
}

static void
objects_that_lack_something_are_told(void **state)
{
	struct arena *a = arena_create();
	struct directory d;
	struct acme_order o;
	struct acme_authz z;

	(void)state;
	assert_non_null(acme_read_directory(a, STR("[]"), &d));
	assert_non_null(acme_read_directory(a, STR("{\"newNonce\":1}"), &d));
	assert_non_null(acme_read_order(a, STR("{\"status\":\"ready\"}"), &o));
	assert_non_null(acme_read_order(a, STR("{"), &o));
	assert_non_null(acme_read_authz(a, STR("{}"), &z));
	assert_null(acme_read_authz(a,
	    STR("{\"status\":\"pending\",\"challenges\":[{\"type\":\"dns-01\","
		"\"url\":\"u1\",\"token\":\"t1\"},{\"type\":\"http-01\","
		"\"url\":\"u2\",\"token\":\"t2\"}]}"),
	    &z));
	assert_true(str_is(z.challenge, "u2"));
	assert_true(str_is(z.token, "t2"));
	assert_null(acme_check_renewal(a,
	    STR("{\"suggestedWindow\":{\"start\":\"2026-01-01T00:00:00Z\","
		"\"end\":\"2026-01-02T00:00:00Z\"}}")));
	assert_non_null(acme_check_renewal(a,
	    STR("{\"suggestedWindow\":{\"start\":\"2026-01-02T00:00:00Z\","
		"\"end\":\"2026-01-02T00:00:00Z\"}}")));
	assert_non_null(acme_check_renewal(a, STR("{}")));
	arena_destroy(a);
}

/* An allocation that begins right behind the one before it: the arena gave
 * nothing to anybody in between. */
static void
a_chain_that_is_refused_leaves_nothing_behind(void **state)
{
	static const char *const chains[] = {
		"no certificate",
		"-----END CERTIFICATE-----\n",
		"-----END CERTIFICATE-----\nrubbish",
		("-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n"
		 "AAAA\n-----END CERTIFICATE-----\n"),
	};
	struct arena *kept = arena_create();
	const struct job job = { .spki = STR("key") };
	const char *wrong = NULL, *before, *after;
	struct verifier *v = verifier_new(kept, NULL, &wrong);

	(void)state;
	assert_non_null(v);
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		struct arena *a = arena_create();

		before = arena_alloc(kept, 16);
		wrong = verifier_take(a, v, &job, str_from(chains[i]));
		after = arena_alloc(kept, 16);
		assert_non_null(wrong);
		assert_ptr_equal(after, before + 16);
		arena_destroy(a);
	}
	arena_destroy(kept);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(large_values_are_within_two_percent),
		cmocka_unit_test(percentiles_are_those_of_the_sorted_values),
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
		cmocka_unit_test(connections_lead_to_the_addresses_given),
		cmocka_unit_test(units_are_due_at_a_constant_rate),
		cmocka_unit_test(all_that_is_due_before_the_end_belongs_to_it),
		cmocka_unit_test(a_closed_loop_ends_by_count_or_by_time),
		cmocka_unit_test(a_mix_has_its_weights_in_every_round),
		cmocka_unit_test(options_have_their_defaults),
		cmocka_unit_test(times_and_rates_have_units),
		cmocka_unit_test(a_mix_is_read),
		cmocka_unit_test(wrong_options_are_told_in_one_line),
		cmocka_unit_test(signed_requests_are_what_a_server_takes),
		cmocka_unit_test(accounts_are_bound_by_a_mac_over_their_key),
		cmocka_unit_test(objects_that_lack_something_are_told),
		cmocka_unit_test(a_chain_that_is_refused_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
