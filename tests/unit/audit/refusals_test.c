/* SPDX-License-Identifier: ISC */
/* Refusals: what is a row at once, what is counted, and how many rows there
 * can be. Windows end because the test says so. */
#include "../../../src/audit/refusals.c"

#include "../unit.h"

#include <stdio.h>
#include <unistd.h>

struct fixture {
	struct arena *a;
	struct loop *loop;
	struct store *store;
	struct refusals *refusals;
	char dir[64];
	struct task task;
	bool answered;
	size_t nrows;
	struct row {
		struct str actor, object, order, account;
		const struct json *detail;
	} rows[1000]; /* the oldest first */
};

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_options o = { .deadline = 5 * WHEN_SECOND };
	const char *why = NULL;

	f->a = arena_create();
	snprintf(f->dir, sizeof(f->dir), "/tmp/certloop-refusals-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	o.url = str_printf(f->a, "sqlite:%s/test.db", f->dir).p;
	if (!store_prepare(f->a, &o, STORE_MIGRATE, &why))
		fail_msg("%s", why);
	f->loop = loop_new();
	f->store = store_new(f->loop, &o, f->a, &why);
	assert_non_null(f->store);
	f->refusals = refusals_new(f->loop, f->store);
	metrics_reset();
	*state = f;
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;
	char command[128];

	refusals_free(f->refusals);
	store_free(f->store);
	loop_free(f->loop);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	arena_destroy(f->a);
	free(f);
	return 0;
}

static struct str
get(struct fixture *f, const struct store_result *r, size_t i, unsigned col)
{
	return str_dup(f->a, store_get_str(r, 0, i, col));
}

static enum step
on_rows(void *arg, const struct store_result *r)
{
	struct fixture *f = arg;

	assert_int_equal(r->status, STORE_OK);
	f->nrows = store_nrows(r, 0);
	for (size_t i = 0; i < f->nrows; i++)
		f->rows[i] = (struct row){
			.actor = get(f, r, i, AUDIT_LATEST_ACTOR),
			.object = get(f, r, i, AUDIT_LATEST_OBJECT),
			.order = get(f, r, i, AUDIT_LATEST_ORDER_ID),
			.account = get(f, r, i, AUDIT_LATEST_ACCOUNT),
			.detail = json_parse(f->a,
			    get(f, r, i, AUDIT_LATEST_DETAIL), NULL),
		};
	f->answered = true;
	return STEP_DONE;
}

/* Let everything be written, and read it. */
static size_t
rows(struct fixture *f)
{
	struct batch *b;

	while (refusals_busy(f->refusals))
		loop_turn(f->loop, LOOP_POLL);
	task_init(&f->task);
	b = store_new_batch(f->store, &f->task, STR(""));
	store_add(b, SQL_AUDIT_FOLLOWING);
	store_int(b, 0);
	store_str(b, STR(""));
	store_int(b, 1000);
	store_int(b, 1000);
	store_int(b, INT64_MAX);
	for (int i = 0; i < 5; i++)
		store_null(b);
	f->answered = false;
	(void)store_send_batch(b, on_rows, f);
	while (!f->answered)
		loop_turn(f->loop, LOOP_WAIT);
	task_end(&f->task);
	return f->nrows;
}

static void
refuse(struct fixture *f, const char *account, const char *order,
    enum problem_type type, const char *detail)
{
	const struct problem pr = { .type = type, .detail = str_from(detail) };

	refusals_note(f->refusals,
	    &(struct refusal){ .actor = str_printf(f->a, "account:%s", account),
		.account = str_from(account),
		.order = str_from(order),
		.object = str_from(order),
		.profile = STR("default"),
		.peer = STR("192.0.2.1"),
		.route = "finalize",
		.problem = &pr });
}

/* All windows end now. */
static void
end_windows(struct fixture *f)
{
	for (size_t i = 0; i < FOLDS; i++)
		f->refusals->folds[i].until = 0;
	on_tick(f->refusals);
}

static int64_t
count_of(const struct row *row)
{
	return json_get(row->detail, "count")->num;
}

static void
the_first_refusal_is_a_row_at_once(void **state)
{
	struct fixture *f = *state;
	struct row *row = &f->rows[0];

	refuse(f, "a", "o", PROBLEM_BAD_CSR, "the key is \xff weak");
	assert_int_equal(rows(f), 1);
	assert_str(row->actor, "account:a");
	assert_str(row->account, "a");
	assert_str(row->order, "o");
	assert_str(row->object, "o");
	assert_str(json_get_str(row->detail, "type"), "badCSR");
	assert_str(json_get_str(row->detail, "detail"), "the key is ? weak");
	assert_str(json_get_str(row->detail, "route"), "finalize");
	assert_str(json_get_str(row->detail, "profile"), "default");
	assert_str(json_get_str(row->detail, "peer"), "192.0.2.1");
	assert_int_equal(count_of(row), 1);
	assert_int_equal(metrics_get(METRIC_refusal_rows), 1);
}

static void
more_of_the_same_are_counted_until_the_window_ends(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++) {
		refuse(f, "a", "o", PROBLEM_BAD_CSR, "first");
		assert_int_equal(rows(f), 1);
	}
	refuse(f, "a", "o", PROBLEM_BAD_CSR, "last");
	end_windows(f);
	assert_int_equal(rows(f), 2);
	assert_int_equal(count_of(&f->rows[1]), 100);
	assert_str(json_get_str(f->rows[1].detail, "detail"), "last");
	assert_non_null(json_get(f->rows[1].detail, "since"));
	assert_int_equal(metrics_get(METRIC_refusals_noted), 101);
}

static void
windows_grow_to_an_hour_and_end_when_nothing_comes(void **state)
{
	struct fixture *f = *state;
	struct fold *d = &f->refusals->folds[0];
	int64_t window = WINDOW_MIN;

	refuse(f, "a", "o", PROBLEM_BAD_CSR, "x");
	(void)rows(f);
	for (int i = 0; i < 10; i++) {
		assert_true(d->window == window);
		refuse(f, "a", "o", PROBLEM_BAD_CSR, "x");
		end_windows(f);
		(void)rows(f);
		window = window * 2 < WHEN_HOUR ? window * 2 : WHEN_HOUR;
	}
	assert_true(d->window == WHEN_HOUR);
	end_windows(f);
	assert_false(d->used);
	assert_int_equal(f->refusals->nused, 0);
	assert_int_equal(rows(f), 11);
	/* and it begins anew */
	refuse(f, "a", "o", PROBLEM_BAD_CSR, "x");
	assert_int_equal(rows(f), 12);
	assert_true(d->window == WINDOW_MIN);
}

static void
orders_types_and_accounts_are_told_apart(void **state)
{
	struct fixture *f = *state;

	refuse(f, "a", "o1", PROBLEM_BAD_CSR, "x");
	refuse(f, "a", "o2", PROBLEM_BAD_CSR, "x");
	refuse(f, "a", "o1", PROBLEM_CAA, "x");
	refuse(f, "b", "o1", PROBLEM_BAD_CSR, "x");
	refuse(f, "a", "o1", PROBLEM_BAD_CSR, "x");
	assert_int_equal(rows(f), 4);
}

static void
one_account_has_its_share_and_no_more(void **state)
{
	struct fixture *f = *state;
	size_t sum = 0;

	for (int i = 0; i < 1000; i++)
		refuse(f, "a", str_printf(f->a, "o%d", i).p, PROBLEM_BAD_CSR,
		    "x");
	assert_int_equal(rows(f), REFUSALS_SHARE + 1);
	refuse(f, "b", "o", PROBLEM_BAD_CSR, "x");
	assert_int_equal(rows(f), REFUSALS_SHARE + 2);
	end_windows(f);
	(void)rows(f);
	for (size_t i = 0; i < f->nrows; i++)
		sum += (size_t)count_of(&f->rows[i]);
	assert_int_equal(sum, 1001); /* none is lost */
	/* those that are not told apart name the account, but no order */
	for (size_t i = 0; i < f->nrows; i++)
		if (f->rows[i].order.n == 0) {
			assert_str(f->rows[i].account, "a");
			assert_int_equal(f->rows[i].object.n, 0);
		}
}

static void
an_account_with_every_type_stays_within_two_shares(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 20; round++)
		for (int t = 0; t < PROBLEM_COUNT; t++)
			refuse(f, "a", str_printf(f->a, "o%d", round).p,
			    (enum problem_type)t, "x");
	assert_true(f->refusals->nused <= 2 * REFUSALS_SHARE);
	assert_true(rows(f) <= 2 * REFUSALS_SHARE + PROBLEM_COUNT);
}

static void
however_many_accounts_the_rows_are_bounded(void **state)
{
	struct fixture *f = *state;
	size_t sum = 0;

	for (int i = 0; i < 5000; i++)
		refuse(f, str_printf(f->a, "account%d", i).p, "o",
		    i % 2 == 0 ? PROBLEM_BAD_CSR : PROBLEM_CAA, "x");
	assert_int_equal(rows(f), REFUSALS_MAX + 2);
	refuse(f, "one more", "o", PROBLEM_CAA, "x");
	refuse(f, "account0", "o", PROBLEM_BAD_CSR, "x");
	end_windows(f);
	assert_int_equal(rows(f), REFUSALS_MAX + 4);
	for (size_t i = 0; i < f->nrows; i++)
		sum += (size_t)count_of(&f->rows[i]);
	assert_int_equal(sum, 5002);
	assert_int_equal(f->refusals->nused, 1); /* account0 */
}

static void
without_an_account_only_the_type_counts(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 1000; i++)
		refuse(f, "", "", PROBLEM_EXTERNAL_ACCOUNT_REQUIRED, "x");
	assert_int_equal(rows(f), 1);
	assert_int_equal(f->rows[0].account.n, 0);
}

/* Of API keys there is no account. */
static void
where_actors_count_they_are_told_apart(void **state)
{
	const struct problem pr = { .type = PROBLEM_UNAUTHENTICATED };
	struct fixture *f = *state;

	for (int i = 0; i < 30; i++) {
		refusals_note(f->refusals,
		    &(struct refusal){
			.actor = str_printf(f->a, "address:192.0.2.%d", i % 3),
			.by_actor = true,
			.object = STR("k"),
			.route = "admin-status",
			.problem = &pr });
		assert_int_equal(rows(f), i < 3 ? i + 1 : 3);
	}
	end_windows(f);
	assert_int_equal(rows(f), 6);
	for (size_t i = 0; i < 6; i++) {
		assert_true(str_starts(f->rows[i].actor, STR("address:192.")));
		assert_str(f->rows[i].object, "k");
		assert_int_equal(f->rows[i].account.n, 0);
		assert_int_equal(count_of(&f->rows[i]), i < 3 ? 1 : 9);
	}
}

/* Or one could say of any key that it was tried so often. */
static void
a_row_of_several_objects_names_none(void **state)
{
	static const char *const objects[] = { "a", "a", "b", "a", "a", "a" };
	const struct problem pr = { .type = PROBLEM_UNAUTHENTICATED };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		if (i == 4) { /* what follows is of another row, and of one */
			end_windows(f);
			assert_int_equal(rows(f), 2);
		}
		refusals_note(f->refusals,
		    &(struct refusal){ .actor = STR("address:192.0.2.1"),
			.by_actor = true,
			.object = str_from(objects[i]),
			.route = "admin-status",
			.problem = &pr });
		if (i == 0) /* it has its row at once */
			assert_int_equal(rows(f), 1);
	}
	end_windows(f);
	assert_int_equal(rows(f), 3);
	for (size_t i = 0; i < 3; i++)
		switch (count_of(&f->rows[i])) {
		case 3:
			assert_int_equal(f->rows[i].object.n, 0);
			break;
		default:
			assert_str(f->rows[i].object, "a");
		}
	assert_int_equal(count_of(&f->rows[0]) + count_of(&f->rows[1]) +
		count_of(&f->rows[2]),
	    6);
}

static void
what_was_counted_is_written_at_the_end(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 7; i++)
		refuse(f, "a", "o", PROBLEM_BAD_CSR, "x");
	assert_int_equal(rows(f), 1);
	refuse(f, "a", "o", PROBLEM_BAD_CSR, "x");
	refusals_flush(f->refusals);
	assert_true(refusals_busy(f->refusals));
	assert_int_equal(rows(f), 2);
	assert_int_equal(count_of(&f->rows[0]) + count_of(&f->rows[1]), 8);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make, drop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_first_refusal_is_a_row_at_once),
		T(more_of_the_same_are_counted_until_the_window_ends),
		T(windows_grow_to_an_hour_and_end_when_nothing_comes),
		T(orders_types_and_accounts_are_told_apart),
		T(one_account_has_its_share_and_no_more),
		T(an_account_with_every_type_stays_within_two_shares),
		T(however_many_accounts_the_rows_are_bounded),
		T(without_an_account_only_the_type_counts),
		T(where_actors_count_they_are_told_apart),
		T(a_row_of_several_objects_names_none),
		T(what_was_counted_is_written_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
