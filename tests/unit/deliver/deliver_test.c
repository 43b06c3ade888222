/* SPDX-License-Identifier: ISC */
/* Pairs into folders and files, and the program that judges them. */
#include "../unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "deliver/deliver.h"

struct fx {
	struct arena *a;
	struct loop *loop;
	struct deliver *deliver;
	char dir[64];
	struct task task;
	bool done;
	struct deliver_result got;
};

/* ---- the fixture */

static int
setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	strcpy(fx->dir, "/tmp/deliver-test-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	fx->a = arena_create();
	fx->loop = loop_new();
	fx->deliver = deliver_new(fx->loop);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *fx = *state;
	char command[128];

	deliver_free(fx->deliver);
	loop_free(fx->loop);
	snprintf(command, sizeof(command), "rm -rf %s", fx->dir);
	assert_int_equal(system(command), 0);
	arena_destroy(fx->a);
	free(fx);
	return 0;
}

static struct str
in(struct fx *fx, const char *name)
{
	return str_printf(fx->a, "%s/%s", fx->dir, name);
}

static void
on_delivered(void *arg, const struct deliver_result *r)
{
	struct fx *fx = arg;

	fx->got = *r;
	fx->got.why = r->why != NULL ? str_cstr(fx->a, str_from(r->why)) : NULL;
	fx->got.output = str_dup(fx->a, r->output);
	fx->done = true;
}

static void
start(struct fx *fx, const struct deliver_job *j)
{
	fx->done = false;
	task_init(&fx->task);
	deliver_start(fx->deliver, &fx->task, j, on_delivered, fx);
	assert_false(fx->done); /* never within the call */
}

static enum deliver_outcome
run(struct fx *fx, const struct deliver_job *j)
{
	start(fx, j);
	while (!fx->done)
		loop_turn(fx->loop, LOOP_WAIT);
	task_end(&fx->task);
	return fx->got.outcome;
}

static struct deliver_job
job(struct fx *fx, const char *version)
{
	return (struct deliver_job){
		.name = STR("web"),
		.names = STR("a.example b.example"),
		.serial = STR("0badcafe"),
		.expires = STR("2030-01-02T03:04:05Z"),
		.cert = str_printf(fx->a, "cert %s\n", version),
		.chain = STR("chain\n"),
		.key = str_printf(fx->a, "key %s\n", version),
		.mode = 0600,
		.hook_timeout = 20 * 1000000,
		.lock_file = in(fx, "lock"),
	};
}

static struct deliver_job
folder_job(struct fx *fx, const char *version)
{
	struct deliver_job j = job(fx, version);

	j.folder = in(fx, "deep/er/web");
	return j;
}

static struct deliver_job
file_job(struct fx *fx, const char *version)
{
	struct deliver_job j = job(fx, version);

	j.key_file = in(fx, "web.key");
	j.fullchain_file = in(fx, "web.pem");
	return j;
}

static void
set_hook(struct fx *fx, struct deliver_job *j, const char *script)
{
	struct str *words = arena_array(fx->a, struct str, 4);

	words[0] = STR("/bin/sh");
	words[1] = STR("-c");
	words[2] = str_dup(fx->a, str_from(script));
	words[3] = STR("two words; $HOME");
	j->hook = words;
	j->nhook = 4;
}

static struct str
contents(struct fx *fx, const char *name)
{
	struct buf b = buf_new(fx->a, 1 << 16);
	FILE *f = fopen(in(fx, name).p, "r");
	int c;

	if (f == NULL)
		return STR_NONE;
	while ((c = getc(f)) != EOF)
		buf_char(&b, (char)c);
	fclose(f);
	return b.len > 0 ? buf_view(&b) : STR("");
}

static unsigned
mode_of(struct fx *fx, const char *name)
{
	struct stat st;

	assert_int_equal(stat(in(fx, name).p, &st), 0);
	return st.st_mode & 0777;
}

static unsigned
entries(struct fx *fx, const char *name)
{
	DIR *d = opendir(in(fx, name).p);
	const struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

#define FOLDER "deep/er/web"

static void
assert_folder(struct fx *fx, const char *version)
{
	struct str cert = str_printf(fx->a, "cert %s\n", version);
	struct str key = str_printf(fx->a, "key %s\n", version);

	assert_str(contents(fx, FOLDER "/current/cert.pem"), cert.p);
	assert_str(contents(fx, FOLDER "/current/privkey.pem"), key.p);
	assert_str(contents(fx, FOLDER "/current/chain.pem"), "chain\n");
	assert_str(contents(fx, FOLDER "/current/fullchain.pem"),
	    str_join(fx->a, cert, STR("chain\n")).p);
	assert_str(contents(fx, FOLDER "/current/combined.pem"),
	    str_join(fx->a, key, cert, STR("chain\n")).p);
}

/* ---- folders */

static void
a_folder_is_made_with_everything_in_it(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = folder_job(fx, "1");
	mode_t old = umask(077);

	assert_int_equal(run(fx, &j), DELIVER_DONE);
	umask(old);
	assert_folder(fx, "1");
	assert_int_equal(mode_of(fx, FOLDER "/current/privkey.pem"), 0600);
	assert_int_equal(mode_of(fx, FOLDER "/current/combined.pem"), 0600);
	assert_int_equal(mode_of(fx, FOLDER "/current/cert.pem"), 0644);
	assert_int_equal(mode_of(fx, FOLDER "/current"), 0755);
	assert_int_equal(mode_of(fx, "deep"), 0755);
}

static void
the_same_bytes_are_not_written_twice(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = folder_job(fx, "1"), k = file_job(fx, "1");
	struct stat before, after;

	set_hook(fx, &k, "echo ran");
	assert_int_equal(run(fx, &j), DELIVER_DONE);
	assert_int_equal(stat(in(fx, FOLDER "/current").p, &before), 0);
	assert_int_equal(run(fx, &j), DELIVER_UNCHANGED);
	assert_int_equal(stat(in(fx, FOLDER "/current").p, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(run(fx, &k), DELIVER_DONE);
	assert_str(fx->got.output, "ran\n");
	assert_int_equal(stat(in(fx, "web.key").p, &before), 0);
	assert_int_equal(run(fx, &k), DELIVER_UNCHANGED);
	assert_str(fx->got.output, "");
	assert_int_equal(stat(in(fx, "web.key").p, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	/* unless the program has not said yes yet */
	k.always_hook = true;
	assert_int_equal(run(fx, &k), DELIVER_UNCHANGED);
	assert_str(fx->got.output, "ran\n");
}

static void
only_the_version_in_use_is_kept(void **state)
{
	struct fx *fx = *state;
	static const char *const versions[] = { "1", "2", "3", "4" };

	for (size_t i = 0; i < 4; i++) {
		struct deliver_job j = folder_job(fx, versions[i]);

		assert_int_equal(run(fx, &j), DELIVER_DONE);
		assert_folder(fx, versions[i]);
	}
	assert_int_equal(entries(fx, FOLDER), 2); /* version and link */
}

static void
a_folder_that_is_somebody_elses_is_left_alone(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = job(fx, "1");

	j.folder = in(fx, "theirs");
	assert_int_equal(mkdir(in(fx, "theirs").p, 0755), 0);
	assert_int_equal(mkdir(in(fx, "theirs/current").p, 0755), 0);
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_non_null(strstr(fx->got.why, "theirs/current"));
	assert_int_equal(entries(fx, "theirs"), 1);
}

/* ---- hooks */

static void
a_failing_hook_puts_the_old_folder_back(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = folder_job(fx, "1");

	assert_int_equal(run(fx, &j), DELIVER_DONE);
	j = folder_job(fx, "2");
	set_hook(fx, &j, "cat \"$CERTLOOP_CERT\"; echo no >&2; exit 3");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_true(fx->got.put_back);
	assert_str(str_from(fx->got.why), "the hook /bin/sh ended with 3");
	assert_str(fx->got.output, "cert 2\nno\n"); /* it saw the new one */
	assert_folder(fx, "1");
	assert_int_equal(entries(fx, FOLDER), 2);
	set_hook(fx, &j, "exit 0");
	assert_int_equal(run(fx, &j), DELIVER_DONE);
	assert_folder(fx, "2");
}

static void
a_failing_hook_puts_old_files_back(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	assert_int_equal(run(fx, &j), DELIVER_DONE);
	j = file_job(fx, "2");
	set_hook(fx, &j, "kill -KILL $$");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_true(fx->got.put_back);
	assert_str(str_from(fx->got.why),
	    "the hook /bin/sh was ended by signal 9");
	assert_str(contents(fx, "web.key"), "key 1\n");
	assert_str(contents(fx, "web.pem"), "cert 1\nchain\n");
	assert_int_equal(mode_of(fx, "web.key"), 0600);
	assert_int_equal(entries(fx, ""), 3); /* and the lock */
}

static void
the_first_pair_stays_though_the_hook_fails(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = folder_job(fx, "1");

	set_hook(fx, &j, "exit 1");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_false(fx->got.put_back);
	assert_folder(fx, "1"); /* a server may need it to start at all */
}

static void
a_hook_is_told_what_was_delivered(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");
	struct str want;

	setenv("SECRET_OF_THE_DAEMON", "x", 1);
	set_hook(fx, &j,
	    "echo \"$0|$CERTLOOP_NAME|$CERTLOOP_NAMES|$CERTLOOP_SERIAL|"
	    "$CERTLOOP_EXPIRES|$CERTLOOP_KEY|$CERTLOOP_FULLCHAIN|"
	    "${CERTLOOP_CERT-unset}|${SECRET_OF_THE_DAEMON-unset}|$PWD\"; "
	    /* the folder that it reads is 3 */
	    "for f in /proc/$$/fd/*; do printf '%s ' ${f##*/}; done");
	assert_int_equal(run(fx, &j), DELIVER_DONE);
	want = str_printf(fx->a,
	    "two words; $HOME|web|a.example b.example|0badcafe|"
	    "2030-01-02T03:04:05Z|%s/web.key|%s/web.pem|unset|unset|/\n0 1 2 "
	    "3 ",
	    fx->dir, fx->dir);
	assert_str(fx->got.output, want.p);
}

/* Within a second; a zombie that nobody has reaped yet is gone. */
static bool
is_gone(int pid)
{
	struct timespec nap = { .tv_nsec = 10 * 1000000 };
	char path[64], state = '?';

	assert_true(pid > 1);
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int i = 0; i < 100; i++) {
		FILE *f = fopen(path, "r");

		if (f == NULL)
			return true;
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = '?';
		fclose(f);
		if (state == 'Z')
			return true;
		nanosleep(&nap, NULL);
	}
	return false;
}

static void
a_hook_that_takes_too_long_is_ended_with_its_children(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	assert_int_equal(run(fx, &j), DELIVER_DONE);
	j = file_job(fx, "2");
	j.hook_timeout = 300 * 1000;
	/* deaf to SIGTERM, with a child of its own */
	set_hook(fx, &j,
	    "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1; done");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_non_null(strstr(fx->got.why, "took longer than"));
	assert_true(fx->got.put_back);
	assert_str(contents(fx, "web.key"), "key 1\n");
	assert_true(is_gone(atoi(fx->got.output.p)));
}

static void
output_is_cut_and_does_not_block_the_hook(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	set_hook(fx, &j, "head -c 1000000 /dev/zero | tr '\\0' x");
	assert_int_equal(run(fx, &j), DELIVER_DONE);
	assert_int_equal(fx->got.output.n, DELIVER_OUTPUT_MAX);
}

static void
a_hook_that_cannot_be_run_is_a_failure(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");
	static const struct str none[] = { { "/no/such/program", 16 } };

	j.hook = none;
	j.nhook = 1;
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_str(str_from(fx->got.why),
	    "the hook /no/such/program ended with 127");
	assert_non_null(strstr(fx->got.output.p, "No such file"));
}

/* ---- files */

static void
nothing_changes_if_one_file_cannot_be_written(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	assert_int_equal(run(fx, &j), DELIVER_DONE);
	j = file_job(fx, "2");
	j.chain_file = in(fx, "no/such/folder/chain.pem");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_non_null(strstr(fx->got.why, "no/such/folder"));
	assert_str(contents(fx, "web.key"), "key 1\n");
	assert_str(contents(fx, "web.pem"), "cert 1\nchain\n");
}

/* The rename of one of them fails: a folder stands in its place. */
static void
files_that_were_replaced_already_come_back(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	assert_int_equal(run(fx, &j), DELIVER_DONE);
	j = file_job(fx, "2");
	j.chain_file = in(fx, "chain");
	assert_int_equal(mkdir(in(fx, "chain").p, 0755), 0);
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_str(contents(fx, "web.key"), "key 1\n");
	assert_str(contents(fx, "web.pem"), "cert 1\nchain\n");
}

/* A process that ended between the rename and the program's answer. */
static void
a_delivery_that_was_cut_off_is_finished_or_undone(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	assert_int_equal(run(fx, &j), DELIVER_DONE);
	assert_int_equal(link(in(fx, "web.key").p,
			     in(fx, "web.key.certloop-old").p),
	    0);
	assert_int_equal(link(in(fx, "web.pem").p,
			     in(fx, "web.pem.certloop-old").p),
	    0);
	j = file_job(fx, "2");
	assert_int_equal(unlink(in(fx, "web.key").p), 0);
	assert_int_equal(unlink(in(fx, "web.pem").p), 0);
	j.always_hook = true;
	set_hook(fx, &j, "exit 1");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_true(fx->got.put_back);
	assert_str(contents(fx, "web.key"), "key 1\n");
	assert_str(contents(fx, "web.pem"), "cert 1\nchain\n");
}

static void
an_unknown_owner_is_told(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	j.owner = STR("nobody-of-that-name");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_str(str_from(fx->got.why),
	    "there is no user nobody-of-that-name");
	j.owner = STR("");
	j.group = STR("nor-that-group");
	assert_int_equal(run(fx, &j), DELIVER_FAILED);
	assert_str(str_from(fx->got.why), "there is no group nor-that-group");
	assert_null(contents(fx, "web.key").p);
}

static void
mode_and_group_are_set(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	j.mode = 0640;
	assert_int_equal(run(fx, &j), DELIVER_DONE);
	assert_int_equal(mode_of(fx, "web.key"), 0640);
	assert_int_equal(mode_of(fx, "web.pem"), 0644);
}

/* ---- the loop's side */

static void
after_the_task_has_ended_nothing_is_told_and_the_work_is_done(void **state)
{
	struct fx *fx = *state;
	struct deliver_job j = file_job(fx, "1");

	start(fx, &j);
	task_end(&fx->task);
	while (contents(fx, "web.pem").p == NULL)
		loop_turn(fx->loop, LOOP_POLL);
	j = file_job(fx, "2");
	assert_int_equal(run(fx, &j), DELIVER_DONE); /* waits for the lock */
	assert_str(contents(fx, "web.key"), "key 2\n");
}

static void
two_at_once_on_one_lock_come_one_after_the_other(void **state)
{
	struct fx *fx = *state;
	struct deliver_job slow = file_job(fx, "1"), j = file_job(fx, "2");

	set_hook(fx, &slow, "sleep 0.5");
	start(fx, &slow);
	while (contents(fx, "web.pem").p == NULL)
		loop_turn(fx->loop, LOOP_POLL);
	task_end(&fx->task);
	assert_int_equal(run(fx, &j), DELIVER_DONE);
	assert_str(contents(fx, "web.key"), "key 2\n");
	assert_null(contents(fx, "web.key.certloop-old").p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_folder_is_made_with_everything_in_it),
		TEST(the_same_bytes_are_not_written_twice),
		TEST(only_the_version_in_use_is_kept),
		TEST(a_folder_that_is_somebody_elses_is_left_alone),
		TEST(a_failing_hook_puts_the_old_folder_back),
		TEST(a_failing_hook_puts_old_files_back),
		TEST(the_first_pair_stays_though_the_hook_fails),
		TEST(a_hook_is_told_what_was_delivered),
		TEST(a_hook_that_takes_too_long_is_ended_with_its_children),
		TEST(output_is_cut_and_does_not_block_the_hook),
		TEST(a_hook_that_cannot_be_run_is_a_failure),
		TEST(nothing_changes_if_one_file_cannot_be_written),
		TEST(files_that_were_replaced_already_come_back),
		TEST(a_delivery_that_was_cut_off_is_finished_or_undone),
		TEST(an_unknown_owner_is_told),
		TEST(mode_and_group_are_set),
		TEST(
		    after_the_task_has_ended_nothing_is_told_and_the_work_is_done),
		TEST(two_at_once_on_one_lock_come_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
