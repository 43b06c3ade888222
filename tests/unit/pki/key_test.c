/* SPDX-License-Identifier: ISC */
/* Keys and the files of keys; PEM. */
#include "../arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include "pki/pki.h"
#include "../rsa_key.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char folder[] = "/tmp/pki-key-XXXXXX";

static int
make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL;
}

static int
drop_folder(void **state)
{
	(void)state;
	return rmdir(folder); /* fails if a test left something behind */
}

static const char *
path_of(struct arena *a, const char *name)
{
	return str_printf(a, "%s/%s", folder, name).p;
}

static void
write_file(const char *path, struct str text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.n), (ssize_t)text.n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
expect(const char *why, const char *part)
{
	if (why == NULL || strstr(why, part) == NULL)
		fail_msg("\"%s\" instead of \"%s\"",
		    why != NULL ? why : "(success)", part);
}

static void
keys_of_every_kind_are_made_saved_and_loaded(void **state)
{
	static const unsigned bits[] = { 3072, 256, 384, 521, 256 };

	for (unsigned i = 0; i <= PKI_ED25519; i++) {
		const char *path = path_of(*state, "key.pem");
		EVP_PKEY *key = pki_generate_key((enum pki_key_kind)i);
		enum pki_key_kind kind;
		EVP_PKEY *again;
		struct stat st;
		unsigned n;

		assert_true(pki_key_is(key, &kind, &n, NULL));
		assert_int_equal(kind, i);
		assert_int_equal(n, bits[i]);
		assert_null(pki_save_key(*state, path, key, PKI_SAVE_NEW));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_null(pki_load_key(*state, path, &again));
		assert_int_equal(EVP_PKEY_cmp(key, again), 1);
		assert_true(str_eq(pki_write_spki(*state, key),
		    pki_write_spki(*state, again)));
		EVP_PKEY_free(again);
		EVP_PKEY_free(key);
		assert_int_equal(unlink(path), 0);
	}
}

static void
a_new_file_never_replaces_an_old_one(void **state)
{
	const char *path = path_of(*state, "key.pem");
	EVP_PKEY *one = pki_generate_key(PKI_P256), *two, *in;

	two = pki_generate_key(PKI_P256);
	assert_null(pki_save_key(*state, path, one, PKI_SAVE_NEW));
	expect(pki_save_key(*state, path, two, PKI_SAVE_NEW), "exists");
	assert_null(pki_load_key(*state, path, &in));
	assert_int_equal(EVP_PKEY_cmp(one, in), 1);
	EVP_PKEY_free(in);
	assert_null(pki_save_key(*state, path, two, PKI_SAVE_REPLACE));
	assert_null(pki_load_key(*state, path, &in));
	assert_int_equal(EVP_PKEY_cmp(two, in), 1);
	EVP_PKEY_free(in);
	EVP_PKEY_free(one);
	EVP_PKEY_free(two);
	/* the folder is empty again: no temporary file was left */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
}

static void
files_that_cannot_be_written_say_why(void **state)
{
	EVP_PKEY *key = pki_generate_key(PKI_P256);

	expect(pki_save_key(*state, path_of(*state, "no/key.pem"), key,
		   PKI_SAVE_NEW),
	    "No such file");
	expect(pki_save_text(*state, folder, STR("x"), PKI_SAVE_REPLACE),
	    "directory");
	EVP_PKEY_free(key);
}

static void
text_files_are_for_everyone(void **state)
{
	const char *path = path_of(*state, "cert.pem");
	struct stat st;

	assert_null(pki_save_text(*state, path, STR("x"), PKI_SAVE_NEW));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 1);
	assert_int_equal(unlink(path), 0);
}

/* A key in the form that `openssl ecparam -genkey` writes. */
static struct str
sec1_pem(struct arena *a, EVP_PKEY *key)
{
	struct str der, out;
	uint8_t *p;
	size_t n;
	CBB cbb;

	CBB_init(&cbb, 128);
	assert_int_equal(EC_KEY_marshal_private_key(&cbb,
			     EVP_PKEY_get0_EC_KEY(key), 0),
	    1);
	assert_int_equal(CBB_finish(&cbb, &p, &n), 1);
	der = str_dup(a, str_make(p, n));
	OPENSSL_free(p);
	out = pki_write_pem(a, "EC PRIVATE KEY", der);
	return str_printf(a,
	    "some text\r\n-----BEGIN EC PARAMETERS-----\r\nBggqhkjOPQMBBw=="
	    "\r\n-----END EC PARAMETERS-----\r\n" STR_FMT,
	    STR_ARG(out));
}

static void
ec_and_rsa_forms_are_read_too(void **state)
{
	EVP_PKEY *ec = pki_generate_key(PKI_P256), *in;
	EVP_PKEY *rsa = NULL;
	uint8_t *p;
	size_t n;

	assert_null(pki_parse_key(*state, str_from(rsa_key_pem), &rsa));
	assert_null(pki_parse_key(*state, sec1_pem(*state, ec), &in));
	assert_int_equal(EVP_PKEY_cmp(ec, in), 1);
	EVP_PKEY_free(in);
	assert_int_equal(RSA_private_key_to_bytes(&p, &n,
			     EVP_PKEY_get0_RSA(rsa)),
	    1);
	assert_null(pki_parse_key(*state,
	    pki_write_pem(*state, "RSA PRIVATE KEY", str_make(p, n)), &in));
	assert_int_equal(EVP_PKEY_cmp(rsa, in), 1);
	OPENSSL_free(p);
	EVP_PKEY_free(in);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
}

static EVP_PKEY *
weak_rsa(void)
{
	EVP_PKEY *key = EVP_PKEY_new();
	RSA *rsa = RSA_new();
	BIGNUM *e = BN_new();

	BN_set_word(e, 65537);
	assert_int_equal(RSA_generate_key_ex(rsa, 1024, e, NULL), 1);
	EVP_PKEY_assign_RSA(key, rsa);
	BN_free(e);
	return key;
}

static EVP_PKEY *
p224(void)
{
	EVP_PKEY *key = EVP_PKEY_new();
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_secp224r1);

	assert_int_equal(EC_KEY_generate_key(ec), 1);
	EVP_PKEY_assign_EC_KEY(key, ec);
	return key;
}

static void
keys_that_will_not_do_say_what_they_are(void **state)
{
	struct {
		EVP_PKEY *key;
		const char *what;
	} bad[] = {
		{ weak_rsa(), "an RSA key of less than 2048" },
		{ p224(), "an EC key on a curve other than" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *path = path_of(*state, "bad.pem"), *why;
		enum pki_key_kind kind;
		unsigned bits;
		EVP_PKEY *in;

		assert_false(pki_key_is(bad[i].key, &kind, &bits, &why));
		expect(why, bad[i].what);
		assert_null(
		    pki_save_key(*state, path, bad[i].key, PKI_SAVE_NEW));
		expect(pki_load_key(*state, path, &in), bad[i].what);
		assert_null(in);
		assert_int_equal(unlink(path), 0);
		EVP_PKEY_free(bad[i].key);
	}
}

static void
key_files_for_others_are_refused(void **state)
{
	static const mode_t bad[] = { 0640, 0604, 0660, 0610, 0644 };
	EVP_PKEY *key = pki_generate_key(PKI_P256), *in;
	const char *path = path_of(*state, "key.pem");

	assert_null(pki_save_key(*state, path, key, PKI_SAVE_NEW));
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(chmod(path, bad[i]), 0);
		expect(pki_load_key(*state, path, &in),
		    str_printf(*state, "has mode %04o", (unsigned)bad[i]).p);
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_null(pki_load_key(*state, path, &in));
	EVP_PKEY_free(in);
	EVP_PKEY_free(key);
	unlink(path);
}

static void
what_is_no_key_file_is_refused(void **state)
{
	const char *path = path_of(*state, "key.pem");
	const char *fifo = path_of(*state, "fifo");
	EVP_PKEY *in;

	expect(pki_load_key(*state, path, &in), "No such file");
	expect(pki_load_key(*state, folder, &in), "not a regular file");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	expect(pki_load_key(*state, fifo, &in), "not a regular file");
	unlink(fifo);
	write_file(path, str_printf(*state, "%*s", PKI_KEY_FILE_MAX + 1, ""),
	    0600);
	expect(pki_load_key(*state, path, &in), "more than 16384 bytes");
	unlink(path);
	write_file(path, STR(""), 0600);
	expect(pki_load_key(*state, path, &in), "holds no private key");
	unlink(path);
}

static void
key_text_that_is_damaged_is_refused(void **state)
{
#define B(label, body)                                                         \
	"-----BEGIN " label "-----\n" body "-----END " label "-----\n"
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "hello", "holds no private key" },
		{ B("CERTIFICATE", "AAAA\n"), "holds no private key" },
		{ B("PRIVATE KEY", ""), "cannot be read" },
		{ B("PRIVATE KEY", "AAAA\n"), "cannot be read" },
		{ B("PRIVATE KEY", "A*AA\n"), "cannot be read" },
		{ B("PRIVATE KEY", "AA AA\n"), "cannot be read" },
		{ B("ENCRYPTED PRIVATE KEY", "AAAA\n"), "encrypted" },
		{ B("RSA PRIVATE KEY",
		      "Proc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA\n"),
		    "encrypted" },
		{ "-----BEGIN PRIVATE KEY-----\nAAAA\n", "not whole" },
		{ "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END EC-----\n",
		    "not whole" },
		{ "-----BEGIN PRIVATE KEY-----\nAAAA\n"
		  "-----BEGIN PRIVATE KEY-----\n",
		    "not whole" },
		{ "-----BEGIN PRIVATE KEY----\n", "not whole" },
		{ "-----\n", "not whole" },
	};
	EVP_PKEY *in;

	for (size_t i = 0; i < COUNT(bad); i++) {
		expect(pki_parse_key(*state, str_from(bad[i].text), &in),
		    bad[i].why);
		assert_null(in);
	}
}

static void
a_key_with_something_behind_it_is_refused(void **state)
{
	EVP_PKEY *key = pki_generate_key(PKI_P256), *in;
	struct str der;
	uint8_t *p;
	size_t n;
	CBB cbb;

	CBB_init(&cbb, 128);
	assert_int_equal(EVP_marshal_private_key(&cbb, key), 1);
	CBB_add_u8(&cbb, 0);
	assert_int_equal(CBB_finish(&cbb, &p, &n), 1);
	der = str_make(p, n);
	expect(pki_parse_key(*state, pki_write_pem(*state, "PRIVATE KEY", der),
		   &in),
	    "cannot be read");
	der.n--;
	assert_null(pki_parse_key(*state,
	    pki_write_pem(*state, "PRIVATE KEY", der), &in));
	OPENSSL_free(p);
	EVP_PKEY_free(in);
	EVP_PKEY_free(key);
}

static void
pem_has_64_columns_and_comes_back(void **state)
{
	uint8_t raw[200];
	struct str *ders, text, line, all = STR("");
	size_t n;

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)i;
	for (size_t len = 1; len <= sizeof(raw); len++) {
		text = pki_write_pem(*state, "CERTIFICATE", str_make(raw, len));
		assert_null(pki_parse_pem(*state, text, &ders, &n));
		assert_int_equal(n, 1);
		assert_true(str_eq(ders[0], str_make(raw, len)));
		assert_true(str_ends(text, STR("-----\n")));
		while (text.n > 0) {
			line = str_cut(&text, '\n');
			assert_true(line.n >= 4 && line.n <= 64);
		}
	}
	for (size_t i = 0; i < 9; i++) {
		text = pki_write_pem(*state, "CERTIFICATE",
		    str_make(raw, i + 1));
		all = str_printf(*state, STR_FMT "# %zu\n\n" STR_FMT,
		    STR_ARG(all), i, STR_ARG(text));
		if (i + 1 > PKI_CHAIN_MAX) {
			expect(pki_parse_pem(*state, all, &ders, &n),
			    "more than 8 certificates");
			break;
		}
		assert_null(pki_parse_pem(*state, all, &ders, &n));
		assert_int_equal(n, i + 1);
		assert_int_equal(ders[i].n, i + 1);
	}
}

static void
pem_that_holds_no_certificates_is_refused(void **state)
{
	struct str big = str_printf(*state, "%*s", PKI_PEM_FILE_MAX + 1, "");
	struct str *ders;
	size_t n;

	expect(pki_parse_pem(*state, STR(""), &ders, &n), "no certificate");
	expect(pki_parse_pem(*state, STR("text\n"), &ders, &n),
	    "no certificate");
	expect(pki_parse_pem(*state, STR(B("PRIVATE KEY", "AAAA\n")), &ders,
		   &n),
	    "\"PRIVATE KEY\"");
	expect(pki_parse_pem(*state, STR(B("CERTIFICATE", "A\n")), &ders, &n),
	    "not base64");
	expect(pki_parse_pem(*state,
		   STR(B("CERTIFICATE", "AAAA\n") "-----BEGIN CERTIFICATE"),
		   &ders, &n),
	    "not whole");
	expect(pki_parse_pem(*state, big, &ders, &n), "262144");
	big = pki_write_pem(*state, "CERTIFICATE",
	    str_make(arena_zalloc(*state, PKI_CERT_MAX + 1), PKI_CERT_MAX + 1));
	expect(pki_parse_pem(*state, big, &ders, &n), "65536");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
	const struct CMUnitTest tests[] = {
		T(keys_of_every_kind_are_made_saved_and_loaded),
		T(a_new_file_never_replaces_an_old_one),
		T(files_that_cannot_be_written_say_why),
		T(text_files_are_for_everyone),
		T(ec_and_rsa_forms_are_read_too),
		T(keys_that_will_not_do_say_what_they_are),
		T(key_files_for_others_are_refused),
		T(what_is_no_key_file_is_refused),
		T(key_text_that_is_damaged_is_refused),
		T(a_key_with_something_behind_it_is_refused),
		T(pem_has_64_columns_and_comes_back),
		T(pem_that_holds_no_certificates_is_refused),
	};

	return cmocka_run_group_tests_name("key", tests, make_folder,
	    drop_folder);
}
