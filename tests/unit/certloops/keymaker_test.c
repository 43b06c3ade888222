/* SPDX-License-Identifier: ISC */
/* Keys made in child processes: good ones, and children that die or hang. */
#include "../unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/when.h"
#include "certloops/keymaker.h"

enum { MOST = 8 };

struct fx {
	struct loop *loop;
	struct keymaker *maker;
	struct task task;
	unsigned answers;
	EVP_PKEY *keys[MOST];
	const char *whys[MOST];
};

static int
setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	fx->loop = loop_new();
	task_init(&fx->task);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *fx = *state;

	task_end(&fx->task);
	keymaker_free(fx->maker);
	loop_free(fx->loop);
	for (unsigned i = 0; i < fx->answers; i++)
		EVP_PKEY_free(fx->keys[i]);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	free(fx);
	return 0;
}

static void
on_key(void *arg, EVP_PKEY *key, const char *why)
{
	struct fx *fx = arg;

	assert_true(fx->answers < MOST);
	assert_true((key == NULL) == (why != NULL));
	fx->keys[fx->answers] = key;
	fx->whys[fx->answers++] = why; /* a literal */
}

static void
begin(struct fx *fx, EVP_PKEY *(*make)(enum pki_key_kind), int64_t limit)
{
	struct keymaker_options o = { .loop = fx->loop,
		.make = make,
		.limit = limit };

	fx->maker = keymaker_new(&o);
}

static void
ask(struct fx *fx, enum pki_key_kind kind)
{
	keymaker_start(fx->maker, &fx->task, kind, on_key, fx);
}

static void
wait_for(struct fx *fx, unsigned n)
{
	while (fx->answers < n)
		loop_turn(fx->loop, LOOP_WAIT);
}

static void
on_tick(void *arg)
{
	(void)arg;
}

static void
turn_for(struct fx *fx, int64_t usec)
{
	struct timer t;
	int64_t end = loop_mono(fx->loop) + usec;

	timer_init(&t, fx->loop, on_tick, NULL);
	while (loop_mono(fx->loop) < end) {
		timer_start(&t, WHEN_SECOND / 100);
		loop_turn(fx->loop, LOOP_WAIT);
	}
	timer_stop(&t);
}

static unsigned
count_children(void)
{
	char path[64], line[256] = "";
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", getpid(),
	    getpid());
	f = fopen(path, "r");
	assert_non_null(f);
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	for (const char *p = line; *p != '\0'; p++)
		n += *p == ' ';
	return n;
}

/* ---- makers */

static EVP_PKEY *
die(enum pki_key_kind kind)
{
	(void)kind;
	(void)raise(SIGKILL);
	return NULL;
}

static EVP_PKEY *
hang(enum pki_key_kind kind)
{
	(void)kind;
	(void)pause();
	return NULL;
}

static EVP_PKEY *
make_nothing(enum pki_key_kind kind)
{
	(void)kind;
	return NULL;
}

static EVP_PKEY *
babble(enum pki_key_kind kind)
{
	(void)kind;
	if (write(3, "-----BEGIN PRIVATE KEY-----\nMIIEv", 33) != 33)
		abort();
	return NULL;
}

static EVP_PKEY *
take_long(enum pki_key_kind kind)
{
	const struct timespec span = { .tv_nsec = 400000000 };

	(void)nanosleep(&span, NULL);
	return pki_generate_key(kind == PKI_RSA ? PKI_P256 : kind);
}

/* ---- the tests */

static void
an_rsa_key_comes_from_a_child(void **state)
{
	struct fx *fx = *state;
	enum pki_key_kind kind;
	unsigned bits;

	begin(fx, NULL, 0);
	assert_true(keymaker_is_for(PKI_RSA));
	ask(fx, PKI_RSA);
	assert_int_equal(count_children(), 1);
	wait_for(fx, 1);
	assert_non_null(fx->keys[0]);
	assert_true(pki_key_is(fx->keys[0], &kind, &bits, NULL));
	assert_int_equal(kind, PKI_RSA);
	assert_int_equal(bits, 3072);
	assert_int_equal(count_children(), 0);
}

static void
the_loop_turns_while_a_key_is_made(void **state)
{
	struct fx *fx = *state;
	unsigned turns = 0;
	struct timer t;

	begin(fx, take_long, 0);
	timer_init(&t, fx->loop, on_tick, NULL);
	ask(fx, PKI_RSA);
	for (; fx->answers == 0; turns++) {
		timer_start(&t, WHEN_SECOND / 200);
		loop_turn(fx->loop, LOOP_WAIT);
	}
	timer_stop(&t);
	assert_non_null(fx->keys[0]);
	assert_true(turns > 5); /* a maker on the loop has one */
}

static void
two_keys_are_two(void **state)
{
	struct fx *fx = *state;

	begin(fx, NULL, 0);
	ask(fx, PKI_P256);
	ask(fx, PKI_P256);
	wait_for(fx, 2);
	assert_non_null(fx->keys[0]);
	assert_non_null(fx->keys[1]);
	assert_int_not_equal(EVP_PKEY_cmp(fx->keys[0], fx->keys[1]), 1);
}

static void
a_child_without_a_key_is_told_of(void **state)
{
	static EVP_PKEY *(*const bad[])(
	    enum pki_key_kind) = { die, make_nothing, babble };
	struct fx *fx = *state;

	for (unsigned i = 0; i < 3; i++) {
		begin(fx, bad[i], 0);
		ask(fx, PKI_RSA);
		wait_for(fx, i + 1);
		assert_null(fx->keys[i]);
		assert_non_null(strstr(fx->whys[i], "was ended"));
		assert_int_equal(count_children(), 0);
		keymaker_free(fx->maker);
	}
	fx->maker = NULL;
}

static void
a_child_that_hangs_is_ended_at_its_limit(void **state)
{
	struct fx *fx = *state;

	begin(fx, hang, WHEN_SECOND / 10);
	ask(fx, PKI_RSA);
	turn_for(fx, WHEN_SECOND / 20);
	assert_int_equal(fx->answers, 0);
	assert_int_equal(count_children(), 1);
	wait_for(fx, 1);
	assert_null(fx->keys[0]);
	assert_int_equal(count_children(), 0);
}

static void
no_more_than_two_are_made_at_a_time(void **state)
{
	struct fx *fx = *state;

	begin(fx, hang, WHEN_SECOND / 10);
	for (int i = 0; i < 5; i++)
		ask(fx, PKI_RSA);
	assert_int_equal(count_children(), 2);
	wait_for(fx, 2);
	assert_true(count_children() <= 2);
	wait_for(fx, 5); /* each has its turn and its answer */
	assert_int_equal(count_children(), 0);
}

static void
who_waits_no_more_is_told_nothing_and_the_child_ends(void **state)
{
	struct fx *fx = *state;

	begin(fx, hang, 0);
	for (int i = 0; i < 4; i++)
		ask(fx, PKI_RSA);
	task_end(&fx->task);
	task_init(&fx->task);
	while (count_children() > 0)
		turn_for(fx, WHEN_SECOND / 50);
	assert_int_equal(fx->answers, 0);
}

static void
freeing_it_ends_what_is_under_way(void **state)
{
	struct fx *fx = *state;

	begin(fx, hang, 0);
	for (int i = 0; i < 4; i++)
		ask(fx, PKI_RSA);
	keymaker_free(fx->maker);
	fx->maker = NULL;
	/* a child that goes on would keep this waiting for ever */
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	assert_int_equal(fx->answers, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_rsa_key_comes_from_a_child),
		TEST(the_loop_turns_while_a_key_is_made),
		TEST(two_keys_are_two),
		TEST(a_child_without_a_key_is_told_of),
		TEST(a_child_that_hangs_is_ended_at_its_limit),
		TEST(no_more_than_two_are_made_at_a_time),
		TEST(who_waits_no_more_is_told_nothing_and_the_child_ends),
		TEST(freeing_it_ends_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
