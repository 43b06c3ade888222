/* SPDX-License-Identifier: ISC */
/* The local issuer: what it plans, and what its certificates hold. */
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/when.h"
#include "issuer/issuer.h"
#include "loop/loop.h"

struct world {
	struct arena *arena;
	struct loop *loop;
	struct issuer *issuer;
	struct issuer_local_options options;
	char dir[32];
	int64_t now;
};

static const char *
put(struct world *w, const char *name, struct str text)
{
	const char *path = str_printf(w->arena, "%s/%s", w->dir, name).p;
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pki_made root;
	const char *why;

	w->arena = arena_create();
	w->loop = loop_new();
	w->now = when_now();
	strcpy(w->dir, "local_test.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_null(
	    pki_make_root(w->arena, STR("Test"), w->now / WHEN_SECOND, &root));
	w->options = (struct issuer_local_options){ .name = "local",
		.loop = w->loop,
		.cert_file = put(w, "cert",
		    pki_write_pem(w->arena, "CERTIFICATE", root.der)),
		.key_file = put(w, "key", pki_write_key(w->arena, root.key)),
		.backdate = WHEN_HOUR };
	assert_int_equal(chmod(w->options.key_file, 0600), 0);
	w->issuer = issuer_local_new(&w->options, w->arena, &why);
	if (w->issuer == NULL)
		fail_msg("%s", why);
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	issuer_free(w->issuer);
	unlink(w->options.cert_file);
	unlink(w->options.key_file);
	rmdir(w->dir);
	loop_free(w->loop);
	arena_destroy(w->arena);
	free(w);
	return 0;
}

/* ---- what is planned */

static void
a_life_begins_before_now_and_lasts_as_long_as_it_may(void **state)
{
	struct world *w = *state;
	int64_t first, last, lifetime = 24 * WHEN_HOUR;

	assert_true(
	    issuer_plan_validity(w->issuer, w->now, lifetime, &first, &last));
	assert_in_range(w->now - first, WHEN_HOUR, WHEN_HOUR + WHEN_SECOND);
	assert_int_equal(last - first + WHEN_SECOND, lifetime);
	assert_int_equal(first % WHEN_SECOND, 0);
}

/* What is over before it begins is of no use to anybody. */
static void
a_short_life_is_backdated_by_a_tenth(void **state)
{
	struct world *w = *state;
	int64_t first, last, lifetime = 5 * WHEN_MINUTE;

	assert_true(
	    issuer_plan_validity(w->issuer, w->now, lifetime, &first, &last));
	assert_in_range(w->now - first, 30 * WHEN_SECOND, 31 * WHEN_SECOND);
	assert_int_equal(last - first + WHEN_SECOND, lifetime);
}

static void
no_life_outlasts_the_issuers(void **state)
{
	struct world *w = *state;
	int64_t first, last, end = issuer_local_ca(w->issuer)->cert.not_after;

	assert_true(issuer_plan_validity(w->issuer, w->now,
	    40 * 365 * 24 * WHEN_HOUR, &first, &last));
	assert_int_equal(last, end * WHEN_SECOND);
	assert_false(issuer_plan_validity(w->issuer, (end + 1) * WHEN_SECOND,
	    WHEN_HOUR, &first, &last));
}

/* ---- what a certificate holds */

struct told {
	struct arena *arena;
	bool done, failed;
	struct str der;
};

static void
on_result(void *arg, const struct issuer_result *r)
{
	struct told *t = arg;

	t->done = true;
	t->failed = r->problem != NULL;
	t->der = str_dup(t->arena, r->der);
}

static struct pki_cert
sign(struct world *w, struct issuer_request *rq)
{
	struct str name = STR("a.example");
	struct pki_names names = { .dns = &name, .ndns = 1 };
	struct told t = { .arena = w->arena };
	EVP_PKEY *key = pki_generate_key(PKI_P256);
	struct pki_cert cert;
	struct task task;

	rq->names = &names;
	rq->kind = PKI_P256;
	rq->spki = pki_write_spki(w->arena, key);
	rq->max_lifetime = WHEN_HOUR;
	pki_random_serial(rq->serial);
	assert_true(issuer_plan_validity(w->issuer, w->now, WHEN_HOUR,
	    &rq->not_before, &rq->not_after));
	task_init(&task);
	w->issuer->ops->sign(w->issuer, &task, rq, on_result, &t);
	while (!t.done)
		loop_turn(w->loop, LOOP_WAIT);
	task_end(&task);
	EVP_PKEY_free(key);
	assert_false(t.failed);
	assert_null(pki_parse_cert(w->arena, t.der, &cert));
	return cert;
}

static void
give_urls(struct world *w)
{
	w->options.ocsp_url = "http://ca.example/ocsp";
	w->options.crl_url = "http://ca.example/crl";
	w->options.ca_issuers_url = "http://ca.example/ca";
	issuer_local_set(w->issuer, &w->options);
}

static void
certificates_say_where_to_ask_about_them(void **state)
{
	struct world *w = *state;
	struct issuer_request rq = { .eku = PKI_EKU_SERVER,
		.must_staple = true };
	struct pki_cert cert;

	give_urls(w);
	cert = sign(w, &rq);
	assert_str(cert.ocsp_url, "http://ca.example/ocsp");
	assert_str(cert.crl_url, "http://ca.example/crl");
	assert_str(cert.ca_issuers_url, "http://ca.example/ca");
	assert_true(cert.must_staple && !cert.no_rev_avail);
	rq.must_staple = false;
	assert_false(sign(w, &rq).must_staple);
}

/* RFC 9608 section 2: no address for revocation beside it. */
static void
no_rev_avail_stands_alone(void **state)
{
	struct world *w = *state;
	struct issuer_request rq = { .eku = PKI_EKU_SERVER,
		.no_rev_avail = true };
	struct pki_cert cert;

	give_urls(w);
	cert = sign(w, &rq);
	assert_true(cert.no_rev_avail && !cert.must_staple);
	assert_null(cert.ocsp_url.p);
	assert_null(cert.crl_url.p);
	assert_str(cert.ca_issuers_url, "http://ca.example/ca");
}

static void
purposes_are_those_asked_for(void **state)
{
	static const unsigned all[] = { PKI_EKU_SERVER, PKI_EKU_CLIENT,
		PKI_EKU_SERVER | PKI_EKU_CLIENT };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct issuer_request rq = { .eku = all[i] };

		assert_int_equal(sign(w, &rq).eku, all[i]);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_life_begins_before_now_and_lasts_as_long_as_it_may),
		TEST(a_short_life_is_backdated_by_a_tenth),
		TEST(no_life_outlasts_the_issuers),
		TEST(certificates_say_where_to_ask_about_them),
		TEST(no_rev_avail_stands_alone),
		TEST(purposes_are_those_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
