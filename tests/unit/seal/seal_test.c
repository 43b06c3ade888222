/* SPDX-License-Identifier: ISC */
/* Tokens and secrets open only as they were sealed; key files are ours. */
#include "../unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "seal/seal.h"

static struct arena *arena;
static struct seal_key key, other;

static const struct seal_place place = {
	.table = { "issuer", 6 },
	.row = { "vault", 5 },
	.column = { "token", 5 },
};

static int
begin(void **state)
{
	(void)state;
	arena = arena_create();
	seal_key_init(&key);
	seal_key_init(&other);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_destroy(arena);
	return 0;
}

/* A copy with the i-th byte changed. */
static struct str
spoil(struct str s, size_t i, uint8_t flip)
{
	char *p = str_cstr(arena, s);

	memcpy(p, s.p, s.n);
	p[i] = (char)((uint8_t)p[i] ^ flip);
	return str_make(p, s.n);
}

/* ---- tokens */

static void
opens_the_token_it_sealed(void **state)
{
	static char big[SEAL_TOKEN_MAX + 1];
	struct seal_box *b = seal_box_new(&key, 7);
	struct str token, plain;
	uint8_t id;

	(void)state;
	for (size_t n = 0; n <= SEAL_TOKEN_MAX; n += 64) {
		memset(big, (int)n, sizeof(big));
		token = seal_token(arena, b, str_make(big, n), STR("nonce"));
		assert_int_equal(token.n, n + SEAL_TOKEN_EXTRA);
		assert_true(seal_token_id(token, &id));
		assert_int_equal(id, 7);
		assert_int_equal(seal_box_id(b), 7);
		assert_true(
		    seal_open_token(arena, b, token, STR("nonce"), &plain));
		assert_true(str_eq(plain, str_make(big, n)));
	}
	token = seal_token(arena, b, str_make(big, sizeof(big)), STR("nonce"));
	assert_null(token.p);
	seal_box_free(b);
	seal_box_free(NULL);
}

static void
refuses_a_token_with_any_byte_changed(void **state)
{
	struct seal_box *b = seal_box_new(&key, 7);
	struct str token = seal_token(arena, b, STR("16 bytes of text"),
	    STR("nonce"));
	struct str plain;

	(void)state;
	for (size_t i = 0; i < token.n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct str bad = spoil(token, i, (uint8_t)(1u << bit));

			assert_false(seal_open_token(arena, b, bad,
			    STR("nonce"), &plain));
			assert_null(plain.p);
		}
	for (size_t n = 0; n < token.n; n++)
		assert_false(seal_open_token(arena, b, str_make(token.p, n),
		    STR("nonce"), &plain));
	assert_true(seal_open_token(arena, b, token, STR("nonce"), &plain));
	seal_box_free(b);
}

static void
refuses_a_token_of_another_use_key_or_id(void **state)
{
	struct seal_box *b = seal_box_new(&key, 7);
	struct seal_box *same_id = seal_box_new(&other, 7);
	struct seal_box *same_key = seal_box_new(&key, 8);
	struct str token = seal_token(arena, b, STR("text"), STR("nonce"));
	struct str plain;

	(void)state;
	assert_false(seal_open_token(arena, b, token, STR("cursor"), &plain));
	assert_false(seal_open_token(arena, b, token, STR(""), &plain));
	assert_false(
	    seal_open_token(arena, same_id, token, STR("nonce"), &plain));
	assert_false(
	    seal_open_token(arena, same_key, token, STR("nonce"), &plain));
	seal_box_free(b);
	seal_box_free(same_id);
	seal_box_free(same_key);
}

static void
refuses_what_has_not_the_size_of_a_token(void **state)
{
	static char zeros[SEAL_TOKEN_EXTRA + SEAL_TOKEN_MAX + 1];
	struct seal_box *b = seal_box_new(&key, 0);
	struct str plain;
	uint8_t id;

	(void)state;
	assert_false(seal_token_id(STR_NONE, &id));
	assert_false(seal_token_id(str_make(zeros, SEAL_TOKEN_EXTRA - 1), &id));
	assert_false(seal_token_id(str_make(zeros, sizeof(zeros)), &id));
	assert_false(seal_open_token(arena, b, STR_NONE, STR(""), &plain));
	assert_false(seal_open_token(arena, b, str_make(zeros, sizeof(zeros)),
	    STR(""), &plain));
	seal_box_free(b);
}

static void
seals_the_same_text_to_a_different_token_each_time(void **state)
{
	struct seal_box *b = seal_box_new(&key, 7);

	(void)state;
	assert_false(str_eq(seal_token(arena, b, STR("text"), STR("")),
	    seal_token(arena, b, STR("text"), STR(""))));
	seal_box_free(b);
}

/* ---- secrets */

static struct seal_ring *
ring_of(const struct seal_key *first, const struct seal_key *second)
{
	struct seal_ring *r = seal_ring_new();

	assert_true(seal_ring_add(r, first));
	if (second != NULL)
		assert_true(seal_ring_add(r, second));
	return r;
}

static void
opens_the_secret_it_sealed(void **state)
{
	struct seal_ring *r = ring_of(&key, NULL);
	char *big = arena_zalloc(arena, SEAL_SECRET_MAX + 1);
	const size_t sizes[] = { 0, 1, 1000, SEAL_SECRET_MAX };
	struct str blob, plain;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct str secret = str_make(big, sizes[i]);

		blob = seal_secret(arena, r, &place, secret);
		assert_int_equal(blob.n, sizes[i] + SEAL_SECRET_EXTRA);
		assert_int_equal(blob.p[0], 1);
		assert_int_equal(seal_open_secret(arena, r, &place, blob,
				     &plain),
		    SEAL_OK);
		assert_true(str_eq(plain, secret));
	}
	blob = seal_secret(arena, r, &place,
	    str_make(big, SEAL_SECRET_MAX + 1));
	assert_null(blob.p);
	seal_ring_free(r);
}

static void
refuses_a_secret_with_any_byte_changed(void **state)
{
	struct seal_ring *r = ring_of(&key, &other);
	struct str blob = seal_secret(arena, r, &place, STR("s3cret"));
	struct str plain;

	(void)state;
	for (size_t i = 0; i < blob.n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct str bad = spoil(blob, i, (uint8_t)(1u << bit));
			enum seal_verdict v = seal_open_secret(arena, r, &place,
			    bad, &plain);

			if (i == 0)
				assert_int_equal(v,
				    bit == 0 ? SEAL_BAD : SEAL_VERSION);
			else if (i <= 8)
				assert_int_equal(v, SEAL_NO_KEY);
			else
				assert_int_equal(v, SEAL_BAD);
			assert_null(plain.p);
		}
	for (size_t n = 0; n < blob.n; n++)
		assert_int_equal(seal_open_secret(arena, r, &place,
				     str_make(blob.p, n), &plain),
		    SEAL_BAD);
	seal_ring_free(r);
}

static void
opens_a_secret_only_in_its_place(void **state)
{
	struct seal_ring *r = ring_of(&key, NULL);
	struct str blob = seal_secret(arena, r, &place, STR("s3cret"));
	const struct seal_place elsewhere[] = {
		{ STR("issuers"), STR("vault"), STR("token") },
		{ STR("issuer"), STR("vault2"), STR("token") },
		{ STR("issuer"), STR("vault"), STR("key") },
		/* the same letters, cut elsewhere */
		{ STR("issuerv"), STR("ault"), STR("token") },
		{ STR("issuer"), STR("vaultt"), STR("oken") },
		{ STR(""), STR(""), STR("issuervaulttoken") },
	};
	struct str plain;

	(void)state;
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		assert_int_equal(seal_open_secret(arena, r, &elsewhere[i], blob,
				     &plain),
		    SEAL_BAD);
	seal_ring_free(r);
}

static void
seals_with_the_first_key_and_opens_with_all(void **state)
{
	struct seal_ring *before = ring_of(&key, NULL);
	struct seal_ring *rotated = ring_of(&other, &key);
	struct seal_ring *after = ring_of(&other, NULL);
	struct str old = seal_secret(arena, before, &place, STR("s3cret"));
	struct str new = seal_secret(arena, rotated, &place, STR("s3cret"));
	struct str plain;

	(void)state;
	assert_int_equal(seal_open_secret(arena, rotated, &place, old, &plain),
	    SEAL_OK);
	assert_str(plain, "s3cret");
	assert_int_equal(seal_open_secret(arena, after, &place, new, &plain),
	    SEAL_OK);
	assert_int_equal(seal_open_secret(arena, after, &place, old, &plain),
	    SEAL_NO_KEY);
	seal_ring_free(before);
	seal_ring_free(rotated);
	seal_ring_free(after);
}

static void
bounds_its_ring_and_takes_no_key_twice(void **state)
{
	struct seal_ring *r = seal_ring_new();
	struct seal_key k;

	(void)state;
	assert_null(seal_secret(arena, r, &place, STR("x")).p);
	for (int i = 0; i < SEAL_RING_MAX; i++) {
		seal_key_init(&k);
		assert_true(seal_ring_add(r, &k));
		assert_false(seal_ring_add(r, &k));
	}
	assert_false(seal_ring_add(r, &key));
	seal_ring_free(r);
	seal_ring_free(NULL);
}

struct look {
	struct str *at;
	char seen[6];
};

static void
look_again(void *arg)
{
	struct look *l = arg;

	memcpy(l->seen, l->at->p, sizeof(l->seen));
}

static void
wipes_an_opened_secret_with_its_arena(void **state)
{
	struct seal_ring *r = ring_of(&key, NULL);
	struct str blob = seal_secret(arena, r, &place, STR("s3cret"));
	struct arena *inner = arena_create();
	struct str plain;
	struct look look = { .at = &plain };

	(void)state;
	/* hooks run newest first: this one after the wipe, before free */
	arena_defer(inner, look_again, &look);
	assert_int_equal(seal_open_secret(inner, r, &place, blob, &plain),
	    SEAL_OK);
	assert_str(plain, "s3cret");
	arena_destroy(inner);
	assert_memory_equal(look.seen, "\0\0\0\0\0\0", 6);
	seal_ring_free(r);
}

/* ---- key files */

static const char *
file_in(const char *dir, const char *name)
{
	return str_printf(arena, "%s/%s", dir, name).p;
}

static void
write_file(const char *path, size_t n, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	char bytes[100] = { 1 };

	assert_true(fd != -1);
	assert_int_equal(write(fd, bytes, n), n);
	fchmod(fd, mode);
	close(fd);
}

static void
makes_a_key_file_and_loads_it(void **state)
{
	char dir[] = "/tmp/seal_testXXXXXX";
	const char *path;
	struct seal_key a, b;
	struct stat st;
	struct str why;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = file_in(dir, "key");
	assert_true(seal_make_key(arena, path, &why));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, SEAL_KEY_LEN);
	assert_int_equal(st.st_nlink, 1); /* the temporary name is gone */
	assert_true(seal_load_key(arena, path, &a, &why));
	/* a second attempt changes nothing */
	assert_false(seal_make_key(arena, path, &why));
	assert_true(str_ends(why, STR("key: File exists")));
	assert_true(seal_load_key(arena, path, &b, &why));
	assert_memory_equal(a.bytes, b.bytes, SEAL_KEY_LEN);
	/* and keys differ */
	unlink(path);
	assert_true(seal_make_key(arena, path, &why));
	assert_true(seal_load_key(arena, path, &b, &why));
	assert_memory_not_equal(a.bytes, b.bytes, SEAL_KEY_LEN);
	unlink(path);
	assert_int_equal(rmdir(dir), 0); /* nothing else was left there */
	assert_false(seal_make_key(arena, file_in(dir, "key"), &why));
}

static void
refuses_key_files_that_are_not_safe_or_not_keys(void **state)
{
	char dir[] = "/tmp/seal_testXXXXXX";
	const struct {
		size_t size;
		mode_t mode;
		const char *why;
	} bad[] = {
		{ 32, 0640, "mode 0640" },
		{ 32, 0604, "mode 0604" },
		{ 32, 0610, "mode 0610" },
		{ 31, 0600, "has 31 bytes; a key has 32" },
		{ 33, 0600, "has 33 bytes; a key has 32" },
		{ 0, 0600, "has 0 bytes; a key has 32" },
	};
	const char *path;
	struct seal_key k;
	struct str why;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = file_in(dir, "key");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(path, bad[i].size, bad[i].mode);
		assert_false(seal_load_key(arena, path, &k, &why));
		assert_non_null(strstr(why.p, bad[i].why));
		assert_true(str_starts(why, str_from(path)));
	}
	write_file(path, 32, 0400);
	assert_true(seal_load_key(arena, path, &k, &why));
	unlink(path);
	assert_false(seal_load_key(arena, path, &k, &why));
	assert_true(str_ends(why, STR("No such file or directory")));
	assert_false(seal_load_key(arena, dir, &k, &why));
	assert_true(str_ends(why, STR("not a regular file")));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(seal_load_key(arena, path, &k, &why)); /* and at once */
	assert_true(str_ends(why, STR("not a regular file")));
	unlink(path);
	rmdir(dir);
}

static void
refuses_a_key_file_of_another_user(void **state)
{
	char dir[] = "/tmp/seal_testXXXXXX";
	const char *path;
	struct seal_key k;
	struct str why;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	path = file_in(dir, "key");
	write_file(path, 32, 0600);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_false(seal_load_key(arena, path, &k, &why));
	assert_non_null(strstr(why.p, "belongs to user 12345"));
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(opens_the_token_it_sealed),
		TEST(refuses_a_token_with_any_byte_changed),
		TEST(refuses_a_token_of_another_use_key_or_id),
		TEST(refuses_what_has_not_the_size_of_a_token),
		TEST(seals_the_same_text_to_a_different_token_each_time),
		TEST(opens_the_secret_it_sealed),
		TEST(refuses_a_secret_with_any_byte_changed),
		TEST(opens_a_secret_only_in_its_place),
		TEST(seals_with_the_first_key_and_opens_with_all),
		TEST(bounds_its_ring_and_takes_no_key_twice),
		TEST(wipes_an_opened_secret_with_its_arena),
		TEST(makes_a_key_file_and_loads_it),
		TEST(refuses_key_files_that_are_not_safe_or_not_keys),
		TEST(refuses_a_key_file_of_another_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
