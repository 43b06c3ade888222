/* SPDX-License-Identifier: ISC */
/* Weak keys. The moduli were made for this test, each weak in its own way. */
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "pki/key.h"
#include "pki/weak.h"

static const char small_factor[] =
    "EAB0000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000086EB6B6BF7B";
static const char close_primes[] =
    "97811BB973FA96BBE409635DF3E797240EC10D9696A92C11F5E797F77E389BB0"
    "0DD6BD4268E81EECFEACD7BD4A61CCD623C2A258955AE547C16304F1F28326A9"
    "FEBA419A1F4F63E84C292DE219C2AE8199C72BE25B1B442859AF88A2C3930735"
    "C8266187DF32A0A9A04F74DA7B4E67876A60B84E031B5FB029449ACF8D19ADAD"
    "DBBD2203C7F482C3A20347B82AD4609C4AE1B28487541FA8583D33F80E9F6E13"
    "C63A4A120094FD8D4171A263BCC0F1CB49E0C4917722B32438ADCD10AFBA8F5C"
    "E7EA4230807120D28D68A63ADFEF7421115E86316E4C900A25D6C22ED08F6705"
    "D7E2D948C1DDD4100DABFBB3B1C41F3D97E52A936802B0DE9801C75484532B0F";
static const char roca_primes[] =
    "C7E871617CE2206E475684FD0C9FF8D45C1FDB8BF98FC554642C02FC7F4B0DD6"
    "D21CE849FDB5D74911B4F2CDE879EEB63F3C1198A685433E377850E5C9610316"
    "B2CB6A1364F15CFCB4A3055D1BED217CA329800EEC7740567D5E17F150A2DAAE"
    "449818C39EB59A2F7FBED672573A9683EAFB0E9283F7008521DCEFEAE1FD0F81"
    "597ACF6DB43A705C7FA7EB6EA483B2B936B9CD327F63A1FAF69D3328006A9BD4"
    "1C9ADBA8A739F382495325C28E0C89E28817DA7A49E29DE94C1E5BFB48E7F133"
    "4784BFB70EF6B2EEF1F079AB8BCE6038382C82D09818519541B0C0951A5E0C70"
    "B04CF271168333D8071F3A2C5463C6686D910C5C817B3F7909EDC732CAA85C69";
static const char sound[] =
    "D61B685E1F9EF868F426CDDDEA4536B4A9AFA2448FEA973300D19B930337B640"
    "9959E96AE43932B8CF6671A9B8A0EB10971378FF15744FD2B3A13D92957FF045"
    "85FCAA232AB4914883EEBB00565300A5394475260944FD9E8E85E74044D141EC"
    "7B0BF8486EDFC9FB34EC33DBAA9F2BB2F2C8A3523B01C10FA6628C54DBF6AC99"
    "B2133169D052DAC12B6B6AC1CBE52B08192ACB05E70699E7AC38697B9F558617"
    "DB9D8B51D91C9135DDCD4D48FBD75B4F46BCAB8DE1377CC17F40DE646020288C"
    "EFF151732C95A1DDA03EF6E75CB6638CD41EF6A82E002E92EE160AD9F8F2BB35"
    "A23B451CABD6777E485CCCBCA5BCD3E22F4FE7748AACE524A73F4602FAA4B275";

/* What is wrong with an RSA key of this modulus? */
static const char *
judge(const char *modulus)
{
	BIGNUM *n = NULL, *e = BN_new();
	RSA *rsa = RSA_new();
	EVP_PKEY *key = EVP_PKEY_new();
	const char *why;

	assert_int_equal(BN_hex2bn(&n, modulus), 512);
	assert_true(BN_set_word(e, 65537));
	assert_true(RSA_set0_key(rsa, n, e, NULL));
	assert_true(EVP_PKEY_set1_RSA(key, rsa));
	why = pki_key_weakness(key);
	EVP_PKEY_free(key);
	RSA_free(rsa);
	return why != NULL ? why : "sound";
}

static void
sees_each_weakness(void **state)
{
	(void)state;
	assert_non_null(strstr(judge(small_factor), "small factor"));
	assert_non_null(strstr(judge(close_primes), "close to each other"));
	assert_non_null(strstr(judge(roca_primes), "ROCA"));
}

static void
finds_nothing_wrong_with_sound_keys(void **state)
{
	static const enum pki_key_kind kinds[] = { PKI_RSA, PKI_P256,
		PKI_ED25519 };

	(void)state;
	assert_string_equal(judge(sound), "sound");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		EVP_PKEY *key = pki_generate_key(kinds[i]);

		assert_null(pki_key_weakness(key));
		EVP_PKEY_free(key);
	}
}

/* ---- blocklists */

#define ONES "1111111111111111111111111111111111111111111111111111111111111111"
#define TENS "AAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char *
load(struct arena *a, const char *text, struct pki_blocklist *out)
{
	char path[] = "/tmp/certloop-blocklist-XXXXXX";
	int fd = mkstemp(path);
	const char *why;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	why = pki_load_blocklist(a, path, out);
	unlink(path);
	return why;
}

static void
blocks_the_keys_of_a_list(void **state)
{
	struct arena *a = arena_create();
	struct pki_blocklist list;
	uint8_t hash[32];

	(void)state;
	assert_null(
	    load(a, "# known keys\n\n  " TENS "  # one\r\n" ONES, &list));
	assert_int_equal(list.n, 2);
	memset(hash, 0x11, sizeof(hash));
	assert_true(pki_is_blocked(&list, hash));
	memset(hash, 0xaa, sizeof(hash));
	assert_true(pki_is_blocked(&list, hash));
	hash[31] ^= 1;
	assert_false(pki_is_blocked(&list, hash));
	assert_null(load(a, "", &list));
	assert_false(pki_is_blocked(&list, hash));
	arena_destroy(a);
}

static void
says_which_line_is_no_hash(void **state)
{
	static const char *const bad[] = { ONES "\n" ONES "1\n", ONES "\n111\n",
		ONES "\nx" ONES "\n" };
	struct arena *a = arena_create();
	struct pki_blocklist list;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = load(a, bad[i], &list);

		assert_non_null(why);
		assert_non_null(strstr(why, "line 2"));
	}
	assert_non_null(pki_load_blocklist(a, "/nonexistent/list", &list));
	arena_destroy(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sees_each_weakness),
		cmocka_unit_test(finds_nothing_wrong_with_sound_keys),
		cmocka_unit_test(blocks_the_keys_of_a_list),
		cmocka_unit_test(says_which_line_is_no_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
